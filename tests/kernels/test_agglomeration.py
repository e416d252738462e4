"""The compiled trees beside one that computes every merger anew."""

import numpy as np
import pytest

from fastem.kernels import agglomerate, mergers

CRITERIA = {  # of a cluster: what it costs, from its weight, its scatter and what is added
    "squares": lambda n, scatter, prior: np.trace(scatter),
    "diagonal": lambda n, scatter, prior: n * np.log((np.diag(scatter) + prior) / (n + prior)).sum(),
    "full": lambda n, scatter, prior: n * np.linalg.slogdet((scatter + prior * np.eye(len(scatter))) / (n + prior))[1],
    "traced": lambda n, scatter, prior: (
        n * np.log(np.linalg.det(scatter / n) * (n_distinct(scatter) > 0) + (np.trace(scatter) + prior) / n)
    ),
}


def n_distinct(scatter):
    """Directions in which a cluster varies, if all."""
    return np.linalg.matrix_rank(scatter) == len(scatter)


def plain(Z, weight, criterion, prior, n_left):
    """The pairs that are merged; clusters are lists of rows."""
    clusters, pairs = {i: [i] for i in range(len(Z))}, []

    def cost(rows):
        w, z = weight[rows], Z[rows]
        rest = z - w @ z / w.sum()
        return CRITERIA[criterion](w.sum(), (w[:, None] * rest).T @ rest, prior)

    while len(clusters) > n_left:
        names = sorted(clusters)
        own = {g: cost(clusters[g]) for g in names}
        loss = {(g, h): cost(clusters[g] + clusters[h]) - own[g] - own[h] for g in names for h in names if g < h}
        g, h = min(loss, key=loss.get)
        pairs.append((g, h))
        clusters[g] += clusters.pop(h)
    return pairs


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("d", [1, 2, 4])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_merges_what_costs_least(criterion, d, weighted):
    rng = np.random.default_rng(d)
    n = 24
    Z = rng.normal(size=(n, d)) + 4 * rng.integers(0, 2, (n, 1))
    weight = rng.uniform(0.5, 3, n) if weighted else np.ones(n)
    shape = {"squares": (n, 0, 0), "diagonal": (n, 1, d)}.get(criterion, (n, d, d))
    pairs = mergers(weight, Z, np.zeros(shape), 2, criterion, prior=0.3, tie=1e-12)
    assert [tuple(pair) for pair in pairs] == plain(Z, weight, criterion, 0.3, 2)


def test_equal_losses_merge_the_first_pair():
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 0.0], [5.0, 1.0]])
    single = np.ones(4), corners, np.zeros((4, 2, 2))
    assert mergers(*single, 2, "traced", prior=1.0, tie=1e-9).tolist() == [[0, 1], [2, 3]]
    assert agglomerate(*single, 2, "traced", prior=1.0, tie=1e-9).tolist() == [0, 0, 1, 1]


def test_nothing_is_merged_where_enough_are_left():
    assert mergers(np.ones(2), np.eye(2), np.zeros((2, 0, 0)), 2, "squares").shape == (0, 2)
