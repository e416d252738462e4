"""The commands for saved models, all families, JSON, and what is beside predictions."""

import csv
import gzip
import json
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

import fastem
from fastem.__main__ import main
from fastem.datasets import load_faithful, load_iris
from fastem.driver.checkpoint import Checkpoint
from fastem.families import ESTIMATORS
from fastem.shell.models import FACTORS, FAMILIES

X = load_faithful().data
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(run):
    run("fit", "faithful", "--components", 2, "--save", "model.npz")
    return fastem.load("model.npz", fastem.GaussianMixture)


def rows_of(text):
    return list(csv.DictReader(text.splitlines()))


def keyed(path="keyed.csv"):
    lines = [f'"no {i}, of 272",{a!r},{b!r}' for i, (a, b) in enumerate(X.tolist())]
    Path(path).write_text("id,eruptions,waiting\n" + "\n".join(lines) + "\n")


RNG = np.random.default_rng(0)
HEAD = ["label", "probability", "log_density"]
DATA = {
    "student_t": X,
    "factor_analyzers": X,
    "bayesian": X,
    "poisson": RNG.poisson(3, (200, 2)),
    "geometric": RNG.poisson(3, (200, 2)),
    "bernoulli": RNG.integers(2, size=(200, 3)),
    "categorical": RNG.integers(3, size=(200, 2)),
    "exponential": RNG.exponential(size=(200, 2)),
    "gamma": RNG.exponential(size=(200, 2)),
    "von_mises_fisher": (lambda Y: Y / np.linalg.norm(Y, axis=1, keepdims=True))(RNG.normal(size=(200, 2))),
    "mixed": np.column_stack([RNG.normal(size=200), RNG.poisson(3, 200)]),
}


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"gaussian"}))
def test_every_family_is_fitted_saved_and_used(family, run):
    np.save("rows.npy", np.asarray(DATA[family], dtype=float))
    kinds = ["--kinds", "gaussian,poisson"] if family == "mixed" else []
    out = run("fit", "rows.npy", "--components", 2, "--model", family, *kinds, "--save", "model.npz")
    assert "mixture" in out.splitlines()[0].lower() and type(fastem.load("model.npz")).__name__ == FAMILIES[family][0]
    assert len(rows_of(run("predict", "model.npz", "rows.npy"))) == len(DATA[family])


def test_kinds_of_columns_by_name(run, refused):
    np.savetxt("rows.csv", DATA["mixed"], delimiter=",", header="amount,visits", comments="")
    fit = ["fit", "rows.csv", "--components", 2, "--model", "mixed", "--save", "model.npz", "--kinds"]
    run(*fit, "visits=poisson,amount=gaussian")
    model = fastem.load("model.npz")
    assert model.kinds == {"poisson": ["visits"], "gaussian": ["amount"]} and model.gaussian_means_.shape == (2, 1)
    assert len(rows_of(run("predict", "model.npz", "rows.csv"))) == len(DATA["mixed"])
    assert "kinds names the column 'visit', which X does not have" in refused(*fit, "visit=poisson,amount=gaussian")
    assert "'gaussian' names no column, as COLUMN=KIND does" in refused(*fit, "visits=poisson,gaussian")


@pytest.mark.parametrize("family", FACTORS)
def test_factors_are_fitted_saved_and_described(family, run, refused):
    rows = load_iris().data
    np.savetxt("rows.csv", rows, delimiter=",", header="a,b,c,d", comments="")
    asked = ["fit", "rows.csv", "--components", 2, "--model", family]
    out = run(*asked, "--save", "model.npz", "--plot", "loadings.png")
    model = fastem.load("model.npz")
    assert type(model).__name__ == FACTORS[family][0] and "2 factors" in out.splitlines()[0]
    assert Path("loadings.png").read_bytes()[:4] == b"\x89PNG" and "4 (a, b, c, d)" in out
    np.testing.assert_array_equal(model.components_, type(model)(2).fit(rows).components_)
    found = json.loads(run(*asked, "--json"))
    assert found["bic"] == pytest.approx(model.bic(rows)) and np.shape(found["components"]) == (2, 4)
    assert found["feature_status"] == model.feature_status_ and found["n_samples"] == 150
    assert "2 factors" in run("describe", "model.npz") and "mean log-density" in run("score", "model.npz", "rows.csv")
    assert len(rows_of(run("sample", "model.npz", "--rows", 5))) == 5
    assert "no components to label rows with" in refused("predict", "model.npz", "rows.csv")
    assert "a report is about a mixture" in refused("report", "model.npz", "rows.csv", "--output", "report.html")
    for option in (
        ["--checkpoint", "c"],
        ["--covariates", "a"],
        ["--labels", "a"],
        ["--covariance", "full"],
        ["--progress"],
        ["--noise", 1],
    ):
        assert f"{option[0]} is not for --model {family}" in refused(*asked, *option)
    none = refused("fit", "rows.csv", "--components", 0, "--model", family, "--plot", "none.png")
    assert "without factors, of which there is no picture" in none


