"""The kinds of columns of a mixed mixture: what describes each, and which columns are of it."""

from __future__ import annotations

import numpy as np

from fastem.families.bernoulli import BernoulliMixture
from fastem.families.categorical import CategoricalMixture
from fastem.families.exponential import ExponentialMixture
from fastem.families.gamma import GammaMixture
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.families.poisson import PoissonMixture
from fastem.families.von_mises_fisher import VonMisesFisherMixture
from fastem.rows.side_columns import named_columns, require_one
from fastem.rows.validation import real_numbers

# kind of column: the mixture for it, and the parameters of that mixture
MIXTURE_OF_KIND = {
    "gaussian": (GaussianMixture, {"covariance_type": "diag"}),
    "poisson": (PoissonMixture, {}),
    "bernoulli": (BernoulliMixture, {}),
    "categorical": (CategoricalMixture, {}),
    "exponential": (ExponentialMixture, {}),
    "gamma": (GammaMixture, {}),
    "von_mises_fisher": (VonMisesFisherMixture, {}),
}


def columns_of(kinds, d, names=None) -> dict:
    """{kind: its columns} of d columns, checked.

    kinds : the parameter of :class:`MixedMixture`

    names : (d,) of the columns, or None
    """
    if isinstance(kinds, str):
        kinds = [kinds] * d
    if isinstance(kinds, dict):
        require_known(kinds)
        columns = {kind: np.atleast_1d(real_numbers(numbers_of(given, names))) for kind, given in kinds.items()}
        places = [place for numbers in columns.values() for place in numbers.tolist()]
        if not all(type(place) is int for place in places) or sorted(places) != list(range(d)):
            raise ValueError(
                f"kinds must be {{kind: numbers of its columns}} with each number from 0 to {d - 1} once, or names of "
                f"columns in their place. Got {kinds!r} instead."
            )
    else:
        listed = isinstance(kinds, (list, tuple)) or (isinstance(kinds, np.ndarray) and kinds.ndim == 1)
        if not listed or not all(isinstance(kind, str) for kind in kinds):
            raise ValueError(
                f"kinds must name one kind for each column, or be a dict {{kind: numbers of its columns}}. "
                f"Got {kinds!r} instead."
            )
        if len(kinds) != d:
            raise ValueError(
                f"kinds must contain one kind for each of the {d} columns of X, but it contains {len(kinds)}."
            )
        require_known(kinds)
        columns = {kind: np.flatnonzero([other == kind for other in kinds]) for kind in dict.fromkeys(kinds)}
    return columns


def require_known(kinds) -> None:
    """Raise ValueError at the first of these kinds that there is not."""
    for kind in kinds:
        if kind not in MIXTURE_OF_KIND:
            raise ValueError(f"kinds must be among {', '.join(map(repr, MIXTURE_OF_KIND))}. Got {kind!r} instead.")


def numbers_of(given, names):
    """The numbers of the columns that `kinds` names; what are no names stays as it is."""
    chosen = named_columns(given.tolist() if hasattr(given, "tolist") else given)
    if chosen is None:
        return given
    if names is None:
        raise ValueError(
            f"kinds names the column {chosen[0]!r}, but the columns of X have no names. Give numbers of columns from "
            "0, or pass a frame."
        )
    columns = list(names)
    for name in chosen:
        if name not in columns:
            raise ValueError(
                f"kinds names the column {name!r}, which X does not have among its values. They are in the columns "
                f"{', '.join(columns)}."
            )
        require_one(columns, name, "kinds")
    return [columns.index(name) for name in chosen]


def mixture_of_kind(kind, n_components=1, **given):
    """The mixture for a kind of columns, not fitted, with those of the given parameters that it has."""
    mixture, settings = MIXTURE_OF_KIND[kind]
    made = mixture(n_components, **settings)
    return made.set_params(**{name: given[name] for name in given.keys() & made.get_params()})
