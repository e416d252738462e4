"""Columns of files as they stand there, numbers or not, for what is written beside predictions: a key, a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastem.datasets import SHIPPED
from fastem.rows.sources.files import ARROW_SUFFIXES, files_in
from fastem.rows.sources.text_files import DelimitedFile, is_text_file


def kept_columns(paths: Sequence[str], names: Sequence[str]) -> dict[str, Iterator[Any]]:
    """{name: the values of this column, row by row}, in the order in which the files are read.

    Raises
    ------
    ValueError
        A file has no such column, or is of a kind that has no columns but numbers.
    """
    files = [file for path in paths for file in files_in(Path(path))]
    for file in files:
        known = is_text_file(file) or file.suffix.lower() in ARROW_SUFFIXES
        if (str(file) in SHIPPED and not file.exists()) or not known:
            raise ValueError(f"{file} has no columns to keep: only text files, Parquet and Feather have them")
    return {name: _values(files, name) for name in names}


def _values(files, name):
    for file in files:
        if is_text_file(file):
            yield from DelimitedFile(file).column(name)
        else:
            from fastem.rows.sources.arrow_files import column_of

            yield from column_of(file, name)
