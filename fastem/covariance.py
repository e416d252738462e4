"""Covariance structures: one small class each, its algebra and its own estimate from statistics.

A structure is a frozen record of K covariances. `estimate` is the M-step: with counts N_k, the means' shift
m_k (new minus old) and second moments S_k about the *old* means, the scatter about the new means is
S_k / N_k - m_k m_k^T (stable, since both are about a point inside the component).

`floor` (d,) is the least variance allowed per column: every covariance is kept at or above diag(floor) in the sense of
positive definite matrices. Maximising over {Sigma >= diag(floor)} is still a maximisation, so EM stays monotone, and a
component that is not degenerate is not touched at all (adding a constant to the diagonal would change every one).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np

from fastem.kernels import FACTOR_BLOCK


class IllDefinedCovariance(ValueError):
    """A covariance is not positive definite and there is no floor to hold it."""

    def __init__(self, components):
        super().__init__(
            "Fitting the mixture model failed because some components have ill-defined empirical covariance "
            f"(for instance caused by singleton or collapsed samples): component {', '.join(map(str, components))}. "
            "Try to decrease the number of components, increase reg_covar, or scale the input data."
        )


def precisions_cholesky(covariances):
    """(K, d, d) upper triangular U with U U^T the inverse of each covariance; raises IllDefinedCovariance."""
    d = covariances.shape[-1]
    try:
        factor = np.linalg.cholesky(covariances)
        pivots = np.diagonal(factor, axis1=-2, axis2=-1) ** 2
        scale = np.diagonal(covariances, axis1=-2, axis2=-1)
        bad = (pivots <= 8 * d * np.finfo(np.float64).eps * scale).any(axis=-1)
    except np.linalg.LinAlgError:
        bad = np.array([not is_positive_definite(c) for c in covariances])
    if bad.any():
        raise IllDefinedCovariance(np.flatnonzero(bad).tolist())
    return inverse_transposed(factor)


def inverse_transposed(factor):
    """(K, d, d) transposed inverses of lower triangular matrices."""
    if factor.shape[-1] <= 16:
        return np.triu(np.swapaxes(np.linalg.inv(factor), -2, -1))
    from scipy.linalg.lapack import dtrtri  # here, since it takes long to import and small problems do not need it

    return np.swapaxes(np.stack([dtrtri(lower.T)[0].T for lower in factor]), -2, -1)


def is_positive_definite(matrix):
    """Whether a Cholesky factorisation exists."""
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def raise_to_floor(covariances, floor):
    """Covariances, precision factors, and which of them had an eigenvalue below the floor."""
    hits = np.zeros(len(covariances), dtype=bool)
    if not floor.any():
        return covariances, precisions_cholesky(covariances), hits
    root = np.sqrt(floor)
    try:
        upper = precisions_cholesky(covariances)
        # trace(F^1/2 P F^1/2) <= 1 proves that every eigenvalue is above the floor, without an eigendecomposition
        suspect = np.flatnonzero(np.einsum("kij,kij->ki", upper, upper) @ floor > 1)
    except IllDefinedCovariance:
        upper, suspect = np.empty_like(covariances), np.arange(len(covariances))
    if len(suspect):
        scaled = covariances[suspect] / (root[:, None] * root)
        values, vectors = np.linalg.eigh(scaled)
        hits[suspect] = values[:, 0] < 1
        low = hits[suspect][:, None, None]
        raised = (vectors * np.maximum(values, 1)[:, None, :]) @ np.swapaxes(vectors, -2, -1) * (root[:, None] * root)
        raised = (raised + np.swapaxes(raised, -2, -1)) / 2
        covariances = covariances.copy()
        covariances[suspect] = np.where(low, raised, covariances[suspect])
        upper[suspect] = precisions_cholesky(covariances[suspect])
    return covariances, upper, hits


@cache
def packed_lower(d):
    """Rows and columns of a packed lower triangle."""
    return np.tril_indices(d)


@cache
def packed_index(d):
    """(d, d): where each entry of a symmetric matrix stands in its packed lower triangle."""
    i, j = np.indices((d, d))
    i, j = np.maximum(i, j), np.minimum(i, j)
    return i * (i + 1) // 2 + j


def unpack_symmetric(packed, d):
    """(…, d(d+1)/2) packed lower triangles to (…, d, d) matrices."""
    return packed[..., packed_index(d)]


@cache
def factor_order(d):
    """Rows and columns of a triangular factor in the kernels' order: blocks of rows, column by column."""
    rows, columns = [], []
    for start in range(0, d, FACTOR_BLOCK):
        stop = min(start + FACTOR_BLOCK, d)
        for column in range(stop):
            rows += range(start, stop)
            columns += [column] * (stop - start)
    return np.array(rows), np.array(columns)


def outer(shift):
    """(K, d) to (K, d, d)."""
    return shift[:, :, None] * shift[:, None, :]


