"""Outliers as scikit-learn knows them: 1 and -1, by the density of a mixture."""

from __future__ import annotations

import numbers
from typing import Any, Self

import numpy as np

from fastem.errors import shown
from fastem.estimators.checks import require_no_named
from fastem.estimators.estimator import Estimator, checked_new, log_density, predictive, require_fitted
from fastem.estimators.fitted_mixture import FittedMixture
from fastem.estimators.outliers import require_densities_that_fall
from fastem.estimators.parameters import attribute, parameter
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.rows.validation import numbered


def check_contamination(owner, name, value):
    """A share of the rows of at most a half."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    if not (is_number and 0 < value <= 0.5):
        raise ValueError(
            f"The {name!r} parameter of {owner} must be a float in the range (0, 0.5]. Got {shown(value)} instead."
        )


def check_mixture(owner, name, value):
    """None, or a mixture."""
    if value is not None and not isinstance(value, FittedMixture):
        raise ValueError(f"The {name!r} parameter of {owner} must be one of fastem's mixtures. Got {value!r} instead.")


class OutlierDetector(Estimator):
    """An outlier detector with scikit-learn's interface: the rows of least density under a mixture.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    mixture_ : the fitted mixture
    model_ : its model
    offset_ : float
        The log-density below which a row is an outlier.
    n_features_in_ : int
    feature_names_in_ : (d,), where X has names

    See Also
    --------
    fastem.GaussianMixture.is_outlier : by the share of rows that the fitted density itself gives

    Examples
    --------
    >>> from fastem import GaussianMixture, OutlierDetector
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> detector = OutlierDetector(GaussianMixture(2, random_state=0), contamination=0.01).fit(X)
    >>> int((detector.predict(X) == -1).sum())
    3
    """

    mixture: Any = parameter(
        default=None,
        check=check_mixture,
        doc="mixture, optional\nNot fitted; a copy of it is. Default: ``GaussianMixture()``, one Gaussian.",
        kw_only=False,
    )
    contamination: float = parameter(
        default=0.001,
        check=check_contamination,
        doc="float in (0, 0.5]\nThe share of the rows of the fit that are outliers.",
    )

    mixture_: FittedMixture = attribute()
    offset_: float = attribute()

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Fit the mixture, then find the threshold from the same rows.

        Parameters
        ----------
        X, y
            As the mixture takes them.
        sample_weight : (n,) or the name of a column, optional
            A weight of 2 counts as two equal rows, both in the fit and in the share of outliers. Only the random start
            of several components is another one than that of repeated rows.
        """
        self._check_parameters()
        chosen = GaussianMixture() if self.mixture is None else self.mixture
        mixture = type(chosen)(**chosen.get_params(deep=False))
        require_densities_that_fall(mixture)
        self.mixture_ = mixture.fit(X, sample_weight=sample_weight)
        self._keep_columns(mixture.n_features_in_, getattr(mixture, "feature_names_in_", None))
        self.offset_ = mixture.quantile(self.contamination, X, sample_weight)
        return self

    def _require_fitted(self):
        super()._require_fitted()
        require_fitted(self.mixture_)  # whose attributes a user may have set since the last use

    @property
    def model_(self) -> Any:
        """The fitted model of the mixture."""
        self._require_fitted()
        return self.mixture_.model_

    @property
    def _takes_missing(self):
        return (GaussianMixture() if self.mixture is None else self.mixture)._takes_missing

    @property
    def random_state(self) -> Any:
        """That of the fitted mixture, for :meth:`sample`."""
        return self.mixture_.random_state

    def _predictive(self):
        return predictive(self.mixture_)

    def _log_density(self, rows):
        return log_density(self.mixture_, rows)

    def _require_new_values(self, X, names, place=numbered):
        checked_new(self.mixture_, X, names, place)

    def decision_function(self, X) -> np.ndarray:
        """The log-density of each row above the threshold; below 0: an outlier."""
        return self._evaluated(X, "decision", lambda rows: self._log_density(rows) - self.offset_, np.float64)

    def predict(self, X) -> np.ndarray:
        """1 for each row, or -1 for an outlier."""
        return self._evaluated(
            X, "label", lambda rows: np.where(self._log_density(rows) < self.offset_, -1, 1), np.intp
        )

    def fit_predict(self, X, y=None, sample_weight=None) -> np.ndarray:
        """Fit, then 1 for each row, or -1 for an outlier."""
        require_no_named("fit_predict", sample_weight=sample_weight)
        return self.fit(X, y, sample_weight).predict(X)

    def get_params(self, deep: bool = True) -> dict:
        """The constructor's parameters by name; deep: those of the mixture as ``mixture__name`` as well."""
        found = super().get_params(deep=False)
        if deep and self.mixture is not None:
            found |= {f"mixture__{name}": value for name, value in self.mixture.get_params().items()}
        return found

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also those of the mixture as ``mixture__name`` (of the default one where there is none);
        returns self."""
        own = {name: value for name, value in params.items() if not name.startswith("mixture__")}
        super().set_params(**own)
        inner = {name.removeprefix("mixture__"): value for name, value in params.items() if name not in own}
        if inner:
            self.mixture = GaussianMixture() if self.mixture is None else self.mixture
            self.mixture.set_params(**inner)
        return self

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags
