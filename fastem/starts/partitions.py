"""Partitions from which mixtures start: trees over some of the rows, for any K, and splits of a fitted mixture.

Two trees merge clusters so that the likelihood of Gaussians, each with its own covariance, falls least. A cluster of
few rows has a determinant near 0, so a trace is added. It rules where the rows' unit is small, and favours round
clusters, as in mclust; where the unit is large, the determinant rules, and long clusters stay whole.

C. Fraley: Algorithms for model-based Gaussian hierarchical clustering. SIAM J. Sci. Comput. 20 (1998) 270-281.
L. Scrucca, A. E. Raftery: Improved initialisation of model-based clustering using Gaussian hierarchical partitions.
Advances in Data Analysis and Classification 9 (2015) 447-460, for its coordinates.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic, clusters, mergers
from fastem.kernels.workers import check
from fastem.models.gaussian.linear_algebra import eigh, product

LEAVES = 2000  # clusters at most with which the model-based tree begins: single rows, unless there are more,
TREE_WORK = 2e9  # or unless leaves^2 columns^3 are more; Ward's clusters then
ROUND = 0.25  # power of the variances by which mclust divides principal axes, and of 1 / rows
LONG = 0.5, 10.0  # power, and deviations along the axes then
GRID = 2.0**-30  # standard deviations to which a tree rounds its rows
LOSS_TIE = 1e-9  # log-likelihood; losses that differ by less are equal


def trees(X, weight, numbers) -> dict[int, list[np.ndarray]]:
    """For each number of clusters the labels (n,) that each tree gives the rows (n, d), mclust's first."""
    by_tree = round_tree(X, weight, numbers), long_tree(X, weight, numbers)
    return {K: [labels[K] for labels in by_tree] for K in numbers if 1 < K <= len(X)}


def ward(Z, numbers) -> dict[int, np.ndarray]:
    """Labels (n,) for each number of clusters, from Ward's tree."""
    from scipy.cluster.hierarchy import fcluster, linkage  # here, because it takes long to import

    numbers = [K for K in numbers if 1 < K <= len(Z)]
    if not numbers:
        return {}
    check()
    merges = linkage(Z, "ward")
    return {K: fcluster(merges, K, "maxclust") - 1 for K in numbers}


def on_grid(Z):
    """Rows rounded, so that equal distances are equal to the last bit.

    Measured values make many equal distances. Which of them a tree merges first must not depend on the columns' units,
    nor on the kernels that BLAS picks for the CPU.
    """
    return np.round(Z / GRID) * GRID


def uncorrelated(Z, weight, power=0.5):
    """Rows (n, d) about their mean along their principal axes, divided by powers of the variances there: 1/2, to unit
    variance. Directions in which they do not vary are left out."""
    centred = Z - arithmetic.matmul(weight, Z) / weight.sum()
    covariance = product((weight[:, None] * centred).T, centred) / weight.sum()
    variances, axes = eigh(covariance)
    varying = variances > 1e-10 * max(variances[-1], np.finfo(float).tiny)
    if not varying.any():
        return centred
    return product(centred, axes[:, varying] / arithmetic.power(variances[varying], power))


def round_tree(X, weight, numbers) -> dict[int, np.ndarray]:
    """Labels (n,) for each number of clusters, from mclust's tree: its coordinates lie between columns of equal
    deviations and uncorrelated ones."""
    return model_based(X, weight, numbers, ROUND, lambda n: arithmetic.power(n, -ROUND))


def long_tree(X, weight, numbers) -> dict[int, np.ndarray]:
    """Labels (n,) for each number of clusters, from the tree in uncorrelated columns."""
    return model_based(X, weight, numbers, LONG[0], lambda n: LONG[1])


def model_based(X, weight, numbers, power, unit) -> dict[int, np.ndarray]:
    """Labels (n,) for each number of clusters, from the tree of Gaussians with covariances of their own.

    Principal axes are divided by this power of their variances, and multiplied by unit(number of rows). Rows that are
    equal are one leaf. Rows of no weight are none: they are put into the first cluster, where nothing counts them.
    """
    seen = weight > 0
    if not seen.all():
        of_seen = model_based(X[seen], weight[seen], numbers, power, unit)
        return {K: np.where(seen, labels[np.cumsum(seen) - 1], 0) for K, labels in of_seen.items()}
    numbers = [K for K in numbers if 1 < K <= len(X)]
    if not numbers:
        return {}
    centred = X - arithmetic.matmul(weight, X) / weight.sum()
    deviation = np.sqrt(arithmetic.matmul(weight, centred**2) / weight.sum())
    Z = (X / np.where(deviation > 0, deviation, 1)).astype(np.float64)
    Z = on_grid(uncorrelated(Z, weight, power))
    Z, leaf = np.unique(Z, axis=0, return_inverse=True)
    leaf = leaf.reshape(len(X))
    weight = np.bincount(leaf, weight)
    weight = weight / np.median(weight)  # in rows, whatever their unit
    most = int(max(2 * max(numbers), min(LEAVES, np.sqrt(TREE_WORK / Z.shape[1] ** 3))))
    if len(Z) > most:
        coarser = np.unique(ward(on_grid(uncorrelated(Z, weight)), [most])[most], return_inverse=True)[1]
    else:
        coarser = np.arange(len(Z))
    partitions = cut(Z * unit(weight.sum()), weight, coarser, numbers)
    return {K: labels[leaf] for K, labels in partitions.items()}


def cut(Z, weight, leaves, numbers) -> dict[int, np.ndarray]:
    """Labels (n,) for each number of clusters, from leaves (n,) that are merged pair by pair."""
    n, d = leaves.max() + 1, Z.shape[1]
    counts, means, scatters = clusters.moments(Z, weight, leaves, n, True)
    spread = arithmetic.matmul(weight, (Z - arithmetic.matmul(weight, Z) / weight.sum()) ** 2)
    check()
    extra = spread.sum() / (weight.sum() * d)  # of a cluster's trace: as much as a row of all clusters together has
    if not extra > 0:
        return {K: leaves for K in numbers}
    pairs = mergers(counts, means, scatters, min(numbers), "traced", prior=extra, tie=LOSS_TIE)
    return {K: np.unique(merged(pairs[: max(n - K, 0)], n)[leaves], return_inverse=True)[1] for K in numbers}


def merged(pairs, n):
    """(n,) the cluster of each of n leaves, named by its first, after mergers of pairs."""
    into = np.arange(n)
    into[pairs[:, 1]] = pairs[:, 0]  # each is merged into another one once
    while (into[into] != into).any():
        into = into[into]
    return into


def splits(Z, weight, responsibilities) -> list[tuple[int, np.ndarray]]:
    """Each component that has rows to split, across the longest axis of its rows, and the responsibilities (n, K + 1)
    then: those of the component and of the new one, which is the last, are changed."""
    candidates = []
    for k in range(responsibilities.shape[1]):
        share = weight * responsibilities[:, k]
        if not share.sum() > 0:
            continue
        centred = Z - arithmetic.matmul(share, Z) / share.sum()
        axis = eigh(product((share[:, None] * centred).T, centred))[1][:, -1]
        above = arithmetic.matmul(centred, axis) > 0
        halves = np.column_stack([responsibilities, np.where(above, responsibilities[:, k], 0)])
        halves[above, k] = 0
        if share[above].sum() > 0 and share[~above].sum() > 0:
            candidates.append((k, halves))
    return candidates
