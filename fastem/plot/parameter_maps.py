"""Pictures of parameters as heat maps, and what every picture takes from a model: its mixture, rows and names."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators.estimator import checked_rows, predictive, require_fitted
from fastem.estimators.sides_of_fit import MEAN_WEIGHTS
from fastem.families.factor_analysis import FactorEstimator
from fastem.families.own import OwnModel
from fastem.models.gate import Gate
from fastem.models.gaussian.student_t import StudentT
from fastem.models.gaussian.truncated import TruncatedGaussian
from fastem.models.gaussian.variational import VariationalGaussian, predictive_mixture
from fastem.models.mixture import Mixture
from fastem.plot.canvas import axes_grid, colour_bar, colours_of, heat_map
from fastem.rows.sources.columns import choose, numbered_names
from fastem.rows.sources.open_rows import in_memory
from fastem.rows.validation import as_matrix, column_names, require_finite

FAR, SHARES = "RdBu_r", "cividis"  # colours of deviations from a mean, and of probabilities
MOST_FAR = 2.0  # standard deviations, from which on colours are full
DRAWN = 4000  # rows of each component


def parameters(model, columns=None, *, names=None, ax=None) -> Any:
    """A parameter of each component (down) and column (across): means, rates, probabilities of each code.

    The colour of a cell says how far the component's mean of the column lies from the mean of all components, in
    standard deviations of the column under the fit, from -2 to 2: a column that separates nothing is pale. Student-t
    components of which one has no variance have colours in scales, the roots of their scale matrices. Probabilities
    have colours from 0 to 1. After a fit with covariates the weights are the means of its rows' weights.

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
    shares = np.array([codes[i] is not None or title == "probabilities" for i in order])
    far, unit = separations(mixture_of(model), K)
    far = np.where(shares, 0, far[:, places[order]])
    (ax,) = axes_grid(ax).flat
    if shares.any():
        colour_bar(ax, SHARES, 0, 1, "probability")
    if not shares.all():
        colour_bar(ax, FAR, -MOST_FAR, MOST_FAR, f"mean of the component − mean of all, in {unit}")
    colours = np.where(
        shares[:, None], colours_of(SHARES, np.where(shares, values, 0)), colours_of(FAR, 0.5 + far / (2 * MOST_FAR))
    )
    heat_map(ax, values, [str(k) for k in range(K)], labels, colours=colours)
    ax.set(ylabel="component", title=title.replace("_", " "))
    return ax


def separations(mixture, K) -> tuple[np.ndarray, str]:
    """(K, d): how far the mean of a column in a component lies from its mean in the mixture, in standard deviations of
    the mixture, and the word for these; of families that do not state them, from rows that are drawn. Of Student-t
    components without a variance, in the scales that they have."""
    emission, weights = mixture.emission, mixture.weights[:K] / mixture.weights[:K].sum()
    d, unit = emission.shape[1], "deviations"
    if emission.has_ellipses:
        means, variances = np.asarray(emission.means), emission.covariance.variances(K, d)
    else:
        drawn = [emission.sample(k, DRAWN, np.random.default_rng(0)) for k in range(K)]
        means, variances = (np.array([moment(rows, axis=0) for rows in drawn]) for moment in (np.mean, np.var))
    if isinstance(emission, StudentT):
        nu = emission.degrees_of_freedom[:, None]
        variances, unit = (variances * nu / (nu - 2), unit) if (nu > 2).all() else (variances, "scales")
    mean = weights @ means
    deviation = np.sqrt(weights @ (variances + (means - mean) ** 2))
    return (means - mean) / np.where(deviation > 0, deviation, 1), unit


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
    (ax,) = axes_grid(ax).flat
    most = float(np.abs(values).max()) or 1.0
    colour_bar(ax, "PuOr", -most, most, "loading")
    colours = colours_of("PuOr", 0.5 + 0.5 * values / most)
    names = fitted_names(model, values.shape[1])
    heat_map(ax, values, [str(k) for k in range(len(values))], names, colours=colours)
    ax.set(ylabel="factor", title="loadings")
    return ax


def mixture_of(model) -> Mixture:
    """The mixture of an estimator, or itself."""
    drawn = model.model_ if hasattr(type(model), "model_") else model
    if not isinstance(drawn, (Mixture, OwnModel)):
        raise TypeError(
            "this picture expects a fitted mixture or a fastem.models.mixture.Mixture. "
            f"Got {type(model).__name__} instead."
        )
    return drawn


def fitted_rows(model, X):
    """The mixture, its rows, checked, and the names of their columns."""
    drawn = ungated_mixture_of(model)
    require_in_memory(X)
    names = column_names(X)
    if drawn is not model:
        X = checked_rows(model, X)
    else:
        X = as_matrix(X, type(model).__name__)
        require_finite(X)
        if X.shape[1] != drawn.emission.shape[1]:
            raise ValueError(f"X has {X.shape[1]} columns, but this mixture has {drawn.emission.shape[1]}")
    return drawn, X, fitted_names(model, X.shape[1]) if names is None else [str(name) for name in names]


def ungated_mixture_of(model) -> Mixture:
    """The same; ValueError where its weights are those of no row alone."""
    drawn = mixture_of(model)
    shares = getattr(drawn, "shares", None)
    if isinstance(shares, Gate) and shares.coefficients is not None:
        raise ValueError(
            f"this picture takes no covariates, on which the weights of this {type(model).__name__} depend. "
            f"{MEAN_WEIGHTS} plot.parameters draws its components."
        )
    return drawn


def density_of(model) -> Mixture:
    """The mixture whose density `score_samples` of an estimator gives: of a Bayesian one the predictive density."""
    drawn = ungated_mixture_of(model)
    if drawn is not model:
        return predictive(model)
    return predictive_mixture(drawn) if isinstance(drawn.emission, VariationalGaussian) else drawn


def part_of(emission, columns):
    """The densities of some columns; ValueError where they are none of this family."""
    if len(columns) < emission.shape[1] and isinstance(emission, TruncatedGaussian) and not emission.by_column:
        raise ValueError(
            f"this picture is of {len(columns)} of {emission.shape[1]} columns that depend on each other within a "
            "box, so their density is no normal density on a box. Draw plot.responsibilities or plot.parameters, or "
            "fit covariance_type='diag'."
        )
    return emission.marginal(columns)


def require_in_memory(X) -> None:
    """TypeError where the rows are elsewhere."""
    if not in_memory(X) and not hasattr(X, "__array__") and not isinstance(X, (list, tuple)):
        raise TypeError(
            f"a picture is drawn of rows in memory, an array or a frame. Got {type(X).__name__} instead: give "
            "fastem.open_rows(X).spaced_rows(), some thousands of its rows."
        )


def fitted_names(model, d):
    """Names of the columns that a model was fitted with."""
    return [str(name) for name in getattr(model, "feature_names_in_", numbered_names(d))]


def chosen_places(model, columns, names):
    """The places of the columns chosen by name or number."""
    return choose(names, columns, f"this {type(model).__name__}")[0]
