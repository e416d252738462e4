"""Classes of a fitted mixture regressed on covariates, with and without the corrections of their errors."""

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.optimize import minimize

import fastem
from fastem.models.gate_steps import RIDGE

TRUE = np.array([[0.5, 1.5, -0.7], [0.0, -0.8, 0.4], [0.0, 0.0, 0.0]])
ANSWERS = np.array([[0.8, 0.8, 0.7, 0.2, 0.2, 0.3], [0.2, 0.2, 0.7, 0.8, 0.3, 0.7], [0.2, 0.7, 0.2, 0.3, 0.8, 0.8]])
ALL = pytest.mark.parametrize(
    "correction, assignment", [(c, a) for c in (None, "BCH", "ML") for a in ("modal", "soft")]
)


def classes(n=1500, seed=0, answers=ANSWERS):
    """A mixture with the true probabilities, its answers (n, 6), and covariates (n, 2) of their classes."""
    rng = np.random.default_rng(seed)
    C = rng.normal(size=(n, 2)) * [1, 2] + [0, 5]
    logs = reference.log_gate((C - [0, 5]) / [1, 2], TRUE)
    z = (logs + rng.gumbel(size=logs.shape)).argmax(axis=1)
    X = (rng.random((n, 6)) < answers[z]).astype(float)
    return fastem.BernoulliMixture.from_parameters(np.bincount(z) / n, answers), X, C


def classified(model, X, assignment, weight=1.0):
    """The posteriors, the assignments, and the probabilities of these given the class."""
    r = model.predict_proba(X)
    a = np.eye(3)[r.argmax(axis=1)] if assignment == "modal" else r
    weighed = r.T * weight
    return a, weighed @ a / weighed.sum(axis=1)[:, None]


@ALL
def test_it_is_the_maximum_of_the_formula(correction, assignment):
    model, X, C = classes()
    found = fastem.three_step(model, X, C, correction=correction, assignment=assignment)
    a, D = classified(model, X, assignment)
    assert np.allclose(found.classification, D)
    scale = abs(C - C.mean(axis=0)).max(axis=0)

    def loss(vector):
        coefficients = np.vstack([vector.reshape(2, 3), np.zeros(3)])
        logs = reference.log_gate(C, coefficients)
        slopes = (coefficients - coefficients.mean(axis=0))[:, 1:] * scale
        if correction == "ML":
            rows = (a * np.log(np.exp(logs) @ D)).sum(axis=1)
        else:
            rows = ((a if correction is None else a @ np.linalg.inv(D)) * logs).sum(axis=1)
        return -rows.sum() + RIDGE / 2 * (slopes**2).sum()

    at = found.coefficients[:2].ravel()
    best = minimize(loss, at, method="BFGS", options={"gtol": 1e-5})
    assert loss(at) <= best.fun + 1e-6 and np.allclose(at, best.x, atol=2e-3)


def test_corrections_mend_the_bias_and_errors_are_of_the_right_size():
    plain, mended = [], {"BCH": [], "ML": []}
    slopes = TRUE[:, 1:] / [1, 2]
    for seed in range(20):
        model, X, C = classes(1000, seed)
        plain.append(fastem.three_step(model, X, C, correction=None).coefficients[0, 1])
        for correction, list_ in mended.items():
            found = fastem.three_step(model, X, C, correction=correction)
            list_.append((found.coefficients - TRUE)[0, 1] / found.standard_errors[0, 1])
    assert np.mean(plain) < 0.85 * slopes[0, 0]
    for ratios in mended.values():
        assert abs(np.mean(ratios)) < 3 / np.sqrt(20) and 0.6 < np.std(ratios) < 1.6


@ALL
def test_classes_that_are_certain_need_no_correction(correction, assignment):
    model, X, C = classes(answers=np.where(ANSWERS > 0.5, 1 - 1e-12, 1e-12))
    found = fastem.three_step(model, X, C, correction=correction, assignment=assignment)
    expected = fastem.three_step(model, X, C, correction=None)
    assert np.allclose(found.coefficients, expected.coefficients, atol=1e-5)
    assert np.allclose(found.standard_errors, expected.standard_errors, rtol=1e-4)


