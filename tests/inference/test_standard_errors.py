"""Standard errors in any unit of the columns."""

import pickle

import numpy as np
import pandas
import pytest
from scipy.stats import multivariate_normal

import fastem
from fastem import (
    BernoulliMixture,
    CategoricalMixture,
    ConvergenceWarning,
    GaussianMixture,
    MixtureOfFactorAnalyzers,
    StudentTMixture,
    VonMisesFisherMixture,
    load,
    standard_errors,
)
from fastem.datasets import load_faithful
from fastem.inference.observed_information import At, along
from fastem.models.gated_rows import GatedRows
from fastem.rows.blocks import ArrayBlocks

X = load_faithful().data


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e-100, 1e100, np.array([1e-100, 1e60])])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "EEI", "spherical"])
def test_units_of_the_columns_do_not_matter(covariance_type, scale):
    if covariance_type == "spherical" and np.ndim(scale):
        return
    fit = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-10, "max_iter": 2000}
    ours, expected = (standard_errors(GaussianMixture(2, **fit).fit(rows), rows) for rows in (X * scale, X))
    assert np.allclose(ours.weights, expected.weights, rtol=1e-4)
    assert np.allclose(ours.means / scale, expected.means, rtol=1e-4)
    scales = np.broadcast_to(scale, 2)
    square = np.outer(scales, scales) if covariance_type in ("full", "tied") else scale**2
    assert np.allclose(ours.covariances / square, expected.covariances, rtol=1e-4)


def test_nothing_is_known_of_an_empty_component():
    model = GaussianMixture.from_parameters([1.0, 0.0], [[70.0, 3.0], [0.0, 0.0]], [np.eye(2)] * 2)
    with pytest.raises(ValueError, match="component 1 is empty"):
        standard_errors(model, load_faithful().data)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_an_intercept_alone_has_the_errors_of_the_plain_mixture(covariance_type):
    """By other formulas: differences of gradients, and sums of scores."""
    fit = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-10, "max_iter": 2000}
    none = np.empty((len(X), 0))
    plain = GaussianMixture(2, **fit).fit(X)
    ours = standard_errors(GaussianMixture(2, **fit).fit(X, covariates=none), X, covariates=none)
    expected = standard_errors(plain, X)
    assert ours.weights is None and "gate_coefficients_" in str(ours)
    assert np.allclose(ours.means, expected.means, rtol=1e-4)
    assert np.allclose(ours.covariances, expected.covariances, rtol=1e-3)
    log_odds = expected.weights[0] / plain.weights_.prod()
    assert np.allclose(ours.parameters["gate_coefficients_"], [[log_odds], [0]], rtol=1e-4)


def latent_classes(n=800):
    rng = np.random.default_rng(0)
    C = rng.normal(size=(n, 2)) * [1, 100] + [5, 1e4]
    z = (C[:, 0] - 5) - 0.01 * (C[:, 1] - 1e4) + rng.logistic(size=n) > 0.5
    return (rng.random((n, 4)) < np.where(z[:, None], 0.85, 0.2)).astype(float), C


def test_gated_classes_have_the_errors_of_the_hessian():
    """Of the log-likelihood in probabilities and coefficients, by second differences."""
    X, C = latent_classes()
    model = BernoulliMixture(2, random_state=0, tol=1e-11, max_iter=5000).fit(X, covariates=C)
    errors = standard_errors(model, X, covariates=C)
    u = (C - [5, 1e4]) / [1, 100]

    def log_likelihood(vector):
        p, gamma = vector[:8].reshape(2, 4), vector[8:]
        log_p = np.log(p) @ X.T + np.log(1 - p) @ (1 - X).T
        first = gamma[0] + u @ gamma[1:]
        return np.logaddexp(log_p[0] - np.logaddexp(0, -first), log_p[1] - np.logaddexp(0, first)).sum()

    raw = model.gate_coefficients_[0]
    at = np.concatenate([model.probabilities_.ravel(), [raw[0] + raw[1:] @ [5, 1e4]], raw[1:] * [1, 100]])
    h, eye = 1e-4, np.eye(len(at))
    hessian = np.array(
        [
            [
                sum(s * t * log_likelihood(at + h * (s * eye[i] + t * eye[j])) for s in (1, -1) for t in (1, -1))
                for j in range(len(at))
            ]
            for i in range(len(at))
        ]
    ) / (4 * h * h)
    expected = np.sqrt(np.diagonal(np.linalg.inv(-hessian)))
    assert np.allclose(errors.parameters["probabilities_"].ravel(), expected[:8], rtol=1e-3)
    assert np.allclose(errors.parameters["gate_coefficients_"][0, 1:] * [1, 100], expected[9:], rtol=1e-3)
    twice = standard_errors(model, X, covariates=C, sample_weight=np.full(len(X), 2e12)).parameters
    assert np.allclose(twice["probabilities_"] * np.sqrt(2e12), errors.parameters["probabilities_"], rtol=1e-3)


