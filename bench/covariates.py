"""An iteration of a latent class model whose weights depend on covariates, beside the plain one and StepMix; and of
regressions, beside Gaussians with diagonal covariances over the same columns."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import FASTEM, STEPMIX, Session
from bench.report import Section, table

SHAPE = {"n": 100_000, "d": 10, "K": 4, "p": 4}
REGRESSIONS = {"n": 100_000, "d": 4, "K": 4}
FEWER_ROWS = 10
MOST = 1.5  # times the plain pass, by that with the gate
LEAST = 20.0  # times StepMix's speed
ITERATIONS = {FASTEM.name: (2, 62), STEPMIX.name: (2, 8)}  # of the short and the long fit

COLUMNS = {
    "library": ("library", "s"),
    "ms/iteration": ("ms", ".2f"),
    "without covariates": ("plain_ms", ".2f"),
    "ratio": ("ratio", ".2f"),
}
OF_PASSES = {
    "a pass": ("what", "s"),
    "ms, one thread": ("ms", ".2f"),
    "ratio": ("ratio", ".2f"),
}
PASSES = {
    "plain_ms": "without covariates",
    "gate_ms": "with the gate",
    "curved_ms": "with the gate and its curvature",
}
OF_REGRESSIONS = {
    "regressions": ("family", "s"),
    "ms/iteration": ("ms", ".2f"),
    "diagonal Gaussians": ("diagonal_ms", ".2f"),
    "ratio": ("ratio", ".2f"),
}
SECOND_LEGEND = f"""\
An iteration of a mixture of {REGRESSIONS["K"]} regressions on {REGRESSIONS["n"]} rows of {REGRESSIONS["d"]} columns,
and of Gaussians over these and the target."""
PASS_LEGEND = """\
Processor time of one thread. The curvature is summed in passes after which the gate has moved, more than half of the
first 60 of a fit, and then in none."""
LEGEND = f"""\
An iteration of EM on {SHAPE["n"]} rows of {SHAPE["d"]} binary columns, {SHAPE["K"]} classes, {SHAPE["p"]} covariates:
the difference of a long and a short fit over that of their iterations, {ITERATIONS[FASTEM.name]} of fastem and
{ITERATIONS[STEPMIX.name]} of StepMix: one-step, with one Newton step in each M-step."""


def run(session: Session) -> Section:
    """Both libraries, in turn; a process for each."""
    question = SHAPE | {"n": SHAPE["n"] // FEWER_ROWS if session.quick else SHAPE["n"]}
    turns = session.take_turns(
        "covariates",
        session.present(FASTEM, STEPMIX),
        lambda rival: rival.ask(
            "covariates", **question, iterations=ITERATIONS[rival.name], n_threads=session.machine.n_threads
        ),
        session.repeats,
    )
    rows = []
    for name, answers in turns.items():
        ms, plain = (median(answer[key] for answer in answers) for key in ("ms", "plain_ms"))
        rows.append({"library": name, "ms": ms, "plain_ms": plain, "ratio": ms / plain})
    found = FASTEM.ask("gate_passes", **question)
    passes = [{"what": what, "ms": found[key], "ratio": found[key] / found["plain_ms"]} for key, what in PASSES.items()]
    if not session.quick and rows and rows[0]["library"] == FASTEM.name:
        if passes[1]["ratio"] > MOST:
            session.complaints.append(f"covariates: {passes[1]['ratio']:.2f} times the plain pass, aim {MOST:g}")
        if len(rows) > 1 and rows[1]["ms"] < LEAST * rows[0]["ms"]:
            session.complaints.append(f"covariates: {rows[1]['ms'] / rows[0]['ms']:.1f} times StepMix, aim {LEAST:g}")
    question = REGRESSIONS | {"n": REGRESSIONS["n"] // FEWER_ROWS if session.quick else REGRESSIONS["n"]}
    found = FASTEM.ask("regressions", **question, n_threads=session.machine.n_threads)
    regressions = [{"family": family, **own} for family, own in found.items()]
    text = f"{table(rows, COLUMNS)}\n\n{LEGEND}\n\n{table(passes, OF_PASSES)}\n\n{PASS_LEGEND}"
    text += f"\n\n{table(regressions, OF_REGRESSIONS)}\n\n{SECOND_LEGEND}"
    return Section("Covariates", text, [*rows, *passes, *regressions])


def answers_and_covariates(n: int, d: int, K: int, p: int):
    """(n, d) binary answers and (n, p) covariates on which the classes depend."""
    rng = np.random.default_rng([n, d, K, p])
    C = rng.normal(size=(n, p))
    logits = C @ rng.normal(size=(p, K))
    z = (logits + rng.gumbel(size=(n, K))).argmax(axis=1)
    return (rng.random((n, d)) < rng.uniform(0.1, 0.9, (K, d))[z]).astype(np.float64), C


def predictors_and_targets(n: int, d: int, K: int):
    """(n, d) predictors, and of each family (n,) targets of K lines."""
    rng = np.random.default_rng([n, d, K])
    X, z = rng.normal(size=(n, d)), rng.integers(0, K, n)
    eta = (X * rng.normal(size=(K, d))[z]).sum(axis=1) / np.sqrt(d)
    return X, {
        "gaussian": eta + 0.3 * rng.normal(size=n),
        "poisson": rng.poisson(np.exp(eta)).astype(np.float64),
        "binomial": (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(np.float64),
    }
