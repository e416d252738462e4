"""Mixtures of regressions: sum_k pi_k p(y | eta_k(x)), eta_k = B_k' z, by EM.

z are a 1 and the columns of x in an orthogonal basis with mean square 1 (:mod:`fastem.models.design` finds it), so that
columns which are nearly dependent cost few digits. Sums of a compiled pass (kernels/regression.pxi), with r the
responsibilities times the rows' weights, mu and v the mean and the variance function at eta (Gaussian: v = 1),
e = y - mu:

    r,    S = sum r e z,    A = sum r v z z',    and for Gaussians  Q = sum r e^2.

Gaussian: B + A^-1 S is the exact maximum, and Q - S' A^-1 S its squares. Poisson and binomial (generalised EM): along
a direction D the third derivative of the log-likelihood is at most w = max |D' z| times the second, so the damped
Newton step t D with D = A^-1 S, t = log(1 + w)/w never falls, and is the whole step near the maximum.

W. DeSarbo, W. Cron: A maximum likelihood methodology for clusterwise linear regression. J. Classification 5 (1988).
M. Jordan, R. Jacobs: Hierarchical mixtures of experts and the EM algorithm. Neural Computation 6 (1994) 181-214.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from fastem import kernels
from fastem.errors import ExactRegression
from fastem.kernels import arithmetic
from fastem.kernels.packing import unpack_gram
from fastem.kernels.threads import resolve
from fastem.models.emission import KernelCall, flattened
from fastem.models.gate import Gate
from fastem.models.gate_steps import damping
from fastem.models.gated_rows import GatePass
from fastem.models.rounding import UNIT
from fastem.models.weights import FREE, Shares
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics

ILL_CONDITIONED = 1e10  # an entry of the curvature's diagonal times that of its inverse, at most where this has digits
NO_CURVATURE = 1e-13  # of the largest in units of the diagonal: a direction of which the rows tell nothing
UNKNOWN = 1e-10  # of a log-likelihood and of the weight of its rows: what sums of terms lose
RIDGE = 1e-6  # precision of a normal prior of Poisson's and binomial coefficients: separation has a finite maximum
LARGEST = 700.0  # of a linear predictor, so that exp is a number
TARGETS = ("gaussian", "poisson", "binomial")  # as in kernels/regression.pxi
DOUBLE = kernels.for_dtype(np.float64)


def gaussian_terms(eta):
    return eta, np.ones_like(eta)


def poisson_terms(eta):
    mean = arithmetic.exp(np.minimum(eta, LARGEST))
    return mean, mean


def binomial_terms(eta):
    tail = arithmetic.exp(-np.minimum(abs(eta), LARGEST))
    return np.where(eta < 0, tail, 1.0) / (1 + tail), tail / (1 + tail) ** 2


MEANS = {"gaussian": gaussian_terms, "poisson": poisson_terms, "binomial": binomial_terms}


@dataclass(frozen=True)
class Regressions(BlockModel):
    """A mixture of regressions as a model of rows (z, y) without the 1, behind them sizes where the model is sized, and
    covariates where the shares are a gate.

    Attributes
    ----------
    weights : (K,)
    coefficients : (K, P, m)
    variances : (K, m)
        Of Gaussians; others: ones, not used.
    family : {"gaussian", "poisson", "binomial"}
    floor : (m,)
        The least variances.
    widest : (P,)
        The largest |z|.
    shares : Shares
    sized : bool
        Whether rows have sizes (m,), of each target: the number of trials of binomial ones, the logarithm of the
        exposure of Poisson ones.
    unit : float
        Of the sample weights, in which the prior of the coefficients counts.
    """

    weights: np.ndarray
    coefficients: np.ndarray
    variances: np.ndarray
    family: str
    floor: np.ndarray
    widest: np.ndarray
    shares: Shares = FREE
    sized: bool = False
    unit: float = 1.0

    @property
    def ridge(self) -> float:
        """The precision of the prior."""
        return RIDGE * self.unit

    @property
    def n_parameters(self):
        (K, _, m), used = self.coefficients.shape, int((self.widest > 0).sum())
        own = K * m * (used + self.is_gaussian)
        return own + self.shares.n_parameters(len(self.weights))

    @property
    def is_gaussian(self):
        return self.family == "gaussian"

    def split(self, X):
        """z (n, P - 1), y (n, m), their sizes (n, m) or None, and the covariates."""
        _, P, m = self.coefficients.shape
        z, y, sizes, covariates = np.split(X, np.cumsum([P - 1, m, m * self.sized]), axis=1)
        return z, y, sizes if self.sized else None, covariates

    def linear(self, z):
        """(n, K, m)"""
        K, P, m = self.coefficients.shape
        flat = np.ascontiguousarray(np.swapaxes(self.coefficients, 0, 1)).reshape(P, K * m)
        return (flat[0] + arithmetic.matmul(np.ascontiguousarray(z), flat[1:])).reshape(len(z), K, m)

    def moments(self, z, sizes=None):
        """The means (n, K, m) of y in each component, and its variances; sizes (n, m) None: one trial, exposure 1."""
        eta = self.linear(z)
        if sizes is not None and self.family == "poisson":
            eta = eta + sizes[:, None]
        mean, spread = MEANS[self.family](eta)
        if sizes is not None and self.family == "binomial":
            mean, spread = mean * sizes[:, None], spread * sizes[:, None]
        return mean, self.variances if self.is_gaussian else spread

    def rates(self, y, sizes):
        """(n, m) targets for one trial or the exposure 1."""
        if sizes is None:
            return y
        return y / (sizes if self.family == "binomial" else arithmetic.exp(sizes))

    def working(self, y, sizes):
        """(n, m) what each target alone says of its linear predictor."""
        if self.family == "poisson":
            return arithmetic.log(y + 0.5) - (0.0 if sizes is None else sizes)
        if self.family == "binomial":
            return arithmetic.log((y + 0.5) / ((1.0 if sizes is None else sizes) - y + 0.5))
        return y

    def shares_of(self, covariates):
        """The components' probabilities from the covariates alone, (n, K), or (1, K) where these do not matter."""
        if not isinstance(self.shares, Gate):
            return self.weights[None]
        return self.shares.probabilities(covariates, self.weights)

    def __getstate__(self):
        """Without what is derived, which cannot be pickled."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def gate(self) -> GatePass | None:
        return GatePass(self.shares, self.weights) if isinstance(self.shares, Gate) else None

    def part(self, dtype, factorials):
        """The densities and weights as the compiled part takes them; where a gate is another part, without weights.
        factorials: with -log y! of counts."""
        (K, P, m), gaussian = self.coefficients.shape, self.is_gaussian
        constant = np.zeros(K)
        if self.gate is None:
            constant = self.shares.log_weights(self.weights)
        elif not self.gate.slope.size:
            constant = self.gate.constant
        if gaussian:
            constant = constant - 0.5 * arithmetic.log(2 * np.pi * self.variances).sum(axis=1)
        scale = np.sqrt(0.5 / self.variances) if gaussian else self.variances
        module, lines = kernels.for_dtype(dtype), np.swapaxes(self.coefficients, 1, 2)
        params = {
            "constant": np.maximum(constant, module.lowest),
            "coefficients": np.roll(lines, -1, axis=2),  # the intercept last
            "scale": scale,
            "kind": [TARGETS.index(self.family)],
            "origin": np.zeros(P - 1),
            "factorials": [factorials],
            "sized": [self.sized],
        }
        return module.Part("regression", P - 1 + m * (1 + self.sized), K, flattened(params, dtype))

    @cached_property
    def call(self) -> KernelCall:
        """The compiled E-step of float64 rows, whose log-likelihood lacks :meth:`log_factorials`."""
        return self.kernel_call(factorials=False)

    def kernel_call(self, factorials) -> KernelCall:
        """A compiled pass over float64 rows."""
        gated = self.gate is not None and self.gate.slope.size
        parts = (self.part(np.float64, factorials), *([self.gate.part(np.float64)] if gated else []))
        centre = np.concatenate([np.zeros(parts[0].n_columns), *([self.gate.centre] if gated else [])])
        return KernelCall(parts, centre, self.unpack)

    def unpack(self, sums, of_gate=None) -> dict:
        """The kernel's sums as statistics, the intercept first."""
        K, P, m = self.coefficients.shape
        triangles = sums["gram"].reshape(K, -1, P * (P + 1) // 2)
        named = {
            "counts": sums["counts"],
            "slope": np.swapaxes(np.roll(sums["slope"].reshape(K, m, P), 1, axis=2), 1, 2),
            "squares": sums["squares"],
            "curvature": unpack_gram(triangles, P),
        }
        return named | ({} if of_gate is None else self.gate.named(of_gate))

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """``counts`` (K,), ``slope`` (K, P, m), ``squares`` (K, m), ``curvature`` (K, 1 or m, P, P), with ``weight``,
        ``log_likelihood`` and ``entropy``, and those of a gate: see the top, and
        :class:`fastem.models.gated_rows.GatedRows`.
        """
        X = np.ascontiguousarray(X, np.float64)
        weight = None if sample_weight is None else np.ascontiguousarray(sample_weight, np.float64)
        call, K = self.call, len(self.weights)
        sums, log_likelihood, entropy = DOUBLE.expect(call.parts, X, weight, call.centre, K, resolve(n_threads))
        statistics = Statistics(
            **call.unpack(*DOUBLE.named_sums(call.parts, sums)),
            weight=len(X) if weight is None else weight.sum(),
            log_likelihood=log_likelihood - self.log_factorials(X, weight, kept),
            entropy=entropy,
        )
        if self.gate is None:
            return statistics
        return self.gate.further(statistics, self.split(X)[-1], weight, n_threads, kept)

    def log_factorials(self, X, weight, kept) -> float:
        """The sum over the rows of :meth:`log_factorials_of_rows`, once for the rows."""
        if self.family == "gaussian" or (self.family == "binomial" and not self.sized):
            return 0.0
        if "log_factorials" not in kept:
            logs = self.log_factorials_of_rows(X)
            kept["log_factorials"] = float(logs.sum() if weight is None else (weight * logs).sum())
        return kept["log_factorials"]

    def log_factorials_of_rows(self, X):
        """(n,) minus what does not depend on the component: of counts log y!, of s trials log y! (s - y)! / s!."""
        _, y, trials, _ = self.split(X)
        logs = log_factorial(y)
        if self.family == "binomial":
            logs = logs + log_factorial(trials - y) - log_factorial(trials)
        return logs.sum(axis=1)

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given arrays: `log_density` (n,) of y given the rest, `responsibilities` (n, K)."""
        X, call = np.ascontiguousarray(X, np.float64), self.kernel_call(factorials=True)
        DOUBLE.score(call.parts, X, call.centre, len(self.weights), resolve(n_threads), **outputs)
        if self.family == "binomial" and self.sized and "log_density" in outputs:
            outputs["log_density"] -= self.log_factorials_of_rows(X)

    def m_step(self, statistics) -> Regressions:
        shares = self.shares.after(statistics)
        weights = shares.m_step(statistics.counts, self.weights)
        coefficients, variances = self.coefficients.copy(), self.variances.copy()
        K, _, m = coefficients.shape
        for k in range(K):
            if statistics.counts[k] > np.finfo(np.float64).tiny:
                for j in range(m):
                    coefficients[k, :, j], variances[k, j] = self._step(statistics, k, j)
        sizes = self._sizes(coefficients)
        exact = (np.maximum(variances, self.floor) <= (UNIT * sizes) ** 2).any(axis=1)
        if self.is_gaussian and exact.any():  # all that is left of y
            raise ExactRegression(np.flatnonzero(exact).tolist(), sizes[exact].max())
        return replace(self, weights=weights, coefficients=coefficients, variances=variances, shares=shares)

    @property
    def at_floor(self) -> np.ndarray:
        """(K,) whether a variance of the component is held by the floor."""
        return self.is_gaussian & (self.variances <= self.floor).any(axis=1)

    def _sizes(self, coefficients):
        """(K, m) the most that the terms of a linear predictor sum to, in absolute value."""
        return arithmetic.matmul(np.ascontiguousarray(np.swapaxes(abs(coefficients), 1, 2)), self.widest)

    def _step(self, statistics, k, j):
        """The coefficients (P,) of an output, and its variance."""
        now, slope = self.coefficients[k, :, j], statistics.slope[k, :, j]
        curvature = statistics.curvature[k, j if statistics.curvature.shape[1] > 1 else 0]
        if self.is_gaussian:
            step = solved(curvature, slope)
            left = statistics.squares[k, j] - arithmetic.matmul(step, slope)
            return now + step, max(left / statistics.counts[k], self.floor[j])
        step = solved(curvature + self.ridge * np.eye(len(now)), slope - self.ridge * now)
        return now + damping(float(abs(step) @ self.widest)) * step, 1.0

    def log_likelihood_error(self, statistics, n_rows=None, dtype=np.float64) -> float:
        """About how far rounding has taken the log-likelihood: that of a linear predictor and of its difference from y,
        by Cauchy and Schwarz over the rows, and of the sums."""
        size = self._sizes(self.coefficients)
        counts = statistics.counts[:, None]
        off = UNIT * (len(self.widest) + 3) * size
        if self.is_gaussian:
            squares = np.maximum(statistics.squares, 0)
            off = off + UNIT * np.sqrt(squares)
            lost = (2 * np.sqrt(counts * squares) * off + counts * off**2) / self.variances
        else:
            means = statistics.curvature[..., 0, 0]  # Poisson's, in sum; and as many terms y log(mean)
            logs = 1 + np.log1p(means) + np.log1p(means / np.maximum(counts, np.finfo(np.float64).tiny))
            lost = (counts + means) * off * (1 + size) + 8 * UNIT * means * logs
        return float(lost.sum()) + UNKNOWN * (abs(statistics.log_likelihood) + statistics.weight)

    def log_prior(self):
        own = 0.0 if self.is_gaussian else -0.5 * self.ridge * float((self.coefficients**2).sum())
        return own + self.shares.log_prior(self.weights)

    def parameters(self):
        return np.concatenate(
            [self.shares.parameters(self.weights), self.coefficients.ravel(), np.sqrt(self.variances).ravel()]
        )

    # ---- coordinates, for standard errors ---------------------------------------------------------------------------

    def to_vector(self):
        """The coefficients, the logarithms of the variances where there are some, and coordinates of the weights."""
        logs = arithmetic.log(self.variances).ravel() if self.is_gaussian else np.empty(0)
        return np.concatenate([self.coefficients.ravel(), logs, self.shares.to_vector(self.weights)])

    def units(self):
        """Of these coordinates, for differences; 0: no row depends on it."""
        K, P, m = self.coefficients.shape
        used = np.broadcast_to((self.widest > 0)[:, None], (K, P, m))
        deviations = np.sqrt(self.variances[:, None]) if self.is_gaussian else 1.0
        own = (used * deviations).ravel()
        return np.concatenate([own, np.ones(len(self.to_vector()) - len(own))])

    def from_vector(self, vector) -> Regressions:
        """The model of these coordinates."""
        logs = self.variances.size if self.is_gaussian else 0
        own, logs, rest = np.split(vector, np.cumsum([self.coefficients.size, logs]))
        shares, weights = self.shares.from_vector(rest, self.weights)
        variances = arithmetic.exp(logs).reshape(self.variances.shape) if self.is_gaussian else self.variances
        variances = np.maximum(variances, self.floor) if self.is_gaussian else variances
        coefficients = own.reshape(self.coefficients.shape)
        return replace(self, weights=weights, coefficients=coefficients, variances=variances, shares=shares)

    def gradient(self, statistics) -> np.ndarray:
        """Of the log-posterior, in these coordinates, from this model's statistics (Fisher's identity)."""
        if self.is_gaussian:
            slope = statistics.slope / self.variances[:, None]
            logs = 0.5 * (statistics.squares / self.variances - statistics.counts[:, None]).ravel()
        else:
            slope, logs = statistics.slope - self.ridge * self.coefficients, np.empty(0)
        return np.concatenate([slope.ravel(), logs, self.shares.gradient(statistics, self.weights)])


def log_factorial(counts):
    """Of an array of any shape."""
    return DOUBLE.log_factorial(np.ascontiguousarray(counts).ravel()).reshape(counts.shape)


def solved(curvature, slope):
    """curvature^-1 slope; where the curvature is singular up to rounding, as of fewer rows than coefficients, without
    the directions of which it tells nothing."""
    largest = np.diagonal(curvature).max()
    if largest > 0:  # of components of almost no weight inverses would be beyond the range of numbers
        unit = np.ldexp(1.0, int(np.frexp(largest)[1]))
        curvature, slope = curvature / unit, slope / unit
    diagonal = np.diagonal(curvature)
    try:
        inverse = arithmetic.inverse(curvature)
    except np.linalg.LinAlgError:
        inverse = None
    if inverse is not None and (diagonal * np.diagonal(inverse)).max() < ILL_CONDITIONED:
        return arithmetic.matmul(inverse, slope)
    units = 1 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    values, axes = arithmetic.fixed_eigh(curvature * units * units[:, None])
    known = values > NO_CURVATURE * values[-1]
    axes = np.ascontiguousarray(axes[:, known])
    along = arithmetic.matmul(np.ascontiguousarray(axes.T), units * slope) / values[known]
    return units * arithmetic.matmul(axes, along)
