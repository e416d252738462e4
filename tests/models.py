"""Every mixture family in one table: its estimator, and data that it can describe. The laws are in test_models.py.

A new family adds a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fastem


@dataclass(frozen=True)
class Family:
    """One row: an unfitted estimator of K components, and rows for it."""

    name: str
    make: Any  # K, **parameters -> estimator
    draw: Any  # rng, n -> (n, d) rows of two or three groups
    log_prob: Any = None  # model.emission, k, X -> (n,) the oracle: log p(x | z = k), from scipy
    maximises: bool = True  # or its M-step only improves: generalised EM

    def __str__(self):
        return self.name

    def data(self, n=400, seed=0):
        return self.draw(np.random.default_rng([seed, n]), n)


def counts(rng, n):
    return rng.poisson(np.array([[1.0, 8.0, 3.0], [6.0, 2.0, 3.0]])[rng.integers(2, size=n)]).astype(float)


def points(rng, n):
    return rng.normal(size=(n, 3)) + 3 * np.eye(3)[rng.integers(3, size=n)]


def poisson_log_prob(emission, k, X):
    from scipy.stats import poisson

    return poisson.logpmf(X, emission.rates[k]).sum(axis=1)


def gaussian_log_prob(emission, k, X):
    from scipy.stats import multivariate_normal

    covariance = emission.covariance.covariances[k]
    covariance = np.diag(covariance) if covariance.ndim == 1 else covariance
    return multivariate_normal(emission.means[k], covariance).logpdf(X).reshape(len(X))


def mixed(rng, n):
    z = rng.integers(2, size=n)
    return np.column_stack([rng.poisson(2 + 6 * z), rng.normal(3 * z), rng.poisson(3, n), rng.normal(size=n) - z])


def mixed_log_prob(emission, k, X):
    parts = {"gaussian": gaussian_log_prob, "poisson": poisson_log_prob}
    return sum(parts[kind](own, k, X[:, emission.columns[kind]]) for kind, own in emission.members.items())


def mixed_mixture(K, **parameters):
    return fastem.MixedMixture(K, kinds=["poisson", "gaussian", "poisson", "gaussian"], **parameters)


def student_log_prob(emission, k, X):
    from scipy.stats import multivariate_t

    shape, nu = emission.covariance.covariances[k], emission.degrees_of_freedom[k]
    return multivariate_t(emission.means[k], shape, nu).logpdf(X).reshape(len(X))


def tailed(rng, n):
    return points(rng, n) + rng.standard_t(2.5, size=(n, 3))


MODELS = [
    Family("full", fastem.GaussianMixture, points, gaussian_log_prob),
    Family("poisson", fastem.PoissonMixture, counts, poisson_log_prob),
    Family("mixed", mixed_mixture, mixed, mixed_log_prob),
    Family("student", fastem.StudentTMixture, tailed, student_log_prob),
    Family("factor_analyzers", fastem.MixtureOfFactorAnalyzers, points, gaussian_log_prob, maximises=False),
]
