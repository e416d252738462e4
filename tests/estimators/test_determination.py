"""The coefficient of determination at its ends."""

import numpy as np
import pytest

from fastem.estimators.determination import determination


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-300, 5.0])
def test_constant_targets_are_met_or_not(value):
    targets = np.full((7, 1), value)  # the mean of which rounds
    assert determination(targets, targets + 0.5, None) == 0
    assert determination(targets, targets, None) == 1


def test_the_unit_of_weights_is_nothing():
    rng = np.random.default_rng(0)
    targets, weight = rng.normal(size=(20, 2)), rng.random(20)
    predicted = targets + 0.1 * rng.normal(size=(20, 2))
    expected = determination(targets, predicted, weight)
    for unit in (1e-300, 1e307):
        assert determination(targets, predicted, unit * weight) == pytest.approx(expected, rel=1e-12)


def test_rows_without_weight_are_no_targets():
    targets = np.array([[0.1]] * 7 + [[3.0]])
    assert determination(targets, targets + 0.5, np.array([1.0] * 7 + [0.0])) == 0


@pytest.mark.parametrize(("n", "weight"), [(1, None), (3, np.array([0.0, 2.0, 0.0]))])
def test_one_row_has_none(n, weight):
    targets = np.arange(float(n))[:, None]
    with pytest.warns(UserWarning, match="needs two rows of positive weight"):
        assert np.isnan(determination(targets, targets, weight))
