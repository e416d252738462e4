"""Reading overlapped with computing: an iterator that runs in a thread of its own, a few steps ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

AHEAD = 2  # items that wait; one more is being made and one is in use


@contextmanager
def read_ahead(items: Iterable) -> Iterator[Iterator]:
    """Iterate over items that a thread makes ahead of their use.

    What the thread raises is raised here, in its turn; on leaving, the thread ends after the item that it is making.

    Examples
    --------
    >>> from fastem.rows.read_ahead import read_ahead
    >>> with read_ahead(x * x for x in range(4)) as squares:
    ...     list(squares)
    [0, 1, 4, 9]
    """
    waiting: queue.Queue = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(entry):
        while not stopped.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue  # look again whether items are still wanted

    def make():
        iterator = iter(items)
        try:
            for item in iterator:
                put(("item", item))
                del item  # not kept while the next is made
                if stopped.is_set():
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    def made():
        while True:
            kind, entry = waiting.get()
            if kind == "end":
                return
            if kind == "error":
                raise entry
            yield entry
            del entry

    thread = threading.Thread(target=make, name="fastem-read-ahead", daemon=True)
    thread.start()
    try:
        yield made()
    finally:
        stopped.set()
        thread.join(timeout=0.4)  # a reader that hangs does not delay an interrupt