@dataclass(frozen=True)
class Full:
    """Each component has its own covariance. covariances, precisions_cholesky: (K, d, d)."""

    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    at_floor: np.ndarray = field(repr=False)

    @classmethod
    def from_covariances(cls, covariances, floor):
        return cls(*raise_to_floor(covariances, floor))

    @classmethod
    def estimate(cls, counts, shift, second, floor):
        scatter = unpack_symmetric(second, shift.shape[1]) / counts[:, None, None] - outer(shift)
        return cls.from_covariances(scatter, floor)

    @staticmethod
    def second(r, z):
        """The statistic of one component: packed sums of r z z^T."""
        return ((r[:, None] * z).T @ z)[packed_lower(z.shape[1])]

    @staticmethod
    def shape(n_components, d):
        return (n_components, d, d)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components * d * (d + 1) // 2

    @staticmethod
    def least_rows(d):
        """Effective rows without which one component's covariance is not determined."""
        return d + 1

    def dense(self, n_components, d):
        """(K, d, d) covariances."""
        return self.covariances

    def factors(self, n_components):
        """(K, d, d) upper triangular precision factors."""
        return self.precisions_cholesky

    def log_det_precision_root(self, n_components, d):
        """(K,) half the log-determinants of the precisions."""
        return np.log(np.diagonal(self.precisions_cholesky, axis1=1, axis2=2)).sum(axis=1)

    def precisions(self):
        return self.precisions_cholesky @ np.swapaxes(self.precisions_cholesky, 1, 2)


@dataclass(frozen=True)
class Tied(Full):
    """One covariance for all components. covariances, precisions_cholesky: (d, d)."""

    @classmethod
    def from_covariances(cls, covariances, floor):
        covariances, upper, hits = raise_to_floor(covariances[None], floor)
        return cls(covariances[0], upper[0], hits)

    @classmethod
    def estimate(cls, counts, shift, second, floor):
        # second: packed, of each component or already pooled
        pooled = unpack_symmetric(second.reshape(-1, second.shape[-1]).sum(axis=0), shift.shape[1])
        return cls.from_covariances((pooled - (counts[:, None] * shift).T @ shift) / counts.sum(), floor)

    @staticmethod
    def shape(n_components, d):
        return (d, d)

    @staticmethod
    def n_parameters(n_components, d):
        return d * (d + 1) // 2

    @staticmethod
    def least_rows(d):
        return 0

    def dense(self, n_components, d):
        return np.broadcast_to(self.covariances, (n_components, *self.covariances.shape))

    def factors(self, n_components):
        return np.broadcast_to(self.precisions_cholesky, (n_components, *self.precisions_cholesky.shape))

    def log_det_precision_root(self, n_components, d):
        return np.full(n_components, np.log(np.diagonal(self.precisions_cholesky)).sum())

    def precisions(self):
        return self.precisions_cholesky @ self.precisions_cholesky.T


@dataclass(frozen=True)
class Diagonal:
    """Each component has a diagonal covariance. covariances, precisions_cholesky: (K, d)."""

    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    at_floor: np.ndarray = field(repr=False)

    @classmethod
    def from_covariances(cls, covariances, floor):
        hits = covariances < cls.floor_of(floor)
        covariances = np.where(hits, cls.floor_of(floor), covariances)
        bad = ~(covariances > 0)
        if bad.any():
            raise IllDefinedCovariance(np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1)).tolist())
        return cls(covariances, 1 / np.sqrt(covariances), hits.reshape(len(hits), -1).any(axis=1))

    @staticmethod
    def floor_of(floor):
        return floor

    @classmethod
    def estimate(cls, counts, shift, second, floor):
        return cls.from_covariances(np.maximum(second / counts[:, None] - shift**2, 0), floor)

    @staticmethod
    def second(r, z):
        """The statistic of one component: sums of r z^2."""
        return r @ z**2

    @staticmethod
    def shape(n_components, d):
        return (n_components, d)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components * d

    @staticmethod
    def least_rows(d):
        return 2

    def scales(self, d):
        """(K, d) reciprocal standard deviations."""
        return self.precisions_cholesky

    def dense(self, n_components, d):
        return np.eye(d) / self.scales(d)[:, :, None] ** 2

    def log_det_precision_root(self, n_components, d):
        return np.log(self.scales(d)).sum(axis=1)

    def precisions(self):
        return self.precisions_cholesky**2


@dataclass(frozen=True)
class Spherical(Diagonal):
    """Each component has one variance. covariances, precisions_cholesky: (K,)."""

    @staticmethod
    def floor_of(floor):
        return floor.mean()

    @classmethod
    def estimate(cls, counts, shift, second, floor):
        return cls.from_covariances(np.maximum(second / counts[:, None] - shift**2, 0).mean(axis=1), floor)

    @staticmethod
    def shape(n_components, d):
        return (n_components,)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components

    def scales(self, d):
        return np.repeat(self.precisions_cholesky[:, None], d, axis=1)
