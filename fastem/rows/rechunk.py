"""Chunks of rows cut anew, into blocks of one size, each value copied at most once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

import numpy as np

WORK = 1 << 18  # values of work arrays at a time, so that they stay in the cache


def slices(n: int, width: int) -> Iterator[slice]:
    """Cuts n rows that need so many values of work each."""
    step = max(64, WORK // max(1, width))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


class Columns:
    """Rows whose columns lie apart, each an array (m,): brought together where a block is filled.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.rows.rechunk import Columns
    >>> np.array(Columns([np.arange(3), np.arange(3) / 2], np.float32)[1:]).tolist()
    [[1.0, 0.5], [2.0, 1.0]]
    """

    def __init__(self, columns: list[np.ndarray], dtype):
        self.columns, self.dtype = columns, np.dtype(dtype)

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, rows: slice) -> Columns:
        return Columns([column[rows] for column in self.columns], self.dtype)

    def __array__(self, dtype=None, copy=None):
        block = np.empty((len(self), len(self.columns)), self.dtype, "F")
        self.copy_to(block)
        return block if dtype is None else block.astype(dtype, copy=False)

    def copy_to(self, block: np.ndarray) -> None:
        """Fill a block (m, d)."""
        for k, column in enumerate(self.columns):
            block[:, k] = column


class Buffers:
    """Blocks (size, d) like the rows X, to be filled: one that nobody holds any more is given again.

    Pages that the system has to clear first take longer to fill than rows to copy.
    """

    def __init__(self, size: int, X):
        apart = isinstance(X, Columns)
        self.shape, self.dtype = (size, len(X.columns) if apart else X.shape[1]), X.dtype
        self.order = "F" if apart or (X.flags.f_contiguous and not X.flags.c_contiguous) else "C"
        self.made = [np.empty(0)]  # the first shows the count of references of what nobody else holds

    def empty(self) -> np.ndarray:
        held = [sys.getrefcount(block) for block in self.made]
        for i, count in enumerate(held[1:], 1):
            if count == held[0]:
                return self.made[i]
        self.made.append(np.empty(self.shape, self.dtype, self.order))
        return self.made[-1]


def cut(chunks: Iterable, size: int) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The same rows in blocks of `size`; the last may be shorter.

    A chunk is an array or :class:`Columns`, and weights or None; of an array, what fits is passed on without a copy.
    A block holds its values for as long as it is referred to.
    """
    buffers, block, weights, filled = None, None, None, 0
    for X, weight in chunks:
        start = 0
        while start < len(X):
            take = min(size - filled, len(X) - start)
            rows = slice(start, start + take)
            if take == size and isinstance(X, np.ndarray):
                yield X[rows], None if weight is None else weight[rows]
            else:
                if block is None:
                    buffers = buffers or Buffers(size, X)
                    block, weights = buffers.empty(), None if weight is None else np.empty(size)
                _copy(X[rows], block[filled : filled + take])
                if weight is not None:
                    weights[filled : filled + take] = weight[rows]
                filled += take
                if filled == size:
                    full, block, filled = (block, weights), None, 0
                    yield full
                    del full
            start += take
        del X, weight  # nor are they held while the next are read
    if filled:
        yield block[:filled], None if weights is None else weights[:filled]


def _copy(X, block):
    if isinstance(X, Columns):
        X.copy_to(block)
    else:
        block[...] = X
