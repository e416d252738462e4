"""Mixtures of multivariate Student-t distributions; see :mod:`fastem.models.gaussian.student_t`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np

from fastem import kernels
from fastem.driver.history import objective
from fastem.driver.passes import collect
from fastem.estimators.beside import TakesSideColumns
from fastem.estimators.parameters import MODEL, attribute, parameter
from fastem.families.gaussian.covariance_mixture import CovarianceMixture
from fastem.families.gaussian.densities import CovarianceFamily
from fastem.families.gaussian.intervals import open_student_bounds
from fastem.models.gaussian.short_runs import short_runs
from fastem.models.gaussian.student_t import StudentT
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.intervals import bounds_of
from fastem.rows.validation import real_numbers
from fastem.starts.gaussian_start import gaussian_start, robust_start
from fastem.starts.named import MERGED
from fastem.starts.subsample import subsample

START_DEGREES = 10.0  # where they are estimated, until the rows tell
START_BOUNDS = 0.25, 100.0  # of the start's: EM soon leaves them where it must
TAIL_STEPS = 10  # of EM at most between such searches, since tails and scale depend on each other:
STEADY_TAILS = 0.1  # until the logarithms of the degrees of freedom change by less
TAIL_TOLERANCE = 0.02  # of the logarithm of the degrees of freedom there: EM is for the rest
TRIALS = 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 100.0  # degrees of freedom of rows that are cut off,
TRIAL_STEPS = 3  # of EM from each,
HALVINGS = 3  # of the distances about the best,
ALL_ROWS = 10_000  # up to which all are looked at
OF_A_GAUSSIAN = 1e10  # degrees of freedom; with a hundred times as many, nothing bounds the rounding of their density


@dataclass(frozen=True)
class StudentTFamily(CovarianceFamily):
    """What Student-t densities give to a fit: robust starts, and degrees of freedom.

    Attributes
    ----------
    degrees_of_freedom : float, (K,) array or None
        None: they are estimated.
    """

    start_partitions: ClassVar = (MERGED,)  # its k-means does not see far rows
    move_rounds: ClassVar = ((5, 4), (15, 2), (30, 1))

    degrees_of_freedom: Any = None

    def start(self, plan, blocks, scales, rng, n_threads):
        gaussians = gaussian_start(plan, blocks, self.structure, scales.floor, rng, n_threads, robust_start)
        mixture = self.with_tails(gaussians, START_DEGREES)
        if self.degrees_of_freedom is not None:
            return mixture
        X, weight = subsample(blocks, rng, plan.n_components)
        rows = ArrayBlocks(X, weight)
        for _ in range(TAIL_STEPS):
            before, mixture = mixture, tailed(mixture, X, weight)
            ratio = mixture.emission.degrees_of_freedom / before.emission.degrees_of_freedom
            if plan.start.given or np.abs(np.log(ratio)).max() < STEADY_TAILS:
                break
            mixture = stepped(mixture, rows, n_threads)
        return mixture

    def settled(self, mixture, blocks, n_threads):
        """With the degrees of freedom that are likeliest after some steps of EM, where rows are cut off: from such
        values the start takes too many, and EM hardly moves them."""
        if self.degrees_of_freedom is not None or "lower" not in getattr(blocks, "roles", ()):
            return mixture
        bounds = bounds_of(blocks.blocks.spaced_rows(), blocks.n_features)
        if not (np.isinf(bounds.lower) ^ np.isinf(bounds.upper)).any():
            return mixture
        some = blocks.spaced() if blocks.n_rows > ALL_ROWS else blocks

        def climbed(log_nu):
            nu = np.full(mixture.n_components, np.exp(log_nu))
            found = replace(mixture, emission=replace(mixture.emission, degrees_of_freedom=nu))
            for _ in range(TRIAL_STEPS):
                found = found.m_step(collect(some, found, n_threads))
            return objective(found, collect(some, found, n_threads)), found

        tried = {log_nu: climbed(log_nu) for log_nu in np.log(TRIALS)}
        for _ in range(HALVINGS):
            logs = sorted(tried)
            best = max(range(len(logs)), key=lambda i: tried[logs[i]][0])
            for left, right in pairwise(logs[max(best - 1, 0) : best + 2]):
                tried[(left + right) / 2] = climbed((left + right) / 2)
        return max(tried.values(), key=itemgetter(0))[1]

    def continued(self, mixture, scales):
        return self.with_tails(super().continued(mixture, scales), mixture.emission.degrees_of_freedom)

    def with_tails(self, mixture, otherwise) -> Mixture:
        """The mixture with the given degrees of freedom; where they are estimated, with others to start from."""
        free = self.degrees_of_freedom is None
        nu = otherwise if free else self.degrees_of_freedom
        return Mixture(mixture.weights, StudentT.of_gaussian(mixture.emission, nu, free))


def stepped(mixture, rows, n_threads) -> Mixture:
    """The mixture after a step of EM."""
    (run,) = short_runs([mixture], rows, 1, n_threads)
    return run.model if run.n_iter else mixture.m_step(collect(rows, mixture, n_threads))


def tailed(mixture, X, weight) -> Mixture:
    """The mixture with the degrees of freedom that suit the rows (n, d) which it gives to each component, and with the
    scale that goes with them: one factor for all scale matrices, because they may share parts."""
    emission, d = mixture.emission, X.shape[1]
    covariance, degrees, scales = emission.covariance, [], []
    for k, (mean, r) in enumerate(zip(emission.means, mixture.posterior(X).T)):
        with np.errstate(over="ignore"):  # of rows of other components
            squares = np.square(covariance.whiten(k, X - mean)).sum(axis=1)
        nu, scale = kernels.for_dtype(np.float64).most_likely_degrees(
            squares, weight * r, d, *START_BOUNDS, TAIL_TOLERANCE
        )
        degrees.append(nu)
        scales.append(scale)
    factor = np.exp(mixture.weights @ np.log(scales))
    covariance = covariance.from_covariances(factor * covariance.covariances, emission.floor)
    return replace(mixture, emission=replace(emission, covariance=covariance, degrees_of_freedom=np.array(degrees)))


class StudentTMixture(TakesSideColumns, CovarianceMixture):
    """Mixture of multivariate Student-t distributions, fitted by EM with expanded parameters (PX-EM).

    Rows far from a component count little in its mean and scale matrix, so that outliers do not spoil them.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    means_ : (K, d)
    covariances_, precisions_, precisions_cholesky_ : by covariance_type
        The scale matrices and their inverses. A component's covariance is nu / (nu - 2) times its scale matrix; it
        exists only for nu > 2.
    degrees_of_freedom_ : (K,)
        At most 1e6. Where they are so large that the rows of a component do not distinguish it from a Gaussian,
        `component_status_` says so.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import StudentTMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.normal([0, 0], 1, (300, 2)), rng.normal([9, 9], 1, (300, 2)), rng.uniform(-90, 90, (30, 2))])
    >>> t = StudentTMixture(2, random_state=0, tol=1e-5).fit(X)
    >>> abs(t.means_[t.means_[:, 0].argsort()].round())
    array([[0., 0.],
           [9., 9.]])

    References
    ----------
    Peel, McLachlan: Robust mixture modelling using the t distribution. Statistics and Computing 10 (2000) 339-348.
    Liu, Rubin, Wu: Parameter expansion to accelerate EM: the PX-EM algorithm. Biometrika 85 (1998) 755-770.
    """

    _openers: ClassVar = dict.fromkeys(("lower", "upper"), open_student_bounds)

    degrees_of_freedom_: np.ndarray = attribute()

    degrees_of_freedom: Any = parameter(
        default=None,
        check=None,
        doc="""float or (K,) array, optional
