# The M-step of mixtures of Student-t distributions, and its leaps; see models/gaussian/student_t.py, whose steps these are.

cdef double LEAST_DEGREES = 0.1            # student_t.LEAST_DEGREES, and the next ones
cdef double MOST_DEGREES = 1e6
cdef double GAUSSIAN_DEGREES = 100
cdef double NEAR_FLOOR = 1.5               # soundness.NEAR_FLOOR


cdef inline Py_ssize_t of_tails(Py_ssize_t K, Py_ssize_t d) noexcept nogil:
    """Numbers in memory that the M-step needs beside those of a Gaussian one."""
    return 5 * K + 2 * K * d * d


cdef void take_tails(Run* run, double* memory) noexcept nogil:
    """Give a run this memory for its M-steps."""
    cdef Py_ssize_t d = run.job.d, K = run.job.K
    run.masses = memory
    run.log_masses = run.masses + K
    run.factor = run.log_masses + K
    run.low = run.factor + K
    run.best_degrees = run.low + K
    run.second = run.best_degrees + K
    run.best_scales = run.second + K * d * d


cdef bint student_parameters(Run* run) noexcept nogil:
    """The kernel's parameters: those of Gaussians with full covariances, whose constants are other ones, and the tails."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef const real** params = <const real**>run.job.parts[0].params
    cdef double nu, log_det, scale
    cdef real* factor
    if is_full(run):
        if not full_parameters(run):
            return False
    else:
        run.closeness[0] = 0
        for k in range(run.job.K):
            factor, log_det = <real*>params[1] + k * factor_size(d), 0
            memset(factor, 0, factor_size(d) * sizeof(real))
            for i in range(d):
                run.closeness[0] = max(run.closeness[0], run.floor[i] / run.covariances[k * d + i])
                scale = 1 / sqrt(run.covariances[k * d + i])
                log_det += log(scale)
                factor[place_in_factor(d, i)] = ROOT_HALF * scale
                (<real*>params[2])[k * d + i] = -ROOT_HALF * scale * run.means[k * d + i]
                (<real*>params[3])[k * d + i] = run.means[k * d + i]
            (<real*>params[0])[k] = max(<real>(log(run.weights[k]) + log_det - d * HALF_LOG_2PI), LOWEST)
    for k in range(run.job.K):
        nu = run.degrees[k]
        (<real*>params[0])[k] = max(<real>(params[0][k] + log_gamma_step(0.5 * nu, 0.5 * d) - 0.5 * d * log(0.5 * nu)), LOWEST)
        (<real*>params[4])[k] = 0.5 * (nu + d)
        (<real*>params[5])[k] = 2 / nu
    return True


cdef inline Py_ssize_t place_in_factor(Py_ssize_t d, Py_ssize_t i) noexcept nogil:
    """Where a packed triangular factor holds the i-th entry of its diagonal; see factor_size."""
    cdef Py_ssize_t start = i // FACTOR_BLOCK * FACTOR_BLOCK
    return factor_size(start) + i * min(FACTOR_BLOCK, d - start) + i - start


cdef bint student_moments(Run* run) noexcept nogil:
    """Means and weights of the new model, and second moments about the means; False where a component has no rows that say
    something of it, or sums are no numbers."""
    cdef Py_ssize_t k, i, j, d = run.job.d, K = run.job.K, at_mass = gram_size(d) - 1
    cdef const double* own
    cdef const double* first
    cdef double* second
    cdef double mass, total = 0, shift, count, along
    for k in range(K):
        total += run.moments[k * run.n_each + run.at_count]
    run.n = total
    for k in range(K):
        own = run.moments + k * run.n_each
        first, mass, count = own + d * (d + 1) // 2, own[at_mass], own[run.at_count]
        if not (count > EPSILON * total and mass > EPSILON * count):
            return False
        run.counts[k], run.weights[k], run.masses[k] = count, count / total, mass
        run.log_masses[k] = own[run.at_count + 1] - count * log_minus_digamma(0.5 * (run.degrees[k] + d))
        second = run.second + k * (d * d if is_full(run) else d)
        for i in range(d):
            shift = first[i] / mass
            run.means[k * d + i] += shift
            for j in range(0 if is_full(run) else i, i + 1):
                along = own[i * (i + 1) // 2 + j] - shift * first[j]
                if along - along != 0:
                    return False
                if is_full(run):
                    second[i * d + j] = second[j * d + i] = along
                else:
                    second[i] = along
    return True


cdef inline bint lifts_scatters(const Run* run) noexcept nogil:
    """Whether parts that components share are estimated from scatters that the floor has lifted; see Pieces.lifts."""
    cdef bint is_free = run.volume == c'V' and run.form == c'V' and run.orientation != c'E'
    return not (is_free or run.form == c'I' or (run.volume == c'E' and run.form == c'E'))


cdef bint rescaled(Run* run) noexcept nogil:
    """Scale matrices and degrees of freedom from the moments, of which each component's u are stretched by its factor. False
    where the driver must decide: also of lifted scatters, which do not show in what comes of them."""
    cdef Py_ssize_t k, i, d = run.job.d, size = d * d if is_full(run) else d
    cdef double u, c
    for k in range(run.job.K):
        c = run.factor[k]
        for i in range(size):
            run.covariances[k * size + i] = c * run.second[k * size + i] / run.counts[k]
        if run.free:
            u = run.masses[k] / run.counts[k]
            run.degrees[k] = max(
                2 * gamma_shape(c * u - 1 - log(c) - run.log_masses[k] / run.counts[k], 0.5 * MOST_DEGREES), LEAST_DEGREES)
    if not lifts_scatters(run):
        return estimate(run)
    return are_above_floor(run) and estimate(run) and are_above_floor(run)


cdef bint is_low(Run* run, Py_ssize_t k) noexcept nogil:
    """Whether a scale matrix is near the floor in some direction."""
    cdef Py_ssize_t i, d = run.job.d
    cdef double least = INFINITY, floor = 0
    if is_full(run):
        if closeness_to(run.floor, run.covariances + k * d * d, d, run.work) * NEAR_FLOOR <= 1:
            return False
        in_floors(run, run.covariances + k * d * d)
        for i in range(d):
            least = min(least, run.work[d * d + i * (d + 1)])
        return least < NEAR_FLOOR
    for i in range(d):
        floor += run.floor[i] / d
    for i in range(d):
        least = min(least, run.covariances[k * d + i] / (floor if run.form == c'I' else run.floor[i]))
    return least < NEAR_FLOOR


cdef double student_bound(Run* run) noexcept nogil:
    """The expected log-density at the run's model, but for what all models of a step have in common: a lower bound, which PX-EM
    raises. Minus infinity where a scale matrix has no digits."""
    cdef Py_ssize_t k, i, d = run.job.d, size = d * d if is_full(run) else d
    cdef double total = 0, distance, wanted, log_det
    cdef const double* scale
    for k in range(run.job.K):
        scale, log_det, distance = run.covariances + k * size, 0, run.degrees[k] * run.masses[k]
        if is_full(run):
            if not closeness_to(NULL, scale, d, run.work) < INFINITY:
                return -INFINITY
            distance += trace_of_quotient(run.second + k * size, run.work, d)
        for i in range(d):
            log_det += log(run.work[i * (d + 1)]) if is_full(run) else -0.5 * log(scale[i])
            distance += 0 if is_full(run) else run.second[k * d + i] / scale[i]
        wanted = run.counts[k] * (run.degrees[k] + d)
        total += run.counts[k] * (log_det + log_gamma_peak(0.5 * run.degrees[k])) + (
            0.5 * (run.degrees[k] + d) - 1) * run.log_masses[k] + 0.5 * wanted * log(wanted / distance)
    return total


cdef bint student_m_step(Run* run) noexcept nogil:
    """The model that the moments lead to; False where the ordinary M-step is not enough."""
    cdef Py_ssize_t k, d = run.job.d, K = run.job.K, size = K * (d * d if is_full(run) else d)
    cdef bint stretches = K == 1 or run.volume == c'V', any_low = False
    cdef int trial
    cdef double best, value
    if not student_moments(run) or far_apart(run):
        return False
    for k in range(K):
        run.factor[k] = run.counts[k] / run.masses[k] if stretches else 1
    if not rescaled(run):
        return False
    for k in range(K if stretches else 0):
        run.low[k] = is_low(run, k)
        any_low |= run.low[k] > 0
    if not any_low:
        return student_parameters(run)
    best = -INFINITY
    for trial in range(3):                   # stretched: all components, those that the floor does not hold, none
        for k in range(K):
            if trial == 2 or (trial == 1 and run.low[k]):
                run.factor[k] = 1
        if trial > 0 and not rescaled(run):
            return False
        value = student_bound(run)
        if value > best:
            best = value
            memcpy(run.best_scales, run.covariances, size * sizeof(double))
            memcpy(run.best_degrees, run.degrees, K * sizeof(double))
    memcpy(run.covariances, run.best_scales, size * sizeof(double))
    memcpy(run.degrees, run.best_degrees, K * sizeof(double))
    return best > -INFINITY and student_parameters(run)


cdef bint leaps(Run* run, const double* before, double* image) noexcept nogil:
    """Whether the model takes twice the degrees of freedom where they are large and rise, as StudentT.leap; what it was is kept
    in `image`. before, image: rows of models."""
    cdef Py_ssize_t k, size = row_size(run), K = run.job.K
    cdef bint rising = False
    memcpy(image, run.weights, size * sizeof(double))
    for k in range(K if run.free else 0):
        if max(before[size - K + k], GAUSSIAN_DEGREES) < run.degrees[k] < MOST_DEGREES:
            run.degrees[k] = min(2 * run.degrees[k], MOST_DEGREES)
            rising = True
    return rising and student_parameters(run)
