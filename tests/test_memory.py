"""Memory while fitting does not grow with the rows: fits under a limit of the address space, a process each."""

import os
import platform
import subprocess
import sys

import pytest
from instances import STRUCTURES

on_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs /proc and malloc_trim")

# Before the limit a small fit of the same shape has loaded, started and reserved what does not depend on the rows:
# modules, threads with their stacks, BLAS's buffers. What it freed goes back to the system, so as not to count as room.
CODE = """
import ctypes, resource, sys, warnings
import numpy as np
from fastem import GaussianMixture

structure, n, d, K = sys.argv[1], *map(int, sys.argv[2:])
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
rows = 2 * rng.normal(size=(K, d))[rng.integers(K, size=10_000)] + rng.normal(size=(10_000, d))
X = np.tile(rows, (n // len(rows), 1))


def fit_and_score(X):
    # a large tol: every run of EM ends after one iteration, and more need no more memory
    model = GaussianMixture(K, covariance_type=structure, random_state=0, tol=1e9, n_threads=2).fit(X)
    model.score(X), model.predict(X)


fit_and_score(X[:3000])
ctypes.CDLL(None).malloc_trim(0)
with open("/proc/self/statm") as file:
    in_use = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 64 * 2**20, in_use + 64 * 2**20))
fit_and_score(X)
try:
    np.empty((n, K))
except MemoryError:
    print("64 MB were enough, and no more was to be had")
"""


@on_glibc
@pytest.mark.parametrize(
    "structure, n, d, K",
    [*((structure, 1_000_000, 8, 16) for structure in STRUCTURES), (STRUCTURES[0], 300_000, 32, 32)],
    ids=str,
)
def test_64_mb_beside_the_data_are_enough(tmp_path, structure, n, d, K):
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-P", "-c", CODE, structure.name, str(n), str(d), str(K)]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("64 MB were enough")


# A stream many times larger than the limit on what the process may allocate (RLIMIT_DATA: maps of files do not count).
STREAM = """
import ctypes, re, resource, sys, warnings
from pathlib import Path
import numpy as np
from fastem import GaussianMixture, PoissonMixture
from fastem.rows import blocks
from fastem.rows.sources.open_rows import open_rows

kind, family, n, allowed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
warnings.simplefilter("ignore")
blocks.BLOCK_VALUES = 1 << 19  # 2 MB
pattern = np.random.default_rng(0).poisson(3 + 20 * np.arange(2).repeat(25_000)[:, None], (50_000, 8)).astype("f4")


def rows(n):
    return lambda: (pattern.copy() for _ in range(n // len(pattern)))


def parquet(n):
    import pyarrow, pyarrow.parquet

    path = Path(f"{n}.parquet")
    names = [f"x{k}" for k in range(8)]
    with pyarrow.parquet.ParquetWriter(path, pyarrow.schema([(name, pyarrow.float32()) for name in names])) as file:
        for chunk in rows(n)():
            file.write_table(pyarrow.table(dict(zip(names, chunk.T))), row_group_size=len(chunk))
    return path


def fit_and_predict(X, n):
    model = {"gaussian": GaussianMixture, "poisson": PoissonMixture}[family](2, random_state=0, tol=1e9, n_threads=2)
    model.fit(X)
    counts = sum(open_rows(X).each(lambda rows, weight, start: np.bincount(model.predict(rows), minlength=2)))
    assert counts.sum() == n and counts.min() > 0.4 * n, counts


make = {"function": rows, "parquet": parquet}[kind]
X = make(n)
fit_and_predict(make(600_000), 600_000)  # loads, starts threads and fills what stays reserved
ctypes.CDLL(None).malloc_trim(0)
in_use = 1024 * int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, (in_use + allowed, in_use + allowed))
fit_and_predict(X, n)
print("it was enough")
"""
ALLOWED = 32 << 20  # bytes


@on_glibc
@pytest.mark.parametrize("family", ["gaussian", "poisson"])
@pytest.mark.parametrize("kind", ["function", "parquet"])
def test_a_stream_larger_than_memory(kind, family, tmp_path):
    n = 2_000_000  # 64 MB of rows: more than is allowed and what a fit to 600 000 leaves reserved
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-P", "-c", STREAM, kind, family, str(n), str(ALLOWED)]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "it was enough" in process.stdout
