"""Weights that depend on covariates: laws, direct maximisation, sources, and what is refused."""

import pickle
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.optimize import minimize
from scipy.special import logsumexp

import fastem
from fastem.models import gate, gate_steps, gated_rows
from fastem.rows import blocks
from fastem.starts import subsample

COEFFICIENTS = np.array([[1.0, 2.0, -0.1], [0.0, -1.0, 0.2], [0.0, 0.0, 0.0]])


def gated(n=600, seed=0):
    """Components (n,) of rows whose weights depend on covariates (n, 2), and these."""
    rng = np.random.default_rng(seed)
    C = rng.normal(size=(n, 2)) * [1, 10] + [0, 5]
    share = np.exp(reference.log_gate(C, COEFFICIENTS)).cumsum(axis=1)
    return np.minimum((rng.random(n)[:, None] > share).sum(axis=1), 2), C, rng


def of_family(name, n=600):
    z, C, rng = gated(n)
    d = 3
    values = {
        "GaussianMixture": lambda: rng.normal(size=(n, d)) + 4 * np.eye(3)[z],
        "StudentTMixture": lambda: rng.standard_t(4, (n, d)) + 6 * np.eye(3)[z],
        "PoissonMixture": lambda: rng.poisson(1 + 6 * np.eye(3)[z]),
        "BernoulliMixture": lambda: rng.random((n, 6)) < np.repeat(0.15 + 0.7 * np.eye(3)[z], 2, axis=1),
        "CategoricalMixture": lambda: (rng.random((n, 6)) < np.repeat(0.15 + 0.7 * np.eye(3)[z], 2, axis=1)) * 2,
        "ExponentialMixture": lambda: rng.exponential(1 + 20 * np.eye(3)[z]),
        "GeometricMixture": lambda: rng.geometric(1 / (1 + 20 * np.eye(3)[z])),
        "GammaMixture": lambda: rng.gamma(3, 1 + 6 * np.eye(3)[z]),
    }[name]()
    return np.asarray(values, np.float64), C


FAMILIES = [
    "GaussianMixture",
    "StudentTMixture",
    "PoissonMixture",
    "BernoulliMixture",
    "CategoricalMixture",
    "ExponentialMixture",
    "GeometricMixture",
    "GammaMixture",
]


