# Distances of rows to centres for the starts: k-means++ seeds, steps of k-means, nearest centres. setup.py builds this once
# per instruction set. Reasons, numbered:
#
# 1. A start of few rows is hundreds of small steps; each is a call of Python no more.
# 2. Rows are turned once, in tiles of ROWS, so that they are lanes and a compiler's own vectors do.
# 3. The same bits for any number of threads: tiles are cut by the data's size alone, each belongs to a fixed lane of tiles,
#    and the lanes' sums are added in order.
#
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False

from cython.parallel cimport prange
from libc.math cimport INFINITY, fabs
from libc.stdlib cimport free, malloc
from libc.string cimport memset

import numpy as np

from fastem.kernels.threads import startable
from fastem.kernels.workers import check

cdef extern from "scalar_math.h" nogil:  # the same bits everywhere, see there
    double exp "scalar_exp"(double)

cdef extern from *:
    int PyErr_CheckSignals() except -1

ctypedef fused real:
    float
    double

cdef enum:
    ROWS = 64                # of a tile
    MOST_LANES = 32
    LANE_BYTES = 16777216    # memory for the lanes' sums

cdef double CERTAIN = 40     # differences of log-densities beyond: exp(-40) is no share of a row


cdef real* turned(const real[:, ::1] Z) except NULL:
    """The rows in tiles (tiles, d, ROWS), filled up by zeros."""
    cdef Py_ssize_t n = Z.shape[0], d = Z.shape[1], n_tiles = (n + ROWS - 1) // ROWS, i, j
    cdef real* tiles = <real*>malloc(max(n_tiles * d * ROWS, 1) * sizeof(real))
    cdef real* tile
    if tiles == NULL:
        raise MemoryError(f"no memory for {n} rows of {d} columns")
    with nogil:
        if n % ROWS:
            memset(tiles + (n_tiles - 1) * d * ROWS, 0, d * ROWS * sizeof(real))
        for i in range(n):
            tile = tiles + i // ROWS * d * ROWS + i % ROWS
            for j in range(d):
                tile[j * ROWS] = Z[i, j]
    return tiles


cdef inline void squared_distances(const real* tile, const real* centre, Py_ssize_t d, real* squares) noexcept nogil:
    """(ROWS) of the rows of a tile from a centre."""
    cdef Py_ssize_t i, j
    cdef real apart, at
    for i in range(ROWS):
        squares[i] = 0
    for j in range(d):
        at = centre[j]
        for i in range(ROWS):
            apart = tile[j * ROWS + i] - at
            squares[i] += apart * apart


cdef void nearest_of_tile(const real* tile, const real[:, ::1] centres, bint apart, real* least, real* second,
                          real* label) noexcept nogil:
    """(ROWS) the least squared distance of each row, the next one, and the centre: the first of equals; with `apart`, of the
    centres that are not where the row is, or -1."""
    cdef Py_ssize_t i, k
    cdef real[ROWS] squares
    cdef real inf = <real>INFINITY, square
    for i in range(ROWS):
        least[i] = second[i] = inf
        label[i] = -1 if apart else 0
    for k in range(centres.shape[0]):
        squared_distances(tile, &centres[k, 0], centres.shape[1], squares)
        for i in range(ROWS):
            square = inf if apart and squares[i] == 0 else squares[i]
            second[i] = least[i] if square < least[i] else square if square < second[i] else second[i]
            label[i] = <real>k if square < least[i] else label[i]
            least[i] = square if square < least[i] else least[i]


cdef void labels_of_tile(Py_ssize_t t, const real* tiles, const real[:, ::1] centres, bint apart,
                         Py_ssize_t[::1] labels) noexcept nogil:
    cdef real[ROWS] least, second, label
    cdef Py_ssize_t i
    nearest_of_tile(tiles + t * centres.shape[1] * ROWS, centres, apart, least, second, label)
    for i in range(min(ROWS, labels.shape[0] - t * ROWS)):
        labels[t * ROWS + i] = <Py_ssize_t>label[i]


cdef void label_all(const real* tiles, const real[:, ::1] centres, bint apart, Py_ssize_t[::1] labels,
                    Py_ssize_t n_threads) noexcept nogil:
    cdef Py_ssize_t t, n_tiles = (labels.shape[0] + ROWS - 1) // ROWS
    if n_threads == 1:
        for t in range(n_tiles):
            labels_of_tile(t, tiles, centres, apart, labels)
    else:
        for t in prange(n_tiles, num_threads=n_threads, schedule="static"):
            labels_of_tile(t, tiles, centres, apart, labels)


cdef Py_ssize_t threads_for(Py_ssize_t n_threads, Py_ssize_t n_tasks) except -1:
    n_threads = max(1, min(n_threads, n_tasks))
    return n_threads if n_threads == 1 else startable(n_threads)


