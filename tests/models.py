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

    one_column: bool = True  # whether rows may have but one
    refuses: tuple = ()  # (value, words): what no row may hold, and what the error says of it
    alike: tuple = ()  # a row of two columns; a component of which all rows are such says:
    alike_status: str = "ok"
    suit: Any = None  # X -> X: rows of any numbers as rows of its kind, negative ones left for its error

    def __str__(self):
        return self.name

    def data(self, n=400, seed=0):
        return self.draw(np.random.default_rng([seed, n]), n)


NEGATIVE = (-1, "Negative values in data: X must hold")


def no_fractions(X):
    return np.round(X).astype(X.dtype)


def no_zeros(X):
    return np.where(X == 0, X.dtype.type(1), X)


def zeros_and_ones(X):
    return np.where(X < 0, X, X > 1).astype(X.dtype)


def units(X):
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return np.where(norms > 0, X / np.where(norms > 0, norms, 1), np.eye(X.shape[1])[0]).astype(np.result_type(X, 1.0))


def counts(rng, n):
    return rng.poisson(np.array([[1.0, 8.0, 3.0], [6.0, 2.0, 3.0]])[rng.integers(2, size=n)]).astype(float)


def failures(rng, n):
    return rng.geometric(np.array([[0.9, 0.1, 0.5], [0.2, 0.7, 0.5]])[rng.integers(2, size=n)]) - 1.0


def points(rng, n):
    return rng.normal(size=(n, 3)) + 3 * np.eye(3)[rng.integers(3, size=n)]


def bits(rng, n):
    return (
        rng.random((n, 4)) < np.array([[0.9, 0.8, 0.2, 0.5], [0.1, 0.3, 0.9, 0.5]])[rng.integers(2, size=n)]
    ).astype(float)


def codes(rng, n):
    shift = rng.integers(2, size=(n, 1))
    return np.hstack([rng.binomial(3, 0.2 + 0.5 * shift, (n, 3)), rng.binomial(1, 0.3 + 0.4 * shift, (n, 2))]).astype(
        float
    )


def lifetimes(rng, n):
    return rng.exponential(np.array([[1.0, 8.0, 3.0], [30.0, 0.2, 3.0]])[rng.integers(2, size=n)])


def sizes(rng, n):
    z = rng.integers(2, size=n)
    return rng.gamma(np.array([[2.0, 9.0], [30.0, 3.0]])[z], np.array([[1.0, 0.1], [0.5, 2.0]])[z])


def directions(rng, n):
    return units(rng.normal(size=(n, 3)) + 2 * np.eye(3)[rng.integers(2, size=n)])


def poisson_log_prob(emission, k, X):
    from scipy.stats import poisson

    return poisson.logpmf(X, emission.rates[k]).sum(axis=1)


def geometric_log_prob(emission, k, X):
    from scipy.stats import geom

    return geom.logpmf(X + 1, emission.probabilities[k]).sum(axis=1)


def bernoulli_log_prob(emission, k, X):
    from scipy.stats import bernoulli

    return bernoulli.logpmf(X, emission.probabilities[k]).sum(axis=1)


def categorical_log_prob(emission, k, X):
    from scipy.stats import multinomial

    one_hot = (X[:, :, None] == np.arange(emission.probabilities.shape[2])).astype(int)
    return multinomial.logpmf(one_hot, 1, emission.probabilities[k]).sum(axis=1)


def exponential_log_prob(emission, k, X):
    from scipy.stats import expon

    return expon.logpdf(X, scale=1 / emission.rates[k]).sum(axis=1)


def gamma_log_prob(emission, k, X):
    from scipy.stats import gamma

    return gamma.logpdf(X, emission.shapes[k], scale=1 / emission.rates[k]).sum(axis=1)


def von_mises_fisher_log_prob(emission, k, X):
    from scipy.stats import vonmises_fisher

    units = X / np.linalg.norm(X, axis=1, keepdims=True)  # float32 rows are units to float32 only
    return vonmises_fisher(emission.mean_directions[k], emission.concentrations[k]).logpdf(units)


def gaussian_log_prob(emission, k, X):
    from scipy.stats import multivariate_normal

    covariance = emission.covariance.covariances[k]
    covariance = np.diag(covariance) if covariance.ndim == 1 else covariance
    return multivariate_normal(emission.means[k], covariance).logpdf(X).reshape(len(X))


