"""Mixtures of regressions: NIST's certified fits, direct maximisation, recovery, laws, and what is refused."""

import pickle
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import reference
from nist_regressions import REGRESSIONS
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp
from scipy.stats import poisson
from sklearn.metrics import r2_score

import fastem
from fastem import MixtureOfRegressions
from fastem.models.regressions import solved

LONG = np.finfo(np.longdouble).eps < np.finfo(np.float64).eps
DIGITS = {"Longley": 13, "Filip": 7, "Wampler4": 10, "Wampler5": 9} if LONG else {"Longley": 10, "Filip": 6}


def fitted(X, y, K=2, **parameters):
    sides = ("sample_weight", "covariates", "trials", "exposure")
    sides = {name: parameters.pop(name) for name in sides if name in parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = MixtureOfRegressions(K, **({"random_state": 0, "tol": 1e-8} | parameters))
        return model.fit(X, y, **sides)


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


@pytest.mark.parametrize("name", REGRESSIONS)
def test_nists_regressions(name):
    """To the digits that the docstring states; where y is exact, the variance is at its floor."""
    X, y, coefficients, deviations = REGRESSIONS[name]()
    model = MixtureOfRegressions().fit(X, y)
    found = np.append(model.intercept_, model.coef_)
    digits = DIGITS.get(name, 11 if LONG else 5)
    assert (abs(found - coefficients) <= 10.0**-digits * abs(coefficients)).all()
    if not deviations.any():
        assert model.variances_[0] == pytest.approx(1e-6 * y.var())
        with pytest.raises(ValueError, match="a variance is at its floor"):
            model.standard_errors(X, y)
        return
    n, p = len(X), len(coefficients)
    errors = model.standard_errors(X, y)
    unbiased = np.append(errors.intercept, errors.coef) * np.sqrt(n / (n - p))
    assert np.allclose(unbiased, deviations, rtol=1e-6)


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
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("sized", [False, True])
def test_the_gradient_is_that_of_the_likelihood_and_steps_never_fall(family, gated, outputs, sized):
    """From points far away, where Newton's whole step falls."""
    X, y, _ = crossing(300, family=family)
    y = y if outputs == 1 else np.column_stack([y, y[::-1]])
    more = {"covariates": X} if gated else {}
    if sized and family != "gaussian":
        more["trials" if family == "binomial" else "exposure"] = np.arange(300) % 9 + 1
    model = fitted(X, y, family=family, max_iter=3, **more)
    of_rows, wide = model._wide(X, y, more)
    rng = np.random.default_rng(0)
    vector = of_rows.to_vector()
    for size in (0.1, 1, 3):
        start = of_rows.from_vector(vector + size * rng.normal(size=len(vector)))
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


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_integer_weights_are_repeated_rows(family):
    X, y, _ = crossing(300, family=family)
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    one = fitted(X, y, 1, sample_weight=weight, family=family)
    other = fitted(X.repeat(weight, axis=0), y.repeat(weight), 1, family=family)
    assert np.allclose(one.coef_, other.coef_, rtol=1e-7) and np.isclose(one.log_likelihood_, other.log_likelihood_)


def test_threads_change_no_bit():
    X, y, _ = crossing(20_000)
    one, two = (fitted(X, y, n_threads=n, n_init=2, max_iter=10) for n in (1, 2))
    assert np.array_equal(one.coef_, two.coef_) and one.log_likelihood_ == two.log_likelihood_


def test_units_of_columns_do_not_matter():
    X, y, _ = crossing(300)
    model, moved = fitted(X, y), fitted(X * [1e-8, 1e6] + [5, -1e7], y)
    order, other = (np.argsort(m.weights_) for m in (model, moved))
    assert np.allclose(model.coef_[order], moved.coef_[other] * [1e-8, 1e6], rtol=1e-5, atol=1e-6)
    errors, scaled = model.standard_errors(X, y), fitted(X, 1e-9 * y).standard_errors(X, 1e-9 * y)
    assert np.allclose(np.sort(errors.coef.ravel()), 1e9 * np.sort(scaled.coef.ravel()), rtol=1e-5)


def test_a_predictor_that_is_constant_is_the_intercepts():
    """So that regressions without predictors are a mixture of Gaussians."""
    _, y, _ = crossing()
    model = fitted(np.full((len(y), 1), 0.1), y)
    assert (model.coef_ == 0).all() and model.n_parameters_ == 5
    joint = -0.5 * ((y[:, None] - model.intercept_) ** 2 / model.variances_ + np.log(2 * np.pi * model.variances_))
    assert np.isclose(logsumexp(joint + np.log(model.weights_), axis=1).sum(), model.log_likelihood_, rtol=1e-12)
    assert np.isnan(model.standard_errors(np.full((len(y), 1), 0.1), y).coef).all()


@pytest.mark.parametrize("family", ["gaussian", "poisson", "binomial"])
def test_a_saved_model_is_the_same(family, tmp_path):
    X, y, _ = crossing(300, family=family)
    for covariates in (None, X):
        model = fitted(X, y, family=family, covariates=covariates, max_iter=20)
        model.save(tmp_path / "model.npz")
        for other in (fastem.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
            for name in ("coef_", "intercept_", "weights_", "n_parameters_", "log_likelihood_"):
                assert np.array_equal(getattr(other, name), getattr(model, name))
            for method in ("score_samples", "predict_components", "bic"):
                ours, theirs = (getattr(m, method)(X, y, covariates=covariates) for m in (model, other))
                assert np.array_equal(ours, theirs)
            ours, theirs = (m.predict(X, return_std=True, covariates=covariates) for m in (model, other))
            assert np.allclose(ours, theirs, rtol=1e-10)


def test_arrays_that_make_no_model_are_not_saved(tmp_path):
    X, y, _ = crossing(300)
    model = fitted(X, y, max_iter=5)
    model.coef_ = model.coef_[:, :1]
    with pytest.raises(ValueError, match="coef_"):
        model.save(tmp_path / "model.npz")


def test_several_outputs_and_dependent_columns():
    X, y, _ = crossing()
    Y = np.column_stack([y, -3 * y])
    model = fitted(np.column_stack([X, X[:, 0] - X[:, 1]]), Y)
    assert model.coef_.shape == (2, 2, 3) and model.intercept_.shape == model.variances_.shape == (2, 2)
    assert (model.coef_[:, :, 2] == 0).all() and np.allclose(model.coef_[:, 1], -3 * model.coef_[:, 0])
    assert model.predict(np.column_stack([X, X[:, 0] - X[:, 1]])).shape == Y.shape


def test_covariates_are_columns_of_a_frame_by_name():
    X, y, _ = crossing()
    age = np.random.default_rng(1).normal(size=len(X))
    frame, names = pd.DataFrame({"a": X[:, 0], "age": age, "b": X[:, 1]}), {"covariates": ["age"]}
    model, expected = fitted(frame, y, **names), fitted(X, y, covariates=age)
    assert list(model.feature_names_in_) == ["a", "b"]
    for method in ("score", "score_samples", "predict_components", "bic"):
        ours, theirs = getattr(model, method)(frame, y, **names), getattr(expected, method)(X, y, covariates=age)
        assert np.array_equal(ours, theirs)
    assert np.array_equal(model.predict(frame, covariates="age"), expected.predict(X, covariates=age))
    ours, theirs = model.standard_errors(frame, y, **names), expected.standard_errors(X, y, covariates=age)
    assert np.array_equal(ours.gate, theirs.gate)
    with pytest.raises(ValueError, match="'height', which X does not have"):
        fitted(frame, y, covariates="height")
    with pytest.raises(TypeError, match="the columns of X have no names"):
        fitted(X, y, covariates="age")
    with pytest.raises(ValueError, match="expects an array of covariates, not names"):
        model.class_probabilities("age")


def test_weights_are_a_column_of_a_frame_by_name():
    X, y, _ = crossing(120)
    weight, age = np.arange(120.0) % 3, X[:, 1]
    frame = pd.DataFrame({"a": X[:, 0], "w": weight, "age": age})
    model = fitted(frame, y, covariates="age", sample_weight="w")
    expected = fitted(X[:, :1], y, covariates=age, sample_weight=weight)
    assert np.array_equal(model.coef_, expected.coef_) and model.feature_names_in_.tolist() == ["a"]
    assert model.side_columns_ == ["covariates"]
    for ask in ("score", "bic", "aic"):
        ours = getattr(model, ask)(frame, y, "w", covariates="age")
        assert ours == getattr(expected, ask)(X[:, :1], y, weight, covariates=age)
    ours = model.standard_errors(frame, y, "w", covariates="age")
    assert np.array_equal(ours.coef, expected.standard_errors(X[:, :1], y, weight, covariates=age).coef)
    assert np.array_equal(
        model.predict(frame[["a", "age"]], covariates="age"), expected.predict(X[:, :1], covariates=age)
    )
    with pytest.raises(ValueError, match="sample_weight names the column 'u', which X does not have"):
        fitted(frame, y, sample_weight="u")
    with pytest.raises(ValueError, match="sample_weight names the column 'age', which is named already"):
        fitted(frame, y, covariates="age", sample_weight="age")


def test_covariates_of_a_frame_keep_their_names_where_they_are_refused():
    X, y, _ = crossing(60)
    frame = pd.DataFrame({"a": X[:, 0], "age": np.arange(60.0)})
    model = fitted(frame, y, covariates="age")
    gap = frame.assign(age=frame["age"].where(frame["age"] != 4))
    sentence = "Input covariates contains NaN: the first is at row 4, column 'age'"
    for use in (
        lambda: fitted(gap, y, covariates="age"),
        lambda: fitted(gap[["a"]], y, covariates=gap[["age"]]),
        lambda: model.predict(gap, covariates="age"),
        lambda: model.standard_errors(gap, y, covariates="age"),
        lambda: model.class_probabilities(gap[["age"]]),
    ):
        with pytest.raises(ValueError, match=sentence):
            use()
    with pytest.raises(ValueError, match="covariates contains NaN: the first is at row 4, column 'covariate 0'"):
        fitted(X, y, covariates=gap["age"].to_numpy())
    with pytest.raises(ValueError, match="covariates: age is 3 in all rows"):
        fitted(frame.assign(age=3.0), y, covariates="age")


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"family": "poisson"}, "must hold counts"),
        ({"family": "binomial"}, "must hold 0 or 1"),
        ({"family": "gamma"}, "'family' parameter"),
        ({"covariates": np.zeros((5, 1))}, "covariates has 5 rows"),
        ({"covariates": np.zeros((600, 1))}, "in all rows, as the intercept"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused(change, sentence):
    X, y, _ = crossing()
    with pytest.raises(ValueError, match=sentence):
        fitted(X, y, **change)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.filterwarnings("error", "ignore::fastem.ConvergenceWarning")
@pytest.mark.parametrize("seed", range(5))
def test_components_of_fewer_rows_than_coefficients_do_not_fall(seed):
    """Their curvature is singular up to rounding, and its inverse has no digits."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(10.0 ** rng.integers(4, 9), (12, 3)).astype(float)
    for K, few in ((5, 12), (2, 3)):
        model = MixtureOfRegressions(K, max_iter=30, random_state=0).fit(X[:few, :2], X[:few, 2])
        assert (np.diff(model.history_) >= -1e-9).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("offset", [2000.0, -1e6, 1e9])
def test_a_target_that_is_far_from_0_is_fitted_alike(offset):
    """Starts are drawn to its mean, not to 0."""
    X, y, _ = crossing(300)
    plain, far = (fitted(X, y + move, tol=1e-6) for move in (0.0, offset))
    assert abs(far.log_likelihood_ - plain.log_likelihood_) < 1e-3
    assert np.allclose(np.sort(far.coef_, axis=0), np.sort(plain.coef_, axis=0), atol=1e-3)


@pytest.mark.parametrize("K", [1, 2])
def test_coefficients_that_were_set_are_those_of_predictions_and_of_files(K, tmp_path):
    X, y, _ = crossing(300)
    model = fitted(X, y, covariates=X) if K == 2 else MixtureOfRegressions().fit(X, y)
    given = {} if K == 1 else {"covariates": X}
    model.coef_, model.intercept_ = 0 * model.coef_, 0 * model.intercept_ + 7
    if K == 2:
        model.gate_coefficients_ = np.eye(1, X.shape[1] + 1) * [[5.0], [0.0]]
    model.save(tmp_path / "model.npz")
    for one in (model, fastem.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(model))):
        assert np.allclose(one.predict(X, **given), 7)
        if K == 2:
            assert np.allclose(one.class_probabilities(X)[:, 0], 1 / (1 + np.exp(-5)))


def test_a_loaded_regression_without_digits_scores_alike(tmp_path):
    """Its coefficients, which are refined, are far from those in its basis."""
    X = np.array([[100000000008.99538, 100000000007.78967], [99999999999.73444, 100000000000.16736]])
    y = np.array([2.0, 0.0])
    model = MixtureOfRegressions(1, max_iter=0, random_state=0).fit(X, y, covariates=X)
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert np.array_equal(again.score_samples(X, y, covariates=X), model.score_samples(X, y, covariates=X))


def test_a_file_without_the_basis_is_read_from_the_coefficients(tmp_path):
    X, y, _ = crossing(300)
    model = fitted(X, y)
    expected = model.predict(X)
    del model.basis_, model.lines_
    model.save(tmp_path / "model.npz")
    assert np.allclose(fastem.load(tmp_path / "model.npz").predict(X), expected)


@pytest.mark.parametrize("rows", [lambda X: iter([X]), lambda X: fastem.open_rows([X[:50], X[50:]])])
def test_chunks_of_rows_are_refused_by_name(rows):
    X, y, _ = crossing(100)
    with pytest.raises(
        TypeError, match=r"^MixtureOfRegressions takes rows in memory here, an array or a frame, but X is"
    ):
        MixtureOfRegressions(2).fit(rows(X), y)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("unit", [1e-300, 1e60])
def test_weights_in_any_unit_are_the_same_regressions(unit):
    X, y, _ = crossing(300)
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    plain = MixtureOfRegressions(2, random_state=0).fit(X, 1e-30 * y, weight)
    other = MixtureOfRegressions(2, random_state=0).fit(X, 1e-30 * y, unit * weight)
    lines = (fit.coef_[np.argsort(fit.coef_[:, 0])] for fit in (plain, other))  # which of equal starts is kept is open
    assert np.allclose(*lines, rtol=1e-6, atol=0)


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-27, 2.0**-10, 2.0**33])
@pytest.mark.parametrize("family, K", [("poisson", 2), ("binomial", 1)])
def test_priors_are_weak_in_any_unit_of_weight(family, K, unit):
    X, y, _ = crossing(400, family=family)
    weight = np.full(len(y), unit)
    plain, other = fitted(X, y, K, family=family), fitted(X, y, K, family=family, sample_weight=weight)
    assert np.allclose(plain.coef_, other.coef_, rtol=1e-5)
    assert np.isclose(other.log_likelihood_, unit * plain.log_likelihood_, rtol=1e-9)
    errors, others = plain.standard_errors(X, y), other.standard_errors(X, y, weight)
    assert np.allclose(others.coef * unit**0.5, errors.coef, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_experts_find_the_pieces_of_a_curve(seed):
    """Runs that had begun with weights that are the same for all rows were dropped before their gates had moved."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-4, 4, (800, 1))
    y = 2 * np.sin(2 * x[:, 0]) + 0.2 * rng.normal(size=800)
    model = MixtureOfRegressions(6, random_state=seed).fit(x, y, covariates=x)
    assert model.score(x, y, covariates=x) > 0.9


@pytest.mark.parametrize("seed", [5, 8, 9, 10])
def test_columns_that_depend_on_others_up_to_rounding_get_no_coefficient(seed):
    """Four points determine three slopes."""
    rng = np.random.default_rng(seed)
    X = np.abs(rng.normal(size=(4, 4)))[rng.integers(0, 4, 150)]
    y = X[:, 0] + 1e-3 * rng.normal(size=150)
    model = MixtureOfRegressions().fit(X, y)
    assert abs(model.coef_).max() < 1e3 and (model.coef_ == 0).sum() == 1


def test_a_pickle_that_does_not_say_of_which_attributes_its_model_is():
    """As of version 0.1: the model is made of them anew."""
    X, y, _ = crossing(300)
    model = MixtureOfRegressions(2, random_state=0).fit(X, y)
    expected = model.score_samples(X, y)
    del vars(model)["_model_arrays"]
    old = pickle.loads(pickle.dumps(model))
    assert np.allclose(old.score_samples(X, y), expected, rtol=1e-12)
    old.coef_ = old.coef_ + 1
    assert not np.allclose(old.score_samples(X, y), expected)


def test_score_refuses_targets_that_are_none_of_the_family():
    X, y, _ = crossing(60)
    model = MixtureOfRegressions(1, family="binomial").fit(X, y > 0)
    for targets in (np.arange(60.0), 0.5 + 0 * y, -1.0 - (y > 0)):
        with pytest.raises(ValueError, match="y must hold 0 or 1"):
            model.score(X, targets)


@pytest.mark.filterwarnings("error")
def test_a_component_of_almost_no_weight_has_a_step():
    """Of covariates that nearly depend on each other: the inverse is beyond the range of numbers."""
    curvature, slope = np.array([[1.0, 1 - 1e-9], [1 - 1e-9, 1.0]]), np.array([1.0, -1.0])
    unit = np.ldexp(1.0, -1000)
    assert np.array_equal(solved(unit * curvature, unit * slope), solved(curvature, slope))


@pytest.mark.filterwarnings("error")
def test_sums_of_large_counts_state_what_they_lose():
    X, y = np.array([[999934956.0], [999998102.0]]), np.array([1000045046.0, 1000000158.0])
    sides = {"covariates": X, "exposure": y + [0, 1]}
    MixtureOfRegressions(2, family="poisson", max_iter=0, random_state=6).fit(X, y, **sides)
    X, y = np.arange(50.0)[:, None], np.full(50, 1e9)
    model = MixtureOfRegressions(1, family="poisson").fit(X, y)
    _, rows = model._wide(X, y, {})
    error = model.model_.log_likelihood_error(model.model_.e_step(rows))
    assert abs(model.log_likelihood_ - 50 * poisson.logpmf(10**9, 1e9)) < error < 0.1


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", [1e-165, 1e-125, 1e125, 1e160, 1e305])
def test_targets_and_covariates_far_from_1(scale):
    """The fit in another unit, or a sentence: once 1e-165 was fitted as equal components without a word."""
    rng = np.random.default_rng(1)
    X = np.r_[rng.normal(size=(150, 2)), rng.normal(size=(150, 2)) + 5]
    x, y, given = X[:, :1], X[:, 1], {"n_components": 2, "random_state": 0}
    usual = MixtureOfRegressions(**given).fit(x, y, covariates=x)
    asks = {
        "y varies by": lambda: MixtureOfRegressions(**given).fit(x, y * scale, covariates=x).coef_ / scale,
        "covariate 0 varies by": lambda: MixtureOfRegressions(**given).fit(x, y, covariates=x * scale).coef_,
    }
    for words, ask in asks.items():
        if 1e-130 < scale < 1e130:
            np.testing.assert_allclose(np.sort(ask(), axis=0), np.sort(usual.coef_, axis=0), rtol=1e-3)
        else:
            with pytest.raises(ValueError, match=words):
                ask()


def test_covariates_in_another_order_than_in_the_fit_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(200, 1)), pd.DataFrame(rng.normal(size=(200, 2)), columns=["age", "sex"])
    y = np.where(rng.random(200) < 0.5, X[:, 0], -X[:, 0]) + rng.normal(size=200) / 5
    model = MixtureOfRegressions(2, random_state=0).fit(X, y, covariates=C)
    model.save(tmp_path / "model.npz")
    for one in (model, fastem.load(tmp_path / "model.npz")):
        uses = [partial(use, X, y) for use in (one.score, one.bic, one.predict_components)]
        for use in (*uses, one.class_probabilities, partial(one.predict, X)):
            with pytest.raises(ValueError, match=r"covariate names should match .*\nCovariate .* in the same order"):
                use(covariates=C[["sex", "age"]])
            use(covariates=C)
    assert not hasattr(model.fit(X, y, covariates=C.to_numpy()), "covariate_names_")
    frame = pd.DataFrame(X, columns=["x"]).join(C)
    with pytest.raises(ValueError, match="in the same order"):
        model.fit(frame, y, covariates=["age", "sex"]).score(frame, y, covariates=["sex", "age"])


