"""Rows in Arrow tables and datasets, streamed. Imports pyarrow, an optional requirement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastem.rows.blocks import StreamBlocks, block_rows
from fastem.rows.objects import HOW_TO_CONVERT
from fastem.rows.rechunk import Columns
from fastem.rows.sources.chunks import ONE_SHOT, weighed
from fastem.rows.sources.columns import choose, listed, suggest_columns
from fastem.rows.sources.text_files import DelimitedFile
from fastem.rows.typed_columns import is_time_type
from fastem.rows.validation import as_sample_weight

try:
    import pyarrow
    import pyarrow.dataset
    import pyarrow.fs
    import pyarrow.parquet
except ImportError as error:
    raise ImportError(f"Arrow tables and files need pyarrow ({error}): pip install 'fastem[arrow]'") from error

PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # pandas writes a frame's index beside its columns
PIECE = 1 << 20  # bytes of a Parquet column that are read at once
BATCH_ROWS = 1 << 17  # that are decoded at once: fewer cost time, more may not stay in the cache


def open_arrow(X, sample_weight=None, columns=None) -> StreamBlocks:
    """A table, a dataset or anything with the Arrow C stream, as blocks."""
    if isinstance(X, pyarrow.RecordBatchReader):
        raise TypeError(ONE_SHOT.format("a RecordBatchReader"))
    if isinstance(X, (pyarrow.Array, pyarrow.ChunkedArray)):
        raise TypeError(
            f"X is a {type(X).__name__} of pyarrow, which is one column. Pass a table, pyarrow.table({{'x': X}})."
        )
    source = _file_fragments(X)
    if source is not None:
        return StreamBlocks(DatasetSource(*source, sample_weight, columns))
    what = f"the {type(X).__name__}"
    if isinstance(X, (pyarrow.Table, pyarrow.RecordBatch)):
        known = X.schema, lambda: _batches(X), X.num_rows, "the Arrow table"
    elif isinstance(X, pyarrow.parquet.ParquetFile):
        known = X.schema_arrow, lambda: naming_place(X.iter_batches(BATCH_ROWS), what), X.metadata.num_rows, what
    elif isinstance(X, (pyarrow.dataset.Dataset, pyarrow.dataset.Scanner, pyarrow.dataset.Fragment)):
        scanner = X if isinstance(X, pyarrow.dataset.Scanner) else X.scanner()
        known = scanner.projected_schema, lambda: naming_place(scanner.to_batches(), what), None, what
    elif hasattr(X, "__arrow_c_stream__"):
        known = pyarrow.RecordBatchReader.from_stream(X).schema, lambda: _streamed_anew(X), None, what
    else:
        raise TypeError(
            f"X is a {type(X).__name__} of pyarrow, which fastem does not read. Pass a table, or "
            "pyarrow.dataset.dataset(path)."
        )
    return StreamBlocks(TableSource(*known, sample_weight, columns))


def _file_fragments(X):
    """The files of a dataset and its schema; None of what is filtered or in memory, which pyarrow reads as a whole."""
    if isinstance(X, pyarrow.dataset.Fragment):
        fragments, schema = [X], X.physical_schema
    elif isinstance(X, pyarrow.dataset.Dataset):
        try:
            fragments, schema = list(X.get_fragments()), X.schema
        except ValueError:  # of one that is filtered
            return None
    else:
        return None
    if not fragments:
        raise ValueError("the dataset holds no files")
    return (fragments, schema) if all(isinstance(one, pyarrow.dataset.FileFragment) for one in fragments) else None


def _streamed_anew(X):
    """The batches of its Arrow C stream, which only some kinds give more than once."""
    try:
        return iter(pyarrow.RecordBatchReader.from_stream(X))
    except Exception as error:  # each package raises its own
        raise TypeError(f"{ONE_SHOT.format(f'a {type(X).__name__}')} Its stream was opened again: {error}") from error


class TableSource:
    """Batches of an Arrow table, read anew in every pass.

    Parameters
    ----------
    schema : pyarrow.Schema
    opened : function
        Returns an iterator over record batches.
    n_rows : int or None
    what : str
        For messages.
    sample_weight : (n,) array, or the name of a column
    columns : names or numbers of columns
    """

    def __init__(self, schema, opened, n_rows, what, sample_weight=None, columns=None):
        self.opened, self.n_rows, self.what = opened, n_rows, what
        self.weight_column = sample_weight if isinstance(sample_weight, str) else None
        self.sample_weight = None
        if sample_weight is not None and self.weight_column is None:
            self.sample_weight = as_sample_weight(sample_weight, n_rows)
        self.weighted = sample_weight is not None
        names = names_of(schema, what)
        places, weight = choose(names, columns, what, self.weight_column)
        types = [schema.field(names[i]).type for i in (places if weight is None else [*places, weight])]
        numeric = [i for i, name in enumerate(names) if i != weight and _is_number_type(schema.field(name).type)]
        for i, kind in zip([*places, weight], types):
            if not _is_number_type(kind):
                if is_time_type(kind):
                    raise ValueError(f"{what}: column {names[i]!r} holds values of type {kind}. {HOW_TO_CONVERT}")
                wanted = numeric if columns is None else [j for j in numeric if j in places]
                raise ValueError(
                    f"{what}: column {names[i]!r} holds values of type {kind}, not numbers; "
                    f"{suggest_columns(names, wanted)}; text that is numbers: cast it to float64 first"
                )
        chosen = [names[i] for i in places]
        self.names = np.array(chosen, dtype=object)
        if weight is not None:
            self.weight_column = names[weight]
        self.read = list(dict.fromkeys(chosen if weight is None else [*chosen, self.weight_column]))
        self.n_features = len(chosen)
        self.dtype = np.dtype(
            np.float32 if all(map(pyarrow.types.is_float32, types[: self.n_features])) else np.float64
        )

    def __str__(self):
        return self.what

    def place(self, row):
        return f"row {row} of {self.what}"

    def chunks(self) -> Iterator[tuple[Columns, np.ndarray | None]]:
        """The columns, and weights, of each batch that has rows."""
        return weighed(self._columns(), self.sample_weight, self.what)

    def _columns(self):
        """The same, before an array of weights is split among them."""
        start = 0
        for batch in self.batches():
            m = batch.num_rows
            if not m:
                continue
            columns = [self._numbers(batch, name, self.dtype) for name in self.names]
            weight = None if self.weight_column is None else self._weights(batch, start)
            del batch
            yield Columns(columns, self.dtype), weight
            del columns  # a batch is let go before the next is read
            start += m

    def _weights(self, batch, start):
        """The column of weights of a batch, whose first row has this number."""
        weight = np.array(self._numbers(batch, self.weight_column, np.float64))
        bad = ~(np.isfinite(weight) & (weight >= 0))
        if bad.any():
            first = int(bad.argmax())
            raise ValueError(
                f"sample_weight must be finite and not negative, but {self.place(start + first)}, column "
                f"{self.weight_column!r} is {weight[first]:g}."
            )
        return weight

    def batches(self):
        """Record batches, anew."""
        return self.opened()

    def _numbers(self, batch, name, dtype):
        """One column of a batch; nulls are NaN."""
        column = batch.column(batch.schema.get_field_index(name))
        target = pyarrow.float32() if dtype == np.float32 else pyarrow.float64()
        if column.type != target:
            column = column.cast(target, safe=False)  # only whole numbers beyond 2^53 are rounded
        return column.to_numpy(zero_copy_only=False)


class DatasetSource(TableSource):
    """Files of a pyarrow dataset, row group by row group; an error names the file and the row group."""

    def __init__(self, fragments, schema, sample_weight=None, columns=None):
        self.fragments = fragments
        self.stamps = [_stamp(fragment) for fragment in fragments]
        self.counts = [_counted(fragment) for fragment in fragments]
        n_rows = None if None in self.counts else sum(self.counts)
        more = f" and {len(self.fragments) - 1} more" if len(self.fragments) > 1 else ""
        super().__init__(schema, None, n_rows, f"{self.fragments[0].path}{more}", sample_weight, columns)
        self.batch_rows = min(block_rows(self.n_features), BATCH_ROWS)

    def place(self, row):
        for fragment, count in zip(self.fragments, self.counts):
            if count is None or row < count:
                return f"row {row} of {_groups_of(fragment)}{fragment.path}"
            row -= count
        return f"row {row} of {self.what}"

    def batches(self):
        for i, fragment in enumerate(self.fragments):
            if _stamp(fragment) != self.stamps[i]:
                raise ValueError(f"{fragment.path} has changed since it was opened: do not write to it during a fit.")
            count = 0
            for batch in self._of_file(fragment):
                count += batch.num_rows
                yield batch
                del batch
            self.counts[i] = count

    def _of_file(self, fragment):
        keys = pyarrow.dataset.get_partition_keys(fragment.partition_expression)
        keys = {name: value for name, value in keys.items() if name in self.read}
        names = [name for name in self.read if name not in keys]
        batches = self._of_text if isinstance(fragment.format, pyarrow.dataset.CsvFileFormat) else self._of_columns
        for batch in batches(fragment, names):
            yield _with_keys(batch, keys) if keys else batch

    def _of_columns(self, fragment, names):
        missing = [name for name in names if name not in fragment.physical_schema.names]
        if missing:
            raise ValueError(f"{fragment.path} has no column {missing[0]!r}, but {self.fragments[0].path} has it")
        for name in names:
            kind = fragment.physical_schema.field(name).type
            rounded = self.dtype == np.float32 and name != self.weight_column and kind != pyarrow.float32()
            if rounded or not _is_number_type(kind):
                raise ValueError(
                    f"column {name!r} of {fragment.path} holds {kind}, unlike that of {self.fragments[0].path}: give "
                    "all files the same type."
                )
        if isinstance(fragment, pyarrow.dataset.ParquetFileFragment):
            # in pieces of the columns, because a row group may be larger than memory
            with (
                fragment.open() as opened,
                pyarrow.parquet.ParquetFile(opened, buffer_size=PIECE, pre_buffer=False) as file,
            ):
                for group in _row_groups(fragment):
                    yield from naming_place(
                        file.iter_batches(self.batch_rows, row_groups=[group], columns=names),
                        f"{fragment.path}, row group {group}",
                    )
        else:
            yield from naming_place(fragment.to_batches(columns=names, batch_size=self.batch_rows), fragment.path)

    def _of_text(self, fragment, names):
        try:
            batches = fragment.to_batches(columns=names, batch_size=self.batch_rows)
            yield from naming_place(batches, fragment.path)
        except ValueError:  # pyarrow's errors too
            if isinstance(fragment.filesystem, pyarrow.fs.LocalFileSystem):
                require_numbers(fragment.path, names)  # knows the line
            raise


def names_of(schema, what) -> list[str]:
    """The columns, without the index that pandas adds."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    names = [name for name in schema.names if name not in index and not PANDAS_INDEX.fullmatch(name)]
    if not names:
        raise ValueError(f"{what} has no columns; it needs at least one column of numbers")
    require_own_names(names, what)
    return names