def test_an_option_of_another_family_is_refused(refused):
    message = refused("fit", "faithful", "--components", 2, "--model", "poisson", "--covariance", "full")
    assert "--covariance is not for --model poisson" in message
    assert "PoissonMixture takes no errors" in refused(
        "fit", "faithful", "--components", 2, "--model", "poisson", "--errors", "waiting"
    )


def test_labels_are_a_column(run, refused):
    known = np.full(len(X), -1)
    known[:40] = X[:40, 0] > 3
    np.savetxt("rows.csv", np.column_stack([X, known]), delimiter=",", header="long,wait,known", comments="")
    asked = ["fit", "rows.csv", "--components", 2]
    run(*asked, "--labels", "known", "--save", "model.npz")
    found = fastem.load("model.npz", fastem.GaussianMixture)
    expected = fastem.GaussianMixture(2, random_state=0).fit(X, labels=known)
    assert list(found.feature_names_in_) == ["long", "wait"] and np.allclose(found.means_, expected.means_)
    assert "must be whole numbers from 0 to n_components - 1 = 1" in refused(*asked, "--labels", "wait")
    assert "labels cannot be combined with errors" in refused(*asked, "--labels", "known", "--errors", "long")


def test_noise_and_missing_codes(run):
    spoilt = X.copy()
    spoilt[::10, 1] = -999
    np.savetxt("spoilt.csv", spoilt, delimiter=",", header="a,b", comments="")
    found = json.loads(run("fit", "spoilt.csv", "--components", 2, "--missing", "-999", "--json"))
    expected = fastem.GaussianMixture(2, random_state=0).fit(np.where(spoilt == -999, np.nan, spoilt))
    np.testing.assert_allclose(found["means"], expected.means_)
    assert found["bic"] == pytest.approx(expected.bic(np.where(spoilt == -999, np.nan, spoilt)))
    noisy = json.loads(run("fit", "faithful", "--components", 2, "--noise", "box", "--json"))
    assert 0 < noisy["noise_weight"] < 0.1 and noisy["columns"] == ["eruptions", "waiting"]


def test_missing_codes_of_a_stream(run):
    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0, 2.0, -9.0, 4.0, 5.0]}), "rows.parquet")
    found = json.loads(run("fit", "rows.parquet", "--components", 1, "--missing=-9,-99", "--json"))
    np.testing.assert_allclose(found["means"], [[3.0]])


def test_keys_probabilities_and_outliers(run, model):
    keyed()
    options = ["--keep", "id", "--probabilities", "--outliers", 0.01]
    rows = rows_of(run("predict", "model.npz", "keyed.csv", *options))
    assert [row["id"] for row in rows[:2]] == ["no 0, of 272", "no 1, of 272"] and len(rows) == 272
    given = np.array([[float(row[f"probability_{k}"]) for k in range(2)] for row in rows])
    np.testing.assert_allclose(given, model.predict_proba(X), rtol=1e-12)
    assert [row["outlier"] == "1" for row in rows] == model.is_outlier(X, 0.01).tolist()
    run("predict", "model.npz", "keyed.csv", *options, "--output", "out.parquet")
    table = pyarrow.parquet.read_table("out.parquet")
    assert table.column_names == ["id", *HEAD, "probability_0", "probability_1", "outlier"]
    assert table["id"][5].as_py() == "no 5, of 272"


