"""The density of a mixture, and the regions that belong to its components, in the plane of two columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from fastem.models.gaussian.noise import WithNoise, alone
from fastem.models.gaussian.truncated import TruncatedGaussian
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
from fastem.plot.parameter_maps import chosen_places, density_of, fitted_rows, mixture_of, part_of

CELLS = 150  # of a grid in each direction
PEAK = 6.0 * np.linspace(-1, 1, 25)  # deviations from a component between the points of a grid: points more
MOST_PEAKS = 8
FAR = 3.1  # standard deviations, that 99 % of a component in a plane are within
LEVELS = (0.5, 0.75, 0.9, 0.95, 0.99)  # shares of the rows that the contours contain
DRAWN = 100_000  # rows, of which these are shares


def density(model, X, columns=None, *, ax=None) -> Any:
    """The density of the mixture as contours over the rows: each contains the share of rows that it names.

    The shares are of rows that are drawn from the mixture. Beside noise, which has the same density everywhere and so
    moves no contour, they are shares of the other rows. A contour that lies beyond the axes is not named.

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
    _, rows, names, shown, chosen = plane(model, X, columns)
    whole = density_of(model)
    is_noisy = isinstance(whole.emission, WithNoise)
    if is_noisy:
        whole = alone(Mixture(whole.weights, whole.emission.emission))
    part = Mixture(whole.weights, part_of(whole.emission, chosen))
    (ax,) = axes_grid(ax).flat
    draw_rows(ax, *rows.T, *shown)
    x, y = (with_peaks(axis, part.emission, j) for j, axis in enumerate(axes_within(part.emission, shown)))
    values = np.exp(log_density(part, points_of(x, y))).reshape(len(y), len(x))
    drawn = whole.sample(DRAWN, np.random.default_rng(0))[0][:, chosen]
    heights = np.exp(np.quantile(log_density(part, drawn), np.subtract(1, LEVELS)))
    named = [(height, share) for height, share in zip(heights, LEVELS) if values.min() < height < values.max()]
    colours = colours_of("viridis", np.linspace(0.85, 0, len(LEVELS)))[: len(named)]
    if named:
        levels = [height for height, _ in named]
        ax.contour(x, y, values, levels=levels[::-1], colors=colours[::-1], linewidths=1.2)
    for (_, share), line in zip(named, colours):
        ax.plot([], [], color=line, linewidth=1.2, label=f"{share:.0%}")
    legend(ax, emptiest_corner(values, x, y))
    title = "density: shares inside the contours" + (", without noise" if is_noisy else "")
    ax.set(xlabel=names[0], ylabel=names[1], xlim=shown[0], ylim=shown[1], title=title)
    return ax


def log_density(mixture, rows) -> np.ndarray:
    """(n,)"""
    return logsumexp(mixture.log_joint(rows), axis=1)


def with_peaks(axis, emission, j) -> np.ndarray:
    """The points of an axis, and more across the narrowest components of column j that would lie between them."""
    deviations = np.sqrt(emission.covariance.variances(*emission.shape)[:, j])
    narrow = np.argsort(deviations)[:MOST_PEAKS]
    narrow = narrow[deviations[narrow] < axis[1] - axis[0]]
    more = emission.means[narrow, j] + deviations[narrow] * PEAK[:, None]
    return np.unique(np.append(axis, more[(more > axis[0]) & (more < axis[-1])]))


def emptiest_corner(values, x, y) -> str:
    """The corner of a grid (n_y, n_x) in which a density is least, as matplotlib calls it: a legend there hides
    least of the contours, which its own choice does not see."""
    (left, right), (lower, upper) = (
        (axis < (2 * axis[0] + axis[-1]) / 3, axis > (axis[0] + 2 * axis[-1]) / 3) for axis in (x, y)
    )
    corners = {
        f"{v} {h}": values[np.ix_(rows, columns)]
        for v, rows in (("upper", upper), ("lower", lower))
        for h, columns in (("right", right), ("left", left))
    }
    return min(corners, key=lambda corner: corners[corner].max())


def regions(model, X, columns=None, *, ax=None) -> Any:
    """Where each component is the most probable, the stronger its colour the surer, over the rows.

    Parameters and return value are those of :func:`density`. Of more than two columns the regions are those of the
    marginal mixture of the two: rows are drawn by what the whole model says only where there are two.
    """
    from matplotlib.colors import to_rgb

    part, rows, names, shown, chosen = plane(model, X, columns)
    (ax,) = axes_grid(ax).flat
    x, y = axes_within(part.emission, shown)
    grid, fitted = points_of(x, y), mixture_of(model)
    whole = fitted.emission.shape[1] == 2  # as the rows are told
    posterior = fitted.posterior(grid[:, np.argsort(chosen)]) if whole else part.posterior(grid)
    best = posterior.argmax(axis=1)
    image = np.empty((len(grid), 4))
    image[:, :3] = np.array([to_rgb(colour(k)) for k in range(posterior.shape[1])])[best]
    image[:, 3] = (
        0.55 * (posterior.max(axis=1) - 1 / posterior.shape[1]) * posterior.shape[1] / max(1, posterior.shape[1] - 1)
    )
    extent = [*x[[0, -1]], *y[[0, -1]]]
    ax.imshow(np.clip(image, 0, 1).reshape(len(y), len(x), 4), origin="lower", extent=extent, aspect="auto", zorder=0)
    if posterior.shape[1] > 1:
        ax.contour(x, y, best.reshape(len(y), len(x)), levels=np.arange(posterior.shape[1] - 1) + 0.5, colors=GREY)
    draw_rows(ax, *rows.T, *shown)
    for k, mean in enumerate(part.emission.marginal([0, 1]).means):
        label_component(ax, k, *mean)
    ax.set(xlabel=names[0], ylabel=names[1], xlim=shown[0], ylim=shown[1], title="the most probable component")
    return ax


def plane(model, X, columns) -> tuple[Mixture, np.ndarray, list[str], list[tuple[float, float]], list[int]]:
    """The density of two columns, their complete rows, names, the ends of their axes, and their places."""
    fitted, X, names = fitted_rows(model, X)
    chosen = chosen_places(model, columns, names)[: None if columns is not None else 2]
    if len(chosen) != 2:
        raise ValueError(f"columns must choose two columns, the axes of this picture. Got {columns!r} instead.")
    if not fitted.emission.has_ellipses:
        kind = type(fitted.emission).__name__
        raise TypeError(f"this picture is of mixtures with means and covariances, not of {kind}")
    rows = sample_rows(X, MOST_ROWS)[:, chosen].astype(np.float64)
    rows = rows[~np.isnan(rows).any(axis=1)]
    whole = density_of(model)
    part = Mixture(whole.weights, part_of(whole.emission, chosen))
    reach = FAR * np.sqrt(part.emission.covariance.variances(*part.emission.shape))
    shown = [limits(*axis) for axis in zip(rows.T, part.emission.means.T, reach.T)]
    return part, rows, [short(names[j]) for j in chosen], shown, chosen


def axes_within(emission, shown) -> list[np.ndarray]:
    """The coordinates of a grid, within the box of truncated components."""
    ends = np.transpose(shown)
    if isinstance(emission, TruncatedGaussian):
        ends = np.clip(ends, *emission.box)
    return [np.linspace(low, high, CELLS) for low, high in ends.T]


def points_of(x, y) -> np.ndarray:
    """The points of a grid (m, 2), row by row."""
    return np.column_stack([axis.ravel() for axis in np.meshgrid(x, y)])
