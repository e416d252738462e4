"""FactorAnalysis and PPCA beside scikit-learn's FactorAnalysis and PCA: from data to model, and where it led."""

from __future__ import annotations

from bench.contest import FASTEM, SCIKIT_LEARN, Session
from bench.report import Section, medians, ratio, table

SHAPES = [(100_000, 100, 10), (1_000_000, 100, 10)]  # rows, columns, factors
FEWER_ROWS = 20

COLUMNS = {
    "rows × columns, factors": ("shape", "s"),
    "model": ("model", "s"),
    "fastem s": ("fastem", ".3f"),
    "scikit-learn s": ("scikit-learn", ".2f"),
    "ratio": ("ratio", ".0f"),
    "log-likelihood difference": ("difference", "+.1e"),
}
LEGEND = "Seconds of a fit with default settings. Difference: of the mean log-likelihood, fastem minus scikit-learn."
MOST_BEHIND = 1e-6  # of the mean log-likelihood: both are at the maximum


def run(session: Session) -> Section:
    """Fits in turn, one process each."""
    rows = []
    for n, d, q in SHAPES:
        n = n // FEWER_ROWS if session.quick else n
        title = f"{n} × {d}, {q}"
        turns = session.take_turns(
            title,
            session.present(FASTEM, SCIKIT_LEARN),
            lambda rival: rival.ask("factors", n=n, d=d, q=q),  # noqa: B023
            session.repeats,
        )
        for model in ("FactorAnalysis", "PPCA"):
            row = {"shape": title, "model": model} | medians(turns, f"{model} s")
            if {"fastem", "scikit-learn"} <= set(turns):
                levels = medians(turns, f"{model} log-likelihood")
                row["ratio"] = ratio(turns, SCIKIT_LEARN.name, FASTEM.name, f"{model} s")
                row["difference"] = levels["fastem"] - levels["scikit-learn"]
                if row["difference"] < -MOST_BEHIND:
                    session.complaints.append(f"{title}, {model}: fastem is {-row['difference']:.2g} behind")
            rows.append(row)
    return Section("Factors", f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)
