"""What mixtures with means and covariances share: Gaussian and Student-t mixtures."""

from __future__ import annotations

from typing import Any, ClassVar, overload

import numpy as np

from fastem.errors import IllDefinedCovariance, not_fitted
from fastem.estimators.checks import choice, real
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import COLUMNS, MODEL, SEARCH, attribute, parameter
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.structures import STRUCTURES
from fastem.rows.validation import real_numbers
from fastem.starts.gaussian_start import checked_covariance
from fastem.starts.given import checked_array, checked_attribute

SEPARATE = Full, Diagonal, Spherical  # structures whose covariances do not depend on each other


FORMS = "covariances_", "precisions_cholesky_", "precisions_"


class MatrixForm:
    """One of the forms of the same matrices, as an attribute: the one that is set last determines the others."""

    def __set_name__(self, owner, name):
        self.name = name

    @overload
    def __get__(self, estimator: None, owner: Any = None) -> MatrixForm: ...

    @overload
    def __get__(self, estimator: object, owner: Any = None) -> np.ndarray: ...

    def __get__(self, estimator, owner=None):
        if estimator is None:
            return self
        if "_forms" not in vars(estimator):
            if self.name == "precisions_":
                raise not_fitted(estimator)
            raise AttributeError(f"{type(estimator).__name__!r} object has no attribute {self.name!r}")
        return estimator._form(self.name)

    def __set__(self, estimator: Any, value: Any) -> None:
        array = real_numbers(value)
        if array is None:
            raise ValueError(f"{self.name} must be an array of numbers. Got {value!r} instead.")
        estimator._forms = {self.name: read_only(array)}


def read_only(array):
    """A float64 copy that cannot be edited, since other forms would not follow."""
    copy = np.array(array, np.float64)
    copy.flags.writeable = False
    return copy


def covariances_of(structure, upper):
    """Covariances from the roots of their inverses: upper triangular matrices U with U U^T, or 1 / deviation."""
    if not issubclass(structure, Full):
        if not (upper > 0).all():
            raise ValueError("precisions_cholesky_ must be positive")
        return upper**-2.0
    if not np.array_equal(upper, np.triu(upper)) or not (np.diagonal(upper, axis1=-2, axis2=-1) > 0).all():
        raise ValueError("precisions_cholesky_ must be upper triangular with a positive diagonal")
    lower = np.linalg.inv(np.swapaxes(upper, -1, -2))
    return lower @ np.swapaxes(lower, -1, -2)


BASIC = ("full", "tied", "diag", "spherical")  # the structures that scikit-learn has


def for_sklearn(self) -> tuple[dict, dict]:
    """Parameters and attributes of scikit-learn's mixture; covariances of structures that it lacks are full."""
    model = self._mixture()
    (K, d), covariance, name = model.emission.shape, model.emission.covariance, self.covariance_type
    if name not in BASIC:
        covariance, name = covariance.dense(K, d), "full"
    attributes = {
        "weights_": self.weights_,
        "means_": model.emission.means,
        "covariances_": covariance.covariances,
        "precisions_cholesky_": covariance.precisions_cholesky,
        "precisions_": covariance.precisions(),
        "lower_bounds_": list(self.lower_bounds_),
    }
    attributes |= {name: getattr(self, name) for name in ("converged_", "n_iter_", "lower_bound_")}
    return {"covariance_type": name, "n_components": K}, attributes


