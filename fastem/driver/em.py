"""The driver: expectation-maximisation for any model with `e_step` and `m_step`.

    E-step   data x parameters -> expected sufficient statistics
    M-step   statistics -> the parameters that maximise the bound

The log-likelihood never falls; the driver checks that it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastem.driver.acceleration import accelerator
from fastem.driver.checkpoint import INTERRUPTS, Checkpoint, stable_text
from fastem.driver.history import Steps, objective
from fastem.driver.model import Model, log_likelihood_error, log_prior, n_parameters, require, step_error
from fastem.driver.remaining_gain import (
    NEWTON,
    RATE,
    SADDLE,
    STATIONARY,
    RemainingGain,
    affordable_rows,
    ascended,
    has_newton,
    is_long,
    newton,
)
from fastem.driver.stopping import left_to_gain, stopping_rule
from fastem.errors import CheckpointError, LogLikelihoodFell, LogLikelihoodNotFinite, StatisticsNotFinite, warn
from fastem.kernels.threads import for_pass
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.e_step import BlockModel
from fastem.rows.sources.open_rows import in_memory, in_moderate_weights, open_rows
from fastem.rows.statistics import Statistics
from fastem.rows.validation import as_sample_weight

WEIGHT_ROUNDING = 1e-4  # relative, of a sum of weights that a model may have taken in float32
DOUBLE = np.dtype(np.float64)


@dataclass
class EMResult:
    """The result of :func:`em`.

    Attributes
    ----------
    model : the last model
    statistics : its expected sufficient statistics, with weights in units of `unit`
    history : list of float
        Mean log-likelihood of the start and after each iteration; the last entry belongs to `model`. Of a model with
        a prior: the mean log-posterior, (log-likelihood + ``model.log_prior()``) / weight.
    steps : sequence of Step
        What each iteration gained, in its two steps; see :class:`fastem.driver.history.Step`.
    accelerator
        With what it remembers of the last steps.
    n_rows : float
        The rows that a gain in total counts: their weight, or their effective number where that is more.
    n_iter : int
        Number of M-steps.
    n_passes : int
        E-steps over all rows: one more than `n_iter`, and one more for each accelerated step that was dropped.
    converged : bool
    stop_reason : str
    unit : float
        1; a power of two where all weights are so small or large that their sums would leave the range of float32.
    dtype
        Of the rows.
    rows_read : int or None
        How many they are, of any weight; None: not known.
    row_error : float
        What rounding may do to `log_likelihood` beyond what the model says, in units of `unit`: of narrow intervals.
    remaining_gain : float
        About how much the log-likelihood of all rows (with a prior, the log-posterior) can still rise towards the local
        maximum that EM climbs. Infinite where too few iterations were done to tell, or `model` is no maximum.
    remaining_gain_method : str
        "newton": by Newton's decrement, from the score and the observed information; "rate": from the last gains of
        EM, which converges linearly, without a further pass; see :mod:`fastem.driver.remaining_gain`.
    """

    model: Any
    statistics: Statistics
    history: list[float] = field(repr=False)
    steps: Steps = field(default_factory=Steps, repr=False)
    accelerator: Any = field(default=None, repr=False)
    n_rows: float = 1.0
    n_iter: int = 0
    n_passes: int = 1
    converged: bool = False
    stop_reason: str = ""
    unit: float = 1.0
    dtype: Any = DOUBLE
    rows_read: int | None = None
    row_error: float = 0.0
    remaining_gain: float = np.inf
    remaining_gain_method: str = ""

    @property
    def log_likelihood(self) -> float:
        """Of all rows, at `model`."""
        return self.statistics.log_likelihood * self.unit

    @property
    def log_likelihood_error(self) -> float:
        """A bound on how far rounding has taken `log_likelihood` from its exact value at `model`; see
        :mod:`fastem.models.rounding`. inf where a covariance is so ill-conditioned that its factor has no digits. Of a
        model that states none, a guess."""
        of_model = log_likelihood_error(self.model, self.statistics, self.rows_read, self.dtype)
        return (of_model + self.row_error) * self.unit

    @property
    def is_saddle(self) -> bool:
        """Whether the observed information has shown that `model` is no maximum."""
        return self.remaining_gain_method == NEWTON and np.isinf(self.remaining_gain)


def em(
    model: Model,
    data,
    *,
    sample_weight=None,
    tol: float = 1e-3,
    max_iter: int = 100,
    stop: str | Callable[[EMResult], bool] = "gain",
    accelerate: str | None = None,
    n_threads: int | None = None,
    callback: Callable[[EMResult], bool | None] | None = None,
    checkpoint=None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
) -> EMResult:
    """Maximise the likelihood of a latent variable model by EM.

    Parameters
    ----------
    model
        The start: ``e_step(X, sample_weight) -> Statistics`` with ``log_likelihood`` and ``weight`` among the sums,
        ``m_step(statistics) -> model``. Without weights, sample_weight is ones. An M-step that only improves the
        expected log-likelihood (generalised EM, conditional M-steps) climbs as well. With ``log_prior()``, a number, EM
        climbs the log-posterior: the M-step
        maximises the sum of both, and everything below that speaks of the log-likelihood means their sum. What other
        methods it may have: see :class:`fastem.driver.model.Model`. Or an :class:`EMResult` to go on from, on the same
        data.
    data
        Rows: an array, a frame, files, chunks, a Dask or Spark frame, … (see :func:`fastem.open_rows`); or anything
        with ``reduce(model, n_threads)``, and a ``dtype`` if it is float32, whose rounding may lower the
        log-likelihood.
    sample_weight : (n,) array, or the name of a column of a table, optional
    tol : float
        The fit stops when the quantity that `stop` chooses is less than `tol`.
    max_iter : int
    stop : {"gain", "log_likelihood", "relative", "parameters", "aitken", "certified"} or callable
        The quantity that stops the fit. "log_likelihood": the change of the mean log-likelihood (scikit-learn's rule);
        "aitken": what the mean log-likelihood will still gain, by Aitken's extrapolation; "gain": the larger of the
        change, and what is left to gain in total over 100 + n / 1000 for n rows, so that with tol=1e-3 less than
        0.1 + 1e-6 n is left; "relative": the change relative to the value; "parameters": the change of the vector
        ``model.parameters()`` relative to its length; "certified": `remaining_gain`, in units of the log-likelihood of
        all rows (not of their mean), by Newton's decrement where the model has ``to_vector()``, ``from_vector(vector)``
        and ``expected_log_joint``. It leaves a saddle in the direction that goes up; if no step rises there, the fit
        ends and `stop_reason` says so. A callable gets the result so far, and a true answer ends the fit as converged.
    accelerate : {None, "anderson", "squarem"}
        For a model with ``to_vector()`` and ``from_vector(vector)``: extrapolate from the last steps once they
        are nearly those of a linear map. An extrapolated model is dropped if its log-likelihood falls, or if EM's step
        from it is not the predicted one. See :mod:`fastem.driver.acceleration`.
    n_threads : int, optional
        By default all that the process may use; one where a pass is so short that more would cost more than they save.
    callback : callable, optional
        Called with the result so far after each iteration; a true answer ends the fit. If an interrupt or an error of
        the data ends it, that is raised, and the result holds the last complete iteration.
    checkpoint : path, optional
        Write the state of the fit to this file, every `checkpoint_seconds`; see :mod:`fastem.driver.checkpoint`. A fit
        that ends by itself removes it.
    resume : bool
        Go on from the checkpoint, if it exists: with the same bits as a fit that was not interrupted.

    Returns
    -------
    EMResult

    Warns
    -----
    LogLikelihoodFell
        When an iteration lowers the log-likelihood by more than rounding explains: see
        :mod:`fastem.models.rounding`. The better, earlier model is returned; also, without a warning, where rounding of
        the sums explains the fall: `stop_reason` says so.

    References
    ----------
    Dempster, Laird, Rubin: Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39 (1977) 1-38.

    Examples
    --------
    A user's model: the two probabilities of heads of two coins, one of which was drawn for each row of tosses.

    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> from fastem import Statistics, em
    >>> @dataclass
    ... class Coins:
    ...     heads: np.ndarray
    ...     def e_step(self, X, sample_weight):  # of ones, where no weights are given
    ...         h, n = X[:, :1], X[:, 1:]
    ...         joint = 0.5 * self.heads**h * (1 - self.heads) ** (n - h)
    ...         r = sample_weight[:, None] * joint / joint.sum(axis=1, keepdims=True)
    ...         return Statistics(heads=(r * h).sum(0), tosses=(r * n).sum(0), weight=sample_weight.sum(),
    ...                           log_likelihood=sample_weight @ np.log(joint.sum(axis=1)))
    ...     def m_step(self, statistics):
    ...         return Coins(statistics.heads / statistics.tosses)
    >>> tosses = np.array([[5, 10], [9, 10], [8, 10], [4, 10], [7, 10]])
    >>> em(Coins(np.array([0.6, 0.5])), tosses, tol=1e-9).model.heads.round(3)
    array([0.797, 0.52 ])

    Less than 0.001 of the total log-likelihood is left to gain, as the observed information shows:

    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> start = GaussianMixture(2, max_iter=0, random_state=0).fit(X).model_
    >>> result = em(start, X, stop="certified", tol=1e-3)
    >>> result.remaining_gain < 1e-3, result.remaining_gain_method
    (True, 'newton')
    """
    if not tol >= 0 or not max_iter >= 0:
        raise ValueError(f"tol and max_iter must not be negative: tol={tol}, max_iter={max_iter}.")
    blocks, unit = weighed_blocks(model.model if isinstance(model, EMResult) else model, data, sample_weight)
    keeper = None
    if checkpoint is not None:
        begun = model.model if isinstance(model, EMResult) else model
        asked = {"model": type(begun).__name__, "n_parameters": n_parameters(begun)}
        asked |= {"tol": tol, "stop": stable_text(stop), "accelerate": accelerate}
        keeper = Checkpoint(checkpoint, asked, checkpoint_seconds, resume)
        keeper.require_storable(model)
        model = model if keeper.state is None else keeper.state
        callback = both(callback, keeper.write_if_due)
    result = model if isinstance(model, EMResult) else None
    model = result.model if result else model
    threads = for_pass(n_threads, blocks, n_components(model))
    judged = {}  # what Newton's estimate said last, and after which iteration

    def estimate(result):
        found = remaining_gain(result, blocks, threads, enough=tol, only_whether=True)
        if found.total < tol or found.ascent is not None:
            judged[result.n_iter] = found
        return found.total

    arrived = stopping_rule(stop, model, tol, estimate)
    require(model, "e_step", "m_step", what="model must have")
    proposals = accelerator(accelerate, model) if result is None else result.accelerator
    statistics = collect(blocks, model, threads)
    require_weighed(statistics, model, blocks)
    if result is None:
        effective = getattr(blocks, "n_effective", statistics.weight)
        n_rows = max(effective, statistics.weight) if unit == 1 else effective
        first = objective(model, statistics)
        result = EMResult(model, statistics, [first], accelerator=proposals, n_rows=n_rows, unit=unit)
        result.dtype, result.rows_read = dtype_of(blocks), getattr(blocks, "n_rows", None)
        result.row_error = getattr(blocks, "row_error", 0.0)
    else:
        require_same_data(statistics, result.statistics)
    if not (result.converged and keeper is not None):  # a checkpoint may hold a finished fit
        try:
            _climb(result, blocks, threads, max_iter, arrived, callback, judged)
        except INTERRUPTS:
            if keeper is not None:
                keeper.write_last()
            raise
        found = judged.get(result.n_iter) or remaining_gain(result, blocks, threads, only_if_cheap=stop != "certified")
        result.remaining_gain, result.remaining_gain_method = found.total, found.method
    if keeper is not None:
        keeper.remove()
    return result


def remaining_gain(
    result, blocks, n_threads, only_if_cheap=False, enough=STATIONARY, only_whether=False
) -> RemainingGain:
    """What is left to gain in total: by Newton's decrement where the model and its rows give it, else by the rate.

    enough, only_whether: see :func:`fastem.driver.remaining_gain.newton`."""
    least = 0.0
    if has_newton(result.model) and hasattr(blocks, "n_rows"):
        n_rows = blocks.n_rows
        if not only_if_cheap or (isinstance(blocks, ArrayBlocks) and is_long(result, n_rows)):
            found = newton(result, blocks, n_threads, affordable_rows(result, n_rows), enough, only_whether)
            if found.method == NEWTON:
                return found
            least = found.total
    left = left_to_gain(result) if len(result.history) > 1 else np.inf
    return RemainingGain(max(left * result.statistics.weight * result.unit, least), RATE)


def _climb(result, blocks, threads, max_iter, arrived, callback, judged):
    """Iterate until there is a reason to stop, and note it in `result`."""
    proposals = result.accelerator
    result.converged = False
    image = None  # of result.model, where it is known already
    left = 0  # saddles
    while result.n_iter < max_iter:
        started = time.perf_counter()
        old, before, old_statistics = result.model, result.history[-1], result.statistics
        model = old.m_step(old_statistics) if image is None else image
        require(model, "e_step", "m_step", what=f"what the m_step of {type(old).__name__} returns must have")
        proposal, image, accelerated = proposals.propose(old, model), None, False
        if proposal is not None:
            result.n_passes += 1
            statistics = _unless_worse(blocks, proposal, threads, result)
            image = proposal.m_step(statistics) if statistics is not None else None
            accelerated = proposals.keeps(proposal, image)
        if accelerated:
            model = proposal
        else:
            result.n_passes += 1
            image = None
            statistics = collect(blocks, model, threads, old_statistics)
        mean = objective(model, statistics)
        if mean < before:
            explained, of_step = _rounding(result, model, statistics)
            fell = (
                f"the mean log-likelihood of {type(model).__name__} fell from {before!r} to {mean!r} in iteration "
                f"{result.n_iter + 1}: "
            )
            if before - mean > explained + of_step:
                result.stop_reason = fell + (
                    "this is a defect of the model, whose M-step does not maximise what its E-step collects"
                )
                warn(result.stop_reason, LogLikelihoodFell)
                return
            if before - mean > explained:
                result.stop_reason = fell + (
                    f"rounding of {result.dtype} sums now takes more than a step gains, because a covariance is nearly "
                    "singular, or a component far from the others; the model before is kept"
                )
                return
        history, n_iter = [*result.history, mean], result.n_iter + 1
        # all at once, so that an interrupt leaves this iteration or the last, not a mixture of both
        vars(result).update(model=model, statistics=statistics, history=history, n_iter=n_iter)
        seconds = time.perf_counter() - started
        result.steps.add(old, old_statistics, model, before, mean, seconds, accelerated)
        reason = arrived(result, old)
        ascent = judged[n_iter].ascent if n_iter in judged else None
        if ascent is not None and not reason:  # stationary, but no maximum
            image = ascended(result, ascent, blocks, threads, lambda *at: _rounding(result, *at)[0])
            proposals._forget()  # EM's steps so far do not lead to where it goes on
            left += image is not None
            if image is None:
                result.stop_reason = reason = f"{SADDLE}, but no step in its direction raises the log-likelihood"
        elif reason:
            result.converged = True
            result.stop_reason = reason + (f"; {left} saddle point(s) were left" if left else "")
        if callback is not None and callback(result) and not reason:
            result.stop_reason = reason = "the callback asked to stop"
        if reason:
            return
    result.stop_reason = f"max_iter={max_iter} iterations were done"


def both(callback, other):
    """A callback that calls both and returns the answer of the first."""

    def called(result):
        answer = callback(result) if callback is not None else None
        other(result)
        return answer

    return called


def require_same_data(statistics, before):
    """CheckpointError where the data give other statistics of a model than `before`."""
    if statistics.vector.tobytes() != before.vector.tobytes():
        raise CheckpointError(
            "the data are not those of the fit to resume: the statistics of its model have changed. To start from its "
            "parameters on other data, pass its model."
        )


def as_blocks(data, sample_weight):
    """Data as blocks; an array is taken as it is, because a user's model may have rows of any shape and type."""
    if in_memory(data) and not isinstance(sample_weight, str):
        X = np.asanyarray(data)
        X = X if X.flags.aligned else X.copy()  # compiled code may take it for granted
        return ArrayBlocks(X, as_sample_weight(sample_weight, len(X)))
    return open_rows(data, sample_weight)


def n_components(model) -> int:
    """How much work a row is, roughly: as many densities as the model has components."""
    return getattr(model, "n_components", 1)


def weighed_blocks(model, data, sample_weight):
    """Data as blocks for a model of fastem's in a moderate unit of weight, and this unit; see EMResult.

    Other models get the weights as they are.
    """
    blocks = as_blocks(data, sample_weight)
    if not isinstance(model, BlockModel):
        return blocks, 1.0
    moderate, unit = in_moderate_weights(blocks)
    if unit == 1 or log_prior(model) == 0:
        return moderate, unit
    if dtype_of(blocks) == np.float32:
        raise ValueError(
            "sample_weight is below 1e-9 or above 1e9 in every row. A prior counts as a number of rows, so the weights "
            "cannot have another unit, and float32 does not hold their sums. Divide sample_weight by its mean."
        )
    return blocks, 1.0


def dtype_of(blocks):
    """The real type in which rows are summed: float64, but for rows of float32."""
    return np.dtype(np.float32 if getattr(blocks, "dtype", None) == np.float32 else np.float64)


def require_weighed(statistics, model, blocks) -> None:
    """ValueError where a user's E-step has not counted the rows with their weights."""
    if isinstance(model, BlockModel) or not getattr(blocks, "weighted", False):
        return
    total = blocks.total_weight
    if abs(statistics.weight - total) > WEIGHT_ROUNDING * total:
        raise ValueError(
            f"the e_step of {type(model).__name__} returned weight={statistics.weight:.10g}, but the sum of "
            f"sample_weight is {total:.10g}. Multiply what it sums over the rows by sample_weight, row by row."
        )


def collect(blocks, model, n_threads, like=None) -> Statistics:
    """The sums of one pass, checked: complete, finite, and shaped like those of the pass before."""
    statistics = blocks.reduce(model, n_threads)
    e_step = f"the e_step of {type(model).__name__}"
    if not isinstance(statistics, Statistics):
        raise TypeError(f"{e_step} must return fastem.Statistics, not {type(statistics).__name__}")
    for name in ("log_likelihood", "weight"):
        if name not in statistics:
            raise ValueError(f"{e_step} must return {name!r} among its statistics: {statistics}")
        if np.ndim(getattr(statistics, name)):
            raise ValueError(f"{e_step} must return {name!r} as one number, the sum over the rows: {statistics}")
    if not statistics.weight > 0:
        raise ValueError(
            f"{e_step} must return a positive 'weight', the sum of its rows' weights, not {statistics.weight}"
        )
    if not np.isfinite(statistics.log_likelihood / statistics.weight):
        raise LogLikelihoodNotFinite(
            f"the log-likelihood of {type(model).__name__} is {statistics.log_likelihood}; the data may overflow "
            "(rescale X), or no component can produce one of the rows"
        )
    bad = statistics.not_finite()
    if bad:
        narrow = "; float32 does not hold how far some rows are from the components: pass float64"
        raise StatisticsNotFinite(
            f"{e_step} returned statistics that are not finite: {', '.join(bad)}"
            + (narrow if dtype_of(blocks) == np.float32 else "")
        )
    changed = statistics.differences(like) if like is not None else []
    if changed:
        raise ValueError(f"{e_step} changed the shape of its statistics since the last pass: {', '.join(changed)}")
    return statistics


def _unless_worse(blocks, proposal, n_threads, result):
    """The statistics of a proposed model, or None where its log-likelihood has fallen or anything is not finite: where
    rounding has no bound, which explains any fall, it explains none."""
    try:
        statistics = collect(blocks, proposal, n_threads)
    except (LogLikelihoodNotFinite, FloatingPointError):
        return None
    fall = result.history[-1] - objective(proposal, statistics)
    return statistics if fall <= 0 or fall <= _rounding(result, proposal, statistics)[0] < np.inf else None


def _rounding(result, model, statistics):
    """By how much rounding explains that a model's mean log-likelihood is below that of the result so far: the errors
    of both; and what it took from the step between them."""
    rows = result.rows_read, result.dtype
    errors = result.log_likelihood_error / result.unit + log_likelihood_error(model, statistics, *rows)
    errors += result.row_error
    priors = 16 * np.finfo(np.float64).eps * (abs(log_prior(result.model)) + abs(log_prior(model)))
    of_step = step_error(model, result.statistics, result.model, *rows)
    return (errors + priors) / statistics.weight, of_step / statistics.weight
