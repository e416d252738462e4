"""Pictures of the components to which rows belong, and of how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.plot.canvas import (
    GREY,
    MOST_POINTS,
    MOST_ROWS,
    axes_grid,
    colour,
    label_component,
    limits,
    line_style,
    marker,
    sample_rows,
    short,
)
from fastem.plot.densities import FEW_COLUMNS, grid_of, there, title_of
from fastem.plot.parameter_maps import chosen_places, fitted_rows, mixture_of


def responsibilities(model, X, columns=None, *, ax=None) -> Any:
    """To which components each row belongs: their colours, mixed by their posterior probabilities.

    The marker is that of the most probable component. One column: the probabilities along it. Of more than 3000
    rows, a random 3000 are shown.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.models.mixture.Mixture`, of any family
    X : (n, d) array, data frame or Arrow table
    columns : two of int or str, optional
        Default: all pairs of the first four.
    ax : axes, array of axes, or figure, optional

    Returns
    -------
    Axes, or for m > 2 columns an (m - 1, m - 1) array of them
    """
    if columns is None and (pairs := pairs_of(X)):
        return _in_pairs(_draw_responsibilities, model, X, pairs, ax)
    ax = _draw_responsibilities(model, X, columns, ax=ax)
    ax.set_title(title_of(model, mixture_of(model)))
    return ax


def _draw_responsibilities(model, X, columns, *, ax):
    """The picture of one or two columns."""
    x, y, posterior, names = _posterior_of(model, X, columns)
    (ax,) = axes_grid(ax).flat
    from matplotlib.colors import to_rgb

    if y is None:
        for k, along in enumerate(posterior.T):
            ax.plot(x, along, color=colour(k), linestyle=line_style(k))
            place = int(np.argmax(along))
            label_component(ax, k, x[place], along[place], rise=-9)
        ax.set(xlabel=names[0], ylabel="responsibility", ylim=(-0.03, 1.03))
        return ax
    mixed = posterior @ np.array([to_rgb(colour(k)) for k in range(posterior.shape[1])])
    labels = posterior.argmax(axis=1)
    for k in np.unique(labels):
        of_k = labels == k
        ax.scatter(x[of_k], y[of_k], s=14, c=np.clip(mixed[of_k], 0, 1), marker=marker(k), linewidths=0)
    for k in np.flatnonzero(posterior.sum(axis=0)):
        label_component(ax, k, *np.average([x, y], axis=1, weights=posterior[:, k]))
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def uncertainty(model, X, columns=None, *, ax=None) -> Any:
    """How uncertain the component of each row is: 1 - the largest responsibility, as colour and size.

    Parameters, thinning and return value are those of :func:`responsibilities`.
    """
    if columns is None and (pairs := pairs_of(X)):
        axes = _in_pairs(_draw_uncertainty, model, X, pairs, ax)
        _uncertainty_bar(axes[0, 0], axes)
        return axes
    ax = _draw_uncertainty(model, X, columns, ax=ax)
    ax.set_title(title_of(model, mixture_of(model)))
    if ax.collections:
        _uncertainty_bar(ax, ax)
    return ax


def _uncertainty_bar(drawn, beside) -> None:
    """The bar of the colours of one picture, beside axes."""
    (points,) = drawn.collections
    extend = "max" if points.get_array().max() > points.norm.vmax else "neither"
    drawn.figure.colorbar(points, ax=beside, label="uncertainty", extend=extend)


def _draw_uncertainty(model, X, columns, *, ax):
    """The picture of one or two columns."""
    x, y, posterior, names = _posterior_of(model, X, columns)
    (ax,) = axes_grid(ax).flat
    from matplotlib.colors import LinearSegmentedColormap

    value = 1 - posterior.max(axis=1)
    if y is None:
        ax.plot(x, value, color=colour(1))
        ax.set(xlabel=names[0], ylabel="uncertainty", ylim=(-0.03, 1.03 - 1 / posterior.shape[1]))
        return ax
    order = np.argsort(value)  # the uncertain ones on top
    ax.scatter(
        x[order],
        y[order],
        c=value[order],
        s=6 + 50 * value[order],
        cmap=LinearSegmentedColormap.from_list("uncertainty", [GREY, colour(4), colour(1)]),
        vmin=0,
        vmax=0.5,  # between two components; with three it may be more
        linewidths=0,
    )
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def pairs_of(X) -> int:
    """How many columns are drawn in pairs; 0 for rows of one or two columns."""
    d = np.shape(X)[1] if np.ndim(X) == 2 else 0
    return min(d, FEW_COLUMNS) if d > 2 else 0


def _in_pairs(picture, model, X, m, ax):
    """A picture of two columns for all pairs of the first m, below the diagonal."""
    axes = axes_grid(ax, m - 1, m - 1, cell=(2.2, 1.9))
    for i, j in np.ndindex(axes.shape):
        if j > i:
            axes[i, j].set_axis_off()
            continue
        picture(model, X, [j, i + 1], ax=axes[i, j])
        axes[i, j].locator_params(nbins=3)
        axes[i, j].label_outer()
    axes[0, -1].set_title(title_of(model, mixture_of(model)), size="medium", loc="right")  # to the left there is room
    return axes


def _posterior_of(model, X, columns):
    """x, y and responsibilities of the rows to draw, and the names of the axes; of one column: along it, y None."""
    fitted, X, names = fitted_rows(model, X)
    chosen = chosen_places(model, columns, names)[: None if columns is not None else 2]
    if len(chosen) > 2 or (len(chosen) < 2 and X.shape[1] > 1):
        raise ValueError(f"columns must choose two columns, the axes of this picture. Got {columns!r} instead.")
    names = [short(names[j]) for j in chosen]
    if X.shape[1] == 1:
        x = sample_rows(X, MOST_ROWS)[:, 0].astype(np.float64)
        x = grid_of(fitted.emission, there(x), limits(there(x)))
        return x, None, fitted.posterior(x[:, None]), names
    X = sample_rows(X[~np.isnan(X[:, chosen]).any(axis=1)], MOST_POINTS)
    return *X[:, chosen].astype(np.float64).T, fitted.posterior(X), names
