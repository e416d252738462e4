"""Columns beside the values, on the command line: in fits, scores, predictions, pictures and reports."""

import json
from pathlib import Path

import numpy as np
import pytest

import fastem
from fastem.__main__ import main

RNG = np.random.default_rng(0)
HIDDEN = np.concatenate([RNG.normal(0, 1, 200), RNG.normal(6, 1, 200)])
LOWER, UPPER = np.floor(HIDDEN), np.floor(HIDDEN) + 1
INTERVALS = ["--lower", "lu", "--upper", "hu"]
FIT = ["fit", "rounded.csv", "--columns", "u", *INTERVALS, "--components", 2]


@pytest.fixture(autouse=True)
def a_folder_with_rounded_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.column_stack([np.full(400, np.nan), LOWER, UPPER, HIDDEN])
    np.savetxt("rounded.csv", rows, delimiter=",", header="u,lu,hu,age", comments="")


def test_scores_are_those_of_the_rows_as_they_are_known(run, refused):
    run(*FIT, "--save", "model.npz")
    model = fastem.load("model.npz", fastem.GaussianMixture)
    rows, sides = np.full((400, 1), np.nan), {"lower": LOWER[:, None], "upper": UPPER[:, None]}
    found = json.loads(run("score", "model.npz", "rounded.csv", *INTERVALS, "--json"))
    del model.feature_names_in_
    expected = {"mean_log_density": model.score(rows, **sides), "bic": model.bic(rows, **sides)}
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    filled = np.array(run("impute", "model.npz", "rounded.csv", *INTERVALS).split()[1:], dtype=float)
    np.testing.assert_allclose(filled, model.impute(rows, **sides)[:, 0])
    for words in (["score"], ["predict"], ["impute"]):
        said = refused(*words, "model.npz", "rounded.csv")
        assert "400 of 400 rows have no value and no bounds: name these columns with --lower and --upper" in said
    assert "fastem report takes no such columns" in refused(
        "report", "model.npz", "rounded.csv", "--output", "report.html"
    )


def test_covariates_of_scores(run, refused):
    fit = ["fit", "rounded.csv", "--columns", "age", "--covariates", "lu", "--components", 2]
    run(*fit, "--save", "model.npz")
    model = fastem.load("model.npz", fastem.GaussianMixture)
    found = json.loads(run("score", "model.npz", "rounded.csv", "--covariates", "lu", "--json"))
    assert found["mean_log_density"] == pytest.approx(model.score(HIDDEN[:, None], covariates=LOWER[:, None]))
    said = refused("score", "model.npz", "rounded.csv")
    assert "with covariates, on which its weights depend: name these columns with --covariates" in said
    for words in (["report", "--output", "report.html"], ["impute"]):
        assert f"fastem {words[0]} takes no such columns" in refused(*words, "model.npz", "rounded.csv")


def test_factors_have_no_side_columns(run, refused):
    run("fit", "faithful", "--components", 1, "--model", "ppca", "--save", "model.npz")
    said = refused("score", "model.npz", "faithful", "--covariates", "waiting")
    assert said.startswith("fastem: model.npz: PPCA takes no covariates")


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_columns_beside_are_named_by_number_too(run, suffix):
    rows = np.column_stack([HIDDEN, np.ones(400), LOWER, UPPER])
    np.savetxt("rows.csv", rows, delimiter=",") if suffix == "csv" else np.save("rows.npy", rows)
    expected = fastem.GaussianMixture(2, random_state=0).fit(HIDDEN[:, None], lower=LOWER, upper=UPPER)
    for columns, weights in ([["--columns", "0"], []], [[], ["--weights", "1"]]):
        for bounds in (["--lower", "2", "--upper", "3"], ["--lower", "x2", "--upper", "x3"]):
            words = ["fit", f"rows.{suffix}", "--components", 2, *columns, *weights, *bounds, "--save", "model.npz"]
            out = run(*words, "--json")
            assert json.loads(out)["columns"] == ["x0"]
            np.testing.assert_allclose(json.loads(out)["means"], expected.means_)
            found = json.loads(run("score", "model.npz", f"rows.{suffix}", *bounds, "--json"))
            assert found["mean_log_density"] == pytest.approx(expected.score(HIDDEN[:, None], lower=LOWER, upper=UPPER))


def test_names_of_columns_behind_that_of_weights(run):
    np.savetxt("rows.csv", np.column_stack([np.ones(400), HIDDEN, LOWER]), delimiter=",")
    assert "columns         2 (x1, x2)" in run("fit", "rows.csv", "--components", 1, "--weights", "0")


def test_the_picture_of_values_between_bounds(run, monkeypatch):
    drawn = []
    with monkeypatch.context() as patch:
        patch.setattr("fastem.plot.write", lambda path, model, X, **beside: drawn.append((np.asarray(X), beside)))
        run(*FIT, "--plot", "picture.png")
    ((rows, beside),) = drawn
    assert np.isnan(rows).all() and beside["sample_weight"] is None
    np.testing.assert_array_equal(beside["lower"][:, 0], LOWER)
    run(*FIT, "--plot", "picture.png")
    assert Path("picture.png").read_bytes()[:4] == b"\x89PNG"


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_fit(refused, monkeypatch):
    monkeypatch.setattr(fastem.GaussianMixture, "fit", lambda *_, **__: pytest.fail("it was fitted"))
    whole = np.arange(9.0)
    rows = np.column_stack([np.full((9, 2), np.nan), np.full(9, -np.inf), whole, whole, whole, whole + 1])
    np.savetxt("rows.csv", rows, delimiter=",", header="a,b,low,la,ua,lb,ub", comments="")
    fit = ["fit", "rows.csv", "--components", 1, "--plot", "picture.png", "--columns"]
    assert "of column 'a': no row has two finite bounds" in refused(*fit, "a", "--lower", "low", "--upper", "ub")
    said = refused(*fit, "a,b", "--lower", "la,lb", "--upper", "ua,ub")
    assert "of column 'b': the values of two columns and more are drawn, and none is exact" in said
    assert "--plot takes no covariates" in refused(*fit, "la,lb", "--covariates", "ub")


def test_pictures_of_factor_analyzers_and_of_files_without_names(run, capsys):
    np.save("rows.npy", np.column_stack([HIDDEN, LOWER + RNG.normal(size=400), UPPER + RNG.normal(size=400)]))
    run("fit", "rows.npy", "--components", 1, "--model", "factor_analyzers", "--factors", 1, "--plot", "picture.png")
    assert Path("picture.png").read_bytes()[:4] == b"\x89PNG"
    assert main("fit rows.npy --components 1 --columns 2,0 --plot picture.png".split()) == 0
    assert capsys.readouterr().err == ""