@ALL
def test_whole_weights_are_repeated_rows(correction, assignment):
    model, X, C = classes(600)
    weight = np.arange(600) % 3
    rows = np.repeat(np.arange(600), weight)
    asked = {"correction": correction, "assignment": assignment}
    weighted, repeated = (
        fastem.three_step(model, X, C, weight, **asked),
        fastem.three_step(model, X[rows], C[rows], **asked),
    )
    for one, other in zip(weighted, repeated):
        assert np.allclose(one, other, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "correction, assignment",
    [(c, a) for c in (None, "BCH", "ML") for a in ("modal", "soft") if (c, a) != ("ML", "soft")],
)
def test_beside_stepmix(correction, assignment):
    """Whose coefficients have no prior. Its ML of soft assignments takes their geometric mean, which is no likelihood:
    see test_slopes_are_those_of_the_classes_behind_overlapping_rows."""
    stepmix = pytest.importorskip("stepmix.stepmix")
    _, X, C = classes()
    settings = {"structural_params": {"method": "newton-raphson", "max_iter": 100, "tol": 1e-8}}
    settings |= {"abs_tol": 1e-10, "rel_tol": 0, "max_iter": 2000, "random_state": 0, "verbose": 0, "progress_bar": 0}
    other = stepmix.StepMix(
        3,
        n_steps=3,
        correction=correction,
        assignment=assignment,
        measurement="binary",
        structural="covariate",
        **settings,
    ).fit(X, C)
    del settings["structural_params"]
    first = stepmix.StepMix(3, measurement="binary", **settings).fit(X).get_parameters()
    model = fastem.BernoulliMixture.from_parameters(first["weights"], first["measurement"]["pis"])
    found = fastem.three_step(model, X, C, correction=correction, assignment=assignment).coefficients
    expected = other.get_parameters()["structural"]["beta"]
    assert np.allclose(found, expected - expected[-1], rtol=2e-2, atol=5e-3)


@pytest.mark.parametrize("correction, assignment", [("BCH", "modal"), ("BCH", "soft"), ("ML", "modal"), ("ML", "soft")])
def test_slopes_are_those_of_the_classes_behind_overlapping_rows(correction, assignment):
    rng = np.random.default_rng(0)
    age = rng.normal(size=40_000)
    z = rng.random(len(age)) < 1 / (1 + np.exp(-age))
    x = (rng.normal(size=len(age)) + 2.0 * z)[:, None]
    model = fastem.GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [2.0]], np.ones((2, 1, 1)))
    found = fastem.three_step(model, x, age, correction=correction, assignment=assignment)
    assert abs(-found.coefficients[0, 1] - 1) < 3.5 * found.standard_errors[0, 1] < 0.1


def test_covariates_that_separate_the_classes():
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(size=500), rng.normal(2.5, 1, 500))[:, None]
    model = fastem.GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [2.5]], np.ones((2, 1, 1)))
    with pytest.warns(UserWarning, match="the covariates separate the classes"):
        fastem.three_step(model, x, x, correction="BCH")
    assert np.isfinite(fastem.three_step(model, x, x).coefficients).all()


