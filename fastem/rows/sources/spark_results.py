"""Lazy Spark frames of what is computed of the rows of a frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from fastem.rows.sources.spark_failures import WHAT, failure, of_rows, require_classic
from fastem.rows.sources.spark_frame import number_types

try:
    import pyarrow
    import pyspark
    from pyspark.sql.types import ArrayType, BooleanType, DoubleType, LongType, StructType
except ImportError as error:
    raise ImportError(f"Spark frames need pyspark and pyarrow ({error}): pip install 'fastem[spark]'") from error


KINDS = {"b": (BooleanType, np.bool_), "i": (LongType, np.int64)}  # of numpy's types: Spark's, and how values travel
NUMBERS = DoubleType, np.float64  # of all others


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
        raise ValueError(
            f"{WHAT} has no column {missing[0]!r}, which the model needs; it has {', '.join(frame.columns)}"
        )
    twice = [name for name in columns if name in frame.columns]
    if twice:
        raise ValueError(f"{WHAT} has a column {twice[0]!r}, as the result would: rename it with withColumnRenamed")
    number_types(frame, chosen)
    fields = StructType([*frame.schema.fields])
    for name, (kind, width) in columns.items():
        number = KINDS.get(np.dtype(kind).kind, NUMBERS)[0]()
        fields = fields.add(name, number if width is None else ArrayType(number, False), False)
    numbered = frame.toDF(*(f"c{i}" for i in range(len(frame.columns))))  # mapInArrow takes no names with dots
    return numbered.mapInArrow(partial(_widened, computed, frame.columns, list(chosen), columns), fields)


def _widened(computed, names, chosen, columns, batches):
    start = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        try:
            results = computed(pyarrow.Table.from_batches([batch]).rename_columns(names).select(chosen))
        except (TypeError, ValueError) as error:
            place = f"partition {pyspark.TaskContext.get().partitionId()} of {WHAT}, rows from {start} on"
            raise type(error)(f"{place}: {error}") from error
        arrays = [_arrow_array(result, *kind) for result, kind in zip(results, columns.values())]
        yield pyarrow.RecordBatch.from_arrays([*batch.columns, *arrays], names=[*names, *columns])
        start += batch.num_rows


def _arrow_array(values, kind, width):
    """(m,) numbers, or (m, width) as lists of them."""
    values = np.ascontiguousarray(values, KINDS.get(np.dtype(kind).kind, NUMBERS)[1])
    if width is None:
        return pyarrow.array(values)
    ends = np.arange(0, values.size + 1, width, dtype=np.int32)
    return pyarrow.ListArray.from_arrays(ends, values.ravel())


def written(frame, path: str | os.PathLike) -> None:
    """Write a frame to a new folder of Parquet or CSV files, by Spark, whose errors these are if no row is wrong."""
    path = os.fspath(path)
    kinds = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}
    kind = kinds.get(os.path.splitext(path)[1].lower())
    if kind is None:
        raise ValueError(f"{path}: the name of a folder of predictions must end in {', '.join(kinds)}")
    with failure(of_rows):
        frame.write.format(kind).option("header", True).save(path)
