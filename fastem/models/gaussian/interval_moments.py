"""Probability and moments of a standard normal variable that lies in an interval.

With D = R(a) - exp(-t) R(b), R = (1 - Phi) / phi the Mills ratio, t = (b^2 - a^2) / 2 and 0 <= a < b,

    log P = log phi(a) + log D,    E[z] = (1 - exp(-t)) / D,    E[z^2] = 1 + (a - b exp(-t)) / D,

which hold in any tail, because R is a scaled function (erfcx). Three kinds of intervals, each mirrored so that its
middle is not negative:

1. narrow (b - a <= 1 and t <= 2): the formulas above cancel. The integrals of exp(-c s - s^2 / 2) about the middle c
   are sums of few terms, all positive (Gauss-Legendre, whose error is below rounding there);
2. a >= 0: the formulas above;
3. a < 0 and wide: P from two error functions of equal sign, since the normal density does not get small.

Against 50 digits the relative errors of E[z] and E[z^2], and the error of log P beside its size, are below
`RELATIVE_ERROR` (tests/models/gaussian/test_interval_moments.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.kernels import arithmetic

RELATIVE_ERROR = 1e-13
NARROW, SLOPE = 1.0, 2.0  # of the first kind: the largest width, and the largest t
NODES = 10
HALF_LOG_2_PI = 0.5 * np.log(2 * np.pi)
ROOT_HALF = np.sqrt(0.5)


class Moments(NamedTuple):
    """log_p: log P(a < z < b); first: E[z | a < z < b]; second: E[z^2 | a < z < b]; arrays of one shape."""

    log_p: np.ndarray
    first: np.ndarray
    second: np.ndarray


def standard_moments(a, b) -> Moments:
    """Of intervals (a, b), a < b, of a standard normal variable.

    Parameters
    ----------
    a, b : arrays of one shape
        Ends; -inf and inf are allowed.

    Returns
    -------
    Moments
        log_p is -inf where the square of an end overflows.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.models.gaussian.interval_moments import standard_moments
    >>> log_p, first, second = standard_moments(np.array([0.0, 40.0]), np.array([np.inf, 41.0]))
    >>> np.exp(log_p).round(3), first.round(3), second.round(1)
    (array([0.5, 0. ]), array([ 0.798, 40.025]), array([1.000e+00, 1.602e+03]))
    """
    with np.errstate(invalid="ignore"):  # -inf + inf: no end is nearer
        mirrored = a + b < 0
    low, high = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    with np.errstate(over="ignore", invalid="ignore"):
        width = high - low
        slope = width * (0.5 * low + 0.5 * high)  # t
    narrow = (width <= NARROW) & (slope <= SLOPE)
    tail = ~narrow & (low >= 0)
    log_p, first, second = np.empty(a.shape), np.empty(a.shape), np.empty(a.shape)
    for kind, chosen in ((of_narrow, narrow), (of_tail, tail), (of_wide, ~narrow & ~tail)):
        if chosen.any():
            log_p[chosen], first[chosen], second[chosen] = kind(low[chosen], high[chosen])
    return Moments(log_p, np.where(mirrored, -first, first), second)


def of_narrow(a, b) -> Moments:
    """Of the first kind."""
    middle, half = 0.5 * (a + b), 0.5 * (b - a)
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    mass = by_middle = by_square = 0.0
    for node, weight in zip(nodes[NODES // 2 :], weights[NODES // 2 :]):  # s and -s together
        s = half * node
        bell = weight * arithmetic.exp(-0.5 * s * s)
        tilt = arithmetic.exp(middle * s)  # at most e
        fall, rise = bell / tilt, bell * tilt
        both = fall + rise
        mass = mass + both
        by_middle = by_middle + s * (fall - rise)
        by_square = by_square + s * s * both
    shift = by_middle / mass
    log_p = arithmetic.log(half * mass) - 0.5 * middle**2 - HALF_LOG_2_PI
    return Moments(log_p, middle + shift, middle**2 + 2 * middle * shift + by_square / mass)


def of_tail(a, b) -> Moments:
    """Of the second kind."""
    from scipy.special import erfcx

    bounded = np.isfinite(b)
    end = np.where(bounded, b, a)
    with np.errstate(over="ignore", invalid="ignore"):
        t = np.where(bounded, (end - a) * (0.5 * a + 0.5 * end), np.inf)
        fall = np.where(bounded, arithmetic.exp(-t), 0.0)
        ratio = np.sqrt(np.pi / 2)
        D = ratio * (erfcx(ROOT_HALF * a) - fall * erfcx(ROOT_HALF * end))
        log_p = arithmetic.log(D) - 0.5 * a**2 - HALF_LOG_2_PI
        # 1 - exp(-t), which does not cancel for t of this kind by more than a digit
        return Moments(log_p, (1 - fall) / D, 1 + (a - end * fall) / D)


def of_wide(a, b) -> Moments:
    """Of the third kind."""
    from scipy.special import erf

    P = 0.5 * (erf(ROOT_HALF * b) - erf(ROOT_HALF * a))
    with np.errstate(over="ignore", invalid="ignore"):
        at_a, at_b = (arithmetic.exp(-0.5 * end * end - HALF_LOG_2_PI) for end in (a, b))
    a, b = np.where(np.isfinite(a), a, 0.0), np.where(np.isfinite(b), b, 0.0)
    return Moments(arithmetic.log(P), (at_a - at_b) / P, 1 - (b * at_b - a * at_a) / P)
