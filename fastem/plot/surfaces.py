"""The density of a mixture, and the regions that belong to its components, in the plane of two columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.models.mixture import Mixture
from fastem.plot.canvas import (
    GREY,
    MOST_ROWS,
    axes_grid,
    colour,
    colours_of,
    draw_rows,
    label_component,
    legend,
    limits,
    sample_rows,
    short,
)
from fastem.plot.parameter_maps import chosen_places, fitted_rows

CELLS = 150  # of a grid in each direction
FAR = 3.1  # standard deviations, that 99 % of a component in a plane are within
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99)  # shares of the rows that the contours contain


def density(model, X, columns=None, *, ax=None) -> Any:
    """The density of the mixture as contours over the rows: each contains the share of the density that it names.

    Parameters
    ----------
    model : fitted mixture with means and covariances, or its :class:`fastem.models.mixture.Mixture`
    X : (n, d) array, data frame or Arrow table
    columns : two of int or str, optional
        Default: the first two. The density is the marginal one of these.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    part, rows, names, shown = plane(model, X, columns)
    (ax,) = axes_grid(ax).flat
    draw_rows(ax, *rows.T, *shown)
    grid, x, y = grid_of(shown)
    values = np.exp(part.log_joint(grid)).sum(axis=1).reshape(len(y), len(x))
    order = np.sort(values.ravel())[::-1]
    inside = np.cumsum(order) / order.sum()
    heights = [order[min(np.searchsorted(inside, share), len(order) - 1)] for share in LEVELS]
    by_height = dict(zip(heights, LEVELS))  # one level where two fall together
    levels = sorted(by_height, reverse=True)
    colours = colours_of("viridis", np.linspace(0.85, 0, len(levels)))
    ax.contour(x, y, values, levels=levels[::-1], colors=colours[::-1], linewidths=1.2)
    for level, line in zip(levels, colours):
        ax.plot([], [], color=line, linewidth=1.2, label=f"{by_height[level]:.0%}")
    legend(ax, emptiest_corner(values))
    ax.set(xlabel=names[0], ylabel=names[1], xlim=shown[0], ylim=shown[1], title="density: shares inside the contours")
    return ax


def emptiest_corner(values) -> str:
    """The corner of the grid (n_y, n_x) in which a density is least, as matplotlib calls it: a legend there hides
    least of the contours, which its own choice does not see."""
    third, rest = len(values) // 3, len(values) - len(values) // 3
    corners = {
        "upper right": values[rest:, rest:],
        "upper left": values[rest:, :third],
        "lower right": values[:third, rest:],
        "lower left": values[:third, :third],
    }
    return min(corners, key=lambda corner: corners[corner].max())


def regions(model, X, columns=None, *, ax=None) -> Any:
    """Where each component is the most probable, the stronger its colour the surer, over the rows.

    Parameters and return value are those of :func:`density`. Of more than two columns the regions are those of the
    marginal mixture of the two: rows are drawn by what the whole model says only where there are two.
    """
    from matplotlib.colors import to_rgb

    part, rows, names, shown = plane(model, X, columns)
    (ax,) = axes_grid(ax).flat
    grid, x, y = grid_of(shown)
    posterior = part.posterior(grid)
    best = posterior.argmax(axis=1)
    image = np.empty((len(grid), 4))
    image[:, :3] = np.array([to_rgb(colour(k)) for k in range(posterior.shape[1])])[best]
    image[:, 3] = (
        0.55 * (posterior.max(axis=1) - 1 / posterior.shape[1]) * posterior.shape[1] / max(1, posterior.shape[1] - 1)
    )
    extent = [*shown[0], *shown[1]]
    ax.imshow(np.clip(image, 0, 1).reshape(len(y), len(x), 4), origin="lower", extent=extent, aspect="auto", zorder=0)
    if posterior.shape[1] > 1:
        ax.contour(x, y, best.reshape(len(y), len(x)), levels=np.arange(posterior.shape[1] - 1) + 0.5, colors=GREY)
    draw_rows(ax, *rows.T, *shown)
    for k, mean in enumerate(part.emission.marginal([0, 1]).means):
        label_component(ax, k, *mean)
    ax.set(xlabel=names[0], ylabel=names[1], xlim=shown[0], ylim=shown[1], title="the most probable component")
    return ax


def plane(model, X, columns) -> tuple[Mixture, np.ndarray, list[str], list[tuple[float, float]]]:
    """The mixture of two columns, their complete rows, names and the ends of their axes."""
    fitted, X, names = fitted_rows(model, X)
    chosen = chosen_places(model, columns, names)[: None if columns is not None else 2]
    if len(chosen) != 2:
        raise ValueError(f"columns must choose two columns, the axes of this picture. Got {columns!r} instead.")
    if not fitted.emission.has_ellipses:
        kind = type(fitted.emission).__name__
        raise TypeError(f"this picture is of mixtures with means and covariances, not of {kind}")
    rows = sample_rows(X, MOST_ROWS)[:, chosen].astype(np.float64)
    rows = rows[~np.isnan(rows).any(axis=1)]
    part = Mixture(fitted.weights, fitted.emission.marginal(chosen))
    reach = FAR * np.sqrt(part.emission.covariance.variances(*part.emission.shape))
    shown = [limits(*axis) for axis in zip(rows.T, part.emission.means.T, reach.T)]
    return part, rows, [short(names[j]) for j in chosen], shown


def grid_of(shown) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The points of a grid (m, 2), row by row, and its coordinates."""
    x, y = (np.linspace(low, high, CELLS) for low, high in shown)
    return np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)]), x, y
