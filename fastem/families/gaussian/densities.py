"""What Gaussian and Student-t densities give to a fit: floors, starts, and constraints of the M-step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastem.errors import warn
from fastem.estimators.compatibility import refusal
from fastem.families.gaussian.truncation import box_of, require_inside
from fastem.kernels import arithmetic
from fastem.models.gaussian.conjugate_prior import ConjugatePrior, conjugate_prior
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.eigenvalue_ratio import EigenvalueRatio
from fastem.models.gaussian.noise import Background, alone, data_box
from fastem.models.gaussian.structures import STRUCTURES, check_dimension
from fastem.models.gaussian.truncated import truncated
from fastem.models.weights import fixed_components
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.column_moments import column_variances, observed_variances
from fastem.rows.cross_moments import MomentBlocks
from fastem.rows.scale import covariance_floor, robust_variances, rounding_variances
from fastem.starts.from_memberships import component_moments, from_membership, runs_from_moments
from fastem.starts.gaussian_start import continued, gaussian_start
from fastem.starts.named import ROWS
from fastem.starts.noise_start import NOISE_SHARE, noise_start
from fastem.starts.plan import Family, Scales

LEAST_START = 1e-6  # of the columns' variances: the floor of starts where max_eigenvalue_ratio replaces it later


def share_with_digits(reg_covar, dtype) -> float:
    """`reg_covar`, or the least share of the data's variance that rows of this type have digits for, with a warning."""
    least = float(np.finfo(dtype).eps)
    if not 0 < reg_covar < least:
        return reg_covar
    warn(
        f"reg_covar={reg_covar:g} is below the digits of {np.dtype(dtype)} rows: covariances are kept at or above "
        f"{least:.2g} times the variance of each column.",
        UserWarning,
    )
    return least


@dataclass(frozen=True)
class CovarianceFamily(Family):
    """What densities with means and covariances of a structure give to a fit.

    Attributes
    ----------
    covariance_type : str
    reg_covar : float
    """

    incomplete_rounds: ClassVar = ((5, 4), (20, 1)), ((10, 4), (30, 2), (50, 1))

    covariance_type: str
    reg_covar: float

    @property
    def structure(self):
        return STRUCTURES[self.covariance_type]

    def examine(self, blocks, n_components, n_threads) -> Scales:
        check_dimension(self.covariance_type, blocks.n_features)
        variance, rows = column_variances(blocks, n_threads), blocks.spaced_rows()
        share = share_with_digits(self.reg_covar, blocks.dtype)
        return Scales(
            floor=covariance_floor(robust_variances(rows, variance, blocks.spaced_weights()), blocks, share),
            rounding_variance=rounding_variances(rows),
            rows_covariance=self.rows_covariance(blocks, rows, variance),
        )

    def rows_covariance(self, blocks, rows, variance):
        """Of some of the rows, (d, d); the variances (d,) of all where no covariance is needed. None: they have no
        weight."""
        if self.structure.kernel == "gaussian_diagonal":
            return variance
        weight = blocks.spaced_weights()
        weight = np.ones(len(rows)) if weight is None else weight
        if not weight.any():
            return None
        Z = (rows - arithmetic.matmul(weight, rows) / weight.sum()) * np.sqrt(weight / weight.sum())[:, None]
        return arithmetic.matmul(Z.T, Z)

    def emission(self, X, weight, membership, n_components, scales):
        return from_membership(X, weight, membership, n_components, self.structure, scales.floor).emission

    def least_rows(self, n_features):
        return self.structure.least_rows(n_features)

    def start(self, plan, blocks, scales, rng, n_threads):
        return gaussian_start(plan, blocks, self.structure, scales.floor, rng, n_threads)

    def continued(self, mixture, scales):
        return continued(mixture, self.structure, scales.floor)

    def constrained(self, mixture, scales):
        return replace(mixture, emission=mixture.emission.of_rows(scales.rounding_variance, scales.rows_covariance))


MOVE_ROUNDS = ((20, 3), (60, 2), (100, 1))
DRIVER_MOVE_ROUNDS = ((5, 3), (15, 1))  # a step of the driver takes ten times as long
COMPLETE = "noise", "prior", "truncation", "truncate"  # parameters with which no value may be missing


