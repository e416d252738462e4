"""The data's own scale: variances that outliers cannot inflate, standardised columns, the floor under covariances."""

from __future__ import annotations

import numpy as np

SOME_ROWS = 2048  # that give the quartiles


def robust_variances(X, variance):
    """Variances that a few far rows cannot inflate: from the middle half of some of the rows X, where that varies."""
    columns = np.sort(X[:: max(1, len(X) // SOME_ROWS)].T)  # a copy, columns contiguous: much faster than percentile
    there = len(columns[0]) - np.isnan(columns).sum(axis=1)  # missing values are sorted to the end
    rank = np.maximum(there - 1, 0)[:, None] * np.array([0.25, 0.75])
    low, high = (np.take_along_axis(columns, r.astype(int), axis=1) for r in (rank, np.ceil(rank)))
    quarters = low + (rank - rank.astype(int)) * (high - low)
    middle = (np.diff(quarters.astype(np.float64), axis=1)[:, 0] / 1.349) ** 2  # 1.349 sigma in a normal one
    return np.where(middle > 0, np.minimum(middle, variance), variance)


def standardised(X, weight):
    """Columns about their mean, divided by their robust standard deviations (a constant column by 1), contiguous."""
    centre = weight @ X / weight.sum()
    Z = np.ascontiguousarray(X - centre.astype(X.dtype))
    scale = np.sqrt(robust_variances(Z, weight @ Z**2 / weight.sum())).astype(X.dtype)
    return Z / np.where(scale > 0, scale, scale.dtype.type(1))


def covariance_floor(variance, first_row, reg_covar):
    """(d,) the least variance per column: reg_covar times the column's own.

    A constant column has no scale; it gets the mean variance of the others, or else its square, or else 1.
    """
    varying = variance > 0
    square = np.asarray(first_row, np.float64) ** 2
    stand_in = variance[varying].mean() if varying.any() else np.where(square > 0, square, 1)
    return reg_covar * np.where(varying, variance, stand_in)
