"""Missing values of rows from their observed ones, under a Gaussian mixture.

Given its component, x_m is Gaussian with mean mu_m - P_mm^-1 P_mo (x_o - mu_o) and covariance P_mm^-1, P the precision
matrix; components are mixed by their posterior given x_o.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gaussian.linear_algebra import product
from fastem.rows.missing_patterns import patterns

VALUES = 1 << 22  # of the matrices that are in memory at a time


def impute(mixture, X, draws=None, rng=None):
    """X (n, d) with conditional means in place of NaN, in its type; or (draws, n, d), each with random draws."""
    missing = np.isnan(X)
    rows = np.flatnonzero(missing.any(axis=1))
    completed = X.copy() if draws is None else np.repeat(X[None], draws, axis=0)
    if not len(rows):
        return completed
    posterior = mixture.posterior(X[rows])
    posterior /= posterior.sum(axis=1, keepdims=True)
    component = None
    if draws is not None:
        uniform = rng.random((draws, len(rows), 1))
        component = np.minimum((np.cumsum(posterior, axis=1) < uniform).sum(axis=2), mixture.n_components - 1)
    conditional = _diagonal if mixture.emission.covariance.kernel == "gaussian_diagonal" else _dense
    conditional(mixture.emission, X[rows].astype(np.float64), rows, posterior, component, rng, completed)
    return completed


def _diagonal(emission, X, rows, posterior, component, rng, completed):
    """Columns that are independent within a component."""
    K, d = emission.shape
    missing = np.isnan(X)
    if component is None:
        completed[rows] = np.where(missing, product(posterior, emission.means), X)
        return
    deviation = np.sqrt(emission.covariance.variances(K, d))
    for out, k in zip(completed, component):
        drawn = emission.means[k] + deviation[k] * rng.standard_normal(X.shape)
        out[rows] = np.where(missing, drawn, X)


def _dense(emission, X, rows, posterior, component, rng, completed):
    """Rows with equally many missing values together, so that their equations are solved in one call."""
    K, d = emission.shape
    upper = emission.covariance.factors(K)
    precisions = product(upper, np.swapaxes(upper, 1, 2))
    missing, of_row = patterns(X)
    n_missing = missing.sum(axis=1)
    for m in np.unique(n_missing[n_missing > 0]):
        alike = np.flatnonzero(n_missing[of_row] == m)
        alike = alike[np.argsort(of_row[alike], kind="stable")]
        size = max(1, VALUES // (m * m + d))
        for start in range(0, len(alike), size):
            some = alike[start : start + size]
            present, which = np.unique(of_row[some], return_inverse=True)
            columns = np.nonzero(missing[present])[1].reshape(-1, m)
            at = columns[which]
            for k in range(K):
                values = precisions[k][columns[:, :, None], columns[:, None, :]]
                covariances = arithmetic.inverse(values)
                z = X[some] - emission.means[k]
                pull = product(np.where(np.isnan(z), 0, z), precisions[k])
                pull = np.take_along_axis(pull, at, axis=1)
                mean = emission.means[k][at] - arithmetic.einsum("nij,nj->ni", covariances[which], pull)
                if component is None:
                    total = mean * posterior[some, k, None] + (total if k else 0)  # noqa: F821
                    continue
                factors = arithmetic.cholesky(covariances)[which]
                for out, drawn_here in zip(completed, component[:, some] == k):
                    noise = np.einsum("nij,nj->ni", factors[drawn_here], rng.standard_normal((drawn_here.sum(), m)))
                    out[rows[some[drawn_here]][:, None], at[drawn_here]] = mean[drawn_here] + noise
            if component is None:
                completed[rows[some][:, None], at] = total