MIXED = ["poisson", "gaussian", "bernoulli", "gaussian", "categorical", "gamma", "poisson", *["von_mises_fisher"] * 3]


def mixed(rng, n):
    z = rng.integers(2, size=n)
    numbers = [rng.poisson(2 + 6 * z), rng.normal(3 * z), rng.random(n) < 0.2 + 0.6 * z, rng.normal(size=n) - z]
    numbers += [np.minimum(2, rng.poisson(1, n)), rng.gamma(2 + 3 * z), rng.poisson(3, n)]
    return np.column_stack([*numbers, directions(rng, n)])


def mixed_log_prob(emission, k, X):
    oracles = {
        "gaussian": gaussian_log_prob,
        "poisson": poisson_log_prob,
        "bernoulli": bernoulli_log_prob,
        "categorical": categorical_log_prob,
        "gamma": gamma_log_prob,
        "von_mises_fisher": von_mises_fisher_log_prob,
    }
    return sum(oracles[kind](own, k, X[:, emission.columns[kind]]) for kind, own in emission.members.items())


def mixed_mixture(K, **parameters):
    return fastem.MixedMixture(K, kinds=MIXED, **parameters)


def student_log_prob(emission, k, X):
    from scipy.stats import multivariate_t

    shape, nu = emission.covariance.covariances[k], emission.degrees_of_freedom[k]
    return multivariate_t(emission.means[k], shape, nu).logpdf(X).reshape(len(X))


def tailed(rng, n):
    return points(rng, n) + rng.standard_t(2.5, size=(n, 3))


MODELS = [
    Family("full", fastem.GaussianMixture, points, gaussian_log_prob),
    Family(
        "poisson",
        fastem.PoissonMixture,
        counts,
        poisson_log_prob,
        refuses=((0.5, "counts: whole numbers"), NEGATIVE),
        alike=(0, 0),
        alike_status="2 of its rates are held at the least, first in column 0",
        suit=no_fractions,
    ),
    Family(
        "geometric",
        fastem.GeometricMixture,
        failures,
        geometric_log_prob,
        refuses=((0.5, "counts: whole numbers"), NEGATIVE),
        alike=(0, 0),
        alike_status="2 of its probabilities are at 1, first in column 0",
        suit=no_fractions,
    ),
    Family(
        "bernoulli",
        fastem.BernoulliMixture,
        bits,
        bernoulli_log_prob,
        refuses=((2, "zeros and ones"), (0.5, "zeros and ones"), NEGATIVE),
        alike=(1, 0),
        alike_status="2 of its probabilities are at 0 or 1, first in column 0",
        suit=zeros_and_ones,
    ),
    Family(
        "categorical",
        fastem.CategoricalMixture,
        codes,
        categorical_log_prob,
        refuses=((1.5, "codes: whole numbers >= 0"), NEGATIVE),
        alike=(1, 0),
        alike_status="a probability is at 0 in 1 column(s), first in column 0",
        suit=no_fractions,
    ),
    Family(
        "exponential",
        fastem.ExponentialMixture,
        lifetimes,
        exponential_log_prob,
        refuses=((0, "positive numbers"), NEGATIVE),
        alike=(3, 3),
        suit=no_zeros,
    ),
    Family(
        "gamma",
        fastem.GammaMixture,
        sizes,
        gamma_log_prob,
        refuses=((0, "positive numbers"), NEGATIVE),
        alike=(3, 3),
        alike_status="its values in column 0 are nearly equal, so the shape is held at 1",
        suit=no_zeros,
    ),
    Family(
        "von Mises-Fisher",
        fastem.VonMisesFisherMixture,
        directions,
        von_mises_fisher_log_prob,
        one_column=False,
        alike=(0.6, 0.8),
        alike_status="its directions are nearly equal, so the concentration is held at 1",
        suit=units,
    ),
    Family("mixed", mixed_mixture, mixed, mixed_log_prob, one_column=False),
    Family("student", fastem.StudentTMixture, tailed, student_log_prob),
    Family("factor_analyzers", fastem.MixtureOfFactorAnalyzers, points, gaussian_log_prob, maximises=False),
]
