# Eigenpairs of a symmetric matrix, and QR, on one thread and in a fixed order of operations: LAPACK's last bits depend
# on the threads and the kernels of the BLAS below it. setup.py builds this once per instruction set. Reasons, numbered:
#
# 1. Householder's reduction to a tridiagonal matrix takes its time in the product of the matrix with a vector and in the
#    update of rank two. One sweep over the lower triangle does the last reflection's update and the next one's product.
# 2. Few eigenvectors come from inverse iteration, each orthogonal to all those before. Should one not pass its test, or
#    where most are wanted, all come from the rotations of the QL iteration, which are always good.
#
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False

from cython.parallel cimport prange, threadid
from libc.math cimport copysign, fabs, frexp, isfinite, ldexp, sqrt
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "simd.h" nogil:
    """
    enum { GROUP_MOST = 4, GROUP = LANES < GROUP_MOST ? LANES : GROUP_MOST };
    """
    ctypedef double vec
    enum: LANES
    enum: ALIGNMENT
    enum: GROUP_MOST    # rows that share what is read of a vector
    enum: GROUP         # the same, within a block of LANES rows
    vec splat(double)
    double lane(vec, int)
    double scalar_hypot(double, double)

cdef enum:
    STRIP = 4          # vectors of a row that QL's rotations go through together
    QL_MOST = 50       # steps for an eigenvalue
    SOLVES = 6         # of inverse iteration, before all vectors come from QL

cdef double EPSILON = 2.220446049250313e-16
cdef double NEGLIGIBLE = 1e-140   # beside a matrix of size 1: the square of what is smaller may vanish

cdef inline double sum_of(vec a) noexcept nogil:
    cdef double total = 0
    cdef int i
    for i in range(LANES):
        total += lane(a, i)
    return total


cdef void order(const double* values, Py_ssize_t n, double* places) noexcept nogil:
    """The places of values in descending order, by insertion: QL leaves them almost sorted."""
    cdef Py_ssize_t i, j
    for i in range(n):
        j = i
        while j > 0 and values[<Py_ssize_t>places[j - 1]] < values[i]:
            places[j] = places[j - 1]
            j -= 1
        places[j] = i


cdef double dot(const vec* a, const vec* b, Py_ssize_t n) noexcept nogil:
    cdef vec first = splat(0), second = splat(0)
    cdef Py_ssize_t c = 0
    while c + 2 <= n:
        first = first + a[c] * b[c]
        second = second + a[c + 1] * b[c + 1]
        c += 2
    if c < n:
        first = first + a[c] * b[c]
    return sum_of(first + second)


cdef void add_multiple(vec* a, double factor, const vec* b, Py_ssize_t n) noexcept nogil:
    cdef vec f = splat(factor)
    cdef Py_ssize_t c
    for c in range(n):
        a[c] = a[c] + f * b[c]


cdef inline void update_and_multiply(
    const int rows, Py_ssize_t r, vec* a, Py_ssize_t width, const vec* v, const vec* w, const vec* x, vec* y
) noexcept nogil:
    """Rows from r on, all in one block of LANES rows, whose matrix block on the diagonal is stored in full: a -= v w' + w v',
    then y += a x, of the lower triangle and its mirror image."""
    cdef Py_ssize_t block = r // LANES, c
    cdef int i
    cdef vec sums[GROUP_MOST]
    cdef vec vi[GROUP_MOST]
    cdef vec wi[GROUP_MOST]
    cdef vec xi[GROUP_MOST]
    cdef vec vc, wc, xc, yc, entry
    cdef const double* vs = <const double*>v
    cdef const double* ws = <const double*>w
    cdef const double* xs = <const double*>x
    cdef double* ys = <double*>y
    for i in range(rows):
        sums[i] = splat(0)
        vi[i], wi[i], xi[i] = splat(vs[r + i]), splat(ws[r + i]), splat(xs[r + i])
    for c in range(block):
        vc, wc, xc, yc = v[c], w[c], x[c], y[c]
        for i in range(rows):
            entry = a[(r + i) * width + c] - vi[i] * wc - wi[i] * vc
            a[(r + i) * width + c] = entry
            sums[i] = sums[i] + entry * xc
            yc = yc + entry * xi[i]
        y[c] = yc
    vc, wc, xc = v[block], w[block], x[block]
    for i in range(rows):
        entry = a[(r + i) * width + block] - vi[i] * wc - wi[i] * vc
        a[(r + i) * width + block] = entry
        ys[r + i] += sum_of(sums[i] + entry * xc)


