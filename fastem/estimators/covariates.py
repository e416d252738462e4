"""Rows with covariates, on which the weights of a mixture depend: the door, and the methods that take `covariates`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from fastem.estimators import wide_rows
from fastem.estimators.checks import check_features, require_same_names
from fastem.estimators.estimator import checked_new, require_fitted
from fastem.kernels.threads import for_pass
from fastem.models.gate import Gate, GateRule
from fastem.models.gated_rows import GatedRows
from fastem.models.mixture import Mixture
from fastem.rows.scale import has_square
from fastem.rows.side_columns import SideBlocks, named_columns
from fastem.rows.sources.open_beside import as_side, open_beside
from fastem.rows.sources.open_rows import in_moderate_weights, open_to_fit
from fastem.rows.validation import column_names, power_of_two, require_finite
from fastem.starts.given import checked_attribute

GATE_ARRAYS = "gate_coefficients_", "gate_in_units_", "covariate_names_"  # attributes, which are saved
LEAST_WIDTH = 1e-15  # of a covariate, and over 1 the most: float32 holds the products of such
SINGLE = 1e-6  # of a covariate's range: what it may lose in float32


def open_gated(X, covariates, sample_weight, owner):
    """Rows with their covariates as blocks, and the unit of their weights; those of
    :func:`fastem.rows.sources.open_rows.open_to_fit` where covariates is None."""
    if covariates is None:
        return open_to_fit(X, sample_weight, owner)
    wide, width = open_beside(X, {"covariates": in_type_of(X, covariates)}, sample_weight, owner)
    wide, unit = in_moderate_weights(wide)
    d = wide.n_features - width["covariates"]
    centre, scale, of_weights = units(wide, d, column_names(covariates))
    if wide.dtype == np.float32 and not is_moderate(scale).all():
        worst = int((~is_moderate(scale)).argmax())
        raise ValueError(
            f"covariates: {side_names(wide, d, column_names(covariates))[worst]!s} varies by {scale[worst]:.1e}, whose "
            "square float32 cannot hold. Give the rows as float64, or the covariate in another unit."
        )

    def planned(plan):
        return replace(plan, weights=GateRule(centre=centre, scale=scale, unit=of_weights))

    names = names_given(covariates)
    settings = {"roles": ("covariates",), "side_names": names, "in_starts": len(centre) > 0}
    return SideBlocks(wide, d, of_gated_rows, planned=planned, **settings), unit


def names_given(covariates):
    """The names of covariates, as columns of X or as a frame of their own; None where they have none."""
    named = named_columns(covariates)
    return column_names(covariates) if named is None else np.array(named, dtype=object)


def in_type_of(X, covariates):
    """Covariates in float32 where X is an array of it, so that its rows stay what they are; but not where that loses
    what tells the covariates of two rows apart, or their products are no numbers of it."""
    if getattr(X, "dtype", None) != np.float32 or named_columns(covariates) is not None:
        return covariates
    covariates = as_side(covariates, "covariates")
    if not np.isfinite(covariates).all() or not len(covariates):
        return covariates  # refused later, by the row
    with np.errstate(over="ignore"):
        single = covariates.astype(np.float32)
    lost, width = abs(single - covariates).max(axis=0), np.ptp(covariates.astype(np.float64), axis=0)
    kept = (lost <= SINGLE * width) & ((width == 0) | is_moderate(width))
    return single if kept.all() else covariates.astype(np.float64)


def is_moderate(width):
    """Whether products of covariates that vary so much are numbers of float32."""
    return (width > LEAST_WIDTH) & (width < 1 / LEAST_WIDTH)


def of_gated_rows(model) -> GatedRows | None:
    """A mixture as a model of wide rows; None for what looks at the values alone."""
    return GatedRows(model) if isinstance(model, Mixture) and isinstance(model.shares, Gate) else None


def side_names(blocks, d, names):
    """The names of the covariates for messages; names: those that they had as a frame of their own, or None."""
    p = blocks.n_features - d
    if names is not None and len(names) == p:
        return names.tolist()
    return [f"covariate {j}" for j in range(p)] if blocks.names is None else blocks.names[d:].tolist()


def require_finite_covariates(blocks, d, names=None):
    """ValueError at the first covariate that is missing or infinite. names: see :func:`side_names`."""
    names = side_names(blocks, d, names)
    blocks.check(lambda X, place: require_finite(X[:, d:], columns=names, place=place, name="covariates"))


def units(blocks, d, names=None):
    """The means (p,) of the covariates and their largest deviations, of rows that count, and the unit of their weights,
    about the largest where that is below 1; ValueError where a covariate is missing, is the same in all rows, or varies
    beyond the range of numbers. names: see :func:`side_names`."""
    require_finite_covariates(blocks, d, names)

    def of_block(X, weight, start):
        counted = X[:, d:].astype(np.float64)
        weight = np.ones(len(X)) if weight is None else weight
        counted, weight = counted[weight > 0], weight[weight > 0]
        least, most = (f(axis=0, initial=start) for f, start in ((counted.min, np.inf), (counted.max, -np.inf)))
        return weight.sum(), (weight[:, None] * counted).sum(axis=0), least, most, weight.max(initial=0)

    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        weight, total, least, most, heaviest = zip(*blocks.each(of_block))
    if not sum(weight) > 0:
        raise ValueError("All sample_weight are zero: at least one row must count.")
    least, most = np.min(least, axis=0), np.max(most, axis=0)
    with np.errstate(over="ignore"):
        centre = np.clip(sum(total) / sum(weight), least, most)
        width = np.maximum(most - centre, centre - least)
    constant = least == most
    if constant.any():
        name = side_names(blocks, d, names)[constant.argmax()]
        raise ValueError(
            f"covariates: {name!s} is {least[constant][0]:g} in all rows, as the intercept is, which is added. "
            "Leave it out."
        )
    extreme = ~has_square(width)
    if extreme.any():
        name = side_names(blocks, d, names)[extreme.argmax()]
        raise ValueError(
            f"covariates: {name!s} varies by {(most / 2 - least / 2)[extreme][0]:.1e}, whose square float64 cannot "
            "hold. Give it in another unit."
        )
    return centre, width, min(1.0, power_of_two(max(heaviest)))


def coefficients_of(mixture) -> np.ndarray:
    """(K, p + 1) those of a gated mixture, in the units of the covariates."""
    return mixture.shares.in_units(mixture.weights)


def with_gate(estimator, mixture) -> Mixture:
    """The mixture with the gate of an estimator's attributes, if it has one; ValueError where they make none."""
    if getattr(estimator, "gate_coefficients_", None) is None:
        return mixture
    return replace(mixture, shares=gate_of_attributes(estimator, mixture.n_components))


