"""mclust's conjugate prior of Gaussian components: it acts as rows that were not seen, whose counts and
moments are added to those of the data.

    mu_k | Sigma_k ~ N(mean, Sigma_k / shrinkage),    Sigma_k ~ inverse Wishart(dof, scale)

Up to a constant, its logarithm is that of `extra` rows of density |Sigma_k|^(-1/2) exp(-tr(Sigma_k^-1 M) / 2) with the
second moment M = scale + shrinkage (mu_k - mean)(mu_k - mean)^T, so the M-step of every family takes it in with the
counts and moments of the data. Where variances stand along the columns, each has an inverse gamma prior with the shape
dof / 2 and the rate scale / 2, as in mclust; a covariance that all components share has its prior once.

Each M-step is the mode of this posterior. mclust's Fortran gives the same for EEE, VVV, VII and VVI, and something else
for three families:

    EII  (meeiip, mseiip) leaves the prior's scale out of the sum of squares: its variance has no prior but the divisor.
    EEI  (meeeip) counts the determinants of the K means' priors once, and does not shrink the means.
    EEV  (meeevp) adds the scale for each of the K covariances, but counts the determinants of their priors, and of the
         means', once.

C. Fraley, A. E. Raftery: Bayesian regularization for normal mixture estimation and model-based clustering. Journal of
Classification 24 (2007) 155-181.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.covariance import outer, pooled_second
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.rows.validation import real_numbers

NAMES = "mean", "shrinkage", "dof", "scale"


@dataclass(frozen=True)
class ConjugatePrior:
    """Normal-inverse-Wishart.

    Attributes
    ----------
    mean : (d,)
    shrinkage : float
        How many rows the prior's mean counts for. 0: the means have no prior.
    dof : float
    scale : (d, d)
        Diagonal families take its diagonal; spherical ones take each entry as the scale of the trace.
    """

    mean: np.ndarray
    shrinkage: float
    dof: float
    scale: np.ndarray

    @classmethod
    def from_dict(cls, parameters):
        """The prior with the parameters that :meth:`to_dict` gives; ValueError where they are not those of a prior."""
        check_prior(parameters)
        d = np.size(parameters["mean"])
        scale = shaped_scale(parameters["scale"], Full, d)  # may be 0: that of constant data is
        return conjugate_prior({**parameters, "scale": None}, Full, 1, np.zeros(d), scale)

    def extra(self, covariance, n_components):
        """(K,) rows that each component's determinant counts for, beside the data's."""
        d = len(self.mean)
        rows = self.dof + d + 1
        if isinstance(covariance, Diagonal):
            rows = (self.dof + 2) / (d if isinstance(covariance, Spherical) else 1)
        once = n_components if covariance.shared else 1
        return np.full(n_components, rows / once + (self.shrinkage > 0))

    def second(self, covariance, means):
        """(K, …) the prior's second moments about some means, as the structure sums them."""
        K, d = means.shape
        i, j = packed_lower(d)
        moments = self.scale_of_each(covariance, K) + self.shrinkage * outer(self.mean - means)
        return covariance.of_full(moments[:, i, j], d)

    def scale_of_each(self, covariance, n_components):
        """(d, d) the scale that each component adds to the moments."""
        scale = self.scale / len(self.mean) if isinstance(covariance, Spherical) else self.scale
        return scale / (n_components if covariance.shared else 1)

    def added(self, covariance, means, statistics):
        """Counts, first and second moments about the means with the prior's rows among them."""
        first = statistics.first + self.shrinkage * (self.mean - means)
        second, prior_second = statistics.second, self.second(covariance, means)
        if isinstance(covariance, Tied):
            second, prior_second = pooled_second(second), pooled_second(prior_second)
        return statistics.counts + self.shrinkage, first, second + prior_second

    def log_density(self, covariance, means) -> float:
        """The logarithm of the prior density of K components, up to a constant."""
        K, d = means.shape
        determinants = self.extra(covariance, K) @ covariance.log_det_precision_root(K, d)
        return float(determinants - 0.5 * covariance.expected_quadratic(self.second(covariance, means)))

    def to_dict(self) -> dict:
        """Plain numbers and lists, from which :meth:`from_dict` makes the same prior."""
        return {
            "mean": self.mean.tolist(),
            "shrinkage": float(self.shrinkage),
            "dof": float(self.dof),
            "scale": self.scale.tolist(),
        }


NO_SCALE = "prior['scale'] must be symmetric and positive. Got {!r} instead."


def check_prior(prior) -> None:
    """ValueError where `prior` is neither None nor "default" nor a dict of the parameters of mclust's priors."""
    if prior is None or (isinstance(prior, str) and prior == "default"):
        return
    if not isinstance(prior, dict):
        raise ValueError(
            f"prior must be None, 'default' or a dict with some of the keys {', '.join(NAMES)}. Got {prior!r}."
        )
    unknown = [name for name in prior if name not in NAMES]
    if unknown:
        raise ValueError(f"prior has the unknown key {unknown[0]!r}: choose among {', '.join(NAMES)}.")
    for name in ("shrinkage", "dof"):
        value = prior.get(name, 0.0)
        if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= value < np.inf:
            raise ValueError(f"prior[{name!r}] must be a finite number of at least 0. Got {value!r} instead.")


def conjugate_prior(prior, structure, n_components, mean, covariance) -> ConjugatePrior:
    """The prior that the user asks for; where a parameter is missing, mclust's default for this mean and covariance."""
    d = len(mean)
    asked = {} if isinstance(prior, str) else prior
    scale = covariance if issubclass(structure, Full) else np.trace(covariance) / d * np.eye(d)
    scale = scale * n_components ** (-2 / d)
    if asked.get("scale") is not None:
        scale = checked_scale(asked["scale"], structure, d)
    if asked.get("mean") is not None:
        mean = real_numbers(asked["mean"])
        if mean is None or mean.shape not in ((), (d,)) or not np.isfinite(mean).all():
            raise ValueError(
                f"prior['mean'] must hold {d} finite number(s), one for each column. Got {asked['mean']!r} instead."
            )
    mean = np.broadcast_to(mean, d).astype(np.float64)
    return ConjugatePrior(mean, float(asked.get("shrinkage", 0.01)), float(asked.get("dof", d + 2)), scale)


def checked_scale(value, structure, d):
    """The same, not 0."""
    scale = shaped_scale(value, structure, d)
    if not np.trace(scale) > 0:
        raise ValueError(NO_SCALE.format(value))
    return scale


def shaped_scale(value, structure, d):
    """(d, d) from a number, from one number for each column, or from a matrix, if the structure has such scales."""
    scale = real_numbers(value)
    shapes = {(): "a number"}
    if not issubclass(structure, Spherical):
        shapes[(d,)] = f"{d} numbers"
    if issubclass(structure, Full):
        shapes[(d, d)] = f"a matrix {(d, d)}"
    if scale is None or scale.shape not in shapes:
        what = f"it is {value!r}" if scale is None else f"its shape is {scale.shape}"
        raise ValueError(f"prior['scale'] must be {' or '.join(shapes.values())} for this covariance_type, but {what}.")
    scale = scale.astype(np.float64)
    scale = scale if scale.ndim == 2 else np.diag(np.broadcast_to(scale, d))
    good = np.isfinite(scale).all() and np.allclose(scale, scale.T)
    if not good or np.linalg.eigvalsh(scale)[0] < -1e-12 * np.trace(scale):
        raise ValueError(NO_SCALE.format(value))
    return scale
