"""Tables of numbers from files: delimited text, ``.npy``, Parquet, Feather and Arrow.

Every kind of file opens as an object with the names of its columns and one verb, ``read``, for some of them by place.
Which columns are wanted is settled here, once for all kinds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from fastem.datasets import SHIPPED, Dataset
from fastem.rows.blocks import ArrayBlocks, Blocks, StreamBlocks, block_rows
from fastem.rows.sources.chunks import ChunkSource
from fastem.rows.sources.columns import choose, numbered_names
from fastem.rows.sources.text_files import DelimitedFile
from fastem.rows.validation import as_sample_weight

__all__ = ["column_names", "read_table"]

AT_ONCE = 64e6  # bytes of text that are read once, instead of in every pass
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".data")
ARROW_SUFFIXES = (".parquet", ".pq", ".feather", ".arrow")


def read_table(path: str | os.PathLike, columns: Sequence[str | int] | None = None) -> tuple[np.ndarray, list[str]]:
    """Read a file as a matrix of floating-point numbers.

    Parameters
    ----------
    path : str or path-like
        A text file (``.csv``, ``.tsv``, ``.txt``, ``.dat``, ``.data``; separated by commas, semicolons, tabs or
        blanks, with or without a header), ``.npy``, ``.parquet``, ``.feather`` or ``.arrow``; or the name of a
        shipped data set, ``"faithful"`` or ``"iris"``, unless a file of that name exists.
    columns : sequence of str or int, optional
        Names or numbers (from 0) of the columns to read, in this order. A name wins over a number. Default: all.

    Returns
    -------
    data : ndarray of shape (n_rows, n_columns)
        float32 if the file holds float32, else float64. Missing values are NaN.
    names : list of str
        The names of these columns; where the file has none, ``x0, x1, ...`` after their place in the file.

    Raises
    ------
    FileNotFoundError, ValueError
        With the place of the first problem and a way out.
    ImportError
        If the file needs pyarrow and that is not installed.

    Examples
    --------
    >>> from fastem.rows.sources.files import read_table
    >>> data, names = read_table("faithful", columns=["waiting"])
    >>> data.shape, names
    ((272, 1), ['waiting'])
    """
    table = _open(path)
    chosen, _ = choose(table.names, columns, path)
    return table.read(chosen), [table.names[i] for i in chosen]


def open_files(paths, sample_weight=None, columns=None) -> Blocks:
    """Files of rows, as blocks; what does not fit in memory is read anew in every pass.

    Parameters
    ----------
    paths : str, path-like or a list of them
        Files and folders. One text file of up to 64 MB is read at once; what is larger, Parquet, Feather, and
        folders are streamed through pyarrow; ``.npy`` is mapped into memory.
    sample_weight : (n,) array, or the name of a column; optional
    columns : sequence of str or int, optional

    Returns
    -------
    Blocks
    """
    given = _listed(paths)
    if len(given) == 1 and not given[0].is_dir():
        path = given[0]
        suffix = path.suffix.lower()
        large = path.exists() and path.stat().st_size > AT_ONCE
        if suffix not in (".npy", *ARROW_SUFFIXES) and not large:
            return _at_once(path, sample_weight, columns)
        _require_known(path)
    files = _files_of(given)
    if _are_npy(files):
        return _mapped(files, sample_weight, columns)
    from fastem.rows.sources.arrow_files import open_dataset  # the door to pyarrow, which not everybody has

    return open_dataset(given, files, sample_weight, columns)


def _listed(paths) -> list[Path]:
    return [Path(path) for path in (paths if isinstance(paths, (list, tuple)) else [paths])]


def _files_of(given: list[Path]) -> list[Path]:
    """The files at all these paths."""
    for path in given:
        if not path.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
    return [file for path in given for file in files_in(path)]


def _are_npy(files: list[Path]) -> bool:
    return bool(files) and all(file.suffix.lower() == ".npy" for file in files)


def files_in(path: Path) -> list[Path]:
    """A file itself; of a folder all files below it, sorted, without hidden ones."""
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith((".", "_")) for part in file.relative_to(path).parts)
    )


def _at_once(path, sample_weight, columns):
    """A small text file or a shipped data set, in memory."""
    table = _open(path)
    weighted = isinstance(sample_weight, str)
    chosen, weight = choose(table.names, columns, path, sample_weight if weighted else None)
    data = table.read([*chosen, weight] if weighted else chosen)
    if weighted:
        data, sample_weight = np.ascontiguousarray(data[:, :-1]), data[:, -1]
    names = None
    if table.names != numbered_names(len(table.names)):
        names = np.array([table.names[i] for i in chosen], dtype=object)
    return ArrayBlocks(data, as_sample_weight(sample_weight, len(data)), names)


def _mapped(paths, sample_weight, columns):
    """Matrices in numpy's format: one is an array, several are chunks."""
    arrays = [NpyFile(path)._array for path in paths]
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

    own = None if weighted or sample_weight is None else as_sample_weight(sample_weight, n)
    return StreamBlocks(ChunkSource(chunks, ", ".join(map(str, paths[:3])), n, own))


