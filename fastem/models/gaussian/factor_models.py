"""Continuous latent variables: x = mean + W z + e with z ~ N(0, I_q) and noise e ~ N(0, Psi), Psi diagonal.

1. x is Gaussian with covariance C = W W^T + Psi, so its rows count only through their sum and scatter, which the
   compiled pass of one full Gaussian collects. Everything else is algebra of d x q and q x q matrices (Woodbury):
   with M = I + W^T Psi^-1 W and B = M^-1 W^T Psi^-1, the posterior of z is N(B (x - mean), M^-1).
2. The mean's maximum is the mean of the rows whatever W and Psi are, so a step takes it first and goes on from there:
   EM's W' = S B^T (M^-1 + B S B^T)^-1 and Psi' = diag(S - W' B S), S the covariance of the rows.
3. `FactorModel` takes EM's step; `ConditionalFactorModel` and `PPCAModel.maximum` climb faster.
4. Noise variances are kept at or above `floor`. Each enters the bound alone, with one maximum, so that this still is a
   maximisation and the likelihood still climbs; where one would run to 0 (a Heywood case) it stays finite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fastem import kernels
from fastem.errors import IllDefinedCovariance
from fastem.kernels import arithmetic, orthogonal_factors
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.factor_steps import best_factors, best_loadings
from fastem.models.gaussian.linear_algebra import LAPACK_MOST, eigvalsh, product
from fastem.models.mixture import Mixture
from fastem.models.rounding import UNIT, Pass, additions
from fastem.rows.cross_moments import FAR, mean_and_covariance
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics

LOG_2PI = np.log(2 * np.pi)


@dataclass(frozen=True)
class FactorModel(BlockModel):
    """Factor analysis; its M-step is EM's.

    Attributes
    ----------
    mean : (d,)
    loadings : (d, q)
        W.
    noise : (d,)
        Variances of the noise, the diagonal of Psi.
    floor : (d,)
        The least that they may be.

    References
    ----------
    Rubin, Thayer: EM algorithms for ML factor analysis. Psychometrika 47 (1982) 69-76.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import em
    >>> from fastem.models.gaussian.factor_models import FactorModel
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(500, 1)) @ [[3.0, 2.0, 1.0]] + rng.normal(size=(500, 3))
    >>> start = FactorModel(X.mean(axis=0), np.ones((3, 1)), X.var(axis=0), np.zeros(3))
    >>> abs(em(start, X, tol=1e-9, max_iter=500).model.loadings.T).round()
    array([[3., 2., 1.]])
    """

    mean: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray
    floor: np.ndarray

    # EM

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """Sums over rows: ``first`` and ``second`` moments about the mean (second: a packed lower triangle),
        ``weight``, ``log_likelihood``, and ``entropy`` of the posterior of z."""
        sums = self.density.e_step_of_block(X, sample_weight, n_threads, kept)
        return self._statistics(sums.counts[0], sums.first[0], sums.second[0], sums.log_likelihood)

    def e_step_of_moments(self, weight, shift, scatter) -> Statistics:
        """The same sums from the rows' mean and mean outer product about the model's mean."""
        scaled, _ = self._factored
        distance = (np.diagonal(scatter) / self.noise).sum() - (product(scaled.T, scatter) * scaled.T).sum()
        log_det = np.log(self.noise).sum() - self._log_det_posterior
        log_likelihood = -0.5 * weight * (len(self.mean) * LOG_2PI + log_det + distance)
        second = weight * scatter[packed_lower(len(shift))]
        return self._statistics(weight, weight * shift, second, log_likelihood)

    def _statistics(self, weight, first, second, log_likelihood):
        entropy = weight * self.posterior_entropy
        return Statistics(weight=weight, first=first, second=second, log_likelihood=log_likelihood, entropy=entropy)

    def m_step(self, statistics: Statistics) -> FactorModel:
        """The mean of the rows, then one step for loadings and noise."""
        shift, covariance = mean_and_covariance(statistics)
        stepped = replace(self, mean=self.mean + shift)._step(covariance)
        if not (stepped.noise > 0).all():
            raise IllDefinedCovariance([0])
        return stepped

    def _step(self, covariance):
        """EM's loadings and noise, given the covariance of the rows."""
        cross = product(covariance, self.to_factors.T)  # E[x z^T]
        square = self.posterior_covariance + product(self.to_factors, cross)  # E[z z^T]
        loadings = np.linalg.solve(square, cross.T).T
        return replace(
            self, loadings=loadings, noise=self._noise(np.diagonal(covariance) - (loadings * cross).sum(axis=1))
        )

    def _noise(self, residual):
        """The noise variances that residual variances (d,) ask for."""
        return np.maximum(residual, self.floor)

    @property
    def at_floor(self):
        """(d,) whether a noise variance is held there."""
        return self.noise <= self._noise(np.zeros(len(self.mean)))

    def log_likelihood_error(self, statistics, n_rows=None, dtype=np.float64) -> float:
        """A bound on how far rounding has taken the log-likelihood in `statistics` from its exact value; see
        :meth:`fastem.models.mixture.Mixture.log_likelihood_error`.

        The larger one of the two ways to it: of rows, as a Gaussian's; of moments, whose sums were rounded, about a
        mean that was rounded, and where Woodbury subtracts large sums.
        """
        weight, d = statistics.weight, len(self.mean)
        about = {"counts": [weight], "first": statistics.first[None], "second": statistics.second[None]}
        of_rows = Statistics(**about, weight=weight, log_likelihood=statistics.log_likelihood, entropy=0.0)
        unit = self._unit(n_rows, dtype)
        variances = np.diagonal(unpack_symmetric(statistics.second, d)) / weight
        reach = np.sqrt((1 + FAR) * np.maximum(variances, 0))
        of_moments = unit * (reach @ np.abs(self.precision) @ reach) / 2
        off, shift = 2 * UNIT * np.abs(self.mean), np.abs(statistics.first) / weight
        of_moments += off @ np.abs(self.precision) @ (off / 2 + shift)
        woodbury = UNIT * (d + self.n_factors + 8) * ((variances + self.covariance.diagonal()) / self.noise).sum()
        logs = UNIT * (1 + np.abs(np.log(self.noise)).sum() + d * LOG_2PI + abs(self._log_det_posterior))
        moments = weight * (of_moments + woodbury + (d + 8) * logs)
        return max(self.density.log_likelihood_error(of_rows, n_rows, dtype), float(moments))

    def step_error(self, statistics, given, n_rows=None, dtype=np.float64) -> float:
        """How much log-likelihood the step that made this model of `statistics` may have lost by their rounding.

        Also by that of noise variances, each of which is a column's variance less what the factors say: of one that is
        wrong by a share e of itself, a row loses (e - log(1 + e)) / 2.
        """
        about = {"counts": [statistics.weight], "second": statistics.second[None]}
        variances = np.diagonal(unpack_symmetric(statistics.second, len(self.mean))) / statistics.weight
        e = self._unit(n_rows, dtype) * np.maximum(variances, 0) / self.noise
        of_noise = statistics.weight * (e - np.log1p(e)).sum() / 2
        return self.density.step_error(Statistics(**about), given.density, n_rows, dtype) + float(of_noise)

    def _unit(self, n_rows, dtype) -> float:
        """Relative rounding of the sums of so many rows."""
        d, call = len(self.mean), self.density.kernel_call(dtype)
        in_real, in_double = additions(call, 1, n_rows, d, kernels.for_dtype(dtype))
        return Pass(np.dtype(dtype), call.centre).unit * (in_real + 4) + UNIT * (in_double + 4 * d)

    # algebra of d x q matrices

    @cached_property
    def _factored(self):
        """Psi^-1/2 Q (d, q) and R^-1 (q, q) of the factors Q, I' and R of (Psi^-1/2 W, I) one above the other.

        So M = R^T R without M, whose condition number is the square, C^-1 = Psi^-1 - Psi^-1/2 Q Q^T Psi^-1/2, and a
        factor without loadings stays apart from the others to the last bit.
        """
        root = np.sqrt(self.noise)[:, None]
        if len(root) <= LAPACK_MOST:
            q, r = np.linalg.qr(np.vstack([self.loadings / root, np.eye(self.n_factors)]))
            return q[: len(root)] / root, np.linalg.inv(r)
        rows, r = orthogonal_factors(np.hstack([(self.loadings / root).T, np.eye(self.n_factors)]))
        return rows.T[: len(root)] / root, arithmetic.inverse_transposed(r.T)

    @cached_property
    def posterior_covariance(self):
        """(q, q) M^-1, of z given any row."""
        inverse = self._factored[1]
        return product(inverse, inverse.T)

    @cached_property
    def to_factors(self):
        """(q, d) B: takes a row about the mean to the posterior mean of z."""
        scaled, inverse = self._factored
        return product(inverse, scaled.T)

    @property
    def _log_det_posterior(self):
        return 2 * np.log(np.abs(np.diagonal(self._factored[1]))).sum()

    @property
    def posterior_entropy(self) -> float:
        """Of z given any row."""
        return 0.5 * (self.n_factors * (1 + LOG_2PI) + self._log_det_posterior)

    @property
    def n_factors(self) -> int:
        return self.loadings.shape[1]

    @property
    def n_parameters(self) -> int:
        """Free parameters: loadings are determined up to a rotation, and a covariance has d (d + 1) / 2 at most."""
        d, q = self.loadings.shape
        return d + min(d * q - q * (q - 1) // 2 + self._n_noise, d * (d + 1) // 2)

    @property
    def _n_noise(self):
        return len(self.noise)

    # the density of x

    @property
    def covariance(self):
        """(d, d) C."""
        return product(self.loadings, self.loadings.T) + np.diag(self.noise)

    @property
    def precision(self):
        """(d, d) C^-1."""
        scaled, _ = self._factored
        return np.diag(1 / self.noise) - product(scaled, scaled.T)

    @cached_property
    def density(self) -> Mixture:
        """x as one full Gaussian, for the compiled pass."""
        none = np.zeros(len(self.mean))
        return Mixture(np.ones(1), Gaussian(self.mean[None], Full.from_covariances(self.covariance[None], none), none))

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill ``log_density`` (n,), as :meth:`fastem.models.mixture.Mixture.score` does."""
        self.density.score(X, n_threads, **outputs)

    def sample(self, n, rng) -> tuple[np.ndarray, np.ndarray]:
        """n rows (n, d) and their factors (n, q)."""
        z = rng.standard_normal((n, self.n_factors))
        noise = rng.standard_normal((n, len(self.mean))) * np.sqrt(self.noise)
        return self.mean + z @ self.loadings.T + noise, z

    # the posterior of z, and the bound for any other Gaussian in its place

    def posterior(self, X) -> tuple[np.ndarray, np.ndarray]:
        """Posterior of z: means (n, q), and the covariance (q, q), which is the same for every row."""
        residual = np.subtract(X, self.mean, dtype=np.float64, order="C")
        return residual @ self.to_factors.T, self.posterior_covariance

    def elbo(self, X, means, covariances) -> np.ndarray:
        """E_q[log p(x, z)] + H(q) of each row, for q(z) = N(means, covariances).

        Parameters
        ----------
        X : (n, d)
        means : (n, q)
        covariances : (q, q) or (n, q, q)

        Returns
        -------
        (n,) with ``log p(x) = elbo + kl``
        """
        means, covariances, log_det = _checked_gaussians(means, covariances, len(X), self.n_factors)
        residual = np.asarray(X, np.float64) - self.mean - means @ self.loadings.T
        information = self.loadings.T @ (self.loadings / self.noise[:, None])
        log_x = len(self.mean) * LOG_2PI + np.log(self.noise).sum() + (residual**2 / self.noise).sum(axis=1)
        square = (means**2).sum(axis=1) + np.trace(covariances, axis1=-2, axis2=-1)
        posterior_trace = (information * covariances).sum(axis=(-2, -1))
        return -0.5 * (log_x + square + posterior_trace - log_det - self.n_factors)

    def kl(self, X, means, covariances) -> np.ndarray:
        """KL(q ‖ p(z|x)) of each row, arguments as in `elbo`."""
        means, covariances, log_det = _checked_gaussians(means, covariances, len(X), self.n_factors)
        centre, covariance = self.posterior(X)
        precision = np.linalg.inv(covariance)
        gap = means - centre
        distance = (gap @ precision * gap).sum(axis=1) + (precision * covariances).sum(axis=(-2, -1))
        return 0.5 * (distance - self.n_factors - log_det + self._log_det_posterior)

    # coordinates without bounds

    def to_vector(self) -> np.ndarray:
        """Mean, loadings and the logarithms of the noise variances."""
        return np.concatenate([self.mean, self.loadings.ravel(), np.log(self.noise[: self._n_noise])])

    def from_vector(self, vector) -> FactorModel:
        """The model of this shape and floor that a vector describes."""
        d, size = len(self.mean), self.loadings.size
        noise = np.broadcast_to(np.exp(vector[d + size :]), d)
        return replace(
            self, mean=vector[:d], loadings=vector[d : d + size].reshape(self.loadings.shape), noise=self._noise(noise)
        )

    parameters = to_vector


class ConditionalFactorModel(FactorModel):
    """Factor analysis by conditional maximisation: the best loadings for the noise, then the best noise variance of one
    column after the other, given all else. Each is a closed form and cannot lower the likelihood.

    EM moves the noise slowly; this needs tens of steps where EM takes hundreds, at some d^3 operations each.

    References
    ----------
    Zhao, Yu, Jiang: ML estimation for factor analysis: EM or non-EM? Statistics and Computing 18 (2008) 109-123.
    """

    def _step(self, covariance):
        loadings, noise = best_factors(covariance, self.noise, self.n_factors, self.floor)
        return replace(self, loadings=loadings, noise=noise)


class PPCAModel(FactorModel):
    """Probabilistic principal components: noise of one variance; its M-step is EM's.

    References
    ----------
    Tipping, Bishop: Probabilistic principal component analysis. JRSS B 61 (1999) 611-622.
    """

    _n_noise = 1

    def _noise(self, residual):
        return np.full(len(self.mean), max(np.mean(residual), np.mean(self.floor)))

    @classmethod
    def maximum(cls, mean, covariance, n_factors, floor) -> PPCAModel:
        """The maximum of the likelihood in closed form: the noise is the mean of the eigenvalues that are left over."""
        left = eigvalsh(covariance)[: len(mean) - n_factors]
        noise = np.full(len(mean), max(np.mean(left) if len(left) else 0, np.mean(floor)))
        return cls(mean, best_loadings(covariance, noise, n_factors)[0], noise, floor)


def _checked_gaussians(means, covariances, n, q):
    """Means, covariances and their log-determinants of n Gaussians of q variables."""
    means, covariances = np.asarray(means, np.float64), np.asarray(covariances, np.float64)
    if means.shape != (n, q) or covariances.shape not in ((q, q), (n, q, q)):
        raise ValueError(
            f"q(z) needs means of shape {(n, q)} and covariances of shape {(q, q)} or {(n, q, q)}; "
            f"got {means.shape} and {covariances.shape}."
        )
    if not np.allclose(covariances, np.swapaxes(covariances, -2, -1)):
        raise ValueError("a covariance of q(z) is not symmetric: pass symmetric matrices.")
    try:
        factors = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise ValueError("a covariance of q(z) is not positive definite: pass positive definite matrices.") from None
    return means, covariances, 2 * np.log(np.diagonal(factors, axis1=-2, axis2=-1)).sum(axis=-1)