def fitted(name, X, C, K=3, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asked = {"random_state": 0, "tol": 1e-6, "accelerate": None} | parameters
        sample_weight = asked.pop("sample_weight", None)
        return getattr(fastem, name)(K, **asked).fit(X, covariates=C, sample_weight=sample_weight)


def log_densities(model, X):
    """(n, K) log p(x | k), by the mixture's constant weights."""
    plain = type(model.model_)(np.ones(len(model.weights_)), model.model_.emission)
    return plain.log_joint(X)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_likelihood_rises_and_is_that_of_the_formula(name):
    X, C = of_family(name)
    model = fitted(name, X, C, init_params="random_from_data")
    history = np.array(model.history_)
    assert len(history) > 3 and (np.diff(history) >= -1e-12 * abs(history[1:])).all()
    joint = log_densities(model, X) + reference.log_gate(C, model.gate_coefficients_)
    expected = logsumexp(joint, axis=1)
    assert abs(model.log_likelihood_ - expected.sum()) <= model.log_likelihood_error_ + 1e-9
    assert np.allclose(model.score_samples(X, covariates=C), expected, rtol=1e-11)
    assert np.isclose(model.score(X, covariates=C), expected.mean(), rtol=1e-12)
    posterior = np.exp(joint - expected[:, None])
    assert np.allclose(model.predict_proba(X, covariates=C), posterior, atol=1e-12)
    assert np.array_equal(model.predict(X, covariates=C), posterior.argmax(axis=1))
    assert np.allclose(model.class_probabilities(C), np.exp(reference.log_gate(C, model.gate_coefficients_)))


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV", "EVE"])
def test_every_structure_takes_covariates(covariance_type):
    X, C = of_family("GaussianMixture")
    model = fitted("GaussianMixture", X, C, covariance_type=covariance_type)
    assert (np.diff(model.history_) >= -1e-12 * abs(np.array(model.history_[1:]))).all()
    joint = log_densities(model, X) + reference.log_gate(C, model.gate_coefficients_)
    assert np.isclose(model.log_likelihood_, logsumexp(joint, axis=1).sum(), rtol=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_intercept_alone_is_the_plain_mixture(name):
    X, _ = of_family(name)
    plain = getattr(fastem, name)(3, random_state=0, accelerate=None, tol=1e-6).fit(X)
    model = fitted(name, X, np.empty((len(X), 0)))
    assert model.n_iter_ == plain.n_iter_
    assert np.isclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-12)
    assert np.allclose(model.class_probabilities(np.empty((1, 0))), plain.weights_, rtol=1e-9)


@pytest.mark.parametrize("newton", [True, False])
def test_the_gate_is_the_maximum(newton, monkeypatch):
    """Of the log-posterior with the weak prior of the slopes, by scipy, with the densities as they are."""
    if not newton:
        monkeypatch.setattr(gate, "NEWTON_COLUMNS", 0)
    X, C = of_family("GaussianMixture")
    model = fitted("GaussianMixture", X, C, tol=1e-11, accelerate="anderson", max_iter=3000)
    densities, scale = log_densities(model, X), abs(C - C.mean(axis=0)).max(axis=0)

    def loss(vector):
        coefficients = np.vstack([vector.reshape(2, 3), np.zeros(3)])
        slopes = (coefficients - coefficients.mean(axis=0))[:, 1:] * scale
        value = logsumexp(densities + reference.log_gate(C, coefficients), axis=1).sum()
        return -value + gate_steps.RIDGE / 2 * (slopes**2).sum()

    best = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-5})
    assert np.allclose(best.x, model.gate_coefficients_[:2].ravel(), atol=2e-3)
    assert loss(model.gate_coefficients_[:2].ravel()) <= best.fun + 1e-6
    assert model.n_parameters_ == 3 * 9 + 6
    assert np.allclose(model.weights_, model.class_probabilities(C).mean(axis=0), atol=1e-4)


@pytest.mark.parametrize("newton", [True, False])
def test_one_step_never_falls_from_anywhere(newton, monkeypatch):
    """From gates far from the maximum, where Newton's whole step would fall, and the bound on the gain holds."""
    if not newton:
        monkeypatch.setattr(gate, "NEWTON_COLUMNS", 0)
    X, C = of_family("PoissonMixture", 200)
    start = fitted("PoissonMixture", X, C, max_iter=2)
    u = (C - C.mean(axis=0)) / abs(C - C.mean(axis=0)).max(axis=0)
    rng = np.random.default_rng(1)
    for size in (0.1, 1, 5, 20, 60):
        shares = gate.Gate(
            centre=C.mean(axis=0),
            scale=abs(C - C.mean(axis=0)).max(axis=0),
            coefficients=gate.centred(size * rng.normal(size=(3, 3))),
        )
        before = type(start.model_)(start.weights_, start.model_.emission, shares)
        sums = gated_rows.GatedRows(before).e_step(np.column_stack([X, C]))
        after = before.m_step(sums)
        values = gated_rows.GatedRows(after).e_step(np.column_stack([X, C]))
        objective = [sums.log_likelihood + before.log_prior(), values.log_likelihood + after.log_prior()]
        assert objective[1] > objective[0] - 1e-9
        assert np.isfinite(u).all() and np.isclose(
            before.expected_log_joint(sums, before) + sums.entropy, sums.log_likelihood, rtol=1e-10
        )
        bound = before.expected_log_joint(sums, after) + sums.entropy
        assert bound <= values.log_likelihood + 1e-9 * abs(bound)


def with_gate(model, coefficients, known=None):
    return replace(model, shares=replace(model.shares, coefficients=coefficients, known=known))