cdef int require_columns(const real[:, ::1] Z, const real[:, ::1] centres) except -1:
    if centres.shape[1] != Z.shape[1]:
        raise ValueError(f"centres of {centres.shape[1]} columns for rows of {Z.shape[1]}")
    if centres.shape[0] >= 1 << 24:
        raise ValueError("more centres than numbers of float32")
    return 0


def nearest(const real[:, ::1] Z, const real[:, ::1] centres, Py_ssize_t n_threads, bint apart=False):
    """(n,) the nearest of the centres (K, d) for each row (n, d), of equal ones the first.

    apart    of those only at which the row does not lie; -1 where there is none
    """
    require_columns(Z, centres)
    check()
    labels = np.empty(Z.shape[0], np.intp)
    cdef Py_ssize_t[::1] into = labels
    cdef Py_ssize_t team = threads_for(n_threads, Z.shape[0] // ROWS)
    cdef real* tiles = turned(Z)
    try:
        with nogil:
            label_all(tiles, centres, apart, into, team)
    finally:
        free(tiles)
    PyErr_CheckSignals()
    return labels


cdef void squares_of_tile(Py_ssize_t t, const real* tiles, const real[:, ::1] centres, real[:, ::1] squares) noexcept nogil:
    cdef real[ROWS] column
    cdef Py_ssize_t i, k
    for k in range(centres.shape[0]):
        squared_distances(tiles + t * centres.shape[1] * ROWS, &centres[k, 0], centres.shape[1], column)
        for i in range(min(ROWS, squares.shape[0] - t * ROWS)):
            squares[t * ROWS + i, k] = column[i]


def squares(const real[:, ::1] Z, const real[:, ::1] centres, Py_ssize_t n_threads):
    """(n, K) squared distances of rows (n, d) from centres (K, d)."""
    require_columns(Z, centres)
    check()
    found = np.empty((Z.shape[0], centres.shape[0]), np.float32 if real is float else np.float64)
    cdef real[:, ::1] into = found
    cdef Py_ssize_t t, n_tiles = (Z.shape[0] + ROWS - 1) // ROWS, team = threads_for(n_threads, Z.shape[0] // ROWS)
    cdef real* tiles = turned(Z)
    try:
        with nogil:
            if team == 1:
                for t in range(n_tiles):
                    squares_of_tile(t, tiles, centres, into)
            else:
                for t in prange(n_tiles, num_threads=team, schedule="static"):
                    squares_of_tile(t, tiles, centres, into)
    finally:
        free(tiles)
    PyErr_CheckSignals()
    return found


cdef void try_in_tile(Py_ssize_t t, const real* tiles, const real[:, ::1] Z, const double[:] weight,
                      const Py_ssize_t[::1] tried, const real[::1] near, real[:, ::1] nearer,
                      double[:, ::1] potentials) noexcept nogil:
    """For each row that is tried as the next seed: squared distances from the nearest seed, and their weighted sum."""
    cdef real[ROWS] column
    cdef Py_ssize_t i, c, n = min(ROWS, Z.shape[0] - t * ROWS)
    cdef double total
    for c in range(tried.shape[0]):
        squared_distances(tiles + t * Z.shape[1] * ROWS, &Z[tried[c], 0], Z.shape[1], column)
        total = 0
        for i in range(n):
            column[i] = min(column[i], near[t * ROWS + i])
            nearer[c, t * ROWS + i] = column[i]
            total += weight[t * ROWS + i] * column[i]
        potentials[t, c] = total


cdef void try_all(const real* tiles, const real[:, ::1] Z, const double[:] weight, const Py_ssize_t[::1] tried,
                  const real[::1] near, real[:, ::1] nearer, double[:, ::1] potentials,
                  Py_ssize_t n_threads) noexcept nogil:
    cdef Py_ssize_t t, n_tiles = (Z.shape[0] + ROWS - 1) // ROWS
    if n_threads == 1:
        for t in range(n_tiles):
            try_in_tile(t, tiles, Z, weight, tried, near, nearer, potentials)
    else:
        for t in prange(n_tiles, num_threads=n_threads, schedule="static"):
            try_in_tile(t, tiles, Z, weight, tried, near, nearer, potentials)


cdef Py_ssize_t best_of(const double[:, ::1] potentials, double tie) noexcept nogil:
    """The candidate of the least potential, the first of those that differ by less than rounding makes."""
    cdef Py_ssize_t t, c, n = potentials.shape[1]
    cdef double least = INFINITY, most = 0, total
    for c in range(n):
        total = 0
        for t in range(potentials.shape[0]):
            total += potentials[t, c]
        least, most = min(least, total), max(most, total)
    for c in range(n):
        total = 0
        for t in range(potentials.shape[0]):
            total += potentials[t, c]
        if total <= least + tie * most:
            return c
    return 0


cdef Py_ssize_t first_above(const double[::1] ascending, double value) noexcept nogil:
    """The first entry that is greater than a value, the last where none is."""
    cdef Py_ssize_t low = 0, high = ascending.shape[0] - 1, middle
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] > value:
            high = middle
        else:
            low = middle + 1
    return low


