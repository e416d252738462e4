"""Gaussian mixtures of rows whose values are known to lie in intervals: censored, rounded, or counted in bins.

A value x of component k is normal, so given that it lies between its bounds log P, E[x - mu] and E[(x - mu)^2] are
those of :mod:`fastem.models.gaussian.interval_moments`. They take the place of the log-density, x - mu and (x - mu)^2
in the sums of the E-step; the M-step of any structure takes these as the moments of exact rows.

Columns that are independent within a component may have any number of intervals in a row: the compiled pass makes their
sums (kernels/gaussian_interval.pxi). Otherwise at most one: given
the exact values it is normal, with mean c_i and variance C_ii, and so are missing values given it. With u the values
that are not exact, c and C their conditional mean (about mu) and covariance, and g = C_ui / C_ii,

    E[x_u - mu_u]         = c + g a,                                        a = E[x_i - mu_i - c_i],
    E[(x_u - mu_u)(...)'] = c c' + a (c g' + g c') + v g g' + C - g C_ii g',    v = E[(x_i - mu_i - c_i)^2].

The same holds of Student-t components, with a latent weight u of the row in all expectations; see
:mod:`fastem.models.gaussian.student_interval_rows`.

Dempster, Laird, Rubin: Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39 (1977), section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.kernels.packing import packed_lower
from fastem.kernels.threads import resolve
from fastem.models.bounded_rows import BoundedRows
from fastem.models.emission import flattened
from fastem.models.gaussian.interval_moments import HALF_LOG_2_PI, MODULE, standard_moments
from fastem.models.log_joint import LOWEST, normalised
from fastem.rows.intervals import EXACT, INTERVAL, Bounds, distinct, kinds_of
from fastem.rows.statistics import Statistics

MOST_DIGITS = 39  # of numbers in base 3 that an integer holds


@dataclass(frozen=True)
class IntervalRows(BoundedRows):
    """A Gaussian mixture as a model of wide rows; see the top of this file.

    The mixture's emission has `means` and `covariance`.
    """

    def __post_init__(self):
        emission = self.mixture.emission
        K, d = emission.shape
        object.__setattr__(self, "variances", np.ascontiguousarray(emission.covariance.variances(K, d)))
        object.__setattr__(self, "by_column", are_independent(emission.covariance, d))

    def of_bounds(self, bounds: Bounds):
        """log p (K, m); E[x - mu] (K, m, d); E[(x - mu)^2] (K, m, d), or E[(x - mu)(x - mu)'] as packed triangles."""
        return (self._of_columns if self.by_column else self._of_patterns)(bounds)

    def _of_columns(self, bounds):
        means, deviations = self.mixture.emission.means, np.sqrt(self.variances)
        (K, d), m = means.shape, bounds.lower.shape[1]
        joint, first, second = np.zeros((K, m)), np.empty((K, m, d)), np.empty((K, m, d))
        kinds, width = kinds_of(bounds), bounds.upper - bounds.lower
        for j in range(d):
            log_p, first[:, :, j], second[:, :, j] = of_normal(
                kinds[j],
                bounds.lower[j] - means[:, j, None],
                bounds.upper[j] - means[:, j, None],
                np.broadcast_to(width[j], (K, m)),
                np.broadcast_to(deviations[:, j, None], (K, m)),
            )
            joint += log_p
        return joint, first, second

    def _of_patterns(self, bounds):
        emission = self.mixture.emission
        return of_patterns(bounds, emission.means, emission.dense_covariances(), normal_given)[:3]

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """The statistics of the mixture, see :meth:`fastem.models.mixture.Mixture.e_step_of_block`, of wide rows.

        ``unseen`` is the entropy of the values between their bounds, given the components.
        """
        totals, (first, second) = (self._compiled_sums if self.by_column else self.sums)(X, sample_weight, n_threads)
        covariance, d = self.mixture.emission.covariance, self.mixture.emission.shape[1]
        if covariance.kernel != "gaussian_diagonal":
            second = covariance.of_full(np.ascontiguousarray(second), d)
        statistics = Statistics(first=first, second=second, unseen=0.0, **totals)
        unseen = statistics.log_likelihood - statistics.entropy
        unseen -= self.mixture.expected_log_joint(statistics, self.mixture)
        return statistics.replaced(unseen=float(unseen))

    def part(self, dtype=np.float64):
        """The compiled family, where columns are independent, and the centre that its means are about: 0, since the
        rows are float64, and the width of an interval has more digits than its ends have about a mean that is far."""
        (K, d), log_weights = self.mixture.emission.shape, np.maximum(self.mixture.log_weights, LOWEST)
        deviations = np.sqrt(self.variances)
        arrays = {
            "constant": log_weights,
            "mean": self.mixture.emission.means,
            "scale": 1 / deviations,
            "deviation": deviations,
        }
        part = kernels.for_dtype(dtype).Part("gaussian_interval", 3 * d, K, flattened(arrays, dtype))
        return part, np.zeros(3 * d, dtype)

    def _compiled_sums(self, X, sample_weight, n_threads) -> tuple[dict, list]:
        """See :meth:`fastem.models.bounded_rows.BoundedRows.sums`."""
        weight = None if sample_weight is None else np.ascontiguousarray(sample_weight, np.float64)
        (part, centre), K = self.part(), self.mixture.n_components
        rows = np.asarray(X, np.float64)
        sums, log_likelihood, entropy = MODULE.expect((part,), rows, weight, centre, K, resolve(n_threads))
        (named,) = MODULE.named_sums((part,), sums)
        totals = {
            "counts": named["counts"],
            "weight": float(len(X) if weight is None else weight.sum()),
            "log_likelihood": log_likelihood,
            "entropy": entropy,
        }
        return totals, [named["first"], named["second"]]

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given arrays: ``log_density`` (n,), ``responsibilities`` (n, K), ``labels`` (n,)."""
        if not self.by_column:
            super().score(X, n_threads, **outputs)
            return
        (part, centre), K = self.part(), self.mixture.n_components
        too_far = MODULE.score((part,), np.asarray(X, np.float64), centre, K, resolve(n_threads), **outputs)
        if too_far and "log_density" in outputs:
            density = outputs["log_density"]
            density[density <= MODULE.lowest] = -np.inf

    def imputed(self, X, n_threads=1) -> np.ndarray:
        """(n, d) the expected values of wide rows within their bounds; exact ones as they are."""
        means = self.mixture.emission.means
        values = np.empty((len(X), means.shape[1]))

        def fill(bounds, tile):
            joint, first, _ = self.expected(bounds)
            _, r = normalised(joint)
            mean = (r[:, :, None] * (means[:, None] + first)).sum(axis=0)
            mean = np.clip(mean, bounds.lower.T, bounds.upper.T)  # by rounding alone
            values[tile] = mean

        self.tiles(fill, X, n_threads)
        return values


def are_independent(covariance, d) -> bool:
    """Whether the columns are independent within a component, so that every value may have bounds."""
    return covariance.kernel == "gaussian_diagonal" or d == 1


def of_normal(kinds, lower, upper, width, deviations):
    """log p or log P, E[y] and E[y^2] of y ~ N(0, deviation^2) that lies between bounds: arrays (K, m).

    kinds : (m,) EXACT, INTERVAL or MISSING
    width : between the bounds, which about a mean that is far away may be one number
    """
    z = lower / deviations
    exact, interval = kinds == EXACT, kinds == INTERVAL
    log_p = np.where(exact, -0.5 * z * z - arithmetic.log(deviations) - HALF_LOG_2_PI, 0.0)
    first = np.where(exact, lower, 0.0)
    second = np.where(exact, lower * lower, deviations**2)
    if interval.any():
        scale = deviations[:, interval]
        moments = standard_moments(z[:, interval], upper[:, interval] / scale, width[:, interval] / scale)
        log_p[:, interval] = moments.log_p
        first[:, interval] = scale * moments.first
        second[:, interval] = scale**2 * moments.second
    return log_p, first, second


def of_patterns(bounds, means, dense, given) -> list[np.ndarray]:
    """Of rows (K, m, ...), those together whose values are known in the same way: see :func:`of_pattern`.

    dense : (K, d, d) the covariances, or scale matrices
    """
    found: list[np.ndarray] = []
    for pattern, rows in rows_by_pattern(kinds_of(bounds).T):
        some: Any = slice(None)
        of_some: Any = some
        if not (pattern == EXACT).any():  # only one value is not missing
            column = int((pattern == INTERVAL).argmax())
            some, of_some = distinct(*(side[column, rows] for side in bounds))
        known = Bounds(*(side[:, rows[some]] for side in bounds))
        part = of_pattern(pattern, dense, means, known, given)
        found = found or [np.empty((len(means), bounds.lower.shape[1], *values.shape[2:])) for values in part]
        for whole, values in zip(found, part):
            whole[:, rows] = values[:, of_some]
    return found


def rows_by_pattern(kinds):
    """[(pattern (d,), its rows)] of kinds (m, d) that are less than 3."""
    d = kinds.shape[1]
    if d <= MOST_DIGITS:  # as numbers in base 3, which are sorted ten times as fast
        _, first, of_row = np.unique(kinds @ 3 ** np.arange(d), return_index=True, return_inverse=True)
    else:
        _, first, of_row = np.unique(kinds, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(of_row.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(of_row.ravel(), minlength=len(first)))[:-1]
    return [(kinds[i], rows) for i, rows in zip(first, np.split(order, ends))]


def normal_given(n_known, squares, interval):
    """What :func:`of_pattern` asks of Gaussians: the weights u of rows are 1."""
    log_p = -0.5 * squares - n_known * HALF_LOG_2_PI
    if interval is None:
        return log_p, np.ones_like(log_p), 0.0, 0.0
    p, first, second = of_normal(np.full(log_p.shape[1], INTERVAL), *interval)
    return log_p + p, np.ones_like(log_p), first, second - interval[-1] ** 2


def of_pattern(pattern, dense, means, bounds, given):
    """Of m rows alike, with weights u that may be latent: (K, m) log-densities, (K, m, d) E[u (x - mu)],
    (K, m, d (d + 1) / 2) E[u (x - mu)(x - mu)'] as packed triangles, (K, m) E[u], and what else `given` has.

    pattern : (d,) EXACT, INTERVAL (at most one) or MISSING
    dense : (K, d, d)
    means : (K, d)
    given : callable
        ``given(number of exact values, their squared distances (K, m), interval)``: (K, m) the log-density for scale
        matrices of determinant 1, E[u], and of the value t in the interval, less what is expected given the exact ones,
        E[u t] and E[u t^2] - its squared deviation; then anything else. interval : its bounds less what is expected,
        its width and the deviation, (K, m) each; None where there is none, then the last two are 0.
    """
    lower, upper = (side - means[:, :, None] for side in bounds)
    (K, d, m), known = lower.shape, np.flatnonzero(pattern == EXACT)
    hidden = np.flatnonzero(pattern != EXACT)
    values = np.zeros((K, m, d))
    values[:, :, known] = np.swapaxes(lower[:, known], 1, 2)
    order, e = np.append(known, hidden), len(known)
    factor = np.linalg.cholesky(dense[:, order][:, :, order])  # of which what is left of the hidden is no difference
    own = factor[:, e:, e:]
    C = np.einsum("kuw,kvw->kuv", own, own)
    centre, squares, log_det = np.zeros((K, m, len(hidden))), np.zeros((K, m)), np.zeros(K)
    if e:
        root = factor[:, :e, :e]
        y = np.linalg.solve(root, lower[:, known])  # (K, e, m)
        log_det = arithmetic.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
        squares = (y * y).sum(axis=1)
        centre = np.einsum("kue,kem->kmu", factor[:, e:, :e], y)
    inside, interval, gain = np.flatnonzero(pattern[hidden] == INTERVAL), None, np.zeros((K, len(hidden)))
    if len(inside):
        (i,) = inside
        deviations = np.broadcast_to(np.sqrt(C[:, i, i, None]), (K, m))
        width = np.broadcast_to((bounds.upper - bounds.lower)[hidden[i]], (K, m))
        interval = (*(side[:, hidden[i]] - centre[:, :, i] for side in (lower, upper)), width, deviations)
        gain = C[:, :, i] / C[:, i, i, None]
    log_p, mass, along, excess, *others = given(len(known), squares, interval)
    along, excess = (np.broadcast_to(a, (K, m))[:, :, None] for a in (along, excess))
    first = mass[:, :, None] * values
    first[:, :, hidden] = mass[:, :, None] * centre + along * gain[:, None]
    second = values[:, :, :, None] * first[:, :, None]
    second[:, :, :, known] = first[:, :, :, None] * values[:, :, None, known]
    second[:, :, known[:, None], hidden] = values[:, :, known, None] * first[:, :, None, hidden]
    cross = along[..., None] * centre[:, :, :, None] * gain[:, None, None]
    second[:, :, hidden[:, None], hidden] = (
        mass[:, :, None, None] * centre[:, :, :, None] * centre[:, :, None]
        + (cross + np.swapaxes(cross, 2, 3))
        + excess[..., None] * (gain[:, :, None] * gain[:, None])[:, None]
        + C[:, None]
    )
    i, j = packed_lower(d)
    return log_p - log_det[:, None], first, second[:, :, i, j], mass, *others
