"""Mixtures of factor analyzers: what they have beyond the laws of test_models.py."""

import numpy as np
import pytest
import reference
from instances import blobs
from scipy.linalg import subspace_angles

from fastem import DegenerateComponentWarning, FactorAnalysis, GaussianMixture, MixtureOfFactorAnalyzers, load
from fastem.factor_analysis import ConditionalFactorModel, FactorModel
from fastem.models.gaussian.factor_steps import best_factors

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


def factored(seed, n=600, d=8, q=2, K=2):
    """Rows of K factor analyzers and their components."""
    rng = np.random.default_rng(seed)
    loadings, labels = 2 * rng.normal(size=(K, q, d)), rng.integers(0, K, n)
    X = np.einsum("nq,nqd->nd", rng.normal(size=(n, q)), loadings[labels]) + rng.normal(size=(n, d))
    return X + 4 * labels[:, None], labels


def test_without_factors_it_is_the_diagonal_mixture():
    X = blobs(0, 500, 3, 2, 3.0)
    fit = {"init_params": np.arange(500) % 2, "tol": 1e-9, "accelerate": None}
    none = MixtureOfFactorAnalyzers(2, n_factors=0, **fit).fit(X)
    diagonal = GaussianMixture(2, covariance_type="diag", **fit).fit(X)
    np.testing.assert_allclose(none.noise_variances_, diagonal.covariances_, rtol=1e-9)
    np.testing.assert_allclose(none.means_, diagonal.means_, rtol=1e-9, atol=1e-9)
    assert none.n_parameters_ == diagonal.n_parameters_ and none.components_.shape == (2, 0, 3)


def test_one_component_is_factor_analysis():
    X, _ = factored(1, K=1)
    mixture = MixtureOfFactorAnalyzers(1, n_factors=2, tol=1e-10, max_iter=500).fit(X)
    alone = FactorAnalysis(2, tol=1e-10, max_iter=500).fit(X)
    assert mixture.log_likelihood_ == pytest.approx(alone.log_likelihood_, rel=1e-8)
    assert mixture.n_parameters_ == alone.n_parameters_
    np.testing.assert_allclose(mixture.covariances_[0], alone.get_covariance(), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_more_factors_lead_from_diagonal_to_full():
    X, labels = factored(2, d=4)
    fit = {"init_params": labels, "tol": 1e-8, "max_iter": 2000}
    scores = [MixtureOfFactorAnalyzers(2, n_factors=q, **fit).fit(X).lower_bound_ for q in range(4)]
    assert (np.diff(scores) > -1e-7).all() and scores[2] > scores[0] + 0.5
    assert scores[3] == pytest.approx(GaussianMixture(2, **fit).fit(X).lower_bound_, abs=1e-3)


def test_groups_and_factors_are_found():
    X, labels = factored(3, n=2000)
    new, _ = factored(3, n=4000)
    model = MixtureOfFactorAnalyzers(2, n_factors=2, random_state=0, n_init=3, tol=1e-6, max_iter=1000).fit(X[:300])
    assert model.component_status_ == ["ok", "ok"]
    found = model.predict(X)
    assert max((found == labels).mean(), (found != labels).mean()) > 0.98
    assert np.abs(model.noise_variances_ - 1).max() < 0.8
    loadings = 2 * np.random.default_rng(3).normal(size=(2, 2, 8))  # the first that `factored` draws
    for k, true in zip(model.means_.mean(axis=1).argsort(), loadings):
        assert subspace_angles(model.components_[k].T, true.T).max() < 0.1
    others = [GaussianMixture(2, covariance_type=c, init_params=labels[:300]).fit(X[:300]) for c in ("full", "diag")]
    assert all(model.score(new) > other.score(new) for other in others)


def test_where_it_arrives_is_a_maximum():
    X, labels = factored(4, n=1000, d=6, q=1)
    model = MixtureOfFactorAnalyzers(2, init_params=labels, tol=0, max_iter=500).fit(X).model_
    best, vector = model.e_step(X).log_likelihood, model.to_vector()
    for step in 1e-3 * np.vstack([np.eye(len(vector)), -np.eye(len(vector))]):
        assert model.from_vector(vector + step).e_step(X).log_likelihood < best


@pytest.mark.parametrize("d, q", [(1, 0), (1, 1), (4, 4), (9, 2), (30, 3), (70, 0), (70, 3)])
def test_a_step_of_all_components_is_each_ones_step(d, q):
    rng = np.random.default_rng(d)
    rows = rng.normal(size=(3, 5 * d + 5, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=(3, 5 * d + 5, 1))
    scatter = np.swapaxes(rows, 1, 2) @ rows / rows.shape[1]
    noise, floor = rng.uniform(0.1, 1, (3, d)) * np.diagonal(scatter, axis1=1, axis2=2), np.full(d, 1e-3)
    loadings, found = best_factors(scatter, noise, q, floor)
    for k in range(3):
        expected = reference.conditional_step(scatter[k], noise[k], q, floor)
        np.testing.assert_allclose(loadings[k], expected[0], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(found[k], expected[1], rtol=1e-9)
        alone = ConditionalFactorModel(np.zeros(d), np.zeros((d, q)), noise[k], floor)._step(scatter[k])
        assert np.array_equal(alone.loadings, loadings[k]) and np.array_equal(alone.noise, found[k])


def test_factor_scores_are_those_of_each_component():
    X, labels = factored(10)
    model = MixtureOfFactorAnalyzers(2, n_factors=2, init_params=labels).fit(X)
    scores = model.factor_scores(X)
    assert scores.shape == (600, 2, 2)
    for k in range(2):
        alone = FactorModel(model.means_[k], model.components_[k].T, model.noise_variances_[k], np.zeros(8))
        np.testing.assert_allclose(scores[:, k], alone.posterior(X)[0], rtol=1e-9, atol=1e-9)
    assert MixtureOfFactorAnalyzers(2, n_factors=0, init_params=labels).fit(X).factor_scores(X).shape == (600, 2, 0)
    with pytest.raises(ValueError, match="features"):
        model.factor_scores(X[:, :3])


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_component_without_rows_leaves_the_others_their_factors(empty):
    X, labels = factored(5, K=3)
    model = MixtureOfFactorAnalyzers(3, n_factors=2, init_params=labels, max_iter=2).fit(X).model_
    statistics = model.e_step(X)
    whole = model.m_step(statistics).emission.covariance
    statistics.counts[empty] = 0
    kept = model.m_step(statistics).emission.covariance
    present = np.arange(3) != empty
    assert np.array_equal(kept.loadings[present], whole.loadings[present])
    assert np.array_equal(kept.noise[present], whole.noise[present])
    assert np.array_equal(kept.covariances[empty], model.emission.covariance.covariances[empty])


def test_a_heywood_case_is_told():
    """One factor would need a noise variance of 1 - 0.8 * 0.8 / 0.4 < 0 in the first column."""
    X = np.random.default_rng(6).multivariate_normal(np.zeros(3), [[1, 0.8, 0.8], [0.8, 1, 0.4], [0.8, 0.4, 1]], 600)
    with pytest.warns(DegenerateComponentWarning, match=r"component 0: Heywood case: the noise of column\(s\) 0 "):
        model = MixtureOfFactorAnalyzers(1, max_iter=300).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert model.noise_variances_[0, 0] == pytest.approx(1e-6 * X[:, 0].var(), rel=1e-3)


def test_a_duplicated_column_is_told():
    X, labels = factored(6, d=4, q=1)
    X[:, 3] = X[:, 0]
    with pytest.warns(DegenerateComponentWarning, match="component 0: at the floor in 1 direction"):
        model = MixtureOfFactorAnalyzers(2, init_params=labels, max_iter=300).fit(X)
    assert np.isfinite(model.score_samples(X)).all() and (model.noise_variances_ > 0).all()


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"n_factors": 9}, "n_factors = 9 is more than the 8 feature"),
        ({"n_factors": -1}, "'n_factors' parameter"),
        ({"reg_covar": 0.0}, "'reg_covar' parameter"),
    ],
)
def test_parameters_that_cannot_be(wrong, message):
    with pytest.raises(ValueError, match=message):
        MixtureOfFactorAnalyzers(2, **wrong).fit(factored(7)[0])


