# Steps of EM on few rows, of many Gaussian mixtures side by side, without a return to Python: there a step takes ten times
# as long as its arithmetic.
#
# The pass is that of every fit. The M-step here is the ordinary one: every component has rows, its covariance is above the
# floor, nothing cancels. A run that meets anything else ends before that M-step, and the driver goes on from its model.
# So what is unusual is decided in one place, and not here.

cdef enum:
    FULL, DIAGONAL, SPHERICAL

cdef double LEAST_PIVOT = 8 * EPSILON      # times d, of a column's variance: linear_algebra.DIGITS
cdef double CANCELLED = 1e-8               # covariance.FAR
cdef double FAR_MEANS = 16 * EPSILON       # emission.DIGITS

cdef struct Run:
    Job job
    int form
    bint pooled              # all components share the covariance
    double* weights          # K
    double* means            # K x d, about the centre
    double* covariances      # K x d x d, or K x d
    const double* floor      # d
    double* history          # n_iter + 1
    double* moments          # n_sums: of the last pass
    double* work             # d x d
    Py_ssize_t done          # M-steps


cdef bint factorised(const double* covariance, const double* floor, Py_ssize_t d, double* inverse) noexcept nogil:
    """inverse = L^-1 of covariance = L L^T, row by row; False where it is near the floor, or nearly singular."""
    cdef Py_ssize_t i, j, k
    cdef double s, above = 0
    for j in range(d):                       # L first
        for i in range(j, d):
            s = covariance[i * d + j]
            for k in range(j):
                s -= inverse[i * d + k] * inverse[j * d + k]
            if i == j:
                if not s > LEAST_PIVOT * d * covariance[j * d + j]:
                    return False
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
    for i in range(d):
        for j in range(i + 1):
            above += inverse[i * d + j] * inverse[i * d + j] * floor[j]
    return above <= 1                        # then every eigenvalue is above the floor: see raise_to_floor


cdef bint full_parameters(Run* run) noexcept nogil:
    """The kernel's parameters of full covariances."""
    cdef Py_ssize_t k, i, j, block, start, stop, place, d = run.job.d, K = run.job.K
    cdef const real** params = <const real**>run.job.parts[0].params
    cdef real* factor
    cdef real* offset
    cdef double* inverse = run.work
    cdef double log_det = 0, s
    for k in range(K):
        if k == 0 or not run.pooled:
            if not factorised(run.covariances + k * d * d, run.floor, d, inverse):
                return False
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
            (<real*>params[3])[k * d + i] = run.means[k * d + i]
    return True


