# Components from one exponential family: Bernoulli, categorical, Poisson, exponential, gamma, von Mises-Fisher, ...
# and those of one's own: inverse Gaussian, beta, ...
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
    SQUARE = 3
    RECIPROCAL = 4
    LOG_COMPLEMENT = 5         # log(1 - x)


cdef double AT_ZERO = 1e-15


cdef tuple exponential_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    cdef Py_ssize_t m = len(params.get("kind", ()))
    f.log_prob, f.accumulate, f.roots, f.n_features = exponential_log_prob, exponential_accumulate, False, m
    f.n_acc, f.n_scratch = K * (m + 2), m + 2
    declared = {"constant": (K,), "eta": (K, m), "kind": (m,), "column": (m,), "level": (m,), "has_factorial": (d,)}
    return declared, {"first": (m,), "counts": (), "base": ()}, {}


cdef inline vec log_of(vec x) noexcept nogil:
    """log x; a number at 0."""
    return vlog(where_less(x, splat(0), x, vmax(x, splat(SMALLEST_NORMAL))))


cdef inline vec reciprocal_of(vec x) noexcept nogil:
    """1 / x; at 0 a number that stands out, which times any eta is one too: 1 / tiny is not."""
    cdef vec positive = where_less(splat(0), x, vmax(x, splat(SMALLEST_NORMAL)), splat(<real>AT_ZERO))
    return splat(1) / where_less(x, splat(0), x, positive)


cdef inline void feature(const int kind, const vec* x, vec level, Py_ssize_t vectors, vec* out) noexcept nogil:
    """A function of a column. Rows of padding are 0: log 0 and 1 / 0 must be numbers there, or 0 times it would be none."""
    cdef Py_ssize_t r
    if kind == LOGARITHM:
        for r in range(vectors):
            out[r] = log_of(x[r])
    elif kind == INDICATOR:
        for r in range(vectors):
            out[r] = where_less(x[r], level, splat(0), where_less(level, x[r], splat(0), splat(1)))
    elif kind == SQUARE:
        for r in range(vectors):
            out[r] = x[r] * x[r]
    elif kind == RECIPROCAL:
        for r in range(vectors):
            out[r] = reciprocal_of(x[r])
    elif kind == LOG_COMPLEMENT:
        for r in range(vectors):
            out[r] = log_of(splat(1) - x[r])
    else:
        for r in range(vectors):
            out[r] = x[r]


cdef inline void features(const Tile* t, Py_ssize_t m, const real** params) noexcept nogil:
    """Fill the scratch."""
    cdef Py_ssize_t f, i, r, S = t.stride
    cdef vec* base = t.scratch + (m + 1) * S
    for f in range(m):
        feature(<int>params[2][f], t.x + <Py_ssize_t>params[3][f] * S, splat(params[4][f]), t.vectors, t.scratch + f * S)
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
