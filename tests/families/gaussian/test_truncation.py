"""Gaussian mixtures of which only rows in a box can be seen: references, laws, methods, and what is refused."""

import re

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import kstest, multivariate_normal, norm, truncnorm

import fastem
import fastem.inference.standard_errors
from fastem import GaussianMixture
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.diagonal import Diagonal
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.truncated import truncated


def seen(n=4000, d=1, seed=0, low=-0.5, high=np.inf):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) + 4 * (rng.random((n, 1)) < 0.6)
    return X[((X > low) & (X < high)).all(axis=1)]


def log_density(x, weights, means, deviations, low, high):
    """Of seen rows of one column: that of all rows divided by the probability of the box."""
    a, b = (low - means) / deviations, (high - means) / deviations
    inside = norm.cdf(b) - norm.cdf(a)
    within = weights * inside * truncnorm.pdf(x[:, None], a, b, means, deviations)
    return np.log(within.sum(axis=1) / (weights * inside).sum())


def test_one_component_is_the_maximum():
    """Against a direct maximisation of truncated normal columns."""
    x = np.random.default_rng(0).normal([0.5, 2], [1.5, 1], (3000, 2))
    x = x[(x > 0).all(axis=1) & (x[:, 1] < 3)]
    model = GaussianMixture(1, covariance_type="diag", truncation=(0, [np.inf, 3.0]), tol=1e-13, stop="log_likelihood")
    model.fit(x)
    total = 0
    for j, high in enumerate([np.inf, 3.0]):

        def loss(p, column=x[:, j], high=high):
            mean, s = p[0], np.exp(p[1])
            return -truncnorm.logpdf(column, (0 - mean) / s, (high - mean) / s, mean, s).sum()

        best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
        assert np.isclose(model.means_[0, j], best.x[0], atol=2e-3)
        assert np.isclose(model.covariances_[0, j], np.exp(2 * best.x[1]), rtol=2e-3)
        total -= best.fun
    assert np.isclose(model.log_likelihood_, total, rtol=1e-9)


