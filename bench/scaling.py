"""How the time of an iteration grows with rows, columns and components; the n axis beside scikit-learn."""

from __future__ import annotations

from dataclasses import replace

from bench.contest import FASTEM, SCIKIT_LEARN, Session
from bench.problems import Problem
from bench.report import Section, impossible, summarise, table

POWERS = [2**i for i in range(10)]
AXES = {  # what varies: from which problem, over which values
    "n": (
        Problem("n", "full", n=1, d=4, K=8),
        [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000],
    ),
    "d": (Problem("d", "full", n=20_000, d=1, K=8), POWERS[:9]),
    "K": (Problem("K", "full", n=100_000, d=8, K=1), POWERS),
}
MOST_ROWS = 1_000_000  # that scikit-learn is given: beyond, it takes minutes and gigabytes

COLUMNS = {
    "varied": ("axis", "s"),
    "problem": ("problem", "s"),
    "library": ("rival", "s"),
    "ms/iteration": ("ms", ".3f"),
    "ns/row and component": ("ns", ".3f"),
    "extra MB": ("extra_mb", ".1f"),
    "% of limit": ("limit", ".1%"),
}


def run(session: Session) -> Section:
    """One turn of each: the trend over many points says more than the median of one."""
    rows = []
    for axis, (problem, values) in AXES.items():
        for value in values[:-2:3] if session.quick else values:
            point = replace(problem, **{axis: value})
            peer = axis == "n" and value <= MOST_ROWS
            rivals = session.present(FASTEM, SCIKIT_LEARN) if peer else session.present(FASTEM)
            for row in summarise(point, session.compete(point, rivals, repeats=1), session.machine):
                rows.append(row | {"axis": axis, "value": value, "ns": 1e6 * row["ms"] / point.n / point.K})
        session.measure_again()
    session.complaints += impossible(rows)
    return Section("Scaling", table(rows, COLUMNS), rows)