ALONG_AXES = np.array([[0.8, 0.6], [-0.6, 0.8]])


def clusters_with_axes(n=1500):
    """Two clusters of unlike widths along the same axes, which are not the columns."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, n)[:, None]
    return (rng.normal(size=(n, 2)) * np.where(z, [2.0, 0.5], [1.5, 0.8])) @ ALONG_AXES + np.where(z, 0, 5)


@pytest.mark.parametrize("covariance_type", ["EII", "EEI", "VVI", "full"])
def test_differences_have_the_errors_of_the_formula(covariance_type, monkeypatch):
    """Also where there are more coordinates than parameters: variances that all components share."""
    X = clusters_with_axes()
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0, tol=1e-10, max_iter=3000).fit(X)
    expected = standard_errors(model, X)
    monkeypatch.setattr("fastem.inference.standard_errors.has_formula", lambda model: False)
    found = standard_errors(model, X)
    for name, errors in expected._arrays().items():
        np.testing.assert_allclose(found._arrays()[name], errors, rtol=2e-3, atol=1e-9)


def hessian_of(function, at, h=1e-4):
    eye = h * np.eye(len(at))
    signs = [(s, t) for s in (1, -1) for t in (1, -1)]
    return np.array([[sum(s * t * function(at + s * a + t * b) for s, t in signs) for b in eye] for a in eye]) / (
        4 * h * h
    )


def test_common_axes_have_the_errors_of_the_hessian():
    """EVE by its parameters: log odds, means, a log volume, log shapes, an angle; from theirs those of covariances."""
    X = clusters_with_axes()
    fitted = GaussianMixture(2, covariance_type="EVE", random_state=0, tol=1e-11, max_iter=5000).fit(X)
    errors = standard_errors(fitted, X)
    axes = np.linalg.eigh(fitted.covariances_[0])[1]
    along = np.array([np.diagonal(axes.T @ c @ axes) for c in fitted.covariances_])

    def covariances_at(vector):
        turn, logs = vector[8], vector[5] + vector[6:8, None] * [1, -1]
        rotation = axes @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return np.array([rotation @ np.diag(np.exp(one)) @ rotation.T for one in logs])

    def log_likelihood(vector):
        means = vector[1:5].reshape(2, 2)
        logs = np.array([-np.logaddexp(0, -vector[0]), -np.logaddexp(0, vector[0])])
        joint = [
            log + multivariate_normal(mean, covariance).logpdf(X)
            for log, mean, covariance in zip(logs, means, covariances_at(vector))
        ]
        return np.logaddexp(*joint).sum()

    weights, logs = fitted.weights_, np.log(along)
    at = np.concatenate([[np.log(weights[0] / weights[1])], fitted.means_.ravel(), [logs.mean()], [0, 0], [0]])
    at[6:8] = (logs[:, 0] - logs[:, 1]) / 2
    variance = np.linalg.inv(-hessian_of(log_likelihood, at))
    np.testing.assert_allclose(errors.means.ravel(), np.sqrt(np.diagonal(variance))[1:5], rtol=5e-3)
    np.testing.assert_allclose(errors.weights[0], weights.prod() * np.sqrt(variance[0, 0]), rtol=5e-3)
    h = 1e-5
    slopes = np.array([(covariances_at(at + s) - covariances_at(at - s)).ravel() / (2 * h) for s in h * np.eye(9)])
    expected = np.sqrt(np.einsum("pa,pq,qa->a", slopes, variance, slopes))
    np.testing.assert_allclose(errors.covariances.ravel(), expected, rtol=5e-3)


@pytest.mark.parametrize("covariance_type", ["VVE", "EVV", "VEE", "EEV", "VEV", "VEI", "EVI"])
def test_every_family_of_covariances_has_errors(covariance_type):
    """Not far from those of draws, of which there are few."""
    X = clusters_with_axes()
    fitted = GaussianMixture(2, covariance_type=covariance_type, random_state=0, tol=1e-9, max_iter=5000).fit(X)
    errors, drawn = standard_errors(fitted, X), standard_errors(fitted, X, "bootstrap", n_draws=60, random_state=0)
    for name, ours in errors._arrays().items():
        ratio = ours / drawn._arrays()[name]
        assert 0.6 < np.min(ratio) and np.max(ratio) < 1.7, name


def test_the_bootstrap_draws_fits_of_the_same_kind():
    """Where each row looks at one component, as in the fit, means vary more than where it looks at both."""
    rng = np.random.default_rng(0)
    X = np.append(rng.normal(0, 1, 1000), rng.normal(2.5, 1, 1000))[:, None]
    start = {"means_init": [[0.0], [2.5]], "weights_init": [0.5, 0.5], "precisions_init": [[[1.0]], [[1.0]]]}
    model = GaussianMixture(2, truncate=1, tol=1e-8, max_iter=3000, **start).fit(X)
    draws = {"n_draws": 20, "random_state": 1}
    found = standard_errors(model, X, "bootstrap", **draws).means
    assert np.median(found / standard_errors(model.set_params(truncate=2), X, "bootstrap", **draws).means) > 1.02


def test_loadings_that_may_be_rotated_leave_the_errors_of_the_rest():
    rng = np.random.default_rng(1)
    z = rng.integers(0, 2, 1500)
    factors = np.einsum("nij,nj->ni", rng.normal(size=(2, 5, 2))[z], rng.normal(size=(1500, 2)))
    X = factors + 0.7 * rng.normal(size=(1500, 5)) + np.where(z[:, None], 0, 5)
    model = MixtureOfFactorAnalyzers(2, n_factors=2, random_state=0, tol=1e-9, max_iter=5000).fit(X)
    errors, drawn = standard_errors(model, X), standard_errors(model, X, "bootstrap", n_draws=60, random_state=0)
    for name in ("weights_", "means_", "covariances_"):
        ratio = errors._arrays()[name] / drawn._arrays()[name]
        assert 0.6 < np.min(ratio) and np.max(ratio) < 1.7, name


def test_classes_without_covariates_have_the_errors_of_one_intercept():
    X, _ = latent_classes()
    fit = {"random_state": 0, "tol": 1e-11, "max_iter": 5000}
    plain = BernoulliMixture(2, **fit).fit(X)
    none = np.empty((len(X), 0))
    gated = BernoulliMixture(2, **fit).fit(X, covariates=none)
    ours, other = standard_errors(plain, X), standard_errors(gated, X, covariates=none)
    np.testing.assert_allclose(ours.parameters["probabilities_"], other.parameters["probabilities_"], rtol=1e-3)
    log_odds = ours.weights[0] / plain.weights_.prod()
    np.testing.assert_allclose(other.parameters["gate_coefficients_"][0], [log_odds], rtol=1e-3)


@pytest.mark.parametrize("correlation", [0.9, 0.999, 0.99999])
@pytest.mark.parametrize("covariance_type", ["EVE", "VEV"])
def test_errors_of_columns_that_are_nearly_equal(covariance_type, correlation):
    """In closed form for one component: directions in which little is known of the coordinates alone count, too."""
    rng = np.random.default_rng(0)
    X = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], 2000)
    errors = standard_errors(GaussianMixture(1, covariance_type=covariance_type, tol=1e-10).fit(X), X)
    S = np.cov(X.T, bias=True)
    variances = np.diagonal(S)
    np.testing.assert_allclose(errors.means[0], np.sqrt(variances / 2000), rtol=1e-3)
    np.testing.assert_allclose(errors.covariances[0] ** 2, (np.outer(variances, variances) + S**2) / 2000, rtol=0.05)


@pytest.mark.parametrize("noise", [0.1, 0.001])
def test_errors_of_one_strong_factor(noise):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 1)) + noise * rng.normal(size=(2000, 4))
    errors = standard_errors(MixtureOfFactorAnalyzers(1, n_factors=1, tol=1e-10, max_iter=3000).fit(X), X)
    np.testing.assert_allclose(errors.means[0], X.std(axis=0) / np.sqrt(2000), rtol=1e-3)
    np.testing.assert_allclose(np.diagonal(errors.covariances[0]), X.var(axis=0) * np.sqrt(2 / 2000), rtol=1e-2)


@pytest.mark.parametrize("concentration", [50.0, 2e4, 1e5])
def test_errors_of_a_concentration(concentration):
    rows = [0, 0, 1] + np.random.default_rng(0).normal(size=(3000, 3)) / np.sqrt(concentration)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    model = VonMisesFisherMixture(1, tol=1e-10).fit(rows)
    found = standard_errors(model, rows).parameters["concentrations_"]
    np.testing.assert_allclose(found, model.concentrations_ / np.sqrt(3000), rtol=0.02)


@pytest.mark.parametrize("rare", [4, 10, 1000])
def test_errors_of_a_rare_code(rare):
    codes = np.repeat([0.0, 1.0, 2.0], [rare, 40_000 - rare, 60_000])[:, None]
    found = standard_errors(CategoricalMixture(1, tol=1e-10).fit(codes), codes).parameters["probabilities_"]
    p = np.array([rare, 40_000 - rare, 60_000]) / 100_000
    np.testing.assert_allclose(found.ravel(), np.sqrt(p * (1 - p) / 100_000), rtol=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_degrees_of_freedom_at_their_bound_are_taken_as_known(seed):
    X = np.random.default_rng(seed).normal(size=(400, 2)) + np.repeat([[6.0], [0.0]], 200, axis=0)
    model = StudentTMixture(2, tol=1e-10, max_iter=20_000, random_state=0).fit(X)
    errors = standard_errors(model, X)
    assert (errors.parameters["degrees_of_freedom_"][model.degrees_of_freedom_ == 1e6] == 0).all()
    np.testing.assert_allclose(errors.means, 1 / np.sqrt(200), rtol=0.2)


@pytest.mark.parametrize("unit", [1e-7, 1e-3, 1e9])
def test_errors_in_other_units_of_weight_are_the_same_errors(unit):
    X, _ = latent_classes()
    model = BernoulliMixture(2, random_state=0, tol=1e-11, max_iter=5000).fit(X)
    plain, other = (standard_errors(model, X, sample_weight=w) for w in (None, np.full(len(X), unit)))
    np.testing.assert_allclose(
        other.parameters["probabilities_"] * np.sqrt(unit), plain.parameters["probabilities_"], rtol=1e-4
    )


def test_a_fit_of_other_rows_is_at_no_maximum():
    X = clusters_with_axes()
    model = GaussianMixture(2, covariance_type="VEV", random_state=0, tol=1e-9).fit(X)
    with pytest.raises(ValueError, match=r"the log-likelihood may rise by .* smaller tol"):
        standard_errors(model, X + 0.2)
    eruptions = load_faithful().data
    model = GaussianMixture(2, covariance_type="VVE", random_state=0, tol=1e-8).fit(eruptions)
    with pytest.raises(ValueError, match="not at a maximum of the likelihood"):  # a step away no covariance is left
        standard_errors(model, eruptions + 1)
    constant = np.column_stack([X, np.ones(len(X))])
    model = GaussianMixture(2, covariance_type="VEV", random_state=0, tol=1e-9).fit(constant)
    with pytest.raises(ValueError, match="a covariance at the floor"):
        standard_errors(model, constant)


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_whether_a_fit_is_at_a_maximum_does_not_depend_on_the_unit_of_weights(unit):
    X = clusters_with_axes()
    model = GaussianMixture(2, random_state=0, tol=1e-9).fit(X)
    weight = np.full(len(X), unit)
    with pytest.raises(ValueError, match="the log-likelihood may rise by"):
        standard_errors(model, X + 0.2, sample_weight=weight)
    near = standard_errors(model, X + 1e-3, sample_weight=weight).means * np.sqrt(unit)
    np.testing.assert_allclose(near, standard_errors(model, X + 1e-3).means, rtol=1e-3)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "EEI", "VEV"])
def test_a_fit_that_was_stopped_early_is_at_no_maximum(covariance_type):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)) + 2.5 * rng.integers(0, 2, (600, 1))
    settings = {"covariance_type": covariance_type, "init_params": "random", "random_state": 0, "tol": 1e-9}
    with pytest.warns(ConvergenceWarning):
        early = GaussianMixture(2, max_iter=8, **settings).fit(X)
    end = GaussianMixture(2, max_iter=20_000, **settings).fit(X)
    assert end.log_likelihood_ > early.log_likelihood_ + 1
    with pytest.raises(ValueError, match="not at a maximum of the likelihood"):
        standard_errors(early, X)
    assert np.isfinite(standard_errors(end, X).means).all()


@pytest.mark.parametrize(
    ("settings", "obstacle"),
    [
        ({"prior": "default"}, "constraints, a prior"),
        ({"max_eigenvalue_ratio": 1.0}, "constraints, a prior"),
        ({"fixed": {"means": [0]}, "means_init": [[0, 0], [2, 2]]}, "constraints, a prior"),
        ({"covariance_type": "diag"}, "missing values"),
        ({"covariance_type": "diag", "init_params": [1] * 60 + [0] * 240}, "at the floor"),
    ],
)
@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_errors_with_covariates_need_what_those_without_do(settings, obstacle):
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(300, 2)) + 1.5 * rng.integers(0, 2, (300, 1)), rng.normal(size=(300, 1))
    if obstacle == "missing values":
        X[::7, 0] = np.nan
    if obstacle == "at the floor":
        X[:60] = 9, 9
    model = GaussianMixture(2, random_state=0, **settings).fit(X, covariates=C)
    with pytest.raises(ValueError, match=obstacle):
        standard_errors(model, X, covariates=C)


@pytest.mark.parametrize("wrong", [{"n_draws": -3}, {"n_jobs": "x"}])
def test_arguments_are_checked_whatever_the_method(wrong):
    X = load_faithful().data
    with pytest.raises(ValueError, match=next(iter(wrong))):
        standard_errors(GaussianMixture(2, random_state=0).fit(X), X, **wrong)


def test_what_errors_of_a_gate_need():
    X, C = latent_classes(100)
    model = BernoulliMixture(2, random_state=0).fit(X, covariates=C)
    with pytest.raises(ValueError, match="Pass covariates="):
        standard_errors(model, X)
    with pytest.raises(ValueError, match="does not take covariates"):
        standard_errors(model, X, "bootstrap", covariates=C)
    with pytest.raises(ValueError, match="fitted without covariates"):
        standard_errors(BernoulliMixture(2, random_state=0).fit(X), X, covariates=C)


@pytest.mark.filterwarnings("error")
def test_weights_in_any_unit_give_the_same_errors_in_that_unit():
    X = load_faithful().data
    weight = np.random.default_rng(0).uniform(0.5, 1.5, len(X))
    plain, light = (
        standard_errors(
            GaussianMixture(2, tol=1e-9, max_iter=2000, random_state=0).fit(X, sample_weight=w), X, sample_weight=w
        )
        for w in (weight, 1e-300 * weight)
    )
    np.testing.assert_allclose(1e-150 * light.covariances, plain.covariances, rtol=1e-6)
    np.testing.assert_allclose(1e-150 * light.weights, plain.weights, rtol=1e-6)


@pytest.mark.filterwarnings("error", "ignore::fastem.ConvergenceWarning")
def test_errors_beyond_the_range_of_numbers_are_refused():
    X, weight = 1e143 * np.array([[-1.6], [-0.3], [0.4]]), np.full(3, 2e-301)
    model = GaussianMixture(1, max_iter=0).fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match="errors of covariances_ are beyond the range of numbers"):
        standard_errors(model, X, sample_weight=weight)


@pytest.mark.filterwarnings("error", "ignore::fastem.ConvergenceWarning")
def test_errors_of_a_gated_mixture_beyond_the_range_of_numbers_are_refused():
    rng = np.random.default_rng(0)
    X, C, weight = rng.normal(size=(200, 1)) * 1e121, rng.normal(size=(200, 1)), np.full(200, 1e-300)
    X[:100] += 8e121
    model = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight, covariates=C)
    with pytest.raises(ValueError, match="beyond the range of numbers"):
        standard_errors(model, X, sample_weight=weight, covariates=C)


@pytest.mark.filterwarnings("error", "ignore::fastem.ConvergenceWarning")
@pytest.mark.parametrize("unit", [2.0**330, 2.0**20, 2.0**-20, 2.0**-400])
def test_errors_of_a_gated_mixture_are_in_the_units_of_the_rows(unit):
    rng = np.random.default_rng(0)
    C = rng.normal(size=(300, 1))
    X = rng.normal(size=(300, 2)) + 5 * (rng.random(300) < 1 / (1 + np.exp(-2 * C[:, 0])))[:, None]
    plain, other = (
        standard_errors(GaussianMixture(2, tol=1e-8, random_state=0).fit(u * X, covariates=C), u * X, covariates=C)
        for u in (1.0, unit)
    )
    np.testing.assert_allclose(other.means / unit, plain.means, rtol=1e-5)
    np.testing.assert_allclose(other.covariances / unit / unit, plain.covariances, rtol=1e-5)


def test_a_singular_information_with_covariates_is_refused_in_words():
    """Two components that are equal: only the sum of their weights is known."""
    X, C = latent_classes(200)
    model = BernoulliMixture(2, init_params=np.full((200, 2), 0.5)).fit(X, covariates=C)
    with pytest.raises(ValueError, match="not positive definite"):
        standard_errors(model, X, covariates=C)


@pytest.mark.parametrize("step", [400.0, 1e200])
def test_steps_that_are_far_too_long_are_falls_without_bound(step):
    """Of the differences that find the unit of a coordinate: not LAPACK's error."""
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(60, 3)), rng.normal(size=60)
    model = StudentTMixture(2, covariance_type="EEE", random_state=0).fit(X, covariates=C).model_
    blocks = ArrayBlocks(np.column_stack([X, C]))
    statistics = blocks.reduce(GatedRows(model), 1)
    at = At(model, statistics, 1.0)
    for direction in np.eye(len(model.emission.to_vector())):
        with np.errstate(all="ignore"):
            assert not along(at, direction)(step) > along(at, direction)(0.0)


