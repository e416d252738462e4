# Axes that several symmetric matrices share, the most likely ones, turned pair by pair: see `lower` in _common_axes.pyx.

from libc.math cimport atan2, cos, exp, fabs, hypot, log, sin, sqrt

cdef int EVERY = 6  # sweeps between two choices of how far to go beyond a pair's own optimum
cdef double MOST_BEYOND = 1.9
cdef double FLAT = 1e-30  # share of all components' spread along an axis that a component's own has at the least


cdef struct Pair:  # per component, in the plane of two axes
    double first  # the two spreads
    double second
    double cross  # and their cross product
    double area  # the product of the two spreads
    double ratio  # of the area after a turn to the one before


cdef double product_of_spreads(double first, double second, double least) noexcept nogil:
    return (first if first > least else least) * (second if second > least else least)


cdef struct Turn:  # of the plane of two axes
    double c
    double s


cdef Turn quarter(double y, double x, double times) noexcept nogil:
    """The turn by a quarter of the angle of (x, y), so many times."""
    cdef Turn found
    cdef double angle, length, tangent
    if times != 1 or (x <= 0 and fabs(y) <= -1e-100 * x):  # where the tangents have no squares
        angle = times * atan2(y, x) / 4
        found.c, found.s = cos(angle), sin(angle)
        return found
    length = hypot(x, y)
    tangent = y / (x + length) if x >= 0 else (length - x) / y  # of half of the angle, then of a quarter
    tangent /= 1 + sqrt(1 + tangent * tangent)
    found.c = 1 / sqrt(1 + tangent * tangent)
    found.s = tangent * found.c
    return found


cdef double change(
    Pair* pairs, const double* weights, Py_ssize_t K, Turn by, double power, double least
) noexcept nogil:
    """By how much a turn of the axes changes what is minimised; the ratios are left in the pairs."""
    cdef double c = by.c, s = by.s, total = 0
    cdef Py_ssize_t k
    for k in range(K):
        if pairs[k].area == 0:
            pairs[k].ratio = 1
            continue
        pairs[k].ratio = product_of_spreads(
            c * c * pairs[k].first + s * s * pairs[k].second + 2 * c * s * pairs[k].cross,
            s * s * pairs[k].first + c * c * pairs[k].second - 2 * c * s * pairs[k].cross,
            least,
        ) / pairs[k].area
        if power:
            pairs[k].ratio = exp(power * log(pairs[k].ratio))
            total += weights[k] * (pairs[k].ratio - 1)
        else:
            total += weights[k] * log(pairs[k].ratio)
    return total


cdef void turn(
    double* scatter, double* axes, Py_ssize_t d, Py_ssize_t K, Py_ssize_t i, Py_ssize_t j, Turn by
) noexcept nogil:
    """The plane of two axes, which are rows, turned."""
    cdef Py_ssize_t r, k
    cdef double c = by.c, s = by.s, x, y, z
    cdef double* first
    cdef double* second
    cdef double* cross = scatter + (i * d + j) * K
    turn_plane(axes + i * d, axes + j * d, d, c, s)
    for r in range(d):
        if r == i or r == j:
            continue
        first = scatter + (r * d + i if r < i else i * d + r) * K  # the triangle above the diagonal is all that is read
        second = scatter + (r * d + j if r < j else j * d + r) * K
        for k in range(K):
            x, y = first[k], second[k]
            first[k], second[k] = c * x + s * y, c * y - s * x
    first, second = scatter + (i * d + i) * K, scatter + (j * d + j) * K
    for k in range(K):
        x, y, z = first[k], second[k], cross[k]
        first[k] = c * c * x + s * s * y + 2 * c * s * z
        second[k] = s * s * x + c * c * y - 2 * c * s * z
        cross[k] = c * s * (y - x) + (c * c - s * s) * z


cdef struct Sweeps:
    Py_ssize_t done
    double before            # gain of the last one
    double beyond            # by how much pairs go beyond their optimum
    bint ended


cdef void lower_axes(
    double* scatter, double* axes, const double* counts, Py_ssize_t d, Py_ssize_t K, bint equal_volumes, double enough,
    Py_ssize_t until, Sweeps* sweeps, Pair* pairs, double* weights
) noexcept nogil:
    """Sweeps over all pairs of axes, until one gains no more than enough, or so many are done; pairs, weights: K each."""
    cdef Py_ssize_t i, j, k
    cdef double power = 1.0 / d if equal_volumes else 0, curve, slope, bent, x, half, least, y
    cdef Turn by
    cdef double total = 0, n = 0, gain, rate
    cdef Pair* p
    for k in range(K):
        n += counts[k]
    while sweeps.done < until and not sweeps.ended:
        sweeps.done += 1
        gain = total = 0
        for k in range(K):
            weights[k] = counts[k]
            if equal_volumes:
                weights[k] = 0
                for i in range(d):
                    x = scatter[(i * d + i) * K + k]
                    weights[k] += log(x if x > 1e-300 else 1e-300)
                weights[k] = exp(weights[k] / d)
                total += weights[k]
        for i in range(d):
            for j in range(i + 1, d):
                curve = slope = bent = x = y = 0
                for k in range(K):
                    x += scatter[(i * d + i) * K + k]
                    y += scatter[(j * d + j) * K + k]
                least = FLAT * (x if x < y else y)
                for k in range(K):
                    p = &pairs[k]
                    p.first, p.second = scatter[(i * d + i) * K + k], scatter[(j * d + j) * K + k]
                    p.cross = scatter[(i * d + j) * K + k]
                    p.area = product_of_spreads(p.first, p.second, least)
                    if p.area > 0:
                        half = (p.first - p.second) / 2
                        x = weights[k] / p.area
                        curve += x * (half * half - p.cross * p.cross)
                        slope += x * half * p.cross
                        bent += x * half * half * p.cross * p.cross / p.area
                # Newton's step, or that of the tangent in the areas, which lies above as they enter concavely
                bent = curve - 2 * (1 - power) * bent
                x = 1
                if bent > 0:
                    by = quarter(2 * slope, bent, sweeps.beyond)
                    x = change(pairs, weights, K, by, power, least)
                if x > 0:
                    by = quarter(2 * slope, curve, 1)
                    x = change(pairs, weights, K, by, power, least)
                if not x < 0:
                    continue
                turn(scatter, axes, d, K, i, j, by)
                gain -= x
                if equal_volumes:
                    for k in range(K):
                        weights[k] *= pairs[k].ratio
        if equal_volumes:
            gain = n * d * log(total / (total - gain)) if total > gain else 0
        if gain <= enough * n * d:
            sweeps.ended = True
            break
        rate = sqrt(gain / sweeps.before) if sweeps.before > 0 else 1
        sweeps.before = gain
        if sweeps.done % EVERY == 0 and sweeps.beyond - 1 < rate < 1:
            x = (rate + sweeps.beyond - 1) / sweeps.beyond
            x = 1 - x * x / rate
            sweeps.beyond = min(2 / (1 + sqrt(x if x > 0 else 0)), MOST_BEYOND)
