# Gaussian components that share one covariance. In whitened coordinates u = L^-1 (x - centre) it is the identity, so there
# is no d^2 work per component: distances cost d, and the scatter about the centre is collected once per row.
#
#   u = L^-1 x,  log p = constant - |u - nu|^2   (the factor 1/2 is in L^-1 and nu)
#
# params: factor in the order of packing.factor_order, nu: the whitened means about the centre.
# sums: those of (u, 1) by responsibility, about the centre; then the packed Gram matrix of (u, 1) of all rows.

cdef tuple tied_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = tied_log_prob, tied_accumulate, False
    f.n_acc, f.n_scratch = max(K * (d + 1), gram_size(d)), d + 1
    declared = {"constant": (K,), "factor": (factor_size(d),), "zeros": (d,), "nu": (K, d)}
    return declared, {"first": (d,), "counts": ()}, gram_layout(d, "scatter", "total", "weight")


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
            keep_log_prob(t, (k + c) * S + g + v, splat(params[0][k + c]) - squares[4 * c + v])


cdef void tied_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, pair, g
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        factor_times(True, t.d, params[1], params[2], t.x + g, t.stride, t.scratch + g, NULL)
        for pair in range(t.K // 2):
            tied_distances(2, t, params, 2 * pair, g)
        if t.K % 2:
            tied_distances(1, t, params, t.K - 1, g)


cdef void tied_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t r, S = t.stride, d = t.d
    for r in range(t.vectors):
        t.scratch[d * S + r] = splat(1)
    weighted_sums(t, d + 1, sums)
    weighted_gram(d, t.vectors, S, t.root_weight, params[2], t.scratch, t.x, t.acc, sums + t.K * (d + 1))
