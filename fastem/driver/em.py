"""The driver: expectation-maximisation for any model with `e_step` and `m_step`.

    E-step   data x parameters -> expected sufficient statistics
    M-step   statistics -> the parameters that maximise the bound

The log-likelihood never falls; the driver checks that it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from fastem.driver.acceleration import accelerator, going_on
from fastem.driver.checkpoint import INTERRUPTS, Checkpoint, require_asked
from fastem.driver.history import objective
from fastem.driver.model import (
    Model,
    log_likelihood_error,
    log_prior_error,
    n_parameters,
    require,
    step_error,
)
from fastem.driver.passes import (
    collect,
    dtype_of,
    n_components,
    require_same_data,
    require_weighed,
    weighed_blocks,
)
from fastem.driver.remaining_gain import (
    COST,
    NEWTON,
    RATE,
    SADDLE,
    UNCONFIRMED,
    RemainingGain,
    affordable_rows,
    ascended,
    has_newton,
    is_long,
    newton,
)
from fastem.driver.result import EMResult
from fastem.driver.settings_text import stable_text, start_text
from fastem.driver.stopping import left_to_gain, require_limits, stopping_rule
from fastem.errors import LogLikelihoodFell, LogLikelihoodNotFinite, warn
from fastem.kernels.threads import for_pass, matrices_by
from fastem.rows.blocks import ArrayBlocks

OF_MODEL = "this is a defect of the model, whose M-step does not maximise what its E-step collects"
OF_OTHER_ROWS = (
    "either the source gives other rows in this pass than in the one before, as where it draws or shuffles them anew, "
    f"or {OF_MODEL}"
)


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
        from it is not the predicted one. From a result, None goes on as it was accelerated. See
        :mod:`fastem.driver.acceleration`.
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
    require_limits(tol, max_iter)
    require_asked(callback, checkpoint, checkpoint_seconds, resume)
    blocks, unit = weighed_blocks(model.model if isinstance(model, EMResult) else model, data, sample_weight)
    keeper = None
    if checkpoint is not None:
        begun = model.model if isinstance(model, EMResult) else model
        asked = {"model": type(begun).__name__, "n_parameters": n_parameters(begun), "start": start_text(model)}
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
        found = remaining_gain(result, blocks, threads, enough=tol)
        if found.unconfirmed and found.total >= UNCONFIRMED * tol:
            return np.inf
        if found.total < tol or found.ascent is not None:
            judged[result.n_iter] = found
        return found.total

    arrived = stopping_rule(stop, model, tol, estimate)
    require(model, "e_step", "m_step", what="model must have")
    proposals = accelerator(accelerate, model) if result is None else going_on(accelerate, result)
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
        result.accelerator = proposals
    if not (result.converged and keeper is not None):  # a checkpoint may hold a finished fit
        try:
            with matrices_by(threads):
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


def remaining_gain(result, blocks, n_threads, only_if_cheap=False, enough=None) -> RemainingGain:
    """What is left to gain in total: by Newton's decrement where the model and its rows give it, else by the rate.

    enough: see :func:`fastem.driver.remaining_gain.newton`."""
    least, unconfirmed = 0.0, False
    if has_newton(result.model) and hasattr(blocks, "n_rows"):
        n_rows = blocks.n_rows
        if not only_if_cheap or (isinstance(blocks, ArrayBlocks) and is_long(result, n_rows)):
            budget = COST * result.n_passes * n_rows if only_if_cheap else np.inf
            found = newton(result, blocks, n_threads, affordable_rows(result, n_rows), enough, budget)
            if found.method == NEWTON:
                return found
            least, unconfirmed = found.total, found.unconfirmed
    left = left_to_gain(result) if len(result.history) > 1 else np.inf
    total = max(left * result.statistics.weight * result.unit, least)
    return RemainingGain(total, RATE, unconfirmed=unconfirmed)


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
            with np.errstate(over="ignore", invalid="ignore"):  # of a model far away, which is not kept
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
                result.stop_reason = fell + (OF_OTHER_ROWS if getattr(blocks, "read_anew", False) else OF_MODEL)
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
    priors = log_prior_error(result.model) + log_prior_error(model)
    of_step = step_error(model, result.statistics, result.model, *rows)
    return (errors + priors) / statistics.weight, of_step / statistics.weight
