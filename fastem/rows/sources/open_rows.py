"""What users may pass as rows, and how each kind is opened as blocks.

A kind of data is a row in `OPENERS`: how it is recognised, without importing its package, and what opens it.
"""

from __future__ import annotations

import os

import numpy as np

from fastem.rows.blocks import ArrayBlocks, Blocks, StreamBlocks, block_rows
from fastem.rows.side_columns import weighed_by
from fastem.rows.sources.chunks import ONE_SHOT, ChunkSource
from fastem.rows.sources.columns import listed
from fastem.rows.typed_columns import require_no_intervals, require_no_text, require_no_times, require_numbers_named
from fastem.rows.validation import (
    NoRows,
    as_matrix,
    as_sample_weight,
    column_names,
    in_moderate_units,
)


def open_rows(X, sample_weight=None, columns=None, owner="fastem") -> Blocks:
    """Anything that holds rows, as blocks.

    Parameters
    ----------
    X
        An array, a memory map or a data frame; a path (``.npy``, Parquet, Feather, Arrow, text), a folder of
        Parquet, Feather or CSV files or a list of such; an Arrow table or dataset; a polars LazyFrame; a zarr or
        HDF5 array; a list of chunks, or a function that returns an iterator over chunks, where a chunk is an array
        (m, d), a frame, or a pair of it and its weights; a Dask array or data frame; a Spark frame; whatever else has
        the Arrow C stream (DuckDB, Ibis) or is a frame of modin or one that narwhals reads (its own; cuDF is not
        tested); blocks.
    sample_weight : (n,) array, or the name of a column, which is then not among the values; optional
    columns : sequence of str or int, optional
        The columns to read; only for files, Arrow tables and Spark frames.
    owner : str
        The name in messages.

    Returns
    -------
    Blocks

    Raises
    ------
    TypeError, ValueError
        Says what is wrong with X, and what to do.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.rows.sources.open_rows import open_rows
    >>> blocks = open_rows(lambda: (np.full((3, 2), i) for i in range(4)))
    >>> blocks.shape
    (12, 2)
    """
    opener = next((opener for recognised, opener in OPENERS if recognised(X)), _array)
    if isinstance(sample_weight, str):
        require_numbers_named(X, {"sample_weight": [sample_weight]})
    if isinstance(sample_weight, str) and opener not in READ_WEIGHTS:
        return weighed_by(opener(X, None, columns, owner), sample_weight)
    return opener(X, sample_weight, columns, owner)


ROWS = (
    "an array, a data frame or an Arrow table; the path of a file or a folder, or a list of paths; a list of chunks, "
    "or a function that opens an iterator over chunks; arrays of zarr, HDF5 and Dask, Spark's frames"
)
EXTREME_WEIGHTS = (
    "sample_weight is at most 1e-9 in every row, or at least 1e9 in some, and rows that are not in memory cannot be "
    "given another unit of weight: divide it by its mean."
)


def open_to_fit(X, sample_weight, owner) -> tuple[Blocks, float]:
    """Rows to fit as blocks, and the unit of their weights: a power of two by which they are divided, where their sums
    would leave the range of float32."""
    return in_moderate_weights(open_rows(X, sample_weight, owner=owner))


def in_moderate_weights(blocks) -> tuple[Blocks, float]:
    """The same rows in a moderate unit of weight, and this unit: see :func:`open_to_fit`."""
    if not getattr(blocks, "weighted", False):
        return blocks, 1.0
    if isinstance(blocks, ArrayBlocks):
        weight, unit = in_moderate_units(blocks.sample_weight)
        return (blocks if unit == 1 else ArrayBlocks(blocks.X, weight, blocks.names)), unit
    most = blocks.weights[:, 2].max()
    if most == 0:
        raise ValueError("All sample_weight are zero: at least one row must count.")
    if in_moderate_units(np.array([most]))[1] != 1.0:
        raise ValueError(EXTREME_WEIGHTS)
    return blocks, 1.0


def in_memory(X) -> bool:
    """Whether X is an array or a frame, with all rows in memory."""
    return type(X) is np.ndarray or not any(recognised(X) for recognised, _ in OPENERS)


def _array(X, sample_weight, columns, owner):
    if columns is not None:
        raise TypeError("columns is only for files and Arrow tables, but X is neither: choose its columns before.")
    names = column_names(X)
    try:
        X = as_matrix(X, owner)
    except NoRows:
        raise TypeError(f"X is {type(X).__name__}, which holds no rows. {owner} takes {ROWS}.") from None
    return ArrayBlocks(X, as_sample_weight(sample_weight, len(X)), names)


