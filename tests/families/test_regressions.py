"""Mixtures of regressions: NIST's certified fits, direct maximisation, recovery, laws, and what is refused."""

import warnings

import numpy as np
import pytest
import reference
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp

from fastem import MixtureOfRegressions

LONGLEY = """
60323 83.0 234289 2356 1590 107608 1947
61122 88.5 259426 2325 1456 108632 1948
60171 88.2 258054 3682 1616 109773 1949
61187 89.5 284599 3351 1650 110929 1950
63221 96.2 328975 2099 3099 112075 1951
63639 98.1 346999 1932 3594 113270 1952
64989 99.0 365385 1870 3547 115094 1953
63761 100.0 363112 3578 3350 116219 1954
66019 101.2 397469 2904 3048 117388 1955
67857 104.6 419180 2822 2857 118734 1956
68169 108.4 442769 2936 2798 120445 1957
66513 110.8 444546 4681 2637 121950 1958
68655 112.6 482704 3813 2552 123366 1959
69564 114.2 502601 3931 2514 125368 1960
69331 115.7 518173 4806 2572 127852 1961
70551 116.9 554894 4007 2827 130081 1962
"""  # National Institute of Standards and Technology, Statistical Reference Datasets; public domain
CERTIFIED = {
    "intercept": (-3482258.63459582, 890420.383607373),
    "coef": (
        [15.0618722713733, -0.358191792925910e-01, -2.02022980381683, -1.03322686717359, -0.511041056535807e-01]
        + [1829.15146461355],
        [84.9149257747669, 0.334910077722432e-01, 0.488399681651699, 0.214274163161675, 0.226073200069370]
        + [455.478499142212],
    ),
    "deviation": 304.854073561965,
}


