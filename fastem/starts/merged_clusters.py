"""Partitions of rows from many small k-means clusters, which are merged until there is one for each component.

k-means with as many clusters as components often puts two centres into one cluster and one between two others, and its
distances depend on the columns' scales. Many centres hit every cluster, a local metric makes clusters round whatever
columns say nothing about them, and each of several criteria finds another kind of clusters: Ward's those of equal size
and width, the likelihoods of Gaussians long or narrow ones, and with proportions small and far ones.

Art, Gnanadesikan, Kettenring: Data-based metrics for cluster analysis. Utilitas Mathematica 21A (1982) 75-99 (the
metric). Fraley: Algorithms for model-based Gaussian hierarchical clustering. SIAM J. Sci. Comput. 20 (1998) 270-281.
"""

from __future__ import annotations

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic, clusters
from fastem.models.gaussian.linear_algebra import eigh_of_even, product
from fastem.rows.scale import standardised
from fastem.starts.clusters import kmeans_labels, kmeans_plusplus, lloyd, sphered
from fastem.starts.partitions import LOSS_TIE, on_grid, uncorrelated

LEAVES_PER_CLUSTER, LEAST_LEAVES, MANY_LEAVES = 4, 20, 100  # k-means clusters: 4 K, but above 100 only 2 K more
ROWS_PER_LEAF = 4  # at least
METRIC_ROWS, METRIC_ROWS_PER_COLUMN, MOST_METRIC_ROWS = 600, 40, 1200  # among which each second looks for its neighbour
METRIC_ROUNDS = 2
SEED_ROWS, SEED_ROWS_PER_LEAF = 2000, 20  # among which the leaves' first centres are chosen
NARROWEST = 1e-3  # of the largest variance between neighbours: narrower directions are stretched as if they had this
ALIKE = 0.97  # of the larger of two clusters' weights, which they share
NEARLY = 0.99 * ALIKE  # beside rounding
PRIOR = 0.05  # rows of unit covariance that are added to each cluster
FULL_ROWS = 2  # times the columns: a leaf needs so many rows on average, for covariances
FULL_WORK = 3e8  # multiplications, above which a tree of covariances takes too long


def partitions(X, weight, n_components, rng, n_threads) -> list[np.ndarray]:
    """Labels (n,) by each criterion; partitions that are equal, once.

    Parameters
    ----------
    X : (n, d), without missing values
    weight : (n,)
        Rows of weight 0 have label 0.
    n_components : int
    rng : Generator
    n_threads : int
    """
    present = weight > 0
    if present.all():
        return partitions_of_weighted(X, weight, n_components, rng, n_threads)
    found = partitions_of_weighted(X[present], weight[present], n_components, rng, n_threads)
    return [spread(labels, present) for labels in found]


def spread(labels, present):
    """Labels of the rows that are present, and 0 for the others."""
    everywhere = np.zeros(len(present), labels.dtype)
    everywhere[present] = labels
    return everywhere


