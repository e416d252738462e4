# Where the time of a pass goes: for the benchmark, which holds each phase beside what the machine can do.

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int TIME_UTC
    int timespec_get(timespec*, int)


cdef inline double seconds_now() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return <double>now.tv_sec + 1e-9 * <double>now.tv_nsec


def phase_seconds(tuple parts, const real[:, :] X, const real[::1] centre, Py_ssize_t n_components,
                  const Py_ssize_t[::1] order=None):
    """Seconds of the phases of `expect` over the rows of X, whose arguments these are, by one thread: {phase: seconds}.

    reading  of rows, turned about the centre; densities: log p(x, z=k); responsibilities: from these, with the
    log-likelihood; sums: of the statistics.
    """
    cdef Job job
    cdef Tile t
    cdef Py_ssize_t tile, start, rows
    cdef int phase
    cdef double[5] at
    cdef double[4] spent = [0, 0, 0, 0]
    kept = prepare(&job, parts, X, centre, n_components, order, None, None)
    set_lanes(&job, None)
    cdef double[::1] sums = np.empty(job.n_sums)
    cdef char[::1] block = np.empty(bytes_of_work(&job) + ALIGNMENT, np.int8)
    cdef char* work = &block[0] + (ALIGNMENT - <uintptr_t>&block[0] % ALIGNMENT)
    pause_of(&job, work)[0] = 0
    with nogil:
        t = first_tile(&job, work, &sums[0])
        for tile in range(job.n_tiles):
            start = tile * job.tile_rows
            rows = min(job.tile_rows, job.n - start)
            at[0] = seconds_now()
            load_tile(&job, &t, start, rows)
            at[1] = seconds_now()
            log_prob(&job, &t)
            at[2] = seconds_now()
            normalise(&t, t.log_likelihood)
            at[3] = seconds_now()
            accumulate(&job, &t, &sums[0])
            at[4] = seconds_now()
            for phase in range(4):
                spent[phase] += at[phase + 1] - at[phase]
    return dict(zip(("reading", "densities", "responsibilities", "sums"), spent))
