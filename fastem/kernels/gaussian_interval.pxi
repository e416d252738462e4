# Gaussian components, whose columns are independent within each, of values that are known to lie between bounds.
#
# The columns of a tile are the values, their lower and their upper bounds: equal where a value is exact, both infinite where
# it is missing, both NaN where the value itself counts. With z = (x - mean) scale, and a < z < b or z exact,
#
#   log p = constant + sum over columns of log P(a < z < b), or log(scale) + log phi(z)
#
# params: constant; mean; scale: 1 / deviation; deviation.
# sums: counts, then first: sum r E[x - mean], and second: sum r E[(x - mean)^2].
#
# With R = (1 - Phi) / phi, A and B the ends of an interval that is mirrored so that |a| <= b, t = (B^2 - A^2) / 2,
#
#   1. narrow (B - A <= NARROW and t <= SLOPE): exp(-c s - s^2 / 2) about the middle c, as its Taylor series in s;
#   2. 0 <= a: D = R(A) - exp(-t) R(B), log P = log phi(A) + log D, E[z] = (1 - exp(-t)) / D, E[z^2] = 1 + (A - B exp(-t)) / D;
#   3. a < 0 and wide, A = -a: P = 1 - phi(A) (R(A) + exp(-t) R(B)), E[z] = phi(A) (1 - exp(-t)) / P,
#      E[z^2] = 1 - phi(A) (A + B exp(-t)) / P: P does not get small.
#
# No step cancels more than a digit, in any tail. A vector of rows goes through the kinds that its rows have. The moments are
# made again where sums are collected, so that nothing of the size rows x components x columns is kept.

cdef enum:
    INTERVAL_TERMS = 13        # of the series; what is left out is below rounding

cdef extern from *:
    """
    static const double WHOLE_RECIPROCALS[] = {
        1.0, 1.0, 1.0 / 2, 1.0 / 3, 1.0 / 4, 1.0 / 5, 1.0 / 6, 1.0 / 7, 1.0 / 8, 1.0 / 9, 1.0 / 10, 1.0 / 11, 1.0 / 12, 1.0 / 13,
        1.0 / 14, 1.0 / 15, 1.0 / 16};
    """
    const double* WHOLE_RECIPROCALS      # of 0 (not used), 1, 2, ...

cdef double NARROW = 0.25, SLOPE = 0.5
cdef double FURTHEST = 1e150 if sizeof(real) == 8 else 1e18      # an end: its square is a number
cdef double LEAST_EXPONENT = -700 if sizeof(real) == 8 else -80      # below, results would be denormal, which is slow
cdef double DENSITY_AT_0 = 0.3989422804014327


cdef tuple interval_layout(Family* f, Py_ssize_t K, Py_ssize_t columns, dict params):
    cdef Py_ssize_t d = columns // 3
    if columns % 3:
        raise ValueError(f"values and their bounds are a multiple of 3 columns, but got {columns}")
    f.log_prob, f.accumulate, f.roots = interval_log_prob, interval_accumulate, False
    f.n_acc, f.n_scratch = 1 + 2 * d, 3 * d
    declared = {"constant": (K,), "mean": (K, d), "scale": (K, d), "deviation": (K, d)}
    return declared, {"counts": (), "first": (d,), "second": (d,)}, {}


cdef inline void moments_of_narrow(vec middle, vec half, vec* ends) noexcept nogil:
    """Kind 1; `ends` as moments_between gives them."""
    cdef vec before = splat(1), term, next, mass = splat(1), shift, square, inverse
    cdef vec p = middle * half, q = half * half
    cdef int n
    term = splat(0) - p                        # of u^n, s = half u: n e_n = -p e_(n-1) - q e_(n-2)
    shift = term * splat(<real>WHOLE_RECIPROCALS[3])
    square = splat(<real>WHOLE_RECIPROCALS[3])
    for n in range(2, INTERVAL_TERMS):
        next = splat(0) - (p * term + q * before) * splat(<real>WHOLE_RECIPROCALS[n])
        before, term = term, next
        if n % 2:
            shift = shift + term * splat(<real>WHOLE_RECIPROCALS[n + 2])
        else:
            mass = mass + term * splat(<real>WHOLE_RECIPROCALS[n + 1])
            square = square + term * splat(<real>WHOLE_RECIPROCALS[n + 3])
    inverse = half / mass
    shift = shift * inverse
    ends[0] = splat(2) * half * mass
    ends[1] = splat(<real>0.5) * middle * middle
    ends[2] = middle + shift
    ends[3] = middle * middle + splat(2) * middle * shift + square * half * inverse


