"""Accelerated EM: the same fixed points in fewer passes, never downhill. Passes are counted, nothing is timed."""

import warnings

import numpy as np
import pytest
from instances import INSTANCES, STRUCTURES, start

from fastem import GaussianMixture, Statistics, em
from fastem.driver.acceleration import ACCELERATORS, bounded, model_at
from fastem.families.exponential import Exponential
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture
from fastem.starts.from_memberships import from_membership

NAMES = sorted(ACCELERATORS)
REGULAR = [i for i in INSTANCES if i.name in ("separated", "overlapping", "one column", "17 columns", "one component")]


def two_overlapping(d, apart, seed=0, n=600):
    """Rows of two components, and a start near the truth."""
    rng = np.random.default_rng(seed)
    means = np.zeros((2, d))
    means[1, 0] = apart
    X = means[rng.integers(0, 2, n)] + rng.normal(size=(n, d))
    floor = 1e-6 * X.var(axis=0)
    covariance = Full.from_covariances(np.tile(np.eye(d), (2, 1, 1)), floor)
    return X, Mixture(np.full(2, 0.5), Gaussian(means + 0.2 * rng.normal(size=(2, d)), covariance, floor))


def passes_to(goal, model, X, accelerate):
    result = em(model, X, tol=0, max_iter=9000, accelerate=accelerate, callback=lambda r: r.history[-1] >= goal)
    return result.n_passes if result.history[-1] >= goal else np.inf


def test_fewer_passes_where_components_overlap():
    speedups = {name: [] for name in NAMES}
    for seed in range(3):
        X, model = two_overlapping(2, 2.0, seed)
        plain = em(model, X, tol=1e-10, max_iter=9000)
        goal = plain.history[-1] - 1e-6
        for name in NAMES:
            speedups[name].append((np.argmax(np.array(plain.history) >= goal) + 1) / passes_to(goal, model, X, name))
    assert np.median(speedups["anderson"]) >= 3 and np.median(speedups["squarem"]) >= 1.5, speedups


@pytest.mark.parametrize("name", NAMES)
def test_going_on_from_a_result_is_accelerated_as_asked(name):
    X, model = two_overlapping(2, 2.0)
    settings = {"tol": 1e-10, "max_iter": 9000, "accelerate": name}
    plain, fast = em(model, X, tol=0, max_iter=5), em(model, X, **settings)
    gone_on = em(plain, X, **settings)
    assert gone_on.has_jumped and not any(step.accelerated for step in list(gone_on.steps)[:5])
    assert gone_on.n_passes <= fast.n_passes + 5
    other = next(one for one in NAMES if one != name)
    half = em(em(model, X, tol=0, max_iter=12, accelerate=other), X, **settings | {"max_iter": 12})
    assert type(half.accelerator) is ACCELERATORS[name]


def test_it_ends_at_em_s_own_optimum_where_there_are_several():
    """Unguarded, Anderson's mixing ends lower from each of these starts."""
    for seed in (0, 4, 8):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(400, 3)) + 2 * np.eye(3)[rng.integers(0, 3, 400)]
        membership = rng.dirichlet(np.ones(4), 400)
        model = from_membership(X, np.ones(400), membership, 4, Full, 1e-4 * X.var(axis=0))
        plain, *others = (em(model, X, tol=1e-10, max_iter=4000, accelerate=a) for a in (None, *NAMES))
        for name, fast in zip(NAMES, others):
            assert abs(fast.history[-1] - plain.history[-1]) < 1e-6 and fast.n_passes < plain.n_passes, name


