"""What fits say is left to gain (`remaining_gain`), beside what they gain when they are run on to their end."""

from __future__ import annotations

import numpy as np

import fastem
from bench.contest import Session
from bench.report import Section, table
from fastem.driver.em import em, remaining_gain
from fastem.rows.blocks import ArrayBlocks

FACTOR, MOST_PASSES = 3.0, 20_000
TOLS = (1.0, 1e-3)  # of stop="aitken", in total: where fits are judged
LEAST = 1e-8  # of a total log-likelihood's gain, which rounding would hide below
COLUMNS = {
    "kind": ("kind", "s"),
    "fits": ("fits", "d"),
    "Newton: given": ("newton", "d"),
    "within 3": ("newton close", "d"),
    "rate: within 3": ("rate close", "d"),
    "no maximum": ("saddles", "d"),
}
LEGEND = f"""\
Fits that were stopped where Aitken's estimate of the total is below {" or ".join(map(str, TOLS))}, judged there, then
run on by EM until float64 stands still. within 3: the estimate lies within a factor {FACTOR:g} of what was gained. Fits
with less than {LEAST:g} to gain, and those that {MOST_PASSES} iterations do not end, are not counted. no maximum: the
information has negative curvature, so there is no estimate."""


def problems(seeds):
    """(kind, estimator, rows) of many kinds."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        for covariance in ("full", "tied", "diag", "spherical", "VEV"):
            for apart, d, K, n in ((2.0, 2, 2, 500), (3.0, 4, 3, 1000), (6.0, 3, 4, 1000)):
                centres = rng.normal(size=(K, d)) * apart / np.sqrt(2)
                X = centres[rng.integers(K, size=n)] + rng.normal(size=(n, d))
                yield f"Gaussian, {covariance}", fastem.GaussianMixture(K, covariance_type=covariance), X
        X = np.concatenate([rng.normal(size=(300, 2)), 2.5 + rng.normal(size=(300, 2))])
        yield "Gaussian, prior", fastem.GaussianMixture(2, prior="default"), X
        yield "Poisson", fastem.PoissonMixture(2), rng.poisson(np.where(rng.random((600, 1)) < 0.4, 2, 4), (600, 3))
        heads = rng.random((600, 6)) < np.where(rng.random((600, 1)) < 0.5, 0.3, 0.6)
        yield "Bernoulli", fastem.BernoulliMixture(2), heads.astype(float)
        waits = rng.exponential(np.where(rng.random((600, 1)) < 0.5, 1, 3), (600, 2))
        yield "exponential", fastem.ExponentialMixture(2), waits
        yield "Student-t", fastem.StudentTMixture(2), X + 0.1 * rng.standard_t(3, X.shape)


def judged(estimator, X, tol):
    """(gained later, Newton's estimate or None, the rate's, whether it is no maximum), or None where not counted."""
    X = np.ascontiguousarray(X, dtype=np.float64)
    estimator.set_params(random_state=0, max_iter=0)
    options = {"stop": "aitken", "tol": tol / len(X), "max_iter": 5000}
    result = em(estimator.fit(X).model_, X, **options)
    if not result.converged:
        return None
    blocks = ArrayBlocks(X)
    estimate, rate = remaining_gain(result, blocks, 1), result.remaining_gain
    end = em(result.model, X, stop="log_likelihood", tol=1e-15, max_iter=MOST_PASSES)
    gained = (end.history[-1] - result.history[-1]) * len(X)
    if not end.converged or gained < LEAST:
        return None
    saddle = estimate.ascent is not None
    return gained, estimate.total if estimate.method == "newton" and not saddle else None, rate, saddle


def close(estimate, truth) -> bool:
    """Whether an estimate is within the factor."""
    return estimate is not None and truth / FACTOR <= estimate <= truth * FACTOR


def run(session: Session) -> Section:
    """All kinds, a few samples of each."""
    kinds: dict[str, list] = {}
    for kind, estimator, X in problems(range(1 if session.quick else 6)):
        for tol in TOLS:
            found = judged(estimator, X, tol)
            if found is not None:
                kinds.setdefault(kind, []).append(found)
    rows = [row(kind, found) for kind, found in kinds.items()]
    rows.append(row("all", [one for found in kinds.values() for one in found]))
    return Section("What is left to gain", f"{table(rows, COLUMNS)}\n\n{LEGEND}", rows)


def row(kind, found):
    """The counts of one kind."""
    return {
        "kind": kind,
        "fits": len(found),
        "newton": sum(newton is not None for _, newton, _, _ in found),
        "newton close": sum(close(newton, gained) for gained, newton, _, _ in found),
        "rate close": sum(close(rate, gained) for gained, _, rate, _ in found),
        "saddles": sum(saddle for *_, saddle in found),
    }
