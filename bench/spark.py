"""GaussianMixture of Spark MLlib beside fastem's, on one machine: iterations of EM from the start that MLlib draws."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.contest import FASTEM, FEW_ITERATIONS, ITERATIONS, SPARK, Session, WorkerError
from bench.problems import Problem
from bench.report import Section, disagreements, medians, ratio, table

PROBLEM = Problem("spark", "full", n=1_000_000, d=16, K=8)
FEWER_ROWS = 10
UNIT = 2.0**-7  # of the columns: their densities grow by 2^(7 d)

COLUMNS = {
    "problem": ("problem", "s"),
    "fastem ms": ("fastem", ".1f"),
    "Spark ms": ("spark", ".0f"),
    "ratio": ("ratio", ".0f"),
    "log-likelihood difference": ("difference", "+.1e"),
}
LEGEND = """\
Milliseconds of an iteration of EM: the difference of a long and a short fit over that of their iterations, in turn.
Spark is MLlib's GaussianMixture in `local[threads]`, on a cached DataFrame in as many partitions, with the linear
algebra that its Java brings (the vector module; no native BLAS). It takes no start, so fastem starts where MLlib does:
its model after no iterations. Difference: of the final mean log-likelihoods, fastem minus Spark. MLlib adds 2.2e-16 to
every component's density, so the rows are in units in which densities are large; in others it is not EM."""
MISSING = "Spark is not installed: pip install '.[spark]'; it needs Java 17 or later"


def run(session: Session) -> Section:
    """One problem, both in turn."""
    title = "Spark MLlib"
    if not session.present(SPARK):
        print(MISSING)
        return Section(title, MISSING, [])
    problem = replace(PROBLEM, n=PROBLEM.n // FEWER_ROWS) if session.quick else PROBLEM
    short, long = FEW_ITERATIONS if session.quick else ITERATIONS
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "X.npy"), UNIT * problem.data())
        question = {"problem": asdict(problem), "folder": folder, "n_threads": session.machine.n_threads}
        try:
            SPARK.ask("draw_start", **question)
        except WorkerError as error:  # no Java, for one
            session.complaints.append(f"{problem.title}: {error}")
            return Section(title, "Spark failed.", [])
        turns = session.take_turns(
            problem.title,
            session.present(FASTEM, SPARK),
            lambda rival: rival.ask("iterate", **question, short=short, long=long),
            session.repeats,
        )
    times, levels = medians(turns, "ms"), medians(turns, "log_likelihood")
    session.complaints += disagreements(
        problem, [{"rival": name, "log_likelihood": level} for name, level in levels.items()]
    )
    row = {
        "problem": problem.title,
        "fastem": times.get(FASTEM.name),
        "spark": times.get(SPARK.name),
        "ratio": ratio(turns, SPARK.name, FASTEM.name, "ms"),
        "difference": levels[FASTEM.name] - levels[SPARK.name] if len(levels) == 2 else None,
    }
    return Section(title, f"{table([row], COLUMNS)}\n\n{LEGEND}", [row])
