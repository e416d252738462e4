"""Coarse to fine: several short EM runs on a subsample find the start of a fit to many rows.

The fit itself then uses all rows until the stopping rule holds, so its result is a fixed point of the whole likelihood;
the subsample only decides where it begins.
"""

from __future__ import annotations

import numpy as np

from fastem.driver.em import em
from fastem.kernels.threads import for_pass
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.plan import Plan, Stop
from fastem.starts.subsample import subsample, subsample_rows
from fastem.starts.tournament import tournament

PAYS_FROM = 5  # times as many rows as the subsample has
RUNS = 6
SHORT_RUN = 5  # iterations after which the worse half of the runs is dropped, and then all but one
LONG_RUN = 0.1  # of tol: iterations are cheap on the subsample, so the winner is taken further there
MOST_LONG_RUN = 100  # iterations there: with tol=0 the fit itself must begin, which has callbacks and checkpoints
FEW_DIVISOR = 4  # the short runs see one in four rows of the subsample,
ROWS_PER_DIRECTION = 20  # or this many per component and row that its covariance needs
FEW = 2000  # so many rows are cheap enough for every short run
POOL = {"kmeans": 3, "k-means++": 2, "whitened": 2, "random_from_data": 2, "random": 1}  # short runs from each start
POOL_RUN = 10  # iterations of each


def pays(blocks, n_components) -> bool:
    """Whether there are so many rows that short runs on a subsample save time."""
    return blocks.n_rows >= PAYS_FROM * subsample_rows(n_components)


def coarse_start(start, blocks, plan: Plan, rng, n_threads) -> Mixture:
    """The best of some short runs on a subsample, continued there until it hardly moves.

    start(rows) makes a mixture.
    """
    X, weight = subsample(blocks, rng, plan.n_components)
    few = sampled(X, weight, few_rows(len(X), plan.least_rows(blocks.n_features)))
    n_runs = max(RUNS, plan.restarts.n_init)
    rounds = (SHORT_RUN, (n_runs + 1) // 2), (SHORT_RUN, 1)
    few_threads = for_pass(n_threads, few, plan.n_components)
    (best,) = tournament([lambda: start(few)] * n_runs, few, rounds, Stop(plan.stop.tol), few_threads)
    sample, tol = ArrayBlocks(X, weight), LONG_RUN * plan.stop.tol
    most = min(MOST_LONG_RUN, plan.stop.max_iter)
    return em(best.model, sample, tol=tol, max_iter=most, n_threads=for_pass(n_threads, X, plan.n_components)).model


def emem_start(start, blocks, plan: Plan, rng, n_threads) -> Mixture:
    """The best of short runs from starts of many kinds, because each kind fails on other data.

    start(kind, rows) makes a mixture.
    """
    few = few_of(plan, blocks, rng)
    starts = [lambda kind=kind: start(kind, few) for kind, runs in POOL.items() for _ in range(runs)]
    return best_of(starts, few, POOL_RUN, plan, for_pass(n_threads, few, plan.n_components))


def best_of(starts, few, n_iter, plan: Plan, n_threads) -> Mixture:
    """The mixture that is best after so many iterations on few rows."""
    (best,) = tournament(starts, few, [(n_iter, 1)], Stop(plan.stop.tol), n_threads)
    return best.model


def few_of(plan: Plan, blocks, rng) -> ArrayBlocks:
    """The rows on which starts are compared."""
    X, weight = subsample(blocks, rng, plan.n_components)
    return sampled(X, weight, min(len(X), max(FEW, few_rows(len(X), plan.least_rows(blocks.n_features)))))


def few_rows(n, least_rows):
    """How many rows of a subsample of n the short runs see."""
    return min(n, max(n // FEW_DIVISOR, ROWS_PER_DIRECTION * least_rows))


def sampled(X, weight, n) -> ArrayBlocks:
    """Some n of the rows, evenly spaced."""
    if n == len(X):
        return ArrayBlocks(X, weight)
    rows = np.arange(n) * len(X) // n
    return ArrayBlocks(X[rows], weight[rows])
