"""What is left to gain: against fits that are run on to their end, and at points that are no maximum."""

import numpy as np
import pytest
from coins import Coins
from instances import INSTANCES, STRUCTURES, start

from fastem import GaussianMixture, em
from fastem.datasets import load_faithful
from fastem.driver.remaining_gain import newton
from fastem.driver.stopping import due
from fastem.errors import ConvergenceWarning, DegenerateComponentWarning
from fastem.rows.blocks import ArrayBlocks
from fastem.summary import summary

SEPARATED, OVERLAPPING = INSTANCES[:2]
X = load_faithful().data


def at_the_mean(**options):
    """Two components that are the same: stationary, because the rows give each of them the same."""
    precisions = np.tile(np.linalg.inv(np.cov(X.T)), (2, 1, 1))
    given = {"means_init": np.tile(X.mean(axis=0), (2, 1)), "precisions_init": precisions, "weights_init": [0.5, 0.5]}
    return GaussianMixture(2, max_iter=500, **given, **options).fit(X)


def left(result, end, n):
    return n * (end.history[-1] - result.history[-1])


@pytest.mark.parametrize(
    "instance, structure, n_iter",
    [(SEPARATED, STRUCTURES[3], 20), (OVERLAPPING, STRUCTURES[1], 200)],
    ids=["near", "slow"],
)
def test_newtons_decrement_is_what_a_longer_fit_gains(instance, structure, n_iter):
    begun, rows = start(instance, structure), instance.X
    result, end = (em(begun, rows, tol=0, stop="log_likelihood", max_iter=n) for n in (n_iter, 1000))
    found = newton(result, ArrayBlocks(rows), 1, len(rows))
    assert found.ascent is None
    assert found.total == pytest.approx(left(result, end, len(rows)), rel=0.02)


@pytest.mark.parametrize("accelerate", [None, "anderson", "squarem"])
def test_a_certified_fit_has_less_than_tol_left_in_total(accelerate):
    """A bound of the total, which does not grow with the rows."""
    begun = start(OVERLAPPING, STRUCTURES[1])
    options = {"stop": "certified", "max_iter": 5000, "accelerate": accelerate}
    end = em(begun, OVERLAPPING.X, tol=0, stop="log_likelihood", max_iter=1000)
    for repeats in (1, 8):
        rows = np.tile(OVERLAPPING.X, (repeats, 1))
        result = em(begun, rows, tol=1e-3, **options)
        assert result.converged and result.remaining_gain_method == "newton"
        assert result.remaining_gain < 1e-3 and left(result, end, len(rows)) < 3e-3


def test_equal_components_are_left_where_the_likelihood_rises():
    with pytest.warns(DegenerateComponentWarning, match="EM cannot separate them"):
        stuck = at_the_mean()
    freed = at_the_mean(stop="certified")
    best = GaussianMixture(2, stop="certified", random_state=0).fit(X)
    assert stuck.log_likelihood_ < best.log_likelihood_ - 100
    assert freed.log_likelihood_ == pytest.approx(best.log_likelihood_, abs=2e-3)
    assert "1 saddle point(s) were left" in freed.stop_reason_
    assert (np.diff(freed.history_) > -1e-12).all()


def test_a_prior_counts_in_what_is_left():
    begun = {"prior": "default", "random_state": 0, "accelerate": None}
    model = GaussianMixture(2, stop="certified", tol=1e-2, **begun).fit(X)
    end = GaussianMixture(2, stop="log_likelihood", tol=0, max_iter=500, **begun)
    with pytest.warns(ConvergenceWarning):
        end.fit(X)
    truth = len(X) * (end.history_[-1] - model.history_[-1])
    assert model.remaining_gain_ == pytest.approx(truth, rel=0.2)


def test_models_without_coordinates_are_judged_by_their_rate():
    tosses = np.array([[5, 10], [9, 10], [8, 10], [4, 10], [7, 10]])
    result = em(Coins(np.array([0.6, 0.5])), tosses, stop="certified", tol=1e-6, max_iter=1000)
    assert result.converged and result.remaining_gain_method == "rate" and 0 <= result.remaining_gain < 1e-6


def test_newtons_estimates_become_rarer():
    assert all(due(n) for n in range(1, 16))
    gaps = [np.diff([n for n in range(m, 4 * m) if due(n)]).max() / m for m in (64, 512, 4096)]
    assert max(gaps) <= 1 / 4


def test_the_summary_and_the_report_say_what_is_left():
    model = GaussianMixture(2, stop="certified", random_state=0).fit(X)
    assert "left to gain" in summary(model, len(X), ["a", "b"]) and "(newton)" in str(model.fit_report_)
