"""The `truncation` of Gaussian mixtures: its check, its box, and what it does not go together with."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from fastem.errors import OutsideSupport
from fastem.models.gaussian.box_moments import MOST_COLUMNS
from fastem.models.gaussian.interval_rows import are_independent
from fastem.rows.validation import first_cell

F = TypeVar("F", bound=Callable[..., Any])


def check_truncation(owner, name, value):
    """None, or a pair of numbers or arrays."""
    if value is None:
        return
    try:
        low, high = (np.asarray(end, np.float64) for end in value)
        right = bool(low.ndim <= 1 and high.ndim <= 1 and np.less(low, high).all())
    except (TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(
            f"The {name!r} parameter of {owner} must be None or (low, high), two numbers or arrays (d,) with "
            f"low < high. Got {value!r} instead."
        )


def box_of(truncation, structure, d) -> np.ndarray:
    """(2, d) the box of a mixture of d columns; ValueError where there is none, or its moments take too long."""
    if d > MOST_COLUMNS and not are_independent(structure, d):
        raise ValueError(
            f"truncation={truncation!r} needs columns that are independent within a component, or at most "
            f"{MOST_COLUMNS}, because the integral of {d} others over a box has no closed form. Choose "
            "covariance_type 'diag' or 'spherical', or fewer columns."
        )
    ends = [np.asarray(end, np.float64) for end in truncation]
    if any(end.ndim == 1 and len(end) not in (1, d) for end in ends):
        raise ValueError(f"truncation must have one end for all columns, or {d}. Got {truncation!r} instead.")
    return np.array([np.broadcast_to(end, d) for end in ends])


def require_inside(X, box, names, place) -> None:
    """OutsideSupport at the first row outside of a box."""
    outside = (X < box[0]) | (X > box[1])
    if outside.any():
        row, column, name = first_cell(outside, names)
        raise OutsideSupport(
            f"X must lie within truncation, but {place(row)}, column {name} is {X[row, column]:g}, which is not "
            f"between {box[0, column]:g} and {box[1, column]:g}."
        )


def untruncated(method: F) -> F:
    """A method of an estimator that refuses a truncated mixture."""

    @wraps(method)
    def checked(self, *args, **kwargs):
        if self.truncation is not None:
            raise ValueError(
                f"{method.__name__} is only for mixtures without truncation. For the mixture of all rows, seen or not, "
                "use GaussianMixture.from_parameters(weights_, means_, covariances_)."
            )
        return method(self, *args, **kwargs)

    return cast(F, checked)
