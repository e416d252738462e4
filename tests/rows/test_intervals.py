"""Bounds of values: what is equal among them, and what starts see of them."""

import numpy as np
import pandas as pd
import pytest

import fastem
from fastem.estimators.beside import opened
from fastem.rows import spaced_rows
from fastem.rows.intervals import EVEN, CompleteRepresentatives, Representatives, distinct, scale_of
from fastem.rows.sources.open_beside import open_beside


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


@pytest.mark.parametrize("named", [True, False])
def test_rows_with_bounds_are_read_once_before_the_first_iteration(named):
    """But for the first chunk, of which a stream learns its columns. And once before they are scored."""
    X = np.random.default_rng(0).normal(size=(50, 2))
    table = pd.DataFrame(np.hstack([X, X - 0.5, X + 0.5]), columns=["a", "b", "la", "lb", "ua", "ub"])
    bounds = {"lower": X - 0.5, "upper": X + 0.5}
    if named:
        bounds = {"lower": ["la", "lb"], "upper": ["ua", "ub"]}
    rows, reads = table if named else table[["a", "b"]], []

    def chunks():
        reads.append(1)
        return iter([rows[:30], rows[30:]])

    model = fastem.GaussianMixture(2, random_state=0, covariance_type="diag").fit(rows, **bounds)
    opened(model, chunks, None, bounds)
    assert len(reads) == 1 + 1
    del reads[:]
    assert np.array_equal(model.score_samples(chunks, **bounds), model.score_samples(rows, **bounds))
    assert len(reads) == 1 + 2


def test_spaced_rows_of_wide_rows_are_those_of_an_array(monkeypatch):
    monkeypatch.setattr(spaced_rows, "SPACED", 8)
    X, lower, upper = np.random.default_rng(0).normal(size=(3, 100, 2))
    table = pd.DataFrame(np.hstack([lower, X, upper]), columns=["la", "lb", "a", "b", "ua", "ub"])
    named = {"lower": ["la", "lb"], "upper": ["ua", "ub"]}
    expected = open_beside(X, {"lower": lower, "upper": upper})[0].spaced_rows()
    assert len(expected) == 13
    for source, sides in [
        (lambda: iter([X[:33], X[33:]]), {"lower": lower, "upper": upper}),
        (lambda: iter([table[:33], table[33:]]), named),
        (table, named),
    ]:
        assert np.array_equal(open_beside(source, sides)[0].spaced_rows(), expected)


@pytest.mark.parametrize("unit", [1e-200, 1e200])
def test_the_scale_of_bounds_whose_squares_are_no_numbers(unit):
    lower = np.array([[1.0], [3.0], [8.0]])
    moderate, extreme = (scale_of(np.hstack([lower, lower, lower + 1]) * u, 1) for u in (1.0, unit))
    assert np.allclose(extreme, np.multiply(moderate, unit), rtol=1e-14, atol=0)
