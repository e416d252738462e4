# The one parallel pass of every mixture, and the one source of all compiled kernel modules: setup.py builds it once per
# instruction set and real type. Reasons, numbered:
#
# 1. Rows are lanes. A tile's columns are turned once; then no loop has a horizontal sum, any d and K fill the registers,
#    and a row's result cannot depend on where in a tile it stands.
# 2. Nothing of size n x K exists: a tile goes from log-densities to sums while it is in the cache.
# 3. The same bits for any number of threads: tiles are cut by the data's size alone, each belongs to a fixed lane of tiles,
#    a lane is summed by one thread in order, and the lanes are merged in order. Which thread takes a lane does not matter.
# 4. Responsibilities are kept as their square roots: exp(half the log) costs the same, r = root^2 costs nothing, and a Gram
#    matrix of root * (x - mu, 1) holds count, first and second moments at once.
# 5. Rows are taken about `centre` before anything else, so data far from the origin lose no digits.
#
# A family describes itself: its file has its layout (see Layout in tile.pxi) beside its two functions of a tile. Adding one
# touches that file, the list of includes, and the table of names below it.
#
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False

from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, NAN, exp, log, log1p, sqrt
from libc.stdint cimport uint64_t, uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset, strcmp
from libc.time cimport CLOCKS_PER_SEC, clock, clock_t
import numpy as np

from fastem.kernels.threads import startable
from fastem.kernels.workers import check, told_to_stop

cdef extern from *:
    """
    static int fastem_propagate(void) { return -1; }
    """
    int PyErr_CheckSignals() nogil
    int propagate "fastem_propagate"() except -1     # raises what a signal handler has raised

REAL = np.float64 if sizeof(real) == 8 else np.float32

cdef double HALF_LOG_2PI = 0.91893853320467274178
cdef double EPSILON = 2.220446049250313e-16
cdef double ROOT_HALF = 0.70710678118654752440

include "tile.pxi"
include "pruned.pxi"
include "gaussian_full.pxi"
include "gaussian_diagonal.pxi"
include "gaussian_tied.pxi"
include "gaussian_missing.pxi"
include "gaussian_diagonal_missing.pxi"
include "gaussian_noisy.pxi"
include "gaussian_interval.pxi"
include "exponential_family.pxi"
include "student_t.pxi"
include "gate.pxi"
include "regression.pxi"
include "moments.pxi"

cdef struct Compiled:
    const char* name
    Layout layout

cdef Compiled[15] FAMILIES
FAMILIES[:] = [
    Compiled("gaussian_full", full_layout),
    Compiled("gaussian_diagonal", diagonal_layout),
    Compiled("gaussian_tied", tied_layout),
    Compiled("gaussian_missing", missing_layout),
    Compiled("gaussian_diagonal_missing", diagonal_missing_layout),
    Compiled("gaussian_noisy", noisy_layout),
    Compiled("gaussian_noisy_full", noisy_full_layout),
    Compiled("gaussian_noisy_diagonal", noisy_diagonal_layout),
    Compiled("gaussian_interval", interval_layout),
    Compiled("exponential_family", exponential_layout),
    Compiled("student_t", student_layout),
    Compiled("gate", gate_layout),
    Compiled("regression", regression_layout),
    Compiled("moments", moments_layout),
    Compiled("column_moments", column_moments_layout),
]

cdef enum:
    MAX_PARAMS = 8
    MAX_PARTS = 8
    MAX_LANES = 64
    TILE_BYTES = 524288
    TILE_VECTORS = 96
    LEAST_ROWS = 128           # of many components: with fewer rows, the lanes of their sums are added up more often than filled,
    MANY_ROWS = 384            # and with more, less often; up to so many bytes, and where there are many tiles
    MANY_BYTES = 6291456
    MANY_TILES = 128
    FEW_COLUMNS = 3            # where there is so little to sum that a tile had better fit into the second level cache
    ROWS_AHEAD = 32
    STRIP_BYTES = 24576        # of the weighted rows of one component; most of a first level cache
    SHORT_STRIP = 16           # vectors: shorter loops would not pay for loading and storing their sums
    LANE_BYTES = 16777216      # memory for the lanes' partial sums
    SUMS_OF_A_THREAD = 262144  # of them to add up: some 2 MB, which take longer than to start a thread

cdef struct Share:
    # of one part in the work
    Family family
    const real* params[MAX_PARAMS]
    Py_ssize_t of_each[MAX_PARAMS]    # how many of them a component has
    int n_params
    Py_ssize_t first_column, d
    Py_ssize_t first_sum
    Py_ssize_t first_scratch


