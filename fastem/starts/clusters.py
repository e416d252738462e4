"""Partitions of rows by k-means, seeds, random rows and trees: the memberships that EM starts from.

Seeds and clusters are found in columns divided by their standard deviations, so that a start, like the mixture, does
not depend on units. Distances come from the compiled pass.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic, clusters
from fastem.models.gaussian.linear_algebra import eigh_of_even
from fastem.rows.scale import standardised
from fastem.starts.partitions import long_tree, on_grid

LLOYD_STEPS = 5
SHARP = 1e3  # one over the radius of the spheres that stand for clusters, in standard deviations of the columns
SETTLED = 1e-3  # k-means stops when no centre moves further, in standard deviations
WHITENINGS = 3
ROW_PARTITIONS = 24  # over K: by random rows, of which most of few components are unlike, and lead elsewhere
TREE_ROWS = 2000
SEED_TIE = 1e-12  # relative difference of merits of seeds that rounding makes, by threads and kernels of BLAS
NARROWEST = 1e-6  # of the largest within-cluster variance: narrower directions are stretched as if they had this one


def kmeans_plusplus(Z, weight, n_components, rng, n_threads=1):
    """Indices of K rows, each the best of a few drawn in proportion to their squared distance from those before.

    Arthur, Vassilvitskii: k-means++: the advantages of careful seeding. SODA 2007; greedy as in their implementation.
    """
    n_candidates = 2 + int(arithmetic.log(n_components))
    first = int(rng.choice(len(Z), p=weight / weight.sum()))
    drawn = rng.random((n_components - 1, n_candidates))
    chosen = clusters.seeds(np.ascontiguousarray(Z), weight, first, drawn, SEED_TIE, n_threads)
    missing = n_components - len(chosen)  # every row of the subsample is a seed already: take any row
    return np.concatenate([chosen, rng.integers(len(Z), size=missing)]) if missing else chosen


def lloyd(Z, weight, centres, n_threads=1):
    """Labels after a few steps of k-means; a cluster without rows keeps its centre."""
    Z, centres = np.ascontiguousarray(Z), np.ascontiguousarray(centres, Z.dtype)
    return clusters.lloyd(Z, weight, centres, LLOYD_STEPS, SHARP, SETTLED, n_threads)


def kmeans_labels(X, weight, n_components, rng, n_threads):
    """Clusters of a few k-means steps from k-means++ seeds, in standardised columns."""
    Z = standardised(X, weight)
    seeds = kmeans_plusplus(Z, weight, n_components, rng, n_threads)
    return lloyd(Z, weight, Z[seeds], n_threads)


def whitened_labels(X, weight, n_components, rng, n_threads):
    """k-means in coordinates where the clusters' pooled covariance is a sphere, so that long clusters are not split.

    Each round takes that covariance from the clusters of the round before.

    Art, Gnanadesikan, Kettenring: Data-based metrics for cluster analysis. Utilitas Mathematica 21A (1982) 75-99.
    """
    Z = standardised(X, weight)
    labels = np.zeros(len(Z), np.intp)
    for _ in range(WHITENINGS):
        within = sum(scatter(Z[labels == k], weight[labels == k]) for k in np.unique(labels))
        Y = sphered(Z, within)
        labels = lloyd(Y, weight, Y[kmeans_plusplus(Y, weight, n_components, rng, n_threads)], n_threads)
    return labels


def scatter(Z, weight):
    """(d, d) weighted sum of squares about the mean."""
    rows = np.ascontiguousarray(Z, np.float64)
    centred = rows - arithmetic.matmul(weight, rows) / max(weight.sum(), np.finfo(float).tiny)
    return arithmetic.matmul((centred * weight[:, None]).T, centred)


def sphered(Z, within):
    """Rows rotated and stretched so that this scatter becomes a sphere; contiguous.

    Narrow directions are widened, so the digits of small eigenvalues do not matter, for which Jacobi's method takes
    15 s in 784 columns.
    """
    values, vectors = eigh_of_even(within)
    root = vectors / np.sqrt(np.maximum(values / max(values[-1], np.finfo(float).tiny), NARROWEST))
    return np.ascontiguousarray((arithmetic.matmul(Z, root)).astype(Z.dtype))


def tree_labels(X, weight, n_components, rng, n_threads):
    """Clusters of the model-based tree over some of the rows; each other row joins the nearest of these.

    Weights do not decide which rows the tree is made of.
    """
    if n_components == 1:
        return np.zeros(len(X), np.intp)
    some = np.arange(len(X))
    if len(X) > TREE_ROWS:
        some = np.sort(rng.choice(len(X), TREE_ROWS, replace=False))
    labels = long_tree(X[some], weight[some], [n_components])[n_components]
    if len(some) == len(X):
        return labels
    Z = standardised(X, weight)
    return labels[nearest(Z, Z[some], n_threads)]


def seed_labels(X, weight, n_components, rng, n_threads):
    """The nearest k-means++ seed of each row."""
    Z = standardised(X, weight)
    return nearest(Z, Z[kmeans_plusplus(Z, weight, n_components, rng, n_threads)], n_threads)


def row_labels(X, weight, n_components, rng, n_threads):
    """The nearest of K random rows, for each row."""
    Z = standardised(X, weight)
    return nearest(Z, random_rows(Z, n_components, rng), n_threads)


def row_partitions(X, weight, n_components, rng, n_threads):
    """Labels by the nearest of K random rows, some times, but for those that leave one without any."""
    if n_components == 1:
        return []
    Z = on_grid(standardised(X, weight))
    several = (nearest(Z, random_rows(Z, n_components, rng), n_threads) for _ in range(ROW_PARTITIONS // n_components))
    return [labels for labels in several if np.bincount(labels, weight, n_components).all()]


def random_memberships(X, weight, n_components, rng, n_threads):
    """Random responsibilities."""
    membership = rng.random((len(X), n_components))
    return membership / membership.sum(axis=1, keepdims=True)


def nearest(Z, centres, n_threads):
    """The nearest centre of each row."""
    return clusters.nearest(np.ascontiguousarray(Z), np.ascontiguousarray(centres, Z.dtype), n_threads)


def random_rows(X, n_components, rng):
    """Random rows, all different where so many are, because EM never separates equal components."""
    rows = X[rng.choice(len(X), n_components, replace=False)]
    if len({row.tobytes() for row in rows + 0.0}) < n_components:  # with one sign of zero
        distinct = rng.permutation(np.unique(X, axis=0))
        rows = distinct[np.arange(n_components) % len(distinct)]
    return rows
