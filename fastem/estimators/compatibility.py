"""What does not go together: one table, asked when the plan of a fit is made.

Every pair of features of every mixture either works or stands here with its sentence. `FEATURES` says how a feature is
asked for; `REFUSED` holds the pairs; tests walk through all pairs of all mixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastem.rows.sources.open_rows import EXTREME_WEIGHTS


@dataclass(frozen=True)
class Request:
    """What is asked of a fit.

    Attributes
    ----------
    parameters : {name: value}
        Of the constructor.
    structure : str
        What the covariances have in common: "apart" where each component has its own, "joined" where they depend on
        each other; "" where there are none.
    labels : bool
    rows : {"in memory", "read in blocks", "in a Dask collection"}
    extreme_weights : bool
        Whether all sample weights are so small or so large that they were divided by a unit.
    partial : bool
        Whether rows come batch by batch.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    structure: str = ""
    labels: bool = False
    rows: str = "in memory"
    extreme_weights: bool = False
    partial: bool = False

    def told(self, name) -> str:
        return f"{name}={self.parameters[name]!r}"

    def asks(self, name) -> bool:
        """Whether a parameter is there and is neither None nor False."""
        value = self.parameters.get(name)
        return value is not None and value is not False


class Refusal(NamedTuple):
    """Two features that do not go together, and the sentence; {0} and {1} are how they were asked for."""

    first: str
    second: str
    sentence: str


def parameter_is_given(name) -> Callable[[Request], str]:
    return lambda request: request.told(name) if request.asks(name) else ""


def fixed(name, whole=None) -> Callable[[Request], str]:
    """Some of a parameter is fixed; `whole`: all of it is, or not all of it."""

    def asked(request):
        names = request.parameters.get("fixed")
        value = names.get(name, False) if isinstance(names, dict) else False
        if value is False or np.size(value) == 0:
            return ""
        all_of_it = isinstance(value, (bool, np.bool_)) or len(np.unique(value)) == request.parameters["n_components"]
        return f"fixed={names!r}" if whole is None or whole == all_of_it else ""

    return asked


def has_weight_prior(request) -> str:
    value = request.parameters.get("weight_concentration_prior")
    return "" if value is None or not np.any(np.asarray(value) > 1) else request.told("weight_concentration_prior")


def by_number(request) -> str:
    """A constraint that names components, or has a value for each."""
    for name in ("fixed", "weight_concentration_prior", "degrees_of_freedom"):
        value = request.parameters.get(name)
        if np.ndim(value) > 0 or (isinstance(value, dict) and len(value) > 0):
            return name
    return ""


def unequal_weights_init(request) -> str:
    init = request.parameters.get("weights_init")
    return "" if init is None or np.ptp(np.asarray(init, np.float64)) <= 1e-6 else request.told("weights_init")


def impossible_weights_init(request) -> str:
    init = request.parameters.get("weights_init")
    if init is None or np.shape(init) != (request.parameters["n_components"],) or not has_weight_prior(request):
        return ""
    drawn = np.asarray(request.parameters["weight_concentration_prior"]) > 1
    return request.told("weights_init") if ((np.asarray(init) == 0) & drawn).any() else ""


def start_by_row(request) -> str:
    init = request.parameters.get("init_params")
    return "" if isinstance(init, str) or "init_params" not in request.parameters else "init_params"


# name: how it is asked for, in the words of the message; "" where it is not asked for
FEATURES: dict[str, Callable[[Request], str]] = {
    "noise": parameter_is_given("noise"),
    "prior": parameter_is_given("prior"),
    "max_eigenvalue_ratio": parameter_is_given("max_eigenvalue_ratio"),
    "equal_weights": parameter_is_given("equal_weights"),
    "weight_concentration_prior": has_weight_prior,
    "fixed": parameter_is_given("fixed"),
    "fixed weights": fixed("weights"),
    "all weights fixed": fixed("weights", whole=True),
    "fixed covariances": fixed("covariances"),
    "some covariances fixed": fixed("covariances", whole=False),
    "a constraint by number": by_number,
    "weights_init of unequal weights": unequal_weights_init,
    "weights_init of weights 0": impossible_weights_init,
    "on_collapse": lambda r: r.told("on_collapse") if r.parameters.get("on_collapse") in ("reseed", "drop") else "",
    "split_merge": lambda r: r.told("split_merge") if r.asks("split_merge") and r.parameters["split_merge"] > 0 else "",
    "a start by row": start_by_row,
    "emem": lambda r: "init_params='emem'" if str(r.parameters.get("init_params")) == "emem" else "",
    "joined covariances": lambda r: r.told("covariance_type") if r.structure == "joined" else "",
    "labels": lambda r: "labels" if r.labels else "",
    "rows out of memory": lambda r: "" if r.rows == "in memory" else r.rows,
    "extreme sample weights": lambda r: "sample_weight" if r.extreme_weights else "",
    "partial_fit": lambda r: "partial_fit" if r.partial else "",
    "missing values": lambda r: "",  # known when the rows are looked at: see `refusal`
}

