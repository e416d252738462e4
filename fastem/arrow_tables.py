"""Tables in Parquet, Feather and Arrow files. The only file that imports pyarrow, which is an optional requirement."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastem.delimited import suggest_columns

try:
    import pyarrow
    import pyarrow.feather
    import pyarrow.ipc
    import pyarrow.parquet
except ImportError as error:
    raise ImportError(
        f"Parquet, Feather and Arrow files need pyarrow ({error}): pip install 'fastem[arrow]'"
    ) from error

__all__ = ["ArrowFile"]

PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # pandas writes a frame's index beside its columns


class ArrowFile:
    """A Parquet file, or an Arrow one: Feather, the file format or a stream.

    Attributes
    ----------
    names : list of str
        The columns; without the index that pandas adds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._schema, self._select = _open(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        self.names = [name for name in self._schema.names if not PANDAS_INDEX.fullmatch(name)]
        if not self.names:
            raise ValueError(f"{path} has no columns; it needs at least one column of numbers")
        twice = [name for name in self.names if self.names.count(name) > 1]
        if twice:
            raise ValueError(f"{path} has several columns named {twice[0]!r}; give each its own name")

    def read(self, chosen: list[int]) -> np.ndarray:
        """The columns at these places: float32 if all of them are, else float64; nulls are NaN."""
        numeric = [i for i in chosen if _is_numeric(self._type(i))]
        for i in chosen:
            if i not in numeric:
                raise ValueError(
                    f"{self.path}: column {self.names[i]!r} holds values of type {self._type(i)}, not numbers; "
                    f"{suggest_columns(self.names, numeric)}"
                )
        try:
            table = self._select([self.names[i] for i in chosen])
        except (pyarrow.ArrowException, OSError) as error:
            raise self._unreadable(error) from None
        if table.num_rows == 0:
            raise ValueError(f"{self.path} has columns but no rows; it needs at least one row of numbers")
        all_float32 = all(pyarrow.types.is_float32(self._type(i)) for i in chosen)
        target = pyarrow.float32() if all_float32 else pyarrow.float64()
        data = np.empty((table.num_rows, len(chosen)), dtype=target.to_pandas_dtype())
        for k, i in enumerate(chosen):
            # An unsafe cast is one that may round: whole numbers beyond 2^53.
            data[:, k] = table.column(self.names[i]).cast(target, safe=False).to_numpy()
        return data

    def _type(self, i: int) -> pyarrow.DataType:
        return self._schema.field(self.names[i]).type

    def _unreadable(self, error: Exception) -> ValueError:
        return ValueError(f"{self.path} cannot be read by pyarrow: {str(error).splitlines()[0]}")


def _open(path: Path) -> tuple[pyarrow.Schema, Callable[[list[str]], pyarrow.Table]]:
    """The schema of a file, and what reads some of its columns."""
    if path.suffix.lower() in (".parquet", ".pq"):
        file = pyarrow.parquet.ParquetFile(path)
        return file.schema_arrow, lambda names: file.read(columns=names)  # leaves the other columns on the disk
    with open(path, "rb") as file:
        is_file_format = file.read(6) == b"ARROW1"
        file.seek(0)
        table = pyarrow.feather.read_table(file) if is_file_format else pyarrow.ipc.open_stream(file).read_all()
    return table.schema, table.select


def _is_numeric(type_: pyarrow.DataType) -> bool:
    kinds = pyarrow.types
    return kinds.is_integer(type_) or kinds.is_floating(type_) or kinds.is_boolean(type_) or kinds.is_decimal(type_)
