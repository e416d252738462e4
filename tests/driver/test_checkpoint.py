"""A fit that is killed at any moment goes on where it was, with the same bits; other states are refused."""

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastem import GaussianMixture, em
from fastem.driver.checkpoint import Checkpoint
from fastem.errors import CheckpointError
from fastem.models.gaussian.diagonal import Diagonal
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture

X = np.random.default_rng(0).normal(size=(3000, 2)) + 2 * np.random.default_rng(1).integers(0, 3, (3000, 1))


def start(K=4):
    means = np.random.default_rng(2).normal(size=(K, 2))
    covariance = Diagonal.from_covariances(np.ones((K, 2)), np.zeros(2))
    return Mixture(np.full(K, 1 / K), Gaussian(means, covariance, np.zeros(2)))


def stored(path):
    """What goes before the state in a checkpoint, and the state."""
    with open(path, "rb") as file:
        return pickle.load(file), pickle.load(file)


def bits(result):
    return result.statistics.vector.tobytes(), result.history, result.n_iter, result.n_passes, result.stop_reason


class Stop(Exception):
    """What ends a fit in the middle."""


def stop_after(n):
    def callback(result):
        if result.n_iter == n:
            raise Stop

    return callback


@pytest.mark.parametrize("accelerate", [None, "anderson", "squarem"])
@pytest.mark.parametrize("n", [1, 7, 23])
def test_a_resumed_fit_has_the_same_bits(tmp_path, accelerate, n):
    """The state is written after each iteration; the one in which the fit ends is lost."""
    settings = dict(tol=1e-7, max_iter=60, accelerate=accelerate)
    whole = em(start(), X, **settings)
    kept = dict(checkpoint=tmp_path / "fit.ckpt", checkpoint_seconds=0)
    with pytest.raises(Stop):
        em(start(), X, **settings, **kept, callback=stop_after(n))
    assert (tmp_path / "fit.ckpt").exists() == (n > 1)
    resumed = em(start(), X, **settings, **kept, resume=True)
    assert bits(resumed)[:3] == bits(whole)[:3]
    assert resumed.stop_reason == whole.stop_reason
    assert [step[:5] for step in resumed.steps] == [step[:5] for step in whole.steps]
    assert not (tmp_path / "fit.ckpt").exists()


KILLED = """
import sys
sys.path[:0] = {tests!r}
from test_checkpoint import X, start
from fastem import em
tell = lambda result: print(result.n_iter, flush=True)
em(start(), X, tol=0, max_iter=10**6, checkpoint={path!r}, checkpoint_seconds=0, callback=tell)
"""


def test_kill_9_and_resume(tmp_path):
    path = str(tmp_path / "fit.ckpt")
    program = KILLED.format(tests=[str(folder) for folder in Path(__file__).parents[:2]], path=path)
    process = subprocess.Popen([sys.executable, "-P", "-c", program], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) >= 9:
            process.send_signal(signal.SIGKILL)
            break
    process.wait(60)
    process.stdout.close()
    reached = stored(path)[1].n_iter
    assert reached >= 8
    settings = dict(tol=0, max_iter=reached + 12)
    resumed = em(start(), X, **settings, checkpoint=path, resume=True)
    assert bits(resumed)[:3] == bits(em(start(), X, **settings))[:3]


def interrupted(path, data=X, **settings):
    with pytest.raises(Stop):
        em(start(), data, tol=0, checkpoint=path, checkpoint_seconds=0, callback=stop_after(5), **settings)


def test_other_data_are_noticed(tmp_path):
    path = tmp_path / "fit.ckpt"
    interrupted(path)
    changed = X.copy()
    changed[1234, 1] += 1e-9
    with pytest.raises(CheckpointError, match="the data are not those of the fit"):
        em(start(), changed, tol=0, checkpoint=path, resume=True)
    assert path.exists()


def test_another_start_is_noticed(tmp_path):
    path, other = tmp_path / "fit.ckpt", start()
    interrupted(path)
    other = Mixture(np.array([0.4, 0.2, 0.2, 0.2]), other.emission)
    with pytest.raises(CheckpointError, match=r"another fit: start was 'array .* and is 'array "):
        em(other, X, tol=0, checkpoint=path, resume=True)
    path.unlink()
    half = em(start(), X, tol=0, max_iter=2)
    with pytest.raises(Stop):  # the result has gone on when it is resumed
        em(half, X, tol=0, checkpoint=path, checkpoint_seconds=0, callback=stop_after(5))
    assert em(half, X, tol=0, max_iter=7, checkpoint=path, resume=True).n_iter == 7


def by_labels(labels):
    return lambda X, n_components, rng: labels


SEEDED = np.random.default_rng(1)
DRAWN = [np.random.default_rng() for _ in range(2)]
HALVES = np.arange(len(X)) % 2
DEADLINES = [lambda result, end=end: result.n_iter > end for end in (1e3, 1e4)]