def seeds(const real[:, ::1] Z, const double[:] weight, Py_ssize_t first, const double[:, ::1] uniform, double tie,
          Py_ssize_t n_threads):
    """The rows that greedy k-means++ takes, up to one more than `uniform` has rows; fewer where these are all that differ.

    Z, weight    (n, d), (n)
    first        the first seed
    uniform      (steps, candidates) numbers in [0, 1) that draw the candidates of each step
    tie          relative difference of potentials that is rounding
    """
    cdef Py_ssize_t n = Z.shape[0], n_steps = uniform.shape[0], n_tried = uniform.shape[1], step, i, c
    cdef Py_ssize_t n_tiles = (n + ROWS - 1) // ROWS, team = threads_for(n_threads, n // ROWS), done = 1
    cdef double total
    kind = np.float32 if real is float else np.float64
    chosen = np.empty(n_steps + 1, np.intp)
    cdef Py_ssize_t[::1] into = chosen
    cdef Py_ssize_t[::1] tried = np.full(1, first, np.intp)
    cdef real[:, ::1] nearer = np.empty((max(n_tried, 1), n), kind)
    cdef real[::1] near = np.full(n, np.inf, kind)
    cdef double[:, ::1] potentials = np.empty((n_tiles, 1))
    cdef double[::1] sums = np.empty(n)
    cdef real* tiles = turned(Z)
    into[0] = first
    try:
        try_all(tiles, Z, weight, tried, near, nearer, potentials, team)
        near[:] = nearer[0]
        tried, potentials = np.empty(n_tried, np.intp), np.empty((n_tiles, n_tried))
        for step in range(n_steps):
            check()
            PyErr_CheckSignals()
            with nogil:
                total = 0
                for i in range(n):
                    total += weight[i] * near[i]
                    sums[i] = total
            if not total > 0:  # every row is a seed already
                break
            with nogil:
                for c in range(n_tried):
                    tried[c] = first_above(sums, uniform[step, c] * total)
                try_all(tiles, Z, weight, tried, near, nearer, potentials, team)
                c = best_of(potentials, tie)
                near[:] = nearer[c]
                into[done] = tried[c]
            done += 1
    finally:
        free(tiles)
    return chosen[:done]


cdef void gather_in_lane(Py_ssize_t lane, Py_ssize_t n_lanes, const real* tiles, const real[:, ::1] Z,
                         const double[:] weight, const real[:, ::1] centres, double half, double[:, ::1] sums,
                         double* shares) noexcept nogil:
    """The sums (K, d + 1) of the rows about the centres that they belong to, and of their weights; half: half the square of
    the sharpness. A row between centres belongs to each of them with its share."""
    cdef real[ROWS] least, second, label
    cdef Py_ssize_t t, i, row, j, k, d = Z.shape[1], K = centres.shape[0]
    cdef double share, total
    cdef real apart
    t = lane
    while t * ROWS < Z.shape[0]:
        nearest_of_tile(tiles + t * d * ROWS, centres, False, least, second, label)
        for i in range(min(ROWS, Z.shape[0] - t * ROWS)):
            row = t * ROWS + i
            if half * (second[i] - least[i]) > CERTAIN:
                k = <Py_ssize_t>label[i]
                add_row(weight[row], &Z[row, 0], &centres[k, 0], d, &sums[lane, k * (d + 1)])
                continue
            total = 0
            for k in range(K):
                share = 0
                for j in range(d):
                    apart = Z[row, j] - centres[k, j]
                    share += apart * apart
                share = half * (share - least[i])
                shares[k] = exp(-share) if share < CERTAIN else 0
                total += shares[k]
            for k in range(K):
                if shares[k] > 0:
                    add_row(weight[row] * shares[k] / total, &Z[row, 0], &centres[k, 0], d, &sums[lane, k * (d + 1)])
        t += n_lanes


cdef inline void add_row(double weight, const real* row, const real* centre, Py_ssize_t d, double* sums) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(d):
        sums[j] += weight * (row[j] - centre[j])
    sums[d] += weight


