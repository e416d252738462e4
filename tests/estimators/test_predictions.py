"""Predictions in files are those of the estimator, whatever holds the rows; the file is complete or not there."""

import sys

import numpy as np
import pandas
import pyarrow.dataset
import pytest

from fastem import PPCA, GaussianMixture, PoissonMixture, write_predictions
from fastem.estimators.predictions import Predictions, write_each
from fastem.rows import blocks


def rows(n=9001, dtype=np.float64):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, 2)) + 5 * rng.integers(0, 2, (n, 1))).astype(dtype)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)


def from_text(path):
    return np.genfromtxt(path, delimiter=",", names=True)


def from_parquet(path):
    return pandas.read_parquet(path).to_records(index=False)


READERS = {".csv": from_text, ".txt": from_text, ".parquet": from_parquet, ".pq": from_parquet}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("suffix", READERS)
def test_predictions_are_the_estimators(tmp_path, suffix, dtype):
    X = rows(dtype=dtype)
    X[0] = 1e30  # its density underflows
    model = GaussianMixture(3, random_state=0).fit(X[1:])
    path = tmp_path / f"labels{suffix}"
    for source in (X, [X[:10], X[10:5000], X[5000:]], tmp_path / "rows.npy"):
        np.save(tmp_path / "rows.npy", X)
        write_predictions(model, source, path)
        found = READERS[suffix](path)
        assert list(found.dtype.names) == ["label", "probability", "log_density"]
        np.testing.assert_array_equal(found["label"], model.predict(X))
        np.testing.assert_array_equal(found["probability"], model.predict_proba(X).max(axis=1))
        np.testing.assert_array_equal(found["log_density"], model.score_samples(X))
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, "rows.npy"]


@pytest.mark.parametrize("K, expected", [(2, [9001]), (6, [8192, 809]), (14, [4096, 4096, 809])])
def test_the_memory_for_responsibilities_is_bounded(K, expected, monkeypatch):
    """Rows are handed on in blocks that shrink as the number of components grows."""
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1 << 16)
    lengths = []
    model = GaussianMixture(K, random_state=0, max_iter=1, tol=1e9).fit(rows()[:500])
    write_each(Predictions(model), rows(), lambda columns: lengths.append(len(columns[0])))
    assert lengths == expected


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_bad_row_far_down_leaves_the_old_file(tmp_path, suffix):
    X = rows()
    model = GaussianMixture(2, random_state=0).fit(X)
    path = tmp_path / f"labels{suffix}"
    path.write_text("old")
    X[8500, 1] = np.inf
    with pytest.raises(ValueError, match=r"float64: the first is at row 8500 of the chunks"):
        write_predictions(model, [X[:5000], X[5000:]], path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_count_that_is_none_is_found():
    counts = np.random.default_rng(0).poisson(3, (9000, 2)).astype(float)
    model = PoissonMixture(2, random_state=0).fit(counts)
    counts[8000, 1] = -1
    with pytest.raises(ValueError, match="row 8000 of the chunks"):
        write_each(Predictions(model), [counts], lambda columns: None)


def test_mistakes(tmp_path, monkeypatch):
    import dask.array

    model = GaussianMixture(2, random_state=0).fit(rows())
    with pytest.raises(ValueError, match=r"labels\.json: .* must end in \.csv, \.txt, \.parquet, \.pq"):
        write_predictions(model, rows(), tmp_path / "labels.json")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_predictions(model, rows(), tmp_path / "no" / "labels.csv")
    with pytest.raises(TypeError, match="lazy arrays"):
        write_predictions(model, dask.array.from_array(rows()), tmp_path / "labels.csv")
    with pytest.raises(TypeError, match="no components"):
        write_predictions(PPCA(1).fit(rows()), rows(), tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="not fitted"):
        write_predictions(GaussianMixture(2), rows(), tmp_path / "labels.csv")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for name in ("fastem.rows.sources.arrow_files", "fastem.rows.sources.arrow_tables"):  # imported anew
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=r"pip install 'fastem\[arrow\]'"):
        write_predictions(model, rows(), tmp_path / "labels.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_rows_are_never_replaced_by_their_predictions(tmp_path, suffix):
    path, folder = tmp_path / f"in{suffix}", tmp_path / "folder"
    folder.mkdir()
    model = GaussianMixture(2, random_state=0).fit(rows())
    for file in (path, folder / path.name):
        pandas.DataFrame(rows()).rename(columns=str).pipe(
            getattr(pandas.DataFrame, f"to_{suffix[1:]}"), file, index=False
        )
    before = path.read_bytes()
    datasets = [pyarrow.dataset.dataset(path)] if suffix == ".parquet" else []
    for X in (path, str(path), [path], *datasets):
        with pytest.raises(ValueError, match=r"in\.\w+ is one of the files that are read: name another\."):
            write_predictions(model, X, tmp_path / "folder" / ".." / path.name)
    with pytest.raises(ValueError, match="one of the files that are read"):
        write_predictions(model, folder, folder / path.name)
    assert path.read_bytes() == (folder / path.name).read_bytes() == before


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_that_are_kept_are_whole(tmp_path, suffix):
    model, n, path = GaussianMixture(2, random_state=0).fit(rows()), len(rows()), tmp_path / f"out{suffix}"
    for name, asked in (("label", {}), ("probability_1", {"probabilities": True}), ("outlier", {"outliers": 0.01})):
        with pytest.raises(ValueError, match=f"keep has the column '{name}', which predictions have too. Give it"):
            write_predictions(model, rows(), path, keep={name: range(n)}, **asked)
    with pytest.raises(ValueError, match="keep has more values of 'id' than there are rows in X"):
        write_predictions(model, rows(), path, keep={"id": range(n + 50)})
    assert not path.exists()
    write_predictions(model, rows(), path, keep={"id": range(n), "probability_1": range(n)})
    assert READERS[suffix](path).dtype.names[:2] == ("id", "probability_1")
