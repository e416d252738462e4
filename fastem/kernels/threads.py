"""How many threads a pass may use. It is an argument everywhere, not a global setting."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

from fastem import kernels

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
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [count, _cgroup_cpus(), kernels.openmp_threads()]
    for name in ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT"):
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdigit() and int(first) > 0:
            limits.append(int(first))
    return max(1, min(limits))


def _cgroup_cpus():
    """The CPU quota of the control group, rounded up; a large number without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):  # no cgroup v2 here
        return 1 << 30
    return 1 << 30 if quota == "max" else math.ceil(int(quota) / int(period))


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


def for_pass(n_threads: int | None, rows, n_components: int) -> int:
    """The number to use for a pass over an array or blocks: one where a team would cost more than it saves.

    On a busy machine a team waits some milliseconds until its last thread is given a core, in every pass.
    """
    if getattr(rows, "n_rows_known", True) is False:  # rows that are read are many
        return resolve(n_threads)
    n, d = rows.shape
    return 1 if n * d * d * n_components < 2_000_000 else resolve(n_threads)
