"""When EM has arrived. A rule takes the result so far and the model before, and returns how much still changes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastem.driver.history import length
from fastem.driver.model import require


def log_likelihood(result, previous):
    """Change of the mean log-likelihood."""
    return abs(result.history[-1] - result.history[-2]), "the mean log-likelihood changed by"


def relative(result, previous):
    """The same relative to its size."""
    before, after = result.history[-2:]
    return abs(after - before) / max(abs(after), np.finfo(float).tiny), "the mean log-likelihood changed relatively by"


def parameters(result, previous):
    """Change of the parameter vector relative to its length."""
    before, after = previous.parameters(), result.model.parameters()
    change = length(after - before) / max(length(after), np.finfo(np.float64).tiny)
    return change, "the parameters changed by"


def aitken(result, previous):
    """What the mean log-likelihood will still gain, by Aitken's extrapolation of its last two gains.

    EM converges linearly, so a small change is no sign of arrival where the rate is near 1: with gains g, c g, c^2 g, …
    there is g c / (1 - c) left. Böhning et al.: Ann. Inst. Statist. Math. 46 (1994) 373-388.
    """
    what = "by Aitken's estimate, the mean log-likelihood has still to gain"
    if len(result.history) < 3:
        return np.inf, what
    before, last = np.diff(result.history[-3:])
    if last <= 0:  # standing still up to rounding
        return abs(last), what
    return (last * last / (before - last) if last < before else np.inf), what


RULES = {"log_likelihood": log_likelihood, "relative": relative, "parameters": parameters, "aitken": aitken}


def stopping_rule(stop: str | Callable, model, tol: float) -> Callable:
    """A function of (result, previous model): why to stop, or an empty string. Checked before the first pass."""
    if callable(stop):
        name = getattr(stop, "__name__", type(stop).__name__)
        return lambda result, previous: f"the stopping rule {name} was met" if stop(result) else ""
    if stop not in RULES:
        raise ValueError(f"stop must be one of {', '.join(map(repr, RULES))}, or a function. Got {stop!r} instead.")
    if stop == "parameters":
        require(model, "parameters", what='stop="parameters" needs')
    rule = RULES[stop]

    def reason(result, previous):
        amount, what = rule(result, previous)
        return f"{what} less than tol={tol:g}" if amount < tol else ""

    return reason
