# Steps of EM on few rows, of many mixtures of Gaussians or Student-t distributions side by side, without a return to Python: there a step takes ten times
# as long as its arithmetic.
#
# The pass is that of every fit. The M-step here is the ordinary one: every component has rows, and a covariance with digits
# at or above the floor. A run that meets anything else ends before that M-step, and the driver goes on from its model. So
# what is unusual is decided in one place, and not here.

include "m_steps.pxi"
include "student_steps.pxi"
include "anderson.pxi"

cdef void climb(Run* run, Py_ssize_t n_iter, double enough, double weight, char* work, double* lanes, double* kept,
                bint watch) noexcept nogil:
    """Up to n_iter steps of one run, until one changes little enough, and a pass at the end; kept: memory for the model
    before a step, and for proposals."""
    cdef Py_ssize_t i = 0, d = run.job.d, K = run.job.K, n_sums = run.job.n_sums, size = row_size(run)
    cdef bint stepped
    cdef Proposal proposal
    cdef double closeness
    memset(&proposal, 0, sizeof(Proposal))
    if run.memory != NULL:
        take_proposal(run, &proposal, kept + size)
    elif run.degrees != NULL:
        proposal.image = kept + size
    if not parameters(run):
        return
    while True:
        if not passed(run, work, lanes, watch):
            return
        if proposal.made and not lanes[n_sums - 2] / weight >= run.history[i - 1]:
            if run.memory != NULL:
                confirmed(run.memory, NULL, NULL, 0)
            withdraw(run, &proposal)
            continue
        run.moments = lanes
        if not proposal.made:
            note(run, i, lanes[n_sums - 2] / weight)
            if i == n_iter or (i > 0 and fabs(run.history[i] - run.history[i - 1]) <= enough):
                return
        closeness = run.closeness[0]
        memcpy(kept, run.weights, size * sizeof(double))     # all of a model lies side by side
        run.given = kept + K + K * d
        stepped = lanes[n_sums - 2] - lanes[n_sums - 2] == 0 and m_step(run)
        if proposal.made:
            if run.memory != NULL and not keeps(run, &proposal, stepped):
                withdraw(run, &proposal)
                continue
            note(run, i, lanes[n_sums - 2] / weight)
        if not stepped or i == n_iter or (proposal.made and fabs(run.history[i] - run.history[i - 1]) <= enough):
            memcpy(run.weights, kept, size * sizeof(double))
            run.closeness[0] = closeness
            return
        i += 1
        if run.memory != NULL:
            proposal.made = proposed(run, &proposal, kept)
        elif run.degrees != NULL:
            proposal.made = leaps(run, kept, proposal.image)


cdef inline Py_ssize_t row_size(const Run* run) noexcept nogil:
    """Weights, means and covariances; and degrees of freedom."""
    cdef Py_ssize_t d = run.job.d
    return run.job.K * (1 + d + (d * d if is_full(run) else d) + (run.degrees != NULL))


cdef bint passed(Run* run, char* work, double* lanes, bint watch) noexcept nogil:
    """The sums over all rows at the run's model, in the first lane; False after an interrupt."""
    cdef Py_ssize_t lane, n_sums = run.job.n_sums
    for lane in range(run.job.n_lanes):
        run_lane(&run.job, lane, work, lanes + lane * n_sums, watch)
    if run.job.interrupted:
        return False
    for lane in range(1, run.job.n_lanes):
        add(lanes + lane * n_sums, n_sums, lanes)
    if run.gaps and not is_full(run):
        complete(run, lanes)
    return True


cdef void complete(const Run* run, double* sums) noexcept nogil:
    """The sums of gaussian_diagonal in place of those of gaussian_diagonal_missing: a missing value is expected at the mean, with
    the variance of its column."""
    cdef Py_ssize_t k, i, d = run.job.d
    cdef const double* own
    cdef double* whole
    for k in range(run.job.K):
        own, whole = sums + k * (3 * d + 1), sums + k * (2 * d + 1)
        for i in range(d):
            whole[i] = own[i]
        for i in range(d):
            whole[d + i] = own[d + i] + own[2 * d + i] * run.covariances[k * d + i]
        whole[2 * d] = own[3 * d]


