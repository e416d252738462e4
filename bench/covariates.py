"""An iteration of a latent class model whose weights depend on covariates, beside the plain one and StepMix."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import FASTEM, STEPMIX, Session
from bench.report import Section, table

SHAPE = {"n": 100_000, "d": 10, "K": 4, "p": 3}
FEWER_ROWS = 10
MOST = 1.5  # times the plain pass
LEAST = 20.0  # times StepMix's speed
ITERATIONS = (2, 8)

COLUMNS = {
    "library": ("library", "s"),
    "ms/iteration": ("ms", ".2f"),
    "without covariates": ("plain_ms", ".2f"),
    "ratio": ("ratio", ".2f"),
}
LEGEND = f"""\
An iteration of EM on {SHAPE["n"]} rows of {SHAPE["d"]} binary columns, {SHAPE["K"]} classes, {SHAPE["p"]} covariates:
the difference of a long and a short fit over that of their iterations. StepMix: one-step, with one Newton step in each
M-step."""


def run(session: Session) -> Section:
    """Both libraries, in turn; a process for each."""
    question = SHAPE | {"n": SHAPE["n"] // FEWER_ROWS if session.quick else SHAPE["n"]}
    turns = session.take_turns(
        "covariates",
        session.present(FASTEM, STEPMIX),
        lambda rival: rival.ask("covariates", **question, n_threads=session.machine.n_threads),
        session.repeats,
    )
    rows = []
    for name, answers in turns.items():
        ms, plain = (median(answer[key] for answer in answers) for key in ("ms", "plain_ms"))
        rows.append({"library": name, "ms": ms, "plain_ms": plain, "ratio": ms / plain})
    if not session.quick and rows and rows[0]["library"] == FASTEM.name:
        if rows[0]["ratio"] > MOST:
            session.complaints.append(f"covariates: {rows[0]['ratio']:.2f} times the plain pass, aim {MOST:g}")
        if len(rows) > 1 and rows[1]["ms"] < LEAST * rows[0]["ms"]:
            session.complaints.append(f"covariates: {rows[1]['ms'] / rows[0]['ms']:.1f} times StepMix, aim {LEAST:g}")
    return Section("Covariates", f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)


def answers_and_covariates(n: int, d: int, K: int, p: int):
    """(n, d) binary answers and (n, p) covariates on which the classes depend."""
    rng = np.random.default_rng([n, d, K, p])
    C = rng.normal(size=(n, p))
    logits = C @ rng.normal(size=(p, K))
    z = (logits + rng.gumbel(size=(n, K))).argmax(axis=1)
    return (rng.random((n, d)) < rng.uniform(0.1, 0.9, (K, d))[z]).astype(np.float64), C
