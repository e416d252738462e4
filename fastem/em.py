"""The driver: expectation-maximisation for any model with `e_step` and `m_step`.

    E-step   data x parameters -> expected sufficient statistics
    M-step   statistics -> the parameters that maximise the bound

The log-likelihood never falls; the driver checks that it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastem.blocks import ArrayBlocks
from fastem.errors import LogLikelihoodNotFinite, warn
from fastem.statistics import Statistics
from fastem.threads import resolve
from fastem.validation import as_sample_weight


class Model(Protocol):
    """What the driver needs: a frozen record of parameters with two methods."""

    def e_step(self, X, sample_weight) -> Statistics: ...

    def m_step(self, statistics: Statistics) -> Model: ...


class LogLikelihoodFell(RuntimeWarning):
    """An EM step lowered the log-likelihood by more than rounding explains: the model's steps do not fit together."""


@dataclass
class EMResult:
    """What :func:`em` found.

    Attributes
    ----------
    model : the last model
    statistics : its expected sufficient statistics
    history : list of float
        Mean log-likelihood of the start and after each iteration; the last entry belongs to `model`.
    n_iter : int
        M-steps done.
    converged : bool
    stop_reason : str
    """

    model: Any
    statistics: Statistics
    history: list[float] = field(repr=False)
    n_iter: int = 0
    converged: bool = False
    stop_reason: str = ""

    @property
    def log_likelihood(self) -> float:
        """Of all rows, at `model`."""
        return self.statistics.log_likelihood


def em(
    model: Model,
    data,
    *,
    sample_weight=None,
    tol: float = 1e-3,
    max_iter: int = 100,
    stop: str = "log_likelihood",
    n_threads: int | None = None,
    callback: Callable[[EMResult], bool | None] | None = None,
) -> EMResult:
    """Maximise the likelihood of a latent variable model by EM.

    Parameters
    ----------
    model
        The start: ``e_step(X, sample_weight) -> Statistics`` with ``log_likelihood`` and ``weight`` among the sums,
        ``m_step(statistics) -> model``.
    data : (n, d) array, or blocks
        Anything with ``reduce(model, n_threads)``; an array is wrapped.
    sample_weight : (n,) array, optional
        For an array.
    tol : float
        Stop when the mean log-likelihood changes by less (``stop="log_likelihood"``), or when the parameter vector
        ``model.parameters()`` changes by less relative to its length (``stop="parameters"``).
    max_iter : int
    stop : {"log_likelihood", "parameters"}
    n_threads : int, optional
        All that the process may use by default.
    callback : callable, optional
        Called with the result so far after each iteration; a true answer ends the fit.

    Returns
    -------
    EMResult

    Warns
    -----
    LogLikelihoodFell
        When an iteration lowers the log-likelihood. The better, earlier model is returned.

    References
    ----------
    Dempster, Laird, Rubin: Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39 (1977) 1-38.

    Examples
    --------
    A model of one's own: the two probabilities of heads of two coins, one of which was drawn for each row of tosses.

    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> from fastem import Statistics, em
    >>> @dataclass
    ... class Coins:
    ...     heads: np.ndarray
    ...     def e_step(self, X, sample_weight):
    ...         h, n = X[:, :1], X[:, 1:]
    ...         joint = 0.5 * self.heads**h * (1 - self.heads) ** (n - h)
    ...         r = joint / joint.sum(axis=1, keepdims=True)
    ...         return Statistics(heads=(r * h).sum(0), tosses=(r * n).sum(0), weight=len(X),
    ...                           log_likelihood=np.log(joint.sum(axis=1)).sum())
    ...     def m_step(self, statistics):
    ...         return Coins(statistics.heads / statistics.tosses)
    >>> tosses = np.array([[5, 10], [9, 10], [8, 10], [4, 10], [7, 10]])
    >>> em(Coins(np.array([0.6, 0.5])), tosses, tol=1e-9).model.heads.round(3)
    array([0.797, 0.52 ])
    """
    if stop not in STOPPING:
        raise ValueError(f"stop must be one of {', '.join(map(repr, STOPPING))}. Got {stop!r} instead.")
    for name in ("e_step", "m_step"):
        if not callable(getattr(model, name, None)):
            raise TypeError(f"model must have a method {name}; {type(model).__name__} has none.")
    if sample_weight is not None and hasattr(data, "reduce"):
        raise TypeError("sample_weight goes with an array; these blocks hold their own weights: give them there.")
    if hasattr(data, "reduce"):
        blocks = data
    else:
        X = np.asanyarray(data)
        blocks = ArrayBlocks(X, as_sample_weight(sample_weight, len(X)))
    threads = resolve(n_threads)
    statistics = blocks.reduce(model, threads)
    result = EMResult(model, statistics, [_mean_log_likelihood(statistics, model)])
    while result.n_iter < max_iter:
        model = result.model.m_step(result.statistics)
        statistics = blocks.reduce(model, threads)
        mean = _mean_log_likelihood(statistics, model)
        gain = mean - result.history[-1]
        if gain < 0 and -gain > _rounding(model, blocks.dtype) * (1 + abs(mean)):
            result.stop_reason = (
                f"the mean log-likelihood fell from {result.history[-1]!r} to {mean!r} in iteration "
                f"{result.n_iter + 1}: the M-step does not maximise what the E-step collects, a defect of the model"
            )
            warn(result.stop_reason, LogLikelihoodFell)
            return result
        change, what = STOPPING[stop](gain, result.model, model)
        result.model, result.statistics = model, statistics
        result.history.append(mean)
        result.n_iter += 1
        if callback is not None and callback(result):
            result.stop_reason = "the callback asked to stop"
            return result
        if change < tol:
            result.converged = True
            result.stop_reason = f"{what} changed by less than tol={tol:g}"
            return result
    result.stop_reason = f"max_iter={max_iter} iterations were done"
    return result


def _rounding(model, dtype):
    """How far a mean log-likelihood may fall, relative to its size, by rounding alone; a model may know better."""
    usual = 3e-5 if dtype == np.float32 else 1e-10
    return max(usual, model.rounding(dtype)) if hasattr(model, "rounding") else usual


def _mean_log_likelihood(statistics, model):
    """Checked: every model must sum it, and it must be finite."""
    for name in ("log_likelihood", "weight"):
        if name not in statistics:
            raise ValueError(
                f"the e_step of {type(model).__name__} must return {name!r} among its statistics: {statistics}"
            )
    mean = statistics.log_likelihood / statistics.weight
    if not np.isfinite(mean):
        raise LogLikelihoodNotFinite(
            f"the log-likelihood of {type(model).__name__} is {statistics.log_likelihood}; the data may overflow "
            "(rescale X), or a component cannot produce a row"
        )
    return mean


def _log_likelihood_change(gain, old, new):
    return abs(gain), "the mean log-likelihood"


def _parameter_change(gain, old, new):
    before, after = old.parameters(), new.parameters()
    return np.linalg.norm(after - before) / max(np.linalg.norm(after), np.finfo(np.float64).tiny), "the parameters"


STOPPING = {"log_likelihood": _log_likelihood_change, "parameters": _parameter_change}
