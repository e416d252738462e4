"""The rows that a start looks at: at most SUBSAMPLE, so that it costs less than a pass over large data."""

from __future__ import annotations

import numpy as np

from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import robust_variances
from fastem.starts.named import START_NAMES

SUBSAMPLE = 100_000


def subsample_rows(n_components):
    """How many rows a start looks at."""
    return min(SUBSAMPLE, max(20_000, 200 * n_components))


def subsample(blocks, rng, n_components):
    """At most SUBSAMPLE rows of positive weight, contiguous (BLAS adds in an order that depends on the strides), and
    the weights with which they stand for all rows."""
    n, size = blocks.n_counted, subsample_rows(n_components)
    return far_and_near(blocks, size, rng) if n > size else blocks.take(np.arange(n))


def far_and_near(blocks, size, rng):
    """Rows drawn so that small and far clusters are among them, and the weights that make up for it.

    A row's chance grows with its squared distance from the middle. Every row gets a priority, its merit over a uniform
    number, and in one pass those of highest priority are taken. A row of merit q stands for max(1, threshold / q) rows.

    Bachem, Lucic, Krause: Scalable k-means clustering via lightweight coresets. KDD 2018 (the merit). Duffield, Lund,
    Thorup: Priority sampling for estimation of arbitrary subset sums. Journal of the ACM 54 (2007) 32.
    """
    typical = blocks.spaced_rows()
    middle, scale = middle_and_scale(typical)
    usual = squared_distances(typical, middle, scale).mean()
    seed = int(rng.integers(2**63))

    def of_block(X, weight, start):
        merit = usual + squared_distances(X, middle, scale)
        if weight is not None:
            merit *= weight
        priority = merit / (1 - np.random.default_rng([seed, start]).random(len(X)))
        some = np.flatnonzero(priority)
        if len(some) > size + 1:
            some = np.sort(np.argpartition(-priority, size)[: size + 1])
        return X[some], merit[some], priority[some], np.ones(len(some)) if weight is None else weight[some]

    rows, merit, priority, weights = (np.concatenate(arrays) for arrays in zip(*blocks.each(of_block)))
    threshold = np.partition(priority, -size - 1)[-size - 1]
    chosen = priority > threshold
    return np.ascontiguousarray(rows[chosen]), weights[chosen] * np.maximum(1, threshold / merit[chosen])


def middle_and_scale(X):
    """(d,) median and robust standard deviation of each column; a constant column has the scale 1."""
    observed = ~np.isnan(X)
    there = np.maximum(observed.sum(axis=0), 1)
    mean = np.where(observed, X, 0).sum(axis=0, dtype=np.float64) / there
    variance = (np.where(observed, X - mean, 0) ** 2).sum(axis=0) / there
    columns = np.sort(X.T)  # missing values last
    middle = columns[np.arange(len(columns)), (there - 1) // 2].astype(np.float64)
    scale = np.sqrt(robust_variances(X, variance))
    return np.where(np.isnan(middle), 0, middle), np.where(scale > 0, scale, 1)


def squared_distances(X, middle, scale):
    """(n,) from the middle, in units of the scale; a missing value is in the middle."""
    rest = (X - middle.astype(X.dtype)) / scale.astype(X.dtype)
    rest[np.isnan(rest)] = 0
    with np.errstate(over="ignore"):
        return np.minimum(np.einsum("ij,ij->i", rest, rest, dtype=np.float64), np.finfo(np.float64).max / 4)


def all_rows(blocks):
    """All rows and their weights, for a start that has a membership for every row."""
    if not isinstance(blocks, ArrayBlocks):
        raise ValueError(
            "init_params gives a membership for every row, but X is read in blocks. Name a start "
            f"({', '.join(START_NAMES)}), or pass X as an array."
        )
    return blocks.X, np.ones(len(blocks.X)) if blocks.sample_weight is None else blocks.sample_weight
