"""Files become matrices; what cannot become one is reported with its place and a way out."""

import builtins
import decimal
import gzip
import sys

import numpy as np
import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from fastem import open_rows
from fastem.datasets import load_iris
from fastem.rows.sources.arrow_files import _checksums, _require_same_rows
from fastem.rows.sources.files import column_names
from fastem.rows.sources.text_files import DelimitedFile


@pytest.fixture
def write(tmp_path):
    """Writes a file with this content and returns its path."""

    def _write(content, name="table.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return _write


def rows_of(blocks):
    return np.concatenate([X for X, _ in blocks])


def read(path, columns=None):
    """All rows of a file, and the names of their columns where it has some."""
    blocks = open_rows(path, columns=columns)
    return rows_of(blocks), None if blocks.names is None else list(blocks.names)


NUMBERS = [[1.5, -2.0], [3e-3, 40.0], [5.0, 6.25]]


@pytest.mark.parametrize(
    "text",
    [
        "1.5,-2\n3e-3,40\n5,6.25\n",
        "1.5, -2\n3e-3, 40\n5, 6.25",
        "1.5;-2\n3e-3;40\n5;6.25\n",
        "1.5\t-2\n3e-3\t40\n5\t6.25\n",
        "1.5 -2\n 3e-3   40 \n5\t6.25\n",
        "1.5,-2\r\n3e-3,40\r\n5,6.25\r\n",
        '"1.5","-2"\n"3e-3","40"\n"5","6.25"\n',
        "\n1.5,-2\n\n  \n3e-3,40\n5,6.25\n\n",
        "\ufeff1.5,-2\n3e-3,40\n5,6.25\n",
    ],
)
def test_numbers_without_a_header(write, text):
    path = write(text)
    data, names = read(path)
    assert data.tolist() == NUMBERS and data.dtype == np.float64
    assert names is None and column_names(path) == ["x0", "x1"]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ", ["a", "b"]),
        ('"a","b, c"', ["a", "b, c"]),
        ("a,", ["a", "x1"]),
        ("\n\na,b", ["a", "b"]),
        ("\ufeffa,b", ["a", "b"]),
        ("# a,b", ["a", "b"]),
        ("#1,2", ["1", "2"]),
    ],
)
def test_a_header_is_recognised(write, header, names):
    path = write(header + "\n1.5,-2\n3e-3,40\n5,6.25\n")
    data, found = read(path)
    assert data.tolist() == NUMBERS
    assert found == names == column_names(path)


def test_what_numpy_writes(tmp_path):
    np.savetxt(tmp_path / "table.txt", NUMBERS, header="first second")
    data, names = read(tmp_path / "table.txt")
    assert data.tolist() == NUMBERS and names == ["first", "second"]


@pytest.mark.parametrize("text", ["1\n2\n3\n", "a\n1\n2\n3\n", "of all flowers\n1\n2\n3\n"])
def test_one_column(write, text):
    data, _ = read(write(text))
    assert data.tolist() == [[1.0], [2.0], [3.0]]


def test_one_row(write):
    assert read(write("1,2\n"))[0].tolist() == [[1.0, 2.0]]
    assert read(write("a,b\n1,2\n"))[0].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("missing", ["", " ", "NA", "nan", "NaN", "N/A", "null"])
def test_missing_values_are_nan(write, missing):
    data, _ = read(write(f"a,b\n1,2\n{missing},3\n4,{missing}\n"))
    np.testing.assert_array_equal(data, [[1, 2], [np.nan, 3], [4, np.nan]])


def test_many_rows_are_read_exactly(tmp_path):
    expected = np.random.default_rng(0).normal(size=(5000, 3)) * [1e-12, 1, 1e12]
    text = "\n".join(",".join(map(repr, row)) for row in expected.tolist())
    (tmp_path / "table.csv").write_text(text)
    np.testing.assert_array_equal(read(tmp_path / "table.csv")[0], expected)


# ---------------------------------------------------------------------------------------------------------------------
# Columns


@pytest.mark.parametrize(
    ("columns", "numbers", "names"),
    [
        (["b"], [2, 5], ["b"]),
        (["c", "a"], [[3, 1], [6, 4]], ["c", "a"]),
        ([2, 0], [[3, 1], [6, 4]], ["c", "a"]),
        (["2", "a"], [[3, 1], [6, 4]], ["c", "a"]),
    ],
)
def test_columns_by_name_and_number(write, columns, numbers, names):
    data, found = read(write("a,b,c\n1,2,3\n4,5,6\n"), columns)
    np.testing.assert_array_equal(data, np.reshape(numbers, (2, -1)))
    assert found == names


