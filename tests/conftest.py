"""The tests run against the installed package, from the root of the checkout or from anywhere else.

With --import-mode=importlib pytest adds nothing to sys.path. `python -m pytest` puts the current folder there, where
the checkout's fastem/, which has no compiled kernels, would shadow the installed package: it is taken out. This folder
is put in, so that test modules find reference.py and instances.py.

Threads that wait do so asleep: tests run side by side, and some with more threads than there are processors. BLAS has
one thread, since its own spin; what must not depend on their number is tested with several in test_same_bits.py.
"""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() not in (TESTS, TESTS.parent)]
sys.path.insert(0, str(TESTS))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when fastem is first imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Neighbours in one process, so that what a module sets up (a cluster, a table of fits) is set up once."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getvalue("dist") == "load" else None
