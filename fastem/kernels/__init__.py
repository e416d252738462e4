"""Arrays in, arrays out: the compiled kernels, one module per instruction set and real type.

The best set that this CPU runs and that was built is picked at import; the environment variable
FASTEM_INSTRUCTION_SET (baseline, avx2, avx512, reproducible) overrides it. "reproducible" is the best of the builds
that all give the same bits: see arithmetic.py and setup.py. Wheels have every build, a clone only the best one for its
machine: FASTEM_INSTRUCTION_SETS=all pip install . makes them all.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import warnings
from contextlib import contextmanager

import numpy as np

INSTRUCTION_SETS = ("avx512", "avx2", "baseline")  # best first


def built(instruction_set: str) -> bool:
    """Whether this installation has kernels for an instruction set."""
    return importlib.util.find_spec(f"{__name__}._{instruction_set}_float64") is not None


REPRODUCIBLE = "reproducible"
CHOICES = (*INSTRUCTION_SETS, REPRODUCIBLE, *(f"{REPRODUCIBLE}_{name}" for name in INSTRUCTION_SETS))


def pick() -> str:
    """The build to use; ImportError where the environment variable names one that cannot run."""
    wanted = os.environ.get("FASTEM_INSTRUCTION_SET") or ""
    if wanted and wanted not in CHOICES:
        raise ImportError(
            f"FASTEM_INSTRUCTION_SET={wanted!r} must be one of {', '.join((*INSTRUCTION_SETS, REPRODUCIBLE))}"
        )
    kind = f"{REPRODUCIBLE}_" if wanted.startswith(REPRODUCIBLE) else ""
    usable = [kind + name for name in INSTRUCTION_SETS if built(kind + name) and supported(name)]
    if wanted and (wanted not in usable if wanted != REPRODUCIBLE else not usable):
        if built(wanted):
            raise ImportError(f"FASTEM_INSTRUCTION_SET={wanted!r}: this CPU does not have it; usable: {usable}")
        raise ImportError(
            f"FASTEM_INSTRUCTION_SET={wanted!r} is not built here: from a clone, "
            f"FASTEM_INSTRUCTION_SETS=native,{wanted} pip install . builds it beside the best of this machine"
        )
    if not usable:
        there = ", ".join(name for name in INSTRUCTION_SETS if built(name)) or "none"
        raise ImportError(
            f"fastem has no compiled kernels that this CPU can run (built: {there}): install it again on this machine, "
            "or, for machines of several kinds, with FASTEM_INSTRUCTION_SETS=all in the environment"
        )
    return wanted if wanted in usable else usable[0]


def supported(instruction_set: str) -> bool:
    """Whether this CPU and operating system can run an instruction set."""
    return instruction_set == "baseline" or instruction_set in _cpu.instruction_sets()


@contextmanager
def asleep_between_passes():
    """An OpenMP runtime that is loaded within lets its threads sleep between passes, unless the user has chosen.

    By default they spin for some milliseconds, and take the processors from whatever comes between two passes and from
    other processes. A runtime reads the environment once, when it is loaded or first asked; then the variable goes, so
    that no other process inherits it.
    """
    if any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")):
        yield
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        yield
    finally:
        del os.environ["OMP_WAIT_POLICY"]


try:
    with asleep_between_passes():
        from fastem.kernels import _agglomeration, _common_axes, _cpu

        _cpu.openmp_threads()
except ImportError as error:
    raise ImportError(
        "fastem's compiled kernels are missing here. If this is a source checkout, install it with "
        "'pip install .' and run Python from another folder (or with python -P)."
    ) from error

BUILD = pick()
INSTRUCTION_SET = REPRODUCIBLE if BUILD.startswith(REPRODUCIBLE) else BUILD  # what determines the bits
_modules = {np.dtype(real): importlib.import_module(f"{__name__}._{BUILD}_{real}") for real in ("float64", "float32")}
_eigenpairs = importlib.import_module(f"{__name__}._{BUILD}_eigenpairs")
clusters = importlib.import_module(f"{__name__}._{BUILD}_clusters")
eigenpairs, orthogonal_factors = _eigenpairs.eigenpairs, _eigenpairs.orthogonal_factors
product, cholesky, inverse_transposed = _eigenpairs.product, _eigenpairs.cholesky, _eigenpairs.inverse_transposed
lower_along_common_axes, turn_to_axes = _common_axes.lower, _common_axes.turn_to_axes
agglomerate, mergers = _agglomeration.agglomerate, _agglomeration.mergers
OPENMP = _cpu.openmp()
openmp_threads = _cpu.openmp_threads  # a function: the limit belongs to the calling thread and changes
openmp_places = _cpu.openmp_places
trial_of_threads = _cpu.trial_of_threads
LEFT_OUT = _cpu.left_out()  # {what the build wanted but could not have: why}
missed = [what for what in LEFT_OUT if what not in INSTRUCTION_SETS or supported(what)]
if missed:
    warnings.warn(
        "fastem is slower here than it need be, since it was built without "
        + "; ".join(f"{what} ({LEFT_OUT[what]})" for what in missed),
        RuntimeWarning,
        stacklevel=2,
    )
FACTOR_BLOCK = _modules[np.dtype(np.float64)].factor_block


def for_dtype(dtype) -> object:
    """The kernel module of a real type."""
    return _modules[np.dtype(dtype)]
