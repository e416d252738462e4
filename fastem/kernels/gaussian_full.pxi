# Gaussian components, each with a covariance of its own.
#
#   y = L^-1 (x - mu),  log p = constant - |y|^2   (the factor 1/2 is in L^-1)
#
# params: factor in the order of packing.factor_order, offset = -L^-1 mu; means about the centre.
# sums: the packed Gram matrix of the rows sqrt(r) (x - mu, 1).

cdef tuple full_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots, f.linear = full_log_prob, full_accumulate, True, True
    f.n_acc, f.n_scratch = gram_size(d), gram_space(d)
    return full_params(K, d), gram_layout(d, "second", "first", "counts"), {}


cdef dict full_params(Py_ssize_t K, Py_ssize_t d):
    return {"constant": (K,), "factor": (K, factor_size(d)), "offset": (K, d), "mean": (K, d)}


cdef void full_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, group, g, S = t.stride, d = t.d
    cdef int v
    cdef vec squares[4]
    if pays_to_prune(t):
        prune_full(t, params[0], params[1], params[2])
        return
    for k in range(t.K):
        for group in range(t.vectors // ROW_VECTORS):
            g = group * ROW_VECTORS
            for v in range(ROW_VECTORS):
                squares[v] = splat(0)
            factor_times(False, d, params[1] + k * factor_size(d), params[2] + k * d, t.x + g, S, NULL, squares)
            for v in range(ROW_VECTORS):
                keep_log_prob(t, k * S + g + v, splat(params[0][k]) - squares[v])


cdef inline void full_moments(const int d, const bint centred, const Tile* t, const vec* root, const real* mean, vec* out) noexcept nogil:
    """The Gram matrix of one component for d <= 4: every row and all sums in registers. Not centred: the mean is 0."""
    cdef vec s[15]
    cdef vec z[5]
    cdef vec mu[4]
    cdef const vec* x = t.x
    cdef Py_ssize_t r, S = t.stride
    cdef int i
    for i in range(d):
        mu[i] = splat(mean[i]) if centred else splat(0)
    for i in range((d + 1) * (d + 2) // 2):
        s[i] = splat(0)
    for r in range(t.vectors):
        z[d] = root[r]
        for i in range(d):
            z[i] = root[r] * (x[i * S + r] - mu[i])
        add_squares(d + 1, z, s)
    for i in range((d + 1) * (d + 2) // 2):
        out[i] = s[i]


cdef void full_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    full_moments_about(t, params[3], sums)


cdef void full_moments_about(const Tile* t, const real* means, double* sums) noexcept nogil:
    """sums += the Gram matrices of the live components about their means (K, d)."""
    cdef Py_ssize_t k, d = t.d
    for k in range(t.n_live):
        full_component(True, t, t.joint + k * t.stride, t.live_rows[k], means + t.live[k] * d, sums + t.live[k] * gram_size(d))


cdef inline void full_component(const bint centred, const Tile* t, const vec* root, Py_ssize_t live, const real* mean, double* own) noexcept nogil:
    """own += the Gram matrix of one component. Not centred: the mean is 0."""
    cdef Py_ssize_t d = t.d
    if d > 4:
        gram_of_live(d, t.vectors, t.stride, live, root, mean, t.x, t.scratch, t.acc, own)
        return
    if d == 1:
        full_moments(1, centred, t, root, mean, t.acc)
    elif d == 2:
        full_moments(2, centred, t, root, mean, t.acc)
    elif d == 3:
        full_moments(3, centred, t, root, mean, t.acc)
    else:
        full_moments(4, centred, t, root, mean, t.acc)
    add_lane_sums(t.acc, gram_size(d), own)


cdef inline Py_ssize_t factor_size(Py_ssize_t d) noexcept nogil:
    """Reals in a packed triangular factor: each block of m rows at row i has i + m columns of m."""
    cdef Py_ssize_t whole = d // FACTOR_BLOCK, rest = d % FACTOR_BLOCK
    return FACTOR_BLOCK * FACTOR_BLOCK * whole * (whole + 1) // 2 + rest * d
