"""Positive definite matrices: factors, a floor under their eigenvalues, packed triangles."""

from __future__ import annotations

from functools import cache

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels import arithmetic, eigenpairs, turn_to_axes
from fastem.kernels.packing import packed_lower

UNTHREADED = 1 << 18  # multiplications up to which OpenBLAS takes one thread
NARROW = 8  # columns of a piece of a product, at the least
LAPACK_MOST = 25  # columns up to which LAPACK's eigenpairs come from QL, without BLAS
GRADED = 1e6  # the largest variance of a column over the least, beyond which other methods than Jacobi's lose digits
DIGITS = 8 * np.finfo(np.float64).eps  # times d: least share of a column's variance that the others do not explain
MOST_SWEEPS = 60  # of Jacobi's method; some ten are usual


def precisions_cholesky(covariances):
    """(K, d, d) upper triangular U with U U^T the inverse of each covariance; raises IllDefinedCovariance."""
    d = covariances.shape[-1]
    try:
        upper = inverse_factor(covariances)
        with np.errstate(over="ignore", divide="ignore"):  # a pivot of 0, or of a covariance that has overflowed
            pivots = 1 / np.diagonal(upper, axis1=-2, axis2=-1) ** 2
        scale = np.diagonal(covariances, axis1=-2, axis2=-1)
        bad = ~(pivots > DIGITS * d * scale).all(axis=-1)
    except np.linalg.LinAlgError:
        bad = np.array([not has_inverse_factor(c) for c in covariances])  # LAPACK may find one
    if bad.any():
        raise IllDefinedCovariance(np.flatnonzero(bad).tolist())
    return upper


def inverse_factor(covariances):
    """(K, d, d) transposed inverses of the Cholesky factors. Raises LinAlgError.

    By halves beyond 64 columns: there LAPACK would use threads, which go on spinning beside the next pass.
    """
    if arithmetic.FIXED_ORDER:
        return arithmetic.fixed_inverse_factor(covariances)
    d = covariances.shape[-1]
    if d <= 64:
        return inverse_transposed(np.linalg.cholesky(covariances))
    half = d // 2
    first = inverse_factor(covariances[..., :half, :half])
    below = product(covariances[..., half:, :half], first)
    last = inverse_factor(covariances[..., half:, half:] - product(below, np.swapaxes(below, -2, -1)))
    return inverse_of_blocks(first, below, last)


def has_inverse_factor(covariance):
    """Whether `inverse_factor` finds one."""
    try:
        inverse_factor(covariance[None])
    except np.linalg.LinAlgError:
        return False
    return True


def inverse_transposed(factor):
    """(K, d, d) transposed inverses of lower triangular matrices."""
    if arithmetic.FIXED_ORDER:
        return arithmetic.fixed_inverse_transposed(factor)
    d = factor.shape[-1]
    if d <= 16:
        return np.where(upper_triangle(d), np.swapaxes(np.linalg.inv(factor), -2, -1), 0.0)
    half = d // 2
    first = inverse_transposed(factor[..., :half, :half])
    last = inverse_transposed(factor[..., half:, half:])
    return inverse_of_blocks(first, factor[..., half:, :half], last)


@cache
def upper_triangle(d):
    """(d, d) bool. np.triu makes it anew, which takes longer than small matrices."""
    return np.triu(np.ones((d, d), dtype=bool))


def inverse_of_blocks(first, below, last):
    """The transposed inverse of [A 0; B C] from those of A and C: [A' -A' B^T C'; 0 C']."""
    half, d = first.shape[-1], first.shape[-1] + last.shape[-1]
    upper = np.zeros((*first.shape[:-2], d, d))
    upper[..., :half, :half] = first
    upper[..., half:, half:] = last
    upper[..., :half, half:] = -product(product(first, np.swapaxes(below, -2, -1)), last)
    return upper


