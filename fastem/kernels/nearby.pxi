# Components that are nothing to all rows of a tile, left out by proof: where there are many and few columns.
#
# Rows go in an order in which those of a tile lie together: halves of halves along the widest column (a k-d tree). Where
# log p = constant - |A x + b|^2, a row of the box with centre c and half widths h has
#
#   |A c + b| - s <= |A x + b| <= |A c + b| + s,   s = | |A| h |
#
# and a component whose best is NEARBY_OUT below what another has at least has a responsibility below 2^-60 of the largest,
# which is exactly 0 (see normalise). The boxes of BOXES tiles go through the family's own log_prob as if they were rows, once
# their centres, and once their half widths with |A| in place of A. What is left over goes on with the arrays of those
# components alone, moved together.
#
# Whether that pays is seen from some rows, before any are moved: where the density is p, a tile is some NEARBY_ROWS / (n p)
# large.

cdef enum:
    NEARBY_ROWS = 128          # of a tile: a multiple of ROW_VECTORS * LANES of every build
    NEARBY_COLUMNS = 8         # beyond, a box of so many rows reaches too far
    NEARBY_COMPONENTS = 144    # of float64, twice as many of float32: as many have to be left out to pay for the order of
                               # rows in a single pass, as where they are read anew for each
    NEARBY_LEAST = 8192        # rows
    MOST_WIDE = 60             # the logarithm of how wide a box may be
    SAMPLE = 33                # values of which one is a pivot
    SEGMENTS = 64              # of rows, that threads put in order each on its own
    BOXES = ROW_VECTORS * LANES

cdef real NEARBY_OUT = <real>42            # a little more than LEFT_OUT: bounds are rounded too
cdef real NEARBY_SLACK = <real>(1e-12 if sizeof(real) == 8 else 1e-5)

cdef struct Nearby:
    # the work space of a thread
    vec* boxes               # (2 d, ROW_VECTORS) centres, then half widths
    vec* best                # (K, ROW_VECTORS) out of the boxes' centres: what log p is at most
    vec* reach               # (K, ROW_VECTORS)
    Py_ssize_t* found        # (BOXES, K) the components that are left over
    Py_ssize_t n_found[64]   # (BOXES)
    real* params             # of these, one array after the other
    double* sums             # of these
    Job job                  # with these


cdef Py_ssize_t nearby_bytes(const Job* job) noexcept nogil:
    """What a thread needs for it."""
    cdef Py_ssize_t p, reals = 0
    for p in range(job.parts[0].n_params):
        reals += job.parts[0].of_each[p]
    return (sizeof(vec) * 2 * (job.d + job.K) * ROW_VECTORS + sizeof(Py_ssize_t) * BOXES * job.K
            + sizeof(double) * (job.parts[0].family.n_sums + job.K) + sizeof(real) * (job.K * reals + LANES))


cdef void set_nearby(const Job* job, Nearby* near, char* work) noexcept nogil:
    near.boxes = <vec*>work
    near.best = near.boxes + 2 * job.d * ROW_VECTORS
    near.reach = near.best + job.K * ROW_VECTORS
    near.found = <Py_ssize_t*>(near.reach + job.K * ROW_VECTORS)
    near.sums = <double*>(near.found + BOXES * job.K)
    near.params = <real*>(near.sums + job.parts[0].family.n_sums)
    near.job = job[0]


cdef void set_boxes(const Job* job, Nearby* near, Py_ssize_t tile, Py_ssize_t n_tiles) noexcept nogil:
    """Of at most BOXES tiles."""
    cdef Py_ssize_t b, i, j, S = ROW_VECTORS, d = job.d
    cdef real low, high, middle
    for b in range(BOXES):
        i = tile + min(b, n_tiles - 1)
        for j in range(d):
            low, high = job.low[i * d + j] - job.centre[j], job.high[i * d + j] - job.centre[j]
            middle = low + (high - low) / 2
            (<real*>(near.boxes + j * S))[b] = middle
            (<real*>(near.boxes + (d + j) * S))[b] = max(high - middle, middle - low)