cdef void note(Run* run, Py_ssize_t i, double value) noexcept nogil:
    """The mean log-likelihood and the components' rows of the model after i steps."""
    cdef Py_ssize_t k
    run.history[i], run.done = value, i
    for k in range(run.job.K):
        run.rows[k] = run.moments[k * run.n_each + run.at_count]


cdef struct Proposal:        # a model that may replace EM's image of the one before
    bint made
    Py_ssize_t n             # coordinates
    double* x                # of a model, and EM's step from there
    double* f
    double* place            # where the proposal is, and the step that EM should make there
    double* predicted
    double* image            # what it replaces: a row of models
    double* work


cdef void take_proposal(Run* run, Proposal* proposal, double* memory) noexcept nogil:
    """Give a run's proposals this memory, and columns their units, unless the run has them: their standard deviations
    in the mixture."""
    cdef Py_ssize_t i, k, d = run.job.d, K = run.job.K
    cdef bint full = is_full(run)
    cdef double* unit = <double*>run.memory + header_size()
    cdef double square
    proposal.n = n_coordinates(K, d, full)
    proposal.x = memory
    proposal.f = proposal.x + proposal.n
    proposal.place = proposal.f + proposal.n
    proposal.predicted = proposal.place + proposal.n
    proposal.work = proposal.predicted + proposal.n
    proposal.image = proposal.work + DEPTH * proposal.n + 3 * DEPTH * DEPTH + 4 * DEPTH
    if run.memory.penalty > 0:
        return
    run.memory.penalty, run.memory.ahead = PAUSE, AHEAD
    for i in range(d):
        square = 0
        for k in range(K):
            square += run.weights[k] * (
                run.means[k * d + i] ** 2 + run.covariances[k * d * d + i * (d + 1) if full else k * d + i])
        unit[i] = sqrt(square) if 0 < square < INFINITY else 1


cdef bint proposed(Run* run, Proposal* proposal, const double* before) noexcept nogil:
    """Whether another model takes the place of the run's, which is EM's image of the one before."""
    cdef Py_ssize_t i, d = run.job.d, K = run.job.K, n = proposal.n
    cdef bint full = is_full(run)
    cdef double* unit = <double*>run.memory + header_size()
    if not (coordinates(before, unit, K, d, full, proposal.x) and coordinates(run.weights, unit, K, d, full, proposal.f)):
        forget(run.memory)
        return False
    for i in range(n):
        proposal.f[i] -= proposal.x[i]
    if not looks_ahead(run.memory, unit + d, proposal.x, proposal.f, n, proposal.place, proposal.predicted, proposal.work):
        return False
    memcpy(proposal.image, run.weights, row_size(run) * sizeof(double))
    memcpy(proposal.work, proposal.place, n * sizeof(double))
    run.given = proposal.image + K + K * d
    if from_coordinates(proposal.work, unit, K, d, full, run.weights):
        for i in range(K):
            run.counts[i] = run.n * run.weights[i]
        if estimate(run) and parameters(run) and coordinates(run.weights, unit, K, d, full, proposal.place):
            return True
    withdraw(run, proposal)
    return False


cdef bint keeps(Run* run, const Proposal* proposal, bint stepped) noexcept nogil:
    """Whether EM's step from a proposal, to the run's model, is the predicted one."""
    cdef Py_ssize_t i, d = run.job.d, K = run.job.K
    cdef bint full = is_full(run)
    cdef const double* unit = <double*>run.memory + header_size()
    if not stepped or not coordinates(run.weights, unit, K, d, full, proposal.f):
        return confirmed(run.memory, NULL, NULL, 0)
    for i in range(proposal.n):
        proposal.f[i] -= proposal.place[i]
    return confirmed(run.memory, proposal.f, proposal.predicted, proposal.n)


cdef void withdraw(Run* run, Proposal* proposal) noexcept nogil:
    """The model that a proposal took the place of, again; it has parameters, for they were made before."""
    proposal.made = False
    memcpy(run.weights, proposal.image, row_size(run) * sizeof(double))
    parameters(run)


cdef inline void add(const double* more, Py_ssize_t n, double* sums) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        sums[i] += more[i]


