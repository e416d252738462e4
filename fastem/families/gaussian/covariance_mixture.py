"""What mixtures with means and covariances share: Gaussian and Student-t mixtures."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.estimators.checks import choice, real
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import COLUMNS, SEARCH, parameter
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.structures import STRUCTURES
from fastem.starts.given import checked_array

SEPARATE = Full, Diagonal, Spherical  # structures whose covariances do not depend on each other


class CovarianceMixture(MixtureEstimator):
    """A mixture with means and covariances of a structure.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    means_ : (K, d)
    covariances_, precisions_, precisions_cholesky_ : (K, d, d), (d, d), (K, d) or (K,), by covariance_type
    others
        See :class:`fastem.estimators.mixture_estimator.MixtureEstimator`.
    """

    covariance_type: str = parameter(
        default="full",
        check=choice(STRUCTURES),
        doc="""str
"full", "tied", "diag", "spherical"; or one of mclust's fourteen families, three letters for volume, shape and
orientation, equal (E), variable (V) or the identity's (I): EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV;
for one column E or V. VVV is full, EEE tied, VVI diag, VII spherical; see
:mod:`fastem.models.gaussian.parsimonious`.""",
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(0.0, finite=True),
        doc="""float
Least variance relative to that of the data: covariances are kept at or above ``reg_covar`` times the variance of each
column (of its middle half, where that is less). Unlike scikit-learn's absolute constant, which is added to every
diagonal, it does not depend on the units of the data and does not touch components that are not degenerate. 0: no
floor, but an error where a covariance is singular. A floor below the digits of the data's type, 1.2e-7 for float32, is
raised to them, with a warning.""",
        tags=[SEARCH],
    )
    means_init: Any = parameter(default=None, check=None, doc="(K, d), optional", tags=[COLUMNS])
    precisions_init: Any = parameter(
        default=None,
        check=None,
        doc="array, optional\nInverse covariances, in the shape of `covariances_`.",
        tags=[COLUMNS],
    )

    _parameter_arrays = ("means_", "covariances_", "precisions_cholesky_")
    _starts_given: ClassVar = {"weights": "weights_init", "means": "means_init", "precisions": "precisions_init"}

    def _structure(self):
        return "separate" if STRUCTURES[self.covariance_type] in SEPARATE else "dependent"

    def _arrays(self, emission):
        covariance = emission.covariance
        return {
            "means_": emission.means,
            "covariances_": covariance.covariances,
            "precisions_cholesky_": covariance.precisions_cholesky,
        }

    def _emission(self):
        structure = STRUCTURES[self.covariance_type]
        means = np.asarray(self.means_, dtype=np.float64)
        if means.ndim != 2:
            raise ValueError(f"means_ must have shape (K, d), but it has {means.shape}")
        shape = structure.shape(*means.shape)
        upper = checked_array(self.precisions_cholesky_, "precisions_cholesky", shape)
        covariances = checked_array(self.covariances_, "covariances", shape)
        covariance = structure(covariances, upper, np.zeros(1 if structure.shared else len(means), dtype=int))
        return Gaussian(means, covariance, np.zeros(means.shape[1]))

    @property
    def precisions_(self):
        """Inverse covariances, in the shape of ``covariances_``."""
        self._require_fitted()
        return self._mixture().emission.covariance.precisions()

    def _restore(self):
        super()._restore()
        covariance = self._mixture().emission.covariance
        try:
            expected = (
                type(covariance).from_covariances(self.covariances_, np.zeros(self.n_features_in_)).precisions_cholesky
            )
        except IllDefinedCovariance:
            raise ValueError("covariances_ are not positive definite") from None
        if np.abs(self.precisions_cholesky_ - expected).max() > 1e-5 * np.abs(expected).max():
            raise ValueError("precisions_cholesky_ does not match covariances_")
