"""Gaussians whose M-step respects a prior, a bound on the ratio of eigenvalues, or fixed parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastem.models.gaussian.conjugate_prior import ConjugatePrior
from fastem.models.gaussian.covariance import without_cancellation
from fastem.models.gaussian.eigenvalue_ratio import EigenvalueRatio
from fastem.models.gaussian.emission import Gaussian, estimated


@dataclass(frozen=True)
class ConstrainedGaussian(Gaussian):
    """K Gaussian densities with constraints.

    Attributes
    ----------
    fixed_means, fixed_covariances : (K,) bool
        The components whose means, or covariances, do not change.
    prior : ConjugatePrior or None
    ratio : EigenvalueRatio or None
        It replaces the floor, which is 0 then.
    """

    fixed_means: np.ndarray
    fixed_covariances: np.ndarray
    prior: ConjugatePrior | None = None
    ratio: EigenvalueRatio | None = None

    @property
    def n_parameters(self) -> int:
        K, d = self.shape
        free = K - int(self.fixed_covariances.sum())
        covariances = self.covariance.n_parameters(free, d) if free else 0
        return covariances + d * (K - int(self.fixed_means.sum()))

    @property
    def least_rows(self) -> int:
        """0 where a prior or a constraint determines the covariances without rows."""
        return 0 if self._determined else super().least_rows

    @property
    def few_rows(self) -> int:
        return 0 if self._determined else super().few_rows

    @property
    def free_means(self):
        return ~self.fixed_means

    @property
    def free_covariances(self):
        return ~self.fixed_covariances & (self.prior is None)

    @property
    def _determined(self):
        return self.prior is not None or self.ratio is not None or self.fixed_covariances.all()

    def m_step(self, statistics) -> ConstrainedGaussian:
        """The means, then the covariances about them: each the best there is within the constraints."""
        counts, first, second = statistics.counts, statistics.first, statistics.second
        divisors = self.divisors(statistics)
        if self.prior is not None:
            counts, first, second = self.prior.added(self.covariance, self.means, statistics)
        tiny = np.finfo(np.float64).tiny
        shift = first / np.where(counts > tiny, counts, 1)[:, None]
        shift[self.fixed_means] = 0
        second = without_cancellation(self.covariance, counts, shift, second)
        _, second = self.covariance.moved(counts, first, second, shift)
        emission = replace(self, means=self.means + shift)
        free = (divisors > tiny) & ~self.fixed_covariances
        if free.any():
            emission = replace(emission, covariance=self._estimated(free, divisors, second))
        if not self.floor.any():
            emission.require_resolved(divisors / divisors.sum())
        return emission

    def divisors(self, statistics):
        if self.prior is None:
            return statistics.counts
        return statistics.counts + self.prior.extra(self.covariance, len(self.means))

    def _estimated(self, free, counts, second):
        if self.ratio is not None:
            return self.ratio.estimate(type(self.covariance), counts, second, self.covariance)
        return estimated(self.covariance, free, counts, np.zeros_like(self.means), second, self.floor)

    def log_prior(self) -> float:
        """The logarithm of the prior density of means and covariances, up to a constant."""
        return 0.0 if self.prior is None else self.prior.log_density(self.covariance, self.means)

    def feasible(self, weights) -> ConstrainedGaussian:
        """The same with covariances within the bound on the ratio."""
        if self.ratio is None:
            return self
        covariance = self.ratio.within(type(self.covariance), self.covariance.covariances, weights)
        return replace(self, covariance=covariance)

    def from_vector(self, vector) -> ConstrainedGaussian:
        """The emission of these coordinates within the constraints."""
        emission = super().from_vector(vector)
        means = np.where(self.fixed_means[:, None], self.means, emission.means)
        if self.fixed_covariances.all():
            return replace(emission, means=means, covariance=self.covariance)
        if self.fixed_covariances.any():
            arrays = {name: np.array(array) for name, array in vars(emission.covariance).items()}
            for name, array in arrays.items():
                array[self.fixed_covariances] = getattr(self.covariance, name)[self.fixed_covariances]
            emission = replace(emission, covariance=replace(emission.covariance, **arrays))
        return replace(emission, means=means).feasible(np.ones(len(means)))
