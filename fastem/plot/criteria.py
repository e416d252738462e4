"""The picture of a model selection: a criterion against the number of components."""

from __future__ import annotations

from typing import Any

from fastem.plot.canvas import axes_grid, colour, legend, line_style, marker

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
    """The name of each family where its line ends, as far as there is room: none over another."""
    low, high = ax.get_ylim()
    left, right = ax.get_xlim()
    ax.set_xlim(left, right + 0.06 * (right - left))
    taken = []
    ends = {line.get_label(): line for line in ax.lines if line.get_label() in names and len(line.get_xdata())}
    for name, line in sorted(ends.items(), key=lambda item: item[1].get_ydata()[-1]):
        x, y = line.get_xdata()[-1], line.get_ydata()[-1]
        if low <= y <= high and all(abs(y - other) > ROOM * (high - low) for other in taken):
            taken.append(y)
            style = {"va": "center", "size": "x-small", "color": line.get_color()}
            ax.annotate(name, (x, y), (6, 0), textcoords="offset points", **style)


ROOM = 0.03  # of the axis, between two names


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
    _name_line_ends(ax, names)
    if len(names) > 7:
        ax.legend(fontsize="small", ncols=2, labelspacing=0.2, framealpha=0.8, edgecolor="none")
    else:
        legend(ax)
    return ax
