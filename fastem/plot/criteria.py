"""The picture of a model selection: a criterion against the number of components."""

from __future__ import annotations

from typing import Any

from fastem.plot.canvas import axes_grid, colour, legend, line_style, marker


def selection(found, *, ax=None) -> Any:
    """The criterion of each model against its number of components, a line per family; a ring marks the best.

    Smaller is better, so the best is the lowest (mclust draws the negative). Hollow markers: models with a
    collapsed component.

    Parameters
    ----------
    found : :class:`fastem.Selection`
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    (ax,) = axes_grid(ax).flat
    names = list(dict.fromkeys(row.covariance_type for row in found.table))
    for i, name in enumerate(names):
        rows = [row for row in found.table if row.covariance_type == name and row.estimator is not None]
        numbers = [row.n_components for row in rows]
        values = [getattr(row, found.criterion) for row in rows]
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
        getattr(best, found.criterion),
        "o",
        markersize=13,
        markerfacecolor="none",
        markeredgecolor=colour(names.index(best.covariance_type)),
        markeredgewidth=1.5,
        zorder=4,
    )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="components", ylabel=f"{found.criterion.upper()} (smaller is better)")
    if len(names) > 7:
        ax.legend(fontsize="small", ncols=2, labelspacing=0.2, framealpha=0.8, edgecolor="none")
    else:
        legend(ax)
    return ax
