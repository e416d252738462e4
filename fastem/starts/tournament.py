"""The search for starts: short runs of EM, of which the worse are dropped after each round.

Biernacki, Celeux, Govaert: Choosing starting values for the EM algorithm. Computational Statistics & Data Analysis 41
(2003) 561-575 (emEM).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

import numpy as np

from fastem.driver.em import EMResult, em, remaining_gain
from fastem.driver.stopping import BY_HISTORY, left_to_gain, stopping_rule
from fastem.kernels.threads import for_pass
from fastem.models.gaussian.short_runs import ShortRun, are_few_rows, short_runs
from fastem.models.mixture import Mixture
from fastem.rows.blocks import Blocks
from fastem.starts.diagnosis import best_first, effective_rows, expected_gain, merit, objective_of, sound_merit
from fastem.starts.plan import Stop

FAILURES = (ValueError, ArithmeticError, np.linalg.LinAlgError)  # of one start: the others continue
LAP = 20  # iterations of a run after which it may be given up
STILL = 1e-4  # of the tolerance: a short run that a step changes by less may as well end
LAPS, MOST_LAPS = 3, 10  # of plain steps, before runs are accelerated: from where EM has led its own way already
PLAIN_WORK = 4e6  # rows times components times columns, up to which more laps of them cost next to nothing
Round = tuple[int, int]  # iterations, and how many runs are left after them


def tournament(
    starts: Iterable[Callable[[], Mixture] | ShortRun],
    blocks: Blocks,
    rounds: Sequence[Round],
    stop: Stop,
    n_threads: int,
    *,
    same: float | None = None,
    n_effective: float | None = None,
    by: Callable = merit,
) -> list[EMResult | ShortRun]:
    """The runs that are left after all rounds, best first.

    Parameters
    ----------
    starts : iterable of callables or runs
        Each makes a mixture, in its turn; or is a short run that begins.
    blocks : Blocks
        The rows on which the starts are compared.
    rounds : sequence of (iterations, runs that are left)
    stop : Stop
        A run stops in a round when its rule holds; `max_iter` bounds the iterations of a round.
    n_threads : int
    same : float, optional
        Runs whose mean log-likelihoods differ by less reach the same optimum: one of them is kept.
    n_effective : float, optional
        Effective rows that tell whether a component is sound, where `blocks` are some of all rows. Default: those of
        `blocks`, which are all that there are: a run that is not expected to reach the best is dropped then.
    by : function
        What runs are compared by; see :mod:`fastem.starts.diagnosis`.

    Raises
    ------
    The error of the last start, where all starts fail.
    """
    are_all, n_effective = n_effective is None, effective_rows(blocks) if n_effective is None else n_effective
    failure, runs, holds = None, list(starts), rule_of_history(stop, blocks)
    limits = {"tol": stop.tol, "stop": stop.rule, "n_threads": n_threads}
    looked_at: dict[int, Blocks] = {}  # the rows of each run, by its id: they may remember what it found
    for n_iter, n_left in rounds:
        if len(runs) == 1 and not callable(runs[0]):  # there is nothing left to compare
            break
        begun, error = made(run if callable(run) else partial(goes_on, run, looked_at) for run in runs)
        failure, ended, looked_at = error or failure, [], {}
        begun = [one if isinstance(one, ShortRun) else ShortRun(one, blocks.for_one_run()) for one in begun]
        n_steps = min(n_iter, stop.max_iter)
        ran = short_runs(begun, blocks, n_steps, n_threads, STILL * stop.tol)
        for start, run in zip(begun, ran):
            most = n_steps + start.n_iter
            done = is_number(run) and (run.n_iter == most or holds(run))
            try:
                ended.append(run if done else climbed(run, run.blocks, most, limits))
                looked_at[id(ended[-1])] = run.blocks
            except FAILURES as error:
                failure = error
        if not ended:
            raise failure
        ranked = best_first(ended, n_effective, by)
        runs = list(islice(ranked if same is None else distinct(ranked, same), n_left))
        if are_all:
            runs = [runs[0], *(run for run in runs[1:] if may_reach(run, objective_of(runs[0])))]
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


def is_number(run: ShortRun) -> bool:
    """Whether a run has made a step, and the likelihood is a number."""
    return run.n_iter > 0 and np.isfinite(run.history[-1])


def rule_of_history(stop: Stop, blocks) -> Callable:
    """A function of a run: why to stop, or an empty string; also where the rule looks at more than the history."""
    if stop.rule not in BY_HISTORY:
        return lambda run: ""
    holds, n_rows = stopping_rule(stop.rule, None, stop.tol), blocks.total_weight

    def of_run(run):
        # after the last step, or the one before: where rounding alone is left, every other step falls, which ends a fit
        histories = [run.history, run.history[:-1]][: run.n_iter]
        results = (EMResult(None, None, one, accelerator=run, n_rows=n_rows) for one in histories)
        return next(filter(None, (holds(result, None) for result in results)), "")

    return of_run


def goes_on(run: EMResult | ShortRun, looked_at) -> ShortRun:
    """Where the next round goes on from a run."""
    return run if isinstance(run, ShortRun) else ShortRun(run.model, looked_at[id(run)])


def climbed(run: ShortRun, blocks, max_iter, limits) -> EMResult:
    """The result of going on with a run, up to so many iterations in all, as if the driver had made all its steps."""
    before = run.history[:-1]
    result = em(run.model, blocks, max_iter=max_iter - len(before), **limits)
    result.history, result.n_iter = before + result.history, len(before) + result.n_iter
    result.n_passes += len(before) + run.n_dropped
    result.accelerator.has_jumped |= run.has_jumped
    if result.n_iter == len(before) > 0:  # what the driver says is of a fit without steps
        result.stop_reason = f"max_iter={max_iter} iterations were done"
        threads = for_pass(limits["n_threads"], blocks, result.model.n_components)
        found = remaining_gain(result, blocks, threads, only_if_cheap=True)
        result.remaining_gain, result.remaining_gain_method = found.total, found.method
    return result


def race(starts, blocks, stop: Stop, n_threads: int, *, accelerate: str | None = None) -> EMResult:
    """The best of runs that climb, one after the other, until the stopping rule holds. One whose components are sound,
    or describe stray rows, comes before others, whatever their components win. One of which no more is expected than
    such a one has reached is given up.

    starts : callables that make a mixture, the most promising first
    """
    n_effective = effective_rows(blocks)
    limits = {"tol": stop.tol, "stop": stop.rule, "accelerate": accelerate, "n_threads": n_threads}
    (begun, failure), ended = made(starts), []
    arrived, others = ahead(begun, blocks, stop, n_threads, accelerate)
    # those that have arrived come last, the highest of them first: then the next ones need no more than a look
    arrived.sort(key=lambda one: -one[0].history[-1])
    reached = (False, -np.inf)
    for started, reason in [*((run, "") for run in others), *arrived]:
        try:
            if reason and is_behind(started, reached, n_effective):
                continue
            n_iter = started.n_iter if reason else min(max(LAP, started.n_iter), stop.max_iter)
            run = climbed(started, blocks, n_iter, limits)
            if reason:
                run.converged, run.stop_reason = True, reason
            while not run.converged and run.n_iter < stop.max_iter and not is_behind(run, reached, n_effective):
                before = run.n_iter
                run = em(run, blocks, max_iter=min(before + LAP, stop.max_iter), **limits)
                if run.n_iter == before:  # it fell
                    break
        except FAILURES as error:
            failure = error
        else:
            ended.append(run)
            reached = max(reached, sound_merit(run, n_effective))
    if not ended:
        raise failure
    return next(best_first(ended, n_effective, sound_merit))


def ahead(
    mixtures, blocks, stop: Stop, n_threads: int, accelerate: str | None
) -> tuple[list[tuple[ShortRun, str]], list[ShortRun]]:
    """Of each mixture: the short run that goes on, by laps, until the stopping rule holds, and why it does; apart from
    these, the runs that end before, in the order of the mixtures. None is given up here: one that is far behind may be
    about to leave a saddle."""
    runs, running, arrived = short_runs(mixtures, blocks, 0, n_threads), list(range(len(mixtures))), {}
    holds, by_history = rule_of_history(stop, blocks), stop.rule in BY_HISTORY and are_few_rows(blocks)
    plain = n_plain(runs, blocks) if by_history else 0
    most = min(stop.max_iter, plain) if accelerate == "squarem" else stop.max_iter
    for done in range(0, most if by_history else 0, LAP):
        n_iter = min(LAP, stop.max_iter - done)
        accelerated = accelerate == "anderson" and done >= plain
        going = short_runs([runs[i] for i in running], blocks, n_iter, n_threads, accelerated=accelerated)
        for i, run in zip(running, going):
            runs[i] = run
        reasons = {i: holds(runs[i]) for i in running if is_number(runs[i])}
        arrived |= {i: reason for i, reason in reasons.items() if reason}
        running = [i for i in running if i not in arrived and runs[i].n_iter == done + n_iter]
        if not running:
            break
    return [(runs[i], reason) for i, reason in arrived.items()], [run for i, run in enumerate(runs) if i not in arrived]


def n_plain(runs, blocks) -> int:
    """Steps that short runs make before they are accelerated."""
    if not runs:
        return 0
    K, d = runs[0].begun.emission.shape
    return LAP * int(np.clip(PLAIN_WORK / (LAP * blocks.n_rows * K * (d + 2)), LAPS, MOST_LAPS))


def is_behind(run, reached, n_effective) -> bool:
    """Whether twice what a run is expected to gain leaves it behind the merit that another has reached."""
    hope = 2 * expected_gain(run)
    if reached > (True, objective_of(run) + hope):  # whether it is sound or not
        return True
    sound, value = merit(run, n_effective)
    return reached > (sound, value + hope)


def may_reach(run, reached) -> bool:
    """Whether twice what a run is expected to gain leads it to an objective; it may always at first, and where it gains
    more and more."""
    return run.n_iter < LAP or not objective_of(run) + 2 * left_to_gain(run) < reached


def distinct(runs, same):
    """Runs, best first, without those that are as likely as the run before."""
    before = np.inf
    for run in runs:
        if abs(run.history[-1] - before) > same:
            yield run
        before = run.history[-1]
