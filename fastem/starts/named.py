"""The starts that have names: functions ``f(X, weight, n_components, rng, n_threads)`` that return a membership of each
row, labels (n,) or responsibilities (n, K)."""

from __future__ import annotations

from fastem.starts.clusters import (
    kmeans_labels,
    random_memberships,
    row_labels,
    row_partitions,
    seed_labels,
    tree_labels,
    whitened_labels,
)
from fastem.starts.merged_clusters import merged_labels, partitions

MERGED, EMEM, ROWS = "merged", "emem", "random_from_data"
MEMBERSHIPS = {
    MERGED: merged_labels,
    "kmeans": kmeans_labels,
    "whitened": whitened_labels,
    "hierarchical": tree_labels,
    "k-means++": seed_labels,
    "random": random_memberships,
    ROWS: row_labels,
}
START_NAMES = (EMEM, *MEMBERSHIPS)  # "emem": the best of short runs from those that suit the family
PARTITIONS = {  # of these a choice of starts takes each partition that is unlike the others
    MERGED: partitions,
    "kmeans": lambda *given: [kmeans_labels(*given)],
    ROWS: row_partitions,
}