cdef void reduce(double* matrix, Py_ssize_t d, Py_ssize_t width, vec* work, double* diagonal, double* beside, double* scale) noexcept nogil:
    """To a tridiagonal matrix, from the last row on. Row i keeps its reflection: I - scale[i] v v', v of i entries."""
    cdef Py_ssize_t i, j, stride = width * LANES, blocks, r
    cdef vec* a = <vec*>matrix
    cdef vec* v = work                # the reflection whose update is still to be done
    cdef vec* w = work + width
    cdef vec* x = work + 2 * width    # the next one
    cdef vec* y = work + 3 * width
    cdef vec* swap
    cdef double* row
    cdef double square, norm, most
    memset(work, 0, 4 * width * sizeof(vec))
    for i in range(d - 1, -1, -1):
        row = matrix + i * stride
        for j in range(i + 1):
            row[j] -= (<double*>v)[i] * (<double*>w)[j] + (<double*>w)[i] * (<double*>v)[j]
        diagonal[i] = row[i]
        scale[i] = 0
        if i == 0:
            break
        memset(x, 0, width * sizeof(vec))
        memset(y, 0, width * sizeof(vec))
        blocks = (i + LANES - 1) // LANES
        memcpy(x, row, (i - 1) * sizeof(double))
        square = dot(x, x, blocks)
        if sqrt(square) <= NEGLIGIBLE:
            beside[i - 1] = row[i - 1]
            memset(x, 0, width * sizeof(vec))
        else:
            norm = sqrt(square + row[i - 1] * row[i - 1])
            beside[i - 1] = -copysign(norm, row[i - 1])
            (<double*>x)[i - 1] = row[i - 1] - beside[i - 1]
            scale[i] = 1 / (norm * (norm + fabs(row[i - 1])))
        r = 0
        while r + GROUP <= i:
            update_and_multiply(GROUP, r, a, width, v, w, x, y)
            r += GROUP
        while r < i:
            update_and_multiply(1, r, a, width, v, w, x, y)
            r += 1
        memcpy(row, x, blocks * sizeof(vec))
        if scale[i] == 0:
            memset(v, 0, width * sizeof(vec))
            memset(w, 0, width * sizeof(vec))
            continue
        for j in range(blocks):
            y[j] = splat(scale[i]) * y[j]
        add_multiple(y, -0.5 * scale[i] * dot(x, y, blocks), x, blocks)
        swap = v
        v, x = x, swap
        swap = w
        w, y = y, swap


cdef inline void rotate_strip(
    const int wide, vec* column, Py_ssize_t width, Py_ssize_t first, Py_ssize_t last, const double* c, const double* s
) noexcept nogil:
    cdef Py_ssize_t i
    cdef int k
    cdef vec upper[STRIP]
    cdef vec lower
    cdef vec* row
    for k in range(wide):
        upper[k] = column[last * width + k]
    for i in range(last - 1, first - 1, -1):
        row = column + i * width
        for k in range(wide):
            lower = row[k]
            row[width + k] = splat(s[i]) * lower + splat(c[i]) * upper[k]
            upper[k] = splat(c[i]) * lower - splat(s[i]) * upper[k]
    for k in range(wide):
        column[first * width + k] = upper[k]


