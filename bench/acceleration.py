"""Passes to within 1e-6 of plain EM's optimum, plain and accelerated, from the starts that users have."""

from __future__ import annotations

from math import inf
from statistics import median

import numpy as np

from bench.contest import Session
from bench.report import Section, table

SHAPES = [(d, K) for d in (2, 10) for K in (2, 4, 10)]
OVERLAPPING, SEPARATED = (1.0, 2.0), (6.0, 12.0)  # standard deviations between neighbours
STARTS = ("truth", "kmeans", "random")
ROWS, SEEDS, MOST_PASSES = 2000, (1001,), 20_000
CLOSE = 1e-6  # of a mean log-likelihood
METHODS = ("anderson", "squarem")
COLUMNS = {
    "columns, components": ("shape", "s"),
    "apart": ("apart", ".0f"),
    "EM": ("EM", ".0f"),
    "EM / anderson": ("anderson ratio", ".1f"),
    "EM / squarem": ("squarem ratio", ".1f"),
    "anderson: lower, higher": ("anderson elsewhere", "s"),
    "squarem: lower, higher": ("squarem elsewhere", "s"),
}
LEGEND = f"""\
Medians over samples of {ROWS} rows (seeds {", ".join(map(str, SEEDS))}: not those it was tuned on), equal weights, full
covariances, each from three starts (near the truth, k-means, random responsibilities). Passes to within {CLOSE:g} of
plain EM's mean log-likelihood at tol=1e-12, an accelerated run that never comes so far counted as ratio 0. lower,
higher: runs that ended more than {CLOSE:g} below or above plain EM."""


def run(session: Session) -> Section:
    """Every shape, from near to far."""
    starts = STARTS[:1] if session.quick else STARTS
    rows = [row(d, K, apart, starts) for apart in OVERLAPPING + SEPARATED for d, K in SHAPES]
    return Section("Acceleration", f"{table(rows, COLUMNS)}\n\n{overall(rows)}\n\n{LEGEND}", rows)


def overall(rows: list[dict]) -> str:
    """What each method saves and where it ends."""
    return "\n".join(summary(rows, method) for method in METHODS)


def summary(rows: list[dict], method: str) -> str:
    """The median saving where components overlap and the worst where they do not, and how many ended elsewhere."""
    near = [run for row in rows if row["apart"] in OVERLAPPING for run in row["runs"][method]]
    far = [run for row in rows if row["apart"] in SEPARATED for run in row["runs"][method]]
    least = min(ratio for ratio, _ in far)
    return (
        f"{method}: {median(ratio for ratio, _ in near):.1f} times fewer passes where they overlap (median of "
        f"{len(near)}; lower, higher: {elsewhere(near)}), at worst {1 / least if least else inf:.2f} times the passes "
        f"where they do not ({len(far)}; {elsewhere(far)}).  "
    )


def elsewhere(runs) -> str:
    """How many ended lower and higher than plain EM."""
    return f"{sum(gap < -CLOSE for _, gap in runs)}, {sum(gap > CLOSE for _, gap in runs)}"


def row(d: int, K: int, apart: float, starts) -> dict:
    """Passes of each method on one shape."""
    plain, runs = [], {method: [] for method in METHODS}
    for seed in SEEDS:
        for kind in starts:
            passes, found = contest(*sample(d, K, apart, seed, kind))
            plain.append(passes)
            for method in METHODS:
                runs[method].append(found[method])
    ratios = {f"{m} ratio": median(ratio for ratio, _ in runs[m]) for m in METHODS}
    ends = {f"{m} elsewhere": elsewhere(runs[m]) for m in METHODS}
    return {"shape": f"{d}, {K}", "apart": apart, "EM": median(plain), "runs": runs} | ratios | ends


def contest(X, start):
    """Plain EM's passes, and of each method (plain passes / its passes, final log-likelihood less plain EM's)."""
    from fastem import em

    history = np.array(em(start, X, tol=1e-12, max_iter=MOST_PASSES, n_threads=1).history)
    goal = history[-1] - CLOSE
    plain, found = int(np.argmax(history >= goal)) + 1, {}
    for method in METHODS:
        passes = [1] if history[0] >= goal else []

        def note(result, passes=passes):
            if not passes and result.history[-1] >= goal:
                passes.append(result.n_passes)

        result = em(start, X, tol=1e-12, max_iter=MOST_PASSES, n_threads=1, accelerate=method, callback=note)
        found[method] = (plain / passes[0] if passes else 0.0, result.history[-1] - history[-1])
    return plain, found


def sample(d: int, K: int, apart: float, seed: int, kind: str):
    """Rows of a chain of K standard normals, and a start."""
    from fastem.models.gaussian.dense import Full
    from fastem.models.gaussian.emission import Gaussian
    from fastem.models.mixture import Mixture
    from fastem.starts.from_memberships import from_membership
    from fastem.starts.named import MEMBERSHIPS

    rng = np.random.default_rng([seed, d, K, int(apart)])
    steps = rng.normal(size=(K, d))
    means = np.cumsum(apart * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    X = means[rng.integers(0, K, ROWS)] + rng.normal(size=(ROWS, d))
    floor, weight = 1e-6 * X.var(axis=0), np.ones(ROWS)
    if kind != "truth":
        membership = MEMBERSHIPS[kind](X, weight, K, rng, 1)
        return X, from_membership(X, weight, membership, K, Full, floor)
    covariance = Full.from_covariances(np.tile(1.2 * np.eye(d), (K, 1, 1)), floor)
    return X, Mixture(np.full(K, 1 / K), Gaussian(means + 0.3 * rng.normal(size=means.shape), covariance, floor))
