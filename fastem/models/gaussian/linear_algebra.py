"""Positive definite matrices: factors, a floor under their eigenvalues, packed triangles."""

from __future__ import annotations

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels import arithmetic, eigenpairs, for_dtype, turn_to_axes
from fastem.kernels.packing import packed_lower

FEW_COLUMNS = 16  # up to which one call for all that is asked of covariances above the floor is faster than its parts
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
    """(K, d, d) transposed inverses of the Cholesky factors. Raises LinAlgError."""
    return arithmetic.inverse_transposed(arithmetic.cholesky(covariances))


def has_inverse_factor(covariance):
    """Whether `inverse_factor` finds one."""
    try:
        inverse_factor(covariance[None])
    except np.linalg.LinAlgError:
        return False
    return True


def product(a, b):
    """a @ b, on one thread."""
    return arithmetic.matmul(a, b)


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
    turned, axes = np.array(matrix, np.float64, order="C"), np.eye(len(matrix))
    turn_to_axes(turned, axes, MOST_SWEEPS)
    values = np.diagonal(turned)
    order = np.argsort(values, kind="stable")
    return values[order], np.ascontiguousarray(axes[order].T)


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
    varies; inf where they are beyond the range of numbers. No unit and no rotation of the columns changes them."""
    scale = np.sqrt(np.diagonal(total))
    scale = np.where(scale > 0, scale, 1)
    values, vectors = eigh(total / scale[:, None] / scale)
    varies = values > FLAT * values[-1]
    root = vectors[:, varies] / np.sqrt(values[varies]) / scale[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        relative = product(product(root.T, dense), root)
    finite = np.isfinite(relative).all(axis=(1, 2))
    values = np.full(relative.shape[:2], np.inf)
    values[finite] = eigvalsh(relative[finite])
    return np.maximum(values, np.finfo(np.float64).eps * values[:, -1:])  # below lies rounding


@np.errstate(over="ignore", invalid="ignore")  # such covariances have no factor, and are ill-defined
def raise_to_floor(covariances, floor):
    """Covariances, precision factors, and how many eigenvalues of each were below the floor.

    A floor below the digits of a covariance, as under one that a far row stretches, cannot be held: it is raised to
    them.
    """
    hits = np.zeros(len(covariances), dtype=int)
    if covariances.shape[-1] <= FEW_COLUMNS and not arithmetic.FIXED_ORDER:
        low = np.ascontiguousarray(np.broadcast_to(floor, covariances.shape[:2]))
        upper = for_dtype(np.float64).factors_above(np.ascontiguousarray(covariances), low)
        if upper is not None:
            return covariances, upper, hits
    if not floor.any():
        return covariances, precisions_cholesky(covariances), hits
    try:
        upper = precisions_cholesky(covariances)
        # trace(F^1/2 P F^1/2) <= 1 proves that every eigenvalue is above the floor, without an eigendecomposition
        suspect = np.flatnonzero((arithmetic.einsum("kij,kij->ki", upper, upper) * floor).sum(axis=1) > 1)
    except IllDefinedCovariance:
        broken = np.flatnonzero(np.isnan(covariances).any(axis=(1, 2)))
        if len(broken):
            raise IllDefinedCovariance(broken) from None
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
            variances = np.einsum("kii->ki", covariances)  # a view; beside others of 1e25 floors, 0 may look like more
            narrow = (variances < floor)[below].sum(axis=1)
            variances[below] = np.maximum(variances, floor)[below]
            covariances[below], raised = raise_to_digits(covariances[below])
            hits[below] = np.maximum(hits[below], raised + narrow)
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