cdef void rotate_rows(vec* vectors, Py_ssize_t width, Py_ssize_t first, Py_ssize_t last, const double* c, const double* s) noexcept nogil:
    """Rows last and last - 1 by c[last - 1], s[last - 1], then the next two, down to first."""
    cdef Py_ssize_t start, k, wide
    start = 0
    while start < width:
        wide = min(<Py_ssize_t>STRIP, width - start)
        if wide == STRIP:
            rotate_strip(STRIP, vectors + start, width, first, last, c, s)
        else:
            for k in range(wide):
                rotate_strip(1, vectors + start + k, width, first, last, c, s)
        start += wide


cdef bint ql(double* diagonal, double* beside, Py_ssize_t d, double size, double* c, double* s, vec* vectors, Py_ssize_t width) noexcept nogil:
    """Eigenvalues of a tridiagonal matrix, whose entries beside the diagonal are lost; if vectors is not NULL, its rows are
    turned along. False where a value does not settle.

    Implicit shifts: Dubrulle, Martin, Wilkinson, Numerische Mathematik 12 (1968) 377-383.
    """
    cdef Py_ssize_t l, m, i, steps, first
    cdef double g, p, r, f, b, cosine, sine
    for l in range(d):
        for steps in range(QL_MOST + 1):
            m = l
            while m < d - 1 and not (
                fabs(beside[m]) <= EPSILON * (fabs(diagonal[m]) + fabs(diagonal[m + 1])) or fabs(beside[m]) <= EPSILON / 2 * size
            ):
                m += 1
            if m == l:
                break
            if steps == QL_MOST:
                return False
            g = (diagonal[l + 1] - diagonal[l]) / (2 * beside[l])
            g = diagonal[m] - diagonal[l] + beside[l] / (g + copysign(scalar_hypot(g, 1), g))
            sine = cosine = 1
            p, first = 0, l
            for i in range(m - 1, l - 1, -1):
                f, b = sine * beside[i], cosine * beside[i]
                r = sqrt(f * f + g * g)
                beside[i + 1] = r
                if r <= NEGLIGIBLE * size:  # the matrix has come apart
                    diagonal[i + 1] -= p
                    beside[i + 1] = 0
                    first = i + 1
                    break
                sine, cosine = f / r, g / r
                s[i], c[i] = sine, cosine
                g = diagonal[i + 1] - p
                r = (diagonal[i] - g) * sine + 2 * cosine * b
                p = sine * r
                diagonal[i + 1] = g + p
                g = cosine * r - b
            if first == l:
                diagonal[l] -= p
                beside[l] = g
            beside[m] = 0
            if vectors != NULL and first < m:
                rotate_rows(vectors, width, first, m, c, s)
    return True


cdef void factor(
    const double* diagonal, const double* beside, Py_ssize_t d, double value, double least,
    double* pivot, double* above, double* further, double* multiplier, char* swapped
) noexcept nogil:
    """L U of the tridiagonal matrix less value, rows swapped for the larger pivot; no pivot is below least."""
    cdef double p = diagonal[0] - value, q = beside[0] if d > 1 else 0, next_p
    cdef Py_ssize_t i
    for i in range(d - 1):
        next_p = diagonal[i + 1] - value
        swapped[i] = fabs(beside[i]) > fabs(p)
        if swapped[i]:
            multiplier[i] = p / beside[i]
            pivot[i] = 1 / beside[i]
            above[i] = next_p
            further[i] = beside[i + 1] if i + 2 < d else 0
            p = q - multiplier[i] * next_p
            q = -multiplier[i] * further[i]
        else:
            if fabs(p) < least:
                p = copysign(least, p)
            pivot[i] = 1 / p
            multiplier[i] = beside[i] * pivot[i]
            above[i], further[i] = q, 0
            p = next_p - multiplier[i] * q
            q = beside[i + 1] if i + 2 < d else 0
    pivot[d - 1] = 1 / (p if fabs(p) >= least else copysign(least, p))


