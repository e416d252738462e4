"""Rows that are not an array in memory: speed and memory of an iteration over files and chunks, and over Dask."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from bench.contest import FASTEM, Session
from bench.report import Section, medians, ratio, table

ROWS, COLUMNS, COMPONENTS = 4_000_000, 8, 8
MANY = 64  # components with which computing, not reading, bounds
FILES = 4
FEWER_ROWS = 10
DTYPES = ("float32", "float64")
CONTAINERS = ("array", "memory map", "Parquet", "chunks")
COMPUTE_BOUND = ("array", "Parquet")
MOST_MB, MOST_OVERHEAD_MS = 300, 20
PASSES = 5  # of which the median counts
SAMPLED = 0.003  # seconds between looks at the memory

ROWS_TABLE = {
    "rows": ("dtype", "s"),
    "K": ("K", "d"),
    "from": ("container", "s"),
    "ms/iteration": ("ms", ".1f"),
    "Mrows/s": ("rate", ".1f"),
    "% of array": ("of_array", ".0%"),
    "reading alone: ms": ("reader_ms", ".1f"),
    "% of reading alone": ("of_reader", ".0%"),
    "MB": ("mb", ".0f"),
}
DASK_TABLE = {
    "workers": ("workers", "d"),
    "ms/iteration": ("ms", ".1f"),
    "of it computing": ("computing_ms", ".1f"),
    "overhead ms": ("overhead_ms", ".1f"),
}
LEGEND = """\
Full covariances, K components, {n:.0e} rows of {d} columns; files lie in the page cache. % of array: the array's time
over this one's, within a turn. Reading alone: pyarrow.parquet.read_table of each file, or all chunks once, nothing
computed. MB: the most anonymous memory (RssAnon) while GaussianMixture fits, less that before; pages of a map are the
page cache's. Chunks come from a function that copies slices of a map. Reading and computing share the processors: an
iteration takes no less than the sum of both processor times over their number, so with few processors it comes near
to either only where that one is by far the longer."""
MODEL = """\
Workers have one thread each and hold {parts} chunks of {n:.0e} float32 rows. Computing: seconds in E-steps over the
workers; overhead: the rest, and so all that Dask, pickling and the M-step take. The model

    time of an iteration = rows / (workers · rate) + overhead

foretells, with the rate of one core here ({rate:.1f} million rows/s) and the overhead of two workers
({overhead:.0f} ms), {far:.1f} s for 1e11 rows on 100 workers of 16 cores: extrapolated on paper, not measured. With
100 results instead of two, Dask's scheduler takes longer; that is not in the figure."""


def run(session: Session) -> Section:
    """Containers in turn, in both real types; then Dask with one and two workers."""
    n, rows = ROWS // FEWER_ROWS if session.quick else ROWS, []
    for dtype in DTYPES:
        with tempfile.TemporaryDirectory() as folder:
            _write(Path(folder), n, dtype)
            turns = session.take_turns(
                f"{n} × {COLUMNS}, {dtype}",
                [replace(FASTEM, name=name) for name in (*CONTAINERS, *(f"{name} {MANY}" for name in COMPUTE_BOUND))],
                lambda rival: rival.ask("stream", what=rival.name, folder=folder, n_threads=session.machine.n_threads),
                session.repeats,
            )
        for name, own in turns.items():
            ms, (container, K) = medians(turns, "ms")[name], _container(name)
            found = {"dtype": dtype, "K": K, "container": container, "ms": ms, "rate": n / ms / 1e3}
            found["of_array"] = ratio(turns, name.replace(container, "array"), name, "ms")
            found["mb"] = median(turn["mb"] for turn in own)
            if own[0]["reader_ms"] is not None:
                found["reader_ms"] = median(turn["reader_ms"] for turn in own)
                found["of_reader"] = median(turn["reader_ms"] / turn["ms"] for turn in own)
            rows.append(found)
            if dtype == "float32" and found["mb"] > MOST_MB:
                session.complaints.append(f"{container}: {found['mb']:.0f} MB, aim {MOST_MB}")
    tables = [table(rows, ROWS_TABLE), LEGEND.format(n=n, d=COLUMNS)]
    return Section("Streams", "\n\n".join(tables + _dask(session, n)), rows)


def _dask(session, n) -> list[str]:
    """The table and the text of Dask."""
    turns = session.take_turns("Dask", [FASTEM], lambda rival: rival.ask("dask", n=n), session.repeats)
    answers = turns.get(FASTEM.name)
    if not answers:
        return []
    rows = []
    for i, first in enumerate(answers[0]):
        found = {key: median(answer[i][key] for answer in answers) for key in ("ms", "computing_ms", "overhead_ms")}
        rows.append({"workers": first["workers"]} | found)
    rate, overhead = n / rows[0]["computing_ms"] / 1e3, rows[-1]["overhead_ms"]
    if overhead > MOST_OVERHEAD_MS:
        session.complaints.append(f"Dask: {overhead:.1f} ms overhead with two workers, aim {MOST_OVERHEAD_MS}")
    far = 1e11 / (1600 * rate * 1e6)
    text = MODEL.format(parts=PARTS, n=n, rate=rate, overhead=overhead, far=far + overhead / 1e3)
    return [table(rows, DASK_TABLE), text]


# ---- in a worker process ------------------------------------------------------------------------------------------

PARTS = 8


