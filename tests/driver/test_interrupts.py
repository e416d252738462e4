"""What ends a fit from outside leaves its last complete iteration; a fit that was killed goes on to the same bits."""

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from models import mixed, mixed_mixture

from fastem import FactorAnalysis, GaussianMixture, MixtureOfFactorAnalyzers, StudentTMixture
from fastem.errors import CheckpointError
from fastem.rows.cross_moments import MomentBlocks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6000, 3)) + 3 * RNG.integers(0, 3, (6000, 1))
TESTS = [str(folder) for folder in Path(__file__).parents[:2]]
SETTINGS = {"random_state": 0, "tol": 1e-5, "max_iter": 40}
on_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

FITS = {
    "restarts": lambda: (GaussianMixture(3, n_init=3, **SETTINGS), X),
    "accelerated": lambda: (GaussianMixture(4, n_init=2, accelerate="anderson", **SETTINGS), X),
    "many rows": lambda: (GaussianMixture(3, **SETTINGS), np.tile(X, (17, 1)) + 0.1),  # from a coarse start
    "Student-t": lambda: (StudentTMixture(3, **SETTINGS), X[:1500]),
    "mixed": lambda: (mixed_mixture(3, **SETTINGS), mixed(np.random.default_rng(0), 3000)),
    "factor analyzers": lambda: (MixtureOfFactorAnalyzers(2, n_factors=1, **SETTINGS), X),
    "stream": lambda: (GaussianMixture(3, n_init=2, **SETTINGS), lambda: iter(np.array_split(X, 3))),
}


def reached(model):
    arrays = [array.tobytes() for array in model._fitted_arrays() if array is not None]
    return arrays, model.history_, model.n_iter_, model.log_likelihood_, model.converged_, model.stop_reason_


class Killed(BaseException):
    """What ends a fit as a signal does: after the callback nothing is written."""


def killed_at(n):
    passed = []

    def callback(*result):
        passed.append(result)
        if len(passed) == n:
            raise Killed

    return callback


def count(model, data):
    """A fit that was not interrupted, and its iterations in all restarts."""
    passed = []
    model.fit(data, callback=lambda result: passed.append(result.n_iter))
    return reached(model), len(passed)


