"""Weights that depend on covariates of the row: a multinomial logit, the gate of a mixture of experts.

With u the covariates about their means, in units of their largest deviation, and a 1 before them,

    pi_k(u) = exp(gamma_k . u) / Z,    Z = sum_j exp(gamma_j . u).

The logit is one more part of the compiled pass, beside the emission's (kernels/gate.pxi). With the gradient
g_k = sum (r_k - pi_k) u the M-step takes Boehning's step or Newton's, whichever is sure to gain more: see
:mod:`fastem.models.gate_steps`. Newton's curvature is summed where it is small enough, and only where the gate has
moved by more than `FAR` from that of the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gate_steps import Curvature, bounded_step, convexity, newton_step, precisions, range_of
from fastem.models.weights import FREE, Shares, WeightRule

NEWTON_COLUMNS = 48  # coefficients of the gate, K (p + 1), up to which the curvature is summed
FAR = 0.1  # the largest range of what two gates differ by, up to which the curvature of one serves the other


@dataclass(frozen=True)
class Gate(Shares):
    """The rule of weights that depend on covariates.

    Attributes
    ----------
    centre, scale : (p,)
        Of the covariates: u = (c - centre) / scale is between -1 and 1 in the rows of the fit.
    unit : float
        Of the sample weights, in which the prior of the slopes counts.
    coefficients : (K, p + 1) or None
        gamma, the intercept first; their sum over the components is 0. None: not begun, the weights are the same for
        all rows.
    known : Curvature or None
        From the last pass that summed it.
    """

    counts_rows: ClassVar[bool] = False  # it only keeps the slopes finite, in whatever unit the weights are

    centre: np.ndarray = None
    scale: np.ndarray = None
    unit: float = 1.0
    coefficients: np.ndarray | None = None
    known: Curvature | None = None

    @property
    def constrains(self):
        return self.coefficients is not None

    def n_parameters(self, n_components):
        return (n_components - 1) * (len(self.centre) + 1)

    def require_constant(self):
        if self.coefficients is not None:
            raise ValueError(
                "the weights of this mixture depend on covariates, so it says nothing of rows without them. Pass "
                "covariates=."
            )

    def constant(self):
        return FREE

    def at(self, weights) -> np.ndarray:
        """(K, p + 1) the coefficients; where the gate has not begun, those of constant weights."""
        if self.coefficients is not None:
            return self.coefficients
        logs = arithmetic.log(np.maximum(weights, np.finfo(np.float64).tiny))
        return centred(np.column_stack([logs, np.zeros((len(weights), len(self.centre)))]))

    def coefficients_of(self, statistics) -> np.ndarray:
        """(K, p + 1) those at which these statistics of this gate were summed."""
        return self.at(None if self.constrains else statistics.gate_weights / statistics.weight)

    def in_units(self, weights) -> np.ndarray:
        """(K, p + 1) the coefficients for covariates as they are given; those of the last component are 0."""
        gamma = self.at(weights)
        slopes = gamma[:, 1:] / self.scale
        raw = np.column_stack([gamma[:, 0] - arithmetic.matmul(slopes, self.centre), slopes])
        return raw - raw[-1]

    def errors_in_units(self, covariance, K) -> np.ndarray:
        """(K, p + 1) standard errors of :meth:`in_units`, from the covariance of :meth:`to_vector`."""
        P = len(self.centre) + 1
        own = covariance.reshape(K - 1, P, K - 1, P)
        units = np.diag(1 / np.append(1.0, self.scale))
        units[0, 1:] = -self.centre / self.scale
        errors = [np.sqrt(np.diagonal(units @ own[k, :, k] @ units.T)) for k in range(K - 1)]
        return np.vstack([*errors, np.zeros(P)])

    def to_array(self, weights) -> np.ndarray:
        """(K + 2, p + 1) the coefficients, and then (0, centre) and (unit, scale): of which :meth:`from_array` makes
        the same gate to the last bit."""
        units = np.column_stack([[0.0, self.unit], [self.centre, self.scale]])
        return np.concatenate([self.at(weights), units])

    @classmethod
    def from_array(cls, array) -> Gate:
        """The gate of :meth:`to_array`; ValueError where the array makes none."""
        array = np.asarray(array, np.float64)
        if array.ndim != 2 or len(array) < 3 or not array.shape[1] or not np.isfinite(array).all():
            raise ValueError(f"a gate is a finite array (K + 2, p + 1). Got shape {array.shape} instead.")
        (centre, scale), unit = array[-2:, 1:], float(array[-1, 0])
        if not ((scale > 0).all() and unit > 0):
            raise ValueError("the scale and the unit of a gate must be positive.")
        return cls(centre=centre, scale=scale, unit=unit, coefficients=array[:-2])

    def penalty(self) -> np.ndarray:
        """(p + 1,) the precisions of the prior."""
        return self.unit * precisions(len(self.centre) + 1)

    def log_prior(self, weights):
        if self.coefficients is None:
            return 0.0
        return float(-0.5 * (self.penalty() * self.coefficients**2).sum())

    def after(self, statistics) -> Gate:
        if "gate_first" not in statistics:
            return self
        counts, gamma = statistics.counts, self.coefficients_of(statistics)
        if not len(self.centre):  # one intercept each has a formula
            return replace(self, coefficients=replace(self, coefficients=None).at(counts / counts.sum()))
        gradient = sums_of(statistics) - statistics.gate_expected - self.penalty() * gamma
        step, gain = bounded_step(gradient, statistics.gate_gram, self.unit)
        known = self.curvature(statistics, gamma)
        if known is not None:
            newton = newton_step(gradient, known.matrix, known.factor(gamma), self.unit)
            if newton is not None and newton[1] > gain:
                step = newton[0]
        return replace(self, coefficients=centred(gamma + step), known=known)

    def curvature(self, statistics, gamma) -> Curvature | None:
        """That of the rows of these statistics, if it is known."""
        if statistics.gate_curvature.any():
            return Curvature(statistics.gate_curvature, gamma, statistics.gate_gram)
        same_rows = self.known is not None and np.array_equal(self.known.gram, statistics.gate_gram)
        return self.known if same_rows else None

    def sums_curvature(self, gamma) -> bool:
        """Whether a pass at gamma (K, p + 1) sums it."""
        return gamma.size <= NEWTON_COLUMNS and (self.known is None or self.known.spread(gamma) > FAR)

    def expected_log_weights(self, statistics, weights, after) -> float:
        """At least E[sum of log pi(u)] at the gate `after`, from statistics of this one; exact at this one."""
        if "gate_first" not in statistics:
            return super().expected_log_weights(statistics, weights, after)
        here, there = self.coefficients_of(statistics), after.at(weights)
        sums, step = sums_of(statistics), there - here
        value = float((here * sums).sum()) - statistics.gate_log_norm
        slope = float((step * (sums - statistics.gate_expected)).sum())
        loss = 0.25 * float((arithmetic.matmul(centred(step), statistics.gate_gram) * centred(step)).sum())
        known, width = self.curvature(statistics, here), range_of(step)
        if known is not None and width < 100:
            square = float(arithmetic.matmul(arithmetic.matmul(known.matrix, step.ravel()), step.ravel()))
            loss = min(loss, known.factor(here) * square * convexity(width))
        return value + slope - loss

    def log_weights_size(self, statistics, weights):
        size = abs(self.at(weights)).sum(axis=1).max() + np.log(len(weights))
        return 3 * (len(self.centre) + 3) * float(statistics.counts.sum()) * float(size)

    def design(self, covariates):
        """(m, p + 1) float64 (1, u)."""
        u = (covariates.astype(np.float64) - self.centre) / self.scale
        return np.column_stack([np.ones(len(u)), u])

    def probabilities(self, covariates, weights) -> np.ndarray:
        """(m, K) pi."""
        return probabilities(self.design(covariates), self.at(weights))

    def gradient(self, statistics, weights):
        gradient = sums_of(statistics) - statistics.gate_expected - self.penalty() * self.at(weights)
        return gradient[:-1].ravel()

    def n_coordinates(self, n_components):
        return self.n_parameters(n_components)

    def to_vector(self, weights):
        gamma = self.at(weights)
        return (gamma[:-1] - gamma[-1]).ravel()

    def from_vector(self, vector, weights):
        P = len(self.centre) + 1
        coefficients = np.vstack([vector.reshape(-1, P), np.zeros(P)])
        return replace(self, coefficients=centred(coefficients)), weights

    def parameters(self, weights):
        return self.at(weights).ravel()


@dataclass(frozen=True)
class GateRule(WeightRule):
    """A gate for any number of components."""

    centre: np.ndarray = None
    scale: np.ndarray = None
    unit: float = 1.0

    def shares(self, n_components) -> Gate:
        return Gate(centre=self.centre, scale=self.scale, unit=self.unit)

    def shares_after(self, before, n_components):
        gate = self.shares(n_components)
        if not isinstance(before, Gate) or before.coefficients is None or len(before.centre) != len(self.centre):
            return gate
        slopes = before.coefficients[:, 1:] / before.scale  # moved as far as the centre: far from 0 it has its digits
        intercepts = before.coefficients[:, 0] + arithmetic.matmul(slopes, self.centre - before.centre)
        slopes = slopes * self.scale
        return replace(gate, coefficients=centred(np.column_stack([intercepts, slopes])))


def centred(coefficients):
    """The same gate with coefficients of mean 0."""
    return coefficients - coefficients.sum(axis=0) / len(coefficients)


def sums_of(statistics):
    """(K, p + 1) the sums of the covariates by responsibility."""
    return np.concatenate([statistics.counts[:, None], statistics.gate_first], axis=1)


def logits(u, gamma):
    """(m, K) gamma_k . u"""
    return arithmetic.matmul(u, np.ascontiguousarray(gamma.T))


def log_norm_of(u, gamma) -> np.ndarray:
    """(m,) log Z."""
    linear = logits(u, gamma)
    top = linear.max(axis=1)
    return top + arithmetic.log(arithmetic.exp(linear - top[:, None]).sum(axis=1))


def probabilities(u, gamma) -> np.ndarray:
    """(m, K) pi."""
    linear = logits(u, gamma)
    shares = arithmetic.exp(linear - linear.max(axis=1)[:, None])
    return shares / shares.sum(axis=1)[:, None]
