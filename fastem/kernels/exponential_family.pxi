# Components from one exponential family: Bernoulli, categorical, Poisson, exponential, gamma, von Mises-Fisher, ...
# and those of one's own: inverse Gaussian, beta, ...
#
#   log p = constant + eta . t(x) + base(x),  the features t and the base are the same for all components
#
# params: the m features are functions (kind) of a column, for an indicator of one level of it. They come in n terms: a
# feature each, and behind them those of kind LEVELS: the indicators of the levels 1, 2, ..., `level` of a column, of which
# at most one is not 0. That one is looked up, its eta and its sum: the others would have added zeros.
# sums: those of (t, 1, base) by responsibility.
#
# Scratch: the n terms (of LEVELS: which of the levels, or 0), a row of ones, the base.

cdef enum FeatureKind:
    IDENTITY = 0
    LOGARITHM = 1
    INDICATOR = 2              # 1 where the column is the level, else 0
    SQUARE = 3
    RECIPROCAL = 4
    LOG_COMPLEMENT = 5         # log(1 - x)
    LEVELS = 6                 # many indicators, see above


cdef double AT_ZERO = 1e-15


cdef tuple exponential_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    cdef Py_ssize_t n = len(params.get("kind", ())), m = n
    for kind, level in zip(params.get("kind", ()), params.get("level", ())):
        if kind == LEVELS:
            m += int(level) - 1
    f.log_prob, f.accumulate, f.roots, f.n_features = exponential_log_prob, exponential_accumulate, False, n
    f.n_acc, f.n_scratch = K * (n + 2), n + 2
    declared = {"constant": (K,), "eta": (K, m), "kind": (n,), "column": (n,), "level": (n,), "has_factorial": (d,)}
    return declared, {"first": (m,), "counts": (), "base": ()}, {}


cdef inline Py_ssize_t n_single(Py_ssize_t n, const real** params) noexcept nogil:
    """How many of n terms are a feature each."""
    while n and <int>params[2][n - 1] == LEVELS:
        n -= 1
    return n


cdef inline Py_ssize_t n_levels(Py_ssize_t f, const real** params) noexcept nogil:
    """Of a term of kind LEVELS."""
    return <Py_ssize_t>params[4][f]


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


cdef inline void which_level(const real* x, real most, Py_ssize_t rows, real* out) noexcept nogil:
    """x where it is one of the levels 1, 2, ..., most; else 0."""
    cdef Py_ssize_t r
    for r in range(rows):
        out[r] = x[r] if 1 <= x[r] <= most and <real><Py_ssize_t>x[r] == x[r] else 0


cdef inline void features(const Tile* t, Py_ssize_t n, const real** params) noexcept nogil:
    """Fill the scratch."""
    cdef Py_ssize_t f, i, r, S = t.stride, single = n_single(n, params)
    cdef vec* base = t.scratch + (n + 1) * S
    cdef const vec* x
    for f in range(single):
        feature(<int>params[2][f], t.x + <Py_ssize_t>params[3][f] * S, splat(params[4][f]), t.vectors, t.scratch + f * S)
    for f in range(single, n):
        x = t.x + <Py_ssize_t>params[3][f] * S
        which_level(<const real*>x, params[4][f], t.vectors * LANES, <real*>(t.scratch + f * S))
    for r in range(t.vectors):
        t.scratch[n * S + r] = splat(1)
        base[r] = splat(0)
    for i in range(t.d):
        if params[5][i] != 0:
            subtract_log_factorials(t.x + i * S, t.vectors, base)


cdef inline vec looked_up(const real* eta, vec level) noexcept nogil:
    """eta[level - 1] of each row, 0 where the level is 0."""
    cdef vec found
    cdef Py_ssize_t place
    cdef int r
    for r in range(LANES):
        place = <Py_ssize_t>lane(level, r)
        (<real*>&found)[r] = eta[place - 1] if place else 0
    return found


cdef inline void linear_forms(const int n, const Tile* t, Py_ssize_t single, Py_ssize_t m, const real** params, Py_ssize_t k,
                              Py_ssize_t g) noexcept nogil:
    """log p of the components k .. k+n for ROW_VECTORS vectors of rows from g, n <= 4; single: terms of one feature."""
    cdef Py_ssize_t f, S = t.stride
    cdef const real* eta = params[1] + k * m
    cdef const vec* x = t.scratch + g
    cdef const vec* base = t.scratch + (t.n_features + 1) * S + g
    cdef vec s[16]
    cdef vec slope
    cdef int c, v
    for c in range(n):
        for v in range(ROW_VECTORS):
            s[4 * c + v] = base[v] + splat(params[0][k + c])
    for f in range(single):
        for c in range(n):
            slope = splat(eta[c * m + f])
            for v in range(ROW_VECTORS):
                s[4 * c + v] = s[4 * c + v] + slope * x[f * S + v]
    eta += single
    for f in range(single, t.n_features):
        for c in range(n):
            for v in range(ROW_VECTORS):
                s[4 * c + v] = s[4 * c + v] + looked_up(eta + c * m, x[f * S + v])
        eta += n_levels(f, params)
    for c in range(n):
        for v in range(ROW_VECTORS):
            keep_log_prob(t, (k + c) * S + g + v, s[4 * c + v])


cdef void exponential_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, k, g, f, single = n_single(t.n_features, params), m = single
    for f in range(single, t.n_features):
        m += n_levels(f, params)
    features(t, t.n_features, params)
    for group in range(t.vectors // ROW_VECTORS):
        g = group * ROW_VECTORS
        k = 0
        while k + DIAGONAL_BLOCK <= t.K:
            linear_forms(DIAGONAL_BLOCK, t, single, m, params, k, g)
            k += DIAGONAL_BLOCK
        while k < t.K:
            linear_forms(1, t, single, m, params, k, g)
            k += 1


cdef inline void add_by_level(const real* weight, const real* level, Py_ssize_t rows, double* sums) noexcept nogil:
    """sums[level - 1] += weight, of the rows in order; not where the level is 0."""
    cdef Py_ssize_t r, place
    for r in range(rows):
        place = <Py_ssize_t>level[r]
        if place:
            sums[place - 1] += weight[r]


cdef void exponential_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t k, f, n = t.n_features, single = n_single(n, params), m = single, S = t.stride
    cdef const vec* acc
    cdef double* out
    if n == single:
        weighted_sums(t, n + 2, sums)
        return
    for f in range(single, n):
        m += n_levels(f, params)
    products(t.n_live, n + 2, t.vectors, S, t.joint, t.scratch, t.acc)
    for k in range(t.n_live):
        out, acc = sums + t.live[k] * (m + 2), t.acc + k * (n + 2)
        add_lane_sums(acc, single, out)
        add_lane_sums(acc + n, 2, out + m)
        out += single
        for f in range(single, n):
            add_by_level(<const real*>(t.joint + k * S), <const real*>(t.scratch + f * S), t.vectors * LANES, out)
            out += n_levels(f, params)