def product(a, b):
    """a @ b in pieces so small that BLAS uses no threads for them.

    That is up to 2^18 multiplications of matrices, but some thousands where a piece is a vector: none may be one.
    """
    if arithmetic.FIXED_ORDER:
        return arithmetic.fixed_matmul(a, b)
    rows, inner, columns = *a.shape[-2:], b.shape[-1]
    strip = max(1, UNTHREADED // max(1, rows * inner))
    if strip >= columns:
        return a @ b
    if strip < NARROW:
        few = max(NARROW, UNTHREADED // (NARROW * inner))
        if few + 1 < rows:  # one more than a piece stays with it: see `pieces`
            return np.concatenate([product(a[..., piece, :], b) for piece in pieces(rows, few)], axis=-2)
        strip = NARROW
    return np.concatenate([a @ b[..., piece] for piece in pieces(columns, strip)], axis=-1)


def pieces(n, width):
    """Slices of n, of this width at most but for the last, which is one longer where a single one would be left."""
    starts = list(range(0, n, width))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n])]


def leading_eigenpairs(matrices, n):
    """The n largest eigenvalues (…, n) of symmetric matrices (…, d, d), in descending order, and vectors (…, d, n).

    Beyond 25 columns not LAPACK's, whose bits depend on the number of threads and on the kernels of the BLAS below it.
    """
    d = matrices.shape[-1]
    if d <= LAPACK_MOST:
        values, vectors = (arithmetic.fixed_eigh if arithmetic.FIXED_ORDER else np.linalg.eigh)(matrices)
        return values[..., ::-1][..., :n], vectors[..., ::-1][..., :n]
    pairs = [eigenpairs(np.ascontiguousarray(m, np.float64), n) for m in matrices.reshape(-1, d, d)]
    values = np.array([values for values, _ in pairs]).reshape(*matrices.shape[:-2], d)
    rows = np.array([vectors for _, vectors in pairs]).reshape(*matrices.shape[:-2], n, d)
    return values[..., :n], np.swapaxes(rows, -2, -1)


def eigh(matrices):
    """All eigenvalues (…, d), ascending, and eigenvectors (…, d, d), as numpy's; those of columns in unlike units with
    as many digits as those of others."""
    variances = np.abs(np.diagonal(matrices, axis1=-2, axis2=-1))
    least = np.where(variances > 0, variances, np.inf).min(axis=-1, initial=np.inf)
    graded = variances.max(axis=-1, initial=0) > GRADED * least
    if graded.any() and arithmetic.FIXED_ORDER:
        return arithmetic.fixed_eigh(matrices)  # Jacobi's as well, without trigonometric functions
    if not graded.any():
        return eigh_of_even(matrices)
    pairs = [eigh_of_graded(m) if g else eigh_of_even(m) for m, g in zip(flat(matrices), graded.ravel())]
    values, vectors = (np.array(arrays) for arrays in zip(*pairs))
    return values.reshape(matrices.shape[:-1]), vectors.reshape(matrices.shape)


def flat(matrices):
    """(…, d, d) to (n, d, d)."""
    return matrices.reshape(-1, *matrices.shape[-2:])


def eigh_of_graded(matrix):
    """The same of one matrix whose columns may be in unlike units."""
    turned, axes = np.array(matrix, np.float64, order="C")[:, :, None], np.eye(len(matrix))
    turn_to_axes(turned, axes, MOST_SWEEPS)
    values = np.diagonal(turned[:, :, 0])
    order = np.argsort(values, kind="stable")
    return values[order], np.ascontiguousarray(axes[:, order])


def eigh_of_even(matrices):
    """The same of matrices whose columns are of like size."""
    if matrices.shape[-1] <= LAPACK_MOST:
        return (arithmetic.fixed_eigh if arithmetic.FIXED_ORDER else np.linalg.eigh)(matrices)
    values, vectors = leading_eigenpairs(matrices, matrices.shape[-1])
    return np.ascontiguousarray(values[..., ::-1]), np.ascontiguousarray(vectors[..., ::-1])


def eigvalsh(matrices):
    """The eigenvalues alone, each with digits in proportion to the largest one."""
    d = matrices.shape[-1]
    if d <= LAPACK_MOST:
        return arithmetic.fixed_eigh(matrices)[0] if arithmetic.FIXED_ORDER else np.linalg.eigvalsh(matrices)
    values = [eigenpairs(np.ascontiguousarray(m, np.float64), 0)[0][::-1] for m in matrices.reshape(-1, d, d)]
    return np.array(values).reshape(matrices.shape[:-1])