def test_a_name_wins_over_a_number(write):
    path = write("# 1,0\n5,6\n")
    assert read(path, ["1"])[0].tolist() == [[5.0]]


def test_columns_leave_text_out(write):
    path = write('kind,size,note\nred,1,"x, y"\nblue,2,z\n')
    assert read(path, ["size"])[0].tolist() == [[1.0], [2.0]]
    path = write("red,1,2\nblue,3,4\n")
    assert read(path, [1, 2])[0].tolist() == [[1.0, 2.0], [3.0, 4.0]]


# ---------------------------------------------------------------------------------------------------------------------
# What is wrong with a text file


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        ("", None, ["is empty"]),
        ("\n \n", None, ["blank lines only"]),
        ("a,b\n", None, ["only a header", "a, b"]),
        ("a,b\n1,2\n3\n", None, ["line 3", "1 field ", "header (line 1) has 2"]),
        ("a,b\n1,2\n\n3,4,5\n", None, ["line 4", "3 fields", "header (line 1) has 2"]),
        ("1,2\n3,4,5\n6,7\n", None, ["line 2", "3 fields", "most lines have 2"]),
        ("a,b,c\n1,2\n3,4\n", None, ["line 2", "2 fields", "header (line 1) has 3"]),
        ("a,b\n1,2\n3,4,5\n", ["a"], ["line 3", "3 fields"]),
        ("a,b\n1,2\n3,x4\n5,6\n", None, ["line 3", "column 'b'", "'x4'", "not a number", "correct it"]),
        ("a,b\n1,2\n3,1_000\n5,6\n", None, ["line 3", "column 'b'", "'1_000'"]),
        ("a,kind\n1,red\n2,blue\n", None, ["line 2", "column 'kind'", "'red'", "--columns a"]),
        ("a,kind,b\n1,red,3\n2,blue,4\n", None, ["--columns a,b"]),
        ('kind,"a, b"\nred,1\nblue,2\n', None, ["--columns 1"]),
        ("kind,a b\nred,1\nblue,2\n", None, ["--columns 'a b'"]),
        ("kind,name\nred,x\nblue,y\n", None, ["no column holds numbers"]),
        ("x,2019\n1,2\n3,4\n", None, ["line 1", "'x'", "header", "'2019'"]),
        ("a;b\n1,5;2,5\n", None, ["line 2", "column 'a'", "decimal comma"]),
        ("1,5;2,5\n3,5;4\n", None, ["line 1", "decimal comma"]),
        (b"a,b\n1,\xe9\n", None, ["UTF-8"]),
        (b"\xff\xfea\x00,\x00b\x00", None, ["UTF-8"]),
        (b"a,b\n1,2\n3,\x00\n", None, ["line 3", "zero byte"]),
        ("a,b\n1,2\n", ["c"], ["no column 'c'", "a, b", "0 to 1"]),
        ("a,b\n1,2\n", [2], ["no column 2", "a, b"]),
        ("a,b\n1,2\n", ["-1"], ["no column '-1'"]),
        ("a,b\n1,2\n", ["a", "0"], ["'0'", "twice"]),
        ("a,b\n1,2\n", [], ["no columns were chosen", "a, b"]),
        ("a,b\n1,2\n", "a", ["columns='a'", "list"]),
        ("a,a\n1,2\n", ["a"], ["several columns named 'a'", "0, 1"]),
    ],
)
def test_mistakes_in_text(write, content, columns, words):
    path = write(content)
    with pytest.raises(ValueError) as caught:
        read(path, columns)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert "table.csv" in message or columns == "a"


def test_a_slip_far_down_is_found(write):
    lines = ["a,b"] + ["1,2"] * 3000
    lines[2345] = "1,oops"
    with pytest.raises(ValueError, match="line 2346, column 'b': 'oops' is not a number"):
        read(write("\n".join(lines)))
    lines[2345] = "1"
    with pytest.raises(ValueError, match="line 2346 has 1 field where"):
        read(write("\n".join(lines)), ["a"])


