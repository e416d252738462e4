"""Parquet, Feather, Arrow and text files, and folders of them, streamed. Imports pyarrow, an optional requirement."""

from __future__ import annotations

import os
import zlib
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fastem.rows.blocks import StreamBlocks, block_rows
from fastem.rows.sources.arrow_tables import (
    DatasetSource,
    TableSource,
    first_line,
    names_of,
    naming_place,
    require_numbers,
    require_own_names,
)
from fastem.rows.sources.columns import column_place
from fastem.rows.sources.file_kinds import read_files
from fastem.rows.sources.text_files import MISSING, DelimitedFile

try:
    import pyarrow
    import pyarrow.compute
    import pyarrow.csv
    import pyarrow.dataset
    import pyarrow.fs
    import pyarrow.ipc
    import pyarrow.parquet
except ImportError as error:
    raise ImportError(f"Arrow tables and files need pyarrow ({error}): pip install 'fastem[arrow]'") from error


def open_dataset(paths: list[Path], files: list[Path], kind: str, sample_weight=None, columns=None) -> StreamBlocks:
    """Files of one kind, at or below some paths, as blocks.

    The keys of hive partitions (``year=2024/``) below a folder are columns. All errors but those about values name
    the file.
    """
    opened = _opened(paths, files, kind)
    if isinstance(opened, pyarrow.dataset.Dataset):
        source = TextDataset if kind == "csv" else DatasetSource
        return StreamBlocks(source(list(opened.get_fragments()), opened.schema, sample_weight, columns))
    if isinstance(opened, list):
        return StreamBlocks(TextSource(opened, sample_weight, columns))
    schema, batches = opened
    return StreamBlocks(TableSource(schema, batches, None, str(paths[0]), sample_weight, columns))


def names_in(paths: list[Path], files: list[Path], kind: str) -> list[str]:
    """The names of all columns of files of one kind."""
    opened = _opened(paths, files, kind)
    if isinstance(opened, list):
        return list(opened[0].names)
    return names_of(opened.schema if isinstance(opened, pyarrow.dataset.Dataset) else opened[0], str(paths[0]))


def _opened(paths, files, kind):
    """Files of one kind as a dataset; where they are Arrow streams, their schema and a function that opens them; where
    they are text that pyarrow does not read, a list of it."""
    form = pyarrow.dataset.IpcFileFormat()
    if kind == "csv":
        tables = _alike([DelimitedFile(path) for path in files])
        if any(map(_reads_itself, tables)):
            return _without_keys(tables, paths)
    if kind == "parquet":
        form = pyarrow.dataset.ParquetFileFormat()
    options = {}
    if len(paths) == 1 and paths[0].is_dir():
        keys = pyarrow.dataset.HivePartitioning.discover()
        options = {"partition_base_dir": paths[0].absolute().as_posix(), "partitioning": keys}
    try:
        if kind == "ipc" and not any(_is_ipc_file(file) for file in files):
            with pyarrow.OSFile(os.fspath(files[0])) as file, pyarrow.ipc.open_stream(file) as stream:
                return stream.schema, lambda: _of_streams(files)
        if kind == "csv":
            return _of_text(tables, options)
        return _factory(files, form, options).finish()
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{paths[0]} cannot be read by pyarrow: {first_line(error)}") from None


def _factory(files, form, options):
    return pyarrow.dataset.FileSystemDatasetFactory(
        pyarrow.fs.LocalFileSystem(),
        [file.absolute().as_posix() for file in files],
        form,
        pyarrow.dataset.FileSystemFactoryOptions(**options),
    )


def _of_text(tables, options):
    """Text files as a dataset. Where pyarrow stumbles over their first lines, which :class:`DelimitedFile` reads, types
    are those that this finds."""
    files, numbers = [table.path for table in tables], _numeric(tables[0])
    factory = _factory(files, _form_of_text(tables[0], dict.fromkeys(numbers, pyarrow.float64())), options)
    try:
        return factory.finish()
    except (pyarrow.ArrowException, OSError):
        for file in files:
            require_numbers(file, [])  # knows the line where it is no table; which columns are read is not known yet
    as_it_stands = _form_of_text(tables[0], dict.fromkeys(tables[0].names, pyarrow.string()), lambda row: "skip")
    found = _factory(files, as_it_stands, options).inspect()
    types = [pyarrow.float64() if field.name in numbers else field.type for field in found]
    return factory.finish(pyarrow.schema(list(zip(found.names, types))))


