"""Partial E-steps: coordinate ascent of F(q, model) that renews the statistics of only some rows at a time.

Sums that were collected at different models can be added only if they are about the same points. A model whose sums are
about its parameters moves them by ``rebase(statistics, given)``; the sums of other models are taken as they are.
"""

from __future__ import annotations

import math
import numbers

import numpy as np

from fastem.driver.history import lower_bound, objective
from fastem.driver.model import log_prior, rebased
from fastem.driver.passes import as_blocks, collect, dtype_of, n_components, weighed_blocks
from fastem.driver.result import EMResult
from fastem.driver.stopping import require_limits, stopping_rule
from fastem.kernels.threads import for_pass, resolve
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.statistics import Statistics


def incremental_em(
    model,
    data,
    *,
    n_blocks: int | None = None,
    sample_weight=None,
    tol: float = 1e-3,
    max_iter: int = 100,
    n_threads=None,
) -> EMResult:
    """EM that renews the statistics of one block of rows at a time, with an M-step after each.

    Every half-step raises F(q, model), the sum of the rows' bounds, so the bound climbs; it is this that `history`
    holds, once per sweep over all blocks.

    Parameters
    ----------
    model
        With ``entropy`` among its statistics and ``expected_log_joint``, which give the bound; or an
        :class:`fastem.EMResult`, whose model is the start.
    data : (n, d) array or :class:`fastem.rows.blocks.Blocks`
        Blocks give (X, sample_weight) in every iteration over them; one at a time is in memory, and the sums of each
        are kept.
    n_blocks : int, optional
        Number of parts of consecutive rows into which an array is divided, 10 by default; shuffle its rows before.
        Other data are taken block by block.
    sample_weight, n_threads
        As in :func:`fastem.em`.
    tol : float
        Stop when a sweep changes the mean bound by less.
    max_iter : int
        Largest number of sweeps.

    Returns
    -------
    EMResult
        `statistics` are of all rows at `model`; the last entry of `history` is their log-likelihood.

    References
    ----------
    Neal, Hinton: A view of the EM algorithm that justifies incremental, sparse, and other variants. In: Learning in
    Graphical Models, Kluwer 1998, 355-368.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> from fastem.driver.partial_steps import incremental_em
    >>> X = load_faithful().data
    >>> start = GaussianMixture(2, random_state=0, max_iter=0).fit(X).model_
    >>> round(incremental_em(start, X, tol=1e-9).log_likelihood, 2)
    -1130.26
    """
    require_limits(tol, max_iter)
    model = model.model if isinstance(model, EMResult) else model
    arrived = stopping_rule("log_likelihood", model, tol)
    whole, unit = weighed_blocks(model, data, sample_weight)
    blocks = parts_of(whole, n_blocks)
    threads = resolve(n_threads)

    def collected(rows, model):
        return collect(rows, model, for_pass(threads, rows, n_components(model)))

    parts = [collected(rows, model) for rows in that_count(blocks)]
    if not parts:
        raise ValueError(f"there are no rows that count: {type(whole).__name__} gave no blocks with weight")
    total = sum(parts[1:], parts[0])
    result = EMResult(model, total, [lower_bound(model, total, model)], unit=unit, dtype=dtype_of(whole))
    if not np.isfinite(result.history[0]):
        raise TypeError(
            f"{type(model).__name__} gives no bound: it needs expected_log_joint, and entropy in its statistics"
        )
    while result.n_iter < max_iter and not result.converged:
        old = reference = model  # all sums of a sweep are about this model's parameters
        for i, rows in enumerate(that_count(blocks)):
            model = reference.m_step(total)
            fresh = rebased(reference, collected(rows, model), model)
            total = total - parts[i] + fresh
            parts[i] = fresh
        result.model = model
        result.n_iter += 1
        result.n_passes += 1
        result.history.append(lower_bound(reference, total, model))
        reason = arrived(result, old)
        result.converged, result.stop_reason = bool(reason), reason or f"max_iter={max_iter} sweeps were done"
        parts = [rebased(model, part, reference) for part in parts]
        total = sum(parts[1:], parts[0])  # anew, so that no rounding errors add up
    result.statistics = collected(whole, model)
    result.n_passes += 1
    result.history.append(objective(model, result.statistics))
    return result


def that_count(parts):
    """The parts in which a row has weight, as blocks: the sums of the others are 0."""
    return (as_blocks(X, weight) for X, weight in parts if weight is None or np.any(weight))


def parts_of(blocks, n_blocks):
    """The parts of the rows, (X, sample_weight) each, which can be iterated over again and again."""
    if not isinstance(blocks, ArrayBlocks):
        if n_blocks is not None:
            raise TypeError(
                f"n_blocks={n_blocks} is only for an array; {type(blocks).__name__} gives blocks already: leave it out."
            )
        if not hasattr(blocks, "__iter__") or iter(blocks) is blocks:
            raise TypeError(f"{type(blocks).__name__} must give (X, sample_weight) in every iteration over it.")
        return blocks
    n, n_blocks = len(blocks.X), 10 if n_blocks is None else n_blocks
    if not 1 <= n_blocks <= n:
        raise ValueError(f"n_blocks is {n_blocks}; it must be from 1 to the number of rows, {n}")
    weights = [None] * n_blocks if blocks.sample_weight is None else np.array_split(blocks.sample_weight, n_blocks)
    return list(zip(np.array_split(blocks.X, n_blocks), weights))


