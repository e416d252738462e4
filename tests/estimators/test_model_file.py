"""A saved estimator comes back as it was; whatever else a file may hold is refused with a reason."""

import json
import os
import pickle
import warnings
import zipfile

import numpy as np
import pandas
import pytest

import fastem
from fastem.datasets import load_faithful
from fastem.estimators.model_file import HEADER, save
from fastem.families.load import load

X = load_faithful().data
STRUCTURES = ["full", "tied", "diag", "spherical", "EII", "VEI", "EVE", "VEV"]


@pytest.fixture(scope="module")
def model():
    return fastem.GaussianMixture(2, random_state=0).fit(X)


@pytest.fixture
def saved(model, tmp_path):
    """The path of a saved model."""
    path = tmp_path / "model.npz"
    save(model, path)
    return path


def rewrite(path, change_header=lambda header: None, **changed):
    """Changes a model file: its header in place, its arrays by name; None removes one, whatever the header says."""
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files}
    header = json.loads(str(entries[HEADER]))
    change_header(header)
    entries[HEADER] = np.array(json.dumps(header))
    entries = {name: array for name, array in {**entries, **changed}.items() if array is not None}
    with open(path, "wb") as file:
        np.savez(file, **entries)


def assert_same(first, second):
    assert type(first) is type(second)
    np.testing.assert_array_equal(first.score_samples(X), second.score_samples(X))
    np.testing.assert_array_equal(first.predict_proba(X), second.predict_proba(X))
    for name in (*first._saved_arrays, *first._saved_scalars):
        assert hasattr(first, name) == hasattr(second, name), name
        np.testing.assert_array_equal(getattr(first, name, None), getattr(second, name, None), err_msg=name)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("n_components", [1, 2, 5])
def test_round_trip(tmp_path, structure, n_components):
    model = fastem.GaussianMixture(n_components, covariance_type=structure, random_state=3).fit(X)
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert_same(model, again)
    assert again.get_params() == model.get_params()
    np.testing.assert_array_equal(again.covariances_, model.covariances_)
    np.testing.assert_array_equal(again.precisions_, model.precisions_)


def test_round_trip_of_one_column(tmp_path):
    model = fastem.GaussianMixture(2, random_state=0).fit(X[:, :1])
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(X[:, :1]), model.predict(X[:, :1]))


def test_method_and_function_are_the_same(model, tmp_path):
    model.save(str(tmp_path / "model.npz"))
    assert_same(model, fastem.load(str(tmp_path / "model.npz")))


def test_a_loaded_model_can_be_saved_fitted_and_pickled(model, saved, tmp_path):
    again = load(saved)
    save(again, tmp_path / "second.npz")
    assert_same(model, load(tmp_path / "second.npz"))
    assert_same(model, pickle.loads(pickle.dumps(again)))
    assert_same(model, again.fit(X))


def test_column_names_come_back(tmp_path):
    frame = pandas.DataFrame(X, columns=["eruptions", "waiting"])
    model = fastem.GaussianMixture(2, random_state=0).fit(frame)
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert again.feature_names_in_.tolist() == ["eruptions", "waiting"]
    assert again.feature_names_in_.dtype == object
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(again.predict(frame), model.predict(frame))


