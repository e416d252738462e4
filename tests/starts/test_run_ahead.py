"""A fit whose steps are made in the compiled module is the one that the driver makes."""

import pickle

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.datasets import load_faithful
from fastem.kernels.arithmetic import FIXED_ORDER
from fastem.models.gaussian.short_runs import LETTERS
from fastem.starts import restarts

FAITHFUL = load_faithful().data
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 3)) * [1, 10, 0.1] + 4 * RNG.integers(0, 3, (400, 1)) * [1, 3, 0]
APART = RNG.normal(size=(400, 2)) + 8 * RNG.integers(0, 3, (400, 1))
ITERATED = {"VEI": 1e-8, "VEV": 1e-8, "VEE": 1e-6, "EVE": 1e-6, "VVE": 1e-6}  # whose M-steps end by some change


def both(rows, n_components=3, **parameters):
    """The fit, and the one of the driver's steps alone, at which a callback looks."""
    estimator = GaussianMixture(n_components, random_state=0, **parameters)
    return estimator.fit(rows), GaussianMixture(**estimator.get_params()).fit(rows, callback=lambda result: False)


def require_same(ahead, driven, digits=1e-11):
    assert ahead.n_iter_ == driven.n_iter_ and len(ahead.steps_) == len(driven.steps_) == ahead.n_iter_
    assert (ahead.converged_, ahead.stop_reason_) == (driven.converged_, driven.stop_reason_)
    np.testing.assert_allclose(ahead.history_, driven.history_, rtol=digits)
    np.testing.assert_allclose(ahead.means_, driven.means_, rtol=1e3 * digits, atol=1e3 * digits)
    np.testing.assert_allclose(ahead.remaining_gain_, driven.remaining_gain_, rtol=1e-3, atol=1e3 * len(X) * digits)
    for ours, theirs in zip(ahead.steps_, driven.steps_):
        assert ours.accelerated == theirs.accelerated
        np.testing.assert_allclose(ours[:4], theirs[:4], rtol=digits, atol=10 * digits)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("structure", [*LETTERS.values(), "full", "diag", "tied", "spherical"])
def test_it_is_the_driver_s(structure):
    require_same(*both(X, covariance_type=structure), ITERATED.get(structure, 1e-11))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accelerate", ["anderson", "squarem", None])
@pytest.mark.parametrize("stop", ["gain", "log_likelihood", "relative", "aitken"])
def test_every_rule_and_acceleration(accelerate, stop):
    require_same(*both(FAITHFUL, accelerate=accelerate, stop=stop, tol=1e-6), 1e-9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("max_iter", [0, 1, 5, 6])
def test_it_ends_with_max_iter(max_iter):
    ahead, driven = both(FAITHFUL, max_iter=max_iter, tol=0)
    require_same(ahead, driven)
    assert ahead.n_iter_ == max_iter and not ahead.converged_


def test_the_driver_goes_on_where_steps_may_be_accelerated():
    ahead, driven = both(FAITHFUL, 3, tol=1e-8)
    require_same(ahead, driven, 1e-9)
    assert any(step.accelerated for step in ahead.steps_)


@pytest.mark.skipif(FIXED_ORDER, reason="all steps are the driver's")
def test_the_driver_makes_no_step_of_a_short_fit(monkeypatch):
    def refused(*arguments, **settings):
        raise AssertionError("the driver was asked for steps")

    monkeypatch.setattr(restarts, "em", refused)
    model = GaussianMixture(3, random_state=0).fit(APART)
    assert model.converged_ and model.n_iter_ > 0


def test_what_is_kept_of_its_steps_holds_no_rows():
    rows = np.repeat(APART, 20, axis=0)
    model = GaussianMixture(3, random_state=0).fit(rows)
    assert len(pickle.dumps(model)) < rows.nbytes / 5
    assert pickle.loads(pickle.dumps(model)).steps_[0] == pytest.approx(model.steps_[0], nan_ok=True)
