# Weights that depend on covariates c: a multinomial logit beside the other parts, whose densities it weighs.
#
#   log pi_k = 2 h_k - log Z,  h_k = constant + slope . c,  Z = sum_k exp 2 h_k,  h of the last component is 0
#
# params: those of the other components; curved: whether the curvature is summed too; origin: zeros.
# sums: first: sum r c; expected: sum w pi c, and mass: sum w pi, of sample weights w; in common log_norm: sum w log Z, and
# pairs: the packed triangles of sum w pi_k pi_j (c, 1)(c, 1)' of the pairs k > j, of which the curvature is made.
#
# Scratch: exp h of every component, over the row's exp top, which accumulate turns into w pi; the factors of the row, w / Z
# and for pairs sqrt w / Z: w pi is a square times that, the root of w pi_k pi_j a product; in one vector the sum of
# w log Z, first the products of Z of ROW_VECTORS vectors; and the root of a pair's weight, with space for its Gram matrix.
# An intercept alone needs no part: that is constant weights.

cdef double MOST_ABOVE = 20.0      # of h above the last component, so that sums of exp 2 h, and four of them in a product,
                                   # are numbers; a fifth of it in float32

cdef tuple gate_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    cdef dict common = {"log_norm": ()}
    curved = params.get("curved", ())
    f.log_prob, f.accumulate, f.roots = gate_log_prob, gate_accumulate, False
    f.n_acc, f.n_scratch = K * (d + 1) + 1, K + 3
    if len(curved) and curved[0]:
        f.n_acc, f.n_scratch = max(f.n_acc, gram_size(d)), f.n_scratch + 1 + gram_space(d)
        common["pairs"] = (K * (K - 1) // 2 * gram_size(d),)
    declared = {"constant": (K - 1,), "slope": (K - 1, d), "curved": (1,), "origin": (d,)}
    return declared, {"first": (d,), "expected": (d,), "mass": ()}, common


cdef inline void gate_forms(const int n, const Tile* t, const real** params, Py_ssize_t k, Py_ssize_t g) noexcept nogil:
    """h of the components k .. k+n into the scratch, for ROW_VECTORS vectors of rows from g, n <= 4."""
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
    cdef Py_ssize_t group, k, g, S = t.stride, K = t.K, last = t.K - 1, n_groups = t.vectors // ROW_VECTORS
    cdef vec* root = t.scratch
    cdef vec* factor = t.scratch + K * S
    cdef vec* of_pair = factor + S
    cdef vec* product = of_pair + S
    cdef vec* joint = t.joint                # local, as in normalise
    cdef const vec* weight = t.weight
    cdef bint further = t.further, raised
    cdef vec top[4]
    cdef vec total[4]
    cdef vec half, log_prob, most = splat(<real>(MOST_ABOVE if sizeof(real) == 8 else MOST_ABOVE / 5))
    cdef vec tops = splat(0), logs = splat(0)
    cdef int v
    for group in range(n_groups):
        g = group * ROW_VECTORS
        k = 0
        while k + DIAGONAL_BLOCK <= last:
            gate_forms(DIAGONAL_BLOCK, t, params, k, g)
            k += DIAGONAL_BLOCK
        if last - k == 1:
            gate_forms(1, t, params, k, g)
        elif last - k == 2:
            gate_forms(2, t, params, k, g)
        elif last - k == 3:
            gate_forms(3, t, params, k, g)
        for v in range(ROW_VECTORS):
            top[v] = most
        for k in range(last):
            for v in range(ROW_VECTORS):
                top[v] = vmax(top[v], root[k * S + g + v])
        raised = any_less(most, vmax(vmax(top[0], top[1]), vmax(top[ROW_VECTORS - 2], top[ROW_VECTORS - 1])))
        for v in range(ROW_VECTORS):
            top[v] = top[v] - most
            half = splat(1)
            if raised:
                half = vexp_negative(splat(0) - top[v])
                tops = tops + weight[g + v] * (top[v] + top[v])
            root[last * S + g + v] = half
            total[v] = half * half
            if not further:
                joint[last * S + g + v] = splat(0)
            if raised:
                joint[last * S + g + v] = vmax(joint[last * S + g + v] - (top[v] + top[v]), splat(LOWEST))
        for k in range(last):
            for v in range(ROW_VECTORS):
                half = root[k * S + g + v] - top[v]
                log_prob = half + half
                if further:
                    log_prob = log_prob + joint[k * S + g + v]
                joint[k * S + g + v] = vmax(log_prob, splat(LOWEST))
            for v in range(ROW_VECTORS):
                half = vexp_negative(root[k * S + g + v] - top[v])
                root[k * S + g + v] = half
                total[v] = total[v] + half * half
        if t.log_likelihood == NULL:
            for v in range(ROW_VECTORS):
                top[v] = vlog(total[v])
            for k in range(K):
                for v in range(ROW_VECTORS):
                    joint[k * S + g + v] = vmax(joint[k * S + g + v] - top[v], splat(LOWEST))
            continue
        if t.equal_weights:                  # one logarithm for all of them, as in normalise; later, where it holds up nothing
            half = splat(1)
            for v in range(ROW_VECTORS):
                half = half * where_less(splat(0), weight[g + v], total[v], splat(1))
            product[group] = half
        else:
            for v in range(ROW_VECTORS):
                logs = logs + weight[g + v] * vlog(total[v])
        for v in range(ROW_VECTORS):
            half = splat(1) / total[v]
            factor[g + v] = half * weight[g + v]
            of_pair[g + v] = half * t.root_weight[g + v]
    if t.log_likelihood == NULL:
        return
    if t.equal_weights:
        for group in range(n_groups):
            logs = logs + vlog(product[group])
    product[0] = logs + tops
    logs = splat(0) - logs
    add_lane_sums(&logs, 1, t.log_likelihood)


cdef void gate_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, r, S = t.stride, K = t.K, d = t.d, size = 2 * t.d + 1
    cdef const vec* factor = t.scratch + K * S
    cdef vec* share
    cdef vec* mass = t.acc + K * d
    cdef vec total
    products(t.n_live, d, t.vectors, S, t.joint, t.x, t.acc)
    for k in range(t.n_live):
        add_lane_sums(t.acc + k * d, d, sums + t.live[k] * size)
    if params[2][0] != 0:
        gate_pairs(t, params[3], sums + K * size + 1)
    for k in range(K):
        share = t.scratch + k * S
        total = splat(0)
        for r in range(t.vectors):
            share[r] = share[r] * share[r] * factor[r]
            total = total + share[r]
        mass[k] = total
    mass[K] = factor[2 * S]
    products(K, d, t.vectors, S, t.scratch, t.x, t.acc)
    for k in range(K):
        add_lane_sums(t.acc + k * d, d, sums + k * size + d)
        add_lane_sums(mass + k, 1, sums + k * size + 2 * d)
    add_lane_sums(mass + K, 1, sums + K * size)


cdef void gate_pairs(const Tile* t, const real* origin, double* sums) noexcept nogil:
    """sums += the Gram matrices of all pairs of components."""
    cdef Py_ssize_t k, j, r, S = t.stride
    cdef const vec* of_pair = t.scratch + (t.K + 1) * S
    cdef vec* root = t.scratch + (t.K + 3) * S
    cdef const vec* own
    cdef const vec* other
    cdef Tile moments = t[0]
    moments.scratch = root + S
    for k in range(1, t.K):
        own = t.scratch + k * S
        for j in range(k):
            other = t.scratch + j * S
            for r in range(t.vectors):
                root[r] = own[r] * other[r] * of_pair[r]
            full_component(False, &moments, root, t.vectors * LANES, origin, sums)
            sums = sums + gram_size(t.d)
