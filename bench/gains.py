"""What fits say is left to gain (`remaining_gain`), beside what they gain when they are run on to their end."""

from __future__ import annotations

import time
import warnings

import numpy as np

import fastem
from bench.contest import Session
from bench.report import Section, table
from fastem.driver.em import em, remaining_gain
from fastem.driver.stopping import left_to_gain
from fastem.rows.blocks import ArrayBlocks

FACTOR, MOST_PASSES = 3.0, 20_000
ENDS = {  # name: (stop, tol in total or None)
    "early": ("aitken", 1.0),
    "default": ("gain", None),
    "certified": ("certified", 1e-3),
}
LEAST = 1e-8  # of a total log-likelihood's gain, which rounding would hide below
COVARIANCES = "full", "tied", "diag", "spherical", "VEV", "VVE", "EVI"
SIZES = (2.0, 2, 2, 500), (3.0, 4, 3, 1000), (6.0, 3, 4, 1000), (4.0, 20, 3, 2000), (4.0, 6, 8, 2000)
COST = ((100_000, 4, 4, 3.0), (100_000, 10, 5, 3.0), (100_000, 2, 3, 4.0), (100_000, 20, 8, 4.0))
COLUMNS = {
    "kind": ("kind", "s"),
    "fits": ("fits", "d"),
    "Newton: given": ("newton", "d"),
    "within 3": ("newton close", "d"),
    "no maximum": ("saddles", "d"),
    "said: within 3": ("said close", "d"),
    "rate alone: within 3": ("rate close", "d"),
}
COSTS = {
    "rows × columns, K": ("problem", "s"),
    "iterations": ("iterations", "d"),
    "seconds without": ("without", ".3f"),
    "with": ("with", ".3f"),
    "more, %": ("more", ".1f"),
}
LEGEND = f"""\
Every fit is stopped at three ends and then run on in float64 until it stands still: early, where Aitken's estimate of
the total is below 1; by the default rule; and by stop="certified" with tol=1e-3. Newton: by Newton's decrement. said:
`remaining_gain`, Newton's where it is given, else by the rate; "no maximum" (the information has negative curvature, so
there is no number) counts as a miss. within 3: within a factor {FACTOR:g} of what was gained. Fits with less than
{LEAST:g} to gain, and those that {MOST_PASSES} iterations do not end, are not counted.

Cost: processor time of a fit, start and all, with stop="certified", and with as many iterations without it, in turn;
medians; one thread."""


def mixed(rng, apart, d, K, n):
    """(n, d) rows of K Gaussians, so far apart in their deviations, whatever d is."""
    centres = rng.normal(size=(K, d)) * apart / np.sqrt(2 * max(1, d / 4))
    return centres[rng.integers(K, size=n)] + rng.normal(size=(n, d))


def problems(seed):
    """(kind, estimator, rows) of many kinds."""
    rng = np.random.default_rng(seed)
    gaussian, half = fastem.GaussianMixture, rng.random((600, 1)) < 0.5
    for covariance in COVARIANCES:
        for size in SIZES:
            yield f"Gaussian, {covariance}", gaussian(size[2], covariance_type=covariance), mixed(rng, *size)
    for size in SIZES[:3]:
        X = mixed(rng, *size)
        yield "float32", gaussian(size[2]), X.astype(np.float32)
        for accelerate in ("anderson", "squarem"):
            yield f"accelerated, {accelerate}", gaussian(size[2], accelerate=accelerate), X
        yield "prior", gaussian(size[2], prior="default"), X
        yield "prior of weights", gaussian(size[2], weight_concentration_prior=2.0), X
        yield "covariances at the floor", gaussian(size[2], reg_covar=0.2), X
        yield "fixed weights", gaussian(size[2], fixed={"weights": True}, weights_init=np.full(size[2], 1 / size[2])), X
        yield "noise", gaussian(size[2], noise="box"), np.vstack([X, 20 * (rng.random((50, size[1])) - 0.5)])
        yield "Student-t", fastem.StudentTMixture(size[2]), X + 0.1 * rng.standard_t(3, X.shape)
        yield "variational", fastem.BayesianGaussianMixture(size[2]), X
        yield "missing values", gaussian(size[2]), np.where(rng.random(X.shape) < 0.1, np.nan, X)
    yield "Poisson", fastem.PoissonMixture(2), rng.poisson(np.where(half, 2, 4), (600, 3)).astype(float)
    yield "Bernoulli", fastem.BernoulliMixture(2), (rng.random((600, 6)) < np.where(half, 0.3, 0.6)).astype(float)
    yield "categorical", fastem.CategoricalMixture(2), rng.binomial(2, np.where(half, 0.2, 0.6), (600, 6)).astype(float)
    yield "exponential", fastem.ExponentialMixture(2), rng.exponential(np.where(half, 1, 3), (600, 2))
    yield "gamma", fastem.GammaMixture(2), rng.gamma(np.where(half, 2, 6), 1.0, (600, 2))


