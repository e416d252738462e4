"""The data's own scale: column means and variances in one threaded pass, which also finds what is not finite."""

from __future__ import annotations

import numpy as np

from fastem import kernels
from fastem.statistics import Statistics
from fastem.validation import require_finite


class ColumnMoments:
    """A model whose E-step sums the rows and their squares about a point: one diagonal component of scale 0."""

    def __init__(self, about):
        self.about = about

    def e_step(self, X, sample_weight=None, n_threads=1) -> Statistics:
        d = len(self.about)
        zeros = np.zeros(d, X.dtype)
        params = (zeros[:1], zeros, zeros, zeros)
        sums, _, _ = kernels.for_dtype(X.dtype).expect(
            "gaussian_diagonal", X, sample_weight, self.about, params, 1, 2 * d + 1, n_threads
        )
        return Statistics(first=sums[:d], second=sums[d:-1], weight=sums[-1])


def column_moments(blocks, n_threads, columns=None):
    """Means (d,) and variances (d,) of all rows; raises ValueError where X is not finite, naming row and column."""
    about = np.ascontiguousarray(blocks.X[0])
    if not np.isfinite(about).all():
        require_finite(blocks.X, columns=columns)
    sums = blocks.reduce(ColumnMoments(about), n_threads)
    if not np.isfinite(sums.vector).all():
        require_finite(blocks.X, columns=columns)
        raise ValueError(f"The squares of X overflow {blocks.X.dtype}: divide X by its scale first, or pass float64.")
    shift = sums.first / sums.weight
    mean = about + shift
    variance = np.maximum(sums.second / sums.weight - shift**2, 0)
    rounding = 4 * np.finfo(blocks.X.dtype).eps * np.abs(mean)
    return mean, np.where(variance > rounding**2, variance, 0)


def covariance_floor(mean, variance, reg_covar):
    """(d,) the least variance per column: reg_covar times the column's own.

    A constant column has no scale of its own; it gets the mean variance of the others, or else its square, or else 1.
    """
    varying = variance > 0
    stand_in = variance[varying].mean() if varying.any() else np.where(mean != 0, mean**2, 1)
    return reg_covar * np.where(varying, variance, stand_in)
