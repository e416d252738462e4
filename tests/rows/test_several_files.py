"""Files that are named are all read, or refused by name; folders may hold files of other kinds as well."""

import numpy as np
import pytest

from fastem import GaussianMixture, open_rows
from fastem.__main__ import main
from fastem.rows.sources.files import column_names
from fastem.rows.sources.kept_columns import kept_columns

X = np.random.default_rng(0).normal(size=(40, 2))


@pytest.fixture
def folder(tmp_path):
    for name in ("a.csv", "b.csv"):
        np.savetxt(tmp_path / name, X, delimiter=",", header="x,y", comments="")
    return tmp_path


def test_kinds_that_are_both_read_are_not_mixed(folder):
    np.save(folder / "c.npy", X)
    for given in (folder, [folder / "a.csv", folder / "c.npy"], [folder / "c.npy", folder / "a.csv"]):
        for use in (open_rows, column_names):
            with pytest.raises(ValueError, match=r"found several kinds of files \(csv, npy\); give files of one kind"):
                use(given)


@pytest.mark.parametrize("name", ["c.foo", "c", "c.xlsx"])
def test_a_named_file_of_a_kind_that_is_not_read(folder, name, capsys):
    (folder / name).write_text("1,2\n")
    given = [str(folder / "a.csv"), str(folder / name)]
    for use in (open_rows, column_names, GaussianMixture(1).fit):
        with pytest.raises(ValueError, match=rf"{name}.* fastem (reads|does not read)"):
            use(given)
    assert main(["fit", *given, "--components", "1"]) == 2 and name in capsys.readouterr().err
    assert open_rows(folder).n_rows == 80  # beside others, it is none of the rows


@pytest.mark.parametrize("name", ["c.csv.bz2", "c.csv.zip", "c.parquet.gz"])
def test_rows_that_are_packed_in_another_way_are_not_left_out(folder, name):
    (folder / name).write_bytes(b"1")
    with pytest.raises(ValueError, match=rf"{name} has the suffix"):
        open_rows(folder)


def test_arrays_in_a_folder_with_a_note(tmp_path):
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "README.md").write_text("rows")
    assert open_rows(tmp_path).n_rows == 40


def test_columns_are_kept_of_the_files_that_are_read(folder):
    (folder / "README.md").write_text("rows")
    assert len(list(kept_columns([folder], ["x"])["x"])) == 80
