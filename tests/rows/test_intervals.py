"""Bounds of values: what is equal among them, and what starts see of them."""

import numpy as np

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
