# Gaussian components of rows with measurement errors of their own: T = V_k + S_n is factored for every row and component.
#
#   log p = constant - (sum_j y_j^2 / D_j + sum_j log(D_j scale_j)) / 2,  T = L D L',  y = L^-1 (w - mu),  scale_j = 1 / V_jj
#
# L has a diagonal of ones, and D its pivots, so that there is no square root: one takes as long as four multiply-adds a
# row, and a triangle of three has six.
#
# The columns of a tile are the values w, then the errors: deviations of each, or the packed lower triangle of S. A value
# that was not measured is NaN: its row and column of T are those of V's diagonal, and `gain` takes its density away.
#
# params: constant; mean; covariance, packed (its diagonal alone in the diagonal family); scale; gain; gaps: 0 where all values
# were measured.
# sums: counts, then first: sum r z, and second: sum r (z z' - T^-1), z = T^-1 (w - mu); see models/gaussian/noisy_rows.py.
#
# The factor is made again where sums are collected: of the components alone that have rows in the tile, and so nothing of
# the size rows x components x d^2 is kept. `d` is a constant to the compiler where it is small: the triangles are in registers.

cdef enum:
    LOGS = 4                      # pivots of which one logarithm is taken

cdef double PIVOT_WITH_DIGITS = 8.881784197001252e-16    # of a diagonal entry; a smaller one has no digits

cdef double MOST_PIVOT = 1e75 if sizeof(real) == 8 else 2e9    # in units of V, up to which the product of LOGS is a number


cdef inline void take_pivot(vec pivot, real scale, vec* product, vec* taken) noexcept nogil:
    """A pivot in units of V into the product, or its logarithm into what is taken where it is too large for that."""
    cdef vec factor = pivot * splat(scale), most = splat(<real>MOST_PIVOT)
    if any_less(most, factor):
        taken[0] = taken[0] + where_less(most, factor, vlog(pivot) + splat(<real>scalar_log(scale)), splat(0))
        factor = where_less(most, factor, splat(1), factor)
    product[0] = product[0] * factor


cdef Py_ssize_t noisy_values(Py_ssize_t columns, bint full) noexcept nogil:
    """d, of a tile's columns: d values, then d deviations or a triangle."""
    cdef Py_ssize_t d = 0
    if not full:
        return columns // 2
    while d + 1 + (d + 1) * (d + 2) // 2 <= columns:
        d += 1
    return d


cdef tuple triangles_layout(Family* f, Py_ssize_t K, Py_ssize_t d):
    cdef Py_ssize_t P = d * (d + 1) // 2
    f.roots, f.n_acc, f.n_scratch = False, 1 + d + P, 2 * P + 3 * d
    declared = {"constant": (K,), "mean": (K, d), "covariance": (K, P), "scale": (K, d), "gain": (K, d), "gaps": (1,)}
    return declared, {"counts": (), "first": (d,), "second": (P,)}, {}


cdef tuple noisy_layout(Family* f, Py_ssize_t K, Py_ssize_t columns, dict params):
    f.log_prob, f.accumulate = noisy_log_prob, noisy_accumulate
    return triangles_layout(f, K, noisy_values(columns, False))


cdef tuple noisy_full_layout(Family* f, Py_ssize_t K, Py_ssize_t columns, dict params):
    f.log_prob, f.accumulate = noisy_full_log_prob, noisy_full_accumulate
    return triangles_layout(f, K, noisy_values(columns, True))


cdef tuple noisy_diagonal_layout(Family* f, Py_ssize_t K, Py_ssize_t columns, dict params):
    cdef Py_ssize_t d = noisy_values(columns, False)
    f.log_prob, f.accumulate, f.roots = noisy_diagonal_log_prob, noisy_diagonal_accumulate, False
    f.n_acc, f.n_scratch = 1 + 2 * d, 0
    declared = {"constant": (K,), "mean": (K, d), "covariance": (K, d), "scale": (K, d), "gain": (K, d), "gaps": (1,)}
    return declared, {"counts": (), "first": (d,), "second": (d,)}, {}


