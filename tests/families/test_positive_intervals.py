"""Exponential, geometric and gamma mixtures of values between bounds: closed forms, references, laws, and what is
refused."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.optimize import minimize
from scipy.stats import gamma, geom

from fastem import ExponentialMixture, GammaMixture, GeometricMixture, StudentTMixture
from fastem.models.waiting_intervals import mean_share, waited
from fastem.rows.intervals import Bounds


def quiet(model, X, **given):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, **given)


def test_censored_waiting_times_in_closed_form():
    """The rate is the number of events divided by the time of all together."""
    rng = np.random.default_rng(0)
    x, limit = rng.exponential(3, (400, 1)), rng.exponential(4, (400, 1))
    seen = x <= limit
    lower, upper = np.minimum(x, limit), np.where(seen, x, np.inf)
    model = quiet(ExponentialMixture(1, tol=1e-13, stop="log_likelihood"), lower, lower=lower, upper=upper)
    rate = seen.sum() / lower.sum()
    assert np.isclose(model.rates_[0, 0], rate, rtol=1e-6)
    assert np.isclose(model.log_likelihood_, seen.sum() * np.log(rate) - rate * lower.sum(), rtol=1e-9)


def test_censored_counts_in_closed_form():
    """The probability is the number of successes divided by that of all trials."""
    rng = np.random.default_rng(0)
    x, limit = rng.geometric(0.2, (400, 1)) - 1.0, rng.integers(1, 9, (400, 1)) + 0.0
    seen = x < limit
    lower, upper = np.minimum(x, limit), np.where(seen, x, np.inf)
    model = quiet(GeometricMixture(1, tol=1e-13, stop="log_likelihood"), lower, lower=lower, upper=upper)
    assert np.isclose(model.probabilities_[0, 0], seen.sum() / (lower + seen).sum(), rtol=1e-6)


@pytest.mark.parametrize("rate", [1e-9, 0.01, 0.7, 30.0])
def test_waiting_times_against_many_digits(rate):
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 50
    for low, width in [(0.0, 1e-6), (2.0, 0.3), (1.0, 9.0), (0.5, 500.0)]:
        bounds = Bounds(np.array([[low]]), np.array([[low + width]]))
        log_p, mean = waited(np.array([[rate]]), bounds, whole=False)
        c, w = mpmath.mpf(rate), mpmath.mpf(low + width) - mpmath.mpf(low)
        P = 1 - mpmath.exp(-c * w)
        assert np.isclose(log_p.item(), float(mpmath.log(P) - c * low), rtol=1e-13)
        assert np.isclose(mean.item(), float(low + 1 / c - w / (mpmath.exp(c * w) - 1)), rtol=1e-13)
    s = np.array([0.0, 1e-12, 0.0999999, 0.1000001, 700.0, 1e5, np.inf])
    exact = [0.5, *(float(1 / mpmath.mpf(x) - 1 / mpmath.expm1(x)) for x in s[1:-1].tolist()), 0.0]
    assert np.allclose(mean_share(s), exact, rtol=1e-13)


@pytest.mark.parametrize("p", [0.001, 0.3, 0.95])
def test_counts_against_scipy(p):
    for low, high in [(0, 0), (0, 3), (2, 2), (4, 40), (3, np.inf)]:
        bounds = Bounds(np.array([[low - 0.4]]), np.array([[high + 0.4]]))
        log_p, mean = waited(np.array([[-np.log1p(-p)]]), bounds, whole=True)
        x = np.arange(low, min(high, low + 40_000) + 1)
        mass = geom.pmf(x + 1, p)
        assert np.isclose(log_p.item(), np.log(mass.sum()), rtol=1e-9, atol=1e-12)
        assert np.isclose(mean.item(), (x * mass).sum() / mass.sum(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [ExponentialMixture, GeometricMixture, GammaMixture])
def test_the_likelihood_rises_and_methods_agree(kind):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((300, 1)) < 0.5, rng.exponential(2, (300, 2)), rng.exponential(40, (300, 2)))
    X = np.floor(X) if kind is GeometricMixture else X
    lower, upper = np.minimum(X, 30), np.where(X > 30, np.inf, X)
    lower[::7], upper[::7] = -np.inf, 5.0
    lower[::11, 1], upper[::11, 1] = -np.inf, np.inf
    given = {"lower": lower, "upper": upper}
    model = quiet(kind(2, random_state=0, tol=1e-7, accelerate=None), X, **given)
    history = np.array(model.history_)
    assert len(history) > 5 and (np.diff(history) >= -1e-12).all()
    score = model.score_samples(X, **given)
    assert np.isclose(score.sum(), model.log_likelihood_, rtol=1e-12)
    assert np.array_equal(model.predict_proba(X, **given).argmax(axis=1), model.predict(X, **given))
    exact = np.full(X.shape, np.nan)
    settings = {"random_state": 0, "init_params": "kmeans"}
    plain = quiet(kind(2, **settings), X)
    assert np.allclose(plain.score_samples(X, lower=exact, upper=exact), plain.score_samples(X), rtol=1e-12)
    again = quiet(kind(2, **settings), X, lower=exact, upper=exact)
    assert np.isclose(again.log_likelihood_, plain.log_likelihood_, rtol=1e-12)
    times = np.arange(len(X)) % 3
    often = np.repeat(np.arange(len(X)), times)
    asked = {"weights_init": [0.5, 0.5], "init_params": "kmeans", "random_state": 0, "max_iter": 0}
    start = quiet(kind(2, **asked), X, **given)
    steps = [
        start.model_.m_step(rows.e_step(wide, weight))
        for rows in [kind._rows_between(start.model_)]
        for wide, weight in [(np.hstack([X, lower, upper]), times * 1.0), (np.hstack([X, lower, upper])[often], None)]
    ]
    assert np.allclose(steps[0].parameters(), steps[1].parameters(), rtol=1e-10)


def test_sources_by_name():
    x = np.random.default_rng(0).exponential(2, 200)
    table = pd.DataFrame({"time": x, "from": np.floor(x), "to": np.floor(x) + 1})
    model = quiet(ExponentialMixture(1), table, lower="from", upper="to")
    other = quiet(ExponentialMixture(1), table[["time"]], lower=table[["from"]], upper=table[["to"]])
    assert list(model.feature_names_in_) == ["time"] and model.rates_ == other.rates_


@pytest.mark.parametrize(
    "kind, lower, upper, words",
    [
        (GammaMixture, 0.0, 0.0, "must contain positive numbers, but those of row 0, column 0 are 0 and 0"),
        (ExponentialMixture, -2.0, 0.0, "must contain positive numbers, but those of row 0, column 0 are -2 and 0"),
        (GeometricMixture, 1.2, 1.8, "must contain a whole number >= 0, but those of row 0, column 0 are 1.2 and 1.8"),
    ],
)
def test_what_is_refused(kind, lower, upper, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        kind(1).fit(np.ones((4, 1)), lower=np.full((4, 1), lower), upper=np.full((4, 1), upper))
    with pytest.raises(TypeError, match=f"{kind.__name__} takes no errors. Only GaussianMixture does."):
        kind(1).fit(np.ones((4, 1)), errors=np.ones((4, 1)))


@pytest.mark.parametrize(
    "kind, value, words",
    [
        (GammaMixture, 0.0, "X must hold positive numbers, but row 2, column 0 is 0"),
        (ExponentialMixture, -1.0, "X must hold positive numbers, but row 2, column 0 is -1"),
        (GeometricMixture, 0.5, "X must hold counts: whole numbers >= 0, but row 2, column 0 is 0.5"),
    ],
)
def test_a_value_that_counts_itself_is_refused_as_one_of_x(kind, value, words):
    X, none = np.array([[1.0], [2.0], [value], [np.nan]]), np.full((4, 1), np.nan)
    with pytest.raises(ValueError, match=re.escape(words)):
        kind(1).fit(X, lower=none, upper=none)


# ---- gamma -----------------------------------------------------------------------------------------------------------


def sizes(n=400, d=1, seed=0):
    """Of two components."""
    rng = np.random.default_rng(seed)
    first = rng.random((n, 1)) < 0.6
    return np.where(first, rng.gamma(2, 1, (n, d)), rng.gamma(40, 0.4, (n, d)))


def any_bounds(X, seed=1):
    """Of each kind some values: exact, rounded, below or above a limit, missing."""
    kind = np.random.default_rng(seed).integers(0, 5, X.shape)
    lower = np.select([kind == 0, kind == 1, kind == 3], [X, np.floor(X), np.minimum(X, 12)], -np.inf)
    upper = np.select([kind == 0, kind == 1, kind == 2], [X, np.floor(X) + 1, np.maximum(X, 1.5)], np.inf)
    lower[0], upper[0] = X[0], X[0]
    return lower, upper


def test_one_gamma_step_is_that_of_the_reference():
    X = sizes(40, 2)
    lower, upper = any_bounds(X)
    start = quiet(GammaMixture(2, random_state=0, max_iter=1), X)
    weights, shapes, rates = start.weights_, start.shapes_, start.rates_
    statistics = GammaMixture._rows_between(start.model_).e_step(np.hstack([X, lower, upper]))
    counts, mean, mean_log, total = reference.gamma_sums(lower, upper, weights, shapes, rates)
    assert np.allclose(statistics.counts, counts, rtol=1e-7)
    assert np.allclose(statistics.first, np.hstack([mean, mean_log]), rtol=1e-7, atol=1e-7)
    assert np.isclose(statistics.log_likelihood, total, rtol=1e-9)
    bound = start.model_.expected_log_joint(statistics, start.model_) + statistics.entropy
    assert np.isclose(bound, total, rtol=1e-9)


def test_one_gamma_component_is_the_maximum():
    """Against a direct maximisation of a censored and rounded column."""
    x = np.random.default_rng(0).gamma(3, 2, 500)
    lower, upper = np.where(x < 3, 0.0, np.floor(x)), np.where(x < 3, 3.0, np.floor(x) + 1)
    upper[x > 12] = np.inf

    def loss(p):
        shape, scale = np.exp(p)
        return -np.log(gamma.cdf(upper, shape, scale=scale) - gamma.cdf(lower, shape, scale=scale)).sum()

    best = minimize(loss, [1.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    given = {"lower": lower[:, None], "upper": upper[:, None]}
    model = quiet(GammaMixture(1, tol=1e-13, stop="log_likelihood"), x[:, None], **given)
    assert np.isclose(model.shapes_[0, 0], np.exp(best.x[0]), rtol=1e-5)
    assert np.isclose(model.rates_[0, 0], np.exp(-best.x[1]), rtol=1e-5)
    assert np.isclose(model.log_likelihood_, -best.fun, rtol=1e-10)


def test_the_gamma_likelihood_is_as_exact_as_it_says():
    flint = pytest.importorskip("flint")
    x = np.random.default_rng(1).gamma(3, 1, 60)
    lower, upper = np.floor(x), np.floor(x) + 1
    lower[:20], upper[:20], upper[20:30] = 0.0, 2.0, np.inf
    model = quiet(GammaMixture(1), x[:, None], lower=lower[:, None], upper=upper[:, None])
    shape, rate = model.shapes_[0, 0], flint.arb(model.rates_[0, 0])
    ends = ((rate * low, rate * high if np.isfinite(high) else high) for low, high in zip(lower, upper))
    exact = sum(reference.gamma_interval(flint, shape, low, high)[0] for low, high in ends)
    assert abs(model.log_likelihood_ - exact) <= model.log_likelihood_error_ < 1e-11


@pytest.mark.parametrize("kind", [ExponentialMixture, GeometricMixture, GammaMixture, StudentTMixture])
def test_a_column_of_which_no_row_says_anything_is_refused(kind):
    X = np.random.default_rng(0).gamma(2, 2, (60, 2)).round() + 1
    lower, upper, weight = X.copy(), X.copy(), np.ones(60)
    lower[1:, 1], upper[1:, 1], weight[0] = -np.inf, np.inf, 0
    with pytest.raises(ValueError, match=r"Column 1 of X: every value is missing .* Leave it out"):
        kind(1).fit(X, lower=lower, upper=upper, sample_weight=weight)
    if kind is not StudentTMixture:  # its values are positive: zero says nothing
        lower[1:, 1] = 0
        with pytest.raises(ValueError, match=r"Column 1 of X: every value is missing .* Leave it out"):
            kind(1).fit(X, lower=lower, upper=upper, sample_weight=weight)
