"""Some columns of a Gaussian mixture, by themselves or given the others: Gaussian mixtures again.

With the given columns b first, Sigma_k = L L^T, L = [B 0; C A]: columns a given x_b have mean
mu_a + C B^-1 (x_b - mu_b) and covariance A A^T, which is positive definite as computed, where
Sigma_aa - Sigma_ab Sigma_bb^-1 Sigma_ba need not be.
The component's weight becomes its posterior given x_b alone, which the marginal mixture of b knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.models.mixture import Mixture
from fastem.rows.rechunk import slices

# Families whose marginals belong to them too: a common covariance, one up to its volume, axes that are the columns.
KEPT = {"full", "tied", "diag", "spherical", "EII", "VII", "EEI", "VEI", "VVI", "EEE", "VEE", "VVV"}
EQUAL = {"EII", "EEI", "EEE"}


def type_of_some(covariance_type: str, n_columns: int, d: int) -> str:
    """The covariance_type of so many of d columns: the smallest family that is sure to contain them."""
    if n_columns == d:
        return covariance_type
    if covariance_type in FAMILIES and n_columns == 1:
        return "E" if covariance_type in EQUAL else "V"
    if covariance_type in KEPT:
        return covariance_type
    return "VVI" if covariance_type == "EVI" else "VVV"


def some_of(covariance, columns):
    """The covariances of some columns: dense for dense structures, (K, m) for diagonal ones, (K,) for spherical."""
    if isinstance(covariance, Spherical):
        return covariance.covariances
    if isinstance(covariance, Diagonal):
        return covariance.covariances[:, columns]
    return covariance.covariances[..., columns[:, None], columns]


def gaussians(weights, means, covariances, structure) -> Mixture:
    """A mixture of these parameters, with no floor: nothing is estimated here."""
    K, d = means.shape
    shape = structure.shape(K, d)
    if covariances.shape != shape:  # of one column: a variance, or one for each component
        covariances = np.broadcast_to(covariances.ravel(), K).reshape(shape)
    covariance = structure.from_covariances(covariances.copy(), np.zeros(d))
    return Mixture(weights, Gaussian(means, covariance, np.zeros(d)))


def marginal(mixture: Mixture, columns, structure) -> Mixture:
    """The mixture of some columns (m,), in their order."""
    emission = mixture.emission
    return gaussians(
        mixture.weights.copy(), emission.means[:, columns], some_of(emission.covariance, columns), structure
    )


@dataclass(frozen=True)
class Conditional:
    """Columns of a mixture given the values of others.

    Attributes
    ----------
    mixture : of all columns
    places : (b,) the given columns
    wanted : (m,) the columns that are described
    """

    mixture: Mixture
    places: np.ndarray
    wanted: np.ndarray

    @cached_property
    def given(self) -> Mixture:
        """The mixture of the given columns."""
        structure = type(self.mixture.emission.covariance)
        return marginal(self.mixture, self.places, structure)

    @cached_property
    def _slopes_and_covariances(self):
        """(K or 1, m, b) what a step of a given column adds to the means, or None; covariances, shaped as `some_of`."""
        covariance = self.mixture.emission.covariance
        if isinstance(covariance, Diagonal):
            return None, some_of(covariance, self.wanted)
        b = len(self.places)
        factor = np.linalg.cholesky(some_of(covariance, np.concatenate([self.places, self.wanted])))
        upper, below, last = (np.swapaxes(factor, -1, -2)[..., :b, :b], factor[..., b:, :b], factor[..., b:, b:])
        slopes = np.swapaxes(np.linalg.solve(upper, np.swapaxes(below, -1, -2)), -1, -2)
        return slopes.reshape(-1, *below.shape[-2:]), last @ np.swapaxes(last, -1, -2)

    def mean_of(self, component, rows):
        """(n, m) means in one component, for rows (n, b) of the given columns."""
        slopes, _ = self._slopes_and_covariances
        mean = self.mixture.emission.means[component, self.wanted]
        if slopes is None:
            return np.broadcast_to(mean, (len(rows), len(mean)))
        residual = np.subtract(rows, self.given.emission.means[component], order="C")
        return mean + residual @ slopes[component % len(slopes)].T

    @cached_property
    def covariances(self):
        """(K, m, m) covariances of the wanted columns in each component: the same for every row."""
        _, covariances = self._slopes_and_covariances
        K, m = self.mixture.n_components, len(self.wanted)
        if isinstance(self.mixture.emission.covariance, Diagonal):
            covariances = np.broadcast_to(covariances.reshape(K, -1), (K, m))[:, :, None] * np.eye(m)
        return np.broadcast_to(covariances, (K, m, m))

    def at(self, values, structure) -> Mixture:
        """The mixture of the wanted columns at one row (b,) of the given ones."""
        row = np.asarray(values, np.float64)[None]
        K = self.mixture.n_components
        weights = np.empty((1, K))
        self.given.score(row, responsibilities=weights)
        with np.errstate(over="ignore", invalid="ignore"):
            means = np.concatenate([self.mean_of(k, row) for k in range(K)])
        if not np.isfinite(means).all():
            raise ValueError(
                f"values={row[0]}: the means given these values exceed the range of float64; rescale the columns"
            )
        return gaussians(weights[0] / weights[0].sum(), means, self._slopes_and_covariances[1], structure)

    def moments(self, rows, n_threads=1, dispersion=None):
        """Mean (n, m) of the wanted columns for rows (n, b) of the given ones; with `dispersion` "std" also the
        standard deviations (n, m), with "cov" the covariances (n, m, m)."""
        n, K, m = len(rows), self.mixture.n_components, len(self.wanted)
        mean = np.empty((n, m))
        about = np.empty({None: 0, "std": (n, m), "cov": (n, m, m)}[dispersion])
        for some in slices(n, 2 * K + 4 * m * (m if dispersion == "cov" else 1) + rows.shape[1]):
            block = rows[some]
            posterior = np.empty((len(block), K), rows.dtype)
            self.given.score(block, n_threads, responsibilities=posterior)
            posterior, block = posterior.astype(np.float64, copy=False), block.astype(np.float64, copy=False)
            mean[some] = sum(weighted(posterior[:, k], self.mean_of(k, block)) for k in range(K))
            if dispersion is None:
                continue
            about[some] = 0
            for k in range(K):
                covariance = self.covariances[k]
                off = weighted(np.sqrt(posterior[:, k]), self.mean_of(k, block) - mean[some])
                if dispersion == "std":
                    about[some] += posterior[:, k, None] * np.diagonal(covariance) + off**2
                else:
                    about[some] += posterior[:, k, None, None] * covariance + off[:, :, None] * off[:, None, :]
        if dispersion is None:
            return mean
        return mean, np.sqrt(about) if dispersion == "std" else about


def weighted(share, rows):
    """share (n,) times rows (n, m); 0 where the share is 0, even if the row overflowed."""
    return np.where(share[:, None] > 0, share[:, None] * rows, 0.0)
