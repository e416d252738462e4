"""Pictures of fits, with matplotlib (``pip install 'fastem[plot]'``).

==========================  ===========================================================================================
:func:`mixture`             the components over the data
:func:`responsibilities`    whose each row is
:func:`uncertainty`         rows that might as well belong to another component
:func:`parameters`          the parameters of the components as a heat map
:func:`history`             what the E-step and the M-step of each iteration gained
:func:`restarts`            the log-likelihoods of several fits
:func:`loadings`            of FactorAnalysis and PPCA
==========================  ===========================================================================================

`ax` is where to draw: axes, an array of them, or a figure to put new axes into; a new figure by default. The axes come
out. Of more than a million rows a million drawn at random are looked at, the same each time.
"""

from __future__ import annotations

import numpy as np

from fastem.drawing import (
    GREY,
    MOST_POINTS,
    MOST_ROWS,
    axes_grid,
    colour,
    draw_histogram,
    draw_rows,
    heat_map,
    label_component,
    limits,
    line_style,
    marker,
    require_file_type,
    sample_rows,
    short,
)
from fastem.latent_factors import FactorEstimator
from fastem.mixture import Mixture
from fastem.validation import as_matrix, column_names, require_finite

__all__ = ["history", "loadings", "mixture", "parameters", "responsibilities", "restarts", "uncertainty"]

FEW_COLUMNS = 4  # of a grid of pairs, unless others are chosen
CIRCLE = np.array([f(np.linspace(0, 2 * np.pi, 100)) for f in (np.cos, np.sin)])
DEVIATIONS = (1, 2)  # of the ellipses


def mixture(model, X, columns=None, *, ax=None):
    """The components over the data.

    Two columns: an ellipse at one and at two standard deviations of each component, over the rows; more than 3000 rows
    are drawn as a histogram. One column: the weighted densities over a histogram. More columns: both, for all pairs.
    A mixture of another family than the Gaussian is drawn so for one column (counts: the probability of each); of
    several columns its :func:`parameters` are drawn.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.mixture.Mixture`
    X : (n, d) array, data frame or Arrow table
    columns : sequence of int or str, optional
        Default: the first four.
    ax : axes, array of axes, or figure, optional

    Returns
    -------
    Axes, or for m > 2 columns an (m, m) array of them

    Examples
    --------
    Without `ax`: a figure of pyplot, for ``pyplot.show()``. Here a figure that is only written:

    >>> from matplotlib.figure import Figure
    >>> from fastem import GaussianMixture, plot
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> figure = Figure()
    >>> axes = plot.mixture(GaussianMixture(2, random_state=0).fit(X), X, ax=figure)
    >>> len(axes.patches)  # two ellipses for each component
    4
    """
    fitted, X, names = _fitted(model, X)
    if X.shape[1] > 1 and not hasattr(fitted.emission, "marginal"):
        return parameters(model, columns, names=names, ax=ax)
    chosen = _chosen(columns, names)[: None if columns is not None else FEW_COLUMNS]
    emission = fitted.emission.marginal(chosen) if X.shape[1] > 1 else fitted.emission
    X = sample_rows(X, MOST_ROWS)[:, chosen].astype(np.float64)
    names = [short(names[j]) for j in chosen]
    shown = [limits(X[:, j], *_reach(emission, j)) for j in range(len(chosen))]
    if len(chosen) == 1:
        return _draw_density(axes_grid(ax)[0, 0], Mixture(fitted.weights, emission), X[:, 0], shown[0], names[0])
    if len(chosen) == 2:
        return _draw_plane(axes_grid(ax)[0, 0], emission, X, 0, 1, shown, names)
    axes = axes_grid(ax, len(chosen), len(chosen), cell=(2.2, 1.9))
    for i, j in np.ndindex(axes.shape):
        if j > i:
            axes[i, j].set_axis_off()
        elif j == i:
            part = Mixture(fitted.weights, emission.marginal([j]))
            _draw_density(axes[i, j], part, X[:, j], shown[j], names[j], in_grid=True)
            axes[i, j].set(ylabel=names[i] if i == 0 else "", yticks=[])
        else:
            _draw_plane(axes[i, j], emission, X, j, i, shown, names, size="small")
        axes[i, j].label_outer()
    return axes


