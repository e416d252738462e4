# Gaussian components that share one covariance. In whitened coordinates u = L^-1 (x - centre) it is the identity, so there
# is no d^2 work per component: distances cost d, and the scatter about the centre is collected once per row.
#
#   u = L^-1 x,  log p = constant - |u - nu|^2   (the factor 1/2 is in L^-1 and nu)
#
# params: constant (K), factor (d(d+1)/2) in factor_rows' order, zeros (d), nu (K, d) the whitened means about the centre.
# sums: (K, d + 1) of (u, 1) by responsibility, about the centre; then (d+1)(d+2)/2, the packed Gram matrix of (u, 1).

cdef inline void tied_distances(const int m, const Tile* t, const real** params, Py_ssize_t k, Py_ssize_t g) noexcept nogil:
    """log p of the components k .. k+m for ROW_VECTORS vectors of rows from g, m <= 2."""
    cdef Py_ssize_t i, S = t.stride, d = t.d
    cdef const real* nu = params[3] + k * d
    cdef const vec* u = t.scratch + g
    cdef vec squares[8]
    cdef vec z, mean
    cdef int c, v
    for c in range(m):
        for v in range(ROW_VECTORS):
            squares[4 * c + v] = splat(0)
    for i in range(d):
        for c in range(m):
            mean = splat(nu[c * d + i])
            for v in range(ROW_VECTORS):
                z = u[i * S + v] - mean
                squares[4 * c + v] = squares[4 * c + v] + z * z
    for c in range(m):
        for v in range(ROW_VECTORS):
            t.joint[(k + c) * S + g + v] = log_prob_of(splat(params[0][k + c]), squares[4 * c + v])


cdef void tied_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, pair, g
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        factor_times(True, t.d, params[1], params[2], t.x + g, t.stride, t.scratch + g, NULL)
        for pair in range(t.K // 2):
            tied_distances(2, t, params, 2 * pair, g)
        if t.K % 2:
            tied_distances(1, t, params, t.K - 1, g)


cdef inline void tied_first(const int m, const Tile* t, Py_ssize_t k) noexcept nogil:
    """Responsibility-weighted sums of (u, 1) for the live components k .. k+m."""
    cdef Py_ssize_t i = 0, S = t.stride, rows = t.d + 1
    cdef vec* out = t.acc + k * rows
    while i + GRAM_BLOCK <= rows:
        gram_block(m, GRAM_BLOCK, t.vectors, S, t.joint + k * S, t.scratch + i * S, out + i, rows, 0)
        i += GRAM_BLOCK
    for i in range(i, rows):
        gram_block(m, 1, t.vectors, S, t.joint + k * S, t.scratch + i * S, out + i, rows, 0)


cdef void tied_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, r, S = t.stride, d = t.d
    for r in range(t.vectors):
        t.scratch[d * S + r] = splat(1)
    square(t)
    memset(t.acc, 0, t.n_live * (d + 1) * sizeof(vec))
    k = 0
    while k + GRAM_BLOCK <= t.n_live:
        tied_first(GRAM_BLOCK, t, k)
        k += GRAM_BLOCK
    if t.n_live - k == 1:
        tied_first(1, t, k)
    elif t.n_live - k == 2:
        tied_first(2, t, k)
    elif t.n_live - k == 3:
        tied_first(3, t, k)
    for k in range(t.n_live):
        add_lane_sums(t.acc + k * (d + 1), d + 1, sums + t.live[k] * (d + 1))
    weighted_gram(d, t.vectors, S, t.root_weight, params[2], t.scratch, t.x, t.acc, sums + t.K * (d + 1))
