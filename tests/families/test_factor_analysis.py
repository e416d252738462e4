"""Factor analysis and probabilistic PCA against their laws: they climb, they agree with the dense Gaussian, with the
closed form and with scikit-learn, and moments stand for rows."""

import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sklearn
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA
from sklearn.decomposition import FactorAnalysis as Theirs
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastem
from fastem import PPCA, FactorAnalysis, Statistics, em
from fastem.errors import DegenerateComponentWarning, IllDefinedCovariance
from fastem.factor_analysis import ConditionalFactorModel, FactorModel, PPCAModel
from fastem.families.rotation import rotated
from fastem.models.gaussian.factor_steps import best_loadings
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.cross_moments import MomentBlocks

MODELS = [FactorModel, ConditionalFactorModel, PPCAModel]
ESTIMATORS = [FactorAnalysis, PPCA]
both_estimators = pytest.mark.parametrize("estimator", ESTIMATORS)


def rows(seed=0, n=400, d=7, q=2):
    """Rows of a factor model, about a mean that is not 0."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(n, d)) * np.sqrt(rng.uniform(0.3, 2, d))
    return rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) + noise + 3 * rng.normal(size=d)


def start(model, X, q=2, seed=0):
    """A start away from the optimum, in its mean too."""
    rng, variance = np.random.default_rng(seed), X.var(axis=0, dtype=np.float64)
    loadings = rng.normal(size=(X.shape[1], q)) * np.sqrt(variance)[:, None]
    noise = np.full(X.shape[1], variance.mean())
    return model(X.mean(axis=0, dtype=np.float64) + 0.3 * np.sqrt(variance), loadings, noise, 1e-6 * variance)


def moments_of(X, sample_weight=None):
    return MomentBlocks.collect(ArrayBlocks(X, sample_weight), 1)


def dense_log_density(model, X):
    covariance = model.loadings @ model.loadings.T + np.diag(model.noise)
    return multivariate_normal(model.mean, covariance).logpdf(X)


def climb(model, X, n_iter=30):
    """Mean log-likelihoods of plain steps, without the driver."""
    history = []
    for _ in range(n_iter):
        statistics = model.e_step(X)
        history.append(statistics.log_likelihood / statistics.weight)
        model = model.m_step(statistics)
    return np.array(history)


def assert_monotone(history):
    falls = np.diff(history) < -1e-10 * (1 + abs(history[1:]))
    assert not falls.any(), f"fell after iteration(s) {np.flatnonzero(falls)}: {history}"


HARD = {
    "plain": rows(),
    "Heywood": np.column_stack([rows(1), rows(1)[:, 0] * 2 + 1]),
    "constant column": np.column_stack([rows(2), np.full(400, 5.0)]),
    "units of 1e-5 and 1e5": rows(3) * np.array([1e-5, 1, 1, 1e5, 1, 1, 1]),
    "moved by 1e6": rows(4) + 1e6,
    "fewer rows than columns": rows(5, n=5),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("model", MODELS)
def test_the_log_likelihood_never_falls(model, name):
    X = HARD[name]
    begin = start(model, X)
    begin = replace(begin, floor=np.maximum(begin.floor, 1e-6 * X.var(axis=0).mean() * (X.var(axis=0) == 0)))
    assert_monotone(climb(begin, X))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = em(begin, X, tol=0, max_iter=30, n_threads=1)
    assert result.history[-1] > result.history[0] and np.isfinite(result.model.noise).all()


def test_the_e_step_is_the_dense_gaussians():
    X, weight = rows(n=60), np.random.default_rng(0).uniform(0, 2, 60)
    model = start(FactorModel, X)
    statistics, about = model.e_step(X, weight), X - model.mean
    assert np.isclose(statistics.log_likelihood, weight @ dense_log_density(model, X), rtol=1e-12)
    assert np.isclose(statistics.weight, weight.sum(), rtol=1e-13)
    assert np.allclose(statistics.first, weight @ about, rtol=1e-11)
    assert np.allclose(statistics.second, ((weight[:, None] * about).T @ about)[np.tril_indices(7)], rtol=1e-10)


def test_one_step_of_em_row_by_row():
    """The textbook's step, from the posterior of every row, at the rows' mean."""
    X = rows(n=50)
    model = replace(start(FactorModel, X), mean=X.mean(axis=0))
    means, covariance = model.posterior(X)
    square = sum(np.outer(m, m) + covariance for m in means)
    loadings = sum(np.outer(x - model.mean, m) for x, m in zip(X, means)) @ np.linalg.inv(square)
    residual = np.mean([(x - model.mean) ** 2 - loadings @ m * (x - model.mean) for x, m in zip(X, means)], axis=0)
    found = model.m_step(model.e_step(X))
    assert np.allclose(found.loadings, loadings, rtol=1e-9) and np.allclose(found.noise, residual, rtol=1e-9)
    isotropic = PPCAModel(model.mean, model.loadings, model.noise, model.floor).m_step(model.e_step(X))
    assert np.allclose(isotropic.loadings, loadings, rtol=1e-9) and np.allclose(isotropic.noise, residual.mean())


def test_a_conditional_step_cannot_be_bettered_along_any_noise_variance():
    X = rows()
    moments = moments_of(X)
    model = ConditionalFactorModel(moments.mean, np.ones((7, 1)), X.var(axis=0), np.zeros(7))
    model = model.m_step(moments.reduce(model, 1))
    last = np.eye(7)[-1]  # the column that was taken last, given all the others

    def at(factor):
        return moments.reduce(replace(model, noise=model.noise * factor**last), 1).log_likelihood

    assert at(1) > at(1.001) and at(1) > at(0.999)


@pytest.mark.parametrize("model", MODELS)
def test_moments_stand_for_rows(model):
    X = rows()
    weight = np.random.default_rng(1).uniform(0.1, 2, len(X))
    begin, moments = start(model, X), moments_of(X, weight)
    a, b = begin.e_step(X, weight), moments.reduce(begin, 1)
    assert repr(a) == repr(b) and np.allclose(a.vector, b.vector, rtol=1e-10)
    a = em(begin, X, sample_weight=weight, tol=0, max_iter=20)
    b = em(begin, moments, tol=0, max_iter=20)
    assert np.allclose(a.history, b.history, rtol=1e-11)
    assert np.allclose(a.model.to_vector(), b.model.to_vector(), rtol=1e-7)


def test_moments_are_those_of_the_rows():
    X = rows() + 1e6
    moments = moments_of(X)
    assert np.allclose(moments.mean, X.mean(axis=0), rtol=1e-14)
    assert np.allclose(moments.covariance, np.cov(X.T, ddof=0), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_do_not_depend_on_the_first_rows(dtype):
    """About the mean of first rows that lie far from all others, sums would lose digits."""
    X = rows(n=3000)
    X[:300] += 1e4
    X = X.astype(dtype)
    weight = np.where(np.arange(len(X)) < 300, 1e-9, 1.0)
    moments, exact = moments_of(X, weight), np.cov(X.T.astype(float), aweights=weight, ddof=0)
    assert abs(moments.covariance - exact).max() < 100 * np.finfo(dtype).eps * abs(exact).max()


def test_em_finds_the_closed_form_of_ppca():
    X = rows()
    moments = moments_of(X)
    best = PPCAModel.maximum(moments.mean, moments.covariance, 2, np.zeros(7))
    found = em(start(PPCAModel, X), moments, tol=1e-14, max_iter=5000)
    assert np.isclose(found.log_likelihood, dense_log_density(best, X).sum(), rtol=1e-11)
    assert np.allclose(found.model.covariance, best.covariance, rtol=1e-4, atol=1e-4)
    again = em(best, moments, tol=0, max_iter=5).model
    assert np.allclose(again.covariance, best.covariance, rtol=1e-9, atol=1e-9)


def test_ppca_has_the_density_of_scikit_learns_pca():
    X = rows()
    n = len(X)
    ours = PPCA(2).fit(X)
    theirs = PCA(2).fit(X)
    # theirs divides by n - 1
    assert np.allclose(ours.noise_variance_, theirs.noise_variance_ * (n - 1) / n, rtol=1e-10)
    assert np.allclose(ours.get_covariance(), theirs.get_covariance() * (n - 1) / n, rtol=1e-9, atol=1e-11)
    dense = multivariate_normal(X.mean(axis=0), theirs.get_covariance() * (n - 1) / n)
    assert np.allclose(ours.score_samples(X), dense.logpdf(X), rtol=1e-11)
    assert ours.score(X) >= theirs.score(X)


@pytest.mark.parametrize("rotation", [None, "varimax", "quartimax"])
def test_factor_analysis_is_scikit_learns(rotation):
    X = rows(n=600)
    ours = FactorAnalysis(2, rotation=rotation, kaiser_normalization=False, tol=1e-12).fit(X)
    theirs = Theirs(2, rotation=rotation, tol=1e-10, max_iter=20000, svd_method="lapack").fit(X)
    assert np.isclose(ours.score(X), theirs.score(X), rtol=1e-9)
    assert ours.log_likelihood_ >= theirs.score(X) * 600 - 1e-6
    assert ours.log_likelihood_ == pytest.approx(ours.score_samples(X).sum(), rel=1e-12)
    assert np.allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-3)
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1, keepdims=True))
    assert np.allclose(ours.components_ * signs, theirs.components_, atol=2e-3)
    assert np.allclose(ours.transform(X) * signs.T, theirs.transform(X), atol=5e-3)


ABILITY = [  # R's ability.cov, covariances of six tests of 112 people
    [24.641, 5.991, 33.520, 6.023, 20.755, 29.701],
    [5.991, 6.700, 18.137, 1.782, 4.936, 7.204],
    [33.520, 18.137, 149.831, 19.424, 31.430, 50.753],
    [6.023, 1.782, 19.424, 12.711, 4.757, 9.075],
    [20.755, 4.936, 31.430, 4.757, 52.604, 66.762],
    [29.701, 7.204, 50.753, 9.075, 66.762, 135.292],
]


@pytest.mark.parametrize("scale", [1e-140, 1e-78, 1e90, 1e140, np.array([1e-90, 1.0, 1e100, 3e-7, 1.0, 1.0])])
def test_columns_of_extreme_scale(scale):
    X = np.random.default_rng(0).normal(size=(80, 6)) + np.random.default_rng(1).normal(size=(80, 1))
    ours, expected = FactorAnalysis(2).fit(X * scale), FactorAnalysis(2).fit(X)
    shift = 80 * np.log(np.broadcast_to(scale, 6)).sum()
    assert ours.log_likelihood_ + shift == pytest.approx(expected.log_likelihood_, abs=1e-4)
    assert np.allclose(np.abs(ours.components_ / scale), np.abs(expected.components_), atol=1e-3)
    assert np.allclose(ours.noise_variance_ / scale / scale, expected.noise_variance_, rtol=1e-3)
    assert ours.score(X * scale) == pytest.approx(ours.log_likelihood_ / 80)
    assert ours.feature_status_ == expected.feature_status_


def test_varimax_is_factanals_in_any_unit():
    """Its printed loadings; each factor up to its sign, and the factors in any order."""
    Z = np.random.default_rng(0).normal(size=(112, 6))
    X = np.linalg.qr(Z - Z.mean(axis=0))[0] * np.sqrt(112) @ np.linalg.cholesky(ABILITY).T
    published = np.array(
        [[0.499, 0.544], [0.156, 0.622], [0.206, 0.860], [0.109, 0.468], [0.956, 0.182], [0.785, 0.225]]
    )
    for unit in (1, 1000, 1e-60):
        scale = np.array([1, 1, unit, 1, 1, 1])
        found = FactorAnalysis(2, rotation="varimax", tol=1e-11, max_iter=5000).fit(X * scale)
        loadings = np.abs(found.components_.T / (X.std(axis=0) * scale)[:, None])
        assert np.allclose(loadings[:, np.argsort(-loadings[4])], published, atol=1e-3), unit
    other = FactorAnalysis(2, rotation="quartimax", tol=1e-11, max_iter=5000)
    first, second = (other.fit(X * scale).components_ / scale for scale in (1.0, np.array([1, 1, 1000, 1, 1, 1])))
    assert np.allclose(np.abs(first), np.abs(second), atol=1e-3)


@pytest.mark.parametrize("rotation", ["varimax", "quartimax"])
def test_a_rotation_turns_and_simplifies(rotation):
    rng = np.random.default_rng(0)
    simple = np.kron(np.eye(3), np.ones((4, 1))) + 0.05 * rng.normal(size=(12, 3))
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = rotated(simple @ turn, rotation)
    assert np.allclose(found @ found.T, simple @ simple.T, atol=1e-12)
    assert np.allclose(np.sort(abs(found).max(axis=1)), np.sort(abs(simple).max(axis=1)), atol=0.02)


def random_gaussians(rng, n, q):
    roots = rng.normal(size=(n, q, q))
    return rng.normal(size=(n, q)), roots @ np.swapaxes(roots, 1, 2) + 0.1 * np.eye(q)


def test_log_likelihood_is_elbo_plus_kl_for_any_q():
    X = rows(n=40)
    model = start(FactorModel, X, q=3)
    means, covariances = random_gaussians(np.random.default_rng(0), 40, 3)
    for covariance in (covariances, covariances[0]):
        elbo, kl = model.elbo(X, means, covariance), model.kl(X, means, covariance)
        assert np.allclose(elbo + kl, dense_log_density(model, X), rtol=0, atol=1e-10)
        assert (kl > 0).all()
    assert np.allclose(model.kl(X, *model.posterior(X)), 0, atol=1e-10)
    assert np.allclose(model.elbo(X, *model.posterior(X)), dense_log_density(model, X), rtol=0, atol=1e-10)


def test_the_elbo_is_the_mean_of_its_definition():
    """Against draws from q: E_q[log p(x, z) - log q(z)], and the posterior by Bayes on the joint Gaussian."""
    rng = np.random.default_rng(0)
    X = rows(n=1)
    model = start(FactorModel, X + rng.normal(size=(9, 7)))
    (mean,), (covariance,) = random_gaussians(rng, 1, 2)
    q = multivariate_normal(mean, covariance)
    z = q.rvs(20_000, random_state=1)
    log_joint = multivariate_normal(np.zeros(7), np.diag(model.noise)).logpdf(X - model.mean - z @ model.loadings.T)
    values = log_joint + multivariate_normal(np.zeros(2)).logpdf(z) - q.logpdf(z)
    error = values.std() / np.sqrt(len(values))
    assert abs(model.elbo(X, mean[None], covariance)[0] - values.mean()) < 5 * error
    gain = model.loadings.T @ np.linalg.inv(model.covariance)
    posterior, spread = model.posterior(X)
    assert np.allclose(posterior, (X - model.mean) @ gain.T, rtol=1e-9)
    assert np.allclose(spread, np.eye(2) - gain @ model.loadings, rtol=1e-9)


def test_the_bound_of_the_statistics_has_the_entropy_of_the_posterior():
    X = rows(n=30)
    model = start(FactorModel, X)
    expected = 30 * multivariate_normal(np.zeros(2), model.posterior_covariance).entropy()
    assert np.isclose(model.e_step(X).entropy, expected, rtol=1e-12)
    assert np.isclose(moments_of(X).reduce(model, 1).entropy, expected, rtol=1e-12)


@pytest.mark.parametrize(
    "means, covariances, complaint",
    [
        (np.zeros((4, 2)), np.eye(2), "means of shape"),
        (np.zeros((5, 2)), np.eye(3), "covariances of shape"),
        (np.zeros((5, 2)), -np.eye(2), "not positive definite"),
        (np.zeros((5, 2)), np.array([[2.0, 1], [0, 2]]), "not symmetric"),
    ],
)
def test_a_q_that_is_no_distribution_is_refused(means, covariances, complaint):
    X = rows(n=5)
    with pytest.raises(ValueError, match=complaint):
        start(FactorModel, X).elbo(X, means, covariances)
    with pytest.raises(ValueError, match=complaint):
        start(FactorModel, X).kl(X, means, covariances)


@pytest.mark.parametrize("model", MODELS)
def test_vectors_come_and_go(model):
    found = em(start(model, rows()), rows(), tol=0, max_iter=3).model
    vector = found.to_vector()
    assert len(vector) == 7 + 14 + (1 if model is PPCAModel else 7)
    again = found.from_vector(vector)
    assert type(again) is model and np.allclose(again.to_vector(), vector, rtol=1e-14)
    moved = found.from_vector(vector - 100)
    assert (moved.noise >= moved.floor.min()).all() and np.isfinite(moved.e_step(rows()).log_likelihood)


def test_covariance_and_precision():
    model = FactorAnalysis(2).fit(rows())
    assert np.allclose(model.get_covariance() @ model.get_precision(), np.eye(7), atol=1e-12)
    assert np.allclose(model.score_samples(rows()), dense_log_density(model.model_, rows()), rtol=1e-12)


@both_estimators
def test_whole_weights_are_repeated_rows(estimator):
    X = rows()
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    a, b = estimator(2).fit(X, sample_weight=weight), estimator(2).fit(np.repeat(X, weight, axis=0))
    assert np.allclose(a.get_covariance(), b.get_covariance(), rtol=1e-9, atol=1e-11)
    assert np.isclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-11)
    tiny = estimator(2).fit(X, sample_weight=weight * 1e-30)
    assert np.allclose(a.get_covariance(), tiny.get_covariance(), rtol=1e-9, atol=1e-11)
    assert np.isclose(tiny.log_likelihood_, 1e-30 * a.log_likelihood_, rtol=1e-9)


@both_estimators
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_threads_and_layouts_do_not_matter(estimator, dtype):
    X = rows(n=40_000, d=9).astype(dtype)
    one, two = (estimator(2, n_threads=n).fit(X) for n in (1, 2))
    assert one.components_.tobytes() == two.components_.tobytes() and one.loglike_ == two.loglike_
    turned = estimator(2).fit(np.asfortranarray(X))
    assert np.allclose(turned.components_, one.components_, rtol=1e-4 if dtype == np.float32 else 1e-9, atol=1e-6)
    assert one.transform(X).dtype == dtype and one.score_samples(X).dtype == np.float64
    assert one.score_samples(X).tobytes() == two.score_samples(X).tobytes()
    if dtype == np.float32:
        assert np.allclose(one.get_covariance(), estimator(2).fit(X.astype(float)).get_covariance(), atol=1e-4)


@pytest.mark.parametrize("block_rows", [1, 7, 399])
def test_the_cut_into_blocks_does_not_matter(block_rows):
    whole, cut = ArrayBlocks(rows()), ArrayBlocks(rows())
    cut.block_rows = block_rows
    model = start(FactorModel, rows())
    assert np.allclose(whole.reduce(model, 1).vector, cut.reduce(model, 1).vector, rtol=1e-10)


def test_units_of_each_column_do_not_matter():
    X, units = rows(), np.array([1e-7, 1, 1e3, 1, 1e7, 1, 2])
    a, b = FactorAnalysis(2).fit(X), FactorAnalysis(2).fit(X * units + 10 * units)
    assert np.allclose(b.components_, a.components_ * units, rtol=1e-6, atol=1e-9 * units)
    assert np.allclose(b.noise_variance_, a.noise_variance_ * units**2, rtol=1e-6)
    assert np.isclose(b.log_likelihood_, a.log_likelihood_ - len(X) * np.log(units).sum(), rtol=1e-10)
    assert a.n_iter_ == b.n_iter_


def test_units_do_not_matter_to_ppca():
    X = rows()
    a, b = PPCA(2).fit(X), PPCA(2).fit(1e-8 * (X + 20))
    assert np.allclose(b.components_, 1e-8 * a.components_, rtol=1e-9)
    assert np.isclose(b.log_likelihood_, a.log_likelihood_ + X.size * np.log(1e8), rtol=1e-10)


def test_a_heywood_case_is_held_and_named():
    """A column that another one determines has no noise of its own."""
    X = HARD["Heywood"]
    with pytest.warns(DegenerateComponentWarning, match="Heywood case"):
        model = FactorAnalysis(2, reg_covar=1e-4).fit(X)
    assert [status.split(":")[0] for status in model.feature_status_] == ["Heywood case"] + ["ok"] * 6 + [
        "Heywood case"
    ]
    held = [0, 7]
    assert np.allclose(model.noise_variance_[held], 1e-4 * X.var(axis=0)[held], rtol=1e-9)
    assert np.isfinite(model.score_samples(X)).all() and np.isfinite(model.transform(X)).all()
    assert all(a <= b + 1e-9 * abs(b) for a, b in pairwise(model.loglike_))


def test_the_model_of_a_heywood_case_keeps_its_floor():
    """EM that goes on from it stays at the maximum, and does not run after a variance of 0."""
    X = HARD["Heywood"]
    with pytest.warns(DegenerateComponentWarning):
        fit = FactorAnalysis(2, reg_covar=1e-4, tol=1e-10, max_iter=5000).fit(X)
    assert np.flatnonzero(fit.model_.at_floor).tolist() == [0, 7]
    again = fastem.em(fit.model_, X, tol=1e-10, max_iter=50)
    assert np.isclose(again.log_likelihood, fit.log_likelihood_, rtol=1e-8)
    fit.noise_variance_[1] *= 2  # what a user sets holds, and no floor of other rows with it
    assert np.array_equal(fit.model_.noise, fit.noise_variance_) and not fit.model_.floor.any()
    Z = np.random.default_rng(0).normal(size=(300, 2)) @ [[1, 2, 3, 40.0], [2, -1, 0, 10]]
    with pytest.warns(DegenerateComponentWarning):
        plane = PPCA(2).fit(Z)
    assert fastem.em(plane.model_, Z, max_iter=20).model.at_floor.all()


def test_ppca_without_noise_is_told():
    with pytest.warns(DegenerateComponentWarning, match="no noise is left"):
        model = PPCA(7, reg_covar=1e-4).fit(rows())
    assert np.allclose(model.noise_variance_, 1e-4 * rows().var(axis=0).mean(), rtol=1e-9)


@both_estimators
def test_a_constant_column_is_named_and_leaves_the_others_alone(estimator):
    X = rows()
    with pytest.warns(DegenerateComponentWarning, match="feature 3: constant"):
        model = estimator(2).fit(np.insert(X, 3, 5.0, axis=1))
    assert model.feature_status_ == ["ok"] * 3 + ["constant"] + ["ok"] * 4
    assert np.allclose(model.components_[:, 3], 0, atol=1e-9) and model.mean_[3] == 5
    if estimator is FactorAnalysis:
        plain = estimator(2).fit(X)
        assert np.allclose(np.delete(model.components_, 3, axis=1), plain.components_, rtol=1e-6, atol=1e-8)


def test_no_factors_are_independent_columns():
    X = rows()
    for model, variances in ((FactorAnalysis(0), X.var(axis=0)), (PPCA(0), np.full(7, X.var(axis=0).mean()))):
        model.fit(X)
        assert model.components_.shape == (0, 7) and np.allclose(model.noise_variance_, variances, rtol=1e-12)
        assert np.allclose(model.score_samples(X), multivariate_normal(X.mean(axis=0), np.diag(variances)).logpdf(X))
        assert model.transform(X).shape == (400, 0) and model.n_parameters_ == 7 + (1 if isinstance(model, PPCA) else 7)
        assert np.allclose(model.inverse_transform(model.transform(X)), X.mean(axis=0))


@pytest.mark.parametrize("model", [FactorAnalysis(0), FactorAnalysis(1), FactorAnalysis(), PPCA(0), PPCA()], ids=repr)
def test_one_column_is_a_gaussian(model):
    X = rows()[:, :1]
    model.fit(X)
    assert np.allclose(model.get_covariance(), X.var(), rtol=1e-9)
    assert np.isclose(model.score(X), -0.5 * (np.log(2 * np.pi * X.var()) + 1), rtol=1e-9)


@both_estimators
@pytest.mark.parametrize(
    "parameters, complaint",
    [
        ({"n_components": 8}, "n_components = 8 is more than the 7 feature"),
        ({"n_components": -1}, "n_components"),
        ({"n_components": 1.5}, "n_components"),
        ({"reg_covar": 0.0}, "reg_covar"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_parameters_that_make_no_model_are_refused(estimator, parameters, complaint):
    with pytest.raises(ValueError, match=complaint):
        estimator(**parameters).fit(rows())


@pytest.mark.parametrize(
    "parameters",
    [
        {"tol": -1.0},
        {"max_iter": 0},
        {"rotation": "promax"},
        *({"noise_variance_init": v} for v in ([1, 2], -np.ones(7))),
    ],
)
def test_parameters_of_factor_analysis_are_checked(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        FactorAnalysis(1, **parameters).fit(rows())


def test_another_start_leads_to_the_same_place():
    a, b = FactorAnalysis(2).fit(rows()), FactorAnalysis(2, noise_variance_init=np.full(7, 0.01)).fit(rows())
    assert a.loglike_[0] != b.loglike_[0] and np.isclose(a.log_likelihood_, b.log_likelihood_, rtol=1e-8)


def test_too_few_iterations_are_reported():
    with pytest.warns(UserWarning, match="did not converge.*max_iter=1"):
        model = FactorAnalysis(2, max_iter=1).fit(rows())
    assert not model.converged_ and model.n_iter_ == 1 and len(model.loglike_) == 1


@both_estimators
def test_free_parameters_and_criteria_by_hand(estimator):
    X = rows()
    model = estimator(2).fit(X)
    free = 7 + 14 - 1 + (7 if estimator is FactorAnalysis else 1)
    assert model.n_parameters_ == free
    log_likelihood = model.score_samples(X).sum()
    assert model.bic(X) == pytest.approx(free * np.log(400) - 2 * log_likelihood, rel=1e-14)
    assert model.aic(X) == pytest.approx(2 * free - 2 * log_likelihood, rel=1e-14)


@both_estimators
def test_samples_have_the_moments_of_the_model(estimator):
    model = estimator(2, random_state=3).fit(rows())
    X, Z = model.sample(100_000)
    assert X.shape == (100_000, 7) and Z.shape == (100_000, 2)
    assert np.allclose(X.mean(axis=0), model.mean_, atol=0.05)
    assert np.allclose(np.cov(X.T), model.get_covariance(), atol=0.15)
    assert np.allclose(np.cov((X - model.inverse_transform(Z)).T), np.diag(model.noise_variance_), atol=0.05)
    with pytest.raises(ValueError, match="n_samples"):
        model.sample(0)


@both_estimators
@pytest.mark.parametrize("n_components", [0, 2])
def test_saved_and_loaded(estimator, n_components, tmp_path):
    model = estimator(n_components).fit(rows())
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert type(again) is estimator and again.get_params() == model.get_params()
    assert again.score_samples(rows()).tobytes() == model.score_samples(rows()).tobytes()
    assert again.transform(rows()).tobytes() == model.transform(rows()).tobytes()
    assert again.log_likelihood_ == model.log_likelihood_ and again.feature_status_ == model.feature_status_


@pytest.mark.parametrize(
    "changed", [{"noise_variance_": -np.ones(7)}, {"components_": np.ones((2, 5))}, {"mean_": np.ones(3)}], ids=list
)
def test_arrays_that_make_no_model_are_not_loaded(changed, tmp_path):
    model, path = FactorAnalysis(2).fit(rows()), tmp_path / "model.npz"
    model.save(path)
    with np.load(path) as file:
        np.savez(path, **{**file, **changed})
    with pytest.raises(ValueError, match=next(iter(changed))):
        fastem.load(path)
    vars(model).update(changed)
    with pytest.raises(ValueError, match=next(iter(changed))):
        model.save(path)


def test_names_of_the_factors():
    assert FactorAnalysis(2).fit(rows()).get_feature_names_out().tolist() == ["factoranalysis0", "factoranalysis1"]


@both_estimators
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_factors_come_in_the_container_that_is_asked_for(estimator, library):
    frames = pytest.importorskip(library)
    X = frames.DataFrame({f"c{j}": column for j, column in enumerate(rows().T)})
    if library == "pandas":
        X.index = X.index[::-1]
    model = estimator(2).fit(X)
    plain = model.transform(X)
    assert isinstance(plain, np.ndarray)
    with sklearn.config_context(transform_output=library):
        everywhere = model.transform(X)
        assert isinstance(estimator(2).set_output(transform="default").fit_transform(X), np.ndarray)
    for found in (everywhere, sklearn.clone(model.set_output(transform=library)).fit_transform(X), model.transform(X)):
        assert isinstance(found, frames.DataFrame)
        assert list(found.columns) == list(model.get_feature_names_out())
        assert np.array_equal(found.to_numpy(), plain)
        assert library != "pandas" or found.index.equals(X.index)
    assert np.allclose(model.inverse_transform(model.transform(X)), model.inverse_transform(plain))
    with pytest.raises(ValueError, match=r"transform must be.*'dask'"):
        model.set_output(transform="dask")


@pytest.mark.filterwarnings("ignore:feature", "ignore:FactorAnalysis did not converge")
@parametrize_with_checks([FactorAnalysis(), FactorAnalysis(1), PPCA(), PPCA(1)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_loading_of_a_factor_is_positive(seed):
    """Eigenvectors have no sign of their own."""
    loadings, _ = best_loadings(np.cov(rows(seed).T), np.full(7, 0.1), 3)
    assert (loadings[abs(loadings).argmax(axis=0), range(3)] > 0).all()


def test_stop_by_parameters_goes_on_to_the_last_digits():
    # the log-likelihood is flat at the maximum: where it stands still the noise has half of its digits
    X = rows()
    loose = FactorAnalysis(2, tol=1e-15).fit(X)
    tight = FactorAnalysis(2, tol=1e-15, stop="parameters").fit(X)
    longest = FactorAnalysis(2, tol=0, stop=lambda result: result.n_iter == 500).fit(X)
    assert tight.converged_ and "parameters changed" in tight.stop_reason_
    away = [abs(model.noise_variance_ / longest.noise_variance_ - 1).max() for model in (loose, tight)]
    assert away[1] < 1e-12 < 1e-10 < away[0]
    with pytest.raises(ValueError, match="'stop' parameter of FactorAnalysis"):
        FactorAnalysis(2, stop="never").fit(X)


def test_noise_without_a_floor_that_ends_is_said():
    """It would be 0, which no density has; moments that leave none to the columns."""
    start = FactorModel(np.zeros(2), np.ones((2, 1)), np.ones(2), np.zeros(2))
    same = Statistics(weight=20.0, first=np.zeros(2), second=np.zeros(3), log_likelihood=0.0, entropy=0.0)
    with pytest.raises(IllDefinedCovariance):
        start.m_step(same)


def test_varimax_of_two_factors_is_the_best_angle():
    """Of rows of length 1, as Kaiser has it."""
    loadings = np.random.default_rng(0).normal(size=(7, 2)) * np.arange(1, 8)[:, None]

    def spread(turned):
        squares = (turned / np.linalg.norm(turned, axis=1, keepdims=True)) ** 2
        return squares.var(axis=0).sum()

    angles = np.linspace(0, np.pi / 2, 2001)
    best = max(spread(loadings @ [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles)
    assert spread(rotated(loadings, "varimax")) == pytest.approx(best, abs=1e-4)
