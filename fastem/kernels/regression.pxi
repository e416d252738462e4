# Regressions: the columns are predictors z, and then m targets y, independent given z and the component.
#
#   eta = (coefficients of an output) . (z, 1),  log p = constant + sum of the outputs' log p(y | eta)
#   Gaussian: -(scale (y - eta))^2 (the factor 1/2 is in the scale)
#   Poisson:  y eta - mean - log y!,  mean = variance = exp eta
#   logistic: y eta - log(1 + exp eta), y is 0 or 1,  mean = 1 / (1 + exp -eta), variance = mean (1 - mean)
#
# Sized: behind the targets stand m columns s. Poisson: logarithms of exposures, eta = s + coefficients . (z, 1). Logistic:
# numbers of trials, of which y is that of successes, without the binomial coefficient: y eta - s log(1 + exp eta), mean
# and variance are s times those above.
#
# params: kind of target; origin: zeros, the point about which z is; factorials: whether log y! is taken off, which the sums
# of all rows have in common; sized.
# sums: counts; slope: sum r (y - mean)(z, 1) of each output; squares: sum r (y - mean)^2; gram: the packed triangles of
# sum r variance (z, 1)(z, 1)', of each output; of Gaussians, whose variance is 1 here, one for all.
#
# Scratch: the space of the Gram matrix; m + 1 rows; then y - mean of every component and output, and the roots of their
# variances.

cdef enum TargetKind:
    GAUSSIAN = 0
    POISSON = 1
    LOGISTIC = 2

cdef double MOST = 700.0       # of eta, so that exp is a number; an eighth of it in float32


cdef tuple regression_layout(Family* f, Py_ssize_t K, Py_ssize_t d, dict params):
    kind, sized = params.get("kind", ()), params.get("sized", ())
    cdef Py_ssize_t m = len(params.get("scale", ())) // K, q = d - m * (2 if len(sized) and sized[0] else 1)
    cdef Py_ssize_t grams = m if len(kind) and kind[0] != GAUSSIAN else 1
    f.log_prob, f.accumulate, f.roots, f.n_features = regression_log_prob, regression_accumulate, True, m
    f.n_acc, f.n_scratch = max(m * (q + 3), q + 3 + gram_size(q)), gram_space(q) + m + 1 + 2 * K * m
    declared = {"constant": (K,), "coefficients": (K, m * (q + 1)), "scale": (K, m), "kind": (1,), "origin": (q,),
                "factorials": (1,), "sized": (1,)}
    return declared, {"counts": (), "slope": (m * (q + 1),), "squares": (m,), "gram": (grams * gram_size(q),)}, {}


cdef inline Py_ssize_t n_predictors(const Tile* t, const real** params) noexcept nogil:
    return t.d - t.n_features * (2 if params[6][0] != 0 else 1)


cdef inline void regression_forms(const int n, const Tile* t, Py_ssize_t q, const real* coefficients, Py_ssize_t line,
                                  Py_ssize_t g, vec* eta) noexcept nogil:
    """eta of the lines line .. line+n, n <= 4, for ROW_VECTORS vectors of rows from g."""
    cdef Py_ssize_t i, S = t.stride
    cdef const real* own = coefficients + line * (q + 1)
    cdef vec s[16]
    cdef vec by
    cdef int c, v
    for c in range(n):
        for v in range(ROW_VECTORS):
            s[4 * c + v] = splat(own[c * (q + 1) + q])
    for i in range(q):
        for c in range(n):
            by = splat(own[c * (q + 1) + i])
            for v in range(ROW_VECTORS):
                s[4 * c + v] = s[4 * c + v] + by * t.x[i * S + g + v]
    for c in range(n):
        for v in range(ROW_VECTORS):
            eta[(line + c) * S + g + v] = s[4 * c + v]


