"""Probability and means of a gamma variable in an interval, against 50 digits, and against scipy."""

from itertools import product

import numpy as np
import pytest
import reference
from scipy.special import digamma
from scipy.stats import gamma

from fastem.models.gamma_intervals import RELATIVE_ERROR, gamma_between, of_gamma
from fastem.models.gamma_shape import log_peak
from fastem.rows.intervals import EXACT, INTERVAL, MISSING

SHAPES = [1e-5, 1e-3, 1e-2, 0.1, 0.5, 1.0, 2.7, 10.0, 100.0, 1e4, 1e6]
STARTS = [0.0, 1e-200, 1e-8, 0.3, 0.99, 1.0, 1.02, 1.7, 30.0, 1e5]  # in units of the mean
WIDTHS = [1e-12, 1e-6, 1e-2, 0.3, 4.0, 1e5, 1e40, np.inf]  # relative to the start


def intervals():
    """Shapes, and bounds of variables of rate 1."""
    found = []
    for shape, start, width in product(SHAPES, STARTS, WIDTHS):
        low = start * shape
        high = low * (1 + width) if low else width * shape
        if high > low:
            found.append((shape, low, high))
    return np.array(found).T


def test_against_50_digits():
    flint = pytest.importorskip("flint")
    shapes, low, high = intervals()[:, ::21]
    log_p, mean, mean_log = gamma_between(shapes, np.ones(len(shapes)), low, high)
    worst = 0.0
    for i in range(len(shapes)):
        of_log_p, of_mean, of_log = reference.gamma_interval(flint, shapes[i], low[i], high[i])
        errors = (
            abs(log_p[i] - of_log_p) / max(1, abs(of_log_p)),
            abs(mean[i] - of_mean) / of_mean,
            abs(mean_log[i] - of_log) / max(1, abs(of_log)),
        )
        assert max(errors) < RELATIVE_ERROR, (shapes[i], low[i], high[i], errors)
        worst = max(worst, *errors)
    assert worst > RELATIVE_ERROR / 1000  # the stated error is no idle number


@pytest.mark.parametrize("shape, low, high", [(0.4, 0.0, 0.1), (0.4, 0.1, 5.0), (3.0, 1.0, np.inf), (80.0, 28.0, 33.0)])
def test_against_scipy(shape, low, high):
    rate = 2.5
    found = of_gamma(np.array([INTERVAL]), *np.array([[[shape]], [[rate]]]), np.array([low]), np.array([high]))
    log_p, mean, mean_log = (values.item() for values in found)
    variable = gamma(shape, scale=1 / rate)
    assert np.isclose(np.exp(log_p), variable.cdf(high) - variable.cdf(low), rtol=1e-9)
    for function, expected in ((lambda x: x, mean), (np.log, mean_log)):
        assert np.isclose(variable.expect(function, lb=low, ub=high, conditional=True), expected, rtol=1e-6)


def test_exact_and_missing_values():
    shapes, rates, x = np.array([[0.3], [4e5]]), np.array([[2.0], [1e4]]), 40.02
    kinds, bounds = np.array([EXACT, MISSING]), np.array([x, np.nan])
    log_p, mean, mean_log = of_gamma(kinds, shapes, rates, bounds, bounds)
    assert np.allclose(log_p[:, 0], gamma.logpdf(x, shapes[:, 0], scale=1 / rates[:, 0]), rtol=1e-7)
    assert (log_p[:, 1] == 0).all() and (mean[:, 0] == x).all() and (mean_log[:, 0] == np.log(x)).all()
    assert np.allclose(mean[:, 1], [0.15, 40]) and np.allclose(
        mean_log[:, 1], digamma(shapes[:, 0]) - np.log(rates[:, 0])
    )


def test_the_constant_of_a_large_shape():
    flint = pytest.importorskip("flint")
    flint.ctx.dps = 60
    for shape in (1e-3, 2.0, 15.99, 16.01, 300.0, 1e6):
        a = flint.arb(shape)
        assert np.isclose(log_peak(np.array(shape)), float(a * a.log() - a - a.lgamma()), rtol=1e-15, atol=3e-14)


def test_far_ends_give_finite_means():
    found = gamma_between(
        *np.array([[5.0, 2e3, 1e-2], [1e10, 1e-9, 1.0], [1e300, 0.0, 1e-307], [np.inf, 1e-300, 2e-307]])
    )
    assert np.isfinite(found).all()
