# A partial E-step of Gaussians: each row's posterior is that over a few candidates, which the row keeps from pass to pass.
#
# A row tries its candidates of the last two passes, the components next to the most probable of them, and one at random; the
# most probable of all these are its next candidates. So the bound, the sum of log sum_candidates p(x, k), can only gain by
# the choice, also after a pass whose model is given up. Rows are taken one by one, all components of one after the other, with
# the columns as lanes: every row has components of its own. Everything is in float64, about the components' own means.

cdef enum:
    COLUMN_LANES = 8           # columns are filled up to a multiple with zeros
    FRESH = -1                 # the first candidate of a row that has none: all components are tried
    NONE = -2

cdef double DROPPED = 41.6     # log 2^60: below the most probable, a candidate's responsibility is 0


cdef struct Truncation:
    Py_ssize_t d, D, K, C, G, size    # columns, and filled up; components, candidates, neighbours; sums of a component
    bint full
    double* means                     # K x D
    double* factors                   # K x D, or K x d x D: columns of the lower factor
    const double* constant
    const int* neighbours             # K x G, by falling probability


cdef struct Tried:                    # of one thread
    double* x                         # D
    double* work                      # 2 x D
    double* joint                     # C + 1: falling
    int* best                         # C + 1
    int* seen                         # K: the last row that tried a component


cdef inline double log_joint_of(const Truncation* t, const double* x, Py_ssize_t k, double* work) noexcept nogil:
    cdef Py_ssize_t j, i, l, d = t.d, D = t.D
    cdef const double* mean = t.means + k * D
    cdef const double* factor
    cdef double* y = work + D
    cdef double total = 0, z
    cdef double[COLUMN_LANES] lanes
    for l in range(COLUMN_LANES):
        lanes[l] = 0
    if t.full:
        factor = t.factors + k * d * D
        for j in range(D):
            work[j], y[j] = x[j] - mean[j], 0
        for j in range(d):
            z = work[j]
            i = j - j % COLUMN_LANES
            while i < D:
                for l in range(COLUMN_LANES):
                    y[i + l] += factor[i + l] * z
                i += COLUMN_LANES
            factor += D
        j = 0
        while j < D:
            for l in range(COLUMN_LANES):
                lanes[l] += y[j + l] * y[j + l]
            j += COLUMN_LANES
    else:
        factor = t.factors + k * D
        j = 0
        while j < D:
            for l in range(COLUMN_LANES):
                z = (x[j + l] - mean[j + l]) * factor[j + l]
                lanes[l] += z * z
            j += COLUMN_LANES
    for l in range(COLUMN_LANES):
        total += lanes[l]
    return t.constant[k] - total


cdef inline void try_component(const Truncation* t, Tried* r, int k, int row) noexcept nogil:
    """Put a component among the best, if it belongs there and was not tried for this row."""
    cdef Py_ssize_t at = t.C
    cdef double joint
    if r.seen[k] == row:
        return
    r.seen[k] = row
    joint = log_joint_of(t, r.x, k, r.work)
    if not joint > r.joint[t.C - 1]:
        return
    at = t.C - 1
    while at > 0 and joint > r.joint[at - 1]:
        r.joint[at], r.best[at] = r.joint[at - 1], r.best[at - 1]
        at -= 1
    r.joint[at], r.best[at] = joint, k


cdef void truncated_rows(
    const Truncation* t, const real* X, const double* sample_weight, Py_ssize_t first_row, Py_ssize_t n_rows,
    uint64_t turn, int* candidates, double* sums, double* totals, Tried* r
) noexcept nogil:
    """Rows of one lane: their next candidates, and the sums r, r z, r z^2 or the triangle of r z z', with z = x - mu."""
    cdef Py_ssize_t n, c, j, i, k, d = t.d, D = t.D, first
    cdef int* own
    cdef double top, total, weight, share, z, entropy
    cdef double* sum
    cdef double* second
    cdef uint64_t random
    for k in range(t.K):
        r.seen[k] = -1
    for n in range(n_rows):
        own = candidates + 2 * n * t.C
        weight = 1 if sample_weight == NULL else sample_weight[n]
        for j in range(d):
            r.x[j] = X[n * d + j]
        for c in range(t.C):
            r.joint[c] = -INFINITY
        if own[0] == FRESH:
            for k in range(t.K):
                try_component(t, r, <int>k, <int>n)
        else:
            first = own[0]
            for c in range(2 * t.C):
                if own[c] >= 0:
                    try_component(t, r, own[c], <int>n)
            for c in range(t.G):
                try_component(t, r, t.neighbours[first * t.G + c], <int>n)
            random = (<uint64_t>(first_row + n) + turn * <uint64_t>0x9E3779B97F4A7C15) * <uint64_t>0xBF58476D1CE4E5B9
            random ^= random >> 29
            try_component(t, r, <int>((random * <uint64_t>0x94D049BB133111EB >> 32) % <uint64_t>t.K), <int>n)
        top, total = r.joint[0], 0
        if not top > -INFINITY:                  # NaN, or so far away that squares overflow
            totals[0] += NAN
            return
        for c in range(t.C):
            own[t.C + c], own[c] = own[c], r.best[c] if r.joint[c] > -INFINITY else NONE
            if top - r.joint[c] < DROPPED:
                total += exp(r.joint[c] - top)
        totals[0] += weight * (top + log(total))
        if weight == 0:
            continue
        entropy = 0
        for c in range(t.C):
            if not top - r.joint[c] < DROPPED:
                break
            share = exp(r.joint[c] - top) / total
            entropy -= share * (r.joint[c] - top)
            share *= weight
            k = r.best[c]
            sum = sums + k * t.size
            second = sum + 1 + d
            sum[0] += share
            for j in range(d):
                r.work[j] = r.x[j] - t.means[k * D + j]
            for j in range(d):
                sum[1 + j] += share * r.work[j]
            if t.full:
                for i in range(d):
                    z = share * r.work[i]
                    for j in range(i + 1):
                        second[j] += z * r.work[j]
                    second += i + 1
            else:
                for j in range(d):
                    second[j] += share * r.work[j] * r.work[j]
        totals[1] += weight * (entropy + log(total))


