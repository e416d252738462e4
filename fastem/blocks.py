"""Data as something that can reduce a model over blocks of rows."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import Protocol

import numpy as np

from fastem.statistics import Statistics

BLOCK_VALUES = 1 << 22  # values of X in a block: a fraction of a second of work, so that Ctrl-C is heard


class Blocks(Protocol):
    """One verb: the sum of a model's E-step over all rows."""

    dtype: np.dtype

    def reduce(self, model, n_threads: int) -> Statistics: ...


class ArrayBlocks:
    """An array in memory or memory map, cut by its shape alone.

    Parameters
    ----------
    X : (n, d) array
    sample_weight : (n,) array or None
    """

    def __init__(self, X: np.ndarray, sample_weight: np.ndarray | None = None):
        self.X, self.sample_weight = X, sample_weight
        self.dtype = X.dtype
        self.block_rows = max(1 << 12, BLOCK_VALUES // max(1, int(np.prod(X.shape[1:]))) // 4096 * 4096)

    def __iter__(self):
        for start in range(0, len(self.X), self.block_rows):
            rows = slice(start, start + self.block_rows)
            yield self.X[rows], None if self.sample_weight is None else self.sample_weight[rows]

    def reduce(self, model, n_threads: int) -> Statistics:
        """Expected sufficient statistics of all rows."""
        e_step = getattr(model.e_step, "__func__", model.e_step)
        threads = {"n_threads": n_threads} if _takes_threads(e_step) else {}
        if not len(self.X):
            raise ValueError(f"there are no rows: X has shape {self.X.shape}")
        total = None
        for X, sample_weight in self:
            part = model.e_step(X, sample_weight, **threads)
            if total is None:
                total = part
            else:
                total += part
        return total


@lru_cache(maxsize=64)
def _takes_threads(e_step):
    """Whether a model's own E-step wants to know the number of threads; looking at a signature takes longer than a
    pass over few rows."""
    return "n_threads" in inspect.signature(e_step).parameters