cdef void log_prob_of_boxes(const Job* job, vec* x, const real** params, vec* joint) noexcept nogil:
    """Of x (d, ROW_VECTORS) as if they were rows."""
    cdef Tile boxes
    memset(&boxes, 0, sizeof(Tile))
    boxes.vectors = boxes.stride = ROW_VECTORS
    boxes.d, boxes.K = job.d, job.K
    boxes.x, boxes.joint = x, joint
    job.parts[0].family.log_prob(&boxes, params)


cdef void find_nearby(const Job* job, Nearby* near) noexcept nogil:
    """The components that are left over in each of the boxes."""
    cdef Py_ssize_t b, j, k, S = ROW_VECTORS, K = job.K
    cdef vec top[4]
    cdef vec limit[4]
    cdef vec distance, reach, least, constant
    cdef int v
    log_prob_of_boxes(job, near.boxes, <const real**>job.centres, near.best)
    log_prob_of_boxes(job, near.boxes + job.d * S, <const real**>job.widths, near.reach)
    for v in range(ROW_VECTORS):
        top[v] = splat(LOWEST)
    for k in range(K):
        constant = splat(job.parts[0].params[0][k])
        for v in range(ROW_VECTORS):
            distance = vsqrt(splat(0) - near.best[k * S + v])
            reach = vsqrt(splat(0) - near.reach[k * S + v]) + distance * splat(NEARBY_SLACK)
            least = vmax(distance - reach, splat(0))
            near.best[k * S + v] = vmax(constant - least * least, splat(LOWEST))
            distance = distance + reach
            top[v] = vmax(top[v], constant - distance * distance)
    for v in range(ROW_VECTORS):
        limit[v] = top[v] - splat(NEARBY_OUT)
    for b in range(BOXES):
        near.n_found[b] = 0
    for k in range(K):
        for v in range(ROW_VECTORS):
            least = where_less(near.best[k * S + v], limit[v], splat(0), splat(1))
            if any_less(splat(0), least):
                for j in range(LANES):
                    if lane(least, j) > 0:
                        b = v * LANES + j
                        near.found[b * K + near.n_found[b]] = k
                        near.n_found[b] += 1


cdef Py_ssize_t take_nearby(const Job* job, Nearby* near, Py_ssize_t box) noexcept nogil:
    """Move the arrays of the components of a box together; returns how many these are, or 0: take all as they are."""
    cdef Py_ssize_t i, p, size, K = job.K, n = near.n_found[box]
    cdef const Py_ssize_t* found = near.found + box * K
    cdef Share* part = &near.job.parts[0]
    cdef real* to = near.params
    if 4 * n > 3 * K:
        return 0
    for p in range(part.n_params):
        size = part.of_each[p]
        part.params[p] = to
        for i in range(n):
            memcpy(to + i * size, job.parts[0].params[p] + found[i] * size, size * sizeof(real))
        to += n * size
    near.job.K = n
    return n


cdef void expect_nearby(const Job* job, Nearby* near, Tile* t, Py_ssize_t box, double* sums) noexcept nogil:
    """The sums of a tile, with the components that are left over there."""
    cdef Py_ssize_t i, j, each = job.parts[0].family.n_sums // job.K, n = take_nearby(job, near, box)
    cdef double* own
    if n == 0:
        log_prob(job, t)
        normalise(t, t.log_likelihood)
        accumulate(job, t, sums)
        return
    t.K = n
    memset(near.sums, 0, n * each * sizeof(double))
    log_prob(&near.job, t)
    normalise(t, t.log_likelihood)
    accumulate(&near.job, t, near.sums)
    t.K = job.K
    for i in range(n):
        own = sums + near.found[box * job.K + i] * each
        for j in range(each):
            own[j] += near.sums[i * each + j]


