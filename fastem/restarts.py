"""From which start an estimator runs em, how often, and which of the results is kept."""

from __future__ import annotations

from fastem.coarse import coarse_start, pays
from fastem.diagnosis import best_sound
from fastem.em import both, collect, em, require_same_data
from fastem.matrices import IllDefinedCovariance
from fastem.progress import Progress
from fastem.validation import generator


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
    results : list of EMResult
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
        self.results = state.get("results", [])
        self.running = state.get("running")
        self.number = state.get("number", 0)
        self.failure = None

    def run(self) -> None:
        """All of them."""
        estimator, K = self.estimator, self.estimator.n_components
        warm = estimator.warm_start and estimator.__sklearn_is_fitted__()
        if warm:
            estimator._require_same_shape(self.blocks.n_features)
        coarse = not warm and estimator.coarse and estimator._start_is_free() and pays(self.blocks, K)
        once = warm or coarse or estimator._start_is_given()
        n_init = 1 if once else estimator.n_init
        while self.number < n_init:
            try:
                running = self.running
                if running is not None and running.converged:  # the checkpoint was written when it ended
                    require_same_data(collect(self.blocks, running.model, self.n_threads), running.statistics)
                    self.results.append(running)
                else:
                    self.results.append(self._climbed(running or self._start(warm, coarse)))
            except IllDefinedCovariance as error:
                self.failure = error
            self.number += 1
            self.running = None

    def best(self, n_effective):
        """The best sound result so far; raises what made the last start fail where there is none."""
        found = self.results + ([self.running] if self.running else [])
        if not found:
            raise self.failure
        return best_sound(found, n_effective)

    def _start(self, warm, coarse):
        estimator = self.estimator
        if warm:
            return estimator._begun(estimator._warm_start(self.examined), self.learned)
        if not coarse:
            return self._start_in(self.blocks)
        least_rows = estimator.n_components * estimator._least_rows(self.blocks.n_features)
        return coarse_start(self._start_in, self.blocks, estimator, least_rows, self.rng, self.n_threads)

    def _start_in(self, rows):
        start = self.estimator._start(rows, self.examined, self.rng, self.n_threads)
        return self.estimator._begun(start, self.learned)

    def _climbed(self, start):
        """The result of one run of em."""
        estimator = self.estimator
        limits = {"tol": estimator.tol, "max_iter": estimator.max_iter}
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
        return self.callback(result) if self.callback is not None else None

    def _write(self, result):
        if self.keeper is not None:
            state = {"number": self.number, "results": self.results, "rng": self.rng, "running": result}
            self.keeper.write_if_due(state)
