"""GaussianMixtureRegressor: scikit-learn's contract, linear regression as its simplest case, curves, spreads."""

import pickle

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastem import GaussianMixture, GaussianMixtureRegressor

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization", "ignore:component 0")


def another_draw(estimator):
    """K > 1 starts from another draw of repeated rows than of weighted ones. From the same start:
    test_weights_are_repeated_rows."""
    return {"check_sample_weight_equivalence_on_dense_data": another_draw.__doc__} if estimator.n_components > 1 else {}


@parametrize_with_checks(
    [GaussianMixtureRegressor(), GaussianMixtureRegressor(2, random_state=0)],
    expected_failed_checks=another_draw,
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture
def linear():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)) * [1, 10, 0.1] + [5, -3, 100]
    Y = X @ rng.normal(size=(3, 2)) + rng.normal(size=(300, 2)) @ [[1, 0.5], [0, 0.3]] + [7, -1e3]
    return X, Y


def test_one_component_is_linear_regression(linear):
    X, Y = linear
    model, line = GaussianMixtureRegressor().fit(X, Y), LinearRegression().fit(X, Y)
    mean, cov = model.predict(X, return_cov=True)
    assert np.allclose(mean, line.predict(X), rtol=1e-9)
    left = Y - line.predict(X)
    assert cov.shape == (300, 2, 2) and np.allclose(cov, left.T @ left / 300, rtol=1e-8)
    assert np.allclose(model.predict(X, return_std=True)[1], left.std(axis=0), rtol=1e-8)


def test_weights_are_repeated_rows(linear):
    X, Y = linear
    weight = np.random.default_rng(1).integers(0, 4, len(X))
    weighted = GaussianMixtureRegressor().fit(X, Y, sample_weight=weight)
    repeated = GaussianMixtureRegressor().fit(np.repeat(X, weight, axis=0), np.repeat(Y, weight, axis=0))
    assert np.allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)


def test_the_score_is_scikit_learns(linear):
    X, Y = linear
    weight = np.random.default_rng(1).random(len(X))
    model = GaussianMixtureRegressor(2, random_state=0).fit(X, Y)
    assert np.isclose(model.score(X, Y, weight), r2_score(Y, model.predict(X), sample_weight=weight), rtol=1e-12)
    flat = np.zeros_like(Y)
    assert model.score(X, flat) == r2_score(flat, model.predict(X)) == 0


def test_shapes_follow_y(linear):
    X, Y = linear
    flat, column = (GaussianMixtureRegressor(2, random_state=0).fit(X, y) for y in (Y[:, 0], Y[:, :1]))
    assert flat.predict(X).shape == (300,) and column.predict(X).shape == (300, 1)
    mean, cov = flat.predict(X, return_cov=True)
    assert mean.shape == (300,) and cov.shape == (300, 1, 1)
    assert np.array_equal(flat.predict(X, return_std=True)[1], np.sqrt(cov[:, 0, 0]))


def test_a_curve_and_its_changing_spread():
    rng = np.random.default_rng(2)
    x = rng.uniform(-3, 3, 4000)
    y = np.sin(x) + np.where(x > 0, 0.3, 0.03) * rng.normal(size=4000)
    model = GaussianMixtureRegressor(8, random_state=0, tol=1e-6, max_iter=1000).fit(x[:, None], y)
    at = np.linspace(-2.8, 2.8, 40)
    mean, std = model.predict(at[:, None], return_std=True)
    assert np.abs(mean - np.sin(at)).max() < 0.15
    assert std[at < -0.7].max() < 0.15 < 0.2 < std[at > 0.7].min() and std.max() < 0.45


def test_it_is_its_mixture_asked(linear):
    X, Y = linear
    model = GaussianMixtureRegressor(3, covariance_type="VEV", random_state=0).fit(X, Y)
    assert np.allclose(model.predict(X), model.mixture_.predict_columns(X, [3, 4]), rtol=1e-12)
    assert np.allclose(model.score_samples(X), model.mixture_.marginal([0, 1, 2]).score_samples(X), rtol=1e-12)


def test_it_lives_among_others(linear):
    X, Y = linear
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    model = GaussianMixtureRegressor(2, covariance_type="tied", reg_covar=1e-5, random_state=0)
    assert clone(model).get_params() == model.get_params() == GaussianMixture(**model.get_params()).get_params()
    model.fit(frame, Y)
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c"]])
    assert cross_val_score(GaussianMixtureRegressor(), X, Y, cv=3).min() > 0.5
    single = GaussianMixtureRegressor(2, random_state=0).fit(X.astype(np.float32), Y.astype(np.float32))
    assert single.mixture_.covariances_.dtype == np.float64 and single.score(X, Y) > 0.5


@pytest.mark.parametrize(
    "y, words",
    [
        (None, "requires y"),
        ([1.0, 2.0], "inconsistent numbers of samples: X has 300, y has 2"),
        (np.zeros((300, 2, 1)), r"y must have shape .* Got \(300, 2, 1\)"),
        (np.zeros((300, 0)), r"y must have shape .* Got \(300, 0\)"),
        (["a"] * 300, "y must hold numbers"),
        (np.full(300, np.nan), "Input y contains NaN"),
    ],
)
def test_targets_that_are_none(linear, y, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixtureRegressor().fit(linear[0], y)


def test_what_it_refuses(linear, tmp_path):
    X, Y = linear
    with pytest.raises(ValueError, match="not fitted"):
        GaussianMixtureRegressor().predict(X)
    with pytest.raises(TypeError, match=r"GaussianMixture.*n_clusters"):
        GaussianMixtureRegressor(n_clusters=3)
    model = GaussianMixtureRegressor().fit(X, Y)
    with pytest.raises(ValueError, match="both true"):
        model.predict(X, return_std=True, return_cov=True)
    with pytest.raises(ValueError, match=r"cannot be saved.*pickle"):
        model.save(tmp_path / "model.npz")
    with pytest.raises(ValueError, match=r"3 features|2 features"):
        model.predict(X[:, :2])


def test_noise_is_refused_and_a_warm_start_goes_on():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    y = np.abs(X[:, 0]) + 0.1 * rng.normal(size=200)
    with pytest.raises(ValueError, match="GaussianMixtureRegressor predicts from the components alone"):
        GaussianMixtureRegressor(2, noise="box").fit(X, y)
    model = GaussianMixtureRegressor(2, random_state=0, warm_start=True).fit(X, y)
    before = model.mixture_.lower_bound_
    assert model.fit(X, y).mixture_.history_[0] == pytest.approx(before, rel=1e-12)
