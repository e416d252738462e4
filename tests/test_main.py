"""The command line, from file to labels; mistakes end in one line and exit code 2."""

import csv
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
import scipy

import fastem
from fastem.__main__ import main
from fastem.datasets import load_faithful, load_iris

X = load_faithful().data


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Runs a command that must succeed without a word on standard error; returns what it printed."""

    def _run(*words):
        assert main([str(word) for word in words]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        return out

    return _run


@pytest.fixture
def refused(capsys):
    """Runs a command that must be refused; returns its one line of explanation."""

    def _refused(*words):
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("fastem: ") and err.endswith("\n") and err.count("\n") == 1, err
        return err

    return _refused


def rows_of(text):
    return list(csv.DictReader(text.splitlines()))


def write_csv(path, columns, data, extra=None):
    with open(path, "w") as file:
        file.write(",".join([*columns, *([extra] if extra else [])]) + "\n")
        for row in data.tolist():
            file.write(",".join([*map(repr, row), *(["word"] if extra else [])]) + "\n")


# ---------------------------------------------------------------------------------------------------------------------
# fit


def test_fit_tells_what_a_person_wants_to_know(run):
    out = run("fit", "faithful", "--components", 2, "--tol", 1e-8, "--max-iter", 1000)
    facts = {line[:16].strip(): line[16:] for line in out.splitlines() if line[16:]}
    assert out.startswith("Gaussian mixture, 2 components, full covariance\n")
    assert facts["rows"] == "272" and facts["columns"] == "2 (eruptions, waiting)"
    assert "converged: " in facts["iterations"] and "tol" in facts["iterations"]
    assert "NOT" not in facts["iterations"]
    # the known maximum, -1130.26396; its BIC and AIC
    assert abs(float(facts["log-likelihood"].split()[0]) + 1130.26396) < 1e-3
    assert facts["parameters"] == "11 free"
    assert abs(float(facts["BIC"].split()[0]) - (2 * 1130.26396 + 11 * np.log(272))) < 2e-3
    assert abs(float(facts["AIC"].split()[0]) - (2 * 1130.26396 + 22)) < 2e-3
    assert "smaller is better" in facts["BIC"]
    table = out.splitlines()[-4:]
    assert table[1].split() == ["component", "weight", "rows", "eruptions", "waiting", "eruptions", "waiting", "status"]
    numbers = sorted([float(word) for word in [line.split()[1], *line.split()[3:7]]] for line in table[2:])
    expected = [[0.3559, 2.0364, 54.479, 0.2630, 5.806], [0.6441, 4.2897, 79.968, 0.4124, 5.998]]
    np.testing.assert_allclose(numbers, expected, rtol=2e-2)
    assert all(line.endswith("  ok") for line in table[2:])


def test_the_same_command_gives_the_same_answer(run):
    words = ("fit", "iris", "--components", 3, "--covariance", "diag", "--n-init", 3, "--max-iter", 1000)
    assert run(*words) == run(*words, "--threads", 2) == run(*words, "--seed", 0)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical"])
def test_what_is_fitted_is_what_python_fits(run, structure):
    run("fit", "iris", "--components", 3, "--covariance", structure, "--seed", 5, "--tol", 1e-2, "--save", "model.npz")
    model = fastem.GaussianMixture(3, covariance_type=structure, random_state=5, tol=1e-2).fit(load_iris().data)
    again = fastem.load("model.npz")
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(again, name), getattr(model, name))
    assert again.feature_names_in_.tolist() == load_iris().columns
    assert again.n_iter_ == model.n_iter_


def test_columns_are_chosen(run):
    out = run("fit", "iris", "--columns", "Petal.Width,0", "--components", 2)
    assert "2 (Petal.Width, Sepal.Length)" in out


@pytest.mark.filterwarnings("default")
def test_not_converged_is_said_in_one_line(capsys):
    assert main(["fit", "faithful", "--components", "3", "--max-iter", "1", "--tol", "1e-9"]) == 0
    out, err = capsys.readouterr()
    assert "NOT converged: " in out
    assert err.startswith("fastem: warning: ") and err.count("\n") == 1


@pytest.mark.parametrize("name", ["table.npy", "table.csv", "table.parquet"])
def test_files_of_each_kind(run, name):
    if name.endswith("npy"):
        np.save(name, X)
    elif name.endswith("csv"):
        write_csv(name, ["eruptions", "waiting"], X)
    else:
        pyarrow.parquet.write_table(pyarrow.table({"eruptions": X[:, 0], "waiting": X[:, 1]}), name)
    expected = run("fit", "faithful", "--components", 2)
    if name.endswith("npy"):
        assert "2 (x0, x1)" in run("fit", name, "--components", 2)
    else:
        assert run("fit", name, "--components", 2) == expected


@pytest.mark.parametrize(
    ("n_rows", "d", "n_components"), [(50, 1, 1), (100, 1, 4), (300, 40, 2), (400, 2, 60), (400, 30, 20)]
)
@pytest.mark.parametrize("scale", [1, 1e-9, 1e12])
def test_every_shape_is_readable(capsys, n_rows, d, n_components, scale):
    write_csv(
        "table.csv",
        [f"{'a very long name of the column ' if d < 5 else 'c'}{j}" for j in range(d)],
        scale * np.random.default_rng(0).normal(size=(n_rows, d)),
    )
    assert main(["fit", "table.csv", "--components", str(n_components), "--covariance", "spherical"]) == 0
    out, err = capsys.readouterr()
    assert all(line.startswith("fastem: warning: ") for line in err.splitlines())  # of components at the floor
    lines = out.splitlines()
    said = re.compile("  (at the floor|few rows|spike|outliers)")  # what is wrong with a component may be longer
    assert max(len(said.split(line)[0]) for line in lines) <= 110
    assert len(lines) < 400
    assert "nan" not in out
    if n_components * d > 200:
        assert "more" in out  # what is left out is mentioned


def numbers_in_table(out):
    """Weights, means and standard deviations of a summary of two columns."""
    lines = out[out.index("component  ") :].splitlines()[1:]
    return np.array([[*line.split()[1:2], *line.split()[3:7]] for line in lines], dtype=float)


@pytest.mark.parametrize(
    ("structure", "variances"),
    [
        ("full", lambda covariances: [np.diag(c) for c in covariances]),
        ("tied", lambda covariances: [np.diag(covariances)] * 3),
        ("diag", list),
        ("spherical", lambda covariances: [[c, c] for c in covariances]),
    ],
)
def test_the_table_holds_the_model(run, structure, variances):
    out = run("fit", "faithful", "--components", 3, "--covariance", structure)
    model = fastem.GaussianMixture(3, covariance_type=structure, random_state=0).fit(X)
    expected = np.c_[model.weights_, model.means_, np.sqrt(variances(model.covariances_))]
    np.testing.assert_allclose(numbers_in_table(out), expected, rtol=6e-4)


def test_means_are_told_apart_far_from_the_origin(run):
    np.save("table.npy", X + 1e7)
    found = numbers_in_table(run("fit", "table.npy", "--components", 2, "--tol", 1e-6))
    expected = numbers_in_table(run("fit", "faithful", "--components", 2, "--tol", 1e-6))
    np.testing.assert_allclose(found[:, 1:3] - 1e7, expected[:, 1:3], atol=5e-3)


def test_means_are_told_near_the_origin(run):
    np.save("table.npy", X - X.mean(axis=0) + [0.0123456, 0.123456])
    found = numbers_in_table(run("fit", "table.npy", "--components", 1))
    np.testing.assert_allclose(found[0, 1:3], [0.0123456, 0.123456], rtol=1e-4)


# ---------------------------------------------------------------------------------------------------------------------
# fit: several files, weights, long fits


def parts(folder="parts", suffix=".parquet"):
    """The same rows in a folder of three files."""
    Path(folder).mkdir()
    for i, some in enumerate(np.array_split(X, 3)):
        table = pyarrow.table({"eruptions": some[:, 0], "waiting": some[:, 1]})
        write = pyarrow.csv.write_csv if suffix == ".csv" else pyarrow.parquet.write_table
        write(table, Path(folder, f"{i}{suffix}"))
    return sorted(Path(folder).iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_folders_and_several_files(run, suffix):
    expected = run("fit", "faithful", "--components", 2)
    files = parts(suffix=suffix)
    assert run("fit", "parts", "--components", 2) == run("fit", *files, "--components", 2) == expected
    assert "1 (waiting)" in run("fit", *files, "--components", 2, "--columns", "waiting", "--plot", "picture.png")
    assert Path("picture.png").stat().st_size > 1000


def test_chosen_columns_without_names_keep_their_place(run):
    np.save("table.npy", np.c_[X, X])
    assert "2 (x3, x0)" in run("fit", "table.npy", "--components", 2, "--columns", "3,0")


@pytest.mark.parametrize("name", ["table.npy", "table.csv", "table.parquet"])
def test_weights_count_as_rows(run, name):
    weight = np.arange(len(X)) % 3.0
    table = pyarrow.table({"eruptions": X[:, 0], "w": weight, "waiting": X[:, 1]})
    if name.endswith("npy"):
        np.save(name, np.c_[X[:, 0], weight, X[:, 1]])
    elif name.endswith("csv"):
        pyarrow.csv.write_csv(table, name)
    else:
        pyarrow.parquet.write_table(table, name)
    words = ("--components", 1, "--covariance", "diag", "--tol", 1e-9)
    found = run("fit", name, "--weights", 1 if name.endswith("npy") else "w", *words).splitlines()
    np.save("repeated.npy", X[np.repeat(np.arange(len(X)), weight.astype(int))])
    expected = run("fit", "repeated.npy", *words).splitlines()
    assert found[2].split(None, 1) == ["rows", f"272, of total weight {weight.sum():.0f}"]
    assert found[5:9] == expected[5:9]  # log-likelihood, parameters, BIC, AIC
    assert found[-1].split() == expected[-1].split()


def test_weights_that_are_none(refused):
    assert "no column 'w'" in refused("fit", "faithful", "--components", 2, "--weights", "w")
    write_csv("table.csv", ["a", "w"], -X)
    assert "Negative" in refused("fit", "table.csv", "--components", 2, "--weights", "w")


def test_an_interrupted_fit_goes_on(run, refused, monkeypatch, capsys):
    words = ("fit", "faithful", "--components", 3, "--tol", 1e-6, "--max-iter", 500, "--checkpoint", "fit.checkpoint")
    expected = run(*words)
    assert not Path("fit.checkpoint").exists()
    kept = fastem.driver.checkpoint.Checkpoint.write_if_due

    def kept_and_interrupted(self, state):
        if state["running"].n_iter == 2:
            self.write(state)
            raise KeyboardInterrupt
        kept(self, state)

    with monkeypatch.context() as patch:
        patch.setattr(fastem.driver.checkpoint.Checkpoint, "write_if_due", kept_and_interrupted)
        assert main([str(word) for word in words]) == 130
    assert capsys.readouterr().err == "fastem: interrupted after 2 iterations; --resume goes on\n"
    assert "--resume" in refused(*words)
    assert "of another fit: tol" in refused(*words, "--resume", "--tol", 1e-3)
    assert run(*words, "--resume") == expected
    assert not Path("fit.checkpoint").exists()
    assert "--checkpoint" in refused("fit", "faithful", "--components", 3, "--resume")


def test_progress_is_a_bar_on_standard_error(capsys, monkeypatch):
    assert main(["fit", "faithful", "--components", "2"]) == 0
    expected = capsys.readouterr().out
    assert main(["fit", "faithful", "--components", "2", "--progress"]) == 0
    out, err = capsys.readouterr()
    assert out == expected and "converged" in err and "log-likelihood" in err
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert main(["fit", "faithful", "--components", "2", "--progress"]) == 2
    assert "pip install 'fastem[progress]'" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# predict


@pytest.fixture
def model(run):
    run("fit", "faithful", "--components", 2, "--save", "model.npz")
    return fastem.load("model.npz")


def assert_predictions(text, model, data):
    rows = rows_of(text)
    assert list(rows[0]) == ["label", "probability", "log_density"]
    loaded = {name: [float(row[name]) for row in rows] for name in rows[0]}
    model = fastem.GaussianMixture(model.n_components, random_state=0).fit(X)  # without names, as the data here
    np.testing.assert_array_equal(loaded["label"], model.predict(data))
    np.testing.assert_array_equal(loaded["probability"], model.predict_proba(data).max(axis=1))
    np.testing.assert_array_equal(loaded["log_density"], model.score_samples(data))


def test_predict_to_a_file_and_to_the_screen(run, model):
    assert run("predict", "model.npz", "faithful", "--output", "labels.csv") == ""
    text = Path("labels.csv").read_text()
    assert_predictions(text, model, X)
    assert run("predict", "model.npz", "faithful") == text


def test_predict_finds_columns_by_name(run, model):
    write_csv("table.csv", ["waiting", "other", "eruptions"], np.c_[X[:, 1], X[:, 0] * 0, X[:, 0]], extra="kind")
    assert_predictions(run("predict", "model.npz", "table.csv"), model, X)


def test_predict_with_columns(run, refused, model):
    write_csv("table.csv", ["w", "other", "e"], np.c_[X[:, 1], X[:, 0] * 0, X[:, 0]])
    message = refused("predict", "model.npz", "table.csv")
    assert "no column 'eruptions'" in message and "--columns" in message
    assert_predictions(run("predict", "model.npz", "table.csv", "--columns", "e,w"), model, X)


def test_predict_a_file_without_names(run, refused, model):
    np.save("table.npy", X)
    assert_predictions(run("predict", "model.npz", "table.npy"), model, X)
    np.save("table.npy", np.c_[X, X])
    assert "expecting 2 features" in refused("predict", "model.npz", "table.npy")
    assert_predictions(run("predict", "model.npz", "table.npy", "--columns", "2,3"), model, X)


def test_nothing_is_written_when_a_row_is_bad(refused, model, monkeypatch):
    monkeypatch.setattr("fastem.estimators.predictions.block_rows", lambda n_values: 100)
    spoilt = X.copy()
    spoilt[250, 1] = np.inf
    np.save("table.npy", spoilt)
    message = refused("predict", "model.npz", "table.npy", "--output", "labels.csv")
    assert "infinity" in message
    assert not Path("labels.csv").exists()


def test_predict_in_blocks(run, model, monkeypatch):
    monkeypatch.setattr("fastem.estimators.predictions.block_rows", lambda n_values: 100)
    assert_predictions(run("predict", "model.npz", "faithful"), model, X)


def test_predict_many_files_to_parquet(run, refused, model):
    files = parts()
    run("predict", "model.npz", "parts", "--output", "labels.parquet")
    table = pyarrow.parquet.read_table("labels.parquet")
    text = run("predict", "model.npz", *files)
    assert_predictions(text, model, X)
    for name in table.column_names:
        assert table[name].to_pylist() == [float(row[name]) for row in rows_of(text)]
    for name in ("parts/1.parquet", "model.npz"):
        assert "one of the files that are read" in refused("predict", "model.npz", "parts", "--output", name)
    assert ".parquet" in refused("predict", "model.npz", "parts", "--output", "labels.json")
    fastem.PPCA(1).fit(X).save("ppca.npz")
    assert "no components" in refused("predict", "ppca.npz", "parts")


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ["COMMAND", "fastem --help"]),
        (["fly"], ["fly", "fit"]),
        (["fit"], ["FILE"]),
        (["fit", "faithful"], ["--components", "fastem fit --help"]),
        (["fit", "faithful", "--components", "two"], ["--components", "two"]),
        (["fit", "faithful", "--components", "2.5"], ["--components", "2.5"]),
        (["fit", "faithful", "--components", "0"], ["--components", "0"]),
        (["fit", "faithful", "--components", "2", "--covariance", "round"], ["round", "spherical"]),
        (["fit", "faithful", "--components", "2", "--tol", "-1"], ["tol", "-1"]),
        (["fit", "faithful", "--components", "2", "--columns", "length"], ["'length'", "eruptions, waiting"]),
        (["fit", "faithful", "--components", "2", "--save", "no/model.npz"], ["no/model.npz", "folder"]),
        (["fit", "faithful", "--components", "300"], ["300", "272"]),
        (["fit", "no.csv", "--components", "2"], ["no.csv", "no such file"]),
        (["predict", "no.npz", "faithful"], ["no.npz", "no such file"]),
        (["predict", "faithful"], ["FILE"]),
    ],
)
def test_mistakes_in_words(refused, words, expected):
    message = refused(*words)
    assert all(word in message for word in expected), message


def test_mistakes_in_files(refused, run, model):
    Path("table.csv").write_text("a,b\n1,2\n3\n")
    assert "line 3" in refused("fit", "table.csv", "--components", 1)
    Path("table.csv").write_text("a,b\n1,2\n3,inf\n5,6\n")
    message = refused("fit", "table.csv", "--components", 1)
    assert "infinity" in message and "'b'" in message
    assert "not a model file" in refused("predict", "table.csv", "faithful")
    assert "labels.csv" in refused("predict", "model.npz", "faithful", "--output", "no/labels.csv")
    assert not Path("no").exists()


def test_an_interrupt_is_no_traceback(monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(fastem.GaussianMixture, "fit", interrupt)
    assert main(["fit", "faithful", "--components", "2"]) == 130
    assert capsys.readouterr().err == "fastem: interrupted\n"


# ---------------------------------------------------------------------------------------------------------------------
# As a program


def test_version_and_help(capsys):
    for words, expected in [(["--version"], "fastem "), (["--help"], "predict"), (["fit", "--help"], "--covariance")]:
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == 0
        assert expected in capsys.readouterr().out


def test_versions(run):
    told = dict(line.split(None, 1) for line in run("versions").splitlines())
    for module in (fastem, np, scipy):
        assert module.__version__ in told[module.__name__]
    assert platform.python_version() in told["python"]


def program(*words):
    """Runs fastem as a program, away from the source tree."""
    return subprocess.run([sys.executable, "-m", "fastem", *words], capture_output=True, text=True, timeout=120)


def test_as_a_program():
    done = program("fit", "faithful", "--components", "2")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("Gaussian mixture, 2 components")
    done = program("fit", "nowhere", "--components", "2")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("fastem: nowhere: no such file") and done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error(run, model):
    np.save("table.npy", np.tile(X, (500, 1)))  # more text than a pipe holds
    command = [sys.executable, "-m", "fastem", "predict", "model.npz", "table.npy"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "label,probability,log_density\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=120) == 141


def test_fit_with_a_posterior(capsys, tmp_path):
    model = tmp_path / "model.npz"
    command = ["fit", "faithful", "--components", "6", "--bayesian", "--covariance", "tied", "--save", str(model)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("Bayesian Gaussian mixture, 6 components, tied covariance") and "ELBO" in said
    assert "of 6 components" in said
    assert type(fastem.load(model)) is fastem.BayesianGaussianMixture
    assert main(["fit", "faithful", "--components", "2", "--bayesian", "--covariance", "VEV"]) == 2
    assert "'covariance_type' parameter of BayesianGaussianMixture" in capsys.readouterr().err


def test_covariates_are_columns_by_name(tmp_path, capsys):
    rng = np.random.default_rng(0)
    age = rng.uniform(20, 60, 200)
    X = rng.normal(size=(200, 2)) + 4 * (rng.random(200) < 1 / (1 + np.exp(40 - age)))[:, None]
    path, saved = tmp_path / "rows.csv", tmp_path / "model.npz"
    np.savetxt(path, np.column_stack([X, age]), delimiter=",", header="a,b,age", comments="")
    assert main(["fit", str(path), "--components", "2", "--covariates", "age", "--save", str(saved)]) == 0
    assert "columns         2 (a, b)" in capsys.readouterr().out
    assert fastem.load(saved).gate_coefficients_.shape == (2, 2)
    assert main(["fit", str(path), "--components", "2", "--covariates", "age", "--bayesian"]) != 0
    assert "cannot be combined with covariates" in capsys.readouterr().err