cdef tuple set_family(Family* f, str name, Py_ssize_t K, Py_ssize_t d, dict params):
    """Fill in a family; returns what its layout does."""
    cdef bytes wanted = name.encode()
    cdef Py_ssize_t i
    for i in range(<Py_ssize_t>(sizeof(FAMILIES) // sizeof(Compiled))):
        if strcmp(FAMILIES[i].name, wanted) == 0:
            f.n_features, f.grouped, f.linear = 0, False, False
            layout = FAMILIES[i].layout(f, K, d, params)
            _, each, common = layout
            f.n_sums = K * n_numbers(each) + n_numbers(common)
            return layout
    raise ValueError(f"no compiled family {name!r}")


cdef class Part:
    """K densities of one family over their share of the columns: arrays that were checked once, since the kernels trust them.

    family             its name in the table
    n_columns          d, its share of the columns, from the left
    params             {name: flat array of `real`} in, as its layout says
    shapes, each, common   its layout, see Layout
    grouped            whether it takes rows in groups
    """
    cdef Share share
    cdef Py_ssize_t K
    cdef tuple arrays          # kept alive, whatever becomes of `params`
    cdef readonly str family
    cdef readonly Py_ssize_t n_columns
    cdef readonly dict params, shapes, each, common

    def __init__(self, str family, Py_ssize_t n_columns, Py_ssize_t n_components, dict params):
        cdef const real[::1] flat
        cdef tuple shape
        cdef Py_ssize_t size, length, i = 0
        self.family, self.n_columns, self.K, self.params = family, n_columns, n_components, params
        if n_columns < 1 or n_components < 1:
            raise ValueError(f"{family} expects a column and a component, but got {n_columns} and {n_components}")
        self.shapes, self.each, self.common = set_family(&self.share.family, family, n_components, n_columns, params)
        self.share.d = n_columns
        self.arrays = tuple(params.values())
        if len(params) != len(self.shapes) or len(params) > MAX_PARAMS:
            raise self.other_arrays()
        for name in self.shapes:             # all of them first: what one decides would blame another
            if name not in params:
                raise self.other_arrays()
        for name, shape in self.shapes.items():
            flat = params[name]
            size = 1
            for length in shape:
                size *= length
            if flat.shape[0] != size:
                raise ValueError(f"{family} expects {name} of shape {shape}, but it has length {flat.shape[0]}")
            self.share.params[i] = &flat[0] if size else NULL
            self.share.of_each[i] = size // n_components
            i += 1
        self.share.n_params = <int>i

    cdef other_arrays(self):
        return ValueError(
            f"{self.family} expects the arrays {', '.join(self.shapes)}, but got {', '.join(self.params) or 'none'}")

    @property
    def grouped(self):
        return bool(self.share.family.grouped)

    @property
    def takes_nearby(self):
        """Whether `expect` can leave components out where rows that lie together come one after another."""
        return bool(self.share.family.linear and self.n_columns <= NEARBY_COLUMNS and self.K >= NEARBY_COMPONENTS)

    cdef dict named(self, sums):
        """{name: view} of its sums: (K, ...) of each component, (...) of those in common."""
        cdef Py_ssize_t size = n_numbers(self.each)
        cdef dict views = {}
        if size:
            name_columns(views, self.each, sums[:self.K * size].reshape(self.K, size).T)
        if self.common:
            name_columns(views, self.common, sums[self.K * size:])
        return views


cdef name_columns(dict views, dict shapes, columns):
    """Add {name: view} of the first axis, in order; that of a vector becomes the last one."""
    cdef tuple shape
    cdef Py_ssize_t n, start = 0
    for name, shape in shapes.items():
        if len(shape):
            (n,) = shape
            views[name] = columns[start:start + n].T
            start += n
        else:
            views[name] = columns[start]
            start += 1


cdef Py_ssize_t n_numbers(dict shapes):
    """How many numbers the sums of a layout are."""
    cdef tuple shape
    cdef Py_ssize_t n, size = 0
    for shape in shapes.values():
        if len(shape):
            (n,) = shape
            size += n
        else:
            size += 1
    return size


cdef struct Job:
    # what every thread reads
    Share parts[MAX_PARTS]
    int n_parts
    const char* x            # n x d with byte strides
    Py_ssize_t row_step
    Py_ssize_t column_step
    const Py_ssize_t* order  # d: which column of X is the tile's column j; or NULL: the same
    const Py_ssize_t* rows   # n: which row of X is row i, or its complement: a row to fill up a group, of weight 0; or NULL
    const Py_ssize_t* pattern    # n / (ROW_VECTORS * LANES), see Tile; or NULL, as the next two
    const Py_ssize_t* columns
    const Py_ssize_t* n_missing
    const real* low              # (n_tiles, d) the boxes of rows that lie together, see nearby.pxi; or NULL, as the next
    const real* high
    const real* centres[MAX_PARAMS]    # params for the boxes' centres, and for their half widths
    const real* widths[MAX_PARAMS]
    const double* weight     # of the rows of X, or NULL: all one
    const real* centre       # d
    Py_ssize_t n, d, K
    Py_ssize_t tile_rows, n_tiles, n_lanes
    Py_ssize_t stride        # vectors from one column of a tile to the next
    Py_ssize_t n_sums        # doubles of one lane: the parts' sums, then log-likelihood and entropy
    Py_ssize_t n_acc, n_scratch
    char* overflowed         # per lane: whether a row was too far from everything; or NULL
    int interrupted          # set by the calling thread when a signal handler raised; the others then stop too
    double* log_density      # outputs of scoring, each may be NULL
    real* responsibilities
    real* joint
    Py_ssize_t* labels


cdef void load_tile(const Job* job, Tile* t, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t group = ROW_VECTORS * LANES
    cdef Py_ssize_t padded = (rows + group - 1) // group * group
    cdef Py_ssize_t r
    cdef real* weight = <real*>t.weight
    cdef Py_ssize_t j
    cdef const char* x = job.x + start * job.row_step
    t.equal_weights = job.weight == NULL
    if job.rows != NULL:
        gather_rows(job, t, start, rows)
        return
    if job.order == NULL:
        load_rows(x, job.row_step, job.column_step, rows, padded, job.d, job.centre, t.x, t.stride)
    else:
        for j in range(job.d):
            load_rows(x + job.order[j] * job.column_step, job.row_step, job.column_step, rows, padded, 1, job.centre + j,
                      t.x + j * t.stride, t.stride)
    for r in range(rows):
        weight[r] = <real>job.weight[start + r] if job.weight != NULL else 1
    for r in range(rows, padded):
        weight[r] = 0
    t.vectors = padded // LANES
    for r in range(t.vectors):
        t.root_weight[r] = vsqrt(t.weight[r])


cdef void gather_rows(const Job* job, Tile* t, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """load_tile by the numbers of rows, whole groups of them; scratch is free yet."""
    cdef Py_ssize_t r, i, j, line, d = job.d
    cdef real* weight = <real*>t.weight
    cdef real* gathered = <real*>t.scratch
    cdef const char* x
    for r in range(rows):
        i = job.rows[start + r]
        if i < 0:
            i = -1 - i
            weight[r] = 0
        else:
            weight[r] = <real>job.weight[i] if job.weight != NULL else 1
        x = job.x + i * job.row_step
        if job.column_step == <Py_ssize_t>sizeof(real):
            if start + r + ROWS_AHEAD < job.n:   # rows of a pattern lie apart, which the hardware does not foresee
                i = job.rows[start + r + ROWS_AHEAD]
                i = max(i, -1 - i)
                for line in range((d * <Py_ssize_t>sizeof(real) + 63) // 64):
                    PREFETCH(job.x + i * job.row_step + 64 * line)
            memcpy(gathered + r * d, x, d * sizeof(real))
        else:
            for j in range(d):
                gathered[r * d + j] = (<const real*>(x + j * job.column_step))[0]
    load_rows(<const char*>gathered, d * sizeof(real), sizeof(real), rows, rows, d, job.centre, t.x, t.stride)
    t.vectors = rows // LANES
    if job.pattern != NULL:
        t.pattern = job.pattern + start // (ROW_VECTORS * LANES)
    for r in range(t.vectors):
        t.root_weight[r] = vsqrt(t.weight[r])


cdef void normalise(const Tile* t, double* totals) noexcept nogil:
    """joint = sqrt(weight * responsibility); totals += weighted (log-likelihood, entropy of the responsibilities).

    A responsibility below 2^-60 of the row's largest is exactly 0: together they change no digit of the row's total.
    With e_k = exp(l_k - max): log p = max + log sum e; H = log sum e - sum e_k (l_k - max) / sum e.
    ROW_VECTORS vectors of rows go side by side, since one row's chain from maximum to logarithm is all latency.
    """
    cdef Py_ssize_t group, r, k, S = t.stride, K = t.K
    cdef vec* joint = t.joint                # local: a store could otherwise change the pointer, as far as C knows
    cdef const vec* weight = t.weight
    cdef const vec* root_weight = t.root_weight
    cdef int v
    cdef vec top[4]
    cdef vec total[4]
    cdef vec spread[4]
    cdef vec h, gap, log_total, product
    cdef vec sums[2]
    sums[0] = splat(0)
    sums[1] = splat(0)
    for group in range(t.vectors // ROW_VECTORS):
        r = group * ROW_VECTORS
        for v in range(ROW_VECTORS):
            top[v] = joint[r + v]
            total[v] = splat(0)
            spread[v] = splat(0)
        for k in range(1, K):
            for v in range(ROW_VECTORS):
                top[v] = vmax(top[v], joint[k * S + r + v])
        for k in range(K):
            for v in range(ROW_VECTORS):
                gap = joint[k * S + r + v] - top[v]
                h = vexp_negative(gap * splat(<real>0.5))
                joint[k * S + r + v] = h
                h = h * h
                total[v] = total[v] + h
                spread[v] = spread[v] + h * gap
        log_total = product = splat(0)
        if t.equal_weights:                    # one logarithm for all of them
            product = splat(1)
            for v in range(ROW_VECTORS):
                product = product * where_less(splat(0), weight[r + v], total[v], splat(1))
            product = vlog(product)
            sums[0], sums[1] = sums[0] + product, sums[1] + product
        for v in range(ROW_VECTORS):
            if not t.equal_weights:
                log_total = vlog(total[v])
            h = reciprocal_root(total[v])
            sums[0] = sums[0] + weight[r + v] * (top[v] + log_total)
            sums[1] = sums[1] + weight[r + v] * (log_total - spread[v] * (h * h))
            top[v] = h * root_weight[r + v]
        for k in range(K):
            for v in range(ROW_VECTORS):
                joint[k * S + r + v] = joint[k * S + r + v] * top[v]
    add_lane_sums(sums, 2, totals)


cdef void write_scores(const Job* job, const Tile* t, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """Fill the outputs that are asked for, from the tile's log p(x, z=k)."""
    if job.joint != NULL:
        write_rows(t, rows, job.joint + start * job.K)
    if job.labels != NULL:
        write_labels(t, rows, job.labels + start)
    if job.log_density != NULL or job.responsibilities != NULL:
        write_normalised(job, t, start, rows)


cdef void write_rows(const Tile* t, Py_ssize_t rows, real* out) noexcept nogil:
    """out (rows, K) = the tile's joint (K, rows), turned back."""
    cdef Py_ssize_t r, k, i, block, S = t.stride, K = t.K
    cdef const vec* joint = t.joint
    for r in range((rows + LANES - 1) // LANES):
        for block in range(K // LANES):
            turn_back(joint + block * LANES * S + r, S, out + r * LANES * K + block * LANES, K, rows - r * LANES)
        for k in range(K // LANES * LANES, K):
            for i in range(min(<Py_ssize_t>LANES, rows - r * LANES)):
                out[(r * LANES + i) * K + k] = (<const real*>(joint + k * S + r))[i]


cdef void write_labels(const Tile* t, Py_ssize_t rows, Py_ssize_t* labels) noexcept nogil:
    """The first most probable component; no exponential is needed."""
    cdef Py_ssize_t r, k, i, S = t.stride
    cdef vec top, best
    for r in range((rows + LANES - 1) // LANES):
        top = t.joint[r]
        best = splat(0)
        for k in range(1, t.K):
            best = where_less(top, t.joint[k * S + r], splat(<real>k), best)
            top = vmax(top, t.joint[k * S + r])
        for i in range(min(<Py_ssize_t>LANES, rows - r * LANES)):
            labels[r * LANES + i] = <Py_ssize_t>lane(best, i)


cdef void write_normalised(const Job* job, const Tile* t, Py_ssize_t start, Py_ssize_t rows) noexcept nogil:
    """log p(x) and p(z=k|x)."""
    cdef Py_ssize_t r, k, i, S = t.stride, K = job.K
    cdef bint keep = job.responsibilities != NULL
    cdef vec* joint = t.joint
    cdef vec top, e, total
    for r in range((rows + LANES - 1) // LANES):
        top = joint[r]
        for k in range(1, K):
            top = vmax(top, joint[k * S + r])
        total = splat(0)
        for k in range(K):
            e = vexp(joint[k * S + r] - top)
            total = total + e
            if keep:
                joint[k * S + r] = e
        if job.log_density != NULL:
            top = top + vlog(total)
            for i in range(min(<Py_ssize_t>LANES, rows - r * LANES)):
                job.log_density[start + r * LANES + i] = lane(top, i)
        if keep:
            total = splat(1) / total
            for k in range(K):
                joint[k * S + r] = joint[k * S + r] * total
    if keep:
        write_rows(t, rows, job.responsibilities + start * K)


cdef bint too_far(const Tile* t, Py_ssize_t rows) noexcept nogil:
    """Whether some row has log 0 under every component: its squared distances overflow."""
    cdef Py_ssize_t r, k
    cdef vec top, least = splat(0)
    for r in range(rows // LANES):           # whole vectors; then the rows of the last one
        top = t.joint[r]
        for k in range(1, t.K):
            top = vmax(top, t.joint[k * t.stride + r])
        least = vmin(least, top)
    for r in range(LANES):
        if lane(least, r) <= LOWEST:
            return True
    for r in range(rows // LANES * LANES, rows):
        for k in range(t.K):
            if (<const real*>(t.joint + k * t.stride))[r] > LOWEST:
                break
        else:
            return True
    return False


cdef void watch_for_signals(Job* job, clock_t* last) noexcept nogil:
    """Let Python handle Ctrl-C some ten times a second, which only its main thread does; a worker asks whether it goes on."""
    cdef clock_t now = clock()
    if now - last[0] > CLOCKS_PER_SEC // 10:
        last[0] = now
        with gil:
            if PyErr_CheckSignals() != 0 or told_to_stop():
                job.interrupted = 1


cdef Tile tile_of_part(const Job* job, const Tile* t, int index) noexcept nogil:
    """The tile as one part sees it."""
    cdef Tile own = t[0]
    cdef const Share* part = &job.parts[index]
    own.d = part.d
    own.x = t.x + part.first_column * t.stride
    own.scratch = t.scratch + part.first_scratch * t.stride
    own.n_features = part.family.n_features
    own.further = index > 0
    return own


cdef void log_prob(const Job* job, const Tile* t) noexcept nogil:
    """joint = log p(x, z=k), the sum over the parts."""
    cdef Tile own
    cdef int p
    for p in range(job.n_parts):
        own = tile_of_part(job, t, p)
        job.parts[p].family.log_prob(&own, <const real**>job.parts[p].params)


cdef void accumulate(const Job* job, Tile* t, double* sums) noexcept nogil:
    """Add the statistics of all parts; those that take roots of responsibilities go first."""
    cdef Tile own
    cdef int p
    cdef bint roots = True, squared = False
    keep_live(t)
    for roots in range(1, -1, -1):
        for p in range(job.n_parts):
            if job.parts[p].family.roots == roots:
                if not roots and not squared:
                    square(t)
                    squared = True
                own = tile_of_part(job, t, p)
                job.parts[p].family.accumulate(&own, <const real**>job.parts[p].params, sums + job.parts[p].first_sum)


include "nearby.pxi"


cdef Tile first_tile(const Job* job, char* work, double* sums) noexcept nogil:
    """A tile without rows yet, in a thread's memory, and its sums, if there are any, at 0."""
    cdef Tile t
    t.d, t.K = job.d, job.K
    t.rounded, t.pause = sums != NULL and job.n_parts == 1, pause_of(job, work)
    t.columns, t.n_missing = job.columns, job.n_missing
    t.pattern = NULL
    t.log_likelihood = sums + job.n_sums - 2 if sums != NULL else sums
    t.stride = job.stride
    t.x = <vec*>work
    t.joint = t.x + t.d * t.stride
    t.scratch = t.joint + t.K * t.stride
    t.weight = t.scratch + job.n_scratch * t.stride
    t.root_weight = t.weight + t.stride
    t.acc = t.root_weight + t.stride
    t.live = <Py_ssize_t*>(t.acc + job.n_acc)
    t.live_rows = t.live + job.K
    if sums != NULL:
        memset(sums, 0, job.n_sums * sizeof(double))
    return t


cdef void run_lane(Job* job, Py_ssize_t index, char* work, double* sums, bint watch) noexcept nogil:
    """One thread's share: the tiles of one lane in order, into its sums. sums NULL: score only. watch: this is the calling
    thread."""
    cdef Tile t = first_tile(job, work, sums)
    cdef Nearby near
    cdef Py_ssize_t tile, start, rows, box = 0, end = (index + 1) * job.n_tiles // job.n_lanes
    cdef clock_t last = clock() if watch else 0
    if job.low != NULL:
        set_nearby(job, &near, work + bytes_of_tile(job))
    for tile in range(index * job.n_tiles // job.n_lanes, end):
        if job.interrupted:
            return
        if watch:
            watch_for_signals(job, &last)
        start = tile * job.tile_rows
        rows = min(job.tile_rows, job.n - start)
        load_tile(job, &t, start, rows)
        if job.low != NULL:
            if box % BOXES == 0:
                set_boxes(job, &near, tile, end - tile)
                find_nearby(job, &near)
            expect_nearby(job, &near, &t, box % BOXES, sums)
            box += 1
            continue
        log_prob(job, &t)
        if sums == NULL:
            if too_far(&t, rows):
                job.overflowed[index] = 1
            write_scores(job, &t, start, rows)
        else:
            normalise(&t, t.log_likelihood)
            accumulate(job, &t, sums)


cdef inline Py_ssize_t bytes_of_work(const Job* job) noexcept nogil:
    """The memory that a thread needs, on pages of its own."""
    return bytes_of_tile(job) + ((nearby_bytes(job) + 4095) // 4096 * 4096 if job.low != NULL else 0)


cdef inline Py_ssize_t bytes_of_tile(const Job* job) noexcept nogil:
    """Of these for its tile."""
    return (sizeof(vec) * ((job.d + job.K + job.n_scratch + 2) * job.stride + job.n_acc)
            + sizeof(Py_ssize_t) * (2 * job.K + 1) + 4096) // 4096 * 4096 + 4096


cdef inline Py_ssize_t* pause_of(const Job* job, char* work) noexcept nogil:
    """Its last number, which is kept from tile to tile."""
    return <Py_ssize_t*>(work + bytes_of_tile(job)) - 1


cdef no_outputs(Job* job):
    job.log_density = NULL
    job.responsibilities = NULL
    job.joint = NULL
    job.labels = NULL


cdef set_lanes(Job* job, const double[::1] sample_weight):
    """The rest of a job that collects sums: the weights, and the lanes that tiles are summed in."""
    job.weight = NULL
    if sample_weight is not None:
        job.weight = <const double*>&sample_weight[0]
    no_outputs(job)
    job.n_sums += 2
    job.n_lanes = lanes_of_tiles(job.n_tiles, job.n_sums)


cdef void add_lanes(const Job* job, double* lanes, Py_ssize_t n_threads) noexcept nogil:
    """The sums of all lanes into those of the first, in order; by the threads of the pass where there are many."""
    cdef Py_ssize_t start, some = (job.n_sums + n_threads - 1) // n_threads
    if n_threads > 1 and job.n_lanes * some >= SUMS_OF_A_THREAD:
        for start in prange(0, job.n_sums, some, num_threads=n_threads, schedule="static"):
            add_some(job, lanes, start, min(start + some, job.n_sums))
    else:
        add_some(job, lanes, 0, job.n_sums)


cdef void add_some(const Job* job, double* lanes, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
    """Some of the sums: see above."""
    cdef Py_ssize_t i, j
    cdef const double* lane
    for i in range(1, job.n_lanes):
        lane = lanes + i * job.n_sums
        for j in range(start, stop):
            lanes[j] = lanes[j] + lane[j]


cdef run(Job* job, double[:, ::1] lanes, Py_ssize_t n_threads):
    """All lanes over n_threads threads, without the GIL; then the sums of all are in those of the first."""
    cdef Py_ssize_t work_bytes = bytes_of_work(job), n_sums = 0
    cdef Py_ssize_t index
    cdef char* block
    cdef char* work
    check()
    n_threads = max(1, min(n_threads, job.n_lanes))
    if n_threads > 1:
        n_threads = startable(n_threads)
    block = <char*>malloc(work_bytes * n_threads + ALIGNMENT)
    if block == NULL:
        raise MemoryError(f"no memory for {n_threads} work spaces of {work_bytes} bytes")
    work = block + (ALIGNMENT - <uintptr_t>block % ALIGNMENT)
    for index in range(n_threads):
        pause_of(job, work + index * work_bytes)[0] = 0
    cdef double* sums = NULL             # and n_sums = 0: every lane's are NULL
    if lanes is not None:
        sums, n_sums = &lanes[0, 0], job.n_sums
    with nogil:
        if n_threads == 1:                   # no thread team, and nothing that a fork could break
            for index in range(job.n_lanes):
                run_lane(job, index, work, sums + index * n_sums, True)
        else:
            for index in prange(job.n_lanes, num_threads=n_threads, schedule="dynamic", chunksize=1):
                run_lane(job, index, work + threadid() * work_bytes, sums + index * n_sums, threadid() == 0)
        free(block)
        if sums != NULL:
            add_lanes(job, sums, n_threads)
    if job.interrupted:
        check()
        propagate()


cdef require_length(str name, Py_ssize_t found, Py_ssize_t expected):
    if found != expected:
        raise ValueError(f"{name} has length {found}, expected {expected}")


cdef prepare_groups(Job* job, tuple groups):
    """The rows by their patterns of missing values, where a family wants them so."""
    cdef const Py_ssize_t[::1] rows, pattern, n_missing
    cdef const Py_ssize_t[:, ::1] columns
    cdef bint wanted = False
    cdef int p
    for p in range(job.n_parts):
        wanted = wanted or job.parts[p].family.grouped
    job.rows = NULL
    job.pattern = NULL
    job.columns = NULL
    job.n_missing = NULL
    if (groups is not None) != wanted or (wanted and job.n_parts > 1):
        raise ValueError("rows in groups are for a family that takes them, alone, and for no other")
    if groups is None:
        return
    rows, pattern, columns, n_missing = groups
    require_length("rows", rows.shape[0], pattern.shape[0] * group_rows)
    require_length("columns", columns.shape[1], job.d)
    require_length("n_missing", n_missing.shape[0], columns.shape[0])
    if rows.shape[0] < 1:
        raise ValueError("there are no rows")
    job.rows, job.pattern, job.columns, job.n_missing = &rows[0], &pattern[0], &columns[0, 0], &n_missing[0]
    job.n = rows.shape[0]


cdef tuple prepare_nearby(Job* job, Part part, tuple nearby):
    """The rows in an order in which those of a tile lie together; returns arrays to keep alive."""
    cdef const Py_ssize_t[::1] rows
    cdef const real[:, ::1] low, high
    job.low = job.high = NULL
    if nearby is None:
        return ()
    if job.n_parts > 1 or not part.takes_nearby or job.order != NULL:
        raise ValueError("rows that lie together are for one part that takes them, with its columns in X's order")
    rows, low, high = nearby
    if rows.shape[0] < job.n or rows.shape[0] % group_rows:
        raise ValueError(f"rows has length {rows.shape[0]}, no whole groups of at least {job.n}")
    require_length("low", low.shape[0], (rows.shape[0] + NEARBY_ROWS - 1) // NEARBY_ROWS)
    require_length("high", high.shape[0], low.shape[0])
    require_length("a row of low", low.shape[1], job.d)
    require_length("a row of high", high.shape[1], job.d)
    job.rows, job.low, job.high, job.n = &rows[0], &low[0, 0], &high[0, 0], rows.shape[0]
    job.n_scratch = max(job.n_scratch, job.d)    # rows are gathered there
    return prepare_bounds(job, part)


cdef tuple prepare_bounds(Job* job, Part part):
    """The arrays for boxes of rows; returns those to keep alive."""
    cdef const real[::1] zeros, absolute
    cdef Py_ssize_t p
    _, A, *_ = part.shapes                       # constant, A, b, means
    kept = np.zeros(job.K * job.d, part.params[A].dtype), np.abs(part.params[A])
    zeros, absolute = kept
    for p in range(part.share.n_params):
        job.centres[p] = job.widths[p] = part.share.params[p]
    job.centres[0] = job.widths[0] = job.widths[2] = &zeros[0]
    job.widths[1] = &absolute[0]
    return kept


cdef Py_ssize_t rows_of_tile(Py_ssize_t n, Py_ssize_t d, Py_ssize_t K):
    cdef Py_ssize_t group = ROW_VECTORS * LANES, row_bytes = sizeof(real) * (d + K + 2), least = group
    if FEW_COLUMNS < d < K:
        least = max(LEAST_ROWS, min(MANY_ROWS, MANY_BYTES // row_bytes, n // MANY_TILES) // group * group)
    return max(least, min(<Py_ssize_t>TILE_VECTORS * LANES, TILE_BYTES // row_bytes // group * group))


cdef Py_ssize_t lanes_of_tiles(Py_ssize_t n_tiles, Py_ssize_t n_sums):
    cdef Py_ssize_t lanes, most = max(2, LANE_BYTES // (8 * n_sums))
    if most > 2:
        most = (most + 3) // 4 * 4           # so that two or four threads get equal shares
    lanes = min(n_tiles, MAX_LANES, most)
    return lanes - lanes % 4 if lanes > 8 else lanes


cdef tuple prepare(Job* job, tuple parts, const real[:, :] X, const real[::1] centre, Py_ssize_t n_components,
                   const Py_ssize_t[::1] order, tuple groups, tuple nearby):
    """Fill in a job; returns arrays that it needs."""
    cdef Py_ssize_t columns = 0
    cdef Part part
    cdef Share* share
    job.n, job.d, job.K = X.shape[0], X.shape[1], n_components
    if job.n < 1 or job.d < 1 or job.K < 1:
        raise ValueError(f"nothing to do for X of shape ({job.n}, {job.d}) and {job.K} components")
    if not 1 <= len(parts) <= MAX_PARTS:
        raise ValueError(f"{len(parts)} parts; there can be 1 to {MAX_PARTS}")
    job.n_parts, job.n_sums, job.n_acc, job.n_scratch = len(parts), 0, 0, 0
    for index, part in enumerate(parts):
        if part.K != job.K:
            raise ValueError(f"{part.family} has arrays for {part.K} components, not for {job.K}")
        job.parts[index] = part.share
        share = &job.parts[index]
        share.first_column, share.first_sum, share.first_scratch = columns, job.n_sums, job.n_scratch
        columns += share.d
        job.n_sums += share.family.n_sums
        job.n_scratch += share.family.n_scratch
        job.n_acc = max(job.n_acc, share.family.n_acc)
    require_length("a row of X", job.d, columns)
    job.order = NULL
    if order is not None:
        require_length("order", order.shape[0], job.d)
        if sorted(order) != list(range(job.d)):
            raise ValueError(f"order is no permutation of {job.d} columns: {list(order)}")
        job.order = &order[0]
    prepare_groups(job, groups)
    require_length("centre", centre.shape[0], job.d)
    job.centre = &centre[0]
    kept = prepare_nearby(job, parts[0], nearby)
    job.overflowed = NULL
    job.interrupted = 0
    job.x = <const char*>&X[0, 0]
    job.row_step, job.column_step = X.strides[0], X.strides[1]
    job.tile_rows = rows_of_tile(job.n, job.d, job.K) if job.low == NULL else NEARBY_ROWS
    job.stride = (job.tile_rows // LANES) | 1     # odd: columns a power of two apart would share few sets of the cache
    job.n_tiles = (job.n + job.tile_rows - 1) // job.tile_rows
    return kept


def expect(tuple parts, const real[:, :] X, const double[::1] sample_weight, const real[::1] centre,
           Py_ssize_t n_components, Py_ssize_t n_threads, const Py_ssize_t[::1] order=None, tuple groups=None,
           tuple nearby=None):
    """E-step over the rows of X: (sums of all parts, log-likelihood, entropy of the responsibilities).

    parts          of class Part, of this module
    X              (n, d) in, any strides; n, d >= 1
    sample_weight  (n) in, or None: every weight 1
    centre         (d) in; the params are about it, in the order of the parts' columns
    order          (d) in: the columns of X in the order of the parts; None: as they are
    groups         (rows (m), pattern (m / group_rows), columns (patterns, d), n_missing (patterns)) in, for a
                   family that takes them: see Job; None: all rows as they are
    nearby         what `nearby_rows` says of X, for a part that takes it; None: all components for all rows
    """
    cdef Job job
    cdef double[:, ::1] lanes
    cdef Py_ssize_t n_sums
    kept = prepare(&job, parts, X, centre, n_components, order, groups, nearby)
    n_sums = job.n_sums
    if sample_weight is not None:
        require_length("sample_weight", sample_weight.shape[0], X.shape[0])
    set_lanes(&job, sample_weight)
    partial = np.empty((job.n_lanes, job.n_sums))
    lanes = partial
    run(&job, lanes, n_threads)
    return partial[0, :n_sums], partial[0, n_sums], partial[0, n_sums + 1]


def additions(tuple parts, Py_ssize_t n, Py_ssize_t d, Py_ssize_t K):
    """How often `expect` rounds, at most, what it adds a term to: (in the rows' real type, in double), for n rows.

    A vector of sums takes the rows of a tile, its lanes become one number; tiles add in their lane, and lanes to the total.
    """
    cdef Py_ssize_t n_sums = 2, group = ROW_VECTORS * LANES, tile_rows = rows_of_tile(n, d, K), n_tiles, n_lanes, of_tiles, halves = 0
    cdef bint nearby = False
    cdef Part part
    for part in parts:
        n_sums += part.share.family.n_sums
        nearby = nearby or part.takes_nearby
    n_tiles = (n + tile_rows - 1) // tile_rows
    n_lanes = lanes_of_tiles(n_tiles, n_sums)
    of_tiles = (n_tiles + n_lanes - 1) // n_lanes + n_lanes
    if nearby:                               # perhaps: more tiles, of fewer rows
        n_tiles = n // NEARBY_ROWS + 1
        n_lanes = lanes_of_tiles(n_tiles, n_sums)
        of_tiles = max(of_tiles, (n_tiles + n_lanes - 1) // n_lanes + n_lanes)
    while 1 << halves < LANES:
        halves += 1
    return min(tile_rows, (n + group - 1) // group * group) // LANES + halves, of_tiles


def score(tuple parts, const real[:, :] X, const real[::1] centre, Py_ssize_t n_components, Py_ssize_t n_threads,
          const Py_ssize_t[::1] order=None, tuple groups=None,
          double[::1] log_density=None, real[:, ::1] responsibilities=None, real[:, ::1] joint=None, Py_ssize_t[::1] labels=None):
    """Fill the arrays that are given: log p(x) (n), p(z|x) (n, K), log p(x, z) (n, K), the most probable z (n).

    With `groups`: of the rows in their order there.

    Returns whether some row is so far from every component that its squared distances overflow.
    """
    cdef Job job
    cdef char[::1] overflowed
    prepare(&job, parts, X, centre, n_components, order, groups, None)
    if log_density is not None:
        require_length("log_density", log_density.shape[0], job.n)
    if labels is not None:
        require_length("labels", labels.shape[0], job.n)
    if responsibilities is not None:
        require_length("responsibilities", responsibilities.shape[0], job.n)
        require_length("a row of responsibilities", responsibilities.shape[1], job.K)
    if joint is not None:
        require_length("joint", joint.shape[0], job.n)
        require_length("a row of joint", joint.shape[1], job.K)
    job.weight = NULL
    no_outputs(&job)
    if log_density is not None:
        job.log_density = &log_density[0]
    if responsibilities is not None:
        job.responsibilities = &responsibilities[0, 0]
    if joint is not None:
        job.joint = &joint[0, 0]
    if labels is not None:
        job.labels = &labels[0]
    job.n_sums = 2
    job.n_lanes = max(1, min(job.n_tiles, 8 * max(<Py_ssize_t>1, n_threads)))
    flags = np.zeros(job.n_lanes, np.int8)
    overflowed = flags
    job.overflowed = &overflowed[0]
    run(&job, None, n_threads)
    return bool(flags.any())


def named_sums(tuple parts, sums):
    """The sums that `expect` returns, by part and name: a list of {name: view}."""
    cdef Part part
    cdef Py_ssize_t start = 0
    found = []
    for part in parts:
        found.append(part.named(sums[start:start + part.share.family.n_sums]))
        start += part.share.family.n_sums
    return found


def log_factorial(const real[::1] x):
    """log x! as the kernels compute it: in groups of as many values as they take at a time, the last one with 0s."""
    cdef Py_ssize_t i, start, size = ROW_VECTORS * LANES
    cdef vec group[4]
    cdef vec negative[4]
    out = np.empty_like(x)
    cdef real[::1] y = out
    for start in range(0, x.shape[0], size):
        for i in range(size):
            (<real*>group)[i] = x[start + i] if start + i < x.shape[0] else 0
            (<real*>negative)[i] = 0
        subtract_log_factorials(group, ROW_VECTORS, negative)
        for i in range(min(size, x.shape[0] - start)):
            y[start + i] = -(<real*>negative)[i]
    return out


def exp_log(const real[::1] x):
    """exp(x) and log(x) as the kernels compute them, for tests."""
    cdef Py_ssize_t i
    exps, logs = np.empty_like(x), np.empty_like(x)
    cdef real[::1] e = exps
    cdef real[::1] l = logs
    for i in range(x.shape[0]):
        e[i] = lane(vexp(splat(x[i])), 0)
        l[i] = lane(vlog(splat(x[i])), 0)
    return exps, logs


def exp_negative_log1p(const real[::1] x):
    """exp(-x), 0 far out, and log(1 + x) for x >= 0 as the kernels compute them, for tests."""
    cdef Py_ssize_t i
    exps, logs = np.empty_like(x), np.empty_like(x)
    cdef real[::1] e = exps
    cdef real[::1] l = logs
    for i in range(x.shape[0]):
        e[i] = lane(vexp_negative(splat(-x[i])), 0)
        l[i] = lane(vlog1p(splat(x[i])), 0)
    return exps, logs


def log1p_reciprocal(const real[::1] x):
    """log(1 + x) and 1 / (1 + x) for 0 <= x <= 1 as the kernels compute them together, for tests."""
    cdef Py_ssize_t i
    logs, reciprocals = np.empty_like(x), np.empty_like(x)
    cdef real[::1] l = logs
    cdef real[::1] y = reciprocals
    cdef vec reciprocal
    for i in range(x.shape[0]):
        l[i] = lane(vlog1p_of_unit(splat(x[i]), &reciprocal), 0)
        y[i] = lane(reciprocal, 0)
    return logs, reciprocals


def mills_ratio(const real[::1] x):
    """(1 - Phi(x)) / phi(x) for x >= 0 as the kernels compute it, for tests."""
    cdef Py_ssize_t i
    ratios = np.empty_like(x)
    cdef real[::1] y = ratios
    for i in range(x.shape[0]):
        y[i] = lane(vmills(splat(x[i])), 0)
    return ratios


include "phases.pxi"
include "short_runs.pxi"
include "tails.pxi"
include "truncated.pxi"

fill_log_factorial_table()
lowest = LOWEST
exp_ulps, log_ulps, log1p_ulps, log_factorial_ulps = EXP_ULPS, LOG_ULPS, LOG1P_ULPS, LOG_FACTORIAL_ULPS
mills_ulps = MILLS_ULPS
factor_block = FACTOR_BLOCK
group_rows = ROW_VECTORS * LANES
families = tuple([FAMILIES[i].name.decode() for i in range(sizeof(FAMILIES) // sizeof(Compiled))])