def keep_gate(estimator, model) -> None:
    """Set the attributes of a model's gate, if it has one."""
    for name in GATE_ARRAYS:
        vars(estimator).pop(name, None)
    if isinstance(getattr(model, "shares", None), Gate):
        estimator.gate_coefficients_ = coefficients_of(model)
        estimator.gate_in_units_ = model.shares.to_array(model.weights)


def keep_names(estimator, names) -> None:
    """Set the names of the covariates of a fit, if they have some; after :func:`keep_gate`."""
    if names is not None:
        estimator.covariate_names_ = names


def gate_of_attributes(estimator, K) -> Gate:
    """The gate of the fit, where its coefficients are those that the user sees, who may have set them since; else one
    of these; ValueError where they make none."""
    coefficients = checked_attribute(estimator, "gate_coefficients_", (K, "p + 1"))
    if getattr(estimator, "gate_in_units_", None) is not None:
        gate = Gate.from_array(checked_attribute(estimator, "gate_in_units_", ("K + 2", "p + 1")))
        if len(gate.coefficients) == K and np.array_equal(gate.in_units(None), coefficients):
            return gate
    if not coefficients.shape[1]:
        raise ValueError(f"gate_coefficients_ must have shape ({K}, p + 1). Got {coefficients.shape} instead.")
    p = coefficients.shape[1] - 1
    return Gate(centre=np.zeros(p), scale=np.ones(p), coefficients=coefficients - coefficients.mean(axis=0))


