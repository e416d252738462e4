"""Covariance structures: one small class each, its algebra and its own estimate from statistics.

A structure is a frozen record of K covariances. `estimate` is the M-step: with counts N_k, the means' shift
m_k (new minus old) and second moments S_k about the *old* means, the scatter about the new means is
S_k / N_k - m_k m_k^T (stable, since both are about a point inside the component).

`floor` (d,) is the least variance allowed per column: every covariance is kept at or above diag(floor) in the sense
of positive definite matrices. Maximising over {Sigma >= diag(floor)} is still a maximisation, so EM stays monotone,
and a component that is not degenerate is not touched at all (adding a constant to the diagonal would change every
one).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Protocol

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.linear_algebra import eigvalsh, from_log_cholesky, log_cholesky, product, raise_to_floor


class Covariance(Protocol):
    """K covariances (d, d) of one structure: a frozen record, its algebra, and its own estimate from statistics.

    Structures inherit it: what is abstract here is owed. Sizes are handed in where the arrays do not tell them (one
    covariance for all components, one variance for all columns).

    Attributes
    ----------
    covariances, precisions_cholesky : arrays of :meth:`shape`
        No more than the structure needs. The second: upper triangular U with U U^T = precision, or 1 / deviation.
    at_floor : (K,) or (1,) int
        In how many directions a covariance is held at the floor.
    kernel : str
        The compiled family whose sums `estimate` takes: "gaussian_full", "gaussian_tied" or "gaussian_diagonal". The
        first two take :meth:`factors`, the last takes :meth:`scales`.
    shared : bool
        Whether all components have one covariance, which a component without rows has too. Default: False.
    """

    kernel: ClassVar[str]
    shared: ClassVar[bool] = False

    covariances: np.ndarray
    precisions_cholesky: np.ndarray
    at_floor: np.ndarray

    # of the structure, whatever its arrays

    @staticmethod
    @abstractmethod
    def shape(n_components, d) -> tuple[int, ...]:
        """Of the arrays."""

    @staticmethod
    @abstractmethod
    def n_parameters(n_components, d) -> int:
        """Free parameters."""

    @staticmethod
    @abstractmethod
    def least_rows(d) -> int:
        """Effective rows without which one component's covariance is not determined; 0: the others' determine it."""

    @classmethod
    @abstractmethod
    def from_covariances(cls, covariances, floor) -> Covariance:
        """Of covariances of :meth:`shape`, raised to the floor (d,).

        Raises IllDefinedCovariance where one is not positive definite.
        """

    @classmethod
    @abstractmethod
    def estimate(cls, counts, shift, second, floor, given=None) -> Covariance:
        """The M-step: the most likely covariances at or above the floor, or ones at least as likely as those given.

        Parameters
        ----------
        counts : (K,)
        shift : (K, d)
            The new means less the old ones.
        second
            Second moments about the old means, as the kernel sums them: (K, d (d + 1) / 2) packed, or (d (d + 1) / 2,)
            of all together ("gaussian_tied"); (K, d) of the columns ("gaussian_diagonal").
        floor : (d,)
        given : Covariance, optional
            The structure that the moments were collected at, for estimates that are found by iteration.
        """

    @staticmethod
    @abstractmethod
    def moved(counts, first, second, step) -> tuple[np.ndarray, np.ndarray]:
        """First and second moments about points that lie `step` (K, d) further."""

    @staticmethod
    @abstractmethod
    def of_full(second, d) -> np.ndarray:
        """Full second moments, (K, d (d + 1) / 2) packed, as `estimate` takes them."""

    @staticmethod
    @abstractmethod
    def directions_at_floor(covariance, floor) -> int:
        """In how many directions a (d, d) covariance, as far as this structure sees it, is below a floor (d,)."""

    # of these covariances

    @abstractmethod
    def dense(self, n_components, d) -> Full:
        """The same covariances, each a full matrix (d, d) of its own."""

    @abstractmethod
    def variances(self, n_components, d) -> np.ndarray:
        """(K, d) variances of the columns."""

    @abstractmethod
    def pooled(self, weights, d) -> np.ndarray:
        """(d, d) weighted sum of the covariances; the weights (K,) sum to 1."""

    @abstractmethod
    def log_det_precision_root(self, n_components, d) -> np.ndarray:
        """(K,) half the log-determinants of the precisions."""

    @abstractmethod
    def traces(self, d) -> np.ndarray:
        """(K,) or (1,) traces of the precisions."""

    @abstractmethod
    def precisions(self) -> np.ndarray:
        """Inverse covariances, in the shape of `covariances`."""

    @abstractmethod
    def expected_quadratic(self, second) -> float:
        """Sum over the components of tr(precision times second moment), as the kernel sums them."""

    @abstractmethod
    def whiten(self, component, z) -> np.ndarray:
        """Rows (n, d), or one (d,), about the component's mean to standard normal ones."""

    @abstractmethod
    def colour(self, component, z) -> np.ndarray:
        """Standard normal rows (n, d) with the component's covariance."""

    @abstractmethod
    def to_vector(self) -> np.ndarray:
        """Unconstrained coordinates."""

    @abstractmethod
    def from_vector(self, vector, floor) -> Covariance:
        """The structure of these coordinates or the nearest to them, raised to the floor (d,)."""

    # by the kernel

    def factors(self, n_components) -> np.ndarray:
        """(K, d, d) upper triangular precision factors. Default: TypeError, the kernel takes `scales`."""
        raise TypeError(f"{type(self).__name__} has scales in the place of factors")

    def scales(self, d) -> np.ndarray:
        """(K, d) reciprocal standard deviations. Default: TypeError, the kernel takes `factors`."""
        raise TypeError(f"{type(self).__name__} has factors in the place of scales")


