# How heavy the tails of one Student-t component are: a search over one number, where EM would need many passes.

cdef enum:
    SCALE_STEPS = 5          # of the scale for each number of degrees of freedom tried; enough for its first digits
    MOST_TRIALS = 100

cdef double GOLDEN = 0.3819660112501051      # 1 minus the golden section
cdef double ROOT_EPSILON = 1.4901161193847656e-08

cdef struct Tails:
    Py_ssize_t d, vectors
    const vec* squares       # over d
    const vec* weight        # whose sum is 1
    double middle            # geometric mean of the squares
    double scale             # at the degrees of freedom that were tried last


cdef inline double sum_of_lanes(vec a) noexcept nogil:
    cdef int i
    cdef double total = 0
    for i in range(LANES):
        total += lane(a, i)
    return total


cdef double tail_loss(Tails* t, double log_degrees) noexcept nogil:
    """Minus the mean log-density, but for a constant, at the best scale."""
    cdef double nu = exp(log_degrees), scale = t.middle
    cdef vec u, weighted, total, tail
    cdef Py_ssize_t r
    cdef int step
    for step in range(SCALE_STEPS):          # as EM with expanded parameters
        weighted, total = splat(0), splat(0)
        for r in range(t.vectors):
            u = t.weight[r] / (splat(nu * scale) + splat(t.d) * t.squares[r])
            total = total + u
            weighted = weighted + u * t.squares[r]
        scale = sum_of_lanes(weighted) / sum_of_lanes(total)
    tail = splat(0)
    for r in range(t.vectors):
        tail = tail + t.weight[r] * vlog1p(splat(t.d / (nu * scale)) * t.squares[r])
    t.scale = scale
    return 0.5 * (t.d * log(nu * scale) + (nu + t.d) * sum_of_lanes(tail)) - log_gamma_step(0.5 * nu, 0.5 * t.d)


cdef double least_between(Tails* t, double a, double b, double tolerance) noexcept nogil:
    """Where tail_loss is least between a and b, by golden sections and parabolas (Brent: Algorithms for minimization without
    derivatives, 1973)."""
    cdef double x = a + GOLDEN * (b - a), v, w, u, fx, fv, fw, fu, middle, near, p, q, r, last = 0, step = 0
    cdef int trial
    v = w = x
    fx = tail_loss(t, x)
    fv = fw = fx
    for trial in range(MOST_TRIALS):
        middle, near = 0.5 * (a + b), ROOT_EPSILON * fabs(x) + tolerance / 3
        if not fabs(x - middle) > 2 * near - 0.5 * (b - a):
            break
        p = q = r = 0
        if fabs(last) > near:                # a parabola through the last three
            r = (x - w) * (fx - fv)
            q = (x - v) * (fx - fw)
            p = (x - v) * q - (x - w) * r
            q = 2 * (q - r)
            p, q = (-p, q) if q > 0 else (p, -q)
            r, last = last, step
        if fabs(p) < fabs(0.5 * q * r) and q * (a - x) < p < q * (b - x):
            step = p / q
            if x + step - a < 2 * near or b - x - step < 2 * near:
                step = near if x < middle else -near
        else:
            last = (b if x < middle else a) - x
            step = GOLDEN * last
        u = x + (step if fabs(step) >= near else near if step > 0 else -near)
        fu = tail_loss(t, u)
        if fu <= fx:
            if u < x:
                b = x
            else:
                a = x
            v, w, x, fv, fw, fx = w, x, u, fw, fx, fu
            continue
        if u < x:
            a = u
        else:
            b = u
        if fu <= fw or w == x:
            v, w, fv, fw = w, u, fw, fu
        elif fu <= fv or v == x or v == w:
            v, fv = u, fu
    return x


def most_likely_degrees(const double[::1] squares, const double[::1] weight, Py_ssize_t d, double least, double most,
                        double tolerance):
    """The degrees of freedom in [least, most], whose logarithm is within a tolerance, and the scale under which squared
    distances (n) in d columns are most likely, as if all scale matrices were multiplied by that scale.

    squares, weight    (n) in: of rows; those of no weight, of no distance, or beyond the range of numbers are left out
    """
    cdef Py_ssize_t n = squares.shape[0], i, used = 0, vectors = (n + LANES - 1) // LANES
    cdef double total = 0, logs = 0, log_degrees, nu
    cdef Tails t
    require_length("weight", weight.shape[0], n)
    cdef char* block = <char*>malloc(2 * vectors * sizeof(vec) + ALIGNMENT)
    if block == NULL:
        raise MemoryError(f"no memory for {n} rows")
    cdef real* kept = <real*>(block + (ALIGNMENT - <uintptr_t>block % ALIGNMENT))
    cdef real* shares = kept + vectors * LANES
    with nogil:
        for i in range(n):
            if weight[i] > 0 and 0 < squares[i] < INFINITY:
                kept[used], shares[used] = squares[i] / d, weight[i]
                total += weight[i]
                logs += weight[i] * log(squares[i] / d)
                used += 1
        if used:
            t.d, t.vectors, t.middle = d, (used + LANES - 1) // LANES, exp(logs / total)
            for i in range(used):
                shares[i] /= total
            for i in range(used, t.vectors * LANES):
                kept[i], shares[i] = 1, 0
            t.squares, t.weight = <const vec*>kept, <const vec*>shares
            log_degrees = least_between(&t, log(least), log(most), tolerance)
            tail_loss(&t, log_degrees)
            nu = exp(log_degrees)
    free(block)
    return (nu, t.scale) if used else (most, 1.0)