cdef double nearby_left_over(const Job* job, const real[:, :] X):
    """How many components are left over in boxes about some of the rows, as large as those of tiles will be: the mean."""
    cdef Nearby near
    cdef Py_ssize_t b, j, k, left = 0, S = ROW_VECTORS, d = job.d
    cdef real* x
    cdef vec top[4]
    cdef double log_size = scalar_log(<double>NEARBY_ROWS / job.n), mean, size
    cdef double[:, ::1] rows = np.empty((BOXES, d))
    cdef double[::1] log_units = np.zeros(d)
    cdef char* block = <char*>malloc(nearby_bytes(job) + ALIGNMENT)
    if block == NULL:
        raise MemoryError("no memory for boxes of rows")
    set_nearby(job, &near, block + (ALIGNMENT - <uintptr_t>block % ALIGNMENT))
    x = <real*>near.boxes
    for j in range(d):
        mean = 0
        for b in range(BOXES):
            rows[b, j] = X[b * job.n // BOXES, j] - job.centre[j]
            x[j * BOXES + b] = <real>rows[b, j]
            mean += rows[b, j] / BOXES
        for b in range(BOXES):
            log_units[j] += abs(rows[b, j] - mean) / BOXES
        log_units[j] = scalar_log(log_units[j]) if 0 < log_units[j] < INFINITY else 0
        log_size -= log_units[j]
    log_prob_of_boxes(job, near.boxes, <const real**>job.parts[0].params, near.best)
    for v in range(ROW_VECTORS):
        top[v] = near.best[v]
        for k in range(1, job.K):
            top[v] = vmax(top[v], near.best[k * S + v])
    for b in range(BOXES):
        size = (log_size - (<const real*>top)[b]) / d
        for j in range(d):
            x[(d + j) * BOXES + b] = lane(vexp(splat(<real>min(size + log_units[j], <double>MOST_WIDE))), 0) / 2
    find_nearby(job, &near)
    free(block)
    for b in range(BOXES):
        left += near.n_found[b]
    return <double>left / BOXES


cdef inline real place_of(const real* x, Py_ssize_t row, Py_ssize_t d, Py_ssize_t j) noexcept nogil:
    """x (row, j); a missing value lies beyond all."""
    cdef real value = x[row * d + j]
    return value if value == value else <real>INFINITY


cdef void select_rows(real* x, Py_ssize_t* rows, Py_ssize_t d, Py_ssize_t j, Py_ssize_t n, Py_ssize_t at) noexcept nogil:
    """Move the `at` rows that are least in column j before all others (Hoare's selection)."""
    cdef Py_ssize_t i, k, c, m, left = 0, right = n - 1
    cdef uint64_t state = 1
    cdef real pivot
    cdef real sample[SAMPLE]
    while left < right:
        m = SAMPLE if right - left > 16 * SAMPLE else 9 if right - left > 64 else 1
        for i in range(m):                   # a sample in order, drawn at random: no order of the rows is slow
            state = state * <uint64_t>6364136223846793005 + <uint64_t>1442695040888963407
            pivot = place_of(x, left + <Py_ssize_t>((state >> 33) % <uint64_t>(right - left + 1)), d, j)
            k = i
            while k > 0 and pivot < sample[k - 1]:
                sample[k] = sample[k - 1]
                k -= 1
            sample[k] = pivot
        pivot = sample[(at - left) * (m - 1) // (right - left)]
        i, k = left, right
        while i <= k:
            while place_of(x, i, d, j) < pivot:
                i += 1
            while pivot < place_of(x, k, d, j):
                k -= 1
            if i <= k:
                for c in range(d):
                    x[i * d + c], x[k * d + c] = x[k * d + c], x[i * d + c]
                rows[i], rows[k] = rows[k], rows[i]
                i += 1
                k -= 1
        if at <= k:
            right = k
        elif at >= i:
            left = i
        else:
            return


cdef Py_ssize_t halve_once(real* x, Py_ssize_t* rows, const double* unit, Py_ssize_t d, Py_ssize_t n) noexcept nogil:
    """Move the lower half of n rows along their widest column before the others; returns how many these are, whole tiles."""
    cdef Py_ssize_t r, j, widest = 0, half
    cdef double width, most = -1
    cdef real low, high
    if n <= NEARBY_ROWS:
        return n
    for j in range(d):
        low, high = <real>INFINITY, -<real>INFINITY
        for r in range(n):
            low, high = min(low, x[r * d + j]), max(high, x[r * d + j])
        width = (<double>high - <double>low) / unit[j]
        if width > most:
            widest, most = j, width
    half = (n // NEARBY_ROWS + 1) // 2 * NEARBY_ROWS
    select_rows(x, rows, d, widest, n, half)
    return half


cdef void halve_rows(real* x, Py_ssize_t* rows, const double* unit, Py_ssize_t d, Py_ssize_t n) noexcept nogil:
    """Put n rows in an order in which those of a tile lie together."""
    cdef Py_ssize_t half
    while n > NEARBY_ROWS:
        half = halve_once(x, rows, unit, d, n)
        halve_rows(x, rows, unit, d, half)
        x, rows, n = x + half * d, rows + half, n - half


cdef void halve_side_by_side(real* x, Py_ssize_t* rows, const double* unit, Py_ssize_t d, Py_ssize_t n, int n_threads) noexcept nogil:
    """The same on several threads: first the segments, each level of them, then what is in them."""
    cdef Py_ssize_t starts[SEGMENTS + 1]
    cdef Py_ssize_t halves[SEGMENTS]
    cdef Py_ssize_t i, n_segments = 1
    starts[0], starts[1] = 0, n
    while n_segments < SEGMENTS:
        for i in prange(n_segments, num_threads=n_threads, schedule="dynamic", chunksize=1):
            halves[i] = halve_once(x + starts[i] * d, rows + starts[i], unit, d, starts[i + 1] - starts[i])
        starts[2 * n_segments] = starts[n_segments]
        for i in range(n_segments - 1, -1, -1):
            starts[2 * i + 1] = starts[i] + halves[i]
            starts[2 * i] = starts[i]
        n_segments *= 2
    for i in prange(n_segments, num_threads=n_threads, schedule="dynamic", chunksize=1):
        halve_rows(x + starts[i] * d, rows + starts[i], unit, d, starts[i + 1] - starts[i])


def nearby_pays(tuple parts, const real[:, :] X, const real[::1] centre, Py_ssize_t n_components):
    """Whether `expect` is faster with the rows in the order of `nearby_rows`."""
    cdef Job job
    cdef Part part
    (part,) = parts
    if not part.takes_nearby or X.shape[0] < NEARBY_LEAST:
        return False
    prepare(&job, parts, X, centre, n_components, None, None, None)
    kept = prepare_bounds(&job, part)
    return n_components - nearby_left_over(&job, X) > NEARBY_COMPONENTS * 8 // <int>sizeof(real)


def nearby_rows(X, Py_ssize_t n_threads):
    """(rows, low, high): the rows of X (n, d) in an order in which those of a tile lie together, as `expect` takes them, and
    the least and largest values of the columns in each tile (n_tiles, d)."""
    cdef Py_ssize_t n = X.shape[0], d = X.shape[1], r, j, tile, padded = (n + BOXES - 1) // BOXES * BOXES
    cdef double mean
    cdef int team = <int>(startable(n_threads) if n_threads > 1 else 1)
    cdef real[:, ::1] x = np.array(X, order="C")
    order, units = np.arange(padded), np.ones(d)
    low, high = (np.full(((n + NEARBY_ROWS - 1) // NEARBY_ROWS, d), end, np.asarray(x).dtype) for end in (np.inf, -np.inf))
    cdef Py_ssize_t[::1] rows = order
    cdef double[::1] unit = units
    cdef real[:, ::1] least = low
    cdef real[:, ::1] most = high
    with nogil:
        for j in range(d):               # mean absolute deviations: one far row does not decide what is wide
            mean = 0
            for r in range(n):
                mean += <double>x[r, j] / n
            unit[j] = 0
            for r in range(n):
                unit[j] += abs(<double>x[r, j] - mean) / n
            if not 0 < unit[j] < INFINITY:
                unit[j] = 1
        if team > 1:
            halve_side_by_side(&x[0, 0], &rows[0], &unit[0], d, n, team)
        else:
            halve_rows(&x[0, 0], &rows[0], &unit[0], d, n)
        for r in range(n):
            tile = r // NEARBY_ROWS
            for j in range(d):
                least[tile, j], most[tile, j] = min(least[tile, j], x[r, j]), max(most[tile, j], x[r, j])
        for r in range(n, padded):
            rows[r] = -1 - rows[n - 1]
    return order, low, high