def test_half_normal_with_a_known_mean():
    """With the mean held at the end of the box by symmetry, the variance is the mean square: EM's fixed point."""
    x = np.abs(np.random.default_rng(0).normal(0, 2, (5000, 1)))
    variance = (x**2).mean()
    model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[variance]]], truncation=(0, np.inf))
    emission = model.model_.emission
    assert np.allclose(emission.inside.second, variance, rtol=1e-12)  # so the second moments agree
    expected = np.log(2) - 0.5 * np.log(2 * np.pi * variance) - 0.5 * (x[:, 0] ** 2) / variance
    assert np.allclose(model.score_samples(x), expected, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical", "EEI"])
def test_the_likelihood_rises_and_the_mixture_of_all_rows_comes_back(covariance_type):
    X = seen(6000, 2)
    model = GaussianMixture(
        2, covariance_type=covariance_type, truncation=(-0.5, np.inf), random_state=0, tol=1e-7, accelerate=None
    ).fit(X)
    history = np.array(model.history_)
    assert len(history) > 5 and (np.diff(history) >= -1e-12).all()
    order = model.means_[:, 0].argsort()
    assert np.allclose(model.means_[order], [[0, 0], [4, 4]], atol=0.2)
    assert np.allclose(model.weights_[order], [0.4, 0.6], atol=0.05)
    plain = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert abs(plain.means_).min(axis=0).max() > 0.3  # where rows are missing, a plain fit is off
    assert np.isclose(model.score(X) * len(X), model.log_likelihood_, rtol=1e-12)


def test_the_likelihood_is_that_of_scipy_in_terms_of_all_rows():
    X = seen(800)
    for covariance_type in ("full", "tied", "diag", "spherical"):
        model = GaussianMixture(
            2, covariance_type=covariance_type, truncation=(-0.5, np.inf), random_state=0, tol=1e-5
        ).fit(X)
        assert model.converged_ and (np.diff(model.history_) >= -1e-12).all()
        deviations = np.sqrt(model.model_.emission.covariance.variances(2, 1)[:, 0])
        expected = log_density(X[:, 0], model.weights_, model.means_[:, 0], deviations, -0.5, np.inf)
        assert np.allclose(model.score_samples(X), expected, rtol=1e-10)


def dependent(n=4000, d=2, seed=0, low=-0.5):
    """Rows of two components whose columns are correlated, 0.6 or less, with both columns above an end."""
    rng = np.random.default_rng(seed)
    C = np.array([[1, 0.6, 0.3], [0.6, 1, 0.2], [0.3, 0.2, 1.0]])[:d, :d]
    X = rng.multivariate_normal(np.zeros(d), C, n) + 4 * (rng.random((n, 1)) < 0.6)
    return X[(X > low).all(axis=1)]


@pytest.mark.parametrize("covariance_type, d", [("full", 2), ("tied", 2), ("VEV", 2), ("full", 3)])
def test_columns_that_depend_on_each_other(covariance_type, d):
    """The likelihood rises, is scipy's, and the mixture of all rows comes back where a plain fit is off."""
    X = dependent(8000 if d == 2 else 3000, d)
    asked = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-6}
    model = GaussianMixture(2, truncation=(-0.5, np.inf), accelerate=None, **asked).fit(X)
    assert (np.diff(model.history_) >= -1e-12).all() and len(model.history_) > 5
    order, plain = model.means_[:, 0].argsort(), GaussianMixture(2, **asked).fit(X)
    assert np.allclose(model.means_[order[1]], 4, atol=0.15)
    assert abs(model.means_[order[0]]).max() < 0.3 < abs(plain.means_).min(axis=0).max()
    dense = model.model_.emission.dense_covariances()
    density = inside = 0
    for weight, mean, C in zip(model.weights_, model.means_, dense):
        density = density + weight * multivariate_normal(mean, C).pdf(X)
        inside = inside + weight * multivariate_normal(-mean, C).cdf(np.full(d, 0.5))  # symmetric: P(x > -0.5)
    assert np.allclose(model.score_samples(X), np.log(density / inside), rtol=0, atol=1e-10 if d == 2 else 1e-4)
    drawn, _ = model.sample(2000, random_state=0)
    assert (drawn >= -0.5).all() and np.allclose(drawn.mean(axis=0), X.mean(axis=0), atol=0.25)


def test_one_component_of_two_columns_is_the_maximum():
    X = dependent(3000)
    X = X[(X < 2).all(axis=1)]
    model = GaussianMixture(1, truncation=(-0.5, 2.0), tol=1e-12, stop="log_likelihood").fit(X)
    scatter = np.cov(X.T, bias=True)

    def loss(p):
        root = np.array([[np.exp(p[2]), 0], [p[3], np.exp(p[4])]])
        C = root @ root.T
        inside = multivariate_normal(p[:2], C).cdf([2.0, 2.0], lower_limit=[-0.5, -0.5])
        z = np.linalg.solve(root, (X.mean(axis=0) - p[:2]))
        trace = np.trace(np.linalg.solve(C, scatter)) + z @ z
        return 0.5 * trace + p[2] + p[4] + np.log(2 * np.pi) + np.log(inside)

    root = np.linalg.cholesky(model.covariances_[0])
    found = np.array([*model.means_[0], np.log(root[0, 0]), root[1, 0], np.log(root[1, 1])])
    assert np.isclose(-loss(found), model.score(X), rtol=1e-9)
    best = minimize(loss, found + 0.05, method="BFGS", options={"gtol": 1e-7})
    assert loss(found) - best.fun < 1e-7 and np.allclose(found, best.x, atol=0.02)


