"""Whole fits side by side, each in a thread of Python, all of which one Ctrl-C ends.

Only the main thread hears a signal, and nothing can be raised in another one. So each fit asks from time to time
whether it is still wanted: every compiled pass does, and the few long loops that make none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

from fastem.kernels.threads import unbind

_stop: ContextVar[threading.Event | None] = ContextVar("stop", default=None)  # of the map that this thread works for


class NoLongerWanted(BaseException):
    """Ends a worker. No `except Exception` may keep it: the caller of the map has an error of its own to raise."""


def told_to_stop() -> bool:
    """Whether this thread works for a map that was interrupted."""
    stop = _stop.get()
    return stop is not None and stop.is_set()


def check() -> None:
    """NoLongerWanted in a thread that works for a map that was interrupted."""
    if told_to_stop():
        raise NoLongerWanted


def parallel_map(function: Callable, items: Iterable, n_threads: int) -> list:
    """The values of a function, in the order of the items, from at most n_threads calls at a time.

    The first error, and an interrupt, end the calls that run and drop those that wait; then it is raised.
    """
    items = list(items)
    if min(n_threads, len(items)) <= 1:
        return [function(item) for item in items]
    stop = threading.Event()

    def begin():
        _stop.set(stop)
        unbind()

    with ThreadPoolExecutor(min(n_threads, len(items)), initializer=begin) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
