"""Passes to within 1e-6 of the optimum: plain and accelerated EM, on strongly and on hardly overlapping mixtures."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import Session
from bench.report import Section, table

SHAPES = [(d, K) for d in (2, 10) for K in (2, 4, 10)]
OVERLAPPING, SEPARATED = (1.0, 2.0), (6.0, 12.0)  # standard deviations between neighbours
ROWS, SEEDS, MOST_PASSES = 2000, 3, 20_000
METHODS = ("anderson", "squarem")
COLUMNS = {
    "columns, components": ("shape", "s"),
    "apart": ("apart", ".0f"),
    "EM": ("EM", ".0f"),
    "anderson": ("anderson", ".0f"),
    "squarem": ("squarem", ".0f"),
    "EM / anderson": ("anderson ratio", ".1f"),
    "EM / squarem": ("squarem ratio", ".1f"),
    "other optimum: better, worse": ("elsewhere", "s"),
}
LEGEND = f"""\
Medians of {SEEDS} samples of {ROWS} rows, equal weights, full covariances, from a start near the truth, to within 1e-6
of plain EM's final mean log-likelihood. other optimum: accelerated runs that ended more than 1e-5 above or below it;
those that never came so far are not among the ratios."""


def run(session: Session) -> Section:
    """Every shape, from near to far."""
    seeds = range(1 if session.quick else SEEDS)
    rows = [row(d, K, apart, seeds) for apart in OVERLAPPING + SEPARATED for d, K in SHAPES]
    return Section("Acceleration", f"{table(rows, COLUMNS)}\n\n{overall(rows)}\n\n{LEGEND}", rows)


def overall(rows: list[dict]) -> str:
    """The medians over all samples, and the worst where components are far apart."""
    near = {m: [r for row in rows if row["apart"] in OVERLAPPING for r in row["ratios"][m]] for m in METHODS}
    far = {m: [r for row in rows if row["apart"] in SEPARATED for r in row["ratios"][m]] for m in METHODS}
    return "\n".join(
        f"{m}: {median(near[m]):.1f} times fewer passes where they overlap (median of {len(near[m])}), at worst "
        f"{1 / min(far[m]):.2f} times the passes where they do not.  "
        for m in METHODS
    )


def row(d: int, K: int, apart: float, seeds) -> dict:
    """Passes of each method on one shape."""
    from fastem import em

    counts, ratios, better, worse = {"EM": [], **{m: [] for m in METHODS}}, {m: [] for m in METHODS}, 0, 0
    for seed in seeds:
        X, start = sample(d, K, apart, seed)
        history = np.array(em(start, X, tol=1e-11, max_iter=MOST_PASSES).history)
        goal = history[-1] - 1e-6
        plain = int(np.argmax(history >= goal)) + 1
        counts["EM"].append(plain)
        for method in METHODS:
            reached = []

            def note(result, reached=reached):
                reached[:] = reached or ([result.n_passes] if result.history[-1] >= goal else [])  # noqa: B023

            result = em(start, X, tol=1e-11, max_iter=MOST_PASSES, accelerate=method, callback=note)
            better += result.history[-1] > history[-1] + 1e-5
            worse += result.history[-1] < history[-1] - 1e-5
            if reached:
                counts[method] += reached
                ratios[method].append(plain / reached[0])
    found = {name: median(passes) if passes else None for name, passes in counts.items()}
    found |= {f"{m} ratio": median(r) if r else None for m, r in ratios.items()}
    return found | {"shape": f"{d}, {K}", "apart": apart, "elsewhere": f"{better}, {worse}", "ratios": ratios}


def sample(d: int, K: int, apart: float, seed: int):
    """Rows of a chain of K standard normals, and a start near the truth."""
    from fastem.covariance import Full
    from fastem.emissions import Gaussian
    from fastem.mixture import Mixture

    rng = np.random.default_rng(seed)
    steps = rng.normal(size=(K, d))
    means = np.cumsum(apart * steps / np.linalg.norm(steps, axis=1, keepdims=True), axis=0)
    X = means[rng.integers(0, K, ROWS)] + rng.normal(size=(ROWS, d))
    floor = 1e-6 * X.var(axis=0)
    covariance = Full.from_covariances(np.tile(1.2 * np.eye(d), (K, 1, 1)), floor)
    return X, Mixture(np.full(K, 1 / K), Gaussian(means + 0.3 * rng.normal(size=means.shape), covariance, floor))