None: estimated for each component, between 0.1 and 1e6. Given ones are at most 1e10. Fewer degrees of freedom mean
heavier tails.""",
        tags=[MODEL],
    )

    _parameter_arrays = (*CovarianceMixture._parameter_arrays, "degrees_of_freedom_")

    def _family(self):
        if self.degrees_of_freedom is not None:
            checked_degrees(self.degrees_of_freedom, "degrees_of_freedom", self.n_components)
        return StudentTFamily(self.covariance_type, self.reg_covar, self.degrees_of_freedom)

    def _arrays(self, emission):
        return super()._arrays(emission) | {"degrees_of_freedom_": emission.degrees_of_freedom}

    def _emission(self):
        gaussian = super()._emission()
        nu = checked_degrees(self.degrees_of_freedom_, "degrees_of_freedom_", len(gaussian.means))
        return StudentT.of_gaussian(gaussian, nu, self.degrees_of_freedom is None)


def checked_degrees(value, name, n_components):
    """A positive number, or one for each component."""
    nu = real_numbers(value)
    if nu is None or nu.shape not in ((), (n_components,)) or not ((nu > 0) & (nu <= OF_A_GAUSSIAN)).all():
        raise ValueError(
            f"{name} must be a finite number above 0 and at most {OF_A_GAUSSIAN:g}, which is a Gaussian's, "
            f"or {n_components} of them, one for each component. Got {value!r} instead. For Gaussians alone there is "
            "GaussianMixture."
        )
    return nu
