"""Structures whose covariances are full matrices: each component has its own, or all share one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastem.kernels import arithmetic
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.covariance import Covariance, floor_of_all, outer, pooled_second
from fastem.models.gaussian.linear_algebra import (
    eigvalsh,
    from_log_cholesky,
    log_cholesky,
    product,
    raise_to_floor,
    relative_eigenvalues,
)

EIGENVALUES = np.finfo(np.float64).eps  # of the largest, times d: the error of the others
WHITENED = 1e-14  # share of a column's variance that the rounding of whitened rows leaves in their scatter


@dataclass(frozen=True)
class Full(Covariance):
    """Each component has its own covariance. covariances, precisions_cholesky: (K, d, d)."""

    kernel: ClassVar = "gaussian_full"

    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    at_floor: np.ndarray = field(repr=False)

    @classmethod
    def from_covariances(cls, covariances, floor):
        return cls(*raise_to_floor(covariances, floor))

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        scatter = unpack_symmetric(second, shift.shape[1]) / counts[:, None, None] - outer(shift)
        return cls.from_covariances(scatter, floor)

    @staticmethod
    def moved(counts, first, second, step):
        if not step.any():
            return first, second
        i, j = packed_lower(step.shape[1])
        there = first - counts[:, None] * step
        return there, second - first[:, i] * step[:, j] - step[:, i] * there[:, j]

    @staticmethod
    def of_full(second, d):
        return second

    def dense(self, n_components, d):
        return self

    def expected_quadratic(self, second):
        with np.errstate(over="ignore", invalid="ignore"):  # of rows beyond the range of numbers: inf, or NaN
            return float((self.precisions() * unpack_symmetric(second, self.precisions_cholesky.shape[-1])).sum())

    def to_vector(self):
        """The Cholesky factors, their diagonals as logarithms."""
        return log_cholesky(self.covariances).ravel()

    def from_vector(self, vector, floor):
        d = self.covariances.shape[-1]
        covariances = from_log_cholesky(vector.reshape(-1, d * (d + 1) // 2), d)
        return type(self).from_covariances(covariances.reshape(self.covariances.shape), floor)

    def floor_error(self, counts, floor):
        """Eigenvalues in units of the floor are off by rounding of the largest: N rows lose N |U^T E U|^2 / 4 of a
        covariance that is off by E; no bound where that is not small."""
        held = np.atleast_1d(self.at_floor) > 0
        if not held.any() or not (floor > 0).all():
            return 0.0
        d, upper = len(floor), self.precisions_cholesky.reshape(-1, len(floor), len(floor))
        variances = np.diagonal(self.covariances.reshape(upper.shape), axis1=1, axis2=2)
        with np.errstate(over="ignore"):  # no bound
            largest, least = (variances / floor).sum(axis=1), (np.square(upper) * floor[:, None]).sum(axis=(1, 2))
            norm = np.where(held, EIGENVALUES * d * largest * least, 0.0)
        rows = counts if len(held) > 1 else counts.sum(keepdims=True)
        return np.inf if (norm >= 0.5).any() else float((rows * norm**2).sum())

    def gradient(self, counts, first, second):
        upper, S = self.precisions_cholesky, unpack_symmetric(second, first.shape[1])
        return np.concatenate([of_means(upper, first).ravel(), of_log_cholesky(upper, counts, S).ravel()])

    @staticmethod
    def shape(n_components, d):
        return (n_components, d, d)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components * d * (d + 1) // 2

    @staticmethod
    def least_rows(d):
        return d + 1

    @staticmethod
    def directions_at_floor(covariance, floor):
        root = np.sqrt(floor)
        return int((eigvalsh(covariance / (root[:, None] * root)) < 1).sum()) if root.all() else 0

    def directions_below(self, n_components, least):
        d = len(least)
        upper, covariances = self.precisions_cholesky.reshape(-1, d, d), self.covariances.reshape(-1, d, d)
        hits = np.zeros(len(upper), dtype=int)
        precisions = arithmetic.einsum("kij,kij->ki", upper, upper)
        for k in np.flatnonzero(arithmetic.matmul(precisions, least) > 1):  # see raise_to_floor
            hits[k] = self.directions_at_floor(covariances[k], least)
        return np.broadcast_to(hits, n_components)

    def relative_eigenvalues(self, components, total):
        d = len(total)
        dense = self.covariances.reshape(-1, d, d)
        return relative_eigenvalues(dense[components if len(dense) > 1 else [0] * len(components)], total)

    def widened(self, wide, by):
        return Full.from_covariances(self.covariances + wide[:, None, None] * by, np.zeros(len(by)))

    def variances(self, n_components, d):
        return np.diagonal(np.broadcast_to(self.covariances, (n_components, d, d)), axis1=1, axis2=2)

    def pooled(self, weights, d):
        return arithmetic.matmul(weights, self.covariances.reshape(-1, d * d)).reshape(d, d)

    def of_mixture(self, weights, z):
        return self.pooled(weights, z.shape[1]) + arithmetic.matmul((weights[:, None] * z).T, z)

    def factors(self, n_components):
        return self.precisions_cholesky

    def log_det_precision_root(self, n_components, d):
        return arithmetic.log(np.diagonal(self.precisions_cholesky, axis1=1, axis2=2)).sum(axis=1)

    def traces(self, d):
        return np.square(self.precisions_cholesky).reshape(-1, d * d).sum(axis=1)

    def whiten(self, component, z):
        return arithmetic.matmul(z, self.factors(component + 1)[component])

    def colour(self, component, z):
        upper = self.factors(component + 1)[component]
        return np.linalg.solve(upper.T, z.T).T

    def precisions(self):
        return product(self.precisions_cholesky, np.swapaxes(self.precisions_cholesky, 1, 2))


@dataclass(frozen=True)
class Tied(Full):
    """One covariance for all components. covariances, precisions_cholesky: (d, d)."""

    kernel: ClassVar = "gaussian_tied"
    shared: ClassVar = True

    @classmethod
    def from_covariances(cls, covariances, floor):
        covariances, upper, hits = raise_to_floor(covariances[None], floor_of_all(floor))
        return cls(covariances[0], upper[0], hits)

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        pooled = unpack_symmetric(pooled_second(second), shift.shape[1])
        if given is not None and floor.any():  # the kernel sums whitened rows
            floor = np.maximum(floor, WHITENED * np.diagonal(given.covariances))
        between = product((counts[:, None] * shift).T, shift)
        return cls.from_covariances((pooled - (between + between.T) / 2) / counts.sum(), floor)

    def widened(self, wide, by):
        return self.from_covariances(self.covariances + wide.any() * by, np.zeros(len(by)))

    @staticmethod
    def moved(counts, first, second, step):
        i, j = packed_lower(step.shape[1])
        there = first - counts[:, None] * step
        cross = arithmetic.matmul(first.T, step) + arithmetic.matmul(step.T, there)
        return there, pooled_second(second) - cross[i, j]

    def dense(self, n_components, d):
        return Full(
            *(np.repeat(a[None], n_components, axis=0) for a in (self.covariances, self.precisions_cholesky)),
            np.repeat(self.at_floor, n_components),
        )

    def gradient(self, counts, first, second):
        upper, S = self.precisions_cholesky, unpack_symmetric(pooled_second(second), first.shape[1])
        return np.concatenate(
            [of_means(upper, first).ravel(), of_log_cholesky(upper[None], counts.sum(keepdims=True), S[None])[0]]
        )

    @staticmethod
    def shape(n_components, d):
        return (d, d)

    @staticmethod
    def n_parameters(n_components, d):
        return d * (d + 1) // 2

    @staticmethod
    def least_rows(d):
        return 0

    def pooled(self, weights, d):
        return self.covariances

    def factors(self, n_components):
        return np.broadcast_to(self.precisions_cholesky, (n_components, *self.precisions_cholesky.shape))

    def log_det_precision_root(self, n_components, d):
        return np.full(n_components, arithmetic.log(np.diagonal(self.precisions_cholesky)).sum())

    def precisions(self):
        return product(self.precisions_cholesky, self.precisions_cholesky.T)


def of_means(upper, first):
    """(K, d) slopes of the expected log-density along the means: precisions times the first moments about them."""
    return arithmetic.matmul(upper, arithmetic.matmul(np.swapaxes(upper, -2, -1), first[..., None]))[..., 0]


def of_log_cholesky(upper, counts, second):
    """(K, d (d + 1) / 2) slopes along the log-Cholesky factors L of the covariances, with U = L^-T: U (U' S U - N) for
    the second moments S of N rows, below the diagonal."""
    d = upper.shape[-1]
    i, j = packed_lower(d)
    excess = product(product(np.swapaxes(upper, -2, -1), second), upper) - counts[:, None, None] * np.eye(d)
    slopes = product(upper, excess)[..., i, j]
    slopes[..., i == j] /= np.diagonal(upper, axis1=-2, axis2=-1)
    return slopes