def checked_memory(memory) -> float:
    """`memory` as a number of batches: infinity for None."""
    if memory is None:
        return math.inf
    if not isinstance(memory, numbers.Real) or not memory >= 1:
        raise ValueError(
            f"memory is {memory!r}; it must be a number of batches, at least 1, or None, so that all count"
        )
    return memory


class Stepwise:
    """EM on a stream: each batch moves running averages of the statistics by a step of (t + 2)^-alpha, where t is the
    number of batches before it, or of 1/memory where that is more.

    Statistics to go on from count as the batches that they would have been: their weight over that of the first batch.
    So the batch after a fit of 100 times its rows moves the averages by 102^-0.7 = 4 %.

    A model with a prior gets the averages times the weight of all rows so far, or of `memory` batches where that is
    less. Of a model whose parameters are those of a posterior, as variational Bayes has it, this is a step along the
    natural gradient of its bound (stochastic variational inference).

    Parameters
    ----------
    model
        The start; or an :class:`fastem.EMResult` to go on from.
    alpha : float
        From 0 (only the last batch counts: EM, if each batch is all rows) to 1; above 1/2 it converges.
    n_threads : int, optional
    statistics : Statistics, optional
        Of `model`, to go on from, in the unit of the batches' weights; otherwise the first batch makes the averages. A
        result has its own, and knows their unit.
    memory : float, optional
        At least 1, for a stream that drifts: steps do not fall below 1/memory, from where a batch that is m batches
        old counts (1 - 1/memory)^m times as much as the last one. By default nothing is forgotten, the steps vanish,
        and the model converges.

    Attributes
    ----------
    model : the present one
    statistics : its running averages, per unit of weight; None before the first batch
    n_batches : float
        Batches so far, with those that the given statistics stand for (from the first batch on).
    weight : float
        Of the rows for which the averages stand, beside a prior.

    References
    ----------
    Cappé, Moulines: On-line expectation-maximization algorithm for latent data models. JRSS B 71 (2009) 593-613.
    Hoffman, Blei, Wang, Paisley: Stochastic variational inference. JMLR 14 (2013) 1303-1347.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> from fastem.driver.partial_steps import Stepwise
    >>> rng = np.random.default_rng(0)
    >>> batches = [rng.normal(3, size=(500, 1)) + 6 * rng.integers(0, 2, (500, 1)) for _ in range(50)]
    >>> stream = Stepwise(GaussianMixture(2, random_state=0).fit(batches[0]).model_)
    >>> for batch in batches:
    ...     stream.update(batch)
    >>> np.sort(stream.model.emission.means.ravel()).round(0)
    array([3., 9.])
    """

    def __init__(
        self,
        model,
        alpha: float = 0.7,
        n_threads: int | None = None,
        statistics: Statistics | None = None,
        memory: float | None = None,
    ):
        is_number = isinstance(alpha, numbers.Real) and not isinstance(alpha, bool)
        if not (is_number and 0 <= alpha <= 1):
            raise ValueError(f"alpha is {alpha!r}; it must be a number from 0 to 1")
        unit = 1.0
        if isinstance(model, EMResult):
            if statistics is not None:
                raise TypeError("model is an EMResult, which has its statistics: leave statistics out")
            model, statistics, unit = model.model, model.statistics, model.unit
        self.model, self.alpha, self.n_threads = model, alpha, n_threads
        self.memory = checked_memory(memory)
        self.statistics = None if statistics is None else (1 / statistics.weight) * statistics
        self.weight_before = 0.0 if statistics is None else unit * statistics.weight
        self.n_batches = 0
        self.weight = 0.0

    def update(self, data, sample_weight=None) -> None:
        """One batch: its E-step, the averages, an M-step."""
        blocks, unit = weighed_blocks(self.model, data, sample_weight)
        threads = for_pass(self.n_threads, blocks, n_components(self.model))
        fresh = collect(blocks, self.model, threads, self.statistics)
        if self.n_batches == 0:
            self.n_batches = self.weight_before / unit / fresh.weight
            self.weight = self.weight_before
        self.weight = min(self.weight + unit * fresh.weight, self.memory * unit * fresh.weight)
        fresh = (1 / fresh.weight) * fresh
        if self.statistics is not None:
            step = max((self.n_batches + 2) ** -self.alpha, 1 / self.memory)
            fresh = (1 - step) * self.statistics + step * fresh
        rows = self.weight if log_prior(self.model) else 1.0  # a prior counts as so many rows, so the others must too
        following = self.model.m_step(rows * fresh)
        self.statistics, self.model = rebased(following, fresh, self.model), following
        self.n_batches += 1