@pytest.mark.parametrize("name", FITS)
def test_estimators_are_resumed_to_the_same_bits(name, tmp_path):
    """The state is that of the iteration before; what the process remembers is lost."""
    whole, n = count(*FITS[name]())
    for at in {2, max(2, n // 2), n}:  # the first state is written after the first callback
        path = tmp_path / "fit.ckpt"
        (model, data), kept = FITS[name](), dict(checkpoint=path, checkpoint_seconds=0)
        with pytest.raises(Killed):
            model.fit(data, callback=killed_at(at), **kept)
        assert path.exists()
        model, data = FITS[name]()
        assert reached(model.fit(data, **kept, resume=True)) == whole
        assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
sys.path[:0] = {tests!r}
from test_interrupts import FITS
model, data = FITS["restarts"]()
passed = []
def callback(result):
    passed.append(0)
    if len(passed) == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
model.fit(data, checkpoint={path!r}, checkpoint_seconds=0, callback=callback)
"""


@on_posix
def test_kill_9_in_a_restart(tmp_path):
    path = str(tmp_path / "fit.ckpt")
    whole, n = count(*FITS["restarts"]())
    program = KILLED.format(tests=TESTS, at=n - 1, path=path)
    assert subprocess.run([sys.executable, "-P", "-c", program], timeout=60).returncode == -signal.SIGKILL
    with open(path, "rb") as file:
        assert pickle.load(file)["asked"]["n_init"] == "3"
        assert pickle.load(file)["number"] > 0
    model, data = FITS["restarts"]()
    assert reached(model.fit(data, checkpoint=path, resume=True)) == whole


def test_other_data_are_noticed_at_the_end_of_a_run(tmp_path, monkeypatch):
    """The state of its last iteration is written; the process ends before the fit does."""
    kept = dict(checkpoint=tmp_path / "fit.ckpt", checkpoint_seconds=0)
    whole = GaussianMixture(3, **SETTINGS).fit(X)
    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("fastem.starts.restarts.Progress.end", killed_at(1))
        GaussianMixture(3, **SETTINGS).fit(X, **kept)
    changed = X.copy()
    changed[0, 0] += 1
    with pytest.raises(CheckpointError, match="the data are not those"):
        GaussianMixture(3, **SETTINGS).fit(changed, **kept, resume=True)
    assert reached(GaussianMixture(3, **SETTINGS).fit(X, **kept, resume=True)) == reached(whole)


INTERRUPTED = """
import os, signal, sys, threading, time
import numpy as np
from fastem import GaussianMixture
signal.signal(signal.SIGINT, signal.default_int_handler)
X = np.random.default_rng(0).normal(size=(200_000, 3))

def slow():
    for part in np.array_split(X, 4):
        if len(passed) > 1:
            time.sleep({pause})
        yield part

def callback(result):
    passed.append(time.monotonic())
    if len(passed) == 2:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()

passed = []
model = GaussianMixture(3, random_state=0, tol=0, max_iter=10**9)
try:
    model.fit({source}, callback=callback)
except KeyboardInterrupt:
    assert time.monotonic() - passed[-1] < 20, "it waited for the reader"
    ahead = model.n_iter_ - len(passed)  # 1 where it came between an iteration and its callback
    assert ahead in (0, 1), (model.n_iter_, len(passed))
    assert len(model.history_) == model.n_iter_ + 1
    assert not model.converged_
    assert model.stop_reason_ == "it was interrupted by KeyboardInterrupt"
    assert np.isclose(model.score(X), model.lower_bound_, rtol=1e-12)
    print("interrupted", flush=True)
"""


@on_posix
@pytest.mark.parametrize("source, pause", [("X", 0), ("slow", 0.01), ("slow", 60)])
def test_ctrl_c_keeps_the_last_complete_iteration(source, pause):
    """Also while a reader hangs."""
    program = INTERRUPTED.format(source=source, pause=pause)
    found = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=100)
    assert found.stdout == "interrupted\n", found.stderr


def test_a_callback_that_raises_at_once_keeps_the_first_iteration():
    model = GaussianMixture(2, random_state=0, tol=0)
    with pytest.raises(Killed):
        model.fit(X, callback=killed_at(1))
    assert (model.n_iter_, model.converged_) == (1, False)
    assert model.means_.tobytes() == GaussianMixture(2, random_state=0, max_iter=1, tol=0).fit(X).means_.tobytes()


def test_an_interrupt_before_the_first_iteration_keeps_what_was_there(monkeypatch):
    model = GaussianMixture(2, random_state=0).fit(X)
    before = reached(model)

    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastem.starts.restarts.em", interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert reached(model) == before
    fresh = GaussianMixture(2)
    with pytest.raises(KeyboardInterrupt):
        fresh.fit(X)
    assert not hasattr(fresh, "means_")


def test_an_interrupted_factor_analysis_keeps_its_last_iteration(monkeypatch):
    passes, reduce = [], MomentBlocks.reduce

    def counted(self, *arguments):
        passes.append(self)
        if len(passes) == 5:
            raise KeyboardInterrupt
        return reduce(self, *arguments)

    asked = {"tol": 0, "noise_variance_init": np.ones(3)}
    model = FactorAnalysis(1, **asked)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(MomentBlocks, "reduce", counted)
        model.fit(X)
    assert (model.n_iter_, model.converged_) == (3, False)
    with pytest.warns(UserWarning, match="did not converge.*max_iter=3"):
        three = FactorAnalysis(1, max_iter=3, **asked).fit(X)
    assert model.components_.tobytes() == three.components_.tobytes() and model.loglike_ == three.loglike_
    assert model.noise_variance_.tobytes() == three.noise_variance_.tobytes()
    assert model.stop_reason_ == "it was interrupted by KeyboardInterrupt"
