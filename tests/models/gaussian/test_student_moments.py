"""Moments of a Student-t variable and its latent scale in an interval: 50 digits, scipy, the normal limit."""

from itertools import product

import numpy as np
import pytest
import reference
from scipy.stats import t as student

from fastem.models.gaussian.interval_moments import standard_moments
from fastem.models.gaussian.student_moments import (
    RELATIVE_ERROR,
    log_density_at_mean,
    student_between,
)

DEGREES = [0.01, 0.1, 1.0, 2.0, 3.5, 7.0, 30.0, 200.0, 1e4, 1e6]
ENDS = [0.0, 1e-9, 0.3, 1.0, 2.5, 6.0, 40.0, 1e5]
WIDTHS = [1e-12, 1e-6, 1e-2, 0.5, 1.5, 5.0, 40.0, 1e4, np.inf]


def intervals():
    """Degrees of freedom, and bounds on both sides of 0, and around it."""
    found = [(nu, end, end + width) for nu, end, width in product(DEGREES, [*ENDS, *np.negative(ENDS[1:])], WIDTHS)]
    found += [(nu, -np.inf, end) for nu, end in product(DEGREES, (-40.0, 0.5))]
    return np.array([one for one in found if one[2] > one[1]]).T


def test_against_50_digits():
    flint = pytest.importorskip("flint")
    degrees, low, high = intervals()[:, ::31]
    found = np.array(student_between(degrees, low, high)).T
    worst = 0.0
    for i in range(len(degrees)):
        expected = np.array(reference.student_interval(flint, degrees[i], low[i], high[i]))
        _, mass, _, second, _ = expected
        size = max(1, abs(expected[0])), mass, np.sqrt(mass * second), second, max(1, abs(expected[4]))
        errors = np.abs(found[i] - expected) / size
        assert (errors < RELATIVE_ERROR).all(), (degrees[i], low[i], high[i], errors)
        worst = max(worst, errors.max())
    assert worst > RELATIVE_ERROR / 1000  # the stated error is no idle number


@pytest.mark.parametrize("nu", [0.5, 3.0, 40.0])
def test_against_scipy(nu):
    """Also the closed forms: E[w] is a ratio of probabilities, and E[w (nu + t^2)] = nu + 1."""
    low, high = np.array([-1.0, 0.5, -np.inf, 2.0]), np.array([2.0, np.inf, -1.5, 2.3])
    found = student_between(np.full(4, nu), low, high)
    P = student.cdf(high, nu) - student.cdf(low, nu)
    wider = np.sqrt((nu + 2) / nu)
    assert np.allclose(np.exp(found.log_p), P, rtol=1e-10)
    assert np.allclose(
        found.mass, (student.cdf(wider * high, nu + 2) - student.cdf(wider * low, nu + 2)) / P, rtol=1e-9
    )
    assert np.allclose(found.first, (student.pdf(low, nu) - student.pdf(high, nu)) / P, rtol=1e-9)
    assert np.allclose(nu * found.mass + found.second, nu + 1, rtol=1e-12)


def test_the_normal_limit():
    _, low, high = intervals()
    near = (np.minimum(abs(low), abs(high)) < 10) | ((low < 0) & (high > 0))  # further out tails differ
    low, high = low[near], high[near]
    found, normal = student_between(np.full(len(low), 1e12), low, high), standard_moments(low, high)
    assert np.allclose(found.log_p, normal.log_p, rtol=1e-8, atol=1e-10)
    assert np.allclose(found.first, normal.first, rtol=1e-8, atol=1e-8)
    assert np.allclose(found.second, normal.second, rtol=1e-8)
    assert np.allclose(found.mass, 1, atol=1e-9) and np.allclose(found.log_mass, 0, atol=1e-9)


@pytest.mark.parametrize("d", [0, 1, 2, 7])
def test_the_constant(d):
    from scipy.stats import multivariate_t

    for nu in (0.3, 4.0, 55.0):
        expected = multivariate_t.logpdf(np.zeros(d), np.zeros(d), np.eye(d), nu) if d else 0.0
        assert np.isclose(log_density_at_mean(np.array(nu), d), expected, rtol=1e-12, atol=1e-14)
    assert np.isclose(log_density_at_mean(np.array(1e12), d), -d / 2 * np.log(2 * np.pi), rtol=1e-11)


def test_far_ends_give_finite_moments():
    found = student_between(
        np.array([1.0, 1e6, 0.1]), np.array([1e200, -np.inf, 1e307]), np.array([np.inf, -1e160, 1e308])
    )
    assert np.isfinite(found).all()


@pytest.mark.parametrize("place", [1e5, -1e12, 1e19])
def test_far_intervals_are_as_wide_as_they_are_said_to_be(place):
    """Their ends have no digits of the width, or are one number; the density is flat there."""
    at, width, nu = np.array([place]), np.array([1e-9, 1.0, 7.0]) * abs(place) * 1e-9, 4.5
    moments = student_between(np.full(3, nu), np.repeat(at, 3), at + width, width)
    np.testing.assert_allclose(moments.log_p, student.logpdf(place, nu) + np.log(width), rtol=1e-9)
    np.testing.assert_allclose(moments.mass, (nu + 1) / (nu + place**2), rtol=1e-7)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("place", [4.8e66, -3.0, 0.0, 1e149, -1e149])
def test_an_interval_of_one_number_is_a_narrow_one(place):
    at = np.array([place])
    moments = student_between(np.array([4.5]), at, at)
    assert np.isfinite(moments).all()
    np.testing.assert_allclose(moments.mass, 5.5 / (4.5 + at**2), rtol=1e-12)
    np.testing.assert_allclose(moments.second, 5.5 / (4.5 / at**2 + 1) if place else 0.0, rtol=1e-12, atol=1e-300)
