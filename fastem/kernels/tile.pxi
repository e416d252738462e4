# A tile is some 64-512 rows of data, turned so that a column's rows are contiguous: lanes are rows.
# Everything of a tile stays in the first or second level cache.
#
#   n rows   d features   K components   S = tile.stride: reals from one column to the next
#
# A family is two functions of a tile (FAMILIES in mixture_pass.pxi); `params` are its arrays, packed by the caller.

cdef extern from "simd.h" nogil:
    ctypedef double real
    ctypedef double vec
    enum: LANES
    enum: ROW_VECTORS
    enum: GRAM_BLOCK
    enum: FACTOR_BLOCK
    enum: DIAGONAL_BLOCK
    enum: ALIGNMENT
    const real LOWEST
    vec splat(real)
    real lane(vec, int)
    vec vmax(vec, vec)
    vec vmin(vec, vec)
    vec vsqrt(vec)
    vec vexp(vec)
    vec vlog(vec)
    vec where_less(vec, vec, vec, vec)
    void add_lane_sums(vec*, ptrdiff_t, double*)
    void turn_rows(const int, const char*, ptrdiff_t, const real*, vec*, ptrdiff_t)
    void turn_back(const vec*, ptrdiff_t, real*, ptrdiff_t, ptrdiff_t)
    vec vexp_negative(vec)


cdef struct Tile:
    Py_ssize_t vectors     # vectors of rows in use, a multiple of ROW_VECTORS; the rest of a tail is rows of weight 0
    Py_ssize_t stride      # vectors from one column to the next
    Py_ssize_t d
    Py_ssize_t K
    vec* x                 # (d, S) in: the rows, about the centre
    vec* weight            # (S) in: sample weights
    vec* root_weight       # (S) in: their square roots
    vec* joint             # (K, S) out of log_prob: log p(x, z=k); into accumulate: sqrt(weight * responsibility)
    vec* scratch           # (d + 1, S) the family's own, kept from log_prob to accumulate
    vec* acc               # sums with one lane per row lane, the family's own


cdef inline void load_column(const char* column, Py_ssize_t step, Py_ssize_t first, Py_ssize_t n, real centre, real* out) noexcept nogil:
    """out[r] = column[r] - centre for first <= r < n; step in bytes."""
    cdef Py_ssize_t r
    if step == <Py_ssize_t>sizeof(real):
        for r in range(first, n):
            out[r] = (<const real*>column)[r] - centre
    else:
        for r in range(first, n):
            out[r] = (<const real*>(column + r * step))[0] - centre


