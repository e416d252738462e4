"""GaussianMixture of Spark MLlib beside fastem's, of arrays and of a Spark frame, on one machine.

Iterations of EM from the start that MLlib draws.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from bench.contest import FASTEM, FEW_ITERATIONS, ITERATIONS, SPARK, Rival, Session, WorkerError
from bench.problems import Problem
from bench.report import Section, disagreements, medians, ratio, table

PROBLEMS = [Problem("spark", "full", n=1_000_000, d=d, K=8) for d in (8, 16)]
ON_SPARK = Rival("fastem on Spark", "with_fastem_on_spark")
LEAST_RATIO = 15  # of MLlib's time to fastem's, on the same frame
FEWER_ROWS = 10
UNIT = 2.0**-7  # of the columns: their densities grow by 2^(7 d)

COLUMNS = {
    "problem": ("problem", "s"),
    "fastem ms": ("fastem", ".1f"),
    "Spark ms": ("spark", ".0f"),
    "ratio": ("ratio", ".0f"),
    "fastem on frame ms": ("frame", ".1f"),
    "its ratio": ("frame_ratio", ".0f"),
    "log-likelihood difference": ("difference", "+.1e"),
}
LEGEND = """\
Milliseconds of an iteration of EM: the difference of a long and a short fit over that of their iterations, in turn.
Spark is MLlib's GaussianMixture in `local[threads]`, on a cached DataFrame in as many partitions, with the linear
algebra that its Java brings (the vector module; no native BLAS). It takes no start, so fastem starts where MLlib does:
its model after no iterations. On a frame fastem runs as Spark's tasks, in as many partitions. Difference: of the final
mean log-likelihoods, fastem minus Spark, the larger of the two. MLlib adds 2.2e-16 to every component's density, so
the rows are in units in which densities are large; in others it is not EM."""
MISSING = "Spark is not installed: pip install '.[spark]'; it needs Java 17 or later"


def run(session: Session) -> Section:
    """The problems, all in turn."""
    title = "Spark MLlib"
    if not session.present(SPARK):
        print(MISSING)
        return Section(title, MISSING, [])
    rows = [row for problem in PROBLEMS if (row := _row(session, problem)) is not None]
    return Section(title, f"{table(rows, COLUMNS)}\n\n{LEGEND}" if rows else "Spark failed.", rows)


def _row(session, problem) -> dict | None:
    problem = replace(problem, n=problem.n // FEWER_ROWS) if session.quick else problem
    short, long = FEW_ITERATIONS if session.quick else ITERATIONS
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "X.npy"), UNIT * problem.data())
        question = {"problem": asdict(problem), "folder": folder, "n_threads": session.machine.n_threads}
        try:
            SPARK.ask("draw_start", **question)
        except WorkerError as error:  # no Java, for one
            session.complaints.append(f"{problem.title}: {error}")
            return None
        turns = session.take_turns(
            problem.title,
            [*session.present(FASTEM, SPARK), *[ON_SPARK] * bool(session.present(FASTEM))],
            lambda rival: rival.ask("iterate", **question, short=short, long=long),
            session.repeats,
        )
    times, levels = medians(turns, "ms"), medians(turns, "log_likelihood")
    session.complaints += disagreements(
        problem, [{"rival": name, "log_likelihood": level} for name, level in levels.items()]
    )
    of_spark = levels.get(SPARK.name)
    differences = [level - of_spark for name, level in levels.items() if name != SPARK.name and of_spark is not None]
    row = {
        "problem": problem.title,
        "fastem": times.get(FASTEM.name),
        "spark": times.get(SPARK.name),
        "ratio": ratio(turns, SPARK.name, FASTEM.name, "ms"),
        "frame": times.get(ON_SPARK.name),
        "frame_ratio": ratio(turns, SPARK.name, ON_SPARK.name, "ms"),
        "difference": max(differences, key=abs, default=None),
    }
    if not session.quick and row["frame_ratio"] is not None and row["frame_ratio"] < LEAST_RATIO:
        session.complaints.append(
            f"{problem.title}: {row['frame_ratio']:.1f} times MLlib on a frame, aim {LEAST_RATIO}"
        )
    return row
