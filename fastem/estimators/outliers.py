"""Rows that a fitted density hardly ever gives."""

from __future__ import annotations

import numbers

import numpy as np

from fastem.estimators.quantile import LEAST_BELOW
from fastem.estimators.sides_of_fit import require_read_whole, require_ungated

MOST_DRAWS = 10_000_000


def is_outlier(self, X, rate: float = 0.001) -> np.ndarray:
    """Whether each row is so improbable that the fitted density gives only a share `rate` of such rows, or of less.

    Parameters
    ----------
    X : rows of any kind
    rate : float in [0, 1]
        The share of rows of the fitted density that are called outliers: of false alarms, as far as the density is that
        of the rows. See :meth:`quantile`, which gives the threshold of the log-density; 0, or at least 1e-6 where it
        draws rows. Not with noise, whose rows `predict` calls -1.

    Returns
    -------
    array of bool, (n,)
        Lazy for Dask; for Spark a lazy frame with the column ``outlier``.

    Raises
    ------
    ValueError
        The rows of the fit had `errors`, or `lower` and `upper`, which are not taken here.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> model = GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> model.is_outlier([[2.0, 54.0], [2.0, 80.0]])
    array([False,  True])
    """
    threshold = threshold_of(self, rate)
    return self._evaluated(X, "outlier", lambda rows: self._log_density(rows) < threshold, np.bool_)


def threshold_of(model, rate) -> float:
    """The log-density below which a share `rate` of the rows of a fitted density lies."""
    require_threshold(model)
    share = _share_of(rate)
    if 0 < share * MOST_DRAWS < LEAST_BELOW and model._exact_quantile(np.asarray(share)) is None:
        raise ValueError(
            f"the rate of outliers must be 0, or at least {LEAST_BELOW / MOST_DRAWS:g} for this density, whose "
            f"threshold is that of drawn rows, of which a smaller share are too few. Got {rate!r} instead."
        )
    return model.quantile(rate, n_samples=draws_for(rate))


def require_threshold(model) -> None:
    """Raise ValueError for a mixture of which no threshold of the density says what is rare."""
    require_ungated(model, "is_outlier")
    require_densities_that_fall(model)
    require_read_whole(model, "is_outlier")


def require_densities_that_fall(model) -> None:
    """Raise ValueError for a mixture with noise."""
    if getattr(model, "noise", None) is not None:
        raise ValueError(
            "noise is as dense far away as anywhere, so no threshold of the density tells outliers from the rows of "
            "the noise. Take predict(X) == -1, which are these rows, or set noise=None."
        )


def draws_for(rate) -> int:
    """Draws with which the threshold of this rate is known within a few per cent of the rate."""
    share = _share_of(rate)
    return int(min(MOST_DRAWS, max(100_000, 100 / share))) if 0 < share <= 1 else 100_000


def _share_of(rate) -> float:
    """A rate as a number; 1 of what is none, which is refused elsewhere."""
    return float(rate) if isinstance(rate, numbers.Real) else 1.0
