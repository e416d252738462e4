# cython: language_level=3
"""Dense linear algebra, exp and log in one fixed order of IEEE operations: no BLAS, no libm, no contraction.

numpy's and LAPACK's last bits depend on the CPU, on their version and on how they were built. Matrices come in stacks
(n, d, d), contiguous, and each is done on its own: a loop over the last index is what a compiler may vectorise, since
it changes the order of no sum.
"""

from libc.math cimport fabs, sqrt

import numpy as np


cdef extern from "scalar_math.h" nogil:
    double scalar_log(double)
    double scalar_exp(double)


cdef double EPSILON = 2.220446049250313e-16


def log(const double[::1] x):
    cdef double[::1] y = np.empty(len(x))
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            y[i] = scalar_log(x[i])
    return np.asarray(y)


def exp(const double[::1] x):
    cdef double[::1] y = np.empty(len(x))
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            y[i] = scalar_exp(x[i])
    return np.asarray(y)


def product(const double[:, :, ::1] a, const double[:, :, ::1] b):
    """(n, p, q) times (n, q, r), a stack of one matrix meets every other: (n, p, r)."""
    cdef Py_ssize_t n = max(a.shape[0], b.shape[0]), p = a.shape[1], q = a.shape[2], r = b.shape[2], m, i, j, k
    cdef Py_ssize_t of_a = a.shape[0] > 1, of_b = b.shape[0] > 1
    cdef double[:, :, ::1] out = np.zeros((n, p, r))
    cdef double factor
    cdef double* row
    cdef const double* other
    with nogil:
        for m in range(n):
            for i in range(p):
                row = &out[m, i, 0] if r else NULL
                for k in range(q if r else 0):
                    factor = a[m * of_a, i, k]
                    other = &b[m * of_b, k, 0]
                    for j in range(r):
                        row[j] = row[j] + factor * other[j]
    return np.asarray(out)


def cholesky(const double[:, :, ::1] matrices):
    """(n, d, d) lower factors, and the number of the first matrix that is not positive definite, or -1."""
    cdef Py_ssize_t n = matrices.shape[0], d = matrices.shape[1], m, i, j, k
    cdef double[:, :, ::1] factors = np.zeros((n, d, d))
    cdef double x
    cdef Py_ssize_t failed = -1
    with nogil:
        for m in range(n):
            for i in range(d):
                for j in range(i + 1):
                    x = matrices[m, i, j]
                    for k in range(j):
                        x = x - factors[m, i, k] * factors[m, j, k]
                    if i > j:
                        factors[m, i, j] = x / factors[m, j, j]
                    elif x > 0:
                        factors[m, i, i] = sqrt(x)
                    else:
                        failed = m
                        break
                if failed >= 0:
                    break
            if failed >= 0:
                break
    return np.asarray(factors), failed


def inverse_transposed(const double[:, :, ::1] factors):
    """(n, d, d) transposed inverses of lower triangular matrices."""
    cdef Py_ssize_t n = factors.shape[0], d = factors.shape[1], m, i, j, k
    cdef double[:, :, ::1] upper = np.zeros((n, d, d))
    cdef double x
    with nogil:
        for m in range(n):
            for j in range(d):          # row j of the result is column j of the inverse
                upper[m, j, j] = 1 / factors[m, j, j]
                for i in range(j + 1, d):
                    x = 0
                    for k in range(j, i):
                        x = x + factors[m, i, k] * upper[m, j, k]
                    upper[m, j, i] = -x / factors[m, i, i]
    return np.asarray(upper)


def substituted(const double[:, ::1] factor, const double[::1] vector):
    """x (d,) of factor factor' x = vector, for a lower triangular matrix (d, d)."""
    cdef Py_ssize_t d = factor.shape[0], i, k
    cdef double[::1] x = np.empty(d)
    cdef double entry
    with nogil:
        for i in range(d):
            entry = vector[i]
            for k in range(i):
                entry = entry - factor[i, k] * x[k]
            x[i] = entry / factor[i, i]
        for i in range(d - 1, -1, -1):
            x[i] = x[i] / factor[i, i]
            for k in range(i):
                x[k] = x[k] - factor[i, k] * x[i]
    return np.asarray(x)


def eigh(const double[:, :, ::1] matrices, Py_ssize_t most):
    """Eigenvalues (n, d), ascending, and vectors (n, d, d) in columns, by Jacobi's method: rotations by tangents, without
    trigonometric functions (Rutishauser, Numerische Mathematik 9 (1966) 1-10). The largest entry of a vector is positive."""
    cdef Py_ssize_t n = matrices.shape[0], d = matrices.shape[1], m, i, j, k, sweep
    work, turned = np.array(matrices), np.zeros((n, d, d))
    cdef double[:, :, ::1] a = work
    cdef double[:, :, ::1] v = turned
    cdef double z, theta, t, c, s, x, y
    cdef bint moved
    with nogil:
        for m in range(n):
            for i in range(d):
                v[m, i, i] = 1
            for sweep in range(most):
                moved = False
                for i in range(d):
                    for j in range(i + 1, d):
                        z = a[m, i, j]
                        if fabs(z) <= EPSILON * sqrt(fabs(a[m, i, i])) * sqrt(fabs(a[m, j, j])):
                            continue
                        moved = True
                        theta = (a[m, j, j] - a[m, i, i]) / (2 * z)
                        t = 1 / (fabs(theta) + sqrt(theta * theta + 1))
                        t = t if theta >= 0 else -t
                        c = 1 / sqrt(t * t + 1)
                        s = t * c
                        a[m, i, i] = a[m, i, i] - t * z
                        a[m, j, j] = a[m, j, j] + t * z
                        a[m, i, j] = 0
                        a[m, j, i] = 0
                        for k in range(d):
                            if k != i and k != j:
                                x, y = a[m, i, k], a[m, j, k]
                                a[m, i, k] = c * x - s * y
                                a[m, j, k] = s * x + c * y
                                a[m, k, i] = a[m, i, k]
                                a[m, k, j] = a[m, j, k]
                        for k in range(d):
                            x, y = v[m, k, i], v[m, k, j]
                            v[m, k, i] = c * x - s * y
                            v[m, k, j] = s * x + c * y
                if not moved:
                    break
    values = np.diagonal(work, axis1=1, axis2=2)
    order = np.argsort(values, axis=1, kind="stable")
    vectors = np.take_along_axis(turned, order[:, None, :], axis=2)
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1)[:, None, :], axis=1)
    return np.take_along_axis(values, order, axis=1), vectors * np.where(largest < 0, -1.0, 1.0)