class CovarianceMixture(MixtureEstimator):
    """A mixture with means and covariances of a structure.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    means_ : (K, d)
    covariances_, precisions_, precisions_cholesky_ : (K, d, d), (d, d), (K, d) or (K,), by covariance_type
    {attributes}
    """

    means_: np.ndarray = attribute()

    covariance_type: str = parameter(
        default="full",
        check=choice(STRUCTURES),
        doc="""str
"full", "tied", "diag", "spherical"; or one of mclust's fourteen families, three letters for volume, shape and
orientation, equal (E), variable (V) or the identity's (I): EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV;
for one column E or V. VVV is full, EEE tied, VVI diag, VII spherical; see
:mod:`fastem.models.gaussian.parsimonious`.""",
        tags=[MODEL],
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(0.0, finite=True),
        doc="""float
Least variance relative to that of the data: covariances are kept at or above ``reg_covar`` times the variance of each
column (of its middle half, where that is less). Unlike scikit-learn's absolute constant, which is added to every
diagonal, it does not depend on the units of the data and does not touch components that are not degenerate. 0: no
floor, but an error where a covariance is singular. A floor below the digits of the data's type, 1.2e-7 for float32, is
raised to them, with a warning. A constant column has no scale of its own: it takes the mean variance of the others, or,
if no column varies, its square (a column of zeros: 1), so units matter there, in the log-likelihood by a constant.""",
        tags=[MODEL, SEARCH],
    )
    means_init: Any = parameter(
        default=None, check=None, doc="(K, d), optional\nThe means of the start.", tags=[COLUMNS]
    )
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

    covariances_ = MatrixForm()
    precisions_cholesky_ = MatrixForm()
    precisions_ = MatrixForm()

    @classmethod
    def _parameters_to_give(cls):
        return tuple(name for name in cls._parameter_arrays if name != "precisions_cholesky_")

    @classmethod
    def _settable(cls):
        return (*super()._settable(), "precisions_")

    @classmethod
    def _named_arrays(cls, arrays, parameters):
        named, others = super()._named_arrays(arrays, parameters)
        forms = [name.removesuffix("_") for name in FORMS if name in named]
        if len(forms) > 1:
            raise TypeError(
                f"{cls.__name__}.from_parameters got {' and '.join(forms)}, which are forms of the same matrices. Give "
                "one of them."
            )
        return named, others

    def __sklearn_is_fitted__(self):
        others = {"weights_", *self._parameter_arrays} - {*FORMS}
        return "_forms" in vars(self) and all(hasattr(self, name) for name in others)

    def _set_arrays(self, arrays):
        """Set attributes that belong together: forms of the matrices are kept as they are."""
        self._forms = {name: arrays[name] for name in FORMS if name in arrays}
        super()._set_arrays({name: array for name, array in arrays.items() if name not in FORMS})

    def _form(self, name):
        """The matrices in one of their forms."""
        if name not in self._forms:
            if not hasattr(self, "means_"):
                raise AttributeError(f"{name} follows from {', '.join(self._forms)} where means_ are set. Set means_.")
            covariance = self._covariance(self._means())
            forms = covariance.covariances, covariance.precisions_cholesky, covariance.precisions()
            self._forms = {other: read_only(form) for other, form in zip(FORMS, forms)} | self._forms
        return self._forms[name]

    def _means(self):
        return checked_attribute(self, "means_", ("K", "d"))

    def _covariance(self, means):
        """The structure of the matrices that are set."""
        K, d = means.shape
        structure, forms = STRUCTURES[self.covariance_type], self._forms
        shape, no_floor = structure.shape(K, d), np.zeros(d)
        if "precisions_cholesky_" in forms:
            upper = checked_array(forms["precisions_cholesky_"], "precisions_cholesky", shape)
            covariances = checked_array(forms.get("covariances_"), "covariances", shape)
            if covariances is None:
                covariances = covariances_of(structure, upper)
            return structure(covariances, upper, np.zeros(1 if structure.shared else K, dtype=int))
        if "covariances_" not in forms:
            return checked_covariance(forms["precisions_"], structure, K, d, no_floor, "precisions_")
        covariances = checked_array(forms["covariances_"], "covariances", shape, "covariances_")
        require_symmetric(covariances, structure)
        try:
            with np.errstate(invalid="ignore", divide="ignore"):
                covariance = structure.from_covariances(covariances, no_floor)
        except IllDefinedCovariance:
            raise ValueError("covariances_ are not positive definite") from None
        if not np.isfinite(covariance.precisions_cholesky).all() or not (covariance.variances(K, d) > 0).all():
            raise ValueError("covariances_ are not positive definite")
        return covariance

    def _emission(self):
        means = self._means()
        return Gaussian(means, self._covariance(means), np.zeros(means.shape[1]))

    def _restore(self):
        super()._restore()
        covariance = self._mixture().emission.covariance
        require_symmetric(self.covariances_, type(covariance))
        try:
            expected = (
                type(covariance).from_covariances(self.covariances_, np.zeros(self.n_features_in_)).precisions_cholesky
            )
        except IllDefinedCovariance:
            raise ValueError("covariances_ are not positive definite") from None
        if np.abs(self.precisions_cholesky_ - expected).max() > 1e-5 * np.abs(expected).max():
            raise ValueError("precisions_cholesky_ does not match covariances_")


def require_symmetric(covariances, structure) -> None:
    """ValueError where matrices of a structure whose covariances are full are not symmetric."""
    if issubclass(structure, Full) and not np.allclose(covariances, np.swapaxes(covariances, -1, -2)):
        raise ValueError("covariances_ are not symmetric")
