# Gaussian components with diagonal covariances (spherical ones too: equal entries).
#
#   log p = constant - sum_i (scale_i x_i + offset_i)^2   (the factor 1/2 is in the scale)
#
# params: constant (K), scale (K, d), offset (K, d), mean (K, d); means about the centre.
# sums: (K, 2d + 1): first moments, second moments, count, about the mean.

cdef void diagonal_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, group, g, i, S = t.stride, d = t.d
    cdef int v
    cdef vec even[4]
    cdef vec odd[4]
    cdef vec y, scale, offset
    for k in range(t.K):
        for group in range(t.vectors // ROW_VECTORS):
            g = group * ROW_VECTORS
            for v in range(ROW_VECTORS):
                even[v] = splat(0)
                odd[v] = splat(0)
            for i in range(0, d - 1, 2):         # two chains of sums hide the latency of the multiply-add
                scale = splat(params[1][k * d + i])
                offset = splat(params[2][k * d + i])
                for v in range(ROW_VECTORS):
                    y = scale * t.x[i * S + g + v] + offset
                    even[v] = even[v] + y * y
                scale = splat(params[1][k * d + i + 1])
                offset = splat(params[2][k * d + i + 1])
                for v in range(ROW_VECTORS):
                    y = scale * t.x[(i + 1) * S + g + v] + offset
                    odd[v] = odd[v] + y * y
            if d % 2:
                scale = splat(params[1][k * d + d - 1])
                offset = splat(params[2][k * d + d - 1])
                for v in range(ROW_VECTORS):
                    y = scale * t.x[(d - 1) * S + g + v] + offset
                    even[v] = even[v] + y * y
            for v in range(ROW_VECTORS):
                t.joint[k * S + g + v] = splat(params[0][k]) - (even[v] + odd[v])


cdef inline void diagonal_moments(const int m, Py_ssize_t vectors, Py_ssize_t S, const vec* root, const vec* x, const real* mean,
                                  vec* first, vec* second) noexcept nogil:
    """First and second moments of m features, m <= 4."""
    cdef vec s1[4]
    cdef vec s2[4]
    cdef vec mu[4]
    cdef vec resp, z, weighted
    cdef Py_ssize_t r
    cdef int i
    for i in range(m):
        s1[i] = splat(0)
        s2[i] = splat(0)
        mu[i] = splat(mean[i])
    for r in range(vectors):
        resp = root[r] * root[r]
        for i in range(m):
            z = x[i * S + r] - mu[i]
            weighted = resp * z
            s1[i] = s1[i] + weighted
            s2[i] = s2[i] + weighted * z
    for i in range(m):
        first[i] = s1[i]
        second[i] = s2[i]


cdef Py_ssize_t diagonal_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, i, r, S = t.stride, d = t.d, n_sums = 2 * d + 1
    cdef const vec* root
    cdef vec count, largest
    for k in range(t.K):
        root = t.joint + k * S
        count = splat(0)
        for r in range(t.vectors):
            count = count + root[r] * root[r]
        t.acc[2 * d] = count
        if all_zero(count):
            continue
        i = 0
        while i + 4 <= d:
            diagonal_moments(4, t.vectors, S, root, t.x + i * S, params[3] + k * d + i, t.acc + i, t.acc + d + i)
            i += 4
        if d - i == 1:
            diagonal_moments(1, t.vectors, S, root, t.x + i * S, params[3] + k * d + i, t.acc + i, t.acc + d + i)
        elif d - i == 2:
            diagonal_moments(2, t.vectors, S, root, t.x + i * S, params[3] + k * d + i, t.acc + i, t.acc + d + i)
        elif d - i == 3:
            diagonal_moments(3, t.vectors, S, root, t.x + i * S, params[3] + k * d + i, t.acc + i, t.acc + d + i)
        add_lane_sums(t.acc, n_sums, sums + k * n_sums)
    return n_sums * t.K
