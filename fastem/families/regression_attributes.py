"""The model that the attributes of a mixture of regressions make, which a user may have set."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem.estimators.covariates import gate_of_attributes
from fastem.models.gate import Gate, GateRule
from fastem.models.regressions import Regressions
from fastem.models.weights import FREE
from fastem.starts.given import checked_attribute, checked_weights


def model_of_attributes(estimator, basis, pattern) -> Regressions:
    """The model in a basis, of the kind of another one; ValueError where the attributes make none."""
    K, m, d = np.size(estimator.weights_), pattern.floor.size, len(basis.means)
    outputs = (K,) if np.ndim(estimator.intercept_) == 1 else (K, m)

    weights = checked_weights(estimator.weights_, K, "weights_")
    coef = checked_attribute(estimator, "coef_", (*outputs, d)).reshape(K, m, d)
    intercept = checked_attribute(estimator, "intercept_", outputs).reshape(K, m, 1)
    require_none_of_dropped(coef, basis)
    variances = np.ones((K, m))
    if pattern.is_gaussian:
        variances = checked_attribute(estimator, "variances_", outputs).reshape(K, m)
        if not (variances > 0).all():
            raise ValueError(f"variances_ must be positive. Got {variances.min():.5g}.")
    coefficients = np.swapaxes(basis.of_basis(np.concatenate([intercept, coef], axis=2)), 1, 2).copy()
    shares = shares_of_attributes(estimator, pattern, K)
    return replace(pattern, weights=weights, coefficients=coefficients, variances=variances, shares=shares)


def require_none_of_dropped(coef, basis) -> None:
    """ValueError where a column that the basis leaves out has a coefficient."""
    columns = np.flatnonzero(basis.dropped & (coef != 0).any(axis=(0, 1)))
    if len(columns):
        raise ValueError(
            f"coef_ of column {columns[0]} must be 0, because it depends on the columns before it or is the same in "
            "all rows. Give its coefficient to these, or to the intercept."
        )


def shares_of_attributes(estimator, pattern, K):
    """The weights' rule: the gate of the attributes, in the units of the pattern's."""
    gate = FREE if getattr(estimator, "gate_coefficients_", None) is None else gate_of_attributes(estimator, K)
    if not isinstance(pattern.shares, Gate):
        return gate
    centre, scale = pattern.shares.centre, pattern.shares.scale
    if isinstance(gate, Gate) and len(gate.centre) != len(centre):
        raise ValueError(f"gate_coefficients_ are of {len(gate.centre)} covariates, but there are {len(centre)}")
    return GateRule(centre=centre, scale=scale, unit=pattern.shares.unit).shares_after(gate, K)
