"""Weights that depend on covariates of the row: a multinomial logit, the gate of a mixture of experts.

With u the covariates about their means, in units of their largest deviation, and a 1 before them,

    pi_k(u) = exp(gamma_k . u) / Z,    Z = sum_j exp(gamma_j . u).

The product gamma_k . u joins the log-density of component k in the compiled pass, as one more family beside the
emission's; a second pass over the covariates alone gives log Z and the sums of pi_k(u) u. With the gradient
g_k = sum (r_k - pi_k) u the M-step takes one of two steps, neither of which can lower the likelihood:

1. Boehning's: the curvature is nowhere above (I - 11'/K)/2 x G, with G = sum u u', so gamma_k + 2 G^-1 g_k gains at
   least sum_k g_k G^-1 g_k.
2. Newton's, where the curvature H is small enough to be summed: along a direction D the third derivative is at most
   the range w of D_k . u over components times the second. So the step t D, D = H^-1 g, t = log(1 + w)/w, gains at
   least l2 (t - (exp(w t) - w t - 1)/w^2), with l2 = g . D.

The step of the larger gain is taken. A weak normal prior (`RIDGE`) of the slopes about their mean over the components
keeps them finite where a covariate separates the components.

D. Boehning: Multinomial logistic regression algorithm. Ann. Inst. Statist. Math. 44 (1992) 197-200.
F. Bach: Self-concordant analysis for logistic regression. Electron. J. Statist. 4 (2010) 384-414.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.kernels.packing import factor_order, unpack_symmetric
from fastem.kernels.threads import resolve
from fastem.kernels.workers import parallel_map
from fastem.models.emission import Emission, KernelCall, flattened
from fastem.models.exponential_family import IDENTITY, Features
from fastem.models.mixture import Mixture
from fastem.models.weights import FREE, Shares, WeightRule
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics, merged

MISSING = (
    "covariates cannot be combined with missing values where the covariances of columns are not 0. Choose "
    "covariance_type 'diag' or 'spherical', or impute the values."
)
RIDGE = 1e-3  # of the slopes' prior: -RIDGE/2 times their squares, in units of the covariates' largest deviations
DOUBLE = kernels.for_dtype(np.float64)  # of sums over covariates alone
NEWTON_COLUMNS = 48  # coefficients of the gate, K (p + 1), up to which the curvature is summed
TILE = 4096  # rows whose curvature is summed at once


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
    """

    centre: np.ndarray = None
    scale: np.ndarray = None
    coefficients: np.ndarray | None = None

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

    def in_units(self, weights) -> np.ndarray:
        """(K, p + 1) the coefficients for covariates as they are given; those of the last component are 0."""
        gamma = self.at(weights)
        slopes = gamma[:, 1:] / self.scale
        raw = np.column_stack([gamma[:, 0] - arithmetic.matmul(slopes, self.centre), slopes])
        return raw - raw[-1]

    def penalty(self) -> np.ndarray:
        """(p + 1,) the precisions of the prior."""
        return RIDGE * np.append(0.0, np.ones(len(self.centre)))

    def log_prior(self, weights):
        if self.coefficients is None:
            return 0.0
        return float(-0.5 * (self.penalty() * self.coefficients**2).sum())

    def after(self, statistics) -> Gate:
        if "gate_first" not in statistics:
            return self
        counts, gamma = statistics.counts, self.at(statistics.gate_weights / statistics.weight)
        if not len(self.centre):  # one intercept each has a formula
            return replace(self, coefficients=replace(self, coefficients=None).at(counts / counts.sum()))
        gradient = sums_of(statistics) - statistics.gate_expected - self.penalty() * gamma
        step, gain = self.bounded_step(gradient, statistics)
        if "gate_curvature" in statistics:
            newton = self.newton_step(gradient, statistics)
            if newton is not None and newton[1] > gain:
                step = newton[0]
        return replace(self, coefficients=centred(gamma + step))

    def bounded_step(self, gradient, statistics):
        """Boehning's step, and what it gains at least."""
        curvature = 0.5 * statistics.gate_gram + np.diag(self.penalty())
        step = arithmetic.matmul(gradient, arithmetic.inverse(curvature))
        return step, 0.5 * float((step * gradient).sum())

    def newton_step(self, gradient, statistics):
        """The damped Newton step, and what it gains at least; None where the curvature has no inverse."""
        K, P = gradient.shape
        curvature = statistics.gate_curvature + np.kron(np.eye(K) - 1 / K, np.diag(self.penalty()))
        free = (K - 1) * P  # the last component is the reference
        try:
            inverse = arithmetic.inverse(np.ascontiguousarray(curvature[:free, :free]))
        except np.linalg.LinAlgError:
            return None
        step = np.append(arithmetic.matmul(inverse, gradient.ravel()[:free]), np.zeros(P)).reshape(K, P)
        square, width = float((step * gradient).sum()), range_of(step)
        if not np.isfinite(width) or not square > 0:
            return None
        t = 1.0 if width < 1e-8 else float(arithmetic.log1p(width)) / width
        return t * step, square * (t - convexity(width * t) * t**2)

    def expected_log_weights(self, statistics, weights, after) -> float:
        """At least E[sum of log pi(u)] at the gate `after`, from statistics of this one; exact at this one."""
        if "gate_first" not in statistics:
            return super().expected_log_weights(statistics, weights, after)
        here, there = self.at(statistics.gate_weights / statistics.weight), after.at(weights)
        sums, step = sums_of(statistics), there - here
        value = float((here * sums).sum()) - statistics.gate_log_norm
        slope = float((step * (sums - statistics.gate_expected)).sum())
        loss = 0.25 * float((arithmetic.matmul(centred(step), statistics.gate_gram) * centred(step)).sum())
        if "gate_curvature" in statistics:
            square = float(arithmetic.matmul(arithmetic.matmul(statistics.gate_curvature, step.ravel()), step.ravel()))
            width = range_of(step)
            if width < 100:
                loss = min(loss, square * convexity(width))
        return value + slope - loss

    def log_weights_size(self, statistics, weights):
        size = abs(self.at(weights)).sum(axis=1).max() + np.log(len(weights))
        return 3 * (len(self.centre) + 3) * float(statistics.counts.sum()) * float(size)

    def design(self, covariates):
        """(m, p + 1) float64 (1, u)."""
        u = (covariates.astype(np.float64) - self.centre) / self.scale
        return np.column_stack([np.ones(len(u)), u])

    def log_probabilities(self, covariates, weights):
        """(m, K) log pi."""
        u, gamma = self.design(covariates), self.at(weights)
        return logits(u, gamma) - log_norm(u, gamma)[:, None]

    def sums(self, covariates, weight, r, weights) -> dict:
        """The statistics of the gate of some rows, whose responsibilities r (m, K) are times their weights (m,)."""
        u, gamma = self.design(covariates), self.at(weights)
        pi = probabilities(u, gamma)
        return {
            "gate_first": arithmetic.matmul(np.ascontiguousarray(r.T), u)[:, 1:],
            "gate_expected": arithmetic.matmul(np.ascontiguousarray((weight[:, None] * pi).T), u),
            "gate_log_norm": weight @ log_norm(u, gamma),
            "gate_weights": weight.sum() * weights,
            **second_moments(u, weight, pi),
        }

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
        raw = before.in_units(None)
        slopes = raw[:, 1:] * self.scale
        intercepts = raw[:, 0] + arithmetic.matmul(raw[:, 1:], self.centre)
        return replace(gate, coefficients=centred(np.column_stack([intercepts, slopes])))


