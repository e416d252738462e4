"""Thresholds of a fitted density: the log-density below which a share of the rows lies."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from fastem.estimators.sides_of_fit import require_read_whole
from fastem.rows.scale import weighted_quantile

LEAST_BELOW = 10  # drawn rows below a threshold: with fewer it is too uncertain


def quantile(self, q, X=None, sample_weight=None, *, n_samples: int = 100_000, random_state=0) -> Any:
    """The log-density below which a share q of the rows lies: a threshold for anomalies.

    Parameters
    ----------
    q : float or array
        In [0, 1].
    X : rows, optional
        The rows of which a share lies below. By default rows from the fitted density: exact for one Gaussian, else
        drawn, so that the true share is q up to a standard error of ``sqrt(q (1 - q) / n_samples)``.
    sample_weight : (n,), optional
        A weight of 2 counts as two equal rows. Weights that are not all whole are no numbers of rows: their unit is
        nothing to the result, and equal ones are none.
    n_samples : int
        Rows to draw; at least 10 / q.
    random_state : int, Generator, RandomState or None
        For drawing; by default every call draws the same rows.

    Returns
    -------
    float, or an array of the shape of q
        In nats. Compare with ``score_samples``.

    Raises
    ------
    ValueError
        X is given, and the rows of the fit had `errors`, or `lower` and `upper`, which are not taken here.

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
        threshold = quantile_of_rows(self, q, X, sample_weight)
    else:
        threshold = self._exact_quantile(q)
        if threshold is None:
            threshold = drawn_quantile(self, q, n_samples, random_state)
    return threshold if q.ndim else float(threshold)


def quantile_of_rows(estimator, q, X, sample_weight):
    """The quantiles q of the log-densities of rows, in the shape of q."""
    require_read_whole(estimator, "quantile(q, X)")
    blocks = estimator._new_blocks(X, sample_weight)
    parts = estimator._of_blocks(blocks, lambda rows, weight: (estimator._log_density(rows), weight))
    log_density = np.concatenate([of_block for of_block, _ in parts])
    if not blocks.weighted:
        return np.quantile(log_density, q)
    return weighted_quantile(log_density, np.concatenate([weight for _, weight in parts]), q)


def drawn_quantile(estimator, q, n_samples, random_state):
    """The quantiles q of the log-densities of drawn rows, in the shape of q."""
    if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
        raise ValueError(f"n_samples must be a whole number of at least 1. Got {n_samples!r} instead.")
    if (q > 0).any() and q[q > 0].min() * n_samples < LEAST_BELOW:
        least = q[q > 0].min()
        needed = LEAST_BELOW / float(least)
        hint = f"Set n_samples to at least {int(np.ceil(needed))}" if needed < 1e12 else "Give a larger q, or 0"
        raise ValueError(
            f"q={least:g} leaves only {least * n_samples:.2g} of n_samples={n_samples} drawn rows below the threshold. "
            f"{hint}."
        )
    drawn, _ = estimator.sample(n_samples, random_state)
    return np.quantile(estimator._log_density(drawn), q)


def checked_shares(q):
    """q as an array of numbers in [0, 1]."""
    try:
        shares = np.asarray(q, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"q must contain numbers in [0, 1]. Got {q!r} instead: {error}") from error
    if not ((shares >= 0) & (shares <= 1)).all():  # true of NaN as well
        raise ValueError(f"q must be in [0, 1]: it is the share of rows below the threshold. Got {q!r} instead.")
    return shares