def fitted(X, y, K=2, **parameters):
    covariates = parameters.pop("covariates", None)
    sample_weight = parameters.pop("sample_weight", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixtureOfRegressions(K, **({"random_state": 0, "tol": 1e-8} | parameters))
        return model.fit(X, y, sample_weight, covariates=covariates)


def crossing(n=600, seed=0, family="gaussian"):
    """Rows (n, 2), targets, and the coefficients of their two lines."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    lines = np.array([[2.0, 0.5], [-2.0, 1.0]])
    intercepts = np.array([0.0, 1.0])
    z = (rng.random(n) < 0.4) * 1
    eta = (X * lines[z]).sum(axis=1) + intercepts[z]
    draw = {
        "gaussian": lambda: eta + 0.1 * rng.normal(size=n),
        "poisson": lambda: rng.poisson(np.exp(eta + 1)),
        "binomial": lambda: (rng.random(n) < 1 / (1 + np.exp(-eta))) * 1,
    }
    return X, draw[family](), lines


def log_joint(model, X, y, family):
    """(n, K) of models of one output without covariates."""
    eta = model.intercept_ + X @ model.coef_.T
    y = np.asarray(y, float)[:, None]
    if family == "gaussian":
        log = -0.5 * ((y - eta) ** 2 / model.variances_ + np.log(2 * np.pi * model.variances_))
    elif family == "poisson":
        log = y * eta - np.exp(eta) - gammaln(y + 1)
    else:
        log = y * eta - np.logaddexp(0, eta)
    return log + np.log(model.weights_)


def test_longley():
    rows = np.array([line.split() for line in LONGLEY.strip().splitlines()], float)
    X, y = rows[:, 1:], rows[:, 0]
    model = fitted(X, y, 1)
    errors = model.standard_errors(X, y)
    n, free = len(y), len(y) - 7
    assert np.allclose(model.coef_[0], CERTIFIED["coef"][0], rtol=1e-9, atol=0)
    assert np.isclose(model.intercept_[0], CERTIFIED["intercept"][0], rtol=1e-9)
    assert np.isclose(np.sqrt(model.variances_[0] * n / free), CERTIFIED["deviation"], rtol=1e-9)
    assert np.allclose(errors.coef[0] * np.sqrt(n / free), CERTIFIED["coef"][1], rtol=1e-5)
    assert np.isclose(errors.intercept[0] * np.sqrt(n / free), CERTIFIED["intercept"][1], rtol=1e-5)


@pytest.mark.parametrize("slope", [1.0, 0.1], ids=["Wampler1", "Wampler2"])
def test_wampler(slope):
    """y = 1 + s x + ... + s^5 x^5 exactly, x = 0 .. 20: the certified coefficients are 1, s, ..., s^5."""
    x = np.arange(21.0)
    expected = slope ** np.arange(6)
    y = x[:, None] ** np.arange(6) @ expected
    model = fitted(x[:, None] ** np.arange(1, 6), y, 1)
    assert np.allclose(model.coef_[0], expected[1:], rtol=1e-7)
    assert np.isclose(model.intercept_[0], 1, rtol=1e-7)


@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("seed", range(3))
def test_two_crossing_planes_are_recovered(family, seed):
    X, y, lines = crossing(seed=seed, family=family)
    model = fitted(X, y, family=family)
    order = np.argsort(-model.coef_[:, 0])
    errors = model.standard_errors(X, y).coef[order]
    assert (abs(model.coef_[order] - lines) < 5 * errors).all()
    history = np.array(model.history_)
    assert (np.diff(history) >= -1e-12 * abs(history[1:])).all()


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_likelihood_and_predictions_are_those_of_the_formula(family):
    X, y, _ = crossing(family=family)
    model = fitted(X, y, family=family, max_iter=20)
    joint = log_joint(model, X, y, family)
    density = logsumexp(joint, axis=1)
    assert np.isclose(model.log_likelihood_, density.sum(), rtol=1e-10)
    assert np.allclose(model.score_samples(X, y), density, rtol=1e-9, atol=1e-10)
    assert np.allclose(model.predict_components(X, y), np.exp(joint - density[:, None]), atol=1e-9)
    assert np.isclose(model.bic(X, y), model.n_parameters_ * np.log(len(y)) - 2 * density.sum())
    eta = model.intercept_ + X @ model.coef_.T
    if family == "gaussian":
        mean, spread = eta, model.variances_
    elif family == "poisson":
        mean = spread = np.exp(eta)
    else:
        mean = 1 / (1 + np.exp(-eta))
        spread = mean * (1 - mean)
    total = mean @ model.weights_
    deviation = np.sqrt((spread + (mean - total[:, None]) ** 2) @ model.weights_)
    for got, expected in zip(model.predict(X, return_std=True), (total, deviation)):
        assert np.allclose(got, expected)


@pytest.mark.parametrize("family", ["poisson", "binomial"])
def test_one_component_is_the_generalised_linear_model(family):
    X, y, _ = crossing(family=family)

    def loss(b):
        eta = b[0] + X @ b[1:]
        return (np.exp(eta) if family == "poisson" else np.logaddexp(0, eta)).sum() - y @ eta

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    model = fitted(X, y, 1, family=family, tol=1e-13)
    assert np.allclose([model.intercept_[0], *model.coef_[0]], best.x, atol=1e-4)


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
@pytest.mark.parametrize("gated", [False, True])
def test_the_gradient_is_that_of_the_likelihood_and_steps_never_fall(family, gated):
    """From points far away, where Newton's whole step falls."""
    X, y, _ = crossing(300, family=family)
    more = {"covariates": X} if gated else {}
    model = fitted(X, y, family=family, max_iter=3, **more)
    wide = model._wide(X, y, more.get("covariates"))
    rng = np.random.default_rng(0)
    vector = model.model_.to_vector()
    for size in (0.1, 1, 3):
        start = model.model_.from_vector(vector + size * rng.normal(size=len(vector)))
        sums = start.e_step(wide)
        after = start.m_step(sums)
        before, later = sums.log_likelihood + start.log_prior(), after.e_step(wide).log_likelihood + after.log_prior()
        assert later >= before - 1e-9 * abs(before)
        x, gradient = start.to_vector(), start.gradient(sums)
        for i in range(len(x)):
            step = 1e-6 * np.eye(len(x))[i]
            ends = [start.from_vector(x + sign * step) for sign in (1, -1)]
            up, down = (end.e_step(wide).log_likelihood + end.log_prior() for end in ends)
            assert np.isclose((up - down) / 2e-6, gradient[i], rtol=1e-4, atol=1e-3 * (1 + abs(gradient).max()) * 1e-2)


def test_a_mixture_of_experts():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (2000, 1))
    coefficients = np.array([[0.5, 3.0], [0.0, 0.0]])
    z = (rng.random(2000)[:, None] > np.exp(reference.log_gate(X, coefficients)).cumsum(axis=1)).sum(axis=1)
    y = np.where(z == 0, 1 + X[:, 0], -1 + 2 * X[:, 0]) + 0.2 * rng.normal(size=2000)
    model = fitted(X, y, covariates=X)
    order = np.argsort(model.coef_[:, 0])
    gate = model.gate_coefficients_[order] - model.gate_coefficients_[order[1]]
    errors = model.standard_errors(X, y, covariates=X)
    assert (abs(gate[0] - coefficients[0]) < 4 * errors.gate.max(axis=0)).all()
    assert np.allclose(model.class_probabilities(X), np.exp(reference.log_gate(X, model.gate_coefficients_)))
    shares = model.class_probabilities(X)
    assert np.allclose(model.predict(X, covariates=X), (shares * (model.intercept_ + X @ model.coef_.T)).sum(axis=1))
    with pytest.raises(ValueError, match="Pass covariates="):
        model.predict(X)