cdef inline void moments_of_wide(vec low, vec high, vec width, vec* ends) noexcept nogil:
    """Kinds 2 and 3; `ends` as moments_between gives them."""
    cdef vec zero = splat(0), one = splat(1)
    cdef vec near = vmax(low, zero - low), fall, at_near, at_high, D, factor
    fall = where_less(low, zero, near - high, zero - width)
    fall = fall * (splat(<real>0.5) * near + splat(<real>0.5) * high)
    fall = vexp(vmax(fall, splat(<real>LEAST_EXPONENT)))
    at_near, at_high = vmills(near), fall * vmills(high)
    D, factor = at_near - at_high, one
    ends[1] = splat(<real>0.5) * near * near
    if any_less(low, zero):
        factor = where_less(low, zero, splat(<real>DENSITY_AT_0) * vexp(vmax(zero - ends[1], splat(<real>LEAST_EXPONENT))), one)
        D = where_less(low, zero, one - factor * (at_near + at_high), D)
        ends[1] = where_less(low, zero, splat(<real>-HALF_LOG_2PI), ends[1])
    ends[0] = D
    factor = factor / D
    ends[2] = factor * (one - fall)
    ends[3] = one + factor * (low - high * fall)


cdef inline void moments_between(vec a, vec b, vec width, vec kind, vec* ends) noexcept nogil:
    """(D, h, E[z], E[z^2]) of the rows of kind 1 (others get anything) for a < b, with log P(a < z < b) = log D - h - log(2 pi) / 2.
    width: b - a, of which the difference has no digits where both are far from the mean or near to each other."""
    cdef vec zero = splat(0), one = splat(1), low, high, half, middle, reach
    cdef vec narrow[4]
    cdef vec total
    ends[0] = ends[1] = ends[2] = ends[3] = zero
    a, b = vmax(a, splat(<real>-FURTHEST)), vmin(b, splat(<real>FURTHEST))
    a, b = vmin(a, splat(<real>FURTHEST)), vmax(b, splat(<real>-FURTHEST))
    total = a + b
    low, high = where_less(total, zero, zero - b, a), where_less(total, zero, zero - a, b)
    half, middle = splat(<real>0.5) * width, splat(<real>0.5) * low + splat(<real>0.5) * high
    reach = half * vmax(splat(<real>(2 / NARROW)), middle * splat(<real>(2 / SLOPE)))
    reach = where_less(zero, kind, where_less(one, reach, splat(2), zero), one)     # 0: narrow, 2: wide, 1: neither
    if any_less(one, reach):
        moments_of_wide(low, high, width, ends)
    if any_less(reach, one):
        moments_of_narrow(middle, half, narrow)
        ends[0], ends[1] = where_less(reach, one, narrow[0], ends[0]), where_less(reach, one, narrow[1], ends[1])
        ends[2], ends[3] = where_less(reach, one, narrow[2], ends[2]), where_less(reach, one, narrow[3], ends[3])
    ends[2] = where_less(total, zero, zero - ends[2], ends[2])


cdef inline void moments_of_value(const Tile* t, Py_ssize_t j, Py_ssize_t r, real mean, real scale, vec* ends) noexcept nogil:
    """(D, h, E[z], E[z^2]) of column j of a vector of rows; of an exact value, log D - h - log(2 pi) / 2 is its log-density."""
    cdef Py_ssize_t S = t.stride, d = t.d // 3
    cdef vec zero = splat(0), one = splat(1), kind = t.scratch[(2 * d + j) * S + r]
    cdef vec a = (t.scratch[j * S + r] - splat(mean)) * splat(scale)
    cdef vec lower, upper, between[4]
    ends[0] = where_less(kind, zero, one, splat(scale))
    ends[2] = where_less(kind, zero, zero, a)
    ends[3] = where_less(kind, zero, one, a * a)
    ends[1] = where_less(kind, zero, splat(<real>-HALF_LOG_2PI), splat(<real>0.5) * ends[3])
    if any_less(zero, kind):
        lower, upper = t.scratch[j * S + r], t.scratch[(d + j) * S + r]
        moments_between(a, (upper - splat(mean)) * splat(scale), (upper - lower) * splat(scale), kind, between)
        ends[0], ends[1] = where_less(zero, kind, between[0], ends[0]), where_less(zero, kind, between[1], ends[1])
        ends[2], ends[3] = where_less(zero, kind, between[2], ends[2]), where_less(zero, kind, between[3], ends[3])