@pytest.mark.parametrize("size", [0.01, 0.05, 0.09])
def test_a_curvature_of_another_gate_serves_near_it(size):
    """Newton's step with a curvature that was summed elsewhere never falls; one of other rows is not used."""
    X, C = of_family("PoissonMixture", 200)
    rows, model = np.column_stack([X, C]), fitted("PoissonMixture", X, C, max_iter=3).model_
    rng = np.random.default_rng(1)
    for _ in range(20):
        gamma = gate.centred(model.shares.coefficients + 0.3 * rng.normal(size=(3, 3)))
        there = gated_rows.GatedRows(with_gate(model, gamma)).e_step(rows)
        assert there.gate_curvature.any()
        known = gate_steps.Curvature(there.gate_curvature, gamma, there.gate_gram)
        moved = gate.centred(gamma + size / 6 * rng.uniform(-1, 1, size=(3, 3)))
        before = with_gate(model, moved, known)
        assert 0 < known.spread(moved) < gate.FAR
        exact = gated_rows.GatedRows(with_gate(model, moved)).e_step(rows).gate_curvature
        bound = known.matrix * np.exp(known.spread(moved))
        assert np.linalg.eigvalsh(bound - exact).min() > -1e-12 * bound.max()
        sums = gated_rows.GatedRows(before).e_step(rows)
        assert not sums.gate_curvature.any()
        after = before.m_step(sums)
        values = gated_rows.GatedRows(after).e_step(rows)
        assert values.log_likelihood + after.log_prior() > sums.log_likelihood + before.log_prior() - 1e-9
        bound = before.expected_log_joint(sums, after) + sums.entropy
        assert bound <= values.log_likelihood + 1e-9 * abs(bound)
        assert after.shares.known is known
        few = gated_rows.GatedRows(before).e_step(rows[:50])
        assert before.m_step(few).shares.known is None


def test_a_curvature_of_another_gate_counts_as_much_more_as_it_is_far():
    """It is at most exp(spread) times the matrix: a step, and what is promised of it, are those of that multiple."""
    X, C = of_family("PoissonMixture", 200)
    rows, model = np.column_stack([X, C]), fitted("PoissonMixture", X, C, max_iter=3).model_
    gamma = model.shares.coefficients
    here = gated_rows.GatedRows(with_gate(model, gamma)).e_step(rows)
    far = gate_steps.Curvature(None, gate.centred(gamma + np.array([[0.01], [0.0], [-0.02]])), here.gate_gram)
    assert 0.01 < far.spread(gamma) < gate.FAR
    far = far._replace(matrix=here.gate_curvature / np.exp(far.spread(gamma)))
    near = gate_steps.Curvature(here.gate_curvature, gamma, here.gate_gram)
    models = [with_gate(model, gamma, known) for known in (near, far)]
    sums = [gated_rows.GatedRows(one).e_step(rows) for one in models]
    images = [one.m_step(one_sums) for one, one_sums in zip(models, sums)]
    assert np.allclose(images[0].shares.coefficients, images[1].shares.coefficients, rtol=1e-9)
    # along the image the curvature itself is the smaller bound, so that it decides
    bounds = [one.expected_log_joint(one_sums, image) for one, one_sums, image in zip(models, sums, images)]
    assert np.isclose(*bounds, rtol=1e-13)
    without = with_gate(model, gamma).expected_log_joint(sums[0], images[0])
    assert without < bounds[0]