@pytest.mark.parametrize(
    "name, first, other, noticed",
    [
        ("init_params", lambda X, K, rng: (X[:, 0] > 1).astype(int), lambda X, K, rng: (X[:, 1] > 1).astype(int), True),
        ("init_params", by_labels(HALVES), by_labels(1 - HALVES), True),
        ("init_params", by_labels(HALVES), by_labels(HALVES.copy()), False),
        ("random_state", SEEDED, np.random.default_rng(2), True),
        ("random_state", SEEDED, SEEDED, False),
        ("random_state", *DRAWN, False),
        ("stop", *DEADLINES, False),
    ],
)
def test_another_function_or_seed_is_noticed(tmp_path, name, first, other, noticed):
    path = tmp_path / "fit.ckpt"
    settings = {"init_params": "random", "random_state": 0, "tol": 0, "accelerate": None, "max_iter": 7}
    with pytest.raises(Stop):
        GaussianMixture(2, **settings | {name: first}).fit(
            X, checkpoint=path, checkpoint_seconds=0, callback=stop_after(5)
        )
    resumed = GaussianMixture(2, **settings | {name: other})
    if noticed:
        with pytest.raises(CheckpointError, match=f"another fit: {name} was '.*' and is '"):
            resumed.fit(X, checkpoint=path, resume=True)
    else:
        assert resumed.fit(X, checkpoint=path, resume=True).n_iter_ == 7


@pytest.mark.parametrize(
    "what, words",
    [
        ("not asked to resume", "exists already.*resume=True.*delete it"),
        ("other tol", "another fit: tol was 0 and is 0.1"),
        ("damaged", "cannot be read as a checkpoint"),
        ("another pickle", "not a checkpoint of this version"),
        ("no pickle", "cannot be read as a checkpoint"),
        ("other kernels", "written with the sse9 kernels"),
        ("other version", "written by fastem 0.0.0"),
        ("other model", "another fit: n_parameters was 19 and is 14"),
    ],
)
def test_what_cannot_be_resumed_is_refused(tmp_path, what, words):
    path = tmp_path / "fit.ckpt"
    interrupted(path)
    if what == "damaged":
        path.write_bytes(path.read_bytes()[:100])
    elif what == "another pickle":
        path.write_bytes(pickle.dumps([1, 2]))
    elif what == "no pickle":
        path.write_text("Fhello\n.")
    elif what.startswith("other ") and what != "other tol":
        other = {"other kernels": {"instruction_set": "sse9"}, "other version": {"fastem": "0.0.0"}}.get(what, {})
        head, state = stored(path)
        path.write_bytes(pickle.dumps(head | other) + pickle.dumps(state))
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=words):
        em(
            start(3 if what == "other model" else 4),
            X,
            tol=0.1 if what == "other tol" else 0,
            checkpoint=path,
            resume=what != "not asked to resume",
        )
    assert path.read_bytes() == before


class Never:
    """A model that must not be asked."""

    def e_step(self, X, sample_weight):
        raise AssertionError("the fit has begun")

    m_step = e_step


@pytest.mark.parametrize("place", ["nowhere/fit.ckpt", ".", "file/fit.ckpt", "/proc/fit.ckpt"])
def test_a_place_that_cannot_be_written_is_found_before_the_fit(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="checkpoint="):
        em(Never(), X, checkpoint=tmp_path / place)


def test_a_model_without_a_pickle_is_found_before_the_fit(tmp_path):
    class Local(Never):
        pass

    with pytest.raises(CheckpointError, match="Local cannot be stored"):
        em(Local(), X, checkpoint=tmp_path / "fit.ckpt")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_no_fit(tmp_path):
    """Each state is larger than a file may be; Python ignores the signal, and writing fails."""
    resource = pytest.importorskip("resource")
    path, limits = tmp_path / "fit.ckpt", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match="cannot be written.*The fit goes on"):
            found = em(start(), X, tol=0, max_iter=3, checkpoint=path, checkpoint_seconds=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert bits(found) == bits(em(start(), X, tol=0, max_iter=3))
    assert not list(tmp_path.iterdir())


def test_a_state_is_written_whole_or_not_at_all(tmp_path):
    checkpoint = Checkpoint(tmp_path / "fit.ckpt", {}, seconds=0)
    checkpoint.write("first")
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.write(lambda: (yield))  # nothing that can be pickled
    assert stored(tmp_path / "fit.ckpt")[1] == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["fit.ckpt"]


def test_going_on_from_a_result():
    """An EMResult in the place of the model: the same as if it had not stopped."""
    half = em(start(), X, tol=0, max_iter=10, accelerate="anderson")
    assert (
        bits(em(half, X, tol=0, max_iter=25))[:3] == bits(em(start(), X, tol=0, max_iter=25, accelerate="anderson"))[:3]
    )
