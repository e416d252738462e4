"""Columns of files as they stand there, numbers or not, for what is written beside predictions: a key, a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastem.datasets import SHIPPED
from fastem.rows.sources.file_kinds import read_files
from fastem.rows.sources.text_files import DelimitedFile, is_text_file


def kept_columns(paths: Sequence[str], names: Sequence[str]) -> dict[str, Iterator[Any]]:
    """{name: the values of this column, row by row}, in the order in which the files are read.

    Raises
    ------
    ValueError
        A file has no such column, or is of a kind that has no columns but numbers.
    """
    given = list(map(Path, paths))
    shipped = [path for path in given if str(path) in SHIPPED and not path.exists()]
    files, kind = (shipped, "shipped") if shipped else read_files(given)
    if kind in ("shipped", "npy"):
        raise ValueError(f"{files[0]} has no columns to keep: only text files, Parquet and Feather have them")
    return {name: _values(files, name) for name in names}


def _values(files, name):
    for file in files:
        if is_text_file(file):
            yield from DelimitedFile(file).column(name)
        else:
            from fastem.rows.sources.arrow_files import column_of

            yield from column_of(file, name)