cdef void solve(
    Py_ssize_t d, const double* pivot, const double* above, const double* further, const double* multiplier,
    const char* swapped, double* x, bint forward
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double t
    if forward:
        for i in range(d - 1):
            if swapped[i]:
                t = x[i]
                x[i] = x[i + 1]
                x[i + 1] = t - multiplier[i] * x[i]
            else:
                x[i + 1] -= multiplier[i] * x[i]
    x[d - 1] *= pivot[d - 1]
    if d > 1:
        x[d - 2] = (x[d - 2] - above[d - 2] * x[d - 1]) * pivot[d - 2]
    for i in range(d - 3, -1, -1):
        x[i] = (x[i] - above[i] * x[i + 1] - further[i] * x[i + 2]) * pivot[i]


cdef double normalise(double* x, Py_ssize_t d, Py_ssize_t width) noexcept nogil:
    """The length that x had; not finite where x was not."""
    cdef double most = 0, length
    cdef Py_ssize_t i
    for i in range(d):
        most = max(most, fabs(x[i]))
    if most == 0 or not isfinite(most):
        return most
    for i in range(d):
        x[i] /= most
    length = sqrt(dot(<vec*>x, <vec*>x, width))
    for i in range(d):
        x[i] /= length
    return length * most


cdef bint inverse_iteration(
    const double* diagonal, const double* beside, Py_ssize_t d, double size, const double* values, Py_ssize_t n, vec* vectors,
    Py_ssize_t width, double* work, char* swapped
) noexcept nogil:
    """Rows of vectors (n, d): eigenvectors of the tridiagonal matrix. False where one is not as good as QL's."""
    cdef double* pivot = work
    cdef double* above = work + d
    cdef double* further = work + 2 * d
    cdef double* multiplier = work + 3 * d
    cdef double* x
    cdef Py_ssize_t k, i, j, t
    cdef uint64_t seed = 88172645463325252ULL
    cdef double value, kept, wrong, residual, enough = 4 * EPSILON * size * sqrt(<double>d)
    for k in range(n):
        x = <double*>(vectors + k * width)
        for i in range(d):
            seed ^= seed << 13  # Marsaglia's xorshift
            seed ^= seed >> 7
            seed ^= seed << 17
            x[i] = (0.5 if seed & 1 else -0.5) + (<double>(seed >> 12) / 4503599627370496.0 - 0.5) / 2
        value = values[k]
        factor(diagonal, beside, d, value, EPSILON * size, pivot, above, further, multiplier, swapped)
        for t in range(SOLVES):
            solve(d, pivot, above, further, multiplier, swapped, x, t > 0)
            if not isfinite(normalise(x, d, width)):
                return False
            for j in range(k):
                add_multiple(<vec*>x, -dot(<vec*>x, vectors + j * width, width), vectors + j * width, width)
            kept = normalise(x, d, width)
            if t == 0 or not kept > 0.5:
                continue
            wrong = 0
            for i in range(d):
                residual = (diagonal[i] - value) * x[i]
                if i > 0:
                    residual += beside[i - 1] * x[i - 1]
                if i < d - 1:
                    residual += beside[i] * x[i + 1]
                wrong += residual * residual
            if sqrt(wrong) <= enough:
                break
        else:
            return False
    return True


cdef inline void reflect(const int rows, vec** x, const vec* v, Py_ssize_t blocks, double scale) noexcept nogil:
    """x -= scale (v'x) v, of each row x."""
    cdef vec sums[GROUP_MOST]
    cdef Py_ssize_t c
    cdef int j
    for j in range(rows):
        sums[j] = splat(0)
    for c in range(blocks):
        for j in range(rows):
            sums[j] = sums[j] + v[c] * x[j][c]
    for j in range(rows):
        sums[j] = splat(-scale * sum_of(sums[j]))
    for c in range(blocks):
        for j in range(rows):
            x[j][c] = x[j][c] + sums[j] * v[c]


cdef void reflect_some(int rows, vec** x, const vec* v, Py_ssize_t blocks, double scale) noexcept nogil:
    """The same of some rows, GROUP_MOST at most."""
    cdef int j
    if rows == GROUP_MOST:
        reflect(GROUP_MOST, x, v, blocks, scale)
    else:
        for j in range(rows):
            reflect(1, x + j, v, blocks, scale)


cdef void reflect_back(
    const double* matrix, const double* scale, Py_ssize_t d, Py_ssize_t width, vec** x, int rows
) noexcept nogil:
    """Eigenvectors of the tridiagonal matrix, GROUP_MOST at most, to those of the matrix that was reduced."""
    cdef Py_ssize_t i, blocks
    cdef const vec* v
    for i in range(1, d):
        if scale[i] == 0:
            continue
        v, blocks = <const vec*>(matrix + i * width * LANES), (i + LANES - 1) // LANES
        reflect_some(rows, x, v, blocks, scale[i])


def eigenpairs(const double[:, ::1] matrix, Py_ssize_t n):
    """All eigenvalues (d,) of a symmetric matrix (d, d), in descending order, and the eigenvectors (n, d) of the n largest.

    Raises LinAlgError where the matrix is not finite.
    """
    cdef Py_ssize_t d = matrix.shape[0], width = (d + LANES - 1) // LANES, i, j
    found_values, found_vectors = np.empty(d), np.empty((n, d))
    if d == 0:
        return found_values, found_vectors
    cdef double most = 0
    cdef bint finite = True
    for i in range(d):
        for j in range(d):
            most = max(most, fabs(matrix[i, j]))
            finite = finite and isfinite(matrix[i, j])
    if not finite:
        raise np.linalg.LinAlgError("a matrix whose eigenvectors are wanted is not finite")
    cdef int exponent = 0
    frexp(most, &exponent)
    cdef size_t vectors_room = d * width * sizeof(vec), room = (d + 4) * width * sizeof(vec) + vectors_room
    cdef char* memory = <char*>malloc(room + 16 * d * sizeof(double) + ALIGNMENT)
    if memory == NULL:
        raise MemoryError
    cdef char* begin = memory + (ALIGNMENT - <uintptr_t>memory % ALIGNMENT)
    cdef double* a = <double*>begin
    cdef vec* work = <vec*>begin + d * width
    cdef vec* vectors = work + 4 * width
    cdef double* diagonal = <double*>(begin + room)
    cdef double* beside = diagonal + d
    cdef double* scale = diagonal + 2 * d
    cdef double* c = diagonal + 3 * d
    cdef double* s = diagonal + 4 * d
    cdef double* ql_diagonal = diagonal + 5 * d
    cdef double* ql_beside = diagonal + 6 * d
    cdef double* more = diagonal + 7 * d
    cdef double[::1] values = found_values
    cdef double[:, ::1] out = found_vectors
    cdef double size = 0
    cdef bint settled, few = 2 * n <= d
    cdef vec* chosen[GROUP_MOST]
    cdef int rows
    with nogil:
        memset(begin, 0, room + 16 * d * sizeof(double))
        for i in range(d):
            for j in range(d):
                a[i * width * LANES + j] = ldexp(matrix[i, j], -exponent)
        reduce(a, d, width, work, diagonal, beside, scale)
        beside[d - 1] = 0
        for i in range(d):
            size = max(size, fabs(diagonal[i]) + fabs(beside[i]))
        memcpy(ql_diagonal, diagonal, 2 * d * sizeof(double))
        settled = True
        if few:
            settled = ql(ql_diagonal, ql_beside, d, size, c, s, NULL, width)
            order(ql_diagonal, d, more)
            for i in range(d):
                c[i] = ql_diagonal[<Py_ssize_t>more[i]]
            few = settled and inverse_iteration(
                diagonal, beside, d, size, c, n, vectors, width, more, <char*>(more + 4 * d)
            )
        if settled and few:
            memcpy(ql_diagonal, c, d * sizeof(double))
            for i in range(d):
                more[i] = i
        elif settled:
            memcpy(ql_diagonal, diagonal, 2 * d * sizeof(double))
            memset(vectors, 0, vectors_room)
            for i in range(d):
                (<double*>(vectors + i * width))[i] = 1
            settled = ql(ql_diagonal, ql_beside, d, size, c, s, vectors, width)
            order(ql_diagonal, d, more)
        if settled:
            for i in range(d):
                values[i] = ldexp(ql_diagonal[<Py_ssize_t>more[i]], exponent)
            i = 0
            while i < n:
                rows = <int>min(<Py_ssize_t>GROUP_MOST, n - i)
                for j in range(rows):
                    chosen[j] = vectors + <Py_ssize_t>more[i + j] * width
                reflect_back(a, scale, d, width, chosen, rows)
                for j in range(rows):
                    memcpy(&out[i + j, 0], chosen[j], d * sizeof(double))
                i += rows
    free(memory)
    if not settled:
        raise np.linalg.LinAlgError("the eigenvalues of a matrix do not settle")
    return found_values, found_vectors


def orthogonal_factors(const double[:, ::1] columns):
    """Of a matrix whose q columns are the rows of `columns` (q, m), q <= m: Q and R of its QR factorisation by Householder,
    Q in the same way (q, m), R (q, q) upper triangular."""
    cdef Py_ssize_t q = columns.shape[0], m = columns.shape[1], width = (m + LANES - 1) // LANES, i, j, first
    found_q, found_r = np.empty((q, m)), np.zeros((q, q))
    cdef double[:, ::1] out = found_q, triangle = found_r
    cdef size_t room = 2 * q * width * sizeof(vec) + q * sizeof(double)
    cdef char* memory = <char*>malloc(room + ALIGNMENT)
    if memory == NULL:
        raise MemoryError
    cdef vec* rows = <vec*>(memory + (ALIGNMENT - <uintptr_t>memory % ALIGNMENT))
    cdef vec* reflections = rows + q * width
    cdef double* scale = <double*>(reflections + q * width)
    cdef double* v
    cdef double norm, corner
    cdef vec* group[GROUP_MOST]
    cdef int k, count
    with nogil:
        memset(rows, 0, room)
        for i in range(q):
            memcpy(rows + i * width, &columns[i, 0], m * sizeof(double))
        for j in range(q):
            v = <double*>(reflections + j * width)
            memcpy(v + j, <double*>(rows + j * width) + j, (m - j) * sizeof(double))
            first = j // LANES
            norm, corner = sqrt(dot(<vec*>v + first, <vec*>v + first, width - first)), v[j]
            for i in range(j):
                triangle[i, j] = (<double*>(rows + j * width))[i]
            triangle[j, j] = -copysign(norm, corner)
            if norm > 0:
                v[j] = corner - triangle[j, j]
                scale[j] = 1 / (norm * (norm + fabs(corner)))
            i = j + 1
            while i < q:
                count = <int>min(<Py_ssize_t>GROUP_MOST, q - i)
                for k in range(count):
                    group[k] = rows + (i + k) * width + first
                reflect_some(count, group, <vec*>v + first, width - first, scale[j])
                i += count
        memset(rows, 0, q * width * sizeof(vec))
        i = 0
        while i < q:
            count = <int>min(<Py_ssize_t>GROUP_MOST, q - i)
            for k in range(count):
                (<double*>(rows + (i + k) * width))[i + k] = 1
            for j in range(i + count - 1, -1, -1):
                first = j // LANES
                for k in range(count):
                    group[k] = rows + (i + k) * width + first
                reflect_some(count, group, reflections + j * width + first, width - first, scale[j])
            for k in range(count):
                memcpy(&out[i + k, 0], rows + (i + k) * width, m * sizeof(double))
            i += count
    free(memory)
    return found_q, found_r


include "matrices.pxi"