def test_a_warm_start_goes_on(tmp_path):
    X, labels = factored(8)
    first = MixtureOfFactorAnalyzers(2, n_factors=2, init_params=labels, max_iter=3, warm_start=True).fit(X)
    first.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz").fit(X)
    assert again.history_[0] == pytest.approx(first.history_[-1], rel=1e-12)
    assert again.lower_bound_ > first.lower_bound_
    with pytest.raises(ValueError, match="n_factors has changed"):
        again.set_params(n_factors=1).fit(X)


def test_attributes_that_make_no_model():
    model = MixtureOfFactorAnalyzers(2, n_factors=2, random_state=0).fit(factored(9)[0])
    model.noise_variances_ = -model.noise_variances_
    with pytest.raises(ValueError, match="noise_variances_ must be positive"):
        model.score_samples(factored(9)[0])


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e-140, 1e-78, 1e90, 1e140, np.array([1e-90, 1.0, 1e100, 3e-7])])
def test_columns_of_extreme_scale(scale):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 4)) + rng.normal(size=(80, 1))
    X[40:] += 6
    model, expected = (MixtureOfFactorAnalyzers(2, random_state=0, tol=1e-8).fit(rows) for rows in (X * scale, X))
    shift = 80 * np.log(np.broadcast_to(scale, 4)).sum()
    assert model.log_likelihood_ + shift == pytest.approx(expected.log_likelihood_, abs=1e-6)
    assert np.allclose(np.abs(model.components_ / scale), np.abs(expected.components_), rtol=1e-4)
    assert np.allclose(model.noise_variances_ / scale / scale, expected.noise_variances_, rtol=1e-4)


@pytest.mark.parametrize("d", [1, 3])
def test_a_step_from_noise_far_below_the_scatter(d):
    """1 - (1 - 1 / value) is 0 beyond values of 1e16, and a variance given the others would be infinite."""
    scatter = 1e20 * np.ones((1, d, d)) + np.eye(d)
    with np.errstate(all="raise"):
        loadings, noise = best_factors(scatter, np.ones((1, d)), 1, np.full(d, 1e-3))
    np.testing.assert_allclose(abs(loadings[0, :, 0]), 1e10)
    assert (noise >= 1e-3).all() and np.isfinite(noise).all()