def short_runs(str letters, Py_ssize_t n_components, const real[:, :] X, const double[::1] sample_weight,
               const real[::1] centre, double[:, ::1] models, const double[::1] floor, Py_ssize_t n_iter, Py_ssize_t n_threads,
               double enough=-1, double[:, ::1] memories=None, str tails=None, bint gaps=False, tuple groups=None):
    """Steps of EM of many mixtures: how many M-steps each has made, and of the last models the mean log-likelihoods (beside
    those before each step), the components' rows (runs, K), and how close they are to the floor (runs): up to 1. Then (runs)
    whether they have been accelerated, and how many models were tried in vain.

    letters        of the family: volume, shape and orientation
    X, sample_weight, centre    as in `expect`
    models         (runs, K (1 + d + size)) in, out: weights (K), means about the centre (K, d), covariances (K, size);
                   the size is d where the orientation is I, else d^2. Beside tails K more, the degrees of freedom
    floor          (d) least variances of the columns, positive
    n_iter         most steps of a run
    enough         change of the mean log-likelihood in a step after which a run is given up
    memories       (runs, size_of_memory(letters, K, d)) in, out: of runs that look ahead, as driver/acceleration.py does; zeros
                   at first
    tails          "free" or "fixed" degrees of freedom of Student-t distributions, whose scale matrices are the covariances;
                   None: of Gaussians. They do not look ahead, but leap
    gaps           whether values are missing (NaN); not beside tails
    groups         as in `expect`, where gaps want them
    """
    cdef Py_ssize_t R = models.shape[0], K = n_components, d = X.shape[1], r
    cdef bint full = letters[2] != "I"
    cdef Py_ssize_t work_bytes, n_sums, n_own, thread_bytes, n_params, p
    cdef bytes three = letters.encode()
    cdef Job job
    cdef Run* runs
    cdef Run* run
    cdef char* block
    cdef char* own
    cdef double weight = X.shape[0] if sample_weight is None else np.sum(sample_weight)
    require_length("floor", floor.shape[0], d)
    require_length("a row of models", models.shape[1], K * (1 + d + (d * d if full else d) + (tails is not None)))
    if memories is not None:
        require_length("memories", memories.shape[0], R)
        require_length("a memory", memories.shape[1], memory_size(K, d, full))
    if len(three) != 3:
        raise ValueError(f"a family has three letters, not {letters!r}")
    done, histories = np.zeros(R, np.intp), np.full((R, n_iter + 1), np.nan)
    counts, closeness = np.zeros((R, K)), np.full(R, np.inf)
    has_jumped, n_dropped = np.zeros(R, np.bool_), np.zeros(R, np.intp)
    cdef double[:, ::1] rows = counts
    cdef double[::1] close = closeness
    cdef double[:, ::1] history = histories
    cdef Py_ssize_t[::1] steps = done
    check()
    cdef str family = "gaussian_full" if full else "gaussian_diagonal"
    if tails is not None:
        family = "student_t"
    elif gaps:
        family = "gaussian_missing" if full else "gaussian_diagonal_missing"
    cdef Part part = empty_part(family, d, K)
    cdef Share* share = &part.share
    n_params = 0
    for p in range(share.n_params):
        n_params += K * share.of_each[p]
    cdef real[:, ::1] params = np.zeros((R, n_params), REAL)
    prepare(&job, (part,), X, centre, K, None, groups, None)
    set_lanes(&job, sample_weight)
    runs = <Run*>malloc(R * sizeof(Run))
    if runs == NULL:
        raise MemoryError(f"no memory for {R} runs")
    try:
        for r in range(R):
            run = runs + r
            run.job = job
            n_params = 0
            for p in range(share.n_params):
                run.job.parts[0].params[p] = &params[r, n_params]
                n_params += K * share.of_each[p]
            run.volume, run.form, run.orientation, run.done = three[0], three[1], three[2], 0
            run.weights = &models[r, 0]
            run.means = run.weights + K
            run.covariances = run.means + K * d
            run.floor, run.history, run.rows, run.closeness = &floor[0], &history[r, 0], &rows[r, 0], &close[r]
            run.gaps = gaps
            run.n_each = part.share.family.n_sums // K - (d if gaps and not full else 0)
            run.at_count = run.n_each - 1
            run.memory = NULL
            run.degrees = NULL
            if tails is not None:
                run.degrees, run.free = run.covariances + K * (d * d if full else d), tails == "free"
                run.at_count -= 1
            if memories is not None:
                run.memory = <Memory*>&memories[r, 0]
        work_bytes = bytes_of_work(&runs[0].job)
        n_sums = runs[0].job.n_lanes * runs[0].job.n_sums
        n_own = n_sums + models.shape[1] + of_m_step(K, d) + (0 if memories is None else of_proposal(K, d, full))
        n_own += 0 if tails is None else of_tails(K, d) + models.shape[1]
        thread_bytes = work_bytes + (sizeof(double) * n_own + 4095) // 4096 * 4096
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
                    climb_in(runs + r, n_iter, enough, weight, own, work_bytes, n_sums, True)
            else:
                for r in prange(R, num_threads=n_threads, schedule="dynamic", chunksize=1):
                    climb_in(runs + r, n_iter, enough, weight, own + threadid() * thread_bytes, work_bytes, n_sums,
                             threadid() == 0)
        free(block)
        for r in range(R):
            steps[r] = runs[r].done
            if runs[r].memory != NULL:
                has_jumped[r], n_dropped[r] = runs[r].memory.has_jumped > 0, <Py_ssize_t>runs[r].memory.n_dropped
            if runs[r].job.interrupted:
                check()
                propagate()
    finally:
        free(runs)
    return done, histories, counts, closeness, has_jumped, n_dropped


