"""The compiled distances of starts, beside plain numpy."""

import numpy as np
import pytest

import fastem
from fastem.kernels import clusters


def instance(dtype, n=1000, d=3, K=7):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, d)).astype(dtype), rng.random(n), rng.normal(size=(K, d)).astype(dtype)


def distances(Z, centres):
    return np.square(Z[:, None].astype(np.float64) - centres).sum(axis=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 63, 64, 1000])
def test_nearest_centres_and_squared_distances(dtype, n):
    Z, _, centres = instance(dtype, n)
    expected = distances(Z, centres)
    np.testing.assert_allclose(clusters.squares(Z, centres, 2), expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert (clusters.nearest(Z, centres, 2) == expected.argmin(axis=1)).all()


def test_of_equal_centres_the_first_is_nearest_and_none_where_all_are_the_row():
    Z = np.array([[0.0, 0.0], [1.0, 0.0]])
    assert clusters.nearest(Z, np.array([[1.0, 1.0], [0.0, 1.0], [0.0, -1.0], [1.0, 1.0]]), 1).tolist() == [1, 0]
    assert clusters.nearest(Z, Z, 1, apart=True).tolist() == [1, 0]
    assert clusters.nearest(Z[:1], Z[[0, 0]], 1, apart=True).tolist() == [-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_seeds_are_the_best_of_those_drawn_by_their_squared_distance(dtype):
    Z, weight, _ = instance(dtype)
    uniform = np.random.default_rng(1).random((9, 4))
    chosen = [3]
    for drawn in uniform:
        near = distances(Z, Z[chosen]).min(axis=1)
        cumulative = np.cumsum(weight * near)
        tried = np.searchsorted(cumulative, drawn * cumulative[-1], side="right")
        chosen.append(tried[np.argmin([weight @ np.minimum(near, distances(Z, Z[[i]])[:, 0]) for i in tried])])
    assert clusters.seeds(Z, weight, 3, uniform, 1e-12, 2).tolist() == chosen


def test_there_are_no_more_seeds_than_rows_that_differ():
    Z = np.repeat(np.arange(3.0), 50)[:, None]
    chosen = clusters.seeds(Z, np.ones(150), 0, np.random.default_rng(0).random((9, 3)), 1e-12, 1)
    assert sorted(Z[chosen, 0]) == [0, 1, 2]


def test_a_row_between_two_centres_belongs_to_both():
    Z = np.array([[-1.0], [0.0], [1.0]])
    weight, centres = np.array([1.0, 2.0, 1.0]), np.array([[-1.0], [1.0]])
    assert clusters.lloyd(Z, weight, centres, 1, 1e3, 0.0, 1).tolist() == [0, 0, 1]
    moved = np.array([[-1 / 2], [1 / 2]])  # the means of one row at the centre and half of the two between
    assert clusters.lloyd(np.vstack([Z, [[0.01]]]), np.r_[weight, 0.0], centres, 1, 1e3, 0.0, 1)[-1] == 1
    assert (clusters.nearest(Z, moved, 1) == [0, 0, 1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(dtype):
    Z, weight, centres = instance(dtype, 5000, 5, 40)
    uniform = np.random.default_rng(1).random((39, 5))
    for n_threads in (2, 3):
        assert (
            clusters.seeds(Z, weight, 0, uniform, 0.0, n_threads) == clusters.seeds(Z, weight, 0, uniform, 0.0, 1)
        ).all()
        for steps in (1, 5):
            labels = [clusters.lloyd(Z, weight, centres, steps, 1e3, 0.0, n) for n in (1, n_threads)]
            assert (labels[0] == labels[1]).all()


def test_a_cluster_without_rows_keeps_its_centre():
    Z, weight, _ = instance(np.float64)
    centres = np.array([[0.0, 0, 0], [1e3, 0, 0]])
    assert not clusters.lloyd(Z, weight, centres, 5, 1e3, 1e-3, 1).any()
    with pytest.raises(ValueError, match="centres of 2 columns for rows of 3"):
        clusters.nearest(Z, np.zeros((1, 2)), 1)


def test_moments_of_clusters():
    Z, weight, _ = instance(np.float64)
    labels = np.random.default_rng(1).integers(0, 5, len(Z))
    counts, means, scatter = clusters.moments(Z, weight, labels, 6, True)
    _, _, squares = clusters.moments(Z, weight, labels, 6, False)
    for k in range(5):
        z, w = Z[labels == k], weight[labels == k]
        np.testing.assert_allclose(counts[k], w.sum())
        np.testing.assert_allclose(means[k], np.average(z, axis=0, weights=w))
        rest = z - means[k]
        np.testing.assert_allclose(scatter[k], (w[:, None] * rest).T @ rest)
        np.testing.assert_allclose(squares[k], [np.diagonal(scatter[k])])
    assert not counts[5] and not means[5].any() and not scatter[5].any()


@pytest.mark.parametrize("kind", ["int32", "uint8", "int64", "backwards", "a column"])
def test_labels_of_any_kind_begin_a_fit(kind):
    """As other libraries return them: of any integer type, or not contiguous."""
    Z, _, _ = instance(np.float64)
    labels = np.arange(len(Z)) % 3
    given = {
        "backwards": labels[::-1].copy()[::-1],
        "a column": np.column_stack([labels, labels])[:, 0],
    }.get(kind)
    given = labels.astype(kind) if given is None else given
    found, wanted = (fastem.GaussianMixture(3, init_params=one, max_iter=2).fit(Z) for one in (given, labels))
    assert found.log_likelihood_ == wanted.log_likelihood_


def test_moments_of_clusters_far_from_zero_keep_the_digits_that_the_rows_have():
    """However many rows: a mean of a sum in their order alone would be off by a deviation here."""
    rng = np.random.default_rng(2)
    Z, labels = rng.normal(size=(200_000, 2)), rng.integers(0, 2, 200_000)
    far = Z + 2.0**45
    _, means, scatter = clusters.moments(far, np.ones(len(Z)), labels, 2, True)
    for k in range(2):
        rest = (far[labels == k] - 2.0**45) - (means[k] - 2.0**45)
        np.testing.assert_allclose(rest.mean(axis=0), 0, atol=0.01)  # a unit in the last place is 0.008
        np.testing.assert_allclose(scatter[k], rest.T @ rest, rtol=1e-4, atol=1e-4 * len(Z))
