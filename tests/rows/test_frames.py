"""Frames of other packages, by narwhals or the Arrow C stream: names of columns, weights and side columns by name."""

import subprocess
import sys
import tracemalloc

import numpy as np
import pandas
import polars
import pytest
from containers import CONTAINERS

import fastem

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2)) + 5 * RNG.integers(0, 2, (400, 1))
WEIGHT, ERRORS = RNG.integers(1, 4, 400).astype(float), RNG.uniform(0.1, 0.3, (400, 2))
WIDE = np.column_stack([X, WEIGHT, ERRORS])
NAMES = ["a", "b", "w", "e", "f"]
KINDS = ["pandas", "polars", "polars lazy", "arrow table", "narwhals", "narwhals lazy", "duckdb", "narwhals of duckdb"]
KINDS += ["ibis", "modin"]


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_side_columns_are_named(kind, tmp_path):
    frame = CONTAINERS[kind][0](tmp_path, WIDE, NAMES)
    expected = fastem.GaussianMixture(2, random_state=0).fit(X, sample_weight=WEIGHT, errors=ERRORS)
    model = fastem.GaussianMixture(2, random_state=0).fit(frame, sample_weight="w", errors=["e", "f"])
    assert list(model.feature_names_in_) == ["a", "b"] and model.n_iter_ == expected.n_iter_
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_model_takes_them(kind, tmp_path):
    rows = pandas.DataFrame(X, columns=["a", "b"])
    model = fastem.GaussianMixture(2, random_state=0).fit(rows)
    frame = CONTAINERS[kind][0](tmp_path, X, ["a", "b"])
    assert np.array_equal(model.predict(frame), model.predict(rows))
    assert model.score(frame) == pytest.approx(model.score(rows), rel=1e-13)
    assert np.allclose(np.asarray(model.set_output(transform="polars").transform(frame)), model.predict_proba(rows))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(CONTAINERS[kind][0](tmp_path, X, ["a", "c"]))


@pytest.mark.parametrize("column", ["when", "text"])
@pytest.mark.parametrize("package, make", [("narwhals", "from_native"), ("duckdb", "from_df"), ("ibis", "memtable")])
def test_text_and_times_are_refused_by_name(package, make, column):
    times = pandas.to_datetime(["2020-01-01", "2021-01-01"])
    frame = pandas.DataFrame({"a": [1.0, 2.0], "when": times, "text": ["1", "2"]})[["a", column]]
    with pytest.raises(ValueError, match=f"column '{column}' holds"):
        fastem.open_rows(getattr(pytest.importorskip(package), make)(frame))


def test_what_has_no_reader_is_turned_into_what_has():
    pytest.importorskip("narwhals")
    from fastem.rows.sources.frames import known_frame

    rows = pandas.DataFrame({"a": [1.0, 2.0]})
    found = known_frame(polars.from_pandas(rows))  # as one of cuDF, whose arrays refuse to be numpy's
    assert isinstance(found, pandas.DataFrame) and found.equals(rows)
    collected = known_frame(polars.from_pandas(rows).lazy())
    assert isinstance(collected, polars.DataFrame) and collected.to_pandas().equals(rows)


class Unknown:
    """A table of a package that nobody knows."""

    columns = ("a", "b")


def test_a_frame_that_nobody_reads():
    pytest.importorskip("narwhals")
    with pytest.raises(
        TypeError, match=r"Unknown, which neither fastem nor narwhals reads: pass an array, .*to_pandas"
    ):
        fastem.GaussianMixture().fit(Unknown())


def test_narwhals_is_imported_for_other_frames_alone():
    code = (
        "import sys, pandas, fastem; fastem.open_rows(pandas.DataFrame({'a': [1.0, 2.0]})); "
        "assert 'narwhals' not in sys.modules; sys.modules['narwhals.stable.v1'] = None\n"
        "class Frame:\n    columns = ('a',)\n"
        "try:\n    fastem.open_rows(Frame())\n"
        "except ImportError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install narwhals; or pass a frame of pandas" in said.stdout


@pytest.mark.parametrize("kind", ["Float64", "double[pyarrow]"])
def test_nullable_columns_become_no_objects(kind):
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(5000, 8))).astype(kind)
    size = fastem.open_rows(frame).X.nbytes  # also imports what is needed
    tracemalloc.start()
    try:
        fastem.open_rows(frame)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * size  # one copy of float64, and a column


@pytest.mark.parametrize("kind", ["Float32", "float[pyarrow]"])
def test_nullable_columns_of_float32_stay_so(kind):
    frame = pandas.DataFrame({"a": [0.1, None, 2.0], "b": [1.0, 2.0, 3.0]}).astype(kind)
    found = fastem.open_rows(frame).X
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.array([[0.1, 1], [np.nan, 2], [2, 3]], np.float32))
    assert fastem.open_rows(frame.assign(c=pandas.array([1, 2, 3], dtype="Int32"))).X.dtype == np.float64


def test_nullable_columns_beside_others():
    frame = pandas.DataFrame(
        {
            "a": pandas.array([1.5, None, 3.0], dtype="Float64"),
            "b": pandas.array([2**53 + 1, None, -3], dtype="Int64"),
            "c": pandas.array([True, None, False], dtype="bool[pyarrow]"),
            "d": np.array([0.1, np.nan, 2.0], np.float32),
            "e": pandas.arrays.SparseArray([1.0, 0.0, 2.0]),
            "f": [True, False, True],
        }
    )
    expected = [[1.5, 2**53 + 1, 1, np.float32(0.1), 1, 1], [np.nan] * 4 + [0, 0], [3, -3, 0, 2, 2, 1]]
    np.testing.assert_array_equal(fastem.open_rows(frame).X, np.array(expected, np.float64))
    with pytest.raises(ValueError, match="column 't' holds"):
        fastem.open_rows(frame.assign(t=pandas.array(["1", "2", None], dtype="string")))