cdef bint diagonal_parameters(Run* run) noexcept nogil:
    """The kernel's parameters of diagonal covariances."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef const real** params = <const real**>run.job.parts[0].params
    cdef double log_det, scale
    for k in range(run.job.K):
        log_det = 0
        for i in range(k * d, (k + 1) * d):
            scale = 1 / sqrt(run.covariances[i])
            log_det += log(scale)
            (<real*>params[1])[i] = ROOT_HALF * scale
            (<real*>params[2])[i] = -ROOT_HALF * scale * run.means[i]
            (<real*>params[3])[i] = run.means[i]
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


cdef bint scatter_about_means(Run* run, double* scatter) noexcept nogil:
    """Means and weights of the new model; scatter (K, d, d) or (K, d) about the means, over all weight of the component.

    False where a component has no rows, or where digits are lost to cancellation.
    """
    cdef Py_ssize_t k, i, j, d = run.job.d, K = run.job.K
    cdef Py_ssize_t size = gram_size(d) if run.form == FULL else 2 * d + 1
    cdef Py_ssize_t at_first = d * (d + 1) // 2 if run.form == FULL else 0
    cdef const double* own
    cdef const double* first
    cdef double count, total = 0, along, shift, square
    for k in range(K):
        total += run.moments[(k + 1) * size - 1]
    for k in range(K):
        own = run.moments + k * size
        first = own + at_first
        count = own[size - 1]
        if not count > EPSILON * total:
            return False
        run.weights[k] = count / total
        for i in range(d):
            shift = first[i] / count
            square = shift * first[i]
            along = (own[i * (i + 1) // 2 + i] if run.form == FULL else own[d + i]) - square
            if not along > CANCELLED * square:
                return False
            run.means[k * d + i] += shift
            if run.form == FULL:
                for j in range(i):
                    scatter[(k * d + i) * d + j] = scatter[(k * d + j) * d + i] = (
                        own[i * (i + 1) // 2 + j] / count - shift * (first[j] / count))
                scatter[(k * d + i) * d + i] = along / count
            else:
                scatter[k * d + i] = along / count
    return True


cdef void share(Run* run, Py_ssize_t size) noexcept nogil:
    """The covariances of all components become their mean by weight."""
    cdef Py_ssize_t k, i
    cdef double s
    for i in range(size):
        s = 0
        for k in range(run.job.K):
            s += run.weights[k] * run.covariances[k * size + i]
        for k in range(run.job.K):
            run.covariances[k * size + i] = s


cdef bint m_step(Run* run) noexcept nogil:
    """The model that the moments lead to; False where the ordinary M-step is not enough."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef Py_ssize_t size = d * d if run.form == FULL else d
    cdef double variance, least
    if not scatter_about_means(run, run.covariances) or far_apart(run):
        return False
    if run.pooled:
        share(run, size)
    if run.form == SPHERICAL:
        for k in range(run.job.K):
            variance = least = 0
            for i in range(d):
                variance += run.covariances[k * d + i] / d
                least += run.floor[i] / d
            if not variance > least:
                return False
            for i in range(d):
                run.covariances[k * d + i] = variance
    elif run.form == DIAGONAL:
        for i in range(run.job.K * d):
            if not run.covariances[i] > run.floor[i % d]:
                return False
    return parameters(run)


cdef bint parameters(Run* run) noexcept nogil:
    return full_parameters(run) if run.form == FULL else diagonal_parameters(run)


cdef void climb(Run* run, Py_ssize_t n_iter, double weight, char* work, double* lanes, double* kept, bint watch) noexcept nogil:
    """Up to n_iter steps of one run; kept: memory for the model before a step."""
    cdef Py_ssize_t lane, i, d = run.job.d, K = run.job.K, n_sums = run.job.n_sums
    cdef Py_ssize_t size = K * (1 + d + (d * d if run.form == FULL else d))
    if not parameters(run):
        return
    for i in range(n_iter):
        memset(lanes, 0, run.job.n_lanes * n_sums * sizeof(double))
        for lane in range(run.job.n_lanes):
            run_lane(&run.job, lane, work, lanes + lane * n_sums, watch)
        if run.job.interrupted:
            return
        for lane in range(1, run.job.n_lanes):
            add(lanes + lane * n_sums, n_sums, lanes)
        run.history[i] = lanes[n_sums - 2] / weight
        run.moments = lanes
        memcpy(kept, run.weights, size * sizeof(double))     # weights, means, covariances lie side by side
        if run.history[i] - run.history[i] != 0 or not m_step(run):
            memcpy(run.weights, kept, size * sizeof(double))
            return
        run.done = i + 1


cdef inline void add(const double* more, Py_ssize_t n, double* sums) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        sums[i] += more[i]


