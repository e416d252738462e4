"""Rows in Spark frames. The only file that imports pyspark, which is an optional requirement.

The rows are read once, by Arrow, and packed into blocks, which Spark keeps on its executors. An iteration is one task per
partition: it reduces the model over the blocks of the partition and returns the nodes of the tree of sums that they give.
Parameters travel to the data, statistics back. The tree depends on the partitions and the order of the rows in each alone,
so neither the number of executors nor their share of the partitions changes a bit.
"""

from __future__ import annotations

import os
import pickle
import re
import weakref
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate, chain, islice

import numpy as np

from fastem.rows.blocks import Blocks, block_rows
from fastem.rows.e_step import e_step
from fastem.rows.rechunk import Columns, rechunked
from fastem.rows.sources.columns import choose
from fastem.rows.statistics import merged_nodes, total_of
from fastem.rows.validation import HOW_TO_CONVERT, is_time_type

try:
    import pyarrow
    import pyspark
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql.functions import col
    from pyspark.sql.types import ArrayType, BooleanType, DoubleType, FloatType, LongType, NumericType, StructType
except ImportError as error:
    raise ImportError(f"Spark frames need pyspark and pyarrow ({error}): pip install 'fastem[spark]'") from error

WHAT = "the Spark frame"
GO_ON = "an estimator keeps its last complete iteration, from which a fit with warm_start=True goes on"
AN_ARRAY = (
    "X is a Spark frame, whose rows have no order that an array could follow: {} must be the name of a column, not an "
    "array."
)
CAUSE = re.compile(r"^(?:\w+\.)*(ModuleNotFoundError|ImportError|AttributeError|ValueError|TypeError): (.+)$", re.M)


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
    A task uses as many threads as Spark gave it (``spark.task.cpus``). The blocks of an executor that is lost are read
    again elsewhere, by Spark. The order of the rows in a partition must then be the same, or the last bits differ: it
    is where the frame is read from files or sorted in its partitions.
    """

    holder = "a Spark frame"

    def __init__(self, frame, sample_weight=None, columns=None):
        if sample_weight is not None and not isinstance(sample_weight, str):
            raise TypeError(AN_ARRAY.format("sample_weight"))
        require_classic(frame)
        chosen, weight = choose(frame.columns, columns, WHAT, sample_weight)
        names = [frame.columns[place] for place in chosen]
        read = names if weight is None else [*names, frame.columns[weight]]
        types = _number_types(frame, read)
        self.names, self.n_features, self.weighted = np.array(names, dtype=object), len(names), weight is not None
        self.dtype = np.dtype(np.float32 if set(types[: len(names)]) == {"float"} else np.float64)
        self._context = frame.sparkSession.sparkContext
        self._require_open()
        kind = "float" if self.dtype == np.float32 else "double"
        kinds = [kind] * len(names) + ["double"] * self.weighted
        numbers = frame.select(*(col(_quoted(name)).cast(kind) for name, kind in zip(read, kinds)))
        packed = numbers.mapInArrow(partial(_packed, self.n_features, self.dtype), "block binary")
        self._blocks = packed.rdd.map(_unpacked).persist(pyspark.StorageLevel.MEMORY_AND_DISK)
        weakref.finalize(self, _let_go, self._blocks).atexit = False
        self._lengths: list[list[int]] | None = None  # of the blocks of each partition
        with _failure(_unreadable):
            measured = self._of_partitions(_measured)
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

    def _block(self, partition, i, size=None):
        """A block (X, sample_weight) of a partition, or its first rows."""

        def cut(index, blocks):
            X, weight = next(islice(blocks, i, None))
            return X[:size], None if weight is None else weight[:size]

        return self._of_partitions(cut, [partition])[0]

    def _of_partitions(self, function, partitions: list[int] | None = None) -> list:
        """function(index, iterator over (X, sample_weight)) of each partition, where it is."""
        self._require_open()
        tasks = self._blocks.mapPartitionsWithIndex(partial(_run, function))
        with _failure(_lost):
            replies = self._context.runJob(tasks, list, partitions)
        for _, _, error in replies:
            if error is not None:
                raise error
        if self._lengths is not None:
            expected = self._lengths if partitions is None else [self._lengths[i] for i in partitions]
            for before, (now, _, _) in zip(expected, replies):
                if before != now:
                    raise ValueError(
                        f"a partition of {WHAT} had {sum(before)} rows at first and {sum(now)} when Spark read it again. "
                        "EM reads the data many times: do not change them during a fit."
                    )
        return [result for _, result, _ in replies]

    def _require_open(self):
        if not _is_open(self._context):
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


# ---- what runs on the executors ------------------------------------------------------------------------------------


def _packed(n_features, dtype, batches) -> Iterator[pyarrow.RecordBatch]:
    """The rows of Arrow batches, whose last column may hold weights, as blocks of one size, pickled."""

    def chunks():
        for batch in batches:
            arrays = [column.to_numpy(zero_copy_only=False) for column in batch.columns]
            if batch.num_rows:
                yield Columns(arrays[:n_features], dtype), (arrays[n_features:] or [None])[0]

    for X, weight in rechunked(chunks(), block_rows(n_features)):
        block = pickle.dumps((np.ascontiguousarray(X), weight), pickle.HIGHEST_PROTOCOL)
        yield pyarrow.record_batch({"block": pyarrow.array([block], pyarrow.binary())})


def _unpacked(row):
    return pickle.loads(row[0])


def _measured(index, blocks) -> list:
    """Of each block the number of rows, and the first weight that is none, with its row."""
    found = []
    for X, weight in blocks:
        bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))[:1].tolist() if weight is not None else []
        found.append((len(X), (bad[0], float(weight[bad[0]])) if bad else None))
    return found


def _run(function, index, blocks) -> Iterator:
    """(lengths of the blocks, function(index, blocks), None); or with the error in place of the result: as a reply, so
    that it arrives as it was raised."""
    lengths = []

    def counted():
        for block in blocks:
            lengths.append(len(block[0]))
            yield block

    counting = counted()
    try:
        result, error = function(index, counting), None
    except Exception as raised:  # of any kind: it is raised again where the rows were asked for
        result, error = None, raised
    deque(counting, maxlen=0)  # Spark ends a worker that leaves rows unread; the next would import everything anew
    deque(blocks, maxlen=0)
    yield lengths, result, error


# ---- frames of results ---------------------------------------------------------------------------------------------


def with_columns(frame, columns: dict, computed: Callable, chosen: Sequence[str]):
    """A lazy frame: the columns of this one, and behind them what is computed of its rows.

    Parameters
    ----------
    frame : pyspark.sql.DataFrame
    columns : {name: (numpy type, number of values or None)}
        Of the new columns; with a number, arrays of so many.
    computed : callable
        Of a pyarrow.Table of the chosen columns: a list of arrays, (m,) or (m, values).
    chosen : names of columns
    """
    require_classic(frame)
    missing = [name for name in chosen if name not in frame.columns]
    if missing:
        raise ValueError(f"{WHAT} has no column {missing[0]!r}, which the model needs; it has {', '.join(frame.columns)}")
    twice = [name for name in columns if name in frame.columns]
    if twice:
        raise ValueError(f"{WHAT} has a column {twice[0]!r}, as the result would: rename it with withColumnRenamed")
    _number_types(frame, chosen)
    fields = StructType(frame.schema.fields)
    for name, (kind, width) in columns.items():
        number = LongType() if np.dtype(kind).kind == "i" else DoubleType()
        fields = fields.add(name, number if width is None else ArrayType(number, False), False)
    return frame.mapInArrow(partial(_widened, computed, list(chosen), columns), fields)


def _widened(computed, chosen, columns, batches):
    start = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        try:
            results = computed(pyarrow.Table.from_batches([batch]).select(chosen))
        except (TypeError, ValueError) as error:
            place = f"partition {pyspark.TaskContext.get().partitionId()} of {WHAT}, rows from {start} on"
            raise type(error)(f"{place}: {error}") from error
        arrays = [_arrow_array(result, *kind) for result, kind in zip(results, columns.values())]
        yield pyarrow.RecordBatch.from_arrays([*batch.columns, *arrays], names=[*batch.schema.names, *columns])
        start += batch.num_rows


def _arrow_array(values, kind, width):
    """(m,) numbers, or (m, width) as lists of them."""
    values = np.ascontiguousarray(values, np.int64 if np.dtype(kind).kind == "i" else np.float64)
    if width is None:
        return pyarrow.array(values)
    ends = np.arange(0, values.size + 1, width, dtype=np.int32)
    return pyarrow.ListArray.from_arrays(ends, values.ravel())


def written(frame, path: str | os.PathLike) -> None:
    """Write a frame to a new folder of Parquet or CSV files, by Spark; other errors than those of the rows are Spark's."""
    path = os.fspath(path)
    kinds = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
    kind = kinds.get(os.path.splitext(path)[1].lower())
    if kind is None:
        raise ValueError(f"{path}: the name of a folder of predictions must end in {', '.join(kinds)}")
    with _failure(_of_rows):
        frame.write.format(kind).option("header", True).save(path)


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def require_classic(frame):
    """TypeError at a frame of Spark Connect, whose client cannot keep rows on the executors."""
    if ".connect." in type(frame).__module__:
        raise TypeError(
            "X is a frame of Spark Connect, whose client cannot keep blocks of rows on the executors. Run the fit in a "
            "classic session (SparkSession.builder.master(...)), or write the frame to Parquet and pass the path."
        )


