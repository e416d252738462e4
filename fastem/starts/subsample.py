"""The rows that a start looks at: at most SUBSAMPLE, so that it costs less than a pass over large data."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.rows.blocks import ArrayBlocks, Blocks
from fastem.rows.scale import robust_variances
from fastem.starts.named import START_NAMES

SUBSAMPLE = 100_000
PIECE = 8192  # rows whose distances are in memory at the same time


def subsample_rows(n_components):
    """How many rows a start looks at."""
    return min(SUBSAMPLE, max(20_000, 200 * n_components))


def subsample(blocks, rng, n_components):
    """At most SUBSAMPLE rows of positive weight, contiguous (BLAS adds in an order that depends on the strides), and
    the weights with which they stand for all rows."""
    n, size = blocks.n_counted, subsample_rows(n_components)
    return far_and_near(blocks, size, rng) if n > size else blocks.take(np.arange(n))


def sample_of(blocks, rng, n_components) -> Blocks:
    """These rows as blocks, with the side columns that starts are compared with."""
    n, size = blocks.n_counted, subsample_rows(n_components)
    if not getattr(blocks, "in_starts", False):
        return ArrayBlocks(*subsample(blocks, rng, n_components))
    wide = blocks.blocks
    return blocks.of(
        ArrayBlocks(*(far_and_near(wide, size, rng, blocks.seen) if n > size else wide.take(np.arange(n))))
    )


def far_and_near(blocks, size, rng, seen=lambda X: X):
    """About `size` rows, not more, drawn so that small and far clusters are among them, and the weights that make up
    for it.

    A row's merit grows with its squared distance from the middle, and it is taken with the chance merit / threshold:
    it then stands for max(1, threshold / merit) rows. The threshold comes from evenly spaced rows; if too many are
    taken, those of highest priority stay, which is the merit over a uniform number.

    seen(X): the columns of the rows that are looked at.

    Bachem, Lucic, Krause: Scalable k-means clustering via lightweight coresets. KDD 2018 (the merit). Duffield, Lund,
    Thorup: Priority sampling for estimation of arbitrary subset sums. Journal of the ACM 54 (2007) 32.
    """
    typical = seen(blocks.spaced_rows())
    middle, scale = middle_and_scale(typical)
    merit = squared_distances(typical, middle, scale)
    usual, seed = merit.mean(), int(rng.integers(2**63))
    usual_weight = blocks.total_weight / blocks.n_counted
    threshold = usual_weight * threshold_of(usual + merit, size * len(merit) / blocks.n_counted)

    def of_block(X, weight, start):
        merit = usual + squared_distances(seen(X), middle, scale)
        if weight is not None:
            merit *= weight
        with np.errstate(over="ignore"):
            priority = merit / (1 - np.random.default_rng([seed, start]).random(len(X)))
        taken = np.flatnonzero(priority > threshold)
        return X[taken], merit[taken], priority[taken], np.ones(len(taken)) if weight is None else weight[taken]

    rows, merit, priority, weights = (np.concatenate(arrays) for arrays in zip(*blocks.each(of_block)))
    if len(rows) > size:
        threshold = np.partition(priority, -size - 1)[-size - 1]
    taken = priority > threshold
    return np.ascontiguousarray(rows[taken]), weights[taken] * np.maximum(1, threshold / merit[taken])


def threshold_of(merit, size):
    """The threshold at which the chances min(1, merit / threshold) of these rows sum to `size`."""
    low, high = 0.0, merit.sum() / size
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, merit / middle).sum() > size else (low, middle)
    return high


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
    """(n,) from the middle, in units of the scale; a missing value is in the middle. By pieces, for little memory."""
    squares = np.empty(len(X))
    for start in range(0, len(X), PIECE):
        rest = (np.ascontiguousarray(X[start : start + PIECE]) - middle) / scale  # sums depend on the order in memory
        rest[np.isnan(rest)] = 0
        with np.errstate(over="ignore"):
            squares[start : start + PIECE] = arithmetic.einsum("ij,ij->i", rest, rest)
    return np.minimum(squares, np.finfo(np.float64).max / 2**40)


def all_rows(blocks):
    """All rows and their weights, for a start that has a membership for every row."""
    blocks = blocks.whole()
    if blocks is None:
        raise ValueError(
            "init_params gives a membership for every row, but X is read in blocks. Name a start "
            f"({', '.join(START_NAMES)}), or pass X as an array."
        )
    return blocks.X, np.ones(len(blocks.X)) if blocks.sample_weight is None else blocks.sample_weight