def test_laws_of_dependent_columns():
    """Order of the columns, units and sign; weights as repeated rows."""
    X = dependent(500)

    def steps(X, box, by=1.0, **given):
        model = GaussianMixture(
            2,
            truncation=box,
            weights_init=[0.5, 0.5],
            means_init=np.array([[0.0, 0.0], [4.0, 4.0]]) * by,
            precisions_init=np.tile(np.eye(2), (2, 1, 1)) / by**2,
            reg_covar=0,
            max_iter=6,
            tol=0,
            accelerate=None,
        )
        with pytest.warns(UserWarning):
            model.fit(X, **given)
        return model.means_ / by, model.covariances_ / by**2, model.weights_

    def same(found, expected):
        return all(np.allclose(a, b, rtol=1e-8, atol=1e-9) for a, b in zip(found, expected))

    one = steps(X, (-0.5, np.inf))
    assert same(steps(X * 8, (-4.0, np.inf), 8.0), one)
    assert same(steps(-X, (-np.inf, 0.5), -1.0), one)
    turned = steps(X[:, ::-1], ([-0.5, -0.5], np.inf))
    assert same((turned[0][:, ::-1], turned[1][:, ::-1, ::-1], turned[2]), one)
    times = np.arange(len(X)) % 3
    repeated = X[np.repeat(np.arange(len(X)), times)]
    assert same(steps(X, (-0.5, np.inf), sample_weight=times), steps(repeated, (-0.5, np.inf)))
    assert not same(steps(X, (-0.6, np.inf)), one)


def test_what_dependent_columns_do_not_have():
    C = np.tile([[1.0, 0.5, 0.2], [0.5, 1.0, 0.2], [0.2, 0.2, 1.0]], (1, 1, 1))
    model = GaussianMixture.from_parameters([1.0], [[0.0] * 3], C, truncation=(9.0, np.inf))
    with pytest.raises(ValueError, match="only a share of"):
        model.sample(10)
    with pytest.raises(ValueError, match="is no normal density on a box"):
        model.model_.emission.marginal([0, 1])
    assert model.model_.emission.marginal([2, 0, 1]).shape == (1, 3)


def test_seeds_recover_what_a_plain_fit_does_not():
    off, plain = [], []
    for seed in range(20):
        X = seen(3000, seed=seed)
        start = {"weights_init": [0.4, 0.6], "means_init": [[0.0], [4.0]], "tol": 1e-8}
        found = [GaussianMixture(2, truncation=end, **start).fit(X) for end in [(-0.5, np.inf), None]]
        for model, errors in zip(found, (off, plain)):
            k = model.means_[:, 0].argmin()
            errors.append([model.means_[k, 0], model.covariances_[k, 0, 0] - 1])
    off, plain = np.array(off), np.array(plain)
    error = off.std(axis=0)
    assert (error < [0.25, 0.4]).all()
    assert (abs(off.mean(axis=0)) < 4 * error / np.sqrt(20)).all()
    assert (abs(plain.mean(axis=0)) > 4 * plain.std(axis=0) / np.sqrt(20)).all()


def test_nothing_is_cut_off():
    X = seen(500, 2, low=-np.inf)
    asked = {"covariance_type": "diag", "random_state": 0, "tol": 1e-9}
    plain = GaussianMixture(2, **asked).fit(X)
    for box in [(-np.inf, np.inf), (-60.0, [60.0, np.inf])]:
        model = GaussianMixture(2, truncation=box, **asked).fit(X)
        assert np.allclose(model.means_, plain.means_, rtol=1e-5, atol=1e-6)
        assert np.allclose(model.weights_, plain.weights_, rtol=1e-5)
        assert np.isclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-9)