def test_files_that_are_none(tmp_path, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv: no such file, nor .* \(faithful, iris\)"):
        read("nowhere.csv")
    with pytest.raises(ValueError, match=r"does not read this kind of file\. Save the sheet as CSV"):
        read(write("1", "table.xlsx"))
    with pytest.raises(ValueError, match="no suffix"):
        read(write("1", "table"))


# ---------------------------------------------------------------------------------------------------------------------
# Shipped data


def test_shipped_data_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, names = read("iris")
    np.testing.assert_array_equal(data, load_iris().data)
    assert names == load_iris().columns == column_names("iris")
    data, names = read("faithful", ["waiting"])
    assert data.shape == (272, 1) and names == ["waiting"]


def test_a_file_wins_over_shipped_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris").write_text("1,2\n")
    with pytest.raises(ValueError, match="no suffix"):
        read("iris")


# ---------------------------------------------------------------------------------------------------------------------
# .npy


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f4", "f4"), (">f4", "f4"), ("f8", "f8"), (">f8", "f8"), ("f2", "f8"), ("i8", "f8"), ("?", "f8")],
)
def test_npy(tmp_path, dtype, expected):
    saved = np.array([[0, 1, 1], [1, 0, 1]], dtype=dtype)
    np.save(tmp_path / "table.npy", saved)
    blocks = open_rows(tmp_path / "table.npy")
    assert blocks.dtype == np.dtype(expected) and blocks.dtype.isnative
    data, names = read(tmp_path / "table.npy")
    assert data.dtype == blocks.dtype
    np.testing.assert_array_equal(data, saved)
    assert names is None and column_names(tmp_path / "table.npy") == ["x0", "x1", "x2"]
    np.testing.assert_array_equal(read(tmp_path / "table.npy", [2, "x0"])[0], saved[:, [2, 0]])


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.arange(3.0), ["(3,)", "2 dimensions", "reshape(-1, 1)"]),
        (np.zeros((2, 2, 2)), ["(2, 2, 2)", "2 dimensions"]),
        (np.zeros((0, 2)), ["(0, 2)", "at least one row"]),
        (np.eye(2) * 1j, ["complex128"]),
        (np.array([["a", "b"]]), ["<U1"]),
        (np.array([[1, "b"]], dtype=object), ["not a readable .npy"]),
    ],
)
def test_npy_of_the_wrong_kind(tmp_path, array, words):
    np.save(tmp_path / "table.npy", array, allow_pickle=True)
    with pytest.raises(ValueError) as caught:
        read(tmp_path / "table.npy")
    assert all(word in str(caught.value) for word in ["table.npy", *words]), caught.value


def test_npy_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (builtins.exec, ("raise SystemExit('unpickled')",))

    np.save(tmp_path / "table.npy", np.array([[Bomb()]]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"not a readable \.npy"):
        read(tmp_path / "table.npy")


@pytest.mark.parametrize("length", [3, 8, 40, 200])
def test_npy_cut_short(tmp_path, length):
    np.save(tmp_path / "table.npy", np.eye(10))
    content = (tmp_path / "table.npy").read_bytes()
    (tmp_path / "table.npy").write_bytes(content[:length])
    with pytest.raises(ValueError, match=r"table\.npy is not a readable \.npy"):
        read(tmp_path / "table.npy")


# ---------------------------------------------------------------------------------------------------------------------
# Parquet, Feather, Arrow


@pytest.fixture(params=["table.parquet", "table.feather", "table.arrow"])
def save_arrow(request, tmp_path):
    """Writes a pyarrow table as one kind of file and returns its path."""

    def _save(**columns):
        path, table = tmp_path / request.param, pyarrow.table(columns)
        if path.suffix == ".parquet":
            pyarrow.parquet.write_table(table, path)
        elif path.suffix == ".feather":
            pyarrow.feather.write_feather(table, path)
        else:
            with pyarrow.ipc.new_stream(path, table.schema) as stream:
                stream.write_table(table)
        return path

    return _save


def test_arrow(save_arrow):
    path = save_arrow(a=np.array([1, 2]), s=["u", "v"], **{"b.c": [0.5, None]}, d=[True, False])
    data, names = read(path, ["d", "b.c", "0"])
    np.testing.assert_array_equal(data, [[1, 0.5, 1], [0, np.nan, 2]])
    assert data.dtype == np.float64
    assert names == ["d", "b.c", "a"]
    assert column_names(path) == ["a", "s", "b.c", "d"]


def test_arrow_float32(save_arrow):
    path = save_arrow(a=np.float32([1, 2]), b=np.float32([3, 4]), c=np.array([5, 2**60 + 1]))
    assert read(path, ["a", "b"])[0].dtype == np.float32
    assert read(path)[0].dtype == np.float64


def test_arrow_mistakes(save_arrow):
    path = save_arrow(a=[1, 2], s=["u", "v"], b=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"column 's' holds values of type string, not numbers; .*--columns a,b"):
        read(path)
    with pytest.raises(ValueError, match="no column 'z'; its columns are a, s, b"):
        read(path, ["z"])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        read(path, ["a", "b"])
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="cannot be read by pyarrow"):
        read(path)