@pytest.mark.parametrize(
    ("command", "option", "said"),
    [
        *(("fit", option, "is not a whole number of at least 1") for option in ("--threads=0", "--n-init=0")),
        *(("fit", option, "is not a whole number of at least 0") for option in ("--max-iter=-1", "--seed=-1")),
        *(("fit", option, "is not a number of at least 0") for option in ("--tol=-1", "--tol=nan", "--tol=x")),
        ("fit", "--checkpoint-seconds=-1", "is not a number of at least 0"),
        ("fit", "--components=-1", "is not a whole number of at least 0"),
        ("fit", "--noise=-1", "is neither box nor a volume, a finite number above 0"),
        ("select", "--threads=0", "is not a whole number of at least 1"),
        ("select", "--components=0:2", "is not a list of numbers from 1 on, such as 1:9"),
        ("sample", "--rows=0", "is not a whole number of at least 1"),
        *(("predict", option, "is not a share, a number from 0 to 1") for option in ("--outliers=2", "--outliers=nan")),
        ("predict", "--keep=id,id", "'id' is named twice; name it once"),
    ],
)
def test_a_value_that_is_none_is_refused_by_its_option(refused, command, option, said):
    words = {"fit": ("rows.csv", "--components", 2), "predict": ("model.npz", "rows.csv")}
    message = refused(command, *words.get(command, ("model.npz",)), option)
    assert f"argument {option.partition('=')[0]}: " in message and said in message


def test_no_components_are_for_factors_alone(refused):
    assert "--components 0 is not for --model poisson" in refused(
        "fit", "faithful", "--components", 0, "--model", "poisson"
    )


def test_outliers_of_a_mixture_without_a_threshold_are_refused_by_the_option(run, refused):
    run("fit", "faithful", "--components", 1, "--noise", "box", "--save", "noise.npz")
    assert "--outliers is not for noise.npz: noise is as dense" in refused(
        "predict", "noise.npz", "faithful", "--outliers", 0.1
    )
    run("fit", "faithful", "--components", 2, "--columns", "0", "--covariates", "waiting", "--save", "gate.npz")
    words = ("predict", "gate.npz", "faithful", "--covariates", "waiting", "--outliers", 0.1)
    assert "--outliers is not for gate.npz: GaussianMixture.is_outlier cannot be had" in refused(*words)


def test_keys_of_compressed_text(run, model):
    keyed()
    Path("keyed.csv.gz").write_bytes(gzip.compress(Path("keyed.csv").read_bytes()))
    assert run("predict", "model.npz", "keyed.csv.gz", "--keep", "id") == run(
        "predict", "model.npz", "keyed.csv", "--keep", "id"
    )


def test_keys_of_parquet_and_where_there_are_none(run, refused, model):
    table = pyarrow.table({"when": ["2024-01-01"] * 272, "eruptions": X[:, 0], "waiting": X[:, 1]})
    pyarrow.parquet.write_table(table, "rows.parquet")
    assert rows_of(run("predict", "model.npz", "rows.parquet", "--keep", "when"))[3]["when"] == "2024-01-01"
    assert "no column 'id'" in refused("predict", "model.npz", "rows.parquet", "--keep", "id")
    assert "has no columns to keep" in refused("predict", "model.npz", "faithful", "--keep", "id")


def test_impute_sample_score_describe(run, model):
    holes = X.copy()
    holes[3, 1] = np.nan
    np.savetxt("holes.csv", holes, delimiter=",", header="eruptions,waiting", comments="")
    filled = rows_of(run("impute", "model.npz", "holes.csv"))
    assert float(filled[3]["waiting"]) == pytest.approx(model.impute(holes)[3, 1])
    drawn = rows_of(run("sample", "model.npz", "--rows", 50, "--seed", 3))
    assert len(drawn) == 50 and set(drawn[0]) == {"eruptions", "waiting", "component"}
    assert float(drawn[0]["waiting"]) == model.sample(50, 3)[0][0, 1]
    facts = json.loads(run("score", "model.npz", "faithful", "--json"))
    assert facts.pop("rows") == 272
    expected = {"mean_log_density": model.score(X), "bic": model.bic(X), "aic": model.aic(X)}
    assert facts == pytest.approx(expected)
    assert "mean log-density" in run("score", "model.npz", "faithful")
    assert run("describe", "model.npz").startswith("Gaussian mixture, 2 components, full covariance")
    assert json.loads(run("describe", "model.npz", "--json"))["n_samples"] == 272


