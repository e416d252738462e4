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
from functools import cache
from typing import ClassVar

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.kernels.packing import unpack_gram, unpack_symmetric
from fastem.kernels.threads import resolve
from fastem.models.emission import Emission, KernelCall, flattened
from fastem.models.gate_steps import Curvature, bounded_step, convexity, newton_step, precisions, range_of
from fastem.models.mixture import Mixture
from fastem.models.weights import FREE, Shares, WeightRule
from fastem.rows.cross_moments import CrossMoments
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics

MISSING = (
    "covariates cannot be combined with missing values where the covariances of columns are not 0. Choose "
    "covariance_type 'diag' or 'spherical', or impute the values."
)
NEWTON_COLUMNS = 48  # coefficients of the gate, K (p + 1), up to which the curvature is summed
FAR = 0.1  # the largest range of what two gates differ by, up to which the curvature of one serves the other


@dataclass(frozen=True)
class Gate(Shares):
    """The rule of weights that depend on covariates.

    Attributes
    ----------
    centre, scale : (p,)
        Of the covariates: u = (c - centre) / scale is between -1 and 1 in the rows of the fit.
    coefficients : (K, p + 1) or None
        gamma, the intercept first; their sum over the components is 0. None: not begun, the weights are the same for
        all rows.
    known : Curvature or None
        From the last pass that summed it.
    """

    counts_rows: ClassVar[bool] = False  # it only keeps the slopes finite, in whatever unit the weights are

    centre: np.ndarray = None
    scale: np.ndarray = None
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
        """(K + 2, p + 1) the coefficients, and then (0, centre) and (1, scale): of which :meth:`from_array` makes the
        same gate to the last bit."""
        units = np.column_stack([[0.0, 1.0], [self.centre, self.scale]])
        return np.concatenate([self.at(weights), units])

    @classmethod
    def from_array(cls, array) -> Gate:
        """The gate of :meth:`to_array`; ValueError where the array makes none."""
        array = np.asarray(array, np.float64)
        if array.ndim != 2 or len(array) < 3 or not array.shape[1] or not np.isfinite(array).all():
            raise ValueError(f"a gate is a finite array (K + 2, p + 1). Got shape {array.shape} instead.")
        centre, scale = array[-2:, 1:]
        if not (scale > 0).all():
            raise ValueError("the scale of a gate must be positive.")
        return cls(centre=centre, scale=scale, coefficients=array[:-2])

    def penalty(self) -> np.ndarray:
        """(p + 1,) the precisions of the prior."""
        return precisions(len(self.centre) + 1)

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
        step, gain = bounded_step(gradient, statistics.gate_gram)
        known = self.curvature(statistics, gamma)
        if known is not None:
            newton = newton_step(gradient, known.matrix, known.factor(gamma))
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

    def shares(self, n_components) -> Gate:
        return Gate(centre=self.centre, scale=self.scale)

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


@cache
def pairs_of(K):
    """The components k > j of every pair, as kernels/gate.pxi goes through them."""
    return np.tril_indices(K, -1)


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


