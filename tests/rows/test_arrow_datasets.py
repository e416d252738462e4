"""Datasets of Arrow, and what else it has that holds rows: the rows that they name, and no others."""

import numpy as np
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
import pytest

from fastem import GaussianMixture, open_rows

X = np.random.default_rng(0).normal(size=(100, 2))
TABLE = pyarrow.table({"a": X[:, 0], "b": X[:, 1]})
BELOW = pyarrow.dataset.field("a") < 0.5


@pytest.fixture
def dataset(tmp_path):
    pyarrow.parquet.write_table(TABLE, tmp_path / "x.parquet", row_group_size=10)
    return pyarrow.dataset.dataset(tmp_path / "x.parquet")


def all_of(given):
    blocks = open_rows(given)
    found = np.concatenate([rows for rows, _ in blocks])
    assert blocks.names.tolist() == ["a", "b"] and np.array_equal(np.concatenate([rows for rows, _ in blocks]), found)
    return found


def restricted(dataset, groups):
    (fragment,) = dataset.get_fragments()
    return pyarrow.dataset.FileSystemDataset(
        [fragment.subset(row_group_ids=groups)], dataset.schema, dataset.format, dataset.filesystem
    )


def test_some_row_groups(dataset, tmp_path):
    some = restricted(dataset, [0, 3])
    assert open_rows(some).n_rows == 20 and np.array_equal(all_of(some), X[[*range(10), *range(30, 40)]])
    b = np.where(np.arange(100) == 35, np.inf, X[:, 1])
    pyarrow.parquet.write_table(pyarrow.table({"a": X[:, 0], "b": b}), tmp_path / "x.parquet", row_group_size=10)
    with pytest.raises(ValueError, match=r"row 15 of row groups 0, 3 of .*x.parquet, column 'b'"):
        GaussianMixture(1).fit(restricted(pyarrow.dataset.dataset(tmp_path / "x.parquet"), [0, 3]))


@pytest.mark.parametrize(
    "of, chosen",
    [
        (lambda dataset: pyarrow.dataset.dataset(TABLE), None),
        (lambda dataset: pyarrow.dataset.dataset([dataset, pyarrow.dataset.dataset(dataset.files[0])]), [0, 0]),
        (lambda dataset: pyarrow.dataset.dataset([pyarrow.dataset.dataset(TABLE), dataset]), [0, 0]),
        (lambda dataset: dataset.filter(BELOW), "below"),
        (lambda dataset: dataset.scanner(filter=BELOW), "below"),
        (lambda dataset: next(dataset.get_fragments()), None),
        (lambda dataset: next(pyarrow.dataset.dataset(TABLE).get_fragments()), None),
        (lambda dataset: pyarrow.parquet.ParquetFile(dataset.files[0]), None),
    ],
    ids=["memory", "union", "union of kinds", "filter", "scanner", "file", "fragment in memory", "ParquetFile"],
)
def test_whatever_holds_rows(dataset, of, chosen):
    expected = X if chosen is None else X[X[:, 0] < 0.5] if chosen == "below" else np.concatenate([X, X])
    assert np.array_equal(all_of(of(dataset)), expected)


def test_files_of_another_file_system(dataset, tmp_path):
    """Whose paths are no paths here."""
    other = pyarrow.fs.SubTreeFileSystem(tmp_path.as_posix(), pyarrow.fs.LocalFileSystem())
    elsewhere = pyarrow.dataset.dataset("x.parquet", filesystem=other)
    blocks = open_rows(elsewhere)
    assert np.array_equal(np.concatenate([rows for rows, _ in blocks]), X)
    pyarrow.parquet.write_table(TABLE.slice(50), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x\.parquet has changed since it was opened"):
        list(blocks)


def test_batches_that_are_read_only_once():
    with pytest.raises(ValueError, match=r"the Scanner cannot be read: .*already scanned"):
        GaussianMixture(1).fit(pyarrow.dataset.Scanner.from_batches(TABLE.to_reader()))


def test_what_holds_no_rows_is_refused(dataset):
    for given in (pyarrow.parquet.ParquetDataset(dataset.files[0]), dataset.schema):
        with pytest.raises(TypeError, match=r"X is a \w+ of pyarrow, .* Pass a table, or pyarrow\.dataset\.dataset"):
            open_rows(given)