def lloyd(const real[:, ::1] Z, const double[:] weight, const real[:, ::1] centres, Py_ssize_t n_steps,
          double sharpness, double settled, Py_ssize_t n_threads):
    """(n,) the nearest centre of each row after up to n_steps of k-means.

    k-means is EM with equal spheres so narrow that a row belongs to one of them; their radius is 1 / sharpness. It stops
    where no centre moves by `settled`. A cluster without rows keeps its centre.
    """
    require_columns(Z, centres)
    cdef Py_ssize_t n = Z.shape[0], d = Z.shape[1], K = centres.shape[0], step, lane, k, j, i
    cdef Py_ssize_t n_lanes = max(1, min(min(MOST_LANES, n // ROWS), LANE_BYTES // (8 * K * (d + 1))))
    cdef Py_ssize_t team = threads_for(n_threads, n_lanes)
    cdef double half = sharpness * sharpness / 2, shift, furthest
    cdef double[:, ::1] sums = np.empty((n_lanes, K * (d + 1))), shares = np.empty((n_lanes, K))
    cdef real[:, ::1] at = np.array(centres)
    labels = np.empty(n, np.intp)
    cdef Py_ssize_t[::1] into = labels
    cdef real* tiles = turned(Z)
    try:
        for step in range(n_steps):
            check()
            PyErr_CheckSignals()
            with nogil:
                sums[:, :] = 0
                if team == 1:
                    for lane in range(n_lanes):
                        gather_in_lane(lane, n_lanes, tiles, Z, weight, at, half, sums, &shares[lane, 0])
                else:
                    for lane in prange(n_lanes, num_threads=team, schedule="dynamic", chunksize=1):
                        gather_in_lane(lane, n_lanes, tiles, Z, weight, at, half, sums, &shares[lane, 0])
                for lane in range(1, n_lanes):
                    for i in range(K * (d + 1)):
                        sums[0, i] += sums[lane, i]
                furthest = 0
                for k in range(K):
                    if sums[0, k * (d + 1) + d] > 0:
                        for j in range(d):
                            shift = sums[0, k * (d + 1) + j] / sums[0, k * (d + 1) + d]
                            at[k, j] += <real>shift
                            furthest = max(furthest, fabs(shift))
            if furthest < settled:
                break
        with nogil:
            label_all(tiles, at, False, into, team)
    finally:
        free(tiles)
    PyErr_CheckSignals()
    return labels


def moments(const double[:, ::1] Z, const double[:] weight, const Py_ssize_t[::1] labels, Py_ssize_t n_clusters, bint products):
    """The clusters' weights (M,), means (M, d), and sums of squares and products about these (M, d, d); without products
    the squares alone (M, 1, d). A cluster without weight has zeros.

    labels    (n,) 0 ... M - 1

    Chan, Golub, LeVeque: Algorithms for computing the sample variance. The American Statistician 37 (1983) 242-247 (the
    corrected two-pass algorithm).
    """
    cdef Py_ssize_t n = Z.shape[0], d = Z.shape[1], i, j, m, k
    cdef double w
    counts, means = np.zeros(n_clusters), np.zeros((n_clusters, d))
    scatter = np.zeros((n_clusters, d if products else 1, d))
    cdef double[::1] count = counts
    cdef double[:, ::1] mean = means, off = np.zeros((n_clusters, d))
    cdef double[:, :, ::1] of_one = scatter
    cdef double[::1] rest = np.empty(max(d, 1))
    cdef double* r = &rest[0]
    cdef double* sums
    cdef const double* row
    check()
    with nogil:
        for i in range(n):
            k, w = labels[i], weight[i]
            count[k] += w
            sums, row = &mean[k, 0], &Z[i, 0]
            for j in range(d):
                sums[j] += w * row[j]
        for k in range(n_clusters):
            for j in range(d):
                mean[k, j] = mean[k, j] / count[k] if count[k] > 0 else 0
        for i in range(n):
            k = labels[i]
            row, sums = &Z[i, 0], &mean[k, 0]
            for j in range(d):
                r[j] = row[j] - sums[j]
            sums = &off[k, 0]
            for j in range(d):
                sums[j] += weight[i] * r[j]
            if not products:
                sums = &of_one[k, 0, 0]
                for j in range(d):
                    sums[j] += weight[i] * r[j] * r[j]
            for j in range(d if products else 0):
                w, sums = weight[i] * r[j], &of_one[k, j, 0]
                for m in range(j + 1):
                    sums[m] += w * r[m]
        for k in range(n_clusters):
            for j in range(d if count[k] > 0 else 0):
                off[k, j] /= count[k]
                mean[k, j] += off[k, j]
                for m in range(j + 1 if products else 0):
                    of_one[k, j, m] -= count[k] * off[k, j] * off[k, m]
                    of_one[k, m, j] = of_one[k, j, m]
                sums = &of_one[k, j if products else 0, j]
                if not products:
                    sums[0] -= count[k] * off[k, j] * off[k, j]
                sums[0] = max(sums[0], 0)                        # of equal rows rounding is left
    return counts, means, scatter
