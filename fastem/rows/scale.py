"""The data's own scale: variances that outliers cannot inflate, standardised columns, the floor under covariances."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic

SOME_ROWS = 2048  # that give the quartiles, and the gaps between values
MOST_GAPS = 0.75  # of the rows, in a rounded column
ERRORS = 4  # units in the last place by which values differ that are equal but for the real type
COARSER = 100  # times these errors: gaps of rounded values
LEAST_SQUARED = 1e-130  # and over 1 the most: float64 holds sums of squares of such, and quotients of these


def has_square(width):
    """Whether columns that vary so much are far enough from the ends of float64."""
    return (width > LEAST_SQUARED) & (width < 1 / LEAST_SQUARED)


def robust_variances(X, variance, weight=None):
    """Variances that a few far rows cannot inflate: from the middle half of some of the rows X, where that varies.

    weight : (n,), optional; a row of weight 0 does not count, and one of twice the least weight counts as two.
    """
    quarters = quartiles(X) if weight is None else weighted_quartiles(X, weight)
    middle = (np.diff(quarters.astype(np.float64), axis=1)[:, 0] / 1.349) ** 2  # 1.349 sigma in a normal one
    return np.where(middle > 0, np.minimum(middle, variance), variance)


def quartiles(X):
    """(d, 2) the first and third quartiles of the observed values of some of the rows."""
    columns = sorted_columns(X)
    there = len(columns[0]) - np.isnan(columns).sum(axis=1)  # missing values are sorted to the end
    rank = np.maximum(there - 1, 0)[:, None] * np.array([0.25, 0.75])
    number = np.arange(len(columns))[:, None]
    low, high = (columns[number, r.astype(int)] for r in (rank, np.ceil(rank)))
    return low + (rank - rank.astype(int)) * (high - low)


def weighted_quartiles(X, weight):
    """The same of rows that count as often as their weight says, in units of the least: their unit is nothing to it."""
    step = max(1, len(X) // SOME_ROWS)
    X, weight = X[::step], weight[::step]
    weight = weight / weight.min(where=weight > 0, initial=np.inf)
    found = np.zeros((X.shape[1], 2))
    for quarters, column in zip(found, X.T):
        counted = ~np.isnan(column) & (weight > 0)
        if counted.any():
            quarters[:] = weighted_quantile(column[counted], weight[counted], np.array([0.25, 0.75]))
    return found


def weighted_quantile(values, weight, q):
    """What np.quantile says of values (n,) that are each repeated as often as its weight.

    Weights that are not all whole are no numbers of rows: the least counts as one, so that their unit is nothing to it.
    """
    counted = weight > 0
    if not counted.any():
        raise ValueError("All sample_weight are zero: at least one row must count.")
    values, weight = values[counted], weight[counted]
    order = np.argsort(values, kind="stable")
    row = 1.0 if (weight % 1 == 0).all() else weight.min()
    ends = np.cumsum(weight[order])
    firsts = np.concatenate([[0.0], ends[:-1]])
    places = np.column_stack([firsts, np.maximum(firsts, ends - row)])  # of a value's first and last row
    return np.interp(q * (ends[-1] - row), places.ravel(), np.repeat(values[order], 2))


def sorted_columns(X):
    """(d, m) the values of some of the rows, ascending; missing ones last."""
    return np.sort(X[:: max(1, len(X) // SOME_ROWS)].T)  # a copy, columns contiguous: much faster than percentile


def rounding_variances(X):
    """(d,) what rounding of the values adds to a column's variance: resolution^2 / 12; 0 where they are not rounded.

    The resolution is the least gap between the distinct values of some of the rows X, in a column where most of these
    values occur again: the values of a continuous one do not. Gaps that the real type makes are no gaps between values
    that are rounded coarser.
    """
    columns = sorted_columns(X)
    variances = np.zeros(len(columns))
    if columns.shape[1] < 2:
        return variances
    gaps = np.diff(columns).astype(np.float64)
    repeated = np.flatnonzero((gaps > 0).sum(axis=1) < MOST_GAPS * gaps.shape[1])
    for j, values, of_column in zip(repeated, columns[repeated], gaps[repeated]):
        error = ERRORS * float(np.finfo(X.dtype).eps) * float(np.nanmax(np.abs(values[[0, -1]]), initial=0))
        for least in (error, 0.0):
            apart = np.concatenate([[True], of_column > least, [True]])
            alone = (apart[1:] & apart[:-1]).sum()
            distinct = apart.sum() - 1
            resolution = of_column[of_column > least].min(initial=np.inf)
            if resolution > COARSER * least:
                break
        if distinct > 1 and 2 * alone <= distinct:
            variances[j] = resolution**2 / 12
    return variances


def standardised(X, weight):
    """Columns about their mean, divided by their robust standard deviations (a constant column by 1), contiguous."""
    X = np.ascontiguousarray(X)  # sums over rows would differ in the last bit
    centre = arithmetic.matmul(weight, X) / weight.sum()
    Z = X - centre.astype(X.dtype)
    scale = np.sqrt(
        robust_variances(Z, arithmetic.matmul(weight, np.square(Z, dtype=np.float64)) / weight.sum())
    ).astype(X.dtype)
    return Z / np.where(scale > 0, scale, scale.dtype.type(1))


def covariance_floor(variance, blocks, reg_covar):
    """(d,) the least variance per column: reg_covar times the column's own, of these rows.

    A constant column has no scale; it gets the mean variance of the others, or else its square, or else 1. So one unit
    for all columns does not matter, but the unit of another column moves this floor, and the column's own does not. No
    stand-in could do better: a value that never varies says nothing of its unit. Where covariances are free in the
    column, the floor adds the same constant to the log-density of every row and component, whatever their number.
    """
    varying = variance > 0
    if varying.any():
        stand_in = variance[varying].mean()
    else:
        first = blocks.take(np.zeros(1, np.intp))[0] if blocks.weighted else blocks.head(1)  # of the rows that count
        square = first[0].astype(np.float64) ** 2
        stand_in = np.where(square > 0, square, 1)
    return reg_covar * np.where(varying, variance, stand_in)
