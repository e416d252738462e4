"""Components merged into clusters by entropy, against every pair tried by brute force."""

import pickle

import numpy as np
import pytest
from models import MODELS
from scipy.special import xlogy

from fastem import GaussianMixture
from fastem.estimators.merging import Merging

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization")


def corners(n=900, seed=0):
    """Two clusters, each a bent pair of bars, and a round one."""
    rng = np.random.default_rng(seed)
    bar = rng.normal(size=(n, 2)) * [3, 0.3]
    third = n // 3
    bent = np.where(np.arange(n)[:, None] % 2, bar + [2.5, 0], bar[:, ::-1] + [0, 2.5])
    bent[third : 2 * third] += [15, 0]
    bent[2 * third :] = rng.normal(size=(n - 2 * third, 2)) + [7, 20]
    return bent


@pytest.fixture(scope="module")
def fitted():
    X = corners()
    return GaussianMixture(6, random_state=0, init_params="kmeans", stop="log_likelihood").fit(X), X


def entropy(r, weight):
    return -(weight @ xlogy(r, r)).sum()


def by_brute_force(r, weight):
    """Every pair of columns added, the least entropy kept."""
    names, pairs, entropies = list(range(r.shape[1])), [], [entropy(r, weight)]
    while len(names) > 1:
        tried = {}
        for a in range(len(names)):
            for b in range(a + 1, len(names)):
                joined = np.delete(r, b, axis=1)
                joined[:, a] += r[:, b]
                tried[a, b] = entropy(joined, weight), joined
        a, b = min(tried, key=lambda pair: tried[pair][0])
        pairs.append([names[a], names[b]])
        least, r = tried[a, b]
        entropies.append(least)
        del names[b]
    return pairs, entropies


@pytest.mark.parametrize("weighted", [False, True])
def test_merging_is_brute_force(fitted, weighted):
    model, X = fitted
    weight = np.random.default_rng(1).integers(0, 4, len(X)) if weighted else np.ones(len(X))
    found = model.merge_components(X, weight if weighted else None)
    pairs, entropies = by_brute_force(model.predict_proba(X), weight)
    assert found.pairs.tolist() == pairs
    assert np.allclose(found.entropies, entropies, rtol=1e-10, atol=1e-8)


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_every_family_merges(family):
    X = family.data(300)
    model = family.make(3, random_state=0, max_iter=5).fit(X)
    found = model.merge_components(X)
    pairs, entropies = by_brute_force(model.predict_proba(X), np.ones(len(X)))
    assert np.allclose(found.entropies, entropies, rtol=1e-9, atol=1e-8) and found.pairs.tolist() == pairs


def test_noise_counts_with_its_weights():
    """It is not merged, but its entropy is part of every one."""
    X = np.vstack([corners(), np.random.default_rng(1).uniform(-10, 25, (200, 2))])
    weight = np.arange(len(X)) % 4
    model = GaussianMixture(3, noise="box", random_state=0).fit(X, sample_weight=weight)
    weighted, repeated = model.merge_components(X, weight), model.merge_components(np.repeat(X, weight, axis=0))
    assert np.allclose(weighted.entropies, repeated.entropies, rtol=1e-10) and weighted.entropies[-1] > 1
    noise = model.predict_proba(X)[:, -1]
    expected = entropy(np.column_stack([1 - noise, noise]), weight)
    assert np.isclose(weighted.entropies[-1], expected, rtol=1e-9)


def test_bent_clusters_are_found(fitted):
    model, X = fitted
    merging = model.merge_components(X)
    assert (np.diff(merging.entropies) <= 1e-9).all() and abs(merging.entropies[-1]) < 1e-8
    assert merging.elbow() == 3
    labels = merging.predict(X)
    truth = np.repeat([0, 1, 2], len(X) // 3)
    assert sum(np.bincount(labels[truth == t]).max() for t in range(3)) > 0.99 * len(X)


def test_clusters_nest_and_add_up(fitted):
    model, X = fitted
    merging = model.merge_components(X)
    for n in range(1, 7):
        own = merging.clusters(n)
        assert sorted(set(own)) == list(range(n))
        r = merging.predict_proba(X, n)
        assert r.shape == (len(X), n) and np.allclose(r.sum(axis=1), 1)
        assert np.isclose(entropy(r, np.ones(len(X))), merging.entropies[6 - n], rtol=1e-9, atol=1e-8)
        assert np.array_equal(merging.predict(X, n), r.argmax(axis=1))
        if n > 1:
            before = merging.clusters(n - 1)
            assert all(len(set(before[own == c])) == 1 for c in range(n))
    assert np.array_equal(merging.clusters(6), np.arange(6))


def test_blocks_types_and_threads_change_nothing(fitted):
    model, X = fitted
    merging = model.merge_components(X)
    many = model.merge_components(np.tile(X, (30, 1)))
    assert many.pairs.tolist() == merging.pairs.tolist()
    assert np.allclose(many.entropies, 30 * merging.entropies, rtol=1e-10, atol=1e-6)
    chunked = model.merge_components([X[:100], X[100:]])
    assert np.array_equal(chunked.entropies, merging.entropies)
    single = model.merge_components(X.astype(np.float32))
    assert np.allclose(single.entropies, merging.entropies, rtol=1e-3, atol=0.1)
    big = np.tile(X, (100, 1))
    one, two = (pickle.loads(pickle.dumps(model)).set_params(n_threads=n).merge_components(big) for n in (1, 2))
    assert np.array_equal(one.entropies, two.entropies)
    assert np.array_equal(pickle.loads(pickle.dumps(merging)).predict(X), merging.predict(X))


def test_the_elbow_is_where_two_lines_meet():
    entropies = np.array([50, 41, 32.5, 23, 14, 2, 1, 0.0])  # 8 … 1 clusters: flat up to 3
    assert Merging(None, np.empty((7, 2), int), entropies).elbow() == 3
    assert Merging(None, np.empty((7, 2), int), 1e-9 * entropies).elbow() == 3


@pytest.mark.parametrize("K", [1, 2])
def test_few_components(K):
    X = corners()
    merging = GaussianMixture(K, random_state=0).fit(X).merge_components(X)
    assert merging.pairs.shape == (K - 1, 2) and len(merging.entropies) == K == merging.elbow()
    assert not merging.predict(X, 1).any()


def test_bad_input(fitted):
    model, X = fitted
    merging = model.merge_components(X)
    for wrong in (0, 7, 2.5, "two"):
        with pytest.raises(ValueError, match=f"n_clusters must be .* from 1 to n_components = 6. Got {wrong!r}"):
            merging.clusters(wrong)
    with pytest.raises(ValueError, match="infinity"):
        model.merge_components(np.where(X > 5, np.inf, X))
    with pytest.raises(ValueError, match="X has 1 features"):
        model.merge_components(X[:, :1])
    with pytest.raises(ValueError, match="Negative values"):
        model.merge_components(X, -np.ones(len(X)))
    with pytest.raises(ValueError, match="not fitted"):
        GaussianMixture().merge_components(X)
    other = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="now has 2 components, but 6 were merged"):
        Merging(other, merging.pairs, merging.entropies).predict(X, 2)
