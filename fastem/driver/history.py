"""One iteration of EM as coordinate ascent: the M-step raises the bound, the E-step makes it touch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from fastem.driver.model import has, log_prior

SMALL = 1000  # sums; with fewer, a pass may take less time than the computation of its gains
LATE = 100  # steps that may wait for it: each holds a model and its statistics


def objective(model, statistics) -> float:
    """What EM maximises: the mean log-likelihood, or the mean log-posterior of a model with a prior."""
    return (statistics.log_likelihood + log_prior(model)) / statistics.weight


class Step(NamedTuple):
    """One iteration; log-likelihoods and bounds are means over the rows, with a model's log-prior, if it has one.

    Attributes
    ----------
    log_likelihood : float
        After the iteration.
    bound : float
        After the M-step and before the E-step: Q(new | old) + H(old). NaN where the model has no
        ``expected_log_joint`` or sums no ``entropy``.
    m_gain, e_gain : float
        What the two steps gained: ``bound`` minus the log-likelihood before, and the log-likelihood minus ``bound``.
        Neither is negative, up to rounding; `m_gain` may be where the step was accelerated.
    parameter_step : float
        Length of the step of ``parameters()``; NaN where the model has none.
    seconds : float
    accelerated : bool
        Whether an extrapolated model took the place of the M-step's.
    """

    log_likelihood: float
    bound: float
    m_gain: float
    e_gain: float
    parameter_step: float
    seconds: float
    accelerated: bool

    @classmethod
    def between(cls, old, statistics, new, before, after, seconds, accelerated) -> Step:
        """From the old model and its statistics to the new model: work of the size of the parameters."""
        bound = lower_bound(old, statistics, new)
        with np.errstate(over="ignore"):
            step = length(new.parameters() - old.parameters()) if has(old, "parameters") else np.nan
        return cls(after, bound, bound - before, after - bound, float(step), seconds, accelerated)


class Steps(Sequence):
    """The steps of a fit; the last ones of small models are computed when they are read."""

    def __init__(self):
        self._entries = []

    def add(self, old, statistics, *rest):
        """The arguments of :meth:`Step.between`."""
        step = partial(Step.between, old, statistics, *rest)
        self._entries.append(step if statistics.vector.size < SMALL else step())
        if len(self) > LATE:
            self[len(self) - LATE - 1]  # worked out, and what it held is let go

    def __len__(self):
        return len(self._entries)

    def __getitem__(self, i):
        if isinstance(i, slice):
            return [self[j] for j in range(*i.indices(len(self)))]
        entry = self._entries[i]
        if not isinstance(entry, Step):
            entry = self._entries[i] = entry()
        return entry

    def __repr__(self):
        return repr(list(self))


def lower_bound(given, statistics, at) -> float:
    """Mean ELBO of the model `at` under the posterior of `given`, from its statistics; NaN where they are not enough.

    With the log-prior of `at`, if it has one: a bound of the :func:`objective`.
    """
    if "entropy" not in statistics or not has(given, "expected_log_joint"):
        return np.nan
    bound = given.expected_log_joint(statistics, at) + statistics.entropy
    if "unseen" in statistics:  # values that are missing are latent too
        bound += statistics.unseen
    return (bound + log_prior(at)) / statistics.weight


def length(vector) -> float:
    """Euclidean length. Without BLAS, whose threads would keep spinning during the next pass.

    Numbers are divided by a power of two, so that no square overflows or vanishes, and no digit changes.
    """
    most = np.max(np.abs(vector), initial=0.0)
    if most == 0 or not np.isfinite(most):
        return float(most)
    exponent = np.frexp(most)[1]
    return float(np.ldexp(np.sqrt(np.square(np.ldexp(vector, -exponent)).sum()), exponent))
