"""log x - digamma(x) = gap, against mpmath."""

import warnings

import mpmath
import numpy as np
import pytest

from fastem import kernels
from fastem.models.gamma_shape import gamma_shape

SHAPES = np.concatenate([np.geomspace(1e-8, 9e9, 150), [15.999999, 16.0, 16.000001]])


def log_minus_digamma(x):
    return np.array([kernels.for_dtype(np.float64).gamma_functions(one, 1.0)[0] for one in np.atleast_1d(x)])


@pytest.fixture(scope="module")
def gaps():
    with mpmath.workdps(40):
        return np.array([float(mpmath.log(x) - mpmath.digamma(x)) for x in map(mpmath.mpf, SHAPES)])


def test_the_gap_has_all_its_digits(gaps):
    np.testing.assert_allclose(log_minus_digamma(SHAPES), gaps, rtol=2e-14)


def test_shapes_solve_their_equation(gaps):
    np.testing.assert_allclose(gamma_shape(gaps, 1e10), SHAPES, rtol=1e-11)
    np.testing.assert_allclose(gamma_shape(gaps.reshape(3, -1), 1e10).ravel(), gamma_shape(gaps, 1e10), rtol=0)


def test_each_element_is_solved_alone(gaps):
    alone = [float(gamma_shape(gap, 1e10)) for gap in gaps]
    np.testing.assert_allclose(gamma_shape(gaps, 1e10), alone, rtol=1e-12)


def test_what_no_shape_explains_gets_the_largest():
    least = log_minus_digamma(1e4).item()
    assert gamma_shape([0.0, -1e-20, -3.0, least, least / 2], 1e4).tolist() == [1e4] * 5
    assert gamma_shape(least * 1.01, 1e4) < 1e4


def test_gaps_that_are_very_large():
    gaps = np.array([1e3, 1e6, 1e9, 1e12, 1e100])
    np.testing.assert_allclose(gamma_shape(gaps, 1e6) * gaps, 1, rtol=1e-2)
    x = gamma_shape(gaps[:4], 1e6)
    np.testing.assert_allclose(log_minus_digamma(x), gaps[:4], rtol=1e-12)


def test_gaps_without_end():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shapes = gamma_shape(np.array([1.0, 1e200, np.inf]), 1e6)
    assert np.isfinite(shapes).all() and (np.diff(shapes) <= 0).all() and shapes[1] < 1e-99


@pytest.mark.parametrize("h", [0.5, 1.0, 32.0])
def test_compiled_functions_have_their_digits(h):
    for x in [1e-3, 0.05, 0.3, 1.0, 2.7, 9.0, 15.9, 16.0, 40.0, 1e3, 5e5]:
        with mpmath.workdps(50):
            a, b = mpmath.mpf(x), mpmath.mpf(x) + mpmath.mpf(h)
            wanted = [
                mpmath.log(a) - mpmath.digamma(a),
                mpmath.polygamma(1, a),
                a * mpmath.log(a) - a - mpmath.loggamma(a),
                mpmath.loggamma(b) - mpmath.loggamma(a),
                a,
            ]
        found = kernels.for_dtype(np.float64).gamma_functions(x, h)
        np.testing.assert_allclose(found, [float(value) for value in wanted], rtol=1e-13, atol=1e-14)
