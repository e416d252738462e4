"""The driver: it climbs, stops when it should, and names what a model lacks. Each law is first seen to fail."""

import warnings
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pytest
import reference
from instances import INSTANCES, STRUCTURES, start

from fastem import EMResult, GaussianMixture, LogLikelihoodFell, Statistics, em, kernels
from fastem.datasets import load_faithful
from fastem.driver.partial_steps import Stepwise, incremental_em
from fastem.driver.passes import collect
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks

FULL = STRUCTURES[0]
BY_NAME = {instance.name: instance for instance in INSTANCES}
EASY = BY_NAME["separated"]


def climb(model, X, n_iter=25):
    """Mean log-likelihoods of plain EM steps, without the driver, which would stop at the first fall."""
    history = []
    for _ in range(n_iter):
        statistics = model.e_step(X, None)
        history.append(statistics.log_likelihood / statistics.weight)
        model = model.m_step(statistics)
    return np.array(history)


def assert_monotone(history, real):
    """EVERY difference, up to rounding: of float64, or of a float32 density summed over rows."""
    rounding = 1e-10 if real == np.float64 else 1e-6
    falls = np.diff(history) < -rounding * (1 + abs(history[1:]))
    assert not falls.any(), f"fell after iteration(s) {np.flatnonzero(falls)}: {history}"


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_the_log_likelihood_never_falls(instance, structure):
    assert_monotone(climb(start(instance, structure), instance.X), instance.X.dtype)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("instance", INSTANCES, ids=str)
