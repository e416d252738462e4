# Eigenvalues and axes of one symmetric matrix by Jacobi's rotations.
#
# Unlike others it finds the least eigenvalues of a positive matrix with as many digits as the largest, if only the matrix is
# well conditioned once its columns are measured in units of their own. J. Demmel, K. Veselic: Jacobi's method is more
# accurate than QR. SIAM J. Matrix Anal. Appl. 13 (1992) 1204-1245.
#
# Axes lie row by row: the two that a rotation turns, and the matrix's two rows, then are contiguous.

from libc.math cimport fabs, sqrt

cdef extern from *:
    """
    /* Two rows, which do not overlap, turned in their plane. */
    static inline void turn_plane(double *__restrict first, double *__restrict second, ptrdiff_t n, double c, double s) {
        for (ptrdiff_t r = 0; r < n; r++) {
            const double x = first[r];
            first[r] = c * x + s * second[r];
            second[r] = c * second[r] - s * x;
        }
    }
    """
    void turn_plane(double* first, double* second, Py_ssize_t n, double c, double s) noexcept nogil

cdef double RIGHT_ANGLE = 2.220446049250313e-16  # cosine between two axes that are at right angles


cdef Py_ssize_t turn_to_axes_of(double* matrix, double* axes, Py_ssize_t d, Py_ssize_t most) noexcept nogil:
    """Turn axes (d, d) and, with them, a matrix (d, d) about them, until it is diagonal; returns the number of sweeps."""
    cdef Py_ssize_t i, j, r, sweep = 0
    cdef bint turned = True
    cdef double x, y, z, c, s, large, small
    while turned and sweep < most:
        sweep += 1
        turned = False
        for i in range(d):
            for j in range(i + 1, d):
                x, y, z = matrix[i * d + i], matrix[j * d + j], matrix[i * d + j]
                if fabs(z) <= RIGHT_ANGLE * sqrt(fabs(x)) * sqrt(fabs(y)):
                    continue
                turned = True
                large, small = max(fabs(x - y), fabs(2 * z)), min(fabs(x - y), fabs(2 * z))
                small /= large  # the square of either may be no number
                s = (2 * z if x >= y else -2 * z) / (fabs(x - y) + large * sqrt(1 + small * small))  # the angle's tangent
                c = 1 / sqrt(1 + s * s)
                s *= c
                turn_plane(axes + i * d, axes + j * d, d, c, s)
                turn_plane(matrix + i * d, matrix + j * d, d, c, s)
                matrix[i * d + i] = c * c * x + s * s * y + 2 * c * s * z
                matrix[j * d + j] = s * s * x + c * c * y - 2 * c * s * z
                matrix[i * d + j] = matrix[j * d + i] = c * s * (y - x) + (c * c - s * s) * z
                for r in range(d):
                    matrix[r * d + i], matrix[r * d + j] = matrix[i * d + r], matrix[j * d + r]
    return sweep
