"""Numbers that stand for missing values, such as -999."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastem.rows.blocks import ArrayBlocks, Blocks, BlocksOf


class WithoutCodes(BlocksOf):
    """The rows of other blocks, with NaN in place of the numbers that stand for missing values."""

    def __init__(self, blocks: Blocks, codes: Sequence[float]):
        self.blocks, self.codes = blocks, codes
        self.dtype, self.weighted, self.n_features = blocks.dtype, blocks.weighted, blocks.n_features
        self.names, self.holder = blocks.names, blocks.holder

    def __iter__(self):
        return ((without_codes(X, self.codes), sample_weight) for X, sample_weight in self.blocks)

    def each(self, function):
        def of_block(X, sample_weight, start):
            return function(without_codes(X, self.codes), sample_weight, start)

        return self.blocks.each(of_block)


def without_codes(X, codes):
    """Rows (m, d) with NaN in place of these numbers."""
    return np.where(np.isin(X, np.asarray(codes, X.dtype)), X.dtype.type(np.nan), X)


def with_missing_codes(blocks: Blocks, codes: Sequence[float] | None) -> Blocks:
    """The same rows, in which these numbers are missing values."""
    if not codes:
        return blocks
    if isinstance(blocks, ArrayBlocks):  # once, not in every pass
        return ArrayBlocks(without_codes(blocks.X, codes), blocks.sample_weight, blocks.names)
    return WithoutCodes(blocks, codes)
