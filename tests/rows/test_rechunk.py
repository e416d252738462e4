"""Blocks of a stream may be kept by whoever sees them; the memory of those that nobody keeps is filled again."""

import numpy as np
import pyarrow
import pytest

from fastem import open_rows
from fastem.rows import blocks
from fastem.rows.rechunk import BlockMemory, Columns
from fastem.rows.statistics import Statistics

N, D, CHUNK = 30_000, 3, 1001


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 4096 rows."""
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)


def rows(dtype):
    return np.random.default_rng(0).normal(size=(N, D)).astype(dtype)


def pieces(X):
    return [X[start : start + CHUNK] for start in range(0, len(X), CHUNK)]


STREAMS = {
    "Arrow": lambda X: pyarrow.table({f"x{j}": X[:, j] for j in range(D)}),
    "chunks": pieces,
    "chunks by columns": lambda X: [np.asfortranarray(piece) for piece in pieces(X)],
    "weighted chunks": lambda X: [(piece, piece[:, 0] ** 2) for piece in pieces(X)],
}

# what of a block is kept, and how it is seen as an array again
KEPT = {
    "block": (lambda X: X, np.asarray),
    "view of views": (lambda X: X[5:].T[1:, ::2], np.asarray),
    "reshaped": (lambda X: X.reshape(-1, 1, order="A"), np.asarray),
    "read only": (lambda X: np.broadcast_to(X[3:4], (2, D)), np.asarray),
    "subclass": (lambda X: X.view(np.matrix), np.asarray),
    "memory view": (memoryview, np.asarray),
    "Arrow array": (lambda X: pyarrow.array(X[:, 0]), lambda column: column.to_numpy()),
    "iterator": (lambda X: X[2].flat, lambda flat: flat.base),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("kept", KEPT)
def test_what_is_kept_of_a_block_does_not_change(kept, stream, dtype):
    keep, seen = KEPT[kept]
    opened = open_rows(STREAMS[stream](rows(dtype)))
    parts = opened.each(lambda X, weight, start: (keep(X), np.array(seen(keep(X)))))
    for _ in range(3):  # which fill what is free
        opened.each(lambda X, weight, start: None)
    for part, copy in parts:
        np.testing.assert_array_equal(seen(part), copy)


@pytest.mark.parametrize("stream", STREAMS)
def test_blocks_of_passes_side_by_side(stream):
    """Readers in threads of their own share the memory, and take turns at lending it."""
    X = rows(np.float64)
    opened = open_rows(STREAMS[stream](X))
    passes = [iter(opened) for _ in range(3)]
    parts = [[], [], []]
    for blocks_of_a_turn in zip(*passes, strict=True):
        for own, (block, _) in zip(parts, blocks_of_a_turn):
            own.append(block[1:])
    starts = range(0, N, 4096)
    for own in parts:
        for start, part in zip(starts, own, strict=True):
            np.testing.assert_array_equal(part, X[start : start + 4096][1:])


def test_a_model_may_keep_its_rows():
    class Hoarder:
        """Keeps what it has seen."""

        def __init__(self, seen):
            self.seen = seen

        def e_step(self, X, sample_weight):
            self.seen.append(X)
            return Statistics(weight=len(X), log_likelihood=0.0)

    X = rows(np.float64)
    opened, seen = open_rows(pieces(X)), []
    for _ in range(3):
        opened.reduce(Hoarder(seen), 1)
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate([X, X, X]))


@pytest.mark.parametrize("order", "CF")
def test_memory_is_lent_again_when_the_last_view_is_gone(order):
    memory = BlockMemory(2)
    block = memory.empty((5, 3), np.float32, order)
    assert block.shape == (5, 3) and block.dtype == np.float32
    assert block.flags.writeable and block.flags.aligned and block.flags[f"{order}_CONTIGUOUS"]
    address, view = block.ctypes.data, block[2:].T
    del block
    assert memory.empty((5, 3), np.float32, order).ctypes.data != address
    del view
    assert memory.empty((5, 3), np.float32, order).ctypes.data == address


def test_memory_of_another_size_is_not_lent():
    memory = BlockMemory(2)
    memory.empty((5, 3), np.float32)
    assert memory.empty((5, 3), np.float64).nbytes == 120


def test_no_more_memory_waits_than_was_allowed():
    memory = BlockMemory(2)
    several = [memory.empty((5, 3), np.float64) for _ in range(4)]
    assert not memory.free
    del several
    assert len(memory.free) == 2


def test_columns_fill_a_block():
    columns = Columns([np.arange(4), np.arange(4) / 2], np.float32)
    assert len(columns) == 4 and columns.shape == (4, 2)
    assert np.asarray(columns[1:3]).tolist() == [[1.0, 0.5], [2.0, 1.0]]
