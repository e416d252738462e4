"""A table as text: reports of fits, selections and summaries print theirs with it."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def text_table(rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    """Lines, all of one length, of cells in columns that are aligned to these sides: ``<`` or ``>``.

    Examples
    --------
    >>> from fastem.starts.text_table import text_table
    >>> text_table([("name", "K"), ("a", "12")], "<>")
    ['name   K', 'a     12']
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths)) for row in rows]


def preformatted(text: str) -> str:
    """Text as HTML that keeps its lines and columns, for notebooks."""
    return f'<pre style="line-height: 1.2">{html.escape(text)}</pre>'


def html_of_text(self) -> str:
    """What `str` says, for notebooks."""
    return preformatted(str(self))
