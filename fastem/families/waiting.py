"""Waiting times, exponential or geometric, that are known to lie between bounds: how a fit opens them."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import numpy as np

from fastem.estimators.beside import TakesSideColumns
from fastem.estimators.intervals import open_intervals
from fastem.models.mixture import Mixture
from fastem.models.waiting_intervals import WaitingRows
from fastem.rows.intervals import Representatives, bounds_of


def open_waiting(estimator, X, sides, sample_weight, check=None):
    """See :func:`fastem.estimators.beside.opened`."""
    whole = estimator._density.discrete

    def require(rows, d, names, place):
        require_possible(rows, d, names, place, whole)

    seen = WholeRepresentatives if whole else partial(Representatives, least=0.0)
    return open_intervals(estimator, X, sides, sample_weight, check, of_waiting_rows, require, seen)


def of_waiting_rows(model) -> WaitingRows | None:
    """A mixture as a model of wide rows; None for what looks at the values alone."""
    return WaitingRows(model) if isinstance(model, Mixture) else None


class WholeRepresentatives(Representatives):
    """The same, rounded to whole numbers."""

    def __init__(self, d: int, spread: np.ndarray):
        super().__init__(d, spread, least=0.0)

    def __call__(self, X):
        return np.floor(super().__call__(X))


def require_possible(X, d, names, place, whole) -> None:
    """ValueError at the first wide row, X (m, 3 d), between whose bounds no waiting time lies."""
    lower, upper = bounds_of(X, d)
    if whole:
        bad, what = np.floor(upper) < np.ceil(np.maximum(lower, 0)), "contain a whole number >= 0"
    else:
        bad, what = upper <= 0, "contain positive numbers"
    if bad.any():
        row, column = np.argwhere(bad.T)[0]
        name = column if names is None else repr(names[column])
        raise ValueError(
            f"lower and upper must {what}, but those of {place(row)}, column {name} are {lower[column, row]:g} and "
            f"{upper[column, row]:g}."
        )


class TakesBounds(TakesSideColumns):
    """A mixture of waiting times, the class behind this one, whose values may have bounds."""

    _openers: ClassVar = {"lower": open_waiting, "upper": open_waiting}
