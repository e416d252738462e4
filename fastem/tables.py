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

from fastem.blocks import ArrayBlocks, Blocks, StreamBlocks, block_rows
from fastem.chunks import ChunkSource
from fastem.datasets import SHIPPED, Dataset
from fastem.delimited import DelimitedFile, numbered_names
from fastem.validation import as_sample_weight

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
    >>> from fastem.tables import read_table
    >>> data, names = read_table("faithful", columns=["waiting"])
    >>> data.shape, names
    ((272, 1), ['waiting'])
    """
    table = _open(path)
    chosen = _choose(table.names, columns, path)
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
    given = [Path(path) for path in (paths if isinstance(paths, (list, tuple)) else [paths])]
    if len(given) == 1 and not given[0].is_dir():
        path = given[0]
        suffix = path.suffix.lower()
        if suffix == ".npy" and path.exists():
            return _mapped([path], sample_weight, columns)
        large = path.exists() and path.stat().st_size > AT_ONCE
        if suffix not in ARROW_SUFFIXES and not large:
            return _at_once(path, sample_weight, columns)
    missing = [path for path in given if not path.exists()]
    if missing:
        raise FileNotFoundError(f"{missing[0]}: no such file or folder")
    files = [file for path in given for file in files_in(path)]
    if files and all(file.suffix.lower() == ".npy" for file in files):
        return _mapped(files, sample_weight, columns)
    from fastem.arrow_blocks import open_dataset  # the door to pyarrow, which not everybody has

    return open_dataset(given, files, sample_weight, columns)


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
    weighted = isinstance(sample_weight, str)
    if weighted:
        names = column_names(path)
        if sample_weight not in names:
            raise ValueError(f"sample_weight names {sample_weight!r}, but {path} has {_listed(names)}")
        columns = [name for name in names if name != sample_weight] if columns is None else list(columns)
        data, names = read_table(path, [*columns, sample_weight])
        data, sample_weight, names = np.ascontiguousarray(data[:, :-1]), data[:, -1], names[:-1]
    else:
        data, names = read_table(path, columns)
    named = not all(name == f"x{i}" for i, name in enumerate(column_names(path)))
    weight = as_sample_weight(sample_weight, len(data))
    return ArrayBlocks(data, weight, np.array(names, dtype=object) if named else None)


def _mapped(paths, sample_weight, columns):
    """Matrices in numpy's format: one is an array, several are chunks."""
    arrays = [NpyFile(path)._array for path in paths]
    if isinstance(sample_weight, str):
        raise TypeError(
            f"sample_weight={sample_weight!r} names a column, but {paths[0]} has no names: hand in an array."
        )
    chosen = _choose(numbered_names(arrays[0].shape[1]), columns, paths[0])
    whole = chosen == list(range(arrays[0].shape[1]))
    if len(arrays) == 1 and whole and arrays[0].dtype in (np.float32, np.float64):
        return ArrayBlocks(arrays[0], as_sample_weight(sample_weight, len(arrays[0])))

    def chunks():
        for array in arrays:
            step = block_rows(array.shape[1])
            for start in range(0, len(array), step):
                yield array[start : start + step] if whole else array[start : start + step][:, chosen]

    weight = None if sample_weight is None else as_sample_weight(sample_weight, sum(map(len, arrays)))
    return StreamBlocks(ChunkSource(chunks, ", ".join(map(str, paths[:3])), sum(map(len, arrays)), weight))


def column_names(path: str | os.PathLike) -> list[str]:
    """The names of all columns of a file, without reading its rows.

    Examples
    --------
    >>> from fastem.tables import column_names
    >>> column_names("faithful")
    ['eruptions', 'waiting']
    """
    return list(_open(path).names)


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


def _open(path: str | os.PathLike) -> Table:
    """The table behind a path or the name of a shipped data set."""
    name = os.fspath(path)
    path = Path(path)
    if not path.exists():
        if name in SHIPPED:
            return ShippedTable(SHIPPED[name]())
        raise FileNotFoundError(f"{path}: no such file, nor a shipped data set ({', '.join(SHIPPED)})")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file in it")
    suffix = path.suffix.lower()
    known = (*TEXT_SUFFIXES, ".npy", *ARROW_SUFFIXES)
    if suffix not in known:
        found = f"the suffix {path.suffix!r}" if suffix else "no suffix"
        raise ValueError(f"{path} has {found}; fastem reads {', '.join(known)}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; it needs at least one row of numbers")
    if suffix == ".npy":
        return NpyFile(path)
    if suffix in ARROW_SUFFIXES:
        from fastem.arrow_tables import ArrowFile  # the only door to pyarrow, which not everybody has

        return ArrowFile(path)
    return DelimitedFile(path)


def _choose(names: list[str], columns: Sequence[str | int] | None, path: str | os.PathLike) -> list[int]:
    """The places of the wanted columns."""
    if columns is None:
        return list(range(len(names)))
    if isinstance(columns, (str, int)):
        raise ValueError(f"columns={columns!r} is one column; give a list")
    chosen: list[int] = []
    for column in columns:
        place = _place(names, column, path)
        if place in chosen:
            raise ValueError(f"{path}: column {column!r} was chosen twice; choose it once")
        chosen.append(place)
    if not chosen:
        raise ValueError(f"{path}: no columns were chosen; its columns are {_listed(names)}")
    return chosen


def _place(names: list[str], column: str | int, path: str | os.PathLike) -> int:
    """The place of one column, given by name or number."""
    same = [i for i, name in enumerate(names) if name == str(column)]
    if len(same) > 1:
        raise ValueError(f"{path} has several columns named {column!r}; choose by number: {_listed(same)}")
    if same:
        return same[0]
    if str(column).isdecimal() and int(column) < len(names):
        return int(column)
    raise ValueError(
        f"{path} has no column {column!r}; its columns are {_listed(names)} (or by number: 0 to {len(names) - 1})"
    )


def _listed(items: Sequence[str | int], most: int = 20) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more


def _first_sentence(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