def test_arrow_without_rows(save_arrow):
    with pytest.raises(ValueError, match="no rows"):
        read(save_arrow(a=np.empty(0)))


def test_a_column_of_nulls_holds_no_numbers(save_arrow):
    path = save_arrow(a=[1.0, 2.0], n=pyarrow.nulls(2))
    with pytest.raises(ValueError, match=r"column 'n' holds values of type null, not numbers; .*--columns a"):
        read(path)
    assert np.isnan(read(save_arrow(n=pyarrow.nulls(2, pyarrow.float32())))[0]).all()


def test_arrow_types_are_numbers(save_arrow):
    decimals = pyarrow.array([decimal.Decimal("1.25"), None], pyarrow.decimal128(6, 2))
    path = save_arrow(i=np.array([1, -2], np.int8), u=np.array([3, 2**63], np.uint64), b=[True, None], d=decimals)
    expected = [[1, 3, 1, 1.25], [-2, 2.0**63, np.nan, np.nan]]
    np.testing.assert_array_equal(read(path)[0], expected)


def test_the_index_of_a_data_frame_is_no_column(save_arrow):
    data, names = read(save_arrow(a=[1.0, 2.0], __index_level_0__=[5, 7]))  # as pandas writes it
    assert names == ["a"] and data.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("index", [None, pandas.Index([5, 7], name="id"), pandas.Index([5, 7])])
def test_no_index_of_pandas_is_a_column(tmp_path, index):
    pandas.DataFrame({"a": [1.0, 2.0]}, index=index).to_parquet(tmp_path / "rows.parquet")
    data, names = read(tmp_path / "rows.parquet")
    assert names == ["a"] and data.tolist() == [[1.0], [2.0]]


# ---------------------------------------------------------------------------------------------------------------------
# Folders, and several files


@pytest.mark.parametrize("header", ["", "a,b\n", "# a,b\n", "\n\na,b\n"])
def test_text_files_lose_no_row(write, tmp_path, header):
    write(header + "1,2\n3,\n", "0.csv")
    write(header + "5,NA\n 7 ,8\n", "1.csv")
    found = open_rows(tmp_path)
    np.testing.assert_array_equal(rows_of(found), [[1, 2], [3, np.nan], [5, np.nan], [7, 8]])
    assert list(found.names) == column_names(tmp_path) == (["a", "b"] if header else ["x0", "x1"])


FORMS = [" NA", " ", "nA", "\u00a03.5", "\u0661\u0662", "1\n   \n5,6"]  # of a field; behind the last a line of blanks


@pytest.mark.parametrize("before", [0, 2000], ids=["at once", "far down"])  # pyarrow stumbles when opened, or later
@pytest.mark.parametrize("field", FORMS)
def test_a_text_file_holds_the_same_rows_alone_and_among_others(write, tmp_path, field, before):
    text = "a,b\n" + f"1.{'0' * 1000},2\n" * before + f"3,{field}\n4,5\n"
    (tmp_path / "year=2024").mkdir()
    alone = rows_of(open_rows(write(text, "year=2024/0.csv")))
    assert alone.shape[0] >= before + 2
    for columns in (["a", "b", "year"], ["b", "year"]):
        found = rows_of(open_rows(tmp_path, columns=columns))
        np.testing.assert_array_equal(found[:, :-1], alone[:, -len(columns) + 1 :])
        assert (found[:, -1] == 2024).all()


def numbered(start, stop, digits=1000):
    """Lines of three fields, which number themselves."""
    return "".join(f"{i}.{'0' * digits},{i},x\n" for i in range(start, stop))


@pytest.mark.parametrize("columns", [["a", "b"], ["b"]])
@pytest.mark.parametrize("last", ["9000, NA,x\n", "9000,1,x\n"], ids=["stumbles", "reads on"])
def test_rows_that_begin_with_a_sign_are_comments_in_a_folder_too(write, tmp_path, columns, last):
    text = "a,b,t\n" + numbered(0, 3000) + "#77,77,x\n" + numbered(3001, 6001) + last
    alone = rows_of(open_rows(write(text, "0.csv"), columns=columns))
    assert len(alone) == 6001 and (alone[:-1, -1] == [*range(3000), *range(3001, 6001)]).all()
    blocks = open_rows(tmp_path, columns=columns)
    for _ in range(2):  # passes
        np.testing.assert_array_equal(rows_of(blocks), alone)