cdef void bounds_of_tile(const Tile* t) noexcept nogil:
    """scratch: lower bounds, upper bounds, equal where the value is exact, and kinds: 1 an interval, 0 exact, -1 missing."""
    cdef Py_ssize_t j, r, S = t.stride, d = t.d // 3
    cdef vec infinity = splat(<real>INFINITY), zero = splat(0), value, lower, upper, kind
    for j in range(d):
        for r in range(t.vectors):
            value, lower, upper = t.x[j * S + r], t.x[(d + j) * S + r], t.x[(2 * d + j) * S + r]
            lower = where_number(lower, lower, where_number(value, value, zero - infinity))
            upper = where_number(upper, upper, where_number(value, value, infinity))
            kind = where_less(lower, upper, splat(1), zero)
            kind = where_less(zero - infinity, lower, kind, where_less(upper, infinity, kind, splat(-1)))
            t.scratch[j * S + r], t.scratch[(d + j) * S + r], t.scratch[(2 * d + j) * S + r] = lower, upper, kind


cdef void interval_log_prob(const Tile* t, const real** params) noexcept nogil:
    cdef Py_ssize_t k, j, r, S = t.stride, d = t.d // 3
    cdef vec total
    cdef vec ends[4]
    bounds_of_tile(t)
    for k in range(t.K):
        for r in range(t.vectors):
            total = splat(params[0][k])
            for j in range(d):
                moments_of_value(t, j, r, params[1][k * d + j], params[2][k * d + j], ends)
                total = total + (vlog(ends[0]) - ends[1] - splat(<real>HALF_LOG_2PI))
            keep_log_prob(t, k * S + r, total)


cdef void interval_accumulate(const Tile* t, const real** params, double* sums) noexcept nogil:
    cdef Py_ssize_t i, j, k, r, S = t.stride, d = t.d // 3, n_sums = 1 + 2 * d
    cdef vec first, second, count, deviation
    cdef vec ends[4]
    cdef const vec* resp
    for i in range(t.n_live):
        k = t.live[i]
        resp = t.joint + i * S
        count = splat(0)
        for r in range(t.vectors):
            count = count + resp[r]
        t.acc[0] = count
        for j in range(d):
            first = second = splat(0)
            for r in range(t.vectors):
                moments_of_value(t, j, r, params[1][k * d + j], params[2][k * d + j], ends)
                first = first + resp[r] * ends[2]
                second = second + resp[r] * ends[3]
            deviation = splat(params[3][k * d + j])
            t.acc[1 + j] = first * deviation
            t.acc[1 + d + j] = second * (deviation * deviation)
        add_lane_sums(t.acc, n_sums, sums + k * n_sums)


def moments_between_ends(const real[::1] a, const real[::1] b, const real[::1] width):
    """(log P(a < z < b), E[z], E[z^2]) of a standard normal variable, a < b: arrays as long as these.
    width: b - a, which may have more digits than its ends."""
    cdef Py_ssize_t i, start, n = a.shape[0]
    cdef vec low = splat(0), high = splat(0), apart = splat(0), log_p
    cdef vec ends[4]
    require_length("b", b.shape[0], n)
    require_length("width", width.shape[0], n)
    found = np.empty((3, n), np.asarray(a).dtype)
    cdef real[:, ::1] out = found
    for start in range(0, n, LANES):
        for i in range(LANES):                   # the last vector is filled up with its last interval
            (<real*>&low)[i] = a[min(start + i, n - 1)]
            (<real*>&high)[i] = b[min(start + i, n - 1)]
            (<real*>&apart)[i] = width[min(start + i, n - 1)]
        moments_between(low, high, apart, splat(1), ends)
        log_p = vlog(ends[0]) - ends[1] - splat(<real>HALF_LOG_2PI)
        for i in range(min(LANES, n - start)):
            out[0, start + i], out[1, start + i], out[2, start + i] = lane(log_p, <int>i), lane(ends[2], <int>i), lane(ends[3], <int>i)
    return found[0], found[1], found[2]
