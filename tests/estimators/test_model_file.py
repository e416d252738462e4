"""A saved estimator comes back as it was; whatever else a file may hold is refused with a reason."""

import io
import json
import os
import pickle
import resource
import stat
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from contextlib import contextmanager

import numpy as np
import pandas
import pytest

import fastem
from fastem.datasets import load_faithful
from fastem.driver.atomic_write import written_whole
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


@pytest.mark.parametrize("structure", STRUCTURES)
def test_the_prior_of_constant_data_comes_back(tmp_path, structure):
    model = fastem.GaussianMixture(1, covariance_type=structure, prior="default").fit(np.full((23, 2), 3.0))
    model.save(tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").prior_ == model.prior_


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
    with pytest.warns(UserWarning, match="random_state is a RandomState, .* saved as its default, None") as caught:
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


def test_a_link_stays_and_its_target_is_replaced(model, tmp_path):
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept" / "model.npz", tmp_path / "latest.npz"
    link.symlink_to(target)
    for one in (model, fastem.GaussianMixture(3, random_state=0).fit(X)):  # of a link to nothing, too
        save(one, link)
        assert link.is_symlink() and load(target).n_components == load(link).n_components == one.n_components
    assert os.listdir(target.parent) == ["model.npz"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_the_mode_of_a_file_stays(model, tmp_path, mode):
    path = tmp_path / "model.npz"
    save(model, path)
    path.chmod(mode)
    with monitored(tmp_path) as seen:
        save(model, path)
    assert stat.S_IMODE(path.stat().st_mode) == mode and seen == {mode}


@contextmanager
def monitored(folder):
    """The modes of the files in a folder while numpy writes."""
    seen, savez = set(), np.savez

    def watched(*args, **kwargs):
        seen.update(stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir())
        return savez(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "savez", watched)
        yield seen


KILLED = """
import os, signal, sys, numpy as np, fastem
np.savez = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)
fastem.load(sys.argv[1]).save(sys.argv[1])
"""


def test_what_a_killed_writer_left_is_removed(model, saved):
    subprocess.run([sys.executable, "-P", "-c", KILLED, saved], check=False)
    (left,) = set(saved.parent.iterdir()) - {saved}
    assert left.suffix == ".part" and load(saved).n_components == model.n_components
    others = [saved.with_name(".model.npz.bak.0123abcd.part"), saved.with_name(".model.npz.part")]
    for other in others:
        other.touch()
    with written_whole(saved) as present:  # a writer that is alive
        assert not left.exists()
        save(model, saved)
        assert present.exists()
        present.write_bytes(saved.read_bytes())
    assert set(saved.parent.iterdir()) == {saved, *others}


def test_a_full_disk_names_the_file(model, saved):
    before, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match=r"model\.npz"):
            save(model, saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before and os.listdir(saved.parent) == ["model.npz"]


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


def entry_of(shape, dtype="<f8"):
    """The bytes of an .npy file that declares a shape and holds nothing."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def peak_of(call):
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"damaged|not a usable model"):
        call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("shape", [(3_000_000_000,), (2**40, 2**40), (30_000_000,)])
def test_declared_shapes_are_compared_before_anything_is_read(saved, shape):
    with zipfile.ZipFile(saved, "a") as file:
        file.writestr("noise_box_.npy", entry_of(shape))
    assert peak_of(lambda: load(saved)) < 2e6


def test_a_file_that_unpacks_to_much_more_is_refused(saved):
    with zipfile.ZipFile(saved, "a", zipfile.ZIP_DEFLATED) as file, file.open("noise_box_.npy", "w") as entry:
        entry.write(entry_of((300 << 20,), "|u1"))
        for _ in range(300):
            entry.write(bytes(1 << 20))
    assert saved.stat().st_size < 1 << 20
    assert peak_of(lambda: load(saved)) < 2e6


def test_a_compressed_file_of_a_usual_size_is_read(model, saved):
    with np.load(saved) as file:
        np.savez_compressed(saved, **file)
    assert_same(model, load(saved))


def many_components(header):
    header["parameters"]["n_components"] = 3_000_000_000


def many_that_were_dropped(header):
    header["parameters"] |= {"n_components": 3_000_000_000, "on_collapse": "drop"}


def many_columns(header):
    header["attributes"]["n_features_in_"] = 10**30


@pytest.mark.parametrize("change", [many_components, many_columns])
@pytest.mark.parametrize("make", [fastem.GaussianMixture, fastem.PoissonMixture, fastem.MixedMixture])
def test_sizes_in_the_header_are_compared_before_they_are_used(tmp_path, make, change):
    path = tmp_path / "model.npz"
    make(2, random_state=0, tol=1).fit(X.round()).save(path)
    rewrite(path, change)
    assert peak_of(lambda: load(path)) < 2e6


def test_a_parameter_may_be_larger_than_what_is_left(saved):
    rewrite(saved, many_that_were_dropped)
    tracemalloc.start()
    assert load(saved).n_components == 3_000_000_000
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()


def test_nested_too_deeply(saved):
    with np.load(saved) as file:
        arrays = dict(file) | {HEADER: np.array("[" * 100_000)}
    np.savez(saved, **arrays)
    with pytest.raises(ValueError, match="not a model file"):
        load(saved)


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


@pytest.mark.parametrize(
    "cls, given",
    [
        (fastem.GaussianMixture, {"stop": lambda result: result.n_iter > 3}),
        (fastem.GaussianMixture, {"init_params": lambda X, K, rng: np.arange(len(X)) % K}),
        (fastem.BayesianGaussianMixture, {"stop": lambda result: result.n_iter > 3}),
        (fastem.ExponentialMixture, {"stop": lambda result: result.n_iter > 3}),
        (fastem.StudentTMixture, {"init_params": lambda X, K, rng: np.arange(len(X)) % K}),
        (fastem.FactorAnalysis, {"stop": lambda result: result.n_iter > 3}),
    ],
)
def test_functions_are_saved_as_defaults(tmp_path, cls, given):
    (name,) = given
    model = cls(1 if cls is fastem.FactorAnalysis else 2, random_state=0, **given)
    model.fit(X)
    default = cls().get_params()[name]
    with pytest.warns(
        UserWarning, match=f"{name} is a function, which .* It is saved as its default, '{default}'. Set"
    ):
        model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert getattr(again, name) == default
    np.testing.assert_array_equal(again.means_ if hasattr(again, "means_") else 0, getattr(model, "means_", 0))
