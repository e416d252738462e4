# Gaussian components, each with a covariance of its own.
#
#   y = L^-1 (x - mu),  log p = constant - |y|^2   (the factor 1/2 is in L^-1)
#
# params: constant (K), factor (K, d(d+1)/2) in factor_rows' order, offset (K, d) = -L^-1 mu, mean (K, d); means about the centre.
# sums: (K, (d+1)(d+2)/2), the packed Gram matrix of the rows sqrt(r) (x - mu, 1): second moments, then first moments and count.

cdef void full_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, group, g, S = t.stride, d = t.d
    cdef int v
    cdef vec squares[4]
    for k in range(t.K):
        for group in range(t.vectors // ROW_VECTORS):
            g = group * ROW_VECTORS
            for v in range(ROW_VECTORS):
                squares[v] = splat(0)
            factor_times(False, d, params[1] + k * factor_size(d), params[2] + k * d, t.x + g, S, NULL, squares)
            for v in range(ROW_VECTORS):
                t.joint[k * S + g + v] = splat(params[0][k]) - squares[v]


cdef Py_ssize_t full_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, i, r, S = t.stride, d = t.d
    cdef Py_ssize_t n_sums = (d + 1) * (d + 2) // 2
    cdef const vec* root
    cdef const vec* x = t.x
    cdef vec* scratch = t.scratch
    cdef vec mean, largest
    for k in range(t.K):
        root = t.joint + k * S
        largest = splat(0)
        for r in range(t.vectors):
            largest = vmax(largest, root[r])
            scratch[d * S + r] = root[r]
        if all_zero(largest):
            continue
        for i in range(d):
            mean = splat(params[3][k * d + i])
            for r in range(t.vectors):
                scratch[i * S + r] = root[r] * (x[i * S + r] - mean)
        gram(d + 1, t.vectors, S, scratch, t.acc)
        add_lane_sums(t.acc, n_sums, sums + k * n_sums)
    return n_sums * t.K


cdef inline Py_ssize_t factor_size(Py_ssize_t d) noexcept nogil:
    """Reals in a packed triangular factor: each block of m rows at row i has i + m columns of m."""
    cdef Py_ssize_t whole = d // FACTOR_BLOCK, rest = d % FACTOR_BLOCK
    return FACTOR_BLOCK * FACTOR_BLOCK * whole * (whole + 1) // 2 + rest * d


cdef inline bint all_zero(vec a) noexcept nogil:
    cdef int i
    for i in range(LANES):
        if lane(a, i) != 0:
            return False
    return True
