"""Posteriors of a mixture's weights, where they are not estimated but integrated out: in the place of `Shares`.

Both are functions of the counts N_k of the rows, and of a concentration a > 0:

    Dirichlet   pi ~ Dir(a, ..., a)                          posterior: Dir(a + N_1, ..., a + N_K)
    sticks      pi_k = v_k prod_{j<k} (1 - v_j),             posterior: v_k ~ Beta(1 + N_k, a + N_{k+1} + ... + N_K)
                v_k ~ Beta(1, a): a Dirichlet process, of whose components those after K have no row

The pass weighs the densities by exp(E[log pi_k]), whose sum is below 1. `log_prior` is minus the Kullback-Leibler
divergence of the posterior from the prior: with it, the pass's log-likelihood becomes a bound of the log evidence.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field, replace

import numpy as np

from fastem.models.weights import Shares


@dataclass(frozen=True)
class WeightPosterior(Shares):
    """What the two have in common.

    Attributes
    ----------
    prior : float
        The concentration a.
    concentration : array
        Of the posterior: (K,) of the Dirichlet distribution, (2, K) of the sticks' beta distributions.
    """

    prior: float = 1.0
    concentration: np.ndarray = field(default_factory=lambda: np.ones(1))

    @property
    def constrains(self) -> bool:
        return True

    @property
    @abstractmethod
    def least(self) -> float:
        """What the prior gives to the parameter to which a component's own count is added."""

    @abstractmethod
    def mean(self) -> np.ndarray:
        """(K,) E[pi], where the K components share all weight."""

    def counts(self) -> np.ndarray:
        """(K,) the rows of each component."""
        return np.maximum(np.atleast_2d(self.concentration)[0] - self.least, 0.0)

    def of_pass(self, weights):
        return np.exp(self.log_weights(weights))

    def m_step(self, counts, weights):
        return self.mean()

    def n_coordinates(self, n_components):
        return n_components

    def to_vector(self, weights):
        """Logarithms of the parameters to which the counts are added."""
        return np.log(np.atleast_2d(self.concentration)[0])

    def from_vector(self, vector, weights):
        shares = self.updated(np.maximum(np.exp(vector) - self.least, 0.0))
        return shares, shares.mean()


@dataclass(frozen=True)
class DirichletPosterior(WeightPosterior):
    """concentration: (K,)."""

    @property
    def least(self):
        return self.prior

    def updated(self, counts):
        return replace(self, concentration=self.prior + counts)

    def mean(self):
        return self.concentration / self.concentration.sum()

    def log_weights(self, weights):
        from scipy.special import digamma  # here, because it takes long to import

        return digamma(self.concentration) - digamma(self.concentration.sum())

    def log_prior(self, weights):
        from scipy.special import gammaln  # here, because it takes long to import

        a, K = self.concentration, len(self.concentration)
        posterior = gammaln(a.sum()) - gammaln(a).sum()
        prior = gammaln(K * self.prior) - K * gammaln(self.prior)
        return float(prior - posterior - (a - self.prior) @ self.log_weights(weights))


@dataclass(frozen=True)
class StickPosterior(WeightPosterior):
    """concentration: (2, K)."""

    @property
    def least(self):
        return 1.0

    def updated(self, counts):
        after = np.append(np.cumsum(counts[::-1])[-2::-1], 0.0)
        return replace(self, concentration=np.array([1.0 + counts, self.prior + after]))

    def mean(self):
        own, after = self.concentration / self.concentration.sum(axis=0)
        weights = own * np.append(1.0, np.cumprod(after[:-1]))
        return weights / weights.sum()

    def _expected_logs(self):
        """(2, K) E[log v] and E[log(1 - v)]."""
        from scipy.special import digamma  # here, because it takes long to import

        return digamma(self.concentration) - digamma(self.concentration.sum(axis=0))

    def log_weights(self, weights):
        own, after = self._expected_logs()
        return own + np.append(0.0, np.cumsum(after)[:-1])

    def log_prior(self, weights):
        from scipy.special import betaln  # here, because it takes long to import

        prior = np.array([[1.0], [self.prior]])
        moved = ((self.concentration - prior) * self._expected_logs()).sum(axis=0)
        return float((betaln(*self.concentration) - betaln(1.0, self.prior) - moved).sum())


POSTERIORS = {"dirichlet_process": StickPosterior, "dirichlet_distribution": DirichletPosterior}
