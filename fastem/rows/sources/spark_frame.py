"""Rows in Spark frames.

The rows are read once, by Arrow, and each executor keeps those of its partitions as blocks in files in Spark's own
scratch folders: the system holds them in memory, and no row passes from Java to Python again. An iteration is one task
for each partition: it reduces the model over the blocks of the partition and returns the nodes of the tree of sums that
they give. Parameters travel to the data, statistics back. The tree depends on the partitions and the order of the rows
in each alone, so neither the number of executors nor their share of the partitions changes a bit.

Spark sends with each task the partition that it is for and all that the partition was made of: the plan of the frame,
and the very rows of a frame that the driver made. So the names of the files are cut off from it by a local checkpoint.
"""

from __future__ import annotations

import re
import uuid
import weakref
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property, partial
from itertools import accumulate, chain, islice

import numpy as np

from fastem.rows.blocks import Blocks, block_rows
from fastem.rows.e_step import e_step
from fastem.rows.objects import HOW_TO_CONVERT
from fastem.rows.sources.columns import choose
from fastem.rows.statistics import merged_nodes, total_of
from fastem.rows.typed_columns import is_time_type

try:
    import pyspark
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql.functions import col
    from pyspark.sql.types import BooleanType, FloatType, NumericType

    from fastem.rows.sources.spark_failures import AN_ARRAY, WHAT, failure, is_open, lost, require_classic, unreadable
    from fastem.rows.sources.spark_partitions import kept, measured_blocks, packed, run, run_on_files, unpacked
except ImportError as error:
    raise ImportError(f"Spark frames need pyspark and pyarrow ({error}): pip install 'fastem[spark]'") from error

KEEP = pyspark.StorageLevel.MEMORY_AND_DISK
LOST_NAMES = re.compile(r"Checkpoint block \S+ not found")
RELEASED: set[str] = set()  # folders of files that are no longer used, in any session of this process