def _number_types(frame, names: Iterable[str]) -> list[str]:
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


def _is_open(context):
    """Whether Spark still runs: pyspark itself asks its context so."""
    return getattr(context, "_jsc", None) is not None


def _let_go(blocks):
    if _is_open(blocks.context):
        blocks.unpersist()


@contextmanager
def _failure(translated: Callable):
    """translated(text), an error, where Spark fails; ImportError where its executors lack a package."""
    try:
        yield
    except (Py4JError, PySparkException, OSError, EOFError) as error:
        text = str(error)
        causes = CAUSE.findall(text)
        if causes and causes[-1][0] in ("ModuleNotFoundError", "ImportError", "AttributeError"):
            raise ImportError(
                f"a Spark executor cannot import what the driver sent ({causes[-1][1]}): install it there (PYSPARK_PYTHON "
                "says which Python runs there), or send it with SparkContext.addPyFile."
            ) from error
        told = translated(text, causes)
        if told is None:
            raise
        raise told from error


def _lost(text, causes):
    return ConnectionError(
        f"Spark failed in the middle of a pass ({_sentence(text)}). Make the frame again, in another session if this one "
        f"is gone; {GO_ON}."
    )


def _unreadable(text, causes):
    return ValueError(f"{WHAT} cannot be read: {_sentence(text)}")


def _of_rows(text, causes):
    """What was wrong with the rows, if that was it."""
    return ValueError(causes[-1][1]) if causes and causes[-1][0] in ("ValueError", "TypeError") else None


def _sentence(text):
    """The line of Java's and Python's traces that says most."""
    lines = [line.strip(" :") for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "Exception: " in line), (lines or ["no message"])[0])[:400]
