# cython: language_level=3
"""Axes of symmetric matrices, turned pair by pair: those of one to the last digit, those of several the most likely ones.

Spreads may differ by any factor, as those of columns in unlike units do: nothing is computed as a difference of the larger
ones, so that the least spread keeps its digits.
"""

from libc.math cimport atan2, cos, exp, fabs, log, pow, sin, sqrt

from fastem.kernels.workers import check


cdef int EVERY = 6  # sweeps between two choices of how far to go beyond a pair's own optimum, and between two looks for Ctrl-C
cdef double MOST_BEYOND = 1.9
cdef double FLAT = 1e-30  # share of all components' spread along an axis that a component's own has at the least
cdef double RIGHT_ANGLE = 2.220446049250313e-16  # cosine between two axes that are at right angles


cdef struct Pair:  # per component, in the plane of two axes
    double first  # the two spreads
    double second
    double cross  # and their cross product
    double area  # the product of the two spreads
    double ratio  # of the area after a turn to the one before


cdef double product_of_spreads(double first, double second, double least) noexcept nogil:
    return (first if first > least else least) * (second if second > least else least)


cdef double change(
    Pair* pairs, const double* weights, Py_ssize_t K, double angle, double power, double least
) noexcept nogil:
    """By how much a turn of the axes by angle / 2 changes what is minimised; the ratios are left in the pairs."""
    cdef double c = cos(angle / 2), s = sin(angle / 2), total = 0
    cdef Py_ssize_t k
    for k in range(K):
        if pairs[k].area == 0:
            pairs[k].ratio = 1
            continue
        pairs[k].ratio = product_of_spreads(
            c * c * pairs[k].first + s * s * pairs[k].second + 2 * c * s * pairs[k].cross,
            s * s * pairs[k].first + c * c * pairs[k].second - 2 * c * s * pairs[k].cross,
            least,
        ) / pairs[k].area
        if power:
            pairs[k].ratio = pow(pairs[k].ratio, power)
            total += weights[k] * (pairs[k].ratio - 1)
        else:
            total += weights[k] * log(pairs[k].ratio)
    return total


cdef void turn(
    double[:, :, ::1] scatter, double[:, ::1] axes, Py_ssize_t i, Py_ssize_t j, double angle
) noexcept nogil:
    """The plane of two axes turned by angle / 2."""
    cdef Py_ssize_t d = scatter.shape[0], K = scatter.shape[2], r, k
    cdef double c = cos(angle / 2), s = sin(angle / 2), x, y, z
    cdef double* first
    cdef double* second
    for r in range(d):
        x, y = axes[r, i], axes[r, j]
        axes[r, i], axes[r, j] = c * x + s * y, c * y - s * x
        if r == i or r == j:
            continue
        first, second = &scatter[r, i, 0], &scatter[r, j, 0]
        for k in range(K):
            x, y = first[k], second[k]
            first[k] = c * x + s * y
            second[k] = c * y - s * x
        for k in range(K):
            scatter[i, r, k] = first[k]
            scatter[j, r, k] = second[k]
    for k in range(K):
        x, y, z = scatter[i, i, k], scatter[j, j, k], scatter[i, j, k]
        scatter[i, i, k] = c * c * x + s * s * y + 2 * c * s * z
        scatter[j, j, k] = s * s * x + c * c * y - 2 * c * s * z
        scatter[i, j, k] = scatter[j, i, k] = c * s * (y - x) + (c * c - s * s) * z


