"""Data as blocks of rows, over which the statistics of a model are summed.

The size of the blocks depends on the number of columns alone, those of values and what stands beside them but weights,
and their sums are added in the same tree: so neither the container of the rows nor its chunks change a bit of a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from copy import copy
from functools import cached_property
from itertools import accumulate
from typing import ClassVar

import numpy as np

from fastem.kernels import arithmetic
from fastem.rows.e_step import BlockModel, e_step
from fastem.rows.read_ahead import AHEAD, read_ahead
from fastem.rows.rechunk import BlockMemory, rechunked
from fastem.rows.spaced_rows import SpacedRows, spacing
from fastem.rows.statistics import Statistics, merged
from fastem.rows.validation import numbered, power_of_two

BLOCK_VALUES = 1 << 22  # values of X in a block: a fraction of a second of work, so that Ctrl-C is heard


class Blocks:
    """Rows that can be seen again and again, block by block.

    A subclass defines ``__iter__`` and ``n_rows``; all other methods use these. Where the rows are on other machines,
    it also overrides :meth:`each`, which then runs there.

    Attributes
    ----------
    dtype : float32 or float64
    n_features : int
    n_rows : int
    names : (d,) array of str, or None
    weighted : bool
        Whether rows have weights.
    holder : str
        The words for what holds the rows, in a message: "X is ...".
    read_anew : bool
        Whether each pass asks the source for the rows again, which may give others.
    """

    holder: ClassVar[str] = "read in blocks"
    read_anew: bool = False

    dtype: np.dtype
    n_features: int
    n_rows: int
    names: np.ndarray | None = None
    weighted: bool = False

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        """X (m, d) and sample_weight (m,) or None of each block in turn."""
        raise TypeError(f"{type(self).__name__} cannot be iterated over")

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d)"""
        return self.n_rows, self.n_features

    @property
    def place(self) -> Callable[[int], str]:
        """A function: from the number of a row to words for messages that say where it is."""
        return numbered

    def check(self, function: Callable) -> None:
        """Call function(X, place), which may raise, for all blocks; place(i) says where row i of X is."""
        place = self.place
        self.each(lambda X, sample_weight, start: function(X, lambda row: place(start + row)))

    def whole(self) -> ArrayBlocks | None:
        """All rows as an array in memory; None where they are elsewhere."""
        return None

    def for_one_run(self) -> Blocks:
        """The rows for one run of EM. Default: these, which remember nothing of a model."""
        return self

    def columns(self, chosen: np.ndarray) -> Blocks:
        """The same rows with some of their columns."""
        return ColumnBlocks(self, chosen)

    def cut_for(self, n_columns: int) -> Blocks:
        """The same rows in blocks as large as those of so many columns; these, where something else cuts them."""
        return self

    def head(self, size: int) -> np.ndarray:
        """The first rows of the first block, (m, d), at most `size`."""
        return np.ascontiguousarray(next(iter(self))[0][:size])

    def each(self, function: Callable) -> list:
        """Results of function(X, sample_weight, start) for all blocks, in order; `start` is the first row's number."""
        results, start = [], 0
        for X, sample_weight in self:
            results.append(function(X, sample_weight, start))
            start += len(X)
        return results

    def reduce(self, model, n_threads: int) -> Statistics:
        """Expected sufficient statistics of all rows.

        Parameters
        ----------
        model
            With ``e_step(X, sample_weight) -> Statistics``. If it has ``e_step_of_block(X, sample_weight, n_threads,
            kept)``, that is called instead: see :class:`fastem.rows.e_step.BlockModel`.
        n_threads : int
        """
        return merged(e_step(model, X, sample_weight, n_threads) for X, sample_weight in self)

    @cached_property
    def weights(self) -> np.ndarray:
        """(blocks, 5): the first row of each block; how many of its weights are positive, their maximum; the sum of
        their ratios to the power of two below it, which are exact, and of the squares of these."""

        def of_block(X, weight, start):
            most = weight.max()
            ratio = weight / power_of_two(most)
            return start, np.count_nonzero(weight), most, ratio.sum(), arithmetic.matmul(ratio, ratio)

        return np.array(self.each(of_block))

    @cached_property
    def _ranks(self):
        """{first row of a block: the number of rows of positive weight before it}; None where rows have no weights."""
        if not self.weighted:
            return None
        starts, counts = self.weights[:, :2].T.astype(int)
        ranks = list(accumulate(counts.tolist(), initial=0))
        return {"total": ranks[-1]} | dict(zip(starts.tolist(), ranks))

    @property
    def n_counted(self) -> int:
        """The number of rows of positive weight."""
        return self.n_rows if self._ranks is None else self._ranks["total"]

    @property
    def total_weight(self) -> float:
        """The sum of the weights; the number of rows where they have none."""
        if not self.weighted:
            return float(self.n_rows)
        return float(arithmetic.matmul(power_of_two(self.weights[:, 2]), self.weights[:, 3]))

    @property
    def n_effective(self) -> float:
        """The effective number of rows under their weights, whatever the weights' unit (Kish): (sum w)^2 / sum w^2."""
        if not self.weighted:
            return float(self.n_rows)
        most = self.weights[:, 2]
        if not most.max() > 0:
            return 0.0
        ratio = power_of_two(most) / power_of_two(most.max())
        first, second = (arithmetic.matmul(ratio**p, self.weights[:, 2 + p]) for p in (1, 2))
        return float(first**2 / second)

    def take(self, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Some rows (m, d) and their weights (m,), contiguous.

        Parameters
        ----------
        ranks : (m,) sorted
            Row numbers; where there are weights, among the rows of positive weight.
        """
        before = self._ranks
        ranks = np.asarray(ranks)

        def rows_of_block(X, weight, start):
            counted = None if weight is None else np.flatnonzero(weight)
            rank, m = (start, len(X)) if counted is None else (before[start], len(counted))
            wanted = ranks[slice(*np.searchsorted(ranks, (rank, rank + m)))] - rank
            rows = wanted if counted is None else counted[wanted]
            return X[rows], np.ones(len(rows)) if weight is None else weight[rows]

        rows, weights = zip(*self.each(rows_of_block))
        return np.ascontiguousarray(np.concatenate(rows)), np.concatenate(weights)

    def spaced_rows(self) -> np.ndarray:
        """(m, d) evenly spaced rows, SPACED to 2 SPACED of them, or all if fewer; their distance is a power of two."""
        step = spacing(self.n_rows)
        return np.concatenate(self.each(lambda X, weight, start: X[-start % step :: step].copy()))

    def spaced_weights(self) -> np.ndarray | None:
        """(m,) the weights of the spaced rows; None where rows have none."""
        if not self.weighted:
            return None
        step = spacing(self.n_rows)
        return np.concatenate(self.each(lambda X, weight, start: weight[-start % step :: step].copy()))


class ArrayBlocks(Blocks):
    """An array in memory or memory map.

    Parameters
    ----------
    X : (n, d) array
    sample_weight : (n,) array or None
    names : (d,) array of str, or None
    """

    def __init__(self, X: np.ndarray, sample_weight: np.ndarray | None = None, names=None):
        self.X, self.sample_weight, self.names = X, sample_weight, names
        self.weighted = sample_weight is not None
        self.dtype = X.dtype
        self.n_features = int(np.prod(X.shape[1:]))  # a user's model may have rows of any shape
        self.block_rows = block_rows(self.n_features)
        self._kept: dict = {}

    def reduce(self, model, n_threads):
        return merged(
            e_step(model, X, sample_weight, n_threads, self._kept.setdefault(i, {}))
            for i, (X, sample_weight) in enumerate(self)
        )

    def whole(self):
        return self

    def cut_for(self, n_columns):
        found = ArrayBlocks(self.X, self.sample_weight, self.names)
        found.block_rows = block_rows(n_columns)
        return found

    @property
    def n_rows(self):
        return len(self.X)

    def __iter__(self):
        if not len(self.X):
            raise ValueError(f"there are no rows: X has shape {self.X.shape}")
        for start in range(0, len(self.X), self.block_rows):
            rows = slice(start, start + self.block_rows)
            yield self.X[rows], None if self.sample_weight is None else self.sample_weight[rows]


class StreamBlocks(Blocks):
    """Rows that are read anew in every pass, some blocks ahead of the computation.

    Parameters
    ----------
    source
        ``dtype``, ``n_features``, ``names``, ``weighted``; ``chunks()``, an iterator over (X, sample_weight or None)
        of any number of rows, X an array or :class:`fastem.rows.rechunk.Columns`, anew each time; ``place(row)``;
        ``n_rows``, or None where it is known only after reading.
    """

    read_anew = True

    def __init__(self, source):
        self.source = source
        self.dtype, self.n_features, self.names = source.dtype, source.n_features, source.names
        self.weighted = source.weighted
        self._n_rows, self._total = source.n_rows, None  # every pass must give the same
        self._head = np.empty((0, self.n_features), self.dtype)
        self._spaced_rows: np.ndarray | None = None  # kept in the first complete pass, with their weights
        self._spaced_weights: np.ndarray | None = None
        self._memory = BlockMemory(AHEAD + 3)  # one more is filled, one is in use, and one is just let go
        self.block_rows = block_rows(self.n_features)

    def cut_for(self, n_columns):
        found = StreamBlocks(self.source)
        found.names, found.block_rows = self.names, block_rows(n_columns)
        return found

    @property
    def n_rows_known(self) -> bool:
        """Whether the number of rows is known without reading them."""
        return self._n_rows is not None

    @property
    def n_rows(self):
        if self._n_rows is None:
            for _ in self:  # counts
                pass
        return self._n_rows

    @property
    def place(self):
        return self.source.place

    def head(self, size):
        """The first rows. Only they are read, and they are kept."""
        if len(self._head) < size:
            with closing(rechunked(self.source.chunks(), size)) as chunks:
                self._head = next((np.array(X, order="C") for X, _ in chunks), self._head)
        return self._head[:size] if len(self._head) else super().head(size)

    def spaced_rows(self):
        if self._spaced_rows is None:
            for _ in self:  # keeps them
                pass
        return self._spaced_rows

    def spaced_weights(self):
        self.spaced_rows()
        return self._spaced_weights

    def __iter__(self):
        n, total, spaced, of_weights = 0, 0.0, SpacedRows() if self._spaced_rows is None else None, SpacedRows()
        with read_ahead(rechunked(self.source.chunks(), self.block_rows, self._memory)) as blocks:
            for X, sample_weight in blocks:
                if spaced is not None:
                    spaced.add(X, n)
                    if sample_weight is not None:
                        of_weights.add(sample_weight, n)
                n += len(X)
                total += 0.0 if sample_weight is None else float(sample_weight.sum())
                yield X, sample_weight
                del X, sample_weight  # their memory is needed for the next
        if spaced is not None and n:
            self._spaced_rows = spaced.rows()
            self._spaced_weights = of_weights.rows() if self.weighted else None
        if self._n_rows is None and n:
            self._n_rows = n
        if self._total is None:
            self._total = total
        if not n and not self._n_rows:
            raise ValueError(f"there are no rows in {self.source}")
        changed = "rows" if n != self._n_rows else "weight" if total != self._total else None
        if changed:
            before, now = (self._n_rows, n) if changed == "rows" else (self._total, total)
            raise ValueError(
                f"{self.source} gave {before:.15g} {changed} at first and {now:.15g} now. EM reads the data many "
                "times: do not change them during a fit, and give a source that can be read again."
            )


class BlocksOf(Blocks):
    """The rows of other blocks, with something about them changed; a subclass sets `blocks`."""

    blocks: Blocks

    @property
    def n_rows_known(self) -> bool:
        """Whether the number of rows is known without reading them."""
        return getattr(self.blocks, "n_rows_known", True)

    def cut_for(self, n_columns):
        found = copy(self)
        found.blocks = self.blocks.cut_for(n_columns)
        for of_blocks in ("weights", "_ranks"):  # that were computed
            vars(found).pop(of_blocks, None)
        return found

    @property
    def read_anew(self) -> bool:
        return getattr(self.blocks, "read_anew", False)

    @property
    def n_rows(self):
        return self.blocks.n_rows

    @property
    def place(self):
        return self.blocks.place


class ColumnBlocks(BlocksOf):
    """Some columns of other blocks, wherever these are.

    Parameters
    ----------
    blocks : Blocks
    chosen : (m,) numbers of columns
    """

    def __init__(self, blocks: Blocks, chosen: np.ndarray):
        self.blocks, self.chosen = blocks, consecutive(chosen)
        self.dtype, self.weighted, self.n_features = blocks.dtype, blocks.weighted, len(chosen)
        self.names = np.array(chosen.tolist(), dtype=object) if blocks.names is None else blocks.names[chosen]

    def __iter__(self):
        return ((X[:, self.chosen], sample_weight) for X, sample_weight in self.blocks)

    def each(self, function):
        chosen = self.chosen
        return self.blocks.each(lambda X, sample_weight, start: function(X[:, chosen], sample_weight, start))

    def reduce(self, model, n_threads):
        return self.blocks.reduce(OfColumns(model, self.chosen), n_threads)

    def spaced_rows(self):
        """Those that a stream has kept."""
        return np.ascontiguousarray(self.blocks.spaced_rows()[:, self.chosen])


class OfColumns(BlockModel):
    """A model of some columns as a model of all of them."""

    def __init__(self, model, chosen):
        self.model, self.chosen = model, chosen

    def e_step_of_block(self, X, sample_weight, n_threads, kept):
        """Nothing is kept, because it would be known of these columns only."""
        return e_step(self.model, X[:, self.chosen], sample_weight, n_threads)


def consecutive(chosen: np.ndarray):
    """Evenly spaced numbers as a slice, with which numpy makes no copy."""
    step = int(chosen[1] - chosen[0]) if len(chosen) > 1 else 1
    if step > 0 and (np.diff(chosen) == step).all():
        return slice(int(chosen[0]), int(chosen[-1]) + 1, step)
    return chosen


def block_rows(n_features: int) -> int:
    """How many rows make a block: a multiple of every tile and lane."""
    return max(1 << 12, BLOCK_VALUES // max(1, n_features) // 4096 * 4096)
