"""How rows are loaded: every width, type and distance between rows, and never beyond the memory that holds them."""

import subprocess
import sys

import numpy as np
import pytest

from fastem import kernels

AT_THE_END_OF_MEMORY = """
import ctypes, mmap
import numpy as np
from fastem import kernels

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
memory = mmap.mmap(-1, 8 * PAGE)
first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
assert libc.mprotect(first + 7 * PAGE, PAGE, 0) == 0, ctypes.get_errno()
for dtype in (np.float32, np.float64):
    for d in range(1, 20):
        n = 6 * PAGE // (d * np.dtype(dtype).itemsize)
        X = np.frombuffer(memory, dtype, n * d, 7 * PAGE - n * d * np.dtype(dtype).itemsize).reshape(n, d)
        X[:] = 1
        module = kernels.for_dtype(dtype)
        part = module.Part("column_moments", d, 1, {"point": np.zeros(d, dtype)})
        sums, _, _ = module.expect((part,), X, None, np.zeros(d, dtype), 1, 1)
        assert module.named_sums((part,), sums)[0]["weight"].sum() > 0
"""


def first_moments(X):
    """(d,) sums of the columns."""
    dtype, d = X.dtype.type, X.shape[1]
    module = kernels.for_dtype(dtype)
    part = module.Part("column_moments", d, 1, {"point": np.zeros(d, dtype)})
    sums, _, _ = module.expect((part,), X, None, np.zeros(d, dtype), 1, 1)
    return module.named_sums((part,), sums)[0]["first"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("d", range(1, 36))
def test_all_widths_and_distances(d, dtype):
    """Small whole numbers, of which sums are exact."""
    rng = np.random.default_rng(d)
    whole = rng.integers(-8, 9, (1003, d + 5)).astype(dtype)
    rows = whole[:, 2 : 2 + d]
    for X in (np.ascontiguousarray(rows), np.asfortranarray(rows), rows, rows[::-1], rows[::3], rows[:, ::-1]):
        assert np.array_equal(first_moments(X), X.sum(axis=0, dtype=np.float64))
    one = np.broadcast_to(rows[:1], (100, d))  # no distance at all
    assert np.array_equal(first_moments(one), 100 * rows[0].astype(np.float64))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is protected by mprotect")
def test_nothing_is_read_behind_the_last_row():
    subprocess.run([sys.executable, "-P", "-c", AT_THE_END_OF_MEMORY], check=True)