cdef inline void add_target(const int kind, const bint sized, const vec* y, const vec* size, real scale, vec* eta,
                            vec* deviation, vec* log_prob) noexcept nogil:
    """log_prob += log p(y | eta) of ROW_VECTORS vectors; eta becomes y - mean, deviation the root of the variance.

    Step by step for all of them, since one vector's chain of exponential and logarithm is all latency.
    """
    cdef vec half[4]
    cdef vec below[4]
    cdef vec mean, tail
    cdef int v
    if kind == GAUSSIAN:
        for v in range(ROW_VECTORS):
            eta[v] = y[v] - eta[v]
            mean = eta[v] * splat(scale)
            log_prob[v] = log_prob[v] - mean * mean
    elif kind == POISSON:
        for v in range(ROW_VECTORS if sized else 0):
            eta[v] = eta[v] + size[v]
        for v in range(ROW_VECTORS):
            half[v] = vexp(splat(<real>0.5) * vmin(eta[v], splat(<real>(MOST if sizeof(real) == 8 else MOST / 8))))
        for v in range(ROW_VECTORS):
            mean = half[v] * half[v]
            log_prob[v] = log_prob[v] + (y[v] * eta[v] - mean)
            deviation[v] = half[v]
            eta[v] = y[v] - mean
    else:
        for v in range(ROW_VECTORS):
            half[v] = vexp_negative(vmin(eta[v], splat(0) - eta[v]) * splat(<real>0.5))       # of -|eta| / 2
        for v in range(ROW_VECTORS):
            if sized:                        # of -log(1 + exp eta) the part -eta, eta > 0, with y: no large numbers cancel
                mean = where_less(eta[v], splat(0), y[v], y[v] - size[v]) * eta[v]
                log_prob[v] = log_prob[v] + (mean - size[v] * vlog1p_of_unit(half[v] * half[v], below + v))
            else:
                log_prob[v] = log_prob[v] + (y[v] * eta[v] - vmax(eta[v], splat(0)) - vlog1p_of_unit(half[v] * half[v], below + v))
        for v in range(ROW_VECTORS):
            tail = half[v] * half[v]
            mean = where_less(eta[v], splat(0), tail * below[v], below[v])
            deviation[v] = half[v] * below[v]
            if sized:
                mean = mean * size[v]
                deviation[v] = deviation[v] * vsqrt(size[v])
            eta[v] = y[v] - mean


cdef inline void regression_group(const int kind, const bint sized, const Tile* t, const real** params,
                                  Py_ssize_t g) noexcept nogil:
    """log p of all components for ROW_VECTORS vectors of rows from g."""
    cdef Py_ssize_t m = t.n_features, q = n_predictors(t, params), K = t.K, S = t.stride, line = 0, k, j
    cdef const vec* base = t.scratch + (gram_space(q) + m) * S + g
    cdef vec* eta = t.scratch + (gram_space(q) + m + 1) * S
    cdef vec* deviation = eta + K * m * S
    cdef const vec* y = t.x + q * S + g
    cdef const vec* size = y + m * S if sized else y
    cdef vec s[4]
    cdef int v
    while line + DIAGONAL_BLOCK <= K * m:
        regression_forms(DIAGONAL_BLOCK, t, q, params[1], line, g, eta)
        line += DIAGONAL_BLOCK
    while line < K * m:
        regression_forms(1, t, q, params[1], line, g, eta)
        line += 1
    for k in range(K):
        for v in range(ROW_VECTORS):
            s[v] = splat(params[0][k])
            if kind == POISSON:
                s[v] = s[v] + base[v]
        for j in range(m):
            line = (k * m + j) * S + g
            add_target(kind, sized, y + j * S, size + j * S, params[2][k * m + j], eta + line, deviation + line, s)
        for v in range(ROW_VECTORS):
            keep_log_prob(t, k * S + g + v, s[v])


