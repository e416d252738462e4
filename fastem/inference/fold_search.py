"""Cross-validation of every model of a search: the search itself begins anew without each fold.

A fit without a fold that started from the fit to all rows would stay where that was led by the fold's rows; a component
of few rows is then judged far too well (four Gaussians on Old Faithful: -1127.8 after one M-step, -1133.5 after a
hundred, -1144.3 from starts of their own). So the partitions are made without the fold as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastem.driver.cross_validation import FOLDS, folds
from fastem.inference.model_search import ModelSearch
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.sources.open_rows import in_moderate_weights


class FoldSearch(NamedTuple):
    """search: of the rows outside the fold; blocks: the rows of the fold; unit: of the weights of both."""

    search: ModelSearch
    blocks: ArrayBlocks
    unit: float


def fold_searches(blocks, numbers, covariance_types, parameters, seed, n_threads) -> list[FoldSearch]:
    """A search for each fold of the rows; ValueError where they are not in memory, or too few."""
    if not isinstance(blocks, ArrayBlocks):
        raise ValueError(
            f"criterion='cv' begins the search anew for each of {FOLDS} folds and needs the rows in memory, but X is "
            f"{blocks.holder}. Pass a sample of the rows as an array, or choose another criterion."
        )
    if blocks.n_rows < 2 * FOLDS:
        raise ValueError(f"criterion='cv' takes {FOLDS} folds and needs {2 * FOLDS} rows. Found {blocks.n_rows}.")
    blocks, unit = in_moderate_weights(blocks)
    fold = folds(0, blocks.n_rows, FOLDS, seed)

    def rows(chosen):
        weight = None if blocks.sample_weight is None else blocks.sample_weight[chosen]
        return ArrayBlocks(np.ascontiguousarray(blocks.X[chosen]), weight, blocks.names)

    return [
        FoldSearch(
            ModelSearch(rows(fold != k), None, numbers, covariance_types, parameters, seed, n_threads),
            rows(fold == k),
            unit,
        )
        for k in range(FOLDS)
    ]


def held_out_deviances(searches: Sequence[FoldSearch], covariance_type: str, numbers) -> dict[int, float]:
    """For each number of components -2 times the sum of the log-densities of the folds' rows; inf where a fit failed.

    NaN where there are no folds.
    """
    deviances: dict[int, Any] = dict.fromkeys(numbers, 0.0 if searches else math.nan)
    for search, fold, unit in searches:
        for K, estimator, result in search.results(covariance_type, numbers):
            if estimator is None:
                deviances[K] = math.inf
            else:
                deviances[K] -= 2 * unit * fold.reduce(result.model, search.n_threads).log_likelihood
    return deviances
