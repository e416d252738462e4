"""Choosing among 126 models: fourteen families, one to nine components; beside mclust, where R has it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from bench.contest import FASTEM, Session, WorkerError
from bench.report import Section, medians, ratio, table

SIZES = [(150, 4), (178, 13), (2000, 4), (15_000, 4)]  # rows, columns
COMPONENTS, FEWER = 9, 3
LEAST = 5  # times faster than mclust
CLEARLY = 1.0  # difference of BIC
MCLUST = replace(FASTEM, name="mclust")
SCRIPT = """
suppressMessages(library(mclust))
set.seed(1)
X <- as.matrix(read.csv("{path}", header = FALSE))
begun <- proc.time()
found <- mclustBIC(X, G = 1:{K}, verbose = FALSE)
cat((proc.time() - begun)[["elapsed"]], "\\n")
for (name in colnames(found)) for (K in rownames(found)) cat(name, K, format(found[K, name], digits = 12), "\\n")
"""
COLUMNS = {
    "rows × columns": ("shape", "s"),
    "models": ("models", "d"),
    "seconds": ("seconds", ".2f"),
    "ms per model": ("each", ".0f"),
    "sound": ("sound", "d"),
    "best": ("best", "s"),
    "mclust seconds": ("mclust", ".2f"),
    "its time / ours": ("ratio", ".1f"),
    "BIC better than its": ("better", "d"),
    "worse": ("worse", "d"),
}
LEGEND = """\
fastem.select with default settings on rows of five Gaussians of unlike covariances; each turn in a process of its own,
after a first small call. mclust (R): ``mclustBIC(X)`` of the same models, on one thread; it stops at a relative change
of 1e-5, starts each model once, and leaves out those that it cannot fit. Better and worse: by more than 1, of the
models that both have."""


def rows_of_five(n: int, d: int) -> np.ndarray:
    """(n, d) rows of five overlapping Gaussians."""
    rng = np.random.default_rng(0)
    means, axes = 2.5 * rng.normal(size=(5, d)), np.linalg.qr(rng.normal(size=(5, d, d)))[0]
    roots, label = axes * rng.uniform(0.3, 1.5, (5, 1, d)), rng.integers(0, 5, n)
    return means[label] + np.einsum("nij,nj->ni", roots[label], rng.normal(size=(n, d)))


def of_mclust(n: int, d: int, K: int) -> dict:
    """Seconds, and the BIC of each model in the sign of scikit-learn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "X.csv")
        np.savetxt(path, rows_of_five(n, d), delimiter=",")
        command = ["Rscript", "-e", SCRIPT.format(path=path.as_posix(), K=K)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise WorkerError(f"mclust failed: {done.stderr.strip()}")
    seconds, *lines = done.stdout.split("\n")
    cells = [line.split() for line in lines if line]
    return {"seconds": float(seconds), "bic": {f"{a}, {k}": -float(v) for a, k, v in cells if v != "NA"}}


def with_mclust() -> bool:
    """Whether R is there and has it."""
    if shutil.which("Rscript") is None:
        return False
    return not subprocess.run(["Rscript", "-e", "library(mclust)"], check=False, capture_output=True).returncode


def run(session: Session) -> Section:
    """Every size."""
    rows = []
    rivals = [*session.present(FASTEM), *([MCLUST] if with_mclust() else [])]
    for n, d in SIZES:
        size = {"n": n, "d": d, "K": FEWER if session.quick else COMPONENTS}
        turns = session.take_turns(
            f"select {n} × {d}",
            rivals,
            lambda rival: (
                of_mclust(**size)  # noqa: B023
                if rival is MCLUST
                else rival.ask("select", n_threads=session.machine.n_threads, **size)  # noqa: B023
            ),
            session.repeats,
        )
        own = turns.get(FASTEM.name, [])
        if not own:
            continue
        seconds = medians(turns, "seconds")[FASTEM.name]
        found = own[0] | {"shape": f"{n} × {d}", "seconds": seconds, "each": 1000 * seconds / own[0]["models"]}
        if turns.get(MCLUST.name):
            theirs = turns[MCLUST.name][0]["bic"]
            gained = [theirs[name] - bic for name, bic in own[0]["bic"].items() if name in theirs]
            found["mclust"] = median(turn["seconds"] for turn in turns[MCLUST.name])
            found["ratio"] = ratio(turns, MCLUST.name, FASTEM.name, "seconds")
            found["better"] = sum(gain > CLEARLY for gain in gained)
            found["worse"] = sum(gain < -CLEARLY for gain in gained)
            if found["ratio"] < LEAST:
                session.complaints.append(
                    f"select {n} × {d}: {found['ratio']:.1f} times faster than mclust, aim {LEAST}"
                )
        rows.append(found)
        if len({turn["best"] for turn in own}) > 1:
            session.complaints.append(f"select {n} × {d}: turns differ in what is best")
    return Section("Choosing the model", f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)