@pytest.mark.parametrize("size", [0.1, 2.0, 10.0])
def test_newtons_step_is_as_long_as_is_certain_to_pay(size):
    """The gain along it that the range of the step leaves certain is the largest at its length, not at others."""
    X, C = of_family("PoissonMixture", 200)
    model, rng = fitted("PoissonMixture", X, C, max_iter=3).model_, np.random.default_rng(0)
    shares = replace(model.shares, coefficients=gate.centred(size * rng.normal(size=(3, 3))), known=None)
    sums = gated_rows.GatedRows(replace(model, shares=shares)).e_step(np.column_stack([X, C]))
    gradient = gate.sums_of(sums) - sums.gate_expected - shares.penalty() * shares.coefficients
    step, gain = gate_steps.newton_step(gradient, sums.gate_curvature, 1.0)
    flat = gate.centred(step).ravel()
    square = flat @ sums.gate_curvature @ flat + (shares.penalty() * gate.centred(step) ** 2).sum()
    slope, width = (step * gradient).sum(), gate_steps.range_of(step)

    def certain(t):
        return slope * t - square * gate_steps.convexity(width * t) * t**2

    assert np.isclose(gain, certain(1.0), rtol=1e-6) and gain > 0
    assert all(certain(t) < gain for t in (0.5, 0.9, 1.1, 2.0))


def test_integer_weights_are_repeated_rows():
    X, C = of_family("PoissonMixture", 300)
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    start = (X[:, 0] > 3) + 1 * (X[:, 1] > 3)
    model = fitted("PoissonMixture", X, C, sample_weight=weight, init_params=start)
    repeated = fitted(
        "PoissonMixture", *(np.repeat(a, weight, axis=0) for a in (X, C)), init_params=start.repeat(weight)
    )
    assert np.isclose(model.log_likelihood_, repeated.log_likelihood_, rtol=1e-9)
    assert np.allclose(model.gate_coefficients_, repeated.gate_coefficients_, atol=1e-4)
    far, rows = gated_rows.GatedRows(with_gate(model.model_, model.model_.shares.coefficients)), np.column_stack([X, C])
    ours, theirs = far.e_step(rows, weight), far.e_step(rows.repeat(weight, axis=0))
    for name in ("gate_expected", "gate_gram", "gate_curvature", "gate_log_norm", "gate_first"):
        assert np.allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-10, atol=1e-9)
    assert ours.gate_curvature.any()


@pytest.mark.parametrize("unit", [2.0**-40, 2.0**-27, 2.0**-10, 2.0**33])
def test_the_prior_is_weak_in_any_unit_of_weight(unit):
    X, C = of_family("GaussianMixture", 300)
    plain = fitted("GaussianMixture", X, C, sample_weight=np.ones(300))
    weight = np.full(300, unit)
    other = fitted("GaussianMixture", X, C, sample_weight=weight)
    assert np.allclose(other.gate_coefficients_, plain.gate_coefficients_, rtol=1e-4)
    errors = [
        fastem.standard_errors(model, X, sample_weight=w, covariates=C).parameters["gate_coefficients_"]
        for model, w in ((plain, np.ones(300)), (other, weight), (pickle.loads(pickle.dumps(other)), weight))
    ]
    assert np.allclose(errors[1] * unit**0.5, errors[0], rtol=1e-3)
    assert np.array_equal(errors[1], errors[2])


def test_the_curvature_is_that_of_the_formula():
    X, C = of_family("GaussianMixture", 300)
    model = fitted("GaussianMixture", X, C, max_iter=3).model_
    weight = np.random.default_rng(0).uniform(0, 2, 300)
    sums = gated_rows.GatedRows(with_gate(model, model.shares.coefficients)).e_step(np.column_stack([X, C]), weight)
    u = model.shares.design(C)
    pi = gate.probabilities(u, model.shares.coefficients)
    spread = np.einsum("n,nkj,np,nq->kpjq", weight, np.eye(3) * pi[:, None] - pi[:, :, None] * pi[:, None], u, u)
    assert np.allclose(sums.gate_curvature, spread.reshape(9, 9), rtol=1e-11, atol=1e-11)


