"""The identities that EM rests on, against plain sums over rows; each test was seen to fail on a sabotaged model."""

from functools import partial

import numpy as np
import pytest
import reference
from instances import INSTANCES, STRUCTURES, random_mixture, start
from models import MODELS
from scipy.stats import norm

import fastem
from fastem import GaussianMixture, Statistics, em, theory
from fastem.driver.history import LATE

REGULAR = [i for i in INSTANCES if i.name in ("separated", "overlapping", "one column", "17 columns", "one component")]
OVERLAPPING = REGULAR[1]


def pytest_generate_tests(metafunc):
    if "structure" in metafunc.fixturenames:
        metafunc.parametrize("structure", STRUCTURES, ids=str)
    if "instance" in metafunc.fixturenames:
        metafunc.parametrize("instance", REGULAR, ids=str)


def two_models(instance, structure):
    first = start(instance, structure)
    return first, em(first, instance.X, tol=0, max_iter=3).model


def test_log_joint_is_the_formulas(instance, structure):
    model = two_models(instance, structure)[1]
    K, d = model.emission.shape
    covariances = reference.dense_covariances(model.emission.covariance.covariances, structure.name, K, d)
    expected = reference.log_joint(instance.X, model.weights, model.emission.means, covariances)
    assert np.allclose(model.log_joint(instance.X), expected, rtol=1e-10, atol=1e-10)
    assert np.allclose(model.posterior(instance.X), reference.responsibilities(expected), rtol=0, atol=1e-10)
    assert np.allclose(theory.posterior(model, instance.X), model.posterior(instance.X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_log_likelihood_is_bound_plus_gap_for_any_q(instance, structure, seed):
    rng = np.random.default_rng(seed)
    model, X = two_models(instance, structure)[1], instance.X
    q = rng.dirichlet(np.full(instance.n_components, 0.3), len(X))
    weight = rng.uniform(0.1, 2, len(X)) if seed else None
    bound, gap = theory.elbo(model, X, q, weight), theory.gap(model, X, q, weight)
    total = model.e_step(X, weight).log_likelihood
    assert abs(bound + gap - total) < 1e-10 * (abs(bound) + gap)
    assert gap >= 0 or instance.n_components == 1


def test_the_gap_is_the_divergence_from_the_posterior(structure):
    model, X = two_models(OVERLAPPING, structure)[1], OVERLAPPING.X
    q = np.random.default_rng(0).dirichlet(np.ones(4), len(X))
    assert np.isclose(theory.kl(q, theory.posterior(model, X)), theory.gap(model, X, q), rtol=1e-9)
    own = theory.posterior(model, X)
    assert abs(theory.gap(model, X, own)) < 1e-9
    assert np.isclose(theory.elbo(model, X, own), theory.log_likelihood(model, X), rtol=1e-12)


def test_q_from_the_statistics_is_q_from_the_rows(instance, structure):
    given, at = two_models(instance, structure)
    statistics = given.e_step(instance.X)
    posterior = given.posterior(instance.X)
    for model in (given, at):
        expected = (posterior * model.log_joint(instance.X)).sum()
        assert np.isclose(theory.q_function(model, given, statistics), expected, rtol=1e-10)
    assert np.isclose(statistics.entropy, theory.entropy(posterior), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("other", STRUCTURES, ids=str)
def test_q_at_another_structure_is_q_from_the_rows_or_refused(structure, other):
    """Also where sums happened to have shapes that could be multiplied."""
    given, at = start(OVERLAPPING, structure), two_models(OVERLAPPING, other)[1]
    statistics = given.e_step(OVERLAPPING.X)
    expected = (given.posterior(OVERLAPPING.X) * at.log_joint(OVERLAPPING.X)).sum()
    try:
        found = theory.q_function(at, given, statistics)
    except ValueError as error:
        assert str(error).startswith("at is a mixture of 4 Gaussian ") and structure != other
    else:
        assert np.isclose(found, expected, rtol=1e-10)


POSITIVE = 1.0 + np.random.default_rng(0).poisson(4, (40, 2))
GIVEN = GaussianMixture(2, random_state=0).fit(POSITIVE).model_
OTHERS = {
    "fewer components": GaussianMixture(1),
    "another structure": GaussianMixture(2, covariance_type="diag", random_state=0),
    "another family": fastem.ExponentialMixture(2, random_state=0),
    "noise": GaussianMixture(2, noise="box", random_state=0),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.filterwarnings("ignore")
def test_q_of_mixtures_of_two_kinds_is_refused(name):
    other = OTHERS[name].fit(POSITIVE).model_
    ours, theirs = GIVEN.e_step(POSITIVE), other.e_step(POSITIVE)
    for at, given, statistics in ((other, GIVEN, ours), (GIVEN, other, theirs)):
        with pytest.raises(ValueError, match=r"^at is a mixture of . .*, but given is a mixture of . "):
            theory.q_function(at, given, statistics)
    with pytest.raises(ValueError, match=r"^statistics are not those of given.* Pass given.e_step\(X\)"):
        theory.q_function(GIVEN, GIVEN, theirs)


def test_q_of_other_columns_is_refused():
    one = GaussianMixture(2, random_state=0).fit(POSITIVE[:, :1]).model_
    with pytest.raises(ValueError, match=r"Gaussian Full of 1 column.s., but given is .* of 2 column.s."):
        theory.q_function(one, GIVEN, GIVEN.e_step(POSITIVE))
    with pytest.raises(ValueError, match=r"^statistics are not those of given"):
        theory.q_function(GIVEN, GIVEN, one.e_step(POSITIVE[:, :1]))
    with pytest.raises(TypeError, match="Got NoneType instead"):
        theory.q_function(GIVEN, GIVEN, None)


@pytest.mark.parametrize("family", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_q_of_every_family_is_taken(family):
    rows = family.data(60)
    given = family.make(2, random_state=0, max_iter=2).fit(rows).model_
    statistics = given.e_step(rows)
    least = theory.q_function(given, given, statistics)
    assert theory.q_function(given.m_step(statistics), given, statistics) >= least - 1e-9 * abs(least)


def test_statistics_about_other_means_are_those_of_the_rows(structure):
    """rebase, against sums that are formed about those means; the M-step does not depend on where it is done."""
    given, other = two_models(OVERLAPPING, structure)
    statistics = given.e_step(OVERLAPPING.X)
    moved = other.rebase(statistics, given)
    r, z = given.posterior(OVERLAPPING.X), OVERLAPPING.X[:, None, :] - other.emission.means
    assert np.allclose(moved.first, np.einsum("nk,nkd->kd", r, z), rtol=0, atol=1e-9)
    a, b = given.m_step(statistics), other.m_step(moved)
    assert np.allclose(a.parameters(), b.parameters(), rtol=1e-9, atol=1e-10)


def test_the_vector_says_it_all(instance, structure):
    model = two_models(instance, structure)[1]
    vector = model.to_vector()
    assert vector.shape == (model.n_parameters,) and np.isfinite(vector).all()
    again = start(instance, structure).from_vector(vector)
    assert np.allclose(again.parameters(), model.parameters(), rtol=1e-10, atol=1e-12)


def test_any_vector_is_a_model(structure):
    model = two_models(OVERLAPPING, structure)[1]
    rng = np.random.default_rng(0)
    for _ in range(20):
        vector = model.to_vector() + rng.normal(size=model.n_parameters)
        other = model.from_vector(vector)
        assert np.isclose(other.weights.sum(), 1) and np.isfinite(other.e_step(OVERLAPPING.X).log_likelihood)
        if not other.emission.covariance.at_floor.any():
            assert np.allclose(other.to_vector(), vector, rtol=1e-8, atol=1e-8)


def test_both_half_steps_gain_and_make_up_the_whole(instance, structure):
    result = em(start(instance, structure), instance.X, tol=0, max_iter=12)
    assert len(result.steps) == result.n_iter == 12 and result.n_passes == 13
    for before, after, step in zip(result.history, result.history[1:], result.steps):
        assert step.log_likelihood == after and not step.accelerated and step.seconds > 0
        assert before - 1e-10 <= step.bound <= after + 1e-10
        assert np.isclose(step.m_gain + step.e_gain, after - before, rtol=0, atol=1e-10)
    assert result.steps[0].m_gain > 1e-3 and result.steps[0].parameter_step > 0


def test_the_bound_is_the_elbo_of_the_new_model_under_the_old_posterior(structure):
    X = OVERLAPPING.X
    old = start(OVERLAPPING, structure)
    result = em(old, X, tol=0, max_iter=1)
    assert np.isclose(result.steps[0].bound, theory.elbo(result.model, X, old.posterior(X)) / len(X), rtol=1e-10)


def test_large_models_keep_their_steps_worked_out():
    rng = np.random.default_rng(0)
    model = random_mixture(rng, 3, 30, STRUCTURES[0])
    result = em(model, model.sample(400, rng)[0], tol=0, max_iter=2)
    assert result.statistics.vector.size > 1000
    assert all(step.m_gain >= -1e-10 for step in result.steps[:])


def test_the_record_of_many_steps_is_bounded():
    """A step holds models only while it waits to be worked out, and only the best restart keeps its steps."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    result = em(GaussianMixture(2, max_iter=1, tol=0).fit(X).model_, X, tol=0, max_iter=300)
    assert len(result.steps) == 300
    assert sum(isinstance(entry, partial) for entry in result.steps._entries) == LATE
    assert [step.log_likelihood for step in result.steps] == result.history[1:]
    model = GaussianMixture(2, n_init=4, init_params="random", random_state=0).fit(X)
    assert len(model.steps_) == model.n_iter_ > 0


Q = [
    (np.full((600, 3), 0.25), "shape"),
    (np.full(600, 1.0), "shape"),
    (np.full((599, 4), 0.25), "shape"),
    (np.full((600, 4), 0.3), "row 0 of q is not a distribution"),
    (np.tile([1.5, -0.5, 0.0, 0.0], (600, 1)), "row 0 of q is not a distribution"),
    (np.full((600, 4), np.nan), "row 0 of q is not a distribution"),
]


@pytest.mark.parametrize("q, message", Q)
@pytest.mark.parametrize("function", [theory.elbo, theory.gap])
def test_a_q_that_is_none_is_an_error(function, q, message):
    with pytest.raises(ValueError, match=message):
        function(start(OVERLAPPING, STRUCTURES[0]), OVERLAPPING.X, q)


def test_a_model_without_a_posterior_is_named():
    with pytest.raises(TypeError, match="object has no method log_joint"):
        theory.elbo(object(), OVERLAPPING.X, Q[0][0])
    with pytest.raises(TypeError, match="object has no method expected_log_joint"):
        theory.q_function(object(), object(), Statistics())


class Normal:
    """A density whose divergence is known."""

    def __init__(self, mean, sd):
        self.mean, self.sd = mean, sd

    def sample(self, n, random_state):
        return np.random.default_rng(random_state).normal(self.mean, self.sd, n)

    def score_samples(self, X):
        return norm.logpdf(X, self.mean, self.sd)


def test_the_divergence_of_two_normals():
    p, q = Normal(0, 1), Normal(1, 2)
    exact = np.log(2) + (1 + 1) / (2 * 4) - 0.5
    found = [theory.kl_divergence(p, q, 2000, seed) for seed in range(50)]
    z = np.array([(value - exact) / error for value, error in found])
    assert abs(z.mean()) < 4 / np.sqrt(50) and 0.7 < z.std() < 1.4  # the standard error is what it says
    assert theory.kl_divergence(p, p, 100, 0) == (0.0, 0.0)


def test_the_divergence_of_fitted_mixtures():
    X = OVERLAPPING.X
    two, one = (GaussianMixture(k, random_state=0).fit(X) for k in (2, 1))
    assert theory.kl_divergence(two, one, 5000, 0) == theory.kl_divergence(two, one, 5000, 0)
    value, error = theory.kl_divergence(two, one, 5000, 0)
    assert value > -3 * error and error > 0
    with pytest.raises(TypeError, match="object has no method score_samples"):
        theory.kl_divergence(two, object())
    for wrong in (1, 0, 2.5, "10", None):
        with pytest.raises(ValueError, match="n_samples must be a whole number of at least 2"):
            theory.kl_divergence(two, one, wrong)


def own_box(X, width):
    return np.where((X[:, 0] >= 0) & (X[:, 0] <= width), -np.log(width), -np.inf)


EXCLUDING = {
    "truncated": fastem.GaussianMixture(1, truncation=(0.0, np.inf)),
    "gamma": fastem.GammaMixture(1),
    "counts": fastem.PoissonMixture(1),
    "codes": fastem.CategoricalMixture(1),
    "mixed": fastem.MixedMixture(1, kinds={"exponential": [0]}),
    "own": fastem.Mixture.of(own_box, lambda X, weight: X.max())(1),
}


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("name", EXCLUDING)
def test_the_divergence_from_what_excludes_a_draw_is_infinite(name):
    """Whether its log-density says so or it refuses the row; not from what is asked of other columns."""
    rows = 1.0 + np.random.default_rng(0).poisson(2, (50, 1))
    q = EXCLUDING[name].fit(rows)
    p = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    assert theory.kl_divergence(p, q, 100, 0) == (np.inf, 0.0)
    with pytest.raises(ValueError, match="features"):
        theory.kl_divergence(GaussianMixture.from_parameters([1.0], np.zeros((1, 2)), [np.eye(2)]), q, 100, 0)


def test_the_divergence_from_directions_is_infinite_where_rows_have_other_lengths():
    p = GaussianMixture.from_parameters([1.0], np.zeros((1, 2)), [np.eye(2)])
    directions = p.sample(50, 0)[0]
    q = fastem.VonMisesFisherMixture(1).fit(directions / np.linalg.norm(directions, axis=1, keepdims=True))
    assert theory.kl_divergence(p, q, 100, 0) == (np.inf, 0.0)


def test_a_fitted_estimator_stands_for_its_model():
    X = OVERLAPPING.X
    fitted = GaussianMixture(2, random_state=0).fit(X)
    q = np.random.default_rng(0).dirichlet([1, 1], len(X))
    for function in (theory.elbo, theory.gap):
        assert function(fitted, X, q) == function(fitted.model_, X, q)
    assert np.isclose(
        theory.elbo(fitted, X, q) + theory.gap(fitted, X, q), theory.log_likelihood(fitted, X), rtol=1e-12
    )
    statistics = fitted.model_.e_step(X, None)
    assert theory.q_function(fitted, fitted, statistics) == fitted.model_.expected_log_joint(statistics, fitted.model_)
    with pytest.raises(ValueError, match="not fitted"):
        theory.elbo(GaussianMixture(2), X, q)


def test_the_bound_of_the_evidence():
    X = fastem.datasets.load_faithful().data
    model = fastem.BayesianGaussianMixture(3, random_state=0, tol=1e-9).fit(X)
    weight = np.random.default_rng(0).integers(1, 4, len(X)).astype(float)
    best = theory.evidence_bound(model, X, sample_weight=weight)
    other = theory.evidence_bound(model.model_, X, np.full((len(X), 3), 1 / 3), weight)
    assert theory.evidence_bound(model, X) == pytest.approx(model.lower_bound_ * len(X), rel=1e-12)
    joint = model.model_.log_joint(X)
    q = np.full((len(X), 3), 1 / 3)
    assert best - other == pytest.approx(theory.kl(q, theory.posterior(model.model_, X), weight), rel=1e-9)
    assert joint.shape == (272, 3)
    with pytest.raises(TypeError, match="the parameters of a GaussianMixture have no posterior: use elbo"):
        theory.evidence_bound(fastem.GaussianMixture().fit(X), X)
