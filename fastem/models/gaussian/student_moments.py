"""Probability and moments of a standard Student-t variable in an interval, and of its latent scale.

t given w is normal with variance 1 / w, and w ~ Gamma(nu / 2, rate nu / 2). Given t, w is Gamma of shape (nu + 1) / 2
and mean (nu + 1) / (nu + t^2), so that E[w], E[w t], E[w t^2] and E[log w] of an interval are means over t alone. On
the axis y = asinh(t / sqrt(nu)) the density is in proportion to cosh(y)^-nu: log-concave, with tails exp(-nu |y|). See
:mod:`fastem.models.interval_quadrature`. From a place e >= 0 on, with h = tanh(e),

    R(y) = cosh(e + y) / cosh(e) = 1 + (cosh y - 1) + h sinh y,    f(e + y) / f(e) = R^-nu,
    nu + t^2 = (nu + t_e^2) R^2,                                   t / sqrt(nu + t_e^2) = h cosh y + sinh y.

Against 50 digits the errors of log P and E[log w] beside their sizes (at least 1), the relative errors of E[w] and
E[w t^2], and that of E[w t] beside the root of these two are below `RELATIVE_ERROR` for degrees of freedom from 0.01 to
1e6 (tests/models/gaussian/test_student_moments.py).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gamma_shape import log_peak
from fastem.models.interval_quadrature import FALL, integrals

RELATIVE_ERROR = 3e-13
FURTHEST = 1e150  # the nearer end: its square is a number
NARROWEST = 1e-290  # interval about 0
LARGEST_STEP = 300.0  # beyond, log R grows as y does: exponentials would overflow


class StudentMoments(NamedTuple):
    """Of a < t < b, arrays (n,): log_p is log P(a < t < b), the others are expectations.

    mass: E[w]; first: E[w t]; second: E[w t^2]; log_mass: E[log w].
    """

    log_p: np.ndarray
    mass: np.ndarray
    first: np.ndarray
    second: np.ndarray
    log_mass: np.ndarray


def log_density_at_mean(degrees, d):
    """Of a standard Student-t variable of d columns: log(Gamma(a + d / 2) / Gamma(a)) - d / 2 log(2 pi a), a half the
    degrees of freedom, which may be very large."""
    a, half = degrees / 2, d / 2
    more = half / a
    size = a * np.log1p(more) - half + half * np.log((1 + more) / (2 * np.pi))
    return size + log_peak(a) - log_peak(a + half)


def distance(root, near, far, width):
    """asinh(far / root) - asinh(near / root) of 0 <= near <= far, `width` apart, without losing a small one."""
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(far > 0, near / far, 0.0)
        end = np.where(far > 0, np.hypot(root / far, 1.0), 0.0)  # hypot(root, far) / far
        return np.arcsinh(np.where(width > 0, width * (1 + share) / (np.hypot(root, near) + near * end), 0.0))


def student_between(degrees, low, high, width=None) -> StudentMoments:
    """Of intervals low < t < high of Student-t variables with these degrees of freedom: arrays (n,).

    Ends may be infinite. Beyond 1e150, whose square is a number, the end nearer to 0 is taken as that. width: of the
    intervals (n,), where it is known better than from their ends; from these it is that of two neighbouring numbers at
    least.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.models.gaussian.student_moments import student_between
    >>> moments = student_between(np.array([3.0, 3.0]), np.array([0.0, 1.0]), np.array([np.inf, 3.0]))
    >>> np.exp(moments.log_p).round(4), moments.mass.round(4), moments.first.round(4)
    (array([0.5   , 0.1667]), array([1.    , 0.7243]), array([0.7351, 1.1027]))
    """
    from scipy.special import digamma  # here, because it takes long to import

    if width is None:
        width = np.where(high > low, high - low, np.spacing(np.abs(low)))
    width = np.maximum(width, NARROWEST)
    near = np.clip(np.clip(0.0, low, high), -FURTHEST, FURTHEST)
    root, start = np.sqrt(degrees), np.abs(near)
    beyond = np.log1p((start / root) ** 2)  # twice log cosh e
    totals = np.zeros((5, len(near)))
    above = np.where(low >= 0, width, np.maximum(high, 0.0))
    below = np.where(low >= 0, 0.0, np.where(high <= 0, width, -low))
    for side, end, apart in ((1, high, above), (-1, -low, below)):
        length = distance(root, start, np.maximum(end, start), apart)
        some = np.flatnonzero(length > 0)
        totals[:, some] += of_side(side, degrees[some], start[some], beyond[some], length[some])
    total, *others = totals
    mass, first, second, log_mass = (other / total for other in others)
    slope, a = degrees + 1, (degrees + 1) / 2
    square = degrees + start**2
    return StudentMoments(
        log_density_at_mean(degrees, 1) + np.log(root) + arithmetic.log(total) - degrees / 2 * beyond,
        slope / square * mass,
        slope / np.sqrt(square) * first,
        slope * second,
        digamma(a) - np.log(a) + np.log(slope / square) - 2 * log_mass,
    )


def of_side(side, degrees, start, beyond, length):
    """(5, n) the integrals of a density, relative to its value at `start` >= 0, and of it times R^-2, T R^-2, (T / R)^2
    and log R, where T = t / sqrt(nu + t_e^2) is negative on side -1."""
    slope = start / np.hypot(np.sqrt(degrees), start)
    level = beyond / 2 + FALL / degrees  # log cosh of where the density has fallen
    most = level + np.log1p(np.sqrt(-np.expm1(-2 * level))) - np.arcsinh(start / np.sqrt(degrees))
    length = np.minimum(length, most)

    def grown(y, slope):
        """R - 1, T and log R."""
        near = np.minimum(y, LARGEST_STEP)
        step = np.expm1(near)
        back = step / (1 + step)
        rise, sinh = 0.5 * step * back, 0.5 * (step + back)
        apart = rise + slope * sinh
        return apart, slope * (1 + rise) + sinh, np.log1p(apart) + (y - near)

    def integrands(y, rows):
        apart, T, log_R = grown(y, slope[rows])
        inverse = 1 / (1 + apart)
        share = T * inverse
        return np.exp(-degrees[rows] * log_R), inverse**2, side * share * inverse, share**2, log_R

    return integrals(length, degrees * grown(length, slope)[2], integrands, 5)
