# Functions of the logarithm of the gamma function, by Stirling's series from 16 on, and by recurrence below.

cdef enum:
    SERIES_FROM = 16

cdef double LOG_2PI = 1.8378770664093453
cdef double[7] BERNOULLI = [1 / 12., -1 / 120., 1 / 252., -1 / 240., 1 / 132., -691 / 32760., 1 / 12.]     # B_2k / 2k


cdef double log_minus_digamma(double x) noexcept nogil:
    """log x - digamma(x), x > 0."""
    cdef double start = x, sum = 0, square, series = 0
    cdef int k
    while x < SERIES_FROM:
        sum += 1 / x
        x += 1
    square = 1 / (x * x)
    for k in range(6, -1, -1):
        series = (series + BERNOULLI[k]) * square
    return series + 0.5 / x + (sum + log(start / x) if sum else 0)


cdef double trigamma(double x) noexcept nogil:
    """x > 0."""
    cdef double sum = 0, square, series = 0
    cdef int k
    while x < SERIES_FROM:
        sum += 1 / (x * x)
        x += 1
    square = 1 / (x * x)
    for k in range(6, -1, -1):
        series = (series + 2 * (k + 1) * BERNOULLI[k]) * square
    return sum + (1 + 0.5 / x + series) / x


cdef inline double rest_of_stirling(double x) noexcept nogil:
    """log Gamma(x) - (x - 1/2) log x + x - log(2 pi) / 2 for x from 16 on."""
    cdef double square = 1 / (x * x), series = 0
    cdef int k
    for k in range(6, 0, -1):
        series = (series + BERNOULLI[k] / (2 * k + 1)) * square
    return (series + BERNOULLI[0]) / x


cdef double log_gamma_peak(double x) noexcept nogil:
    """x log x - x - log Gamma(x), x > 0."""
    cdef double start = x, product = 1, moved
    while x < SERIES_FROM:
        product *= x
        x += 1
    moved = 0.5 * (log(x) - LOG_2PI) - rest_of_stirling(x)           # the same at x
    return moved + start * log(start / x) - (start - x) + log(product) - (x - start) * log(x) if x > start else moved


cdef double log_gamma_step(double x, double h) noexcept nogil:
    """log Gamma(x + h) - log Gamma(x), x > 0, h >= 0."""
    cdef double quotient = 1
    while x < SERIES_FROM:
        quotient *= x / (x + h)
        x += 1
    return (log(quotient) + (x - 0.5) * log1p(h / x) + h * (log(x + h) - 1) + rest_of_stirling(x + h)
            - rest_of_stirling(x))


cdef double gamma_shape(double gap, double most) noexcept nogil:
    """The x <= most with log x - digamma(x) = gap; see models/gamma_shape.py."""
    cdef double x, before, least, largest
    cdef int step
    if not gap > log_minus_digamma(most):
        return most
    gap = min(gap, 1e100)
    least, largest = 0.5 / gap, 1 / gap
    x = min(max((3 - gap + sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap), least), largest)
    for step in range(20):
        before = x
        x = min(max(x / (1 + (log_minus_digamma(x) - gap) / (1 - x * trigamma(x))), least), largest)
        if fabs(x - before) <= 1e-13 * x:
            break
    return min(x, most)


def gamma_shapes(const double[::1] gaps, double most):
    """gamma_shape of each."""
    cdef Py_ssize_t i
    shapes = np.empty(gaps.shape[0])
    cdef double[::1] x = shapes
    for i in range(gaps.shape[0]):
        x[i] = gamma_shape(gaps[i], most)
    return shapes


def gamma_functions(double x, double h):
    """log x - digamma(x), trigamma(x), x log x - x - log Gamma(x), log Gamma(x + h) - log Gamma(x), and the shape to the
    first of them, for tests."""
    return log_minus_digamma(x), trigamma(x), log_gamma_peak(x), log_gamma_step(x, h), gamma_shape(log_minus_digamma(x), 1e10)