def responsibilities(model, X, columns=None, *, ax=None):
    """Whose each row is: the colours of the components, mixed by their posterior probabilities.

    The marker is that of the most probable component. One column: the probabilities along it. Of more than 3000 rows
    3000 drawn at random are shown.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.mixture.Mixture`, of any family
    X : (n, d) array, data frame or Arrow table
    columns : two of int or str, optional
        Default: the first two.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
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
        own = labels == k
        ax.scatter(x[own], y[own], s=14, c=np.clip(mixed[own], 0, 1), marker=marker(k), linewidths=0)
    for k in np.flatnonzero(posterior.sum(axis=0)):
        label_component(ax, k, *np.average([x, y], axis=1, weights=posterior[:, k]))
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def uncertainty(model, X, columns=None, *, ax=None):
    """Rows that might as well belong to another component: 1 - the largest responsibility, as colour and size.

    Parameters, thinning and return value are those of :func:`responsibilities`.
    """
    x, y, posterior, names = _posterior_of(model, X, columns)
    (ax,) = axes_grid(ax).flat
    from matplotlib.colors import LinearSegmentedColormap

    value = 1 - posterior.max(axis=1)
    if y is None:
        ax.plot(x, value, color=colour(1))
        ax.set(xlabel=names[0], ylabel="uncertainty", ylim=(-0.03, 1.03))
        return ax
    order = np.argsort(value)  # the uncertain ones on top
    points = ax.scatter(
        x[order],
        y[order],
        c=value[order],
        s=6 + 50 * value[order],
        cmap=LinearSegmentedColormap.from_list("uncertainty", [GREY, colour(4), colour(1)]),
        vmin=0,
        vmax=0.5,  # between two components; more takes three
        linewidths=0,
    )
    ax.figure.colorbar(points, ax=ax, label="uncertainty", extend="max" if value.max() > 0.5 else "neither")
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax


def parameters(model, columns=None, *, names=None, ax=None):
    """A parameter of each component (down) and column (across): means, rates, whatever has the shape (K, d).

    Coloured in each column from the least to the largest of the components.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.mixture.Mixture`
    columns : sequence of int or str, optional
        Default: all.
    names : sequence of str, optional
        Of all columns; those that the model was fitted with by default.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    emission = _mixture_of(model).emission
    candidates = getattr(emission, "arrays", ("means",))
    name = next((name for name in candidates if np.shape(getattr(emission, name, None)) == emission.shape), None)
    if name is None:
        raise TypeError(f"{type(emission).__name__} has no parameter for each component and column that could be drawn")
    K, d = emission.shape
    names = _names(model, d) if names is None else list(names)
    chosen = _chosen(columns, names)
    values = np.asarray(getattr(emission, name))[:, chosen]
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    shade = np.where(span > 0, (values - low) / np.where(span > 0, span, 1), 0.5)
    (ax,) = axes_grid(ax).flat
    heat_map(ax, values, [str(k) for k in range(K)], [names[j] for j in chosen], shade=shade, cmap="cividis")
    ax.set(ylabel="component", title=name)
    return ax


def loadings(model, *, ax=None):
    """The loadings of each factor (down) on each column (across), from negative (orange) to positive (purple).

    Parameters
    ----------
    model : fitted FactorAnalysis or PPCA
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    if not isinstance(model, FactorEstimator):
        raise TypeError(f"loadings are those of FactorAnalysis and PPCA; {type(model).__name__} has none")
    model._require_fitted()
    values = model.components_
    if not len(values):
        raise ValueError("there are no factors, and so no loadings to draw")
    shade = 0.5 + 0.5 * values / (np.abs(values).max() or 1)
    (ax,) = axes_grid(ax).flat
    names = _names(model, values.shape[1])
    heat_map(ax, values, [str(k) for k in range(len(values))], names, shade=shade, cmap="PuOr")
    ax.set(ylabel="factor", title="loadings")
    return ax


def history(fit, *, gap=False, ax=None):
    """The mean log-likelihood of each iteration as a staircase: what its M-step and then its E-step gained.

    Between two iterations stands the lower bound that the M-step has raised; the E-step makes it touch. A fit that
    tells no bounds (read from a file, or of FactorAnalysis) is drawn by its log-likelihoods.

    Parameters
    ----------
    fit : :class:`fastem.EMResult` or fitted estimator
    gap : bool
        Draw how far each value lies below the last one, on a logarithmic axis: how fast EM converges.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    values, bounds = _trace(fit)
    (ax,) = axes_grid(ax).flat
    height = (lambda y: np.where(y < values[-1], values[-1] - y, np.nan)) if gap else np.asarray
    iteration = np.arange(len(values))
    line = {"color": GREY, "linewidth": 1, "zorder": 1}
    if bounds is None:
        ax.plot(iteration, height(values), **line)
    else:
        middle = iteration[1:] - 0.5
        ax.vlines(middle, height(values[:-1]), height(bounds), color=colour(0), linewidth=3, label="M-step")
        ax.vlines(iteration[1:], height(bounds), height(values[1:]), color=colour(1), linewidth=3, label="E-step")
        ax.hlines(height(values[:-1]), iteration[:-1], middle, **line)
        ax.hlines(height(bounds), middle, iteration[1:], **line)
        ax.plot(middle, height(bounds), "_", color=colour(0), label="bound")
    size = 4 if len(values) <= 50 else 2
    ax.plot(iteration, height(values), "o", markersize=size, color=colour(2), label="log-likelihood")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="iteration", ylabel="below the last one" if gap else "mean log-likelihood")
    if gap:
        ax.set_yscale("log")
    ax.legend(frameon=False, fontsize="small")
    return ax


def restarts(fits, *, ax=None):
    """The mean log-likelihoods of several fits to the same data, beside each other; the best in bold.

    Parameters
    ----------
    fits : sequence of :class:`fastem.EMResult` or fitted estimators
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    traces = [_trace(fit)[0] for fit in fits]
    if not traces:
        raise ValueError("fits is empty: there is nothing to draw")
    best = int(np.argmax([values[-1] for values in traces]))
    (ax,) = axes_grid(ax).flat
    for i, values in enumerate(traces):
        ax.plot(
            values,
            color=colour(i),
            linestyle=line_style(i),
            linewidth=3 if i == best else 1.2,
            marker=marker(i),
            markevery=[len(values) - 1],
            zorder=3 if i == best else 2,
            label=f"{i}: {values[-1]:.6g}" + (" (best)" if i == best else ""),
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="iteration", ylabel="mean log-likelihood")
    if len(traces) <= 12:
        ax.legend(frameon=False, fontsize="small")
    return ax


def write(path, model, X) -> None:
    """The picture of a mixture in a file, of the kind that the name ends in; without pyplot, so on any machine."""
    require_file_type(path)
    from matplotlib.figure import Figure

    m = min(X.shape[1], FEW_COLUMNS)
    figure = Figure(figsize=(6.4, 4.8) if m <= 2 else (2.2 * m, 1.9 * m), layout="constrained")
    mixture(model, X, ax=figure)
    figure.draw_without_rendering()  # the room that the labels need is known after a first round
    figure.savefig(path, dpi=150)


def _mixture_of(model) -> Mixture:
    """The mixture of an estimator, or itself."""
    found = model.model_ if hasattr(type(model), "model_") else model
    if not isinstance(found, Mixture):
        raise TypeError(f"a mixture is drawn here, fitted or a fastem.mixture.Mixture, and no {type(model).__name__}")
    return found


def _fitted(model, X):
    """The mixture, its rows, checked, and the names of their columns."""
    found, names = _mixture_of(model), column_names(X)
    if found is not model:
        X = model._new_rows(X)
    else:
        X = as_matrix(X, model)
        require_finite(X)
        if X.shape[1] != found.emission.shape[1]:
            raise ValueError(f"X has {X.shape[1]} columns, but this mixture has {found.emission.shape[1]}")
    return found, X, _names(model, X.shape[1]) if names is None else [str(name) for name in names]


def _names(model, d):
    return [str(name) for name in getattr(model, "feature_names_in_", [f"x{j}" for j in range(d)])]


def _chosen(columns, names):
    """The places of the columns that are asked for by number or name."""
    if columns is None:
        return list(range(len(names)))
    places = []
    for column in columns:
        if isinstance(column, str) and column in names:
            places.append(names.index(column))
        elif not isinstance(column, str) and column in range(len(names)):
            places.append(int(column))
        else:
            raise ValueError(f"there is no column {column!r}: choose from {', '.join(names)}, or 0 to {len(names) - 1}")
    if not places or len(set(places)) < len(places):
        raise ValueError(f"columns must name at least one, and none twice: {columns!r}")
    return places


def _posterior_of(model, X, columns):
    """x, y and responsibilities of the rows to draw, and the names of the axes; of one column: along it, y None."""
    fitted, X, names = _fitted(model, X)
    chosen = _chosen(columns, names)[: None if columns is not None else 2]
    if len(chosen) > 2 or (len(chosen) < 2 and X.shape[1] > 1):
        raise ValueError(f"two columns make the axes of this picture. Got {columns!r} instead.")
    names = [short(names[j]) for j in chosen]
    if X.shape[1] == 1:
        x = sample_rows(X, MOST_ROWS)[:, 0].astype(np.float64)
        x = _grid(fitted.emission, x, limits(x))
        return x, None, fitted.posterior(x[:, None]), names
    X = sample_rows(X, MOST_POINTS)
    return *X[:, chosen].astype(np.float64).T, fitted.posterior(X), names


def _trace(fit):
    """Mean log-likelihood of the start and after each iteration, and the bounds between them where they are known."""
    for name in ("history", "history_", "loglike_"):
        if hasattr(fit, name):
            values = np.asarray(getattr(fit, name), np.float64)
            break
    else:
        raise TypeError(f"a fastem.EMResult or a fitted estimator has a history; {type(fit).__name__} has none")
    steps = getattr(fit, "steps", getattr(fit, "steps_", ()))
    bounds = np.array([step.bound for step in steps])
    known = len(bounds) == len(values) - 1 > 0 and np.isfinite(bounds).all()
    return values, bounds if known else None


def _reach(emission, j):
    """Where the components of one column lie and how far they reach; nothing for families without standard errors."""
    if not hasattr(emission, "marginal"):
        return (), ()
    variances = emission.covariance.variances(*emission.shape)[:, j]
    return emission.means[:, j], DEVIATIONS[-1] * np.sqrt(variances)


def _grid(emission, x, shown):
    """Where densities of one column are worked out: between the rows; of counts at each; of Gaussians at all peaks."""
    low, high = max(x.min(), shown[0]), min(x.max(), shown[1])
    if getattr(emission, "discrete", False):
        return np.arange(np.ceil(low), high + 1, max(1, np.ceil((high - low) / 400)))
    if not hasattr(emission, "marginal"):
        return np.linspace(low, high, 400)
    centres, reach = _reach(emission, 0)
    peaks = centres[:, None] + reach[:, None] * np.linspace(-2, 2, 41)
    return np.unique(np.clip(np.append(peaks, np.linspace(*shown, 400)), *shown))


def _draw_density(ax, fitted, x, shown, name, in_grid=False):
    """The weighted densities of one column over its histogram."""
    import matplotlib

    discrete = getattr(fitted.emission, "discrete", False)
    tallest = draw_histogram(ax, x, *shown, discrete)
    grid = _grid(fitted.emission, x, shown)
    joint = np.exp(fitted.log_joint(grid[:, None]))
    dots = {"marker": ".", "markersize": 4} if discrete and len(grid) < 60 else {}
    total = joint.sum(axis=1)
    ax.plot(grid, total, color=matplotlib.rcParams["text.color"], linewidth=0.8, label="mixture")
    top = 1.15 * max(tallest, min(total.max(), 2 * tallest))  # a narrow peak must not flatten the rest
    for k, density in enumerate(joint.T):
        ax.plot(grid, density, color=colour(k), linestyle=line_style(k), linewidth=1.8, **dots)
        place = int(np.argmax(density))
        label_component(ax, k, grid[place], min(density[place], 0.85 * top), 6, "small" if in_grid else "medium")
    ax.set(xlabel=name, ylabel="probability" if discrete else "density", xlim=shown, ylim=(0, top))
    if not in_grid:
        ax.legend(frameon=False, fontsize="small")
    return ax


def _draw_plane(ax, emission, X, i, j, shown, names, size="medium"):
    """Ellipses of the components in the plane of columns i and j over the rows."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Polygon
    from matplotlib.patheffects import withStroke

    draw_rows(ax, X[:, i], X[:, j], shown[i], shown[j])
    part = emission.marginal([i, j])
    for k, (mean, covariance) in enumerate(zip(part.means, part.covariance.covariances)):
        deviation = np.sqrt(np.diagonal(covariance))
        slope = np.clip(covariance[0, 1] / (deviation[0] * deviation[1] or 1), -1, 1)  # the correlation
        root = deviation[:, None] * np.array([[1, 0], [slope, np.sqrt(1 - slope**2)]])
        for radius in DEVIATIONS:
            ellipse = Polygon(
                (mean[:, None] + radius * root @ CIRCLE).T,
                facecolor=to_rgba(colour(k), 0.05),
                edgecolor=colour(k),
                linestyle=line_style(k),
                linewidth=1.8 if radius == DEVIATIONS[0] else 1.2,
                path_effects=[withStroke(linewidth=2.6, foreground=ax.get_facecolor())],
            )
            ax.add_patch(ellipse)
        label_component(ax, k, *mean, size=size)
    ax.set(xlabel=names[i], ylabel=names[j], xlim=shown[i], ylim=shown[j])
    return ax