cdef inline vec factor_of_sum(const Py_ssize_t d, const bint full, const bint gaps, const vec* x, Py_ssize_t S,
                              const real* mean, const real* covariance, const real* scale, const real* gain,
                              vec* lower, vec* turn, vec* z, vec* y) noexcept nogil:
    """L below its diagonal, packed, and 1 / D_j; z = w - mu, NaN where not measured; y = L^-1 z. Returns what is taken from
    the constant."""
    cdef Py_ssize_t i, j, e, p
    cdef vec entry, error, pivot, product = splat(1), taken = splat(0), squares = splat(0)
    for j in range(d):
        z[j] = x[j * S] - splat(mean[j])
    for j in range(d):
        p = j * (j + 1) // 2
        error = x[(d + (p + j if full else j)) * S]
        if not full:
            error = error * error
        if gaps:
            error = where_number(z[j], error, splat(0))
            taken = taken - where_number(z[j], splat(0), splat(2 * gain[j]))
        entry = splat(covariance[p + j]) + error
        pivot = entry
        for e in range(j):                   # the rows below hold L D until it is their turn
            error = lower[p + e]
            lower[p + e] = error * turn[e]
            pivot = pivot - lower[p + e] * error
        pivot = vmax(pivot, splat(<real>PIVOT_WITH_DIGITS) * entry)
        take_pivot(pivot, scale[j], &product, &taken)
        if j % LOGS == LOGS - 1 or j == d - 1:
            taken = taken + vlog(product)
            product = splat(1)
        turn[j] = splat(1) / pivot
        for i in range(j + 1, d):
            entry = splat(covariance[i * (i + 1) // 2 + j])
            if full:
                entry = entry + x[(d + i * (i + 1) // 2 + j) * S]
            if gaps:
                entry = where_number(z[i] + z[j], entry, splat(0))
            for e in range(j):
                entry = entry - lower[i * (i + 1) // 2 + e] * lower[p + e]
            lower[i * (i + 1) // 2 + j] = entry
        entry = where_number(z[j], z[j], splat(0)) if gaps else z[j]
        for e in range(j):
            entry = entry - lower[p + e] * y[e]
        y[j] = entry
        squares = squares + entry * entry * turn[j]
    return splat(<real>0.5) * (squares + taken)


cdef inline void add_noisy(const Py_ssize_t d, const bint gaps, vec resp, const vec* lower, const vec* turn, const vec* z,
                           vec* y, vec* root, vec* acc) noexcept nogil:
    """acc += resp (1, T^-1 z, T^-1 z z' T^-1 - T^-1) of one vector of rows; root: space for L^-1, below its diagonal of ones."""
    cdef Py_ssize_t i, j, e, p
    cdef vec entry, scaled
    for j in range(d):
        for i in range(j + 1, d):
            p = i * (i + 1) // 2
            entry = lower[p + j]
            for e in range(j + 1, i):
                entry = entry + lower[p + e] * root[e * (e + 1) // 2 + j]
            root[p + j] = splat(0) - entry
    acc[0] = acc[0] + resp
    for i in range(d):
        y[i] = y[i] * turn[i]
    for i in range(d):
        for e in range(i + 1, d):
            y[i] = y[i] + root[e * (e + 1) // 2 + i] * y[e]       # those before i are no longer needed
        acc[1 + i] = acc[1 + i] + resp * y[i]
    for i in range(d - 1, -1, -1):           # column i of L^-1 is needed for the last time: it becomes that of D^-1 L^-1
        p = i * (i + 1) // 2
        entry = turn[i]
        for e in range(i + 1, d):
            scaled = root[e * (e + 1) // 2 + i] * turn[e]
            entry = entry + scaled * root[e * (e + 1) // 2 + i]
            root[e * (e + 1) // 2 + i] = scaled
        if gaps:
            entry = where_number(z[i], entry, splat(0))
        acc[1 + d + p + i] = acc[1 + d + p + i] + resp * (y[i] * y[i] - entry)
        for j in range(i):
            entry = turn[i] * root[p + j]
            for e in range(i + 1, d):
                entry = entry + root[e * (e + 1) // 2 + i] * root[e * (e + 1) // 2 + j]
            acc[1 + d + p + j] = acc[1 + d + p + j] + resp * (y[i] * y[j] - entry)


cdef inline void noisy_log_prob_of(const Py_ssize_t d, const bint full, const bint gaps, const Tile* t, const real** params,
                                   vec* lower, vec* turn, vec* z, vec* y) noexcept nogil:
    cdef Py_ssize_t k, r
    cdef vec taken
    for k in range(t.K):
        for r in range(t.vectors):
            taken = factor_of_sum(d, full, gaps, t.x + r, t.stride, params[1] + k * d, params[2] + k * (d * (d + 1) // 2),
                                  params[3] + k * d, params[4] + k * d, lower, turn, z, y)
            keep_log_prob(t, k * t.stride + r, splat(params[0][k]) - taken)


cdef inline void noisy_accumulate_of(const Py_ssize_t d, const bint full, const bint gaps, const Tile* t, const real** params,
                                     double* sums, vec* lower, vec* turn, vec* z, vec* y, vec* root) noexcept nogil:
    cdef Py_ssize_t i, j, k, r, n_sums = 1 + d + d * (d + 1) // 2
    for j in range(t.n_live):
        k = t.live[j]
        for i in range(n_sums):
            t.acc[i] = splat(0)
        for r in range(t.vectors):
            factor_of_sum(d, full, gaps, t.x + r, t.stride, params[1] + k * d, params[2] + k * (d * (d + 1) // 2),
                          params[3] + k * d, params[4] + k * d, lower, turn, z, y)
            add_noisy(d, gaps, t.joint[j * t.stride + r], lower, turn, z, y, root, t.acc)
        add_lane_sums(t.acc, n_sums, sums + k * n_sums)


cdef inline void any_noisy_log_prob(const bint full, const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t d = noisy_values(t.d, full), P = d * (d + 1) // 2
    cdef bint gaps = params[5][0] != 0
    cdef vec lower[10]
    cdef vec turn[4]
    cdef vec z[4]
    cdef vec y[4]
    cdef vec* w = t.scratch
    if d == 2 and not gaps:
        noisy_log_prob_of(2, full, False, t, params, lower, turn, z, y)
    elif d == 3 and not gaps:
        noisy_log_prob_of(3, full, False, t, params, lower, turn, z, y)
    elif d == 4 and not gaps:
        noisy_log_prob_of(4, full, False, t, params, lower, turn, z, y)
    else:
        noisy_log_prob_of(d, full, gaps, t, params, w, w + P, w + P + d, w + P + 2 * d)


cdef inline void any_noisy_accumulate(const bint full, const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t d = noisy_values(t.d, full), P = d * (d + 1) // 2
    cdef bint gaps = params[5][0] != 0
    cdef vec lower[10]
    cdef vec root[10]
    cdef vec turn[4]
    cdef vec z[4]
    cdef vec y[4]
    cdef vec* w = t.scratch
    if d == 2 and not gaps:
        noisy_accumulate_of(2, full, False, t, params, sums, lower, turn, z, y, root)
    elif d == 3 and not gaps:
        noisy_accumulate_of(3, full, False, t, params, sums, lower, turn, z, y, root)
    elif d == 4 and not gaps:
        noisy_accumulate_of(4, full, False, t, params, sums, lower, turn, z, y, root)
    else:
        noisy_accumulate_of(d, full, gaps, t, params, sums, w, w + P, w + P + d, w + P + 2 * d, w + P + 3 * d)


cdef void noisy_log_prob(const Tile* t, const real** params) noexcept nogil:
    any_noisy_log_prob(False, t, params)


cdef void noisy_full_log_prob(const Tile* t, const real** params) noexcept nogil:
    any_noisy_log_prob(True, t, params)


cdef void noisy_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    any_noisy_accumulate(False, t, params, sums)


cdef void noisy_full_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    any_noisy_accumulate(True, t, params, sums)


cdef void noisy_diagonal_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, j, r, S = t.stride, d = noisy_values(t.d, False)
    cdef vec z, error, total, product, taken
    for k in range(t.K):
        for r in range(t.vectors):
            product, taken = splat(1), splat(0)
            for j in range(d):
                z = t.x[j * S + r] - splat(params[1][k * d + j])
                error = where_number(z, t.x[(d + j) * S + r], splat(0))
                taken = taken - where_number(z, splat(0), splat(2 * params[4][k * d + j]))
                z = where_number(z, z, splat(0))
                total = splat(params[2][k * d + j]) + error * error
                take_pivot(total, params[3][k * d + j], &product, &taken)
                taken = taken + z * z / total
                if j % LOGS == LOGS - 1 or j == d - 1:
                    taken = taken + vlog(product)
                    product = splat(1)
            keep_log_prob(t, k * S + r, splat(params[0][k]) - splat(<real>0.5) * taken)


cdef void noisy_diagonal_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t i, j, k, r, S = t.stride, d = noisy_values(t.d, False), n_sums = 1 + 2 * d
    cdef vec z, error, turn, first, second, count
    cdef const vec* resp
    for i in range(t.n_live):
        k = t.live[i]
        resp = t.joint + i * S
        count = splat(0)
        for r in range(t.vectors):
            count = count + resp[r]
        t.acc[0] = count
        for j in range(d):
            first = splat(0)
            second = splat(0)
            for r in range(t.vectors):
                z = t.x[j * S + r] - splat(params[1][k * d + j])
                error = where_number(z, t.x[(d + j) * S + r], splat(0))
                turn = splat(1) / (splat(params[2][k * d + j]) + error * error)
                turn = where_number(z, turn, splat(0))
                z = where_number(z, z, splat(0)) * turn
                first = first + resp[r] * z
                second = second + resp[r] * (z * z - turn)
            t.acc[1 + j] = first
            t.acc[1 + d + j] = second
        add_lane_sums(t.acc, n_sums, sums + k * n_sums)
