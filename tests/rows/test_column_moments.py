"""Means and variances of columns keep their digits wherever the first rows lie."""

import warnings

import numpy as np
import pytest

import fastem
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.column_moments import column_moments, observed_variances
from fastem.rows.cross_moments import MomentBlocks


@pytest.fixture(params=[1e6, 1e12, 1e24])
def among_far_rows(request):
    """Rows near 5, and their weights; the first ones lie far away and have no weight."""
    X = np.random.default_rng(0).normal(5, 1, (900, 2))
    X[:300] *= request.param
    return X, np.repeat([0.0, 1.0], [300, 600])


def test_first_rows_of_no_weight_take_no_digits(among_far_rows):
    X, weight = among_far_rows
    blocks, kept = ArrayBlocks(X, weight), X[weight > 0]
    mean, variance = column_moments(blocks, 1)
    moments = MomentBlocks.collect(blocks, 1)
    assert np.allclose(mean, kept.mean(axis=0), rtol=1e-12, atol=0)
    assert np.allclose(variance, kept.var(axis=0), rtol=1e-12, atol=0)
    assert np.allclose(observed_variances(blocks, 1), kept.var(axis=0), rtol=1e-12, atol=0)
    assert np.allclose(moments.mean, kept.mean(axis=0), rtol=1e-12, atol=0)
    assert np.allclose(moments.covariance, np.cov(kept.T, bias=True), rtol=1e-10, atol=1e-12)


def test_an_exponential_fit_beside_far_rows_of_no_weight(among_far_rows):
    X, weight = among_far_rows
    kept = fastem.ExponentialMixture(1).fit(abs(X[weight > 0]))
    model = fastem.ExponentialMixture(1).fit(abs(X), sample_weight=weight)
    assert np.allclose(model.rates_, kept.rates_, rtol=1e-12)


def test_variances_that_are_nearly_too_large_are_no_overflow():
    X = np.array([[6.4e147], [-3.9e153]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean, variance = column_moments(ArrayBlocks(X, None), 1)
    assert np.allclose(mean, X.mean(axis=0)) and np.allclose(variance, X.var(axis=0))
