# Log-densities of full Gaussians where most components are nothing to most rows.
#
# A responsibility below 2^-60 of the row's largest is exactly 0 (see normalise), so such a component needs no density, only
# the proof. The squares of the first half of the whitened coordinates are a quarter of the work, and constant - squares is a
# bound on log p: rounded sums of squares never fall. The component that these squares promise most, as if the other half were
# alike, gives a row a log p that its largest one reaches at least. Those whose bounds lie LEFT_OUT below keep these; all others
# are finished, with the rows that need them moved together. What is summed has the same bits as if all were finished.

cdef enum:
    LEAST_COLUMNS = 48         # below, moving a row costs as much as finishing it
    LEAST_COMPONENTS = 8       # one in so many is finished twice
    LONG_PAUSE = 31            # tiles
    HEAD = 2                   # one in so many coordinates is for the bound

cdef real LEFT_OUT = <real>41.65   # a little more than log 2^60


cdef inline bint pays_to_prune(const Tile* t) noexcept nogil:
    """Whether to look for components that can be left out: not for some time after few could."""
    if not t.rounded or t.d < LEAST_COLUMNS or t.K < LEAST_COMPONENTS:
        return False
    if t.pause[0] > 0:
        t.pause[0] -= 1
        return False
    return True


cdef inline Py_ssize_t head_of(Py_ssize_t d) noexcept nogil:
    """Coordinates for the bound."""
    return max(1, d // (HEAD * FACTOR_BLOCK)) * FACTOR_BLOCK


cdef void prune_full(const Tile* t, const real* constant, const real* factors, const real* offsets) noexcept nogil:
    """joint = log p(x, z=k), or a bound on it that lies LEFT_OUT below the row's largest. Columns of scratch: the largest log p
    so far and its component, then the places of rows, then rows that are moved together."""
    cdef Py_ssize_t k, r, n, S = t.stride, d = t.d, head = head_of(d), rows = t.vectors * LANES, finished = 0
    cdef vec* top = t.scratch
    cdef vec* best = t.scratch + S
    cdef vec* moved = t.scratch + d * S
    cdef vec* squares = moved + d * S
    cdef Py_ssize_t* place = <Py_ssize_t*>(t.scratch + 2 * S)
    cdef real* joint
    cdef real limit
    bounds_of_all(t, constant, factors, offsets, head, top, best)
    for k in range(t.K):                     # log p of the row's best so far
        n = 0
        for r in range(rows):
            place[n] = r
            n += (<const real*>best)[r] == <real>k
        if n:
            finish(t, k, head, factors, offsets, place, n, moved, squares)
            for r in range(n):
                (<real*>top)[place[r]] = constant[k] - (<const real*>squares)[r]
    for k in range(t.K):
        joint = <real*>(t.joint + k * S)
        n = 0
        for r in range(rows):
            place[n] = r
            n += not constant[k] - joint[r] < (<const real*>top)[r] - LEFT_OUT    # also where it is no number
        finished += n
        if not pays_to_gather(n, rows, d):
            finish_all(t, k, head, constant, factors, offsets)
            continue
        if n:
            finish(t, k, head, factors, offsets, place, n, moved, squares)
        for r in range(t.vectors):
            t.joint[k * S + r] = vmax(splat(constant[k]) - t.joint[k * S + r], splat(LOWEST))
        for r in range(n):
            limit = constant[k] - (<const real*>squares)[r]
            joint[place[r]] = limit if limit > LOWEST else LOWEST
    if 3 * finished > rows * t.K:
        t.pause[0] = LONG_PAUSE


cdef inline void bounds_of_all(const Tile* t, const real* constant, const real* factors, const real* offsets, Py_ssize_t head,
                               vec* top, vec* best) noexcept nogil:
    """joint = the squares of the first coordinates; top and best: the largest bound and its component."""
    cdef Py_ssize_t k, group, g, S = t.stride, d = t.d
    cdef vec squares[4]
    cdef vec bound
    cdef int v
    for k in range(t.K):
        for group in range(t.vectors // ROW_VECTORS):
            g = group * ROW_VECTORS
            for v in range(ROW_VECTORS):
                squares[v] = splat(0)
            factor_times(False, head, factors + k * factor_size(d), offsets + k * d, t.x + g, S, NULL, squares)
            for v in range(ROW_VECTORS):
                t.joint[k * S + g + v] = squares[v]
                bound = splat(constant[k]) - squares[v] * splat(<real>d / head)
                if k == 0:
                    top[g + v], best[g + v] = bound, splat(0)
                else:
                    best[g + v] = where_less(top[g + v], bound, splat(<real>k), best[g + v])
                    top[g + v] = where_less(top[g + v], bound, bound, top[g + v])


cdef inline void finish(const Tile* t, Py_ssize_t k, Py_ssize_t head, const real* factors, const real* offsets,
                        const Py_ssize_t* place, Py_ssize_t n, vec* moved, vec* squares) noexcept nogil:
    """squares = |L^-1 (x - mu)|^2 of the rows at n places, from those of the first coordinates in joint."""
    cdef Py_ssize_t group, g, d = t.d, padded = padded_rows(n, ROW_VECTORS * LANES)
    gather(d, t.stride, t.x, place, n, padded, moved)
    gather(1, t.stride, t.joint + k * t.stride, place, n, padded, squares)
    for group in range(padded // (ROW_VECTORS * LANES)):
        g = group * ROW_VECTORS
        factor_times_from(head, False, d, factors + k * factor_size(d), offsets + k * d, moved + g, t.stride, NULL, squares + g)


cdef inline void finish_all(const Tile* t, Py_ssize_t k, Py_ssize_t head, const real* constant, const real* factors,
                            const real* offsets) noexcept nogil:
    """The same for all rows, to log p."""
    cdef Py_ssize_t group, g, S = t.stride, d = t.d
    cdef vec squares[4]
    cdef int v
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        for v in range(ROW_VECTORS):
            squares[v] = t.joint[k * S + g + v]
        factor_times_from(head, False, d, factors + k * factor_size(d), offsets + k * d, t.x + g, S, NULL, squares)
        for v in range(ROW_VECTORS):
            keep_log_prob(t, k * S + g + v, splat(constant[k]) - squares[v])
