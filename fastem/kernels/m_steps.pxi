# The ordinary M-step of a Gaussian mixture of each of the fourteen families: every component has rows, and a covariance with
# digits at or above the floor. It says so where this is not the case, and the driver's M-step decides.

include "jacobi.pxi"
include "common_axes.pxi"
include "gamma_functions.pxi"

cdef enum:
    MOST_SWEEPS = 500        # as in models/gaussian/pieces.py and parsimonious.py, and the next ones
    FEW_SWEEPS = 8
    MANY_SWEEPS = 100
    MOST_TURNS = 60

cdef double TIGHT = 1e-13
cdef double NEAR = 1e-12
cdef double LEAST_PIVOT = 8 * EPSILON      # times d, of a column's variance: linear_algebra.DIGITS
cdef double CANCELLED = 1e-8               # covariance.FAR
cdef double LOST = 64 * EPSILON            # covariance.ROUNDING
cdef double SUMS_ROUNDING = 1e-15          # scatters.ROUNDING
cdef double TINY = 1e-300                  # pieces.TINY
cdef double UNCLEAR = 1e-9                 # relative difference of what iterated estimates minimise, once raised
cdef double SHAPELESS = 1e-3               # pieces.SHAPELESS
cdef double FAR_MEANS = 16 * EPSILON       # emission.DIGITS

cdef struct Run:
    Job job
    char volume, form, orientation
    double* weights          # K
    double* means            # K x d, about the centre
    double* covariances      # K x d x d, or K x d where the axes are the columns
    const double* floor      # d
    double* history          # n_iter + 1
    double* rows             # K: of the components at the model
    double* closeness        # of the model to the floor, see closeness_to
    double* moments          # n_sums: of the last pass
    Py_ssize_t done          # M-steps
    Memory* memory           # NULL, or of the last steps, where runs look ahead; then the columns' units, places and steps
    double n                 # the sum of
    double* counts           # K
    double* volumes          # K
    const double* given      # the covariances before the M-step, or NULL: of a start
    double* own              # as covariances: of each component alone
    double* best             # as covariances
    double* lift             # K: see count_flat
    double* work             # 2 x d x (d + 1)
    double* along            # K x d
    double* axes             # K x d x d
    double* candidates       # (K + 1) x (d x d + 1)
    Pair* pairs              # K, with as many doubles behind them
    Py_ssize_t n_each        # sums of a component, of which this one is its rows
    Py_ssize_t at_count
    bint gaps                # whether rows have missing values
    double* degrees          # K: of freedom, of Student-t distributions, behind the covariances; else NULL. The rest is theirs
    bint free                # whether they are estimated
    double* masses           # K: sum r u
    double* log_masses       # K: sum r E[log u]
    double* factor           # K: by which u is stretched
    double* low              # K: whether the scale matrix is near the floor
    double* best_degrees     # K
    double* second           # as covariances: about the means
    double* best_scales      # as covariances


cdef inline bint is_full(const Run* run) noexcept nogil:
    return run.orientation != c'I'


cdef double closeness_to(const double* floor, const double* covariance, Py_ssize_t d, double* inverse) noexcept nogil:
    """The trace of the floor (or NULL) in units of a covariance: up to 1, every eigenvalue is above it, see raise_to_floor.
    inverse = L^-1 of covariance = L L^T, row by row; where it is nearly singular, the result is infinite."""
    cdef Py_ssize_t i, j, k
    cdef double s, closeness = 0
    for j in range(d):                       # L first
        for i in range(j, d):
            s = covariance[i * d + j]
            for k in range(j):
                s -= inverse[i * d + k] * inverse[j * d + k]
            if i == j:
                if not s > LEAST_PIVOT * d * covariance[j * d + j]:
                    return INFINITY
                inverse[j * d + j] = sqrt(s)
            else:
                inverse[i * d + j] = s / inverse[j * d + j]
    for i in range(d):                       # in place: row i needs L's row i and the rows above, which are done
        for j in range(i):
            s = 0
            for k in range(j, i):
                s += inverse[i * d + k] * inverse[k * d + j]
            inverse[j * d + i] = s           # kept in the upper triangle until row i of L is not needed
        s = 1 / inverse[i * d + i]
        inverse[i * d + i] = s
        for j in range(i):
            inverse[i * d + j] = -s * inverse[j * d + i]
    if floor == NULL:
        return 0
    for i in range(d):
        for j in range(i + 1):
            closeness += inverse[i * d + j] * inverse[i * d + j] * floor[j]
    return closeness