cdef void regression_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t group, j, r, q = n_predictors(t, params), S = t.stride
    cdef vec* base = t.scratch + (gram_space(q) + t.n_features) * S
    cdef int kind = <int>params[3][0]
    cdef bint sized = params[6][0] != 0
    if kind == POISSON:
        for r in range(t.vectors):
            base[r] = splat(0)
        for j in range(t.n_features if params[5][0] != 0 else 0):
            subtract_log_factorials(t.x + (q + j) * S, t.vectors, base)
    for group in range(t.vectors // ROW_VECTORS):
        if kind == GAUSSIAN:
            regression_group(GAUSSIAN, False, t, params, group * ROW_VECTORS)
        elif kind == POISSON and sized:
            regression_group(POISSON, True, t, params, group * ROW_VECTORS)
        elif kind == POISSON:
            regression_group(POISSON, False, t, params, group * ROW_VECTORS)
        elif sized:
            regression_group(LOGISTIC, True, t, params, group * ROW_VECTORS)
        else:
            regression_group(LOGISTIC, False, t, params, group * ROW_VECTORS)


cdef inline void target_sums(const int q, const bint gram, const bint weighed, const Tile* t, const vec* root, const vec* error,
                             const vec* deviation, vec* out) noexcept nogil:
    """out = sums of r e z (q), r e, r e^2, r of one output; and where it is asked for the Gram matrix of the rows root (z, 1),
    weighed: times the deviation. q <= 4: every row and all sums in registers."""
    cdef vec s[15]
    cdef vec slope[4]
    cdef vec z[5]
    cdef vec resp, left, first = splat(0), square = splat(0), count = splat(0)
    cdef const vec* x = t.x
    cdef Py_ssize_t r, S = t.stride
    cdef int i
    for i in range(q):
        slope[i] = splat(0)
    for i in range((q + 1) * (q + 2) // 2):
        s[i] = splat(0)
    for r in range(t.vectors):
        resp = root[r] * root[r]
        left = resp * error[r]
        first = first + left
        square = square + left * error[r]
        count = count + resp
        for i in range(q):
            slope[i] = slope[i] + left * x[i * S + r]
        if gram:
            z[q] = root[r]
            if weighed:
                z[q] = z[q] * deviation[r]
            for i in range(q):
                z[i] = z[q] * x[i * S + r]
            add_squares(q + 1, z, s)
    for i in range(q):
        out[i] = slope[i]
    out[q], out[q + 1], out[q + 2] = first, square, count
    if gram:
        for i in range((q + 1) * (q + 2) // 2):
            out[q + 3 + i] = s[i]


cdef inline void few_predictors(const int q, const Tile* t, Py_ssize_t live, const vec* error, const vec* deviation,
                                const real* origin, double* out) noexcept nogil:
    """The sums of a live component for q <= 4; deviation is NULL where one Gram matrix serves all outputs."""
    cdef Py_ssize_t j, m = t.n_features, S = t.stride
    cdef const vec* root = t.joint + live * S
    cdef bint together = GRAM_BLOCK == 4 or q <= 2      # 16 registers hold no more
    for j in range(m):
        if not together or (deviation == NULL and j > 0):
            target_sums(q, False, False, t, root, error + j * S, NULL, t.acc)
        elif deviation == NULL:
            target_sums(q, True, False, t, root, error, NULL, t.acc)
        else:
            target_sums(q, True, True, t, root, error + j * S, deviation + j * S, t.acc)
        if j == 0:
            add_lane_sums(t.acc + q + 2, 1, out)
        add_lane_sums(t.acc, q + 1, out + 1 + j * (q + 1))
        add_lane_sums(t.acc + q + 1, 1, out + 1 + m * (q + 1) + j)
        if together and (deviation != NULL or j == 0):
            add_lane_sums(t.acc + q + 3, gram_size(q), out + 1 + m * (q + 2) + j * gram_size(q))
    if not together:
        target_grams(t, live, deviation, origin, out + 1 + m * (q + 2))


cdef inline void target_grams(const Tile* t, Py_ssize_t live, const vec* deviation, const real* origin, double* out) noexcept nogil:
    """out += the Gram matrices of the outputs of a live component, or the one of all."""
    cdef Py_ssize_t j, r, m = t.n_features, S = t.stride
    cdef const vec* root = t.joint + live * S
    cdef vec* weighed = t.scratch + (gram_space(t.d) + m) * S
    if deviation == NULL:
        full_component(False, t, root, t.live_rows[live], origin, out)
        return
    for j in range(m):
        for r in range(t.vectors):
            weighed[r] = root[r] * deviation[j * S + r]
        full_component(False, t, weighed, t.live_rows[live], origin, out + j * gram_size(t.d))


cdef inline void many_predictors(const Tile* t, Py_ssize_t live, const vec* error, const vec* deviation, const real* origin,
                                 double* out) noexcept nogil:
    """The same for any number: products of r e and z, then the Gram matrices."""
    cdef Py_ssize_t j, r, m = t.n_features, q = t.d, S = t.stride
    cdef const vec* root = t.joint + live * S
    cdef vec* left = t.scratch + gram_space(q) * S           # m rows: r e
    cdef vec* total = t.acc + m * q
    cdef vec resp, first, square, count
    for j in range(m):
        first = square = count = splat(0)
        for r in range(t.vectors):
            resp = root[r] * root[r]
            left[j * S + r] = resp * error[j * S + r]
            first = first + left[j * S + r]
            square = square + left[j * S + r] * error[j * S + r]
            count = count + resp
        total[3 * j], total[3 * j + 1], total[3 * j + 2] = first, square, count
    products(m, q, t.vectors, S, left, t.x, t.acc)
    add_lane_sums(total + 2, 1, out)
    for j in range(m):
        add_lane_sums(t.acc + j * q, q, out + 1 + j * (q + 1))
        add_lane_sums(total + 3 * j, 1, out + 1 + j * (q + 1) + q)
        add_lane_sums(total + 3 * j + 1, 1, out + 1 + m * (q + 1) + j)
    target_grams(t, live, deviation, origin, out + 1 + m * (q + 2))


cdef void regression_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t m = t.n_features, q = n_predictors(t, params), S = t.stride, i, k
    cdef bint gaussian = <int>params[3][0] == GAUSSIAN
    cdef Py_ssize_t size = 1 + m * (q + 2) + (1 if gaussian else m) * gram_size(q)
    cdef const vec* error
    cdef const vec* deviation
    cdef Tile own = t[0]
    cdef double* out
    own.d = q
    for i in range(t.n_live):
        k = t.live[i]
        out = sums + k * size
        error = t.scratch + (gram_space(q) + m + 1 + k * m) * S
        deviation = NULL
        if not gaussian:
            deviation = error + t.K * m * S
        if q == 1:
            few_predictors(1, &own, i, error, deviation, params[4], out)
        elif q == 2:
            few_predictors(2, &own, i, error, deviation, params[4], out)
        elif q == 3:
            few_predictors(3, &own, i, error, deviation, params[4], out)
        elif q == 4:
            few_predictors(4, &own, i, error, deviation, params[4], out)
        else:
            many_predictors(&own, i, error, deviation, params[4], out)