def _stream(opened, what, sample_weight, columns, owner, n_rows=None):
    if columns is not None:
        raise TypeError(
            f"columns is only for files and Arrow tables, but X is {what}: choose the columns of its chunks."
        )
    return StreamBlocks(ChunkSource(opened, what, n_rows, as_sample_weight(sample_weight), owner))


def _function(X, sample_weight, columns, owner):
    """A function that opens an iterator over chunks, anew in each call."""
    previous = []

    def opened():
        chunks = X()
        if not hasattr(chunks, "__iter__") or hasattr(chunks, "shape"):
            raise TypeError(
                f"the function given as X returned {type(chunks).__name__}; it must return an iterator over chunks"
            )
        iterator = iter(chunks)
        if iterator is chunks and previous and previous[0] is chunks:
            raise ValueError(
                "the function given as X returned the same iterator again, which is used up: it must open a new one "
                "in each call."
            )
        previous[:] = [chunks]
        return iterator

    return _stream(opened, f"the chunks of {getattr(X, '__name__', type(X).__name__)}()", sample_weight, columns, owner)


def _chunks(X, sample_weight, columns, owner):
    """A list or another iterable of chunks."""
    iterator = iter(X)
    if iterator is X:
        raise TypeError(ONE_SHOT.format(f"an iterator ({type(X).__name__})"))
    return _stream(lambda: iter(X), f"the chunks of a {type(X).__name__}", sample_weight, columns, owner)