def factors_above(const double[:, :, ::1] covariances, const double[:, ::1] floor):
    """(K, d, d) upper triangular U with U U^T the inverse of each covariance, all of which are proven to be above the floor
    (K, d), and not nearly singular; else None."""
    cdef Py_ssize_t K = covariances.shape[0], d = covariances.shape[1], k, i, j
    require_length("a row of covariances", covariances.shape[2], d)
    require_length("floor", floor.shape[0], K)
    require_length("a row of the floor", floor.shape[1], d)
    factors, memory = np.zeros((K, d, d)), np.empty((d, d))
    cdef double[:, :, ::1] upper = factors
    cdef double[:, ::1] inverse = memory
    for k in range(K if d else 0):
        if not closeness_to(&floor[k, 0], &covariances[k, 0, 0], d, &inverse[0, 0]) <= 1:
            return None
        for i in range(d):
            for j in range(i + 1):
                upper[k, j, i] = inverse[i, j]
    return factors


cdef bint full_parameters(Run* run) noexcept nogil:
    """The kernel's parameters of full covariances."""
    cdef Py_ssize_t k, i, j, m, block, start, stop, place, d = run.job.d, K = run.job.K
    cdef const real** params = <const real**>run.job.parts[0].params
    cdef real* factor
    cdef real* offset
    cdef double* precision
    cdef double* inverse = run.work
    cdef double log_det = 0, s, closeness
    run.closeness[0] = 0
    for k in range(K):
        if k == 0 or run.volume != c'E' or run.form != c'E' or run.orientation != c'E':
            closeness = closeness_to(run.floor, run.covariances + k * d * d, d, inverse)
            if not closeness < INFINITY:
                return False
            run.closeness[0] = max(run.closeness[0], closeness)
            log_det = 0
            for i in range(d):
                log_det += log(inverse[i * d + i])
        (<real*>params[0])[k] = max(<real>(log(run.weights[k]) + log_det - d * HALF_LOG_2PI), LOWEST)
        factor = <real*>params[1] + k * factor_size(d)
        offset = <real*>params[2] + k * d
        place = 0
        for block in range((d + FACTOR_BLOCK - 1) // FACTOR_BLOCK):
            start, stop = block * FACTOR_BLOCK, min((block + 1) * FACTOR_BLOCK, d)
            for j in range(stop):
                for i in range(start, stop):
                    factor[place] = ROOT_HALF * inverse[i * d + j] if j <= i else 0
                    place += 1
        for i in range(d):
            s = 0
            for j in range(i + 1):
                s -= inverse[i * d + j] * run.means[k * d + j]
            offset[i] = ROOT_HALF * s
            for j in range(i + 1 if run.gaps else 0):
                s = 0
                for m in range(i, d):
                    s += inverse[m * d + i] * inverse[m * d + j]
                precision = <double*>params[4] + k * d * d
                precision[i * d + j] = precision[j * d + i] = s
            (<real*>params[3])[k * d + i] = run.means[k * d + i]
    return True


cdef bint diagonal_parameters(Run* run) noexcept nogil:
    """The kernel's parameters of diagonal covariances."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef const real** params = <const real**>run.job.parts[0].params
    cdef double log_det, scale
    run.closeness[0] = 0
    for k in range(run.job.K):
        log_det = 0
        for i in range(k * d, (k + 1) * d):
            run.closeness[0] = max(run.closeness[0], run.floor[i - k * d] / run.covariances[i])
            scale = 1 / sqrt(run.covariances[i])
            log_det += log(scale)
            (<real*>params[1])[i] = ROOT_HALF * scale
            (<real*>params[2])[i] = -ROOT_HALF * scale * run.means[i]
            (<real*>params[3])[i] = run.means[i]
            if run.gaps:
                (<real*>params[4])[i] = log(scale) - HALF_LOG_2PI
        (<real*>params[0])[k] = max(<real>(log(run.weights[k]) + log_det - d * HALF_LOG_2PI), LOWEST)
    return True


cdef bint far_apart(const Run* run) noexcept nogil:
    """Whether the means are so far from each other that the rows about them have lost digits above the floor."""
    cdef Py_ssize_t i, k, d = run.job.d
    cdef double least, most
    for i in range(d):
        least = most = run.means[i]
        for k in range(1, run.job.K):
            least = min(least, run.means[k * d + i])
            most = max(most, run.means[k * d + i])
        if (FAR_MEANS * (most - least)) ** 2 > run.floor[i]:
            return True
    return False


cdef bint cancels(const Run* run) noexcept nogil:
    """Whether any component has moved so far that its scatter is a difference of large numbers."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef bint full = is_full(run)
    cdef Py_ssize_t size = gram_size(d) if full else 2 * d + 1
    cdef const double* own
    cdef const double* first
    cdef double square, along
    for k in range(run.job.K):
        own = run.moments + k * size
        first = own + (d * (d + 1) // 2 if full else 0)
        for i in range(d):
            square = first[i] * first[i] / own[size - 1]
            along = own[i * (i + 1) // 2 + i] if full else own[d + i]
            if not along - square >= CANCELLED * square:
                return True
    return False


cdef bint scatter_about_means(Run* run, double* scatter) noexcept nogil:
    """Means and weights of the new model; scatter (K, d, d) or (K, d) about the means, over all weight of the component: 0
    where it is rounding. False where a component has no rows, or sums are no numbers."""
    cdef Py_ssize_t k, i, j, d = run.job.d, K = run.job.K
    cdef bint full = is_full(run)
    cdef Py_ssize_t size = gram_size(d) if full else 2 * d + 1
    cdef Py_ssize_t at_first = d * (d + 1) // 2 if full else 0
    cdef const double* own
    cdef const double* first
    cdef double* of_one
    cdef double count, total = 0, along, second, shift, square, lost
    for k in range(K):
        total += run.moments[(k + 1) * size - 1]
    run.n = total
    for k in range(K):
        if not run.moments[(k + 1) * size - 1] > EPSILON * total:
            return False
    lost = d * LOST if cancels(run) else 0
    for k in range(K):
        own = run.moments + k * size
        first = own + at_first
        count = own[size - 1]
        run.counts[k], run.weights[k] = count, count / total
        of_one = scatter + k * (d * d if full else d)
        for i in range(d):
            shift = first[i] / count
            square = shift * first[i]
            run.means[k * d + i] += shift
            second = (own[i * (i + 1) // 2 + i] if full else own[d + i]) + lost * square
            along = second - square
            if (shift - shift) + (along - along) != 0:       # of missing values
                return False
            along = along / count if along > SUMS_ROUNDING * second else 0
            if not full:
                of_one[i] = along
                continue
            of_one[i * d + i] = along
            for j in range(i):
                of_one[i * d + j] = of_one[j * d + i] = (
                    own[i * (i + 1) // 2 + j] / count - shift * (first[j] / count)
                    if along > 0 and of_one[j * d + j] > 0 else 0)
    return True


# The estimates, by the three letters of a family (volume, shape, orientation: E equal, V variable, I of the identity); see
# models/gaussian/parsimonious.py and pieces.py, whose steps and limits these are.

cdef void pool(Run* run, Py_ssize_t size) noexcept nogil:
    """The covariances of all components become their mean by weight."""
    cdef Py_ssize_t k, i
    cdef double s
    for i in range(size):
        s = 0
        for k in range(run.job.K):
            s += run.weights[k] * run.covariances[k * size + i]
        for k in range(run.job.K):
            run.covariances[k * size + i] = s


cdef void variances_along(Run* run, double* along) noexcept nogil:
    """The variances (K, d) along axes that are most likely for those of each component alone."""
    cdef Py_ssize_t k, i, sweep, d = run.job.d, K = run.job.K
    cdef double total = 0, mean, before, change
    cdef const double* counts = run.counts
    cdef double* volumes = run.volumes
    cdef double* form = run.work
    if run.form == c'V' and run.volume == c'V':
        return
    if run.form == c'V' or run.form == c'I':             # each volume, then what they have in common
        for k in range(K):
            mean = 0
            for i in range(d):
                mean += log(along[k * d + i]) / d if run.form == c'V' else along[k * d + i] / d
            volumes[k] = exp(mean) if run.form == c'V' else mean
            total += run.weights[k] * volumes[k]
        for i in range(K * d):
            mean = total if run.volume == c'E' else volumes[i // d]
            along[i] = mean if run.form == c'I' else along[i] / volumes[i // d] * mean
        return
    for k in range(K):
        volumes[k] = 0
        for i in range(d):
            volumes[k] += along[k * d + i] / d
        volumes[k] = max(volumes[k], TINY)
    for sweep in range(MOST_SWEEPS if run.volume == c'V' else 1):     # volumes and the common shape in turn
        mean = 0
        for i in range(d):
            form[i] = 0
            for k in range(K):
                form[i] += counts[k] * along[k * d + i] / (volumes[k] if run.volume == c'V' else run.n)
            mean += log(form[i]) / d
        if run.volume == c'E':
            break
        for i in range(d):
            form[i] /= exp(mean)
        change = 0
        for k in range(K):
            before, volumes[k] = volumes[k], 0
            for i in range(d):
                volumes[k] += along[k * d + i] / form[i] / d
            volumes[k] = max(volumes[k], TINY)
            change = max(change, fabs(volumes[k] / before - 1))
        if change <= TIGHT:
            break
    for i in range(K * d):
        along[i] = form[i % d] * (volumes[i // d] if run.volume == c'V' else 1)


cdef bint common_shape(Run* run) noexcept nogil:
    """VEE: one matrix for all up to its size, from that of the last model; False where it is near the floor."""
    cdef Py_ssize_t k, i, sweep, d = run.job.d, K = run.job.K
    cdef double value, before = INFINITY, size, s
    cdef double* inverse = run.work
    cdef double* common = run.work + d * d
    for i in range(d * d):
        common[i] = 0 if run.given == NULL else run.given[i]
        for k in range(K if run.given == NULL else 0):
            common[i] += run.counts[k] * run.covariances[k * d * d + i]
    for sweep in range(MOST_SWEEPS):
        if not closeness_to(NULL, common, d, inverse) < INFINITY:
            return False
        size = 0
        for i in range(d):
            size -= 2 * log(inverse[i * d + i]) / d
        size, value = exp(size), 0
        for k in range(K):
            run.volumes[k] = max(trace_of_quotient(run.covariances + k * d * d, inverse, d) * size / d, TINY)
            value += d * run.counts[k] * log(run.volumes[k])
        if before - value <= NEAR * (1 + fabs(value)):
            break
        before = value
        for i in range(d * d):
            s = 0
            for k in range(K):
                s += run.counts[k] * run.covariances[k * d * d + i] / run.volumes[k]
            common[i] = s
    for k in range(K):
        for i in range(d * d):
            run.covariances[k * d * d + i] = common[i] / size * run.volumes[k]
    return True


cdef double trace_of_quotient(const double* covariance, const double* inverse, Py_ssize_t d) noexcept nogil:
    """tr(covariance (L L^T)^-1), with L^-1 lower triangular."""
    cdef Py_ssize_t i, j, m
    cdef double s, total = 0
    for i in range(d):
        for j in range(i + 1):
            s = 0
            for m in range(i + 1):
                s += covariance[j * d + m] * inverse[i * d + m]
            total += s * inverse[i * d + j]
    return total


cdef bint equal_volumes(Run* run) noexcept nogil:
    """EVV: each covariance with the same determinant."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef double total = 0, s
    for k in range(run.job.K):
        if not closeness_to(NULL, run.covariances + k * d * d, d, run.work) < INFINITY:
            return False
        s = 0
        for i in range(d):
            s -= 2 * log(run.work[i * d + i]) / d
        run.volumes[k] = exp(s)
        total += run.weights[k] * run.volumes[k]
    for k in range(run.job.K):
        for i in range(d * d):
            run.covariances[k * d * d + i] *= total / run.volumes[k]
    return True


cdef void sorted_axes(double* matrix, double* axes, Py_ssize_t d) noexcept nogil:
    """The axes of a symmetric matrix, which becomes diagonal, by ascending eigenvalues: rows of (d, d)."""
    cdef Py_ssize_t i, j, m, least
    for i in range(d * d):
        axes[i] = i % (d + 1) == 0
    turn_to_axes_of(matrix, axes, d, MOST_TURNS)
    for i in range(d):
        least = i
        for j in range(i + 1, d):
            if matrix[j * d + j] < matrix[least * d + least]:
                least = j
        matrix[i * d + i], matrix[least * d + least] = matrix[least * d + least], matrix[i * d + i]
        for m in range(d):
            axes[i * d + m], axes[least * d + m] = axes[least * d + m], axes[i * d + m]


cdef void compose(const double* axes, const double* variances, Py_ssize_t d, double* covariance) noexcept nogil:
    """The covariance of these variances along axes, which are rows."""
    cdef Py_ssize_t i, j, m
    memset(covariance, 0, d * d * sizeof(double))
    for m in range(d):
        for i in range(d):
            add_times(covariance + i * d, axes[m * d + i] * variances[m], axes + m * d, i + 1)
    for i in range(d):
        for j in range(i):
            covariance[j * d + i] = covariance[i * d + j]


cdef void own_axes(Run* run) noexcept nogil:
    """EEV, VEV: a common shape along axes of their own."""
    cdef Py_ssize_t k, i, d = run.job.d, K = run.job.K
    cdef double* own
    for k in range(K):
        own = run.covariances + k * d * d
        sorted_axes(own, run.axes + k * d * d, d)
        for i in range(d):
            run.along[k * d + i] = max(own[i * d + i], 0)
    variances_along(run, run.along)
    for k in range(K):
        compose(run.axes + k * d * d, run.along + k * d, d, run.covariances + k * d * d)


cdef double turned_on(Run* run, double* axes, Py_ssize_t most) noexcept nogil:
    """Axes that all share, turned by so many sweeps at most; run.along: the variances along them. What is minimised."""
    cdef Py_ssize_t k, i, j, m, d = run.job.d, K = run.job.K
    cdef double* columns = run.work + d * d
    cdef double* half = columns + d * d
    cdef double* row = half + d
    cdef double* turned = run.axes
    cdef const double* own
    cdef double value = 0
    cdef Sweeps sweeps
    for i in range(d):
        for j in range(d):
            columns[i * d + j] = axes[j * d + i]
    for k in range(K):
        own = run.covariances + k * d * d
        for i in range(d):
            memset(half, 0, 2 * d * sizeof(double))
            for m in range(d):
                add_times(half, axes[i * d + m], own + m * d, d)
            for m in range(d):
                add_times(row + i, half[m], columns + m * d + i, d - i)
            for j in range(i, d):
                turned[(i * d + j) * K + k] = run.counts[k] * row[j]
    sweeps.done, sweeps.before, sweeps.beyond, sweeps.ended = 0, 0, 1, False
    lower_axes(turned, axes, run.counts, d, K, run.volume == c'E', NEAR, most, &sweeps, run.pairs, <double*>(run.pairs + K))
    for k in range(K):
        for i in range(d):
            run.along[k * d + i] = max(turned[i * (d + 1) * K + k], 0) / run.counts[k]
    variances_along(run, run.along)
    for i in range(K * d):
        value += run.counts[i // d] * log(max(run.along[i], TINY))
    return value


cdef double* axes_of_given(Run* run) noexcept nogil:
    """The axes of the last model's covariances: of an uneven sum of them, for one alone may have equal variances."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef double* sum = run.work + d * d
    cdef const double* own
    cdef double trace
    memset(sum, 0, d * d * sizeof(double))
    for k in range(run.job.K):
        own, trace = run.given + k * d * d, 0
        for i in range(d):
            trace += own[i * (d + 1)]
        for i in range(d * d):
            sum[i] += sqrt(<double>(k + 1)) / trace * own[i]
    sorted_axes(sum, run.work, d)
    return run.work


cdef double* best_axes(Run* run) noexcept nogil:
    """The best of the axes that start at each component's own and at those of all together."""
    cdef Py_ssize_t k, i, c, best, d = run.job.d, K = run.job.K
    cdef double* matrix = run.work + d * d
    cdef double* values = run.candidates + (K + 1) * d * d
    cdef double value, least = INFINITY
    cdef double* found = run.candidates
    for c in range(K + 1):
        memset(matrix, 0, d * d * sizeof(double))
        for k in range(K):
            for i in range(d * d):
                if c == k or c == K:
                    matrix[i] += run.counts[k] * run.covariances[k * d * d + i]
        sorted_axes(matrix, run.candidates + c * d * d, d)
        values[c] = turned_on(run, run.candidates + c * d * d, 6)
    for i in range(min(3, K + 1)):           # the best of them go on
        best = 0
        for c in range(1, K + 1):
            if values[c] < values[best]:
                best = c
        values[best] = INFINITY
        value = turned_on(run, run.candidates + best * d * d, MANY_SWEEPS)
        if value < least:
            least, found = value, run.candidates + best * d * d
    return found


cdef void shared_axes(Run* run) noexcept nogil:
    """EVE, VVE: shapes of their own along axes that all share, turned on from those of the last model."""
    cdef Py_ssize_t k, d = run.job.d
    cdef double* axes = best_axes(run) if run.given == NULL else axes_of_given(run)
    turned_on(run, axes, 0 if run.given == NULL else FEW_SWEEPS)
    for k in range(run.job.K):
        compose(axes, run.along + k * d, d, run.covariances + k * d * d)


cdef bint of_family(Run* run) noexcept nogil:
    """The covariances of the family, from those of each component alone; False where there are none with digits."""
    cdef Py_ssize_t d = run.job.d
    cdef bint one_form = run.form == c'E', one_volume = run.volume == c'E'
    if run.orientation == c'I':
        if one_volume and one_form:
            pool(run, d)
        else:
            variances_along(run, run.covariances)
    elif run.orientation == c'E':
        if not one_form:
            shared_axes(run)
        elif one_volume:
            pool(run, d * d)
        else:
            return common_shape(run)
    elif one_form:
        own_axes(run)
    elif one_volume:
        return equal_volumes(run)
    return True


# The floor, as in scatters.most_likely: families that are not closed under it may be less likely there than before.

cdef inline bint is_near_floor(const Run* run, const double* covariance) noexcept nogil:
    return not closeness_to(run.floor, covariance, run.job.d, run.work) <= 1


cdef bint are_above_floor(const Run* run) noexcept nogil:
    """Whether covariances of the components alone are, by a test that proves it."""
    cdef Py_ssize_t k, i, d = run.job.d
    for k in range(run.job.K):
        if is_full(run):
            if is_near_floor(run, run.covariances + k * d * d):
                return False
        else:
            for i in range(d):
                if not run.covariances[k * d + i] > run.floor[i]:
                    return False
    return True


cdef bint in_floors(Run* run, double* covariance) noexcept nogil:
    """The covariance's axes (rows) and variances in units of the floor: in run.work, and on the diagonal behind it. Whether
    any of these is below 1."""
    cdef Py_ssize_t i, j, d = run.job.d
    cdef double* turned = run.work + d * d
    cdef bint below = False
    for i in range(d):
        for j in range(d):
            turned[i * d + j] = covariance[i * d + j] / sqrt(run.floor[i] * run.floor[j])
    for i in range(d * d):
        run.work[i] = i % (d + 1) == 0
    turn_to_axes_of(turned, run.work, d, MOST_TURNS)
    for i in range(d):
        below |= turned[i * (d + 1)] < 1
    return below


cdef Py_ssize_t count_flat(Run* run) noexcept nogil:
    """How many components are below the floor in some direction; their lift is 1, or 2 if they say nothing of a common
    shape, that of others 0."""
    cdef Py_ssize_t k, i, n = 0, d = run.job.d
    cdef bint flat
    cdef double most
    for k in range(run.job.K):
        most = 0
        if is_full(run):
            flat = is_near_floor(run, run.covariances + k * d * d) and in_floors(run, run.covariances + k * d * d)
            for i in range(d if flat else 0):
                most = max(most, run.work[d * d + i * (d + 1)])
        else:
            flat = False
            for i in range(d):
                flat |= run.covariances[k * d + i] < run.floor[i]
                most = max(most, run.covariances[k * d + i] / run.floor[i])
        run.lift[k] = flat + (flat and most < SHAPELESS)
        n += flat
    return n


cdef bint raised(Run* run) noexcept nogil:
    """Raises the covariances to the floor; whether any was below."""
    cdef Py_ssize_t k, i, j, m, d = run.job.d
    cdef double* own
    cdef double* turned = run.work + d * d
    cdef double least = 0, s
    cdef bint any_below = False
    if not is_full(run):
        for i in range(d):
            least += run.floor[i] / d
        for i in range(run.job.K * d):
            s = least if run.form == c'I' else run.floor[i % d]
            any_below |= run.covariances[i] < s
            run.covariances[i] = max(run.covariances[i], s)
        return any_below
    for k in range(run.job.K):
        own = run.covariances + k * d * d
        if not is_near_floor(run, own) or not in_floors(run, own):
            continue
        any_below = True
        for i in range(d):
            for j in range(i + 1):
                s = 0
                for m in range(d):
                    s += run.work[m * d + i] * max(turned[m * (d + 1)], 1) * run.work[m * d + j]
                own[i * d + j] = own[j * d + i] = s * sqrt(run.floor[i] * run.floor[j])
    return any_below


cdef double minus_twice(Run* run, const double* covariances) noexcept nogil:
    """-2 times the expected log-density, up to a constant; infinite where a covariance has no digits."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef double total = 0, of_one
    for k in range(run.job.K):
        of_one = 0
        if is_full(run):
            if not closeness_to(NULL, covariances + k * d * d, d, run.work) < INFINITY:
                return INFINITY
            for i in range(d):
                of_one -= 2 * log(run.work[i * d + i])
            of_one += trace_of_quotient(run.own + k * d * d, run.work, d)
        else:
            for i in range(k * d, (k + 1) * d):
                of_one += log(covariances[i]) + run.own[i] / covariances[i]
        total += run.counts[k] * of_one
    return total


cdef bint estimate(Run* run) noexcept nogil:
    """The covariances at or above the floor, from those of each component alone; False where the driver must decide."""
    cdef Py_ssize_t i, k, d = run.job.d, K = run.job.K, first = 0, last = 0, n_flat = 0, lifted
    cdef Py_ssize_t size = d * d if is_full(run) else d
    cdef bint free = run.volume == c'V' and run.form == c'V' and run.orientation != c'E', touched
    cdef bint common = run.volume == c'E' and run.form == c'E' and run.orientation == c'E'
    # by iteration until little changes, of which the last digits may decide at the floor which of several estimates is taken
    cdef bint iterated = run.orientation == c'E' and not common
    cdef double least, value, unclear
    if are_above_floor(run):              # then so is all that a family makes of them, but for what volumes share
        memcpy(run.own, run.covariances, K * size * sizeof(double))
        if not of_family(run):
            return False
        if free or are_above_floor(run):
            return True
        memcpy(run.covariances, run.own, K * size * sizeof(double))
    if free or common or run.form == c'I':
        if not of_family(run):
            return False
        raised(run)
        return True
    if not (run.volume == c'E' and run.form == c'E'):
        n_flat = count_flat(run)
    if n_flat > 0:
        first, last = run.form != c'E' or n_flat == K, 1
    memcpy(run.own, run.covariances, K * size * sizeof(double))
    least, unclear = INFINITY, 0
    if run.given != NULL:
        memcpy(run.best, run.given, K * size * sizeof(double))
        least = minus_twice(run, run.given)
        unclear = UNCLEAR * (run.n * d + fabs(least)) if iterated else 0
        least += 10 * SUMS_ROUNDING * (run.n * d + fabs(least))
    for lifted in range(first, last + 1):
        memcpy(run.covariances, run.own, K * size * sizeof(double))
        for k in range(K):
            if run.volume == c'V' and run.form == c'E' and run.lift[k] == 2:
                memset(run.covariances + k * size, 0, size * sizeof(double))
            for i in range(d if lifted and run.lift[k] > 0 else 0):
                run.covariances[k * size + (i * (d + 1) if is_full(run) else i)] += run.floor[i]
        if not of_family(run):
            return False
        touched = raised(run)
        value = minus_twice(run, run.covariances)
        if not value < INFINITY or (touched and fabs(value - least) <= unclear):
            return False
        if value <= least:
            least = value
            memcpy(run.best, run.covariances, K * size * sizeof(double))
        if not touched:
            break
    memcpy(run.covariances, run.best, K * size * sizeof(double))
    return True


cdef bint m_step(Run* run) noexcept nogil:
    """The model that the moments lead to; False where the ordinary M-step is not enough."""
    if run.degrees != NULL:
        return student_m_step(run)
    if not scatter_about_means(run, run.covariances) or far_apart(run) or not estimate(run):
        return False
    return parameters(run)


cdef bint parameters(Run* run) noexcept nogil:
    if run.degrees != NULL:
        return student_parameters(run)
    return full_parameters(run) if is_full(run) else diagonal_parameters(run)
