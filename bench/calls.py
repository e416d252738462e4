"""Single calls by fastem and scikit-learn with default settings: small work, scores, and from data to model."""

from __future__ import annotations

from dataclasses import asdict, replace
from statistics import median

from bench.contest import FASTEM, SCIKIT_LEARN, Session, Turns
from bench.problems import SAMPLES, Problem
from bench.report import Section, medians, ratio, table

SCORED = Problem("scored", "full", n=500_000, d=16, K=16)
SEEDS = 5  # of fastem, whose fits are cheap

SIDE_BY_SIDE = {
    "what": ("what", "s"),
    "fastem": ("fastem", ".3f"),
    "scikit-learn": ("scikit-learn", ".3f"),
    "ratio": ("ratio", ".1f"),
}
MODELS_TABLE = {
    "rows × columns, components": ("sample", "s"),
    "apart": ("apart", ".1f"),
    "fastem s": ("fastem", ".3f"),
    "scikit-learn s": ("scikit-learn", ".2f"),
    "ratio": ("ratio", ".1f"),
    "held-out difference": ("difference", "+.5f"),
    "worst of seeds": ("worst", "+.5f"),
}
MODELS_LEGEND = f"""\
Seconds of a fit with default settings; of fastem the median over {SEEDS} seeds. held-out difference: of the mean
log-likelihood of rows that were not fitted, fastem (the median seed, and the worst) minus scikit-learn: a fit that
stops early or in a poor optimum shows there. apart: how far the centres scatter, in standard deviations."""


def models(session: Session) -> Section:
    """From data to model, on samples from well separated to strongly overlapping."""
    rows = []
    for sample in SAMPLES:
        sample = replace(sample, n=sample.n // 10) if session.quick else sample
        title = f"{sample.covariance} {sample.n}×{sample.d}, {sample.K}"
        turns = session.take_turns(
            f"{title} apart {sample.apart}",
            session.present(FASTEM, SCIKIT_LEARN),
            lambda rival: rival.ask("learn", sample=asdict(sample), seeds=SEEDS if rival == FASTEM else 1),  # noqa: B023
            repeats=1,
        )
        # Each rival had one turn, of several seeds.
        row = {"sample": title, "apart": sample.apart} | {
            name: median(turn["seconds"]) for name, (turn,) in turns.items()
        }
        if {"fastem", "scikit-learn"} <= set(turns):
            ours, theirs = (turns[name][0]["held_out"] for name in ("fastem", "scikit-learn"))
            row |= {
                "ratio": row["scikit-learn"] / row["fastem"],
                "difference": median(ours) - theirs[0],
                "worst": min(ours) - theirs[0],
            }
        rows.append(row)
    return Section("From data to model", f"{table(rows, MODELS_TABLE)}\n\n{MODELS_LEGEND}", rows)


def scoring(session: Session) -> Section:
    """The rows of one problem judged by a fitted mixture, in milliseconds."""
    problem = replace(SCORED, n=SCORED.n // 10) if session.quick else SCORED
    return _side_by_side(session, f"Scores of {problem.title}", "score", problem=asdict(problem))


def small(session: Session) -> Section:
    """What little work costs."""
    return _side_by_side(session, "Small work", "small")


def _side_by_side(session: Session, title: str, task: str, **question) -> Section:
    """One row for each thing measured in a task, its unit in its name."""
    rivals = session.present(FASTEM, SCIKIT_LEARN)
    turns: Turns = session.take_turns(title, rivals, lambda rival: rival.ask(task, **question), session.repeats)
    keys = dict.fromkeys(key for own in turns.values() for key in own[0])
    rows = [
        {"what": key, **medians(turns, key), "ratio": ratio(turns, SCIKIT_LEARN.name, FASTEM.name, key)} for key in keys
    ]
    return Section(title, table(rows, SIDE_BY_SIDE), rows)
