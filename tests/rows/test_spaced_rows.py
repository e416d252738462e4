"""Evenly spaced rows, kept in one pass, are those of rows whose number is known."""

import numpy as np
import pytest

from fastem.rows import spaced_rows


@pytest.mark.parametrize("n", [1, 16, 17, 100, 1000])
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_blocks_of_any_size_give_the_same(n, size, monkeypatch):
    monkeypatch.setattr(spaced_rows, "SPACED", 8)
    X, kept = np.arange(2.0 * n).reshape(n, 2), spaced_rows.SpacedRows()
    for start in range(0, n, size):
        kept.add(X[start : start + size], start)
    assert np.array_equal(kept.rows(), X[:: spaced_rows.spacing(n)])