def test_integer_weights_are_repeated_rows():
    X, y, _ = crossing(300)
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    one = fitted(X, y, 1, sample_weight=weight)
    other = fitted(X.repeat(weight, axis=0), y.repeat(weight), 1)
    assert np.allclose(one.coef_, other.coef_, rtol=1e-9) and np.isclose(one.log_likelihood_, other.log_likelihood_)


def test_threads_change_no_bit():
    X, y, _ = crossing(20_000)
    one, two = (fitted(X, y, n_threads=n, n_init=2, max_iter=10) for n in (1, 2))
    assert np.array_equal(one.coef_, two.coef_) and one.log_likelihood_ == two.log_likelihood_


def test_units_of_columns_do_not_matter():
    X, y, _ = crossing(300)
    model, moved = fitted(X, y), fitted(X * [1e-8, 1e6] + [5, -1e7], y)
    order, other = (np.argsort(m.weights_) for m in (model, moved))
    assert np.allclose(model.coef_[order], moved.coef_[other] * [1e-8, 1e6], rtol=1e-5, atol=1e-6)


def test_several_outputs_and_dependent_columns():
    X, y, _ = crossing()
    Y = np.column_stack([y, -3 * y])
    model = fitted(np.column_stack([X, X[:, 0] - X[:, 1]]), Y)
    assert model.coef_.shape == (2, 2, 3) and model.intercept_.shape == model.variances_.shape == (2, 2)
    assert (model.coef_[:, :, 2] == 0).all() and np.allclose(model.coef_[:, 1], -3 * model.coef_[:, 0])
    assert model.predict(np.column_stack([X, X[:, 0] - X[:, 1]])).shape == Y.shape


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"family": "poisson"}, "must hold counts"),
        ({"family": "binomial"}, "must hold 0 or 1"),
        ({"family": "gamma"}, "'family' parameter"),
        ({"covariates": np.zeros((5, 1))}, "covariates has 5 rows"),
        ({"covariates": np.zeros((600, 1))}, "in all rows, as the intercept"),
        ({"covariates": ["age"]}, "must be an array"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(change, sentence):
    X, y, _ = crossing()
    with pytest.raises(ValueError, match=sentence):
        fitted(X, y, **change)