class SparkBlocks(Blocks):
    """The partitions of a Spark frame, as blocks that its executors keep.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
        Of columns of numbers; null is NaN.
    sample_weight : str, optional
        The name of a column.
    columns : sequence of str or int, optional
        The columns to read.

    Notes
    -----
    A task uses as many threads as Spark gave it (``spark.task.cpus``). Where an executor is lost, Spark reads the
    frame again, and where a task runs beside no files, the partition. The order of the rows in a partition must
    then be the same, or the last bits differ: it is where the frame is read from files or sorted in its partitions.
    The files of blocks that are no longer used go when the next frame is opened, or with the session. With
    ``spark.io.encryption.enabled`` there are no files: Spark keeps the blocks, and they pass to Python in each
    iteration.
    """

    holder = "a Spark frame"

    def __init__(self, frame, sample_weight=None, columns=None):
        if sample_weight is not None and not isinstance(sample_weight, str):
            raise TypeError(AN_ARRAY.format("sample_weight"))
        require_classic(frame)
        chosen, weight = choose(frame.columns, columns, WHAT, sample_weight)
        names = [frame.columns[place] for place in chosen]
        read = names if weight is None else [*names, frame.columns[weight]]
        types = number_types(frame, read)
        self.names, self.n_features, self.weighted = np.array(names, dtype=object), len(names), weight is not None
        self.dtype = np.dtype(np.float32 if set(types[: len(names)]) == {"float"} else np.float64)
        self._context = frame.sparkSession.sparkContext
        self._require_open()
        kinds = [self.dtype.name.replace("float64", "double").replace("float32", "float")] * len(names)
        kinds += ["double"] * self.weighted
        numbers = [col(_quoted(name)).cast(kind).alias(f"c{i}") for i, (name, kind) in enumerate(zip(read, kinds))]
        self._numbers = frame.select(*numbers)  # without their names, which may hold dots
        self._form = len(names), self.dtype, block_rows(len(names))
        self._lengths: list[list[int]] | None = None  # of the blocks of each partition
        with failure(unreadable):
            encrypted = self._context.getConf().get("spark.io.encryption.enabled", "false") == "true"
            self._files = None if encrypted else self._kept()
            self._n_partitions = (self._rows_anew if encrypted else self._files).getNumPartitions()
            measured = self._of_partitions(measured_blocks)
        self._lengths = [[n for n, _ in partition] for partition in measured]
        self._first = [0, *accumulate(map(len, self._lengths))]  # block of each partition
        self._rows = [0, *accumulate(map(sum, self._lengths))]  # before each partition
        self.n_rows = self._rows[-1]
        if not self.n_rows:
            raise ValueError(f"there are no rows in {WHAT}")
        self._require_weights(measured, read[-1])

    @property
    def place(self):
        return partial(_place, self._rows)

    def __iter__(self):
        for partition, lengths in enumerate(self._lengths):
            for i in range(len(lengths)):
                yield self._block(partition, i)

    def head(self, size):
        """The first rows; no others travel."""
        first = next(partition for partition, lengths in enumerate(self._lengths) if lengths)
        return self._block(first, 0, size)[0]

    def each(self, function):
        before, lengths = self._rows, self._lengths

        def of_partition(index, blocks):
            starts = accumulate(lengths[index], initial=before[index])
            return [function(X, weight, start) for (X, weight), start in zip(blocks, starts)]

        return list(chain.from_iterable(self._of_partitions(of_partition)))

    def reduce(self, model, n_threads):
        """Expected sufficient statistics of all rows."""
        first = self._first

        def of_partition(index, blocks):
            n_threads = pyspark.TaskContext.get().cpus()
            return merged_nodes((i, e_step(model, *block, n_threads)) for i, block in enumerate(blocks, first[index]))

        return total_of(chain.from_iterable(self._of_partitions(of_partition)))

    def _kept(self):
        """The names of the files of each partition, which are written where Spark first asks for them."""
        key = f"fastem-{uuid.uuid4().hex}"
        names = self._as_objects(partial(kept, *self._form, key, list(RELEASED)), key).persist(KEEP)
        names.localCheckpoint()
        return names

    @cached_property
    def _rows_anew(self):
        """The blocks of each partition, read again."""
        blocks = self._as_objects(partial(packed, *self._form))
        return blocks.persist(KEEP) if self._files is None else blocks

    def _as_objects(self, function, key=None):
        """What the function yields of the Arrow batches of each partition; let go with these blocks."""
        objects = self._numbers.mapInArrow(function, "pickled binary").rdd.map(unpacked)
        weakref.finalize(self, _let_go, objects, key).atexit = False
        return objects

    def _block(self, partition, i, size=None):
        """A block (X, sample_weight) of a partition, or its first rows."""

        def cut(index, blocks):
            X, weight = next(islice(blocks, i, None))
            return X[:size], None if weight is None else weight[:size]

        return self._of_partitions(cut, [partition])[0]

    def _of_partitions(self, function, partitions: list[int] | None = None) -> list:
        """function(index, iterator over (X, sample_weight)) of each partition, where it is."""
        self._require_open()
        partitions = list(range(self._n_partitions)) if partitions is None else partitions
        replies: dict = {}
        with failure(lost):
            if self._files is not None:
                replies |= self._replies_of_files(function, partitions)
            gone = [i for i in partitions if i not in replies]
            if gone:
                replies |= self._replies(self._rows_anew, partial(run, function), gone)
        for i in partitions:
            lengths, _, error = replies[i]
            if error is not None:
                raise error
            if self._lengths is not None and self._lengths[i] != lengths:
                raise ValueError(
                    f"partition {i} of {WHAT} had {sum(self._lengths[i])} rows at first and {sum(lengths)} when Spark "
                    "read it again. EM reads the data many times: do not change them during a fit."
                )
        return [replies[i][1] for i in partitions]

    def _replies_of_files(self, function, partitions) -> dict:
        """Of the partitions whose files are where the task runs. Names that are gone with an executor are made again,
        and so are their files."""
        of_files = partial(run_on_files, function)
        try:
            return self._replies(self._files, of_files, partitions)
        except (Py4JError, PySparkException) as error:
            if not LOST_NAMES.search(str(error)):
                raise
        self._files = self._kept()
        return self._replies(self._files, of_files, partitions)

    def _replies(self, blocks, run, partitions) -> dict:
        """{partition: what `run` replies}, of those that reply."""
        replies = self._context.runJob(blocks.mapPartitionsWithIndex(run), list, partitions)
        return {i: reply for i, *reply in replies}

    def _require_open(self):
        if not is_open(self._context):
            raise ValueError("the Spark session of these rows is stopped: start another and make the frame again.")

    def _require_weights(self, measured, name):
        """ValueError at the first weight that is none."""
        for partition, blocks in enumerate(measured):
            starts = accumulate((n for n, _ in blocks), initial=self._rows[partition])
            for start, (_, bad) in zip(starts, blocks):
                if bad is not None:
                    row, weight = bad
                    raise ValueError(
                        f"sample_weight must be finite and not negative, but {self.place(start + row)}, column "
                        f"{name!r} is {weight:g}."
                    )


def number_types(frame, names: Iterable[str]) -> list[str]:
    """The types of these columns; ValueError at the first that holds no numbers."""
    types = {}
    for field in frame.schema.fields:
        if field.name in types:
            raise ValueError(f"{WHAT} has several columns named {field.name!r}; give each its own name")
        types[field.name] = field.dataType
    for name in names:
        if isinstance(types[name], (NumericType, BooleanType)):
            continue
        kind = types[name].simpleString()
        holds = f"{WHAT}: column {name!r} holds values of type {kind}"
        if is_time_type(kind):
            raise ValueError(f"{holds}. {HOW_TO_CONVERT}")
        if kind in ("vector", "array") or kind.startswith("array<"):
            raise ValueError(
                f"{holds}, not numbers; give each of its elements a column of its own "
                "(pyspark.ml.functions.vector_to_array makes an array of a vector)"
            )
        numeric = [other for other, its in types.items() if isinstance(its, (NumericType, BooleanType))]
        raise ValueError(
            f"{holds}, not numbers; "
            + (f"choose the numeric columns: X.select({numeric!r})" if numeric else "no column holds numbers only")
        )
    return ["float" if isinstance(types[name], FloatType) else "double" for name in names]


def _quoted(name):
    """The name of a column as an expression of Spark: it may hold dots."""
    return f"`{name.replace('`', '``')}`"


def _place(rows_before, row):
    """Where a row is, by its number among all; rows_before: each partition, and all."""
    partition = bisect_right(rows_before, row) - 1
    return f"row {row - rows_before[partition]} of partition {partition} of {WHAT}"


def _let_go(objects, key):
    """What Spark keeps, and the files of this key, are no longer needed."""
    if is_open(objects.context):
        objects.unpersist()
        RELEASED.update([key] if key else [])
