"""What rounding does to the log-densities of Gaussians: that of rows about a centre, and that of factors.

See :mod:`fastem.models.rounding`, of which this is the part of one emission. Its sums are those of the M-step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.kernels import arithmetic
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.covariance import pooled_second
from fastem.models.gaussian.linear_algebra import product
from fastem.models.rounding import UNIT, Pass, Rounding

BLURRED = 0.5  # deviations by which rounding may move a row from where it is to its component


class Sums(NamedTuple):
    """What the errors follow from, of each component, or of all that share one covariance.

    Attributes
    ----------
    squares : (K, d)
        Sums of y_j^2.
    distances : (K, d)
        What |U|^T takes |mean - centre| to.
    of_rows, of_means : (K, d)
        Root sums of squares of what |U|^T takes |x - centre| to, and |mean - centre|.
    terms : (d,)
        How many products an entry of y is a sum of.
    factors : float
        See :func:`of_factors`.
    unseen : float
        What more there is where values are missing.
    """

    squares: np.ndarray
    distances: np.ndarray
    of_rows: np.ndarray
    of_means: np.ndarray
    terms: np.ndarray
    factors: float
    unseen: float


def of_gaussians(covariance, means, counts, mass, first, second, passed: Pass) -> Rounding:
    """Of -|y|^2 / 2, y = U^T (x - mean), and of the determinants.

    Parameters
    ----------
    covariance : Covariance
    means : (K, d)
    counts, mass : (K,)
        Rows, and what the moments count each for: the same but for the tails of a Student-t.
    first, second
        Moments about the means, as the structure sums them.
    """
    K, d = means.shape
    if covariance.kernel == "gaussian_diagonal" and second.shape == means.shape:
        scales = covariance.scales(d)
        sums = _along_columns(scales, means, counts, mass, first, second, passed)
    else:
        covariance = covariance.dense(K, d) if covariance.kernel == "gaussian_diagonal" else covariance
        scales = np.diagonal(covariance.factors(K), axis1=1, axis2=2)
        sums = _of_matrices(covariance, means, counts, mass, first, second, passed)
    logs = np.abs(np.log(scales)).sum(axis=1)
    size = sums.squares.sum() / 2 + counts @ (logs + 0.5 * d * np.log(2 * np.pi))
    constant = 2 * passed.unit * size + UNIT * (d + 4) * (size + d * counts.sum())
    error = of_whitened_rows(sums, passed.unit) + sums.factors + constant + sums.unseen * passed.incomplete
    out_of_range = scales.max() > np.sqrt(float(np.finfo(passed.dtype).max))  # of squares of whitened rows
    # rows next to a mean without digits may have got none of their own component, and so are not in its sums
    blurred = np.square((sums.terms + 4) * passed.unit * sums.distances).sum(axis=1).max() > BLURRED**2
    return Rounding(float(size), np.inf if out_of_range or blurred else float(error))


def _along_columns(scales, means, counts, mass, first, second, passed) -> Sums:
    d = means.shape[1]
    about, of_means = _about_centre(means, mass, first, second, passed)
    squares = np.maximum(second, 0) * scales**2
    norm = np.full(scales.shape, 4 * UNIT)  # of a reciprocal root
    factors = of_factors(norm, np.abs(counts[:, None] - squares), counts[:, None] + squares)
    gains = counts @ (np.abs(np.log(scales)) + 1).sum(axis=1)  # of missing columns
    of_rows = scales * np.sqrt(np.maximum(about, 0))
    distances = scales * np.abs(means - passed.centre)
    return Sums(squares, distances, of_rows, scales * of_means, np.ones(d), factors, passed.unit * (d + 2) * gains)


def _of_matrices(covariance, means, counts, mass, first, second, passed) -> Sums:
    d = means.shape[1]
    i, j = packed_lower(d)
    upper, covariances, along = covariance.precisions_cholesky, covariance.covariances, second[..., i == j]
    if covariance.shared:
        upper, covariances = upper[None], covariances[None]
        about, of_means = _about_centre(means, mass, first, 0.0, passed)
        about = (about.sum(axis=0) + pooled_second(along))[None]
        of_means = np.sqrt(np.square(of_means).sum(axis=0))[None]
        counts, second = counts.sum()[None], pooled_second(second)[None]
    else:
        about, of_means = _about_centre(means, mass, first, along, passed)
    about = np.sqrt(np.maximum(about, 0))
    deviations = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    distances = np.einsum("kij,ki->kj", np.abs(upper), np.abs(means - passed.centre))
    scatter = product(np.swapaxes(upper, 1, 2), product(unpack_symmetric(second, d), upper))
    squares = np.maximum(np.diagonal(scatter, axis1=1, axis2=2), 0)
    of_rows, of_means = (np.einsum("kij,ki->kj", np.abs(upper), size) for size in (about, of_means))
    spread = spread_of(upper, deviations)
    norm = whitening_error(covariances, upper, spread)
    with np.errstate(over="ignore"):  # no bound
        apart = np.sqrt(np.square(counts[:, None, None] * np.eye(d) - scatter).sum(axis=(1, 2)))
    trace = d * counts + squares.sum(axis=1)
    # of missing values: the determinants of parts of the precision; and what rows are filled with, which is a minimum
    filled = (passed.unit * (d + 3) * spread) ** 2 * d * np.square(about / deviations).sum(axis=1) / 2
    unseen = float((norm * trace + filled).sum())
    factors = of_factors(norm, apart, trace)
    return Sums(squares, distances, of_rows, of_means, np.arange(1, d + 1), factors, unseen)


def _about_centre(means, mass, first, second, passed):
    """(K, d) sums of squares about the centre of the pass, and root sums of the means' squares about it."""
    z = means - passed.centre
    about = second + 2 * z * first + mass[:, None] * z**2
    return about, np.sqrt(mass)[:, None] * np.abs(z)


