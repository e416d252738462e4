"""From turns to tables, and to complaints where results disagree or cannot be true."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.contest import Turns
from bench.machine import Machine
from bench.problems import Problem

AGREEMENT = {"float64": 1e-6, "float32": 1e-3}  # relative, of the final mean log-likelihoods


@dataclass(frozen=True)
class Section:
    """What one subcommand found: Markdown to read, rows to plot and to keep."""

    title: str
    text: str
    rows: list[dict]


def medians(turns: Turns, key: str) -> dict[str, float]:
    """The median over the turns of each rival."""
    return {name: median(turn[key] for turn in own) for name, own in turns.items()}


def ratio(turns: Turns, rival: str, reference: str, key: str) -> float | None:
    """Median of ``rival`` over ``reference``, within a turn first: what disturbs one disturbs its neighbour alike.

    Examples
    --------
    >>> ratio({"a": [{"ms": 6.0}, {"ms": 8.0}], "b": [{"ms": 2.0}, {"ms": 2.0}]}, "a", "b", "ms")
    3.5
    """
    pairs = list(zip(turns.get(rival, []), turns.get(reference, [])))
    return median(one[key] / other[key] for one, other in pairs) if pairs else None


def summarise(problem: Problem, turns: Turns, machine: Machine) -> list[dict]:
    """One row for each rival that ran iterations of a problem."""
    times, shortest = medians(turns, "ms"), machine.shortest_ms(problem)
    rows = []
    for rival, own in turns.items():
        ms, memory = [turn["ms"] for turn in own], [turn["extra_mb"] for turn in own]
        row = {
            "problem": problem.title,
            "rival": rival,
            "ms": times[rival],
            "spread": (max(ms) - min(ms)) / times[rival] if len(ms) > 1 else None,
            "ratio": ratio(turns, rival, "fastem", "ms"),
            "log_likelihood": own[-1]["log_likelihood"],
            "extra_mb": None if None in memory else median(memory),
            "limit": None if shortest is None else shortest / times[rival],
            "is_dense": problem.is_dense,
        }
        rows.append(row)
    return rows


def disagreements(problem: Problem, rows: list[dict]) -> list[str]:
    """A sentence if the final log-likelihoods differ by more than rounding allows, else nothing.

    Examples
    --------
    >>> rows = [{"rival": "a", "log_likelihood": -2.0}, {"rival": "b", "log_likelihood": -2.1}]
    >>> disagreements(Problem("p", "full", n=10, d=1, K=1), rows)
    ['full 1e1×1 K=1 f64: log-likelihoods DISAGREE by 4.9e-02 (allowed 1e-06): a -2, b -2.1']
    """
    if not rows:
        return []
    values = np.array([row["log_likelihood"] for row in rows])
    difference = np.ptp(values) / abs(np.median(values))
    allowed = AGREEMENT[problem.dtype]
    if difference <= allowed:  # never true of NaN
        return []
    found = ", ".join(f"{row['rival']} {row['log_likelihood']:.10g}" for row in rows)
    complaint = f"log-likelihoods DISAGREE by {difference:.1e} (allowed {allowed:.0e}): {found}"
    return [f"{problem.title}: {complaint}"]


def impossible(rows: list[dict]) -> list[str]:
    """A sentence for each time shorter than the machine allows: then it or the limit is measured wrong, unless of most
    pairs of rows and components nothing need be computed.

    Examples
    --------
    >>> impossible([{"problem": "p", "rival": "a", "ms": -1.0, "limit": None}])
    ['p: a at -1.000 ms, so the machine was too busy to measure']
    >>> impossible([{"problem": "p", "rival": "a", "ms": 1.0, "limit": 1.2, "is_dense": True}])
    ['p: a at 120% of the limit, so the limit is wrong']
    >>> impossible([{"problem": "p", "rival": "a", "ms": 1.0, "limit": 1.2, "is_dense": False}])
    []
    """
    found = []
    for row in rows:
        if row["ms"] <= 0:
            found.append(
                f"{row['problem']}: {row['rival']} at {row['ms']:.3f} ms, so the machine was too busy to measure"
            )
        elif row["limit"] is not None and row["limit"] > 1 and row["is_dense"]:
            found.append(f"{row['problem']}: {row['rival']} at {row['limit']:.0%} of the limit, so the limit is wrong")
    return found


def table(rows: list[dict], columns: dict[str, tuple[str, str]]) -> str:
    """The rows as Markdown, aligned for reading as text; what is unknown stays blank.

    ``columns`` are heading: (key, format); text is justified to the left, numbers to the right.

    Examples
    --------
    >>> print(table([{"name": "a", "ms": 1.234}], {"library": ("name", "s"), "time": ("ms", ".1f")}))
    | library | time |
    | ------- | ---: |
    | a       |  1.2 |
    """
    cells = [list(columns)]
    for row in rows:
        values = ((row.get(key), form) for key, form in columns.values())
        cells.append(["" if value is None else format(value, form) for value, form in values])
    widths = [max(map(len, column)) for column in zip(*cells)]
    text = [form == "s" for _, form in columns.values()]
    cells.insert(1, ["-" * width if left else "-" * (width - 1) + ":" for width, left in zip(widths, text)])
    lines = [
        [cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(line, widths, text)]
        for line in cells
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def losses(rows: list[dict], n_runs: int, title: str, most: float, complaints: list[str]) -> str:
    """How many of all runs the rows count as lost (`n_lost`), in words; a complaint where that is more than a share."""
    lost, runs = sum(row["n_lost"] for row in rows), len(rows) * n_runs
    summary = f"{lost} of {runs} runs lost ({100 * lost / runs:.1f} %)."
    if lost > most * runs:
        complaints.append(f"{title}: {summary} At most {100 * most:g} % is the aim.")
    return summary