def test_laws():
    """Units, origin and sign of the columns; weights as repeated rows; chunks and threads."""
    X = seen(600, 2, high=4.5)

    def steps(X, box, by=1.0, to=0.0, **given):
        model = GaussianMixture(
            2,
            covariance_type="diag",
            truncation=box,
            weights_init=[0.5, 0.5],
            means_init=np.array([[0.0, 0.0], [4.0, 4.0]]) * by + to,
            precisions_init=np.ones((2, 2)) / by**2,
            reg_covar=0,
            max_iter=8,
            tol=0,
            accelerate=None,
            n_threads=given.pop("n_threads", 1),
        )
        with pytest.warns(UserWarning):
            model.fit(X, **given)
        return np.concatenate(
            [((model.means_ - to) / by).ravel(), (model.covariances_ / by**2).ravel(), model.weights_]
        )

    one = steps(X, (-0.5, 4.5))
    assert np.allclose(steps(X * 8 + 3, (-1, 39), 8.0, 3.0), one, rtol=1e-9)
    assert np.allclose(steps(-X, (-4.5, 0.5), -1.0), one, rtol=1e-9)
    times = np.arange(len(X)) % 3
    repeated = X[np.repeat(np.arange(len(X)), times)]
    assert np.allclose(steps(X, (-0.5, 4.5), sample_weight=times), steps(repeated, (-0.5, 4.5)), rtol=1e-9)
    assert np.array_equal(steps(lambda: iter([X[:100], X[100:]]), (-0.5, 4.5), n_threads=2), one)
    assert not np.allclose(steps(X, (-0.5, 4.6)), one, rtol=1e-4)


def test_acceleration_and_files(tmp_path):
    X = seen()
    asked = {"truncation": (-0.5, np.inf), "random_state": 0, "tol": 1e-7}
    model, slow = GaussianMixture(2, **asked).fit(X), GaussianMixture(2, accelerate=None, **asked).fit(X)
    assert model.n_iter_ < 0.6 * slow.n_iter_
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    # the weights of seen rows are made again from those of all
    assert np.allclose(loaded.score_samples(X), model.score_samples(X), rtol=1e-13, atol=0)
    again = GaussianMixture(2, warm_start=True, **asked).fit(X)
    before = again.lower_bound_
    assert np.isclose(again.fit(X).history_[0], before, rtol=1e-12)
    by_hand = GaussianMixture.from_parameters(
        model.weights_, model.means_, model.covariances_, truncation=(-0.5, np.inf)
    )
    assert np.allclose(by_hand.score_samples(X), model.score_samples(X), rtol=1e-12)
    drawn, _ = model.sample(4000, random_state=0)
    assert (drawn >= -0.5).all() and np.isclose(drawn.mean(), X.mean(), atol=0.1)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_files_keep_all_bits(covariance_type, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal([[-1.0, 0.0]], 1.0, (400, 2)) + rng.integers(2, size=(400, 1)) * [2.0, 1.0]
    X = X[((X > -1) & (X < 1.5)).all(axis=1)]
    for seed in range(3):  # in some of which the weights of seen rows are not, to the bit, those of all rows undone
        model = GaussianMixture(2, covariance_type=covariance_type, truncation=(-1, 1.5), random_state=seed)
        model.fit(X).save(tmp_path / "model.npz")
        loaded = fastem.load(tmp_path / "model.npz")
        np.testing.assert_array_equal(loaded.model_.weights, model.model_.weights)
        np.testing.assert_array_equal(loaded.weights_, model.weights_)
        np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))


def test_the_weights_are_those_of_all_rows_everywhere():
    X = seen(1500)
    model = GaussianMixture(2, truncation=(-0.5, np.inf), random_state=0, tol=1e-6).fit(X)
    errors = fastem.standard_errors(model, X, "bootstrap", n_draws=8, random_state=0)
    again = fastem.inference.standard_errors.parameters_of(model, model.model_)["weights_"][0]
    assert np.array_equal(again, model.weights_) and (errors.weights > 0).all()
    assert abs(model.weights_ - model.model_.weights).max() > 0.02
    with pytest.raises(ValueError, match="cannot handle constraints"):
        fastem.standard_errors(model, X)


@pytest.mark.parametrize("truncation", [3, (1,), (2, 1), ("a", 3), ([0, 0], [1, 0])])
def test_a_truncation_that_is_none(truncation):
    with pytest.raises(ValueError, match="'truncation' parameter of GaussianMixture must be None or"):
        GaussianMixture(1, truncation=truncation).fit(np.ones((4, 1)))


