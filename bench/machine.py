"""What this machine can do at best: fused multiply-adds, reading memory. Measured, not looked up.

The numbers come from a few lines of C, compiled here and now by the system's compiler for this very
CPU. Without a compiler the limits are unknown, and the table leaves their column blank.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

# Ten independent chains hide the latency of an FMA (4 cycles, two a cycle) and, with their two
# factors, still fit the 16 registers of AVX2.
SOURCE = r"""
#include <stddef.h>
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 10

#define PEAK(name, real)                                                        \
    typedef real name##_vec __attribute__((vector_size(BYTES)));                \
    double name(long rounds, real factor, real term) {                          \
        name##_vec a[CHAINS], f = (name##_vec){0} + factor, t = (name##_vec){0} + term; \
        for (int c = 0; c < CHAINS; c++) a[c] = f * (real)c;                    \
        for (long r = 0; r < rounds; r++)                                       \
            for (int c = 0; c < CHAINS; c++) a[c] = a[c] * f + t;               \
        name##_vec sum = a[0];                                                  \
        for (int c = 1; c < CHAINS; c++) sum += a[c];                           \
        return (double)sum[0];                                                  \
    }                                                                           \
    double name##_flops(void) { return 2.0 * CHAINS * (BYTES / sizeof(real)); }

PEAK(peak_float64, double)
PEAK(peak_float32, float)

typedef double read_vec __attribute__((vector_size(BYTES), aligned(8)));
double read_all(const double *x, size_t n) {
    enum { LANES = BYTES / sizeof(double) };
    read_vec a = {0}, b = {0}, c = {0}, d = {0};
    for (size_t i = 0; i + 4 * LANES <= n; i += 4 * LANES) {
        a += *(const read_vec *)(x + i);
        b += *(const read_vec *)(x + i + LANES);
        c += *(const read_vec *)(x + i + 2 * LANES);
        d += *(const read_vec *)(x + i + 3 * LANES);
    }
    a += b + c + d;
    return a[0];
}
"""

ROUNDS = 10_000_000  # of the FMA loop: some 20–50 ms
BUFFER_BYTES = 512 * 2**20  # far beyond any cache
REPEATS = 7  # the best counts: a limit is what the machine can do undisturbed


@dataclass(frozen=True)
class Machine:
    """Limits of this machine with ``n_threads`` threads; None where nothing could be measured.

    Peaks are GFLOP/s by dtype, on one core and on all threads; bandwidth is GB/s read by all.
    """

    cpu: str
    cores: int
    n_threads: int
    versions: dict[str, str]
    peak_one: dict[str, float] | None
    peak_all: dict[str, float] | None
    bandwidth: float | None

    def at_best(self, other: Machine) -> Machine:
        """The higher of each limit in two measurements of one machine: a busy one only measures low."""
        if self.peak_all is None:
            return self
        return replace(
            self,
            peak_one={dtype: max(peak, other.peak_one[dtype]) for dtype, peak in self.peak_one.items()},
            peak_all={dtype: max(peak, other.peak_all[dtype]) for dtype, peak in self.peak_all.items()},
            bandwidth=max(self.bandwidth, other.bandwidth),
        )

    def doubts(self) -> list[str]:
        """A sentence for each peak of all threads that falls short of that many single ones."""
        found = []
        for dtype, peak in (self.peak_all or {}).items():
            share = peak / (self.peak_one[dtype] * min(self.n_threads, self.cores))
            if share < 0.8:
                found.append(
                    f"the {dtype} peak of all threads is {share:.0%} of that many single ones: unless cores are "
                    "shared (hyper-threads) the machine was busy, and % of limit flatters"
                )
        return found

    def shortest_ms(self, problem) -> float | None:
        """Milliseconds that one iteration must take: arithmetic or reading, whichever is longer."""
        if self.peak_all is None:
            return None
        arithmetic = problem.flops() / (self.peak_all[problem.dtype] * 1e9)
        reading = problem.bytes() / (self.bandwidth * 1e9)
        return 1e3 * max(arithmetic, reading)

    def report(self) -> str:
        lines = [
            f"CPU {self.cpu}, {self.cores} cores; used with {self.n_threads} thread(s)",
            ", ".join(f"{name} {number}" for name, number in self.versions.items()),
        ]
        if self.peak_all is None:
            lines.append("peak unknown: no C compiler (cc, gcc or clang) on this machine")
        else:
            for dtype in ("float64", "float32"):
                lines.append(
                    f"FMA peak {dtype}: {self.peak_one[dtype]:.0f} GFLOP/s one core, "
                    f"{self.peak_all[dtype]:.0f} GFLOP/s with {self.n_threads} thread(s)"
                )
            lines.append(f"read bandwidth: {self.bandwidth:.1f} GB/s with {self.n_threads} thread(s)")
        return "\n".join(lines)


def measure(n_threads: int, versions: dict[str, str]) -> Machine:
    """Measure the machine with ``n_threads`` threads; takes about two seconds.

    ``versions`` are those of the libraries compared; Python's and numpy's are added.
    """
    limits: dict = {"peak_one": None, "peak_all": None, "bandwidth": None}
    with compiled_loops() as library:
        if library is not None:
            dtypes = ("float64", "float32")
            limits = {
                "peak_one": {dtype: peak(library, dtype, 1) for dtype in dtypes},
                "peak_all": {dtype: peak(library, dtype, n_threads) for dtype in dtypes},
                "bandwidth": _bandwidth(library, n_threads),
            }
    versions = {"Python": platform.python_version(), "numpy": version("numpy")} | versions
    return Machine(_cpu_name(), available_cores(), n_threads, versions, **limits)


@contextmanager
def compiled_loops() -> Iterator[ctypes.CDLL | None]:
    """The loops of SOURCE while they are there; None without a compiler."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield _compile(compiler, Path(folder))


