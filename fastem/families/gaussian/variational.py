"""What Gaussians whose parameters have a posterior give to a fit, and their priors, given or from the rows.

The densities and their derivation are in :mod:`fastem.models.gaussian.variational`, the weights in
:mod:`fastem.models.weight_posteriors`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fastem.driver.em import em
from fastem.families.gaussian.covariance_mixture import BASIC
from fastem.families.gaussian.densities import CovarianceFamily, share_with_digits
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.diagonal import Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.linear_algebra import is_positive_definite
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.gaussian.variational import NormalWishart, VariationalGaussian
from fastem.models.mixture import Mixture
from fastem.models.weight_posteriors import POSTERIORS
from fastem.rows.column_moments import observed_variances
from fastem.rows.cross_moments import MomentBlocks
from fastem.rows.scale import covariance_floor, robust_variances, rounding_variances
from fastem.rows.validation import real_numbers
from fastem.starts.given import checked_array
from fastem.starts.plan import Scales

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100)  # of clusters in starts, below K
PRIOR_STEPS = 100  # of EM at most for the moments of rows with missing values


@dataclass(frozen=True)
class VariationalFamily(CovarianceFamily):
    """What Gaussians with a posterior give to a fit. The priors that are None follow from the rows.

    Attributes
    ----------
    weight_type : str
    concentration, mean_precision, dof : float or None
    mean, scale : array or None
    """

    weight_type: str = "dirichlet_process"
    concentration: float | None = None
    mean_precision: float | None = None
    mean: Any = None
    dof: float | None = None
    scale: Any = None

    def examine(self, blocks, n_components, n_threads):
        d = blocks.n_features
        variance, rows = observed_variances(blocks, n_threads), blocks.spaced_rows()
        share = share_with_digits(self.reg_covar, blocks.dtype)
        floor = covariance_floor(robust_variances(rows, variance, blocks.spaced_weights()), blocks, share)
        dof = degrees_of_freedom(self.dof, d)
        mean = checked_array(self.mean, "means", (d,), "mean_prior")
        scale = None if self.scale is None else given_scale(self.scale, self.structure, d)
        if mean is None or scale is None:
            moments = moments_of(blocks, variance, floor, n_threads)
            mean = moments[0] if mean is None else mean
            scale = default_scale(moments[1], self.structure, floor) if scale is None else scale
        prior = NormalWishart(mean, float(self.mean_precision or 1.0), dof, scale)
        rounding = rounding_variances(rows)
        return Scales(floor=floor, prior=prior, rounding_variance=rounding, weight=float(blocks.total_weight))

    def start_sizes(self, n_components):
        """Fewer as well: EM seldom empties a component that shares a cluster with another one."""
        return [K for K in SIZES if K < n_components] + [n_components]

    def continued(self, mixture, scales):
        gaussians = super().continued(mixture, scales)
        return mixture if isinstance(mixture.emission, VariationalGaussian) else gaussians

    def constrained(self, mixture, scales):
        emission, prior = mixture.emission, scales.prior
        if isinstance(emission, VariationalGaussian):
            emission = emission.under(prior)
        else:
            emission = VariationalGaussian.of_gaussians(emission, prior, scales.weight * mixture.weights)
        return variational_mixture(emission, self.weight_type, self.concentration)


def variational_mixture(emission, weight_type, concentration, posterior=None) -> Mixture:
    """The mixture of a posterior of Gaussians; that of the weights follows from its counts, where it is not given."""
    prior = float(1 / len(emission.means) if concentration is None else concentration)
    shares = POSTERIORS[weight_type](prior=prior)
    shares = shares.updated(emission.counts()) if posterior is None else replace(shares, concentration=posterior)
    return Mixture(shares.mean(), emission, shares)


def moments_of(blocks, variance, floor, n_threads):
    """Mean (d,) and covariance (d, d) of the rows, divided by their weight less 1; of rows with missing values the most
    likely ones of a Gaussian."""
    if not any(blocks.each(lambda X, weight, start: bool(np.isnan(X).any()))):
        moments = MomentBlocks.collect(blocks, n_threads)
        mean, covariance, weight = moments.mean, moments.covariance, moments.weight
    else:
        begun = Full.from_covariances(np.diag(np.where(variance > 0, variance, 1.0))[None], floor)
        first = np.nan_to_num(blocks.head(1)[0].astype(np.float64))
        one = Mixture(np.ones(1), Gaussian(first[None], begun, floor))
        one = em(one, blocks, accelerate="anderson", tol=1e-6, max_iter=PRIOR_STEPS, n_threads=n_threads).model
        mean, covariance = one.emission.means[0], one.emission.covariance.covariances[0]
        weight = float(blocks.total_weight)
    return mean, covariance * (weight / (weight - 1) if weight > 1 else 1)


def default_scale(covariance, structure, floor):
    """(d, d) the data's covariance as the structure has it, raised to the floor."""
    if issubclass(structure, Full):
        return Full.from_covariances(covariance[None], floor).covariances[0]
    variances = np.maximum(np.diagonal(covariance), floor)
    if not variances.any() or (not issubclass(structure, Spherical) and not variances.all()):
        raise ValueError(
            f"Column {int(variances.argmin())} of X does not vary beyond the rounding of its values, so it gives "
            "covariance_prior no scale. Leave the column out, subtract what its values share, or give covariance_prior "
            "or a reg_covar above 0."
        )
    return np.diag(np.full_like(variances, variances.mean()) if issubclass(structure, Spherical) else variances)


def degrees_of_freedom(value, d) -> float:
    """The prior's; d by default."""
    if value is None:
        return float(d)
    if not value > d - 1:
        raise ValueError(
            f"The parameter 'degrees_of_freedom_prior' should be greater than {d - 1}, but got {value:.3f}."
        )
    return float(value)


def given_scale(value, structure, d):
    """(d, d) from a matrix, from variances, or from a number, as the structure has it; scikit-learn's messages."""
    name = next(name for name in BASIC if STRUCTURES[name] is structure)
    shape = () if name == "spherical" else (d,) if name == "diag" else (d, d)
    scale = real_numbers(value)
    if scale is None or scale.shape != shape:
        got = "no numbers" if scale is None else scale.shape
        raise ValueError(f"The parameter '{name} covariance_prior' should have the shape of {shape}, but got {got}")
    scale = scale.astype(np.float64)
    if shape == (d, d):
        good = np.isfinite(scale).all() and np.allclose(scale, scale.T) and is_positive_definite(scale)
        if not good:
            raise ValueError(f"'{name} precision' should be symmetric, positive-definite: see covariance_prior.")
        return scale
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError(f"'{name} precision' should be positive: see covariance_prior. Got {value!r}.")
    return np.diag(np.broadcast_to(scale, d))


def scale_as_given(scale, covariance_type):
    """The inverse of :func:`given_scale`."""
    if covariance_type in ("full", "tied"):
        return scale
    return np.diagonal(scale).copy() if covariance_type == "diag" else np.array(scale[0, 0])
