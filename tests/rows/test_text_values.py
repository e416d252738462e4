"""Text is no number in memory, whatever it reads as; in text files a field is what it reads as, quoted or not."""

import dask.array
import dask.dataframe
import numpy as np
import pandas
import polars
import pyarrow
import pytest

import fastem
from fastem.rows.sources import files

TEXT = ["1.5", "2", "3", "4"] * 300
NUMBERS = np.arange(1200.0)
OBJECTS = np.array([TEXT, NUMBERS], dtype=object).T
LATE = np.array([NUMBERS, NUMBERS], dtype=object).T
LATE[-1, 0] = "7"
FRAME = pandas.DataFrame({"a": TEXT, "b": NUMBERS})
HELD = {
    "array of text": np.array(OBJECTS, dtype=str),
    "array of bytes": np.array(OBJECTS, dtype="S9"),
    "objects": OBJECTS,
    "one text at the end": LATE,
    "list of rows": OBJECTS.tolist(),
    "chunks of objects": [OBJECTS],
    "pandas": FRAME,
    "pandas of objects": FRAME.astype(object),
    "pandas with one text at the end": pandas.DataFrame(LATE, columns=["a", "b"]),
    "polars": polars.from_pandas(FRAME),
    "polars objects": polars.DataFrame({"a": polars.Series(TEXT, dtype=polars.Object), "b": NUMBERS}),
    "polars lazy": polars.from_pandas(FRAME).lazy(),
    "arrow table": pyarrow.table(FRAME),
    "dask frame": dask.dataframe.from_pandas(FRAME, npartitions=2),
    "dask frame of objects": dask.dataframe.from_pandas(FRAME.astype(object), npartitions=2),
    "dask objects": dask.array.from_array(OBJECTS, chunks=(500, 2)),
}


@pytest.mark.parametrize("kind", HELD)
def test_text_in_memory_is_refused_with_a_way_out(kind):
    named = "dtype is" if kind.startswith("array") or kind == "list of rows" else r"columns? ('a'|0)"
    with pytest.raises(ValueError, match=rf"{named}.*(convert it|cast it to float64) first"):
        fastem.open_rows(HELD[kind])


def test_the_text_itself_is_shown():
    with pytest.raises(ValueError, match=r"column 0 holds text \('7'\)\. Text in memory"):
        fastem.open_rows(LATE)


def test_text_in_a_parquet_file(tmp_path):
    FRAME.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=r"column 'a' holds .*string.*cast it to float64 first"):
        fastem.open_rows(tmp_path / "rows.parquet")


@pytest.mark.parametrize("text", [TEXT, np.array(TEXT, object), pandas.Series(TEXT), polars.Series(TEXT)])
def test_weights_and_side_columns_of_text(text):
    X = np.random.default_rng(0).normal(size=(1200, 2))
    with pytest.raises(ValueError, match=r"sample_weight must hold numbers: it holds text.*convert it first"):
        fastem.GaussianMixture(2).fit(X, sample_weight=text)
    if not isinstance(text, list):  # a list of texts names columns
        with pytest.raises(ValueError, match=r"errors must be an array of numbers.*it holds text.*convert it first"):
            fastem.GaussianMixture(2).fit(X, errors=text)


def test_objects_that_are_numbers_are_numbers():
    X = np.array([[1, 2.5], [np.float32(3), None], [True, 4]], dtype=object)
    assert np.array_equal(fastem.open_rows(X).head(3), [[1, 2.5], [3, np.nan], [1, 4]], equal_nan=True)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_quoted_field_of_a_text_file_is_what_it_reads_as(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(files, "AT_ONCE", 1e9 if at_once else 0)
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n" + "".join(f'"{text}",{number}\n' for text, number in zip(TEXT, NUMBERS)))
    found = np.concatenate([X for X, _ in fastem.open_rows(path)])
    assert np.array_equal(found, np.stack([np.array(TEXT, float), NUMBERS], axis=1))