def available_cores() -> int:
    """Cores this process may use, which a container or taskset can make fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _compile(compiler: str, folder: Path) -> ctypes.CDLL:
    source, target = folder / "limits.c", folder / "limits.so"
    source.write_text(SOURCE)
    command = [compiler, "-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared"]
    subprocess.run([*command, str(source), "-o", str(target)], check=True)
    library = ctypes.CDLL(str(target))
    for dtype, real in (("float64", ctypes.c_double), ("float32", ctypes.c_float)):
        loop, flops = getattr(library, f"peak_{dtype}"), getattr(library, f"peak_{dtype}_flops")
        loop.argtypes, loop.restype = (ctypes.c_long, real, real), ctypes.c_double
        flops.argtypes, flops.restype = (), ctypes.c_double
    library.read_all.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    library.read_all.restype = ctypes.c_double
    return library


def peak(library: ctypes.CDLL, dtype: str, n_threads: int, repeats: int = REPEATS) -> float:
    """GFLOP/s of n_threads threads that do nothing but multiply and add in registers; the best of so many times."""
    loop = getattr(library, f"peak_{dtype}")
    flops = getattr(library, f"peak_{dtype}_flops")() * ROUNDS * n_threads
    # A factor below 1 keeps the chains finite and away from denormals.
    seconds = _best_seconds(lambda _: loop(ROUNDS, 0.999, 0.001), n_threads, repeats)
    return flops / seconds / 1e9


def _bandwidth(library: ctypes.CDLL, n_threads: int) -> float:
    """GB/s of n_threads threads that each read a part of their own of one large buffer."""
    part = BUFFER_BYTES // 8 // n_threads
    buffer = np.ones(part * n_threads)
    seconds = _best_seconds(lambda thread: library.read_all(buffer.ctypes.data + 8 * part * thread, part), n_threads)
    return buffer.nbytes / seconds / 1e9


def _best_seconds(work: Callable[[int], float], n_threads: int, repeats: int = REPEATS) -> float:
    """Shortest time in which n_threads calls of ``work`` run side by side (ctypes frees the GIL)."""
    times = []
    with ThreadPoolExecutor(n_threads) as pool:
        for _ in range(repeats):
            begin = time.perf_counter()
            list(pool.map(work, range(n_threads)))
            times.append(time.perf_counter() - begin)
    return min(times)


def _cpu_name() -> str:
    """The CPU's own name where the system tells it, else the architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
