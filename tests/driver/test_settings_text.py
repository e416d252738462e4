"""Settings as text by which a checkpoint of another fit is noticed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from fastem.driver.settings_text import function_text, stable_text


def test_arrays_of_objects_are_told_by_their_values():
    """Not by pointers, which are of one process."""
    here = stable_text(np.array(["a", "b" * 40], object))
    code = "import numpy as np; from fastem.driver.settings_text import stable_text as t"
    code += "; print(t(np.array(['a', 'b' * 40], object)))"
    there = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here != stable_text(np.array(["a", "c" * 40], object))


def test_seeds_of_any_type_of_whole_number_are_the_same():
    of_three = {stable_text(np.random.default_rng(seed)) for seed in (3, np.int64(3), np.uint8(3))}
    assert of_three == {stable_text(np.random.default_rng(3))} != {stable_text(np.random.default_rng(4))}
    assert stable_text(np.random.default_rng([1, 2])) == stable_text(np.random.default_rng(np.array([1, 2])))
    assert stable_text(np.random.default_rng()) == "Generator"


def test_variables_that_are_not_assigned_say_nothing():
    def made(assigned):
        if assigned:
            trace = np.ones(2)
        return lambda X: trace

    assert function_text(made(False)) != function_text(made(True)) == function_text(made(True))
