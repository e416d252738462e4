"""What an iteration is measured by."""

import numpy as np
import pytest

from fastem.driver.history import length


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200, 5e-324])
def test_a_length_neither_overflows_nor_vanishes(scale):
    with np.errstate(all="raise", under="ignore"):
        assert length(np.array([3.0, -4.0]) * scale) == pytest.approx(5.0 * scale)


def test_lengths_of_nothing_and_of_what_is_not_finite():
    assert length(np.zeros(3)) == length(np.zeros(0)) == 0
    assert length(np.array([1.0, np.inf])) == np.inf
    assert np.isnan(length(np.array([1.0, np.nan])))