def test_containers_threads_and_names_change_no_bit(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1 << 10)
    X, C = of_family("GaussianMixture", 6000)
    frame = pd.DataFrame(np.column_stack([X, C]), columns=[*"abc", "age", "income"])
    whole = fitted("GaussianMixture", X, C, n_threads=1)
    others = [
        fitted("GaussianMixture", X, C, n_threads=2),
        fitted("GaussianMixture", frame, ["age", "income"]),
        fitted("GaussianMixture", lambda: iter([X[:500], X[500:]]), C),
    ]
    for other in others:
        assert np.array_equal(other.gate_coefficients_, whole.gate_coefficients_)
        assert np.array_equal(other.means_, whole.means_)
    assert np.array_equal(others[1].predict(frame, covariates=["age", "income"]), whole.predict(X, covariates=C))


def test_float32_rows_stay_float32():
    """As directions must, which are of unit length to their own precision; a clock in seconds needs float64."""
    z, C, rng = gated(900)
    X = (rng.normal(size=(900, 3)) + 5 * np.eye(3)[z]).astype(np.float32)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    model = fitted("VonMisesFisherMixture", X, C, tol=1e-4)
    assert np.isfinite(model.score(X, covariates=C)) and model.predict(X, covariates=C).shape == (900,)
    clock = 1.7e9 + C
    model = fitted("GaussianMixture", X, clock)
    double = fitted("GaussianMixture", X.astype(np.float64), clock)
    assert np.allclose(model.gate_coefficients_[:, 1:], double.gate_coefficients_[:, 1:], rtol=1e-3, atol=1e-3)


def test_units_and_origins_of_covariates_do_not_matter():
    X, C = of_family("BernoulliMixture")
    model, moved = fitted("BernoulliMixture", X, C), fitted("BernoulliMixture", X, C * [1e-6, 1e5] + [3.0, -1e4])
    assert np.isclose(model.log_likelihood_, moved.log_likelihood_, rtol=1e-9)
    assert np.allclose(
        model.gate_coefficients_[:, 1:], moved.gate_coefficients_[:, 1:] * [1e-6, 1e5], rtol=1e-4, atol=1e-6
    )


def test_a_covariate_that_separates_has_a_finite_slope():
    rng = np.random.default_rng(0)
    z = np.arange(200) % 2
    X, C = rng.normal(size=(200, 1)) + 20.0 * z[:, None], z + rng.uniform(0, 0.1, 200)
    model = fitted("GaussianMixture", X, C, 2, max_iter=2000)
    assert model.converged_ and 10 < abs(model.gate_coefficients_[0, 1]) < 1e3


def test_missing_values_of_independent_columns():
    X, C = of_family("GaussianMixture")
    X[np.random.default_rng(1).random(X.shape) < 0.1] = np.nan
    model = fitted("GaussianMixture", X, C, covariance_type="diag")
    assert (np.diff(model.history_) >= -1e-12).all()
    assert np.isclose(model.log_likelihood_, model.score_samples(X, covariates=C).sum(), rtol=1e-12)
    with pytest.raises(ValueError, match="covariates cannot be combined with missing values"):
        fitted("GaussianMixture", X, C)


def test_a_saved_gate_is_the_same(tmp_path):
    """To the last bit, also of covariates that are far from 0; one that was set afterwards is another."""
    X, C = of_family("PoissonMixture", 200)
    C = C + 1e9
    model = fitted("PoissonMixture", X, C)
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert np.array_equal(loaded.gate_coefficients_, model.gate_coefficients_)
    assert np.array_equal(loaded.score_samples(X, covariates=C), model.score_samples(X, covariates=C))
    loaded.gate_coefficients_ = np.zeros_like(model.gate_coefficients_)
    assert np.allclose(loaded.class_probabilities(C), 1 / len(model.weights_))