@dataclass(frozen=True)
class GaussianFamily(CovarianceFamily):
    """What Gaussians give to a fit: also noise, a prior, a bound on eigenvalues and fixed parameters.

    Attributes
    ----------
    noise : None, "box" or float
    prior : None, "default" or dict
    truncate : int or None
    max_eigenvalue_ratio : float or None
    truncation : None or (low, high)
    fixed_means, fixed_covariances : bool or (m,) int
        Whether all are fixed, or the numbers of the components whose are.
    """

    noise: Any = None
    prior: Any = None
    truncate: int | None = None
    max_eigenvalue_ratio: float | None = None
    truncation: Any = None
    fixed_means: bool | np.ndarray = False
    fixed_covariances: bool | np.ndarray = False

    @property
    def has_noise(self) -> bool:
        return self.noise is not None

    @property
    def move_rounds(self):
        """None beside noise, which has its own starts."""
        return () if self.has_noise else MOVE_ROUNDS

    @property
    def driver_move_rounds(self):
        return () if self.has_noise else DRIVER_MOVE_ROUNDS

    @property
    def start_kinds(self):
        """Also random rows, where there are fewer components than clusters: other partitions join the same of these."""
        return CovarianceFamily.start_kinds | ({} if self.has_noise else {ROWS: 1})

    @property
    def start_partitions(self):
        """None beside noise, which must not decide where the clusters are."""
        return () if self.has_noise else tuple(self.start_kinds)

    @property
    def unconstrained(self):
        return replace(self, prior=None, max_eigenvalue_ratio=None, truncation=None)

    @property
    def takes_missing(self) -> bool:
        """Whether NaN is a missing value."""
        return all(getattr(self, name) is None for name in COMPLETE)

    def examine(self, blocks, n_components, n_threads):
        check_dimension(self.covariance_type, blocks.n_features)
        variance, rows = self._variances(blocks, n_threads), blocks.spaced_rows()
        if self.truncation is not None:
            box, names = box_of(self.truncation, self.structure, blocks.n_features), blocks.names
            blocks.check(lambda X, place: require_inside(X, box, names, place))
        bounded = self.max_eigenvalue_ratio is not None
        typical = robust_variances(rows, variance, blocks.spaced_weights())
        share = max(self.reg_covar, LEAST_START) if bounded else share_with_digits(self.reg_covar, blocks.dtype)
        return Scales(
            floor=covariance_floor(typical, blocks, share),
            background=self._background(blocks),
            prior=None if self.prior is None else self._prior(blocks, n_components, n_threads),
            deviations=np.sqrt(covariance_floor(typical, blocks, 1.0)) if bounded else None,
            rounding_variance=rounding_variances(rows),
            rows_covariance=self.rows_covariance(blocks, rows, variance) if self.has_noise else None,
        )

    def _variances(self, blocks, n_threads):
        """(d,) of the observed values; ValueError that names the parameter with which no value may be missing."""
        if self.takes_missing:
            return observed_variances(blocks, n_threads)
        try:
            return column_variances(blocks, n_threads)
        except ValueError as error:
            for name in COMPLETE:
                asked = getattr(self, name)
                if asked is not None and any(blocks.each(lambda X, weight, start: bool(np.isnan(X).any()))):
                    sentence = refusal(name, "missing values").format(f"{name}={asked!r}")
                    raise ValueError(f"{error} {sentence}") from error
            raise

    def _background(self, blocks) -> Background | None:
        if self.noise is None:
            return None
        if isinstance(self.noise, str):
            return Background(np.nan, data_box(blocks))
        return Background(float(np.log(self.noise)))

    def _prior(self, blocks, n_components, n_threads) -> ConjugatePrior:
        moments = MomentBlocks.collect(blocks, n_threads)
        weight = moments.weight
        covariance = moments.covariance * (weight / (weight - 1) if weight > 1 else 1)  # as R's var
        return conjugate_prior(self.prior, self.structure, n_components, moments.mean, covariance)

    def start(self, plan, blocks, scales, rng, n_threads):
        if scales.background is None:
            return super().start(plan, blocks, scales, rng, n_threads)
        return noise_start(plan, blocks, self.structure, scales.floor, scales.background, rng, n_threads)

    def short_runs(self, plan, partitions, blocks, scales):
        if not (partitions and isinstance(blocks, ArrayBlocks)) or np.isnan(blocks.X).any():
            return None
        X, weight, K = blocks.X, blocks.sample_weight, plan.n_components
        moments = [component_moments(X, weight, labels, K, self.structure) for labels in partitions]
        return runs_from_moments(moments, self.structure, scales.floor, blocks, lambda model: plan.begun(model, scales))

    def continued(self, mixture, scales):
        gaussians = super().continued(mixture, scales)
        return alone(gaussians) if scales.background is None else scales.background.beside(gaussians, NOISE_SHARE)

    def constrained(self, mixture, scales):
        mixture = super().constrained(mixture, scales)
        K, d = mixture.emission.shape
        if self.truncation is not None:
            box = box_of(self.truncation, self.structure, d)
            return replace(mixture, emission=truncated(mixture.emission, box))
        means, covariances = (fixed_components(fixed, K) for fixed in (self.fixed_means, self.fixed_covariances))
        bounded, prior = self.max_eigenvalue_ratio is not None, None if self.prior is None else scales.prior
        ratio = EigenvalueRatio(self.max_eigenvalue_ratio, scales.deviations) if bounded else None
        if not means.any() and not covariances.any() and prior is None and ratio is None:
            return mixture
        emission = mixture.emission
        low = np.broadcast_to(emission.covariance.at_floor, K) > 0
        if (low & covariances).any():
            raise ValueError(
                f"the fixed covariance of component {int((low & covariances).argmax())} is below reg_covar times the "
                "variance of the data. Lower reg_covar, or fix a larger covariance."
            )
        floor = emission.floor if ratio is None else np.zeros_like(emission.floor)
        kept = ConstrainedGaussian(emission.means, emission.covariance, floor, means, covariances, prior, ratio)
        return replace(mixture, emission=kept.of_rows(scales.rounding_variance, scales.rows_covariance))

    def feasible(self, mixture):
        if isinstance(mixture.emission, ConstrainedGaussian):
            return replace(mixture, emission=mixture.emission.feasible(mixture.weights))
        return mixture