def _sliced(X, sample_weight, columns, owner):
    """Anything with shape, dtype and slicing, such as a zarr or HDF5 array, read by whole chunks of it."""
    what = f"{type(X).__module__.partition('.')[0]} array {getattr(X, 'name', '')}".strip()
    if len(X.shape) != 2:
        raise ValueError(f"X is a {what} of shape {tuple(X.shape)}; it must have two dimensions.")
    n, d = X.shape
    chunk_rows = (getattr(X, "chunks", None) or (1,))[0]
    step = max(chunk_rows, block_rows(d) // chunk_rows * chunk_rows)
    return _stream(
        lambda: (np.asarray(X[start : start + step]) for start in range(0, n, step)),
        what,
        sample_weight,
        columns,
        owner,
        n,
    )


def _lazy_frame(X, sample_weight, columns, owner):
    """A polars LazyFrame, collected in batches."""
    if columns is not None:
        X = X.select(list(columns))
    return _stream(lambda: X.collect_batches(), "a polars LazyFrame", sample_weight, None, owner)


def _files(X, sample_weight, columns, owner):
    from fastem.rows.sources.files import open_files

    return open_files(X, sample_weight, columns)


def _arrow(X, sample_weight, columns, owner):
    from fastem.rows.sources.arrow_tables import open_arrow

    return open_arrow(X, sample_weight, columns)


def _other_frame(X, sample_weight, columns, owner):
    """A frame of another package, as one of those above."""
    from fastem.rows.sources.frames import known_frame

    return open_rows(known_frame(X), sample_weight, columns, owner)


def _dask(X, sample_weight, columns, owner):
    from fastem.rows.sources.dask_blocks import DaskBlocks

    if columns is not None:
        raise TypeError(
            "columns is only for files and Arrow tables, but X is a Dask collection: choose its columns before."
        )
    require_no_times(X)
    require_no_intervals(X)
    require_no_text(getattr(X, "_meta", X))  # its columns without rows
    return DaskBlocks.of(X, sample_weight)


def _spark(X, sample_weight, columns, owner):
    from fastem.rows.sources.spark_frame import SparkBlocks

    return SparkBlocks(X, sample_weight, columns)


def _blocks(X, sample_weight, columns, owner):
    if sample_weight is not None or columns is not None:
        raise TypeError("sample_weight and columns are only for rows, but X is blocks: give both to open_rows.")
    return X


def _delayed(X, sample_weight, columns, owner):
    raise TypeError(
        "X is a dask.delayed, whose shape is not known. Pass X.compute(), or dask.array.from_delayed(X, shape, dtype)."
    )


def _several(X, sample_weight, columns, owner):
    """A group of arrays, such as an HDF5 file, of which only one can be the rows."""
    names, package = list(X.keys()), type(X).__module__.partition(".")[0]
    example = f"X[{names[0]!r}]" if names else "an array"
    raise TypeError(
        f"X is a {type(X).__name__} of {package} that holds {listed(names) or 'nothing'}. Pass one array or frame of "
        f"rows, such as {example}; columns together as a frame, pandas.DataFrame(...)."
    )


def is_dask(X) -> bool:
    """Whether X is a Dask array or data frame, which dask_blocks opens and maps functions over."""
    return hasattr(X, "__dask_graph__") and not _is_delayed(X)


def _grouped(X, sample_weight, columns, owner):
    raise TypeError(
        f"X is a {type(X).__name__}, whose rows are in groups. Pass the frame itself, or the rows of a group."
    )


def _is_grouped(X):
    """Whether X is what a frame's groupby gives."""
    return type(X).__name__.endswith("GroupBy")


def _is_delayed(X):
    return any(kind.__module__ == "dask.delayed" for kind in type(X).__mro__)


def _is_several(X):
    """Whether X holds arrays by name and is no table."""
    return hasattr(X, "keys") and hasattr(X, "__getitem__") and not (hasattr(X, "shape") or hasattr(X, "columns"))


def is_spark(X) -> bool:
    """Whether X is a Spark frame, which spark_frame opens and maps functions over."""
    return any(kind.__name__ == "DataFrame" and kind.__module__.startswith("pyspark.sql.") for kind in type(X).__mro__)


def _is_path(X):
    return isinstance(X, (str, os.PathLike))


def paths_of(X) -> list:
    """The files and folders that X names, or that an Arrow dataset reads; none of other rows."""
    if _is_path(X):
        return [X]
    if isinstance(X, (list, tuple)):
        return [one for one in X if _is_path(one)]
    files = getattr(X, "files", None)
    return list(files) if isinstance(files, list) else []


def _packages(X):
    """The names of the packages that its type comes from."""
    return {kind.__module__.partition(".")[0] for kind in type(X).__mro__}


def _is_other_frame(X):
    """Whether X is a frame of narwhals, or one that has neither numpy's nor Arrow's way to its values."""
    packages = _packages(X)
    if packages & {"narwhals", "cudf"}:  # the arrays of cuDF refuse to be numpy's
        return True
    return hasattr(X, "columns") and not (
        packages & {"pyspark"} or any(hasattr(X, name) for name in ("__array__", "__arrow_c_stream__", "shape"))
    )


def _is_table_of_arrow(X):
    """Whether X gives Arrow batches; frames that are arrays as well do not count."""
    packages = _packages(X)
    return "pyarrow" in packages or (hasattr(X, "__arrow_c_stream__") and not packages & {"pandas", "polars"})


def _is_sliced(X):
    """Whether X has shape, dtype and slices, but is not an array in memory."""
    return (
        isinstance(getattr(X, "dtype", None), np.dtype)
        and hasattr(X, "shape")
        and hasattr(X, "__getitem__")
        and not isinstance(X, (np.ndarray, np.generic))
        and not any(hasattr(X, name) for name in ("__array_interface__", "iloc", "toarray"))
    )


def _is_list_of_chunks(X):
    """Whether X is a sequence of matrices or frames, with or without weights, or any other iterable."""
    if isinstance(X, (list, tuple)):
        first = X[0] if len(X) else None
        first = first[0] if isinstance(first, tuple) and len(first) > 0 else first
        return len(getattr(first, "shape", ())) == 2
    return hasattr(X, "__iter__") and not any(hasattr(X, name) for name in ("shape", "__array__", "__len__"))


OPENERS = (
    (is_spark, _spark),  # first: its columns are attributes, whatever their names
    (_is_delayed, _delayed),  # it has an attribute of any name, too
    (_is_grouped, _grouped),  # it has the columns of its frame
    (lambda X: hasattr(X, "reduce") and not hasattr(X, "__array__"), _blocks),
    (lambda X: _is_path(X) or (isinstance(X, (list, tuple)) and len(X) > 0 and all(map(_is_path, X))), _files),
    (is_dask, _dask),
    (lambda X: hasattr(X, "collect_batches"), _lazy_frame),
    (_is_other_frame, _other_frame),
    (_is_table_of_arrow, _arrow),
    (_is_sliced, _sliced),
    (_is_several, _several),
    (lambda X: callable(X) and not hasattr(X, "shape"), _function),
    (_is_list_of_chunks, _chunks),
)
# These read the column of weights beside the columns that are chosen
READ_WEIGHTS = _files, _arrow, _spark, _other_frame
