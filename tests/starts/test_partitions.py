"""Trees: what they must not depend on, and where they lead."""

import numpy as np
import pytest

from fastem.datasets import load_iris
from fastem.starts import merged_clusters, partitions
from fastem.starts.partitions import long_tree, round_tree


def same(labels, others):
    """Whether two arrays of labels are one partition."""
    return len({*zip(labels, others)}) == len({*labels}) == len({*others})


def crossing(seed, n=150):
    """Two long clusters that cross, and a round one."""
    rng = np.random.default_rng(seed)
    long, z = rng.normal(size=(n, 2)) * [3, 0.2], np.arange(n) % 3
    X = np.where(
        z[:, None] == 0, long, np.where(z[:, None] == 1, long[:, ::-1], [7, 7] + 0.5 * rng.normal(size=(n, 2)))
    )
    return X, z


@pytest.mark.parametrize("tree", [round_tree, long_tree])
def test_weights_are_repeated_rows(tree):
    X, _ = crossing(0)
    weight = np.random.default_rng(1).integers(1, 4, len(X))
    found = tree(X, weight.astype(float), range(2, 6))
    repeated = tree(np.repeat(X, weight, axis=0), np.ones(weight.sum()), range(2, 6))
    assert all(same(np.repeat(found[K], weight), repeated[K]) for K in range(2, 6))


@pytest.mark.parametrize("tree", [round_tree, long_tree])
@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_the_order_of_rows_and_units_do_not_matter(tree, unit):
    X, _ = crossing(2)
    order = np.random.default_rng(0).permutation(len(X))
    found = tree(X, np.ones(len(X)), range(2, 6))
    other = tree((X * [1, unit] + [unit, 1])[order], np.full(len(X), unit), range(2, 6))
    assert all(same(found[K][order], other[K]) for K in range(2, 6))


def test_fewer_leaves_where_rows_are_many(monkeypatch):
    X, _ = crossing(3, 600)
    monkeypatch.setattr(partitions, "LEAVES", 60)
    found = long_tree(X, np.ones(len(X)), [2, 3])
    assert [len(np.unique(found[K])) for K in (2, 3)] == [2, 3]


@pytest.mark.parametrize("seed", range(3))
def test_the_long_tree_keeps_crossing_clusters_whole(seed):
    X, z = crossing(seed, 300)
    labels = long_tree(X, np.ones(300), [3])[3]
    assert sum(np.bincount(z[labels == k]).max() for k in range(3)) > 0.85 * 300


@pytest.mark.parametrize("X", [np.ones((20, 2)), np.repeat([[0.0], [1.0]], 10, axis=0)])
def test_fewer_different_rows_than_clusters(X):
    labels = long_tree(X, np.ones(20), [3])[3]
    assert labels.shape == (20,) and same(labels, X[:, 0])


def test_it_is_the_tree_of_mclust():
    """``hclass(hc(iris[, 1:4], modelName = "VVV", use = "SVD"), 2:6)`` of mclust 6.0.0 has clusters of these sizes."""
    found = round_tree(load_iris().data, np.ones(150), range(2, 7))
    sizes = {K: sorted(np.bincount(labels).tolist()) for K, labels in found.items()}
    assert sizes == {
        2: [49, 101],
        3: [39, 49, 62],
        4: [16, 33, 39, 62],
        5: [16, 18, 33, 39, 44],
        6: [16, 17, 18, 22, 33, 44],
    }


@pytest.mark.parametrize("tree", [long_tree, round_tree])
def test_rows_of_no_weight_are_no_leaves(tree):
    X = np.random.default_rng(0).normal(size=(12, 2)) + 8 * (np.arange(12) % 2)[:, None]
    weight = np.ones(12)
    weight[[0, 3, 8]] = 0
    with np.errstate(all="raise"):
        labels, alone = tree(X, weight, [2])[2], tree(X[weight > 0], weight[weight > 0], [2])[2]
    assert np.array_equal(labels[weight > 0], alone) and len(np.unique(alone)) == 2


def test_rows_of_weight_zero_are_no_part_of_a_cluster():
    """Clusters of such rows alone have no mean."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        X, weight = rng.normal(size=(40, 6)), rng.uniform(0.01, 3, 40) * (np.arange(40) % 3 > 0)
        present = weight > 0
        with np.errstate(divide="raise", invalid="raise"):
            found = merged_clusters.partitions(X, weight, 8, np.random.default_rng(seed), 1)
            alone = merged_clusters.partitions(X[present], weight[present], 8, np.random.default_rng(seed), 1)
        for labels, others in zip(found, alone, strict=True):
            assert np.array_equal(labels[present], others)
