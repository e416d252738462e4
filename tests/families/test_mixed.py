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


@pytest.mark.parametrize("seed", range(4))
def test_a_code_that_says_nothing_does_not_decide_the_start(seed):
    """Near neighbours share a code, so all columns together are split by it: a local maximum far below."""
    rng = np.random.default_rng(seed)
    label = (rng.random(1000) < 0.4).astype(int)
    X = np.column_stack([rng.normal(5 * label, 1), rng.integers(0, 3, 1000)])
    kinds = ["gaussian", "categorical"]
    from_truth = MixedMixture(2, kinds=kinds, init_params=label).fit(X)
    for random_state in range(3):
        found = MixedMixture(2, kinds=kinds, random_state=random_state).fit(X)
        assert found.log_likelihood_ > from_truth.log_likelihood_ - 1
