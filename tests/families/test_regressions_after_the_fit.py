"""Mixtures of regressions after the fit: a fit that fails changes nothing, and what a user sets is checked."""

import pickle

import numpy as np
import pytest

import fastem
from fastem import MixtureOfRegressions

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 2))
Y = np.where(RNG.random(200) < 0.4, X[:, 0], 3 - X[:, 1]) + 0.1 * RNG.normal(size=200)


def model():
    return MixtureOfRegressions(2, random_state=0).fit(X, Y)


def test_a_fit_that_fails_changes_nothing():
    one = model()
    before = one.predict(X), one.predict_components(X, Y), one.bic(X, Y)
    other = 50 + X @ [[2, 1], [0, 3]]
    for y in (3 + other[:, 0], np.column_stack([3 + other[:, 0]] * 2)):
        with pytest.raises(ValueError, match="reg_covar"):
            one.set_params(reg_covar=0.0).fit(other, y)
        after = one.predict(X), one.predict_components(X, Y), one.bic(X, Y)
        assert all(np.array_equal(a, b) for a, b in zip(after, before))


@pytest.mark.parametrize("ask", ["score", "score_samples", "predict_components", "bic", "aic", "standard_errors"])
def test_what_needs_targets_takes_none_for_no_zeros(ask):
    with pytest.raises(ValueError, match="MixtureOfRegressions requires y to be passed, but the target y is None"):
        getattr(model(), ask)(X, None)


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_regression_by_a_gaussian_mixture_that_fails_changes_nothing(warm_start):
    one = fastem.GaussianMixtureRegressor(2, random_state=0, warm_start=warm_start).fit(X, Y)
    before, parameters = one.predict(X), one.mixture_.get_params()
    with pytest.raises(ValueError, match=r"features|ill-defined"):
        one.set_params(reg_covar=0.0).fit(X, np.column_stack([Y, Y]))
    assert np.array_equal(one.predict(X), before) and one.mixture_.get_params() == parameters


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("weights_", [2, 3], r"in the range \[0, 1\]"),
        ("weights_", [-1, 2], r"in the range \[0, 1\]"),
        ("weights_", [np.nan, 1], "'weights' contains NaN or infinity in weights_"),
        ("coef_", [[np.nan, 1], [1, 1]], "'coef' contains NaN or infinity in coef_"),
        ("coef_", [["a", "b"], ["c", "d"]], "coef_: it holds text"),
        ("intercept_", [np.inf, 1], "'intercept' contains NaN or infinity in intercept_"),
        ("variances_", [1.0], r"shape of \(2,\), but got \(1,\) in variances_"),
        ("variances_", [1.0, 0.0], "variances_ must be positive"),
    ],
)
def test_attributes_that_make_no_model_are_refused(name, value, words, tmp_path):
    one = model()
    setattr(one, name, np.array(value))
    for use in (lambda: one.predict(X), lambda: one.save(tmp_path / "m.npz")):
        with pytest.raises(ValueError, match=words):
            use()


def test_coefficients_of_a_column_that_was_dropped_are_refused():
    columns = np.column_stack([X, X[:, 0] - X[:, 1]])
    one = MixtureOfRegressions(2, random_state=0).fit(columns, Y)
    one.coef_ = one.coef_ + [0, 0, 1.0]
    with pytest.raises(ValueError, match="coef_ of column 2 must be 0, because it depends on the columns before it"):
        one.predict(columns)


def test_errors_are_by_the_floor_of_the_fit(tmp_path):
    one = MixtureOfRegressions(2, tol=1e-8, random_state=0).fit(X, Y)
    expected = one.standard_errors(X, Y).coef
    one.set_params(reg_covar=10.0).save(tmp_path / "m.npz")
    for other in (one, fastem.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(one))):
        assert np.array_equal(other.standard_errors(X, Y).coef, expected)
    held = MixtureOfRegressions(2, random_state=0, reg_covar=10.0)
    with pytest.warns(fastem.DegenerateComponentWarning, match="at the floor"):
        held.fit(X, Y)
    with pytest.raises(ValueError, match="a variance is at its floor"):
        held.set_params(reg_covar=1e-6).standard_errors(X, Y)


def test_another_number_of_components_is_set():
    one = model()
    one.weights_, one.variances_ = np.full(3, 1 / 3), np.ones(3)
    one.coef_, one.intercept_ = np.zeros((3, 2)), np.arange(3.0)
    assert np.allclose(one.predict(X), 1) and one.n_parameters_ == 3 * 4 + 2


