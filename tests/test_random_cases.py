"""Random estimators on random rows end as they should; see random_cases.py, which tries as many as one likes."""

import numpy as np
import pytest
from random_cases import by_fastem, random_case, what_is_wrong

from fastem import GaussianMixture

SEEDS = range(10_000, 10_240)
KNOWN = {10013, 10024}  # structures of rows at the ends of the range of float64
# squares of parameters that overflow; a component with no rows to split, or with rows too light for float32
ENDED_OTHERWISE = [993, 1086, 1244, 2218, 2657, 3143, 3365, 3673]


@pytest.mark.parametrize("first", SEEDS[::40])
def test_a_fit_ends_with_finite_numbers_or_with_an_error_of_fastem(first):
    wrong = {}
    for seed in {*range(first, first + 40)} - KNOWN:
        wrong |= what_is_wrong(seed)[0]
    assert wrong == {}


@pytest.mark.parametrize("seed", ENDED_OTHERWISE)
def test_what_once_ended_otherwise(seed):
    assert what_is_wrong(seed) == ({}, True)


def test_the_same_seed_is_the_same_case():
    (_, X, _, use, words), (_, Y, _, again, same) = random_case(7), random_case(7)
    assert np.array_equal(X, Y, equal_nan=True) and use is again and words == same


def test_an_error_of_numpy_is_told_from_one_of_fastem():
    def raised(call):
        with pytest.raises(ValueError) as caught:
            call()
        return caught.value

    assert by_fastem(raised(lambda: GaussianMixture(3).fit(np.zeros((2, 1)))))
    assert by_fastem(raised(lambda: GaussianMixture(0).fit(np.zeros((2, 1)))))
    assert not by_fastem(raised(lambda: np.zeros(3).reshape(2, 2)))
    assert not by_fastem(np.linalg.LinAlgError("singular"))
