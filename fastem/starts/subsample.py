"""The rows that a start looks at: at most SUBSAMPLE, so that it costs less than a pass over large data."""

from __future__ import annotations

import numpy as np

from fastem.rows.blocks import ArrayBlocks
from fastem.starts.clusters import START_NAMES

SUBSAMPLE = 100_000


def subsample_rows(n_components):
    """How many rows a start looks at."""
    return min(SUBSAMPLE, max(20_000, 200 * n_components))


def subsample(blocks, rng, n_components):
    """At most SUBSAMPLE rows of positive weight, contiguous (BLAS adds in an order that depends on the strides), and
    their weights."""
    n, size = blocks.n_counted, subsample_rows(n_components)
    return blocks.take(np.sort(rng.choice(n, size, replace=False)) if n > size else np.arange(n))


def all_rows(blocks):
    """All rows and their weights, for a start that has a membership for every row."""
    if not isinstance(blocks, ArrayBlocks):
        raise ValueError(
            "init_params gives a membership for every row, but X is read in blocks. Name a start "
            f"({', '.join(START_NAMES)}), or pass X as an array."
        )
    return blocks.X, np.ones(len(blocks.X)) if blocks.sample_weight is None else blocks.sample_weight