def column_names(paths) -> list[str]:
    """The names of all columns of a file, or of files and folders, without reading their rows.

    Examples
    --------
    >>> from fastem.rows.sources.files import column_names
    >>> column_names("faithful")
    ['eruptions', 'waiting']
    """
    given = _listed(paths)
    if len(given) == 1 and not given[0].is_dir():
        return list(_open(given[0]).names)
    files = _files_of(given)
    if _are_npy(files):
        return NpyFile(files[0]).names
    from fastem.rows.sources.arrow_files import names_in

    return names_in(given, files)


class Table(Protocol):
    """What every kind of file offers."""

    names: list[str]

    def read(self, chosen: list[int]) -> np.ndarray:
        """The columns at these places as a matrix."""


class ShippedTable:
    """The numeric columns of a data set of :mod:`fastem.datasets`."""

    def __init__(self, dataset: Dataset) -> None:
        self.names = dataset.columns
        self._data = dataset.data

    def read(self, chosen: list[int]) -> np.ndarray:
        return np.ascontiguousarray(self._data[:, chosen])


class NpyFile:
    """A matrix in numpy's own format; never one that would have to be unpickled."""

    def __init__(self, path: Path) -> None:
        try:
            # The map reads the header only; the numbers follow when they are asked for.
            array = np.lib.format.open_memmap(path, mode="r")
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a readable .npy file of numbers ({_first_sentence(error)})") from None
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{path} holds {array.dtype}; save a matrix of real numbers")
        if array.ndim != 2:
            hint = "; save X.reshape(-1, 1) for a single column" if array.ndim == 1 else ""
            raise ValueError(f"{path} holds an array of shape {array.shape}; a table has 2 dimensions{hint}")
        if array.size == 0:
            raise ValueError(f"{path} holds an array of shape {array.shape}; it needs at least one row and one column")
        self.names = numbered_names(array.shape[1])
        self._array = array

    def read(self, chosen: list[int]) -> np.ndarray:
        dtype = np.float32 if self._array.dtype.str[1:] == "f4" else np.float64  # in either byte order
        whole = chosen == list(range(len(self.names)))
        if whole:
            return np.array(self._array, dtype=dtype)
        return np.ascontiguousarray(self._array[:, chosen], dtype=dtype)


class ArrowFile:
    """A Parquet, Feather or Arrow file."""

    def __init__(self, path: Path) -> None:
        from fastem.rows.sources.arrow_files import names_in

        self.path, self.names = path, names_in([path], [path])

    def read(self, chosen: list[int]) -> np.ndarray:
        blocks = open_files(self.path, columns=[self.names[i] for i in chosen])
        return np.concatenate([np.ascontiguousarray(X) for X, _ in blocks])


def _open(path: str | os.PathLike) -> Table:
    """The table behind a path or the name of a shipped data set."""
    name = os.fspath(path)
    path = Path(path)
    if name in SHIPPED and not path.exists():
        return ShippedTable(SHIPPED[name]())
    _require_known(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return NpyFile(path)
    return ArrowFile(path) if suffix in ARROW_SUFFIXES else DelimitedFile(path)


def _require_known(path: Path) -> None:
    """A file that is there, of a kind that is read, and not empty."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file, nor a shipped data set ({', '.join(SHIPPED)})")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    known = (*TEXT_SUFFIXES, ".npy", *ARROW_SUFFIXES)
    if path.suffix.lower() not in known:
        found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise ValueError(f"{path} has {found}; fastem reads {', '.join(known)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; it needs at least one row of numbers")


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
