"""Coarse to fine: the subsample decides where a fit begins, not where it ends."""

import warnings

import numpy as np
import pytest

from fastem import GaussianMixture, em
from fastem.estimators.planning import plan_of
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import robust_variances
from fastem.starts.clusters import LLOYD_STEPS, lloyd
from fastem.starts.short_runs import spaced

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(5, 2)) * 2
X = CENTRES[RNG.integers(5, size=110_000)] + RNG.normal(size=(110_000, 2))


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_end_is_a_fixed_point_of_all_rows(covariance_type):
    model = GaussianMixture(5, covariance_type=covariance_type, random_state=0).fit(X)
    assert model.converged_ and model.n_iter_ >= 1
    assert len(model.history_) == model.n_iter_ + 1
    assert model.score(X) == pytest.approx(model.lower_bound_, rel=1e-12)
    again = em(model._mixture(), ArrayBlocks(X), tol=0, max_iter=1)
    assert 0 <= again.history[1] - again.history[0] < model.tol


def test_it_is_no_worse_than_a_single_start():
    coarse = GaussianMixture(5, random_state=0).fit(X)
    single = GaussianMixture(5, random_state=0, coarse=False, init_params="kmeans").fit(X)
    assert coarse.log_likelihood_ > single.log_likelihood_ - 1


def test_few_rows_and_given_starts_are_left_alone():
    few = X[:5000]
    on, off = (GaussianMixture(5, random_state=0, coarse=coarse).fit(few) for coarse in (True, False))
    assert on.history_ == off.history_
    labels = np.arange(len(X)) % 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        on, off = (GaussianMixture(5, init_params=labels, max_iter=2, coarse=c).fit(X) for c in (True, False))
    assert on.history_ == off.history_


def test_weights_are_heeded():
    """Rows of weight 0 are as good as absent."""
    weight = (np.arange(len(X)) % 11 != 0).astype(float)
    moved = X + 100 * (1 - weight[:, None])
    model = GaussianMixture(5, random_state=0).fit(moved, sample_weight=weight)
    assert np.abs(model.means_).max() < 20


@pytest.mark.parametrize(
    "covariance_type, d, n_components, expected", [("diag", 16, 8, 5000), ("full", 64, 32, 20_000)]
)
def test_short_runs_see_enough_rows_for_their_covariances(covariance_type, d, n_components, expected):
    plan = plan_of(GaussianMixture(n_components, covariance_type=covariance_type))
    assert spaced(ArrayBlocks(np.zeros((20_000, d)), np.ones(20_000)), plan).n_rows == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clusters_are_those_of_plain_k_means(dtype):
    Z = X[:3000].astype(dtype)
    weight = np.random.default_rng(1).random(3000)
    centres = expected = Z[:6].astype(np.float64)
    for _ in range(LLOYD_STEPS):
        labels = np.square(Z[:, None] - expected).sum(axis=2).argmin(axis=1)
        expected = np.stack([np.average(Z[labels == k], axis=0, weights=weight[labels == k]) for k in range(6)])
    nearest = np.square(Z[:, None] - expected).sum(axis=2).argmin(axis=1)
    assert np.mean(lloyd(Z, weight, centres.astype(dtype)) != nearest) < 2e-3


@pytest.mark.parametrize("n", [2, 5, 400, 5001])
def test_robust_variances_come_from_the_quartiles(n):
    rows = np.random.default_rng(0).normal(size=(n, 3))
    quarters = np.percentile(rows[:: max(1, n // 2048)], [25, 75], axis=0)
    expected = ((quarters[1] - quarters[0]) / 1.349) ** 2
    assert np.allclose(robust_variances(rows, np.full(3, np.inf)), expected, rtol=1e-12)