def test_the_driver_agrees_with_plain_steps_and_reports_no_fall(instance, structure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = em(start(instance, structure), instance.X, tol=0, max_iter=24, n_threads=1)
    assert result.history == climb(start(instance, structure), instance.X).tolist()
    own = result.model.e_step(instance.X)
    assert result.history[-1] == own.log_likelihood / own.weight
    assert result.log_likelihood == own.log_likelihood
    assert np.array_equal(result.statistics.vector, own.vector)


@dataclass(frozen=True)
class Sabotaged:
    """A mixture whose M-step is followed by damage."""

    mixture: Mixture
    damage: object

    def e_step(self, X, sample_weight):
        return self.mixture.e_step(X, sample_weight)

    def m_step(self, statistics):
        return Sabotaged(self.damage(self.mixture, statistics), self.damage)


def remade(mixture, statistics, **changed):
    """The M-step from statistics of which some are replaced."""
    sums = {name: getattr(statistics, name) for name in statistics._layout}
    return mixture.m_step(Statistics(**{**sums, **changed}))


def wrong_weights(mixture, statistics):
    right = mixture.m_step(statistics)
    return Mixture(right.weights[::-1].copy(), right.emission)


def means_moved_backwards(mixture, statistics):
    return remade(mixture, statistics, first=-statistics.first)


def wrong_denominator(mixture, statistics):
    return remade(mixture, statistics, second=statistics.second * len(statistics.counts))


SABOTAGES = [wrong_weights, means_moved_backwards, wrong_denominator]


@pytest.mark.parametrize("damage", SABOTAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_sabotaged_model_fails_the_law_above(structure, damage):
    """From a start, or from an optimum, where wrong weights show at once."""
    instance = BY_NAME["overlapping"]
    begin = start(instance, structure)
    histories = [
        climb(Sabotaged(model, damage), instance.X)
        for model in (begin, em(begin, instance.X, tol=1e-6, max_iter=500).model)
    ]
    with pytest.raises(AssertionError, match="fell after iteration"):
        for history in histories:
            assert_monotone(history, np.float64)


def assert_step_is_the_formulas(model, m_step, X, structure):
    """One M-step against reference.em_step, whatever the log-likelihood says."""
    statistics = model.e_step(X, None)
    found = m_step(model, statistics)
    emission = model.emission
    *expected, log_likelihood = reference.em_step(
        X, model.weights, emission.means, emission.covariance.covariances, structure.name
    )
    assert np.isclose(statistics.log_likelihood, log_likelihood, rtol=1e-11, atol=0)
    found = found.weights, found.emission.means, found.emission.covariance.covariances
    for name, value, right in zip(("weights", "means", "covariances"), found, expected):
        assert np.allclose(value, right, rtol=1e-9, atol=1e-11 * abs(right).max()), name


REGULAR = [BY_NAME[name] for name in ("separated", "overlapping", "one column", "17 columns", "one component")]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("instance", REGULAR, ids=str)
def test_the_m_step_is_the_formulas(instance, structure):
    model = start(instance, structure)
    for _ in range(3):
        assert_step_is_the_formulas(model, Mixture.m_step, instance.X, structure)
        model = model.m_step(model.e_step(instance.X))


def shift_forgotten(mixture, statistics):
    """Covariances about the old means beside the new means: larger than they should be."""
    right, still = mixture.m_step(statistics), remade(mixture, statistics, first=0 * statistics.first)
    return Mixture(right.weights, replace(right.emission, covariance=still.emission.covariance))


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_step_that_climbs_but_is_not_em_fails_the_law_above(structure):
    with pytest.raises(AssertionError, match="covariances"):
        assert_step_is_the_formulas(start(EASY, structure), shift_forgotten, EASY.X, structure)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_fall_is_reported_and_the_better_model_returned(structure):
    good = em(start(EASY, structure), EASY.X, tol=1e-6)
    worse = Sabotaged(good.model, wrong_denominator)
    with pytest.warns(
        LogLikelihoodFell, match="log-likelihood of Sabotaged fell from .* in iteration 1.*defect of the model"
    ):
        result = em(worse, EASY.X, tol=1e-6)
    assert result.model is worse
    assert not result.converged and result.n_iter == 0
    assert "fell" in result.stop_reason
    own = worse.e_step(EASY.X, np.ones(len(EASY.X)))  # sums with weights may round otherwise than those without
    assert result.history == [own.log_likelihood / own.weight] == [pytest.approx(good.history[-1], rel=1e-14)]


def test_it_stops_when_the_log_likelihood_does():
    result = em(start(EASY, FULL), EASY.X, tol=1e-4, max_iter=1000, stop="log_likelihood")
    gains = abs(np.diff(result.history))
    assert result.converged and "mean log-likelihood changed by less than tol=0.0001" in result.stop_reason
    assert gains[-1] < 1e-4 and (gains[:-1] >= 1e-4).all()
    assert result.n_iter == len(gains)


def test_it_stops_when_the_parameters_do():
    models = []
    X = BY_NAME["overlapping"].X
    first = start(BY_NAME["overlapping"], FULL)
    result = em(first, X, tol=1e-3, max_iter=1000, stop="parameters", callback=lambda r: models.append(r.model))
    vectors = [model.parameters() for model in [first, *models]]
    changes = [np.linalg.norm(b - a) / np.linalg.norm(b) for a, b in pairwise(vectors)]
    assert result.converged and "the parameters changed by less than tol=0.001" in result.stop_reason
    assert changes[-1] < 1e-3 and min(changes[:-1]) >= 1e-3


def test_it_stops_after_max_iter():
    result = em(start(EASY, FULL), EASY.X, tol=0, max_iter=3)
    assert (result.n_iter, result.converged, len(result.history)) == (3, False, 4)
    assert "max_iter=3" in result.stop_reason
    none = em(start(EASY, FULL), EASY.X, max_iter=0)
    assert (none.n_iter, none.converged, none.history) == (0, False, result.history[:1])


def test_tol_0_does_all_iterations_even_at_the_optimum():
    result = em(start(EASY, FULL), EASY.X, tol=0, max_iter=200)
    assert result.n_iter == 200 and not result.converged


def test_the_callback_sees_every_iteration_and_may_stop():
    seen = []

    def callback(result):
        assert isinstance(result, EMResult) and len(result.history) == result.n_iter + 1
        seen.append(result.n_iter)
        return result.n_iter == 4

    result = em(start(BY_NAME["overlapping"], FULL), BY_NAME["overlapping"].X, tol=0, callback=callback)
    assert seen == [1, 2, 3, 4] and result.n_iter == 4
    assert not result.converged and "callback" in result.stop_reason


def test_sample_weight_counts_rows():
    X = EASY.X
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = em(start(EASY, FULL), X, sample_weight=weight.astype(float), tol=0, max_iter=5)
    repeated = em(start(EASY, FULL), np.repeat(X, weight, axis=0), tol=0, max_iter=5)
    assert np.allclose(weighted.history, repeated.history, rtol=1e-12, atol=0)
    assert np.allclose(weighted.model.parameters(), repeated.model.parameters(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("block_rows", [1, 7, 64, 599])
def test_the_cut_into_blocks_does_not_matter(structure, block_rows):
    weight = np.random.default_rng(0).uniform(0.1, 2, len(EASY.X))
    whole, cut = ArrayBlocks(EASY.X, weight), ArrayBlocks(EASY.X, weight)
    cut.block_rows = block_rows
    assert len(list(cut)) == -(-len(EASY.X) // block_rows)
    model = start(EASY, structure)
    a, b = whole.reduce(model, 1).vector, cut.reduce(model, 1).vector
    assert np.all(abs(a - b) <= 1e-12 * abs(a).max())
    a, b = (em(model, blocks, tol=0, max_iter=5, n_threads=1) for blocks in (whole, cut))
    assert np.allclose(a.history, b.history, rtol=1e-12, atol=0)
    assert np.allclose(a.model.parameters(), b.model.parameters(), rtol=1e-12, atol=1e-12)


def test_blocks_of_an_array_have_the_same_bits_for_any_number_of_threads():
    blocks = ArrayBlocks(np.tile(EASY.X, (40, 1)))
    blocks.block_rows = 7000
    vectors = [blocks.reduce(start(EASY, FULL), n_threads).vector.tobytes() for n_threads in (1, 2, 3, 8)]
    assert len(set(vectors)) == 1


class Coin:
    """The least model of one's own."""

    def __init__(self, heads, sums=("heads", "weight", "log_likelihood"), value=None):
        self.heads, self.sums, self.value = heads, sums, value

    def e_step(self, X, sample_weight):
        weight = np.ones(len(X)) if sample_weight is None else sample_weight
        log_likelihood = self.value or weight @ np.where(X[:, 0], np.log(self.heads), np.log(1 - self.heads))
        sums = {"heads": weight @ X[:, 0], "weight": weight.sum(), "log_likelihood": log_likelihood}
        return Statistics(**{name: sums[name] for name in self.sums})

    def m_step(self, statistics):
        return Coin(statistics.heads / statistics.weight, self.sums, self.value)


TOSSES = np.array([[1], [1], [0], [1.0]])


def test_a_model_of_ones_own_needs_two_methods():
    result = em(Coin(0.5), TOSSES, tol=1e-12)
    assert result.model.heads == 0.75 and result.converged
    assert em(Coin(0.5), TOSSES, sample_weight=np.array([1, 1, 2, 0.0])).model.heads == 0.5


@pytest.mark.parametrize("missing", ["e_step", "m_step"])
def test_a_missing_method_is_named(missing):
    class Half:
        pass

    setattr(Half, {"e_step": "m_step", "m_step": "e_step"}[missing], lambda self, *args: None)
    with pytest.raises(TypeError, match=f"model must have a method {missing}; Half has none"):
        em(Half(), TOSSES)


@pytest.mark.parametrize("missing", ["log_likelihood", "weight"])
def test_a_missing_statistic_is_named(missing):
    sums = [name for name in ("heads", "weight", "log_likelihood") if name != missing]
    with pytest.raises(ValueError, match=f"e_step of Coin must return '{missing}'"):
        em(Coin(0.5, sums), TOSSES)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_log_likelihood_that_is_not_finite_is_an_error(value):
    with pytest.raises(FloatingPointError, match=f"log-likelihood of Coin is {value}"):
        em(Coin(0.5, value=value), TOSSES)


@pytest.mark.parametrize("name", ["log_likelihood", "weight"])
def test_a_sum_that_is_an_array_is_named(name):
    e_step = Coin(0.5).e_step(TOSSES, None)
    with pytest.raises(ValueError, match=f"e_step of Coin must return '{name}' as one number"):
        collect(Returned(e_step.replaced(**{name: np.ones(4)})), Coin(0.5), 1)


@pytest.mark.parametrize("weight", [0.0, -4.0, np.nan])
def test_a_weight_that_counts_no_rows_is_named(weight):
    e_step = Coin(0.5).e_step(TOSSES, None)
    with pytest.raises(
        ValueError, match=f"e_step of Coin must return a positive 'weight', the sum of its rows' weights, not {weight}"
    ):
        collect(Returned(e_step.replaced(weight=weight)), Coin(0.5), 1)


class Returned:
    """Blocks that reduce whatever model to these statistics."""

    def __init__(self, statistics):
        self.statistics = statistics

    def reduce(self, model, n_threads):
        return self.statistics


def test_an_unknown_stopping_rule_lists_the_known():
    with pytest.raises(ValueError, match=r"stop must be one of 'gain', 'log_likelihood', .* a function\. Got 'never'"):
        em(Coin(0.5), TOSSES, stop="never")


def test_weights_beside_blocks_are_not_silently_dropped():
    with pytest.raises((TypeError, ValueError), match="sample_weight"):
        em(Coin(0.5), ArrayBlocks(TOSSES), sample_weight=np.array([1, 1, 2, 0.0]))


@pytest.mark.parametrize("limits", [{"tol": np.nan}, {"tol": -1e-3}, {"max_iter": -1}])
def test_limits_that_are_none_are_refused(limits):
    with pytest.raises(ValueError, match="tol and max_iter must be numbers of at least 0"):
        em(Coin(0.5), TOSSES, **limits)


class Watched:
    """A model that counts nothing but how its E-step is called."""

    n_components = 8

    def __init__(self, calls):
        self.calls = calls

    def e_step(self, X, sample_weight):
        return self.e_step_of_block(X, sample_weight, 1, {})

    def e_step_of_block(self, X, sample_weight, n_threads, kept):
        self.calls.append((n_threads, X.flags.aligned))
        return Statistics(weight=len(X), log_likelihood=-1.0)

    def m_step(self, statistics):
        return self


@pytest.mark.skipif(not kernels.OPENMP, reason="built without OpenMP")
@pytest.mark.parametrize("n, expected", [(3000, 1), (300_000, 2)])
def test_a_short_pass_has_one_thread(n, expected):
    """As in an estimator: a team takes longer to come together than such a pass does."""
    passes = []
    em(Watched(passes), np.zeros((n, 4)), n_threads=2, max_iter=2)
    stream = Stepwise(Watched(passes), n_threads=2)
    stream.update(np.zeros((n, 4)))
    assert {n_threads for n_threads, _ in passes} == {expected}


@pytest.mark.parametrize("weighted", [False, True])
def test_rows_at_odd_addresses_are_aligned(weighted):
    memory = np.zeros(8 * 200 + 1, np.uint8)
    X = memory[1:].view(np.float64).reshape(100, 2)
    assert not X.flags.aligned
    passes = []
    em(Watched(passes), X, sample_weight=np.ones(100) if weighted else None)
    assert passes and all(aligned for _, aligned in passes)


class Scripted:
    """A model whose log-likelihoods are written down, and what it says of their errors."""

    def __init__(self, values, error=0.0, of_step=0.0, at=0):
        self.values, self.error, self.of_step, self.at = values, error, of_step, at

    def e_step(self, X, sample_weight):
        return Statistics(log_likelihood=len(X) * self.values[self.at], weight=len(X))

    def m_step(self, statistics):
        return Scripted(self.values, self.error, self.of_step, self.at + 1)

    def log_likelihood_error(self, statistics, n_rows, dtype):
        assert (n_rows, dtype) == (4, np.float64)
        return 4 * self.error

    def step_error(self, statistics, given, n_rows, dtype):
        assert given.at == self.at - 1
        return 4 * self.of_step


def test_a_fall_below_the_errors_of_both_values_is_none():
    values = [-1.0, -1.0 - 1.9e-3, -0.5, -0.5 - 2.1e-3]
    with pytest.warns(LogLikelihoodFell, match="iteration 3.*defect of the model"):
        result = em(Scripted(values, error=1e-3), TOSSES, tol=0, max_iter=10)
    assert result.history == values[:3] and result.log_likelihood_error == 4e-3


def test_a_fall_that_rounding_of_the_sums_explains_ends_the_fit_in_plain_words():
    """It is real, but no defect: the better model is kept."""
    values = [-1.0, -0.5, -0.6, -0.4]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = em(Scripted(values, error=1e-6, of_step=0.2), TOSSES, tol=0, max_iter=10)
    assert result.model.at == 1 and result.history == values[:2] and not result.converged
    assert "fell from -0.5 to -0.6 in iteration 2: rounding of float64 sums" in result.stop_reason
    assert "the model before is kept" in result.stop_reason


def test_a_model_without_a_bound_is_trusted_to_some_digits():
    """1e-10 in float64, 3e-5 in float32."""
    for value in (-3.0, -3e6):
        result = em(Coin(0.5, value=value), TOSSES, max_iter=0)
        assert result.log_likelihood_error == pytest.approx(1e-10 * (4 + abs(value)))
        in_float32 = em(Coin(0.5, value=value), TOSSES.astype(np.float32), max_iter=0)
        assert in_float32.log_likelihood_error == pytest.approx(3e-5 * (4 + abs(value)))


def slightly_off(mixture, statistics):
    """An M-step that misses the maximum by what costs 1e-12 of the log-likelihood."""
    right = mixture.m_step(statistics)
    return replace(right, emission=replace(right.emission, means=right.emission.means + 3e-6))


class SlightlyOff(Sabotaged):
    """One that says how exact its log-likelihood is."""

    def __init__(self, mixture, damage=slightly_off):
        super().__init__(mixture, damage)

    def m_step(self, statistics):
        return SlightlyOff(self.damage(self.mixture, statistics))

    def log_likelihood_error(self, *arguments):
        return self.mixture.log_likelihood_error(*arguments)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_fall_by_the_11th_digit_is_seen(structure):
    good = em(start(EASY, structure), EASY.X, tol=0, max_iter=60)
    with pytest.warns(LogLikelihoodFell, match="defect of the model"):
        result = em(SlightlyOff(good.model), EASY.X, tol=0, max_iter=1)
    assert result.n_iter == 0


@pytest.mark.parametrize("structure", STRUCTURES[:2], ids=str)
def test_narrow_covariances_in_float32_end_where_rounding_takes_more_than_a_step_gains(structure):
    """From their maximum in float64. The sums of float32 have no digit of the least eigenvalue, 1e-9 of the largest, so
    that the next model really is much worse: a step back, but no defect."""
    rng = np.random.default_rng(2)
    axes = np.linalg.qr(rng.normal(size=(2, 2)))[0] * np.sqrt([1e-9, 1.0])
    X = (rng.normal(size=(300, 2)) @ axes.T + 3 * rng.integers(2, size=(300, 1))).astype(np.float32)
    begin = Mixture(
        np.full(2, 0.5),
        Gaussian(
            np.array([[0.0, 0.0], [3.0, 3.0]]),
            structure.type.from_covariances(structure.from_dense(np.array([axes @ axes.T] * 2)), np.zeros(2)),
            1e-12 * np.ones(2),
        ),
    )
    best = em(begin, X.astype(np.float64), tol=1e-9).model
    assert best.emission.covariance.at_floor.sum() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", LogLikelihoodFell)
        result = em(best, X, tol=1e-9)
    assert "rounding of float32 sums now takes more than a step gains" in result.stop_reason
    assert result.model is best and not result.converged and result.n_iter == 0


def test_a_source_that_gives_other_rows_is_named_before_the_model():
    """That the model has a defect is said first only where the rows cannot have changed."""
    X, passes = load_faithful().data, []

    def chunks():
        passes.append(len(passes))
        return iter([X[:100], X[100:] + 2 * (len(passes) > 6)])

    words = "fell from .*: either the source gives other rows in this pass than in the one before, .* or this is a def"
    with pytest.warns(LogLikelihoodFell, match=words):
        model = GaussianMixture(2, random_state=0, tol=1e-12, accelerate=None).fit(chunks)
    assert not model.converged_ and "gives other rows" in model.stop_reason_


@pytest.mark.parametrize("wrong", [{"tol": "a"}, {"tol": None}, {"max_iter": "9"}, {"tol": np.nan}, {"max_iter": -1}])
def test_a_tolerance_and_a_limit_are_numbers(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=rf"tol and max_iter must be numbers of at least 0. Got .*{name}={value!r}"):
        em(Scripted([-1.0]), TOSSES, **wrong)


@pytest.mark.parametrize("climb", [em, incremental_em])
def test_a_limit_is_a_whole_number(climb):
    with pytest.raises(ValueError, match=r"max_iter must be a whole number of at least 0. Got 2.5 instead"):
        climb(Scripted([-1.0]), TOSSES, max_iter=2.5)
