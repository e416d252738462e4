"""One table of everything that holds rows: a function of (folder, X, names) each, that puts the same rows there."""

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pyarrow.dataset
import pyarrow.feather
import pytest
import zarr

CHUNK = 3001  # rows; divides nothing


def frame(X, names):
    return pd.DataFrame(X, columns=names)


def pieces(X):
    return [X[start : start + CHUNK] for start in range(0, len(X), CHUNK)]


def npy(folder, X, names):
    np.save(folder / "rows.npy", X)
    return folder / "rows.npy"


def npy_files(folder, X, names):
    for i, piece in enumerate(pieces(X)):
        np.save(folder / f"{i:03}.npy", piece)
    return folder


def parquet(folder, X, names):
    frame(X, names).to_parquet(folder / "rows.parquet", row_group_size=CHUNK)
    return folder / "rows.parquet"


def parquet_folder(folder, X, names):
    for i, piece in enumerate(pieces(X)):
        frame(piece, names).to_parquet(folder / f"part-{i:03}.parquet")
    (folder / "_SUCCESS").touch()
    return str(folder)


def feather(folder, X, names):
    pyarrow.feather.write_feather(pyarrow.table(frame(X, names)), folder / "rows.feather")
    return folder / "rows.feather"


def csv_files(folder, X, names):
    for i, piece in enumerate(pieces(X)):
        frame(piece, names).to_csv(folder / f"{i:03}.csv", index=False)
    return sorted(folder.glob("*.csv"))


def zarr_array(folder, X, names):
    return zarr.array(X, chunks=(CHUNK, 1))


def hdf5(folder, X, names):
    return h5py.File(folder / "rows.h5", "w").create_dataset("rows", data=X, chunks=(CHUNK, X.shape[1]))


def memory_map(folder, X, names):
    return np.load(npy(folder, X, names), mmap_mode="r")


def of_narwhals(make):
    """A frame of narwhals around another one."""
    return lambda folder, X, names: pytest.importorskip("narwhals").from_native(make(frame(X, names)))


def duckdb(folder, X, names):
    table = pyarrow.table(frame(X, names))
    return pytest.importorskip("duckdb").connect().from_arrow(table)


def ibis(folder, X, names):
    return pytest.importorskip("ibis").memtable(frame(X, names))


def modin(folder, X, names):
    """It needs pandas before 3, so that no extra installs it."""
    pytest.importorskip("modin.config", exc_type=ImportError).Engine.put("Python")  # in this process
    return pytest.importorskip("modin.pandas", exc_type=ImportError).DataFrame(frame(X, names))


class Stream:
    """An object with nothing but the Arrow C stream."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Chunks:
    """An iterable that can be iterated again and is nothing else."""

    def __init__(self, X):
        self.X = X

    def __iter__(self):
        return iter(pieces(self.X))


# name: (what makes it, whether it keeps the names of columns, whether it keeps float32)
CONTAINERS = {
    "array": (lambda folder, X, names: X, False, True),
    "memory map": (memory_map, False, True),
    "npy": (npy, False, True),
    "npy files": (npy_files, False, True),
    "parquet": (parquet, True, True),
    "parquet folder": (parquet_folder, True, True),
    "feather": (feather, True, True),
    "csv files": (csv_files, True, False),
    "arrow table": (lambda folder, X, names: pyarrow.table(frame(X, names)), True, True),
    "arrow dataset": (
        lambda folder, X, names: pyarrow.dataset.dataset(parquet_folder(folder, X, names), exclude_invalid_files=True),
        True,
        True,
    ),
    "arrow stream": (lambda folder, X, names: Stream(pyarrow.table(frame(X, names))), True, True),
    "pandas": (lambda folder, X, names: frame(X, names), True, True),
    "polars": (lambda folder, X, names: pl.DataFrame(frame(X, names)), True, True),
    "polars lazy": (lambda folder, X, names: pl.LazyFrame(frame(X, names)), True, True),
    "polars scan": (lambda folder, X, names: pl.scan_parquet(parquet(folder, X, names)), True, True),
    "narwhals": (of_narwhals(pl.DataFrame), True, True),
    "narwhals lazy": (of_narwhals(pl.LazyFrame), True, True),
    "duckdb": (duckdb, True, True),
    "narwhals of duckdb": (lambda *given: pytest.importorskip("narwhals").from_native(duckdb(*given)), True, True),
    "ibis": (ibis, True, True),
    "modin": (modin, True, True),
    "zarr": (zarr_array, False, True),
    "hdf5": (hdf5, False, True),
    "list of chunks": (lambda folder, X, names: pieces(X), False, True),
    "function": (lambda folder, X, names: lambda: iter(pieces(X)), False, True),
    "function of frames": (lambda folder, X, names: lambda: (frame(piece, names) for piece in pieces(X)), True, True),
    "iterable": (lambda folder, X, names: Chunks(X), False, True),
}
