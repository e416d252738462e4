"""Student-t mixtures of rows of which one value lies between bounds: references, limits, laws, and what is refused."""

import re
import warnings

import numpy as np
import pytest
import reference
from scipy.optimize import minimize
from scipy.stats import t as student

from fastem import GaussianMixture, StudentTMixture
from fastem.kernels.packing import unpack_symmetric
from fastem.models.gaussian.student_interval_rows import StudentRows


def rows(n=400, d=2, seed=0):
    """Of two components, the first with heavy tails."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random((n, 1)) < 0.6, rng.standard_t(3, (n, d)), 8 + rng.standard_t(5, (n, d)))


def one_interval(X, seed=1):
    """Of each row at most one value in an interval, of any column; others exact or missing."""
    rng = np.random.default_rng(seed)
    lower, upper = X.copy(), X.copy()
    rounded, censored = rng.random((2, len(X))) < 0.5
    every, chosen = np.arange(len(X)), rng.integers(0, X.shape[1], len(X))
    x = X[every, chosen]
    lower[every, chosen] = np.where(rounded, np.floor(x), np.where(censored & (x > 7), 7.0, x))
    upper[every, chosen] = np.where(rounded, np.floor(x) + 1, np.where(censored & (x > 7), np.inf, x))
    missing = (rng.random(X.shape) < 0.1) & (np.arange(X.shape[1]) != chosen[:, None])
    return np.where(missing, -np.inf, lower), np.where(missing, np.inf, upper)


def fitted(X, lower, upper, K=2, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = StudentTMixture(K, **({"random_state": 0, "tol": 1e-8} | parameters))
        return model.fit(X, lower=lower, upper=upper)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_one_step_is_that_of_the_reference(covariance_type):
    """Whose u is integrated out last, not first."""
    X = rows(6, 3)
    lower, upper = one_interval(X)
    means, scales = [[0.0, 1.0, 0.0], [8.0, 7.0, 8.0]], np.array([[2, 0.5, 0], [0.5, 1, 0.3], [0, 0.3, 3]]) + np.eye(3)
    scales = scales if covariance_type == "full" else np.diag(scales)
    given = [0.6, 0.4], means, [scales, 2 * scales], [3.0, 6.0]
    mixture = StudentTMixture.from_parameters(*given, covariance_type=covariance_type).model_
    emission = mixture.emission
    statistics = StudentRows(mixture).e_step(np.hstack([X, lower, upper]))
    counts, mass, first, second, logs, total = reference.student_sums(
        lower, upper, mixture.weights, emission.means, emission.dense_covariances(), emission.degrees_of_freedom
    )
    assert np.allclose(statistics.counts, counts, rtol=1e-7) and np.allclose(statistics.mass, mass, rtol=1e-7)
    assert np.allclose(statistics.first, first, rtol=1e-6, atol=1e-6)
    assert np.allclose(unpack_symmetric(statistics.second, 3), second, rtol=1e-6, atol=1e-6)
    assert np.allclose(statistics.log_mass, logs, rtol=1e-6, atol=1e-6)
    assert np.isclose(statistics.log_likelihood, total, rtol=1e-8)
    bound = mixture.expected_log_joint(statistics, mixture) + statistics.entropy
    assert np.isclose(bound, total, rtol=1e-8)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "tied", "spherical", "VEV"])
def test_the_likelihood_rises_and_methods_agree(covariance_type):
    X = rows(120)
    lower, upper = one_interval(X)
    given = {"lower": lower, "upper": upper}
    model = fitted(X, **given, covariance_type=covariance_type, accelerate=None, tol=1e-6, max_iter=30)
    history = np.array(model.history_)
    assert len(history) > 5 and (np.diff(history) >= -1e-12 * abs(history[1:])).all()
    score = model.score_samples(X, **given)
    assert np.isclose(score.sum(), model.log_likelihood_, rtol=1e-11)
    assert np.array_equal(model.predict_proba(X, **given).argmax(axis=1), model.predict(X, **given))
    times = np.arange(len(X)) % 3
    often = np.repeat(np.arange(len(X)), times)
    wide = np.hstack([X, lower, upper])
    model_of_rows = StudentRows(model.model_)
    steps = [model_of_rows.e_step(wide, times * 1.0), model_of_rows.e_step(wide[often])]
    one, two = (model.model_.m_step(statistics).parameters() for statistics in steps)
    assert np.allclose(one, two, rtol=1e-8, atol=1e-10)


def test_exact_bounds_are_the_plain_fit():
    X = rows(200)
    none = np.full(X.shape, np.nan)
    for covariance_type in ("full", "diag", "tied"):
        asked = {"covariance_type": covariance_type, "tol": 1e-8}
        plain = StudentTMixture(2, random_state=0, **asked).fit(X)
        for model in (fitted(X, none, none, **asked), fitted(none, X, X, **asked)):
            assert np.allclose(model.means_, plain.means_, rtol=1e-5, atol=1e-5)
            assert np.allclose(model.degrees_of_freedom_, plain.degrees_of_freedom_, rtol=1e-3)
            assert np.isclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-9)


def test_one_component_is_the_maximum():
    """Against a direct maximisation of a censored and rounded column."""
    x = 2 + 1.5 * np.random.default_rng(0).standard_t(4, 600)
    lower, upper = np.where(x < 1, -np.inf, np.floor(x)), np.where(x < 1, 1.0, np.floor(x) + 1)

    def loss(p):
        a, b = ((side - p[0]) / np.exp(p[1]) for side in (lower, upper))
        nu = np.exp(p[2])
        return -np.log(
            np.where(a > 0, student.sf(a, nu) - student.sf(b, nu), student.cdf(b, nu) - student.cdf(a, nu))
        ).sum()

    best = minimize(
        loss, [2.0, 0.3, 1.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxfev": 2000}
    )
    model = fitted(x[:, None], lower[:, None], upper[:, None], 1, tol=1e-13, stop="log_likelihood")
    assert np.isclose(model.log_likelihood_, -best.fun, rtol=1e-10)
    assert np.isclose(model.means_[0, 0], best.x[0], atol=1e-4)
    assert np.isclose(model.covariances_[0, 0, 0], np.exp(2 * best.x[1]), rtol=1e-3)
    assert np.isclose(model.degrees_of_freedom_[0], np.exp(best.x[2]), rtol=1e-3)


def test_the_likelihood_is_as_exact_as_it_says():
    flint = pytest.importorskip("flint")
    x = np.random.default_rng(2).standard_t(3, 60)
    lower, upper = np.floor(x), np.floor(x) + 1
    lower[:20], upper[:20], upper[20:30] = -np.inf, 0.0, np.inf
    model = fitted(x[:, None], lower[:, None], upper[:, None], 1, tol=1e-3)
    nu, mean, scale = model.degrees_of_freedom_[0], model.means_[0, 0], np.sqrt(model.covariances_[0, 0, 0])
    ends = zip((lower - mean) / scale, (upper - mean) / scale)
    exact = sum(reference.student_interval(flint, nu, low, high)[0] for low, high in ends)
    assert abs(model.log_likelihood_ - exact) <= model.log_likelihood_error_ < 1e-8


def test_very_many_degrees_of_freedom_are_the_gaussian_fit():
    X = rows()
    lower, upper = one_interval(X)
    asked = {"means_init": [[0.0, 0.0], [8.0, 8.0]], "weights_init": [0.5, 0.5], "max_iter": 5, "tol": 0}
    asked |= {"precisions_init": np.tile(np.eye(2), (2, 1, 1)), "accelerate": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gaussian = GaussianMixture(2, **asked).fit(X, lower=lower, upper=upper)
    model = fitted(X, lower, upper, degrees_of_freedom=1e9, **asked)
    assert np.isclose(model.log_likelihood_, gaussian.log_likelihood_, rtol=1e-6)
    assert np.allclose(model.means_, gaussian.means_, rtol=1e-4, atol=1e-4)
    assert np.allclose(model.covariances_, gaussian.covariances_, rtol=1e-4, atol=1e-4)


def test_rows_that_say_nothing_or_very_much():
    """Rows far in the tail of every component, or of missing values alone."""
    X = rows(200)
    lower, upper = X.copy(), X.copy()
    lower[0], upper[0] = -np.inf, np.inf
    lower[1, 0], upper[1, 0] = 1e6, np.inf
    lower[2, 1], upper[2, 1] = -np.inf, -1e9
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        model = fitted(X, lower, upper)
    assert np.isfinite(model.means_).all() and np.isfinite(model.log_likelihood_)
    assert np.isclose(model.score_samples(X, lower=lower, upper=upper)[0], 0, atol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_what_is_refused(covariance_type):
    X = rows(50)
    model = StudentTMixture(2, covariance_type=covariance_type)
    words = (
        "row 0 more than one interval. The columns of a Student-t component share a scale that differs from row to row"
    )
    with pytest.raises(ValueError, match=re.escape(words)):
        model.fit(X, lower=np.floor(X), upper=np.floor(X) + 1)
    with pytest.raises(TypeError, match="StudentTMixture takes no errors"):
        model.fit(X, errors=np.ones(X.shape))
    with pytest.raises(ValueError, match="labels cannot be combined with lower and upper"):
        model.fit(X, labels=np.zeros(50, int), lower=X, upper=X)


@pytest.mark.parametrize("n, degrees, cut", [(2000, 3, 1.5), (20_000, 3, 1.5), (5000, 5, 1.0), (5000, 200, 1.5)])
def test_rows_cut_off_on_both_sides_lead_no_fit_astray(n, degrees, cut):
    """Where the tails are not seen, EM stands nearly still at the degrees of freedom that it begins with."""
    x = student.rvs(degrees, size=n, random_state=6).clip(-cut, cut)[:, None]
    bounds = {"lower": np.where(x <= -cut, -np.inf, x), "upper": np.where(x >= cut, np.inf, x)}
    found = StudentTMixture(1, random_state=0).fit(x, **bounds)
    best = StudentTMixture(1, random_state=0, stop="certified").fit(x, **bounds)
    assert found.log_likelihood_ > best.log_likelihood_ - 0.3