def centred(coefficients):
    """The same gate with coefficients of mean 0."""
    return coefficients - coefficients.mean(axis=0)


def sums_of(statistics):
    """(K, p + 1) the sums of the covariates by responsibility."""
    return np.column_stack([statistics.counts, statistics.gate_first])


def range_of(step) -> float:
    """At least the range over components of step_k . u, where no covariate is beyond 1."""
    return float(max(abs(step[:k] - step[k]).sum(axis=1).max() for k in range(1, len(step)))) if len(step) > 1 else 0.0


def convexity(x) -> float:
    """(exp x - x - 1) / x^2, for x >= 0."""
    return 0.5 + x / 6 + x * x / 24 if x < 1e-3 else float(np.expm1(x) - x) / x**2


def logits(u, gamma):
    """(m, K) gamma_k . u"""
    return arithmetic.matmul(u, np.ascontiguousarray(gamma.T))


def log_norm(u, gamma) -> np.ndarray:
    """(m,) log Z."""
    linear = logits(u, gamma)
    top = linear.max(axis=1)
    return top + arithmetic.log(arithmetic.exp(linear - top[:, None]).sum(axis=1))


def probabilities(u, gamma) -> np.ndarray:
    """(m, K) pi."""
    linear = logits(u, gamma)
    shares = arithmetic.exp(linear - linear.max(axis=1)[:, None])
    return shares / shares.sum(axis=1)[:, None]


def second_moments(u, weight, pi) -> dict:
    """``gate_gram``, and ``gate_curvature`` where it is small: sums of w (diag pi - pi pi') x u u'."""
    (m, P), K = u.shape, pi.shape[1]
    gram = arithmetic.matmul(np.ascontiguousarray(u.T), weight[:, None] * u)
    if K * P > NEWTON_COLUMNS:
        return {"gate_gram": gram}
    spread = (pi[:, :, None] * u[:, None]).reshape(m, K * P)
    by_weight = np.ascontiguousarray((weight[:, None] * spread).T)
    own = arithmetic.matmul(by_weight, u).reshape(K, P, P)
    curvature = -arithmetic.matmul(by_weight, spread)
    for k in range(K):
        place = slice(k * P, (k + 1) * P)
        curvature[place, place] += own[k]
    return {"gate_gram": gram, "gate_curvature": curvature}


