"""The degrees of freedom under which rows are most likely, against a search over a grid."""

import numpy as np
import pytest
from scipy.stats import t as student_t

from fastem import kernels

NU = np.geomspace(0.25, 100, 300)


def mean_log_density(nu, squares, weight, d):
    """(scale, mean log-density) at the best of many scales."""
    from scipy.special import gammaln

    scales = np.geomspace(0.1, 10, 400)[:, None] * np.median(squares / d)
    constant = gammaln((nu + d) / 2) - gammaln(nu / 2) - d / 2 * np.log(nu * scales)
    means = (constant - (nu + d) / 2 * np.log1p(squares / (nu * scales))) @ weight / weight.sum()
    return scales[means.argmax(), 0], means.max()


@pytest.mark.parametrize("d, n, tails", [(1, 90, 2.0), (3, 201, 4.0), (7, 400, 30.0), (2, 5, 3.0)])
def test_they_are_the_best_of_a_grid(d, n, tails):
    rng = np.random.default_rng(d)
    squares, weight = rng.chisquare(d, n) / rng.gamma(tails / 2, 2 / tails, n) * 50, rng.uniform(0.1, 2, n)
    nu, scale = kernels.for_dtype(np.float64).most_likely_degrees(squares, weight, d, 0.25, 100.0, 0.02)
    best = max(mean_log_density(one, squares, weight, d)[1] for one in NU)
    at, value = mean_log_density(nu, squares, weight, d)
    assert value > best - 1e-4 and abs(np.log(scale / at)) < 0.1


def test_one_column_is_that_of_scipy():
    x = student_t.rvs(3, size=3000, random_state=0) * 7
    nu, scale = kernels.for_dtype(np.float64).most_likely_degrees(x**2, np.ones(len(x)), 1, 0.25, 100.0, 1e-6)
    theirs, _, deviation = student_t.fit(x, floc=0)
    assert abs(nu / theirs - 1) < 1e-2 and abs(scale / deviation**2 - 1) < 1e-2


def test_rows_that_say_nothing_are_left_out():
    module, rng = kernels.for_dtype(np.float64), np.random.default_rng(0)
    squares, weight = rng.chisquare(2, 50), np.ones(50)
    more = np.r_[squares, 0, 3, np.inf], np.r_[weight, 1, 0, 1]
    alone = module.most_likely_degrees(squares, weight, 2, 0.25, 100.0, 0.02)
    assert module.most_likely_degrees(*more, 2, 0.25, 100.0, 0.02) == alone
    assert module.most_likely_degrees(squares, 0 * weight, 2, 0.25, 100.0, 0.02) == (100.0, 1.0)
    with pytest.raises(ValueError, match="weight"):
        module.most_likely_degrees(squares, weight[:3], 2, 0.25, 100.0, 0.02)
