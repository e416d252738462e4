"""The exact log-likelihood of any model here, in ball arithmetic: a number and a proof of how far off it is at most.

Everything is a formula of the densities with the parameters and rows as the float64 numbers that they are. Needs
python-flint: a test that imports this begins with ``pytest.importorskip("flint")``.
"""

import numpy as np
from flint import arb, arb_mat, ctx

from fastem.families.bernoulli import Bernoulli
from fastem.families.categorical import Categorical
from fastem.families.exponential import Exponential
from fastem.families.gamma import Gamma
from fastem.families.geometric import Geometric
from fastem.families.mixture_of_factor_analyzers import FactorAnalyzers
from fastem.families.poisson import Poisson
from fastem.families.von_mises_fisher import VonMisesFisher
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.factor_models import FactorModel
from fastem.models.gaussian.noise import WithNoise
from fastem.models.gaussian.student_t import StudentT
from fastem.models.mixed import Mixed

ctx.prec = 400
LOG_2PI = (2 * arb.pi()).log()


def matrix(a):
    """A float array (m, n) as balls of radius 0."""
    return arb_mat([[arb(float(v)) for v in row] for row in np.atleast_2d(a)])


def numbers(a):
    return [arb(float(v)) for v in np.ravel(a)]


def log_likelihood(model, X, sample_weight=None):
    """Of a mixture or a factor model, rows (n, d), with NaN where a Gaussian's values are missing: a ball."""
    weight = [arb(1)] * len(X) if sample_weight is None else numbers(sample_weight)
    if isinstance(model, FactorModel):
        covariance = factored(model.loadings, model.noise)
        densities = [(arb(1), gaussian(model.mean, covariance, X))]
    else:
        terms = of_emission(model.emission, np.asarray(X, np.float64))
        densities = [(arb(float(w)), term) for w, term in zip(model.weights, terms, strict=True) if w > 0]
    total = arb(0)
    for i, w in enumerate(weight):
        logs = [w_k.log() + term[i] for w_k, term in densities]
        top = max(float(value.mid()) for value in logs)
        total += w * (sum(((value - top).exp() for value in logs), arb(0)).log() + top)
    return total


def of_emission(emission, X):
    """[[log p_k(x_i) for i] for k]."""
    if isinstance(emission, Mixed):
        parts = [of_emission(member, X[:, emission.columns[kind]]) for kind, member in emission.members.items()]
        return [[sum(row, arb(0)) for row in zip(*of_k)] for of_k in zip(*parts)]
    if isinstance(emission, WithNoise):
        return [*of_emission(emission.emission, X), [-arb(emission.log_volume)] * len(X)]
    if isinstance(emission, Gaussian):
        return [
            tailed(emission, k, mean, C, X) if isinstance(emission, StudentT) else gaussian(mean, C, X)
            for k, (mean, C) in enumerate(zip(emission.means, covariances(emission)))
        ]
    return [[log_prob(emission, k, row) for row in map(numbers, X)] for k in range(emission.shape[0])]


def covariances(emission):
    """K matrices of balls, from the attributes that an estimator shows."""
    K, d = emission.shape
    if isinstance(emission, FactorAnalyzers):
        return [factored(*pair) for pair in zip(emission.covariance.loadings, emission.covariance.noise)]
    shown = emission.covariance.covariances
    if shown.shape == (K, d, d):
        return [matrix(C) for C in shown]
    if emission.covariance.shared and emission.covariance.kernel != "gaussian_diagonal":
        return [matrix(shown)] * K
    return [matrix(np.diag(np.broadcast_to(c, d))) for c in shown]


def factored(loadings, noise):
    W = matrix(loadings) if loadings.size else matrix(np.zeros((len(noise), 1)))
    return W * W.transpose() + matrix(np.diag(noise))


def squares(mean, C, X):
    """(log-determinant, squared Mahalanobis distances) of complete rows."""
    centre = numbers(mean)
    Z = arb_mat([[v - m for v, m in zip(numbers(row), centre)] for row in X])
    Y = Z * C.inv()
    n, d = X.shape
    return C.det().log(), [sum((Y[i, j] * Z[i, j] for j in range(d)), arb(0)) for i in range(n)]


def gaussian(mean, C, X):
    X = np.asarray(X, np.float64)
    logs = [arb(0)] * len(X)
    for pattern in np.unique(np.isnan(X), axis=0):
        rows = np.flatnonzero((np.isnan(X) == pattern).all(axis=1))
        there = np.flatnonzero(~pattern)
        if not len(there):
            continue
        part = arb_mat([[C[int(i), int(j)] for j in there] for i in there])
        log_det, distances = squares(mean[there], part, X[np.ix_(rows, there)])
        for i, distance in zip(rows, distances):
            logs[i] = -(len(there) * LOG_2PI + log_det + distance) / 2
    return logs


def tailed(emission, k, mean, C, X):
    nu, d = arb(float(emission.degrees_of_freedom[k])), X.shape[1]
    log_det, distances = squares(mean, C, X)
    constant = ((nu + d) / 2).lgamma() - (nu / 2).lgamma() - d * (nu * arb.pi()).log() / 2 - log_det / 2
    return [constant - (nu + d) / 2 * (1 + distance / nu).log() for distance in distances]


def log_prob(emission, k, x):
    """Of one row of balls."""
    if isinstance(emission, Poisson):
        return sum((v * r.log() - r - (v + 1).lgamma() for v, r in zip(x, numbers(emission.rates[k]))), arb(0))
    if isinstance(emission, Geometric):
        return sum((p.log() + v * (1 - p).log() for v, p in zip(x, numbers(emission.probabilities[k]))), arb(0))
    if isinstance(emission, Bernoulli):
        return sum(((p if v == 1 else 1 - p).log() for v, p in zip(x, numbers(emission.probabilities[k]))), arb(0))
    if isinstance(emission, Categorical):
        return sum((arb(float(p[int(float(v))])).log() for v, p in zip(x, emission.probabilities[k])), arb(0))
    if isinstance(emission, Exponential):
        return sum((r.log() - r * v for v, r in zip(x, numbers(emission.rates[k]))), arb(0))
    if isinstance(emission, Gamma):
        pairs = zip(x, numbers(emission.shapes[k]), numbers(emission.rates[k]))
        return sum((a * b.log() - a.lgamma() + (a - 1) * v.log() - b * v for v, a, b in pairs), arb(0))
    assert isinstance(emission, VonMisesFisher), type(emission)
    kappa, half = arb(float(emission.concentrations[k])), arb(len(x)) / 2
    constant = (half - 1) * kappa.log() - half * LOG_2PI - kappa.bessel_i(half - 1).log()
    return constant + kappa * sum((v * m for v, m in zip(x, numbers(emission.mean_directions[k]))), arb(0))