def partitions_of_weighted(X, weight, n_components, rng, n_threads) -> list[np.ndarray]:
    """The same for rows of positive weight."""
    K, n = n_components, len(X)
    if K == 1:
        return [np.zeros(n, np.intp)]
    most = K + min((LEAVES_PER_CLUSTER - 1) * K, max(MANY_LEAVES, K))
    n_leaves = min(max(most, LEAST_LEAVES), n // ROWS_PER_LEAF)
    if n_leaves <= K:
        return [kmeans_labels(X, weight, K, rng, n_threads)]
    weight = weight * (n / weight.sum())
    Z = local_metric(on_grid(uncorrelated(standardised(X, weight).astype(np.float64), weight)), weight, rng, n_threads)
    some = slice(None, None, max(1, n // max(SEED_ROWS, SEED_ROWS_PER_LEAF * n_leaves)))
    rows = np.ascontiguousarray(Z[some])
    seeds = kmeans_plusplus(rows, weight[some], n_leaves, rng, n_threads)
    leaves = without_gaps(lloyd(Z, weight, rows[seeds], n_threads))
    if leaves.max() < K:
        return [leaves]
    found = []
    for labels in merged(Z, weight, leaves, K, n_threads):
        labels = in_order(labels)
        if not any(np.array_equal(labels, others) for others in found):
            found.append(labels)
    return found


def merged_labels(X, weight, n_components, rng, n_threads):
    """The first of the partitions."""
    return partitions(X, weight, n_components, rng, n_threads)[0]


def merged(Z, weight, leaves, n_components, n_threads):
    """Labels (n,) by each criterion, from leaves (n,)."""
    (n, d), M = Z.shape, leaves.max() + 1
    whole = d > 1 and n >= FULL_ROWS * d * M and M * M * d**3 <= FULL_WORK
    counts, means, second = clusters.moments(Z, weight, leaves, M, whole)
    criterion = "full" if whole else "diagonal"
    for proportions in (True, False):
        settings = {"proportions": proportions, "prior": PRIOR, "tie": LOSS_TIE}
        yield kernels.agglomerate(counts, means, second, n_components, criterion, **settings)[leaves]
    of_leaf = kernels.agglomerate(counts, means, np.empty((M, 0, 0)), n_components, "squares", tie=LOSS_TIE)
    yield refined(Z, weight, of_leaf[leaves], n_components, n_threads)


def refined(Z, weight, labels, n_components, n_threads):
    """Labels after k-means in the metric of the clusters themselves, where their pooled covariance is a sphere."""
    for _ in range(METRIC_ROUNDS):
        _, means, _ = clusters.moments(Z, weight, labels, n_components, False)
        rest = (Z - means[labels]) * np.sqrt(weight)[:, None]
        Z = sphered(Z, product(rest.T, rest))
        _, means, _ = clusters.moments(Z, weight, labels, n_components, False)
        labels = lloyd(Z, weight, means, n_threads)
        if not np.bincount(labels, minlength=n_components).all():
            break
    return labels


def local_metric(Z, weight, rng, n_threads):
    """Rows (n, d) rotated and stretched so that near neighbours are equally far in all directions; contiguous.

    Neighbours are mostly of one cluster, so what they differ by shows the shape of the clusters.
    """
    n, most = len(Z), min(max(METRIC_ROWS, METRIC_ROWS_PER_COLUMN * Z.shape[1]), MOST_METRIC_ROWS)
    some = np.arange(n) if n <= most else np.sort(rng.choice(n, most, p=weight / n, replace=False))
    for _ in range(METRIC_ROUNDS):
        rows = np.ascontiguousarray(Z[some])
        half = np.ascontiguousarray(rows[:: 1 if n < most else 2])
        nearest = clusters.nearest(half, rows, n_threads, apart=True)  # no row is its own, nor is an equal one
        apart = (half - rows[nearest])[nearest >= 0]
        if not len(apart):
            break
        values, axes = eigh_of_even(product(apart.T, apart) / len(apart))
        Z = np.ascontiguousarray(arithmetic.matmul(Z, axes / np.sqrt(np.maximum(values, NARROWEST * values[-1]))))
    return Z


def without_gaps(labels):
    """The same clusters, numbered without gaps."""
    return (np.cumsum(np.bincount(labels) > 0, dtype=np.intp) - 1)[labels]


def in_order(labels):
    """The same clusters, numbered in the order in which they appear."""
    first = np.full(labels.max() + 1, len(labels))
    np.minimum.at(first, labels, np.arange(len(labels)))
    return np.argsort(np.argsort(first, kind="stable"))[labels]


class Unlike:
    """Partitions (n,) of rows into some clusters of which no two are :func:`alike`, in the order in which they came."""

    def __init__(self, weight, n_clusters, partitions=()):
        self.weight, self.n_clusters = weight, n_clusters
        self.partitions = list(partitions)
        self.sizes = np.array([self._sizes(labels) for labels in partitions]).reshape(-1, n_clusters)

    def add(self, labels):
        """These as well, unless they are alike others."""
        sizes = self._sizes(labels)
        may_be = (np.minimum(sizes, self.sizes) >= NEARLY * np.maximum(sizes, self.sizes)).all(axis=1)
        if not any(alike(labels, self.partitions[i], self.weight, self.n_clusters) for i in np.flatnonzero(may_be)):
            self.partitions.append(labels)
            self.sizes = np.vstack([self.sizes, sizes])

    def _sizes(self, labels):
        """(K,) the weights of the clusters, ascending: those of partitions that are alike are nearly equal."""
        return np.sort(np.bincount(labels, self.weight, minlength=self.n_clusters))


def alike(labels, others, weight, n_clusters) -> bool:
    """Whether two partitions are nearly the same: each cluster shares most of its weight with one of the others."""
    shared = np.bincount(labels * n_clusters + others, weight, minlength=n_clusters**2).reshape(n_clusters, n_clusters)
    shared = shared[shared.any(axis=1)]  # a cluster without rows has none to share
    larger = np.maximum(shared.sum(axis=1, keepdims=True), shared.sum(axis=0))
    return bool((shared.max(axis=1) >= ALIKE * larger[np.arange(len(shared)), shared.argmax(axis=1)]).all())