def test_what_is_refused():
    X = seen(100, 2)
    model = GaussianMixture(1, covariance_type="diag", truncation=(-0.5, np.inf)).fit(X)
    for call in (lambda rows: model.fit(rows), lambda rows: model.predict(rows)):
        with pytest.raises(ValueError, match=r"must lie within truncation, but row 2, column 1 is -3"):
            call(np.array([[0, 0], [1, 2], [0, -3.0], [2, 2]]))
    with pytest.raises(ValueError, match="independent within a component, or at most 3, because the integral of 4"):
        GaussianMixture(1, truncation=(-0.5, np.inf)).fit(np.hstack([X, X]))
    with pytest.raises(ValueError, match=re.escape("one end for all columns, or 2")):
        GaussianMixture(1, covariance_type="diag", truncation=([0, 0, 0], 9)).fit(X)
    for name, arguments in [("marginal", [[0]]), ("logcdf", [X]), ("component_overlap", []), ("to_sklearn", [])]:
        with pytest.raises(ValueError, match=f"{name} is only for mixtures without truncation"):
            getattr(model, name)(*arguments)
    with pytest.raises(ValueError, match="truncation cannot be combined with GaussianMixtureRegressor"):
        fastem.GaussianMixtureRegressor(1, truncation=(-0.5, np.inf), covariance_type="diag").fit(X[:, :1], X[:, 1])


CALLS = ["score", "score_samples", "predict", "predict_proba", "bic", "aic", "icl"]


@pytest.mark.parametrize("call", [*CALLS, "denoise"])
@pytest.mark.parametrize("sides", ["errors", "lower and upper"])
def test_scores_of_rows_with_side_columns_are_refused_as_fit_refuses_them(sides, call):
    """They were those of the mixture of all rows, seen or not."""
    if (sides, call) == ("lower and upper", "denoise"):
        return
    X = seen(100)
    model = GaussianMixture(1, truncation=(-0.5, np.inf)).fit(X)
    given = {"errors": np.full(X.shape, 0.1)} if sides == "errors" else {"lower": X - 0.1, "upper": X + 0.1}
    with pytest.raises(ValueError, match=rf"^truncation cannot be combined with {sides}, because") as of_fit:
        model.fit(X, **given)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(of_fit.value))}$"):
        getattr(model, call)(X, **given)


def test_files_of_predictions_are_refused_too(tmp_path):
    X = seen(100)
    model = GaussianMixture(1, truncation=(-0.5, np.inf)).fit(X)
    with pytest.raises(ValueError, match=r"^truncation cannot be combined with errors"):
        fastem.write_predictions(model, X, tmp_path / "labels.csv", errors=np.full(X.shape, 0.1))


def test_draws_far_out_are_those_of_the_tail():
    """Where the probability below has no digits left."""
    box = np.array([[10.0, -12.0], [12.0, -10.0]])
    plain = Gaussian(np.zeros((1, 2)), Diagonal.from_covariances(np.ones((1, 2)), np.zeros(2)), np.zeros(2))
    drawn = truncated(plain, box).sample(0, 20_000, np.random.default_rng(0))
    expected = truncnorm(10, 12)
    assert kstest(drawn[:, 0], expected.cdf).pvalue > 1e-3 < kstest(-drawn[:, 1], expected.cdf).pvalue


def test_draws_of_dependent_columns_stay_in_their_box():
    box, covariance = np.array([[-1.0, -2.0], [1.0, 0.5]]), np.array([[[1.0, 0.6], [0.6, 1.0]]])
    plain = Gaussian(np.zeros((1, 2)), Full.from_covariances(covariance, np.zeros(2)), np.zeros(2))
    drawn = truncated(plain, box).sample(0, 2000, np.random.default_rng(0))
    assert (drawn >= box[0]).all() and (drawn <= box[1]).all() and (np.ptp(drawn, axis=0) > [1.9, 2.3]).all()
