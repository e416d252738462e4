"""Objects in memory: numbers of any type are read, missing ones are missing, and all others are refused by column."""

import datetime
import decimal
import fractions

import numpy as np
import pandas as pd
import polars as pl
import pytest

from fastem import GaussianMixture, GaussianMixtureRegressor, open_rows

N = 1100  # more than the rows that are looked at first
X = np.random.default_rng(0).normal(size=(N, 2))


def late(value):
    """Objects of which one of the last is something else."""
    rows = X.astype(object)
    rows[-2, 1] = value
    return rows


HELD = {
    "array": lambda rows: rows,
    "frame": lambda rows: pd.DataFrame(rows, columns=["a", "b"]),
    "list": lambda rows: rows.tolist(),
    "chunks": lambda rows: [rows[:10], rows[10:]],
}


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize(
    "value, error, words",
    [
        (np.timedelta64(5, "D"), ValueError, "holds timedelta64.* convert the column"),
        (datetime.date(2020, 1, 1), ValueError, "holds date.* convert the column"),
        (pd.Timestamp("2020-01-01"), ValueError, "holds Timestamp.* convert the column"),
        (1j, ValueError, "holds complex numbers"),
        ({"x": 1}, TypeError, "holds what is no number of float64: .* not 'dict'"),
        (10**400, ValueError, "holds what is no number of float64: .*too large"),
    ],
    ids=["timedelta64", "date", "Timestamp", "complex", "dict", "large"],
)
def test_what_is_no_number_is_refused_in_any_row(value, error, words, held):
    with pytest.raises(error, match=rf"X must hold numbers.*column (1|'b') {words}|Complex data not supported"):
        list(open_rows(HELD[held](late(value))))


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("value", [None, pd.NA, np.nan])
def test_missing_objects_are_missing_values(value, held):
    blocks = open_rows(HELD[held](late(value)))
    expected = np.where(np.arange(2 * N).reshape(N, 2) == 2 * N - 3, np.nan, X)
    assert np.array_equal(np.concatenate([rows for rows, _ in blocks]), expected, equal_nan=True)


@pytest.mark.parametrize("value", [decimal.Decimal("0.5"), fractions.Fraction(1, 2), np.float32(0.5), True, 2**60])
def test_numbers_of_any_type(value):
    assert np.concatenate([rows for rows, _ in open_rows(late(value))])[-2, 1] == float(value)


@pytest.mark.parametrize("value, words", [(np.timedelta64(5, "D"), "holds timedelta64"), (1j, "holds complex")])
def test_of_what_is_given_beside(value, words):
    given = late(value)[:, 1]
    for name, use in {
        "sample_weight": lambda: GaussianMixture(1).fit(X, sample_weight=given),
        "covariates": lambda: GaussianMixture(1).fit(X, covariates=given),
        "y": lambda: GaussianMixtureRegressor(1).fit(X, given),
    }.items():
        with pytest.raises(ValueError, match=f"{name} must .*{words}"):
            use()


def test_missing_values_of_pandas_beside():
    bounds = pd.DataFrame(X, columns=["a", "b"]).astype("Float64")
    bounds.iloc[3, 1] = pd.NA
    found = GaussianMixture(1, covariance_type="diag").fit(X, lower=bounds, upper=bounds).log_likelihood_
    assert np.isclose(found, GaussianMixture(1, covariance_type="diag").fit(X).log_likelihood_, rtol=1e-12)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_groups_are_no_rows(make):
    frame = make({"a": [1, 1, 2], "b": [0.5, 1, 2]})
    grouped = frame.groupby("a") if make is pd.DataFrame else frame.group_by("a")
    with pytest.raises(TypeError, match=r"X is a (DataFrame)?GroupBy, whose rows are in groups"):
        open_rows(grouped)
