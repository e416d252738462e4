"""``fastem select``: read, fit many models, print, save the best, draw."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from typing import Any

from fastem.shell.rows import require_other_files, rows_to_fit

BAR = 40  # characters of the longest bar
CHOICES = ("criterion", "random_state", "n_jobs", "tol", "max_iter")


def select(arguments: argparse.Namespace) -> int | None:
    """Run ``fastem select``; the exit code where it is not 0."""
    import fastem
    from fastem import plot
    from fastem.plot.canvas import require_file_type

    require_other_files(arguments, arguments.files)
    if arguments.plot is not None:
        require_file_type(arguments.plot)
    selected = fastem.select(
        rows_to_fit(arguments),
        arguments.n_components,
        arguments.covariance_types,
        callback=counter() if arguments.progress else None,
        **{name: value for name, value in vars(arguments).items() if name in CHOICES},
    )
    if arguments.progress:
        print(file=sys.stderr)
    if arguments.save is not None:
        selected.best.save(arguments.save)
    if arguments.plot is not None:
        plot.write_selection(arguments.plot, selected)
    row = selected.best_row
    if arguments.json:
        print(json.dumps(as_json(selected)))
        return None
    print(selected)
    print("\n" + text_plot(selected))
    s = "s" * (row.n_components != 1)
    print(f"\nleast {selected.criterion.upper()}: {row.covariance_type} with {row.n_components} component{s}")
    if not row.sound:
        print(f"but no model is sound: {row.status}")
    if arguments.save is not None:
        print(f"saved to {arguments.save}")
    if arguments.plot is not None:
        print(f"picture in {arguments.plot}")
    return None


def counter() -> Callable[[Any], None]:
    """A callback that counts the models that have ended, in one line on the standard error output."""
    ended: list[Any] = []

    def count(row):
        ended.append(row)
        line = f"fastem: {len(ended)} models; {row.covariance_type} with {row.n_components}"
        print(f"\r{line:<60}", end="", file=sys.stderr, flush=True)

    return count


def text_plot(selected: Any) -> str:
    """A bar for each number of components: how far its best model lies above the best of all."""
    best = selected.best_row
    least = getattr(best, selected.criterion)
    lines = {}
    for row in selected.ranked:  # best first
        lines.setdefault(row.n_components, row)
    rows = [lines[K] for K in sorted(lines)]
    above = [getattr(row, selected.criterion) - least for row in rows]
    most = max(above, default=0.0)
    head = f"{selected.criterion.upper()} above the least, {least:.6g}, by the number of components:"
    bars = [
        f"{row.n_components:>3}  {row.covariance_type:<9} {bar(value, most):<{BAR}} {value:.4g}{' *' * (row is best)}"
        for row, value in zip(rows, above)
    ]
    return "\n".join([head, *bars])


def bar(value: float, most: float) -> str:
    """A bar of a length in proportion."""
    return "#" * (max(1, math.ceil(BAR * value / most)) if value > 0 < most else 0)


def as_json(selected: Any) -> dict[str, Any]:
    """A selection in numbers and lists; what is not a number is null."""
    rows = [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in vars(row).items()
            if name != "estimator"
        }
        for row in selected.table
    ]
    best = selected.best_row
    chosen = {"covariance_type": best.covariance_type, "n_components": best.n_components}
    return {"criterion": selected.criterion, "best": chosen, "models": rows}
