"""Standard errors of a mixture of regressions, from the observed information."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.models.gate import Gate
from fastem.models.information import inverse_at_maximum
from fastem.rows.blocks import ArrayBlocks

WIDTH = 1e-4  # of the differences for standard errors, in units of the coordinates


class Errors(NamedTuple):
    """Standard errors, in the shapes of what they are of. gate: None without covariates."""

    coef: np.ndarray
    intercept: np.ndarray
    gate: np.ndarray | None


def inverse_information(model, wide, weight) -> np.ndarray:
    """The inverse of minus the Hessian of the log-posterior in the model's coordinates; ValueError if the
    model is at no maximum."""
    x, widths, used = model.to_vector(), WIDTH * model.units(), np.flatnonzero(model.units())

    def gradient(vector):
        at = model.from_vector(vector)
        return at.gradient(at.e_step(wide, weight))

    columns = []
    for i in used:
        step = np.zeros(len(x))
        step[i] = widths[i]
        columns.append((gradient(x + step) - gradient(x - step))[used] / (2 * widths[i]))
    if model.at_floor.any():
        raise ValueError("a variance is at its floor, where the likelihood has no maximum: choose fewer components.")
    rows = ArrayBlocks(wide, weight)
    covariance = np.zeros((len(x), len(x)))
    covariance[np.ix_(used, used)] = inverse_at_maximum(
        -np.array(columns), gradient(x)[used], rows.total_weight / rows.n_effective
    )
    return covariance


def gate_errors(model, covariance):
    """(K, p + 1) standard errors of the gate's coefficients in the units of the covariates; None without a gate."""
    if not isinstance(model.shares, Gate):
        return None
    K, size = len(model.weights), model.shares.n_parameters(len(model.weights))
    return model.shares.errors_in_units(covariance[len(covariance) - size :, len(covariance) - size :], K)
