"""Coarse to fine: several short EM runs on a subsample find the start of a fit to many rows.

Biernacki, Celeux, Govaert: Choosing starting values for the EM algorithm. Computational Statistics & Data Analysis 41
(2003) 561-575 (emEM). The fit itself then goes over all rows until the stopping rule holds there, so what is returned
is a fixed point of the whole likelihood; the subsample only decides where it begins.
"""

from __future__ import annotations

import numpy as np

from fastem.driver.em import em
from fastem.errors import IllDefinedCovariance
from fastem.kernels.threads import for_pass
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.diagnosis import best_first, effective_rows
from fastem.starts.subsample import subsample, subsample_rows

PAYS_FROM = 5  # times the subsample's rows
RUNS = 6
SHORT_RUN = 5  # iterations after which the worse half of the runs is dropped, and then all but one
LONG_RUN = 0.1  # of tol: iterations are cheap on the subsample, so the winner is taken further there
MOST = 100  # iterations there: with tol=0 the fit itself must begin, which has callbacks and checkpoints
SHARE = 4  # the short runs see one in four rows of the subsample,
ROWS_PER_DIRECTION = 20  # or this many per component and row that its covariance needs
FEW = 2000  # rows are cheap enough for short runs to see all
MOST_CANDIDATES = 10  # ways to split, or to merge and split, that are tried
SPLIT_RUN = 20  # iterations that show which of them is best
POOL = {"kmeans": 3, "k-means++": 2, "whitened": 2, "random_from_data": 2, "random": 1}  # short runs from each start
POOL_RUN = 10  # iterations of each


def pays(blocks, n_components) -> bool:
    """Whether the rows are many."""
    return blocks.n_rows >= PAYS_FROM * subsample_rows(n_components)


def coarse_start(start, blocks, estimator, least_rows, rng, n_threads) -> Mixture:
    """The best of some short runs on a subsample, run on there until it hardly moves.

    start(blocks) makes a mixture; all its covariances together need least_rows.
    """
    X, weight = subsample(blocks, rng, estimator.n_components)
    few = sampled(X, weight, few_rows(len(X), least_rows))
    starts = [lambda: start(few)] * max(RUNS, estimator.n_init)
    few_threads = for_pass(n_threads, few, estimator.n_components)
    survivors = short_runs(starts, few, estimator.tol, few_threads)
    better = survivors[: (len(survivors) + 1) // 2]
    best = short_runs([lambda model=model: model for model in better], few, estimator.tol, few_threads)[0]
    sample, tol = ArrayBlocks(X, weight), LONG_RUN * estimator.tol
    most = min(MOST, estimator.max_iter)
    return em(best, sample, tol=tol, max_iter=most, n_threads=for_pass(n_threads, X, estimator.n_components)).model


def emem_start(start, blocks, estimator, rng, n_threads) -> Mixture:
    """The best of short runs from starts of many kinds, which are misled by different things.

    start(kind, rows) makes a mixture.
    """
    few = few_of(estimator, blocks, rng)
    starts = [lambda kind=kind: start(kind, few) for kind, runs in POOL.items() for _ in range(runs)]
    return short_runs(starts, few, estimator.tol, for_pass(n_threads, few, estimator.n_components), POOL_RUN)[0]


def few_of(estimator, blocks, rng) -> ArrayBlocks:
    """The rows on which starts are compared."""
    X, weight = subsample(blocks, rng, estimator.n_components)
    least_rows = estimator.n_components * estimator._least_rows(blocks.n_features)
    return sampled(X, weight, min(len(X), max(FEW, few_rows(len(X), least_rows))))


def short_runs(starts, blocks, tol, n_threads, n_iter=SHORT_RUN) -> list[Mixture]:
    """A few iterations from each start, made in its turn; best first. Ill-defined ones are out, unless all are."""
    runs, failure = [], None
    for start in starts:
        try:
            runs.append(em(start(), blocks, tol=tol, max_iter=n_iter, n_threads=n_threads))
        except IllDefinedCovariance as error:
            failure = error
    if not runs:
        raise failure
    return [run.model for run in best_first(runs, effective_rows(blocks))]


def few_rows(n, least_rows):
    """How many rows of a subsample of n the short runs see."""
    return min(n, max(n // SHARE, ROWS_PER_DIRECTION * least_rows))


def sampled(X, weight, n) -> ArrayBlocks:
    """Some n of the rows, evenly spaced."""
    if n == len(X):
        return ArrayBlocks(X, weight)
    rows = np.arange(n) * len(X) // n
    return ArrayBlocks(X[rows], weight[rows])
