"""Positive definite matrices: factors, a floor under their eigenvalues, packed triangles."""

from __future__ import annotations

from functools import cache

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels.packing import packed_lower


def precisions_cholesky(covariances):
    """(K, d, d) upper triangular U with U U^T the inverse of each covariance; raises IllDefinedCovariance."""
    d = covariances.shape[-1]
    try:
        upper = inverse_factor(covariances)
        pivots = 1 / np.diagonal(upper, axis1=-2, axis2=-1) ** 2
        scale = np.diagonal(covariances, axis1=-2, axis2=-1)
        bad = (pivots <= 8 * d * np.finfo(np.float64).eps * scale).any(axis=-1)
    except np.linalg.LinAlgError:
        bad = np.array([not is_positive_definite(c) for c in covariances])
    if bad.any():
        raise IllDefinedCovariance(np.flatnonzero(bad).tolist())
    return upper


def inverse_factor(covariances):
    """(K, d, d) transposed inverses of the Cholesky factors. Raises LinAlgError.

    By halves beyond 64 columns: there LAPACK would use threads, which go on spinning beside the next pass.
    """
    d = covariances.shape[-1]
    if d <= 64:
        return inverse_transposed(np.linalg.cholesky(covariances))
    half = d // 2
    first = inverse_factor(covariances[..., :half, :half])
    below = product(covariances[..., half:, :half], first)
    last = inverse_factor(covariances[..., half:, half:] - product(below, np.swapaxes(below, -2, -1)))
    return joined(first, below, last)


def inverse_transposed(factor):
    """(K, d, d) transposed inverses of lower triangular matrices."""
    d = factor.shape[-1]
    if d <= 16:
        return np.where(upper_triangle(d), np.swapaxes(np.linalg.inv(factor), -2, -1), 0.0)
    half = d // 2
    first = inverse_transposed(factor[..., :half, :half])
    last = inverse_transposed(factor[..., half:, half:])
    return joined(first, factor[..., half:, :half], last)


@cache
def upper_triangle(d):
    """(d, d) bool. np.triu makes it anew, which takes longer than small matrices."""
    return np.triu(np.ones((d, d), dtype=bool))


def joined(first, below, last):
    """The transposed inverse of [A 0; B C] from those of A and C: [A' -A' B^T C'; 0 C']."""
    half, d = first.shape[-1], first.shape[-1] + last.shape[-1]
    upper = np.zeros((*first.shape[:-2], d, d))
    upper[..., :half, :half] = first
    upper[..., half:, half:] = last
    upper[..., :half, half:] = -product(product(first, np.swapaxes(below, -2, -1)), last)
    return upper


def product(a, b):
    """a @ b in strips of columns so narrow that BLAS uses no threads for them."""
    strip = max(1, (1 << 18) // max(1, a.shape[-2] * a.shape[-1]))
    if strip >= b.shape[-1]:
        return a @ b
    return np.concatenate([a @ b[..., i : i + strip] for i in range(0, b.shape[-1], strip)], axis=-1)


def leading_eigenpairs(matrices, n):
    """The n largest eigenvalues (…, n) of symmetric matrices (…, d, d), in descending order, and vectors (…, d, n).

    Beyond 25 columns matrix by matrix, and no more pairs than asked for: for all of them LAPACK divides and conquers,
    with threads that change bits and go on spinning. So the bits do not depend on BLAS threads while d < 200 and
    n d <= 8192; beyond, LAPACK's reduction to a tridiagonal matrix and the way back use threads too.
    """
    d = matrices.shape[-1]
    if d <= 25 or n == 0:
        values, vectors = np.linalg.eigh(matrices)
    else:
        from scipy.linalg import eigh  # here, since it takes long to import

        pairs = [eigh(m, driver="evr", subset_by_index=(d - n, d - 1)) for m in matrices.reshape(-1, d, d)]
        values, vectors = (np.array(part) for part in zip(*pairs))
        values, vectors = values.reshape(*matrices.shape[:-2], n), vectors.reshape(*matrices.shape[:-1], n)
    return values[..., ::-1][..., :n], vectors[..., ::-1][..., :n]


def is_positive_definite(matrix):
    """Whether a Cholesky factorisation exists."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def raise_to_floor(covariances, floor):
    """Covariances, precision factors, and how many eigenvalues of each were below the floor."""
    hits = np.zeros(len(covariances), dtype=int)
    if not floor.any():
        return covariances, precisions_cholesky(covariances), hits
    try:
        upper = precisions_cholesky(covariances)
        # trace(F^1/2 P F^1/2) <= 1 proves that every eigenvalue is above the floor, without an eigendecomposition
        suspect = np.flatnonzero(np.einsum("kij,kij->ki", upper, upper) @ floor > 1)
    except IllDefinedCovariance:
        upper, suspect = np.empty_like(covariances), np.arange(len(covariances))
    if len(suspect):
        root = np.sqrt(floor)
        scaled = covariances[suspect] / (root[:, None] * root)
        values, vectors = np.linalg.eigh(scaled)
        hits[suspect] = (values < 1).sum(axis=1)
        low = hits[suspect][:, None, None] > 0
        raised = (vectors * np.maximum(values, 1)[:, None, :]) @ np.swapaxes(vectors, -2, -1) * (root[:, None] * root)
        raised = (raised + np.swapaxes(raised, -2, -1)) / 2
        covariances = covariances.copy()
        covariances[suspect] = np.where(low, raised, covariances[suspect])
        upper[suspect] = precisions_cholesky(covariances[suspect])
    return covariances, upper, hits


def log_cholesky(covariances):
    """(…, d, d) positive definite matrices to (…, d(d+1)/2) packed lower factors with logarithms on the diagonal."""
    d = covariances.shape[-1]
    i, j = packed_lower(d)
    packed = np.linalg.cholesky(covariances)[..., i, j]
    packed[..., i == j] = np.log(packed[..., i == j])
    return packed


def from_log_cholesky(packed, d):
    """The inverse of `log_cholesky`."""
    i, j = packed_lower(d)
    lower = np.zeros((*packed.shape[:-1], d, d))
    lower[..., i, j] = np.where(i == j, np.exp(np.where(i == j, packed, 0)), packed)
    return lower @ np.swapaxes(lower, -2, -1)
