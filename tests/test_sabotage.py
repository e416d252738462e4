"""Each law of laws.py fails on a model that was broken for it, and all hold on the same model as it is."""

from dataclasses import replace

import numpy as np
import pytest
import random_cases
import random_sides
from laws import ALWAYS, RARE, WITH_SIDES, what_is_wrong

from fastem import GaussianMixture, Statistics
from fastem.driver import stopping
from fastem.models.gaussian import short_runs
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.noisy_rows import NoisyRows
from fastem.models.mixture import Mixture

OF_SIDES = [law for law in WITH_SIDES if law not in RARE]


def case(law):
    """A plain fit, or one with errors; of the laws that are tried now and then, this one."""
    rng = np.random.default_rng(3)
    X, rare = random_cases.blobs(rng, 120, 2), WITH_SIDES if law in OF_SIDES else RARE
    sides = {"errors": rng.uniform(0, 0.5, X.shape)} if law in OF_SIDES else {}
    number = (rare.index(law) + 0.5) / len(rare) if law in rare else 0.0
    asked = {"n_components": 2, "covariance_type": "full", "random_state": 0, "max_iter": 4}
    asked |= {"stop": "certified"}
    if law.__name__ in ("certified_fits_have_nothing_to_gain", "history_never_falls"):
        asked |= {"init_params": "random_from_data"}  # the default start has nothing to gain
    use = random_sides.then_score_sides if sides else random_cases.then_sample
    return random_cases.Case("GaussianMixture", asked, X, None, None, use, "blobs", 0, number, sides)


def result(owner, name, change):
    """A method's result, changed; `change` gets it and the method's object."""
    method = getattr(owner, name)
    return owner, name, lambda self, *given, **named: change(method(self, *given, **named), self)


def arguments(owner, name, change):
    """A method's arguments, changed; the method's object is among them."""
    method = getattr(owner, name)
    return owner, name, lambda self, first, *others, **named: method(self, *change(self, first, *others), **named)


def attribute(name, change):
    """An attribute of the fitted estimator, changed."""

    def changed(fit, _):
        setattr(fit, name, change(getattr(fit, name)))
        return fit

    return result(GaussianMixture, "fit", changed)


def covariances(change):
    """Those of every model, changed before they are factorised."""
    made = Full.from_covariances.__func__
    return Full, "from_covariances", classmethod(lambda cls, given, floor: made(cls, change(given), floor))


def moved_by_0(statistics, mixture):
    """A log-likelihood that depends on where 0 is, and on which component is the first."""
    sums = {name: getattr(statistics, name) for name in statistics._layout}
    moved = statistics.log_likelihood + 1e-4 * statistics.weight * mixture.emission.means[0, 0]
    return Statistics(**sums | {"log_likelihood": moved})


def without_the_first(mixture, X, weight, *others):
    weight = np.ones(len(X)) if weight is None else weight
    return X, np.append(0, weight[1:]), *others


def heavier_rows(mixture, X, weight, *others):
    return X, weight if weight is None else weight**1.001, *others


def wider_first(emission, _):
    return replace(emission, means=emission.means + [[0.3], [0.0]])


def unlike(rows_are_other):
    """Rows that lose their last digits in some fits."""
    return arguments(GaussianMixture, "fit", lambda self, X: (X * (1 + 1e-15) if rows_are_other(self, X) else X,))


E_STEP = Mixture, "e_step_of_block"
SABOTAGE = [
    ("finite", attribute("lower_bound_", lambda bound: np.nan)),
    (
        "weights_sum_to_1",
        result(Mixture, "m_step", lambda mixture, _: replace(mixture, weights=mixture.weights * 1.01)),
    ),
    ("covariances_are_positive_definite", covariances(lambda given: given + 1e-9 * np.triu(np.ones((2, 2)), 1))),
    ("history_never_falls", attribute("history_", lambda history: history[::-1])),
    ("LogLikelihoodFell", result(Gaussian, "m_step", wider_first)),
    ("score_is_the_log_likelihood", result(GaussianMixture, "score_samples", lambda density, _: density + 1e-12)),
    ("log_likelihood_error_is_a_bound", result(Mixture, "log_likelihood_error", lambda bound, _: bound * 1e-6)),
    ("log_likelihood_error_is_a_bound", result(Full, "log_det_precision_root", lambda logs, _: logs + 1e-12)),
    ("certified_fits_have_nothing_to_gain", (stopping.RULES, "certified", lambda result, before: (0.0, "nothing is"))),
    ("plain_numpy_agrees", result(Full, "log_det_precision_root", lambda logs, _: logs + 1e-11)),
    ("same_bits_with_any_threads", unlike(lambda self, X: self.n_threads == 3)),
    ("same_bits_in_chunks", arguments(GaussianMixture, "fit", lambda self, X: (X[::-1],))),
    ("same_bits_in_another_layout", unlike(lambda self, X: np.isfortran(X))),
    ("same_after_units", covariances(lambda given: given + 1e-3 * np.eye(2))),
    ("same_in_any_order_of_rows", arguments(*E_STEP, without_the_first)),
    ("whole_weights_are_repeated_rows", arguments(*E_STEP, heavier_rows)),
    ("same_with_components_in_another_order", result(*E_STEP, moved_by_0)),
    ("moved_rows_with_moved_means", result(*E_STEP, moved_by_0)),
    ("with_sides_in_any_order", arguments(NoisyRows, "e_step_of_block", without_the_first)),
    ("with_sides_twice", arguments(NoisyRows, "e_step_of_block", without_the_first)),
    ("compiled_steps_are_the_drivers", (short_runs, "LETTERS", dict.fromkeys(short_runs.LETTERS, "EEE"))),
]


@pytest.mark.parametrize("law", [*ALWAYS, *RARE, *OF_SIDES], ids=lambda law: law.__name__)
def test_the_model_as_it_is(law):
    assert what_is_wrong(case(law)) == ({}, True)


@pytest.mark.parametrize("name, broken", SABOTAGE, ids=[name for name, _ in SABOTAGE])
def test_a_law_sees_what_breaks_it(monkeypatch, name, broken):
    owner, attribute, value = broken
    (monkeypatch.setitem if isinstance(owner, dict) else monkeypatch.setattr)(owner, attribute, value)
    with np.errstate(all="ignore"):
        assert name in what_breaks(name)


def what_breaks(name):
    """The law of this name tried alone, on whose failure no other law hangs; without one, all that are always tried."""
    laws = [law for law in (*ALWAYS, *RARE, *OF_SIDES) if law.__name__ == name]
    if not laws:
        return what_is_wrong(case(ALWAYS[0]))[0]
    tried = case(laws[0])
    fit = tried.fitted()
    with pytest.raises(AssertionError):
        laws[0](tried, fit)
    return [name]


def test_every_law_was_broken():
    assert {law.__name__ for law in (*ALWAYS, *RARE, *OF_SIDES)} <= {name for name, _ in SABOTAGE}
