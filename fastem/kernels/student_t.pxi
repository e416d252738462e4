# Student-t components: a Gaussian whose precision is multiplied by a latent gamma variable u of its own for each row.
#
#   delta = |L^-1 (x - mu)|^2 / 2 (the factor 1/2 is in L^-1),  log p = constant - half_power log(1 + slope delta)
#   half_power = (nu + d) / 2,  slope = 2 / nu;  E[u | x] = half_power slope / (1 + slope delta)
#
# params: those of gaussian_full, then half_power and slope.
# sums: the packed Gram matrix of the rows sqrt(r u) (x - mu, 1), then counts: sum r, logs: sum r log E[u].
#
# Scratch: the space of the Gram matrix, the row sqrt(r u), then 1 + slope delta of every component.

cdef tuple student_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = student_log_prob, student_accumulate, True
    f.n_acc, f.n_scratch = gram_size(d), gram_space(d) + 1 + K
    declared, each = full_params(K, d), gram_layout(d, "second", "first", "mass")
    declared["half_power"] = declared["slope"] = (K,)
    each["counts"] = each["logs"] = ()
    return declared, each, {}


cdef void student_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, group, g, S = t.stride, d = t.d
    cdef int v
    cdef vec squares[4]
    cdef vec tail
    for k in range(t.K):
        for group in range(t.vectors // ROW_VECTORS):
            g = group * ROW_VECTORS
            for v in range(ROW_VECTORS):
                squares[v] = splat(0)
            factor_times(False, d, params[1] + k * factor_size(d), params[2] + k * d, t.x + g, S, NULL, squares)
            for v in range(ROW_VECTORS):
                tail = squares[v] * splat(params[5][k])
                t.scratch[(gram_space(d) + 1 + k) * S + g + v] = tail + splat(1)
                keep_log_prob(t, k * S + g + v, splat(params[0][k]) - splat(params[4][k]) * vlog1p(tail))


cdef void student_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t j, k, r, S = t.stride, d = t.d
    cdef Py_ssize_t n_gram = gram_size(d)
    cdef const vec* root
    cdef const vec* tail
    cdef vec* weighted = t.scratch + gram_space(d) * S
    cdef vec u, resp
    cdef vec count[2]
    for j in range(t.n_live):
        k = t.live[j]
        root = t.joint + j * S
        tail = t.scratch + (gram_space(d) + 1 + k) * S
        count[0] = splat(0)
        count[1] = splat(0)
        for r in range(t.vectors):
            u = splat(params[4][k] * params[5][k]) / tail[r]
            resp = root[r] * root[r]
            count[0] = count[0] + resp
            count[1] = count[1] + resp * vlog(u)
            weighted[r] = root[r] * vsqrt(u)
        gram_of_live(d, t.vectors, S, t.live_rows[j], weighted, params[3] + k * d, t.x, t.scratch, t.acc, sums + k * (n_gram + 2))
        add_lane_sums(count, 2, sums + k * (n_gram + 2) + n_gram)
