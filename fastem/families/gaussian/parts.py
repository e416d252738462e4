"""Parts of a fitted Gaussian mixture: some of its columns, given others, and regression of columns on the rest."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from fastem.estimators.estimator import over_rows
from fastem.estimators.fitted_mixture import around
from fastem.estimators.parameters import COLUMNS, tagged
from fastem.models.gaussian.conditional import Conditional, type_of_some
from fastem.models.gaussian.conditional import marginal as marginal_of
from fastem.models.gaussian.noise import WithNoise
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.mixture import Mixture
from fastem.rows.sources.columns import choose, listed, numbered_names
from fastem.rows.validation import require_finite

E = TypeVar("E")


def marginal(self: E, columns: Any) -> E:
    """The mixture of some of the columns.

    Parameters
    ----------
    columns : list of names or numbers
        In the order of the result.

    Returns
    -------
    GaussianMixture
        Fitted: it scores, predicts, samples, saves. Its `covariance_type` is the same where marginals of the family are
        in the family, else the smallest family that contains them. It has no history: `log_likelihood_` is NaN.

    Raises
    ------
    ValueError
        A column does not exist, or is named twice.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> waiting = gm.marginal([1])
    >>> bool((waiting.means_ == gm.means_[:, [1]]).all())
    True
    """
    mixture = gaussian_mixture(self, "marginal")
    chosen, _ = places_of(self, columns)
    type_ = type_of_some(self.covariance_type, len(chosen), self.n_features_in_)
    return estimator_around(self, marginal_of(mixture, chosen, STRUCTURES[type_]), type_, chosen, "marginal")


def conditional(self: E, columns: Any, values: Any) -> E:
    """The mixture of the other columns, given the values of these.

    Parameters
    ----------
    columns : list of names or numbers
        The given columns; at least one must be left.
    values : (len(columns),) array
        Their values, finite, in this order. Far from all components, the nearest takes all the weight.

    Returns
    -------
    GaussianMixture
        Fitted, of the other columns in their order; see :meth:`marginal`.

    Raises
    ------
    ValueError
        A column does not exist or is named twice, no column is left, or a value is not finite.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> after_long_wait = gm.conditional([1], [85])  # the duration of an eruption
    >>> after_long_wait.means_[after_long_wait.weights_ > 0.99].round(1)
    array([[4.4]])
    """
    mixture = gaussian_mixture(self, "conditional")
    given, wanted = places_of(self, columns, some_left=True)
    row = checked_values(values, column_names_of(self)[given])
    type_ = type_of_some(self.covariance_type, len(wanted), self.n_features_in_)
    given_row = Conditional(mixture, given, wanted).at(row, STRUCTURES[type_])
    return estimator_around(self, given_row, type_, wanted, "conditional")


def predict_columns(self, X, columns, *, return_std: bool = False, return_cov: bool = False) -> Any:
    """Gaussian mixture regression: the mean of some columns given the others, row by row.

    Parameters
    ----------
    X : (n, d - m) rows of the other columns, in their order
        Of any kind that `predict` takes.
    columns : list of m names or numbers
        The columns to predict.
    return_std, return_cov : bool
        Return also the standard deviations (n, m) or the covariances (n, m, m), given the rest of the row.

    Returns
    -------
    mean : (n, m) float64
    std or cov
        If asked for.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> mean, std = gm.predict_columns([[55], [85]], [0], return_std=True)
    >>> mean.round(1).ravel(), std.round(1).ravel()
    (array([2. , 4.4]), array([0.3, 0.4]))
    """
    if return_std and return_cov:
        raise ValueError("return_std and return_cov are both true. Choose one.")
    mixture = gaussian_mixture(self, "predict_columns")
    wanted, given = places_of(self, columns, some_left=True)
    given_rest = Conditional(mixture, given, wanted)
    others = estimator_around(self, given_rest.given, self.covariance_type, given, "marginal")
    return concatenated(over_rows(others, X, moments_function(given_rest, self.n_threads, return_std, return_cov)))


def gaussian_mixture(estimator, asked) -> Mixture:
    """The fitted mixture; TypeError where it has noise."""
    mixture = estimator.model_
    if isinstance(mixture.emission, WithNoise):
        raise TypeError(
            f"{asked} works only for Gaussians without noise, but this mixture has noise={estimator.noise!r}."
        )
    if type(mixture.emission.covariance) is not STRUCTURES.get(estimator.covariance_type):
        raise ValueError(f"covariance_type has been changed to {estimator.covariance_type!r} since the fit. Fit again.")
    return mixture


def places_of(estimator, columns, some_left=False):
    """The numbers of the columns, and those of the others."""
    chosen, _ = choose(column_names_of(estimator), columns, f"this {type(estimator).__name__}")
    if some_left and len(chosen) == estimator.n_features_in_:
        raise ValueError(
            f"columns={columns!r} are all columns of this {type(estimator).__name__}. Leave out at least one."
        )
    return np.array(chosen), np.setdiff1d(np.arange(estimator.n_features_in_), chosen)


def column_names_of(estimator):
    return np.asarray(getattr(estimator, "feature_names_in_", numbered_names(estimator.n_features_in_)), dtype=object)


def estimator_around(estimator, mixture, covariance_type, places, what):
    """A fitted estimator of this class around a mixture of some of the columns."""
    parameters = estimator.get_params(deep=False) | tagged(estimator, COLUMNS) | {"covariance_type": covariance_type}
    if not (isinstance(estimator.init_params, str) or callable(estimator.init_params)):
        del parameters["init_params"]
    names = getattr(estimator, "feature_names_in_", None)
    return around(
        type(estimator)(**parameters),
        mixture,
        names=None if names is None else names[places],
        converged=getattr(estimator, "converged_", True),
        reason=f"it is a {what} of a fitted mixture",
        statuses=getattr(estimator, "component_status_", None),
    )


def checked_values(values, columns):
    """One finite number for each column."""
    columns = list(columns)
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"values must contain a number for each of the columns {listed(columns)}: {error}") from error
    if row.shape != (len(columns),):
        raise ValueError(
            f"values must have shape {(len(columns),)}, one for each of the columns {listed(columns)}. Got {row.shape}."
        )
    if not np.isfinite(row).all():
        wrong = int(np.argmin(np.isfinite(row)))
        raise ValueError(
            f"values contains {row[wrong]} for column {columns[wrong]!r}. Give a finite value, or leave the column out."
        )
    return row


def moments_function(conditional, n_threads, return_std, return_cov):
    """A function that gives the predicted mean of rows, alone or with standard deviations or covariances."""
    uncertainty = "std" if return_std else "cov" if return_cov else None

    def moments(rows):
        require_finite(rows)  # a missing value cannot be given
        return conditional.moments(rows, n_threads, uncertainty)

    return moments


def concatenated(results):
    """The results of all blocks of rows, each an array or a tuple of arrays, as one."""
    if isinstance(results[0], tuple):
        return tuple(np.concatenate(arrays) for arrays in zip(*results))
    return np.concatenate(results)
