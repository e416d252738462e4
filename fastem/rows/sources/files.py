"""Rows in files: delimited text, ``.npy``, Parquet, Feather and Arrow, and the shipped data sets.

Small text files are read at once and ``.npy`` is mapped into memory, here; all others are streamed through pyarrow,
which is imported only then.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastem.datasets import SHIPPED, Dataset
from fastem.rows.blocks import ArrayBlocks, Blocks, StreamBlocks, block_rows
from fastem.rows.sources.chunks import ChunkSource
from fastem.rows.sources.columns import choose, numbered_names
from fastem.rows.sources.file_kinds import files_in, read_files, require_known
from fastem.rows.sources.text_files import DelimitedFile, is_text_file
from fastem.rows.validation import as_sample_weight

__all__ = ["column_names", "is_one_of", "open_files"]

AT_ONCE = 64e6  # bytes of text up to which a file is read once and not in every pass


def open_files(paths, sample_weight=None, columns=None) -> Blocks:
    """Files of rows, as blocks; large files are read anew in every pass.

    Parameters
    ----------
    paths : str, path-like or a list of them
        Files and folders. One text file of up to 64 MB is read at once; what is larger, Parquet, Feather, and
        folders are streamed through pyarrow; ``.npy`` is mapped into memory. Text may be compressed (.gz, .zst).
    sample_weight : (n,) array, or the name of a column; optional
    columns : sequence of str or int, optional

    Returns
    -------
    Blocks
    """
    given = _as_paths(paths)
    table = _text_of(given)
    if isinstance(table, DelimitedFile):
        table.look_for_slips(whole=columns is None)
    if table is not None and not (given[0].exists() and given[0].stat().st_size > AT_ONCE):
        return _at_once(table, given[0], sample_weight, columns)
    if isinstance(table, DelimitedFile) and (table.streamed or table.delimiter is None or table.shares_names):
        return _line_by_line(table, given[0], sample_weight, columns)
    files, kind = read_files(given)
    if kind == "npy":
        return _mapped(files, sample_weight, columns)
    if kind == "csv" and table is None:
        DelimitedFile(files[0]).look_for_slips(whole=columns is None)
    from fastem.rows.sources.arrow_files import open_dataset  # imports pyarrow, which is optional

    blocks = open_dataset(given, files, kind, sample_weight, columns)
    if isinstance(table, DelimitedFile) and table.names == numbered_names(len(table.names)):
        blocks.names = None  # as of small files
    return blocks


def _as_paths(paths) -> list[Path]:
    return [Path(path) for path in (paths if isinstance(paths, (list, tuple)) else [paths])]


def is_one_of(path: Path, read) -> bool:
    """Whether a path is that of one of these files, or of one in these folders: written there, it would replace it."""
    return path.resolve() in (file.resolve() for one in _as_paths(read) for file in files_in(one))


def _at_once(table, path, sample_weight, columns):
    """A small text file or a shipped data set, in memory."""
    weighted = isinstance(sample_weight, str)
    chosen, weight = choose(table.names, columns, path, sample_weight if weighted else None)
    data = table.read([*chosen, weight] if weighted else chosen)
    if weighted:
        data, sample_weight = np.ascontiguousarray(data[:, :-1]), data[:, -1]
    names = None
    if table.names != numbered_names(len(table.names)):
        names = np.array([table.names[i] for i in chosen], dtype=object)
    return ArrayBlocks(data, as_sample_weight(sample_weight, len(data)), names)


def _line_by_line(table, path, sample_weight, columns):
    """A large text file that pyarrow does not read: compressed, with comments, separated by blanks, or with columns of
    the same name."""
    weighted = isinstance(sample_weight, str)
    chosen, weight = choose(table.names, columns, path, sample_weight if weighted else None)
    step = block_rows(len(chosen))

    def chunks():
        for rows in table.blocks([*chosen, weight] if weighted else chosen, step):
            yield (np.ascontiguousarray(rows[:, :-1]), rows[:, -1]) if weighted else rows

    weights = None if weighted or sample_weight is None else as_sample_weight(sample_weight)
    blocks = StreamBlocks(ChunkSource(chunks, str(path), None, weights))
    if table.names != numbered_names(len(table.names)):
        blocks.names = np.array([table.names[i] for i in chosen], dtype=object)
    return blocks


def _mapped(paths, sample_weight, columns):
    """Matrices in numpy's format: one becomes an array, several become chunks."""
    arrays = [_mapped_matrix(path) for path in paths]
    width, n = arrays[0].shape[1], sum(map(len, arrays))
    weighted = isinstance(sample_weight, str)
    chosen, weight = choose(numbered_names(width), columns, paths[0], sample_weight if weighted else None)
    whole = chosen == list(range(width))
    if len(arrays) == 1 and whole and not weighted and arrays[0].dtype in (np.float32, np.float64):
        return ArrayBlocks(arrays[0], as_sample_weight(sample_weight, n))
    taken = slice(None) if whole else chosen

    def chunks():
        for array in arrays:
            step = block_rows(width)
            for start in range(0, len(array), step):
                rows = array[start : start + step]
                yield (rows[:, taken], rows[:, weight]) if weighted else rows[:, taken]

    weights = None if weighted or sample_weight is None else as_sample_weight(sample_weight, n)
    return StreamBlocks(ChunkSource(chunks, ", ".join(map(str, paths[:3])), n, weights))


def column_names(paths) -> list[str]:
    """The names of all columns of a file, or of files and folders, without reading their rows.

    Examples
    --------
    >>> from fastem.rows.sources.files import column_names
    >>> column_names("faithful")
    ['eruptions', 'waiting']
    """
    given = _as_paths(paths)
    table = _text_of(given)
    if table is not None:
        return list(table.names)
    files, kind = read_files(given)
    if kind == "npy":
        return numbered_names(_mapped_matrix(files[0]).shape[1])
    from fastem.rows.sources.arrow_files import names_in

    return names_in(given, files, kind)


class ShippedTable:
    """The numeric columns of a data set of :mod:`fastem.datasets`, read like those of a text file."""

    def __init__(self, dataset: Dataset) -> None:
        self.names = dataset.columns
        self._data = dataset.data

    def read(self, chosen: list[int]) -> np.ndarray:
        return np.ascontiguousarray(self._data[:, chosen])


def _text_of(given: list[Path]) -> ShippedTable | DelimitedFile | None:
    """The one text file, or shipped data set, that is asked for; None for folders, several files and other kinds."""
    if len(given) != 1 or given[0].is_dir():
        return None
    (path,) = given
    if str(path) in SHIPPED and not path.exists():
        return ShippedTable(SHIPPED[str(path)]())
    require_known(path)
    return DelimitedFile(path) if is_text_file(path) else None


def _mapped_matrix(path: Path) -> np.ndarray:
    """A matrix in numpy's own format, as a memory map; never one that would have to be unpickled."""
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    except Exception as error:  # numpy reads the header as Python: a damaged one may raise anything
        raise ValueError(f"{path} is not a readable .npy file of numbers ({_first_sentence(error)})") from None
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path} holds {array.dtype}; save a matrix of real numbers")
    if array.ndim != 2:
        hint = "; save X.reshape(-1, 1) for a single column" if array.ndim == 1 else ""
        raise ValueError(f"{path} holds an array of shape {array.shape}; a table has 2 dimensions{hint}")
    if array.size == 0:
        raise ValueError(f"{path} holds an array of shape {array.shape}; it needs at least one row and one column")
    return array


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
