"""What EM needs of a model: two methods. Further methods are optional; this file says what EM does without them.

No other file of the room tests whether a model has a method.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from fastem.rows.statistics import Statistics

UNKNOWN = {np.dtype(np.float64): 1e-10, np.dtype(np.float32): 3e-5}  # errors of a model that does not state its own


class Model(Protocol):
    """A frozen record of parameters with two methods. All others are optional:

    ===================================  ===========================================  ==================================
    method                               what it returns                              without it
    ===================================  ===========================================  ==================================
    ``log_prior()``                      log-density of the parameters' prior         there is no prior
    ``log_likelihood_error(sums,``       bound on the error of the log-likelihood     `UNKNOWN` times its size
    ``n, dtype)``                        in its own sums of n rows of a real type
    ``step_error(sums, at, n, dtype)``   what the M-step that made the model of       0
                                         these sums lost by their rounding
    ``parameters()``                     all parameters as one vector                 steps have no length
    ``expected_log_joint(sums, at)``     Q(at | self), from its sums                  no lower bound is known
    ``rebase(sums, given)``              sums of another model as it would sum them   all models sum about one point
    ``to_vector()``, ``from_vector(v)``  unconstrained coordinates and back           it cannot be accelerated
    ``gradient(sums)``                   slopes of Q at itself in these coordinates,  differences of Q, which cost more
                                         or None
    ``leap(before)``                     a model to try in its place, or None         EM goes on in its own steps
    ``n_parameters``, not a method       how many parameters are free                 resuming does not compare them
    ===================================  ===========================================  ==================================

    Rows use one more: see :class:`fastem.rows.e_step.BlockModel`.
    """

    def e_step(self, X, sample_weight) -> Statistics: ...

    def m_step(self, statistics: Statistics) -> Model: ...


def has(model, method: str) -> bool:
    """Whether a model has a method of this name."""
    return callable(getattr(model, method, None))


def require(model, *methods, what) -> None:
    """TypeError where a model lacks one of these methods; `what` begins the sentence."""
    for name in methods:
        if not has(model, name):
            raise TypeError(f"{what} a method {name}; {type(model).__name__} has none.")


def log_prior(model) -> float:
    """Log-prior of the model's parameters; 0 where it has no prior."""
    return model.log_prior() if has(model, "log_prior") else 0.0


def log_prior_error(model) -> float:
    """What rounding may do to :func:`log_prior`, whose terms may be larger than it (`log_prior_size`, if the model has
    it)."""
    size = model.log_prior_size() if has(model, "log_prior_size") else abs(log_prior(model))
    return 16 * np.finfo(np.float64).eps * size


def log_likelihood_error(model, statistics, n_rows, dtype) -> float:
    """A bound on what rounding has done to the log-likelihood in a model's own statistics; n_rows: None if not known.

    A model that states none may be of any size inside: it is taken to be right to `UNKNOWN` of value and weight.
    """
    if has(model, "log_likelihood_error"):
        return model.log_likelihood_error(statistics, n_rows, dtype)
    return UNKNOWN[dtype] * (abs(statistics.log_likelihood) + statistics.weight)


def step_error(model, statistics, given, n_rows, dtype) -> float:
    """What the M-step that made `model` of these statistics, collected at `given`, may have lost because they are
    rounded."""
    return model.step_error(statistics, given, n_rows, dtype) if has(model, "step_error") else 0.0


def rebased(model, statistics, given) -> Statistics:
    """Statistics that were collected at `given`, as `model` would sum them."""
    return model.rebase(statistics, given) if has(model, "rebase") else statistics


def leap(model, before):
    """The model to try in place of `model`, EM's image of `before`; None where EM's own step will do."""
    return model.leap(before) if has(model, "leap") else None


def n_parameters(model) -> int | None:
    """Number of free parameters; None where it is not known."""
    return getattr(model, "n_parameters", None)