def test_texts_that_begin_with_a_sign_are_comments_in_a_folder_too(write, tmp_path):
    path = write("t,b\n" + "x,1\n" * 200 + "#x,2\n" + "#N/A,3\nx,4\n", "0.csv")
    for given in (path, tmp_path):
        assert rows_of(open_rows(given, columns=["b"]))[200:].tolist() == [[3], [4]]


def test_no_row_is_doubled_behind_a_break_of_a_line_in_quotes(write, tmp_path):
    write(
        "a,b,t\n" + numbered(0, 150) + '150,150,"x\ny"\n' + numbered(151, 3000) + "4000, NA,x\n4001,4001,x\n", "0.csv"
    )
    with pytest.raises(ValueError, match=r"0\.csv, line 153 has 1 field where the header .* has 3"):
        rows_of(open_rows(tmp_path, columns=["a", "b"]))
    path = write("a,b\n1,2\n7,3\n4,5\n", "0.csv")
    _require_same_rows(DelimitedFile(path), ["a"], 2, _checksums([np.array([1.0, 7.0])], [0]))
    with pytest.raises(ValueError, match=r"0\.csv: its first 2 rows, .* without breaks of lines in quotes"):
        _require_same_rows(DelimitedFile(path), ["a"], 2, _checksums([np.array([1.0, 4.0])], [0]))


@pytest.mark.parametrize("field", ["nan(7)", "nan(ind)"])
def test_no_form_of_nan_is_a_missing_value_by_its_folder(write, tmp_path, field):
    path = write("a,b\n" + "1,2\n" * 200 + f"3,{field}\n", "0.csv")
    for given in (path, tmp_path):
        with pytest.raises(ValueError, match=r"0\.csv, line 202, column 'b': 'nan\(.*\)' is not a number"):
            rows_of(open_rows(given))


def test_columns_that_are_not_read_may_hold_anything(write, tmp_path):
    path = write("a,b\n1,2\nx,4\n5,6\n", "0.csv")
    for given in (path, tmp_path):
        blocks = open_rows(given, columns=["b"])
        assert rows_of(blocks).tolist() == rows_of(blocks).tolist() == [[2], [4], [6]]


@pytest.mark.parametrize("line", ["#3,400\n", " #3,400\n"])
def test_a_row_that_begins_with_a_sign_is_a_comment_whatever_is_read(write, line):
    path = write("a,b\n" + "1,2\n" * 200 + line + "5,6\n")
    for columns in (None, ["a"], ["b"], ["b", "a"]):
        assert len(rows_of(open_rows(path, columns=columns))) == 201


def test_text_is_chosen_by_no_slip_of_pyarrow(write, tmp_path):
    write("kind,a\nred, NA\nblue,1\n", "0.csv")
    with pytest.raises(ValueError, match=r"column 'kind' holds values of type string, not numbers; .*--columns a"):
        open_rows(tmp_path)
    np.testing.assert_array_equal(rows_of(open_rows(tmp_path, columns=["a"])), [[np.nan], [1]])


def test_several_files_with_columns_of_one_name(write, tmp_path):
    write("a,a\n1,2\n3,4\n", "0.csv")
    with pytest.raises(ValueError, match=r"0\.csv has several columns named 'a'; give each its own name"):
        open_rows(tmp_path)


def test_a_large_text_file_loses_no_row(write, monkeypatch):
    monkeypatch.setattr("fastem.rows.sources.files.AT_ONCE", 1)
    assert rows_of(open_rows(write("1;2\n3;4\n", "rows.txt"))).tolist() == [[1, 2], [3, 4]]
    assert rows_of(open_rows(write("1;2\n3;4\n"), "x1", ["x0"])).tolist() == [[1], [3]]


def test_text_files_that_differ_are_told(write, tmp_path):
    write("a,b\n1,2\n", "0.csv")
    write("3,4\n5,6\n", "1.csv")  # its first row would be skipped as the header is
    with pytest.raises(
        ValueError, match=r"1\.csv has the columns x0, x1 from line 1, but .*0\.csv has a, b from line 2"
    ):
        open_rows(tmp_path)