class GatePass:
    """A gate as the compiled part takes it; without covariates there is no part, and the constants are log pi."""

    def __init__(self, gate: Gate, weights: np.ndarray):
        self.gate, self.weights, self.gamma = gate, weights, gate.at(weights)
        self.centre, self.scale = gate.centre, gate.scale
        self.constant, self.slope = self.gamma[:, 0], self.gamma[:, 1:] / gate.scale
        if not self.slope.size:
            self.constant = self.constant - log_norm_of(np.ones((1, 1)), self.gamma)
        self.curved = gate.sums_curvature(self.gamma)

    def part(self, dtype):
        K, p = self.slope.shape
        constant, slope = (0.5 * (a[:-1] - a[-1]) for a in (self.constant, self.slope))
        params = {"constant": constant, "slope": slope, "curved": [self.curved], "origin": np.zeros(p)}
        return kernels.for_dtype(dtype).Part("gate", p, K, flattened(params, dtype))

    def named(self, sums) -> dict:
        """The sums of the part as statistics. Its Z is in units of the last component's exp(gamma . u)."""
        expected = np.concatenate([sums["mass"][:, None], sums["expected"] / self.scale], axis=1)
        return {
            "gate_first": sums["first"] / self.scale,
            "gate_expected": expected,
            "gate_log_norm": sums["log_norm"] + (self.gamma[-1] * expected).sum(),
            "gate_curvature": self.curvature(sums["pairs"]) if self.curved else np.zeros((self.gamma.size,) * 2),
        }

    def curvature(self, pairs) -> np.ndarray:
        """(K (p + 1), K (p + 1)) the sum of w (diag pi - pi pi') x (1, u)(1, u)', from the sums of pairs."""
        K, P = self.gamma.shape
        units = np.append(1.0, self.scale)
        moments = unpack_gram(pairs.reshape(-1, P * (P + 1) // 2), P) / (units[:, None] * units)
        curvature = np.zeros((K, K, P, P))
        k, j = pairs_of(K)
        curvature[k, j] = curvature[j, k] = -moments
        curvature.reshape(K * K, P, P)[:: K + 1] = -curvature.sum(axis=1)
        return curvature.swapaxes(1, 2).reshape(K * P, K * P)

    def further(self, statistics, covariates, weight, n_threads, kept) -> Statistics:
        """The statistics of a pass with the others that the gate needs: see :class:`GatedRows`."""
        weights = statistics.weight * self.weights
        if not self.slope.size:
            one = np.ones((1, 1))
            return statistics.replaced(
                gate_first=np.empty((len(self.gamma), 0)),
                gate_expected=statistics.weight * probabilities(one, self.gamma).T,
                gate_log_norm=statistics.weight * log_norm_of(one, self.gamma)[0],
                gate_weights=weights,
                gate_gram=np.full((1, 1), statistics.weight),
                gate_curvature=np.zeros((self.gamma.size,) * 2),
            )
        weight = None if weight is None else np.ascontiguousarray(weight, np.float64)
        n_threads = resolve(n_threads)
        known = kept.get("gate_units", (None, None))
        if known[0] is not self.centre and not all(map(np.array_equal, known, (self.centre, self.scale))):
            kept["gate_units"] = self.centre, self.scale
            kept["gate_gram"] = self.gram(covariates, weight, n_threads)
        return statistics.replaced(gate_weights=weights, gate_gram=kept["gate_gram"])

    def gram(self, covariates, weight, n_threads) -> np.ndarray:
        """(p + 1, p + 1) sums of (1, u)(1, u)'."""
        p = covariates.shape[1]
        sums = CrossMoments(self.centre).e_step_of_block(as_double(covariates), weight, n_threads, {})
        gram = np.empty((p + 1, p + 1))
        gram[0, 0] = sums.weight
        gram[0, 1:] = gram[1:, 0] = sums.first / self.scale
        gram[1:, 1:] = unpack_symmetric(sums.second, p) / np.outer(self.scale, self.scale)
        return gram


class GatedEmission(Emission):
    """An emission's densities times pi_k(c), of rows (n, d + p) with their covariates."""

    def __init__(self, emission: Emission, terms: GatePass):
        self.emission, self.terms = emission, terms
        self.takes_missing, self.discrete = emission.takes_missing, emission.discrete

    @property
    def shape(self):
        K, d = self.emission.shape
        return K, d + len(self.terms.centre)

    @property
    def n_parameters(self):
        return self.emission.n_parameters + self.terms.slope.size

    def kernel_call(self, log_weights, dtype):
        if not self.terms.slope.size:
            return self.emission.kernel_call(log_weights + self.terms.constant, dtype)
        return self._with_gate(self.emission.kernel_call(log_weights, dtype), dtype)

    def incomplete_call(self, log_weights, dtype):
        if not self.terms.slope.size:
            return self.emission.incomplete_call(log_weights + self.terms.constant, dtype)
        call = self.emission.incomplete_call(log_weights, dtype)
        if call.grouped:  # such rows are for one compiled family alone
            raise ValueError(MISSING)
        return self._with_gate(call, dtype)

    def _with_gate(self, call: KernelCall, dtype) -> KernelCall:
        d, p = self.emission.shape[1], self.terms.slope.shape[1]

        def unpack(*sums):
            *of_emission, of_gate = sums
            return call.unpack(*of_emission) | self.terms.named(of_gate)

        order = None if call.order is None else np.append(call.order, np.arange(d, d + p)).astype(np.intp)
        centre = np.concatenate([call.centre, self.terms.centre.astype(dtype)])
        return KernelCall((*call.parts, self.terms.part(dtype)), centre, unpack, order)

    def expected_log_prob(self, statistics, at):
        own = self.emission.expected_log_prob(statistics, at.emission)
        gate = arithmetic.matmul(statistics.counts, at.terms.constant)
        if not self.terms.slope.size:
            return float(own + gate)
        slopes = at.terms.slope * at.terms.scale
        return float(own + gate + (slopes * statistics.gate_first).sum() - statistics.gate_log_norm)

    def nearest(self, X):
        return self.emission.nearest(X[:, : self.emission.shape[1]])

    def marginal(self, columns):
        d = self.emission.shape[1]
        return self.emission.marginal(columns[columns < d])

    def _unused(self, *arguments):
        raise NotImplementedError("this is no emission of a fit")

    m_step = rebase = parameters = to_vector = from_vector = log_density_error = diagnose = sample = _unused


@dataclass(frozen=True)
class GatedRows(BlockModel):
    """A mixture whose shares are a gate as a model of rows (n, d + p) with their covariates."""

    mixture: Mixture

    def __post_init__(self):
        terms = GatePass(self.mixture.shares, self.mixture.weights)
        joint = Mixture(np.ones(self.mixture.n_components), GatedEmission(self.mixture.emission, terms))
        object.__setattr__(self, "terms", terms)
        object.__setattr__(self, "joint", joint)

    def split(self, X):
        """The rows in a type that the pass takes, and their covariates alone."""
        X = np.asarray(X)
        X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
        return X, X[:, self.mixture.emission.shape[1] :]

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """The statistics of the mixture, and those of the gate.

        ``gate_first`` (K, p): sums of r u; ``gate_expected`` (K, p + 1): of pi (1, u); ``gate_log_norm``: of log Z;
        ``gate_gram`` (p + 1, p + 1): of (1, u)(1, u)'; ``gate_weights``: the weights, times the rows', for a gate that
        has not begun; ``gate_curvature`` (K (p + 1), K (p + 1)), 0 unless :meth:`Gate.sums_curvature`.
        """
        X, covariates = self.split(X)
        statistics = self.joint.e_step_of_block(X, sample_weight, n_threads, kept)
        return self.terms.further(statistics, covariates, sample_weight, n_threads, kept)

    def probabilities(self, covariates) -> np.ndarray:
        """(m, K) pi."""
        return self.mixture.shares.probabilities(covariates, self.mixture.weights)

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given arrays: see :meth:`fastem.models.mixture.Mixture.score`."""
        self.joint.score(self.split(X)[0], n_threads, **outputs)


def as_double(covariates):
    return covariates.astype(np.float64, copy=False)
