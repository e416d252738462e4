"""Side columns come with every source of rows, in the same blocks, by name or as an array; weights are one of them."""

import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest
from containers import CONTAINERS, frame, pieces

from fastem import FactorAnalysis, GaussianMixture, MixedMixture, MixtureOfRegressions, OutlierDetector
from fastem.rows import blocks
from fastem.rows.side_columns import SideBlocks, named_columns
from fastem.rows.sources.open_beside import open_beside
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.statistics import Statistics

NAMES = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 4096 rows, so that there are several."""
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)


def rows(n=10_011, d=3, seed=0):
    return np.random.default_rng(seed).uniform(1, 2, (n, d))


def all_of(opened):
    return np.vstack([X for X, _ in opened])


@pytest.mark.parametrize("kind", CONTAINERS)
def test_an_array_beside_any_source(kind, tmp_path):
    make, named, _ = CONTAINERS[kind]
    X, E = rows(), rows(d=2, seed=1)
    opened, width = open_beside(make(tmp_path, X, NAMES), {"errors": E, "group": E[:, 0]})
    assert opened.shape == (len(X), 6) and width == {"errors": 2, "group": 1}
    assert np.array_equal(all_of(opened), np.hstack([X, E, E[:, :1]]))
    if named:
        assert list(opened.names) == [*NAMES, "errors 0", "errors 1", "group 0"]


@pytest.mark.parametrize("kind", [name for name, (_, named, _) in CONTAINERS.items() if named])
def test_names_of_columns_of_any_table(kind, tmp_path):
    X = rows()
    opened, width = open_beside(CONTAINERS[kind][0](tmp_path, X, NAMES), {"errors": ["b", "a"]})
    assert width == {"errors": 2} and list(opened.names) == ["c", "b", "a"]
    assert np.array_equal(all_of(opened), X[:, [2, 1, 0]])


@pytest.mark.parametrize("kind", [name for name, (_, named, _) in CONTAINERS.items() if named])
def test_weights_are_a_column_of_any_table(kind, tmp_path):
    X = rows()
    opened = open_rows(CONTAINERS[kind][0](tmp_path, X, NAMES), "b")
    assert opened.weighted and opened.shape == (len(X), 2) and list(opened.names) == ["a", "c"]
    assert np.isclose(opened.total_weight, X[:, 1].sum(), rtol=1e-14)
    models = [
        GaussianMixture(2, random_state=0, max_iter=2, tol=0).fit(*given)
        for given in ((opened,), (X[:, [0, 2]], None, X[:, 1]))
    ]
    assert models[0].history_ == models[1].history_


def test_dask():
    array_of, table_of = pytest.importorskip("dask.array").from_array, pytest.importorskip("dask.dataframe").from_pandas
    X, E = rows(), rows(d=2, seed=1)
    lazy = array_of(X, chunks=(4001, 2))
    for array in (E, array_of(E, chunks=(3000, 1))):
        opened, _ = open_beside(lazy, {"errors": array})
        assert np.array_equal(all_of(opened), np.hstack([X, E]))
    table = table_of(frame(X, NAMES), npartitions=3)
    opened, _ = open_beside(table, {"errors": "a"}, "c")
    assert np.array_equal(all_of(opened), X[:, [1, 0]]) and np.isclose(opened.total_weight, X[:, 2].sum())
    with pytest.raises(TypeError, match="data frame, so errors must be names"):
        open_beside(table, {"errors": E})
    with pytest.raises(ValueError, match="errors has 2 rows, but X has 10011"):
        open_beside(lazy, {"errors": E[:2]})


def test_models_take_all_columns_and_others_the_values():
    X = rows()
    side = SideBlocks(open_rows(X), 2, lambda model: model if hasattr(model, "all") else None)

    class Sum:
        def e_step(self, X, sample_weight=None):
            return Statistics(sums=X.sum(axis=0))

    wide = Sum()
    wide.all = True
    assert side.reduce(wide, 1).sums.shape == (3,) and side.reduce(Sum(), 1).sums.shape == (2,)
    assert side.head(3).shape == (3, 2) and side.spaced_rows().shape[1] == 2
    assert np.array_equal(side.whole().X, X[:, :2]) and side.take(np.arange(4))[0].shape == (4, 2)


@pytest.mark.parametrize(
    "given, words",
    [
        ({"errors": "z"}, "errors names the column 'z', which X does not have. Its columns are a, b, c."),
        ({"errors": ["a", "a"]}, "errors names the column 'a', which is named already"),
        ({"errors": "a", "group": "a"}, "group names the column 'a', which is named already"),
        ({"errors": NAMES}, "errors name all columns of X"),
        ({"errors": np.ones((3, 1))}, "errors has 3 rows, but X has 5. Give one for each row."),
        ({"errors": np.ones((5, 1, 1, 1))}, "errors must have one or two dimensions"),
        ({"errors": [[1, "x"]]}, "errors must be an array of numbers, or names of columns of X"),
    ],
)
def test_what_is_refused(given, words):
    table = frame(rows(5), NAMES)
    with pytest.raises(ValueError, match=re.escape(words)):
        open_beside(table, given)


def test_names_need_a_table():
    for X in (rows(5), [rows(5)]):
        with pytest.raises(TypeError, match="errors names the column 'a', but the columns of X have no names"):
            open_beside(X, {"errors": "a"})
        with pytest.raises(TypeError, match="sample_weight names the column 'a'"):
            open_rows(X, "a")


@pytest.mark.parametrize("n", [9_000, 11_000])
def test_an_array_of_another_length_than_a_stream(n):
    opened, _ = open_beside(lambda: iter(pieces(rows())), {"errors": np.ones((n, 1))})
    with pytest.raises(ValueError, match=f"errors has {n} rows, but X has 10011"):
        all_of(opened)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, lambda table: [pd.DataFrame(table)]])
def test_weights_in_a_column_are_checked(make):
    with pytest.raises(ValueError, match=r"Negative values|row 1 .*column 'w' is -1"):
        open_rows(make({"x": [1.0, 2.0], "w": [1.0, -1.0]}), "w")


TABLE = pd.DataFrame(np.column_stack([rows(40)[:, :2], np.ones((40, 2))]), columns=["a", "b", "ex", "ey"])
GROUPS = np.array(["x", "y"] * 20)


@pytest.mark.parametrize(
    "names", [TABLE.columns[2:], np.array(["ex", "ey"]), np.array(["ex", "ey"], object), ("ex", "ey")], ids=type
)
def test_names_of_columns_in_any_list(names):
    model = GaussianMixture(2, random_state=0)
    expected = model.fit(TABLE, errors=["ex", "ey"]).means_
    np.testing.assert_array_equal(model.fit(TABLE, errors=names).means_, expected)
    np.testing.assert_array_equal(model.predict(TABLE, errors=names), model.predict(TABLE, errors=["ex", "ey"]))


def test_text_of_each_row_is_no_list_of_names():
    for groups in (GROUPS, pd.Series(GROUPS), pd.Index(GROUPS)):
        with pytest.raises(ValueError, match=r"errors must be an array of numbers, or names .* it holds text"):
            open_beside(TABLE, {"errors": groups})


AS_TABLES = [lambda table: table, pl.from_pandas, pyarrow.Table.from_pandas]


@pytest.mark.parametrize("as_table", AS_TABLES)
@pytest.mark.parametrize(
    "column, holds",
    [(GROUPS, ".*[sS]tr.*|object"), (pd.Categorical(GROUPS), ".*"), (pd.date_range("2020", periods=40), ".*time.*")],
)
def test_a_column_that_holds_no_numbers_is_refused_as_what_it_is_named_for(as_table, column, holds):
    table = as_table(TABLE.assign(k=column))
    with pytest.raises(
        ValueError, match=rf"labels names the column 'k', which holds ({holds}).* whole numbers from 0 to"
    ):
        GaussianMixture(2).fit(table, labels="k")
    with pytest.raises(ValueError, match=rf"covariates names the column 'k', which holds ({holds}).* convert "):
        GaussianMixture(2).fit(table, covariates=["ex", "k"])
    with pytest.raises(ValueError, match="sample_weight names the column 'k', which holds"):
        GaussianMixture(2).fit(table, sample_weight="k")


def test_of_a_regression_as_well():
    with pytest.raises(ValueError, match="covariates names the column 'k', which holds"):
        MixtureOfRegressions(2).fit(TABLE.assign(k=GROUPS), TABLE["a"], covariates="k")


def test_a_column_for_weights_and_for_something_else(tmp_path):
    TABLE.to_csv(tmp_path / "x.csv", index=False)
    for X in (TABLE, tmp_path / "x.csv"):
        with pytest.raises(ValueError, match="errors names the column 'ex', which sample_weight names already"):
            GaussianMixture(2).fit(X, errors=["ex", "ey"], sample_weight="ex")


def test_a_column_of_text_of_dask_is_refused_as_well():
    import dask.dataframe

    frame = dask.dataframe.from_pandas(TABLE.assign(k=GROUPS).astype({"k": "string"}), npartitions=2)
    with pytest.raises(ValueError, match="labels names the column 'k', which holds str"):
        GaussianMixture(2).fit(frame, labels="k")


def test_names_are_not_looked_for_in_numbers():
    """A list of all numbers of an array took longer than a fit."""

    class Unlisted(np.ndarray):
        def tolist(self):
            raise AssertionError("a list of numbers was made")

    assert named_columns(np.zeros((3, 2)).view(Unlisted)) is None
    assert named_columns(np.zeros(3).view(Unlisted)) is None


def test_a_column_of_weights_cannot_be_left_out_of_the_same_rows():
    """A fit, and then an error about names that the fit had not seen."""
    for model, method in (
        (GaussianMixture(2), "fit_predict"),
        (GaussianMixture(2), "fit_transform"),
        (FactorAnalysis(1), "fit_transform"),
        (OutlierDetector(), "fit_predict"),
    ):
        with pytest.raises(ValueError, match=f"{method} cannot leave out the column that sample_weight='ex' names"):
            getattr(model, method)(TABLE, sample_weight="ex")


@pytest.mark.parametrize("make", [lambda: TABLE.to_records(), lambda: [TABLE.to_records()[:, None]]])
def test_records_are_no_matrix(make):
    with pytest.raises(ValueError, match=r"records with the fields index, a, b, ex, ey. Pass pandas.DataFrame\(X\)"):
        open_rows(make())


@pytest.mark.parametrize("make", [lambda table: table, lambda table: lambda: iter([table[:20], table[20:]])])
def test_columns_of_equal_names_are_all_values(make):
    given = rows(40, 4)
    twice = make(pd.DataFrame(given, columns=["a", "a", "b", "w"]))
    for opened in (open_rows(twice, "w"), open_beside(twice, {"covariates": "w"})[0].columns(np.arange(3))):
        assert np.array_equal(all_of(opened), given[:, :3]) and list(opened.names) == ["a", "a", "b"]


def test_a_name_that_several_columns_have():
    twice = pd.DataFrame(rows(40), columns=["w", "w", "b"])
    words = "names the column 'w', but X has several columns named 'w'. Rename them."
    for fit in (
        lambda: GaussianMixture(2).fit(twice, sample_weight="w"),
        lambda: GaussianMixture(2).fit([twice], labels="w"),
        lambda: MixtureOfRegressions(2).fit(twice, rows(40)[:, 0], covariates="w"),
        lambda: MixedMixture(2, kinds={"gaussian": ["w", "b"]}).fit(twice),
    ):
        with pytest.raises(ValueError, match=re.escape(words)):
            fit()


@pytest.mark.parametrize("as_table", AS_TABLES)
def test_columns_that_belong_to_those_of_X_stand_as_they_do(as_table):
    """A frame of errors or bounds in another order would be taken by position."""
    X = pd.DataFrame(rows(40), columns=NAMES)
    for role in ("errors", "lower", "upper"):
        for order in (["c", "b", "a"], ["a", "b_err", "b"]):
            other = as_table(X.set_axis(order, axis=1))
            with pytest.raises(ValueError, match=f"{role} has column '[bc]' in the place of '[ac]' of X"):
                open_beside(as_table(X), {role: other})
        for order in (NAMES, ["a_err", "b_err", "c_err"], ["a", "y", "c"]):
            open_beside(as_table(X), {role: as_table(X.set_axis(order, axis=1))})
    open_beside(as_table(X), {"covariates": as_table(X[["c", "b", "a"]])})  # of which none belongs to one of X


def test_bounds_in_two_orders_beside_an_array():
    lower = pd.DataFrame(rows(40), columns=NAMES)
    with pytest.raises(ValueError, match="upper has column 'c' in the place of 'a' of lower"):
        GaussianMixture(1, covariance_type="diag").fit(rows(40), lower=lower, upper=lower[["c", "b", "a"]] + 1)


def test_trials_in_another_order_than_targets():
    y = pd.DataFrame(np.zeros((40, 2)), columns=["p", "q"])
    model = MixtureOfRegressions(1, family="binomial")
    with pytest.raises(ValueError, match="trials has column 'q' in the place of 'p' of y"):
        model.fit(rows(40), y, trials=y[["q", "p"]] + 2)