cdef inline Py_ssize_t turn_columns(const int columns, const char* x, Py_ssize_t row_step, Py_ssize_t n, const real* centre,
                                    vec* out, Py_ssize_t stride) noexcept nogil:
    """Turn whole vectors of rows, `columns` entries wide; returns how many rows that is."""
    cdef Py_ssize_t i
    for i in range(n // LANES):
        turn_rows(columns, x + i * LANES * row_step, row_step, centre, out + i, stride)
    return n // LANES * LANES


cdef void load_rows(const char* x, Py_ssize_t row_step, Py_ssize_t column_step, Py_ssize_t n, Py_ssize_t padded, Py_ssize_t d,
                    const real* centre, vec* out, Py_ssize_t stride) noexcept nogil:
    """out (d, stride) = the n rows, turned, about the centre; the padding is 0. Any strides; contiguous rows go in blocks."""
    cdef Py_ssize_t i, j, rows = 0, columns = 0
    if column_step == <Py_ssize_t>sizeof(real):
        if d == 2 and LANES > 2 and row_step == 2 * column_step:
            columns, rows = 2, turn_columns(2, x, row_step, n, centre, out, stride)
        elif d == 4 and LANES > 4 and row_step == 4 * column_step:
            columns, rows = 4, turn_columns(4, x, row_step, n, centre, out, stride)
        else:
            columns = d // LANES * LANES
            for j in range(d // LANES):
                rows = turn_columns(LANES, x + j * LANES * column_step, row_step, n, centre + j * LANES,
                                    out + j * LANES * stride, stride)
    for j in range(d):
        load_column(x + j * column_step, row_step, rows if j < columns else 0, n, centre[j], <real*>(out + j * stride))
        for i in range(n, padded):
            (<real*>(out + j * stride))[i] = 0


cdef inline vec log_prob_of(vec constant, vec squares) noexcept nogil:
    """constant - squares; log 0 where that overflows."""
    return vmax(constant - squares, splat(LOWEST))


cdef void square(const Tile* t) noexcept nogil:
    """The responsibilities times weights themselves, in place of their roots."""
    cdef vec* joint = t.joint
    cdef Py_ssize_t k, r, S = t.stride
    for k in range(t.K):
        for r in range(t.vectors):
            joint[k * S + r] = joint[k * S + r] * joint[k * S + r]


cdef inline void gram_block(const int m, const int n, const bint triangle, Py_ssize_t vectors, Py_ssize_t stride,
                            const vec* a, const vec* b, vec* out, Py_ssize_t row_step, Py_ssize_t growth) noexcept nogil:
    """out_ij = sum over rows of a_i b_j (triangle: j <= i only), m x n sums in registers, m and n <= 5.

    Row i of the sums begins row_step + i * growth after row i - 1: growth 1 in a packed lower triangle, 0 in a matrix.
    """
    cdef vec s[25]
    cdef vec left
    cdef Py_ssize_t r
    cdef int i, j
    for i in range(m):
        for j in range(n):
            s[5 * i + j] = splat(0)
    for r in range(vectors):
        for i in range(m):
            left = a[i * stride + r]
            for j in range(i + 1 if triangle else n):
                s[5 * i + j] = s[5 * i + j] + left * b[j * stride + r]
    for i in range(m):
        for j in range(i + 1 if triangle else n):
            out[j] = s[5 * i + j]
        out += row_step + i * growth


cdef inline void gram_rows(const int m, Py_ssize_t i, Py_ssize_t vectors, Py_ssize_t stride, const vec* z, vec* out) noexcept nogil:
    """Rows i .. i+m of the packed lower triangle of Z Z^T."""
    cdef Py_ssize_t block, j
    out += i * (i + 1) // 2
    for block in range(i // GRAM_BLOCK):
        j = block * GRAM_BLOCK
        gram_block(m, GRAM_BLOCK, False, vectors, stride, z + i * stride, z + j * stride, out + j, i + 1, 1)
    gram_block(m, m, True, vectors, stride, z + i * stride, z + i * stride, out + i, i + 1, 1)


cdef void gram(Py_ssize_t rows, Py_ssize_t vectors, Py_ssize_t stride, const vec* z, vec* out) noexcept nogil:
    """out = the lower triangle of Z Z^T, packed by rows; z (rows, stride), i.e. one sum over the tile per pair of rows."""
    cdef Py_ssize_t i = 0
    while i + GRAM_BLOCK + 1 < rows or i + GRAM_BLOCK == rows:
        gram_rows(GRAM_BLOCK, i, vectors, stride, z, out)
        i += GRAM_BLOCK
    if rows - i == GRAM_BLOCK + 1:           # one more row than a block: a block of one row alone would wait for its sums
        gram_rows(GRAM_BLOCK + 1, i, vectors, stride, z, out)
    elif rows - i == 1:
        gram_rows(1, i, vectors, stride, z, out)
    elif rows - i == 2:
        gram_rows(2, i, vectors, stride, z, out)
    elif rows - i == 3:
        gram_rows(3, i, vectors, stride, z, out)


cdef inline void factor_column(const int first, const int m, const real* factor, const vec* x, vec* s) noexcept nogil:
    """s_a += factor_a x for first <= a < m and ROW_VECTORS vectors of rows."""
    cdef vec l
    cdef int a, v
    for a in range(first, m):
        l = splat(factor[a])
        for v in range(ROW_VECTORS):
            s[4 * a + v] = s[4 * a + v] + l * x[v]


cdef inline const real* factor_rows(const int m, const bint keep, Py_ssize_t i, const real* factor, const real* offset,
                                    const vec* x, Py_ssize_t stride, vec* y, vec* squares) noexcept nogil:
    """y_i .. y_i+m = (lower triangular factor) x + offset for ROW_VECTORS vectors of rows; returns the factor's next rows.

    keep: store y; otherwise add the squares of y to `squares`. factor holds column j of the m rows together, then column j+1.
    """
    cdef vec s[16]
    cdef Py_ssize_t j
    cdef int a, v
    for a in range(m):
        for v in range(ROW_VECTORS):
            s[4 * a + v] = splat(offset[i + a])
    for j in range(i):
        factor_column(0, m, factor + j * m, x + j * stride, s)
    factor += i * m
    x += i * stride
    factor_column(0, m, factor, x, s)        # the triangle on the diagonal, spelt out so that the sums stay in registers
    if m > 1:
        factor_column(1, m, factor + m, x + stride, s)
    if m > 2:
        factor_column(2, m, factor + 2 * m, x + 2 * stride, s)
    if m > 3:
        factor_column(3, m, factor + 3 * m, x + 3 * stride, s)
    for a in range(m):
        for v in range(ROW_VECTORS):
            if keep:
                y[(i + a) * stride + v] = s[4 * a + v]
            else:
                squares[v] = squares[v] + s[4 * a + v] * s[4 * a + v]
    return factor + m * m


cdef inline void factor_times(const bint keep, Py_ssize_t d, const real* factor, const real* offset,
                              const vec* x, Py_ssize_t stride, vec* y, vec* squares) noexcept nogil:
    """y = L x + offset (keep) or squares += |L x + offset|^2, for ROW_VECTORS vectors of rows."""
    cdef Py_ssize_t i = 0
    while i + FACTOR_BLOCK <= d:
        factor = factor_rows(FACTOR_BLOCK, keep, i, factor, offset, x, stride, y, squares)
        i += FACTOR_BLOCK
    if d - i == 1:
        factor_rows(1, keep, i, factor, offset, x, stride, y, squares)
    elif d - i == 2:
        factor_rows(2, keep, i, factor, offset, x, stride, y, squares)
    elif d - i == 3:
        factor_rows(3, keep, i, factor, offset, x, stride, y, squares)