def of_whitened_rows(sums: Sums, unit) -> float:
    """What rounding does to |y|^2 / 2, y = U^T (x - mean) as the kernels compute it about their centre.

    An entry of y is a sum of t products and of U^T (centre - mean), summed in float64. The factor, the row, the
    products and the sums are rounded, so it is off by (t + 4) u sum_i |U_ij| (|x - centre|_i + |mean - centre|_i), and
    (d + 2) e of the last one. The sum over rows of |y_j| times that follows from second moments.
    """
    d = len(sums.terms)
    off = (sums.terms + 4) * unit * (sums.of_rows + sums.of_means) + (d + 2) * UNIT * sums.of_means
    return float((np.sqrt(sums.squares) * off + off**2 / 2).sum() + (d + 2) * unit * sums.squares.sum() / 2)


def whitening_error(covariances, upper, spread) -> np.ndarray:
    """(K,) a bound of the norm of U^T C U - I, which is 0 where the factor U of the precision is exact.

    The norm is measured, and so is its own rounding: 3 (d + 1) e times |U|^T |C| |U|, where |C_ij| is at most s_i s_j;
    as if by LAPACK's bound, d e cond(C) with the best scales of the columns. A covariance that was computed from other
    parameters has an error of the same kind.

    Parameters
    ----------
    covariances, upper : (K, d, d)
    spread : (K,)
        See :func:`spread_of`.
    """
    d = upper.shape[-1]
    whitened = product(np.swapaxes(upper, 1, 2), product(covariances, upper)) - np.eye(d)
    return np.sqrt(np.square(whitened).sum(axis=(1, 2))) + 3 * (d + 1) * UNIT * spread


def spread_of(upper, deviations) -> np.ndarray:
    """(K,) the trace of |U|^T s s^T |U|: about the condition of matrices with the deviations s (K, d)."""
    return np.square(np.einsum("kij,ki->kj", np.abs(upper), deviations)).sum(axis=1)


def of_factors(norm, apart, trace) -> float:
    """What errors of a factor, of which `norm` (K,) bounds U^T C U - I, do to log-densities with their determinants.

    To first order it is tr((N I - S) (U^T C U - I)) / 2 for whitened second moments S of N rows: nothing at a maximum.

    Parameters
    ----------
    norm : (K,)
    apart : (K,)
        Norms of N I - S.
    trace : (K,)
        Of N I + S.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        second = np.where(norm < 0.5, norm**2 * trace, np.inf)
        return float(np.where(trace > 0, norm * apart / 2 + second, 0).sum())


def of_estimate(covariance, means, counts, second, passed: Pass, unit) -> float:
    """What an estimate loses of the log-likelihood when the moments that it is made of have relative errors `unit`.

    In units of the estimate C these errors are `unit` times the spread of U for the deviations that the moments about
    the *old* means have. Rows far from the centre of the pass are rounded when they are taken about it, and a mean when
    it is stored: deviations are off by this blur, moments by its product with them. A covariance that is off by E loses
    N |U^T E U|^2 / 4; no bound where that is not small.
    """
    K, d = means.shape
    i, j = packed_lower(d)
    along = second if second.shape[-1] == d and covariance.kernel == "gaussian_diagonal" else second[..., i == j]
    rows = counts
    if along.ndim == 1:
        along, rows = along[None], counts.sum()[None]
    along = np.abs(along)  # below zero lies rounding: a tied sum is a difference,
    if second.ndim == 1:  # of the sum about the centre
        along = along + arithmetic.matmul(counts, np.square(means - passed.centre))
    deviations = np.sqrt(along / np.maximum(rows, np.finfo(np.float64).tiny)[:, None])
    blur = passed.unit * np.abs(means - passed.centre) + UNIT * np.abs(means)
    if covariance.kernel == "gaussian_diagonal":
        scales = covariance.scales(d)
        spread, blurred = (np.square(scales * size).sum(axis=1) for size in (deviations, blur))
    else:
        upper = covariance.precisions_cholesky[None] if covariance.shared else covariance.precisions_cholesky
        spread, blurred = spread_of(upper, deviations), spread_of(upper, blur)
    blurred = blurred.max(keepdims=True) if len(rows) == 1 else blurred  # of a covariance that all share
    norm = unit * spread + 2 * np.sqrt(d * blurred) + blurred
    if (norm[rows > 0] >= 0.5).any():
        return np.inf
    return float((rows * np.where(rows > 0, norm, 0) ** 2 * K).sum())