@pytest.mark.parametrize("as_array", [np.asarray, list])
def test_array_parameters_come_back(tmp_path, as_array):
    start = {"weights_init": [0.25, 0.75], "means_init": [[2.0, 50.0], [4.0, 80.0]]}
    start = {name: as_array(value) for name, value in start.items()}
    save(fastem.GaussianMixture(2, random_state=0, **start).fit(X), tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    for name, value in start.items():
        assert type(getattr(again, name)) is type(value)
        np.testing.assert_array_equal(getattr(again, name), value)
    again.fit(X)


def test_numpy_numbers_as_parameters(tmp_path):
    model = fastem.GaussianMixture(np.int64(2), tol=np.float64(1e-4), random_state=np.int64(5)).fit(X)
    save(model, tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").get_params() == model.get_params()


def test_what_a_file_cannot_hold_is_named(tmp_path):
    model = fastem.GaussianMixture(2, random_state=np.random.RandomState(0)).fit(X)
    with pytest.warns(UserWarning, match="random_state is a RandomState, .* saved as None") as caught:
        model.save(tmp_path / "model.npz")
    assert caught[0].filename == __file__ and len(caught) == 1
    again = load(tmp_path / "model.npz")
    assert again.random_state is None
    assert_same(model, again)


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def test_the_path_is_taken_as_it_is(model, tmp_path):
    save(model, tmp_path / "model.v2")
    assert os.listdir(tmp_path) == ["model.v2"]
    assert_same(model, load(tmp_path / "model.v2"))


def test_a_file_is_replaced_whole_or_not_at_all(model, saved, monkeypatch):
    before = saved.read_bytes()

    def interrupted(*args, **kwargs):
        args[0].write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            save(model, saved)
    assert os.listdir(saved.parent) == ["model.npz"]
    assert saved.read_bytes() == before
    save(fastem.GaussianMixture(3, random_state=0).fit(X), saved)
    assert os.listdir(saved.parent) == ["model.npz"]
    assert load(saved).n_components == 3


def test_saving_where_one_cannot(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save(model, tmp_path / "nowhere" / "model.npz")
    with pytest.raises(ValueError, match="it is a folder"):
        save(model, tmp_path)
    with pytest.raises(ValueError, match="not fitted yet"):
        save(fastem.GaussianMixture(2), tmp_path / "model.npz")
    assert os.listdir(tmp_path) == []


# ---------------------------------------------------------------------------------------------------------------------
# Reading what is not a model


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model\.npz: no such file"):
        load(tmp_path / "model.npz")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 and no more"])
def test_not_an_archive(tmp_path, content):
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(ValueError, match="not a model file: not an npz archive"):
        load(tmp_path / "model.npz")


def test_foreign_archives(tmp_path):
    path = tmp_path / "model.npz"
    np.savez(path, weights=np.ones(2))
    with pytest.raises(ValueError, match=f"not a model file: it contains weights and no {HEADER}"):
        load(path)
    np.savez(path, **{HEADER: np.ones(2)})
    with pytest.raises(ValueError, match="not a model file"):
        load(path)
    np.savez(path, **{HEADER: np.array('{"format": "other", "format_version": 1}')})
    with pytest.raises(ValueError, match="its format is 'other'"):
        load(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"not a model file|damaged"):
        load(path)


def test_nothing_is_unpickled(saved):
    class Bomb:
        def __reduce__(self):
            return (exec, ("raise SystemExit('unpickled')",))

    rewrite(saved, weights_=np.array([Bomb()], dtype=object))
    with pytest.raises(ValueError, match=r"damaged .*allow_pickle=False"):
        load(saved)


def set_key(**values):
    return lambda header: header.update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_key(format_version=99, fastem="7.0"), ["version 99", "fastem 7.0", "reads version 1"]),
        ({"class": "Pickle"}, ["'Pickle'", "GaussianMixture"]),
        (lambda header: header.pop("class"), ["'class' is missing"]),
        (lambda header: header.pop("attributes"), ["'attributes' is missing"]),
        (lambda header: header["parameters"].update(colour=1), ["colour"]),
        (lambda header: header["attributes"].update(predict=1), ["predict", "cannot be part"]),
        (lambda header: header["arrays"].pop("means_"), ["declares", "means_"]),
        (lambda header: header["arrays"]["means_"].update(shape=[2, 3]), ["means_", "(2, 2)", "(2, 3)"]),
        (lambda header: header["arrays"]["means_"].update(dtype="<f4"), ["means_", "<f4", "<f8"]),
        (set_key(arrays=3), ["damaged"]),
        (set_key(attributes=[1]), ["cannot be part"]),
    ],
)
def test_a_changed_header(saved, change, words):
    rewrite(saved, set_key(**change) if isinstance(change, dict) else change)
    with pytest.raises(ValueError) as caught:
        load(saved)
    assert all(word in str(caught.value) for word in ["model.npz", *words]), caught.value


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("means_", None, ["declares", "means_"]),
        ("extra", np.ones(2), ["it contains", "extra"]),
        ("means_", np.ones((2, 3)), ["means_", "(2, 3)", "(2, 2)"]),
        ("means_", np.ones((2, 2), dtype="f4"), ["means_", "f4"]),
        ("means_", np.array([[1.0, np.nan], [1.0, 2.0]]), ["means_", "nan", "(0, 1)", "finite"]),
        ("means_", np.array([["a", "b"], ["c", "d"]]), ["means_", "U1"]),
        ("weights_", np.array([1.0, 1.0]), ["weights"]),
        ("weights_", np.array([-0.5, 1.5]), ["weights"]),
        ("covariances_", np.array([[[1.0, 2.0], [2.0, 1.0]]] * 2), ["covariance"]),
    ],
)
def test_changed_arrays(saved, name, array, words):
    rewrite(saved, **{name: array})
    with pytest.raises(ValueError) as caught:
        load(saved)
    assert all(word in str(caught.value) for word in ["model.npz", *words]), caught.value


@pytest.mark.parametrize("structure", STRUCTURES)
def test_covariances_that_are_none(tmp_path, structure):
    path = tmp_path / "model.npz"
    save(fastem.GaussianMixture(2, covariance_type=structure, random_state=0).fit(X), path)
    with np.load(path) as file:
        negative = -file["covariances_"]
    rewrite(path, covariances_=negative)
    with pytest.raises(ValueError, match=r"not a usable model: .*(positive|covariance)"):
        load(path)


def test_arrays_that_do_not_fit_together(saved):
    means = np.ones((3, 2))

    def declare(header):
        header["arrays"]["means_"]["shape"] = [3, 2]

    rewrite(saved, declare, means_=means)
    with pytest.raises(ValueError, match=r"not a usable model: .*\(3,"):
        load(saved)


def test_every_cut_is_noticed(saved):
    content = saved.read_bytes()
    for length in np.linspace(0, len(content) - 1, 60).astype(int):
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"model\.npz"):
            load(saved)


def test_flipped_bytes_are_noticed_or_harmless(model, saved):
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    noticed = 0
    for place in rng.choice(len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        saved.write_bytes(damaged)
        try:
            again = load(saved)
        except ValueError as error:
            noticed += 1
            assert "model.npz" in str(error)
        else:  # a date or an attribute of the archive's own
            assert_same(model, again)
    assert noticed > 200
