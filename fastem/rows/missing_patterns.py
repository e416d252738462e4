"""Missing values: rows grouped by their pattern of NaN."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROWS = 1 << 16  # looked at together, to bound the memory


class Patterns(NamedTuple):
    """missing : (patterns, d) bool, ascending as bits; of_row : (n,) which of them each row has."""

    missing: np.ndarray
    of_row: np.ndarray


def patterns(X) -> Patterns:
    """The patterns of missing values in rows (n, d)."""
    d = X.shape[1]
    words = np.zeros((len(X), -(-d // 64)), ">u8")
    for start in range(0, len(X), ROWS):
        bits = np.packbits(np.isnan(X[start : start + ROWS]), axis=1)
        words.view(np.uint8)[start : start + ROWS, : bits.shape[1]] = bits
    if words.shape[1] == 1:
        distinct, of_row = np.unique(words[:, 0].astype(np.uint64), return_inverse=True)
        distinct = distinct.astype(">u8")[:, None]
    else:
        distinct, of_row = np.unique(words.view(f"V{8 * words.shape[1]}")[:, 0], return_inverse=True)
        distinct = distinct[:, None]
    bits = np.unpackbits(np.ascontiguousarray(distinct).view(np.uint8).reshape(len(distinct), -1), axis=1)
    return Patterns(bits[:, :d].astype(bool), of_row.reshape(-1))


def grouped(X, group_rows):
    """The rows in groups of one pattern each, as the kernels take them: see `groups` of ``expect`` in
    kernels/mixture_pass.pxi. A pattern's last group is filled up with one of its rows (as a complement, ~row)."""
    missing, of_row = patterns(X)
    order = np.argsort(of_row.astype(np.min_scalar_type(len(missing))), kind="stable")  # few patterns: radix sort
    counts = np.bincount(of_row, minlength=len(missing))
    groups = -(-counts // group_rows)
    ends = np.cumsum(counts)
    rows = np.repeat(~order[ends - 1], groups * group_rows)
    ahead = np.cumsum(groups * group_rows) - groups * group_rows - (ends - counts)
    rows[np.arange(len(X)) + np.repeat(ahead, counts)] = order
    columns = np.argsort(~missing, axis=1, kind="stable")
    return rows, np.repeat(np.arange(len(missing)), groups), columns, missing.sum(axis=1)