def _is_ipc_file(path: Path) -> bool:
    """Whether it is in Arrow's file format, else it is a stream."""
    with open(path, "rb") as file:
        return file.read(6) == b"ARROW1"


def _of_streams(paths):
    """The batches of files in Arrow's format of streams."""
    for path in paths:
        with pyarrow.OSFile(os.fspath(path)) as file, pyarrow.ipc.open_stream(file) as stream:
            yield from naming_place(stream, path)


def _alike(tables: list[DelimitedFile]) -> list[DelimitedFile]:
    """The same text files, which must have the same columns; where pyarrow reads them, written in the same way."""
    first, by_itself = tables[0], any(map(_reads_itself, tables))
    require_own_names(first.names, first.path)
    for table in tables[1:]:
        same_form = (table.delimiter, table.skipped_lines) == (first.delimiter, first.skipped_lines)
        if table.names != first.names or not (same_form or by_itself):
            raise ValueError(
                f"{table.path} has the columns {', '.join(table.names)} from line {table.skipped_lines + 1}, "
                f"but {first.path} has {', '.join(first.names)} from line {first.skipped_lines + 1}: give all files "
                "the same header and delimiter"
            )
    return tables


def _reads_itself(table: DelimitedFile) -> bool:
    """Whether pyarrow's reader of many files does not know this text; it unpacks what ends in .gz."""
    return table.has_comments or table.delimiter is None or table.path.suffix.lower() == ".zst"


def _without_keys(tables: list[DelimitedFile], paths: list[Path]) -> list[DelimitedFile]:
    """The same files; ValueError where their folders are keys of a partition, which only pyarrow's reader knows."""
    for table in tables if len(paths) == 1 and paths[0].is_dir() else ():
        if any("=" in part for part in table.path.relative_to(paths[0]).parts[:-1]):
            raise ValueError(
                f"{table.path} lies in a folder that is the key of a partition, but text in .zst, with comments or "
                "separated by blanks has no such columns: save it as plain or .gz CSV, or as Parquet"
            )
    return tables


class TextSource(TableSource):
    """Several text files that are read line by line: in .zst, with comments, or separated by blanks."""

    def __init__(self, tables: list[DelimitedFile], sample_weight=None, columns=None):
        self.tables, self.counts = tables, [None] * len(tables)
        first = tables[0]
        types = [pyarrow.string() if i in first.text else pyarrow.float64() for i in range(len(first.names))]
        more = f" and {len(tables) - 1} more" * (len(tables) > 1)
        super().__init__(
            pyarrow.schema(list(zip(first.names, types))), None, None, f"{first.path}{more}", sample_weight, columns
        )

    def place(self, row):
        for table, count in zip(self.tables, self.counts):
            if count is None or row < count:
                return f"row {row} of {table.path}"
            row -= count
        return f"row {row} of {self.what}"

    def batches(self):
        for i, table in enumerate(self.tables):
            count = 0
            for batch in _line_by_line(table, self.read):
                count += batch.num_rows
                yield batch
            self.counts[i] = count


class TextDataset(DatasetSource):
    """Text files that pyarrow reads, and, from where it stumbles, :class:`DelimitedFile`, which knows more forms of
    numbers and of missing values: a file holds the same rows alone and among others. What begins with # shows in the
    first column, which is read for that."""

    def __init__(self, fragments, schema, sample_weight=None, columns=None):
        super().__init__(fragments, schema, sample_weight, columns)
        self.first = DelimitedFile(Path(fragments[0].path)).names[0]
        self.schema = schema
        if self.first not in self.read:  # any text will do
            place = schema.get_field_index(self.first)
            self.schema = schema.set(place, pyarrow.field(self.first, pyarrow.string()))
        self.clean = set()  # files that pyarrow has read to their ends
        self.checked = {}  # of others the rows up to which both readers find the same

    def _of_text(self, fragment, names):
        if fragment.path in self.clean:
            yield from self._of_pyarrow(fragment, names)
            return
        count, sums = 0, [0] * len(names)
        try:
            for batch in self._of_pyarrow(fragment, list(dict.fromkeys([*names, self.first]))):
                columns = [self._numbers(batch, name, np.float64) for name in names]
                _require_read(batch, names, columns)
                count, sums = count + batch.num_rows, _checksums(columns, sums)
                yield batch.select(names)
            self.clean.add(fragment.path)
        except ValueError:
            table = DelimitedFile(Path(fragment.path))
            if count > self.checked.get(fragment.path, 0):
                _require_same_rows(table, names, count, sums)
                self.checked[fragment.path] = count
            yield from _line_by_line(table, names, count)

    def _of_pyarrow(self, fragment, names):
        batches = fragment.to_batches(schema=self.schema, columns=names, batch_size=self.batch_rows)
        return naming_place(batches, fragment.path)


