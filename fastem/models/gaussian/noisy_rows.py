"""Gaussian mixtures of rows that were measured with known errors (extreme deconvolution).

Row n is w_n = x_n + noise, the noise N(0, S_n) with S_n known, and the mixture is that of the noise-free x. With
T = V_k + S_n, r = p(k | w_n) and z = T^-1 (w_n - mu_k), three sums are enough,

    N = sum r,    g = sum r z,    H = sum r (z z' - T^-1),

since V g and N V + V H V are the expected first and second moments of x - mu_k: they go to the M-step of any structure
as the moments of rows without errors do. With V = L L' the second is L (N I + L' H L) L': where V is narrow, H is
large, and V H V as it stands would lose what is left of it. A value that was not measured has an infinite error: its
row and column of T^-1 are 0.

The compiled pass makes these sums (kernels/gaussian_noisy.pxi). Posteriors of noise-free rows are made here, where
every entry of a triangle is an array over components and rows, so that all matrices of a tile are factored together.

Bovy, Hogg, Roweis: Extreme deconvolution: inferring complete distribution functions from noisy, heterogeneous and
incomplete observations. Annals of Applied Statistics 5 (2011) 1657-1677, arXiv 0905.2979.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.kernels.threads import resolve
from fastem.kernels.workers import parallel_map
from fastem.models.emission import flattened
from fastem.models.gaussian.emission import middle
from fastem.models.log_joint import LOWEST, normalised
from fastem.models.mixture import Mixture
from fastem.rows.e_step import BlockModel
from fastem.rows.statistics import Statistics

MODULE = kernels.for_dtype(np.float64)  # whatever the type of the rows: T has no digits in float32
INFINITE = 1e150  # a deviation whose square may overflow: the value was not measured
TILE = 4096  # rows times components that are factored together: their triangles stay in the cache
PIVOT = 4 * np.finfo(np.float64).eps  # share of a diagonal entry, below which a pivot has no digits


class Rows(NamedTuple):
    """values: (d, m), those that were not measured 0; measured: (d, m) bool, or None where all were;
    errors: variances (d, m), or packed covariances (d (d + 1) / 2, m)."""

    values: np.ndarray
    measured: np.ndarray | None
    errors: np.ndarray


def split_rows(X, d) -> Rows:
    """Wide rows, values and then standard deviations (m, d) or packed covariances (m, d (d + 1) / 2) of their errors.

    Not measured: the value is NaN, or its error is infinite.
    """
    wide = np.ascontiguousarray(np.asarray(X, np.float64).T)
    values, errors = wide[:d], wide[d:]
    full = len(errors) > d
    i, j = packed_lower(d)
    deviations = errors[i == j] if full else errors
    measured = ~np.isnan(values) & (deviations < (INFINITE**2 if full else INFINITE))
    if measured.all():
        return Rows(values, None, errors if full else errors**2)
    known = measured[i] & measured[j] if full else measured
    errors = np.where(known, errors, 0.0)
    return Rows(np.where(measured, values, 0.0), measured, errors if full else errors**2)


class Posterior(NamedTuple):
    """joint: (K, m) log p(w, k); z: d arrays (K, m) of T^-1 (w - mu); inverse: those of T^-1 (K, m), packed, or its
    diagonal alone."""

    joint: np.ndarray
    z: list
    inverse: list


@dataclass(frozen=True)
class NoisyRows(BlockModel):
    """A Gaussian mixture of noise-free rows as a model of wide rows; see the top of this file.

    Attributes
    ----------
    mixture : Mixture
        With an emission that has `means` and `covariance`.
    """

    mixture: Mixture

    def __post_init__(self):
        emission = self.mixture.emission
        K, d = emission.shape
        object.__setattr__(self, "constant", np.maximum(self.mixture.log_weights, LOWEST))
        object.__setattr__(self, "variances", np.ascontiguousarray(emission.covariance.variances(K, d)))
        object.__setattr__(self, "dense", emission.dense_covariances())

    @property
    def is_diagonal(self) -> bool:
        """Whether columns are independent within every component."""
        return self.mixture.emission.covariance.kernel == "gaussian_diagonal"

    def posterior(self, rows: Rows) -> Posterior:
        """Of a tile."""
        d = len(rows.values)
        z = [rows.values[i] - self.mixture.emission.means[:, i, None] for i in range(d)]
        if self.is_diagonal and len(rows.errors) == d:
            return self._of_columns(rows, z)
        return self._of_triangles(rows, z)

    def _constant(self, rows):
        """What log-densities have beside determinant and distance: (K, 1), or (K, m) where values were not measured."""
        n = len(rows.values) if rows.measured is None else rows.measured.sum(axis=0)
        return self.constant[:, None] - 0.5 * arithmetic.log(2 * np.pi) * n

    def _of_columns(self, rows, z) -> Posterior:
        log_det, distance, inverse = 0.0, 0.0, []
        for i in range(len(z)):
            total = self.variances[:, i, None] + rows.errors[i]
            if rows.measured is not None:
                total = np.where(rows.measured[i], total, 1.0)
                z[i] = z[i] * rows.measured[i]
            inverse.append(1 / total)
            log_det = log_det + arithmetic.log(total)
            scaled = z[i] * inverse[i]
            distance = distance + z[i] * scaled
            z[i] = scaled
            if rows.measured is not None:
                inverse[i] = inverse[i] * rows.measured[i]
        return Posterior(np.maximum(self._constant(rows) - 0.5 * (log_det + distance), LOWEST), z, inverse)

    def _of_triangles(self, rows, z) -> Posterior:
        d, there = len(z), rows.measured
        total = self._totals(rows)
        if there is not None:
            z = [z[i] * there[i] for i in range(d)]
        lower, log_root, turn = {}, 0.0, []  # total = L L', `turn` are the diagonal of L^-1
        for j in range(d):
            pivot = total[j, j] - sum(lower[j, e] ** 2 for e in range(j))
            pivot = np.maximum(pivot, PIVOT * total[j, j])
            log_root = log_root + arithmetic.log(pivot)
            turn.append(1 / np.sqrt(pivot))
            for i in range(j + 1, d):
                lower[i, j] = (total[i, j] - sum(lower[i, e] * lower[j, e] for e in range(j))) * turn[j]
        inverse_root = {(j, j): turn[j] for j in range(d)}
        for j in range(d):
            for i in range(j + 1, d):
                inverse_root[i, j] = -turn[i] * sum(lower[i, e] * inverse_root[e, j] for e in range(j, i))
        y = [sum(inverse_root[i, j] * z[j] for j in range(i + 1)) for i in range(d)]
        joint = self._constant(rows) - 0.5 * (log_root + sum(one**2 for one in y))
        z = [sum(inverse_root[e, i] * y[e] for e in range(i, d)) for i in range(d)]
        inverse = []
        for i, j in zip(*packed_lower(d)):
            entry = sum(inverse_root[e, i] * inverse_root[e, j] for e in range(i, d))
            inverse.append(entry if there is None else entry * (there[i] & there[j]))
        return Posterior(np.maximum(joint, LOWEST), z, inverse)

    def _totals(self, rows):
        """{(i, j): (K, m)} the lower triangles of V + S; where a value was not measured, of a unit matrix."""
        d, there = len(rows.values), rows.measured
        full, total = len(rows.errors) > d, {}
        for p, (i, j) in enumerate(zip(*packed_lower(d))):
            entry = self.dense[:, i, j, None]
            if full or i == j:
                entry = entry + rows.errors[p if full else i]
            if there is not None:
                entry = np.where(there[i] & there[j], entry, float(i == j))
            total[i, j] = entry
        return total

    def _tiles(self, function, X, n_threads) -> list:
        """[function(a tile of wide rows, its slice)]."""
        K, d = self.mixture.emission.shape
        size = max(64, TILE // K)
        tiles = [slice(start, start + size) for start in range(0, len(X), size)]
        return parallel_map(lambda tile: function(split_rows(X[tile], d), tile), tiles, n_threads)

    @cached_property
    def root(self) -> np.ndarray:
        """(K, d, d) lower triangular L with L L' = V."""
        upper = self.mixture.emission.covariance.dense(*self.mixture.emission.shape).precisions_cholesky
        return np.swapaxes(arithmetic.inverse_transposed(np.swapaxes(upper, 1, 2)), 1, 2)

    @cached_property
    def centre(self) -> np.ndarray:
        """(d,) about which the pass takes the values."""
        return middle(self.mixture.emission.means, arithmetic.exp(self.constant))

    def part(self, full, gaps, dtype=np.float64):
        """The compiled family of rows with covariances of errors, or deviations; gaps: whether values are missing."""
        (K, d), name, V = self.variances.shape, "gaussian_noisy_full" if full else "gaussian_noisy", self.dense
        i, j = packed_lower(d)
        V = V[:, i, j]
        if self.is_diagonal and not full:
            name, V = "gaussian_noisy_diagonal", self.variances
        log_scales = -0.5 * (arithmetic.log(2 * np.pi) + arithmetic.log(self.variances))
        arrays = {
            "constant": np.maximum(self.constant + log_scales.sum(axis=1), LOWEST),
            "mean": self.mixture.emission.means - self.centre,
            "covariance": V,
            "scale": 1 / self.variances,
            "gain": -log_scales,
            "gaps": float(gaps),
        }
        columns = d + (len(i) if full else d)
        return kernels.for_dtype(dtype).Part(name, columns, K, flattened(arrays, dtype))

    def _call(self, X) -> tuple:
        """The parts, the rows (n, d + p) as the pass takes them, and their centre."""
        d, X = self.mixture.emission.shape[1], np.asarray(X, np.float64)
        full = X.shape[1] > 2 * d
        i, j = packed_lower(d)
        infinite = ~(X[:, d:][:, i == j] < INFINITE**2) if full else ~(X[:, d:] < INFINITE)
        if infinite.any():  # not measured
            X = X.copy()
            X[:, :d][infinite] = np.nan
        part = self.part(full, np.isnan(X[:, :d]).any())
        return (part,), X, np.concatenate([self.centre, np.zeros(X.shape[1] - d)])

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """The statistics of the mixture, see :meth:`fastem.models.mixture.Mixture.e_step_of_block`, of wide rows.

        ``unseen`` is the entropy of the noise-free rows given the components.
        """
        weight = None if sample_weight is None else np.ascontiguousarray(sample_weight, np.float64)
        parts, rows, centre = self._call(X)
        K = self.mixture.n_components
        sums, log_likelihood, entropy = MODULE.expect(parts, rows, weight, centre, K, resolve(n_threads))
        (named,) = MODULE.named_sums(parts, sums)
        first, second = self.expected_moments(named["counts"], named["first"], named["second"])
        statistics = Statistics(
            counts=named["counts"],
            first=first,
            second=second,
            weight=float(len(X) if weight is None else weight.sum()),
            log_likelihood=log_likelihood,
            entropy=entropy,
            unseen=0.0,
        )
        unseen = log_likelihood - entropy - self.mixture.expected_log_joint(statistics, self.mixture)
        return statistics.replaced(unseen=float(unseen))

    def expected_moments(self, counts, g, H):
        """First and second moments of the noise-free rows about the means, as the structure's M-step takes them."""
        covariance, d = self.mixture.emission.covariance, g.shape[1]
        if H.shape == g.shape:
            V = self.variances
            return V * g, V * (counts[:, None] + V * H)
        lower = self.root
        upper = np.swapaxes(lower, 1, 2)
        with np.errstate(over="ignore", invalid="ignore"):  # of a proposal that is too narrow: it is not finite
            inner = arithmetic.matmul(arithmetic.matmul(upper, unpack_symmetric(H, d)), lower)
            second = arithmetic.matmul(arithmetic.matmul(lower, inner + counts[:, None, None] * np.eye(d)), upper)
        second = (second + np.swapaxes(second, 1, 2)) / 2
        i, j = packed_lower(d)
        first = arithmetic.matmul(lower, arithmetic.matmul(upper, g[:, :, None]))[:, :, 0]
        return first, covariance.of_full(np.ascontiguousarray(second[:, i, j]), d)

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given arrays: ``log_density`` (n,), ``responsibilities`` (n, K), ``labels`` (n,)."""
        parts, rows, centre = self._call(X)
        K = self.mixture.n_components
        too_far = MODULE.score(parts, rows, centre, K, resolve(n_threads), **outputs)
        if too_far and "log_density" in outputs:
            density = outputs["log_density"]
            density[density <= MODULE.lowest] = -np.inf

    def denoised(self, X, n_threads=1) -> tuple[np.ndarray, np.ndarray]:
        """Means (n, d) and covariances (n, d, d) of the noise-free rows, given the measured ones."""
        emission = self.mixture.emission
        d = emission.shape[1]
        means, covariances = np.empty((len(X), d)), np.empty((len(X), d, d))

        def fill(rows, tile):
            joint, z, inverse = self.posterior(rows)
            _, r = normalised(joint)
            if len(inverse) == d:
                packed = np.zeros((d * (d + 1) // 2, *r.shape))
                i, j = packed_lower(d)
                packed[i == j] = inverse
                inverse = packed
            V = self.dense
            of_component = emission.means[:, None] + np.einsum("kij,jkm->kmi", V, np.array(z))
            mean = np.einsum("km,kmi->mi", r, of_component)
            P = unpack_symmetric(np.moveaxis(np.array(inverse), 0, -1), d)
            left = V[:, None] - np.matmul(np.matmul(V[:, None], P), V[:, None])
            apart = of_component - mean
            spread = np.einsum("km,kmij->mij", r, left) + np.einsum("km,kmi,kmj->mij", r, apart, apart)
            means[tile], covariances[tile] = mean, (spread + np.swapaxes(spread, 1, 2)) / 2

        self._tiles(fill, X, n_threads)
        return means, covariances
