"""Partitions of rows with missing values that look at the complete rows alone.

Values that are filled in lie between the clusters, and partitions of all rows join these.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastem.kernels import clusters

ROWS_PER_VALUE = 10  # complete rows for each value of a cluster's mean, from which these are partitioned alone
LEAST_VARIANCE = 1e-3  # of a cluster, over that of the column


def partitions_of_complete(partition, X, weight, n_clusters, rng, n_threads) -> Iterator[np.ndarray]:
    """Labels (n,) that the complete rows have, and of the others that of the cluster which their values fit best.

    partition : function
        Of complete rows, as those of :mod:`fastem.starts.named`.
    """
    n, d = X.shape
    is_complete = ~np.isnan(X).any(axis=1)
    if is_complete.all() or is_complete.sum() < ROWS_PER_VALUE * n_clusters * d:
        return
    rows, of_rows = np.ascontiguousarray(X[is_complete]), weight[is_complete]
    spread = np.average((rows - np.average(rows, axis=0, weights=of_rows)) ** 2, axis=0, weights=of_rows)
    least = np.where(spread > 0, LEAST_VARIANCE * spread, 1)  # a column that does not vary says nothing
    for labels in partition(rows, of_rows, n_clusters, rng, n_threads):
        counts, means, squares = clusters.moments(rows, of_rows, labels, n_clusters, False)
        used = np.flatnonzero(counts)
        variances = np.maximum(squares[used, 0] / counts[used, None], least)
        cost = np.zeros((n, len(used)))
        for j in range(d):  # a missing value fits all clusters alike
            fit = (X[:, j, None] - means[used, j]) ** 2 / variances[:, j] + np.log(variances[:, j])
            cost += np.where(np.isnan(fit), 0, fit)
        everywhere = used[cost.argmin(axis=1)]
        everywhere[is_complete] = labels
        yield everywhere
