# cython: language_level=3, cdivision=True
"""Axes of symmetric matrices, turned pair by pair: those of one to the last digit, those of several the most likely ones.

Spreads may differ by any factor, as those of columns in unlike units do: nothing is computed as a difference of the larger
ones, so that the least spread keeps its digits.
"""

from fastem.kernels.workers import check

include "jacobi.pxi"
include "common_axes.pxi"


def lower(
    double[:, :, ::1] scatter, double[:, ::1] axes, const double[::1] counts, bint equal_volumes, double enough,
    Py_ssize_t most
):
    """Turn axes, the rows of (d, d), and with them scatters (d, d, K) about them, until a sweep gains no more than enough.

    What is lowered, per row and column, is log |Sigma_k| where variances are the most likely ones along the axes: with
    spreads s_kj there, sum_k n_k sum_j log s_kj for volumes of their own, log sum_k (prod_j s_kj)^(1/d) for equal ones.
    Each pair of axes is turned in its plane, where only the product of its two spreads changes (the pairs of Flury and
    Gautschi, SIAM J. Sci. Stat. Comput. 7 (1986) 169-184; the step is Newton's). Where sweeps gain slowly, pairs go
    beyond their optimum (successive over-relaxation), never so far that they lose. Of the scatters what lies below the
    diagonal is neither read nor turned. Returns the number of sweeps.
    """
    cdef Py_ssize_t d = scatter.shape[0], K = scatter.shape[2]
    cdef Sweeps sweeps
    memory = bytearray(K * (sizeof(Pair) + sizeof(double)))
    cdef unsigned char[::1] view = memory
    cdef Pair* pairs = <Pair*>&view[0]
    sweeps.done, sweeps.before, sweeps.beyond, sweeps.ended = 0, 0, 1, False
    while sweeps.done < most and not sweeps.ended:
        check()
        with nogil:
            lower_axes(&scatter[0, 0, 0], &axes[0, 0], &counts[0], d, K, equal_volumes, enough,
                       min(sweeps.done + EVERY, most), &sweeps, pairs, <double*>(pairs + K))
    return sweeps.done


def turn_to_axes(double[:, ::1] matrix, double[:, ::1] axes, Py_ssize_t most):
    """Turn axes, the rows of (d, d), and with them a symmetric matrix (d, d) about them, until it is diagonal: Jacobi's
    method.

    See jacobi.pxi. Returns the number of sweeps.
    """
    cdef Py_ssize_t sweeps, d = matrix.shape[0]
    with nogil:
        sweeps = turn_to_axes_of(&matrix[0, 0], &axes[0, 0], d, most)
    return sweeps