@pytest.mark.parametrize("name", NAMES)
def test_no_more_passes_where_they_are_separated(name):
    for seed in range(3):
        X, model = two_overlapping(2, 8.0, seed)
        plain = em(model, X, tol=1e-9)
        fast = em(model, X, tol=1e-9, accelerate=name)
        assert fast.n_passes <= plain.n_passes and np.isclose(fast.history[-1], plain.history[-1], rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("instance", REGULAR, ids=str)
def test_it_never_falls_and_ends_at_a_fixed_point(instance, structure, name):
    result = em(start(instance, structure), instance.X, tol=1e-8, max_iter=4000, accelerate=name)
    history = np.array(result.history)
    assert (np.diff(history) >= -1e-10 * (1 + abs(history[1:]))).all()
    assert result.converged
    on = em(result.model, instance.X, tol=0, max_iter=20)
    assert on.history[-1] - on.history[0] < 1e-6
    dropped = result.n_passes - 1 - result.n_iter
    assert 0 <= dropped <= result.n_iter
    assert all(step.e_gain >= -1e-9 for step in result.steps)


@pytest.mark.parametrize("name", NAMES)
def test_an_accepted_proposal_costs_no_pass(name, monkeypatch):
    """One pass at the start, one for each iteration, and one more only where a proposal was dropped."""
    X, model = two_overlapping(2, 2.0)
    verdicts = []

    class Watched(ACCELERATORS[name]):
        def keeps(self, proposal, image):
            verdicts.append(super().keeps(proposal, image))
            return verdicts[-1]

    monkeypatch.setitem(ACCELERATORS, name, Watched)
    result = em(model, X, tol=0, max_iter=100, accelerate=name)
    assert sum(step.accelerated for step in result.steps) == verdicts.count(True) > 3
    assert result.n_passes == 1 + 100 + verdicts.count(False)

    class Counting(type(result.model)):
        passes = 0

        def e_step_of_block(self, X, sample_weight, n_threads, kept):
            Counting.passes += 1
            return super().e_step_of_block(X, sample_weight, n_threads, kept)

        def m_step(self, statistics):
            following = super().m_step(statistics)
            return Counting(following.weights, following.emission)

        def from_vector(self, vector):
            other = super().from_vector(vector)
            return Counting(other.weights, other.emission)

    counted = em(Counting(model.weights, model.emission), X, tol=0, max_iter=100, accelerate=name)
    assert counted.n_passes == Counting.passes == result.n_passes


def test_a_worse_proposal_is_dropped(monkeypatch):
    """Then the sequence is EM's own."""
    X, model = two_overlapping(2, 2.0)

    verdicts = []

    class Bad:
        has_jumped = False

        def __init__(self, model): ...

        def propose(self, model, image):
            return model.from_vector(model.to_vector() + 3.0)

        def keeps(self, proposal, image):
            verdicts.append(image)
            return image is not None

    monkeypatch.setitem(ACCELERATORS, "bad", Bad)
    plain, bad = (em(model, X, tol=0, max_iter=8, accelerate=name) for name in (None, "bad"))
    assert bad.history == plain.history and bad.n_passes == 17 and verdicts == [None] * 8


def test_there_is_no_model_at_some_vectors():
    _, model = two_overlapping(2, 2.0)
    vector = model.to_vector()
    assert model_at(model, vector) is not None
    assert model_at(model, vector * np.nan) is None
    vector[-1] = 1e6
    assert model_at(model, vector) is None


def test_the_rates_of_an_em_map_are_not_negative_and_grow_a_bounded_amount():
    rates = np.array([-0.5, 0.3, 0.999, 1.5, 0.6 + 0.9j])
    assert np.allclose(bounded(rates, 1.01), [0, 0.3, 0.999, 1.01, (0.6 + 0.9j) / abs(0.6 + 0.9j)])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error")
def test_weights_that_reach_0_stop_it_quietly(name):
    X, model = two_overlapping(2, 2.0)
    dead = Mixture(np.array([1.0, 0.0]), model.emission)
    assert em(dead, X, tol=0, max_iter=5, accelerate=name).history == em(dead, X, tol=0, max_iter=5).history


def test_what_is_missing_is_named():
    class Coin:
        def e_step(self, X, sample_weight): ...
        def m_step(self, statistics): ...

    X, model = two_overlapping(2, 2.0, n=50)
    with pytest.raises(TypeError, match="accelerate='squarem' needs a method to_vector; Coin has none"):
        em(Coin(), X, accelerate="squarem")
    with pytest.raises(ValueError, match="accelerate must be None or one of 'anderson', 'squarem'"):
        em(model, X, accelerate="fast")
    with pytest.raises(ValueError, match="'accelerate' parameter"):
        GaussianMixture(accelerate="fast").fit(X)


def test_the_estimator_hands_it_on():
    X, _ = two_overlapping(2, 2.0)
    plain, *fast = (
        GaussianMixture(2, random_state=0, tol=1e-8, max_iter=5000, accelerate=a).fit(X) for a in (None, *NAMES)
    )
    assert plain.converged_ and not any(step.accelerated for step in plain.steps_)
    for fit in fast:
        assert fit.converged_ and fit.n_iter_ < plain.n_iter_ and any(step.accelerated for step in fit.steps_)
    assert fast[0].history_ != fast[1].history_


def test_rounding_without_a_bound_does_not_explain_a_fall():
    """It is inf, which is more than any fall: a worse model must not be taken for that."""

    class Wild:
        def __init__(self, x):
            self.x = x

        def e_step(self, X, sample_weight):
            return Statistics(weight=10.0, log_likelihood=-10 * self.x**2)

        def m_step(self, statistics):
            return Wild(self.x / 2)

        def leap(self, before):
            return Wild(1e3)

        def log_likelihood_error(self, statistics, n_rows, dtype):
            return np.inf

    result = em(Wild(1.0), np.zeros((10, 1)), max_iter=5, tol=0)
    assert result.model.x == 2.0**-5 and np.diff(result.history).min() > 0


def test_a_rate_of_0_is_no_model():
    emission = Exponential(np.ones((1, 1)), np.full(1, 1e10))
    assert emission.from_vector(np.array([-2000.0])).rates == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert model_at(emission, np.array([-2000.0])) is None
