# cython: language_level=3
"""A hierarchical clustering that merges, step by step, the two clusters whose union costs least.

A cluster of weight n with the scatter matrix W (d, d) costs n log(|W / n| + (tr W + extra) / n): twice the negative
log-likelihood of a Gaussian with a covariance of its own, but for the trace, which is there because |W| is 0 for few
rows.
"""

from libc.math cimport INFINITY, log

import numpy as np


cdef struct Clusters:
    Py_ssize_t d, size  # size: d (d + 1) / 2, numbers of a triangle
    double extra
    double* counts
    double* means  # (n, d)
    double* scatters  # (n, size), rows of lower triangles
    Py_ssize_t* distinct  # rows of each cluster
    double* costs
    double* work  # (d + size)


cdef double cost_of(const Clusters* c, double count, Py_ssize_t distinct, double* scatter) noexcept nogil:
    """Of a cluster; its scatter is overwritten where the determinant is needed."""
    cdef Py_ssize_t i, j, k, d = c.d
    cdef double trace = 0, determinant = 1, pivot, factor
    cdef double* row
    cdef double* other
    for i in range(d):
        trace += scatter[i * (i + 1) // 2 + i]
    if distinct <= d:
        determinant = 0
    else:
        for k in range(d):  # elimination from the last row upwards, so that rows of the triangle are contiguous
            i = d - 1 - k
            row = scatter + i * (i + 1) // 2
            pivot = row[i]
            if not pivot > 0:
                determinant = 0
                break
            determinant *= pivot / count
            for j in range(i):
                factor = row[j] / pivot
                other = scatter + j * (j + 1) // 2
                axpy(j + 1, -factor, row, other)
    return count * log(determinant + (trace + c.extra) / count)


cdef inline void axpy(Py_ssize_t n, double factor, const double* x, double* y) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] += factor * x[i]


cdef double joined(const Clusters* c, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
    """The weight of two clusters together; their scatter is left in `work`, after their distance."""
    cdef Py_ssize_t i, j, d = c.d, place = 0
    cdef double count = c.counts[g] + c.counts[h], share = c.counts[g] * c.counts[h] / count, x
    cdef double* apart = c.work
    cdef double* scatter = c.work + d
    cdef const double* first = c.scatters + g * c.size
    cdef const double* second = c.scatters + h * c.size
    for i in range(d):
        apart[i] = c.means[h * d + i] - c.means[g * d + i]
    for i in range(d):
        x = share * apart[i]
        for j in range(i + 1):
            scatter[place] = first[place] + second[place] + x * apart[j]
            place += 1
    return count


cdef double loss_of(const Clusters* c, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
    """What a merger costs."""
    cdef double count = joined(c, g, h)
    return cost_of(c, count, c.distinct[g] + c.distinct[h], c.work + c.d) - c.costs[g] - c.costs[h]


cdef void merge_into(const Clusters* c, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
    """Cluster g becomes the union."""
    cdef Py_ssize_t i, d = c.d
    cdef double count = joined(c, g, h)
    for i in range(d):
        c.means[g * d + i] += c.counts[h] / count * c.work[i]
    for i in range(c.size):
        c.scatters[g * c.size + i] = c.work[d + i]
    c.counts[g] = count
    c.distinct[g] += c.distinct[h]
    c.costs[g] = cost_of(c, count, c.distinct[g], c.work + d)


cdef double least_of(const double* row, const unsigned char* alive, Py_ssize_t begin, Py_ssize_t n) noexcept nogil:
    cdef double least = INFINITY
    cdef Py_ssize_t i
    for i in range(begin, n):
        if alive[i] and row[i] < least:
            least = row[i]
    return least


def merges(
    double[::1] counts, double[:, ::1] means, double[:, ::1] scatters, Py_ssize_t[::1] distinct, double extra,
    double tie, Py_ssize_t n_left
):
    """Merge clusters until n_left are left.

    Parameters
    ----------
    counts : (n,) weights; overwritten, as the next three
    means : (n, d)
    scatters : (n, d (d + 1) / 2) lower triangles, row by row
    distinct : (n,) how many different rows
    extra : of the trace
    tie : losses that differ by less are equal; the first pair is merged
    n_left : at least 1

    Returns
    -------
    (n - n_left, 2) : in each row the two that are merged, g < h; the union is g from then on
    """
    cdef Py_ssize_t n = means.shape[0], d = means.shape[1], step, g, h, i, left, place
    cdef double least, new
    cdef Clusters c
    made = np.empty((max(n - n_left, 0), 2), np.intp)
    cdef Py_ssize_t[:, ::1] pairs = made
    if n <= n_left:
        return made
    # of the pairs g < h, row by row; of each row the least, or less where a cluster has gone or moved (not exact)
    cdef double[:, ::1] losses = np.empty((n, n))
    cdef double[::1] lowest = np.empty(n), costs = np.empty(n), work = np.empty(d + scatters.shape[1])
    cdef unsigned char[::1] exact = np.ones(n, np.uint8), alive = np.ones(n, np.uint8)
    c.d, c.size, c.extra = d, scatters.shape[1], extra
    c.counts, c.means, c.scatters, c.distinct = &counts[0], &means[0, 0], &scatters[0, 0], &distinct[0]
    c.costs, c.work = &costs[0], &work[0]
    with nogil:
        for g in range(n):
            for i in range(c.size):
                work[d + i] = scatters[g, i]
            costs[g] = cost_of(&c, counts[g], distinct[g], &work[d])
        for g in range(n):
            for h in range(g + 1, n):
                losses[g, h] = loss_of(&c, g, h)
            lowest[g] = least_of(&losses[g, 0], &alive[0], g + 1, n)
        for step in range(n - n_left):
            while True:
                least = least_of(&lowest[0], &alive[0], 0, n)
                place = -1
                for g in range(n):
                    if alive[g] and lowest[g] <= least + tie and not exact[g]:
                        lowest[g] = least_of(&losses[g, 0], &alive[0], g + 1, n)
                        exact[g] = 1
                        place = g
                if place < 0:
                    break
            g = 0
            while not (alive[g] and lowest[g] <= least + tie):
                g += 1
            h = g + 1
            while not (alive[h] and losses[g, h] <= least + tie):
                h += 1
            pairs[step, 0], pairs[step, 1] = g, h
            merge_into(&c, g, h)
            alive[h] = 0
            for i in range(g):
                if alive[i]:
                    new = loss_of(&c, i, g)
                    if losses[i, g] <= lowest[i] or losses[i, h] <= lowest[i]:
                        exact[i] = 0
                    losses[i, g] = new
                    if new <= lowest[i]:
                        lowest[i], exact[i] = new, 1
            for i in range(g + 1, n):
                if alive[i]:
                    losses[g, i] = loss_of(&c, g, i)
                    if i < h and losses[i, h] <= lowest[i]:
                        exact[i] = 0
            lowest[g], exact[g] = least_of(&losses[g, 0], &alive[0], g + 1, n), 1
    return made
