"""The data's own scale: column means and variances in one threaded pass, which also finds what is not finite."""

from __future__ import annotations

import numpy as np

from fastem import kernels
from fastem.statistics import Statistics
from fastem.validation import require_finite

SOME_ROWS = 2048  # from which quartiles are told
FIRST_ROWS = 256  # whose mean is near enough to that of all, for sums about it to keep their digits


class ColumnMoments:
    """A model whose E-step sums the rows and their squares about a point, and no density."""

    def __init__(self, about):
        self.about = about

    def e_step(self, X, sample_weight=None, n_threads=1) -> Statistics:
        d = len(self.about)
        parts = (("column_moments", d, (np.zeros(d, X.dtype),)),)
        sums, _, _ = kernels.for_dtype(X.dtype).expect(parts, X, sample_weight, self.about, 1, n_threads)
        return Statistics(first=sums[:d], second=sums[d:-1], weight=sums[-1])


def column_variances(blocks, n_threads):
    """Variances (d,) of all rows; see :func:`column_moments`."""
    return column_moments(blocks, n_threads)[1]


def column_moments(blocks, n_threads):
    """Means (d,) and variances (d,) of all rows; the variance of a constant column is 0.

    Raises ValueError where X is not finite (naming row and column), or where its squares leave the range of its type.
    """
    model = ColumnMoments(among_the_rows(blocks))
    return moments_of(blocks, model, finite_sums(blocks, model, n_threads))


def moments_of(blocks, model, sums):
    """Means (d,) and variances (d,) from the sums of a :class:`ColumnMoments`."""
    shift = sums.first / sums.weight
    mean = model.about + shift
    return mean, resolved_variances(blocks, mean, sums.second / sums.weight - shift**2)


def among_the_rows(blocks):
    """(d,) a point to sum about, of the type of X: the first rows' mean, exact in a constant column."""
    X = blocks.head(FIRST_ROWS)
    with np.errstate(over="ignore", invalid="ignore"):
        return X[0] + (X - X[0]).mean(axis=0)


def finite_sums(blocks, model, n_threads):
    """The statistics of all rows about the point `model.about`; ValueError where they are not finite."""
    if np.isfinite(model.about).all():
        sums = blocks.reduce(model, n_threads)
        if np.isfinite(sums.vector).all():
            return sums
    names = blocks.names
    blocks.check(lambda X, place: require_finite(X, columns=names, place=place))
    raise ValueError(f"The squares of X overflow {blocks.dtype}: divide X by its scale first, or pass float64.")


def resolved_variances(blocks, mean, variance):
    """Computed variances (d,) of columns, 0 where they are rounding; ValueError where the squares underflow."""
    limits = np.finfo(blocks.dtype)
    tiny = np.flatnonzero(variance < float(limits.tiny) / float(limits.eps))
    if len(tiny):
        low, high = zip(*blocks.each(lambda X, weight, start: (np.fmin.reduce(X[:, tiny]), np.fmax.reduce(X[:, tiny]))))
        for column, width in zip(tiny, np.fmax.reduce(high) - np.fmin.reduce(low)):
            if width > 0:
                name = column if blocks.names is None else repr(blocks.names[column])
                raise ValueError(
                    f"The squares of column {name} of X underflow {blocks.dtype} "
                    f"(its standard deviation is about {width:.3g}): multiply X, or pass float64."
                )
    rounding = 4 * float(limits.eps) * np.abs(mean)
    return np.where(variance > rounding**2, variance, 0)


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
    scale = np.sqrt(robust_variances(Z, weight @ Z**2 / weight.sum()))
    return Z / np.where(scale > 0, scale, 1).astype(X.dtype)


def covariance_floor(variance, first_row, reg_covar):
    """(d,) the least variance per column: reg_covar times the column's own.

    A constant column has no scale of its own; it gets the mean variance of the others, or else its square, or else 1.
    """
    varying = variance > 0
    square = np.asarray(first_row, np.float64) ** 2
    stand_in = variance[varying].mean() if varying.any() else np.where(square > 0, square, 1)
    return reg_covar * np.where(varying, variance, stand_in)
