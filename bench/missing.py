"""An iteration over rows with missing values, beside one over the same rows, complete."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import FASTEM, Session
from bench.report import Section, table

SHAPE = {"n": 200_000, "d": 20, "K": 5}
FEWER_ROWS = 10
DTYPES = ("float64", "float32")
SHARE = 0.1  # of the values
MOST = {"10 patterns": 1.3, "1000 patterns": 3.0}  # times the complete pass; more is a complaint

COLUMNS = {
    "real type": ("dtype", "s"),
    "covariance, missing values": ("kind", "s"),
    "ms/iteration": ("ms", ".2f"),
    "complete ms": ("complete_ms", ".2f"),
    "ratio": ("ratio", ".2f"),
}
LEGEND = f"""\
One E-step and one M-step on {SHAPE["n"]} rows, {SHAPE["d"]} columns, {SHAPE["K"]} components, from the parameters
that drew the rows; the rows are grouped before, as a fit does once. 10 % of the values are missing: every row has one
of 10 patterns of two columns, of 1000 random patterns, or its own; or one row in ten has one of the 10 patterns. ratio:
median over the turns of that within a turn, where the two alternate in one process."""


def run(session: Session) -> Section:
    """Both real types; a process for each."""
    rows = []
    for dtype in DTYPES:
        question = SHAPE | {"n": SHAPE["n"] // FEWER_ROWS if session.quick else SHAPE["n"], "dtype": dtype}
        question["n_threads"] = session.machine.n_threads
        turns = session.take_turns(
            dtype,
            session.present(FASTEM),
            lambda rival: rival.ask("missing", **question),  # noqa: B023
            session.repeats,
        )
        answers = turns.get(FASTEM.name, [])
        for kind in answers[0] if answers else ():
            found = {key: median(answer[kind][key] for answer in answers) for key in ("ms", "complete_ms", "ratio")}
            rows.append({"dtype": dtype, "kind": kind} | found)
            most = MOST.get(kind.partition(", ")[2], np.inf)
            if found["ratio"] > most and not session.quick:  # so little work is at the mercy of the scheduler
                session.complaints.append(
                    f"{dtype}, {kind}: {found['ratio']:.2f} times the complete pass, aim {most:g}"
                )
    return Section("Missing values", f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)


def masks(n: int, d: int, rng: np.random.Generator) -> dict:
    """(n, d) bool of each kind: which values are missing."""
    few, size = np.zeros((10, d), bool), round(SHARE * d)
    for pattern in few:
        pattern[rng.choice(d, size, replace=False)] = True
    many = np.unique(rng.random((4000, d)) < SHARE, axis=0)
    many = rng.permutation(many)[:1000]
    own = few[rng.integers(10, size=n)]
    return {
        "10 patterns": own,
        "10 patterns, one row in ten": own & (rng.random((n, 1)) < SHARE),
        "1000 patterns": many[rng.integers(len(many), size=n)],
        "at random": rng.random((n, d)) < SHARE,
    }


def gaps(n: int, d: int, K: int, dtype: str):
    """Kind of gaps, covariance type, the mixture that drew the rows, the rows with gaps, and without."""
    from fastem.models.gaussian.dense import Full
    from fastem.models.gaussian.diagonal import Diagonal
    from fastem.models.gaussian.emission import Gaussian
    from fastem.models.mixture import Mixture

    rng, floor = np.random.default_rng([n, d, K]), np.full(d, 1e-9)
    roots = rng.normal(size=(K, d, d)) / np.sqrt(d) + np.eye(d)
    dense = roots @ np.swapaxes(roots, 1, 2)
    diagonal = np.diagonal(dense, axis1=1, axis2=2)
    means = 2 * rng.normal(size=(K, d))
    for name, structure, covariances in (("full", Full, dense), ("diagonal", Diagonal, diagonal)):
        mixture = Mixture(np.full(K, 1 / K), Gaussian(means, structure.from_covariances(covariances, floor), floor))
        X = rng.permutation(mixture.sample(n, rng)[0]).astype(dtype)
        for kind, mask in masks(n, d, rng).items():
            yield kind, name, mixture, np.where(mask, np.array(np.nan, dtype), X), X
