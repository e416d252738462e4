"""Mixtures of gamma columns whose values are known to lie between bounds.

The M-step takes the means of x and of log x, so the E-step takes those of the value within its bounds. On the axis
s = log x a gamma density is, with z = rate x at the place from which y is measured,

    f(s + y) / f(s) = exp(a y - z (exp(y) - 1)),    log f(s) = log f(log(a / rate)) - a (r - 1 - log r),  r = z / a,

a being the shape: log-concave, and largest at x = a / rate. See :mod:`fastem.models.interval_quadrature`. Against 50
digits the relative error of E[x], and those of log P and E[log x] beside their sizes (at least 1), are below
`RELATIVE_ERROR` for shapes from 1e-5 to 1e6 (tests/models/test_gamma_intervals.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.bounded_rows import FeatureRows
from fastem.models.gamma_shape import log_peak
from fastem.models.interval_quadrature import FALL, integrals
from fastem.rows.intervals import EXACT, INTERVAL, Bounds, distinct, kinds_of

RELATIVE_ERROR = 1e-13
LARGEST = 1e300  # of rate x: beyond, a density is 0 in any case
NEWTON_STEPS = 3


def log_ratio(low, high):
    """log(high / low) of 0 <= low <= high, without losing a small one."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        apart = (high - low) / low
        return np.where(apart < 1, np.log1p(apart), np.log(high) - np.log(low))


def log_density(shapes, z):
    """Of log x, where x has the given shapes and z is the rate times x."""
    apart = (z - shapes) / shapes
    with np.errstate(divide="ignore"):
        log_r = np.where(np.abs(apart) < 0.5, np.log1p(np.maximum(apart, -0.5)), np.log(z) - np.log(shapes))
    return log_peak(shapes) - shapes * (apart - log_r)


def fallen(side, shapes, z, y):
    """How far the log-density falls from where the rate times x is z to y > 0 beyond; side: 1 above, -1 below."""
    with np.errstate(over="ignore", invalid="ignore"):
        return z * np.expm1(side * y) - shapes * (side * y)


def reach(side, shapes, z):
    """y where the log-density has fallen by FALL: Newton's steps from beyond, since the fall is convex."""
    slope = side * (z - shapes)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = FALL / z
        if side > 0:
            y = np.minimum(np.sqrt(2 * ratio), 1 + np.log1p(ratio))
        else:
            y = 0.5 * (ratio + np.sqrt(ratio) * np.sqrt(ratio + 8))
        y = np.minimum(y, np.where(slope > 0, FALL / slope, np.inf))
    for _ in range(NEWTON_STEPS):
        y = y - (fallen(side, shapes, z, y) - FALL) / (side * (z * np.exp(side * y) - shapes))
    return y


def gamma_between(shapes, rates, lower, upper):
    """log P, E[x] and E[log x] of gamma variables in intervals 0 <= lower < upper, arrays (n,)."""
    mode = shapes / rates
    near = np.clip(mode, lower, upper)
    with np.errstate(over="ignore"):
        z = np.where(near == mode, shapes, np.minimum(near * rates, LARGEST))
    totals = np.zeros((3, len(near)))
    for side, length in ((1, log_ratio(near, upper)), (-1, log_ratio(lower, near))):
        some = np.flatnonzero(length > 0)
        totals[:, some] += of_side(side, shapes[some], z[some], length[some])
    total, share, log_share = totals
    mean = np.clip(near * (share / total), lower, upper)
    return log_density(shapes, z) + arithmetic.log(total), mean, np.log(near) + log_share / total


def of_side(side, shapes, z, length):
    """(3, n) the integrals of a density, relative to its value at z, and of that times x and log x, relative to it."""
    fall = fallen(side, shapes, z, length)
    far = np.flatnonzero(~(fall <= FALL))
    fall[far] = FALL
    length[far] = np.minimum(length[far], reach(side, shapes[far], z[far]))

    def integrands(y, rows):
        steps = side * y
        grown = np.expm1(steps)
        return np.exp(shapes[rows] * steps - z[rows] * grown), 1 + grown, steps

    return integrals(length, fall, integrands, 3)


def of_gamma(kinds, shapes, rates, lower, upper):
    """log p or log P, E[x] and E[log x] (K, m) of one column.

    kinds, lower, upper : (m,)
    shapes, rates : (K, 1)
    """
    from scipy.special import digamma  # here, since it takes long to import

    size, exact, interval = (len(shapes), len(kinds)), kinds == EXACT, kinds == INTERVAL
    log_p, mean = np.zeros(size), np.broadcast_to(shapes / rates, size).copy()
    mean_log = np.broadcast_to(digamma(shapes) - np.log(rates), size).copy()
    x = lower[exact]
    logs = arithmetic.log(x)
    log_p[:, exact] = log_density(shapes, np.minimum(rates * x, LARGEST)) - logs
    mean[:, exact], mean_log[:, exact] = x, logs
    if interval.any():
        low, high = np.maximum(lower[interval], 0.0), upper[interval]
        first, of_value = distinct(low, high)
        given = np.broadcast_arrays(shapes, rates, low[first], high[first])
        found = gamma_between(*(array.ravel() for array in given))
        log_p[:, interval], mean[:, interval], mean_log[:, interval] = (
            values.reshape(given[0].shape)[:, of_value] for values in found
        )
    return log_p, mean, mean_log


@dataclass(frozen=True)
class GammaRows(FeatureRows):
    """A mixture of gamma columns as a model of wide rows; the features are x and log x."""

    def of_bounds(self, bounds: Bounds):
        """log p (K, m), and E[x] and E[log x] of the columns (K, m, 2 d)."""
        emission = self.mixture.emission
        (K, d), m = emission.shape, bounds.lower.shape[1]
        lower = np.where(bounds.lower > 0, bounds.lower, -np.inf)
        kinds = kinds_of(Bounds(lower, bounds.upper))
        log_p, features = np.zeros((K, m)), np.empty((K, m, 2 * d))
        for j in range(d):
            of_column, features[:, :, j], features[:, :, d + j] = of_gamma(
                kinds[j], emission.shapes[:, j, None], emission.rates[:, j, None], lower[j], bounds.upper[j]
            )
            log_p += of_column
        return log_p, features