def test_a_plain_fit_afterwards_has_no_gate():
    X, C = of_family("PoissonMixture", 200)
    model = fitted("PoissonMixture", X, C).fit(X)
    assert not hasattr(model, "gate_coefficients_") and model.predict(X).shape == (200,)
    with pytest.raises(ValueError, match="fitted without covariates"):
        model.predict(X, covariates=C)


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda C: C[:-1], "covariates has 599 rows, but X has 600"),
        (lambda C: np.where(np.arange(1200).reshape(600, 2) == 8, np.nan, C), "covariates contains NaN.*row 4"),
        (lambda C: np.column_stack([C, np.full(600, 3.0)]), "is 3 in all rows, as the intercept"),
        (lambda C: ["age"], "columns of X have no names"),
    ],
    ids=["length", "NaN", "constant", "names"],
)
def test_covariates_that_cannot_be_used_are_refused(change, sentence):
    X, C = of_family("PoissonMixture")
    with pytest.raises((ValueError, TypeError), match=sentence):
        fitted("PoissonMixture", X, change(C))


def test_rows_without_covariates_are_refused():
    X, C = of_family("GaussianMixture")
    model = fitted("GaussianMixture", X, C)
    for use in (model.predict, model.score_samples, model.bic):
        with pytest.raises(ValueError, match="depend on covariates"):
            use(X)
    with pytest.raises(ValueError, match="covariates has 1 columns, but the fit had 2"):
        model.predict(X, covariates=C[:, :1])


WITHOUT = {
    "transform": ("X", r"a step of a pipeline is given X alone. Use predict_proba\(X, covariates=…\)"),
    "is_outlier": ("X", "what is rare depends on the covariates"),
    "quantile": (0.1, "what is rare depends on the covariates"),
    "merge_components": ("X", "it sums posteriors of rows without covariates"),
    "cross_validated_score": ("X", "Use scikit-learn's cross_val_score with metadata routing"),
    "partial_fit": ("X", "the step of the weights needs the covariates of all rows"),
    "adapt": ("X", "the step of the weights needs the covariates of all rows"),
    "sample": (3, "nothing draws their covariates"),
    "marginal": ([0], "takes rows without covariates"),
    "impute": ("X", "takes rows without covariates"),
    "to_sklearn": (None, "takes rows without covariates"),
    "logcdf": ("X", "takes rows without covariates"),
}


@pytest.mark.parametrize("method", WITHOUT)
def test_methods_that_cannot_be_had_after_a_fit_with_covariates_say_so(method):
    """Also where covariates are passed; mean weights in place of the gate are another model."""
    rng = np.random.default_rng(0)
    C = rng.normal(size=(300, 1))
    X = rng.normal(size=(300, 2)) + 4 * (C > 0)
    model = fastem.GaussianMixture(2, random_state=0).fit(X, covariates=C)
    given, words = WITHOUT[method]
    given = () if given is None else (X,) if isinstance(given, str) else (given,)
    for sides in ({}, {"covariates": C}):
        with pytest.raises(ValueError, match=f"{method} cannot be had after a fit with covariates, .*{words}"):
            getattr(model, method)(*given, **sides)
    assert model.fit(X).sample(2)[0].shape == (2, 2)


def test_short_runs_on_a_subsample_have_no_covariates_and_begin_no_gate(monkeypatch):
    monkeypatch.setattr(subsample, "SUBSAMPLE", 400)  # they pay from five times as many rows
    X, C = of_family("BernoulliMixture", 3000)
    few = fitted("BernoulliMixture", X, C, accelerate="anderson", tol=1e-9)
    assert few.gate_coefficients_.shape == (3, 3)


@pytest.mark.filterwarnings("error")
def test_a_curvature_that_was_summed_far_away_is_no_overflow():
    known = gate_steps.Curvature(np.eye(4), np.zeros((2, 2)), np.eye(2))
    assert np.isfinite(known.factor(np.full((2, 2), 1e4) * [[1], [-1]]))


