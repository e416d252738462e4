"""On few rows a run of EM goes ahead in the compiled module, as long as all that the driver would do are plain steps.

A step takes the driver ten times as long as its arithmetic. What it would find is found here from the histories: that
the stopping rule holds, that the log-likelihood has fallen, or that steps keep their direction so that they may be
accelerated. The run is cut there, and the driver goes on from it, if need be, as if it had made all steps itself.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import pairwise

import numpy as np

from fastem.driver.acceleration import may_begin
from fastem.driver.em import EMResult, em
from fastem.driver.history import SMALL, Step
from fastem.driver.stopping import BY_HISTORY, stopping_rule
from fastem.kernels.threads import is_short
from fastem.models.gaussian.kept_passes import KeptPasses
from fastem.models.gaussian.short_runs import ShortRun, are_few_rows, short_runs
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.plan import Stop
from fastem.starts.tournament import arrive

FIRST_LAP, MOST_OF_A_LAP = 4, 32  # steps that are made before they are looked at; as many as were made before


def run_ahead(start: Mixture, blocks, stop: Stop, max_iter: int, accelerate: str | None) -> Mixture | EMResult:
    """The result of the first steps of EM, which has converged or from which the driver goes on; the start itself where
    the compiled module makes no steps from it."""
    if type(blocks) is not ArrayBlocks or not are_few_rows(blocks) or stop.rule not in BY_HISTORY:
        return start
    if not is_short(*blocks.shape, start.n_components) or len(start.to_vector()) > SMALL:
        return start
    holds = stopping_rule(stop.rule, None, stop.tol)
    n_rows = max(blocks.n_effective, blocks.total_weight)

    def arrived(history):
        return holds(EMResult(None, None, history, n_rows=n_rows), None)

    begun, run, arrays, end = time.perf_counter(), ShortRun(start, blocks), None, None
    while end is None:
        done = run.n_iter
        most = min(max(FIRST_LAP, done), MOST_OF_A_LAP, max_iter - done)
        (run,) = short_runs([run], blocks, most, 1, keep=True)
        if run.passes is None or not np.isfinite(run.history).all():
            return start
        arrays = run.passes if arrays is None else np.concatenate([arrays[:-1], run.passes])
        passes = KeptPasses(start, run.centre, blocks.total_weight, arrays)
        end, reason = end_of(run.history, done, arrived)
        if end is None and (run.n_iter == max_iter or run.n_iter < done + most):
            end = run.n_iter
        if accelerate is not None:
            begin = may_begin(passes.coordinates()[: None if end is None else end + 1])
            if begin is not None:
                end, reason = begin, ""
    if not end:
        return start
    limits = {"tol": stop.tol, "stop": stop.rule, "accelerate": accelerate, "n_threads": 1}
    result = em(passes.model(end), blocks, max_iter=0, **limits)
    result.history, result.n_iter, result.n_passes = run.history[:end] + result.history, end, end + 1
    seconds = (time.perf_counter() - begun) / end
    for i in range(end):
        result.steps.add_later(partial(step_of, passes, run.history, i, seconds))
    if reason:
        arrive(result, reason, blocks, 1)
    elif accelerate is not None:  # the accelerator sees what it would have seen
        models = [passes.model(i) for i in range(end)] + [result.model]
        for model, image in pairwise(models):
            result.accelerator.propose(model, image)
    return result


def end_of(history, done, arrived) -> tuple[int | None, str]:
    """The first step after those that are done at which a run ends, and why: the stopping rule holds, or the
    log-likelihood falls next, so that the driver must decide; (None, "") where neither is so."""
    for i in range(done + 1, len(history)):
        if history[i] < history[i - 1]:
            return i - 1, ""
        reason = arrived(history[: i + 1])
        if reason:
            return i, reason
    return None, ""


def step_of(passes: KeptPasses, history, i, seconds) -> Step:
    """The record of a step."""
    models = passes.model(i), passes.statistics(i), passes.model(i + 1)
    return Step.between(*models, history[i], history[i + 1], seconds, False)
