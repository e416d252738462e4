"""Stopping rules against what they say of a fit that is run on to its end."""

import numpy as np
import pytest
from instances import INSTANCES, STRUCTURES, start

from fastem import GaussianMixture, em

OVERLAPPING = INSTANCES[1]


def fit(**options):
    return em(start(OVERLAPPING, STRUCTURES[0]), OVERLAPPING.X, **{"max_iter": 3000, **options})


def test_relative_change():
    result = fit(stop="relative", tol=1e-5)
    history = np.array(result.history)
    changes = abs(np.diff(history)) / abs(history[1:])
    assert result.converged and "relatively" in result.stop_reason
    assert changes[-1] < 1e-5 and (changes[:-1] >= 1e-5).all()


def test_aitken_knows_what_is_left():
    """Where the plain rule stops early since the gains are small but many."""
    end = fit(tol=1e-13).history[-1]
    tol = 1e-5
    plain, aitken = fit(tol=tol), fit(tol=tol, stop="aitken")
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
