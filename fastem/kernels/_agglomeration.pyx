# cython: language_level=3
"""Clusters merged pair by pair, so that a criterion of the whole partition suffers least."""

import numpy as np

from libc.math cimport INFINITY
from libc.string cimport memmove

cdef extern from "scalar_math.h" nogil:  # the same bits everywhere, see there
    double exp "scalar_exp"(double)
    double log "scalar_log"(double)

cdef extern from "agglomeration.h" nogil:
    enum:
        SIDE_BY_SIDE
    bint traced_costs(double count, const double* mean, const double* scatter, const double* counts, const double* means,
                      const double* scatters, Py_ssize_t stride, Py_ssize_t m, Py_ssize_t d, double prior, double* work,
                      double* costs)

from fastem.kernels.workers import check


cdef enum Criterion:
    SQUARES = 0  # the sum of squares about the means (Ward)
    DIAGONAL = 1  # the log-likelihood of Gaussians whose covariances are diagonal
    FULL = 2  # or full
    TRACED = 3  # the same, with a trace beside the determinant, which is 0 for few rows


cdef double log_det(double* matrix, Py_ssize_t d) noexcept nogil:
    """Of a positive definite matrix, whose lower triangle is overwritten; -inf where it is not."""
    cdef double rest = 0, product = determinant(matrix, d, &rest)
    return rest + log(product) if product > 0 else -INFINITY


cdef double determinant(double* matrix, Py_ssize_t d, double* rest) noexcept nogil:
    """The same times exp(-rest), so that it stays a number; 0 where the matrix is not positive definite."""
    cdef Py_ssize_t i, j, m
    cdef double pivot, factor, product = 1
    rest[0] = 0
    for m in range(d):
        pivot = matrix[m * d + m]
        if not pivot > 0:
            return 0
        product *= pivot
        if not 1e-100 < product < 1e100:
            rest[0] += log(product)
            product = 1
        for i in range(m + 1, d):
            factor = matrix[i * d + m] / pivot
            for j in range(m + 1, i + 1):
                matrix[i * d + j] -= factor * matrix[j * d + m]
    return product


