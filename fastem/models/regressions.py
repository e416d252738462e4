"""Mixtures of regressions: sum_k pi_k p(y | eta_k(x)), eta_k = B_k' z, by EM.

z are the columns of x and a 1, in an orthogonal basis with mean square 1 (:mod:`fastem.families.regressions` finds it),
so that columns which are nearly dependent cost few digits. Sums of a pass, with r the responsibilities times the rows'
weights, mu and v the mean and the variance function at eta (Gaussian: v = 1), e = y - mu:

    r,    S = sum r e z,    A = sum r v z z',    and for Gaussians  Q = sum r e^2.

Gaussian: B + A^-1 S is the exact maximum, and Q - S' A^-1 S its squares. Poisson and binomial (generalised EM): along
a direction D the third derivative of the log-likelihood is at most w = max |D' z| times the second, so the damped
Newton step t D with D = A^-1 S, t = log(1 + w)/w never falls, and is the whole step near the maximum.

W. DeSarbo, W. Cron: A maximum likelihood methodology for clusterwise linear regression. J. Classification 5 (1988).
M. Jordan, R. Jacobs: Hierarchical mixtures of experts and the EM algorithm. Neural Computation 6 (1994) 181-214.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastem.kernels import arithmetic
from fastem.kernels.workers import parallel_map
from fastem.models.gate import Gate
from fastem.models.weights import FREE, Shares
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics, merged

RIDGE = 1e-6  # precision of a normal prior of Poisson's and binomial coefficients: separation has a finite maximum
TILE = 4096  # rows that are taken together
LARGEST = 700.0  # of a linear predictor, so that exp is a number


def gaussian_terms(eta):
    return eta, np.ones_like(eta)


def poisson_terms(eta):
    mean = arithmetic.exp(np.minimum(eta, LARGEST))
    return mean, mean


def binomial_terms(eta):
    mean = 1 / (1 + arithmetic.exp(-np.clip(eta, -LARGEST, LARGEST)))
    return mean, mean * (1 - mean)


def poisson_log_prob(y, eta, mean):
    from scipy.special import gammaln  # here, because it takes long to import

    return y * eta - mean - gammaln(y + 1)


def binomial_log_prob(y, eta, mean):
    return y * eta - np.maximum(eta, 0) - arithmetic.log1p(arithmetic.exp(-abs(eta)))


MEANS = {"gaussian": gaussian_terms, "poisson": poisson_terms, "binomial": binomial_terms}
LOG_PROBS = {"poisson": poisson_log_prob, "binomial": binomial_log_prob}


@dataclass(frozen=True)
class Regressions(BlockModel):
    """A mixture of regressions as a model of rows (z, y), behind them covariates where the shares are a gate.

    Attributes
    ----------
    weights : (K,)
    coefficients : (K, P, m)
    variances : (K, m)
        Of Gaussians; others: ones, not used.
    family : {"gaussian", "poisson", "binomial"}
    floor : (m,)
        The least variances.
    widest : (P,)
        The largest |z|.
    shares : Shares
    """

    weights: np.ndarray
    coefficients: np.ndarray
    variances: np.ndarray
    family: str
    floor: np.ndarray
    widest: np.ndarray
    shares: Shares = FREE

    @property
    def n_parameters(self):
        own = self.coefficients.size + (self.variances.size if self.is_gaussian else 0)
        return own + self.shares.n_parameters(len(self.weights))

    @property
    def is_gaussian(self):
        return self.family == "gaussian"

    def split(self, X):
        """z (n, P), y (n, m) and the covariates."""
        _, P, m = self.coefficients.shape
        return X[:, :P], X[:, P : P + m], X[:, P + m :]

    def linear(self, z):
        """(n, K, m)"""
        K, P, m = self.coefficients.shape
        flat = np.ascontiguousarray(np.swapaxes(self.coefficients, 0, 1)).reshape(P, K * m)
        return arithmetic.matmul(np.ascontiguousarray(z), flat).reshape(len(z), K, m)

    def log_shares(self, covariates):
        """log pi, (K,) or (n, K)."""
        if not isinstance(self.shares, Gate):
            return self.shares.log_weights(self.weights)
        return self.shares.log_probabilities(covariates, self.weights)

    def log_joint(self, X):
        """(n, K) log p(y, k | x)."""
        z, y, covariates = self.split(X)
        eta = self.linear(z)
        return self.log_shares(covariates) + self._log_prob(y[:, None], eta, MEANS[self.family](eta)[0])

    def _log_prob(self, y, eta, mean):
        if self.is_gaussian:
            log = -0.5 * ((y - eta) ** 2 / self.variances + arithmetic.log(2 * np.pi * self.variances))
        else:
            log = LOG_PROBS[self.family](y, eta, mean)
        return log.sum(axis=2)

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        X = np.asarray(X, np.float64)
        tiles = [slice(start, start + TILE) for start in range(0, len(X), TILE)]
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        return merged(parallel_map(lambda tile: self._of_tile(X[tile], weight[tile]), tiles, n_threads))

    def _of_tile(self, X, weight):
        z, y, covariates = self.split(X)
        z, y = np.ascontiguousarray(z), y[:, None]
        K, P, m = self.coefficients.shape
        eta = self.linear(z)
        mean, spread = MEANS[self.family](eta)
        joint = self.log_shares(covariates) + self._log_prob(y, eta, mean)
        log_density, r = normalised(joint)
        entropy = -(weight[:, None] * r * np.where(r > 0, joint - log_density[:, None], 0)).sum()
        r = r * weight[:, None]
        by_row = r[:, :, None] * (y - mean)
        transposed = np.ascontiguousarray(z.T)
        slope = arithmetic.matmul(transposed, by_row.reshape(len(z), K * m)).reshape(P, K, m)
        which = 1 if self.is_gaussian else m  # curvatures of a component: those of its outputs are the same, or not
        curvature = np.empty((K, which, P, P))
        for k in range(K):
            for j in range(which):
                curvature[k, j] = arithmetic.matmul(transposed, z * (r[:, k] * spread[:, k, j])[:, None])
        sums = {
            "counts": r.sum(axis=0),
            "slope": np.moveaxis(slope, 0, 1),
            "curvature": curvature,
            "squares": (by_row * (y - mean)).sum(axis=0),
            "weight": weight.sum(),
            "log_likelihood": weight @ np.where(weight > 0, log_density, 0),
            "entropy": entropy,
        }
        gate = self.shares.sums(covariates, weight, r, self.weights) if isinstance(self.shares, Gate) else {}
        return Statistics(**sums, **gate)

    def m_step(self, statistics) -> Regressions:
        shares = self.shares.after(statistics)
        weights = shares.m_step(statistics.counts, self.weights)
        coefficients, variances = self.coefficients.copy(), self.variances.copy()
        K, _, m = coefficients.shape
        for k in range(K):
            if statistics.counts[k] > np.finfo(np.float64).tiny:
                for j in range(m):
                    coefficients[k, :, j], variances[k, j] = self._step(statistics, k, j)
        return replace(self, weights=weights, coefficients=coefficients, variances=variances, shares=shares)

    def _step(self, statistics, k, j):
        """The coefficients (P,) of an output, and its variance."""
        now, slope = self.coefficients[k, :, j], statistics.slope[k, :, j]
        curvature = statistics.curvature[k, j if statistics.curvature.shape[1] > 1 else 0]
        if self.is_gaussian:
            step = solved(curvature, slope)
            left = statistics.squares[k, j] - arithmetic.matmul(step, slope)
            return now + step, max(left / statistics.counts[k], self.floor[j])
        step = solved(curvature + RIDGE * np.eye(len(now)), slope - RIDGE * now)
        width = float(abs(step) @ self.widest)
        t = 1.0 if width < 1e-8 else float(arithmetic.log1p(width)) / width
        return now + t * step, 1.0

    def log_prior(self):
        own = 0.0 if self.is_gaussian else -0.5 * RIDGE * float((self.coefficients**2).sum())
        return own + self.shares.log_prior(self.weights)

    def parameters(self):
        return np.concatenate(
            [self.shares.parameters(self.weights), self.coefficients.ravel(), np.sqrt(self.variances).ravel()]
        )

    # ---- coordinates, for standard errors ---------------------------------------------------------------------------

    def to_vector(self):
        """The coefficients, the logarithms of the variances where there are some, and coordinates of the weights."""
        logs = arithmetic.log(self.variances).ravel() if self.is_gaussian else np.empty(0)
        return np.concatenate([self.coefficients.ravel(), logs, self.shares.to_vector(self.weights)])

    def from_vector(self, vector) -> Regressions:
        """The model of these coordinates."""
        logs = self.variances.size if self.is_gaussian else 0
        own, logs, rest = np.split(vector, np.cumsum([self.coefficients.size, logs]))
        shares, weights = self.shares.from_vector(rest, self.weights)
        variances = arithmetic.exp(logs).reshape(self.variances.shape) if self.is_gaussian else self.variances
        variances = np.maximum(variances, self.floor) if self.is_gaussian else variances
        coefficients = own.reshape(self.coefficients.shape)
        return replace(self, weights=weights, coefficients=coefficients, variances=variances, shares=shares)

    def gradient(self, statistics) -> np.ndarray:
        """Of the log-posterior, in these coordinates, from this model's statistics (Fisher's identity)."""
        if self.is_gaussian:
            slope = statistics.slope / self.variances[:, None]
            logs = 0.5 * (statistics.squares / self.variances - statistics.counts[:, None]).ravel()
        else:
            slope, logs = statistics.slope - RIDGE * self.coefficients, np.empty(0)
        return np.concatenate([slope.ravel(), logs, self.shares.gradient(statistics, self.weights)])


def solved(curvature, slope):
    """curvature^-1 slope, where the curvature is singular the smallest solution."""
    try:
        return arithmetic.matmul(arithmetic.inverse(curvature), slope)
    except np.linalg.LinAlgError:
        return np.linalg.lstsq(curvature, slope, rcond=1e-10)[0]


def normalised(joint):
    """(n,) log-densities and (n, K) responsibilities."""
    top = joint.max(axis=1)
    top = np.where(np.isfinite(top), top, 0.0)
    share = arithmetic.exp(joint - top[:, None])
    total = share.sum(axis=1)
    return top + arithmetic.log(total), share / total[:, None]
