"""What numpy leaves to SIMD loops, BLAS, LAPACK and libm: without a BLAS's threads, or in one fixed order of steps.

A BLAS wakes threads of its own, which go on spinning beside the next pass: on a busy machine a fit took six times its
processor time. So large products, factors and inverses are the compiled module's, each matrix on one thread.

FASTEM_INSTRUCTION_SET=reproducible takes the latter. All that lies on the way of a fit of this promise calls these, not
numpy's: exponentials, logarithms, products, factors, eigenvalues. numpy's sums, which add in an order that hangs on
shapes and strides alone, its square roots, quotients and random numbers need no other.
"""

from __future__ import annotations

import numpy as np

from fastem import kernels
from fastem.kernels import INSTRUCTION_SET, REPRODUCIBLE, _arithmetic
from fastem.kernels.threads import for_stack

FIXED_ORDER = INSTRUCTION_SET == REPRODUCIBLE
UNTHREADED = 1 << 18  # multiplications of matrices up to which OpenBLAS takes one thread,
FACTOR_COLUMNS = 128  # up to which factors are computed as a whole, in L2
UNTHREADED_VECTOR = 1 << 13  # and those of a matrix and a vector
MOST_SWEEPS = 60  # of Jacobi's method; some ten are usual


def elementwise(function):
    """A function of contiguous doubles, (n,), for arrays of any shape; others than float64 are rounded at the end."""

    def of_array(x):
        x = np.asarray(x)
        kind = x.dtype if x.dtype == np.float32 else np.float64
        return function(np.ascontiguousarray(x, np.float64).reshape(-1)).reshape(x.shape).astype(kind)[()]

    return of_array


def fixed_log1p(y):
    """log(1 + y) for y > -1, without losing a small y."""
    u = 1 + np.asarray(y, np.float64)
    safe = np.where(u == 0, 1, u)
    return (fixed_log(u) + np.where(u == 0, 0, (y - (u - 1)) / safe))[()]


def stack(matrices):
    """(…, p, q) as contiguous doubles (n, p, q)."""
    return np.ascontiguousarray(matrices, np.float64).reshape(-1, *matrices.shape[-2:])


def matmul_by(of_stacks, a, b):
    """a @ b by a product of stacks; of a's and b's one may be a single matrix, otherwise both have one shape."""
    a, b = np.asarray(a), np.asarray(b)
    kind = np.result_type(a, b)
    if a.ndim == 1:
        return (
            matmul_by(of_stacks, a[None], b)[..., 0, :]
            if b.ndim > 1
            else matmul_by(of_stacks, a[None], b[:, None])[0, 0]
        )
    if b.ndim == 1:
        return matmul_by(of_stacks, a, b[:, None])[..., 0]
    outer = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if a.shape[-1] != b.shape[-2]:
        raise ValueError(f"matrices of shapes {a.shape} and {b.shape} have no product")
    shape = (*outer, a.shape[-2], b.shape[-1])
    if 0 in shape or not a.shape[-1]:
        return np.zeros(shape, kind)
    a, b = (x if x.ndim == 2 else np.broadcast_to(x, (*outer, *x.shape[-2:])) for x in (a, b))
    return of_stacks(a, b).reshape(shape).astype(kind, copy=False)


def fixed_matmul(a, b):
    """a @ b; of a's and b's stacks one may be a single matrix, otherwise both have one shape."""
    return matmul_by(lambda a, b: _arithmetic.product(stack(a), stack(b)), a, b)


def unthreaded_matmul(a, b):
    """The same with numpy's own product where that wakes no threads."""
    if is_small(np.shape(a), np.shape(b)):
        return np.matmul(a, b)
    return matmul_by(product_of_stacks, a, b)


def product_of_stacks(a, b):
    """(n, p, q) times (n, q, r), by the threads of the fit."""
    a, b = strided(a), strided(b)
    return kernels.product(a, b, for_stack(max(len(a), len(b)), a.shape[1] * a.shape[2] * b.shape[2]))


def is_small(left, right) -> bool:
    """Whether the product of matrices or vectors of these shapes is so small that a BLAS takes one thread for it."""
    rows, columns = left[-2] if len(left) > 1 else 1, right[-1] if len(right) > 1 else 1
    inner = left[-1]
    if rows == 1 or columns == 1:
        return rows * inner * columns <= UNTHREADED_VECTOR
    return rows * inner * columns <= UNTHREADED


def strided(matrices):
    """(…, p, q) as doubles (n, p, q), of any strides that are whole numbers of doubles."""
    matrices = np.asarray(matrices, np.float64)
    if any(step % matrices.itemsize for step in matrices.strides):
        matrices = np.ascontiguousarray(matrices)
    return matrices.reshape(-1, *matrices.shape[-2:])


