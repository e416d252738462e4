# Weights that depend on covariates c: a multinomial logit beside the other parts, whose densities it weighs.
#
#   log pi_k = L_k - log Z,  L_k = constant + slope . c,  Z = sum_k exp L_k
#
# sums: first: sum r c; expected: sum w pi c, and mass: sum w pi, of sample weights w; in common log_norm: sum w log Z.
#
# Scratch: w pi of every component, then w log Z. An intercept alone needs no part: that is constant weights.

cdef tuple gate_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = gate_log_prob, gate_accumulate, False
    f.n_acc, f.n_scratch = K * (d + 1) + 1, K + 1
    return {"constant": (K,), "slope": (K, d)}, {"first": (d,), "expected": (d,), "mass": ()}, {"log_norm": ()}


cdef inline void gate_forms(const int n, const Tile* t, const real** params, Py_ssize_t k, Py_ssize_t g) noexcept nogil:
    """L of the components k .. k+n into the scratch, for ROW_VECTORS vectors of rows from g, n <= 4."""
    cdef Py_ssize_t f, S = t.stride, d = t.d
    cdef const real* slope = params[1] + k * d
    cdef const vec* x = t.x + g
    cdef vec s[16]
    cdef vec by
    cdef int c, v
    for c in range(n):
        for v in range(ROW_VECTORS):
            s[4 * c + v] = splat(params[0][k + c])
    for f in range(d):
        for c in range(n):
            by = splat(slope[c * d + f])
            for v in range(ROW_VECTORS):
                s[4 * c + v] = s[4 * c + v] + by * x[f * S + v]
    for c in range(n):
        for v in range(ROW_VECTORS):
            t.scratch[(k + c) * S + g + v] = s[4 * c + v]


cdef void gate_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, k, g, S = t.stride, K = t.K
    cdef vec* share = t.scratch
    cdef vec* log_norm = t.scratch + K * S
    cdef vec top[4]
    cdef vec total[4]
    cdef vec norm[4]
    cdef vec gap, half
    cdef int v
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        k = 0
        while k + DIAGONAL_BLOCK <= K:
            gate_forms(DIAGONAL_BLOCK, t, params, k, g)
            k += DIAGONAL_BLOCK
        while k < K:
            gate_forms(1, t, params, k, g)
            k += 1
        for v in range(ROW_VECTORS):
            top[v] = share[g + v]
            total[v] = splat(0)
        for k in range(1, K):
            for v in range(ROW_VECTORS):
                top[v] = vmax(top[v], share[k * S + g + v])
        for k in range(K):
            for v in range(ROW_VECTORS):
                gap = share[k * S + g + v] - top[v]
                half = vexp_negative(gap * splat(<real>0.5))
                share[k * S + g + v] = half * half
                total[v] = total[v] + half * half
                keep_log_prob(t, k * S + g + v, gap)
        for v in range(ROW_VECTORS):
            norm[v] = vlog(total[v])
            log_norm[g + v] = t.weight[g + v] * (top[v] + norm[v])
            total[v] = t.weight[g + v] / total[v]
        for k in range(K):
            for v in range(ROW_VECTORS):
                share[k * S + g + v] = share[k * S + g + v] * total[v]
                t.joint[k * S + g + v] = vmax(t.joint[k * S + g + v] - norm[v], splat(LOWEST))


cdef void gate_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, r, S = t.stride, K = t.K, d = t.d, size = 2 * t.d + 1
    cdef const vec* share
    cdef vec* mass = t.acc + K * d
    cdef vec total
    products(t.n_live, d, t.vectors, S, t.joint, t.x, t.acc)
    for k in range(t.n_live):
        add_lane_sums(t.acc + k * d, d, sums + t.live[k] * size)
    products(K, d, t.vectors, S, t.scratch, t.x, t.acc)
    for k in range(K + 1):                   # the last one: the logarithms of Z
        share = t.scratch + k * S
        total = splat(0)
        for r in range(t.vectors):
            total = total + share[r]
        mass[k] = total
    for k in range(K):
        add_lane_sums(t.acc + k * d, d, sums + k * size + d)
        add_lane_sums(mass + k, 1, sums + k * size + 2 * d)
    add_lane_sums(mass + K, 1, sums + K * size)
