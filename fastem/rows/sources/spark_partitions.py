"""What runs on the executors of Spark, one task for each partition: blocks of rows are kept there, and passed over."""

from __future__ import annotations

import gc
import os
import pickle
import random
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from functools import cache
from itertools import chain

import numpy as np
import pyarrow

from fastem.rows.rechunk import Columns, rechunked


def kept(n_features, dtype, size, key, released, batches) -> Iterator[pyarrow.RecordBatch]:
    """The rows of Arrow batches as files, one for each block, in a folder named `key`; the files' names, pickled.

    released : keys of folders that are no longer used.
    """
    scratch = os.environ["SPARK_LOCAL_DIRS"].split(",")  # Spark removes them with the executor
    for other in released:
        for folder in scratch:
            shutil.rmtree(os.path.join(folder, other), ignore_errors=True)
    folder = os.path.join(random.choice(scratch), key)
    os.makedirs(folder, exist_ok=True)
    files = []
    for X, weight in _blocks_of(n_features, dtype, size, batches):
        name = os.path.join(folder, uuid.uuid4().hex)  # a task may run twice
        files.append((f"{name}-rows.npy", None if weight is None else f"{name}-weights.npy"))
        for file, array in zip(files[-1], (X, weight)):
            if array is not None:
                np.save(file, np.ascontiguousarray(array))
    yield _record(files)


def packed(n_features, dtype, size, batches) -> Iterator[pyarrow.RecordBatch]:
    """The rows of Arrow batches as blocks, pickled."""
    for X, weight in _blocks_of(n_features, dtype, size, batches):
        yield _record((np.ascontiguousarray(X), weight))


def _record(thing):
    return pyarrow.record_batch({"pickled": pyarrow.array([pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)])})


def unpacked(row):
    """What a row of `kept` or `packed` holds."""
    return pickle.loads(row[0])


def _blocks_of(n_features, dtype, size, batches) -> Iterator[tuple]:
    """The rows of Arrow batches, and their weights in the last column, if they have any, in blocks of this size."""

    def chunks():
        for batch in batches:
            arrays = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
            if batch.num_rows:
                yield Columns(arrays[:n_features], dtype), (arrays[n_features:] or [None])[0]

    return rechunked(chunks(), size)


def measured_blocks(index, blocks) -> list:
    """Of each block the number of rows, and the first weight that is none, with its row."""
    found = []
    for X, weight in blocks:
        bad = [] if weight is None else np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))[:1].tolist()
        found.append((len(X), (bad[0], float(weight[bad[0]])) if bad else None))
    return found


def run_on_files(function, index, files) -> Iterator:
    """As `run`, of blocks that are kept; no reply where a file is not here."""
    names = list(chain.from_iterable(files))
    if all(os.path.exists(name) for block in names for name in block if name is not None):
        blocks = (tuple(None if name is None else np.load(name, mmap_mode="r") for name in block) for block in names)
        yield from run(function, index, ((np.asarray(X), weight) for X, weight in blocks))


def run(function, index, blocks) -> Iterator:
    """The reply of a partition: (index, lengths of the blocks, function(index, blocks), None). An error stands in the
    last place, so that it is raised again as it is where the rows were asked for."""
    lengths = []

    def counted():
        for block in blocks:
            lengths.append(len(block[0]))
            yield block

    counting = counted()
    try:
        result, error = function(index, counting), None
    except Exception as raised:
        result, error = None, raised
    deque(counting, maxlen=0)  # Spark ends a worker that leaves rows unread; the next would import everything anew
    deque(blocks, maxlen=0)
    keep_modules()
    yield index, lengths, result, error


@cache
def keep_modules() -> None:
    """Once in a process: Spark's worker collects garbage after each task, which modules are not (some 50 ms)."""
    gc.freeze()  # how many objects are frozen is not asked: Python counts them one by one, some 5 ms