def unthreaded_cholesky(matrices):
    """Lower factors, by halves beyond FACTOR_COLUMNS; raises LinAlgError."""
    d = np.shape(matrices)[-1]
    if d <= FACTOR_COLUMNS:
        given = strided(matrices)
        factors, failed = kernels.cholesky(given, for_stack(len(given), d**3 // 3))
        if failed >= 0:
            raise np.linalg.LinAlgError("Matrix is not positive definite")
        return factors.reshape(np.shape(matrices))
    half = d // 2
    lower = np.zeros(np.shape(matrices))
    lower[..., :half, :half] = first = unthreaded_cholesky(matrices[..., :half, :half])
    below = unthreaded_matmul(matrices[..., half:, :half], unthreaded_inverse_transposed(first))
    lower[..., half:, :half] = below
    rest = matrices[..., half:, half:] - unthreaded_matmul(below, np.swapaxes(below, -2, -1))
    lower[..., half:, half:] = unthreaded_cholesky(rest)
    return lower


def unthreaded_inverse_transposed(factors):
    """(…, d, d) transposed inverses of lower triangular matrices: of [A 0; B C] it is [A' -A' B^T C'; 0 C']."""
    d = factors.shape[-1]
    if d <= FACTOR_COLUMNS:
        given = strided(factors)
        return kernels.inverse_transposed(given, for_stack(len(given), d**3 // 3)).reshape(factors.shape)
    half = d // 2
    upper = np.zeros(factors.shape)
    upper[..., :half, :half] = first = unthreaded_inverse_transposed(factors[..., :half, :half])
    upper[..., half:, half:] = last = unthreaded_inverse_transposed(factors[..., half:, half:])
    below = np.swapaxes(factors[..., half:, :half], -2, -1)
    upper[..., :half, half:] = -unthreaded_matmul(unthreaded_matmul(first, below), last)
    return upper


def unthreaded_inverse(matrices):
    """Of symmetric positive definite matrices; raises LinAlgError."""
    upper = unthreaded_inverse_transposed(unthreaded_cholesky(np.asarray(matrices)))
    return unthreaded_matmul(upper, np.swapaxes(upper, -2, -1))


def fixed_cholesky(matrices):
    """Lower factors; raises LinAlgError."""
    factors, failed = _arithmetic.cholesky(stack(matrices))
    if failed >= 0:
        raise np.linalg.LinAlgError("Matrix is not positive definite")
    return factors.reshape(matrices.shape)


def fixed_inverse_transposed(factors):
    """(…, d, d) transposed inverses of lower triangular matrices."""
    return _arithmetic.inverse_transposed(stack(factors)).reshape(factors.shape)


def fixed_inverse_factor(matrices):
    """(…, d, d) transposed inverses of the Cholesky factors; raises LinAlgError."""
    return fixed_inverse_transposed(fixed_cholesky(matrices))


def fixed_inverse(matrices):
    """Of symmetric positive definite matrices; raises LinAlgError."""
    upper = fixed_inverse_factor(np.asarray(matrices))
    return fixed_matmul(upper, np.swapaxes(upper, -2, -1))


def solve(matrix, vector):
    """x (d,) of matrix x = vector, for a small positive definite matrix (d, d); raises LinAlgError."""
    factors, failed = _arithmetic.cholesky(np.ascontiguousarray(matrix, np.float64)[None])
    if failed >= 0:
        raise np.linalg.LinAlgError("Matrix is not positive definite")
    return _arithmetic.substituted(factors[0], np.ascontiguousarray(vector, np.float64))


def fixed_eigh(matrices):
    """Eigenvalues, ascending, and eigenvectors."""
    values, vectors = _arithmetic.eigh(stack(matrices), MOST_SWEEPS)
    return values.reshape(matrices.shape[:-1]), vectors.reshape(matrices.shape)


def fixed_norm(x):
    """Euclidean length of a vector."""
    return np.sqrt(np.square(x).sum())


def fixed_einsum(subscripts, *arrays):
    """numpy's, of subscripts with an output and without dots: all products, then their sums."""
    inputs, output = subscripts.split("->")
    letters = output + "".join(sorted(set(inputs) - set(output) - {","}))
    aligned = []
    for names, array in zip(inputs.split(","), arrays):
        order = sorted(range(len(names)), key=lambda i, names=names: letters.index(names[i]))
        shape = iter(np.asarray(array).transpose(order).shape)
        aligned.append(np.asarray(array).transpose(order).reshape([next(shape) if c in names else 1 for c in letters]))
    product = aligned[0]
    for array in aligned[1:]:
        product = product * array
    return product.sum(axis=tuple(range(len(output), len(letters))))


def numpys_power(x, exponent):
    return x**exponent


def fixed_power(x, exponent):
    """x to a power that is no whole number, for x >= 0; float."""
    with np.errstate(divide="ignore"):
        return fixed_exp(exponent * fixed_log(x))


fixed_log, fixed_exp = elementwise(_arithmetic.log), elementwise(_arithmetic.exp)

if FIXED_ORDER:
    log, log1p, exp, matmul, einsum, norm = fixed_log, fixed_log1p, fixed_exp, fixed_matmul, fixed_einsum, fixed_norm
    inverse, cholesky, power = fixed_inverse, fixed_cholesky, fixed_power
    inverse_transposed = fixed_inverse_transposed
else:
    log, log1p, exp, matmul, einsum, norm = np.log, np.log1p, np.exp, unthreaded_matmul, np.einsum, fixed_norm
    inverse, cholesky, power = unthreaded_inverse, unthreaded_cholesky, numpys_power
    inverse_transposed = unthreaded_inverse_transposed
