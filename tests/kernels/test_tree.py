"""The compiled tree beside one that computes every merger anew."""

import numpy as np
import pytest

from fastem.kernels import tree_merges


def cost(counts, scatters, n_distinct, extra):
    """Of clusters, as the kernel's head states it."""
    d = scatters.shape[-1]
    shape = scatters / counts[:, None, None]
    determinant = np.where(n_distinct > d, np.linalg.det(shape), 0)
    return counts * np.log(determinant + np.trace(shape, axis1=1, axis2=2) + extra / counts)


def plain(Z, weight, extra, n_left):
    """The pairs that are merged; clusters are lists of rows."""
    clusters, pairs = {i: [i] for i in range(len(Z))}, []

    def cost_of(rows):
        w, z = weight[rows], Z[rows]
        rest = z - w @ z / w.sum()
        scatter = (w[:, None] * rest).T @ rest
        return cost(np.array([w.sum()]), scatter[None], len(rows), extra)[0]

    while len(clusters) > n_left:
        names = sorted(clusters)
        own = {g: cost_of(clusters[g]) for g in names}
        loss = {(g, h): cost_of(clusters[g] + clusters[h]) - own[g] - own[h] for g in names for h in names if g < h}
        g, h = min(loss, key=loss.get)
        pairs.append((g, h))
        clusters[g] += clusters.pop(h)
    return pairs


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_merges_what_costs_least(d, weighted):
    rng = np.random.default_rng(d)
    n = 24
    Z = rng.normal(size=(n, d)) + 4 * rng.integers(0, 2, (n, 1))
    weight = rng.uniform(0.5, 3, n) if weighted else np.ones(n)
    single = weight.copy(), Z.copy(), np.zeros((n, d * (d + 1) // 2)), np.ones(n, np.intp)
    pairs = tree_merges(*single, 0.3, 1e-12, 2)
    assert [tuple(pair) for pair in pairs] == plain(Z, weight, 0.3, 2)


def test_equal_losses_merge_the_first_pair():
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 0.0], [5.0, 1.0]])
    pairs = tree_merges(np.ones(4), corners, np.zeros((4, 3)), np.ones(4, np.intp), 1.0, 1e-9, 2)
    assert pairs.tolist() == [[0, 1], [2, 3]]


def test_nothing_is_merged_where_enough_are_left():
    assert tree_merges(np.ones(2), np.eye(2), np.zeros((2, 3)), np.ones(2, np.intp), 1.0, 1e-9, 2).shape == (0, 2)
