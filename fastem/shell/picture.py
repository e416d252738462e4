"""What ``fastem fit --plot`` draws: read before the fit, so that what cannot be drawn is refused before the work."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.rows.blocks import Blocks
from fastem.rows.intervals import bounds_of
from fastem.shell.rows import NamedColumns

BOUNDS = ("lower", "upper")


class Drawn(NamedTuple):
    """values: (n, d); beside: the bounds of one column, and the weights, as plot.mixture takes them."""

    values: np.ndarray
    beside: dict[str, Any]

    def write(self, path: str, model: Any, names: list[str]) -> None:
        """Draw the fitted model over the rows; names: of the columns."""
        from fastem import plot

        plot.write(path, model, NamedColumns(self.values, names), **self.beside)


def rows_to_draw(blocks: Blocks, sides: dict[str, list[str]]) -> Drawn:
    """All rows that are in memory; of what is read, some thousands. ValueError where they make no picture."""
    if "covariates" in sides:
        raise ValueError(
            "--plot takes no covariates, on which the weights of the components depend: leave it out. In Python "
            "plot.parameters draws the components"
        )
    rows = getattr(blocks, "X", None)
    weight = blocks.spaced_weights() if rows is None else getattr(blocks, "sample_weight", None)
    rows = blocks.spaced_rows() if rows is None else rows
    if not sides:
        return Drawn(rows, {})
    named = list(blocks.names)
    beside = {name for names in sides.values() for name in names}
    columns = {"values": [name for name in named if name not in beside], **sides}
    of = {role: rows[:, [named.index(name) for name in names]] for role, names in columns.items()}
    values, d = of["values"], len(columns["values"])
    if not all(np.shape(of.get(role)) == values.shape for role in BOUNDS):  # of bounds that are none, fit says so
        return Drawn(values, {})
    lower, upper = (end.T for end in bounds_of(np.hstack([values, of["lower"], of["upper"]]), d))
    closed = np.isfinite(lower) & np.isfinite(upper)
    if d == 1:
        require_some(closed, columns["values"], "no row has two finite bounds")
        return Drawn(values, {role: of[role] for role in BOUNDS} | {"sample_weight": weight})
    exact = closed & (lower == upper)
    require_some(exact, columns["values"], "the values of two columns and more are drawn, and none is exact")
    return Drawn(np.where(exact, lower, np.nan).astype(values.dtype), {})


def require_some(there: np.ndarray, names: list[str], why: str) -> None:
    """ValueError at the first column of which there is nothing to draw."""
    none = ~there.any(axis=0)
    if none.any():
        raise ValueError(f"--plot has nothing to draw of column {names[none.argmax()]!r}: {why}. Leave it out")
