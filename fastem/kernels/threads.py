"""How many threads a pass may use. It is an argument everywhere, not a global setting; but an M-step, which knows only
statistics, uses as many as the fit it belongs to."""

from __future__ import annotations

import numbers
import os
import re
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from fastem import kernels
from fastem.errors import warn
from fastem.kernels import quota

_team_used = False  # whether this process may have started OpenMP threads
_forked = False  # threads do not survive a fork: the child of a process that used them runs on one


def _note_fork():
    global _forked
    _forked = _team_used


def forked() -> bool:
    """Whether this process runs on one thread because its parent used some before the fork."""
    return _forked


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


def available() -> int:
    """Threads that the caller may really use: affinity, cgroup quota, OMP_NUM_THREADS, OMP_THREAD_LIMIT, and the
    OpenMP runtime's own limit for the calling thread, which is what threadpoolctl sets.

    Examples
    --------
    >>> from fastem.kernels.threads import available
    >>> available() >= 1
    True
    """
    if not kernels.OPENMP or _forked:
        return 1
    limits = [len(allowed()) or os.cpu_count() or 1, quota.cpus(), kernels.openmp_threads()]
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdigit() and int(first) > 0:
            limits.append(int(first))
    return max(1, min(limits))


def allowed() -> set[int]:
    """The processors that this process may use; empty where the system does not say.

    Where OMP_PROC_BIND, OMP_PLACES or GOMP_CPU_AFFINITY is set, the OpenMP runtime binds the thread that loads it to
    one of its places, so the affinity of that thread, and of those that it starts, says nothing any more.
    """
    return kernels.openmp_places() or (os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set())


def unbind() -> None:
    """Let the calling thread run on all processors of the process, where the thread that started it is bound to one."""
    places = kernels.openmp_places()
    if places and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, places)


@cache
def processors() -> int:
    """Processors of the machine; cached, because asking takes as long as a small pass."""
    return os.cpu_count() or 1


def resolve(n_threads: int | None) -> int:
    """The number to use: the given one (at most four per processor), or all that are available."""
    global _team_used
    if not kernels.OPENMP or _forked:
        return 1
    number = available() if n_threads is None else min(int(n_threads), 4 * processors())
    _team_used = _team_used or number > 1
    return number


def for_jobs(n_jobs: int | None) -> int:
    """The same for fits side by side; ValueError where `n_jobs` is no number of threads."""
    if n_jobs is not None and (not isinstance(n_jobs, numbers.Integral) or isinstance(n_jobs, bool) or n_jobs < 1):
        raise ValueError(f"n_jobs must be an int of at least 1, or None. Got {n_jobs!r} instead.")
    return resolve(n_jobs)


def for_pass(n_threads: int | None, rows, n_components: int) -> int:
    """The number to use for a pass over an array or blocks: one where a team would cost more than it saves.

    On a busy machine a team waits some milliseconds until its last thread is given a core, in every pass.
    """
    if getattr(rows, "n_rows_known", True) is False or not hasattr(rows, "shape"):  # rows that are read are many
        return resolve(n_threads)
    n, d = rows.shape
    return 1 if n * d * d * n_components < 2_000_000 else resolve(n_threads)


def for_runs(n_threads: int | None, n_steps: int, rows, n_components: int) -> int:
    """The number to use for so many steps in all of runs side by side, each a pass and an M-step."""
    n, d = rows.shape
    return 1 if n_steps * (n + 8 * d) * (d * d + 8) * n_components < 20_000_000 else resolve(n_threads)


# ---- matrices of a model ---------------------------------------------------------------------------------------------

_of_fit: ContextVar[int] = ContextVar("of_fit", default=1)  # threads of the fit that this one works for
MATRIX_WORK = 4_000_000  # multiplications of a stack, from which a team pays


@contextmanager
def matrices_by(n_threads: int):
    """Within, stacks of large matrices are for as many threads: those of a fit's passes."""
    token = _of_fit.set(n_threads)
    try:
        yield
    finally:
        _of_fit.reset(token)


def for_stack(n: int, work: int) -> int:
    """The number to use for n matrices that take so many multiplications each."""
    n_threads = 1 if _forked or n * work < MATRIX_WORK else min(_of_fit.get(), n)
    return startable(n_threads) if n_threads > 1 else 1


# ---- threads that cannot be started ----------------------------------------------------------------------------------

_team = threading.local()  # size: of the calling thread's last team, which its OpenMP runtime keeps
_startable: int | None = None  # how many threads there could be when some could not be started
SIZE = re.compile(r"\s*(\d+)\s*([bkmg]?)\s*", re.IGNORECASE)
BYTES = {"b": 1, "": 1 << 10, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def startable(n_threads: int) -> int:
    """How many threads a team of n_threads can have, this one among them.

    An OpenMP runtime ends the process where it cannot start a thread, for want of memory or by a limit on processes. So
    before a team grows, as many threads are started and ended here.
    """
    global _startable
    if _startable is not None:
        n_threads = min(n_threads, _startable)
    if n_threads > getattr(_team, "size", 1):
        started = 1 + kernels.trial_of_threads(n_threads - 1, stack_bytes())
        if started < n_threads:
            warn(
                f"only {started} of {n_threads} threads can be started (too little memory, or a limit on processes): "
                f"from now on fastem uses {started}.",
                RuntimeWarning,
            )
            _startable = n_threads = started
    _team.size = n_threads
    return n_threads


def stack_bytes() -> int:
    """The size of each thread's stack that the environment asks of the OpenMP runtime; 0: the system's default."""
    for name in ("OMP_STACKSIZE", "GOMP_STACKSIZE", "KMP_STACKSIZE"):
        size = SIZE.fullmatch(os.environ.get(name, ""))
        if size:
            return int(size[1]) * BYTES[size[2].lower()]
    return 0
