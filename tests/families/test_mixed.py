"""MixedMixture: what it says of its components."""

import numpy as np
import pytest

from fastem import MixedMixture

RNG = np.random.default_rng(0)
Z = np.arange(400) % 2
NORMAL = RNG.normal(9 * Z)
COLUMNS = {
    "bernoulli": (Z, "2 of its probabilities are at 0 or 1, first in column 2"),
    "categorical": (2 * Z, "a probability is at 0 in 2 column(s), first in column 2"),
    "gamma": (5.0 + Z, "its values in column 2 are nearly equal"),
}


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_status_counts_columns_as_x_does(kind):
    values, words = COLUMNS[kind]
    X = np.column_stack([NORMAL, NORMAL, values, values])
    model = MixedMixture(2, kinds=["gaussian", "gaussian", kind, kind], random_state=0).fit(X)
    assert all(status.startswith(f"{kind}: {words}") for status in model.component_status_)
