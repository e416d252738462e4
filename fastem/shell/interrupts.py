"""SIGTERM, as schedulers send it, ends a command as Ctrl-C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TERMINATED = 143  # the exit code of a program that SIGTERM has ended


class Terminated(KeyboardInterrupt):
    """SIGTERM has come."""


def _raise(*_: Any) -> None:
    raise Terminated


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Within it, SIGTERM raises Terminated; in other threads than the main one it stays as it is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
