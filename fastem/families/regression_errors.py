"""Standard errors of a mixture of regressions, from the observed information."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.models.gate import Gate

WIDTH = 1e-4  # of the differences for standard errors, in units of the coordinates


class Errors(NamedTuple):
    """Standard errors, in the shapes of what they are of. gate: None without covariates."""

    coef: np.ndarray
    intercept: np.ndarray
    gate: np.ndarray | None


def inverse_information(model, wide, weight) -> np.ndarray:
    """The inverse of minus the Hessian of the log-posterior in the model's coordinates; ValueError if there is none."""
    x, widths, used = model.to_vector(), WIDTH * model.units(), np.flatnonzero(model.units())

    def gradient(vector):
        at = model.from_vector(vector)
        return at.gradient(at.e_step(wide, weight))

    columns = []
    for i in used:
        step = np.zeros(len(x))
        step[i] = widths[i]
        columns.append((gradient(x + step) - gradient(x - step))[used] / (2 * widths[i]))
    information = -(np.array(columns) + np.array(columns).T) / 2
    floored = model.is_gaussian and (model.variances <= model.floor).any()
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the information is not positive definite, so there are no standard errors: "
            + ("a variance is at its floor." if floored else "fit with a smaller tol, or with fewer components.")
        ) from None
    covariance = np.zeros((len(x), len(x)))
    covariance[np.ix_(used, used)] = np.linalg.inv(information)
    return covariance


def gate_errors(model, covariance):
    """(K, p + 1) standard errors of the gate's coefficients in the units of the covariates; None without a gate."""
    if not isinstance(model.shares, Gate):
        return None
    K, size = len(model.weights), model.shares.n_parameters(len(model.weights))
    return model.shares.errors_in_units(covariance[len(covariance) - size :, len(covariance) - size :], K)
