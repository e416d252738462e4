"""Rounded columns are recognised, in any unit and type; continuous ones are never taken for rounded."""

import numpy as np
import pytest

import fastem
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import robust_variances, rounding_variances, standardised
from fastem.rows.sources.open_rows import open_rows

N = 2000


def normal(seed, n=N):
    return np.random.default_rng(seed).normal(size=(n, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("decimals, shift", [(0, 0), (1, 0), (1, 1000), (0, 1e6)])
def test_the_resolution_of_rounded_values(decimals, shift, dtype):
    X = (np.round(normal(0) * 5, decimals) + shift).astype(dtype)
    assert rounding_variances(X) == pytest.approx([100.0**-decimals / 12], rel=0.02)


@pytest.mark.parametrize("unit", [1e-100, 1e-9, 3.0, 1e12])
def test_units_of_rounded_values_do_not_matter(unit):
    X = np.round(normal(1), 1)
    assert rounding_variances(X * unit) == pytest.approx(unit**2 / 1200, rel=1e-9)


def test_sums_of_rounded_values_are_rounded():
    """0.1 + 0.2 is not 0.3, but no finer resolution."""
    X = np.round(normal(2), 1) + np.round(normal(3), 1)
    assert len(np.unique(X)) > len(np.unique(np.round(X, 1)))
    assert rounding_variances(X) == pytest.approx([0.01 / 12], rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit, shift", [(1, 0), (1e-30, 0), (1e30, 0), (1, 100), (1, 1e4)])
@pytest.mark.parametrize("n", [2, 3, 10, 50, N])
def test_continuous_values_are_not_rounded(n, unit, shift, dtype):
    for seed in range(20):
        X = (normal(seed, n) * unit + shift).astype(dtype)
        found = rounding_variances(X)[0]
        assert found <= (np.finfo(dtype).eps * (shift + 10 * unit)) ** 2  # float32 rounds as well


def test_half_of_the_values_zero_or_all_twice():
    X = normal(0, 30)
    assert rounding_variances(np.vstack([X, np.zeros((30, 1))])) == 0
    assert rounding_variances(np.repeat(X, 2, axis=0)) < 1e-5 * X.var()


def test_of_each_column_with_missing_values_and_constants():
    X = np.hstack(
        [np.round(normal(0)), normal(1), np.full((N, 1), 7.0), np.round(normal(2) * 10), np.full((N, 1), np.nan)]
    )
    X[::3, 3] = np.nan
    assert rounding_variances(X) == pytest.approx([1 / 12, 0, 0, 1 / 12, 0])
    assert rounding_variances(X[:1]) == pytest.approx([0] * 5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_robust_variances_of_weighted_rows_are_those_of_repeated_rows(dtype):
    X = np.random.default_rng(0).normal(size=(300, 3)).astype(dtype)
    X[::7, 1] = np.nan
    weight = np.random.default_rng(1).integers(0, 4, 300).astype(float)
    any_variance = np.full(3, np.inf)
    repeated = robust_variances(np.repeat(X, weight.astype(int), axis=0), any_variance)
    np.testing.assert_allclose(robust_variances(X, any_variance, weight), repeated, rtol=1e-6)
    assert np.array_equal(robust_variances(X, any_variance, weight / 1024), robust_variances(X, any_variance, weight))
    ones = np.ones(300)
    assert np.array_equal(robust_variances(X, any_variance, ones), robust_variances(X, any_variance))
    moved = np.where(weight[:, None] > 0, X, 1e9)
    assert np.array_equal(robust_variances(moved, any_variance, weight), robust_variances(X, any_variance, weight))
    assert np.array_equal(robust_variances(X, ones[:3], np.zeros(300)), ones[:3])


@pytest.mark.parametrize("n", [100, 30_000])
def test_spaced_rows_have_their_weights(n):
    X, weight = np.arange(2.0 * n).reshape(n, 2), np.arange(n) + 1.0
    for blocks in (ArrayBlocks(X, weight), open_rows([(X[:77], weight[:77]), (X[77:], weight[77:])])):
        assert np.array_equal(blocks.spaced_weights(), blocks.spaced_rows()[:, 0] / 2 + 1)
    assert ArrayBlocks(X).spaced_weights() is None and open_rows([X[:77], X[77:]]).spaced_weights() is None


def test_rows_of_weight_zero_move_no_floor():
    """Where rows are fewer than columns the floor decides what the density of other rows is."""
    rng = np.random.default_rng(3)
    X, weight = rng.normal(size=(15, 30)), rng.integers(0, 4, 15)
    weighted = fastem.GaussianMixture().fit(X, sample_weight=weight)
    repeated = fastem.GaussianMixture().fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(weighted.score_samples(X), repeated.score_samples(X), rtol=1e-6)


def test_squares_of_float32_rows_do_not_overflow():
    X = np.array([[1e20, 3.8], [7.1, 8.9]], np.float32)
    with np.errstate(over="raise"):
        Z = standardised(X, np.array([0.03, 0.17]))
    assert Z.dtype == np.float32 and np.isfinite(Z).all()