cdef class Tree:
    """Clusters with their moments, and what each merger would cost."""

    cdef double[::1] counts
    cdef double[:, ::1] means
    cdef double[:, :, ::1] scatter
    cdef double[::1] costs, least
    cdef double[:, ::1] loss
    cdef double[:, ::1] work, both
    cdef char[::1] alive, exact
    cdef Py_ssize_t[::1] left      # the clusters that there are, ascending
    cdef double[:, ::1] columns    # of these, one each: count, mean (d), lower triangle of the scatter; of "traced"
    cdef double[::1] one, several, found
    cdef Py_ssize_t n_left
    cdef Criterion criterion
    cdef bint proportions
    cdef double prior, tie
    cdef Py_ssize_t M, d

    def __init__(self, counts, means, scatter, criterion, proportions, prior, tie):
        self.counts, self.means, self.scatter = counts.copy(), means.copy(), scatter.copy()
        self.M, self.d = means.shape[0], means.shape[1]
        self.criterion, self.proportions, self.prior, self.tie = criterion, proportions, prior, tie
        self.costs, self.least = np.zeros(self.M), np.full(self.M, np.inf)
        self.loss = np.full((self.M, self.M), np.inf)
        self.work, self.both = np.zeros((self.d, self.d)), np.zeros((scatter.shape[1], scatter.shape[2]))
        self.alive, self.exact = np.ones(self.M, np.int8), np.ones(self.M, np.int8)
        self.left, self.n_left = np.arange(self.M), self.M
        traced = [counts[:, None], means, scatter[:, *np.tril_indices(self.d)]] if criterion == TRACED else [counts[:, None]]
        self.columns = np.ascontiguousarray(np.hstack(traced).T, np.float64)
        n = self.columns.shape[0]
        self.one, self.several = np.empty(n), np.empty((n + self.d + 2) * SIDE_BY_SIDE)
        self.found = np.empty(SIDE_BY_SIDE)

    cdef double cost(self, double count, const double* scatter) noexcept nogil:
        """Minus twice the log-likelihood of a cluster, without what all partitions share."""
        cdef Py_ssize_t i, j, d = self.d
        cdef double* work = &self.work[0, 0]
        cdef double total = 0, rows = count + self.prior, rest, product = 1, share
        if self.criterion == TRACED:
            for i in range(d):
                for j in range(i + 1):
                    work[i * d + j] = scatter[i * d + j] / count
                total += scatter[i * d + i]
            product = determinant(work, d, &rest)
            if rest != 0:
                product *= exp(rest)
            return count * log(product + (total + self.prior) / count)
        if self.criterion == FULL:
            for i in range(d):
                for j in range(i + 1):
                    work[i * d + j] = scatter[i * d + j] / rows
                work[i * d + i] = (scatter[i * d + i] + self.prior) / rows
            total = log_det(work, d)
        else:
            share = 1 / rows
            for i in range(d):
                product *= (scatter[i] + self.prior) * share
                if not 1e-100 < product < 1e100:  # one logarithm for as many as remain a number
                    total += log(product)
                    product = 1
            total += log(product)
        total = count * total
        if self.proportions:
            total -= 2 * count * log(count)
        return total

    cdef void join(self, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
        """The scatter of two clusters together, in `both`."""
        cdef Py_ssize_t i, j, d = self.d
        cdef double share = self.counts[g] * self.counts[h] / (self.counts[g] + self.counts[h]), apart
        cdef const double* mean = &self.means[g, 0]
        cdef const double* other = &self.means[h, 0]
        cdef const double* scatter = &self.scatter[g, 0, 0]
        cdef const double* of_other = &self.scatter[h, 0, 0]
        cdef double* both = &self.both[0, 0]
        if self.criterion >= FULL:
            for i in range(d):
                apart = share * (other[i] - mean[i])
                for j in range(i + 1):
                    both[i * d + j] = scatter[i * d + j] + of_other[i * d + j] + apart * (other[j] - mean[j])
        else:
            for i in range(d):
                apart = other[i] - mean[i]
                both[i] = scatter[i] + of_other[i] + share * apart * apart

    cdef double merger(self, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
        """What the merger of two clusters costs."""
        cdef Py_ssize_t i
        cdef double total = 0, apart
        if self.criterion == SQUARES:
            for i in range(self.d):
                apart = self.means[h, i] - self.means[g, i]
                total += apart * apart
            return total * self.counts[g] * self.counts[h] / (self.counts[g] + self.counts[h])
        self.join(g, h)
        return self.cost(self.counts[g] + self.counts[h], &self.both[0, 0]) - self.costs[g] - self.costs[h]

    cdef void losses(self, Py_ssize_t place, Py_ssize_t start, Py_ssize_t stop) noexcept nogil:
        """What mergers of one of the clusters that are left with some others of them cost; all by their places."""
        cdef Py_ssize_t p = start, b, i, m, h, g = self.left[place]
        cdef bint together
        while p < stop:
            m = min(<Py_ssize_t>SIDE_BY_SIDE, stop - p)
            together = self.criterion == TRACED and m > 1
            if together:
                for i in range(self.one.shape[0]):
                    self.one[i] = self.columns[i, place]
                together = traced_costs(
                    self.one[0], &self.one[1], &self.one[1 + self.d], &self.columns[0, p], &self.columns[1, p],
                    &self.columns[1 + self.d, p], self.M, m, self.d, self.prior, &self.several[0], &self.found[0])
            for b in range(m):
                h = self.left[p + b]
                if h == g:
                    continue
                if together:
                    self.loss[min(g, h), max(g, h)] = self.found[b] - self.costs[min(g, h)] - self.costs[max(g, h)]
                else:
                    self.loss[min(g, h), max(g, h)] = self.merger(min(g, h), max(g, h))
            p += m

    cdef Py_ssize_t place_of(self, Py_ssize_t g) noexcept nogil:
        """Where a cluster is among those that are left."""
        cdef Py_ssize_t low = 0, high = self.n_left, middle
        while high - low > 1:
            middle = (low + high) // 2
            if self.left[middle] <= g:
                low = middle
            else:
                high = middle
        return low

    cdef void leave(self, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
        """g has changed, h is not there any more."""
        cdef Py_ssize_t i, j, p = self.place_of(h), place = self.place_of(g), n = 1 + self.d
        self.n_left -= 1
        memmove(&self.left[p], &self.left[p] + 1, (self.n_left - p) * sizeof(Py_ssize_t))
        if self.criterion != TRACED:
            return
        for i in range(self.columns.shape[0]):
            memmove(&self.columns[i, p], &self.columns[i, p] + 1, (self.n_left - p) * sizeof(double))
        self.columns[0, place] = self.counts[g]
        for i in range(self.d):
            self.columns[1 + i, place] = self.means[g, i]
            for j in range(i + 1):
                self.columns[n, place] = self.scatter[g, i, j]
                n += 1

    cdef void search(self, Py_ssize_t g) noexcept nogil:
        """The least loss of g and a later cluster."""
        cdef Py_ssize_t h
        cdef double least = INFINITY
        for h in range(g + 1, self.M):
            if self.alive[h] and self.loss[g, h] < least:
                least = self.loss[g, h]
        self.least[g], self.exact[g] = least, True

    cdef double cheapest(self) noexcept nogil:
        """The least loss of all; rows of losses that may hold it are searched again where their least has gone."""
        cdef Py_ssize_t g
        cdef double least
        cdef bint settled = False
        while not settled:
            least, settled = INFINITY, True
            for g in range(self.M):
                if self.alive[g] and self.least[g] < least:
                    least = self.least[g]
            for g in range(self.M):
                if self.alive[g] and not self.exact[g] and self.least[g] <= least + self.tie:
                    self.search(g)
                    settled = False
        return least

    cdef void merge(self, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
        """The rows of h go to g."""
        cdef Py_ssize_t i, j
        cdef double total = self.counts[g] + self.counts[h], share = self.counts[h] / total
        if self.criterion != SQUARES:
            self.join(g, h)
            for i in range(self.both.shape[0]):
                for j in range(self.both.shape[1]):
                    self.scatter[g, i, j] = self.both[i, j]
        for i in range(self.d):
            self.means[g, i] += share * (self.means[h, i] - self.means[g, i])
        self.counts[g] = total
        self.alive[h] = 0
        if self.criterion != SQUARES:
            self.costs[g] = self.cost(total, &self.scatter[g, 0, 0])
        self.leave(g, h)

    def run(self, Py_ssize_t n_clusters):
        """(M - n_clusters, 2) the clusters g < h that each step merges, as g; of equal losses the first is taken."""
        cdef Py_ssize_t g, h, k, p, place, step, n_steps = max(self.M - n_clusters, 0)
        cdef Py_ssize_t[:, ::1] steps = np.empty((n_steps, 2), np.intp)
        cdef double value, most
        with nogil:
            if self.criterion != SQUARES:
                for g in range(self.M):
                    self.costs[g] = self.cost(self.counts[g], &self.scatter[g, 0, 0])
            for g in range(self.M):
                with gil:
                    check()
                self.losses(g, g + 1, self.M)
                self.search(g)
            for step in range(n_steps):
                most = self.cheapest() + self.tie
                g = 0
                while not (self.alive[g] and self.least[g] <= most):
                    g += 1
                h = g + 1
                while not (self.alive[h] and self.loss[g, h] <= most):
                    h += 1
                steps[step, 0], steps[step, 1] = g, h
                self.merge(g, h)
                for k in range(h):  # what is no longer there may have been the least
                    if self.loss[k, h] <= self.least[k] or (k < g and self.loss[k, g] <= self.least[k]):
                        self.exact[k] = False
                place = self.place_of(g)
                self.losses(place, 0, self.n_left)
                for p in range(place):
                    k = self.left[p]
                    value = self.loss[k, g]
                    if value <= self.least[k]:
                        self.least[k], self.exact[k] = value, True
                self.search(g)
        return np.asarray(steps)


def mergers(counts, means, scatter, n_clusters, criterion, proportions=False, prior=0.0, tie=0.0):
    """(M - n_clusters, 2) the two of M clusters that each step merges, g < h; the union is g from then on.

    Parameters
    ----------
    counts : (M,)
    means : (M, d)
    scatter : (M, d, d) for "full" and "traced", (M, 1, d) for "diagonal", (M, 0, 0) for "squares"
        Sums of squares and products about the means.
    n_clusters : int
    criterion : {"squares", "diagonal", "full", "traced"}
        What rises least: the sum of squares about the means, or minus the log-likelihood of Gaussians. "traced": with
        log(|W / n| + (tr W + prior) / n) in place of log |W / n|, for clusters of n rows with scatter W, of which there
        may be few.
    proportions : bool
        Whether the likelihood counts the clusters' shares of the rows; not of "traced".
    prior : float
        Rows of unit covariance that are added to each cluster; of "traced" what is added to its trace.
    tie : float
        Mergers whose costs differ by less are equal: the first is taken.
    """
    code = {"squares": SQUARES, "diagonal": DIAGONAL, "full": FULL, "traced": TRACED}[criterion]
    return Tree(counts, means, scatter, code, proportions, prior, tie).run(n_clusters)


def agglomerate(counts, means, scatter, n_clusters, criterion, **settings):
    """(M,) the cluster of each of M leaves, numbered from 0 in the order of the leaves; see :func:`mergers`."""
    cdef Py_ssize_t M = len(counts), i, step, n = 0
    cdef const Py_ssize_t[:, ::1] steps = mergers(counts, means, scatter, n_clusters, criterion, **settings)
    labels = np.arange(M, dtype=np.intp)
    cdef Py_ssize_t[::1] into = labels
    for step in range(steps.shape[0]):
        for i in range(M):
            if into[i] == steps[step, 1]:
                into[i] = steps[step, 0]
    for i in range(M):  # a cluster bears the number of its first leaf
        if into[i] == i:
            into[i] = n
            n += 1
        else:
            into[i] = into[into[i]]
    return labels
