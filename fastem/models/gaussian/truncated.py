"""Gaussians of which only rows within a box can be seen, and nobody knows how many others there were.

A seen row of component k has the density N(x; mu_k, Sigma_k) / P_k, P_k the probability of the box. For each N_k seen
rows there were N_k (1 - P_k) / P_k others outside; with the moments m1 = E[x - mu], m2 = E[(x - mu)^2] in the box these
add

    N (1 - P) / P,    -N m1,    N (Sigma / P - m2)

to counts, first and second moments about mu. So the M-step of any structure serves, with its floor, and the likelihood
never falls. It climbs slowly where little of a component is seen: acceleration helps.

Where columns are independent within a component, the moments are those of each column between its ends
(:mod:`fastem.models.gaussian.interval_moments`); of up to three columns that are not, they come from quadrature
(:mod:`fastem.models.gaussian.box_moments`).

The weights of a mixture of these are those of seen rows; all rows have pi_k in proportion to weight_k / P_k.

Dempster, Laird, Rubin: Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39 (1977), section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from fastem.kernels import arithmetic
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.box_moments import box_moments
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.interval_moments import Moments, standard_moments
from fastem.models.gaussian.interval_rows import are_independent

LEAST_LOG = -600.0  # of the probability of a box: its inverse is a number
MOST_DRAWS = 10_000_000  # of all rows, of which those within the box are kept


@dataclass(frozen=True)
class TruncatedGaussian(Gaussian):
    """K Gaussian densities on a box.

    Attributes
    ----------
    box : (2, d)
        The lower and upper ends of the columns; -inf and inf are allowed.
    """

    takes_missing: ClassVar[bool] = False

    box: np.ndarray

    @property
    def by_column(self) -> bool:
        """Whether columns are independent within every component."""
        return are_independent(self.covariance, self.shape[1])

    @cached_property
    def inside(self) -> Moments:
        """log_p: (K,) of the box; first: (K, d) E[x - mu] within it; second: E[(x - mu)^2] of the columns (K, d), or,
        where these depend on each other, E[(x - mu)(x - mu)'] as packed triangles."""
        if not self.by_column:
            low, high = (end - self.means for end in self.box)
            log_p, first, second = box_moments(low, high, self.dense_covariances())
            i, j = packed_lower(self.shape[1])
            return Moments(np.maximum(log_p, LEAST_LOG), first, second[:, i, j])
        deviations = np.sqrt(self.covariance.variances(*self.shape))
        low, high = ((end - self.means) / deviations for end in self.box)
        moments = standard_moments(low, high)
        log_p = np.maximum(moments.log_p.sum(axis=1), LEAST_LOG)
        return Moments(log_p, deviations * moments.first, deviations**2 * moments.second)

    def _call_of(self, kernel, log_weights, dtype):
        return super()._call_of(kernel, log_weights - self.inside.log_p, dtype)

    def m_step(self, statistics) -> TruncatedGaussian:
        """The M-step of seen rows together with those outside."""
        (K, d), (log_p, m1, m2) = self.shape, self.inside
        counts, covariance = statistics.counts, self.covariance
        whole = counts * arithmetic.exp(-log_p)
        if self.by_column:
            all_rows = covariance.variances(K, d)
        else:
            i, j = packed_lower(d)
            all_rows = self.dense_covariances()[:, i, j]
        outside = whole[:, None] * all_rows - counts[:, None] * m2
        if covariance.kernel != "gaussian_diagonal":
            outside = covariance.of_full(outside, d)
            if statistics.second.ndim < outside.ndim:  # one covariance for all: their moments are summed
                outside = outside.sum(axis=0)
        return super().m_step(
            statistics.replaced(
                counts=whole,
                first=statistics.first - counts[:, None] * m1,
                second=statistics.second + outside,
            )
        )

    def expected_log_prob(self, statistics, at) -> float:
        unbounded = super().expected_log_prob(statistics, at)
        return unbounded - float(arithmetic.matmul(statistics.counts, at.inside.log_p))

    def marginal(self, columns) -> TruncatedGaussian:
        if len(columns) < self.shape[1] and not self.by_column:
            raise ValueError(
                "the marginal of columns that depend on each other within a box is no normal density on a box. Take "
                "all columns, or fit covariance_type 'diag'."
            )
        part = super().marginal(columns)
        return TruncatedGaussian(part.means, part.covariance, part.floor, self.box[:, columns])

    def sample(self, component, n, rng):
        from scipy.special import ndtr, ndtri

        if not self.by_column:
            return self._kept(component, n, rng)
        deviations = np.sqrt(self.covariance.variances(*self.shape)[component])
        low, high = ((end - self.means[component]) / deviations for end in self.box)
        upper_tail = low > 0  # whose probabilities have digits on the other side
        low, high = np.where(upper_tail, -high, low), np.where(upper_tail, -low, high)
        uniform = rng.random((n, self.shape[1]))
        z = ndtri(ndtr(low) + uniform * (ndtr(high) - ndtr(low)))
        z = np.where(upper_tail, -z, z)
        return np.clip(self.means[component] + deviations * z, *self.box)

    def _kept(self, component, n, rng):
        """Of rows drawn without the box, n within it."""
        share = float(np.exp(self.inside.log_p[component]))
        if n > MOST_DRAWS * share:
            raise ValueError(
                f"sample draws all rows and keeps those within truncation, but of component {component} only a share "
                f"of {share:.2g} lies there: {n} rows would take more than {MOST_DRAWS} draws."
            )
        parts, missing = [], n
        while missing > 0:
            X = super().sample(component, int(missing / share * 1.1) + 100, rng)
            parts.append(X[((X >= self.box[0]) & (X <= self.box[1])).all(axis=1)][:missing])
            missing -= len(parts[-1])
        return np.concatenate(parts) if parts else np.empty((0, self.shape[1]))

    def weights_of_all(self, weights):
        return shares(weights, -self.inside.log_p)

    def weights_of_seen(self, weights) -> np.ndarray:
        """The inverse of :meth:`weights_of_all`."""
        return shares(weights, self.inside.log_p)


def shares(weights, log_factors):
    """(K,) weights times factors, divided by their sum."""
    product = weights * arithmetic.exp(log_factors - log_factors[weights > 0].max())
    return product / product.sum()


def truncated(emission, box) -> TruncatedGaussian:
    """The densities of a plain emission, on a box."""
    if isinstance(emission, TruncatedGaussian):
        return emission
    return TruncatedGaussian(
        emission.means, emission.covariance, emission.floor, box, rounding_variance=emission.rounding_variance
    )
