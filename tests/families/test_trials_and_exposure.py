"""Regressions of numbers of successes in trials, and of counts for an exposure."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import binom, poisson

import fastem
from fastem import MixtureOfRegressions

SIZES = {"binomial": "trials", "poisson": "exposure"}
LAWS = {
    "binomial": lambda y, size, eta: binom.logpmf(y, size, expit(eta)),
    "poisson": lambda y, size, eta: poisson.logpmf(y, size * np.exp(eta)),
}
LINES = np.array([[-1.0, 2.0, 0.5], [1.0, -2.0, 1.0]])  # the intercept first


def counted(family, n=600, seed=0):
    """Rows (n, 2), targets, their sizes, and the component of each row."""
    rng = np.random.default_rng(seed)
    X, z = rng.uniform(-1, 1, (n, 2)), (rng.random(n) < 0.4) * 1
    eta = LINES[z, 0] + (X * LINES[z, 1:]).sum(axis=1)
    size = rng.integers(1, 40, n).astype(float) if family == "binomial" else rng.uniform(0.1, 30, n)
    y = rng.binomial(size.astype(int), expit(eta)) if family == "binomial" else rng.poisson(size * np.exp(eta))
    return X, y, size, z


def fitted(family, X, y, size, K=2, **others):
    parameters = {name: others.pop(name) for name in ("tol", "max_iter", "n_threads") if name in others}
    model = MixtureOfRegressions(K, family=family, random_state=0, n_init=4, **parameters)
    return model.fit(X, y, **{SIZES[family]: size}, **others)


families = pytest.mark.parametrize("family", SIZES)


@families
def test_two_lines_are_recovered_and_the_likelihood_is_that_of_the_formula(family):
    X, y, size, z = counted(family)
    side = {SIZES[family]: size}
    model = fitted(family, X, y, size, tol=1e-8)
    found = np.column_stack([model.intercept_, model.coef_])
    order = np.argsort(found[:, 0])
    errors = model.standard_errors(X, y, **side)
    errors = np.column_stack([errors.intercept, errors.coef])[order]
    assert (abs(found[order] - LINES) < 4 * errors).all() and (errors < 0.2).all()
    eta = model.intercept_ + X @ model.coef_.T
    joint = LAWS[family](y[:, None], size[:, None], eta) + np.log(model.weights_)
    density = logsumexp(joint, axis=1)
    assert np.isclose(model.log_likelihood_, density.sum(), rtol=1e-10)
    assert np.allclose(model.score_samples(X, y, **side), density, rtol=1e-9, atol=1e-9)
    assert np.allclose(model.predict_components(X, y, **side), np.exp(joint - density[:, None]), atol=1e-9)
    assert np.isclose(model.bic(X, y, **side), 7 * np.log(600) - 2 * density.sum())
    assert np.isclose(model.aic(X, y, **side), 14 - 2 * density.sum())
    history = np.array(model.history_)
    assert (np.diff(history) >= -1e-12 * abs(history[1:])).all()
    assert (model.predict_components(X, y, **side)[:, order].argmax(axis=1) == z).mean() > 0.85
    unit = expit(eta) if family == "binomial" else np.exp(eta)
    assert np.allclose(model.predict(X), unit @ model.weights_)  # of one trial, of the exposure 1
    mean, deviation = model.predict(X, return_std=True, **side)
    assert np.allclose(mean, size * (unit @ model.weights_))
    spread = size[:, None] * unit * (1 - unit if family == "binomial" else 1)
    within = spread + (size[:, None] * unit - mean[:, None]) ** 2
    assert np.allclose(deviation, np.sqrt(within @ model.weights_))
    assert model.score(X, y, **side) > 0.3


@families
def test_one_component_is_the_generalised_linear_model(family):
    X, y, size, _ = counted(family)
    Z = np.column_stack([np.ones(len(X)), X])
    best = minimize(lambda b: -LAWS[family](y, size, Z @ b).sum(), np.zeros(3), method="BFGS", options={"gtol": 1e-6})
    model = fitted(family, X, y, size, 1, tol=1e-13)
    found = np.append(model.intercept_, model.coef_)
    assert np.allclose(found, best.x, atol=1e-4)
    mean = size * (expit(Z @ found) if family == "binomial" else np.exp(Z @ found))
    spread = mean * (1 - mean / size) if family == "binomial" else mean
    errors = model.standard_errors(X, y, **{SIZES[family]: size})
    expected = np.sqrt(np.diag(np.linalg.inv(Z.T * spread @ Z)))
    assert np.allclose(np.append(errors.intercept, errors.coef), expected, rtol=1e-4)


@families
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("columns", [1, 4, 7])
def test_of_one_trial_or_the_exposure_1_it_is_the_fit_without(family, outputs, columns):
    rng = np.random.default_rng(3)
    n = 150
    X = rng.normal(size=(n, columns))
    y = np.column_stack([X[:, 0] + rng.normal(size=n) > 0.3, X[:, 0] < rng.normal(size=n)][:outputs]) * 1
    y = y if outputs > 1 else y[:, 0]
    y = y if family == "binomial" else 3 * y
    plain = MixtureOfRegressions(2, family=family, random_state=0, n_init=4, max_iter=0).fit(X, y)
    for size in (np.ones(n), np.ones((n, outputs))):
        model = fitted(family, X, y, size, max_iter=0)
        assert np.allclose(model.coef_, plain.coef_, rtol=1e-9)
        assert np.isclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-12)
        side = {SIZES[family]: size}
        assert np.allclose(model.score_samples(X, y, **side), plain.score_samples(X, y), rtol=1e-8)


@families
def test_whole_weights_are_repeated_rows_and_a_sum_of_trials_of_one_component_is_a_row(family):
    X, y, size, _ = counted(family, 200)
    weight = np.arange(200) % 3
    weighted = fitted(family, X, y, size, 1, tol=1e-12, sample_weight=weight)
    rows = np.repeat(np.arange(200), weight)
    repeated = fitted(family, X[rows], y[rows], size[rows], 1, tol=1e-12)
    assert np.allclose(weighted.coef_, repeated.coef_, rtol=1e-7)
    assert np.isclose(weighted.log_likelihood_, repeated.log_likelihood_, rtol=1e-10)
    if family == "binomial":  # of one component, trials may as well be rows
        trials = size.astype(int)
        rows = np.repeat(np.arange(200), trials)
        begin = np.cumsum(trials) - trials
        single = (np.arange(len(rows)) - begin[rows] < y[rows]) * 1
        alone = MixtureOfRegressions(1, family="binomial", tol=1e-12).fit(X[rows], single)
        assert np.allclose(alone.coef_, fitted(family, X, y, size, 1, tol=1e-12).coef_, rtol=1e-6)


def test_another_unit_of_exposure_moves_the_intercept_alone():
    X, y, size, _ = counted("poisson")
    years, days = (fitted("poisson", X, y, unit * size, tol=1e-8) for unit in (1, 365))
    assert np.allclose(days.coef_, years.coef_, atol=1e-4)
    assert np.allclose(days.intercept_, years.intercept_ - np.log(365), atol=1e-4)


@pytest.mark.filterwarnings("ignore::fastem.ConvergenceWarning")
@families
def test_the_same_bits_for_any_number_of_threads(family):
    X, y, size, _ = counted(family, 5000)
    one, three = (fitted(family, X, y, size, max_iter=5, n_threads=n) for n in (1, 3))
    assert np.array_equal(one.coef_, three.coef_) and one.log_likelihood_ == three.log_likelihood_


@families
def test_outputs_have_sizes_of_their_own(family):
    X, y, size, _ = counted(family)
    _, other, others, _ = counted(family, seed=1)
    Y, S = np.column_stack([y, other]), np.column_stack([size, others])
    model = fitted(family, X, Y, S, 1, tol=1e-12)
    for j in range(2):
        alone = fitted(family, X, Y[:, j], S[:, j], 1, tol=1e-12)
        assert np.allclose(model.coef_[0, j], alone.coef_[0], rtol=1e-5)
    assert model.predict(X, **{SIZES[family]: S}).shape == (600, 2)
    swapped = model.score_samples(X, Y, **{SIZES[family]: np.maximum(S[:, ::-1], Y)})
    assert not np.allclose(swapped, model.score_samples(X, Y, **{SIZES[family]: S}))


@families
def test_sizes_beside_covariates_by_name_in_files_and_pickles(family, tmp_path):
    X, y, size, z = counted(family)
    C = np.random.default_rng(9).normal(size=(600, 1)) + 3 * z[:, None]
    side = {"covariates": C, SIZES[family]: size}
    model = fitted(family, X, y, size, covariates=C, tol=1e-6)
    density = model.score_samples(X, y, **side)
    eta = model.intercept_ + X @ model.coef_.T
    shares = np.log(model.class_probabilities(C))
    expected = logsumexp(LAWS[family](y[:, None], size[:, None], eta) + shares, axis=1)
    assert np.allclose(density, expected, rtol=1e-9, atol=1e-9)
    frame = pd.DataFrame(np.column_stack([size, X, C]), columns=["n", "a", "b", "c"])
    named = fitted(family, frame, y, "n", covariates="c", tol=1e-6)
    assert list(named.feature_names_in_) == ["a", "b"] and np.allclose(named.coef_, model.coef_, rtol=1e-9)
    assert np.allclose(named.score_samples(frame, y, **{"covariates": "c", SIZES[family]: "n"}), density, rtol=1e-7)
    model.save(tmp_path / "model.npz")
    for other in (fastem.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert np.allclose(other.score_samples(X, y, **side), density, rtol=1e-9)
        assert np.allclose(other.predict(X, **side), model.predict(X, **side))


def test_many_trials_keep_their_digits():
    """Also where nearly all of them succeed."""
    X = np.linspace(-1, 1, 50)[:, None]
    trials = np.full(50, 1e9)
    y = trials - np.arange(50) % 3
    model = fitted("binomial", X, y, trials, 1, tol=1e-10)
    eta = model.intercept_ + X @ model.coef_[0]
    expected = binom.logpmf(trials - y, trials, expit(-eta))
    assert np.allclose(model.score_samples(X, y, trials=trials), expected, atol=1e-5)
    assert abs((model.predict(X, trials=trials) - y).sum()) < 1e-3


@pytest.mark.parametrize(
    "family, sides, sentence",
    [
        ("poisson", {"trials": np.ones(4)}, r"trials is only for family='binomial', but this is family='poisson'"),
        ("gaussian", {"exposure": np.ones(4)}, r"exposure is only for family='poisson', but this is family='gaussian'"),
        ("binomial", {"trials": [1, 2, 0, 1]}, r"trials must hold whole numbers >= 1, but that of row 2 is 0\."),
        ("binomial", {"trials": [1, 2, 1.5, 1]}, r"but that of row 2 is 1\.5\."),
        ("binomial", {"trials": [1, np.nan, 1, 1]}, r"but that of row 1 is nan\."),
        ("poisson", {"exposure": [1, 2, -1, 1]}, r"exposure must hold positive numbers, but that of row 2 is -1\."),
        ("poisson", {"exposure": [1, 2, np.inf, 1]}, r"but that of row 2 is inf\."),
        ("poisson", {"exposure": [1, 2, 1]}, r"exposure has 3 rows, but X has 4"),
        ("poisson", {"exposure": np.ones((4, 2))}, r"exposure has 2 columns, but y has 1\."),
        ("binomial", {"trials": [1, 2, 1, 1]}, r"successes, from 0 to trials, but that of row 3 is 2 of 1\."),
        ("binomial", {}, r"0 or 1; numbers of successes need trials=, but that of row 3 is 2\."),
        ("poisson", {"exposure": "n"}, r"columns of X have no names"),
    ],
)
def test_what_is_no_size_is_refused_by_name(family, sides, sentence):
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 1, 1, 2])
    model = MixtureOfRegressions(family=family)
    error = TypeError if "names" in sentence else ValueError
    with pytest.raises(error, match=sentence):
        model.fit(X, y, **sides)
    model.fit(X, np.minimum(y, 1))
    with pytest.raises(error, match=sentence):
        model.score_samples(X, y, **sides)
