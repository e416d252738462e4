# Eigenvalues and axes of one symmetric matrix by Jacobi's rotations.
#
# Unlike others it finds the least eigenvalues of a positive matrix with as many digits as the largest, if only the matrix is
# well conditioned once its columns are measured in units of their own. J. Demmel, K. Veselic: Jacobi's method is more
# accurate than QR. SIAM J. Matrix Anal. Appl. 13 (1992) 1204-1245.

from libc.math cimport fabs, hypot, sqrt

cdef double RIGHT_ANGLE = 2.220446049250313e-16  # cosine between two axes that are at right angles


cdef Py_ssize_t turn_to_axes_of(double* matrix, double* axes, Py_ssize_t d, Py_ssize_t most) noexcept nogil:
    """Turn axes (d, d) and, with them, a matrix (d, d) about them, until it is diagonal; returns the number of sweeps."""
    cdef Py_ssize_t i, j, r, sweep = 0
    cdef bint turned = True
    cdef double x, y, z, c, s
    while turned and sweep < most:
        sweep += 1
        turned = False
        for i in range(d):
            for j in range(i + 1, d):
                x, y, z = matrix[i * d + i], matrix[j * d + j], matrix[i * d + j]
                if fabs(z) <= RIGHT_ANGLE * sqrt(fabs(x)) * sqrt(fabs(y)):
                    continue
                turned = True
                s = (2 * z if x >= y else -2 * z) / (fabs(x - y) + hypot(x - y, 2 * z))  # the angle's tangent
                c = 1 / sqrt(1 + s * s)
                s *= c
                for r in range(d):
                    turn_two(&axes[r * d + i], &axes[r * d + j], c, s)
                    if r != i and r != j:
                        turn_two(&matrix[r * d + i], &matrix[r * d + j], c, s)
                        matrix[i * d + r], matrix[j * d + r] = matrix[r * d + i], matrix[r * d + j]
                matrix[i * d + i] = c * c * x + s * s * y + 2 * c * s * z
                matrix[j * d + j] = s * s * x + c * c * y - 2 * c * s * z
                matrix[i * d + j] = matrix[j * d + i] = c * s * (y - x) + (c * c - s * s) * z
    return sweep


cdef inline void turn_two(double* first, double* second, double c, double s) noexcept nogil:
    cdef double x = first[0]
    first[0] = c * x + s * second[0]
    second[0] = c * second[0] - s * x
