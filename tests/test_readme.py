"""The Python of the README and of the site runs as it stands there; a few lines stand in for engines."""

import pickle
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import scipy
from matplotlib import pyplot

import fastem

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted(page for page in (ROOT / "docs").rglob("*.md") if "build" not in page.parts)]
BLOCK = re.compile(r"^```(python|\{code-block\} python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = {str(page.relative_to(ROOT)): BLOCK.findall(page.read_text(encoding="utf-8")) for page in PAGES}
BLOCKS = [text for fences in FENCES.values() for _, text in fences]
APART = {"docs/pages/cluster.md"}  # engines that are not here


def block(word):
    """The one block with this word in it."""
    (found,) = (text for text in BLOCKS if word in text)
    return compile(found, README.name, "exec")


@pytest.fixture
def X():
    rng = np.random.default_rng(0)
    return rng.normal(size=(3000, 2)) + np.where(rng.random((3000, 1)) < 0.8, 0, [2, 1])


@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: text.splitlines()[-1][:30])
def test_every_block_is_python(text):
    compile(text, README.name, "exec")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("page", [name for name, fences in FENCES.items() if name not in APART and fences])
def test_every_page_runs(page, tmp_path, monkeypatch):
    """From top to bottom, as a reader would run it; what stands as {code-block} needs what is not here."""
    pyplot.switch_backend("agg")
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, text in FENCES[page]:
        if kind == "python":
            exec(compile(text, page, "exec"), names)
    pyplot.close("all")


def test_measurement_errors():
    names = {"fastem": fastem, "np": np, "X": fastem.datasets.load_faithful().data}
    exec(block("denoise"), names)
    assert names["means"].shape == names["rows"].shape == (272, 2) and names["covariances"].shape == (272, 2, 2)


@pytest.mark.filterwarnings("error")
def test_the_relative_entropy_of_certain_classes_is_one():
    page = (ROOT / "docs" / "coming_from" / "stepmix.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"^\| `relative_entropy\(X\)` \| `(.*?)`", page, re.MULTILINE)
    (code,) = re.findall(r"^relative_entropy = (.*?)  #", page, re.MULTILINE)
    known = {"np": np, "scipy": scipy, "xlogy": scipy.special.xlogy, "n": 3, "K": 2}
    for posteriors, expected in ((np.eye(2)[[0, 1, 0]], 1), (np.full((3, 2), 0.5), 0)):
        assert [eval(formula, known | {"r": posteriors}) for formula in (table, code)] == [expected] * 2


def test_priors_and_constraints():
    names = {"fastem": fastem, "X": fastem.datasets.load_faithful().data}
    exec(block("max_eigenvalue_ratio"), names)
    assert names["speaker"].predict(names["X"]).shape == (len(names["X"]),)


def test_the_first_example(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {}
    exec("".join(text for _, text in FENCES["README.md"]), found)
    assert len(found["labels"]) == len(found["X"]) and Path("model.npz").exists()


def test_the_example_of_noise_and_labels():
    found = {}
    exec(block("numbered = fastem"), found)
    assert (found["clusters"][400:] == -1).mean() > 0.8 > 0.1 > (found["clusters"][:400] == -1).mean()
    assert (found["numbered"] == np.repeat([1, 0], 200)).mean() > 0.95


class Ranks:
    """What the example asks of a communicator, with a thread for each rank."""

    def __init__(self, size):
        self.barrier, self.own, self.sent = threading.Barrier(size, timeout=60), threading.local(), [None] * size

    @property
    def rank(self):
        return self.own.rank

    def bcast(self, thing):
        self.sent[self.rank] = pickle.dumps(thing)
        self.barrier.wait()
        received = pickle.loads(self.sent[0])
        self.barrier.wait()  # the first rank's next sum would take its place
        return received

    def Allreduce(self, in_place, vector):
        self.sent[self.rank] = vector.copy()
        self.barrier.wait()
        vector[:] = np.sum(self.sent, axis=0)
        self.barrier.wait()


def test_mpi(X, tmp_path, monkeypatch):
    """Both ranks end with the model of all rows."""
    monkeypatch.chdir(tmp_path)
    np.save("rows-0.npy", X[:1000])
    np.save("rows-1.npy", X[1000:])
    mpi4py, ranks = ModuleType("mpi4py"), Ranks(2)
    mpi4py.MPI = SimpleNamespace(COMM_WORLD=ranks, IN_PLACE=None)
    monkeypatch.setitem(sys.modules, "mpi4py", mpi4py)
    code = block("mpi4py")

    def run(rank):
        ranks.own.rank, found = rank, {}
        exec(code, found)
        return found["result"]

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(run, range(2)))
    assert np.array_equal(both[0].model.parameters(), both[1].model.parameters())
    start = fastem.GaussianMixture(2, max_iter=0, random_state=0).fit(X[:1000]).model_
    whole = fastem.em(start, X)
    assert both[0].n_iter == whole.n_iter > 1
    assert np.allclose(both[0].model.parameters(), whole.model.parameters(), rtol=1e-9)


def test_the_model_is_chosen(X):
    pyplot.switch_backend("agg")
    found = {"fastem": fastem, "plot": fastem.plot, "X": X[:300]}
    exec(block("covariance_types=["), found)
    pyplot.close("all")
    assert len(found["labels"]) == 300 and 0 < found["test"].p_value <= 1 and len(found["errors"].weights)


def test_the_example_of_a_posterior():
    names = {"fastem": fastem, "X": fastem.datasets.load_faithful().data}
    exec(block("model.prune()"), names)
    assert names["small"].n_components == names["model"].n_components_ <= 8
    assert type(names["theirs"]).__module__.startswith("sklearn") and names["best"].n_components < 6