def require_own_names(names, what):
    """ValueError where columns share a name."""
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"{what} has several columns named {twice[0]!r}; give each its own name")


def _with_keys(batch, keys):
    """A batch with the keys of its partition as columns."""
    more = [pyarrow.array(np.full(batch.num_rows, np.nan if value is None else value)) for value in keys.values()]
    return pyarrow.RecordBatch.from_arrays([*batch.columns, *more], names=[*batch.schema.names, *keys])


def require_numbers(path, names):
    """Raise with the line of the first row of a text file that has too few or too many fields, or in columns of these
    names one that is no number."""
    table = DelimitedFile(Path(path))
    if set(names) <= set(table.names):
        for _ in table.numbers([table.names.index(name) for name in names]):
            pass


def _batches(table):
    return table.to_batches(max_chunksize=1 << 20) if isinstance(table, pyarrow.Table) else [table]


def naming_place(batches, place):
    """The same batches; errors name the place."""
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator, None)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{place} cannot be read: {first_line(error)}") from error
        if batch is None:
            return
        yield batch
        del batch


def _counted(fragment):
    """The number of rows of a file, if its metadata hold it, else None."""
    if isinstance(fragment, pyarrow.dataset.ParquetFileFragment):
        try:
            return sum(group.num_rows for group in fragment.row_groups)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{fragment.path} cannot be read: {first_line(error)}") from None
    return None


def _row_groups(fragment) -> list[int]:
    """The numbers of the row groups of a Parquet file that belong to the dataset."""
    return [group.id for group in fragment.row_groups]


def _groups_of(fragment) -> str:
    """The words for the row groups, where they are not all those of the file."""
    if not isinstance(fragment, pyarrow.dataset.ParquetFileFragment):
        return ""
    groups = _row_groups(fragment)
    return f"row groups {listed(groups)} of " if len(groups) < fragment.metadata.num_row_groups else ""


def _stamp(fragment):
    """Size and time of change of a file."""
    info = fragment.filesystem.get_file_info(fragment.path)
    if not info.is_file:
        raise ValueError(f"{fragment.path} cannot be read: No such file")
    return info.size, info.mtime_ns


def _is_number_type(kind) -> bool:
    types = pyarrow.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