def centres():
    return 3 * np.random.default_rng(0).normal(size=(COMPONENTS, COLUMNS))


def _container(name) -> tuple[str, int]:
    """The container and the number of components of "Parquet 64" or "Parquet"."""
    container, _, K = name.rpartition(" ")
    return (container, int(K)) if K.isdecimal() else (name, COMPONENTS)


def start(K=COMPONENTS):
    """The mixture that draws the rows, and from which iterations start; or one of more components around its."""
    from fastem.models.gaussian.dense import Full
    from fastem.models.gaussian.emission import Gaussian
    from fastem.models.mixture import Mixture

    covariances = np.broadcast_to(np.eye(COLUMNS), (K, COLUMNS, COLUMNS))
    nothing, around = np.zeros(COLUMNS), np.random.default_rng(1).normal(size=(K, COLUMNS))
    means = np.tile(centres(), (K // COMPONENTS, 1)) + (around if K > COMPONENTS else 0)
    emission = Gaussian(means, Full.from_covariances(covariances.copy(), nothing), nothing)
    return Mixture(np.full(K, 1 / K), emission)


def drawn(n, dtype, seed=1):
    """Rows (n, d) of that mixture."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, COLUMNS), dtype) + centres()[rng.integers(COMPONENTS, size=n)].astype(dtype)


def _write(folder, n, dtype):
    """X.npy, and the same rows in Parquet files."""
    import pyarrow
    import pyarrow.parquet

    (folder / "parquet").mkdir()
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", np.dtype(dtype), (n, COLUMNS))
    for i, rows in enumerate(np.array_split(np.arange(n), FILES)):
        own = slice(rows[0], rows[-1] + 1)
        X[own] = drawn(len(rows), dtype, i)
        names = {f"x{k}": X[own, k] for k in range(COLUMNS)}
        pyarrow.parquet.write_table(pyarrow.table(names), folder / "parquet" / f"{i}.parquet")


def opened(container, folder):
    """What holds the rows, and a function that reads them once, or None."""
    path = Path(folder, "X.npy")
    if container == "array":
        return np.load(path), None
    if container == "memory map":
        return path, None
    if container == "Parquet":
        import pyarrow.parquet

        files = sorted(Path(folder, "parquet").iterdir())
        return path.with_name("parquet"), lambda: [pyarrow.parquet.read_table(file).num_rows for file in files]
    mapped, size = np.load(path, mmap_mode="r"), 100_000

    def chunks():
        return (np.array(mapped[first : first + size]) for first in range(0, len(mapped), size))

    return chunks, lambda: [len(chunk) for chunk in chunks()]


def stream(rival, what: str, folder: str, n_threads: int) -> dict:
    """Milliseconds of an iteration over rows in a container, of reading them, and the memory of a fit."""
    import fastem

    container, K = _container(what)
    X, read = opened(container, folder)
    blocks, model = fastem.open_rows(X), start(K)
    before = anonymous_mb()
    with Watch() as watch:  # first: what pyarrow reads alone would leave its traces
        fastem.em(model, blocks, max_iter=2, tol=0, n_threads=n_threads)
    return {
        "ms": 1e3 * _median_seconds(lambda: model.m_step(blocks.reduce(model, n_threads))),
        "reader_ms": 1e3 * _median_seconds(read) if read else None,
        "mb": watch.most - before,
    }


class Watch:
    """The most anonymous memory of this process, looked at again and again."""

    def __enter__(self):
        self.most, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self):
        while not self.ended.wait(SAMPLED):
            self.most = max(self.most, anonymous_mb())

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def anonymous_mb() -> float:
    """RssAnon."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE).group(1)) / 1000


class Timed:
    """A model whose statistics tell how long its E-steps took."""

    def __init__(self, model):
        self.model = model

    def e_step_of_block(self, X, sample_weight, n_threads, kept):
        from fastem import Statistics

        begin = time.perf_counter()
        found = self.model.e_step_of_block(X, sample_weight, n_threads, kept)
        return Statistics(sums=found.vector, seconds=time.perf_counter() - begin)


def dask(rival, n: int) -> list[dict]:
    """With one and two workers: milliseconds of an iteration, of computing, and of all else."""
    import dask.array
    from distributed import Client, LocalCluster

    from fastem.rows.sources.dask_blocks import DaskBlocks

    model, found = start(), []
    for workers in (1, 2):
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            size = n // PARTS
            parts = [dask.delayed(drawn)(size, "float32", i) for i in range(PARTS)]
            X = dask.array.concatenate([dask.array.from_delayed(part, (size, COLUMNS), np.float32) for part in parts])
            blocks, passes = DaskBlocks.of(X, client=client), []
            for _ in range(4 * PASSES):
                begin = time.perf_counter()
                statistics = blocks.reduce(Timed(model), 1)
                whole, computing = time.perf_counter() - begin, float(statistics.seconds) / workers
                passes.append([1e3 * whole, 1e3 * computing, 1e3 * (whole - computing)])
        ms, computing_ms, overhead_ms = np.median(passes, axis=0)
        found.append({"workers": workers, "ms": ms, "computing_ms": computing_ms, "overhead_ms": overhead_ms})
    return found


def _median_seconds(work) -> float:
    found = []
    for _ in range(PASSES):
        begin = time.perf_counter()
        work()
        found.append(time.perf_counter() - begin)
    return median(found)
