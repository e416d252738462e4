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


CONSTANT = {
    "GaussianMixture": lambda K, **given: fastem.GaussianMixture(K, random_state=0, **given),
    "diag": lambda K, **given: fastem.GaussianMixture(K, covariance_type="diag", random_state=0, **given),
    "bounded": lambda K, **given: fastem.GaussianMixture(K, max_eigenvalue_ratio=100, random_state=0, **given),
    "BayesianGaussianMixture": lambda K: fastem.BayesianGaussianMixture(K, random_state=0),
    "StudentTMixture": lambda K: fastem.StudentTMixture(K, random_state=0),
    "MixtureOfFactorAnalyzers": lambda K: fastem.MixtureOfFactorAnalyzers(K, n_factors=1, random_state=0),
    "FactorAnalysis": lambda K: fastem.FactorAnalysis(1),
}
AS_BLOCKS = {"array": lambda X, weight: (X, weight), "chunks": lambda X, weight: ([X[:90], X[90:]], weight)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", AS_BLOCKS)
@pytest.mark.parametrize("name", CONSTANT)
def test_a_column_that_is_constant_in_the_rows_that_count(name, source):
    X = np.random.default_rng(0).normal(5, 1, (300, 2)) + 4 * (np.arange(300) % 2)[:, None]
    X[100:, 1] = 7
    weight = np.repeat([0.0, 1.0], [100, 200])
    rows, given = AS_BLOCKS[source](X, weight)
    model = CONSTANT[name](2).fit(rows, sample_weight=given)
    alone = CONSTANT[name](2).fit(X[100:])
    assert np.isclose(model.score(X[100:]), alone.score(X[100:]), rtol=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", AS_BLOCKS)
@pytest.mark.parametrize("name", sorted(CONSTANT.keys() - {"bounded"}))  # which finds no covariance in two equal rows
def test_one_row_that_counts_twice_is_two_rows(name, source):
    X = np.random.default_rng(0).normal(5, 1, (300, 2))
    weight = np.where(np.arange(300) == 200, 2.0, 0.0)
    rows, given = AS_BLOCKS[source](X, weight)
    model, twice = CONSTANT[name](1).fit(rows, sample_weight=given), CONSTANT[name](1).fit(X[[200, 200]])
    assert np.isclose(model.score(X[200:201]), twice.score(X[200:201]), rtol=1e-9)


@pytest.mark.parametrize("name", sorted(CONSTANT.keys() - {"bounded"}))
@pytest.mark.parametrize("deviation", [0.7, 2.5])  # in units of the last digit
def test_float32_columns_that_vary_in_their_last_digits(name, deviation):
    """Their values are what they are, and describe clusters as in float64; they were taken for constant."""
    rng = np.random.default_rng(0)
    X = (1e7 + deviation * (rng.choice([-1, 1], (400, 1)) + 0.15 * rng.normal(size=(400, 3)))).astype(np.float32)
    found, expected = (CONSTANT[name](2).fit(rows) for rows in (X, X.astype(np.float64)))
    assert np.isclose(found.score(X), expected.score(X.astype(np.float64)), rtol=1e-3)


def test_a_column_that_underflows_is_one_of_the_rows_that_count():
    X = np.random.default_rng(0).normal(0, 1e-170, (300, 1))
    with pytest.raises(ValueError, match="squares of column 0 of X underflow float64"):
        fastem.GaussianMixture(1).fit(X, sample_weight=np.repeat([0.0, 1.0], 150))


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize(("dtype", "low", "high"), [("float32", 1e-25, 1e25), ("float64", 1e-160, 1e200)])
def test_only_float32_rows_are_asked_to_be_float64(dtype, low, high, missing):
    X = np.random.default_rng(0).normal(size=(20, 1))
    X[0, 0] = np.nan if missing else X[0, 0]
    for unit, remedy in (low, "multiply X"), (high, "divide X by its scale first"):
        with pytest.raises(ValueError, match="of X") as refused:
            observed_variances(ArrayBlocks((X * unit).astype(dtype), None), 1)
        assert str(refused.value).endswith(remedy + (", or pass float64." if dtype == "float32" else "."))
