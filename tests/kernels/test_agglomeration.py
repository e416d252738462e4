"""The compiled tree merges the pair that a search over all pairs finds in plain numpy."""

import numpy as np
import pytest
import reference

from fastem import kernels

CRITERIA = [("squares", False), *((name, shares) for name in ("diagonal", "full") for shares in (False, True))]


def leaves(M, d, seed):
    """Counts, means and scatters of M clusters of 3 to 30 rows."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(3, 30, M)
    rows = [4 * rng.normal(size=d) + rng.normal(size=(n, d)) * rng.uniform(0.3, 2, d) for n in counts]
    means = np.array([one.mean(axis=0) for one in rows])
    scatter = np.array([(one - mean).T @ (one - mean) for one, mean in zip(rows, means)])
    return counts.astype(float), means, scatter


@pytest.mark.parametrize("criterion, proportions", CRITERIA)
@pytest.mark.parametrize("M, d, K", [(2, 1, 1), (12, 1, 3), (15, 2, 1), (20, 4, 5), (9, 7, 9)])
def test_it_merges_what_a_search_over_all_pairs_finds(M, d, K, criterion, proportions):
    counts, means, scatter = leaves(M, d, M + d)
    given = {
        "squares": np.empty((M, 0, 0)),
        "diagonal": np.ascontiguousarray(np.diagonal(scatter, axis1=1, axis2=2))[:, None],
        "full": scatter,
    }[criterion]
    before = [array.copy() for array in (counts, means, given)]
    found = kernels.agglomerate(counts, means, given, K, criterion, proportions=proportions, prior=0.05)
    expected = reference.agglomerated(counts, means, scatter, K, criterion, proportions, prior=0.05)
    assert np.array_equal(found, expected)
    assert all(np.array_equal(one, other) for one, other in zip(before, (counts, means, given)))


def test_of_equal_mergers_the_first_is_taken():
    means = np.arange(6.0)[:, None]
    found = kernels.agglomerate(np.ones(6), means, np.empty((6, 0, 0)), 3, "squares", tie=1e-9)
    assert found.tolist() == [0, 0, 1, 1, 2, 2]
