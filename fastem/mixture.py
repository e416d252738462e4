"""The mixture: weights over an emission. Two methods make it a model for EM; the rest evaluates it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem import kernels
from fastem.emissions import Gaussian
from fastem.statistics import Statistics


@dataclass(frozen=True)
class Mixture:
    """p(x) = sum_k weights_k p_k(x).

    Attributes
    ----------
    weights : (K,)
    emission : the K densities, e.g. :class:`fastem.emissions.Gaussian`
    """

    weights: np.ndarray
    emission: Gaussian

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return self.emission.n_parameters + self.n_components - 1

    def kernel_call(self, dtype):
        with np.errstate(divide="ignore"):
            return self.emission.kernel_call(np.log(self.weights), dtype)

    def e_step(self, X, sample_weight=None, n_threads=1) -> Statistics:
        """Expected sufficient statistics of rows under the posterior of their component.

        Parameters
        ----------
        X : (n, d) float32 or float64, any strides
        sample_weight : (n,) float64 or None
        n_threads : int

        Returns
        -------
        Statistics
            ``counts``, and the emission's own; ``weight`` (sum of sample weights), ``log_likelihood``, and
            ``entropy`` of the posterior, so that the bound is ``Q + entropy``.
        """
        call = self.kernel_call(X.dtype)
        sums, log_likelihood, entropy = kernels.for_dtype(X.dtype).expect(
            call.family, X, sample_weight, call.centre, call.params, self.n_components, call.n_sums, n_threads
        )
        weight = len(X) if sample_weight is None else sample_weight.sum()
        return Statistics(**call.unpack(sums), weight=weight, log_likelihood=log_likelihood, entropy=entropy)

    def m_step(self, statistics: Statistics) -> Mixture:
        """The parameters that maximise the expected complete log-likelihood."""
        counts = statistics.counts
        return Mixture(counts / counts.sum(), self.emission.m_step(statistics))

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given output arrays: ``log_density`` (n,), ``responsibilities`` (n, K), ``joint`` log p(x, z)
        (n, K), both in the data's type, and ``labels`` (n,)."""
        call = self.kernel_call(X.dtype)
        kernels.for_dtype(X.dtype).score(
            call.family, X, call.centre, call.params, self.n_components, n_threads, **outputs
        )

    def parameters(self) -> np.ndarray:
        """All parameters as one vector, for stopping rules that watch them."""
        emission = self.emission
        return np.concatenate([self.weights, emission.means.ravel(), emission.covariance.covariances.ravel()])

    def sample(self, n, rng):
        """n rows, sorted by component, and their components."""
        counts = rng.multinomial(n, self.weights)
        X = np.vstack([self.emission.sample(k, int(m), rng) for k, m in enumerate(counts)])
        return X, np.repeat(np.arange(self.n_components), counts)
