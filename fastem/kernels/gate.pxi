# Weights that depend on covariates c: a multinomial logit beside the other parts, whose densities it weighs.
#
#   log pi_k = L_k - log Z,  L_k = constant + slope . c,  Z = sum_k exp L_k
#
# params: curved: whether the curvature is summed too; origin: zeros.
# sums: first: sum r c; expected: sum w pi c, and mass: sum w pi, of sample weights w; in common log_norm: sum w log Z, and
# pairs: the packed triangles of sum w pi_k pi_j (c, 1)(c, 1)' of the pairs k > j, of which the curvature is made.
#
# Scratch: w pi of every component, then w log Z, and space for Gram matrices. An intercept alone needs no part: that is
# constant weights.

cdef tuple gate_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    cdef dict common = {"log_norm": ()}
    curved = params.get("curved", ())
    f.log_prob, f.accumulate, f.roots = gate_log_prob, gate_accumulate, False
    f.n_acc, f.n_scratch = K * (d + 1) + 1, K + 1
    if len(curved) and curved[0]:
        f.n_acc, f.n_scratch = max(f.n_acc, gram_size(d)), f.n_scratch + 1 + gram_space(d)
        common["pairs"] = (K * (K - 1) // 2 * gram_size(d),)
    declared = {"constant": (K,), "slope": (K, d), "curved": (1,), "origin": (d,)}
    return declared, {"first": (d,), "expected": (d,), "mass": ()}, common


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
    if params[2][0] != 0:
        gate_pairs(t, params[3], sums + K * size + 1)


cdef void gate_pairs(const Tile* t, const real* origin, double* sums) noexcept nogil:
    """sums += the Gram matrices of all pairs of components."""
    cdef Py_ssize_t k, j, r, S = t.stride
    cdef vec* root = t.scratch + (t.K + 1) * S
    cdef const vec* share
    cdef const vec* other
    cdef Tile own = t[0]
    own.scratch = root + S
    for k in range(1, t.K):
        share = t.scratch + k * S
        for j in range(k):
            other = t.scratch + j * S
            for r in range(t.vectors):           # w pi_k pi_j; where w is 0, 0
                root[r] = vsqrt(share[r] * other[r])
                if not t.equal_weights:
                    root[r] = where_less(splat(0), t.weight[r], root[r] / t.root_weight[r], splat(0))
            full_component(&own, root, t.vectors * LANES, origin, sums)
            sums = sums + gram_size(t.d)
