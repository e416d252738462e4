"""The laws that every mixture family obeys; the table of families is models.py."""

import warnings

import numpy as np
import pytest
from models import MODELS
from scipy.special import logsumexp

import fastem
from fastem import em, theory
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.families import ESTIMATORS
from fastem.online import Stepwise
from fastem.rows.blocks import ArrayBlocks

every_family = pytest.mark.parametrize("family", MODELS, ids=str)
REALS = [np.float64, np.float32]


def fitted(family, X, K=2, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return family.make(K, **{"random_state": 0, "tol": 1e-6, "max_iter": 200} | parameters).fit(X)


def log_joint(family, model, X):
    """(n, K) by the oracle."""
    return np.array(
        [np.log(w) + family.log_prob(model.emission, k, X.astype(float)) for k, w in enumerate(model.weights)]
    ).T


def test_every_mixture_is_in_the_table():
    """But the Bayesian one, whose laws are those of a posterior."""
    mixtures = {make for make in ESTIMATORS.values() if issubclass(make, MixtureEstimator)}
    assert mixtures - {type(family.make(1)) for family in MODELS} == {fastem.BayesianGaussianMixture}


@every_family
@pytest.mark.parametrize("real", REALS)
def test_scores_are_those_of_the_formulas(family, real):
    X = family.data().astype(real)
    found = fitted(family, X)
    joint = log_joint(family, found.model_, X)
    tolerance = 1e-9 if real is np.float64 else 2e-4
    density = logsumexp(joint, axis=1)
    assert np.abs(found.score_samples(X) - density).max() < tolerance * (1 + np.abs(density).max())
    assert np.abs(found.predict_proba(X) - np.exp(joint - density[:, None])).max() < 10 * tolerance
    assert (found.predict(X) == found.predict_proba(X).argmax(axis=1)).all()


@every_family
@pytest.mark.parametrize("real", REALS)
def test_the_log_likelihood_never_falls(family, real):
    X = family.data(seed=1).astype(real)
    weight = np.random.default_rng(0).choice([0.0, 1.0, 2.5], len(X))
    start = fitted(family, X, K=3, max_iter=1, init_params="random").model_
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastem.LogLikelihoodFell)
        result = em(start, ArrayBlocks(X, weight), tol=0, max_iter=60)
    gains = np.diff(result.history)
    assert gains.min() > -(1e-10 if real is np.float64 else 1e-5) * (1 + abs(result.history[0]))
    assert gains.sum() > 0


@pytest.mark.parametrize("family", [family for family in MODELS if family.maximises], ids=str)
def test_an_m_step_cannot_be_improved(family):
    """Brute force: the expected log-joint falls when any coordinate of the new model moves."""
    X = family.data(seed=2)
    old = fitted(family, X, max_iter=2).model_
    statistics = old.e_step(X)
    new = old.m_step(statistics)
    best = old.expected_log_joint(statistics, new)
    vector = new.to_vector()
    for i in range(len(vector)):
        for step in (-1e-3, 1e-3):
            moved = vector.copy()
            moved[i] += step
            assert old.expected_log_joint(statistics, new.from_vector(moved)) < best + 1e-9 * abs(best)