def sides_of(X):
    lower, upper = np.full(X.shape, np.nan), np.full(X.shape, np.nan)
    lower[:50, 0], upper[:50, 0] = X[:50, 0] - 0.1, X[:50, 0] + 0.1
    return {
        "errors": {"errors": np.full(X.shape, 0.1)},
        "lower and upper": {"lower": lower, "upper": upper},
        "labels": {"labels": np.r_[0, 1, np.full(len(X) - 2, -1)]},
    }


@pytest.mark.parametrize("method", ["louis", "bootstrap"])
@pytest.mark.parametrize("sides", ["errors", "lower and upper", "labels"])
def test_side_columns_of_the_fit_are_refused_by_name(sides, method, tmp_path):
    """The rows were taken as plain ones, which the fit was not of."""
    fit = GaussianMixture(2, random_state=0).fit(X, **sides_of(X)[sides])
    fit.save(tmp_path / "model.npz")
    for model in (fit, load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(fit))):
        with pytest.raises(ValueError, match=rf"^standard_errors takes no {sides}, with which .* together with their"):
            standard_errors(model, X, method, n_draws=2)
    assert standard_errors(fit.fit(X), X, method, n_draws=2, random_state=0).means.shape == (2, 2)


def test_labels_in_a_column_are_refused_too():
    frame = pandas.DataFrame(np.column_stack([X, sides_of(X)["labels"]["labels"]]), columns=["a", "b", "z"])
    fit = GaussianMixture(2, random_state=0).fit(frame, labels="z")
    with pytest.raises(ValueError, match=r"^standard_errors takes no labels"):
        standard_errors(fit, frame[["a", "b"]])


@pytest.mark.filterwarnings("ignore::fastem.ConvergenceWarning")
def test_a_fit_says_which_side_columns_its_rows_had():
    for sides, given in sides_of(X).items():
        assert GaussianMixture(2, max_iter=2, random_state=0).fit(X, **given).side_columns_ == sides.split(" and ")
    fit = GaussianMixture(2, max_iter=2, random_state=0)
    assert fit.fit(X, covariates=X[:, :1]).side_columns_ == ["covariates"] and fit.fit(X).side_columns_ == []
    assert not hasattr(GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]]), "side_columns_")


@pytest.mark.parametrize("ask", [fastem.standard_errors, fastem.likelihood_ratio_test])
def test_mixtures_of_a_density_of_ones_own_are_refused_as_such(ask):
    rows = np.random.default_rng(0).normal(size=(20, 1))
    of_means = fastem.Mixture.of(lambda X, mean: -0.5 * ((X - mean) ** 2).sum(axis=1), lambda X, weight: weight @ X)
    with pytest.raises(TypeError, match=rf"{ask.__name__} takes mixtures of fastem's families, but not those of Mixt"):
        ask(of_means(1).fit(rows), rows)
