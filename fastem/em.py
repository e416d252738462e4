"""The driver: expectation-maximisation for any model with `e_step` and `m_step`.

    E-step   data x parameters -> expected sufficient statistics
    M-step   statistics -> the parameters that maximise the bound

The log-likelihood never falls; the driver checks that it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from fastem.acceleration import accelerator
from fastem.blocks import ArrayBlocks
from fastem.errors import LogLikelihoodNotFinite, StatisticsNotFinite, warn
from fastem.history import Steps
from fastem.statistics import Statistics
from fastem.stopping import stopping_rule
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
    steps : sequence of Step
        What each iteration gained, in its two steps; see :class:`fastem.history.Step`.
    n_iter : int
        M-steps done.
    n_passes : int
        E-steps over all rows: one more than iterations, and one for each accelerated step that was dropped.
    converged : bool
    stop_reason : str
    """

    model: Any
    statistics: Statistics
    history: list[float] = field(repr=False)
    steps: Steps = field(default_factory=Steps, repr=False)
    n_iter: int = 0
    n_passes: int = 1
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
    stop: str | Callable[[EMResult], bool] = "log_likelihood",
    accelerate: str | None = None,
    n_threads: int | None = None,
    callback: Callable[[EMResult], bool | None] | None = None,
) -> EMResult:
    """Maximise the likelihood of a latent variable model by EM.

    Parameters
    ----------
    model
        The start: ``e_step(X, sample_weight) -> Statistics`` with ``log_likelihood`` and ``weight`` among the sums,
        ``m_step(statistics) -> model``. An M-step that only improves the expected log-likelihood (generalised EM,
        conditional M-steps) climbs as well.
    data : (n, d) array, or blocks
        Anything with ``reduce(model, n_threads)``; an array is wrapped.
    sample_weight : (n,) array, optional
        For an array.
    tol : float
        Stop when what `stop` names is less.
    max_iter : int
    stop : {"log_likelihood", "relative", "parameters", "aitken"} or callable
        The change of the mean log-likelihood; the same relative to its size; the change of the vector
        ``model.parameters()`` relative to its length; or what the mean log-likelihood has still to gain by Aitken's
        extrapolation. A callable is given the result so far, and a true answer ends the fit as converged.
    accelerate : {None, "anderson", "squarem"}
        For a model with ``to_vector()`` and ``from_vector(vector)``: extrapolate over the last steps. A model whose
        log-likelihood falls is dropped. See :mod:`fastem.acceleration`.
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
    arrived = stopping_rule(stop, model, tol)
    _require_methods(model, "model")
    proposals = accelerator(accelerate, model)
    blocks = as_blocks(data, sample_weight)
    threads = resolve(n_threads)
    statistics = collect(blocks, model, threads)
    result = EMResult(model, statistics, [statistics.log_likelihood / statistics.weight])
    while result.n_iter < max_iter:
        started = time.perf_counter()
        old, before, old_statistics = result.model, result.history[-1], result.statistics
        model = old.m_step(old_statistics)
        _require_methods(model, f"what the m_step of {type(old).__name__} returns")
        proposal = proposals.propose(old, model)
        statistics = None
        if proposal is not None:
            result.n_passes += 1
            statistics = _unless_worse(blocks, proposal, threads, before)
            proposals.judge(statistics is not None)
        accelerated = statistics is not None
        if accelerated:
            model = proposal
        else:
            result.n_passes += 1
            statistics = collect(blocks, model, threads, old_statistics)
        mean = statistics.log_likelihood / statistics.weight
        if _fell(before, mean, model, blocks.dtype):
            result.stop_reason = (
                f"the mean log-likelihood of {type(model).__name__} fell from {before!r} to {mean!r} in iteration "
                f"{result.n_iter + 1}: the M-step does not maximise what the E-step collects, a defect of the model"
            )
            warn(result.stop_reason, LogLikelihoodFell)
            return result
        result.model, result.statistics = model, statistics
        result.history.append(mean)
        result.n_iter += 1
        seconds = time.perf_counter() - started
        result.steps.add(old, old_statistics, model, before, mean, seconds, accelerated)
        if callback is not None and callback(result):
            result.stop_reason = "the callback asked to stop"
            return result
        reason = arrived(result, old)
        if reason:
            result.converged, result.stop_reason = True, reason
            return result
    result.stop_reason = f"max_iter={max_iter} iterations were done"
    return result


def as_blocks(data, sample_weight):
    """Data that reduces a model: blocks as they are, an array wrapped."""
    if hasattr(data, "reduce"):
        if sample_weight is not None:
            raise TypeError("sample_weight goes with an array; these blocks hold their own weights: give them there.")
        return data
    X = np.asanyarray(data)
    return ArrayBlocks(X, as_sample_weight(sample_weight, len(X)))


def _require_methods(model, what):
    for name in ("e_step", "m_step"):
        if not callable(getattr(model, name, None)):
            raise TypeError(f"{what} must have a method {name}; {type(model).__name__} has none.")


def collect(blocks, model, n_threads, like=None) -> Statistics:
    """One pass, its sums checked: what is needed is there, finite, and shaped like the pass before."""
    statistics = blocks.reduce(model, n_threads)
    own = f"the e_step of {type(model).__name__}"
    if not isinstance(statistics, Statistics):
        raise TypeError(f"{own} must return fastem.Statistics, not {type(statistics).__name__}")
    for name in ("log_likelihood", "weight"):
        if name not in statistics:
            raise ValueError(f"{own} must return {name!r} among its statistics: {statistics}")
        if np.ndim(getattr(statistics, name)):
            raise ValueError(f"{own} must return {name!r} as one number, the sum over the rows: {statistics}")
    if not statistics.weight > 0:
        raise ValueError(f"{own} must return the sum of the weights of its rows; 'weight' is {statistics.weight}")
    if not np.isfinite(statistics.log_likelihood / statistics.weight):
        raise LogLikelihoodNotFinite(
            f"the log-likelihood of {type(model).__name__} is {statistics.log_likelihood}; the data may overflow "
            "(rescale X), or a component cannot produce a row"
        )
    bad = statistics.not_finite()
    if bad:
        raise StatisticsNotFinite(f"{own} returned statistics that are not finite: {', '.join(bad)}")
    changed = statistics.differences(like) if like is not None else []
    if changed:
        raise ValueError(f"{own} changed the shape of its statistics since the last pass: {', '.join(changed)}")
    return statistics


def _unless_worse(blocks, proposal, n_threads, before):
    """The statistics of a proposed model, or None where its log-likelihood has fallen or anything is not finite."""
    try:
        statistics = collect(blocks, proposal, n_threads)
    except (LogLikelihoodNotFinite, FloatingPointError):
        return None
    return statistics if statistics.log_likelihood / statistics.weight >= before else None


def _fell(before, mean, model, dtype):
    """Whether a mean log-likelihood is lower than before by more than rounding explains."""
    return mean < before and before - mean > _rounding(model, dtype) * (1 + abs(mean))


def _rounding(model, dtype):
    """How far a mean log-likelihood may fall, relative to its size, by rounding alone; a model may know better."""
    usual = 3e-5 if dtype == np.float32 else 1e-10
    return max(usual, model.rounding(dtype)) if hasattr(model, "rounding") else usual
