"""Errors and warnings that users meet: also of scikit-learn's classes where it is loaded, without importing it."""

from __future__ import annotations

import difflib
import math
import sys
import warnings
from functools import cache
from types import MappingProxyType

FEW = 8  # numbers of an array that a message shows
KNOWN = 0.1  # relative to one more than a row's log-likelihood: with a larger error it says little of the fit


class NotFittedError(ValueError, AttributeError):
    """An estimator was used before it was fitted."""


class ConvergenceWarning(UserWarning):
    """The stopping rule was not met within max_iter iterations."""


class DegenerateComponentWarning(UserWarning):
    """A component of the fit rests on too few rows, or its covariance is held at the floor."""


class SaddlePointWarning(UserWarning):
    """A fit ended at a point that is no maximum: the log-likelihood rises from there in a direction that EM does not
    take."""


class RoundingWarning(UserWarning):
    """The log-likelihood of a fit is known to few digits or to none: rounding may have decided what was fitted."""


class LogLikelihoodNotFinite(ValueError, FloatingPointError):
    """The log-likelihood of a model is NaN or infinite."""


class OutsideSupport(ValueError):
    """A row has values that no density of the family gives, or that lie outside of its truncation."""


class CollapsedComponent(ValueError):
    """A component collapsed onto too few rows, and on_collapse="raise" asks for an error."""

    def __init__(self, component, iteration, status):
        self.component, self.iteration, self.status = component, iteration, status
        super().__init__(component, iteration, status)

    def __str__(self):
        return (
            f"component {self.component} collapsed in iteration {self.iteration} ({self.status}). Fit fewer "
            "components, start elsewhere (random_state, n_init, init_params), or choose "
            'on_collapse="floor", "reseed" or "drop".'
        )


class CheckpointError(ValueError):
    """A checkpoint cannot be written, read, or resumed."""


class StatisticsNotFinite(ValueError, FloatingPointError):
    """An E-step returned a sum over rows that is NaN or infinite."""


def warn(message, category) -> None:
    """A warning that points at the first line outside fastem."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == "fastem":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


def warn_of_statuses(noun, statuses) -> None:
    """A DegenerateComponentWarning that names the first few statuses that are not "ok", if there are any."""
    wrong = [f"{noun} {i}: {status}" for i, status in enumerate(statuses) if status != "ok"]
    if wrong:
        more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        warn("; ".join(wrong[:5]) + more, DegenerateComponentWarning)


def warn_of_rounding(fit, real) -> None:
    """A RoundingWarning where the bound on the error of a fit's log-likelihood is large; real: the rows' type."""
    error, log_likelihood = fit.log_likelihood_error_ / fit.total_weight_, fit.log_likelihood_ / fit.total_weight_
    if error > KNOWN * (1 + abs(log_likelihood)):
        amount = f"by {error:.2g} a row" if error < math.inf else "without bound"
        remedy = "Pass float64." if real == "float32" else "Look for such values, or raise reg_covar."
        warn(
            f"rounding may change the log-likelihood {amount}: {real} does not hold how far some values lie from the "
            f"components, or how narrow these are. {remedy}",
            RoundingWarning,
        )


def did_you_mean(name, known, instead=MappingProxyType({})) -> str:
    """A question after the name that was meant, where a name is nearly one that is known; `instead`: {name: the name
    that it has here}."""
    name = str(name)
    near = [one for one in known if one.lower() == name.lower() or one == instead.get(name)]
    near = near or difflib.get_close_matches(name, list(known), 1, 0.7)
    near = near or [one for one in known if len(one) > 2 and name.startswith(one)]
    return f" Did you mean {near[0]!r}?" if near else ""


OTHER_NAMES = {"n_jobs": "n_threads", "n_clusters": "n_components", "k": "n_components", "seed": "random_state"}


def shown(value) -> str:
    """A value in a message: an array of more than a few numbers by its shape and type."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and len(shape) and getattr(value, "size", 0) > FEW:
        return f"<{type(value).__name__} of shape {shape}, {getattr(value, 'dtype', 'several types')}>"
    return repr(value)


def interruption(error) -> str:
    """The stop_reason_ of a fit that an exception has ended."""
    return f"it was interrupted by {type(error).__name__}" + (f": {error}" if str(error) else "")


def _scikit_learns(exception):
    """A class of both kinds once scikit-learn is loaded, so that filters and handlers of either take it."""
    theirs = getattr(sys.modules.get("sklearn.exceptions"), exception.__name__, None)
    return exception if theirs is None else _both(exception, theirs)


@cache
def _both(exception, theirs):
    """A class of two kinds of the same name. It is pickled as what is raised: another process makes its own."""

    def reduced(self):
        return _raised_again, (exception, self.args)

    members = {"__doc__": exception.__doc__, "__module__": exception.__module__, "__reduce__": reduced}
    return type(exception.__name__, (exception, theirs), members)


def _raised_again(exception, arguments):
    return _scikit_learns(exception)(*arguments)


def not_fitted(estimator) -> Exception:
    """The error for a method that was called before fit."""
    return _scikit_learns(NotFittedError)(
        f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' with appropriate arguments "
        "before using this estimator."
    )


def convergence_warning() -> type[Warning]:
    """The category of a warning about a fit that did not converge."""
    return _scikit_learns(ConvergenceWarning)


class IllDefinedCovariance(ValueError):
    """A covariance is not positive definite, and there is no floor under it."""

    def __init__(self, components):
        self.components = components
        super().__init__(
            "Fitting the mixture model failed because some components have ill-defined empirical covariance "
            f"(for instance caused by singleton or collapsed samples): component {', '.join(map(str, components))}. "
            "Try to decrease the number of components, increase reg_covar, or scale the input data."
        )


class ExactRegression(IllDefinedCovariance):
    """Nothing but rounding is left of the targets of a component, and there is no floor under its variance."""

    def __init__(self, components, size):
        self.components, self.size = components, size
        ValueError.__init__(self, components, size)

    def __str__(self):
        return (
            f"the rows of component {', '.join(map(str, self.components))} are fitted exactly: what is left of y is no "
            f"more than the rounding of numbers of about {self.size:.1e}, so that the likelihood has no maximum. "
            "Increase reg_covar, choose fewer components or, where y varies little about a large number, subtract that "
            "from y."
        )


class LogLikelihoodFell(RuntimeWarning):
    """An EM step lowered the log-likelihood by more than rounding explains: the model has a defect."""