def test_text_among_numbers_in_a_stream(write, tmp_path):
    write("kind,a\nred,1\n", "0.csv")
    lines = "blue,2\n" * 300
    write(f"kind,a\n{lines}blue,oops\n", "1.csv")
    with pytest.raises(ValueError, match=r"column 'kind' .*not numbers; .*--columns a"):
        open_rows(tmp_path)
    with pytest.raises(ValueError, match=r"1\.csv, line 302, column 'a': 'oops' is not a number"):
        rows_of(open_rows(tmp_path, columns=["a"]))


def test_hidden_files_are_no_rows(write, tmp_path):
    write("1,2\n3,4\n", "0.csv")
    for name in (".hidden.csv", "_SUCCESS", "_temporary.csv"):
        write("9,9\n", name)
    (tmp_path / "_delta_log").mkdir()
    write("9,9\n", "_delta_log/0.csv")
    assert rows_of(open_rows(tmp_path)).tolist() == [[1, 2], [3, 4]]


def test_keys_of_hive_partitions_are_columns(tmp_path):
    table = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "year": [2023, 2024, 2024], "land": ["A", "B", "B"]})
    table.to_parquet(tmp_path / "year", partition_cols=["year"])
    assert column_names(tmp_path / "year") == ["a", "land", "year"]
    found = rows_of(open_rows(tmp_path / "year", columns=["year", "a"]))
    assert found.tolist() == [[2023, 1], [2024, 2], [2024, 3]]
    table.to_parquet(tmp_path / "land", partition_cols=["land"])
    assert rows_of(open_rows(tmp_path / "land", columns=["a"])).tolist() == [[1], [2], [3]]
    with pytest.raises(ValueError, match=r"column 'land' .*--columns a,year"):
        open_rows(tmp_path / "land")


@pytest.mark.parametrize("name", ["rows.npy", "rows.csv", "rows.parquet"])
def test_columns_and_weights_by_number(tmp_path, name):
    table = pandas.DataFrame([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], columns=["a", "b", "c"])
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, table.to_numpy())
    else:
        table.to_csv(path, index=False) if name.endswith("csv") else table.to_parquet(path)
    ((X, weight),) = open_rows(path, "1")
    assert X.tolist() == [[1, 3], [4, 6]] and weight.tolist() == [2, 5]
    ((X, weight),) = open_rows(path, "0", [2, "1"])
    assert X.tolist() == [[3, 2], [6, 5]] and weight.tolist() == [1, 4]
    with pytest.raises(ValueError, match="no column 'w' for sample_weight; its columns are"):
        open_rows(path, "w")


@pytest.mark.parametrize("columns", [["a", "w", "b"], ["a", "b"], None])
@pytest.mark.parametrize("kind", ["csv", "comments", "parquet", "table"])
def test_the_column_of_the_weights_is_none_of_the_values(tmp_path, write, kind, columns):
    frame = pandas.DataFrame({"a": [5.0, 7.0], "w": [1.0, 2.0], "b": [3.0, 9.0]})
    if kind == "table":
        given = pyarrow.Table.from_pandas(frame)
    elif kind == "parquet":
        given = tmp_path / "rows.parquet"
        frame.to_parquet(given)
    else:
        given = write("# by hand\n" * (kind == "comments") + frame.to_csv(index=False))
    blocks = open_rows(given, sample_weight="w", columns=columns)
    assert blocks.names.tolist() == ["a", "b"] and rows_of(blocks).tolist() == [[5.0, 3.0], [7.0, 9.0]]
    assert np.concatenate([weight for _, weight in blocks]).tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="no columns were chosen"):
        open_rows(given, sample_weight="w", columns=["w"])


def test_arrow_streams_in_several_files(tmp_path):
    for i in range(2):
        table = pyarrow.table({"a": [2.0 * i, 2.0 * i + 1]})
        with pyarrow.ipc.new_stream(tmp_path / f"{i}.arrow", table.schema) as stream:
            stream.write_table(table)
    assert rows_of(open_rows(tmp_path)).tolist() == [[0], [1], [2], [3]]


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch, write):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("fastem.rows.sources.arrow_tables", "fastem.rows.sources.arrow_files"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=r"pip install 'fastem\[arrow\]'"):
        read(write("x", "table.parquet"))


@pytest.mark.parametrize("header", [b"{'descr': '<f8'", b"{'descr': '<f8', (", b"\x00\x01(", b"(" * 60 + b"'"])
def test_a_damaged_header_of_numpys_format_is_a_sentence(tmp_path, header):
    path = tmp_path / "rows.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80))
    with pytest.raises(ValueError, match=r"rows\.npy is not a readable \.npy file"):
        open_rows(path)


