"""An iteration over rows that were measured with errors of their own, beside astroML's extreme deconvolution."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import ASTROML, FASTEM, Session
from bench.report import Section, medians, table

SHAPE = {"n": 100_000, "d": 3, "K": 10}
FEWER_ROWS = 10
LEAST = 300.0  # times astroML's speed
ITERATIONS = {FASTEM.name: (2, 22), ASTROML.name: (1, 2)}  # of the short and the long fit
SHARED = 2  # iterations after which log-likelihoods are compared
AGREEMENT = 1e-9  # of these, relative
MOST = {2: 6.2, 3: 18.8, 5: 70.5, 7: 139.5}  # ns a row and component by columns: 1.5 times a bare loop's with AVX-512
INTERVALS = ("rounded to a tenth of the deviation", "bins of one deviation", "half of the rows censored")
MOST_INTERVAL = 30.0  # ns a row, column and component

COLUMNS = {
    "library": ("library", "s"),
    "ms/iteration": ("ms", ".2f"),
    "ns/row/component": ("ns", ".1f"),
    "times fastem's": ("ratio", ".0f"),
    "log-likelihood after 2": ("log_likelihood", ".6f"),
}
KERNEL_COLUMNS = {"rows": ("rows", "s"), "ns": ("ns", ".1f"), "aim": ("aim", ".1f")}
LEGEND = f"""\
An iteration of EM on {SHAPE["n"]} rows of {SHAPE["d"]} columns, {SHAPE["K"]} components, a full covariance of errors
for each row: the difference of a long and a short fit over that of their iterations, from the same start."""
KERNEL_LEGEND = f"""\
An E-step of fastem on one thread, in processor time: with a covariance of errors for each row, nanoseconds per row
and component; of values between bounds (5 columns), nanoseconds per row, column and component.
{SHAPE["K"]} components, float64."""


def run(session: Session) -> Section:
    """Both libraries, in turn, a process for each; astroML once, since it takes minutes. Then fastem's kernels."""
    n = SHAPE["n"] // FEWER_ROWS if session.quick else SHAPE["n"]
    question = SHAPE | {"n": n}

    def ask(rival):
        return rival.ask("errors", **question, iterations=ITERATIONS[rival.name], n_threads=session.machine.n_threads)

    turns = session.take_turns("errors", session.present(FASTEM), ask, session.repeats)
    turns |= session.take_turns("errors", session.present(ASTROML), ask, 1)
    rows = []
    for name, ms in medians(turns, "ms").items():
        own = turns[name][0]["log_likelihood"][str(SHARED)]
        rows.append({"library": name, "ms": ms, "ns": 1e6 * ms / n / SHAPE["K"], "log_likelihood": own / n})
    by_name = {row["library"]: row for row in rows}
    ours, theirs = by_name.get(FASTEM.name), by_name.get(ASTROML.name)
    for row in rows:
        row["ratio"] = row["ms"] / ours["ms"] if ours else None
    if ours and theirs:
        apart = abs(ours["log_likelihood"] - theirs["log_likelihood"])
        if not apart < AGREEMENT * abs(ours["log_likelihood"]):
            session.complaints.append(f"errors: log-likelihoods differ by {apart:.2g} after {SHARED} iterations")
        if not session.quick and theirs["ratio"] < LEAST:
            session.complaints.append(f"errors: {theirs['ratio']:.0f} times astroML's speed, aim {LEAST:g}")
    kernels = kernel_rows(session, n) if ours else []
    text = f"{table(rows, COLUMNS)}\n\n{LEGEND}\n\n{table(kernels, KERNEL_COLUMNS)}\n\n{KERNEL_LEGEND}"
    return Section("Measurement errors and intervals", text, rows + kernels)


def kernel_rows(session: Session, n: int) -> list[dict]:
    """Times of E-steps, with complaints where they miss their aims."""
    turns = session.take_turns(
        "side columns",
        session.present(FASTEM),
        lambda rival: rival.ask("side_columns", n=n, K=SHAPE["K"], columns=list(MOST)),
        session.repeats,
    ).get(FASTEM.name, [])
    aims = {f"errors, {d} columns": most for d, most in MOST.items()}
    aims |= dict.fromkeys(INTERVALS, MOST_INTERVAL)
    rows = []
    for name, aim in aims.items():
        ns = median([turn[name] for turn in turns]) if turns else None
        rows.append({"rows": name, "ns": ns, "aim": aim})
        if not session.quick and turns and ns > aim:
            session.complaints.append(f"{name}: {ns:.1f} ns, aim {aim:g}")
    return rows


def measured_rows(n: int, d: int, K: int):
    """Rows (n, d), the covariances (n, d, d) of their errors, and weights, means and covariances to start from."""
    rng = np.random.default_rng([n, d, K])
    means = 4 * rng.normal(size=(K, d))
    factors = 0.3 * rng.normal(size=(n, d, d))
    noise = np.einsum("nij,nj->ni", factors, rng.normal(size=(n, d)))
    X = means[rng.integers(K, size=n)] + rng.normal(size=(n, d)) + noise
    start = np.full(K, 1 / K), means + 0.5 * rng.normal(size=(K, d)), np.tile(np.eye(d), (K, 1, 1))
    return X, factors @ factors.transpose(0, 2, 1), start


def bounded_rows(kind: str, n: int, d: int, K: int):
    """Wide rows (n, 3 d) of values and their bounds, and a mixture in the same form as `measured_rows`."""
    X, _, start = measured_rows(n, d, K)
    if kind == INTERVALS[0]:
        lower, upper = np.floor(10 * X) / 10, np.floor(10 * X) / 10 + 0.1
    elif kind == INTERVALS[1]:
        lower, upper = np.floor(X), np.floor(X) + 1
    else:
        limit = np.median(X, axis=0)
        lower, upper = np.where(X < limit, -np.inf, X), np.maximum(X, limit)
    return np.hstack([X, lower, upper]), start