def test_tables_are_of_the_kind_that_their_names_say(run, refused, model):
    holes = X.copy()
    holes[3, 1] = np.nan
    np.savetxt("holes.csv", holes, delimiter=",", header="eruptions,waiting", comments="")
    for words in (["impute", "model.npz", "holes.csv"], ["sample", "model.npz", "--rows", 50]):
        expected = rows_of(run(*words))
        for name in ("out.csv", "out.parquet"):
            assert run(*words, "--output", name) == ""
        assert rows_of(Path("out.csv").read_text()) == expected
        table = pyarrow.parquet.read_table("out.parquet").to_pylist()
        assert [{name: str(value) for name, value in row.items()} for row in table] == expected
        for name in ("out.npy", "out.csv.gz"):
            assert "the name of a table must end in .csv, .txt, .parquet" in refused(*words, "--output", name)
            assert not Path(name).exists()
    assert "a report must end in .html" in refused("report", "model.npz", "faithful", "--output", "out.pdf")


def test_a_column_named_as_that_of_components_is_refused(run, refused):
    np.savetxt("rows.csv", X, delimiter=",", header="component,waiting", comments="")
    run("fit", "rows.csv", "--components", 2, "--save", "model.npz")
    assert "model.npz has a column 'component'" in refused("sample", "model.npz")


def test_a_report_is_one_page(run, model):
    assert "report in report.html" in run("report", "model.npz", "faithful", "--output", "report.html")
    page = Path("report.html").read_text()
    assert page.count("data:image/png;base64,") == 5 and "Gaussian mixture, 2 components" in page
    assert not re.findall(r"(?:src|href)=.(?!data:)", page)


def test_select_prints_a_plot_and_json(run, capsys):
    out = run("select", "faithful", "--components", "1:3", "--covariance", "EEE,VVV")
    bars = out[out.index("BIC above the least") :].splitlines()[1:4]
    assert [line.split()[0] for line in bars] == ["1", "2", "3"] and bars[2].endswith("0 *") and "####" in bars[0]
    found = json.loads(run("select", "faithful", "--components", "1:2", "--covariance", "EEE", "--json"))
    assert found["best"] == {"covariance_type": "EEE", "n_components": 2} and found["models"][0]["cv"] is None
    assert main("select faithful --components 1:2 --covariance EEE --progress".split()) == 0
    assert "2 models; EEE with 2" in capsys.readouterr().err


def test_strict(run):
    run("fit", "faithful", "--components", 3, "--max-iter", 1, "--strict", code=3)
    run("fit", "faithful", "--components", 1, "--strict")


def test_every_estimator_is_a_model_of_the_command_line():
    assert {name for name, _ in (FAMILIES | FACTORS).values()} == set(ESTIMATORS)


def test_help_explains_the_families(capsys):
    with pytest.raises(SystemExit):
        main(["fit", "--help"])
    out = capsys.readouterr().out
    assert all(name in out for name in FAMILIES | FACTORS) and "EII VII spheres" in out


def test_nothing_to_resume_is_said(capsys):
    assert main("fit faithful --components 2 --checkpoint fit.part --resume".split()) == 0
    assert "nothing to resume in fit.part" in capsys.readouterr().err


