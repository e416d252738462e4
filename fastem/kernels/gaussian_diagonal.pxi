# Gaussian components with diagonal covariances (spherical ones too: equal entries).
#
#   log p = constant - sum_i (scale_i x_i + offset_i)^2   (the factor 1/2 is in the scale)
#
# params: constant (K), scale (K, d), offset (K, d), mean (K, d); means about the centre.
# sums: (K, 2d + 1): first moments, second moments, count, about the mean.

# Components go in pairs, so that a row loaded from the cache serves two.

cdef inline void diagonal_distances(const int m, const Tile* t, const real** params, Py_ssize_t k) noexcept nogil:
    """log p of the components k .. k+m, m <= 2."""
    cdef Py_ssize_t group, g, i, S = t.stride, d = t.d
    cdef const real* scale = params[1] + k * d
    cdef const real* offset = params[2] + k * d
    cdef vec squares[8]
    cdef vec y, a, b
    cdef const vec* x = t.x
    cdef vec* joint = t.joint
    cdef int c, v
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        for c in range(m):
            for v in range(ROW_VECTORS):
                squares[4 * c + v] = splat(0)
        for i in range(d):
            for c in range(m):
                a = splat(scale[c * d + i])
                b = splat(offset[c * d + i])
                for v in range(ROW_VECTORS):
                    y = a * x[i * S + g + v] + b
                    squares[4 * c + v] = squares[4 * c + v] + y * y
        for c in range(m):
            for v in range(ROW_VECTORS):
                joint[(k + c) * S + g + v] = splat(params[0][k + c]) - squares[4 * c + v]


cdef void diagonal_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t pair
    for pair in range(t.K // 2):
        diagonal_distances(2, t, params, 2 * pair)
    if t.K % 2:
        diagonal_distances(1, t, params, t.K - 1)


cdef inline void diagonal_moments(const int m, const int n, const Tile* t, const real* mean, Py_ssize_t k, Py_ssize_t i) noexcept nogil:
    """First and second moments of the components k .. k+m in the features i .. i+n; m <= 2, n <= 4."""
    cdef vec first[8]
    cdef vec second[8]
    cdef vec mu[8]
    cdef vec resp[2]
    cdef vec z, weighted
    cdef const vec* root = t.joint + k * t.stride
    cdef const vec* x = t.x + i * t.stride
    cdef vec* out = t.acc + k * (2 * t.d + 1) + i
    cdef Py_ssize_t r, S = t.stride
    cdef int c, j
    for c in range(m):
        for j in range(n):
            first[4 * c + j] = splat(0)
            second[4 * c + j] = splat(0)
            mu[4 * c + j] = splat(mean[(k + c) * t.d + i + j])
    for r in range(t.vectors):
        for c in range(m):
            resp[c] = root[c * S + r] * root[c * S + r]
        for j in range(n):
            for c in range(m):
                z = x[j * S + r] - mu[4 * c + j]
                weighted = resp[c] * z
                first[4 * c + j] = first[4 * c + j] + weighted
                second[4 * c + j] = second[4 * c + j] + weighted * z
    for c in range(m):
        for j in range(n):
            out[c * (2 * t.d + 1) + j] = first[4 * c + j]
            out[c * (2 * t.d + 1) + t.d + j] = second[4 * c + j]


cdef inline void diagonal_components(const int m, const Tile* t, const real* mean, Py_ssize_t k) noexcept nogil:
    """All sums of the components k .. k+m."""
    cdef Py_ssize_t block, r, i, c
    cdef vec count
    for c in range(m):
        count = splat(0)
        for r in range(t.vectors):
            count = count + t.joint[(k + c) * t.stride + r] * t.joint[(k + c) * t.stride + r]
        t.acc[(k + c) * (2 * t.d + 1) + 2 * t.d] = count
    for block in range(t.d // DIAGONAL_BLOCK):
        diagonal_moments(m, DIAGONAL_BLOCK, t, mean, k, block * DIAGONAL_BLOCK)
    for i in range(t.d // DIAGONAL_BLOCK * DIAGONAL_BLOCK, t.d):
        diagonal_moments(m, 1, t, mean, k, i)


cdef Py_ssize_t diagonal_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t pair
    for pair in range(t.K // 2):
        diagonal_components(2, t, params[3], 2 * pair)
    if t.K % 2:
        diagonal_components(1, t, params[3], t.K - 1)
    add_lane_sums(t.acc, t.K * (2 * t.d + 1), sums)
    return t.K * (2 * t.d + 1)
