"""The search for starts: short runs of EM, of which the worse are dropped after each round.

Biernacki, Celeux, Govaert: Choosing starting values for the EM algorithm. Computational Statistics & Data Analysis 41
(2003) 561-575 (emEM).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from fastem.driver.em import EMResult, em
from fastem.driver.stopping import BY_HISTORY, stopping_rule
from fastem.models.gaussian.short_runs import short_runs
from fastem.models.mixture import Mixture
from fastem.starts.diagnosis import best_first, effective_rows, expected_gain, merit
from fastem.starts.plan import Stop

FAILURES = (ValueError, ArithmeticError, np.linalg.LinAlgError)  # of one start: the others continue
LAP = 20  # iterations of a run after which it may be given up
LAPS = 10  # of short runs, which go on in plain steps: then they are accelerated
Round = tuple[int, int]  # iterations, and how many runs are left after them


def tournament(
    starts: Iterable[Callable[[], Mixture]],
    blocks,
    rounds: Sequence[Round],
    stop: Stop,
    n_threads: int,
    *,
    accelerate: str | None = None,
    same: float | None = None,
    n_effective: float | None = None,
    by: Callable = merit,
) -> list[EMResult]:
    """The runs that are left after all rounds, best first.

    Parameters
    ----------
    starts : iterable of callables
        Each makes a mixture, in its turn.
    blocks : Blocks
        The rows on which the starts are compared.
    rounds : sequence of (iterations, runs that are left)
    stop : Stop
        A run stops in a round when its rule holds; `max_iter` bounds the iterations of a round.
    n_threads : int
    accelerate : str, optional
    same : float, optional
        Runs whose mean log-likelihoods differ by less reach the same optimum: one of them is kept.
    n_effective : float, optional
        Effective rows that tell whether a component is sound. Default: those of `blocks`.
    by : function
        What runs are compared by; see :mod:`fastem.starts.diagnosis`.

    Raises
    ------
    The error of the last start, where all starts fail.
    """
    n_effective = effective_rows(blocks) if n_effective is None else n_effective
    failure, runs = None, list(starts)
    for n_iter, n_left in rounds:
        if len(runs) == 1 and not callable(runs[0]):  # there is nothing left to compare
            break
        limits = {"tol": stop.tol, "stop": stop.rule, "accelerate": accelerate, "n_threads": n_threads}
        begun, error = made(run if callable(run) else lambda run=run: run.model for run in runs)
        failure, ended = error or failure, []
        n_steps = min(n_iter, stop.max_iter)
        for model, before in short_runs(begun, blocks, n_steps if accelerate is None else 0, n_threads):
            try:
                ended.append(after(before, em(model, blocks.for_one_run(), max_iter=n_steps - len(before), **limits)))
            except FAILURES as error:
                failure = error
        if not ended:
            raise failure
        runs = best_first(ended, n_effective, by)
        runs = (runs if same is None else distinct(runs, same))[:n_left]
    return runs


def made(starts) -> tuple[list[Mixture], Exception | None]:
    """The mixtures of the starts that succeed, and the error of the last that fails."""
    models, failure = [], None
    for start in starts:
        try:
            models.append(start())
        except FAILURES as error:
            failure = error
    return models, failure


def after(before, run: EMResult) -> EMResult:
    """The run with the mean log-likelihoods of the steps that led to its start."""
    run.history, run.n_iter = before + run.history, len(before) + run.n_iter
    return run


def race(starts, blocks, stop: Stop, n_threads: int, *, accelerate: str | None = None) -> EMResult:
    """The best of runs that climb, one after the other, until the stopping rule holds. One of which no more is expected
    than another has reached is given up.

    starts : callables that make a mixture, the most promising first
    """
    n_effective = effective_rows(blocks)
    limits = {"tol": stop.tol, "stop": stop.rule, "accelerate": accelerate, "n_threads": n_threads}
    (begun, failure), ended = made(starts), []
    for model, before in ahead(begun, blocks, stop, n_threads):
        try:
            most = min(max(LAP, len(before)), stop.max_iter)
            run = after(before, em(model, blocks, max_iter=most - len(before), **limits))
            while not run.converged and run.n_iter < stop.max_iter and not behind(run, ended, n_effective):
                before = run.n_iter
                run = em(run, blocks, max_iter=min(before + LAP, stop.max_iter), **limits)
                if run.n_iter == before:  # it fell
                    break
        except FAILURES as error:
            failure = error
        else:
            ended.append(run)
    if not ended:
        raise failure
    return best_first(ended, n_effective)[0]


def ahead(mixtures, blocks, stop: Stop, n_threads: int) -> list[tuple[Mixture, list[float]]]:
    """Of each mixture: the one that short runs lead to, by laps until the stopping rule holds, and the mean
    log-likelihoods on the way."""
    n_rows = blocks.total_weight
    reached, running = [(mixture, []) for mixture in mixtures], list(range(len(mixtures)))
    arrived = stopping_rule(stop.rule, None, stop.tol) if stop.rule in BY_HISTORY else None
    for done in range(0, min(LAPS * LAP, stop.max_iter) if arrived else 0, LAP):
        n_iter = min(LAP, stop.max_iter - done)
        for i, (model, further) in zip(
            running, short_runs([reached[i][0] for i in running], blocks, n_iter, n_threads)
        ):
            reached[i] = model, reached[i][1] + further
        histories = {i: reached[i][1] for i in running if len(reached[i][1]) == done + n_iter}
        running = [
            i for i, history in histories.items() if not arrived(EMResult(None, None, history, n_rows=n_rows), None)
        ]
        if not running:
            break
    return reached


def behind(run, ended, n_effective):
    """Whether twice what a run is expected to gain leaves it behind the best that has ended."""
    if not ended:
        return False
    best, (sound, value) = max(merit(other, n_effective) for other in ended), merit(run, n_effective)
    return best > (sound, value + 2 * expected_gain(run))


def distinct(runs, same):
    """Runs, best first, without those that are as likely as the run before."""
    mean = [run.history[-1] for run in runs]
    return [run for i, run in enumerate(runs) if i == 0 or abs(mean[i] - mean[i - 1]) > same]
