"""Missing values filled in by a fitted Gaussian mixture."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from fastem.estimators.beside import given, of_blocks
from fastem.estimators.containers import chosen_container, in_container
from fastem.models.gaussian.imputation import impute as filled_in
from fastem.rows.sources.columns import numbered_names
from fastem.rows.sources.open_rows import is_dask, is_spark
from fastem.rows.validation import generator


def impute(self, X, *, draws: int | None = None, random_state=None, lower=None, upper=None) -> Any:
    """X with its missing values (NaN) filled in from the observed ones of the same row.

    Parameters
    ----------
    X : rows of any kind
    draws : int, optional
        Number of random draws from p(x_missing | x_observed), which replace its mean: for multiple imputation, where
        the differences between analyses of the draws show how uncertain the missing values are.
    random_state : int, Generator, RandomState or None
        For the draws. None: that of the estimator.
    lower, upper : arrays (n, d) or names of columns, optional
        Bounds of the values, see :meth:`fit`: each value that is not exact becomes its expectation within its bounds,
        given the others of its row. Not with draws.

    Returns
    -------
    (n, d), in the type of X, or with `draws` (draws, n, d)
        Observed values are as they were. Without `draws` also a frame, see :meth:`set_output`.
        A row in which every value is missing gets the mean of the mixture.

    Raises
    ------
    ValueError
        The rows of the fit had `errors`, which are not taken here: see :meth:`denoise`.

    References
    ----------
    Ghahramani, Jordan: Supervised learning from incomplete data via an EM approach. NIPS 6 (1994).

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> model = GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> model.impute([[2.0, np.nan], [4.5, np.nan]]).round(1)
    array([[ 2. , 54.2],
           [ 4.5, 81.1]])
    """
    self._require_fitted()
    mixture = self._mixture()
    bounds = given({"lower": lower, "upper": upper})
    if bounds and draws is not None:
        raise ValueError("draws cannot be combined with lower and upper. Set draws=None for expected values.")
    if bounds:
        return np.concatenate(
            of_blocks(self, X, bounds, lambda model, rows, weight, n_threads: model.imputed(rows, n_threads))
        )
    if draws is None:
        dtype = getattr(X, "dtype", np.float64)
        filled = self._evaluated(X, "imputed", lambda rows: filled_in(mixture, rows), dtype, self.n_features_in_)
        names = getattr(self, "feature_names_in_", numbered_names(self.n_features_in_))
        return in_container(filled, X, names, chosen_container(self))
    if not isinstance(draws, numbers.Integral) or draws < 1:
        raise ValueError(f"draws must be a whole number of at least 1, or None. Got {draws!r} instead.")
    if is_dask(X) or is_spark(X):
        holder = "a Dask collection" if is_dask(X) else "a Spark frame"
        raise TypeError(f"X is {holder}, which impute does not take with draws. Pass chunks of its rows in memory.")
    rng = generator(self.random_state if random_state is None else random_state)
    return np.concatenate(self._of_new_rows(X, lambda rows: filled_in(mixture, rows, draws, rng)), axis=1)
