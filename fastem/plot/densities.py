"""Pictures of mixtures over their data."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.models.gaussian.student_t import StudentT
from fastem.models.gaussian.truncated import TruncatedGaussian
from fastem.models.mixture import Mixture
from fastem.plot.canvas import (
    GREY,
    MOST_ROWS,
    axes_grid,
    bar_ends,
    colour,
    draw_bars,
    draw_histogram,
    draw_rows,
    label_component,
    legend,
    limits,
    line_style,
    sample_rows,
    short,
)
from fastem.plot.parameter_maps import (
    chosen_places,
    density_of,
    fitted_names,
    fitted_rows,
    parameters,
    part_of,
    require_in_memory,
    ungated_mixture_of,
)
from fastem.rows.intervals import bounds_of, require_bounds
from fastem.rows.sources.open_beside import open_beside

MOST_PEAK = 6  # times the highest bar of a histogram, that a component is shown whole
LEAST_CELL = 0.6  # inches of a picture in a grid that has room for the numbers of components
FEW_COLUMNS = 4  # of a grid of pairs, unless columns are chosen
CIRCLE = np.array([f(np.linspace(0, 2 * np.pi, 100)) for f in (np.cos, np.sin)])
DEVIATIONS = (1, 2)  # of the ellipses


def mixture(model, X, columns=None, *, ax=None, lower=None, upper=None, sample_weight=None) -> Any:
    """The components over the data.

    Two columns: an ellipse at one and at two standard deviations of each component, over the rows; more than 3000 rows
    are drawn as a histogram. One column: the weighted densities over a histogram. More columns: both, for all pairs.
    Ellipses are of `means_` and `covariances_`: of Student-t components at one and two scales, the roots of their scale
    matrices, of truncated ones as they are before the truncation. Densities are those of `score_samples`: of a Bayesian
    mixture the predictive ones.
    For mixtures of other families than the Gaussian, one column is drawn so too (counts: the probability of each); for
    several columns their :func:`parameters` are drawn.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.models.mixture.Mixture`
    X : (n, d) array, data frame or Arrow table
    columns : sequence of int or str, optional
        Default: the first four.
    ax : axes, array of axes, or figure, optional
    lower, upper : (n,) or (n, 1) arrays, or names of columns, optional
        The bounds to which the values of the only column were fitted; see :meth:`fastem.GaussianMixture.fit`. The
        histogram is then theirs: each row lies evenly in its interval, an exact one in its bar, and one with an open
        end is in none. At least one row must have two bounds.
    sample_weight : (n,), optional
        Only with bounds: the counts of bins.

    Returns
    -------
    Axes, or for m > 2 columns an (m, m) array of them

    Examples
    --------
    Without `ax`, the picture is a figure of pyplot, for ``pyplot.show()``. Here it is another figure:

    >>> from matplotlib.figure import Figure
    >>> from fastem import GaussianMixture, plot
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> figure = Figure()
    >>> axes = plot.mixture(GaussianMixture(2, random_state=0).fit(X), X, ax=figure)
    >>> len(axes.patches)  # two ellipses for each component
    4
    """
    if lower is not None or upper is not None:
        return _draw_intervals(model, X, columns, {"lower": lower, "upper": upper}, sample_weight, ax)
    if sample_weight is not None:
        raise ValueError("sample_weight is drawn only with lower and upper. Leave it out.")
    fitted, X, names = fitted_rows(model, X)
    if X.shape[1] > 1 and not fitted.emission.has_ellipses:
        return parameters(model, columns, names=names, ax=ax)
    chosen = chosen_places(model, columns, names)[: None if columns is not None else FEW_COLUMNS]
    emission = part_of(fitted.emission, chosen) if X.shape[1] > 1 else fitted.emission
    density = density_of(model)
    kept = sample_rows(X, MOST_ROWS)
    values = kept[:, chosen].astype(np.float64)
    names = [short(names[j]) for j in chosen]
    empty = np.flatnonzero(np.isnan(values).all(axis=0))
    if len(empty):
        raise ValueError(
            f"every value of column {names[empty[0]]!r} of X is missing: choose other columns with columns="
        )
    shown = [limits(there(values[:, j]), *_reach(emission, j)) for j in range(len(chosen))]
    if len(chosen) == 1:
        part = density if X.shape[1] == 1 else Mixture(density.weights, part_of(density.emission, chosen))
        return _draw_density(axes_grid(ax)[0, 0], part, values[:, 0], shown[0], names[0])
    if len(chosen) == 2:
        (ax,) = axes_grid(ax).flat
        _draw_plane(ax, emission, values, shown, names)
        draw_apart(ax, fitted, kept, 0, 1, chosen)
        name_ellipses(ax, emission)
        ax.set_title(title_of(model, fitted))
        return ax
    axes = axes_grid(ax, len(chosen), len(chosen), cell=(2.2, 1.9))
    size = "small" if axes[0, 0].get_window_extent().height / axes[0, 0].figure.dpi > LEAST_CELL else 0
    for i, j in np.ndindex(axes.shape):
        if j > i:
            axes[i, j].set_axis_off()
        elif j == i:
            part = Mixture(density.weights, part_of(density.emission, [chosen[j]]))
            _draw_density(axes[i, j], part, values[:, j], shown[j], names[j], size)
            axes[i, j].set(ylabel=names[i] if i == 0 else "", yticks=[])
        else:
            part = part_of(fitted.emission, [chosen[j], chosen[i]])
            _draw_plane(axes[i, j], part, values[:, [j, i]], [shown[j], shown[i]], [names[j], names[i]], size)
            draw_apart(axes[i, j], fitted, kept, j, i, chosen)
        axes[i, j].locator_params(nbins=3)
        axes[i, j].tick_params(labelsize=size or "xx-small")
        axes[i, j].label_outer()
    name_ellipses(axes[0, -1], emission, axes[1, 0])
    axes[0, -1].set_title(title_of(model, fitted), size="medium", loc="right")  # to the left there is room
    return axes


def title_of(model, fitted) -> str:
    """The kind of the model and its number of components."""
    K = fitted.emission.shape[0]
    kind = type(model).__name__
    return f"{kind}, {K} component{'s' * (K != 1)}"


def name_ellipses(ax, emission, drawn=None) -> None:
    """A legend of the ellipses and of the rows that are drawn apart, in `ax`; drawn: axes that hold them."""
    from matplotlib.lines import Line2D

    named = [line for line in (ax if drawn is None else drawn).collections if not line.get_label().startswith("_")]
    widths = dict(zip(DEVIATIONS, (1.8, 1.2)))
    unit = "scale" if isinstance(emission, StudentT) else "standard deviation"
    before = " before truncation" if isinstance(emission, TruncatedGaussian) else ""
    ellipses = [
        Line2D([], [], color=GREY, linewidth=width, label=f"{radius} {unit}{'s' * (radius > 1)}{before}")
        for radius, width in widths.items()
    ]
    ax.legend(handles=[*ellipses, *named], fontsize="x-small", framealpha=0.8, edgecolor="none", loc="best")


def draw_apart(ax, fitted, X, i, j, chosen) -> None:
    """Noise, and the box that it fills, and the outliers of Student-t components, in the plane of two columns."""
    import matplotlib

    dark = matplotlib.rcParams["text.color"]  # of no component
    apart, what = rows_apart(fitted, X)
    if what:
        x, y = X[apart][:, [chosen[i], chosen[j]]].astype(np.float64).T
        ax.scatter(x, y, s=18, marker="x", color=dark, linewidths=0.8, label=what, zorder=3)
    box = getattr(fitted.emission, "box", None)
    if box is not None:
        (x, y), (right, top) = box[:, [chosen[i], chosen[j]]]
        ax.plot([x, right, right, x, x], [y, y, top, top, y], color=dark, linestyle=":", linewidth=1)


def rows_apart(fitted, X) -> tuple[np.ndarray, str]:
    """Which rows are noise, or outliers of all Student-t components, and the word for them; "" where there are none.

    An outlier lies outside the ellipse that holds 99.9 % of the rows of a Gaussian with this scale matrix."""
    emission, K = fitted.emission, fitted.emission.shape[0]
    if fitted.n_components > K:
        apart, what = fitted.posterior(X).argmax(axis=1) == K, "noise"
    elif isinstance(emission, StudentT):
        from scipy.special import chdtri

        inverse = np.linalg.inv(emission.dense_covariances())
        differences = X[:, None, :].astype(np.float64) - emission.means
        squares = np.einsum("nkd,kde,nke->nk", differences, inverse, differences)
        apart, what = squares.min(axis=1) > chdtri(X.shape[1], 0.001), "outliers"
    else:
        return np.zeros(len(X), bool), ""
    return apart, what if apart.any() else ""


def _draw_intervals(model, X, columns, sides, sample_weight, ax):
    """The densities of one column over the histogram of its intervals and exact values."""
    fitted = ungated_mixture_of(model)
    require_in_memory(X)
    X = np.reshape(X, (-1, 1)) if np.ndim(X) == 1 else X
    if fitted.emission.shape[1] != 1:
        raise ValueError(
            f"lower and upper are drawn for a mixture of one column, but this one has {fitted.emission.shape[1]}."
        )
    if any(side is None for side in sides.values()):
        raise ValueError("lower and upper belong together. Give both.")
    blocks, _ = open_beside(X, sides, sample_weight, type(model).__name__)
    if blocks.n_features != 3:
        raise ValueError(
            f"X, lower and upper have {blocks.n_features} columns together, but this picture is of one column. Give "
            "one column of each."
        )
    names = fitted_names(model, 1) if blocks.names is None else [str(blocks.names[0])]
    chosen_places(model, columns, names)
    wide, weight = blocks.whole().X, blocks.whole().sample_weight
    require_bounds(wide, 1, names, blocks.place)
    (lower,), (upper,) = bounds_of(wide, 1)
    weight = np.ones(len(lower)) if weight is None else weight
    known = (weight > 0) & (np.isfinite(lower) | np.isfinite(upper))
    if not (known & np.isfinite(lower) & np.isfinite(upper)).any():
        raise ValueError("No row of positive weight has two finite bounds, so there is no histogram to draw.")
    lower, upper, weight = lower[known], upper[known], weight[known]
    x = np.concatenate([lower, upper])
    x = np.unique(x[np.isfinite(x)])
    ax, shown = axes_grid(ax)[0, 0], limits(x, *_reach(fitted.emission, 0))
    ends = bar_ends(lower, upper, shown, fitted.emission.discrete)
    return _draw_density(ax, density_of(model), x, shown, short(names[0]), bars=lambda ax: draw_bars(ax, *ends, weight))


def there(rows):
    """Rows, or values of one column, without those that have missing values."""
    missing = np.isnan(rows)
    return rows[~(missing.any(axis=1) if rows.ndim == 2 else missing)]


def _reach(emission, j):
    """Where the components of one column lie and how far they reach; nothing for families without ellipses."""
    if not emission.has_ellipses:
        return (), ()
    variances = emission.covariance.variances(*emission.shape)[:, j]
    return emission.means[:, j], DEVIATIONS[-1] * np.sqrt(variances)


def grid_of(emission, x, shown):
    """Where densities of one column are computed: between the rows; for counts at each; for Gaussians also at peaks,
    and within their box where there is one."""
    low, high = max(x.min(), shown[0]), min(x.max(), shown[1])
    if emission.discrete:
        return np.arange(np.ceil(low), high + 1, max(1, np.ceil((high - low) / 400)))
    if not emission.has_ellipses:
        return np.linspace(low, high, 400)
    if isinstance(emission, TruncatedGaussian):
        shown = np.clip(shown, *emission.box[:, 0])
    centres, reach = _reach(emission, 0)
    peaks = centres[:, None] + reach[:, None] * np.linspace(-2, 2, 41)
    return np.unique(np.clip(np.append(peaks, np.linspace(*shown, 400)), *shown))


def _draw_density(ax, fitted, x, shown, name, size=None, bars=None):
    """The weighted densities of one column over its histogram; `size` of the numbers in a grid, 0 for none.

    bars : callable, optional
        ``bars(ax)`` draws another histogram and gives the height of its highest bar.
    """
    import matplotlib

    discrete, x = fitted.emission.discrete, there(x)
    tallest = draw_histogram(ax, x, *shown, discrete) if bars is None else bars(ax)
    grid = grid_of(fitted.emission, x, shown)
    joint = np.exp(fitted.log_joint(grid[:, None]))
    dots = {"marker": ".", "markersize": 4} if discrete and len(grid) < 60 else {}
    total = joint.sum(axis=1)
    ax.plot(grid, total, color=matplotlib.rcParams["text.color"], linewidth=0.8, label="mixture")
    top = 1.15 * max(tallest, min(total.max(), MOST_PEAK * tallest))  # a spike must not flatten the rest
    for k, density in enumerate(joint.T):
        ax.plot(grid, density, color=colour(k), linestyle=line_style(k), linewidth=1.8, **dots)
        place = int(np.argmax(density))
        label_component(ax, k, grid[place], min(density[place], 0.85 * top), 6, "medium" if size is None else size)
    ax.set(xlabel=name, ylabel="probability" if discrete else "density", xlim=shown, ylim=(0, top))
    if size is None:
        legend(ax)
    return ax


def _draw_plane(ax, part, X, shown, names, size="medium"):
    """Ellipses of the components of two columns over the rows."""
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Polygon
    from matplotlib.patheffects import withStroke

    draw_rows(ax, *there(X).T, *shown)
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
    ax.set(xlabel=names[0], ylabel=names[1], xlim=shown[0], ylim=shown[1])
    return ax
