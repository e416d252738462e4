"""Choosing among 126 models: fourteen families, one to nine components."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import FASTEM, Session
from bench.report import Section, table

SIZES = [(150, 4), (15_000, 4)]  # rows, columns
COMPONENTS, FEWER = 9, 3
COLUMNS = {
    "rows × columns": ("shape", "s"),
    "models": ("models", "d"),
    "seconds": ("seconds", ".2f"),
    "processor seconds": ("processor", ".2f"),
    "ms per model": ("each", ".0f"),
    "sound": ("sound", "d"),
    "best": ("best", "s"),
}
LEGEND = """\
fastem.select with default settings on rows of five Gaussians of unlike covariances; each turn in a process of its own,
after a first small call. mclust (R) is not at hand where this was written: it is given the same 126 models by
``Mclust(X, G=1:9)``."""


def rows_of_five(n: int, d: int) -> np.ndarray:
    """(n, d) rows of five overlapping Gaussians."""
    rng = np.random.default_rng(0)
    means, roots = 2.5 * rng.normal(size=(5, d)), rng.normal(size=(5, d, d)) * rng.uniform(0.4, 1.2, (5, 1, d))
    label = rng.integers(0, 5, n)
    return means[label] + np.einsum("nij,nj->ni", roots[label], rng.normal(size=(n, d)))


def run(session: Session) -> Section:
    """Every size."""
    rows = []
    for n, d in SIZES:
        question = {"n": n, "d": d, "K": FEWER if session.quick else COMPONENTS}
        question["n_threads"] = session.machine.n_threads
        turns = session.take_turns(
            f"select {n} × {d}",
            session.present(FASTEM),
            lambda rival: rival.ask("select", **question),  # noqa: B023
            session.repeats,
        )
        own = turns.get(FASTEM.name, [])
        if not own:
            continue
        seconds, processor = (median(turn[key] for turn in own) for key in ("seconds", "processor"))
        found = own[0] | {"shape": f"{n} × {d}", "seconds": seconds, "processor": processor}
        rows.append(found | {"each": 1000 * seconds / found["models"]})
        if len({turn["best"] for turn in own}) > 1:
            session.complaints.append(f"select {n} × {d}: turns differ in what is best")
    return Section("Choosing the model", f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)