# ---- methods ----------------------------------------------------------------------------------------------------


def gate_of(estimator) -> GatedRows:
    """The fitted model of rows with covariates; ValueError where it was fitted without."""
    require_fitted(estimator)
    mixture = estimator.model_
    if not isinstance(mixture.shares, Gate):
        raise ValueError(f"this {type(estimator).__name__} was fitted without covariates, so it cannot take them.")
    return GatedRows(mixture)


def require_covariates(estimator, gate, p, names):
    """ValueError where there are not as many covariates as in the fit, or where they have names, and not those of the
    fit in their order."""
    if p != len(gate.centre):
        raise ValueError(f"covariates has {p} columns, but the fit had {len(gate.centre)}.")
    fitted = getattr(estimator, "covariate_names_", None)
    if names is not None and fitted is not None and len(fitted) == p:  # else a gate was set since
        require_same_names(fitted, names, "covariate")


def of_blocks(estimator, X, covariates, function, sample_weight=None) -> list:
    """[function(model of wide rows, wide rows, their weights, threads)] of each block of new rows."""
    model = gate_of(estimator)
    wide, width = open_beside(X, {"covariates": in_type_of(X, covariates)}, sample_weight, type(estimator).__name__)
    require_covariates(estimator, model.terms, width["covariates"], names_given(covariates))
    d = wide.n_features - width["covariates"]
    names = None if wide.names is None else wide.names[:d]
    check_features(estimator, d, names)
    wide.check(lambda rows, place: checked_new(estimator, rows[:, :d], names, place))
    require_finite_covariates(wide, d, column_names(covariates))
    n_threads = for_pass(estimator.n_threads, wide, model.mixture.n_components)
    return wide.each(lambda rows, weight, start: function(model, rows, weight, n_threads))


def reduced(estimator, X, covariates, sample_weight=None):
    """The rows of a fit with covariates as blocks, their weights' unit, and the mixture with a gate in these rows'
    units."""
    model = gate_of(estimator).mixture
    blocks, unit = open_gated(X, covariates, sample_weight, type(estimator).__name__)
    d = blocks.n_features
    check_features(estimator, d, blocks.names)
    blocks.check(lambda rows, place: checked_new(estimator, rows, blocks.names, place))
    require_covariates(estimator, model.shares, blocks.blocks.n_features - d, blocks.side_names)
    rule = GateRule(**dict(zip(("centre", "scale", "unit"), units(blocks.blocks, d))))
    return blocks, unit, replace(model, shares=rule.shares_after(model.shares, model.n_components))


def scored(estimator, X, covariates, name, dtype=None, by_component=False) -> np.ndarray:
    """One of the outputs of :meth:`fastem.models.gated_rows.GatedRows.score` of all rows."""
    return wide_rows.output(partial(of_blocks, estimator, X, covariates), name, dtype, by_component)


def totals(estimator, X, covariates, sample_weight) -> tuple[float, float, float]:
    """Weight, log-likelihood and doubt of all rows; see :func:`fastem.estimators.wide_rows.totals`."""
    return wide_rows.totals(partial(of_blocks, estimator, X, covariates, sample_weight=sample_weight))


def class_probabilities(self, covariates) -> np.ndarray:
    """The probability of each component before a row is seen, from its covariates alone, (n, K).

    Parameters
    ----------
    covariates : (n, p) or (n,)
        As many columns as in the fit, in their order; where they have names, those of the fit.

    Raises
    ------
    ValueError
        The mixture was fitted without covariates, or these have another number of columns, or other names.
    """
    model = gate_of(self)
    if named_columns(covariates) is not None:
        raise ValueError("class_probabilities expects an array of covariates, not names of columns.")
    names, covariates = column_names(covariates), as_side(covariates, "covariates")
    require_covariates(self, model.terms, covariates.shape[1], names)
    require_finite(covariates, "covariates", names)
    return model.probabilities(covariates)