def short_runs(str family, Py_ssize_t n_components, const real[:, :] X, const double[::1] sample_weight, const real[::1] centre,
               double[:, ::1] models, str form, bint pooled, const double[::1] floor, Py_ssize_t n_iter,
               Py_ssize_t n_threads):
    """Steps of EM of many mixtures: (how many M-steps each has made, mean log-likelihoods before each).

    family         the compiled one of the densities
    X, sample_weight, centre    as in `expect`
    models         (runs, K (1 + d + size)) in, out: weights (K), means about the centre (K, d), covariances (K, size);
                   the size is d^2 of the form "full", d of "diagonal" and "spherical"
    pooled         whether all components share the covariance
    floor          (d) least variances of the columns, positive
    n_iter         most steps of a run
    """
    cdef dict forms = {"full": FULL, "diagonal": DIAGONAL, "spherical": SPHERICAL}
    cdef Py_ssize_t R = models.shape[0], K = n_components, d = X.shape[1], r
    cdef Py_ssize_t size = d * d if form == "full" else d, work_bytes, sums_size, thread_bytes
    cdef Run* runs
    cdef Run* run
    cdef char* block
    cdef char* own
    cdef double weight = X.shape[0] if sample_weight is None else np.sum(sample_weight)
    require_length("floor", floor.shape[0], d)
    require_length("a row of models", models.shape[1], K * (1 + d + size))
    done, histories = np.zeros(R, np.intp), np.full((R, n_iter + 1), np.nan)
    cdef double[:, ::1] history = histories
    cdef Py_ssize_t[::1] steps = done
    check()
    cdef list parts = [empty_part(family, d, K) for r in range(R)]
    runs = <Run*>malloc(R * sizeof(Run))
    if runs == NULL:
        raise MemoryError(f"no memory for {R} runs")
    try:
        for r in range(R):
            run = runs + r
            prepare(&run.job, (parts[r],), X, centre, K, None, None)
            set_lanes(&run.job, sample_weight)
            run.form, run.pooled, run.done = forms[form], pooled, 0
            run.weights = &models[r, 0]
            run.means = run.weights + K
            run.covariances = run.means + K * d
            run.floor, run.history = &floor[0], &history[r, 0]
        work_bytes = bytes_of_work(&runs[0].job)
        sums_size = runs[0].job.n_lanes * runs[0].job.n_sums
        thread_bytes = work_bytes + (sizeof(double) * (sums_size + d * d + models.shape[1]) + 4095) // 4096 * 4096
        n_threads = max(1, min(n_threads, R))
        if n_threads > 1:
            n_threads = startable(n_threads)
        block = <char*>malloc(thread_bytes * n_threads + ALIGNMENT)
        if block == NULL:
            raise MemoryError(f"no memory for {n_threads} work spaces of {thread_bytes} bytes")
        own = block + (ALIGNMENT - <uintptr_t>block % ALIGNMENT)
        with nogil:
            if n_threads == 1:
                for r in range(R):
                    climb_in(runs + r, n_iter, weight, own, work_bytes, sums_size, True)
            else:
                for r in prange(R, num_threads=n_threads, schedule="dynamic", chunksize=1):
                    climb_in(runs + r, n_iter, weight, own + threadid() * thread_bytes, work_bytes, sums_size,
                             threadid() == 0)
        free(block)
        for r in range(R):
            steps[r] = runs[r].done
            if runs[r].job.interrupted:
                check()
                propagate()
    finally:
        free(runs)
    return done, histories


cdef void climb_in(Run* run, Py_ssize_t n_iter, double weight, char* own, Py_ssize_t work_bytes, Py_ssize_t sums_size,
                   bint watch) noexcept nogil:
    """One run in a thread's memory: the tiles' work space, the lanes' sums, a factor, and the model before a step."""
    cdef double* lanes = <double*>(own + work_bytes)
    run.work = lanes + sums_size
    climb(run, n_iter, weight, own, lanes, run.work + run.job.d * run.job.d, watch)


cdef Part empty_part(str family, Py_ssize_t d, Py_ssize_t K):
    """A Part whose arrays are to be filled."""
    cdef Family f
    shapes = set_family(&f, family, K, d, {})[0]
    return Part(family, d, K, {name: np.zeros(int(np.prod(shape)), np.float64 if sizeof(real) == 8 else np.float32) for name, shape in shapes.items()})
