"""The runs of em that a plan asks for: from which starts, how often, and which result is kept."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem.driver.em import both, em
from fastem.driver.history import Steps
from fastem.driver.passes import collect, require_same_data
from fastem.driver.progress import Progress
from fastem.errors import CollapsedComponent, IllDefinedCovariance
from fastem.models.gaussian.candidates import truncated
from fastem.models.gaussian.short_runs import is_ordinary
from fastem.rows.side_columns import SideBlocks
from fastem.rows.validation import generator
from fastem.starts.collapse import Collapse
from fastem.starts.diagnosis import best_sound, effective_rows
from fastem.starts.fit_report import FitReport, Outcome, components_of
from fastem.starts.labels import LabelledStart
from fastem.starts.named import EMEM, MERGED, START_NAMES
from fastem.starts.plan import Plan, Scales
from fastem.starts.regroup import split_merge_start
from fastem.starts.short_runs import chosen_start, coarse_start, labelled_start, pays

COARSE, SPLIT_MERGE, LAST_FIT = "short runs on a subsample", "split and merge", "the last fit"
# the starts after the first, in turn: one kind often repeats its mistake, and a tree is always the same
FURTHER = {
    EMEM: (SPLIT_MERGE, "kmeans", EMEM),
    MERGED: (SPLIT_MERGE, MERGED, EMEM),
    "kmeans": (SPLIT_MERGE, "kmeans", EMEM),
    "hierarchical": (SPLIT_MERGE, "kmeans", EMEM),
}


class Restarts:
    """The starts of one fit, one after the other.

    Parameters
    ----------
    plan : Plan
    blocks : Blocks
    scales : Scales
        What the plan's family took from the rows.
    n_threads : int
        For a pass over all rows.
    callback : callable, optional
        See :func:`fastem.em`.
    keeper : Checkpoint, optional
        If it has a state, the restarts continue from there.

    Attributes
    ----------
    outcomes : list of Outcome
        One for each restart that has ended.
    running : EMResult or None
        The state of the present restart after its last complete iteration.
    """

    def __init__(self, plan: Plan, blocks, scales: Scales, n_threads: int, callback=None, keeper=None):
        self.plan, self.blocks, self.scales, self.n_threads = plan, blocks, scales, n_threads
        self.callback, self.keeper = callback, keeper
        state = {} if keeper is None or keeper.state is None else keeper.state
        self.rng = state.get("rng") or generator(plan.random_state)
        self.outcomes = state.get("outcomes", [])
        self.present = state.get("present")
        self.running = state.get("running")
        self.number = state.get("number", 0)
        self.failure = None
        self.n_effective = effective_rows(blocks)
        start, policy, K = plan.start, plan.restarts, plan.n_components
        self.is_coarse = start.coarse and start.is_named and pays(blocks, K)
        self.n_init = 1 if start.last is not None or self.is_coarse or start.is_whole else policy.n_init
        self.n_all = self.n_init + (policy.split_merge if K > 1 else 0)

    def run(self) -> None:
        """Run all restarts."""
        while self.number < self.n_all:
            outcome = self.present
            try:
                if self.running is None:
                    outcome = self.present = Outcome(self._kind())
                    outcome.collapse = Collapse(self.plan.restarts.on_collapse, self.n_effective)
                    start = self._start(outcome.start)
                    if not (self.plan.start.given or outcome.start == LAST_FIT):
                        start = self.plan.family.settled(start, self.blocks, self.n_threads)
                    outcome.is_near = self._is_near(start, outcome.start)
                else:
                    start = self.running
                outcome.result = self._climbed(start)
            except (IllDefinedCovariance, CollapsedComponent, np.linalg.LinAlgError) as error:
                self.failure, outcome.failure = error, str(error)
            self.outcomes.append(outcome)
            self.number += 1
            self.running = self.present = None
            self._forget_steps()
            if self.n_init <= self.number < self.n_all and not self._can_merge():
                break

    def _forget_steps(self):
        """Only the best result so far keeps the record of its iterations, which may be large."""
        if len(self.results) < 2:
            return
        best = self.best(self.n_effective)
        for result in self.results:
            if result is not best:
                result.steps = Steps()

    @property
    def results(self):
        """The EMResults of the restarts that have ended."""
        return [outcome.result for outcome in self.outcomes if outcome.result is not None]

    def best(self, n_effective):
        """The best sound result so far; where there is no result, raises the error of the last start."""
        results = self.results + ([self.running] if self.running else [])
        if not results:
            raise self.failure
        return best_sound(results, n_effective)

    def report(self, best, unit, rows=None) -> FitReport:
        """What came of each restart and of the components of the best one; rows: blocks that are asked whether their
        values determine these. Default: nobody asks, as after an interrupt."""
        present = []
        if self.running is not None:
            present = [Outcome(self.present.start, self.present.collapse, self.running)]
        restarts = [outcome.restart(best, self.n_effective, unit) for outcome in self.outcomes + present]
        return FitReport(restarts, components_of(best, self.n_effective, rows, self.n_threads))

    def _kind(self) -> str:
        """How the next start is made."""
        plan, start, init = self.plan, self.plan.start, self.plan.start.init
        if self.number >= self.n_init:
            return SPLIT_MERGE
        if start.last is not None:
            return LAST_FIT
        if self.is_coarse:
            return COARSE
        if isinstance(init, LabelledStart):
            return init.restarted(self.number).described(plan.n_components)
        if not isinstance(init, str):
            return getattr(init, "words", "a function") if callable(init) else "given"
        if self.number == 0 or not start.is_named or not self._can_merge():
            return init
        further = FURTHER.get(init, (init,))
        return further[(self.number - 1) % len(further)]

    def _is_near(self, start, kind) -> bool:
        """Whether EM begins near its end: long runs over some of the rows, with all that these carry, led there."""
        if isinstance(self.blocks, SideBlocks):
            return False
        return kind == COARSE or (kind == EMEM and not self.plan.start.given and is_ordinary(start))

    def _can_merge(self) -> bool:
        """Whether there is a result with components to merge."""
        return bool(self.results) and self.best(self.n_effective).model.emission.shape[0] > 1

    def _start(self, kind):
        plan, blocks, scales, n_threads = self.plan, self.blocks, self.scales, self.n_threads
        if kind == LAST_FIT:
            last = plan.start.last
            continued = replace(plan.family.continued(last, scales), shares=last.shares)
            return plan.begun(continued, scales)
        if kind == SPLIT_MERGE:
            best = self.best(self.n_effective).model
            return plan.begun(split_merge_start(best, plan, blocks, scales, self.rng, n_threads), scales)
        if kind == COARSE:
            return coarse_start(self._start_from, blocks, plan, scales, self.rng, n_threads)
        init = plan.start.init
        if isinstance(init, LabelledStart):
            init = init.restarted(self.number)
            blocks = init.blocks
            if init.chooses:
                return labelled_start(self._start_from, init, plan, self.rng, n_threads, self.n_effective)
        return self._start_from(kind if kind in START_NAMES else init, blocks)

    def _start_from(self, init, rows):
        """The mixture that a kind of start, or a membership of the rows, leads to."""
        plan, rng, n_threads = self.plan.from_start(init), self.rng, self.n_threads
        if isinstance(init, str) and init == EMEM:
            if not plan.start.given:
                return chosen_start(self._start_from, rows, plan, self.scales, rng, n_threads)
            plan = plan.from_start(MERGED)  # what is given is where EM begins, before any step
        return plan.begun(plan.mixture(rows, self.scales, rng, n_threads), self.scales)

    def _climbed(self, start):
        """The result of em from a start, with the repairs that on_collapse asks for."""
        plan, collapse = self.plan, self.present.collapse
        while True:
            ended = start is self.running and (start.converged or collapse.collapsed(start))
            if ended:  # the checkpoint was written when it ended
                require_same_data(collect(self.blocks, start.model, self.n_threads), start.statistics)
            result = start if ended else self._run(start, max(0, plan.stop.max_iter - collapse.spent))
            start = collapse.repaired(result, plan, self.blocks, self.scales, self.rng, self.n_threads)
            if start is None:
                return result
            start = plan.begun(start, self.scales)

    def _run(self, start, max_iter):
        """The result of one run of em."""
        plan, rows = self.plan, truncated(self.blocks, self.plan.truncate)
        limits = {"tol": plan.stop.tol, "max_iter": max_iter}
        stop = plan.stop.near if self.present.is_near else plan.stop
        progress = Progress(plan.verbose, plan.verbose_interval, self.number, n_rows=self.blocks.n_rows, **limits)
        with progress:
            result = em(
                start,
                rows,
                stop=stop.rule,
                accelerate=plan.accelerate,
                n_threads=self.n_threads,
                callback=both(self._after_iteration, both(progress, self._write)),
                **limits,
            )
            progress.end(result)
        if plan.truncate is not None:  # how likely it is is said of all components
            result.statistics = collect(self.blocks, result.model, self.n_threads)
        return result

    def _after_iteration(self, result):
        """Whether the run must end after an iteration. The result is kept first, because the callback may raise."""
        self.running = result
        collapsed = self.present.collapse.must_end(result)
        return (self.callback is not None and self.callback(result)) or collapsed

    def _write(self, result):
        if self.keeper is not None:
            state = {"number": self.number, "outcomes": self.outcomes, "present": self.present, "rng": self.rng}
            self.keeper.write_if_due(state | {"running": result})
