"""Moments of a multivariate normal variable in a box: against scipy, against itself in another order of the columns."""

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import multivariate_normal

from fastem.models.gaussian.box_moments import box_moments
from fastem.models.gaussian.interval_moments import standard_moments


def problems(d, M=30, seed=0):
    """Boxes, some ends of which are infinite, about 0 and beside it; correlations up to 0.98."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(M, d, d))
    covariances = A @ A.transpose(0, 2, 1) + 0.05 * np.eye(d)
    s = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    low = (rng.normal(size=(M, d)) - 1) * s
    high = low + s * rng.exponential(2, size=(M, d))
    low, high = np.where(rng.random((M, d)) < 0.3, -np.inf, low), np.where(rng.random((M, d)) < 0.3, np.inf, high)
    return low, high, covariances


def test_independent_columns_have_formulas():
    low, high = np.array([[-1.0, 2.0, -np.inf]]), np.array([[0.5, np.inf, 3.0]])
    variances = np.array([1.0, 4.0, 0.25])
    log_p, first, second = box_moments(low, high, np.diag(variances)[None])
    s = np.sqrt(variances)
    expected = standard_moments(low[0] / s, high[0] / s)
    assert np.isclose(log_p[0], expected.log_p.sum(), rtol=1e-12)
    assert np.allclose(first[0], s * expected.first, rtol=1e-12)
    assert np.allclose(np.diagonal(second[0]), variances * expected.second, rtol=1e-12)
    assert np.isclose(second[0, 0, 1], first[0, 0] * first[0, 1], rtol=1e-12)


@pytest.mark.parametrize("d", [2, 3])
def test_the_order_of_the_columns_does_not_matter(d):
    """Another column is then integrated numerically."""
    low, high, covariances = problems(d)
    order = np.roll(np.arange(d), 1)
    back = np.argsort(order)
    log_p, first, second = box_moments(low, high, covariances)
    others = box_moments(low[:, order], high[:, order], covariances[:, order][:, :, order])
    s = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    seen = log_p > -12  # further out three columns lose digits
    assert seen.sum() > 15
    assert np.allclose(others.log_p[seen], log_p[seen], rtol=0, atol=1e-10)
    assert (abs(others.first[:, back] - first) / s)[seen].max() < 1e-10
    assert (abs(others.second[:, back][:, :, back] - second) / (s[:, :, None] * s[:, None]))[seen].max() < 1e-9
    assert np.allclose(others.log_p, log_p, rtol=1e-4)


def test_probabilities_are_those_of_scipy():
    low, high, covariances = problems(2)
    for a, b, C, found in zip(low, high, covariances, box_moments(low, high, covariances).log_p):
        expected = multivariate_normal(np.zeros(2), C).cdf(b, lower_limit=a)
        assert np.isclose(np.exp(found), expected, rtol=1e-8, atol=1e-9)


def test_moments_are_integrals():
    C, a, b = np.array([[1.0, -0.7], [-0.7, 1.5]]), np.array([-0.5, 0.2]), np.array([2.0, 3.0])
    density = multivariate_normal(np.zeros(2), C).pdf

    def integral(of):
        return dblquad(lambda y, x: of(x, y) * density([x, y]), a[0], b[0], a[1], b[1], epsabs=1e-11)[0]

    log_p, first, second = (value[0] for value in box_moments(a[None], b[None], C[None]))
    P = integral(lambda x, y: 1.0)
    assert np.isclose(np.exp(log_p), P, rtol=1e-9)
    assert np.allclose(first, [integral(lambda x, y: x) / P, integral(lambda x, y: y) / P], rtol=1e-9)
    expected = [integral(lambda x, y: x * x), integral(lambda x, y: x * y), integral(lambda x, y: y * y)]
    assert np.allclose(second[[0, 0, 1], [0, 1, 1]], np.array(expected) / P, rtol=1e-9)


def test_all_there_is_and_far_ends():
    C = np.array([[[2.0, 0.6, 0.1], [0.6, 1.0, -0.2], [0.1, -0.2, 0.5]]])
    everywhere = np.full((1, 3), np.inf)
    log_p, first, second = box_moments(-everywhere, everywhere, C)
    assert abs(log_p[0]) < 1e-12 and np.allclose(first, 0, atol=1e-12) and np.allclose(second, C, rtol=1e-12)
    far = box_moments(np.full((1, 3), 30.0), everywhere, C)
    assert far.log_p[0] < -300 and (far.first[0] > 30).all() and np.isfinite(far.second).all()


def test_columns_that_nearly_determine_each_other():
    """x_2 = x_1 but for a thousandth: the box is that of one column."""
    C = np.array([[[1.0, 1.0], [1.0, 1.0 + 1e-6]]])
    log_p, first, second = box_moments(np.array([[0.3, -np.inf]]), np.array([[np.inf, 1.0]]), C)
    expected = standard_moments(np.array([0.3]), np.array([1.0]))
    assert np.isclose(log_p[0], expected.log_p[0], atol=1e-5)
    assert np.allclose(first[0], expected.first[0], atol=1e-5) and np.allclose(second[0], expected.second[0], atol=1e-5)