def both_ways(write, monkeypatch, text, name="table.csv", **given):
    """What a file holds, its names, or the error: read at once, and as a large file is."""
    path = write(text, name) if isinstance(text, str) else text
    for at_once in (64e6, 0):
        monkeypatch.setattr("fastem.rows.sources.files.AT_ONCE", at_once)
        try:
            blocks = open_rows(path, **given)
            yield rows_of(blocks).tolist(), None if blocks.names is None else list(blocks.names)
        except ValueError as error:
            yield str(error), None


@pytest.mark.parametrize(
    ("text", "rows", "names"),
    [
        ("a|b\n1|2\n3|4\n", [[1, 2], [3, 4]], ["a", "b"]),
        ("# made by hand\na,b\n1,2\n# half way\n3,4\n", [[1, 2], [3, 4]], ["a", "b"]),
        ("# a b\n1 2\n3 4\n", [[1, 2], [3, 4]], ["a", "b"]),
        ("a b\n1 2\n3 4\n", [[1, 2], [3, 4]], ["a", "b"]),
        ("5,2\n3,4\n", [[5, 2], [3, 4]], None),
        ("# comment\na,b\n1,\n3,4\n", [[1, None], [3, 4]], ["a", "b"]),
        ("a,b\n1,2\n#3,4\n# in May, by hand\n#by hand, in May\n5,6\n", [[1, 2], [5, 6]], ["a", "b"]),
        ("a,a\n1,2\n3,4\n", [[1, 2], [3, 4]], ["a", "a"]),
    ],
)
def test_small_and_large_files_hold_the_same(write, monkeypatch, text, rows, names):
    for found, called in both_ways(write, monkeypatch, text):
        assert [[None if value != value else value for value in row] for row in found] == rows
        assert called == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b\n1,5;2\n3,5;4\n", "line 2, column 'a': '1,5' has a decimal comma"),
        ("a,b\n1,2\n3,?\n5,6\n", "line 3, column 'b': '?' is not a number"),
        ("a,b\n1,2\n3\n", "line 3 has 1 field where the header"),
        ("# c\na,b\n1,2\n3\n", "line 4 has 1 field where the header"),
        ("a,b\n#N/A,2\n3,4\n", "line 2, column 'a': '#N/A' is not a number"),
        ("a;b\n1;2\n#DIV/0!;4\n", "line 3, column 'a': '#DIV/0!' is not a number"),
        ("a b\n1 2\n3 4\n#REF! 4\n", "line 4, column 'a': '#REF!' is not a number"),
        ("a\n1\n#N/A\n2\n", "line 3, column 'a': '#N/A' is not a number"),
    ],
)
def test_small_and_large_files_are_blamed_alike(write, monkeypatch, text, message):
    for said, _ in both_ways(write, monkeypatch, text):
        assert message in said


def test_compressed_text(write, monkeypatch, tmp_path):
    text = "a,b,w\n" + "".join(f"{i},{i * i},{i % 2}\n" for i in range(100))
    with gzip.open(tmp_path / "rows.csv.gz", "wt") as file:
        file.write(text)
    with pyarrow.CompressedOutputStream(tmp_path / "rows.csv.zst", "zstd") as file:
        file.write(text.encode())
    plain = list(both_ways(write, monkeypatch, text, sample_weight="w"))
    for name in ("rows.csv.gz", "rows.csv.zst"):
        assert list(both_ways(write, monkeypatch, tmp_path / name, sample_weight="w")) == plain
        assert column_names(tmp_path / name) == ["a", "b", "w"]
    write("1,2\n", "plain.csv.gz")
    with pytest.raises(ValueError, match="not compressed as its name says"):
        open_rows(tmp_path / "plain.csv.gz")


