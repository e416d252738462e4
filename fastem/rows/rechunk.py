"""Chunks of rows made into blocks of one size; each value is copied at most once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np

WORK = 1 << 18  # values of work arrays at a time, so that they stay in the cache


def slices(n: int, width: int) -> Iterator[slice]:
    """Slices of n rows whose work arrays, `width` values for each row, fit in the cache."""
    step = max(64, WORK // max(1, width))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


class Columns:
    """Rows whose columns are separate arrays (m,), which are put together where a block is filled.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.rows.rechunk import Columns
    >>> np.array(Columns([np.arange(3), np.arange(3) / 2], np.float32)[1:]).tolist()
    [[1.0, 0.5], [2.0, 1.0]]
    """

    def __init__(self, columns: list[np.ndarray], dtype):
        self.columns, self.dtype = columns, np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.columns[0]), len(self.columns)

    def __len__(self):
        return len(self.columns[0])

    def __getitem__(self, rows: slice) -> Columns:
        return Columns([column[rows] for column in self.columns], self.dtype)

    def __array__(self, dtype=None, copy=None):
        block = np.empty(self.shape, self.dtype, "F")
        self.copy_to(block)
        return block if dtype is None else block.astype(dtype, copy=False)

    def copy_to(self, block: np.ndarray) -> None:
        """Fill a block (m, d)."""
        for k, column in enumerate(self.columns):
            block[:, k] = column


class BlockMemory:
    """Memory for blocks that follow each other, pass by pass, so that the system need not clear new pages for each of
    them: clearing takes some 20 % of the processor's time of a pass with few components.

    A callback or a user's model may keep a block, or a view of some of its rows, so nobody has to return it, and no
    references are counted here. A block is an array over a loan, to which all its views refer. Python ends the loan
    with the last of these arrays, when it would free their memory; only then is the memory lent again.

    Parameters
    ----------
    most : int
        Blocks whose memory waits to be lent again.

    Examples
    --------
    >>> from fastem.rows.rechunk import BlockMemory
    >>> memory = BlockMemory(1)
    >>> block = memory.empty((2, 3), "f8")
    >>> row, address = block[1], block.ctypes.data
    >>> del block  # but not its row
    >>> memory.empty((2, 3), "f8").ctypes.data == address
    False
    """

    def __init__(self, most: int):
        self.free: deque[np.ndarray] = deque(maxlen=most)  # to which threads may append, and from which they may pop

    def empty(self, shape: tuple[int, ...], dtype, order: str = "C") -> np.ndarray:
        """An array to be filled."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        try:
            memory = self.free.pop()
        except IndexError:
            memory = None
        if memory is None or len(memory) != size:
            memory = np.empty(size, np.uint8)
        return np.asarray(_Loan(self.free, memory, np.ndarray(shape, dtype, memory, order=order).__array_interface__))


class _Loan:
    """Memory behind an array, which goes back to those that are free when nothing refers to it any more.

    It is no array, or numpy would let the views of the array refer to the memory itself and not to the loan.
    """

    def __init__(self, free, memory, interface):
        self.free, self.memory, self.__array_interface__ = free, memory, interface

    def __del__(self):
        self.free.append(self.memory)


def rechunked(
    chunks: Iterable, size: int, memory: BlockMemory | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """The same rows in blocks of `size`; the last may be shorter.

    A chunk is an array or :class:`Columns`, and weights or None; of an array, what fits is passed on without a copy.
    A block that is kept stays as it is; the `memory` of a block that is not kept is filled again.
    """
    memory = BlockMemory(0) if memory is None else memory
    block, weights, filled = None, None, 0
    for X, weight in chunks:
        start = 0
        while start < len(X):
            take = min(size - filled, len(X) - start)
            rows = slice(start, start + take)
            if take == size and isinstance(X, np.ndarray):
                yield X[rows], None if weight is None else weight[rows]
            else:
                if block is None:
                    block = memory.empty((size, X.shape[1]), X.dtype, _order(X))
                    weights = None if weight is None else np.empty(size)
                _copy(X[rows], block[filled : filled + take])
                if weight is not None:
                    weights[filled : filled + take] = weight[rows]
                filled += take
                if filled == size:
                    full, block, filled = (block, weights), None, 0
                    yield full
                    del full
            start += take
        del X, weight  # nor are they kept while the next are read
    if filled:
        yield block[:filled], None if weights is None else weights[:filled]


def _order(X):
    """The memory order in which a block of such rows is filled fastest."""
    return "F" if isinstance(X, Columns) or (X.flags.f_contiguous and not X.flags.c_contiguous) else "C"


def _copy(X, block):
    if isinstance(X, Columns):
        X.copy_to(block)
    else:
        block[...] = X