def test_other_side_columns_are_those_of_the_posteriors():
    """Values beyond 1 are known to lie there."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=2000)
    x = (rng.normal(size=len(age)) + 3.0 * (rng.random(len(age)) < 1 / (1 + np.exp(-age))))[:, None]
    model = fastem.GaussianMixture.from_parameters([0.5, 0.5], [[0.0], [3.0]], np.ones((2, 1, 1)))
    bounds = {"lower": np.minimum(x, 1.0), "upper": np.where(x > 1, np.inf, x)}
    found = fastem.three_step(model, np.minimum(x, 1.0), age, **bounds)
    r = model.predict_proba(np.minimum(x, 1.0), **bounds)
    assigned = np.eye(2)[r.argmax(axis=1)]
    assert np.allclose(found.classification, r.T @ assigned / r.sum(axis=0)[:, None])
    with pytest.raises(TypeError, match="unexpected keyword argument 'bounds'"):
        fastem.three_step(model, x, age, bounds=bounds)


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-20, 2.0**-10])
def test_the_prior_is_weak_in_any_unit_of_weight(unit):
    model, X, C = classes(300)
    plain, found = fastem.three_step(model, X, C), fastem.three_step(model, X, C, np.full(len(X), unit))
    assert np.allclose(found.coefficients, plain.coefficients, rtol=1e-6)
    assert np.allclose(found.standard_errors * unit**0.5, plain.standard_errors, rtol=1e-6)


@pytest.mark.parametrize("correction", [None, "BCH", "ML"])
def test_what_the_rows_do_not_say_is_as_uncertain_as_the_prior(correction):
    """Of one covariate twice, only the sum of the coefficients is known."""
    model, X, C = classes(1000)
    c = C[:, :1]
    alone, both = (fastem.three_step(model, X, rows, correction=correction) for rows in (c, np.hstack([c, c])))
    assert np.allclose(both.coefficients[:, 1:].sum(axis=1), alone.coefficients[:, 1], rtol=1e-2, atol=1e-3)
    assert (both.standard_errors[:-1, 1:] > 20 * alone.standard_errors[:-1, 1:]).all()


def test_of_two_maxima_the_higher_one():
    """Errors of classification make the objective one that is not concave; from 0 alone Newton ends 8 below, with
    slopes of the other sign."""
    rng = np.random.default_rng(1)
    C = rng.normal(size=(400, 2))
    shares = np.exp(C @ rng.normal(size=(2, 3)) * 1.5)
    z = np.array([rng.choice(3, p=p / p.sum()) for p in shares])
    X = rng.normal(size=(400, 1)) + 1.3 * z[:, None]
    model = fastem.GaussianMixture(3, random_state=0, covariance_type="tied").fit(X)
    posterior, errors = classified(model, X, "soft")
    found = fastem.three_step(model, X, C, assignment="soft")
    logs = np.column_stack([np.ones(400), C]) @ found.coefficients.T
    pi = np.exp(logs) / np.exp(logs).sum(axis=1)[:, None]
    assert (posterior * np.log(pi @ errors)).sum() > -295


def test_one_class_and_covariates_in_other_units():
    model, X, C = classes(300)
    alone = fastem.three_step(fastem.BernoulliMixture(1).fit(X), X, C)
    assert (alone.coefficients == 0).all() and alone.coefficients.shape == alone.standard_errors.shape == (1, 3)
    found, moved = fastem.three_step(model, X, C), fastem.three_step(model, X, 1e3 * C + 1e6)
    assert np.allclose(moved.coefficients[:, 1:], found.coefficients[:, 1:] / 1e3, rtol=1e-6)
    assert np.allclose(moved.standard_errors[:, 1:], found.standard_errors[:, 1:] / 1e3, rtol=1e-4)


def test_what_is_refused():
    model, X, C = classes(300)
    frame = pd.DataFrame(C, columns=["age", "income"])
    with pytest.raises(ValueError, match=r"correction must be one of 'ML', 'BCH', None. Got 'bch' instead"):
        fastem.three_step(model, X, C, correction="bch")
    with pytest.raises(ValueError, match=r"assignment must be one of 'modal', 'soft'. Got 'hard'"):
        fastem.three_step(model, X, C, assignment="hard")
    with pytest.raises(ValueError, match=r"covariates has 299 rows, but X has 300"):
        fastem.three_step(model, X, C[1:])
    with pytest.raises(ValueError, match=r"covariates: income is 1 in all rows"):
        fastem.three_step(model, X, frame.assign(income=1.0))
    with pytest.raises(ValueError, match=r"row 3, column 'age'"):
        fastem.three_step(model, X, frame.assign(age=np.where(np.arange(300) == 3, np.nan, C[:, 0])))
    with pytest.raises(ValueError, match=r"array of covariates, not names"):
        fastem.three_step(model, X, "age")
    with pytest.raises(ValueError, match=r"expects a mixture .* without covariates. This one has gate_coefficients_"):
        fastem.three_step(fastem.BernoulliMixture(2, random_state=0).fit(X, covariates=C), X, C)
    with pytest.raises(ValueError, match=r"cannot be combined with noise"):
        fastem.three_step(fastem.GaussianMixture(2, noise=0.1, random_state=0).fit(C), C, C)
    twin = fastem.BernoulliMixture.from_parameters([0.5, 0.5], [[0.3] * 6, [0.3] * 6])
    for correction in (None, "BCH", "ML"):
        with pytest.raises(ValueError, match=r"no row is assigned to component 1. Use assignment='soft'"):
            fastem.three_step(twin, X, C, correction=correction)
    with pytest.raises(ValueError, match=r"correction='BCH' needs rows of every class"):
        fastem.three_step(twin, X, C, correction="BCH", assignment="soft")
    with pytest.raises(ValueError, match=r"covariates is a masked array with masked entries"):
        fastem.three_step(model, X, np.ma.array(C, mask=C > 1))
    with pytest.raises(TypeError, match=r"expects a fitted mixture"):
        fastem.three_step(3, X, C)


def test_errors_of_covariates_far_from_zero_are_those_of_a_logit():
    """Intercepts too, whose error is mostly that of the slope times the covariate's mean."""
    rng = np.random.default_rng(0)
    c = rng.normal(5, 1, 2000)
    z = rng.random(2000) < 1 / (1 + np.exp(8.5 - 1.5 * c))
    Y = (rng.normal(size=2000) + 8 * z)[:, None]
    model = fastem.GaussianMixture(2, random_state=0).fit(Y)
    found = fastem.three_step(model, Y, c, correction=None)
    u = np.column_stack([np.ones(2000), c])
    p = 1 / (1 + np.exp(-u @ found.coefficients[0]))
    scores = ((model.predict(Y) == 0) - p)[:, None] * u
    inverse = np.linalg.inv((u * (p * (1 - p))[:, None]).T @ u)
    expected = np.sqrt(np.diag(inverse @ scores.T @ scores @ inverse))
    np.testing.assert_allclose(found.standard_errors[0], expected, rtol=1e-2)
