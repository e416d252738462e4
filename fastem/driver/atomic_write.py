"""Files that are complete or do not exist."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on this system: no file is known to be left behind
    fcntl = None  # type: ignore[assignment]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # errors that name no file


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to; moved there at the end, and removed after an error.

    A symbolic link stays, and its target is replaced. The file keeps the mode of the one that it replaces. What a
    killed process has left beside `path` is removed.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise ValueError(f"cannot write to {path}, because it is not an ordinary file.")
    remove_left_behind(target)
    beside, lock = _begun(target)
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, target)
    except OSError as error:
        if error.errno in FULL and error.filename is None:
            error.filename = os.fspath(path)
        raise
    finally:
        beside.unlink(missing_ok=True)
        os.close(lock)


def remove_left_behind(path: Path) -> None:
    """Remove files in which a process that was killed had begun to write `path`: nobody holds their lock."""
    target = Path(os.path.realpath(path))
    name = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.part")
    for left in target.parent.iterdir() if fcntl is not None else ():
        if name.fullmatch(left.name):
            with suppress(OSError):  # another process writes it, or has removed it
                lock = os.open(left, os.O_RDWR)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    left.unlink()
                finally:
                    os.close(lock)


def _begun(target: Path) -> tuple[Path, int]:
    """An empty file beside the target, and its descriptor, which has a lock for as long as it is open."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666
    while True:
        beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        if target.exists():
            os.chmod(beside, mode)  # without the process's mask
        if fcntl is not None:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):  # removed by another process before it had its lock
            if os.path.samestat(os.stat(beside), os.fstat(lock)):
                return beside, lock
        os.close(lock)
