# Gaussian components, each with a covariance of its own.
#
#   y = L^-1 (x - mu),  log p = constant - |y|^2   (the factor 1/2 is in L^-1)
#
# params: factor in the order of packing.factor_order, offset = -L^-1 mu; means about the centre.
# sums: the packed Gram matrix of the rows sqrt(r) (x - mu, 1).

cdef tuple full_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = full_log_prob, full_accumulate, True
    f.n_acc, f.n_scratch = gram_size(d), gram_space(d)
    return full_params(K, d), gram_layout(d, "second", "first", "counts"), {}


cdef dict full_params(Py_ssize_t K, Py_ssize_t d):
    return {"constant": (K,), "factor": (K, factor_size(d)), "offset": (K, d), "mean": (K, d)}


cdef void full_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k
    if t.sparse and t.d >= 2 * HEAD and t.K > 2:
        live_log_prob(t, params)
        return
    for k in range(t.K):
        component_log_prob(t, params, k, t.d)


cdef inline void component_log_prob(const Tile* t, const real** params, Py_ssize_t k, Py_ssize_t rows) noexcept nogil:
    """log p(x, z=k), or an upper bound from the first `rows` of the whitened coordinates: a multiple of FACTOR_BLOCK, or d."""
    cdef Py_ssize_t group, g, S = t.stride, d = t.d
    cdef int v
    cdef vec squares[4]
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        for v in range(ROW_VECTORS):
            squares[v] = splat(0)
        factor_times(False, rows, params[1] + k * factor_size(d), params[2] + k * d, t.x + g, S, NULL, squares)
        for v in range(ROW_VECTORS):
            keep_log_prob(t, k * S + g + v, splat(params[0][k]) - squares[v])


cdef enum:
    HEAD = 8                   # whitened coordinates that give a bound, a multiple of FACTOR_BLOCK


cdef void live_log_prob(const Tile* t, const real** params) noexcept nogil:
    """log p(x, z=k) where the responsibility will not be 0, and elsewhere an upper bound of it, so low that it will be 0.

    The first whitened coordinates bound log p, since what is added to a sum of squares is not negative, in floating point as
    well. For each row the component that then looks best is finished, and after it all whose bound is not below its value by
    more than what normalise takes as 0. What is computed has the bits that it always has.
    """
    cdef Py_ssize_t k, r, n, S = t.stride, d = t.d, rows = t.vectors * LANES
    cdef real* best = <real*>(t.scratch + d * S)          # of each row: the component that looks best
    cdef real* top = <real*>(t.scratch + (d + 1) * S)     # and its log p, less what is negligible
    cdef Py_ssize_t* place = <Py_ssize_t*>(t.scratch + (d + 2) * S)
    cdef const real* joint
    for k in range(t.K):
        component_log_prob(t, params, k, HEAD)
    best_components(t, <vec*>best, <vec*>top)
    for k in range(t.K):
        n = 0
        for r in range(rows):
            place[n] = r
            n += best[r] == <real>k
        finish(t, params, k, place, n)
        joint = <const real*>(t.joint + k * S)
        for r in range(n):
            top[place[r]] = joint[place[r]] + 2 * NEGLIGIBLE
    for k in range(t.K):
        joint = <const real*>(t.joint + k * S)
        n = 0
        for r in range(rows):
            place[n] = r
            n += (joint[r] >= top[r]) & (best[r] != <real>k)
        finish(t, params, k, place, n)


cdef void best_components(const Tile* t, vec* best, vec* top) noexcept nogil:
    """The first component of largest joint, for each row."""
    cdef Py_ssize_t k, r, S = t.stride
    for r in range(t.vectors):
        best[r], top[r] = splat(0), t.joint[r]
        for k in range(1, t.K):
            best[r] = where_less(top[r], t.joint[k * S + r], splat(<real>k), best[r])
            top[r] = vmax(top[r], t.joint[k * S + r])


cdef void finish(const Tile* t, const real** params, Py_ssize_t k, const Py_ssize_t* place, Py_ssize_t n) noexcept nogil:
    """log p(x, z=k) of the rows at n places: of these alone where they are few, else of all."""
    cdef Py_ssize_t r, S = t.stride, d = t.d, padded = padded_rows(n, ROW_VECTORS * LANES)
    cdef Tile few = t[0]
    cdef const real* found
    cdef real* joint = <real*>(t.joint + k * S)
    if n == 0:
        return
    if not pays_to_gather(padded, t.vectors * LANES, d):
        component_log_prob(t, params, k, d)
        return
    gather(d, S, t.x, place, n, padded, t.scratch)
    few.x, few.vectors = t.scratch, padded // LANES
    few.joint = t.scratch + (d + 4) * S - k * S           # where component k's is written
    component_log_prob(&few, params, k, d)
    found = <const real*>(t.scratch + (d + 4) * S)
    for r in range(n):
        joint[place[r]] = found[r]


cdef inline void full_moments(const int d, const Tile* t, const vec* root, const real* mean, vec* out) noexcept nogil:
    """The Gram matrix of one component for d <= 4: every row and all sums in registers."""
    cdef vec s[15]
    cdef vec z[5]
    cdef vec mu[4]
    cdef const vec* x = t.x
    cdef Py_ssize_t r, S = t.stride
    cdef int i, j
    for i in range(d):
        mu[i] = splat(mean[i])
    for i in range((d + 1) * (d + 2) // 2):
        s[i] = splat(0)
    for r in range(t.vectors):
        z[d] = root[r]
        for i in range(d):
            z[i] = root[r] * (x[i * S + r] - mu[i])
        for i in range(d + 1):
            for j in range(i + 1):
                s[i * (i + 1) // 2 + j] = s[i * (i + 1) // 2 + j] + z[i] * z[j]
    for i in range((d + 1) * (d + 2) // 2):
        out[i] = s[i]


cdef void full_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    full_moments_about(t, params[3], sums)


cdef void full_moments_about(const Tile* t, const real* means, double* sums) noexcept nogil:
    """sums += the Gram matrices of the live components about their means (K, d)."""
    cdef Py_ssize_t k, d = t.d
    for k in range(t.n_live):
        full_component(t, t.joint + k * t.stride, t.live_rows[k], means + t.live[k] * d, sums + t.live[k] * gram_size(d))


cdef inline void full_component(const Tile* t, const vec* root, Py_ssize_t live, const real* mean, double* own) noexcept nogil:
    """own += the Gram matrix of one component."""
    cdef Py_ssize_t d = t.d
    if d > 4:
        gram_of_live(d, t.vectors, t.stride, live, root, mean, t.x, t.scratch, t.acc, own)
        return
    if d == 1:
        full_moments(1, t, root, mean, t.acc)
    elif d == 2:
        full_moments(2, t, root, mean, t.acc)
    elif d == 3:
        full_moments(3, t, root, mean, t.acc)
    else:
        full_moments(4, t, root, mean, t.acc)
    add_lane_sums(t.acc, gram_size(d), own)


cdef inline Py_ssize_t factor_size(Py_ssize_t d) noexcept nogil:
    """Reals in a packed triangular factor: each block of m rows at row i has i + m columns of m."""
    cdef Py_ssize_t whole = d // FACTOR_BLOCK, rest = d % FACTOR_BLOCK
    return FACTOR_BLOCK * FACTOR_BLOCK * whole * (whole + 1) // 2 + rest * d