STRUCTURES = ("full", "tied", "diag", "spherical", "EII", "VEI", "EVI", "EEI", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV")
WITH_SLOPES = ("full", "tied", "diag", "spherical", "EII")


@pytest.mark.parametrize("structure", STRUCTURES)
def test_slopes_are_those_of_q(structure):
    """Fisher's identity: the slopes of Q are those of the log-likelihood, by a formula and by differences."""
    X = np.random.default_rng(3).normal(size=(60, 3)) * [1.0, 2.0, 0.5] + np.repeat([[0.0], [1.0], [3.0]], 20, axis=0)
    model = fastem.GaussianMixture(3, covariance_type=structure, max_iter=2, tol=0, random_state=0).fit(X).model_
    assert_slopes(model, X, known=structure in WITH_SLOPES)


@every_family
def test_slopes_of_a_family_are_those_of_q(family):
    X = family.data()
    assert_slopes(fitted(family, X, max_iter=2).model_, X)


def assert_slopes(model, X, known=None):
    statistics, x = model.e_step(X), model.to_vector()
    found = model.gradient(statistics)
    assert known is None or (found is not None) == known
    if found is None:
        return
    expected = [
        np.diff([model.expected_log_joint(statistics, model.from_vector(x + h)) for h in (-step, step)])[0] / 2e-5
        for step in 1e-5 * np.eye(len(x))
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6 * (1 + np.abs(found).max()))


@every_family
def test_both_half_steps_climb(family):
    found = fitted(family, family.data(seed=2), K=3, init_params="random", tol=0, max_iter=30)
    assert min(step.m_gain for step in found.steps_ if not step.accelerated) > -1e-11
    assert min(step.e_gain for step in found.steps_) > -1e-11


@every_family
def test_vectors_are_coordinates(family):
    model = fitted(family, family.data()).model_
    again = model.from_vector(model.to_vector())
    np.testing.assert_allclose(again.parameters(), model.parameters(), rtol=1e-9, atol=1e-12)


@every_family
def test_log_likelihood_is_bound_plus_kl(family):
    X = family.data()
    model = fitted(family, X, K=3, init_params="kmeans").model_
    rng = np.random.default_rng(0)
    for spread in (0.1, 1.0, 10.0):
        q, weight = rng.dirichlet(np.full(3, spread), len(X)), rng.uniform(0, 2, len(X))
        total = theory.elbo(model, X, q, weight) + theory.gap(model, X, q, weight)
        assert total == pytest.approx(model.e_step(X, weight).log_likelihood, rel=1e-10)
        total = theory.elbo(model, X, q) + theory.kl(q, theory.posterior(model, X))
        assert total == pytest.approx(theory.log_likelihood(model, X), rel=1e-10)
    statistics = model.e_step(X)
    bound = model.expected_log_joint(statistics, model) + statistics.entropy
    assert bound == pytest.approx(statistics.log_likelihood, rel=1e-10)


@every_family
def test_integer_weights_are_repeated_rows(family):
    X = family.data()
    times = np.random.default_rng(0).integers(0, 4, len(X))
    labels = np.arange(len(X)) % 2
    weighted = family.make(2, init_params=labels, tol=1e-8, max_iter=20)
    repeated = family.make(2, init_params=np.repeat(labels, times), tol=1e-8, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weighted.fit(X, sample_weight=times.astype(float))
        repeated.fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(weighted.model_.parameters(), repeated.model_.parameters(), rtol=1e-6, atol=1e-8)


@every_family
def test_stepwise_with_all_rows_and_steps_of_1_is_em(family):
    X = family.data()
    model = fitted(family, X, max_iter=1, init_params="random").model_
    stream = Stepwise(model, alpha=0)
    for _ in range(5):
        stream.update(X)
    whole = model
    for _ in range(5):
        whole = whole.m_step(whole.e_step(X))
    np.testing.assert_allclose(stream.model.parameters(), whole.parameters(), rtol=1e-8, atol=1e-10)


@every_family
@pytest.mark.parametrize("real", REALS)
def test_blocks_and_threads_do_not_matter(family, real):
    X = family.data(n=5000).astype(real)
    model = fitted(family, X, max_iter=3).model_
    whole = model.e_step(X)
    for n_threads in (2, 3):
        assert np.array_equal(model.e_step_of_block(X, None, n_threads, {}).vector, whole.vector)
    assert np.array_equal(model.e_step(np.asfortranarray(X)).vector, whole.vector)
    parts = model.e_step(X[:1234]) + model.e_step(X[1234:])
    tolerance = 1e-11 if real is np.float64 else 1e-4
    np.testing.assert_allclose(parts.vector, whole.vector, rtol=tolerance, atol=tolerance * np.abs(whole.vector).max())


@every_family
def test_rows_and_components_in_another_order(family):
    X = family.data()
    labels = np.arange(len(X)) % 2
    order = np.random.default_rng(0).permutation(len(X))
    one = fitted(family, X, init_params=labels, max_iter=10)
    rows = fitted(family, X[order], init_params=labels[order], max_iter=10)
    components = fitted(family, X, init_params=1 - labels, max_iter=10)
    np.testing.assert_allclose(rows.model_.parameters(), one.model_.parameters(), rtol=1e-6, atol=1e-9)
    assert np.abs(components.score_samples(X) - one.score_samples(X)).max() < 1e-6


@every_family
def test_saved_and_loaded(family, tmp_path):
    X = family.data()
    found = fitted(family, X)
    found.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert type(again) is type(found) and again.history_ == found.history_
    assert np.array_equal(again.score_samples(X), found.score_samples(X))
    assert np.array_equal(again.predict_proba(X), found.predict_proba(X))


@every_family
def test_samples_come_from_the_density(family):
    X = family.data(n=2000)
    found = fitted(family, X)
    rows, labels = found.sample(20_000, random_state=1)
    assert rows.shape == (20_000, X.shape[1]) and (np.diff(labels) >= 0).all()
    assert np.abs(np.bincount(labels, minlength=2) / 20_000 - found.weights_).max() < 0.02
    own, theirs = found.score_samples(rows), found.score_samples(X)
    assert abs(own.mean() - theirs.mean()) < 5 * np.hypot(own.std() / 141, theirs.std() / 44)
    again = fitted(family, rows)
    assert again.score(rows) >= found.score(rows) - 1e-6
    assert again.score(rows) - found.score(rows) < 5e-3


@every_family
def test_criteria_count_the_parameters(family):
    X = family.data()
    found = fitted(family, X)
    total = found.score(X) * len(X)
    assert found.bic(X) == pytest.approx(np.log(len(X)) * found.n_parameters_ - 2 * total)
    assert found.aic(X) == pytest.approx(2 * found.n_parameters_ - 2 * total)


@every_family
def test_acceleration_does_not_lower_the_likelihood(family):
    """It ends where EM ends, or higher, and never falls on the way."""
    X = family.data(seed=3)
    fit = {"K": 3, "tol": 1e-7, "max_iter": 2000, "init_params": np.arange(len(X)) % 3}
    plain = fitted(family, X, **fit)
    for name in ("anderson", "squarem"):
        fast = fitted(family, X, accelerate=name, **fit)
        assert any(step.accelerated for step in fast.steps_)
        assert np.diff(fast.history_).min() > -1e-9
        assert fast.converged_ and fast.lower_bound_ > plain.lower_bound_ - 1e-6


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_a_component_without_rows_is_reported(family):
    """By a warning, the status, the report and what is said of the restart; the other one has all rows."""
    X = family.data()
    model = fitted(family, X)
    model.weights_ = np.array([1.0, 0.0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.set_params(warm_start=True, max_iter=3).fit(X)
    degenerate = [str(w.message) for w in caught if w.category is fastem.DegenerateComponentWarning]
    assert len(degenerate) == 1 and "component 1: empty: no row belongs to it" in degenerate[0]
    assert model.weights_.tolist() == [1, 0] and model.component_status_[1] == "empty: no row belongs to it"
    other, empty = model.fit_report_.components
    assert (empty.weight, empty.effective_rows, empty.status) == (0, 0, model.component_status_[1])
    assert other.effective_rows == pytest.approx(len(X)) and "empty" not in other.status
    assert not model.fit_report_.restarts[0].sound
    assert str(model.fit_report_).splitlines()[-1].endswith(empty.status)
    assert np.isfinite(model.model_.parameters()).all() and np.isfinite(model.score_samples(X)).all()


@every_family
def test_a_component_without_rows_keeps_its_parameters(family):
    X = family.data()
    model = fitted(family, X).model_
    statistics = model.e_step(X)
    for name in statistics.names:
        if np.ndim(getattr(statistics, name)):
            getattr(statistics, name)[1] = 0
    kept = model.m_step(statistics)
    assert np.isfinite(kept.parameters()).all()
    assert kept.weights[1] == 0
    alone = type(model)(np.array([0.0, 1.0]), kept.emission), type(model)(np.array([0.0, 1.0]), model.emission)
    np.testing.assert_allclose(*(one.log_joint(X)[:, 1] for one in alone), rtol=1e-12)