def outer(shift):
    """(K, d) to (K, d, d)."""
    return shift[:, :, None] * shift[:, None, :]


def pooled_second(second):
    """Packed second moments of each component, or already of all together, summed over the components."""
    return second.reshape(-1, second.shape[-1]).sum(axis=0)


def chosen(structure, components):
    """The structure of some of the components."""
    return replace(structure, **{f.name: getattr(structure, f.name)[components] for f in fields(structure)})


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
        return float((self.precisions() * unpack_symmetric(second, self.precisions_cholesky.shape[-1])).sum())

    def to_vector(self):
        """The Cholesky factors, their diagonals as logarithms."""
        return log_cholesky(self.covariances).ravel()

    def from_vector(self, vector, floor):
        d = self.covariances.shape[-1]
        covariances = from_log_cholesky(vector.reshape(-1, d * (d + 1) // 2), d)
        return type(self).from_covariances(covariances.reshape(self.covariances.shape), floor)

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

    def variances(self, n_components, d):
        return np.diagonal(np.broadcast_to(self.covariances, (n_components, d, d)), axis1=1, axis2=2)

    def pooled(self, weights, d):
        return np.tensordot(weights, self.covariances, axes=1)

    def factors(self, n_components):
        return self.precisions_cholesky

    def log_det_precision_root(self, n_components, d):
        return np.log(np.diagonal(self.precisions_cholesky, axis1=1, axis2=2)).sum(axis=1)

    def traces(self, d):
        return np.square(self.precisions_cholesky).reshape(-1, d * d).sum(axis=1)

    def whiten(self, component, z):
        return z @ self.factors(component + 1)[component]

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
        covariances, upper, hits = raise_to_floor(covariances[None], floor)
        return cls(covariances[0], upper[0], hits)

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        pooled = unpack_symmetric(pooled_second(second), shift.shape[1])
        return cls.from_covariances((pooled - product((counts[:, None] * shift).T, shift)) / counts.sum(), floor)

    @staticmethod
    def moved(counts, first, second, step):
        i, j = packed_lower(step.shape[1])
        there = first - counts[:, None] * step
        cross = first.T @ step + step.T @ there
        return there, pooled_second(second) - cross[i, j]

    def dense(self, n_components, d):
        return Full(
            *(np.repeat(a[None], n_components, axis=0) for a in (self.covariances, self.precisions_cholesky)),
            np.repeat(self.at_floor, n_components),
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
        return np.full(n_components, np.log(np.diagonal(self.precisions_cholesky)).sum())

    def precisions(self):
        return product(self.precisions_cholesky, self.precisions_cholesky.T)


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
        return float((np.square(self.scales(second.shape[1])) * second).sum())

    def to_vector(self):
        """Logarithms of the standard deviations."""
        return -np.log(self.precisions_cholesky).ravel()

    def from_vector(self, vector, floor):
        return type(self).from_covariances(np.exp(2 * vector).reshape(self.covariances.shape), floor)

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
        return int((np.diagonal(covariance) < floor).sum())

    def scales(self, d):
        return self.precisions_cholesky

    def variances(self, n_components, d):
        return 1 / self.scales(d) ** 2

    def pooled(self, weights, d):
        return np.diag(weights @ self.variances(len(weights), d))

    def log_det_precision_root(self, n_components, d):
        return np.log(self.scales(d)).sum(axis=1)

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
        return floor.mean()

    @classmethod
    def directions_at_floor(cls, covariance, floor):
        return int(np.trace(covariance) / len(floor) < floor.mean())

    @classmethod
    def estimate(cls, counts, shift, second, floor, given=None):
        return cls.from_covariances(np.maximum(second / counts[:, None] - shift**2, 0).mean(axis=1), floor)

    @staticmethod
    def shape(n_components, d):
        return (n_components,)

    @staticmethod
    def n_parameters(n_components, d):
        return n_components

    def scales(self, d):
        return np.repeat(self.precisions_cholesky[:, None], d, axis=1)
