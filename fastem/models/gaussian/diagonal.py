"""Structures whose covariances are diagonal matrices: a variance for each column, or one for all columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels import arithmetic
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.covariance import Covariance
from fastem.models.gaussian.dense import Full


@dataclass(frozen=True)
class Diagonal(Covariance):
    """Each component has a diagonal covariance. covariances, precisions_cholesky: (K, d)."""

    kernel: ClassVar = "gaussian_diagonal"

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
        return cls(covariances, 1 / np.sqrt(covariances), hits.reshape(len(hits), -1).sum(axis=1))

    @staticmethod
    def floor_of(floor):
        return floor

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        return cls.from_covariances(np.maximum(second / counts[:, None] - shift**2, 0), floor)

    @staticmethod
    def moved(counts, first, second, step):
        if not step.any():
            return first, second
        there = first - counts[:, None] * step
        return there, second - step * (first + there)

    @staticmethod
    def of_full(second, d):
        i, j = packed_lower(d)
        return second[:, i == j]

    def dense(self, n_components, d):
        scales = self.scales(d)
        return Full(*(a[:, :, None] * np.eye(d) for a in (scales**-2, scales)), self.at_floor)

    def expected_quadratic(self, second):
        with np.errstate(over="ignore", invalid="ignore"):  # as for full matrices
            return float((np.square(self.scales(second.shape[1])) * second).sum())

    def to_vector(self):
        """Logarithms of the standard deviations."""
        return -arithmetic.log(self.precisions_cholesky).ravel()

    def from_vector(self, vector, floor):
        return type(self).from_covariances(arithmetic.exp(2 * vector).reshape(self.covariances.shape), floor)

    def gradient(self, counts, first, second):
        precisions = self.scales(first.shape[1]) ** 2
        excess = precisions * second - counts[:, None]
        return np.concatenate([(precisions * first).ravel(), self.of_logs(excess).ravel()])

    @staticmethod
    def of_logs(slopes):
        """Slopes along the logarithms of standard deviations (K, d) as those along this structure's."""
        return slopes

    @staticmethod
    def shape(n_components, d):
        return (n_components, d)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components * d

    @staticmethod
    def least_rows(d):
        return 2

    @classmethod
    def directions_at_floor(cls, covariance, floor):
        return int((covariance < floor).sum())

    def directions_below(self, n_components, least):
        return (self.variances(n_components, len(least)) < least).sum(axis=1)

    def relative_eigenvalues(self, components, total):
        """The axes are the columns, so these are compared."""
        variances = 1 / self.scales(len(total))[components] ** 2
        varies = total > 0
        return np.sort(variances[:, varies] / total[varies], axis=1)

    def widened(self, wide, by):
        return Diagonal.from_covariances(self.variances(len(wide), len(by)) + wide[:, None] * by, np.zeros(len(by)))

    def scales(self, d):
        return self.precisions_cholesky

    def variances(self, n_components, d):
        return 1 / self.scales(d) ** 2

    def pooled(self, weights, d):
        return np.diag(arithmetic.matmul(weights, self.variances(len(weights), d)))

    def of_mixture(self, weights, z):
        return arithmetic.matmul(weights, self.variances(*z.shape) + z**2)

    def log_det_precision_root(self, n_components, d):
        return arithmetic.log(self.scales(d)).sum(axis=1)

    def traces(self, d):
        return np.square(self.scales(d)).sum(axis=1)

    def whiten(self, component, z):
        return z * self.scales(z.shape[-1])[component]

    def colour(self, component, z):
        return z / self.scales(z.shape[1])[component]

    def precisions(self):
        return self.precisions_cholesky**2


@dataclass(frozen=True)
class Spherical(Diagonal):
    """Each component has one variance. covariances, precisions_cholesky: (K,)."""

    @staticmethod
    def floor_of(floor):
        return floor.mean(axis=-1)

    @classmethod
    def directions_at_floor(cls, covariance, floor):
        return int(covariance.mean() < floor.mean())

    def directions_below(self, n_components, least):
        return (self.variances(n_components, 1)[:, 0] < least.mean()).astype(int)

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        return cls.from_covariances(np.maximum(second / counts[:, None] - shift**2, 0).mean(axis=1), floor)

    @staticmethod
    def of_logs(slopes):
        return slopes.sum(axis=1)

    @staticmethod
    def shape(n_components, d):
        return (n_components,)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components

    def scales(self, d):
        return np.repeat(self.precisions_cholesky[:, None], d, axis=1)
