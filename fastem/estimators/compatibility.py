"""Features that cannot be combined: one table, read when the plan of a fit is made.

Every pair of features of every mixture either works or is in this table with a sentence. `FEATURES` says how a user
asks for a feature; `REFUSED` contains the pairs; tests try all pairs of all mixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastem.estimators.constraints import names_something
from fastem.rows.sources.open_rows import EXTREME_WEIGHTS


@dataclass(frozen=True)
class Request:
    """What a user asks of a fit.

    Attributes
    ----------
    parameters : {name: value}
        The constructor's.
    structure : str
        "separate" where the covariances do not depend on each other, "dependent" where they do; "" where there are
        none.
    labels : bool
    rows : {"in memory", "read in blocks", "a Dask collection", "a Spark frame"}
    extreme_weights : bool
        Whether all sample weights were so small or so large that a unit was divided out.
    partial : bool
        Whether rows come batch by batch.
    starts : bool
        Whether `init_params` has an effect: the fit neither goes on from the last one nor starts from parameters alone.
    regression : bool
        Whether the mixture is to predict some columns from others.
    errors : bool
        Whether rows have measurement errors.
    intervals : bool
        Whether values are known to lie between bounds.
    covariates : bool
        Whether the weights depend on covariates of the row.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    structure: str = ""
    labels: bool = False
    rows: str = "in memory"
    extreme_weights: bool = False
    partial: bool = False
    starts: bool = True
    regression: bool = False
    errors: bool = False
    intervals: bool = False
    covariates: bool = False

    def setting(self, name) -> str:
        """A parameter as a user writes it: name=value."""
        return f"{name}={self.parameters[name]!r}"


class Refusal(NamedTuple):
    """Two features that cannot be combined, and the sentence; {0} and {1} are how the user asked for them."""

    first: str
    second: str
    sentence: str


def parameter_is_given(name) -> Callable[[Request], str]:
    return lambda request: request.setting(name) if request.parameters.get(name) is not None else ""


def equal_weights(request) -> str:
    return request.setting("equal_weights") if request.parameters.get("equal_weights", False) else ""


def fixed(*names, whole=None) -> Callable[[Request], str]:
    """Something of these names is fixed. whole=True: all of it; whole=False: some, but not all."""

    def asked(request):
        settings = request.parameters.get("fixed") or {}
        for name in names or settings:
            if names_something(settings, name):
                value = settings[name]
                K = request.parameters["n_components"]
                all_of_it = isinstance(value, (bool, np.bool_)) or len(np.unique(value)) == K
                if whole is None or whole == all_of_it:
                    return request.setting("fixed")
        return ""

    return asked


def has_weight_prior(request) -> str:
    value = request.parameters.get("weight_concentration_prior")
    if "weight_concentration_prior_type" in request.parameters:  # there the prior is of a posterior: see `variational`
        return ""
    return "" if value is None or not np.any(np.asarray(value) > 1) else request.setting("weight_concentration_prior")


def by_number(request) -> str:
    """A constraint that refers to components by number."""
    prior, degrees = (request.parameters.get(name) for name in ("weight_concentration_prior", "degrees_of_freedom"))
    settings = request.parameters.get("fixed") or {}
    if any(names_something(settings, name) for name in settings):
        return request.setting("fixed")
    if has_weight_prior(request) and np.ndim(prior) > 0:
        return request.setting("weight_concentration_prior")
    return request.setting("degrees_of_freedom") if np.ndim(degrees) > 0 else ""


def unequal_weights_init(request) -> str:
    init = request.parameters.get("weights_init")
    return "" if init is None or np.ptp(np.asarray(init, np.float64)) <= 1e-6 else request.setting("weights_init")


def weight_of_zero(request) -> str:
    init = request.parameters.get("weights_init")
    return request.setting("weights_init") if init is not None and (np.asarray(init) == 0).any() else ""


def impossible_weights_init(request) -> str:
    init = request.parameters.get("weights_init")
    if init is None or not has_weight_prior(request):
        return ""
    drawn = np.asarray(request.parameters["weight_concentration_prior"]) > 1
    return request.setting("weights_init") if ((np.asarray(init) == 0) & drawn).any() else ""


def start_by_row(request) -> str:
    given = "init_params" in request.parameters and not isinstance(request.parameters["init_params"], str)
    return "init_params" if given and request.starts else ""


def moves(name, *values) -> Callable[[Request], str]:
    """A parameter with which components change their numbers: with these values, or where it is above 0."""

    def asked(request):
        value = request.parameters.get(name, 0)
        return request.setting(name) if (value in values if values else value > 0) else ""

    return asked


