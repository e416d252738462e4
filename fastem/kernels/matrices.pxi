# Products, Cholesky factors and their inverses on one thread and in a fixed order of operations: a BLAS wakes threads of
# its own, which go on spinning beside the next pass, and its last bits depend on them. eigenpairs.pxi includes this.
# Reasons, numbered:
#
# 1. A tile of the result stays in registers: TILE_ROWS rows of TILE_VECTORS vectors, 12 sums of the 16 or 32 registers.
# 2. Entries are sums in the order of the inner index, by blocks of DEPTH, wherever they stand: an entry's bits do not
#    depend on the other rows and columns.
# 3. A strip of the second factor (DEPTH rows of a tile's columns) stays in L1, DEPTH x ROWS of the first one in L2.

cdef enum:
    TILE_ROWS = 6
    TILE_VECTORS = 2
    TILE_SUMS = 12     # the product of the two
    DEPTH = 256
    ROWS = 96          # a multiple of TILE_ROWS


cdef inline void add_to_tile(
    const int rows, Py_ssize_t depth, const double* a, Py_ssize_t down, Py_ssize_t along, const vec* b, vec* tile
) noexcept nogil:
    """tile (rows, TILE_VECTORS) += a (rows, depth), whose entries lie `down` and `along` apart, times b."""
    cdef vec sums[TILE_SUMS]
    cdef vec x, first, second
    cdef Py_ssize_t k
    cdef int i
    for i in range(rows):
        sums[2 * i], sums[2 * i + 1] = tile[2 * i], tile[2 * i + 1]
    for k in range(depth):
        first, second = b[2 * k], b[2 * k + 1]
        for i in range(rows):
            x = splat(a[i * down + k * along])
            sums[2 * i] = sums[2 * i] + x * first
            sums[2 * i + 1] = sums[2 * i + 1] + x * second
    for i in range(rows):
        tile[2 * i], tile[2 * i + 1] = sums[2 * i], sums[2 * i + 1]


cdef void add_product(
    const double[:, :] a, const double[:, :] b, double* out, double* strips
) noexcept nogil:
    """out (p, r) += a (p, q) b (q, r). strips: room for DEPTH rows of b, in whole tiles."""
    cdef Py_ssize_t p = a.shape[0], q = a.shape[1], r = b.shape[1], most = TILE_VECTORS * LANES
    cdef Py_ssize_t k0, depth, s, k, j, columns, i0, i, n_strips = (r + most - 1) // most, end
    cdef Py_ssize_t down = a.strides[0] // sizeof(double), along = a.strides[1] // sizeof(double)
    cdef vec tile[TILE_SUMS]
    cdef const double* rows
    cdef const vec* strip
    cdef double* place
    cdef int n, m
    k0 = 0
    while k0 < q:
        depth = min(DEPTH, q - k0)
        for s in range(n_strips):
            columns = min(most, r - s * most)
            for k in range(depth):
                place = strips + (s * depth + k) * most
                for j in range(columns):
                    place[j] = b[k0 + k, s * most + j]
                for j in range(columns, most):
                    place[j] = 0
        i0 = 0
        while i0 < p:
            end = min(i0 + ROWS, p)
            for s in range(n_strips):
                columns = min(most, r - s * most)
                strip = <const vec*>(strips + s * depth * most)
                i = i0
                while i < end:
                    n = TILE_ROWS if i + TILE_ROWS <= end else 1
                    rows = &a[i, k0]
                    place = out + i * r + s * most
                    memset(tile, 0, sizeof(tile))
                    for m in range(n):
                        memcpy(<double*>tile + m * most, place + m * r, columns * sizeof(double))
                    if n == TILE_ROWS:
                        add_to_tile(TILE_ROWS, depth, rows, down, along, strip, tile)
                    else:
                        add_to_tile(1, depth, rows, down, along, strip, tile)
                    for m in range(n):
                        memcpy(place + m * r, <double*>tile + m * most, columns * sizeof(double))
                    i += n
            i0 += ROWS
        k0 += DEPTH


def product(const double[:, :, :] a, const double[:, :, :] b):
    """(n, p, q) times (n, q, r), of any strides; a stack of one matrix meets every other: (n, p, r)."""
    cdef Py_ssize_t n = max(a.shape[0], b.shape[0]), p = a.shape[1], q = a.shape[2], r = b.shape[2], m
    cdef Py_ssize_t most = TILE_VECTORS * LANES
    cdef double[:, :, ::1] out = np.zeros((n, p, r))
    if n == 0 or p == 0 or q == 0 or r == 0:
        return np.asarray(out)
    memory = aligned(min(DEPTH, q) * ((r + most - 1) // most) * most)
    cdef uintptr_t address = memory.ctypes.data
    cdef double* strips = <double*>address
    with nogil:
        for m in range(n):
            add_product(a[m if a.shape[0] > 1 else 0], b[m if b.shape[0] > 1 else 0], &out[m, 0, 0], strips)
    return np.asarray(out)


def aligned(Py_ssize_t size):
    """Room for doubles, aligned for vectors."""
    memory = np.empty(size + ALIGNMENT // sizeof(double))
    start = -memory.ctypes.data % ALIGNMENT // sizeof(double)
    return memory[start : start + size]


def cholesky(const double[:, :, :] matrices):
    """(n, d, d) lower factors, and the number of the first matrix that is not positive definite, or -1."""
    cdef Py_ssize_t n = matrices.shape[0], d = matrices.shape[1], width = (d + LANES - 1) // LANES, m, i, j, failed = -1
    cdef double[:, :, ::1] factors = np.zeros((n, d, d))
    memory = aligned(d * width * LANES)
    cdef uintptr_t address = memory.ctypes.data
    cdef vec* upper = <vec*>address          # the rows of the transposed factor, from the diagonal on
    cdef double* row
    cdef double pivot
    with nogil:
        memset(upper, 0, d * width * sizeof(vec))
        for m in range(n):
            for i in range(d):
                row = <double*>(upper + i * width)
                for j in range(i, d):
                    row[j] = matrices[m, j, i]
            for j in range(d):
                row = <double*>(upper + j * width)
                if not (row[j] > 0 and isfinite(row[j])):
                    failed = m
                    break
                pivot = sqrt(row[j])
                for i in range(j, d):
                    row[i] = row[i] / pivot
                    factors[m, i, j] = row[i]
                for i in range(j + 1, d):
                    add_multiple(upper + i * width + i // LANES, -row[i], upper + j * width + i // LANES, width - i // LANES)
            if failed >= 0:
                break
    return np.asarray(factors), failed


def inverse_transposed(const double[:, :, :] factors):
    """(n, d, d) transposed inverses of lower triangular matrices."""
    cdef Py_ssize_t n = factors.shape[0], d = factors.shape[1], width = (d + LANES - 1) // LANES, m, i, j, k
    cdef double[:, :, ::1] upper = np.zeros((n, d, d))
    memory = aligned(d * width * LANES)
    cdef uintptr_t address = memory.ctypes.data
    cdef vec* inverse = <vec*>address
    cdef double* row
    with nogil:
        for m in range(n):
            memset(inverse, 0, d * width * sizeof(vec))
            for i in range(d):
                row = <double*>(inverse + i * width)
                row[i] = 1
                for k in range(i):
                    add_multiple(inverse + i * width, -factors[m, i, k], inverse + k * width, k // LANES + 1)
                for j in range(i + 1):
                    row[j] = row[j] / factors[m, i, i]
                    upper[m, j, i] = row[j]
    return np.asarray(upper)
