"""What a fit tells while it runs, to whom, and that nothing is left of it afterwards."""

import io
import logging
import math
import re
import sys

import pytest
import tqdm.auto

from fastem import GaussianMixture
from fastem.datasets import load_faithful
from fastem.driver.progress import Progress, logger, remaining_iterations

X = load_faithful().data


class Bars(io.StringIO):
    """What bars of tqdm write, all states of them; and the bars."""

    def __init__(self):
        super().__init__()
        self.opened = []

    def open(self, **given):
        self.opened.append(tqdm.std.tqdm(file=self, mininterval=0, miniters=1, ncols=200, **given))
        return self.opened[-1]


@pytest.fixture
def bar_in(monkeypatch):
    bars = Bars()
    monkeypatch.setattr(tqdm.auto, "tqdm", bars.open)
    return bars


class Heard(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append((record.levelname, record.getMessage()))


@pytest.fixture
def heard():
    """Somebody listens to the logger."""
    handler, level = Heard(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.lines
    logger.removeHandler(handler)
    logger.setLevel(level)


def fit(**given):
    settings = {"init_params": "kmeans", "stop": "log_likelihood", "accelerate": None}
    return GaussianMixture(2, random_state=0, tol=1e-6, max_iter=200, **settings, **given).fit(X)


def test_the_bar_tells_where_the_fit_is(bar_in):
    model = fit(verbose="bar")
    states = bar_in.getvalue().split("\r")
    last = states[-1]
    assert last.startswith("converged: 100%") and f"{model.n_iter_}/{model.n_iter_}" in last
    told = re.search(r"log-likelihood=(\S+), change=(\S+), rows/s=(\S+)\]", last)
    assert math.isclose(float(told[1]), model.lower_bound_, rel_tol=1e-5)
    assert math.isclose(float(told[2]), model.history_[-1] - model.history_[-2], rel_tol=0.05)
    assert float(told[3]) > 0
    totals = dict(re.search(r" (\d+)/(\d+) \[", state).groups() for state in states if "/" in state)
    left = [remaining_iterations(model.history_[: n + 1], 1e-6) for n in range(1, model.n_iter_ + 1)]
    assert totals == {"0": "200"} | {str(n): str(min(200, n + more)) for n, more in enumerate(left, start=1)}
    assert any(0 < more < 200 for more in left)  # an end is in sight before it comes


def test_a_bar_for_each_start(bar_in):
    fit(verbose="bar", n_init=3)
    assert all(f"start {i}" in bar_in.getvalue() for i in range(3))


def test_a_bar_that_does_not_converge_says_so(bar_in):
    with pytest.warns(UserWarning, match="did not converge"):
        GaussianMixture(3, random_state=0, tol=0, max_iter=3, verbose="bar").fit(X)
    assert "did not converge" in bar_in.getvalue().split("\r")[-1]


def test_a_bar_that_a_callback_ends_is_full(bar_in):
    with pytest.warns(UserWarning, match="the callback asked to stop"):
        model = GaussianMixture(3, init_params="kmeans", random_state=0, tol=1e-9, verbose="bar")
        model.fit(X, callback=lambda result: result.n_iter == 4)
    assert " 4/4 [" in bar_in.getvalue().split("\r")[-1]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_end_is_that_of_a_geometric_sequence(rate):
    history = [-(rate**i) for i in range(4)]
    tol = 1e-8
    left = remaining_iterations(history, tol)
    gains = [(1 - rate) * rate**i for i in range(1000)]
    assert abs(3 + left - next(i + 1 for i, gain in enumerate(gains) if gain <= tol)) <= 1
    assert remaining_iterations(history, 1.0) == 0


@pytest.mark.parametrize("history, tol", [([0.0, 1.0], 1e-3), ([0.0, 1.0, 3.0], 1e-3), ([0.0, 2.0, 3.0], 0.0)])
def test_an_end_that_is_not_in_sight(history, tol):
    assert remaining_iterations(history, tol) == sys.maxsize


def test_who_listens_hears(heard, capsys):
    model = fit(verbose_interval=2)
    levels, lines = zip(*heard)
    assert set(levels) == {"INFO"}
    assert lines[0] == "Initialization 0"
    told = [re.fullmatch(r"  Iteration (\d+)\t time lapse \S+s\t ll change (\S+)", line) for line in lines[1:-1]]
    assert [int(line[1]) for line in told] == list(range(2, model.n_iter_ + 1, 2))
    changes = [after - before for before, after in zip(model.history_, model.history_[1:])]
    assert [line[2] for line in told] == [f"{change:.5f}" for change in changes[1::2]]
    assert lines[-1] == f"Initialization converged. Lower bound {model.lower_bound_:.5f}"
    assert capsys.readouterr() == ("", "")


def test_verbose_does_not_tell_twice(heard, capsys):
    fit(verbose=1)
    assert heard and capsys.readouterr() == ("", "")


def test_silence(capsys):
    fit()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [1, 2, "bar"])
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_behind(verbose, error, capsys, bar_in):
    before = list(logger.handlers), logger.level, logger.propagate
    if error is None:
        fit(verbose=verbose)
    else:

        def fails(result):
            raise error("in the callback")

        with pytest.raises(error):
            GaussianMixture(2, verbose=verbose).fit(X, callback=fails)
    assert (list(logger.handlers), logger.level, logger.propagate) == before
    assert all(bar.disable for bar in bar_in.opened)  # as closed ones are
    assert len(bar_in.opened) == (verbose == "bar")
    told = capsys.readouterr().out + bar_in.getvalue()
    assert "start 0" in told or "Initialization 0" in told
    fit()
    assert capsys.readouterr() == ("", "")


def test_without_tqdm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.delitem(sys.modules, "tqdm.auto", raising=False)
    with pytest.raises(ImportError, match=r"needs tqdm .*pip install 'fastem\[progress\]'"):
        fit(verbose="bar")


def test_notebooks_have_a_bar_of_their_own():
    """tqdm.auto chooses it."""
    from fastem.driver.progress import open_bar

    bar = open_bar(3, "start 0")
    bar.close()
    assert isinstance(bar, tqdm.auto.tqdm)


def test_the_rate_is_left_out_where_rows_are_not_counted(bar_in):
    class Result:
        history, n_iter = (0.0, 1.0), 1

    with Progress("bar") as progress:
        progress(Result)
    assert "rows/s" not in bar_in.getvalue() and "change=1" in bar_in.getvalue()
