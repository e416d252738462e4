"""Mixtures of waiting times, exponential or geometric, that are known to lie between bounds.

Waiting has no memory: beyond its lower bound l a value is distributed as a new one is. With the rate c per unit of
time, and w the length of the interval,

    log P = -c l + log(1 - exp(-c w)),    E[x] = l + w g(c w),    g(s) = 1 / s - 1 / (exp(s) - 1),

for the exponential distribution; for the geometric one c = -log(1 - p), w is how many whole numbers the interval holds,
and E[x] = l + w g(c w) - g(c). g, which is 1/2 at s = 0, is a series where its terms cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.bounded_rows import FeatureRows
from fastem.rows.intervals import Bounds

FEW = 0.1  # s below which g is a series of relative error 1e-16


def mean_share(s):
    """g(s), s >= 0: where in an interval of s mean waiting times its expected value lies, as a share of its length."""
    small = s < FEW
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        plain = np.where(np.isinf(s), 0.0, 1 / s - 1 / np.expm1(s))
    series = 0.5 - s / 12 * (1 - s**2 / 60 * (1 - s**2 / 42 * (1 - s**2 / 40)))
    return np.where(small, series, plain)


def waited(rates, bounds: Bounds, whole: bool):
    """log p or log P (K, m) of rows, and E[x] (K, m, d), of waiting times at rates (K, d); whole: of whole numbers."""
    c = rates[:, :, None]
    lower, upper = np.maximum(bounds.lower, 0.0), bounds.upper
    if whole:
        lower, upper = np.ceil(lower), np.floor(upper)
    width = upper - lower + whole
    exact, endless = width == 0, np.isinf(width)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        s = c * width
        log_p = np.where(exact, arithmetic.log(c), np.log(-np.expm1(-s))) - c * lower
        inside = np.where(endless, 1 / c, width * mean_share(s))
    mean = lower + inside - (mean_share(c) if whole else 0.0)
    return log_p.sum(axis=1), np.swapaxes(np.where(exact, lower, np.clip(mean, lower, upper)), 1, 2)


@dataclass(frozen=True)
class WaitingRows(FeatureRows):
    """A mixture of waiting times as a model of wide rows; its emission's one feature is the value itself."""

    def of_bounds(self, bounds: Bounds):
        """log p (K, m) and E[x] (K, m, d)."""
        _, eta = self.mixture.emission.natural()
        return waited(-eta, bounds, self.mixture.emission.discrete)