class GateTerms:
    """gamma_k . u as the compiled family of natural parameters takes it."""

    def __init__(self, gate: Gate, gamma: np.ndarray):
        self.centre, self.scale = gate.centre, gate.scale
        self.constant, self.eta = gamma[:, 0], gamma[:, 1:] / gate.scale

    def with_coefficients(self, eta):
        """Others for the same covariates, of any number of components."""
        terms = copy(self)
        terms.eta = eta
        return terms

    def part(self, dtype, constant):
        (K, p), module = self.eta.shape, kernels.for_dtype(dtype)
        features = Features.of_columns(p, IDENTITY)
        constant = np.maximum(constant, module.lowest)
        params = dict(zip(("constant", "eta", *features._fields), (constant, self.eta, *features)))
        return module.Part("exponential_family", p, K, flattened(params, dtype))

    def first(self, sums):
        """(K, p) the sums of u."""
        return sums["first"] / self.scale


class GatedEmission(Emission):
    """An emission's densities times exp(gamma_k . u), of rows (n, d + p) with their covariates: no densities, since
    they lack 1 / Z, but the posteriors are right."""

    def __init__(self, emission: Emission, terms: GateTerms):
        self.emission, self.terms = emission, terms
        self.takes_missing, self.discrete = emission.takes_missing, emission.discrete

    @property
    def shape(self):
        K, d = self.emission.shape
        return K, d + len(self.terms.centre)

    @property
    def n_parameters(self):
        return self.emission.n_parameters + self.terms.eta.size

    def kernel_call(self, log_weights, dtype):
        return self._with_terms(self.emission.kernel_call(log_weights + self.terms.constant, dtype), dtype)

    def incomplete_call(self, log_weights, dtype):
        call = self.emission.incomplete_call(log_weights + self.terms.constant, dtype)
        if call.grouped and self.terms.eta.size:  # such rows are for one compiled family alone
            raise ValueError(MISSING)
        return self._with_terms(call, dtype)

    def _with_terms(self, call: KernelCall, dtype) -> KernelCall:
        K, p = self.terms.eta.shape
        if not p:
            unpack_emission = call.unpack
            return call._replace(unpack=lambda *sums: unpack_emission(*sums) | {"gate_first": np.empty((K, 0))})

        def unpack(*sums):
            *of_emission, of_gate = sums
            return call.unpack(*of_emission) | {"gate_first": self.terms.first(of_gate)}

        d = self.emission.shape[1]
        order = None if call.order is None else np.append(call.order, np.arange(d, d + p)).astype(np.intp)
        centre = np.concatenate([call.centre, self.terms.centre.astype(dtype)])
        slopes = self.terms.part(dtype, np.zeros(K))  # the intercepts are with the emission
        return KernelCall((*call.parts, slopes), centre, unpack, order)

    def expected_log_prob(self, statistics, at):
        own = self.emission.expected_log_prob(statistics, at.emission)
        gate = arithmetic.matmul(statistics.counts, at.terms.constant)
        return float(own + gate + (at.terms.eta * at.terms.scale * statistics.gate_first).sum())

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
        mixture, gate = self.mixture, self.mixture.shares
        gamma = gate.at(mixture.weights)
        terms = GateTerms(gate, gamma)
        object.__setattr__(self, "terms", terms)
        object.__setattr__(self, "gate", gate)
        object.__setattr__(self, "gamma", gamma)
        object.__setattr__(self, "joint", Mixture(np.ones(len(gamma)), GatedEmission(mixture.emission, terms)))

    def split(self, X):
        """The rows in a type that the pass takes, and their covariates alone."""
        X = np.asarray(X)
        X = X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)
        return X, X[:, self.mixture.emission.shape[1] :]

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """The statistics of the mixture, and those of the gate.

        ``gate_first`` (K, p): sums of r u; ``gate_expected`` (K, p + 1): of pi (1, u); ``gate_log_norm``: of log Z;
        ``gate_gram`` (p + 1, p + 1): of (1, u)(1, u)'; where it is small, ``gate_curvature``; ``gate_weights``: the
        weights, times the rows', for a gate that has not begun.
        """
        X, covariates = self.split(X)
        statistics = self.joint.e_step_of_block(X, sample_weight, n_threads, kept)
        (K, P), weight = self.gamma.shape, sample_weight
        if P == 1:
            expected = statistics.weight * self.probabilities(covariates[:1])[0]
            log_norm = statistics.weight * self.log_norm(covariates[:1])[0]
            return statistics.replaced(
                log_likelihood=statistics.log_likelihood - log_norm,
                gate_expected=expected[:, None],
                gate_log_norm=log_norm,
                gate_weights=statistics.weight * self.mixture.weights,
                gate_gram=np.full((1, 1), statistics.weight),
            )
        if weight is not None:
            weight = np.ascontiguousarray(weight, np.float64)
        sums = self.pair_sums if K * P <= NEWTON_COLUMNS else self.single_sums
        more = sums(covariates, weight, resolve(n_threads))
        log_likelihood = statistics.log_likelihood - more["gate_log_norm"]
        weights = statistics.weight * self.mixture.weights
        return statistics.replaced(log_likelihood=log_likelihood, gate_weights=weights, **more)

    def single_sums(self, covariates, weight, n_threads) -> dict:
        """The sums of the covariates alone, without ``gate_curvature``."""
        K, terms, part = len(self.gamma), self.terms, self.terms.part(np.float64, self.terms.constant)
        rows = covariates.astype(np.float64)
        sums, total, _ = DOUBLE.expect((part,), rows, weight, terms.centre, K, n_threads)
        (named,) = DOUBLE.named_sums((part,), sums)

        def of_tile(start):
            u = self.gate.design(covariates[start : start + TILE])
            w = 1.0 if weight is None else weight[start : start + TILE, None]
            return Statistics(gram=arithmetic.matmul(np.ascontiguousarray(u.T), w * u))

        tiles = parallel_map(of_tile, range(0, len(covariates), TILE), n_threads)
        expected = np.column_stack([named["counts"], terms.first(named)])
        return {"gate_expected": expected, "gate_log_norm": total, "gate_gram": merged(tiles).gram}

    def pair_sums(self, covariates, weight, n_threads) -> dict:
        """The sums of the covariates alone.

        One compiled pass over a mixture of all pairs i >= j, with the coefficients gamma_i + gamma_j: their posteriors
        are pi_i pi_j, of i > j twice. A Gaussian of no precision beside them sums the second moments.
        """
        (K, P), terms, p = self.gamma.shape, self.terms, covariates.shape[1]
        i, j = np.tril_indices(K)
        twice = i != j
        linear = terms.with_coefficients(terms.eta[i] + terms.eta[j]).part(
            np.float64, terms.constant[i] + terms.constant[j] + np.where(twice, np.log(2), 0.0)
        )
        flat = {"constant": np.zeros(len(i)), "offset": np.zeros((len(i), p)), "mean": np.zeros((len(i), p))}
        flat["factor"] = np.zeros((len(i), len(factor_order(p)[0])))
        parts = (linear, DOUBLE.Part("gaussian_full", p, len(i), flattened(flat, np.float64)))
        rows, centre = np.tile(covariates, 2).astype(np.float64, copy=False), np.tile(terms.centre, 2)
        sums, total, _ = DOUBLE.expect(parts, rows, weight, centre, len(i), n_threads)
        _, named = DOUBLE.named_sums(parts, sums)
        moments = np.empty((len(i), P, P))
        moments[:, 0, 0] = named["counts"]
        moments[:, 0, 1:] = moments[:, 1:, 0] = named["first"] / terms.scale
        moments[:, 1:, 1:] = unpack_symmetric(named["second"], p) / np.outer(terms.scale, terms.scale)
        moments[twice] /= 2
        by_pair = np.empty((K, K, P, P))
        by_pair[i, j] = by_pair[j, i] = moments
        own = by_pair.sum(axis=1)
        curvature = -by_pair
        curvature[np.arange(K), np.arange(K)] += own
        return {
            "gate_expected": own[:, 0],
            "gate_log_norm": total / 2,
            "gate_gram": own.sum(axis=0),
            "gate_curvature": np.swapaxes(curvature, 1, 2).reshape(K * P, K * P),
        }

    def log_norm(self, covariates) -> np.ndarray:
        """(m,) log Z."""
        return log_norm(self.gate.design(covariates), self.gamma)

    def probabilities(self, covariates) -> np.ndarray:
        """(m, K) pi."""
        return probabilities(self.gate.design(covariates), self.gamma)

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given arrays: see :meth:`fastem.models.mixture.Mixture.score`."""
        X, covariates = self.split(X)
        self.joint.score(X, n_threads, **outputs)
        if outputs.keys() & {"log_density", "joint"}:
            log_norm = self.log_norm(covariates)
            if "log_density" in outputs:
                outputs["log_density"] -= log_norm
            if "joint" in outputs:
                outputs["joint"] -= log_norm[:, None].astype(outputs["joint"].dtype)