def _require_read(batch, names, columns):
    """ValueError where a batch holds a row that begins with #, or a number that is NaN and no missing value, as nan(7):
    those :class:`DelimitedFile` reads otherwise."""
    for column in batch.columns:
        if pyarrow.types.is_string(column.type):
            signs = pyarrow.compute.starts_with(pyarrow.compute.utf8_ltrim_whitespace(column), "#")
            if pyarrow.compute.any(signs).as_py():
                raise ValueError("a row begins with #")
    for name, column in zip(names, columns):
        if np.count_nonzero(np.isnan(column)) > batch.column(name).null_count:
            raise ValueError(f"column {name!r} holds a NaN that is no missing value")


def _checksums(columns, sums):
    """Checksums of columns, from those of the rows before."""
    return [zlib.crc32(np.ascontiguousarray(column), before) for column, before in zip(columns, sums)]


def _require_same_rows(table: DelimitedFile, names, count, sums):
    """ValueError unless the first rows of a text file, line by line, have the checksums of those that pyarrow read."""
    found, left = [0] * len(names), count
    for rows in table.blocks([table.names.index(name) for name in names], block_rows(len(names))):
        found = _checksums(rows[:left].T, found)
        left -= len(rows[:left])
        if not left:
            break
    if left or found != sums:
        raise ValueError(
            f"{table.path}: its first {count} rows, as pyarrow reads them, are not those of its lines. Give every row "
            "its own line, without breaks of lines in quotes, and leave out lines that begin with #."
        )


def _line_by_line(table: DelimitedFile, names, start=0):
    """Columns of a text file from a row on, as batches."""
    for rows in table.blocks([table.names.index(name) for name in names], block_rows(len(names)), start):
        yield pyarrow.RecordBatch.from_arrays(list(map(pyarrow.array, rows.T)), names=names)


def _numeric(table: DelimitedFile) -> list[str]:
    """The names of the columns that hold numbers."""
    text = table.text
    return [name for i, name in enumerate(table.names) if i not in text]


def _form_of_text(table: DelimitedFile, types, of_bad_row=None):
    """How pyarrow reads this text file."""
    return pyarrow.dataset.CsvFileFormat(
        parse_options=pyarrow.csv.ParseOptions(delimiter=table.delimiter, invalid_row_handler=of_bad_row),
        read_options=pyarrow.csv.ReadOptions(column_names=table.names, skip_rows=table.skipped_lines),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=[form for word in MISSING for form in {word, word.upper(), word.title()}] + ["NaN"],
        ),
    )


def column_of(path: Path, name: str):
    """The values of a column of a file, numbers or not, row by row."""
    dataset = _opened([path], *read_files([path]))
    if not isinstance(dataset, pyarrow.dataset.Dataset):
        raise ValueError(f"{path} is an Arrow stream, of which no column can be kept: save it as Feather or Parquet")
    place = column_place(dataset.schema.names, name, path)
    for batch in dataset.to_batches(columns=[dataset.schema.names[place]]):
        yield from batch.column(0).to_pylist()


@contextmanager
def parquet_writer(path, names, types):
    """A function that appends columns, each (m,), to a Parquet file of these names and numpy types."""
    schema = pyarrow.schema(
        zip(names, (pyarrow.string() if kind is str else pyarrow.from_numpy_dtype(kind) for kind in types))
    )
    with pyarrow.parquet.ParquetWriter(path, schema) as file:

        def write(*columns):
            columns = [
                list(map(str, column)) if kind is str else np.asarray(column, kind)
                for column, kind in zip(columns, types)
            ]
            file.write_table(pyarrow.table(columns, schema=schema))

        yield write
