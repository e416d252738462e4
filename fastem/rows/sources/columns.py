"""The choice of columns by name or number, for every kind of table."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

__all__ = ["choose", "column_place", "listed", "numbered_names", "suggest_columns"]


def choose(names: Sequence[str], columns: Sequence[str | int] | None, what, weight: str | int | None = None):
    """The places of the wanted columns, and that of the weights, which are never among them."""
    weight_place = None if weight is None else column_place(names, weight, what, "sample_weight")
    if columns is None:
        return [i for i in range(len(names)) if i != weight_place], weight_place
    if isinstance(columns, (str, int)):
        raise ValueError(f"columns={columns!r} is not a list: for one column, give [{columns!r}]")
    if not isinstance(columns, Iterable):
        raise ValueError(f"columns={columns!r} is not a list of names or numbers of columns: give one, such as [0, 1]")
    chosen: list[int] = []
    for column in columns:
        place = column_place(names, column, what)
        if place in chosen:
            raise ValueError(f"{what}: column {column!r} was chosen twice; choose it once")
        chosen.append(place)
    chosen = [place for place in chosen if place != weight_place]
    if not chosen:
        beside = "" if weight_place is None else " beside that of the weights"
        raise ValueError(f"{what}: no columns were chosen{beside}; its columns are {listed(names)}")
    return chosen, weight_place


def column_place(names: Sequence[str], column: str | int, what, role: str | None = None) -> int:
    """The place of one column, given by name or number; a name wins over a number that is written as a text."""
    same = [i for i, name in enumerate(names) if name == column]
    if len(same) > 1:
        raise ValueError(f"{what} has several columns named {column!r}; choose by number: {listed(same)}")
    if same:
        return same[0]
    if str(column).isdecimal() and int(column) < len(names):
        return int(column)
    wanted = f"column {column!r}" if role is None else f"column {column!r} for {role}"
    raise ValueError(f"{what} has no {wanted}; its columns are {listed(names)} (or by number: 0 to {len(names) - 1})")


def numbered_names(n_columns: int) -> list[str]:
    """Names for columns that have none, as scikit-learn makes them."""
    return [f"x{i}" for i in range(n_columns)]


def suggest_columns(names: Sequence[str], numeric: Sequence[int]) -> str:
    """What to do about a column of text, in the shell or in Python."""
    if not numeric:
        return "no column holds numbers only"
    if len(numeric) > 20:
        return "choose the numeric columns with --columns"
    # A name with a comma in it cannot stand in a list with commas; its number can.
    words = [str(i) if "," in names[i] or names.count(names[i]) > 1 else names[i] for i in numeric]
    python = [names[i] if word == names[i] else i for i, word in zip(numeric, words)]
    return (
        f"choose the numeric columns: --columns {shlex.quote(','.join(words))}, or in Python "
        f"fastem.open_rows(..., columns={python!r})"
    )


def listed(items: Sequence[str | int], most: int = 20) -> str:
    """The first items as text, and how many more there are."""
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more