_BESIDE_NOISE = "noise does not go with {name}: what a constraint keeps to is not told for noise. Drop one: {{1}}."
_MOVED = "{what} tell components by their number, but {{1}} moves them: drop one of the two."
_EXTREME = (
    "sample_weight is below 1e-9 or above 1e9 everywhere, beside which a prior, whose strength is in rows, means "
    "nothing: divide it by its mean."
)
_AVERAGES = (
    "partial_fit keeps averages over rows, among which a prior's rows do not count: set prior=None and "
    "weight_concentration_prior=None, or fit."
)
_WHOLE_ROWS = "{0} needs whole rows. Or set {name}=None, with which NaN is a missing value."

REFUSED = (
    *(
        Refusal("noise", name, _BESIDE_NOISE.format(name=name))
        for name in ("equal_weights", "weight_concentration_prior", "fixed", "prior", "max_eigenvalue_ratio")
    ),
    *(Refusal("labels", name, _MOVED.format(what="labels")) for name in ("on_collapse", "split_merge")),
    *(
        Refusal("a constraint by number", name, "{0} tells components by their number, but {1} moves them: drop one.")
        for name in ("on_collapse", "split_merge")
    ),
    Refusal("emem", "labels", "{0} compares starts that know of no labels: choose another init_params beside labels."),
    Refusal("labels", "rows out of memory", "labels go with an array or a frame, but X is {1}: hand in an array."),
    Refusal(
        "a start by row",
        "rows out of memory",
        "init_params holds or makes a membership of every row, but X is {1}: name a start, or hand in an array.",
    ),
    Refusal(
        "equal_weights",
        "fixed weights",
        "equal_weights=True leaves no weights to fix, but 'weights' is in fixed: drop one.",
    ),
    Refusal(
        "equal_weights",
        "weight_concentration_prior",
        "equal_weights=True leaves weight_concentration_prior nothing to weigh: drop one.",
    ),
    Refusal(
        "equal_weights",
        "weights_init of unequal weights",
        "equal_weights=True, but weights_init holds other weights: {1}. Drop one.",
    ),
    Refusal(
        "all weights fixed",
        "weight_concentration_prior",
        "fixed holds all weights, which leaves weight_concentration_prior nothing to weigh: drop one.",
    ),
    Refusal(
        "weights_init of weights 0",
        "weight_concentration_prior",
        "weights_init holds a weight of 0, which has no probability under weight_concentration_prior, so EM cannot "
        "begin there: give weights above 0.",
    ),
    Refusal(
        "max_eigenvalue_ratio",
        "joined covariances",
        "max_eigenvalue_ratio works only for covariance_type 'full', 'diag' or 'spherical' (VVV, VVI, VII). Got {1}.",
    ),
    Refusal(
        "max_eigenvalue_ratio",
        "fixed covariances",
        "max_eigenvalue_ratio bounds all covariances, but 'covariances' is in fixed: drop one of the two.",
    ),
    Refusal(
        "some covariances fixed",
        "joined covariances",
        "fixed names the covariances of some components, but with {1} they depend on each other: fix all or none, or "
        "choose 'full', 'diag' or 'spherical'.",
    ),
    Refusal("extreme sample weights", "rows out of memory", EXTREME_WEIGHTS),
    *(Refusal("extreme sample weights", name, _EXTREME) for name in ("prior", "weight_concentration_prior")),
    *(Refusal("partial_fit", name, _AVERAGES) for name in ("prior", "weight_concentration_prior")),
    *(Refusal(name, "missing values", _WHOLE_ROWS.replace("{name}", name)) for name in ("noise", "prior")),
)


def require_compatible(request: Request) -> None:
    """ValueError for the first two features that are asked for and do not go together."""
    asked = {name: words for name, feature in FEATURES.items() if (words := feature(request))}
    for first, second, sentence in REFUSED:
        if first in asked and second in asked:
            raise ValueError(sentence.format(asked[first], asked[second]))


def refusal(first: str, second: str) -> str:
    """The sentence of two features, for what only a look at the rows can tell."""
    return next(sentence for one, other, sentence in REFUSED if (one, other) == (first, second))