def is_positive_definite(matrix):
    """Whether a Cholesky factorisation exists."""
    try:
        arithmetic.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


FLAT = 1e-12  # share of the largest eigenvalue below which a covariance does not vary in a direction


def relative_eigenvalues(dense, total):
    """(m, r) ascending eigenvalues of covariances (m, d, d) relative to another one, in the r directions in which that
    varies. No unit and no rotation of the columns changes them."""
    scale = np.sqrt(np.diagonal(total))
    scale = np.where(scale > 0, scale, 1)
    values, vectors = eigh(total / scale[:, None] / scale)
    varies = values > FLAT * values[-1]
    root = vectors[:, varies] / np.sqrt(values[varies]) / scale[:, None]
    values = eigvalsh(product(product(root.T, dense), root))
    return np.maximum(values, np.finfo(np.float64).eps * values[:, -1:])  # below lies rounding


def raise_to_floor(covariances, floor):
    """Covariances, precision factors, and how many eigenvalues of each were below the floor.

    A floor below the digits of a covariance, as under one that a far row stretches, cannot be held: it is raised to
    them.
    """
    hits = np.zeros(len(covariances), dtype=int)
    if not floor.any():
        return covariances, precisions_cholesky(covariances), hits
    try:
        upper = precisions_cholesky(covariances)
        # trace(F^1/2 P F^1/2) <= 1 proves that every eigenvalue is above the floor, without an eigendecomposition
        with np.errstate(over="ignore"):  # far below the floor, then
            suspect = np.flatnonzero((arithmetic.einsum("kij,kij->ki", upper, upper) * floor).sum(axis=1) > 1)
    except IllDefinedCovariance:
        upper, suspect = np.empty_like(covariances), np.arange(len(covariances))
    if len(suspect):
        root = np.sqrt(np.broadcast_to(floor, covariances.shape[:2])[suspect])
        unit = root[:, :, None] * root[:, None, :]
        scaled = covariances[suspect] / unit
        values, vectors = eigh(scaled)
        hits[suspect] = (values < 1).sum(axis=1)
        low = hits[suspect][:, None, None] > 0
        raised = product(vectors * np.maximum(values, 1)[:, None, :], np.swapaxes(vectors, -2, -1))
        raised = raised * unit
        raised = (raised + np.swapaxes(raised, -2, -1)) / 2
        covariances = covariances.copy()
        covariances[suspect] = np.where(low, raised, covariances[suspect])
        try:
            upper[suspect] = precisions_cholesky(covariances[suspect])
        except IllDefinedCovariance as error:
            below = suspect[error.components]
            covariances[below], raised = raise_to_digits(covariances[below])
            hits[below] = np.maximum(hits[below], raised)
            upper[suspect] = precisions_cholesky(covariances[suspect])
    return covariances, upper, hits


def raise_to_digits(covariances):
    """Covariances whose correlations have no eigenvalue so small that it is rounding, and how many of each had."""
    d = covariances.shape[-1]
    root = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    unit = root[:, :, None] * root[:, None, :]
    values, vectors = eigh(covariances / unit)
    low = values < 4 * d * DIGITS
    raised = product(vectors * np.where(low, 4 * d * DIGITS, values)[:, None, :], np.swapaxes(vectors, -2, -1)) * unit
    return (raised + np.swapaxes(raised, -2, -1)) / 2, low.sum(axis=1)


def log_cholesky(covariances):
    """(…, d, d) positive definite matrices to (…, d(d+1)/2) packed lower factors with logarithms on the diagonal."""
    d = covariances.shape[-1]
    i, j = packed_lower(d)
    packed = arithmetic.cholesky(covariances)[..., i, j]
    packed[..., i == j] = arithmetic.log(packed[..., i == j])
    return packed


def from_log_cholesky(packed, d):
    """The inverse of `log_cholesky`."""
    i, j = packed_lower(d)
    lower = np.zeros((*packed.shape[:-1], d, d))
    lower[..., i, j] = np.where(i == j, arithmetic.exp(np.where(i == j, packed, 0)), packed)
    return arithmetic.matmul(lower, np.swapaxes(lower, -2, -1))
