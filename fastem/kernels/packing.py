"""Packed triangles and the factor's order: the layouts that the kernels and Python share."""

from __future__ import annotations

from functools import cache

import numpy as np

from fastem.kernels import FACTOR_BLOCK


@cache
def packed_lower(d):
    """Rows and columns of a packed lower triangle."""
    return np.tril_indices(d)


@cache
def packed_index(d):
    """(d, d): where each entry of a symmetric matrix stands in its packed lower triangle."""
    i, j = np.indices((d, d))
    i, j = np.maximum(i, j), np.minimum(i, j)
    return i * (i + 1) // 2 + j


def unpack_symmetric(packed, d):
    """(…, d(d+1)/2) packed lower triangles to (…, d, d) matrices."""
    return packed[..., packed_index(d)]


def unpack_gram(packed, d):
    """The same of Gram matrices whose last column is that of ones: it comes first."""
    return packed[..., gram_index(d)]


@cache
def gram_index(d):
    return np.roll(packed_index(d), 1, axis=(0, 1))


@cache
def factor_order(d):
    """Rows and columns of a triangular factor in the kernels' order: blocks of rows, column by column."""
    rows, columns = [], []
    for start in range(0, d, FACTOR_BLOCK):
        stop = min(start + FACTOR_BLOCK, d)
        for column in range(stop):
            rows += range(start, stop)
            columns += [column] * (stop - start)
    return np.array(rows), np.array(columns)
