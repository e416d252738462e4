"""The picture of a model selection: a criterion against the number of components."""

from __future__ import annotations

from typing import Any

from fastem.plot.canvas import axes_grid, colour, line_style, marker

MOST = 50.0  # of a difference that is drawn
STRETCH = 1.5  # times the range of the others, beyond which models of one component are left out of the axis


def _ends(found, least, most):
    """The ends of the axis: with all models, but those of one component where they would flatten all others."""
    rows = [row for row in found.table if row.estimator is not None]
    values = [getattr(row, found.criterion) - least for row in rows]
    others = [value for row, value in zip(rows, values) if row.n_components > 1] or values
    low, high = min(values), max(values)
    if high - low > STRETCH * (max(others) - low) > 0:
        high = max(others)
    high = high if most is None else min(high, most)
    room = 0.05 * ((high - low) or 1.0)
    return low - room, high + room


def _name_line_ends(ax, names):
    """The name of each family at the right of its line's end, with a thin line to it; the names that had room."""
    low, high = ax.get_ylim()
    left, right = ax.get_xlim()
    ax.set_xlim(left, right + 0.1 * (right - left))
    lines = [line for line in ax.lines if line.get_label() in names and len(line.get_xdata())]
    ends = [(line.get_ydata()[-1], line.get_xdata()[-1], line) for line in lines]
    ends = sorted((end for end in ends if low <= end[0] <= high), key=lambda end: end[0])
    places = apart([y for y, _, _ in ends], ROOM * (high - low), low, high)
    for (y, x, line), place in zip(ends, places):
        colour, to = line.get_color(), right + 0.02 * (right - left)
        ax.plot([x, to], [y, place], color=colour, linewidth=0.5, label="_to the name")
        ax.annotate(
            line.get_label(), (to, place), (2, 0), textcoords="offset points", va="center", size="x-small", color=colour
        )
    return {line.get_label() for _, _, line in ends}


def apart(places, room, low, high) -> list[float]:
    """Ascending places, moved as little as that takes, at least `room` from each other and within `low` and `high`."""
    room = min(room, (high - low) / max(1, len(places)))
    moved = []
    for y in places:  # up, as far as those below need
        moved.append(max(y, moved[-1] + room) if moved else y)
    top = high
    for i in reversed(range(len(moved))):  # and down again from the top
        moved[i] = min(moved[i], top)
        top = moved[i] - room
    return moved


ROOM = 0.04  # of the axis, between two names


def selection(found, *, relative=False, ax=None) -> Any:
    """The criterion of each model against its number of components, a line per family; a ring marks the best.

    Smaller is better, so the best is the lowest (mclust draws the negative). Hollow markers: models with a
    collapsed component.

    Parameters
    ----------
    found : :class:`fastem.Selection`
    relative : bool
        Draw the difference from the best, up to 50.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    if not hasattr(found, "best_row"):
        raise TypeError(f"selection expects what fastem.select returns. Got {type(found).__name__} instead.")
    (ax,) = axes_grid(ax).flat
    least = getattr(found.best_row, found.criterion) if relative else 0.0
    names = list(dict.fromkeys(row.covariance_type for row in found.table))
    for i, name in enumerate(names):
        rows = [row for row in found.table if row.covariance_type == name and row.estimator is not None]
        numbers = [row.n_components for row in rows]
        values = [getattr(row, found.criterion) - least for row in rows]
        style = {"color": colour(i), "linestyle": line_style(i), "linewidth": 1.2, "marker": marker(i), "label": name}
        ax.plot(numbers, values, markersize=4, **style)
        hollow = [j for j, row in enumerate(rows) if not row.sound]
        if hollow:
            ax.plot(
                [numbers[j] for j in hollow],
                [values[j] for j in hollow],
                linestyle="",
                marker=marker(i),
                markersize=4,
                color=colour(i),
                markerfacecolor=ax.get_facecolor(),
            )
    best = found.best_row
    ax.plot(
        best.n_components,
        getattr(best, found.criterion) - least,
        "o",
        markersize=13,
        markerfacecolor="none",
        markeredgecolor=colour(names.index(best.covariance_type)),
        markeredgewidth=1.5,
        zorder=4,
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    word = found.criterion.upper()
    ax.set(xlabel="components", ylabel=f"{word} above the least" if relative else f"{word} (smaller is better)")
    negative = " (mclust's BIC is the negative)" if word == "BIC" else ""
    ax.set_title(f"{best.covariance_type} with {best.n_components}{negative}")
    ax.set_ylim(*_ends(found, least, MOST if relative else None))
    named = _name_line_ends(ax, names)
    low, high = ax.get_ylim()
    others = [
        line
        for line in ax.lines
        if line.get_label() in set(names) - named and any(low <= y <= high for y in line.get_ydata())
    ]
    if others:
        ax.legend(handles=others, fontsize="small", labelspacing=0.2, framealpha=0.8, edgecolor="none")
    return ax
