"""From which start an estimator runs em, how often, and which of the results is kept."""

from __future__ import annotations

import copy

from fastem.driver.em import both, collect, em, require_same_data
from fastem.driver.progress import Progress
from fastem.errors import CollapsedComponent, IllDefinedCovariance
from fastem.rows.validation import generator
from fastem.starts.collapse import Collapse
from fastem.starts.diagnosis import best_sound, effective_rows
from fastem.starts.fit_report import FitReport, Outcome, components_of
from fastem.starts.regroup import split_merge_start, starting_with
from fastem.starts.short_runs import coarse_start, emem_start, pays

COARSE, SPLIT_MERGE = "short runs on a subsample", "split and merge"
# in turn after the first: one kind is misled again and again, and a tree is the same one
FURTHER = dict.fromkeys(("kmeans", "hierarchical"), (SPLIT_MERGE, "kmeans", "emem"))


class Restarts:
    """The starts of one fit, one after the other.

    Parameters
    ----------
    estimator, blocks, examined, n_threads
        As `fit` has them.
    callback : callable, optional
        See :func:`fastem.em`.
    keeper : Checkpoint, optional
        Where its state is, the restarts go on from there.

    Attributes
    ----------
    outcomes : list of Outcome
        Of the restarts that have ended.
    running : EMResult or None
        Of the present one, after its last complete iteration.
    """

    def __init__(self, estimator, blocks, examined, n_threads, callback=None, keeper=None):
        self.estimator, self.blocks, self.examined, self.n_threads = estimator, blocks, examined, n_threads
        self.learned = estimator._learned(blocks, n_threads)
        self.callback, self.keeper = callback, keeper
        state = {} if keeper is None or keeper.state is None else keeper.state
        self.rng = state.get("rng") or generator(estimator.random_state)
        self.outcomes = state.get("outcomes", [])
        self.present = state.get("present")
        self.running = state.get("running")
        self.number = state.get("number", 0)
        self.failure = None
        self.n_effective = effective_rows(blocks)

    def run(self) -> None:
        """All of them."""
        estimator, K = self.estimator, self.estimator.n_components
        warm = estimator.warm_start and estimator.__sklearn_is_fitted__()
        if warm:
            estimator._require_same_shape(self.blocks.n_features)
        coarse = not warm and estimator.coarse and estimator._start_is_free() and pays(self.blocks, K)
        once = warm or coarse or estimator._start_is_given()
        n_init = 1 if once else estimator.n_init
        while self.number < n_init + (estimator.split_merge if K > 1 else 0):
            outcome = self.present
            try:
                if self.running is None:
                    outcome = self.present = Outcome(self._kind(warm, coarse, n_init))
                    outcome.collapse = Collapse(estimator.on_collapse, self.n_effective)
                    start = self._start(outcome.start)
                else:
                    start = self.running
                outcome.result = self._climbed(start)
            except (IllDefinedCovariance, CollapsedComponent) as error:
                self.failure, outcome.failure = error, str(error)
            self.outcomes.append(outcome)
            self.number += 1
            self.running = self.present = None
            if self.number >= n_init and not self.results:
                break

    @property
    def results(self):
        """Of the restarts that have ended, the EMResults."""
        return [outcome.result for outcome in self.outcomes if outcome.result is not None]

    def best(self, n_effective):
        """The best sound result so far; raises what made the last start fail where there is none."""
        found = self.results + ([self.running] if self.running else [])
        if not found:
            raise self.failure
        return best_sound(found, n_effective)

    def report(self, best, unit) -> FitReport:
        """What came of each restart and of the components of the best one."""
        present = []
        if self.running is not None:
            present = [Outcome(self.present.start, self.present.collapse, self.running)]
        restarts = [outcome.restart(best, self.n_effective, unit) for outcome in self.outcomes + present]
        return FitReport(restarts, components_of(best, self.n_effective))

    def _kind(self, warm, coarse, n_init) -> str:
        """How the next start is made."""
        estimator, init = self.estimator, self.estimator.init_params
        if self.number >= n_init:
            return SPLIT_MERGE
        if warm:
            return "the last fit"
        if coarse:
            return COARSE
        if not isinstance(init, str):
            return "a function" if callable(init) else "given"
        if self.number == 0 or not self.results or estimator.n_components == 1 or not estimator._start_is_free():
            return init
        further = FURTHER.get(init, (init,))
        return further[(self.number - 1) % len(further)]

    def _start(self, kind):
        estimator, blocks, examined, n_threads = self.estimator, self.blocks, self.examined, self.n_threads
        if kind == "the last fit":
            return self._begun(estimator._warm_start(examined))
        if kind == SPLIT_MERGE:
            best = self.best(self.n_effective).model
            return self._begun(split_merge_start(best, estimator, blocks, examined, self.rng, n_threads))
        if kind == COARSE:
            least_rows = estimator.n_components * estimator._least_rows(blocks.n_features)
            return coarse_start(self._start_in, blocks, estimator, least_rows, self.rng, n_threads)
        if kind == "emem":
            return emem_start(self._start_of_kind, blocks, estimator, self.rng, n_threads)
        return self._start_in(blocks)

    def _start_in(self, rows):
        if isinstance(self.estimator.init_params, str) and self.estimator.init_params == "emem":
            return emem_start(self._start_of_kind, rows, self.estimator, self.rng, self.n_threads)
        return self._begun(self.estimator._start(rows, self.examined, self.rng, self.n_threads))

    def _start_of_kind(self, kind, rows):
        return self._begun(starting_with(self.estimator, kind)._start(rows, self.examined, self.rng, self.n_threads))

    def _begun(self, start):
        """The start within the constraints."""
        estimator = copy.copy(self.estimator)
        estimator.n_components = start.emission.shape[0]  # some may have been dropped
        return estimator._begun(start, self.learned)

    def _climbed(self, start):
        """The result of em from a start, after what on_collapse does."""
        estimator, collapse = self.estimator, self.present.collapse
        while True:
            ended = start is self.running and (start.converged or collapse.ripe(start))
            if ended:  # the checkpoint was written when it ended
                require_same_data(collect(self.blocks, start.model, self.n_threads), start.statistics)
            result = start if ended else self._run(start, max(0, estimator.max_iter - collapse.spent))
            start = collapse.repaired(
                result, estimator.max_iter, estimator, self.blocks, self.examined, self.rng, self.n_threads
            )
            if start is None:
                return result
            start = self._begun(start)

    def _run(self, start, max_iter):
        """The result of one run of em."""
        estimator = self.estimator
        limits = {"tol": estimator.tol, "max_iter": max_iter}
        progress = Progress(
            estimator.verbose, estimator.verbose_interval, self.number, n_rows=self.blocks.n_rows, **limits
        )
        with progress:
            result = em(
                start,
                self.blocks,
                stop=estimator.stop,
                accelerate=estimator.accelerate,
                n_threads=self.n_threads,
                callback=both(self._seen, both(progress, self._write)),
                **limits,
            )
            progress.end(result)
        return result

    def _seen(self, result):
        """What the user's callback says of an iteration, which is noted before: the callback may raise."""
        self.running = result
        collapsed = self.present.collapse.seen(result)
        return (self.callback is not None and self.callback(result)) or collapsed

    def _write(self, result):
        if self.keeper is not None:
            state = {"number": self.number, "outcomes": self.outcomes, "present": self.present, "rng": self.rng}
            self.keeper.write_if_due(state | {"running": result})
