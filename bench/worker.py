"""One rival, one problem, one process: fit, time, weigh, and print JSON.

Run by path, never imported: ``python -P bench/worker.py …``. The checkout goes to the *end* of the
path, so that ``bench`` is found in it and ``fastem`` only where it is installed (the checkout's own
folder ``fastem/`` need not hold compiled kernels).
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from pathlib import Path
from statistics import median

sys.path.append(str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench.problems import PROBLEMS, Parameters, mean_log_likelihood

LEAST_SECONDS = 1.0  # pairs of fits are repeated until they took this long …
MOST_PAIRS = 15  # … or there are this many


def about(rival) -> dict:
    """What is installed, or how to install it."""
    if not rival.available():
        return {"missing": rival.INSTALL}
    return {"version": rival.version(), "covariances": rival.COVARIANCES}


def run(rival, name: str, folder: str, short: int, long: int, n_threads: int) -> dict:
    """Time an iteration of ``rival`` on the problem ``name``, whose arrays lie in ``folder``."""
    problem = PROBLEMS[name]
    X = np.load(Path(folder, "X.npy"))
    with np.load(Path(folder, "start.npz")) as file:
        start = Parameters(file["weights"], file["means"], file["covariances"])

    def fit(iterations: int):
        return rival.fit(problem, X, start, iterations, n_threads)

    # The code is loaded before the fit, but the first fit starts the threads: they count.
    importlib.import_module(rival.PACKAGE)
    extra_mb = extra_memory_mb(lambda: fit(short))
    per_iteration, spent = [], 0.0
    while not per_iteration or (spent < LEAST_SECONDS and len(per_iteration) < MOST_PAIRS):
        times, mixture = [], None
        for iterations in (short, long):
            begin = time.perf_counter()
            mixture = fit(iterations)
            times.append(time.perf_counter() - begin)
        spent += sum(times)
        per_iteration.append((times[1] - times[0]) / (long - short))
    return {
        "ms": 1e3 * median(per_iteration),
        "log_likelihood": mean_log_likelihood(X, problem.covariance, Parameters(*mixture)),
        "extra_mb": extra_mb,
    }


def extra_memory_mb(work) -> float | None:
    """Peak resident memory during ``work`` minus that before it, in MB; None where not Linux.

    The kernel keeps the peak (VmHWM) and forgets it on demand, so nothing is sampled and nothing
    slips through.
    """
    if not sys.platform.startswith("linux"):
        work()
        return None
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    work()
    return (_status_kb("VmHWM") - before) * 1024 / 1e6


def _status_kb(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1))


if __name__ == "__main__":
    task = json.loads(sys.argv[1])
    rival = importlib.import_module(f"bench.rivals.{task.pop('rival')}")
    answer = run(rival, **task) if task else about(rival)
    print(json.dumps(answer))
