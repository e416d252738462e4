"""Dates, times and durations beside numbers: refused wherever they come from, with the column and the way out."""

import datetime

import numpy as np
import pytest

from fastem import GaussianMixture

N = 30
DAYS = np.datetime64("2021-03-01", "us") + np.arange(N).astype("timedelta64[D]")
NUMBERS = np.random.default_rng(0).normal(size=N)
REFUSED = r"column 't' .*holds (values of type )?.*A date or a duration is a number only in a unit .*\(t - t.min\(\)\)"


def frames():
    pd = pytest.importorskip("pandas")
    day = pd.Series(DAYS)
    columns = {
        "date": day,
        "zone": day.dt.tz_localize("UTC"),
        "duration": day - day[0],
        "period": day.dt.to_period("M"),
        "categories": day.astype("category"),
        "objects": day.dt.date,
    }
    return {name: pd.DataFrame({"a": NUMBERS, "t": column}) for name, column in columns.items()}


@pytest.mark.parametrize("kind", ["date", "zone", "duration", "period", "categories", "objects"])
@pytest.mark.parametrize("held", ["frame", "list of frames", "function", "prediction"])
def test_of_pandas(kind, held):
    frame = frames()[kind]
    with pytest.raises(ValueError, match=REFUSED):
        if held == "prediction":
            GaussianMixture(1).fit(frame.assign(t=1.0 + NUMBERS**2)).predict(frame)
        rows = {"frame": frame, "list of frames": [frame, frame], "function": lambda: iter([frame])}
        GaussianMixture(1).fit(rows[held])


@pytest.mark.parametrize("kind", ["date", "zone", "duration"])
@pytest.mark.parametrize("held", ["table", "batches", "Parquet", "Feather", "dictionary"])
def test_of_arrow(kind, held, tmp_path):
    pa = pytest.importorskip("pyarrow")

    table = pa.Table.from_pandas(frames()[kind])
    path = tmp_path / held.lower()
    if held == "Parquet":
        pa.parquet.write_table(table, path.with_suffix(".parquet"))
    if held == "Feather":
        pa.feather.write_feather(table, path.with_suffix(".feather"))
    rows = {
        "table": table,
        "batches": lambda: iter(table.to_batches()),
        "Parquet": path.with_suffix(".parquet"),
        "Feather": path.with_suffix(".feather"),
        "dictionary": table.set_column(1, "t", table["t"].dictionary_encode()),
    }
    with pytest.raises(ValueError, match=REFUSED):
        GaussianMixture(1).fit(rows[held])


@pytest.mark.parametrize("kind", ["date", "zone", "duration"])
def test_of_polars(kind):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": NUMBERS, "t": DAYS - DAYS[0] if kind == "duration" else DAYS})
    if kind == "zone":
        frame = frame.with_columns(pl.col("t").dt.replace_time_zone("UTC"))
    for rows in (frame, frame.lazy(), [frame, frame]):
        with pytest.raises(ValueError, match=REFUSED):
            GaussianMixture(1).fit(rows)


def test_of_dask():
    dd = pytest.importorskip("dask.dataframe")
    for kind in ("date", "duration"):
        with pytest.raises(ValueError, match=REFUSED):
            GaussianMixture(1).fit(dd.from_pandas(frames()[kind], npartitions=2))


def test_of_arrays():
    rows = [[0.5, datetime.date(2020, 1, 1)], [0.7, datetime.date(2020, 1, 2)]]
    for X in (rows, np.array(rows, dtype=object), np.array([[1.0, np.datetime64("2020")]] * 3, dtype=object)):
        with pytest.raises(ValueError, match=r"column 1 holds (date|datetime64)"):
            GaussianMixture(1).fit(X)
    with pytest.raises(ValueError, match=r"dtype is datetime64.*\(t - t.min\(\)\)"):
        GaussianMixture(1).fit(DAYS[:, None])


def test_numbers_in_other_columns_are_taken():
    """Nullable integers, categories of numbers and truth values are no times."""
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"time": NUMBERS, "date": pd.Series([1, 2, 3] * 10, dtype="Int64")})
    frame["codes"] = frame["date"].astype("int64").astype("category")
    frame["yes"] = NUMBERS > 0
    assert GaussianMixture(1).fit(frame).means_.shape == (1, 4)
