"""Files that are complete or do not exist."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path, beside: Path | None = None) -> Iterator[Path]:
    """A path beside `path` to write to; moved there at the end, and removed after an error."""
    beside = beside or path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        yield beside
        with open(beside, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
