"""Wide rows whose side columns are bounds of the values: first the values, then lower and upper bounds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.rows.scale import has_square
from fastem.rows.validation import first_cell

EXACT, INTERVAL, MISSING = range(3)
EVEN = np.array((7, 13, 1, 11, 5, 15, 3, 9)) / 16  # blocks have multiples of 8 rows
HALF_NORMAL = (0.579, 1.318, 0.078, 1.009, 0.402, 1.863, 0.237, 0.776)  # its quantiles at these


class Bounds(NamedTuple):
    """lower, upper: (d, m) float64, equal where the value is exact; -inf and inf where it is missing."""

    lower: np.ndarray
    upper: np.ndarray


def bounds_of(X, d) -> Bounds:
    """Of wide rows (m, 3 d). Where both bounds are NaN, the value itself counts, as exact, or missing if it is NaN."""
    wide = np.asarray(X, np.float64).T
    values, lower, upper = wide[:d], wide[d : 2 * d], wide[2 * d :]
    none, missing = np.isnan(lower), np.isnan(values)
    lower = np.where(none, np.where(missing, -np.inf, values), lower)
    upper = np.where(none, np.where(missing, np.inf, values), upper)
    return Bounds(lower, upper)


def exact_values(X, d, other) -> np.ndarray:
    """(m, d) the values of wide rows that count themselves, because both bounds are NaN; elsewhere `other`."""
    values = X[:, :d]
    return np.where(np.isnan(X[:, d : 2 * d]) & np.isnan(X[:, 2 * d :]) & ~np.isnan(values), values, other)


def kinds_of(bounds: Bounds) -> np.ndarray:
    """(d, m) EXACT, INTERVAL or MISSING."""
    missing = (bounds.lower == -np.inf) & (bounds.upper == np.inf)
    return np.where(bounds.lower == bounds.upper, EXACT, np.where(missing, MISSING, INTERVAL))


def distinct(lower, upper) -> tuple[np.ndarray, np.ndarray]:
    """The number of one value for each pair of bounds that occurs, and the pair of each value (m,).

    Rounded values, and values beyond one limit, have few pairs: their integrals are then made once.
    """
    pairs = np.empty(len(lower), complex)
    pairs.real, pairs.imag = lower, upper
    _, first, of_value = np.unique(pairs, return_index=True, return_inverse=True)
    return first, of_value


class Representatives:
    """What starts and the scales of columns see of wide rows, as a function: of an interval its middle, of a value with
    one bound something beyond it; NaN where there is none.

    All values below a detection limit at the limit would look like a thin cluster, and all of them left out like none.
    So they are spread as half a normal distribution would be, by their place in the rows; evenly where no value is less
    than a number that is known.

    Parameters
    ----------
    d : int
    centre, spread : (d,)
        Of the columns' values; see :func:`scale_of`.
    least : float
        No value is below.
    """

    def __init__(self, d: int, centre: np.ndarray, spread: np.ndarray, least: float = -np.inf):
        self.d, self.centre, self.spread, self.least = d, centre, spread, least

    def __call__(self, X):
        lower, upper = bounds_of(X, self.d)
        share = np.where(lower <= self.least, np.resize(EVEN, len(X)), 0.5)
        lower = np.maximum(lower, self.least)
        beyond = self.spread[:, None] * np.resize(HALF_NORMAL, len(X))
        with np.errstate(invalid="ignore"):
            middle = (1 - share) * lower + share * upper
        below, above = np.isfinite(upper), np.isfinite(lower)
        seen = np.where(above, np.where(below, middle, lower + beyond), np.where(below, upper - beyond, np.nan))
        return seen.T.astype(X.dtype)


class CompleteRepresentatives(Representatives):
    """The same, missing values spread about the centre, for families whose starts and scales take none."""

    def __call__(self, X):
        seen = super().__call__(X)
        away = np.resize((*HALF_NORMAL, *np.negative(HALF_NORMAL)), len(X))
        about = self.centre + self.spread * away[:, None]
        return np.where(np.isnan(seen), about, seen).astype(X.dtype)


def scale_of(X, d) -> tuple[np.ndarray, np.ndarray]:
    """(d,) mean and deviation of the values with two bounds, from some wide rows; of all bounds where there are few."""
    centre, spread = np.zeros(d), np.zeros(d)
    for j, (lower, upper) in enumerate(zip(*bounds_of(X, d))):
        both = np.isfinite(lower) & np.isfinite(upper)
        ends = np.concatenate([lower, upper])
        values = 0.5 * lower[both] + 0.5 * upper[both] if both.sum() > 1 else ends[np.isfinite(ends)]
        if len(values):
            unit = squarable_unit(values)
            centre[j], spread[j] = unit * (values / unit).mean(), unit * (values / unit).std()
        if spread[j] == 0 and len(values):  # one limit for all rows: its size, for want of anything else
            spread[j] = abs(values[0])
    return centre, np.where(spread > 0, spread, 1.0)


def squarable_unit(values) -> float:
    """1, or the largest of the values where their squares are no numbers."""
    most = abs(values).max()
    return 1.0 if most == 0 or has_square(most) else float(most)


def require_bounds(X, d, names, place) -> None:
    """ValueError at the first wide row, X (m, 3 d), whose bounds are none. place(i) names row i."""
    values, lower, upper = X[:, :d], X[:, d : 2 * d], X[:, 2 * d :]
    none = np.isnan(lower) & np.isnan(upper)
    with np.errstate(invalid="ignore"):
        bad = ~none & ~((lower <= upper) & (lower < np.inf) & (upper > -np.inf))
    if bad.any():
        row, column, name = first_cell(bad, names)
        raise ValueError(
            f"lower and upper must be bounds, lower <= upper, but those of {place(row)}, column {name} are "
            f"{lower[row, column]:g} and {upper[row, column]:g}. Give NaN in both where the value of X itself is exact."
        )
    bad = none & np.isinf(values)
    if bad.any():
        row, column, name = first_cell(bad, names)
        raise ValueError(
            f"Input X contains infinity where lower and upper are NaN: {place(row)}, column {name}. Give a finite "
            "value."
        )


def require_one_interval(X, d, place, why) -> None:
    """ValueError at the first wide row with more than one value that lies in an interval."""
    several = (kinds_of(bounds_of(X, d)) == INTERVAL).sum(axis=0) > 1
    if several.any():
        raise ValueError(f"lower and upper give {place(int(several.argmax()))} more than one interval. {why}")
