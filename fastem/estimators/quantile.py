"""Thresholds of a fitted density: the log-density below which a share of the rows lies."""

from __future__ import annotations

import numbers

import numpy as np

LEAST_BELOW = 10  # drawn rows below a threshold, without which it is not known


def quantile(self, q, X=None, *, n_samples: int = 100_000, random_state=0):
    """The log-density below which a share q of the rows lies: a threshold for anomalies.

    Parameters
    ----------
    q : float or array
        In [0, 1].
    X : rows, optional
        Whose share is meant; by default rows that the fitted density itself would give: exact for one Gaussian,
        else by drawing, so that the true share is q up to a standard error of ``sqrt(q (1 - q) / n_samples)``.
    n_samples : int
        Rows to draw; at least 10 / q.
    random_state : int, Generator, RandomState or None
        For drawing; the default is always the same draw.

    Returns
    -------
    float, or an array of the shape of q
        In nats. Compare with ``score_samples``.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> eruptions = load_faithful().data
    >>> gm = GaussianMixture(2, random_state=0).fit(eruptions)
    >>> int((gm.score_samples(eruptions) < gm.quantile(0.01)).sum())
    2
    """
    self._require_fitted()
    q = checked_shares(q)
    if X is not None:
        found = np.quantile(self.score_samples(X), q)
    else:
        found = self._exact_quantile(q)
        if found is None:
            found = drawn_quantile(self, q, n_samples, random_state)
    return found if q.ndim else float(found)


def drawn_quantile(estimator, q, n_samples, random_state):
    """(…) the shares q of the log-densities of drawn rows."""
    if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be a whole number from 1. Got {n_samples!r} instead.")
    if (q > 0).any() and q[q > 0].min() * n_samples < LEAST_BELOW:
        least = q[q > 0].min()
        raise ValueError(
            f"q={least:g} leaves {least * n_samples:.2g} of n_samples={n_samples} drawn rows below the threshold: "
            f"draw at least {int(np.ceil(LEAST_BELOW / least))}"
        )
    drawn, _ = estimator.sample(n_samples, random_state)
    return np.quantile(estimator.score_samples(drawn), q)


def checked_shares(q):
    """q as an array of numbers in [0, 1]."""
    try:
        shares = np.asarray(q, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"q={q!r} must hold numbers in [0, 1]: {error}") from error
    if not ((shares >= 0) & (shares <= 1)).all():  # true of NaN as well
        raise ValueError(f"q={q!r} must be in [0, 1]: it is the share of rows below the threshold")
    return shares
