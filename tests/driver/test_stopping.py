"""Stopping rules against what they say of a fit that is run on to its end."""

import numpy as np
import pytest
from instances import INSTANCES, STRUCTURES, start

from fastem import GaussianMixture, em
from fastem.driver.acceleration import Anderson
from fastem.driver.result import EMResult
from fastem.driver.stopping import gain, left_to_gain, relative

OVERLAPPING = INSTANCES[1]


def fit(**options):
    return em(start(OVERLAPPING, STRUCTURES[0]), OVERLAPPING.X, **{"max_iter": 3000, **options})


def test_relative_change():
    result = fit(stop="relative", tol=1e-5)
    history = np.array(result.history)
    changes = abs(np.diff(history)) / abs(history[1:])
    assert result.converged and "relatively" in result.stop_reason
    assert changes[-1] < 1e-5 and (changes[:-1] >= 1e-5).all()


@pytest.mark.filterwarnings("error")
def test_a_change_to_a_log_likelihood_of_0_is_no_arrival():
    result = EMResult(None, None, [np.float64(-5.0), np.float64(0.0)])
    assert relative(result, None)[0] == np.inf


def test_aitken_knows_what_is_left():
    """Where the plain rule stops early since the gains are small but many."""
    end = fit(tol=1e-13).history[-1]
    tol = 1e-5
    plain, aitken = (fit(tol=tol, stop=rule) for rule in ("log_likelihood", "aitken"))
    assert aitken.converged and "Aitken" in aitken.stop_reason
    assert end - aitken.history[-1] < 2 * tol < end - plain.history[-1]


def test_aitken_on_a_geometric_series():
    """A model that gains 1/2, 1/4, …: what is left is the last gain."""
    result = fit(stop="aitken", tol=0, max_iter=1)
    from fastem.driver.stopping import aitken

    result.history[:] = [0, 0.5, 0.75]
    assert aitken(result, None)[0] == 0.25
    result.history[:] = [0, 0.25, 0.75]
    assert aitken(result, None)[0] == np.inf
    result.history[:] = [0, 0.5, 0.5]
    assert aitken(result, None)[0] == 0


@pytest.mark.parametrize("accelerate", [None, "anderson", "squarem"])
@pytest.mark.parametrize("repeats", [1, 100])
def test_little_is_left_to_gain_in_total_whatever_the_number_of_rows(repeats, accelerate):
    """The change per row alone is small long before the end, the sooner the more rows there are."""
    X = np.tile(OVERLAPPING.X, (repeats, 1))

    def total(**options):
        options = {"max_iter": 20_000, "tol": 1e-3} | options
        return len(X) * em(start(OVERLAPPING, STRUCTURES[0]), X, **options).history[-1]

    left = total(tol=1e-12) - total(accelerate=accelerate)
    assert left < 8 * (0.1 + 1e-6 * len(X)) < total(tol=1e-12) - total(stop="log_likelihood")


def test_the_gain_does_not_depend_on_the_unit_of_small_weights():
    X = OVERLAPPING.X
    plain = fit()
    for unit in (1.0, 2.0**-20):
        assert fit(sample_weight=np.full(len(X), unit)).n_iter == plain.n_iter
    doubled = em(start(OVERLAPPING, STRUCTURES[0]), X, sample_weight=np.full(len(X), 2.0), max_iter=3000)
    twice = em(start(OVERLAPPING, STRUCTURES[0]), np.repeat(X, 2, axis=0), max_iter=3000)
    assert doubled.n_iter == twice.n_iter >= plain.n_iter


def test_at_the_maximum_one_iteration_is_enough():
    assert GaussianMixture(1, random_state=0).fit(OVERLAPPING.X).n_iter_ <= 2


def test_a_callable_ends_the_fit_as_converged():
    def far_enough(result):
        return result.n_iter == 7

    result = fit(stop=far_enough, tol=np.inf)
    assert result.converged and result.n_iter == 7 and "far_enough" in result.stop_reason


def test_a_model_without_parameters_is_named():
    class Coin:
        def e_step(self, X, sample_weight): ...
        def m_step(self, statistics): ...

    with pytest.raises(TypeError, match=r'stop="parameters" needs a method parameters; Coin has none'):
        em(Coin(), OVERLAPPING.X, stop="parameters")


@pytest.mark.parametrize("stop", ["relative", "parameters", "aitken"])
def test_the_estimator_hands_it_on(stop):
    model = GaussianMixture(3, random_state=0, stop=stop, tol=1e-4, max_iter=2000).fit(OVERLAPPING.X)
    default = GaussianMixture(3, random_state=0, tol=1e-4, max_iter=2000).fit(OVERLAPPING.X)
    assert model.converged_ and model.stop_reason_ != default.stop_reason_
    with pytest.raises(ValueError, match="'stop' parameter"):
        GaussianMixture(stop="never").fit(OVERLAPPING.X)


def steps_until(history, **settings):
    """After how many steps of a run with this history nothing seems to be left, of 300 rows."""
    for n in range(1, len(history)):
        result = EMResult(None, None, history[: n + 1], n_rows=300.0)
        if gain(result, None, **settings)[0] < 1e-3:
            return n
    return len(history)


def test_what_is_quickly_gained_does_not_hide_what_comes_slowly():
    steps = np.arange(200)
    history = (-0.03 * 0.2**steps - 0.006 * 0.97**steps).tolist()  # 1.8 of the total comes slowly
    least = -0.2 / 300
    assert history[steps_until(history, n_estimates=2)] < least
    assert history[steps_until(history)] > least


def test_a_run_that_stands_still_is_not_looked_at_for_long():
    history = (-(1e-6 ** np.arange(1, 12.0))).tolist()
    assert steps_until(history) <= 4


def test_gains_that_grow_are_no_sign_of_arrival():
    history = (1e-14 * 10 ** np.arange(9.0)).tolist()  # EM leaves a saddle
    assert steps_until(history) == len(history)


def test_plain_steps_after_accelerated_ones_count_each_for_itself():
    gains = [1e-3, 1e-3, 0.04, 5e-3, 1e-3, 9e-4]  # the last two are plain: a rate of 0.9
    result = EMResult(None, None, np.cumsum([0.0, *gains]).tolist(), n_rows=300.0)
    result.accelerator = Anderson(None)
    result.accelerator.has_jumped = True
    assert left_to_gain(result) == pytest.approx(9e-4**2 / 1e-4)
    result.history = np.cumsum([0.0, 0.05, 5e-3, 0.04, 4e-3]).tolist()  # each second one is accelerated
    assert left_to_gain(result) == pytest.approx(0.044**2 / 0.011)


def test_accelerated_steps_now_and_then_do_not_keep_a_run_from_arriving():
    gains = 1e-13 * 0.99 ** np.arange(63)
    gains[::8] *= 7
    result = EMResult(None, None, np.cumsum([-2.0, *gains]).tolist(), n_rows=300.0)
    result.accelerator = Anderson(None)
    result.accelerator.has_jumped = True
    assert gain(result, None)[0] < 1e-9


@pytest.mark.parametrize("n_rows, share", [(1.0, 1.0), (1e5, 1e5 / 200), (1e12, 1e3)])
def test_what_may_be_left_is_a_total_and_a_share_of_many_rows(n_rows, share):
    """With tol=1e-3 it is 0.1 + 1e-6 n: of a series whose last gain is what is left per row, or the change itself."""
    result = EMResult(None, None, (-(0.5 ** np.arange(12.0))).tolist(), n_rows=n_rows)
    assert gain(result, None, n_estimates=1)[0] == pytest.approx(0.5**11 * share, rel=1e-6)
