# Gaussian components that share one covariance. In whitened coordinates u = L^-1 (x - centre) it is the identity, so there
# is no d^2 work per component: distances cost d, and the scatter about the centre is collected once per row.
#
#   u = L^-1 x,  log p = constant - |u - nu|^2   (the factor 1/2 is in L^-1 and nu)
#
# params: constant (K), factor (d(d+1)/2) in factor_rows' order, zeros (d), nu (K, d) the whitened means about the centre.
# sums: (K, d + 1) of (u, 1) by responsibility, about the centre; then d(d+1)/2, the packed lower triangle of the scatter of u.

cdef void tied_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, group, g, i, S = t.stride, d = t.d
    cdef int v
    cdef vec even[4]
    cdef vec odd[4]
    cdef vec z, mean
    cdef const vec* u = t.scratch
    cdef vec* joint = t.joint
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        factor_times(True, d, params[1], params[2], t.x + g, S, t.scratch + g, NULL)
    for k in range(t.K):
        for group in range(t.vectors // ROW_VECTORS):
            g = group * ROW_VECTORS
            for v in range(ROW_VECTORS):
                even[v] = splat(0)
                odd[v] = splat(0)
            for i in range(0, d - 1, 2):
                mean = splat(params[3][k * d + i])
                for v in range(ROW_VECTORS):
                    z = u[i * S + g + v] - mean
                    even[v] = even[v] + z * z
                mean = splat(params[3][k * d + i + 1])
                for v in range(ROW_VECTORS):
                    z = u[(i + 1) * S + g + v] - mean
                    odd[v] = odd[v] + z * z
            if d % 2:
                mean = splat(params[3][k * d + d - 1])
                for v in range(ROW_VECTORS):
                    z = u[(d - 1) * S + g + v] - mean
                    even[v] = even[v] + z * z
            for v in range(ROW_VECTORS):
                joint[k * S + g + v] = splat(params[0][k]) - (even[v] + odd[v])


cdef inline void tied_first(const int m, const Tile* t, Py_ssize_t k) noexcept nogil:
    """Responsibility-weighted sums of (u, 1) for the components k .. k+m."""
    cdef Py_ssize_t i = 0, S = t.stride, rows = t.d + 1
    cdef vec* out = t.acc + k * rows
    while i + GRAM_BLOCK <= rows:
        gram_block(m, GRAM_BLOCK, False, t.vectors, S, t.joint + k * S, t.scratch + i * S, out + i, rows, 0)
        i += GRAM_BLOCK
    for i in range(i, rows):
        gram_block(m, 1, False, t.vectors, S, t.joint + k * S, t.scratch + i * S, out + i, rows, 0)


cdef Py_ssize_t tied_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, i, r, S = t.stride, d = t.d
    cdef Py_ssize_t n_sums = t.K * (d + 1) + d * (d + 1) // 2
    for r in range(t.vectors):
        t.scratch[d * S + r] = splat(1)
    for k in range(t.K):
        for r in range(t.vectors):
            t.joint[k * S + r] = t.joint[k * S + r] * t.joint[k * S + r]
    k = 0
    while k + GRAM_BLOCK <= t.K:
        tied_first(GRAM_BLOCK, t, k)
        k += GRAM_BLOCK
    if t.K - k == 1:
        tied_first(1, t, k)
    elif t.K - k == 2:
        tied_first(2, t, k)
    elif t.K - k == 3:
        tied_first(3, t, k)
    for i in range(d):
        for r in range(t.vectors):
            t.scratch[i * S + r] = t.scratch[i * S + r] * t.root_weight[r]
    gram(d, t.vectors, S, t.scratch, t.acc + t.K * (d + 1))
    add_lane_sums(t.acc, n_sums, sums)
    return n_sums