@pytest.mark.parametrize("weight", [1.0, 1e40])
def test_the_bound_of_dependent_covariates_in_rows_of_large_weights_has_an_inverse(weight):
    """The prior is nothing beside their sums; in these dimensions a factorisation fails for some of the signs."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        u = np.column_stack([np.ones(50), rng.normal(size=(50, 2)) @ rng.normal(size=(2, 5))])
        gram = np.ascontiguousarray(weight * u.T @ u)
        inverse = gate_steps.inverse_bound(gram.tobytes(), 6)
        assert (np.linalg.eigvalsh((inverse + inverse.T) / 2) > 0).all()


def test_a_covariate_of_a_frame_of_its_own_is_named():
    """Also beside an array, whose columns have no names."""
    X, C = of_family("GaussianMixture")
    frame = pd.DataFrame(C, columns=["age", "income"])
    model = fastem.GaussianMixture(2, random_state=0).fit(X, covariates=frame)
    wrong, constant = frame.copy(), frame.assign(age=1.0)
    wrong.loc[7, "income"] = np.nan
    for rows in (X, pd.DataFrame(X, columns=[*"abc"])):
        for call in (fastem.GaussianMixture(2).fit, fastem.GaussianMixture(2).fit(rows, covariates=frame).predict):
            with pytest.raises(ValueError, match=r"covariates contains NaN: the first is at row 7, column 'income'"):
                call(rows, covariates=wrong)
        with pytest.raises(ValueError, match=r"covariates: age is 1 in all rows"):
            fastem.GaussianMixture(2).fit(rows, covariates=constant)
    with pytest.raises(ValueError, match=r"row 7, column 'income'"):
        model.class_probabilities(wrong)


@pytest.mark.parametrize("unit", [1e-32, 1e32])
def test_covariates_in_units_that_float32_cannot_multiply(unit):
    """The fit is that of the covariate in its own unit; a frame of float32 with such a column is refused."""
    rng = np.random.default_rng(3)
    c = rng.normal(size=(200, 1))
    z = rng.random(200) < 1 / (1 + np.exp(-2 * c[:, 0]))
    X = (rng.normal(size=(200, 2)) + 4 * z[:, None]).astype(np.float32)
    plain = fastem.GaussianMixture(2, random_state=0).fit(X, covariates=c)
    found = fastem.GaussianMixture(2, random_state=0).fit(X, covariates=c * unit)
    assert np.isclose(found.log_likelihood_, plain.log_likelihood_, rtol=1e-5)
    assert np.allclose(found.gate_coefficients_[:, 1] * unit, plain.gate_coefficients_[:, 1], rtol=1e-3)
    frame = pd.DataFrame(np.hstack([X, (c * unit).astype(np.float32)]), columns=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"covariates: c varies by .*e[-+]3\d, whose square float32 cannot hold"):
        fastem.GaussianMixture(2, random_state=0).fit(frame, covariates=["c"])


METHODS = "score", "score_samples", "predict", "predict_proba", "bic", "aic", "icl"


def test_covariates_in_another_order_than_in_the_fit_are_refused(tmp_path):
    X, C = of_family("GaussianMixture", 200)
    C = pd.DataFrame(C, columns=["age", "sex"])
    model = fitted("GaussianMixture", X, C)
    assert model.covariate_names_.tolist() == ["age", "sex"]
    model.save(tmp_path / "model.npz")
    for one in (model, fastem.load(tmp_path / "model.npz")):
        uses = [partial(getattr(one, name), X) for name in METHODS]
        uses += [one.class_probabilities, partial(fastem.standard_errors, one, X)]
        uses += [partial(fastem.write_predictions, one, X, tmp_path / "out.csv")]
        for use in uses:
            with pytest.raises(ValueError, match=r"covariate names should match .*\nCovariate .* in the same order"):
                use(covariates=C[["sex", "age"]])
            with pytest.raises(
                ValueError, match=r"Covariate names unseen at fit time:\n- wage\n(?s:.*)missing:\n- sex"
            ):
                use(covariates=C.rename(columns={"sex": "wage"}))
            use(covariates=C)
        np.testing.assert_array_equal(one.predict(X, covariates=C), one.predict(X, covariates=C.to_numpy()))
        with pytest.raises(ValueError, match="covariates has 1 columns, but the fit had 2"):
            one.score(X, covariates=C[["sex"]])
    frame = pd.DataFrame(X, columns=list("xyz")).join(C)
    with pytest.raises(ValueError, match="in the same order"):
        fitted("GaussianMixture", frame, ["age", "sex"]).score(frame, covariates=["sex", "age"])
    assert not hasattr(fitted("GaussianMixture", X, C.to_numpy()), "covariate_names_")


def test_names_of_covariates_are_those_of_the_last_fit():
    X, C = of_family("GaussianMixture", 200)
    model = fitted("GaussianMixture", X, pd.DataFrame(C, columns=["age", "sex"]))
    for covariates in (C, None):
        model.fit(X, covariates=pd.DataFrame(C, columns=["age", "sex"]))
        assert not hasattr(model.fit(X, covariates=covariates), "covariate_names_")


def test_a_series_of_covariates_keeps_its_name():
    rng = np.random.default_rng(0)
    X, C = rng.normal(size=(100, 2)), pd.DataFrame({"age": rng.normal(size=100)})
    for given in (C, C["age"]):
        model = fastem.GaussianMixture(2, random_state=0).fit(X, covariates=given)
        assert model.covariate_names_.tolist() == ["age"]
    with pytest.raises(ValueError, match="height"):
        model.predict(X, covariates=C["age"].rename("height"))


@pytest.mark.parametrize("seed", range(4))
def test_starts_are_compared_with_the_covariates(seed):
    """Classes that the covariates tell apart, and the values hardly."""
    rng = np.random.default_rng(seed)
    C, K = rng.normal(size=(800, 2)), 2
    z = (C @ (3 * rng.normal(size=(2, K))) + rng.gumbel(size=(800, K))).argmax(axis=1)
    X = (rng.random((800, 4)) < rng.uniform(0.2, 0.8, (K, 4))[z]).astype(float)
    found = fastem.BernoulliMixture(K, random_state=0).fit(X, covariates=C)
    known = fastem.BernoulliMixture(K, init_params=z, tol=1e-5, max_iter=3000).fit(X, covariates=C)
    assert found.log_likelihood_ > known.log_likelihood_ - 0.3


@pytest.mark.parametrize("method", ["score_samples", "score", "predict", "predict_proba", "bic", "aic", "icl"])
@pytest.mark.parametrize("name", ["GaussianMixture", "StudentTMixture", "ExponentialMixture"])
def test_other_side_columns_do_not_hide_that_covariates_are_missing(name, method):
    """Errors of 0, or bounds, would otherwise be answered with the rows' mean weights."""
    X, C = of_family(name, 200)
    model = fitted(name, X, C)
    with pytest.raises(ValueError, match="lower and upper cannot be combined with covariates"):
        getattr(model, method)(X, lower=X, upper=X + 1)
    if name == "GaussianMixture":
        with pytest.raises(ValueError, match=r"errors cannot be combined with covariates.*Pass covariates= alone"):
            getattr(model, method)(X, errors=np.zeros_like(X))


def test_rows_with_errors_are_not_denoised_without_their_covariates():
    X, C = of_family("GaussianMixture", 200)
    with pytest.raises(ValueError, match="denoise cannot be had after a fit with covariates"):
        fitted("GaussianMixture", X, C).denoise(X, errors=np.ones_like(X))


@pytest.mark.parametrize("seed", [10, 17])
def test_clusters_that_covariates_tell_apart_are_found(seed):
    """Partitions of the values alone led 85 to 120 below."""
    rng = np.random.default_rng(seed)
    z = rng.choice(5, 1500, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    roots = rng.normal(size=(5, 2, 2))
    X = 4 * rng.normal(size=(5, 2))[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(1500, 2)))
    C = z + 0.7 * rng.normal(size=1500)
    known = fastem.GaussianMixture(5, init_params=z).fit(X, covariates=C).log_likelihood_
    assert fastem.GaussianMixture(5, random_state=0).fit(X, covariates=C).log_likelihood_ > known - 1
