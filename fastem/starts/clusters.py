"""Partitions of rows by k-means, seeds, random rows and trees: the memberships that EM starts from.

Seeds and clusters are found in columns divided by their standard deviations, so that a start, like the mixture, does
not depend on units. Distances come from the compiled pass.
"""

from __future__ import annotations

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.models.gaussian.linear_algebra import eigh_of_even
from fastem.rows.scale import standardised
from fastem.starts.partitions import long_tree

LLOYD_STEPS = 5
SHARP = 1e3  # one over the radius of the spheres that stand for clusters, in standard deviations of the columns
SETTLED = 1e-3  # k-means stops when no centre moves further, in standard deviations
WHITENINGS = 3
TREE_ROWS = 2000
SEED_TIE = 1e-12  # relative difference of merits of seeds that rounding makes, by threads and kernels of BLAS
NARROWEST = 1e-6  # of the largest within-cluster variance: narrower directions are stretched as if they had this one


def round_clusters(Z, centres, sharpness):
    """A compiled mixture of equal spheres in which a row's log-density falls with sharpness^2 times the square of its
    distance from a centre: its one part and the centre of the rows."""
    K, d = centres.shape
    scale = np.full(centres.size, sharpness, Z.dtype)
    flat = np.ascontiguousarray(centres, Z.dtype).ravel()
    params = {"constant": np.zeros(K, Z.dtype), "scale": scale, "offset": -scale * flat, "mean": flat}
    return (kernels.for_dtype(Z.dtype).Part("gaussian_diagonal", d, K, params),), np.zeros(d, Z.dtype)


def scores(Z, centres, n_threads, **outputs):
    """Fill `joint` with minus the squared distances (n, K) or `labels` with the nearest centre (n,)."""
    parts, origin = round_clusters(Z, centres, 1)
    kernels.for_dtype(Z.dtype).score(parts, Z, origin, len(centres), n_threads, **outputs)


def kmeans_plusplus(Z, weight, n_components, rng, n_threads=1):
    """Indices of K rows, each the best of a few drawn in proportion to their squared distance from those before.

    Arthur, Vassilvitskii: k-means++: the advantages of careful seeding. SODA 2007; greedy as in their implementation.
    """
    n_candidates = 2 + int(arithmetic.log(n_components))
    chosen = [int(rng.choice(len(Z), p=weight / weight.sum()))]
    nearest = np.empty((len(Z), 1), Z.dtype)  # minus the squared distance to the nearest seed
    scores(Z, Z[chosen], n_threads, joint=nearest)
    while len(chosen) < n_components:
        cumulative = np.cumsum(weight * -nearest[:, 0])
        if not cumulative[-1] > 0:  # every row of the subsample is a seed already: take any row
            chosen.append(int(rng.integers(len(Z))))
            continue
        candidates = np.searchsorted(cumulative, rng.random(n_candidates) * cumulative[-1], side="right")
        candidates = np.minimum(candidates, len(Z) - 1)
        joint = np.empty((len(Z), n_candidates), Z.dtype)
        scores(Z, Z[candidates], n_threads, joint=joint)
        joint = np.maximum(joint, nearest)
        potential = arithmetic.matmul(weight, joint)
        tied = potential >= potential.max() + SEED_TIE * potential.min()  # they are not positive
        chosen.append(int(candidates[tied.argmax()]))
        nearest = np.ascontiguousarray(joint[:, [tied.argmax()]])
    return np.array(chosen)


def lloyd(Z, weight, centres, n_threads=1):
    """Labels after a few steps of k-means; a cluster without rows keeps its centre.

    k-means is EM with equal spheres so narrow that a row belongs to one of them.
    """
    module, K = kernels.for_dtype(Z.dtype), len(centres)
    for _ in range(LLOYD_STEPS):
        parts, origin = round_clusters(Z, centres, SHARP)
        sums, _, _ = module.expect(parts, Z, weight, origin, K, n_threads)
        (named,) = module.named_sums(parts, sums)
        first, counts = named["first"], named["counts"][:, None]
        shift = np.where(counts > 0, first / np.where(counts > 0, counts, 1), 0)
        centres = (centres + shift).astype(Z.dtype)
        if np.abs(shift).max() < SETTLED:
            break
    return nearest(Z, centres, n_threads)


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


def random_memberships(X, weight, n_components, rng, n_threads):
    """Random responsibilities."""
    membership = rng.random((len(X), n_components))
    return membership / membership.sum(axis=1, keepdims=True)


def nearest(Z, centres, n_threads):
    """The nearest centre of each row."""
    labels = np.empty(len(Z), np.intp)
    scores(Z, centres, n_threads, labels=labels)
    return labels


def random_rows(X, n_components, rng):
    """Random rows, all different where so many are, because EM never separates equal components."""
    rows = X[rng.choice(len(X), n_components, replace=False)]
    if len(np.unique(rows, axis=0)) < n_components:
        distinct = rng.permutation(np.unique(X, axis=0))
        rows = distinct[np.arange(n_components) % len(distinct)]
    return rows