# name: a function that gives how the user asks for it, for the message; "" where it is not asked for
FEATURES: dict[str, Callable[[Request], str]] = {
    "noise": parameter_is_given("noise"),
    "prior": parameter_is_given("prior"),
    "max_eigenvalue_ratio": parameter_is_given("max_eigenvalue_ratio"),
    "truncate": parameter_is_given("truncate"),
    "certified": lambda r: r.setting("stop") if r.parameters.get("stop") == "certified" else "",
    "equal_weights": equal_weights,
    "weight_concentration_prior": has_weight_prior,
    "variational": parameter_is_given("weight_concentration_prior_type"),
    "fixed": fixed(),
    "fixed weights": fixed("weights"),
    "all weights fixed": fixed("weights", whole=True),
    "fixed covariances": fixed("covariances"),
    "some covariances fixed": fixed("covariances", whole=False),
    "a constraint by number": by_number,
    "weights_init of unequal weights": unequal_weights_init,
    "weights_init with a 0": weight_of_zero,
    "weights_init of weights 0": impossible_weights_init,
    "on_collapse": moves("on_collapse", "reseed", "drop"),
    "split_merge": moves("split_merge"),
    "a start by row": start_by_row,
    "dependent covariances": lambda r: r.setting("covariance_type") if r.structure == "dependent" else "",
    "labels": lambda r: "labels" if r.labels else "",
    "rows out of memory": lambda r: "" if r.rows == "in memory" else r.rows,
    "extreme sample weights": lambda r: "sample_weight" if r.extreme_weights else "",
    "partial_fit": lambda r: "partial_fit" if r.partial else "",
    "regression": lambda r: "GaussianMixtureRegressor" if r.regression else "",
    "errors": lambda r: "errors" if r.errors else "",
    "intervals": lambda r: "lower and upper" if r.intervals else "",
    "truncation": lambda r: r.setting("truncation") if r.parameters.get("truncation") is not None else "",
    "covariates": lambda r: "covariates" if r.covariates else "",
    "missing values": lambda r: "",  # known only from the rows: see `refusal`
}

_NOISE = (
    "noise cannot be combined with {name}, because {name} is defined only for the components, not for the noise. "
    "Leave out noise or {{1}}."
)
_NUMBERED = "{what} to components by number, but {{1}} can change the numbers. Leave out one of the two."
_EXTREME = (
    "sample_weight is at most 1e-9 in every row, or at least 1e9 in some. The strength of a prior is a number of rows, "
    "so a prior has no meaning beside such weights. Divide sample_weight by its mean."
)
_AVERAGES = (
    "partial_fit averages over rows and cannot count the rows that a prior stands for. Set prior=None and "
    "weight_concentration_prior=None, or use fit."
)
_TRUNCATED = "{{0}} cannot be combined with {name} (got {{1}}), {why}. Set truncate=None."
_TRUNCATION = (
    "truncation cannot be combined with {1}, because what it adds to the sums of seen rows is made for free means, "
    "covariances and weights alone. Set truncation=None, or leave out {1}."
)
_GATE = (
    "{0} cannot be combined with covariates, because the weights of each row follow from its covariates alone. "
    "Leave out one of the two."
)
_COMPLETE_ROWS = "{0} needs rows without missing values. Or fit with {name}=None: NaN is then a missing value."

