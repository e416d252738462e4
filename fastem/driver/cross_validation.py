"""Cross-validation of a fitted model by arithmetic on sums: no fit begins anew.

Statistics are sums over rows, so one pass gives those of every fold, and the sums of the other folds are those of a fit
that never saw it. An M-step on them, from the fitted model, gives the fold's model, and a second pass scores each row
by the model of its own fold. More iterations let the posteriors forget the fold as well; each costs a pass over the
other folds.
"""

from __future__ import annotations

from itertools import accumulate

import numpy as np

from fastem.rows.e_step import e_step
from fastem.rows.statistics import Statistics, merged

FOLDS, ITERATIONS = 10, 5
PIECE_VALUES, PIECE_ROWS = 1 << 18, 64  # of rows at a time: rows of a fold are taken from the cache; and of a fold
ODD = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB], np.uint64)  # of splitmix64


def held_out_log_likelihood(model, blocks, n_folds: int, n_iter: int, seed: int, n_threads: int) -> float:
    """The sum over all rows, times their weights, of the log-density of each under the model of the other folds.

    Parameters
    ----------
    model
        Fitted to the blocks, as :func:`fastem.em` takes it.
    blocks : Blocks
    n_folds : int
    n_iter : int
        M-steps of each fold's model; the first needs no pass of its own.
    seed : int
        Of the folds; see :func:`folds`.
    n_threads : int
    """

    def of_each_fold(models, within):
        """Statistics of each fold's model over the rows within its fold, or over all others."""

        def of_piece(X, weight, start):
            fold = folds(start, start + len(X), n_folds, seed)
            parts = []
            for k, one in enumerate(models):
                rows = np.flatnonzero((fold == k) == within)
                some = None if weight is None else weight[rows]
                parts.append(e_step(one, X[rows], some, n_threads) if len(rows) else None)
            return stacked(parts)

        def of_block(X, weight, start):
            step = max(PIECE_VALUES // max(1, int(np.prod(X.shape[1:]))), PIECE_ROWS * n_folds)
            pieces = (slice(first, first + step) for first in range(0, len(X), step))
            return merged(of_piece(X[s], None if weight is None else weight[s], start + s.start) for s in pieces)

        return unstacked(merged(blocks.each(of_block)))

    sums = of_each_fold([model] * n_folds, within=True)
    sums = without_each(sums)
    if min(others.weight for others in sums) <= 0:
        raise ValueError("all rows of positive weight are in one fold: take more folds, or another random_state.")
    models = [model.m_step(others) for others in sums]
    for _ in range(n_iter - 1):
        sums = of_each_fold(models, within=False)
        models = [one.m_step(others) for one, others in zip(models, sums)]
    return sum(fold.log_likelihood for fold in of_each_fold(models, within=True))


def folds(start: int, stop: int, n_folds: int, seed: int) -> np.ndarray:
    """(stop - start,) the fold of the rows of these numbers.

    Of each n_folds rows that follow each other one is in each fold, in a random order that the seed and their numbers
    alone determine: whatever the blocks, and sorted rows are spread evenly.
    """
    first = start // n_folds * n_folds
    numbers = np.arange(first, -(-stop // n_folds) * n_folds, dtype=np.uint64)
    keys = numbers * ODD[0] + np.uint64(seed)
    for odd, shift in zip(ODD[1:], (30, 27)):
        keys = (keys ^ (keys >> np.uint64(shift))) * odd
    order = np.argsort((keys ^ (keys >> np.uint64(31))).reshape(-1, n_folds), axis=1, kind="stable")
    return order.ravel()[start - first : stop - first]


def without_each(sums) -> list[Statistics]:
    """For each of the statistics the sum of all others: added, because a difference of sums would leave rounding errors
    where nothing is left."""
    before = list(accumulate(sums))
    after = list(accumulate(reversed(sums)))[::-1]
    return [after[1], *(left + right for left, right in zip(before, after[2:])), before[-2]]


def stacked(parts) -> Statistics:
    """Statistics of the same names as one, each sum with one more axis; 0 for a part without rows (None)."""
    nothing = 0.0 * next(part for part in parts if part is not None)
    parts = [nothing if part is None else part for part in parts]
    return Statistics(**{name: np.stack([getattr(part, name) for part in parts]) for name in nothing.names})


def unstacked(statistics) -> list[Statistics]:
    """The parts of which :func:`stacked` made one."""
    arrays = {name: getattr(statistics, name) for name in statistics.names}
    return [Statistics(**{name: a[k] for name, a in arrays.items()}) for k in range(len(arrays["weight"]))]
