"""The rules of acceleration stand in Python and in the kernels: they are the same."""

import re
from pathlib import Path

import pytest

from fastem.driver import acceleration

SOURCE = (Path(__file__).parents[2] / "fastem" / "kernels" / "anderson.pxi").read_text()


@pytest.mark.parametrize(
    "name", ["DEPTH", "STEADY", "PAUSE", "LONGEST_PAUSE", "AHEAD", "FAST", "TURN", "SURPRISE", "FARTHEST"]
)
def test_a_constant_is_that_of_the_driver(name):
    (there,) = re.findall(rf"^ *(?:cdef double )?{name} = ([\d.e-]+)", SOURCE, re.MULTILINE)
    here = getattr(acceleration, name)
    if name == "FARTHEST":  # steps are added by doubling there
        assert here <= float(there) < 2 * here and float(there).is_integer() and int(there) & (int(there) - 1) == 0
    else:
        assert float(there) == here
