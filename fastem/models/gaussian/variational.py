r"""Gaussians whose means and precisions are not estimated but have a posterior q, factor by factor (variational Bayes).

Prior, of each component alone (normal-Wishart), with x | k ~ N(mu_k, Lambda_k^-1):

    Lambda_k ~ Wishart(W0, nu0),    mu_k | Lambda_k ~ N(m0, (beta0 Lambda_k)^-1)

q is of the same kind: Wishart(W_k, nu_k), N(m_k, (beta_k Lambda_k)^-1). With the counts N_k of the rows, their means
x_k and scatter S_k about these,

    beta_k = beta0 + N_k     nu_k = nu0 + N_k     m_k = (beta0 m0 + N_k x_k) / beta_k
    W_k^-1 = W0^-1 + N_k S_k + (beta0 N_k / beta_k) (x_k - m0)(x_k - m0)^T

so the prior is beta0 rows at m0 and a scatter W0^-1, added to the sums. E[log N(x | mu, Lambda^-1)] under q is the
log-density of N(m_k, W_k^-1 / nu_k), plus :meth:`VariationalGaussian.log_factor`, which does not depend on x: the
compiled pass of Gaussians serves as it is, and where values are missing too. `covariance` holds W_k^-1 / nu_k.

The pass's log-likelihood, minus the Kullback-Leibler divergences of the posteriors from the priors, is the evidence
lower bound (ELBO), with all constants: so it compares numbers of components, priors and structures.

The other structures are the same model and the same prior, of full precisions; only q is held to less. In q the bound
depends on a component's W and nu through

    1/2 (nu0 + N - nu) E[log |Lambda|] - 1/2 nu tr(M W) - log B(W, nu) + 1/2 nu d,   M = W0^-1 + N S + ...

whose free maximum is nu = nu0 + N, W^-1 = M.

    diag       W is diagonal: the trace sees only the diagonal of M, so this is the bound of a component with M =
               diag(M), whose free maximum is diagonal. Hence W^-1 = diag(M), nu as before.
    spherical  W = w I: the trace is w tr(M), that of M = (tr(M) / d) I, whose free maximum is spherical.
    tied       All q have the same W and nu: the K bounds sum to K times one with N and M in the mean over the
               components. Hence nu = nu0 + N / K for N rows in all, W^-1 = mean_k M_k.

beta_k and m_k maximise the bound whatever W is, so they stay. These are scikit-learn's steps; since q is a distribution
of full precisions in every case, so are E[log |Lambda|], the divergences and the predictive density: one formula each.

Integrated over q, a component's density is Student's t with nu_k + 1 - d degrees of freedom, mean m_k and scale matrix
(1 + beta_k) / ((nu_k + 1 - d) beta_k) W_k^-1.

C. M. Bishop: Pattern recognition and machine learning. Springer 2006, section 10.2.
D. M. Blei, M. I. Jordan: Variational inference for Dirichlet process mixtures. Bayesian Analysis 1 (2006) 121-143.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.conjugate_prior import ConjugatePrior
from fastem.models.gaussian.covariance import of_components
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.student_t import StudentT
from fastem.models.mixture import Mixture
from fastem.rows.statistics import Statistics


@dataclass(frozen=True)
class NormalWishart(ConjugatePrior):
    """The prior of one component: shrinkage is beta0, dof nu0, scale W0^-1 (d, d)."""

    def scale_of_each(self, covariance, n_components):
        return self.scale


@dataclass(frozen=True)
class VariationalGaussian(Gaussian):
    """The posterior of K Gaussians. means: m_k; covariance: W_k^-1 / nu_k; the floor is 0, since the prior is one.

    Attributes
    ----------
    mean_precision : (K,)
        beta_k.
    degrees_of_freedom : (K,)
        nu_k; with one covariance for all, all are equal.
    prior : NormalWishart
    """

    may_be_empty: ClassVar[bool] = True

    mean_precision: np.ndarray
    degrees_of_freedom: np.ndarray
    prior: NormalWishart

    @classmethod
    def of_gaussians(cls, gaussians, prior, counts) -> VariationalGaussian:
        """The posterior after rows of which the Gaussians hold the moments, so many (K,) in each."""
        K, d = gaussians.shape
        i, j = packed_lower(d)
        second = counts[:, None] * gaussians.dense_covariances()[:, i, j]
        second = gaussians.covariance.of_full(second, d)
        begun = cls._of_counts(gaussians.means, gaussians.covariance, prior, counts)
        return begun.m_step(Statistics(counts=counts, first=np.zeros((K, d)), second=second))

    @classmethod
    def _of_counts(cls, means, covariance, prior, counts):
        own = np.full_like(counts, counts.mean()) if covariance.shared else counts
        return cls(means, covariance, np.zeros_like(prior.mean), prior.shrinkage + counts, prior.dof + own, prior)

    def under(self, prior) -> VariationalGaussian:
        """The same means, covariances and counts of rows under another prior: where a fit may begin."""
        return self._of_counts(self.means, self.covariance, prior, self.counts())

    def of_some(self, components) -> VariationalGaussian:
        """The posterior of some components (K,) bool."""
        covariance = self.covariance if self.covariance.shared else of_components(self.covariance, components)
        arrays = self.means, self.mean_precision, self.degrees_of_freedom
        means, precision, freedom = (array[components] for array in arrays)
        return VariationalGaussian(means, covariance, self.floor, precision, freedom, self.prior)

    def counts(self) -> np.ndarray:
        """(K,) the rows of each component."""
        return np.maximum(self.mean_precision - self.prior.shrinkage, 0.0)

    def expected_log_det(self) -> np.ndarray:
        """(K,) E[log |Lambda_k|]."""
        return self._digammas() + self.log_det_scale()

    def log_det_scale(self) -> np.ndarray:
        """(K,) log |W_k|."""
        K, d = self.shape
        return 2 * self.covariance.log_det_precision_root(K, d) - d * np.log(self.degrees_of_freedom)

    def _digammas(self):
        """(K,) E[log |Lambda_k|] - log |W_k|."""
        from scipy.special import digamma  # here, because it takes long to import

        d = self.shape[1]
        return digamma((self.degrees_of_freedom[:, None] - np.arange(d)) / 2).sum(axis=1) + d * np.log(2)

    def log_factor(self) -> np.ndarray:
        """(K,) what E[log N(x | mu, Lambda^-1)] adds to the log-density of N(m_k, W_k^-1 / nu_k)."""
        d = self.shape[1]
        return 0.5 * (self._digammas() - d * np.log(self.degrees_of_freedom) - d / self.mean_precision)

    def kernel_call(self, log_weights, dtype):
        return super().kernel_call(log_weights + self.log_factor(), dtype)

    def incomplete_call(self, log_weights, dtype):
        return super().incomplete_call(log_weights + self.log_factor(), dtype)

    def expected_log_prob(self, statistics, at) -> float:
        return super().expected_log_prob(statistics, at) + float(statistics.counts @ at.log_factor())

    def m_step(self, statistics) -> VariationalGaussian:
        """The posterior that maximises the bound, in its structure. A component without rows gets the prior."""
        covariance, counts = self.covariance, statistics.counts
        rows, first, second = self.prior.added(covariance, self.means, statistics)
        step = first / rows[:, None]
        moved = self._of_counts(self.means + step, covariance, self.prior, counts)
        _, second = covariance.moved(rows, first, second, step)
        estimate = covariance.estimate(moved.degrees_of_freedom, np.zeros_like(step), second, self.floor)
        return replace(moved, covariance=estimate)

    def log_prior(self) -> float:
        """Minus the Kullback-Leibler divergence of the posterior of all components from the prior."""
        d = self.shape[1]
        prior, beta, nu = self.prior, self.mean_precision, self.degrees_of_freedom
        ratio = prior.shrinkage / beta
        means = 0.5 * d * (ratio - 1 - np.log(ratio))
        precisions = log_wishart_constant(self.log_det_scale(), nu, d) - prior_constant(prior)
        precisions += 0.5 * (nu - prior.dof) * self.expected_log_det() - 0.5 * nu * d
        second = prior.second(self.covariance, self.means)
        if self.covariance.shared:
            second = second.sum(axis=0)
        return -float((means + precisions).sum() + 0.5 * self.covariance.expected_quadratic(second))

    def log_prior_size(self) -> float:
        """Far from unit size, constants of Wishart distributions are large beside what is left of them."""
        nu, dof = self.degrees_of_freedom, self.prior.dof
        logs = abs(self.log_det_scale()) + abs(np.linalg.slogdet(self.prior.scale)[1]) + self.shape[1] * np.log(nu)
        return abs(self.log_prior()) + float(((nu + dof) * logs).sum())

    def predictive(self) -> tuple[Full, np.ndarray]:
        """Scale matrices and degrees of freedom (K,) of the components' densities, integrated over the posterior."""
        (_, d), beta, nu = self.shape, self.mean_precision, self.degrees_of_freedom
        freedom = nu + 1 - d
        factor = (1 + beta) * nu / (beta * freedom)
        return Full.from_covariances(factor[:, None, None] * self.dense_covariances(), self.floor), freedom

    def to_vector(self):
        """Logarithms of the mean precisions, from which the degrees of freedom follow; means, log-Cholesky factors."""
        return np.concatenate([np.log(self.mean_precision), super().to_vector()])

    def from_vector(self, vector):
        logs, rest = np.split(vector, [len(self.means)])
        moved = super().from_vector(rest)
        counts = np.maximum(np.exp(logs) - self.prior.shrinkage, 0.0)
        return self._of_counts(moved.means, moved.covariance, self.prior, counts)

    def diagnose(self, weights, counts, columns=None):
        """All are sound: the prior determines what rows do not, and a component without rows is one that is not
        needed."""
        return [("ok", True)] * len(self.means)


def prior_constant(prior) -> float:
    return log_wishart_constant(-np.linalg.slogdet(prior.scale)[1], prior.dof, len(prior.mean))


def log_wishart_constant(log_det_scale, dof, d):
    """The logarithm of B(W, nu), which norms the density of a Wishart distribution."""
    from scipy.special import multigammaln  # here, because it takes long to import

    return -0.5 * dof * (log_det_scale + d * np.log(2)) - multigammaln(0.5 * np.asarray(dof), d)


def predictive_mixture(mixture) -> Mixture:
    """Of a mixture of these: that of Student-t densities which integrates over the posterior."""
    scale, freedom = mixture.emission.predictive()
    no_floor = np.zeros(mixture.emission.shape[1])
    return Mixture(mixture.weights, StudentT(mixture.emission.means, scale, no_floor, freedom, False))
