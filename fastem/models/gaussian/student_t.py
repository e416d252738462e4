"""Multivariate Student-t distributions: Gaussians with heavy tails, whose means outliers hardly move.

1. A row of component k is Gaussian with covariance Sigma_k / u; each row has its u ~ Gamma(nu_k / 2, rate nu_k / 2).
   Given the row, u is Gamma with a = (nu + d) / 2 and rate a / E[u]: far rows have a small E[u] and count little.
2. Q and the entropy of u follow from sums alone, because E[log u] = digamma(a) - log a + log E[u].
3. The posterior of u may be stretched by a factor c_k before the M-step: any c gives a lower bound, and maximising over
   c, Sigma and nu together costs no more than over Sigma and nu. That is PX-EM: Sigma is the scatter over sum r u, in
   place of sum r, and nu solves log(nu/2) - digamma(nu/2) = log mean(u) - mean(log u), which always has a root.
   So `expected_log_prob` is E[log p(x, u | z)] plus the entropy of u, at the best c: a lower bound of E[log p(x | z)]
   that touches at the parameters of the E-step. That needs scales with volumes of their own: others take EM's step,
   c = 1, and so do those that the floor keeps from being stretched, where the bound would fall.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem import kernels
from fastem.kernels.packing import unpack_symmetric
from fastem.models.emission import Emission, KernelCall, flattened
from fastem.models.gamma_shape import gamma_shape
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.kernel_arrays import FullKernel
from fastem.models.gaussian.rounding import of_gaussians
from fastem.models.rounding import UNIT, Rounding
from fastem.rows.statistics import Statistics

LEAST_DEGREES, MOST_DEGREES = 0.1, 1e6  # of freedom
GAUSSIAN_DEGREES = 100.0  # above these, a component may be called a Gaussian


@dataclass(frozen=True)
class StudentT(Gaussian):
    """K Student-t densities. `covariance` holds the scale matrices.

    Attributes
    ----------
    degrees_of_freedom : (K,)
    free : bool
        Whether they are estimated.
    """

    takes_missing: ClassVar[bool] = False
    incomplete_call = Emission.incomplete_call  # the one of Gaussians has no tails

    degrees_of_freedom: np.ndarray
    free: bool

    @classmethod
    def of_gaussian(cls, gaussian, degrees_of_freedom, free):
        """Densities with the means and covariances of Gaussians, as scale matrices."""
        nu = np.broadcast_to(np.asarray(degrees_of_freedom, dtype=np.float64), len(gaussian.means)).copy()
        return cls(gaussian.means, gaussian.covariance, gaussian.floor, nu, free)

    @property
    def n_parameters(self):
        return super().n_parameters + self.free * len(self.means)

    @property
    def power(self):
        """(K,) the shape a of the posterior of u."""
        return (self.degrees_of_freedom + self.shape[1]) / 2

    def log_constant(self):
        """(K,) the log-density at the mean."""
        from scipy.special import betaln, gammaln  # here, because it takes long to import

        K, d = self.shape
        nu = self.degrees_of_freedom
        ratio = gammaln(d / 2) - betaln(nu / 2, d / 2)  # log Gamma(a) / Gamma(nu / 2), exact for large nu as well
        return ratio - 0.5 * d * np.log(np.pi * nu) + self.covariance.log_det_precision_root(K, d)

    def kernel_call(self, log_weights, dtype):
        from scipy.special import digamma, gammaln  # here, because it takes long to import

        K, d = self.shape
        module = kernels.for_dtype(dtype)
        constant = np.maximum(log_weights + self.log_constant(), module.lowest)
        centre, means = self._about_centre(log_weights, dtype)
        scale = self.covariance.dense(K, d)
        tails = {"half_power": self.power, "slope": 2 / self.degrees_of_freedom}
        params = FullKernel.pack(scale, constant, means, dtype) | flattened(tails, dtype)

        def unpack(sums):
            mass, first, second = FullKernel.unpack(scale, sums | {"counts": sums["mass"]}, means, dtype)
            counts, logs = sums["counts"].copy(), sums["logs"].copy()
            a = self.power
            return {
                "counts": counts,
                "mass": mass,  # sum r u
                "first": first,
                "second": second,
                "log_mass": logs + counts * (digamma(a) - np.log(a)),  # sum r log u
                "u_entropy": logs.sum() + counts @ (a - np.log(a) + gammaln(a) + (1 - a) * digamma(a)),
            }

        return KernelCall((module.Part("student_t", d, K, params),), centre, unpack)

    def m_step(self, statistics):
        """Means, scale matrices and degrees of freedom. A component without rows keeps its parameters, and so does one
        whose rows are all so far away that their u are 0."""
        counts, mass = statistics.counts, statistics.mass
        present = is_present(statistics)
        shift = np.where(present, 1 / np.where(present, mass, 1), 0)[:, None] * statistics.first
        moved = replace(self, means=self.means + shift)
        second = moved.rebase(statistics, self)["second"]
        unstretched = np.ones(len(counts))
        if len(counts) > 1 and not self.covariance.has_own_volumes():
            return moved.scaled(statistics, second, unstretched)
        factor = np.where(present, counts, 1) / np.where(present, mass, 1)
        stretched = moved.scaled(statistics, second, factor)
        if not self.floor.any():
            return stretched
        at_floor = stretched.floor_hits > 0  # near it as well, where rounding says on which side
        gained = self.expected_log_prob(statistics, stretched) >= self.expected_log_prob(statistics, self)
        if gained and not at_floor.any():
            return stretched
        # the floor holds what is stretched too, which may then stay where the others rise; or what is left is rounding
        others = moved.scaled(statistics, second, np.where(at_floor, 1.0, factor))
        plain = moved.scaled(statistics, second, unstretched)
        return max((stretched, others, plain), key=lambda emission: self.expected_log_prob(statistics, emission))

    def scaled(self, statistics, second, factor):
        """The densities with scale matrices from second moments about these means and degrees of freedom, both of the u
        stretched by a factor."""
        present = is_present(statistics)
        counts = np.where(present, statistics.counts, 0.0)
        second = self.covariance.of_full(factor[:, None] * second, self.shape[1])
        scaled = super().m_step(Statistics(counts=counts, first=np.zeros_like(self.means), second=second))
        if not self.free:
            return scaled
        u, log_u = (sums[present] / counts[present] for sums in (statistics.mass, statistics.log_mass))
        nu = self.degrees_of_freedom.copy()
        c = factor[present]
        nu[present] = np.maximum(2 * gamma_shape(c * u - 1 - np.log(c) - log_u, MOST_DEGREES / 2), LEAST_DEGREES)
        return replace(scaled, degrees_of_freedom=nu)

    def leap(self, before):
        """With twice the degrees of freedom where they are large and EM raises them: near a Gaussian its steps of
        1 / nu shrink with the square of 1 / nu, so that it would climb for ever."""
        nu = self.degrees_of_freedom
        rising = (nu > np.maximum(before.degrees_of_freedom, GAUSSIAN_DEGREES)) & (nu < MOST_DEGREES)
        if not (self.free and rising.any()):
            return None
        return replace(self, degrees_of_freedom=np.where(rising, np.minimum(2 * nu, MOST_DEGREES), nu))

    def rebase(self, statistics, given):
        step = self.means - given.means
        first, second = Full.moved(statistics.mass, statistics.first, statistics.second, step)
        return {"first": first, "second": second}

    def step_error(self, statistics, passed, unit) -> float:
        """Also what degrees of freedom lose: their estimate 2 a goes with one over the mean of u - 1 - log u, of which
        rounding leaves e, so that a row loses (e a)^2 where that is small, and a logarithm where it is not. Where a
        floor holds, the best of three steps is taken, whose bounds are sums of terms of the size of nu log nu."""
        nu, d = self.degrees_of_freedom, self.shape[1]
        lost = np.log1p((unit * nu) ** 2) * self.free  # of two sums
        if self.floor_hits.any():
            lost = lost + 8 * UNIT * (nu + d) * (1 + abs(np.log(nu)))
        return super().step_error(statistics, passed, unit) + float(statistics.counts @ lost)

    def expected_log_prob(self, statistics, at):
        """A lower bound of E[sum over rows of log p(x | z; at)] from the posterior of u; see the top of this file."""
        from scipy.special import gammaln  # here, because it takes long to import

        K, d = at.shape
        counts, nu = statistics.counts, at.degrees_of_freedom
        second = unpack_symmetric(at.rebase(statistics, self)["second"], d)
        distance = (at.covariance.dense(K, d).precisions() * second).sum(axis=(1, 2)) + nu * statistics.mass
        wanted = counts * (nu + d)
        used = (counts > 0) & (distance > 0)
        best = np.where(used, wanted, 1) / np.where(used, distance, 1)
        constant = at.covariance.log_det_precision_root(K, d) - 0.5 * d * np.log(2 * np.pi)
        constant += 0.5 * nu * np.log(0.5 * nu) - gammaln(0.5 * nu)
        with np.errstate(divide="ignore", invalid="ignore"):  # of rows beyond the range of numbers: inf, or NaN
            u = (at.power - 1) * statistics.log_mass + 0.5 * (wanted * np.log(best) - best * distance)
            return float(counts @ constant + u.sum() + statistics.u_entropy)

    def log_density_error(self, statistics, passed) -> Rounding:
        """The squares count as the rows' u, which is what the density makes of an error in delta; beside them, the
        errors of the logarithm, whose sum follows from that of log E[u], and of the constant."""
        from scipy.special import digamma  # here, because it takes long to import

        counts, mass, nu, a = statistics.counts, statistics.mass, self.degrees_of_freedom, self.power
        squares = of_gaussians(self.covariance, self.means, counts, mass, statistics.first, statistics.second, passed)
        log_u = statistics.log_mass - counts * (digamma(a) - np.log(a))
        logs = float((a * np.maximum(counts * np.log(2 * a / nu) - log_u, 0)).sum())
        constant = float(counts @ (np.abs(self.log_constant()) + nu * np.log(2 + nu)))
        error = passed.unit * (2 * passed.kernels.log1p_ulps + 4) * logs + 2 * passed.unit * squares.size
        error += passed.unit * 2 * float(counts @ np.abs(self.log_constant())) + 8 * UNIT * constant
        return squares.plus(Rounding(logs, error))

    def parameters(self):
        """All parameters as one vector; degrees of freedom as reciprocals, because they may be very large."""
        return np.concatenate([super().parameters(), 1 / self.degrees_of_freedom])

    def to_vector(self):
        """Unconstrained coordinates: the Gaussian's, logarithms of the degrees of freedom where they are free."""
        return np.concatenate([super().to_vector(), np.log(self.degrees_of_freedom[: self.free * len(self.means)])])

    def from_vector(self, vector):
        if not self.free:
            return super().from_vector(vector)
        rest, logs = np.split(vector, [len(vector) - len(self.means)])
        nu = np.clip(np.exp(np.minimum(logs, np.log(2 * MOST_DEGREES))), LEAST_DEGREES, MOST_DEGREES)
        return replace(super().from_vector(rest), degrees_of_freedom=nu)

    def diagnose(self, weights, counts, columns=None):
        """As for Gaussians; also components whose 1 / nu is within a standard error of 0."""
        information = self.shape[1] * (self.shape[1] + 2) / 2  # of a row about 1 / nu, at 0
        return [
            (f"degrees of freedom rose to {nu:.3g}: its rows do not distinguish it from a Gaussian", True)
            if self.free and status == "ok" and nu > max(GAUSSIAN_DEGREES, np.sqrt(count * information))
            else (status, sound)
            for nu, count, (status, sound) in zip(
                self.degrees_of_freedom, counts, super().diagnose(weights, counts, columns)
            )
        ]

    def far_log_prob(self, X):
        """By the logarithms of squared distances, beside which the 1 of the density is nothing."""
        unit, rows = self.whitened_to_scale(X)
        with np.errstate(divide="ignore"):  # of a row at a mean
            log_tail = 2 * np.log(unit) + np.log(np.square(rows).sum(axis=2).T / self.degrees_of_freedom)
        return (self.log_constant() - self.power * log_tail).T

    def nearest(self, X):
        """The most probable component of rows so far that squared distances overflow."""
        return self.far_log_prob(X).argmax(axis=0)

    def marginal(self, columns):
        """The densities of some of the columns: Student-t, too."""
        return self.of_gaussian(super().marginal(columns), self.degrees_of_freedom, self.free)

    def sample(self, component, n, rng):
        nu = self.degrees_of_freedom[component]
        u = rng.gamma(nu / 2, 2 / nu, (n, 1))
        return self.means[component] + (super().sample(component, n, rng) - self.means[component]) / np.sqrt(u)


def is_present(statistics):
    """(K,) whether a component has rows that say something of it."""
    least = np.finfo(np.float64).tiny
    return (statistics.counts > least) & (statistics.mass > least)
