"""Pictures of parameters as heat maps, and what every picture takes from a model: its mixture, rows and names."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators.estimator import checked_rows, require_fitted
from fastem.families.factor_analysis import FactorEstimator
from fastem.models.mixture import Mixture
from fastem.plot.canvas import axes_grid, heat_map
from fastem.rows.sources.columns import choose, numbered_names
from fastem.rows.validation import as_matrix, column_names, require_finite


def parameters(model, columns=None, *, names=None, ax=None) -> Any:
    """A parameter of each component (down) and column (across): means, rates, probabilities of each code.

    The colours of a column go from its least to its largest value.

    Parameters
    ----------
    model : fitted mixture estimator, or :class:`fastem.models.mixture.Mixture`
    columns : sequence of int or str, optional
        Default: all.
    names : sequence of str, optional
        Of all columns; by default those that the model was fitted with.
    ax : axes or figure, optional

    Returns
    -------
    Axes
    """
    emission = mixture_of(model).emission
    K, d = emission.shape
    names = fitted_names(model, d) if names is None else list(names)
    table = emission.column_parameters()
    if table is None:
        raise TypeError(f"{type(emission).__name__} has no parameter for each component and column to draw")
    title, values, places, codes = table
    labels = [names[j] if code is None else f"{names[j]}={code}" for j, code in zip(places, codes)]
    order = [i for place in chosen_places(model, columns, names) for i in np.flatnonzero(places == place)]
    values, labels = values[:, order], [labels[i] for i in order]
    low, span = values.min(axis=0), np.ptp(values, axis=0)
    shade = np.where(span > 0, (values - low) / np.where(span > 0, span, 1), 0.5)
    (ax,) = axes_grid(ax).flat
    heat_map(ax, values, [str(k) for k in range(K)], labels, shade=shade, cmap="cividis")
    ax.set(ylabel="component", title=title)
    return ax


def loadings(model, *, ax=None) -> Any:
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
        raise TypeError(f"loadings expects a fitted FactorAnalysis or PPCA; {type(model).__name__} has no loadings")
    require_fitted(model)
    values = model.components_
    if not len(values):
        raise ValueError("there are no loadings to draw, because the model has no factors")
    shade = 0.5 + 0.5 * values / (np.abs(values).max() or 1)
    (ax,) = axes_grid(ax).flat
    names = fitted_names(model, values.shape[1])
    heat_map(ax, values, [str(k) for k in range(len(values))], names, shade=shade, cmap="PuOr")
    ax.set(ylabel="factor", title="loadings")
    return ax


def mixture_of(model) -> Mixture:
    """The mixture of an estimator, or itself."""
    drawn = model.model_ if hasattr(type(model), "model_") else model
    if not isinstance(drawn, Mixture):
        raise TypeError(
            "this picture expects a fitted mixture or a fastem.models.mixture.Mixture. "
            f"Got {type(model).__name__} instead."
        )
    return drawn


def fitted_rows(model, X):
    """The mixture, its rows, checked, and the names of their columns."""
    drawn, names = mixture_of(model), column_names(X)
    if drawn is not model:
        X = checked_rows(model, X)
    else:
        X = as_matrix(X, type(model).__name__)
        require_finite(X)
        if X.shape[1] != drawn.emission.shape[1]:
            raise ValueError(f"X has {X.shape[1]} columns, but this mixture has {drawn.emission.shape[1]}")
    return drawn, X, fitted_names(model, X.shape[1]) if names is None else [str(name) for name in names]


def fitted_names(model, d):
    """Names of the columns that a model was fitted with."""
    return [str(name) for name in getattr(model, "feature_names_in_", numbered_names(d))]


def chosen_places(model, columns, names):
    """The places of the columns chosen by name or number."""
    return choose(names, columns, f"this {type(model).__name__}")[0]
