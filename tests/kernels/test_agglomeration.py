"""The compiled trees beside one that computes every merger anew."""

import numpy as np
import pytest
import reference

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


@pytest.mark.parametrize("unit", [1.0, 1e27])  # in the second, determinants leave the range of one product
def test_of_many_clusters_side_by_side_each_costs_what_it_costs_alone(unit):
    rng = np.random.default_rng(3)
    Z, weight = unit * (rng.normal(size=(70, 4)) + 4 * rng.integers(0, 2, (70, 1))), rng.uniform(0.5, 3, 70)
    pairs = mergers(weight, Z, np.zeros((70, 4, 4)), 64, "traced", prior=0.3 * unit**8, tie=1e-12)
    assert [tuple(pair) for pair in pairs] == plain(Z, weight, "traced", 0.3 * unit**8, 64)


def test_equal_losses_merge_the_first_pair():
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [5.0, 0.0], [5.0, 1.0]])
    single = np.ones(4), corners, np.zeros((4, 2, 2))
    assert mergers(*single, 2, "traced", prior=1.0, tie=1e-9).tolist() == [[0, 1], [2, 3]]
    assert agglomerate(*single, 2, "traced", prior=1.0, tie=1e-9).tolist() == [0, 0, 1, 1]


def test_nothing_is_merged_where_enough_are_left():
    assert mergers(np.ones(2), np.eye(2), np.zeros((2, 0, 0)), 2, "squares").shape == (0, 2)


# ---- with the clusters' shares, beside the reference ----

SHARES = [("squares", False), *((name, shares) for name in ("diagonal", "full") for shares in (False, True))]


def leaves(M, d, seed):
    """Counts, means and scatters of M clusters of 3 to 30 rows."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 30, M)
    rows = [4 * rng.normal(size=d) + rng.normal(size=(n, d)) * rng.uniform(0.3, 2, d) for n in counts]
    means = np.array([one.mean(axis=0) for one in rows])
    scatter = np.array([(one - mean).T @ (one - mean) for one, mean in zip(rows, means)])
    return counts.astype(float), means, scatter


@pytest.mark.parametrize("criterion, proportions", SHARES)
@pytest.mark.parametrize("M, d, K", [(2, 1, 1), (12, 1, 3), (15, 2, 1), (20, 4, 5), (9, 7, 9)])
def test_it_merges_what_a_search_over_all_pairs_finds(M, d, K, criterion, proportions):
    counts, means, scatter = leaves(M, d, M + d)
    given = {
        "squares": np.empty((M, 0, 0)),
        "diagonal": np.ascontiguousarray(np.diagonal(scatter, axis1=1, axis2=2))[:, None],
        "full": scatter,
    }[criterion]
    before = [array.copy() for array in (counts, means, given)]
    found = agglomerate(counts, means, given, K, criterion, proportions=proportions, prior=0.05)
    expected = reference.agglomerated(counts, means, scatter, K, criterion, proportions, prior=0.05)
    assert np.array_equal(found, expected)
    assert all(np.array_equal(one, other) for one, other in zip(before, (counts, means, given)))


def test_of_equal_mergers_the_first_is_taken():
    means = np.arange(6.0)[:, None]
    found = agglomerate(np.ones(6), means, np.empty((6, 0, 0)), 3, "squares", tie=1e-9)
    assert found.tolist() == [0, 0, 1, 1, 2, 2]
