# cython: language_level=3
"""Clusters merged pair by pair, so that a criterion of the whole partition suffers least."""

import numpy as np

from libc.math cimport INFINITY, log

from fastem.kernels.workers import check


cdef enum Criterion:
    SQUARES = 0  # the sum of squares about the means (Ward)
    DIAGONAL = 1  # the log-likelihood of Gaussians whose covariances are diagonal
    FULL = 2  # or full


cdef double log_det(double[:, ::1] matrix, Py_ssize_t d) noexcept nogil:
    """Of a positive definite matrix, whose lower triangle is overwritten by its Cholesky factor."""
    cdef Py_ssize_t i, j, m
    cdef double pivot, value, total = 0
    for j in range(d):
        pivot = matrix[j, j]
        for m in range(j):
            pivot = pivot - matrix[j, m] * matrix[j, m]
        if not pivot > 0:
            return -INFINITY
        total += log(pivot)
        for i in range(j + 1, d):
            value = matrix[i, j]
            for m in range(j):
                value = value - matrix[i, m] * matrix[j, m]
            matrix[i, j] = value / pivot ** 0.5
        matrix[j, j] = pivot ** 0.5
    return total


cdef class Tree:
    """Clusters with their moments, and what each merger would cost."""

    cdef double[::1] counts
    cdef double[:, ::1] means
    cdef double[:, :, ::1] scatter
    cdef double[::1] costs, least
    cdef double[:, ::1] loss
    cdef double[:, ::1] work, both
    cdef Py_ssize_t[::1] partner
    cdef char[::1] alive
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
        self.partner = np.zeros(self.M, np.intp)
        self.alive = np.ones(self.M, np.int8)

    cdef double cost(self, double count, double[:, ::1] scatter) noexcept nogil:
        """Minus twice the log-likelihood of a cluster, without what all partitions share."""
        cdef Py_ssize_t i, j
        cdef double total = 0, rows = count + self.prior
        if self.criterion == FULL:
            for i in range(self.d):
                for j in range(i + 1):
                    self.work[i, j] = scatter[i, j] / rows
                self.work[i, i] = (scatter[i, i] + self.prior) / rows
            total = log_det(self.work, self.d)
        else:
            for i in range(self.d):
                total += log((scatter[0, i] + self.prior) / rows)
        total = count * total
        if self.proportions:
            total -= 2 * count * log(count)
        return total

    cdef void join(self, Py_ssize_t g, Py_ssize_t h) noexcept nogil:
        """The scatter of two clusters together, in `both`."""
        cdef Py_ssize_t i, j
        cdef double share = self.counts[g] * self.counts[h] / (self.counts[g] + self.counts[h]), apart
        if self.criterion == FULL:
            for i in range(self.d):
                apart = share * (self.means[h, i] - self.means[g, i])
                for j in range(i + 1):
                    self.both[i, j] = (
                        self.scatter[g, i, j] + self.scatter[h, i, j] + apart * (self.means[h, j] - self.means[g, j])
                    )
        else:
            for i in range(self.d):
                apart = self.means[h, i] - self.means[g, i]
                self.both[0, i] = self.scatter[g, 0, i] + self.scatter[h, 0, i] + share * apart * apart

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
        return self.cost(self.counts[g] + self.counts[h], self.both) - self.costs[g] - self.costs[h]

    cdef void search(self, Py_ssize_t g) noexcept nogil:
        """The best later partner of g: the first of those that rounding may have put before."""
        cdef Py_ssize_t h
        cdef double least = INFINITY
        for h in range(g + 1, self.M):
            if self.alive[h] and self.loss[g, h] < least:
                least = self.loss[g, h]
        self.least[g] = least
        for h in range(g + 1, self.M):
            if self.alive[h] and self.loss[g, h] <= least + self.tie:
                self.partner[g] = h
                return

    cdef Py_ssize_t best(self) noexcept nogil:
        """The first cluster whose best merger is the cheapest of all."""
        cdef Py_ssize_t g
        cdef double least = INFINITY
        for g in range(self.M):
            if self.alive[g] and self.least[g] < least:
                least = self.least[g]
        for g in range(self.M):
            if self.alive[g] and self.least[g] <= least + self.tie:
                return g
        return 0

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
            self.costs[g] = self.cost(total, self.scatter[g])

    def run(self, Py_ssize_t n_clusters):
        """(M,) the cluster of each leaf."""
        cdef Py_ssize_t g, h, k, left = self.M
        cdef Py_ssize_t[::1] label = np.arange(self.M)
        cdef double value
        with nogil:
            if self.criterion != SQUARES:
                for g in range(self.M):
                    self.costs[g] = self.cost(self.counts[g], self.scatter[g])
            for g in range(self.M):
                with gil:
                    check()
                for h in range(g + 1, self.M):
                    self.loss[g, h] = self.merger(g, h)
                self.search(g)
            while left > n_clusters:
                g = self.best()
                h = self.partner[g]
                self.merge(g, h)
                left -= 1
                for k in range(self.M):
                    if label[k] == h:
                        label[k] = g
                    if not self.alive[k] or k == g:
                        continue
                    value = self.merger(min(g, k), max(g, k))
                    self.loss[min(g, k), max(g, k)] = value
                    if k < h and (self.partner[k] == h or self.partner[k] == g or value <= self.least[k] + self.tie):
                        self.search(k)
                self.search(g)
        return np.asarray(label)


def agglomerate(counts, means, scatter, n_clusters, criterion, proportions=False, prior=0.0, tie=0.0):
    """(M,) the cluster of each of M leaves, numbered from 0 in the order of the leaves.

    Parameters
    ----------
    counts : (M,)
    means : (M, d)
    scatter : (M, d, d) for "full", (M, 1, d) for "diagonal", (M, 0, 0) for "squares"
        Sums of squares and products about the means.
    n_clusters : int
    criterion : {"squares", "diagonal", "full"}
        What rises least: the sum of squares about the means, or minus the log-likelihood of Gaussians.
    proportions : bool
        Whether the likelihood counts the clusters' shares of the rows.
    prior : float
        Rows of unit covariance that are added to each cluster.
    tie : float
        Mergers whose costs differ by less are equal: the first is taken.
    """
    code = {"squares": SQUARES, "diagonal": DIAGONAL, "full": FULL}[criterion]
    tree = Tree(counts, means, scatter, code, proportions, prior, tie)
    return np.unique(tree.run(n_clusters), return_inverse=True)[1]
