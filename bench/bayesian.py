"""BayesianGaussianMixture: iterations beside GaussianMixture's, and from data to model beside scikit-learn's class."""

from __future__ import annotations

from statistics import median

import numpy as np

from bench.contest import FASTEM, Session
from bench.families import FEWER_ROWS, compared
from bench.report import Section, table

SHAPES = [(200_000, 16, 32), (200_000, 5, 8), (1_000_000, 2, 8)]  # rows, columns, components
MOST = 1.05  # times GaussianMixture's iteration
FIT = {"n": 200_000, "d": 16, "K": 32}
LEAST = 20.0  # times as fast as scikit-learn from data to model
STARTS = "kmeans"  # scikit-learn's
LEGEND = """\
One E-step and one M-step from the same start, of full covariances. ratio: median over the turns of that within a turn,
where the two alternate in one process."""
FIT_LEGEND = f"""\
From {FIT["n"]} rows of {FIT["d"]} columns in {FIT["K"]} groups to a model of as many full components, with default
settings. Both ELBOs are by the full formula: scikit-learn's posterior is scored by fastem (`from_sklearn`,
`theory.evidence_bound`) under its own prior, which is the same but for reg_covar. scikit-learn stops after 100
iterations."""


def run(session: Session) -> Section:
    """Iterations, and one fit from data to model."""
    iterations = compared(session, "Bayesian", "bayesian", SHAPES, "GaussianMixture", MOST, LEGEND)
    question = FIT | {"n": FIT["n"] // FEWER_ROWS if session.quick else FIT["n"]}
    question["n_threads"] = session.machine.n_threads
    turns = session.take_turns(
        "data to model",
        session.present(FASTEM),
        lambda rival: rival.ask("bayesian_fit", **question),
        session.repeats,
    )
    answers = turns.get(FASTEM.name, [])
    rows = [
        {"library": name, "seconds": median(a[f"{name} s"] for a in answers), "elbo": answers[0][f"{name} elbo"]}
        for name in ("fastem", "scikit-learn")
        if answers
    ]
    if rows and not session.quick:
        times = median(a["scikit-learn s"] / a["fastem s"] for a in answers)
        if times < LEAST:
            session.complaints.append(f"data to model: {times:.1f} times as fast as scikit-learn, aim {LEAST:g}")
        if rows[0]["elbo"] < rows[1]["elbo"] - 1e-6:
            session.complaints.append(f"data to model: ELBO {rows[0]['elbo']:.6f}, scikit-learn {rows[1]['elbo']:.6f}")
    columns = {"library": ("library", "s"), "seconds": ("seconds", ".2f"), "ELBO per row": ("elbo", ".6f")}
    text = f"{iterations.text}\n\n{table(rows, columns)}\n\n{FIT_LEGEND}"
    return Section("Bayesian mixtures", text, iterations.rows + rows)


def rows_in_groups(n: int, d: int, K: int) -> np.ndarray:
    """(n, d) rows of K groups that overlap."""
    rng = np.random.default_rng([n, d, K])
    roots = rng.normal(size=(K, d, d)) / np.sqrt(d) + np.eye(d)
    group = rng.integers(K, size=n)
    means = 2 * rng.normal(size=(K, d))
    return means[group] + np.einsum("nij,nj->ni", roots[group], rng.normal(size=(n, d)))


def samples(n: int, d: int, K: int, dtype: str):
    """The Bayesian mixtures, their rows, and the Gaussian mixture of the same start."""
    import fastem

    X = rows_in_groups(n, d, K).astype(dtype)
    settings = {"random_state": 0, "max_iter": 2, "coarse": False, "init_params": "k-means++"}
    begun = fastem.GaussianMixture(K, **settings).fit(X).model_
    for name in ("dirichlet_process", "dirichlet_distribution"):
        bayesian = fastem.BayesianGaussianMixture(K, weight_concentration_prior_type=name, **settings).fit(X)
        yield name, X, bayesian.model_, begun


def fits(n: int, d: int, K: int, n_threads: int) -> dict:
    """Seconds of both classes from data to model, and the ELBO of each per row."""
    from sklearn.mixture import BayesianGaussianMixture as Theirs
    from threadpoolctl import threadpool_limits

    import fastem
    from bench.worker import fit_quietly, seconds_of
    from fastem.theory import evidence_bound

    X = rows_in_groups(n, d, K)
    ours = fastem.BayesianGaussianMixture(K, random_state=0, n_threads=n_threads)
    theirs = Theirs(n_components=K, random_state=0, init_params=STARTS)
    found = {"fastem s": seconds_of(lambda: fit_quietly(ours, X))}
    with threadpool_limits(n_threads):
        found["scikit-learn s"] = seconds_of(lambda: fit_quietly(theirs, X))
    both = {"fastem": ours, "scikit-learn": fastem.BayesianGaussianMixture.from_sklearn(theirs)}
    return found | {f"{name} elbo": evidence_bound(one, X) / n for name, one in both.items()}