def test_parameters_that_were_changed_are_of_the_next_fit(tmp_path):
    path, one = tmp_path / "m.npz", model()
    before = one.predict(X), one.bic(X, Y), one.standard_errors(X, Y).coef
    one.set_params(n_components=3, family="poisson")
    after = one.predict(X), one.bic(X, Y), one.standard_errors(X, Y).coef
    assert all(np.array_equal(a, b) for a, b in zip(after, before))
    with pytest.raises(ValueError, match=r"there are 2 weights_, but n_components is 3. Set n_components before"):
        one.save(path)
    with pytest.raises(ValueError, match=r"fit was of family='gaussian', but family is 'poisson'. Set family before"):
        one.set_params(n_components=2).save(path)
    one.set_params(family="gaussian").save(path)
    assert np.array_equal(fastem.load(path).predict(X), before[0])
    counts = MixtureOfRegressions(2, family="poisson", random_state=0).fit(X, np.arange(200) % 5)
    mean = counts.predict(X)
    assert np.array_equal(counts.set_params(family="gaussian").predict(X), mean)


@pytest.mark.parametrize("columns", [X, np.ones((200, 1)), np.column_stack([X, X[:, 0]])], ids=["2", "0", "2 of 3"])
@pytest.mark.parametrize("covariates", [None, X[:, :1]], ids=["plain", "gated"])
def test_a_loaded_model_has_the_parameters_of_its_arrays(columns, covariates, tmp_path):
    one, path = MixtureOfRegressions(2, random_state=0).fit(columns, Y, covariates=covariates), tmp_path / "m.npz"
    one.save(path)
    again = fastem.load(path)
    again.intercept_ = again.intercept_ + 1
    assert np.allclose(again.predict(columns, covariates=covariates), one.predict(columns, covariates=covariates) + 1)
    assert again.n_parameters_ == one.n_parameters_
    again.n_parameters_ = 99
    again.save(path)
    with pytest.raises(ValueError, match="n_parameters_ is 99, but the arrays have"):
        fastem.load(path)


def test_exposure_is_not_forgotten(tmp_path):
    exposure = RNG.uniform(1, 9, 200)
    y = RNG.poisson(exposure * np.exp(X[:, 0]))
    one = MixtureOfRegressions(1, family="poisson").fit(X, y, exposure=exposure)
    one.save(tmp_path / "m.npz")
    for again in (one, fastem.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(one))):
        uses = again.bic, again.aic, again.score, again.score_samples, again.predict_components, again.standard_errors
        for use in uses:
            with pytest.raises(ValueError, match=r"this model was fitted with exposure. Pass exposure="):
                use(X, y)
        assert np.isclose(again.score_samples(X, y, exposure=exposure).sum(), one.log_likelihood_)
        assert np.allclose(again.predict(X, exposure=np.ones(200)), again.predict(X))
    one.fit(X, y).bic(X, y)


def test_whole_targets_whose_offset_takes_their_digits():
    y = np.arange(200) % 7
    for one in (MixtureOfRegressions(1), fastem.GaussianMixtureRegressor(1)):
        for targets in (y + 10**18, np.column_stack([y, y - 10**18])):
            with pytest.raises(ValueError, match=r"y is about 1e\+18 and varies by 6, .*float64.* Subtract a constant"):
                one.fit(X, targets)
        one.fit(X, y * 10**12 + 10**18)


@pytest.mark.parametrize("K", [1, 2])
def test_a_line_that_is_exact_is_called_so(K):
    with pytest.raises(ValueError, match=r"rows of component \d.* are fitted exactly.* Increase reg_covar"):
        MixtureOfRegressions(K, reg_covar=0.0, random_state=0).fit(X, 3 + X[:, 0])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_whether_a_fit_is_at_a_maximum_does_not_depend_on_the_unit_of_weights(unit):
    one, weight = model(), np.full(len(X), unit)
    errors = one.standard_errors(X, Y + 1e-3, weight).coef * np.sqrt(unit)
    assert np.allclose(errors, one.standard_errors(X, Y + 1e-3).coef, rtol=1e-3)
    with pytest.raises(ValueError, match="the log-likelihood may rise by"):
        one.standard_errors(X, Y + 0.05, weight)