def size_of_memory(str letters, Py_ssize_t n_components, Py_ssize_t d):
    """Numbers that a run of `short_runs` remembers where it looks ahead."""
    return memory_size(n_components, d, letters[2] != "I")


cdef void climb_in(Run* run, Py_ssize_t n_iter, double enough, double weight, char* own, Py_ssize_t work_bytes,
                   Py_ssize_t n_sums, bint watch) noexcept nogil:
    """One run in a thread's memory: the tiles' work space, the lanes' sums, what an M-step needs, the model before it."""
    cdef double* lanes = <double*>(own + work_bytes)
    cdef double* rest = lanes + n_sums + of_m_step(run.job.K, run.job.d)
    take(run, lanes + n_sums)
    if run.degrees != NULL:
        take_tails(run, rest)
        rest += of_tails(run.job.K, run.job.d)
    climb(run, n_iter, enough, weight, own, lanes, rest, watch)


cdef inline Py_ssize_t of_m_step(Py_ssize_t K, Py_ssize_t d) noexcept nogil:
    """Numbers in memory that an M-step needs."""
    return K * (4 + 5 + d + 3 * d * d) + 2 * d * (d + 1) + (K + 1) * (d * d + 1)


cdef void take(Run* run, double* memory) noexcept nogil:
    """Give a run this memory for its M-steps."""
    cdef Py_ssize_t d = run.job.d, K = run.job.K
    run.counts = memory
    run.volumes = run.counts + K
    run.along = run.volumes + K
    run.axes = run.along + K * d
    run.own = run.axes + K * d * d
    run.best = run.own + K * d * d
    run.lift = run.best + K * d * d
    run.work = run.lift + K
    run.candidates = run.work + 2 * d * (d + 1)
    run.pairs = <Pair*>(run.candidates + (K + 1) * (d * d + 1))


def first_estimates(str letters, const double[:, ::1] counts, double[:, :, ::1] covariances, const double[::1] floor):
    """The covariances of a family at or above the floor, from those of each component alone, of many mixtures: (runs)
    whether there are any.

    letters        of the family: volume, shape and orientation
    counts         (runs, K) rows of the components
    covariances    (runs, K, size) in, out; the size is d where the orientation is I, else d^2
    floor          (d) least variances of the columns, positive
    """
    cdef Py_ssize_t R = counts.shape[0], K = counts.shape[1], d = floor.shape[0], r, k
    cdef bytes three = letters.encode()
    found, shares, memory = np.zeros(R, np.bool_), np.empty(K), np.empty(of_m_step(K, d))
    cdef char[::1] are = found.view(np.int8)
    cdef double[::1] weights = shares, own = memory
    cdef Run run
    if len(three) != 3:
        raise ValueError(f"a family has three letters, not {letters!r}")
    require_length("covariances", covariances.shape[0], R)
    require_length("covariances of a mixture", covariances.shape[1], K)
    require_length("a covariance", covariances.shape[2], d if letters[2] == "I" else d * d)
    memset(&run, 0, sizeof(Run))
    run.job.K, run.job.d, run.floor, run.weights = K, d, &floor[0], &weights[0]
    run.volume, run.form, run.orientation = three[0], three[1], three[2]
    take(&run, &own[0])
    with nogil:
        for r in range(R):
            run.n = 0
            for k in range(K):
                run.n += counts[r, k]
            for k in range(K):
                run.counts[k], weights[k] = counts[r, k], counts[r, k] / run.n
            run.covariances = &covariances[r, 0, 0]
            are[r] = estimate(&run)
    return found


