"""Gaussian mixture regression: a mixture of columns and targets together predicts the targets given the columns."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from fastem.errors import not_fitted
from fastem.estimators.checks import require_names_of_last_fit
from fastem.estimators.compatibility import require_compatible
from fastem.estimators.determination import determination
from fastem.estimators.estimator import Estimator, as_regressor
from fastem.estimators.metadata_routing import set_predict_request
from fastem.estimators.parameters import attribute
from fastem.estimators.planning import request_of
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.families.gaussian.parts import concatenated, moments_function
from fastem.models.gaussian.conditional import Conditional
from fastem.models.mixture import Mixture
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.validation import (
    as_matrix,
    as_sample_weight,
    column_names,
    numbers_beside,
    require_finite,
    require_rows,
    require_unmasked,
)

MOST_WHOLE = 1 << 53  # float64 holds all whole numbers up to here
LEAST_STEPS = 1e3  # of float64, by which larger ones must vary


class GaussianMixtureRegressor(Estimator, parameters_of=GaussianMixture):
    """Regression by a Gaussian mixture over X and y together: the mean is curved, and the variance changes with X.

    Arrays among the parameters have the columns of X and then those of y.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    mixture_ : :class:`fastem.GaussianMixture`
        The mixture of the columns of X and then of y. Its :meth:`~fastem.GaussianMixture.predict_columns` predicts any
        of them.
    model_ : the fitted mixture of X alone
        `score_samples`, `sample`, `bic` and `aic` use it: they describe X without the targets.
    n_iter_ : int
    converged_ : bool
        Of the fit of `mixture_`.
    n_features_in_ : int
    feature_names_in_ : (d,), where X has names

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixtureRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-3, 3, (2000, 1))
    >>> y = np.abs(X[:, 0]) + 0.1 * rng.normal(size=2000)
    >>> model = GaussianMixtureRegressor(2, random_state=0).fit(X, y)
    >>> mean, std = model.predict([[-2], [2]], return_std=True)
    >>> mean.round(), std.round(1)
    (array([2., 2.]), array([0.1, 0.1]))
    """

    mixture_: GaussianMixture = attribute()
    n_iter_: int = attribute()
    converged_: bool = attribute()

    if TYPE_CHECKING:  # the parameters come from GaussianMixture

        def __init__(self, n_components: int = 1, **parameters: Any) -> None: ...

    def __sklearn_tags__(self):
        return as_regressor(super().__sklearn_tags__())

    def fit(self, X, y, sample_weight=None) -> Self:
        """Fit to rows and their targets.

        Parameters
        ----------
        X : (n, d) array or frame
            It is copied together with y. For rows that are not in memory, fit a :class:`fastem.GaussianMixture` to all
            columns and use its `predict_columns`.
        y : (n,) or (n, m) array
        sample_weight : (n,) or the name of a column of X, optional

        Returns
        -------
        self
        """
        if isinstance(sample_weight, str):  # the name of a column
            blocks = open_rows(X, sample_weight)
            names, rows, sample_weight = blocks.names, blocks.X, blocks.sample_weight
        else:
            names, rows = column_names(X), as_matrix(X, type(self).__name__)
        require_rows(rows, 2, type(self).__name__)
        require_finite(rows, columns=names)
        targets, flat = checked_targets(y, len(rows), type(self).__name__)
        mixture = GaussianMixture()
        if self.warm_start and self.__sklearn_is_fitted__():
            require_names_of_last_fit(self, names)
            mixture = copy(self.mixture_)  # the last one stays as it is where this fit fails
        mixture.set_params(**self.get_params(deep=False))
        require_compatible(request_of(mixture, regression=True))
        mixture.fit(np.column_stack([rows, targets]), sample_weight=as_sample_weight(sample_weight, len(rows)))
        self.mixture_, self._flat = mixture, flat
        d = rows.shape[1]
        self._keep_columns(d, names)
        self._conditional = Conditional(mixture.model_, np.arange(d), np.arange(d, d + targets.shape[1]))
        self.n_iter_, self.converged_ = mixture.n_iter_, mixture.converged_
        return self

    @property
    def model_(self) -> Mixture:
        """The fitted mixture of the columns of X."""
        self._require_fitted()
        return self._conditional.given

    set_predict_request = set_predict_request

    def predict(self, X, return_std: bool = False, return_cov: bool = False) -> Any:
        """The mean of the targets given each row, shape (n,) or (n, m) as y had.

        Parameters
        ----------
        X : (n, d) rows of any kind that :meth:`fastem.GaussianMixture.predict` takes
        return_std : bool
            Return also the standard deviations, in the shape of the mean.
        return_cov : bool
            Return also the covariances of the targets given each row, (n, m, m).
        """
        if return_std and return_cov:
            raise ValueError("return_std and return_cov are both true. Choose one.")
        self._require_fitted()
        of_rows = moments_function(self._conditional, self.n_threads, return_std, return_cov)
        moments = concatenated(self._of_new_rows(X, of_rows))
        if not self._flat:
            return moments
        if return_cov:
            return moments[0][:, 0], moments[1]
        return tuple(moment[:, 0] for moment in moments) if return_std else moments[:, 0]

    def score(self, X, y, sample_weight=None) -> float:
        """The coefficient of determination, 1 - (squares about the prediction) / (squares about the mean); NaN of one
        row, with a warning."""
        if not self.__sklearn_is_fitted__():
            raise not_fitted(self)
        predicted = self.predict(X).reshape(-1, len(self._conditional.wanted))
        targets, _ = checked_targets(y, len(predicted), type(self).__name__)
        return determination(targets, predicted, sample_weight)


def checked_targets(y, n, owner):
    """y as (n, m) finite numbers, and whether it had one dimension."""
    if y is None:
        raise ValueError(f"{owner} requires y to be passed, but the target y is None")
    require_unmasked(y, "y")
    targets = np.asarray(y)
    flat = targets.ndim == 1
    try:
        targets = numbers_beside(targets)
        require_digits(targets)
        targets = targets if targets.dtype in (np.float32, np.float64) else targets.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y must hold numbers: {error}") from error
    if targets.ndim not in (1, 2) or targets.size == 0:
        raise ValueError(f"y must have shape (n,) or (n, m), with a value for each row of X. Got {targets.shape}.")
    if len(targets) != n:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: X has {n}, y has {len(targets)}")
    targets = targets.reshape(n, -1)
    require_finite(targets, "y")
    return targets, flat


def require_digits(y) -> None:
    """ValueError where a column of y (n,) or (n, m) holds whole numbers that float64 hardly tells apart."""
    if y.dtype.kind not in "iu" or not y.size:
        return
    for column in y.reshape(len(y), -1).T:
        least, most = int(column.min()), int(column.max())
        size = max(-least, most)
        if size > MOST_WHOLE and 0 < most - least < LEAST_STEPS * np.spacing(float(size)):
            raise ValueError(
                f"y is about {size:.0e} and varies by {most - least}, of which float64 keeps few digits or none. "
                "Subtract a constant from y, such as y[0], and add it to predictions."
            )