@pytest.mark.parametrize("far", [0.0, 1e5])
@pytest.mark.parametrize("K", [1, 2])
def test_targets_of_which_only_rounding_is_left_need_a_floor(far, K):
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = X[:, 0] + far
    with pytest.raises(ValueError, match="Increase reg_covar"):
        MixtureOfRegressions(K, reg_covar=0, random_state=0).fit(X, y)
    history = np.array(MixtureOfRegressions(1, random_state=0).fit(X, y).history_)
    assert (np.diff(history) >= -1e-9).all()


def test_errors_of_coefficients_that_are_no_maximum_are_refused():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 1))
    y = np.where(rng.random(400) < 0.5, 1 + 2 * X[:, 0], -1 - X[:, 0]) + 0.7 * rng.normal(size=400)
    model = MixtureOfRegressions(2, random_state=0, tol=1e-8, max_iter=5000).fit(X, y)
    errors = model.standard_errors(X, y).coef
    assert np.isfinite(errors).all()
    model.coef_ = model.coef_ + 2 * errors
    with pytest.raises(ValueError, match="not at a maximum"):
        model.standard_errors(X, y)


@pytest.mark.filterwarnings("error")
def test_counts_and_exposures_beyond_the_range_of_numbers():
    X = np.random.default_rng(0).normal(size=(200, 2))
    y = np.random.default_rng(1).poisson(np.exp(X[:, 0])).astype(float)
    for scale in (1e200, 1e300):
        with pytest.raises(ValueError, match=r"y varies by .* whose square float64 cannot hold"):
            MixtureOfRegressions(2, family="poisson", random_state=0).fit(X, y * scale)
    one = MixtureOfRegressions(1, family="poisson", random_state=0).fit(X, y)
    rare = MixtureOfRegressions(1, family="poisson", random_state=0).fit(X, y, exposure=np.full(200, 1e-300))
    assert np.allclose(rare.coef_, one.coef_, rtol=1e-4) and np.isclose(
        rare.intercept_[0], one.intercept_[0] + 300 * np.log(10)
    )


def test_a_variance_at_the_floor_is_said():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 1))
    y = np.where(rng.random(200) < 0.5, 2 * X[:, 0], -X[:, 0] + 0.3 * rng.normal(size=200))
    with pytest.warns(fastem.DegenerateComponentWarning, match=r"^component \d: at the floor: its variance is held"):
        model = MixtureOfRegressions(2, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="a variance is at its floor"):
        model.standard_errors(X, y)


@pytest.mark.parametrize("value", [0.1, 1 / 3, 5.0])
def test_constant_targets_are_said_to_be_so(value):
    """The mean of the first two rounds; a row without weight is none."""
    X, weight = crossing(50)[0], np.append(0, np.ones(49))
    y = np.append(7, np.full(49, value))
    words = "component 0: at the floor: y is the same in all rows, so that its variance is held at reg_covar$"
    with pytest.warns(fastem.DegenerateComponentWarning, match=words):
        model = MixtureOfRegressions(1, reg_covar=1e-4).fit(X, y, sample_weight=weight)
    assert model.variances_ == pytest.approx(1e-4) and model.predict(X) == pytest.approx(value)
    one_varies = np.column_stack([y, X[:, 0]])
    with pytest.warns(fastem.DegenerateComponentWarning, match="is held at reg_covar times that of y$"):
        MixtureOfRegressions(1).fit(X, one_varies, sample_weight=weight)


def test_the_score_is_scikit_learns_with_weights():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(200, 1)), np.arange(200) % 4
    y = np.where(rng.random(200) < 0.5, 1 + 2 * x[:, 0], -3 * x[:, 0]) + 0.3 * rng.normal(size=200)
    model = MixtureOfRegressions(2, random_state=0).fit(x, y, sample_weight=weight)
    assert np.isclose(model.score(x, y, weight), r2_score(y, model.predict(x), sample_weight=weight), rtol=1e-12)
