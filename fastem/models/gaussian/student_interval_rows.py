"""Student-t mixtures of rows of which one value may be known to lie in an interval.

A row is Gaussian with covariance Sigma / u, u ~ Gamma(nu / 2, rate nu / 2). Given p exact values at squared distance
delta it is Student-t again, with nu + p degrees of freedom, the conditional mean and the conditional scale matrix times
(nu + delta) / (nu + p), and its weight is w (nu + p) / (nu + delta), with w the one of
:mod:`fastem.models.gaussian.student_moments`. So the expectations of an interval that the M-step asks for, those of u,
u (x - mu), u (x - mu)(x - mu)' and log u, are those of one standard variable; missing values follow by regression, as
in :mod:`fastem.models.gaussian.interval_rows`. All columns of a row share u, so that even with a diagonal scale matrix
two intervals are an integral over a box.

Peel, McLachlan: Robust mixture modelling using the t distribution. Statistics and Computing 10 (2000) 339-348.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from fastem.models.bounded_rows import BoundedRows
from fastem.models.gaussian.interval_rows import of_patterns
from fastem.models.gaussian.student_moments import StudentMoments, log_density_at_mean, student_between
from fastem.rows.intervals import Bounds
from fastem.rows.statistics import Statistics

FURTHEST = 1e300  # squared distance: E[u] is a number above 0


@dataclass(frozen=True)
class StudentRows(BoundedRows):
    """A Student-t mixture as a model of wide rows."""

    def of_bounds(self, bounds: Bounds):
        """log p (K, m); E[u (x - mu)] (K, m, d) and E[u (x - mu)(x - mu)'] as packed triangles; E[u] and E[log u]."""
        emission = self.mixture.emission
        given = partial(student_given, emission.degrees_of_freedom[:, None])
        return of_patterns(bounds, emission.means, emission.dense_covariances(), given)

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """The statistics of the mixture, see :meth:`fastem.models.mixture.Mixture.e_step_of_block`, of wide rows.

        ``u_entropy`` is that of the weights u and of the values between their bounds, given the components.
        """
        totals, (first, second, mass, log_mass) = self.sums(X, sample_weight, n_threads)
        statistics = Statistics(first=first, second=second, mass=mass, log_mass=log_mass, u_entropy=0.0, **totals)
        latent = statistics.log_likelihood - statistics.entropy
        latent -= self.mixture.expected_log_joint(statistics, self.mixture)
        return statistics.replaced(u_entropy=float(latent))


def student_given(degrees, n_known, squares, interval):
    """What :func:`fastem.models.gaussian.interval_rows.of_pattern` asks of Student-t components, and E[log u].

    degrees : (K, 1)
    """
    from scipy.special import digamma  # here, because it takes long to import

    squares, grown = np.minimum(squares, FURTHEST), degrees + n_known
    mass = grown / (degrees + squares)
    log_p = log_density_at_mean(degrees, n_known) - grown / 2 * np.log1p(squares / degrees)
    if interval is None:
        return log_p, mass, 0.0, 0.0, digamma(grown / 2) - np.log(grown / 2) + np.log(mass)
    *between, deviations = interval
    scale = deviations / np.sqrt(mass)
    given = np.broadcast_to(grown, mass.shape), *(ends / scale for ends in between)
    found = student_between(*(array.ravel() for array in given))
    inside = StudentMoments(*(values.reshape(mass.shape) for values in found))
    return (
        log_p + inside.log_p,
        mass * inside.mass,
        mass * scale * inside.first,
        deviations**2 * (inside.second - 1),
        np.log(mass) + inside.log_mass,
    )
