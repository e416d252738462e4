# Products, Cholesky factors and their inverses, each on one thread and in a fixed order of operations: a BLAS wakes threads
# of its own, which go on spinning beside the next pass, and its last bits depend on them. Of a stack, n_threads matrices go
# side by side. eigenpairs.pxi includes this.
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
    const double[:, :, :] a, const double[:, :, :] b, Py_ssize_t index, double* out, double* strips
) noexcept nogil:
    """out (p, r) += a (p, q) b (q, r) of these matrices of two stacks. strips: room for DEPTH rows of b, in whole tiles."""
    cdef Py_ssize_t p = a.shape[1], q = a.shape[2], r = b.shape[2], most = TILE_VECTORS * LANES
    cdef Py_ssize_t of_a = index if a.shape[0] > 1 else 0, of_b = index if b.shape[0] > 1 else 0
    cdef Py_ssize_t k0, depth, s, k, j, columns, i0, i, n_strips = (r + most - 1) // most, end
    cdef Py_ssize_t down = a.strides[1] // sizeof(double), along = a.strides[2] // sizeof(double)
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
                    place[j] = b[of_b, k0 + k, s * most + j]
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
                    rows = &a[of_a, i, k0]
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


def product(const double[:, :, :] a, const double[:, :, :] b, Py_ssize_t n_threads=1):
    """(n, p, q) times (n, q, r), of any strides; a stack of one matrix meets every other: (n, p, r)."""
    cdef Py_ssize_t n = max(a.shape[0], b.shape[0]), p = a.shape[1], q = a.shape[2], r = b.shape[2], m
    cdef Py_ssize_t most = TILE_VECTORS * LANES, size = min(DEPTH, q) * ((r + most - 1) // most) * most
    cdef double[:, :, ::1] out = np.zeros((n, p, r))
    if n == 0 or p == 0 or q == 0 or r == 0:
        return np.asarray(out)
    memory = aligned(n_threads * size)
    cdef uintptr_t address = memory.ctypes.data
    cdef double* strips = <double*>address
    with nogil:
        if n_threads == 1:                   # no thread team, and nothing that a fork could break
            for m in range(n):
                add_product(a, b, m, &out[m, 0, 0], strips)
        else:
            for m in prange(n, num_threads=n_threads, schedule="static"):
                add_product(a, b, m, &out[m, 0, 0], strips + threadid() * size)
    return np.asarray(out)


def aligned(Py_ssize_t size):
    """Room for doubles, aligned for vectors."""
    memory = np.empty(size + ALIGNMENT // sizeof(double))
    start = -memory.ctypes.data % ALIGNMENT // sizeof(double)
    return memory[start : start + size]


cdef bint cholesky_of(const double[:, :, :] matrices, Py_ssize_t m, vec* upper, double[:, :, ::1] factors) noexcept nogil:
    """The lower factor of one matrix; whether it is positive definite. upper: room for the rows of the transposed factor,
    from the diagonal on; what lies left of it is never read."""
    cdef Py_ssize_t d = matrices.shape[1], width = (d + LANES - 1) // LANES, i, j
    cdef double* row
    cdef double pivot
    for i in range(d):
        row = <double*>(upper + i * width)
        for j in range(i, d):
            row[j] = matrices[m, j, i]
    for j in range(d):
        row = <double*>(upper + j * width)
        if not (row[j] > 0 and isfinite(row[j])):
            return False
        pivot = sqrt(row[j])
        for i in range(j, d):
            row[i] = row[i] / pivot
            factors[m, i, j] = row[i]
        for i in range(j + 1, d):
            add_multiple(upper + i * width + i // LANES, -row[i], upper + j * width + i // LANES, width - i // LANES)
    return True


def cholesky(const double[:, :, :] matrices, Py_ssize_t n_threads=1):
    """(n, d, d) lower factors, and the number of the first matrix that is not positive definite, or -1."""
    cdef Py_ssize_t n = matrices.shape[0], d = matrices.shape[1], size = d * ((d + LANES - 1) // LANES), m
    cdef double[:, :, ::1] factors = np.zeros((n, d, d))
    found = np.zeros(n, np.intc)
    cdef int[::1] good = found
    memory = aligned(n_threads * size * LANES)
    memory[:] = 0
    cdef uintptr_t address = memory.ctypes.data
    cdef vec* upper = <vec*>address
    with nogil:
        if n_threads == 1:
            for m in range(n):
                good[m] = cholesky_of(matrices, m, upper, factors)
        else:
            for m in prange(n, num_threads=n_threads, schedule="static"):
                good[m] = cholesky_of(matrices, m, upper + threadid() * size, factors)
    return np.asarray(factors), -1 if found.all() else int(found.argmin())


cdef void inverse_of(const double[:, :, :] factors, Py_ssize_t m, vec* inverse, double[:, :, ::1] upper) noexcept nogil:
    """The transposed inverse of one lower triangular matrix. inverse: room for its rows."""
    cdef Py_ssize_t d = factors.shape[1], width = (d + LANES - 1) // LANES, i, j, k
    cdef double* row
    memset(inverse, 0, d * width * sizeof(vec))
    for i in range(d):
        row = <double*>(inverse + i * width)
        row[i] = 1
        for k in range(i):
            add_multiple(inverse + i * width, -factors[m, i, k], inverse + k * width, k // LANES + 1)
        for j in range(i + 1):
            row[j] = row[j] / factors[m, i, i]
            upper[m, j, i] = row[j]


def inverse_transposed(const double[:, :, :] factors, Py_ssize_t n_threads=1):
    """(n, d, d) transposed inverses of lower triangular matrices."""
    cdef Py_ssize_t n = factors.shape[0], d = factors.shape[1], size = d * ((d + LANES - 1) // LANES), m
    cdef double[:, :, ::1] upper = np.zeros((n, d, d))
    memory = aligned(n_threads * size * LANES)
    cdef uintptr_t address = memory.ctypes.data
    cdef vec* inverse = <vec*>address
    with nogil:
        if n_threads == 1:
            for m in range(n):
                inverse_of(factors, m, inverse, upper)
        else:
            for m in prange(n, num_threads=n_threads, schedule="static"):
                inverse_of(factors, m, inverse + threadid() * size, upper)
    return np.asarray(upper)
