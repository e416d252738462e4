"""From the turns of the rivals to the table, and to complaints where their results disagree."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.machine import Machine
from bench.problems import EXP_FLOPS, Problem

AGREEMENT = {"float64": 1e-6, "float32": 1e-3}  # relative, of the final mean log-likelihoods

COLUMNS = {  # heading: (key, format)
    "problem": ("problem", "s"),
    "library": ("rival", "s"),
    "ms/iteration": ("ms", ".2f"),
    "spread": ("spread", ".0%"),
    "× fastem": ("ratio", ".2f"),
    "mean log-likelihood": ("log_likelihood", ".9f"),
    "extra MB": ("extra_mb", ".1f"),
    "% of limit": ("limit", ".1%"),
}

LEGEND = f"""\
ms/iteration: median over the turns. spread: (slowest turn - fastest turn) / median.
× fastem: median over the turns of the library's time over fastem's in the same turn.
extra MB: peak resident memory in the first fit minus that before it.
% of limit: the limit is the larger of flops / FMA peak and bytes of the data / read bandwidth;
  flops per row and component: full d²+d², diag 4d+4d, tied and spherical 2d+2d, plus one exp,
  counted as {EXP_FLOPS["float64"]} in float64 and {EXP_FLOPS["float32"]} in float32."""


def summarise(problem: Problem, turns: dict[str, list[dict]], machine: Machine) -> list[dict]:
    """One row of the table for each rival: medians over its turns."""
    times = {rival: median(turn["ms"] for turn in own) for rival, own in turns.items()}
    shortest = machine.shortest_ms(problem)
    rows = []
    for rival, own in turns.items():
        ms = [turn["ms"] for turn in own]
        # Within a turn first: what disturbs the machine for a while disturbs neighbours alike.
        ratios = [turn["ms"] / ours["ms"] for turn, ours in zip(own, turns.get("fastem", []))]
        memory = [turn["extra_mb"] for turn in own]
        row = {
            "problem": problem.title,
            "rival": rival,
            "ms": times[rival],
            "spread": (max(ms) - min(ms)) / times[rival] if len(ms) > 1 else None,
            "ratio": median(ratios) if ratios else None,
            "log_likelihood": own[-1]["log_likelihood"],
            "extra_mb": None if None in memory else median(memory),
            "limit": None if shortest is None else shortest / times[rival],
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


def beyond_the_limit(rows: list[dict]) -> list[str]:
    """A sentence for each time shorter than the machine allows: then the limit is measured wrong."""
    return [
        f"{row['problem']}: {row['rival']} at {row['limit']:.0%} of the limit, so the limit is wrong"
        for row in rows
        if row["limit"] is not None and row["limit"] > 1
    ]


def table(rows: list[dict]) -> str:
    """The rows as Markdown, aligned for reading as text; what is unknown stays blank."""
    cells = [list(COLUMNS)]
    for row in rows:
        values = ((row[key], form) for key, form in COLUMNS.values())
        cells.append(["" if value is None else format(value, form) for value, form in values])
    widths = [max(map(len, column)) for column in zip(*cells)]
    justify = [str.ljust, str.ljust] + [str.rjust] * (len(COLUMNS) - 2)
    cells.insert(1, ["-" * widths[0], "-" * widths[1], *("-" * (w - 1) + ":" for w in widths[2:])])
    lines = [[side(cell, w) for side, cell, w in zip(justify, line, widths)] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