def judged(estimator, X, end):
    """(gained later, Newton's estimate or None, the rate's, whether it is no maximum), or None where not counted."""
    X = np.ascontiguousarray(X)
    (stop, tol), n = ENDS[end], len(X)
    tol = {"gain": 1e-3, "aitken": (tol or 0) / n, "certified": tol}[stop]
    start = estimator.set_params(random_state=0, max_iter=0).fit(X).model_
    result = em(start, X, stop=stop, tol=tol, max_iter=5000, accelerate=getattr(estimator, "accelerate", None))
    if not result.converged:
        return None
    estimate, rate = remaining_gain(result, ArrayBlocks(X), 1), rate_of(result)
    rows = X.astype(np.float64)
    last = em(result.model, rows, stop="log_likelihood", tol=1e-15, max_iter=MOST_PASSES, accelerate="anderson")
    gained = (last.history[-1] - last.history[0]) * n
    if not last.converged or gained < LEAST:
        return None
    saddle = estimate.ascent is not None
    return gained, estimate.total if estimate.method == "newton" and not saddle else None, rate, saddle


def rate_of(result):
    """Aitken's estimate at the end of a fit."""
    return left_to_gain(result) * result.statistics.weight * result.unit


def close(estimate, truth) -> bool:
    """Whether an estimate is within the factor."""
    return estimate is not None and truth / FACTOR <= estimate <= truth * FACTOR


def cost(n, d, K, apart, repeats):
    """Processor time that stop="certified" adds to a fit, start and all."""
    X = mixed(np.random.default_rng(0), apart, d, K, n)
    options = {"random_state": 0, "n_threads": 1}
    iterations = fastem.GaussianMixture(K, stop="certified", max_iter=5000, **options).fit(X).n_iter_
    seconds = {"with": [], "without": []}
    for _ in range(repeats):
        for name, stop in (("without", {"stop": "log_likelihood", "tol": 0}), ("with", {"stop": "certified"})):
            model = fastem.GaussianMixture(K, max_iter=iterations, **stop, **options)
            begin = time.process_time()
            model.fit(X)
            seconds[name].append(time.process_time() - begin)
    medians = {name: float(np.median(taken)) for name, taken in seconds.items()}
    more = 100 * (medians["with"] / medians["without"] - 1)
    return {"problem": f"{n} × {d}, {K}", "iterations": iterations, "more": more} | medians


def run(session: Session) -> Section:
    """All kinds, some samples of each."""
    kinds: dict[str, list] = {}
    ends: dict[str, list] = {end: [] for end in ENDS}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of fits that have just begun
        for seed in range(1 if session.quick else 3):
            for kind, estimator, X in problems(seed):
                for end in ENDS:
                    found = judged(estimator, X, end)
                    if found is not None:
                        kinds.setdefault(kind, []).append(found)
                        ends[end].append(found)
        costs = [cost(*problem, session.repeats) for problem in COST[: 2 if session.quick else None]]
    everything = [one for found in ends.values() for one in found]
    rows = [row(kind, found) for kind, found in kinds.items()]
    rows += [row(f"all: {end}", found) for end, found in ends.items()] + [row("all", everything)]
    share = rows[-1]["newton close"] / max(1, rows[-1]["newton"])
    if share < 0.95:
        session.complaints.append(f"only {share:.0%} of Newton's estimates are within a factor {FACTOR:g}")
    text = f"{table(rows, COLUMNS)}\n\n{table(costs, COSTS)}\n\n{LEGEND}"
    return Section("What is left to gain", text, rows + costs)


def row(kind, found):
    """The counts of one kind."""
    return {
        "kind": kind,
        "fits": len(found),
        "newton": sum(newton is not None for _, newton, _, _ in found),
        "newton close": sum(close(newton, gained) for gained, newton, _, _ in found),
        "said close": sum(
            close(rate if newton is None else newton, gained) and not saddle for gained, newton, rate, saddle in found
        ),
        "rate close": sum(close(rate, gained) for gained, _, rate, _ in found),
        "saddles": sum(saddle for *_, saddle in found),
    }
