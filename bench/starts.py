"""Where default fits end: log-likelihoods beside scikit-learn's, over many situations and seeds."""

from __future__ import annotations

import time
import warnings
import zlib
from statistics import median

import numpy as np

from bench.contest import Session
from bench.report import Section, losses, table
from bench.situations import SITUATIONS

SEEDS, FEWER = 20, 3
MARGIN = 1.0  # log-likelihood, in total: less than this below is no loss
MOST_LOST, MOST_LOST_OF_ONE = 0.03, 0.05
COLUMNS = {
    "situation": ("name", "s"),
    "n × d": ("shape", "s"),
    "K": ("K", "d"),
    "covariances": ("covariance_type", "s"),
    "lost": ("lost", "s"),
    "worst": ("worst", ".1f"),
    "median": ("median", ".2f"),
    "best": ("best", ".1f"),
    "ms": ("ms", ".1f"),
    "its time / ours": ("ratio", ".1f"),
    "iterations": ("iterations", ".0f"),
}
LEGEND = f"""\
Both with default settings. Log-likelihoods of the fitted rows, in total: fastem's less scikit-learn's, at the worst, in
the median and at best; lost: runs that end more than {MARGIN:g} below. Times are medians of single fits, in turn."""


def run(session: Session) -> Section:
    """Every situation, every seed."""
    seeds = range(FEWER if session.quick else SEEDS)
    rows = [row(name, seeds, session.machine.n_threads) for name in SITUATIONS]
    summary = losses(rows, len(seeds), "starts", MOST_LOST, session.complaints)
    for one in rows:
        if one["n_lost"] > max(1, MOST_LOST_OF_ONE * len(seeds)):
            session.complaints.append(f"starts: {one['name']} loses {one['n_lost']} of {len(seeds)}")
    return Section("Default fits", f"{table(rows, COLUMNS)}\n\n{summary}\n\n{LEGEND}", rows)


def row(name: str, seeds, n_threads: int) -> dict:
    """A situation over all seeds."""
    runs = [one_run(name, seed, n_threads) for seed in seeds]
    gains = [run["gain"] for run in runs]
    n_lost = sum(gain < -MARGIN for gain in gains)
    situation = SITUATIONS[name]
    return {
        "name": name,
        "shape": runs[0]["shape"],
        "K": situation.K,
        "covariance_type": situation.covariance_type,
        "n_lost": n_lost,
        "lost": f"{n_lost} of {len(runs)}",
        "worst": min(gains),
        "median": median(gains),
        "best": max(gains),
        "ms": 1000 * median(run["own"] for run in runs),
        "ratio": median(run["peer"] / run["own"] for run in runs),
        "iterations": median(run["iterations"] for run in runs),
    }


def one_run(name: str, seed: int, n_threads: int) -> dict:
    """Both fits to the same rows: what fastem gained over scikit-learn, and the seconds of each."""
    from sklearn.mixture import GaussianMixture as Peer

    from fastem import GaussianMixture

    situation = SITUATIONS[name]
    X = situation.draw(np.random.default_rng([seed, zlib.crc32(name.encode())]))
    settings = {"covariance_type": situation.covariance_type, "random_state": seed}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both say when they did not converge; the log-likelihoods show it
        own, seconds = timed(GaussianMixture(situation.K, n_threads=n_threads, **settings), X)
        peer, its = timed(Peer(situation.K, **settings), X)
    gain = own.log_likelihood_ - len(X) * peer.score(X)
    shape = f"{len(X)} × {X.shape[1]}"
    return {"gain": gain, "own": seconds, "peer": its, "shape": shape, "iterations": own.n_iter_}


def timed(estimator, X):
    """The fitted estimator, and the seconds that it took."""
    begun = time.perf_counter()
    estimator.fit(X)
    return estimator, time.perf_counter() - begun