def lower(
    double[:, :, ::1] scatter, double[:, ::1] axes, const double[::1] counts, bint equal_volumes, double enough,
    Py_ssize_t most
):
    """Turn axes (d, d) and, with them, scatters (d, d, K) about them, until a sweep gains no more than enough.

    What is lowered, per row and column, is log |Sigma_k| where variances are the most likely ones along the axes: with
    spreads s_kj there, sum_k n_k sum_j log s_kj for volumes of their own, log sum_k (prod_j s_kj)^(1/d) for equal ones.
    Each pair of axes is turned in its plane, where only the product of its two spreads changes (the pairs of Flury and
    Gautschi, SIAM J. Sci. Stat. Comput. 7 (1986) 169-184; the step is Newton's). Where sweeps gain slowly, pairs go
    beyond their optimum (successive over-relaxation), never so far that they lose. Returns the number of sweeps.
    """
    cdef Py_ssize_t d = scatter.shape[0], K = scatter.shape[2], i, j, k, sweep = 0
    cdef double power = 1.0 / d if equal_volumes else 0, curve, slope, bent, angle, x, half, least, y
    cdef double total = 0, n = 0, gain, before = 0, beyond = 1, rate
    cdef double[::1] weights = counts.copy()
    pair_memory = bytearray(K * sizeof(Pair))
    cdef unsigned char[::1] pair_view = pair_memory
    cdef Pair* pairs = <Pair*>&pair_view[0]
    cdef Pair* p
    with nogil:
        for k in range(K):
            n += counts[k]
        while sweep < most:
            if sweep % EVERY == 0:
                with gil:
                    check()
            sweep += 1
            gain = total = 0
            if equal_volumes:
                for k in range(K):
                    weights[k] = 0
                    for i in range(d):
                        weights[k] += log(scatter[i, i, k] if scatter[i, i, k] > 1e-300 else 1e-300)
                    weights[k] = exp(weights[k] / d)
                    total += weights[k]
            for i in range(d):
                for j in range(i + 1, d):
                    curve = slope = bent = x = y = 0
                    for k in range(K):
                        x += scatter[i, i, k]
                        y += scatter[j, j, k]
                    least = FLAT * (x if x < y else y)
                    for k in range(K):
                        p = &pairs[k]
                        p.first, p.second, p.cross = scatter[i, i, k], scatter[j, j, k], scatter[i, j, k]
                        p.area = product_of_spreads(p.first, p.second, least)
                        if p.area > 0:
                            half = (p.first - p.second) / 2
                            x = weights[k] / p.area
                            curve += x * (half * half - p.cross * p.cross)
                            slope += x * half * p.cross
                            bent += x * half * half * p.cross * p.cross / p.area
                    # Newton's step, or that of the tangent in the areas, which lies above as they enter concavely
                    bent = curve - 2 * (1 - power) * bent
                    angle = atan2(2 * slope, bent) / 2
                    angle *= beyond
                    x = change(pairs, &weights[0], K, angle, power, least) if bent > 0 else 1
                    if x > 0:
                        angle = atan2(2 * slope, curve) / 2
                        x = change(pairs, &weights[0], K, angle, power, least)
                    if x >= 0:
                        continue
                    turn(scatter, axes, i, j, angle)
                    gain -= x
                    if equal_volumes:
                        for k in range(K):
                            weights[k] *= pairs[k].ratio
            if equal_volumes:
                gain = n * d * log(total / (total - gain)) if total > gain else 0
            if gain <= enough * n * d:
                break
            rate = sqrt(gain / before) if before > 0 else 1
            before = gain
            if sweep % EVERY == 0 and beyond - 1 < rate < 1:
                x = (rate + beyond - 1) / beyond
                x = 1 - x * x / rate
                beyond = min(2 / (1 + sqrt(x if x > 0 else 0)), MOST_BEYOND)
    return sweep


def turn_to_axes(double[:, :, ::1] matrix, double[:, ::1] axes, Py_ssize_t most):
    """Turn axes (d, d) and, with them, a symmetric matrix (d, d, 1) about them, until it is diagonal: Jacobi's method.

    Unlike others it finds the least eigenvalues of a positive matrix with as many digits as the largest, if only the
    matrix is well conditioned once its columns are measured in units of their own. J. Demmel, K. Veselic: Jacobi's method
    is more accurate than QR. SIAM J. Matrix Anal. Appl. 13 (1992) 1204-1245. Returns the number of sweeps.
    """
    cdef Py_ssize_t d = matrix.shape[0], i, j, sweep = 0
    cdef bint turned = True
    cdef double x, y, z
    with nogil:
        while turned and sweep < most:
            sweep += 1
            turned = False
            for i in range(d):
                for j in range(i + 1, d):
                    x, y, z = matrix[i, i, 0], matrix[j, j, 0], matrix[i, j, 0]
                    if fabs(z) <= RIGHT_ANGLE * sqrt(fabs(x)) * sqrt(fabs(y)):
                        continue
                    turned = True
                    turn(matrix, axes, i, j, atan2(2 * z, x - y) if x >= y else atan2(-2 * z, y - x))
    return sweep
