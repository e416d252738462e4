"""How many threads a fit takes, and what must hold beside threads: forks, several fits at once, Ctrl-C.

Whatever cannot be undone in a process (threads that were started, a fork, a signal) happens in one of its own, which
an alarm ends where it hangs.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from instances import STRUCTURES, blobs

from fastem import GaussianMixture, kernels
from fastem.kernels import threads

TYPES = [structure.name for structure in STRUCTURES]
needs_openmp = pytest.mark.skipif(not kernels.OPENMP, reason="built without OpenMP")
on_posix = pytest.mark.skipif(os.name != "posix", reason="signals and forks are POSIX")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads are counted in /proc")

PRELUDE = """
import os, signal, sys, threading, time, warnings
signal.alarm(60)
warnings.simplefilter("ignore")
import numpy as np
from fastem import GaussianMixture
from fastem.kernels import threads

X = np.random.default_rng(0).normal(size=(60_000, 3))

def fit(n_threads=None):
    model = GaussianMixture(4, random_state=0, max_iter=2, n_threads=n_threads).fit(X)
    arrays = model.weights_, model.means_, model.covariances_, model.score_samples(X)
    return b"".join(array.tobytes() for array in arrays)
"""


def run(tmp_path, code, **environment):
    """What a Python process of its own prints; it must end well."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-P", "-c", PRELUDE + code]
    quiet = {"OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}  # no spinning beside other tests
    environment = {**inherited, **quiet, **environment}
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr or f"ended by signal {-process.returncode}"
    return process.stdout


COUNT = """
def running():
    return len(os.listdir("/proc/self/task"))

before = running()
{}
print(running() - before)
"""
LIMITS = """
import threadpoolctl
fit(1)
print(running() - before)
with threadpoolctl.threadpool_limits(1): fit()
print(running() - before)
with threadpoolctl.threadpool_limits(1, user_api='openmp'): fit()
print(running() - before)
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); fit()
"""


@needs_openmp
@on_linux
@pytest.mark.parametrize(
    "code, environment",
    [(LIMITS, {}), ("fit()", {"OMP_NUM_THREADS": "1"}), ("fit()", {"OMP_THREAD_LIMIT": "1"})],
    ids=["set while it runs", "OMP_NUM_THREADS", "OMP_THREAD_LIMIT"],
)
def test_under_a_limit_of_one_no_thread_is_started(tmp_path, code, environment):
    assert set(run(tmp_path, COUNT.format(code), **environment).split()) == {"0"}


@needs_openmp
@on_linux
@pytest.mark.parametrize(
    "code, started",
    [
        ("fit()", threads.available() - 1),
        ("with threadpoolctl.threadpool_limits(1, user_api='blas'): fit()", threads.available() - 1),
        ("with threadpoolctl.threadpool_limits(1): fit(2)", 1),  # what is asked for is not a default
    ],
)
def test_without_a_limit_threads_are_started(tmp_path, code, started):
    if "threadpoolctl" in code:
        code = "import threadpoolctl\n" + code
    assert int(run(tmp_path, COUNT.format(code))) == started


@needs_openmp
def test_limits_of_threadpoolctl_hold_while_they_are_set():
    import threadpoolctl

    before = threads.available()
    for limit in (1, 2):
        with threadpoolctl.threadpool_limits(limit):
            assert threads.available() == min(before, limit)
        assert threads.available() == before


@needs_openmp
@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT"])
def test_the_environment_is_read_anew(monkeypatch, name):
    before = threads.available()
    for value, expected in {"1": 1, "1,4": 1, "10000": before, "": before, "many": before, "0": before}.items():
        monkeypatch.setenv(name, value)
        assert threads.available() == expected


@needs_openmp
@on_linux
@pytest.mark.parametrize(
    "variable",
    [
        "OMP_PROC_BIND=true",
        "OMP_PROC_BIND=close",
        "OMP_PROC_BIND=spread",
        "OMP_PLACES=cores",
        "GOMP_CPU_AFFINITY=0-9999",
    ],
)
def test_a_runtime_that_binds_its_threads_leaves_all_processors(tmp_path, variable):
    """The thread that loads the runtime is then bound to one place, and so are those that it starts later."""
    code = """
from fastem.kernels.workers import parallel_map
print(threads.available())
print(*parallel_map(lambda i: len(os.sched_getaffinity(0)), range(2), 2))
"""
    count = len(os.sched_getaffinity(0))
    assert set(run(tmp_path, code, **dict([variable.split("=")])).split()) == {str(count)}


@needs_openmp
@on_linux
def test_places_are_a_limit(tmp_path):
    first = min(os.sched_getaffinity(0))
    assert run(tmp_path, "print(threads.available())", OMP_PLACES=f"{{{first}}}") == "1\n"


@needs_openmp
@on_linux
@pytest.mark.parametrize("chosen, expected", [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")])
def test_threads_sleep_between_passes_unless_the_user_has_chosen(tmp_path, chosen, expected):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    code = "import os, fastem; print(os.environ.get('OMP_WAIT_POLICY'))"
    process = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        env=inherited | chosen | {"OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
    )
    assert process.stdout.strip() == str(chosen.get("OMP_WAIT_POLICY"))  # nothing stays for other processes
    assert re.search(rf"OMP_WAIT_POLICY\s*=\s*'{expected}'", process.stderr)


LITTLE_MEMORY = """
import resource

X = np.random.default_rng(0).normal(size=(20_000, 3))
expected = fit(1)
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 4 * 2**20, resource.RLIM_INFINITY))
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as heard:
    again = fit(4), fit(4), fit(None)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert again == (expected,) * 3
print(*[w.message for w in heard if "threads can be started" in str(w.message)], sep="\\n")
"""


@needs_openmp
@on_linux
@pytest.mark.parametrize("stack", ["8M", "65536"])
def test_threads_that_cannot_be_started_are_done_without(tmp_path, stack):
    """The runtime would end the process."""
    said = run(tmp_path, LITTLE_MEMORY, OMP_STACKSIZE=stack)
    assert said.startswith("only 1 of 4 threads can be started")
    assert said.count("\n") == 1


MANY_SUMS = """
import resource
import fastem

X = np.random.default_rng(0).normal(size=(20_000, 40))
model = fastem.GaussianMixture(40, max_iter=0, init_params="random_from_data", random_state=0).fit(X).model_
expected = model.e_step_of_block(X, None, 1, {}).vector
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 64 * 2**20, resource.RLIM_INFINITY))
warnings.simplefilter("ignore")
assert np.array_equal(model.e_step_of_block(X, None, 4, {}).vector, expected)
"""


@needs_openmp
@on_linux
def test_threads_that_cannot_be_started_add_up_no_sums(tmp_path):
    """Those of all lanes, which threads add up where there are many."""
    run(tmp_path, MANY_SUMS, OMP_STACKSIZE="1G")


FORK = """
def in_a_child(work):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if work() else 1)
    assert os.waitpid(child, 0)[1] == 0, "a child hung or went wrong"

expected = fit(1)
{before}
in_a_child(lambda: fit() == expected)
in_a_child(lambda: fit(2) == expected)
in_a_child(lambda: in_a_child(lambda: fit(2) == expected) is None and fit() == expected)  # and a child's child
assert fit(2) == expected
in_a_child(lambda: fit() == expected)
"""


@on_posix
@pytest.mark.parametrize(
    "before",
    ["", "fit()", "fit(2)", "thread = threading.Thread(target=fit, args=[2]); thread.start(); thread.join()"],
    ids=["one thread", "the default", "two threads", "two threads below another"],
)
def test_a_child_fits_after_its_parent_did(tmp_path, before):
    run(tmp_path, FORK.format(before=before))


@on_posix
def test_a_pool_of_forked_processes(tmp_path):
    code = """
import multiprocessing
expected = fit(2)
with multiprocessing.get_context("fork").Pool(2, signal.alarm, [30]) as pool:
    assert pool.map(fit, [None, 1, 2, None]) == [expected] * 4
"""
    run(tmp_path, code)


@needs_openmp
@on_linux
def test_a_child_of_a_parent_without_threads_may_start_some(tmp_path):
    code = """
fit(1)
child = os.fork()
signal.alarm(30)  # a child does not inherit its parent's
before = len(os.listdir("/proc/self/task"))
fit(2)
assert len(os.listdir("/proc/self/task")) == before + 1
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    run(tmp_path, code)


@pytest.mark.parametrize("n_threads", [None, 1, 2])
def test_fits_at_once_are_as_correct_as_one_by_one(n_threads):
    def fit(i):
        X = blobs(i, 30_000 + 1000 * i, 2 + i % 3, 4, 2.0).astype(["f8", "f4"][i % 2])
        fitted = GaussianMixture(4, covariance_type=TYPES[i % 4], random_state=i, max_iter=5, n_threads=n_threads)
        model = fitted.fit(X)
        arrays = model.weights_, model.means_, model.covariances_, model.score_samples(X), model.predict_proba(X)
        return b"".join(array.tobytes() for array in arrays)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fit, range(8)))
    assert together == [fit(i) for i in range(8)]


INTERRUPT = """
def interrupt(function):
    main = threading.main_thread().ident
    while sys._current_frames()[main].f_code.co_name != function:  # the pass is not a Python frame
        time.sleep(0.001)
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGINT)

def assert_interrupted(work, function):
    watcher = threading.Thread(target=interrupt, args=[function])
    try:
        watcher.start()
        work()
    except KeyboardInterrupt:
        watcher.join()
    else:
        raise AssertionError("it was not interrupted")

signal.signal(signal.SIGINT, signal.default_int_handler)
expected = fit(1)
{}
assert fit() == expected
"""
ENDLESS = """
many = np.random.default_rng(1).normal(size=(1_000_000, 2))
model = GaussianMixture(8, random_state=0, tol=0, max_iter=10**9)
assert_interrupted(lambda: model.fit(many), "e_step_of_block")
"""
HOURS = """
mixture = GaussianMixture(4, max_iter=1).fit(X[:1000])._mixture()
rows = np.broadcast_to(X[:1], (10**12, 3))
assert_interrupted(lambda: mixture.e_step_of_block(rows, None, {n_threads}, {{}}), "e_step_of_block")
"""
SCORES = """
mixture = GaussianMixture(64, max_iter=1).fit(X[:1000])._mixture()
rows = np.broadcast_to(X[:1], (3 * 10**8, 3))
labels = np.empty(len(rows), np.intp)
assert_interrupted(lambda: mixture.score(rows, {n_threads}, labels=labels), "score")
"""


@on_posix
@pytest.mark.parametrize(
    "code",
    [
        ENDLESS,
        HOURS.format(n_threads=1),
        HOURS.format(n_threads=2),
        SCORES.format(n_threads=2),
    ],
    ids=["a fit", "one pass of hours", "one pass of hours on two threads", "scoring"],
)
def test_ctrl_c_ends_it_and_the_next_fit_is_right(tmp_path, code):
    run(tmp_path, INTERRUPT.format(code))
