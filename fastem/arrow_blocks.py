"""Rows in Arrow tables and in Parquet, Feather and CSV files, streamed. Imports pyarrow, an optional requirement."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastem.blocks import StreamBlocks, block_rows
from fastem.chunks import ONE_SHOT
from fastem.cutting import Columns
from fastem.delimited import DelimitedFile
from fastem.validation import as_sample_weight

try:
    import pyarrow
    import pyarrow.csv
    import pyarrow.dataset
    import pyarrow.parquet
except ImportError as error:
    raise ImportError(f"Arrow tables and files need pyarrow ({error}): pip install 'fastem[arrow]'") from error

PANDAS_INDEX = "__index_level_"  # pandas writes a frame's index beside its columns
SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".feather": "ipc", ".arrow": "ipc", ".csv": "csv"}
PIECE = 1 << 20  # bytes of a Parquet column that are read at once
BATCH_ROWS = 1 << 17  # that are decoded at once: fewer cost more, more need not stay in a cache


def open_arrow(X, sample_weight=None, columns=None) -> StreamBlocks:
    """A table, a dataset or anything with the Arrow C stream, as blocks."""
    if isinstance(X, pyarrow.RecordBatchReader):
        raise TypeError(ONE_SHOT.format("a RecordBatchReader"))
    if isinstance(X, pyarrow.dataset.Dataset):
        return StreamBlocks(DatasetSource(X, sample_weight, columns))
    if isinstance(X, (pyarrow.Table, pyarrow.RecordBatch)):
        return StreamBlocks(
            TableSource(X.schema, lambda: _batches(X), X.num_rows, "the Arrow table", sample_weight, columns)
        )
    what = f"the {type(X).__name__}"
    schema = pyarrow.RecordBatchReader.from_stream(X).schema
    return StreamBlocks(
        TableSource(schema, lambda: iter(pyarrow.RecordBatchReader.from_stream(X)), None, what, sample_weight, columns)
    )


def open_dataset(paths: list[Path], files: list[Path], sample_weight=None, columns=None) -> StreamBlocks:
    """Files of one kind, found at some paths, as blocks."""
    kinds = {SUFFIXES.get(file.suffix.lower()) for file in files} - {None}
    if len(kinds) != 1:
        found = f"several kinds of files ({', '.join(sorted(kinds))})" if kinds else "no file that could be read"
        raise ValueError(f"{', '.join(map(str, paths[:3]))}: found {found}; hand in Parquet, Feather or CSV files")
    (kind,) = kinds
    chosen = [file for file in files if SUFFIXES.get(file.suffix.lower()) == kind]
    try:
        dataset = pyarrow.dataset.dataset(
            [str(file) for file in chosen], format=_text(chosen[0]) if kind == "csv" else kind
        )
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{paths[0]} cannot be read by pyarrow: {_first_line(error)}") from None
    return StreamBlocks(DatasetSource(dataset, sample_weight, columns))


def _text(path: Path):
    """How text files like this one are read: numbers in all columns, named as the first lines tell."""
    table = DelimitedFile(path)
    if table.delimiter is None:
        raise ValueError(f"{path} is separated by blanks; large text files need commas, semicolons or tabs")
    return pyarrow.dataset.CsvFileFormat(
        parse_options=pyarrow.csv.ParseOptions(delimiter=table.delimiter),
        read_options=pyarrow.csv.ReadOptions(column_names=table.names, skip_rows=table.skipped_lines),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(table.names, pyarrow.float64()),
            null_values=["", "NA", "N/A", "nan", "NaN", "null"],
        ),
    )


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
            self.sample_weight = as_sample_weight(sample_weight, np.size(sample_weight) if n_rows is None else n_rows)
        self.weighted = sample_weight is not None
        chosen = self._chosen(schema, columns)
        self.names = np.array(chosen, dtype=object)
        self.read = chosen + ([self.weight_column] if self.weight_column else [])
        types = []
        for name in self.read:
            kind = schema.field(name).type
            if not _is_numeric(kind):
                raise ValueError(f"column {name!r} of {what} holds values of type {kind}, not numbers: choose others.")
            types.append(kind)
        self.n_features = len(chosen)
        self.dtype = np.dtype(
            np.float32 if all(map(pyarrow.types.is_float32, types[: self.n_features])) else np.float64
        )

    def __str__(self):
        return self.what

    def place(self, row):
        return f"row {row} of {self.what}"

    def _chosen(self, schema, columns) -> list[str]:
        """The names of the columns to read."""
        names = [name for name in schema.names if not name.startswith(PANDAS_INDEX)]
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ValueError(f"{self.what} has several columns named {twice[0]!r}; give each its own name")
        if self.weight_column is not None and self.weight_column not in names:
            raise ValueError(f"sample_weight names {self.weight_column!r}, but {self.what} has {', '.join(names)}.")
        if columns is None:
            chosen = [name for name in names if name != self.weight_column]
        else:
            chosen = []
            for column in [columns] if isinstance(columns, (str, int)) else columns:
                number = isinstance(column, (int, np.integer)) and 0 <= column < len(names)
                if column not in names and not number:
                    raise ValueError(f"{self.what} has no column {column!r}; its columns are {', '.join(names)}.")
                chosen.append(column if column in names else names[column])
        if not chosen:
            raise ValueError(f"{self.what} has no columns to read.")
        return chosen

    def chunks(self) -> Iterator[tuple[Columns, np.ndarray | None]]:
        """The columns, and weights, of each batch that has rows."""
        start = 0
        for batch in self.batches():
            m = batch.num_rows
            if not m:
                continue
            columns = [self._numbers(batch, name, self.dtype) for name in self.names]
            weight = None
            if self.weight_column is not None:
                weight = as_sample_weight(np.array(self._numbers(batch, self.weight_column, np.float64)), m, some=False)
            elif self.sample_weight is not None:
                weight = self.sample_weight[start : start + m]
            del batch
            yield Columns(columns, self.dtype), weight
            del columns  # a batch goes before the next is read
            start += m

    def batches(self):
        """Record batches, anew."""
        return self.opened()

    def _numbers(self, batch, name, dtype):
        """One column of a batch; nulls are NaN."""
        column = batch.column(batch.schema.get_field_index(name))
        target = pyarrow.float32() if dtype == np.float32 else pyarrow.float64()
        if column.type != target:
            column = column.cast(target, safe=False)  # what rounds are whole numbers beyond 2^53
        return column.to_numpy(zero_copy_only=False)


class DatasetSource(TableSource):
    """Files of a pyarrow dataset, row group by row group; an error names the file and the row group."""

    def __init__(self, dataset, sample_weight=None, columns=None):
        self.fragments = list(dataset.get_fragments())
        if not self.fragments:
            raise ValueError("the dataset holds no files")
        self.counts = [_counted(fragment) for fragment in self.fragments]
        n_rows = None if None in self.counts else sum(self.counts)
        self.stamps = {fragment.path: _stamp(fragment.path) for fragment in self.fragments}
        more = f" and {len(self.fragments) - 1} more" if len(self.fragments) > 1 else ""
        super().__init__(dataset.schema, None, n_rows, f"{self.fragments[0].path}{more}", sample_weight, columns)
        self.batch_rows = min(block_rows(self.n_features), BATCH_ROWS)

    def place(self, row):
        for fragment, count in zip(self.fragments, self.counts):
            if count is None or row < count:
                return f"row {row} of {fragment.path}"
            row -= count
        return f"row {row} of {self.what}"

    def batches(self):
        for i, fragment in enumerate(self.fragments):
            if _stamp(fragment.path) != self.stamps[fragment.path]:
                raise ValueError(f"{fragment.path} has changed since it was opened: do not write to it during a fit.")
            found = 0
            for batch in self._of_file(fragment):
                found += batch.num_rows
                yield batch
                del batch
            self.counts[i] = found

    def _of_file(self, fragment):
        missing = [name for name in self.read if name not in fragment.physical_schema.names]
        if missing:
            raise ValueError(f"{fragment.path} has no column {missing[0]!r}, unlike {self.fragments[0].path}")
        if isinstance(fragment, pyarrow.dataset.ParquetFileFragment):
            # by pieces of the columns: a row group may be larger than memory
            with pyarrow.parquet.ParquetFile(fragment.path, buffer_size=PIECE, pre_buffer=False) as file:
                for group in range(file.num_row_groups):
                    yield from _told(
                        file.iter_batches(self.batch_rows, row_groups=[group], columns=self.read),
                        f"{fragment.path}, row group {group}",
                    )
        else:
            yield from _told(fragment.to_batches(columns=self.read, batch_size=self.batch_rows), fragment.path)


def _batches(table):
    return table.to_batches(max_chunksize=1 << 20) if isinstance(table, pyarrow.Table) else [table]


def _told(batches, place):
    """The same batches; what goes wrong names the place."""
    iterator = iter(batches)
    while True:
        try:
            batch = next(iterator, None)
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{place} cannot be read: {_first_line(error)}") from error
        if batch is None:
            return
        yield batch
        del batch


def _counted(fragment):
    """The rows of a file where its metadata tell them, else None."""
    if isinstance(fragment, pyarrow.dataset.ParquetFileFragment):
        try:
            return fragment.metadata.num_rows
        except (pyarrow.ArrowException, OSError) as error:
            raise ValueError(f"{fragment.path} cannot be read: {_first_line(error)}") from None
    return None


def _stamp(path):
    """Size and time of change of a file."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    return found.st_size, found.st_mtime_ns


def _is_numeric(kind) -> bool:
    types = pyarrow.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)


def _first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