REFUSED = (
    *(
        Refusal("noise", name, _NOISE.format(name=name))
        for name in ("equal_weights", "weight_concentration_prior", "fixed", "prior", "max_eigenvalue_ratio")
    ),
    *(Refusal("labels", name, _NUMBERED.format(what="labels refer")) for name in ("on_collapse", "split_merge")),
    *(
        Refusal("a constraint by number", name, _NUMBERED.format(what="{0} refers"))
        for name in ("on_collapse", "split_merge")
    ),
    Refusal(
        "labels",
        "errors",
        "labels cannot be combined with errors, because rows of equal labels are collected without their errors. Leave "
        "out one of the two.",
    ),
    *(
        Refusal(name, "covariates", "{0} cannot be combined with covariates. Leave out one of the two.")
        for name in ("intervals", "truncation")
    ),
    Refusal(
        "errors",
        "covariates",
        "errors cannot be combined with covariates. Leave out one of the two.",
    ),
    Refusal(
        "labels",
        "covariates",
        "labels cannot be combined with covariates, because rows of equal labels are collected without their "
        "covariates. Leave out one of the two.",
    ),
    *(
        Refusal(name, "covariates", _GATE)
        for name in ("equal_weights", "weight_concentration_prior", "fixed weights", "variational")
    ),
    Refusal(
        "noise",
        "covariates",
        "noise cannot be combined with covariates, on which only the weights of components depend. Set noise=None.",
    ),
    Refusal(
        "noise",
        "errors",
        "noise cannot be combined with errors, because the noise has a constant density, which no error blurs. Set "
        "noise=None.",
    ),
    *(
        Refusal("truncate", name, _TRUNCATED.format(name=name, why=why))
        for name, why in (
            ("noise", "whose density is that of every row"),
            ("labels", "with which rows are collected in groups"),
            ("errors", "with which every row has covariances of its own"),
            ("intervals", "with which every row has integrals of its own"),
            ("truncation", "whose densities are not those of the components alone"),
            ("covariates", "with which every row has weights of its own"),
            ("rows out of memory", "because each row keeps its components from pass to pass"),
            ("partial_fit", "because each row keeps its components from pass to pass"),
            ("certified", "because what is left to gain is not known without the other components"),
        )
    ),
    Refusal(
        "errors",
        "intervals",
        "errors cannot be combined with {1}, because no formula gives the moments of a value that is both blurred and "
        "in an interval. Leave out one of the two.",
    ),
    Refusal(
        "labels",
        "intervals",
        "labels cannot be combined with {1}, because rows of equal labels are collected without their bounds. Leave "
        "out one of the two.",
    ),
    Refusal(
        "noise",
        "intervals",
        "noise cannot be combined with {1}, because the noise has a constant density, whose integral between bounds "
        "need not be finite. Set noise=None.",
    ),
    Refusal(
        "a start by row",
        "rows out of memory",
        "init_params gives a membership for every row, but X is {1}. Name a start, or pass X as an array.",
    ),
    Refusal(
        "equal_weights",
        "fixed weights",
        "equal_weights=True leaves no weights to fix, but fixed contains 'weights'. Leave out one of the two.",
    ),
    Refusal(
        "equal_weights",
        "weight_concentration_prior",
        "equal_weights=True sets all weights, so weight_concentration_prior has no effect. Leave out one of the two.",
    ),
    Refusal(
        "equal_weights",
        "weights_init of unequal weights",
        "equal_weights=True needs equal weights, but got {1}. Leave out one of the two.",
    ),
    Refusal(
        "all weights fixed",
        "weight_concentration_prior",
        "fixed contains all weights, so weight_concentration_prior has no effect. Leave out one of the two.",
    ),
    Refusal(
        "weights_init of weights 0",
        "weight_concentration_prior",
        "weights_init contains a weight of 0, which has probability 0 under weight_concentration_prior, so EM cannot "
        "start there. Give weights above 0.",
    ),
    Refusal(
        "labels",
        "weights_init with a 0",
        "{1} contains a weight of 0, with which a row that is labelled with that component has no probability. Give "
        "weights above 0.",
    ),
    Refusal(
        "max_eigenvalue_ratio",
        "dependent covariances",
        "max_eigenvalue_ratio works only with covariance_type 'full', 'diag' or 'spherical' (VVV, VVI, VII). Got {1}.",
    ),
    Refusal(
        "max_eigenvalue_ratio",
        "fixed covariances",
        "max_eigenvalue_ratio bounds all covariances, but fixed contains 'covariances'. Leave out one of the two.",
    ),
    Refusal(
        "some covariances fixed",
        "dependent covariances",
        "fixed names the covariances of some components, but with {1} the covariances depend on each other. Fix all or "
        "none of them, or choose covariance_type 'full', 'diag' or 'spherical'.",
    ),
    Refusal("extreme sample weights", "rows out of memory", EXTREME_WEIGHTS),
    *(
        Refusal("extreme sample weights", name, _EXTREME)
        for name in ("prior", "weight_concentration_prior", "variational")
    ),
    *(Refusal("partial_fit", name, _AVERAGES) for name in ("prior", "weight_concentration_prior")),
    Refusal(
        "noise",
        "regression",
        "{1} predicts from the components alone, so it cannot be combined with noise. Got {0}. Set noise=None.",
    ),
    *(
        Refusal("truncation", name, _TRUNCATION)
        for name in (
            "noise",
            "prior",
            "max_eigenvalue_ratio",
            "fixed",
            "equal_weights",
            "weight_concentration_prior",
            "errors",
            "intervals",
            "partial_fit",
            "regression",
        )
    ),
    *(
        Refusal(name, "missing values", _COMPLETE_ROWS.replace("{name}", name))
        for name in ("noise", "prior", "truncation", "truncate")
    ),
)


def require_compatible(request: Request) -> None:
    """Raise ValueError for the first two requested features that cannot be combined."""
    asked = {name: words for name, feature in FEATURES.items() if (words := feature(request))}
    for first, second, sentence in REFUSED:
        if first in asked and second in asked:
            raise ValueError(sentence.format(asked[first], asked[second]))


def may_have(parameters: Mapping[str, Any], feature: str) -> bool:
    """Whether no pair of the table refuses a mixture of these parameters a feature."""
    request = Request(parameters)
    beside = {second if first == feature else first for first, second, _ in REFUSED if feature in (first, second)}
    return not any(FEATURES[name](request) for name in beside)


def refusal(first: str, second: str) -> str:
    """The sentence of two features, where only the rows show that one of them is present."""
    return next(sentence for one, other, sentence in REFUSED if (one, other) == (first, second))
