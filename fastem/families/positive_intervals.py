"""Positive values, waiting times or gamma variables, that are known to lie between bounds: how a fit opens them."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from fastem.estimators.beside import TakesSideColumns
from fastem.estimators.intervals import open_intervals
from fastem.models.bounded_rows import FeatureRows
from fastem.models.waiting_intervals import WaitingRows
from fastem.rows.intervals import Representatives, bounds_of, exact_values
from fastem.rows.validation import first_cell


def open_positive(estimator, X, sides, sample_weight, check=None):
    """See :func:`fastem.estimators.beside.opened`."""
    whole = estimator._density.discrete

    def require(rows, d, names, place):
        estimator._density.require_values(exact_values(rows, d, other=1.0), names, place)
        require_possible(rows, d, names, place, whole)

    seen = WholeRepresentatives if whole else partial(Representatives, least=0.0)
    return open_intervals(estimator, X, sides, sample_weight, check, estimator._rows_between, require, seen, 0.0)


class WholeRepresentatives(Representatives):
    """The same, rounded to whole numbers."""

    def __init__(self, d: int, centre: np.ndarray, spread: np.ndarray):
        super().__init__(d, centre, spread, least=0.0)

    def __call__(self, X):
        return np.floor(super().__call__(X))


def require_possible(X, d, names, place, whole) -> None:
    """ValueError at the first wide row, X (m, 3 d), between whose bounds no such value lies."""
    lower, upper = bounds_of(X, d)
    if whole:
        bad, what = np.floor(upper) < np.ceil(np.maximum(lower, 0)), "contain a whole number >= 0"
    else:
        bad, what = upper <= 0, "contain positive numbers"
    if bad.any():
        row, column, name = first_cell(bad.T, names)
        raise ValueError(
            f"lower and upper must {what}, but those of {place(row)}, column {name} are {lower[column, row]:g} and "
            f"{upper[column, row]:g}."
        )


class TakesBounds(TakesSideColumns):
    """A mixture of positive values, the class behind this one, which may have bounds.

    Attributes
    ----------
    _rows_between : type
        The mixture as a model of wide rows. Default: of waiting times.
    """

    _rows_between: ClassVar[type[FeatureRows]] = WaitingRows
    _openers: ClassVar = {"lower": open_positive, "upper": open_positive}
