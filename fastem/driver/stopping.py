"""When EM has arrived. A rule takes the result so far and the model before, and returns how much still changes."""

from __future__ import annotations

import numbers
from collections.abc import Callable

import numpy as np

from fastem.driver.history import length
from fastem.driver.model import require


def log_likelihood(result, previous):
    """Change of the mean log-likelihood."""
    return abs(result.history[-1] - result.history[-2]), "the mean log-likelihood changed by"


def relative(result, previous):
    """The same relative to its size."""
    before, after = map(float, result.history[-2:])  # of Python's, which divide by next to nothing without a warning
    change = abs(after - before) / max(abs(after), np.finfo(float).tiny.item())
    return change, "the mean log-likelihood changed relatively by"


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
    if len(result.history) < 2:
        return np.inf, "there is to gain"
    return left_to_gain(result), "by Aitken's estimate, the mean log-likelihood has still to gain"


def gain(result, previous, n_estimates=5):
    """The change of the mean log-likelihood, and what is left to gain, in total: both must be small.

    The total is divided by `ENOUGH` and a share of the rows, so that with tol=1e-3 it is less than 0.1 + 1e-6 n: next
    to nothing beside the differences that a test or a criterion looks at, whatever n is. What is quickly gained hides
    at first what comes slowly, so the last estimates count together; unless ever less was gained, and so little that
    nothing is left even at a rate of convergence of one less 1 / `SLOW`.
    """
    if len(result.history) < 2:
        return np.inf, "there is to gain"
    change = abs(result.history[-1] - result.history[-2])
    estimates = [left_to_gain(result, before) for before in range(n_estimates)]
    if result.has_jumped:  # a step that was accelerated some time ago gained more than those before it
        estimates[2:] = [one for one in estimates[2:] if one < np.inf]
    left = max(estimates)
    if len(result.history) > 3 and not result.has_jumped:
        first, second, third = np.diff(result.history[-4:])
        if first >= second >= third:
            left = min(left, SLOW * second)
    most = max(change, left * result.n_rows / (ENOUGH + SHARE * result.n_rows))
    return most, "the log-likelihood's change and what is left to gain are"


def gain_from_near(result, previous):
    """The same where EM began near the end, from long runs over many of the rows."""
    return gain(result, previous, n_estimates=2)


def certified(result, previous):
    """What is left to gain in total: by Aitken's estimate, the last two of them, and where these are small by Newton's;
    see :func:`due`."""
    if len(result.history) < 2:
        return np.inf, "there is to gain"
    return max(left_to_gain(result, 0), left_to_gain(result, 1)) * result.statistics.weight * result.unit, CERTIFIED


def due(n_iter) -> bool:
    """Whether Newton's estimate is made after an iteration: in steps of a sixteenth to an eighth of the iterations, so
    that what the estimates cost together stays a small share of the fit."""
    return n_iter % (1 << max(0, n_iter.bit_length() - 4)) == 0


def left_to_gain(result, before_last=0) -> float:
    """Aitken's estimate, per row, after the last step or one before.

    Once a step has been accelerated, it and the plain one after it count as one; but plain ones may follow, so that the
    last two count each for itself as well where they gain less and less.
    """
    stride = 2 if result.has_jumped else 1
    gained = result.history[-1] - result.history[-2]
    if gained <= STILL * (1 + abs(result.history[-1])):  # standing still up to rounding
        return abs(gained)
    if len(result.history) <= (2 + before_last) * stride:
        return np.inf
    end = len(result.history) - before_last * stride
    left = by_aitken(*result.history[end - 1 - 2 * stride : end : stride])
    each = by_aitken(*result.history[end - 3 : end])
    return max(left, each) if each < np.inf else left


def by_aitken(first, second, third) -> float:
    """What is left after three values of a history, if it converges linearly; infinite where the gains grow."""
    before, last = second - first, third - second
    if last <= 0:
        return 0.0
    return last * last / (before - last) if last < before else np.inf


CERTIFIED = "the total log-likelihood has still to gain, by Newton's decrement where that is known,"
ENOUGH, SHARE, SLOW = 100.0, 1e-3, 3000.0
STILL = 1e-14  # of a mean log-likelihood
RULES = {
    "gain": gain,
    "log_likelihood": log_likelihood,
    "relative": relative,
    "parameters": parameters,
    "aitken": aitken,
    "certified": certified,
}
NEAR = "gain from near"  # for fits of which fastem chooses the start
BY_HISTORY = ("gain", NEAR, "log_likelihood", "relative", "aitken")  # what these look at is the history alone


def require_limits(tol, max_iter) -> None:
    """ValueError where these are no numbers of at least 0, or `max_iter` is not a whole one."""
    if not all(isinstance(value, numbers.Real) and value >= 0 for value in (tol, max_iter)):
        raise ValueError(f"tol and max_iter must be numbers of at least 0. Got tol={tol!r}, max_iter={max_iter!r}.")
    if not isinstance(max_iter, numbers.Integral):
        raise ValueError(f"max_iter must be a whole number of at least 0. Got {max_iter!r} instead.")


def stopping_rule(stop: str | Callable, model, tol: float, newton: Callable | None = None) -> Callable:
    """A function of (result, previous model): why to stop, or an empty string. Checked before the first pass.

    newton(result): notes Newton's estimate of what is left in `result` and returns it; for "certified".
    """
    if callable(stop):
        name = getattr(stop, "__name__", type(stop).__name__)
        return lambda result, previous: f"the stopping rule {name} was met" if stop(result) else ""
    if stop != NEAR and stop not in RULES:
        raise ValueError(f"stop must be one of {', '.join(map(repr, RULES))}, or a function. Got {stop!r} instead.")
    if stop == "parameters":
        require(model, "parameters", what='stop="parameters" needs')
    rule = gain_from_near if stop == NEAR else RULES[stop]

    def reason(result, previous):
        amount, what = rule(result, previous)
        if rule is certified and amount < tol:
            amount = newton(result) if due(result.n_iter) else np.inf
        return f"{what} less than tol={tol:g}" if amount < tol else ""

    return reason
