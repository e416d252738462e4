"""Partitions from which mixtures start: trees over some of the rows, for any K, and splits of a fitted mixture.

Ward's two trees use Euclidean distances, in columns of equal deviations and in uncorrelated columns. The third tree
merges small clusters so that the likelihood of Gaussians, each with its own covariance, falls least.

C. Fraley: Algorithms for model-based Gaussian hierarchical clustering. SIAM J. Sci. Comput. 20 (1998) 270-281.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels.workers import check
from fastem.models.gaussian.linear_algebra import eigh, product
from fastem.rows.scale import standardised

LEAVES = 80  # clusters with which the model-based tree begins,
LEAF_VALUES = 2400  # or fewer, so that leaves times columns are at most this
GRID = 2.0**-30  # standard deviations to which a tree rounds its rows
LOSS_TIE = 1e-9  # log-likelihood; losses that differ by less are equal
PRIOR = 0.05  # rows with the covariance of all rows that are added to the scatter of each cluster


def trees(X, weight, numbers) -> dict[int, list[np.ndarray]]:
    """For each number of clusters the labels (n,) that each tree gives the rows (n, d)."""
    from scipy.cluster.hierarchy import fcluster, linkage  # here, because it takes long to import

    Z = on_grid(standardised(X, weight).astype(np.float64))
    white = on_grid(uncorrelated(Z, weight))
    numbers = [K for K in numbers if 1 < K <= len(X)]
    partitions: dict[int, list[np.ndarray]] = {K: [] for K in numbers}
    if not numbers:
        return partitions
    for space in (Z, white):
        check()
        merges = linkage(space, "ward")
        for K in numbers:
            partitions[K].append(fcluster(merges, K, "maxclust") - 1)
    n_leaves = min(len(X), max(2 * max(numbers), min(LEAVES, LEAF_VALUES // white.shape[1])))
    leaves = np.unique(fcluster(merges, n_leaves, "maxclust"), return_inverse=True)[1]
    for K, labels in model_based(white, weight, leaves, numbers).items():
        partitions[K].append(labels)
    return partitions


def on_grid(Z):
    """Rows rounded, so that equal distances are equal to the last bit.

    Measured values make many equal distances. Which of them a tree merges first must not depend on the columns' units,
    nor on the kernels that BLAS picks for the CPU.
    """
    return np.round(Z / GRID) * GRID


def uncorrelated(Z, weight):
    """Rows (n, d) about their mean, in directions of unit variance; those in which they do not vary are left out."""
    centred = Z - weight @ Z / weight.sum()
    covariance = product((weight[:, None] * centred).T, centred) / weight.sum()
    variances, axes = eigh(covariance)
    varying = variances > 1e-10 * max(variances[-1], np.finfo(float).tiny)
    if not varying.any():
        return centred
    return product(centred, axes[:, varying] / np.sqrt(variances[varying]))


def model_based(Z, weight, leaves, numbers) -> dict[int, np.ndarray]:
    """Labels (n,) for each number of clusters, from leaves (n,) that are merged pair by pair."""
    d = Z.shape[1]
    labels, n = leaves.copy(), leaves.max() + 1
    counts = np.bincount(leaves, weight, minlength=n)
    means = np.array([np.bincount(leaves, weight * column, minlength=n) for column in Z.T]).T / counts[:, None]
    rest = Z - means[leaves]
    scatter = np.array([(weight[of_g, None] * rest[of_g]).T @ rest[of_g] for of_g in (leaves == g for g in range(n))])

    def costs(counts, scatter):
        covariances = (scatter + PRIOR * np.eye(d)) / (counts[..., None, None] + PRIOR)
        return counts * np.linalg.slogdet(covariances)[1]

    def merge_with(g, others):
        """Counts, means and scatters of cluster g with each of some others."""
        both = counts[g] + counts[others]
        apart = means[others] - means[g]
        between = (counts[g] * counts[others] / both)[:, None, None] * apart[:, :, None] * apart[:, None, :]
        mean = means[g] + (counts[others] / both)[:, None] * apart
        return both, mean, scatter[g] + scatter[others] + between

    cost = costs(counts, scatter)
    loss = np.full((n, n), np.inf)  # of merging g with a later h
    for g in range(n - 1):
        others = np.arange(g + 1, n)
        both, _, joint = merge_with(g, others)
        loss[g, others] = costs(both, joint) - cost[g] - cost[others]
    alive, partitions = np.ones(n, bool), {}
    for left in range(n, 0, -1):
        check()
        if left in numbers:
            partitions[left] = np.unique(labels, return_inverse=True)[1]
        if left == 1 or left <= min(numbers):
            break
        g, h = np.unravel_index((loss <= loss.min() + LOSS_TIE).argmax(), loss.shape)
        both, mean, joint = merge_with(g, np.array([h]))
        counts[g], means[g], scatter[g] = both[0], mean[0], joint[0]
        cost[g] = costs(counts[g : g + 1], scatter[g : g + 1])[0]
        labels[labels == h] = g
        alive[h] = False
        loss[h], loss[:, h] = np.inf, np.inf
        others = np.flatnonzero(alive & (np.arange(n) != g))
        if len(others):
            both, _, joint = merge_with(g, others)
            change = costs(both, joint) - cost[g] - cost[others]
            loss[np.minimum(g, others), np.maximum(g, others)] = change
    return {K: partitions.get(K, leaves) for K in numbers}


def splits(Z, weight, responsibilities) -> list[np.ndarray]:
    """Responsibilities (n, K + 1) in which one component is split across the longest axis of its rows; one array for
    each component that has rows to split."""
    candidates = []
    for k in range(responsibilities.shape[1]):
        share = weight * responsibilities[:, k]
        if not share.sum() > 0:
            continue
        centred = Z - share @ Z / share.sum()
        axis = eigh(product((share[:, None] * centred).T, centred))[1][:, -1]
        above = centred @ axis > 0
        halves = np.column_stack([responsibilities, np.where(above, responsibilities[:, k], 0)])
        halves[above, k] = 0
        if share[above].sum() > 0 and share[~above].sum() > 0:
            candidates.append(halves)
    return candidates