def packed(path, text):
    """A text file, compressed as its name says."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zst":
        with pyarrow.CompressedOutputStream(path, "zstd") as file:
            file.write(text.encode())
    else:
        path.write_text(text)


PARTS = [np.random.default_rng(i).normal(size=(400, 3)) for i in range(3)]
TEXTS = ["a,b,w\n" + "".join(f"{a!r},{b!r},{abs(w)!r}\n" for a, b, w in part.tolist()) for part in PARTS]


@pytest.mark.parametrize(
    "names",
    [
        ("0.csv.gz", "1.csv.gz", "2.csv.gz"),
        ("0.csv", "1.csv.gz", "2.csv.zst"),
        ("0.csv.zst", "1.csv", "2.csv"),
        ("0.csv", "1.csv.gz", "2.txt.gz"),
    ],
)
def test_compressed_text_in_folders(tmp_path, names):
    """A file of them was left out without a word."""
    for name, text in zip(names, TEXTS):
        packed(tmp_path / name, text)
    expected = np.concatenate(PARTS)
    for given in (tmp_path, sorted(tmp_path.iterdir())):
        blocks = open_rows(given, sample_weight="w")
        assert blocks.names.tolist() == ["a", "b"] and np.array_equal(rows_of(blocks), expected[:, :2])
        assert np.array_equal(np.concatenate([weight for _, weight in blocks]), np.abs(expected[:, 2]))
        assert open_rows(given, columns=["b"]).shape == (1200, 1) and column_names(given) == ["a", "b", "w"]
    packed(tmp_path / names[1], TEXTS[1] + "1,x,2\n")
    with pytest.raises(ValueError, match=rf"{names[1]}, line 402, column 'b': 'x' is not a number"):
        rows_of(open_rows(tmp_path))
    packed(tmp_path / names[1], "a,c,w\n1,2,3\n")
    with pytest.raises(ValueError, match=rf"{names[1]} has the columns a, c, w"):
        open_rows(tmp_path)


def test_files_with_comments_or_blanks_in_folders(tmp_path):
    packed(tmp_path / "0.csv", "# of May\n" + TEXTS[0] + "# the end\n")
    packed(tmp_path / "1.csv", TEXTS[1])
    packed(tmp_path / "2.csv", TEXTS[2].replace(",", " "))
    blocks = open_rows(tmp_path, columns=["a", "b"])
    assert np.array_equal(rows_of(blocks), np.concatenate(PARTS)[:, :2])
    assert blocks.place(401).startswith("row 1 of ") and blocks.place(401).endswith("1.csv")


def test_keys_of_partitions_and_compressed_text(tmp_path):
    for year, text in zip((2024, 2025), TEXTS):
        (tmp_path / f"year={year}").mkdir()
        packed(tmp_path / f"year={year}" / "part.csv.gz", text)
    blocks = open_rows(tmp_path)
    assert blocks.names.tolist() == ["a", "b", "w", "year"] and set(rows_of(blocks)[:, 3]) == {2024, 2025}
    packed(tmp_path / "year=2025" / "more.csv.zst", TEXTS[2])
    with pytest.raises(ValueError, match=r"key of a partition, but text in \.zst"):
        open_rows(tmp_path)


@pytest.mark.parametrize("name", ["0.csv.gz", "0.csv.zst"])
def test_damaged_text_in_folders(tmp_path, name):
    packed(tmp_path / name, TEXTS[0])
    packed(tmp_path / "1.csv", TEXTS[1])
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=rf"{name} is damaged, or not compressed as its name says"):
        rows_of(open_rows(tmp_path))


def test_a_header_of_numbers_is_warned_of(write, recwarn):
    with pytest.warns(UserWarning, match=r"the first line, 2019, 2020, may be a header"):
        open_rows(write("2019,2020\n1.5,3\n2.5,7\n"))
    recwarn.clear()
    open_rows(write("1,2\n2,3\n3,4\n"))  # rows that all go on so
    open_rows(write("1,5\n2,3.5\n"))
    assert not recwarn.list


def test_an_index_is_warned_of(write, recwarn):
    text = "n,a\n" + "".join(f"{i},{i * i % 7}\n" for i in range(20))
    with pytest.warns(UserWarning, match="column 'n' counts the rows 0, 1"):
        open_rows(write(text))
    recwarn.clear()
    open_rows(write(text), columns=["a"])
    open_rows(write("a,b\n0,1\n1,5\n"))  # by chance
    assert not recwarn.list


@pytest.mark.parametrize(
    "text",
    ["a,b\n#m,s\n1,2\n3,4\n", "#a,b\n#m,s\n1,2\n3,4\n", "a b\n1 2\n3 4\n#end here\n", "a,b\n1,2\n#bad,4\n3,4\n"],
)
def test_words_behind_a_sign_are_comments(text, tmp_path):
    """Units below the names, and rows that were taken out by hand."""
    (tmp_path / "rows.csv").write_text(text)
    opened = open_rows(tmp_path / "rows.csv")
    assert list(opened.names) == ["a", "b"] and opened.n_rows == 2
