"""The shipped data are R's own, and nobody can spoil them for others."""

import dataclasses

import numpy as np
import pytest

from fastem.datasets import SHIPPED, load_faithful, load_iris


def test_faithful_is_complete():
    faithful = load_faithful()
    assert faithful.columns == ["eruptions", "waiting"]
    assert faithful.data.shape == (272, 2) and faithful.data.dtype == np.float64
    assert faithful.target is None
    # sums from R: colSums(faithful)
    np.testing.assert_allclose(faithful.data.sum(axis=0), [948.677, 19284], rtol=1e-12)


def test_iris_is_complete():
    iris = load_iris()
    assert iris.columns == ["Sepal.Length", "Sepal.Width", "Petal.Length", "Petal.Width"]
    assert iris.data.shape == (150, 4) and iris.data.dtype == np.float64
    # sums from R: colSums(iris[, 1:4])
    np.testing.assert_allclose(iris.data.sum(axis=0), [876.5, 458.6, 563.7, 179.9], rtol=1e-12)
    species, counts = np.unique(iris.target, return_counts=True)
    assert species.tolist() == ["setosa", "versicolor", "virginica"] and counts.tolist() == [50, 50, 50]
    # two rows in which the copy at UCI differs from Fisher's table
    assert iris.data[34].tolist() == [4.9, 3.1, 1.5, 0.2] and iris.data[37].tolist() == [4.9, 3.6, 1.4, 0.1]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_load_is_a_fresh_and_complete_dataset(name):
    first, second = SHIPPED[name](), SHIPPED[name]()
    first.data[:] = 0
    assert (second.data > 0).all()
    assert len(second.columns) == second.data.shape[1]
    assert second.description.endswith(".")
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.data = None
