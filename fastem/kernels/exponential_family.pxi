# Components from one exponential family: Bernoulli, categorical, Poisson, exponential, gamma, von Mises-Fisher, ...
#
#   log p = constant + eta . t(x) + base(x),  the features t and the base are the same for all components
#
# params: the m features are functions (kind) of a column, for an indicator of one level of it.
# sums: those of (t, 1, base) by responsibility.
#
# Scratch: the m features, a row of ones, the base.

cdef enum FeatureKind:
    IDENTITY = 0
    LOGARITHM = 1
    INDICATOR = 2              # 1 where the column is the level, else 0


cdef tuple exponential_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    cdef Py_ssize_t m = len(params.get("kind", ()))
    f.log_prob, f.accumulate, f.roots, f.n_features = exponential_log_prob, exponential_accumulate, False, m
    f.n_acc, f.n_scratch = K * (m + 2), m + 2
    declared = {"constant": (K,), "eta": (K, m), "kind": (m,), "column": (m,), "level": (m,), "has_factorial": (d,)}
    return declared, {"first": (m,), "counts": (), "base": ()}, {}


cdef inline void features(const Tile* t, Py_ssize_t m, const real** params) noexcept nogil:
    """Fill the scratch. Rows of padding are 0: log 0 must be a number there, or 0 times it would be none."""
    cdef Py_ssize_t f, i, r, S = t.stride
    cdef const vec* x
    cdef vec* out
    cdef vec* base = t.scratch + (m + 1) * S
    cdef vec level
    for f in range(m):
        x = t.x + <Py_ssize_t>params[3][f] * S
        out = t.scratch + f * S
        if <int>params[2][f] == LOGARITHM:
            for r in range(t.vectors):
                out[r] = vlog(where_less(x[r], splat(0), x[r], vmax(x[r], splat(SMALLEST_NORMAL))))
        elif <int>params[2][f] == INDICATOR:
            level = splat(params[4][f])
            for r in range(t.vectors):
                out[r] = where_less(x[r], level, splat(0), where_less(level, x[r], splat(0), splat(1)))
        else:
            for r in range(t.vectors):
                out[r] = x[r]
    for r in range(t.vectors):
        t.scratch[m * S + r] = splat(1)
        base[r] = splat(0)
    for i in range(t.d):
        if params[5][i] != 0:
            subtract_log_factorials(t.x + i * S, t.vectors, base)


cdef inline void linear_forms(const int n, const Tile* t, Py_ssize_t m, const real** params, Py_ssize_t k, Py_ssize_t g) noexcept nogil:
    """log p of the components k .. k+n for ROW_VECTORS vectors of rows from g, n <= 4."""
    cdef Py_ssize_t f, S = t.stride
    cdef const real* eta = params[1] + k * m
    cdef const vec* x = t.scratch + g
    cdef const vec* base = t.scratch + (m + 1) * S + g
    cdef vec s[16]
    cdef vec slope
    cdef int c, v
    for c in range(n):
        for v in range(ROW_VECTORS):
            s[4 * c + v] = base[v] + splat(params[0][k + c])
    for f in range(m):
        for c in range(n):
            slope = splat(eta[c * m + f])
            for v in range(ROW_VECTORS):
                s[4 * c + v] = s[4 * c + v] + slope * x[f * S + v]
    for c in range(n):
        for v in range(ROW_VECTORS):
            keep_log_prob(t, (k + c) * S + g + v, s[4 * c + v])


cdef void exponential_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, k, g, m = t.n_features
    features(t, m, params)
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        k = 0
        while k + DIAGONAL_BLOCK <= t.K:
            linear_forms(DIAGONAL_BLOCK, t, m, params, k, g)
            k += DIAGONAL_BLOCK
        while k < t.K:
            linear_forms(1, t, m, params, k, g)
            k += 1


cdef void exponential_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    weighted_sums(t, t.n_features + 2, sums)