@on_posix
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_writes_the_checkpoint(sent, code, run, capsys, monkeypatch):
    """The signal comes a while after the last state was written; the fit goes on to the same bits."""
    words = "fit faithful --components 3 --tol 1e-6 --max-iter 500 --checkpoint fit.part".split()
    expected = run(*words)
    kept = Checkpoint.write_if_due

    def kept_and_interrupted(self, state):
        kept(self, state)
        if state["running"].n_iter == 2:
            assert not Path("fit.part").exists()
            os.kill(os.getpid(), sent)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write_if_due", kept_and_interrupted)
        patch.setattr("fastem.driver.checkpoint.KEPT_FROM", 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        assert main(words) == code
    assert capsys.readouterr().err == "fastem: interrupted after 2 iterations; --resume goes on\n"
    assert Path("fit.part").exists() and run(*words, "--resume") == expected


def test_without_a_checkpoint_the_way_is_said(capsys, monkeypatch):
    def interrupt(estimator, *args, **kwargs):
        estimator.n_iter_ = 3
        raise KeyboardInterrupt

    monkeypatch.setattr(fastem.GaussianMixture, "fit", interrupt)
    assert main("fit faithful --components 2".split()) == 130
    assert capsys.readouterr().err == "fastem: interrupted after 3 iterations; with --checkpoint FILE a fit can go on\n"


@pytest.mark.parametrize(
    ("command", "option"),
    [("fit", "--save"), ("fit", "--plot"), ("fit", "--checkpoint"), ("select", "--save"), ("select", "--plot")],
)
def test_rows_are_never_replaced(refused, command, option):
    Path("x.csv").write_text("\n".join(f"{a},{b}" for a, b in X))
    Path("x.png").write_bytes(Path("x.csv").read_bytes())
    before = Path("x.csv").read_bytes()
    for name in ("x.csv", "x.png"):
        said = refused(command, name, "--components", 2, option, f"./{name}")
        assert f"{option} ./{name} is one of the files that are read: name another" in said
        assert Path(name).read_bytes() == before


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("fit", ["--save", "--plot"]),
        ("fit", ["--save", "--checkpoint"]),
        ("fit", ["--plot", "--checkpoint"]),
        ("select", ["--save", "--plot"]),
    ],
)
def test_no_output_replaces_another(refused, command, options):
    first, second = options
    said = refused(command, "faithful", "--components", 2, first, "x.png", second, "./x.png")
    assert f"{second} ./x.png is the file that {first} writes: name another" in said
    assert not Path("x.png").exists()


def test_a_family_is_named_once_and_in_select_not_at_all(refused, run):
    both = refused("fit", "faithful", "--components", 2, "--model", "poisson", "--bayesian")
    assert "--bayesian" in both and "--model" in both
    said = refused("select", "faithful", "--components", "1:2", "--model", "poisson")
    assert "select compares Gaussian mixtures. Got 'poisson'" in said and not Path("poisson").exists()
    assert "ayesian" in run("fit", "faithful", "--components", 2, "--bayesian").splitlines()[0]


def test_a_model_is_never_replaced_by_its_sample(refused, model):
    before = Path("model.npz").read_bytes()
    assert "--output model.npz is one of the files that are read" in refused(
        "sample", "model.npz", "--rows", 5, "--output", "model.npz"
    )
    assert Path("model.npz").read_bytes() == before


def test_regressions_are_no_densities(refused):
    fastem.MixtureOfRegressions(1).fit(X[:, :1], X[:, 1]).save("model.npz")
    for words in (["score", "model.npz", "faithful"], ["sample", "model.npz"]):
        assert "holds a MixtureOfRegressions, which describes y given X" in refused(*words)


def test_a_key_named_as_a_prediction_is_refused(refused, model):
    Path("x.csv").write_text("eruptions,waiting,label\n" + "".join(f"{a},{b},k\n" for a, b in X))
    assert "keep has the column 'label', which predictions have too" in refused(
        "predict", "model.npz", "x.csv", "--keep", "label"
    )


def test_a_column_for_weights_and_for_labels(refused):
    Path("x.csv").write_text("a,b,k\n" + "".join(f"{a},{b},{i % 2}\n" for i, (a, b) in enumerate(X)))
    said = refused("fit", "x.csv", "--components", 2, "--labels", "k", "--weights", "k")
    assert "labels names the column 'k', which sample_weight names already" in said


@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_a_saved_model_knows_which_columns_of_a_file_without_names(run, suffix):
    rows = np.column_stack([X, np.arange(len(X))])
    if suffix == "csv":
        np.savetxt("rows.csv", rows, delimiter=",")
    else:
        np.save("rows.npy", rows)
    run("fit", f"rows.{suffix}", "--columns", "1,0", "--components", 2, "--save", "model.npz")
    saved = fastem.load("model.npz", fastem.GaussianMixture)
    assert saved.feature_names_in_.tolist() == ["x1", "x0"]
    found = json.loads(run("score", "model.npz", f"rows.{suffix}", "--json"))["mean_log_density"]
    assert found == pytest.approx(saved.score(X[:, [1, 0]]))
    assert "x1, x0" in run("describe", "model.npz")
