# Gaussian components with diagonal covariances, of rows with missing values (NaN): columns are independent within a component,
# so that a missing value is left out of the density, and adds nothing to the moments but its variance.
#
# params: those of gaussian_diagonal, then gain: log of the column's density at its mean, which a missing value takes away.
# sums: moments about the mean; lost: the responsibility of missing values.

cdef tuple diagonal_missing_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    f.log_prob, f.accumulate, f.roots = diagonal_missing_log_prob, diagonal_missing_accumulate, False
    f.n_acc, f.n_scratch = 3 * d + 1, 0
    declared = diagonal_params(K, d)
    declared["gain"] = (K, d)
    return declared, {"first": (d,), "second": (d,), "lost": (d,), "counts": ()}, {}


cdef void diagonal_missing_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, i, g, group, S = t.stride, d = t.d
    cdef vec squares[4]
    cdef vec y, a, b, gain
    cdef int v
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        for k in range(t.K):
            for v in range(ROW_VECTORS):
                squares[v] = splat(0)
            for i in range(d):
                a = splat(params[1][k * d + i])
                b = splat(params[2][k * d + i])
                gain = splat(params[4][k * d + i])
                for v in range(ROW_VECTORS):
                    y = a * t.x[i * S + g + v] + b
                    squares[v] = squares[v] + where_number(y, y * y, gain)
            for v in range(ROW_VECTORS):
                keep_log_prob(t, k * S + g + v, splat(params[0][k]) - squares[v])


cdef void diagonal_missing_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t j, i, r, d = t.d, n_sums = 3 * d + 1
    cdef vec first, second, lost, z, weighted, mu
    cdef const vec* resp
    cdef const vec* x
    for j in range(t.n_live):
        resp = t.joint + j * t.stride
        first = splat(0)
        for r in range(t.vectors):
            first = first + resp[r]
        t.acc[n_sums - 1] = first
        for i in range(d):
            mu = splat(params[3][t.live[j] * d + i])
            x = t.x + i * t.stride
            first = splat(0)
            second = splat(0)
            lost = splat(0)
            for r in range(t.vectors):
                z = x[r] - mu
                lost = lost + where_number(z, splat(0), resp[r])
                z = where_number(z, z, splat(0))
                weighted = resp[r] * z
                first = first + weighted
                second = second + weighted * z
            t.acc[i] = first
            t.acc[d + i] = second
            t.acc[2 * d + i] = lost
        add_lane_sums(t.acc, n_sums, sums + t.live[j] * n_sums)
