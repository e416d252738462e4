"""From which start an estimator runs em, how often, and which of the results is kept."""

from __future__ import annotations

from fastem.coarse import coarse_start, pays
from fastem.diagnosis import best_sound
from fastem.em import em
from fastem.matrices import IllDefinedCovariance
from fastem.progress import Progress
from fastem.validation import generator


def best_fit(estimator, blocks, examined, n_effective, n_threads):
    """The best sound result of all restarts."""
    rng = generator(estimator.random_state)
    d = blocks.X.shape[1]
    warm = estimator.warm_start and estimator.__sklearn_is_fitted__()
    if warm:
        estimator._require_same_shape(d)
    coarse = not warm and estimator.coarse and estimator._start_is_free() and pays(blocks, estimator.n_components)

    def start(rows):
        return estimator._start(rows, examined, rng, n_threads)

    results, failure = [], None
    for restart in range(1 if warm or coarse or estimator._start_is_given() else estimator.n_init):
        try:
            if warm:
                model = estimator._warm_start(examined)
            elif coarse:
                least_rows = estimator.n_components * estimator._least_rows(d)
                model = coarse_start(start, blocks, estimator, least_rows, rng, n_threads)
            else:
                model = start(blocks)
            progress = Progress(estimator.verbose, estimator.verbose_interval, restart)
            result = em(
                model,
                blocks,
                tol=estimator.tol,
                max_iter=estimator.max_iter,
                stop=estimator.stop,
                accelerate=estimator.accelerate,
                n_threads=n_threads,
                callback=progress,
            )
            progress.end(result)
            results.append(result)
        except IllDefinedCovariance as error:
            failure = error
    if not results:
        raise failure
    return best_sound(results, n_effective)
