"""Moments of a normal variable in an interval, against 50 digits, and against scipy's truncated normal."""

import importlib

import numpy as np
import pytest
from scipy.stats import norm, truncnorm

from fastem import kernels
from fastem.models.gaussian.interval_moments import RELATIVE_ERROR, standard_moments

BUILDS = [name for name in kernels.INSTRUCTION_SETS if kernels.built(name) and kernels.supported(name)]

ENDS = [0.0, 1e-9, 1e-3, 0.3, 1.0, 2.5, 6.0, 20.0, 40.0, 300.0, 1e5]
WIDTHS = [1e-12, 1e-8, 1e-5, 1e-3, 0.03, 0.5, 0.99, 1.01, 1.9, 2.1, 5.0, 40.0, 1e3, np.inf]


def intervals():
    """On both sides of 0, and around it."""
    ends = np.array([*ENDS, *np.negative(ENDS)])
    a = np.repeat(ends, len(WIDTHS))
    b = a + np.tile(WIDTHS, len(ends))
    a, b = a[b > a], b[b > a]
    return np.concatenate([a, -b, [-np.inf, -1.0, -1e-3]]), np.concatenate([b, -a, [np.inf, 1.0, 1e-3]])


def exact(a, b, mpmath):
    """log P, E[z], E[z^2] of one interval by their formulas, with so many digits that cancellation does not matter."""
    mpmath.mp.dps = 60
    a, b = (mpmath.mpf(end) for end in ((-b, -a) if a + b < 0 else (a, b)))
    upper = lambda x: mpmath.erfc(x / mpmath.sqrt(2)) / 2  # noqa: E731
    P = upper(a) - upper(b)
    at_a, at_b = mpmath.npdf(a), mpmath.npdf(b)
    by = lambda x, density: 0 if mpmath.isinf(x) else x * density  # noqa: E731
    return mpmath.log(P), (at_a - at_b) / P, 1 - (by(b, at_b) - by(a, at_a)) / P


@pytest.mark.parametrize("build", BUILDS)
def test_against_50_digits(build):
    mpmath = pytest.importorskip("mpmath")
    a, b = intervals()
    module = importlib.import_module(f"fastem.kernels._{build}_float64")
    log_p, first, second = module.moments_between_ends(a, b, b - a)
    worst = 0.0
    for i, (low, high) in enumerate(zip(a.tolist(), b.tolist())):
        L, m, s = exact(low, high, mpmath)
        m = -m if low + high < 0 else m
        scale = max(1, abs(float(L)))
        errors = (
            abs(float(L - log_p[i])) / scale,
            abs(float(m - first[i])) / max(abs(float(m)), 1e-3 * float(s) ** 0.5),
            abs(float(s - second[i])) / float(s),
        )
        assert max(errors) < RELATIVE_ERROR, (a[i], b[i], errors)
        worst = max(worst, *errors)
    assert worst > RELATIVE_ERROR / 1000  # the stated error is no idle number


@pytest.mark.parametrize("a, b", [(-1.0, 2.0), (0.5, np.inf), (-np.inf, 1.5), (2.0, 2.3), (-0.2, 0.1), (4, 7)])
def test_against_scipy(a, b):
    log_p, first, second = (value[0] for value in standard_moments(np.array([a]), np.array([b])))
    assert np.isclose(first, truncnorm.mean(a, b), rtol=1e-9)
    assert np.isclose(second, truncnorm.moment(2, a, b), rtol=1e-9)
    middle = 0.5 * max(a, -9) + 0.5 * min(b, 9)
    assert np.isclose(log_p, norm.logpdf(middle) - truncnorm.logpdf(middle, a, b), rtol=1e-9)


def test_an_interval_does_not_know_its_neighbours():
    """The same bits beside intervals of other kinds, whose formulas the vector then goes through as well."""
    a, b = intervals()
    together = standard_moments(a, b)
    alone = [standard_moments(a[i : i + 1], b[i : i + 1]) for i in range(len(a))]
    for j in range(3):
        assert np.array_equal(together[j], np.concatenate([one[j] for one in alone]))


@pytest.mark.parametrize("build", BUILDS)
def test_far_intervals_are_as_wide_as_they_are_said_to_be(build):
    """Their ends have no digits of the width, or are one number."""
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 80
    module = importlib.import_module(f"fastem.kernels._{build}_float64")
    place, slope = (grid.ravel() for grid in np.meshgrid([1e5, -1e8, 1e12, -1e17], [1e-3, 0.3, 0.6, 5.0, 30.0]))
    width = slope / abs(place)
    log_p, first, second = module.moments_between_ends(place, place + width, width)
    for i, (low, wide) in enumerate(zip(place.tolist(), width.tolist())):
        low = mpmath.mpf(low)
        L, m, s = exact(low, low + wide, mpmath)
        m = -m if low < 0 else m
        assert abs(float((L - log_p[i]) / L)) < RELATIVE_ERROR, (low, wide)
        assert max(abs(float((m - first[i]) / m)), abs(float((s - second[i]) / s))) < RELATIVE_ERROR, (low, wide)


def test_all_there_is():
    log_p, first, second = standard_moments(np.array([-np.inf]), np.array([np.inf]))
    assert (log_p[0], first[0], second[0]) == (0, 0, 1)


def test_far_ends_give_finite_moments():
    with np.errstate(all="raise", under="ignore"):
        _, first, second = standard_moments(np.array([1e9, -1e9]), np.array([np.inf, -1e8]))
    assert np.isfinite(first).all() and np.isfinite(second).all() and (np.abs(first) >= 1e8).all()