def expect_truncated(
    const real[:, ::1] X, sample_weight, const double[:, ::1] means, const double[::1] constant,
    const double[:, :, ::1] factors, bint full, const int[:, ::1] neighbours, int[:, ::1] candidates,
    Py_ssize_t first_row, uint64_t turn, Py_ssize_t n_lanes, int n_threads
):
    """A partial E-step; `candidates` (n, 2 C), the last ones and those before, move on. See the top of truncated.pxi.

    means (K, D) with columns of zeros behind d; factors (K, 1, D), or (K, d, D) the columns of lower factors; first_row,
    turn: what the random component follows from. Returns sums (K, 1 + d + d), or (K, 1 + d + d (d + 1) / 2), and the
    log-likelihood and the entropy; NaN where a row has no density.
    """
    cdef Py_ssize_t n = X.shape[0], lane, K = means.shape[0], D = means.shape[1], d = X.shape[1]
    cdef Truncation t
    cdef const double[::1] weights = sample_weight
    cdef const double* weight = NULL
    if sample_weight is not None:
        weight = &weights[0]
    if neighbours.shape[0] != K or constant.shape[0] != K or factors.shape[0] != K or candidates.shape[0] != n:
        raise ValueError("arrays of different lengths")
    if D % COLUMN_LANES or D < d or factors.shape[2] != D or factors.shape[1] != (d if full else 1):
        raise ValueError("arrays of other columns than X")
    t.d, t.D, t.K, t.C, t.G, t.full = d, D, K, candidates.shape[1] // 2, neighbours.shape[1], full
    t.size = 1 + d + (d * (d + 1) // 2 if full else d)
    t.means, t.factors, t.constant = <double*>&means[0, 0], <double*>&factors[0, 0, 0], &constant[0]
    t.neighbours = &neighbours[0, 0]
    found = np.zeros((n_lanes, K, t.size))
    both = np.zeros((n_lanes, 2))
    cdef double[:, :, ::1] sums = found
    cdef double[:, ::1] totals = both
    cdef Py_ssize_t doubles = 3 * D + t.C + 1, own = doubles * sizeof(double) + (K + t.C + 1) * sizeof(int)
    own = (own + 127) // 64 * 64
    n_threads = max(1, min(n_threads, n_lanes))
    if n_threads > 1:
        n_threads = startable(n_threads)
    memory = np.zeros(own * n_threads, np.uint8)
    cdef unsigned char[::1] work = memory
    check()
    with nogil:
        for lane in prange(n_lanes, num_threads=n_threads, schedule="dynamic", chunksize=1):
            truncated_lane(&t, &X[0, 0], weight, n, n_lanes, lane, first_row, turn, &candidates[0, 0],
                           &sums[lane, 0, 0], &totals[lane, 0], &work[threadid() * own])
    return found.sum(axis=0), *both.sum(axis=0).tolist()


cdef void truncated_lane(
    const Truncation* t, const real* X, const double* weight, Py_ssize_t n, Py_ssize_t n_lanes, Py_ssize_t lane,
    Py_ssize_t first_row, uint64_t turn, int* candidates, double* sums, double* totals, unsigned char* work
) noexcept nogil:
    cdef Py_ssize_t start = n * lane // n_lanes, end = n * (lane + 1) // n_lanes
    cdef Tried r
    r.x = <double*>work
    r.work = r.x + t.D
    r.joint = r.work + 2 * t.D
    r.best = <int*>(r.joint + t.C + 1)
    r.seen = r.best + t.C + 1
    if weight != NULL:
        weight += start
    truncated_rows(t, X + start * t.d, weight, first_row + start, end - start, turn,
                   candidates + 2 * start * t.C, sums, totals, &r)
