"""Rates of outliers that are too small to be drawn."""

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.datasets import load_faithful

X = load_faithful().data
MODEL = GaussianMixture(2, random_state=0).fit(X)


@pytest.mark.parametrize("rate", [1e-9, 1e-310, np.float64(1e-9), 9.9e-7])
def test_a_rate_that_too_few_draws_show_is_refused(rate):
    with pytest.raises(ValueError, match=r"rate of outliers must be 0, or at least 1e-06 .* Got "):
        MODEL.is_outlier(X, rate)


def test_the_least_rates_that_are_taken():
    assert not MODEL.is_outlier(X, 0).any()
    assert GaussianMixture(1).fit(X).is_outlier([[1e3, 1e3]], 1e-9).all()  # no row is drawn for one Gaussian


def test_a_share_that_no_number_of_draws_shows_is_refused():
    with pytest.raises(ValueError, match=r"q=9.99.*e-321 leaves only .* rows below the threshold"):
        MODEL.quantile(1e-320)
