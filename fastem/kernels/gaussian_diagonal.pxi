# Gaussian components with diagonal covariances (spherical ones too: equal entries).
#
#   log p = constant - sum_i (scale_i x_i + offset_i)^2   (the factor 1/2 is in the scale)
#
# params: means about the centre.
# sums: moments about the mean.

cdef tuple diagonal_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots, f.linear = diagonal_log_prob, diagonal_accumulate, False, True
    f.n_acc, f.n_scratch = K * (2 * d + 1), 0
    return diagonal_params(K, d), {"first": (d,), "second": (d,), "counts": ()}, {}


cdef dict diagonal_params(Py_ssize_t K, Py_ssize_t d):
    return {"constant": (K,), "scale": (K, d), "offset": (K, d), "mean": (K, d)}


# Components go in pairs, so that a row loaded from the cache serves two; a group of rows stays in the first level cache
# for all components, and so does a block of features when summing.

cdef inline void diagonal_distances(const int m, const Tile* t, const real** params, Py_ssize_t k, Py_ssize_t g) noexcept nogil:
    """log p of the components k .. k+m for ROW_VECTORS vectors of rows from g, m <= 2."""
    cdef Py_ssize_t i, S = t.stride, d = t.d
    cdef const real* scale = params[1] + k * d
    cdef const real* offset = params[2] + k * d
    cdef const vec* x = t.x + g
    cdef vec squares[8]
    cdef vec y, a, b
    cdef int c, v
    for c in range(m):
        for v in range(ROW_VECTORS):
            squares[4 * c + v] = splat(0)
    for i in range(d):
        for c in range(m):
            a = splat(scale[c * d + i])
            b = splat(offset[c * d + i])
            for v in range(ROW_VECTORS):
                y = a * x[i * S + v] + b
                squares[4 * c + v] = squares[4 * c + v] + y * y
    for c in range(m):
        for v in range(ROW_VECTORS):
            keep_log_prob(t, (k + c) * S + g + v, splat(params[0][k + c]) - squares[4 * c + v])


cdef void diagonal_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, pair
    for group in range(t.vectors // ROW_VECTORS):
        for pair in range(t.K // 2):
            diagonal_distances(2, t, params, 2 * pair, group * ROW_VECTORS)
        if t.K % 2:
            diagonal_distances(1, t, params, t.K - 1, group * ROW_VECTORS)


cdef inline void diagonal_moments(const int m, const int n, const Tile* t, const real* mean, Py_ssize_t k, Py_ssize_t i) noexcept nogil:
    """First and second moments of the live components k .. k+m in the features i .. i+n; m <= 2, n <= 4."""
    cdef vec first[8]
    cdef vec second[8]
    cdef vec mu[8]
    cdef vec z, weighted
    cdef const vec* resp = t.joint + k * t.stride
    cdef const vec* x = t.x + i * t.stride
    cdef vec* out = t.acc + k * (2 * t.d + 1) + i
    cdef Py_ssize_t r, S = t.stride
    cdef int c, j
    for c in range(m):
        for j in range(n):
            first[4 * c + j] = splat(0)
            second[4 * c + j] = splat(0)
            mu[4 * c + j] = splat(mean[t.live[k + c] * t.d + i + j])
    for r in range(t.vectors):
        for j in range(n):
            for c in range(m):
                z = x[j * S + r] - mu[4 * c + j]
                weighted = resp[c * S + r] * z
                first[4 * c + j] = first[4 * c + j] + weighted
                second[4 * c + j] = second[4 * c + j] + weighted * z
    for c in range(m):
        for j in range(n):
            out[c * (2 * t.d + 1) + j] = first[4 * c + j]
            out[c * (2 * t.d + 1) + t.d + j] = second[4 * c + j]


cdef inline void diagonal_features(const int n, const Tile* t, const real* mean, Py_ssize_t i) noexcept nogil:
    """The moments of the live components in the features i .. i+n."""
    cdef Py_ssize_t pair
    for pair in range(t.n_live // 2):
        diagonal_moments(2, n, t, mean, 2 * pair, i)
    if t.n_live % 2:
        diagonal_moments(1, n, t, mean, t.n_live - 1, i)


cdef void diagonal_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    diagonal_moments_about(t, params[3], sums)


cdef void diagonal_moments_about(const Tile* t, const real* means, double* sums) noexcept nogil:
    """sums += the moments of the live components about their means (K, d)."""
    cdef Py_ssize_t block, i, k, r, n_sums = 2 * t.d + 1
    cdef vec count
    for k in range(t.n_live):
        count = splat(0)
        for r in range(t.vectors):
            count = count + t.joint[k * t.stride + r]
        t.acc[k * n_sums + 2 * t.d] = count
    for block in range(t.d // DIAGONAL_BLOCK):
        diagonal_features(DIAGONAL_BLOCK, t, means, block * DIAGONAL_BLOCK)
    for i in range(t.d // DIAGONAL_BLOCK * DIAGONAL_BLOCK, t.d):
        diagonal_features(1, t, means, i)
    for k in range(t.n_live):
        add_lane_sums(t.acc + k * n_sums, n_sums, sums + t.live[k] * n_sums)
