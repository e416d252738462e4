"""Rows with covariates, whose weights are a gate: their statistics by one compiled pass, and their densities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.kernels.packing import unpack_gram, unpack_symmetric
from fastem.kernels.threads import resolve
from fastem.models.emission import Emission, KernelCall, flattened
from fastem.models.gate import Gate, log_norm_of, probabilities
from fastem.models.mixture import Mixture
from fastem.rows.cross_moments import CrossMoments
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics

MISSING = (
    "covariates cannot be combined with missing values where the covariances of columns are not 0. Choose "
    "covariance_type 'diag' or 'spherical', or impute the values."
)


@cache
def pairs_of(K):
    """The components k > j of every pair, as kernels/gate.pxi goes through them."""
    return np.tril_indices(K, -1)


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
