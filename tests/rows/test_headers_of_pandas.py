"""What pandas writes of an array: columns that are named by their numbers, and an index that has no name."""

import numpy as np
import pandas as pd
import pytest

from fastem import open_rows
from fastem.rows.sources.files import column_names

X = np.random.default_rng(0).normal(size=(20, 3))
COUNTS = np.random.default_rng(0).poisson(3, (20, 4))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rows.csv"


@pytest.mark.parametrize("given", [X, X[:, :2], COUNTS], ids=["3 columns", "2 columns", "whole numbers"])
def test_columns_that_are_named_by_their_numbers_may_begin_with_a_row(given, path):
    """A curve may begin at (0, 1): such a line is never left out without a word."""
    pd.DataFrame(given).to_csv(path, index=False)
    with pytest.warns(UserWarning, match="the first line, 0, 1.*may be a header"):
        assert open_rows(path).n_rows == len(given) + 1


def test_numbers_of_columns_are_no_names(path):
    """In Python; a text may be either, and names win."""
    pd.DataFrame(X).to_csv(path)
    assert np.array_equal(open_rows(path, columns=[1, 2]).X, X[:, :2])
    assert np.array_equal(open_rows(path, columns=["1", "2"]).X, X[:, 1:])


def test_a_file_that_is_named_twice_is_read_twice(path):
    pd.DataFrame(X, columns=[*"abc"]).to_csv(path, index=False)
    assert open_rows([path, path]).n_rows == 2 * len(X)


@pytest.mark.parametrize("given", [X, X[:, :2], X[:, :1], COUNTS], ids=["3", "2", "1", "whole numbers"])
def test_an_index_without_a_name_is_refused_with_a_way_out(given, path):
    names = [str(i) for i in range(given.shape[1])]
    for frame in (pd.DataFrame(given), pd.DataFrame(given).set_axis([f"a{name}" for name in names], axis=1)):
        frame.to_csv(path)
        chosen = list(map(str, frame.columns))
        python = r"columns=\[" + ", ".join(map(repr, chosen)) + r"\]"
        for both in (path, [path, path], path.parent):
            with pytest.raises(ValueError, match=rf"no name and counts the rows 0, 1.*index=False, or .*{python}"):
                open_rows(both)
        assert np.array_equal(open_rows(path, columns=chosen).X, given)


def test_an_index_of_other_values(path):
    pd.DataFrame(X, index=[f"row {i}" for i in range(20)]).to_csv(path)
    assert column_names(path) == ["x0", "0", "1", "2"]
    with pytest.raises(ValueError, match=r"column 'x0': 'row 0' is text.*columns=\['0', '1', '2'\]"):
        open_rows(path)
    pd.DataFrame(X, index=np.arange(20)[::-1]).to_csv(path)
    assert np.array_equal(open_rows(path, columns=["2", "0"]).X, X[:, [2, 0]])


@pytest.mark.parametrize(
    "text",
    ["0,1\n1,0\n0,0\n1,1\n", "0,1,2\n1,2,3\n2,3,4\n", "0,1,2\n5,0,1\n1,1,0\n", "0\n1.5\n2.5\n", ",0,1\n1,0,0\n0,1,1\n"],
)
@pytest.mark.filterwarnings("ignore:.*may be a header")
def test_rows_that_begin_so(text, path):
    path.write_text(text)
    assert open_rows(path).n_rows == text.count("\n")
