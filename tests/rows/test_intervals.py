"""Bounds of values: what is equal among them, and what starts see of them."""

import numpy as np
import pytest

import fastem
from fastem.rows.intervals import EVEN, CompleteRepresentatives, Representatives, distinct, scale_of


def test_distinct_bounds():
    lower, upper = np.array([-np.inf, 0, 0, -np.inf, 0, -0.0]), np.array([1, np.inf, 1, 1, np.inf, 2])
    first, of_value = distinct(lower, upper)
    assert len(first) == 4
    assert np.array_equal(lower[first][of_value], lower) and np.array_equal(upper[first][of_value], upper)


def test_values_below_a_limit_are_no_point():
    """Positive ones, below the limit: evenly above 0; others as half a normal distribution; bins in their middle."""
    n = 16
    wide = np.column_stack([np.full(n, np.nan), np.where(np.arange(n) < 8, -np.inf, 2.0), np.full(n, 4.0)])
    seen = Representatives(1, np.zeros(1), np.ones(1), least=0.0)(wide)
    assert np.array_equal(np.sort(seen[:8, 0]), np.arange(1, 16, 2) / 4) and (seen[8:] == 3).all()
    below = Representatives(1, np.zeros(1), np.ones(1))(wide)[:8, 0]
    assert (below < 4).all() and len(np.unique(below)) == len(EVEN)


def test_missing_values_for_families_that_take_none():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, 400)
    missing = np.arange(400) % 4 == 0
    lower, upper = np.where(missing, -np.inf, x), np.where(missing, np.inf, x)
    wide = np.column_stack([x, lower, upper])
    seen = CompleteRepresentatives(1, *scale_of(wide, 1))(wide)[:, 0]
    assert np.array_equal(seen[~missing], x[~missing])
    assert abs(seen[missing].mean() - 5) < 0.5 and 1 < seen[missing].std() < 3


@pytest.mark.parametrize("kind", [fastem.GaussianMixture, fastem.StudentTMixture])
@pytest.mark.parametrize("width", [1e-4, 1e-8, 1e-12])
def test_narrow_intervals_end_without_a_complaint(kind, width):
    """The noise of their log-probabilities, rounding over width, is no fall of the log-likelihood."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.standard_t(5, size=(80, 1))
        lower, upper = X - width * rng.random(X.shape), X + width * rng.random(X.shape)
        model = kind(1).fit(X, lower=lower, upper=upper)
        assert model.converged_ and model.log_likelihood_error_ > 1e-14 / width


def test_intervals_that_are_rounding_are_refused():
    X = np.random.default_rng(0).normal(size=(50, 2))
    lower, upper = X.copy(), X.copy()
    upper[3, 1] = np.nextafter(upper[3, 1], np.inf)
    for kind in (fastem.GaussianMixture, fastem.StudentTMixture):
        with pytest.raises(ValueError, match="lower and upper of column 1 are in some row"):
            kind(2).fit(X, lower=lower, upper=upper)


def test_labels_are_refused_where_rows_are_predicted():
    X = np.random.default_rng(0).normal(size=(50, 2))
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    for method in (model.predict, model.predict_proba, model.score_samples, model.bic):
        with pytest.raises(TypeError, match="takes no labels"):
            method(X, labels=np.zeros(50, int))
