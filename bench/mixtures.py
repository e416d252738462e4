"""Mixtures over columns of other kinds beside StepMix and pomegranate, each on its own models: iterations of EM."""

from __future__ import annotations

from dataclasses import asdict, replace

from bench.columns import Columns
from bench.contest import FASTEM, FEW_ITERATIONS, ITERATIONS, POMEGRANATE, STEPMIX, Rival, Session
from bench.report import Section, disagreements, medians, ratio, table

# Shapes that their users have. StepMix computes in float64, pomegranate in float32; fastem in the rival's type.
CONTESTS = [
    (STEPMIX, Columns({"bernoulli": 20}, n=500_000, K=5)),
    (STEPMIX, Columns({"categorical": 10}, n=200_000, K=5)),
    (STEPMIX, Columns({"gaussian": 10}, n=500_000, K=5)),
    (STEPMIX, Columns({"gaussian": 5, "bernoulli": 5, "categorical": 5}, n=200_000, K=5)),
] + [
    (POMEGRANATE, Columns({kind: d}, n=n, K=10, dtype="float32"))
    for kind, d, n in (
        ("poisson", 10, 500_000),
        ("bernoulli", 20, 500_000),
        ("categorical", 10, 500_000),
        ("exponential", 10, 500_000),
        ("gamma", 10, 500_000),
        ("gaussian", 10, 500_000),
    )
]
FEWER_ROWS = 10

COLUMNS = {
    "columns": ("problem", "s"),
    "rival": ("rival", "s"),
    "fastem ms": ("fastem", ".2f"),
    "rival ms": ("ms", ".1f"),
    "ratio": ("ratio", ".0f"),
    "log-likelihood difference": ("difference", "+.1e"),
    "fastem extra MB": ("fastem_mb", ".1f"),
    "rival extra MB": ("extra_mb", ".1f"),
}
LEGEND = """\
Milliseconds of an iteration of EM, from one start, in one real type (f64, f32), on all cores, each library as fast as
its settings allow: StepMix is given categories that are one-hot encoded beforehand (its default, integer codes, takes
twice as long), pomegranate a tensor whose values it does not check. ratio: the rival's time over fastem's in the same
turn, median over the turns. Difference: of the final mean log-likelihoods, fastem minus rival. extra MB: peak resident
memory in the first fit minus that before it. pomegranate's StudentT takes no part: its M-step is the Gaussian's, so it
is not EM for that model."""
MISSING = "Neither StepMix nor pomegranate is installed: pip install '.[rivals]'"


def run(session: Session) -> Section:
    """Every rival on its own models."""
    title = "Other mixtures"
    if not session.present(STEPMIX, POMEGRANATE):
        print(MISSING)
        return Section(title, MISSING, [])
    rows = [contest(session, rival, problem) for rival, problem in CONTESTS if session.present(rival)]
    return Section(title, f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)


def contest(session: Session, rival: Rival, problem: Columns) -> dict:
    """One row: fastem and a rival in turn."""
    problem = replace(problem, n=problem.n // FEWER_ROWS) if session.quick else problem
    short, long = FEW_ITERATIONS if session.quick else ITERATIONS
    question = {"problem": asdict(problem), "short": short, "long": long, "n_threads": session.machine.n_threads}
    turns = session.take_turns(
        problem.title,
        session.present(FASTEM, rival),
        lambda library: library.ask("iterate_columns", **question),
        session.repeats,
    )
    times, memory = medians(turns, "ms"), {name: own[-1]["extra_mb"] for name, own in turns.items()}
    levels = medians(turns, "log_likelihood")
    found = [{"rival": name, "log_likelihood": level} for name, level in levels.items()]
    session.complaints += disagreements(problem, found)
    return {
        "problem": problem.title,
        "rival": rival.name,
        "fastem": times.get(FASTEM.name),
        "ms": times.get(rival.name),
        "ratio": ratio(turns, rival.name, FASTEM.name, "ms"),
        "difference": levels[FASTEM.name] - levels[rival.name] if len(levels) == 2 else None,
        "fastem_mb": memory.get(FASTEM.name),
        "extra_mb": memory.get(rival.name),
    }
