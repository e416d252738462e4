"""Work that is shared among threads of Python, and how it ends."""

import threading
import time

import numpy as np
import pytest

from fastem import GaussianMixture, kernels
from fastem.kernels.workers import NoLongerWanted, check, parallel_map

X = np.random.default_rng(0).normal(size=(500, 2))


@pytest.mark.parametrize("n_threads", [1, 3, 10])
def test_values_are_in_the_order_of_the_items(n_threads):
    assert parallel_map(lambda i: (time.sleep(0.01 * (5 - i)), i)[1], range(5), n_threads) == [*range(5)]
    assert parallel_map(abs, [], n_threads) == []


def one_pass(model):
    model.e_step(X)


def a_pass_of_hours(model):
    model.e_step_of_block(np.broadcast_to(X[:1], (10**12, 2)), None, 1, {})


def common_axes(model):
    scatter = np.array([[2.0, 1.0], [1.0, 3.0]])[:, :, None].repeat(2, axis=2)
    kernels.lower_along_common_axes(scatter.copy(), np.eye(2), np.ones(2), False, 0.0, 5)


@pytest.mark.parametrize("work", [one_pass, a_pass_of_hours, common_axes, lambda model: check()])
def test_an_error_ends_calls_that_run_and_drops_those_that_wait(work):
    model = GaussianMixture(2, random_state=0).fit(X).model_
    begun, ended = [], threading.Event()

    def call(i):
        begun.append(i)
        if i == 0:
            raise ZeroDivisionError("of the first call")
        try:
            while True:
                work(model)
        except NoLongerWanted:
            ended.set()
            raise

    with pytest.raises(ZeroDivisionError, match="of the first call"):
        parallel_map(call, range(1000), 2)
    assert len(begun) < 1000
    assert len(begun) == 1 or ended.is_set()
    one_pass(model)  # here nothing was told to stop
    assert parallel_map(lambda i: one_pass(model), range(4), 2) == [None] * 4
