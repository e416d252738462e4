"""Rows in Dask arrays and data frames. The only file that imports dask, which is an optional requirement.

An iteration is one task per worker: it reduces the model over the worker's own chunks and returns the nodes of the
tree of sums that they give. Parameters travel to the data, statistics back; rows stay where Dask has loaded them.
The tree depends on the chunks alone, so neither the number of workers nor their share of the chunks changes a bit.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import accumulate

import numpy as np

from fastem.errors import warn
from fastem.rows.blocks import Blocks
from fastem.rows.e_step import e_step
from fastem.rows.side_columns import require_length
from fastem.rows.statistics import folded, merged_nodes, total_of
from fastem.rows.validation import as_matrix, as_sample_weight, column_names, numbers_beside, require_unmasked

try:
    import dask
    import dask.array
except ImportError as error:
    raise ImportError(f"Dask collections need dask ({error}): pip install 'fastem[dask]'") from error
try:
    import distributed
except ImportError:  # dask alone computes here, chunk by chunk
    distributed = None


class DaskBlocks(Blocks):
    """Chunks of a Dask collection: on the workers of a client, or computed here one after the other.

    Parameters
    ----------
    parts : list of delayed (X, sample_weight or None)
    names : (d,) array of str, or None
    weighted : bool
    client : distributed.Client, optional
        By default the one that is active, if there is one. Chunks are loaded by tasks and kept in the workers'
        memory.

    Notes
    -----
    A worker uses as many threads as Dask gave it, whatever OMP_NUM_THREADS says there. The chunks of a worker that
    is lost are loaded again elsewhere, by Dask. Which worker has which chunks is asked once, and again after a task ran
    elsewhere. Where the client can reach the workers, ``Client(..., direct_to_workers=True)`` fetches results without
    the scheduler; on one machine that is the default.
    """

    holder = "a Dask collection"

    def __init__(self, parts, names=None, weighted=False, client=None):
        self.client = client if client is not None else active_client()
        self.names, self.weighted, self.read_anew = names, weighted, self.client is None
        self.parts = parts if self.client is None else self.client.compute(parts)
        self.direct = None  # whether results come past the scheduler; None: as the client is set
        self._plan: dict | None = None
        shapes = {i: (shape, dtype) for i, (shape, dtype) in enumerate(self._of_parts(_shape)) if shape[0]}
        self.parts = [self.parts[i] for i in shapes]
        if not shapes:
            raise ValueError("all chunks of the Dask collection are empty: there are no rows")
        (_, self.n_features), self.dtype = next(iter(shapes.values()))
        for i, (shape, dtype) in shapes.items():
            if (shape[1], dtype) != (self.n_features, self.dtype):
                raise ValueError(
                    f"chunk {i} of the Dask collection has {shape[1]} columns of {dtype}, but the first that has rows "
                    f"has {self.n_features} of {self.dtype}."
                )
        *self.starts, self.n_rows = accumulate((shape[0] for shape, _ in shapes.values()), initial=0)

    @classmethod
    def of(cls, X, sample_weight=None, client=None) -> DaskBlocks:
        """The blocks of a Dask array (n, d) or data frame; sample_weight: an array, (n,), of Dask or not."""
        names = column_names(X)
        if hasattr(X, "to_dask_array"):
            X = X.to_dask_array(lengths=True)
        if X.ndim != 2:
            raise ValueError(f"Expected 2D array, got a Dask array of {X.ndim} dimension(s): rows need two.")
        if X.numblocks[1] > 1:
            warn(
                f"X is chunked across its columns ({X.numblocks[1]} chunks): it is rechunked to whole rows.",
                UserWarning,
            )
            X = X.rechunk({1: -1})
        if np.isnan(X.chunks[0]).any():
            X = X.compute_chunk_sizes()
        parts = X.to_delayed().ravel()
        weights = [None] * len(parts)
        if sample_weight is not None:
            if not hasattr(sample_weight, "to_delayed"):
                sample_weight = as_sample_weight(sample_weight, X.shape[0])
            weight = dask.array.asarray(sample_weight)
            if np.isnan(weight.shape).any():
                weight = weight.compute_chunk_sizes()
            if weight.shape != (X.shape[0],):
                raise ValueError(f"sample_weight.shape == {weight.shape}, expected {(X.shape[0],)}!")
            weights = weight.rechunk((X.chunks[0],)).to_delayed().ravel()
        chunk = dask.delayed(_chunk)
        return cls(
            [chunk(*part) for part in zip(range(len(parts)), parts, weights)], names, sample_weight is not None, client
        )

    def __iter__(self):
        for part in self.parts:
            yield part.result() if self.client else dask.compute(part)[0]

    def each(self, function):
        return self._of_parts(partial(_applied, function), self.starts)

    def _of_parts(self, function, *arguments):
        """function(part, …) of every part, where it is."""
        if self.client is None:
            return [function(dask.compute(part)[0], *rest) for part, *rest in zip(self.parts, *arguments)]
        self._require_open()
        with _cluster_lost():
            return self.client.gather(
                self.client.map(_run_sent, self.parts, *arguments, sent=Sent(function), pure=False)
            )

    def _require_open(self):
        if self.client.status in ("closed", "closing"):
            raise ValueError("the Dask client of these blocks is closed: open a new one and pass the collection again.")

    def reduce(self, model, n_threads):
        """Expected sufficient statistics of all rows."""
        if self.client is None:
            sums = (e_step(model, *dask.compute(part)[0], n_threads) for part in self.parts)
            return folded(merged_nodes(enumerate(sums)))
        self._require_open()
        with _cluster_lost():
            plan, sent = self._plan or self._owners(), Sent(model)
            self._plan = plan
            tasks = [
                self.client.submit(
                    _reduced,
                    sent,
                    indices,
                    [self.parts[i] for i in indices],
                    workers=[worker],
                    allow_other_workers=True,
                    pure=False,
                )
                for worker, indices in plan.items()
            ]
            replies = self.client.gather(tasks, direct=self.direct)
        if [worker for worker, _ in replies] != list(plan):
            self._plan = None  # a worker is lost, and its chunks are elsewhere now
        return total_of(node for _, nodes_of_worker in replies for node in nodes_of_worker)

    def _owners(self) -> dict:
        """{worker: its chunks, in order}; a chunk that several have belongs to the one with the fewest."""
        with self.client.as_current():
            distributed.wait(self.parts)
        has = self.client.who_has(self.parts)
        owners: dict = {}
        for i, part in enumerate(self.parts):
            workers = has.get(part.key) or ["any"]
            worker = min(workers, key=lambda name: len(owners.get(name, ())))
            owners.setdefault(worker, []).append(i)
        self.direct = all(map(_is_here, owners)) or None
        return owners


@contextmanager
def _cluster_lost():
    """ConnectionError, with what to do, where Dask finds that its scheduler is gone."""
    try:
        yield
    except (distributed.CancelledError, distributed.comm.CommClosedError) as error:
        raise ConnectionError(
            f"the Dask cluster was lost in the middle of a pass ({type(error).__name__}: {error}). Connect to another "
            "and pass the collection again; an estimator keeps its last complete iteration, from which a fit with "
            "warm_start=True goes on."
        ) from error


def active_client():
    """The client that this thread would use, or None."""
    if distributed is None:
        return None
    try:
        return distributed.get_client()
    except ValueError:
        return None


def mapped(X, function, dtype, width=None):
    """A lazy Dask array of function(rows) for the rows of a Dask array or frame: (n,), or (n, width). Chunks may be
    empty, as those of rows that were filtered are."""
    none = np.empty((0,) if width is None else (0, width), dtype)

    def of_chunk(rows):
        return function(rows) if len(rows) else none

    if hasattr(X, "to_dask_array"):
        return X.map_partitions(of_chunk, meta=none, enforce_metadata=False)
    if X.numblocks[1] > 1:
        X = X.rechunk({1: -1})
    shape = {"drop_axis": 1} if width is None else {"chunks": (X.chunks[0], (width,))}
    return X.map_blocks(of_chunk, dtype=dtype, meta=none, **shape)


def beside(X, arrays):
    """A Dask array with the columns of other arrays, of Dask or not, behind its own: and how many each of these has.

    Parameters
    ----------
    X : Dask array (n, d)
    arrays : {role: (n,) or (n, p)}
    """
    if hasattr(X, "to_dask_array"):
        role = next(iter(arrays))
        raise TypeError(f"X is a Dask data frame, so {role} must be names of its columns, not an array.")
    if np.isnan(X.shape).any():
        X = X.compute_chunk_sizes()
    parts, widths = [X.rechunk({1: -1})], {}
    for role, given in arrays.items():
        require_unmasked(given, role)
        array = dask.array.asarray(given)
        try:
            numbers_beside(np.empty(0, array.dtype))
        except ValueError as error:
            raise ValueError(f"{role} must be an array of numbers: {error}") from error
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2:
            raise ValueError(f"{role} must have one or two dimensions. Got {array.ndim} instead.")
        if np.isnan(array.shape).any():
            array = array.compute_chunk_sizes()
        require_length(array, X.shape[0], role)
        widths[role] = array.shape[1]
        parts.append(array.rechunk((X.chunks[0], -1)))
    return dask.array.concatenate(parts, axis=1).rechunk({1: -1}), widths


def _chunk(i, X, sample_weight):
    """A loaded part as rows and weights; errors name its number."""
    try:
        X = as_matrix(X, "fastem", least_rows=0)
        return X, None if sample_weight is None else as_sample_weight(sample_weight, len(X), some=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"chunk {i} of the Dask collection: {error}") from error


def _is_here(address):
    """Whether a worker is on this machine: its results then arrive sooner without the scheduler."""
    return address.startswith("inproc://") or "://127.0.0.1:" in address


def _shape(part):
    return part[0].shape, part[0].dtype


class Sent:
    """An object packed once for all workers. If a worker cannot unpack it, its task fails; if Dask unpacked it, before
    the task, that would end the worker, and the next one that takes the task."""

    def __init__(self, thing):
        self.packed = distributed.protocol.pickle.dumps(thing)

    def unpacked(self):
        try:
            return distributed.protocol.pickle.loads(self.packed)
        except (ImportError, AttributeError) as error:
            raise ImportError(
                f"a Dask worker cannot import what the client sent ({error}): install it there, or send it with "
                "client.upload_file."
            ) from error


def _run_sent(part, *rest, sent):
    return sent.unpacked()(part, *rest)


def _applied(function, part, start):
    return function(*part, start)


def _reduced(sent, indices, parts):
    """This worker's address, and the nodes of the tree of sums that its chunks give; with the threads that it has."""
    model = sent.unpacked()
    worker = distributed.get_worker()
    n_threads = worker.state.nthreads
    return worker.address, merged_nodes((i, e_step(model, *part, n_threads)) for i, part in zip(indices, parts))