cdef Part empty_part(str family, Py_ssize_t d, Py_ssize_t K):
    """A Part whose arrays are to be filled."""
    cdef Family f
    shapes = set_family(&f, family, K, d, {})[0]
    return Part(family, d, K, {name: np.zeros(shape, REAL).reshape(-1) for name, shape in shapes.items()})


def least_spreads(const double[::1] row, Py_ssize_t n_components, Py_ssize_t n_columns):
    """(2, K) lower bounds of each component's variance in any direction: in units of that of the whole mixture, and in
    units of that of the others, relative to the geometric mean of all directions; 0 where there is none.

    row    as one of the models of `short_runs`
    """
    cdef Py_ssize_t K = n_components, d = n_columns, k, j, i, m
    cdef bint full = row.shape[0] > K * (1 + 2 * d)
    cdef Py_ssize_t size = d * d if full else d
    require_length("a row of models", row.shape[0], K * (1 + d + size))
    bounds, memory = np.zeros((2, K)), np.zeros(3 * size + d)
    cdef double[:, ::1] least = bounds
    cdef double[::1] space = memory
    cdef const double* weights = &row[0]
    cdef const double* means = weights + K
    cdef const double* covariances = means + K * d
    cdef const double* own
    cdef double* total = &space[0]
    cdef double* others = total + size
    cdef double* inverse = others + size
    cdef double* mean = inverse + size
    cdef double apart, rest, logs, trace
    with nogil:
        for k in range(K):
            for i in range(d):
                mean[i] += weights[k] * means[k * d + i]
        for k in range(K):
            for i in range(size):
                total[i] += weights[k] * covariances[k * size + i]
            for i in range(d):
                apart = weights[k] * (means[k * d + i] - mean[i])
                for j in range(d if full else 1):
                    m = i * d + j if full else i
                    total[m] += apart * (means[k * d + (j if full else i)] - mean[j if full else i])
        for k in range(K):
            own, rest = covariances + k * size, 1 - weights[k]
            memset(others, 0, size * sizeof(double))
            for j in range(K):
                for i in range(size if j != k else 0):
                    others[i] += weights[j] / rest * covariances[j * size + i]
            logs = log_det_of(others, inverse, d, full)
            if not logs < INFINITY:
                continue
            logs = log_det_of(own, inverse, d, full) - logs
            if not logs < INFINITY:
                continue
            trace = trace_of_quotient(total, inverse, d) if full else sum_of_quotients(total, own, d)
            least[0, k] = 1 / trace
            trace = trace_of_quotient(others, inverse, d) if full else sum_of_quotients(others, own, d)
            least[1, k] = 1 / trace / exp(logs / d)
    return bounds


cdef double log_det_of(const double* covariance, double* inverse, Py_ssize_t d, bint full) noexcept nogil:
    """The log-determinant, and L^-1 of a full covariance L L^T; infinite where it is nearly singular."""
    cdef Py_ssize_t i
    cdef double logs = 0
    if full and not closeness_to(NULL, covariance, d, inverse) < INFINITY:
        return INFINITY
    for i in range(d):
        if not full and not covariance[i] > 0:
            return INFINITY
        logs += -2 * log(inverse[i * (d + 1)]) if full else log(covariance[i])
    return logs


cdef double sum_of_quotients(const double* variances, const double* by, Py_ssize_t d) noexcept nogil:
    cdef Py_ssize_t i
    cdef double total = 0
    for i in range(d):
        total += variances[i] / by[i]
    return total
