"""Probability and moments of a multivariate normal variable in a box, for the few columns where quadrature is cheap.

One column is integrated numerically, given it the others are normal again, and the last has formulas
(:mod:`fastem.models.gaussian.interval_moments`):

    P = integral of phi(x_1) P(others | x_1),    E[others ...] the same with their moments given x_1.

All terms are positive, so nothing cancels, in no tail either. As a function of x_1 the integrand is log-concave
(Prekopa). The panels of Gauss-Legendre's rule end where a log-concave bound of it, phi(x_1) times the smallest
probability of one of the others, has fallen from its largest value by `FALLS`, and about the ends of the others.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gaussian.interval_moments import HALF_LOG_2_PI, Moments, standard_moments

MOST_COLUMNS = 3
FALLS = (0.5, 3.0, 10.0, 40.0)
ABOUT_ENDS = (-3.0, 0.0, 3.0)  # in deviations of the other column given the first
NODES = 10  # of a panel
HALVINGS, STEPS = 20, 10  # to the largest value of the bound, and to where it has fallen


def box_moments(low, high, covariances) -> Moments:
    """Of M boxes and normal variables of mean 0.

    Parameters
    ----------
    low, high : (M, d)
        -inf and inf are allowed.
    covariances : (M, d, d)

    Returns
    -------
    Moments
        log_p (M,); first (M, d); second (M, d, d), E[x x'].

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.models.gaussian.box_moments import box_moments
    >>> low, high = np.zeros((1, 2)), np.full((1, 2), np.inf)
    >>> log_p, first, _ = box_moments(low, high, np.array([[[1.0, 0.5], [0.5, 1.0]]]))
    >>> np.exp(log_p).round(12), first.round(4)
    (array([0.33333333]), array([[0.8976, 0.8976]]))
    """
    M, d = low.shape
    deviation = np.sqrt(covariances[:, 0, 0])
    a, b = low[:, 0] / deviation, high[:, 0] / deviation
    if d == 1:
        log_p, first, second = standard_moments(a, b)
        return Moments(log_p, (deviation * first)[:, None], (deviation**2 * second)[:, None, None])
    slope = covariances[:, 1:, 0] / deviation[:, None]
    rest = covariances[:, 1:, 1:] - slope[:, :, None] * slope[:, None, :]
    along = np.arange(d - 1)
    rest[:, along, along] = np.maximum(
        rest[:, along, along], np.finfo(float).eps * covariances[:, along + 1, along + 1]
    )
    x, log_weights = nodes(a, b, Bound(slope, np.sqrt(rest[:, along, along]), low[:, 1:], high[:, 1:]))
    p, shape = d - 1, x.shape
    centre = slope[:, None] * x[:, :, None]
    inner = box_moments(
        (low[:, None, 1:] - centre).reshape(-1, p),
        (high[:, None, 1:] - centre).reshape(-1, p),
        np.repeat(rest, shape[1], axis=0),
    )
    log_p = log_weights + inner.log_p.reshape(shape) - 0.5 * x * x - HALF_LOG_2_PI
    top = log_p.max(axis=1, keepdims=True)
    share = arithmetic.exp(log_p - top)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    powers = np.stack([share, share * x], axis=1)  # (M, 2, n)
    of_x, square = powers.sum(axis=2)[:, 1], (powers[:, 1] * x).sum(axis=1)
    apart = arithmetic.matmul(powers, inner.first.reshape(*shape, p))  # (M, 2, p): of the others less slope x
    own = arithmetic.matmul(powers[:, :1], inner.second.reshape(*shape, p * p)).reshape(M, p, p)
    cross = apart[:, 1] + slope * square[:, None]  # E[x others]
    both = slope[:, :, None] * apart[:, 1, None, :]
    first, second = np.empty((M, d)), np.empty((M, d, d))
    first[:, 0], first[:, 1:] = deviation * of_x, apart[:, 0] + slope * of_x[:, None]
    second[:, 0, 0] = deviation**2 * square
    second[:, 0, 1:] = second[:, 1:, 0] = deviation[:, None] * cross
    second[:, 1:, 1:] = (
        own + both + np.swapaxes(both, 1, 2) + square[:, None, None] * slope[:, :, None] * slope[:, None]
    )
    return Moments((top + arithmetic.log(total))[:, 0], first, second)


class Bound:
    """log phi(x) plus the smallest log-probability of one of the other columns given x, up to a constant; concave.

    slope, deviation, low, high : (M, d - 1)
        Of the others given x: mean slope x, deviation, and their ends.
    """

    def __init__(self, slope, deviation, low, high):
        self.rate, self.low, self.high = slope / deviation, low / deviation, high / deviation

    def __call__(self, x):
        """Values and derivatives at x (M, n)."""
        value, rise = np.full(x.shape, np.inf), np.zeros(x.shape)
        for j in range(self.rate.shape[1]):
            rate = self.rate[:, j, None]
            log_p, first, _ = standard_moments(self.low[:, j, None] - rate * x, self.high[:, j, None] - rate * x)
            smaller = log_p < value
            value, rise = np.where(smaller, log_p, value), np.where(smaller, rate * first, rise)
        return value - 0.5 * x * x, rise - x

    def ends(self):
        """(M, 6 (d - 1)) about where the ends of the others are their means."""
        with np.errstate(divide="ignore", invalid="ignore"):
            places = [(end + away) / self.rate for end in (self.low, self.high) for away in ABOUT_ENDS]
        return np.nan_to_num(np.concatenate(places, axis=1), nan=0.0)

    def least_square(self):
        """(M,) the sum of the other columns' nearest squares: the larger it is, the further out is what counts."""
        return (np.clip(0.0, self.low, self.high) ** 2).sum(axis=1)


def nodes(a, b, bound) -> tuple[np.ndarray, np.ndarray]:
    """x (M, n) of (a, b), and the logarithms of their weights."""
    reach = np.sqrt(np.clip(0.0, a, b) ** 2 + bound.least_square() + 2 * FALLS[-1] + 100)
    a, b = np.maximum(a, -reach), np.minimum(b, reach)
    left, right = a[:, None], b[:, None]
    for _ in range(HALVINGS):
        middle = 0.5 * (left + right)
        rises = bound(middle)[1] > 0
        left, right = np.where(rises, middle, left), np.where(rises, right, middle)
    top = 0.5 * (left + right)
    levels = bound(top)[0] - np.array(FALLS)
    places = [a[:, None], b[:, None], top]
    for end in (a, b):
        x = np.repeat(end[:, None], len(FALLS), axis=1)
        for _ in range(STEPS):  # Newton's steps from beyond do not pass what they seek, where the function is concave
            value, rise = bound(x)
            beyond = value < levels
            x = x - np.where(beyond, value - levels, 0) / np.where(beyond, rise, 1)
        places.append(x)
    places.append(bound.ends())
    edges = np.clip(np.concatenate(places, axis=1), places[-3][:, -1:], places[-2][:, -1:])
    edges = np.sort(edges, axis=1)
    half = 0.5 * np.diff(edges, axis=1)
    at, weights = np.polynomial.legendre.leggauss(NODES)
    x = (edges[:, :-1] + half)[:, :, None] + half[:, :, None] * at
    with np.errstate(divide="ignore"):
        log_weights = np.log(half)[:, :, None] + np.log(weights)
    return x.reshape(len(a), -1), log_weights.reshape(len(a), -1)
