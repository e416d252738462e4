"""Where default fits of the other families end, beside the best that many starts and the truth reach."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.contest import Session
from bench.report import Section, losses, table

SEEDS, FEWER = 10, 2
MARGIN = 1.0  # log-likelihood, in total: less than this below is no loss
MOST_LOST = 0.03
OTHERS = {"random": 4, "random_from_data": 2, "kmeans": 2}  # starts that are run on, beside the truth's
RUN_ON = {"tol": 1e-9, "max_iter": 3000}
COLUMNS = {
    "situation": ("name", "s"),
    "family": ("family", "s"),
    "n × d": ("shape", "s"),
    "K": ("K", "d"),
    "lost": ("lost", "s"),
    "worst": ("worst", ".1f"),
    "median": ("median", ".2f"),
    "iterations": ("iterations", ".0f"),
}
LEGEND = f"""\
Default settings. Log-likelihood of the fitted rows, in total, less the best known: of fits from the true components,
and from eight other starts, each run on to tol = 1e-9. lost: runs that end more than {MARGIN:g} below."""


@dataclass(frozen=True)
class Situation:
    """What is drawn and fitted.

    Attributes
    ----------
    family : str
        The estimator's name.
    n : int
    weights : (K,), up to a factor
    draw : callable
        ``draw(label, rng)`` gives rows (n, d) of these components.
    settings : dict
        Of the estimator.
    """

    family: str
    n: int
    weights: tuple
    draw: Callable
    settings: dict


def situation(family, n, weights, draw, **settings) -> Situation:
    """One of K components with these weights, or of so many equal ones."""
    return Situation(family, n, (1,) * weights if isinstance(weights, int) else weights, draw, settings)


def column(*values) -> np.ndarray:
    """(K, 1)"""
    return np.array(values, float)[:, None]


def drawn(seed: int) -> np.random.Generator:
    """For the parameters of a situation."""
    return np.random.default_rng([seed, 1])


def exponential(scales):
    return lambda z, rng: rng.exponential(scales[z])


def poisson(rates):
    return lambda z, rng: rng.poisson(rates[z]).astype(float)


def geometric(p):
    return lambda z, rng: rng.geometric(p[z]) - 1.0


def bernoulli(p):
    return lambda z, rng: (rng.random((len(z), p.shape[1])) < p[z]).astype(float)


def categorical(p):
    """p : (K, d, L)"""
    return lambda z, rng: (rng.random((len(z), p.shape[1], 1)) > p[z].cumsum(axis=2)[:, :, :-1]).sum(axis=2) * 1.0


def gamma(shapes, scales):
    return lambda z, rng: np.maximum(rng.gamma(shapes[z], scales[z]), 1e-300)


def tails(means, scales, nu):
    def draw(z, rng):
        u = rng.gamma(nu[z] / 2, 2 / nu[z])
        return means[z] + (scales[z] / np.sqrt(u))[:, None] * rng.normal(size=(len(z), means.shape[1]))

    return draw


def directions(K, d, concentrations, seed):
    def draw(z, rng):
        from fastem.families.von_mises_fisher import VonMisesFisher

        means = drawn(seed).normal(size=(K, d))
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        density = VonMisesFisher(means, np.resize(np.array(concentrations, float), K), 1e9)
        X = np.empty((len(z), d))
        for k in range(K):
            X[z == k] = density.sample(k, int((z == k).sum()), rng)
        return X

    return draw


def factors(K, d, q, apart, seed):
    rng = drawn(seed)
    means, loadings, noise = apart * rng.normal(size=(K, d)), rng.normal(size=(K, d, q)), rng.uniform(0.3, 0.8, (K, d))
    return lambda z, rng: (
        means[z]
        + np.einsum("ndq,nq->nd", loadings[z], rng.normal(size=(len(z), q)))
        + noise[z] * rng.normal(size=(len(z), d))
    )


def gaussians(K, seed):
    rng = drawn(seed)
    means, roots = rng.uniform(-8, 8, (K, 2)), 0.6 * rng.normal(size=(K, 2, 2))
    return lambda z, rng: means[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(len(z), 2)))


def side_by_side(*draws):
    """Columns of several kinds; a number: codes up to it, that say nothing."""

    def draw(z, rng):
        columns = (of(z, rng) if callable(of) else rng.integers(0, of, (len(z), 1)) for of in draws)
        return np.hstack([*columns])

    return draw


def normal(means, deviations):
    return lambda z, rng: rng.normal(means[z], deviations[z])


def uneven(K, d, seed):
    rng = drawn(seed)
    means, roots = 3 * rng.normal(size=(K, d)), 0.5 * rng.normal(size=(K, d, d)) + 0.7 * np.eye(d)
    return lambda z, rng: means[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(len(z), d)))


def with_gaps(draw, share):
    """Rows of which this share of the values is missing."""

    def gaps(z, rng):
        X = draw(z, rng)
        return np.where(rng.random(X.shape) < share, np.nan, X)

    return gaps


def among_noise(draw, K):
    """Components below K of a situation, and noise in a box."""

    def both(z, rng):
        X = draw(np.minimum(z, K - 1), rng)
        X[z == K] = rng.uniform(-12, 12, (int((z == K).sum()), X.shape[1]))
        return X

    return both


EXPONENTIAL, POISSON, GEOMETRIC = "ExponentialMixture", "PoissonMixture", "GeometricMixture"
BERNOULLI, CATEGORICAL, GAMMA = "BernoulliMixture", "CategoricalMixture", "GammaMixture"
T, VMF, MFA = "StudentTMixture", "VonMisesFisherMixture", "MixtureOfFactorAnalyzers"
MIXED = "MixedMixture"
SITUATIONS = {
    "two scales": situation(EXPONENTIAL, 500, (6, 4), exponential(column(1, 5))),
    "scales far apart": situation(EXPONENTIAL, 1000, (5, 3, 2), exponential(column(1, 15, 200))),
    "four columns of scales": situation(EXPONENTIAL, 500, 3, exponential(drawn(1).uniform(0.3, 4, (3, 4)))),
    "few values among many": situation(EXPONENTIAL, 3000, (3, 94, 3), exponential(column(0.1, 10, 1000))),
    "uneven clusters of scales": situation(
        EXPONENTIAL, 5000, (40, 30, 10, 10, 7, 3), exponential(np.exp(0.7 * drawn(2).normal(size=(6, 10))))
    ),
    "two rates that overlap": situation(POISSON, 500, (4, 6), poisson(column(1.2, 2.7))),
    "mostly zero": situation(POISSON, 800, (5, 3, 2), poisson(column(0.3, 4, 14))),
    "six columns of counts": situation(POISSON, 400, (1, 2, 1, 2), poisson(drawn(2).gamma(1.5, 2, (4, 6)))),
    "eight sparse groups": situation(POISSON, 1000, 8, poisson(drawn(3).gamma(2, 0.4, (8, 20)))),
    "two waiting times": situation(GEOMETRIC, 500, 2, geometric(column(0.6, 0.08))),
    "few waits among many": situation(GEOMETRIC, 3000, (5, 90, 5), geometric(column(0.8, 0.1, 0.002))),
    "three columns of waiting times": situation(GEOMETRIC, 500, 3, geometric(drawn(4).uniform(0.05, 0.8, (3, 3)))),
    "ten answers": situation(BERNOULLI, 400, 3, bernoulli(drawn(5).beta(0.8, 0.8, (3, 10)))),
    "twenty answers": situation(BERNOULLI, 600, 5, bernoulli(drawn(6).beta(1, 1, (5, 20)))),
    "ten answers, uneven classes": situation(
        BERNOULLI, 3000, (40, 30, 10, 10, 7, 3), bernoulli(drawn(1).uniform(0.05, 0.95, (6, 10)))
    ),
    "four answers": situation(BERNOULLI, 400, 2, bernoulli(drawn(7).beta(0.7, 0.7, (2, 4)))),
    "seven raters, few rows": situation(CATEGORICAL, 118, 3, categorical(drawn(8).dirichlet([0.5] * 2, (3, 7)))),
    "five questions": situation(CATEGORICAL, 800, 3, categorical(drawn(9).dirichlet([1] * 4, (3, 5)))),
    "uneven classes": situation(CATEGORICAL, 1200, (4, 3, 2, 1), categorical(drawn(10).dirichlet([0.8] * 3, (4, 6)))),
    "twelve questions": situation(CATEGORICAL, 1000, 6, categorical(drawn(11).dirichlet([0.8] * 5, (6, 12)))),
    "steep and peaked": situation(GAMMA, 600, 3, gamma(column(0.2, 32, 5), column(14, 0.6, 5))),
    "two shapes": situation(GAMMA, 500, (7, 3), gamma(column(1, 20), column(2, 0.5))),
    "four columns of shapes": situation(
        GAMMA, 600, 3, gamma(0.2 + drawn(12).gamma(2, 1.5, (3, 4)), drawn(13).uniform(0.5, 3, (3, 4)))
    ),
    "heavy tails": situation(
        T, 600, 3, tails(np.array([[0.0, 0], [6, 0], [0, 8]]), np.array([1.0, 2, 1]), np.array([2.0, 4, 20]))
    ),
    "tails in five columns": situation(
        T,
        800,
        (1, 2, 1, 1),
        tails(2.5 * drawn(14).normal(size=(4, 5)), np.array([1, 1, 0.5, 2]), np.array([3.0, 3, 8, 5])),
    ),
    "tails in one column": situation(T, 500, 2, tails(column(0, 5), np.array([1.0, 2]), np.array([2.0, 6]))),
    "tails of uneven clusters": situation(
        T,
        1500,
        (45, 27, 16, 10, 6),
        tails(3 * drawn(33).normal(size=(5, 3)), np.array([0.6, 1, 1.5, 0.8, 0.5]), np.full(5, 4.0)),
    ),
    "on a sphere": situation(VMF, 400, 3, directions(3, 3, [3, 10, 40], 15)),
    "ten columns of directions": situation(VMF, 600, 5, directions(5, 10, [8], 16)),
    "forty columns of directions": situation(VMF, 600, 6, directions(6, 40, [15, 20, 25, 30, 40, 60], 17)),
    "two factors": situation(MFA, 600, 3, factors(3, 8, 2, 0.8, 18), n_factors=2),
    "three factors, near": situation(MFA, 400, 2, factors(2, 15, 3, 0.4, 19), n_factors=3),
    "a value and a code": situation(
        MIXED, 1000, (6, 4), side_by_side(normal(column(0, 3), column(1, 1)), 3), kinds=["gaussian", "categorical"]
    ),
    "age, visits and region": situation(
        MIXED,
        1000,
        (4, 3, 3),
        side_by_side(normal(column(25, 45, 70), column(5, 5, 5)), poisson(column(1, 4, 9)), 5, 2),
        kinds=["gaussian", "poisson", "categorical", "bernoulli"],
    ),
    "answers and values": situation(
        MIXED,
        1000,
        3,
        side_by_side(bernoulli(drawn(22).beta(0.5, 0.5, (3, 6))), normal(column(0, 0, 0), column(1, 1, 1))),
        kinds=6 * ["bernoulli"] + ["gaussian"],
    ),
    "sizes and codes": situation(
        MIXED, 1000, 2, side_by_side(gamma(column(3, 30), column(1, 1)), 3, 6), kinds=["gamma"] + 2 * ["categorical"]
    ),
    "a plane and codes": situation(
        MIXED,
        1000,
        4,
        side_by_side(
            normal(np.array([[0.0, 0], [0, 4], [4, 0], [4, 4]]), np.ones((4, 2))),
            categorical(drawn(23).dirichlet([1] * 4, (4, 1))),
            6,
        ),
        kinds=2 * ["gaussian"] + 2 * ["categorical"],
    ),
    "gaps in uneven clusters": situation(
        "GaussianMixture", 1000, (45, 27, 16, 10, 6), with_gaps(uneven(5, 3, 53), 0.3)
    ),
    "gaps along columns": situation(
        "GaussianMixture", 2000, 8, with_gaps(uneven(8, 4, 35), 0.1), covariance_type="diag"
    ),
    "noise, three groups": situation(
        "GaussianMixture", 600, (1, 1, 1, 1.3), among_noise(gaussians(3, 20), 3), noise="box"
    ),
    "noise, four groups": situation(
        "GaussianMixture", 1000, (1, 1, 1, 1, 2.7), among_noise(gaussians(4, 21), 4), noise="box"
    ),
}


def run(session: Session) -> Section:
    """Every situation, every seed."""
    seeds = range(FEWER if session.quick else SEEDS)
    rows = [row(name, seeds, session.machine.n_threads) for name in SITUATIONS]
    summary = losses(rows, len(seeds), "starts of families", MOST_LOST, session.complaints)
    return Section("Default fits of other families", f"{table(rows, COLUMNS)}\n\n{summary}\n\n{LEGEND}", rows)


def row(name: str, seeds, n_threads: int) -> dict:
    """A situation over all seeds."""
    one = SITUATIONS[name]
    runs = [one_run(name, seed, n_threads) for seed in seeds]
    gains = [run["gain"] for run in runs]
    n_lost = sum(gain < -MARGIN for gain in gains)
    return {
        "name": name,
        "family": one.family,
        "shape": runs[0]["shape"],
        "K": len(one.weights) - ("noise" in one.settings),
        "n_lost": n_lost,
        "lost": f"{n_lost} of {len(runs)}",
        "worst": min(gains),
        "median": median(gains),
        "iterations": median(run["iterations"] for run in runs),
    }


def one_run(name: str, seed: int, n_threads: int) -> dict:
    """What the default fit gained over the best known."""
    import fastem

    one, rng = SITUATIONS[name], np.random.default_rng([seed, zlib.crc32(name.encode())])
    weights = np.array(one.weights, float)
    label = rng.choice(len(weights), one.n, p=weights / weights.sum())
    X = one.draw(label, rng)
    K = len(weights) - ("noise" in one.settings)
    make = getattr(fastem, one.family)
    common = {**one.settings, "n_threads": n_threads}
    starts = [kind for kind, runs in OTHERS.items() for _ in range(runs)]
    if "noise" not in one.settings:
        starts.append(label)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of components that the families say are held at a bound
        fit = make(K, random_state=seed, **common).fit(X)
        known = [make(K, init_params=s, random_state=i, **common, **RUN_ON).fit(X) for i, s in enumerate(starts)]
    gain = fit.log_likelihood_ - max(other.log_likelihood_ for other in known)
    return {"gain": gain, "shape": f"{len(X)} × {X.shape[1]}", "iterations": fit.n_iter_}
