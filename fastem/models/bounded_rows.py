"""Mixtures of rows whose values are known to lie between bounds, whatever the family: tiles, posteriors, scores."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from fastem.kernels.workers import parallel_map
from fastem.models.log_joint import LOWEST, normalised
from fastem.models.mixture import Mixture
from fastem.rows.e_step import BlockModel
from fastem.rows.intervals import Bounds, bounds_of
from fastem.rows.statistics import Statistics

TILE = 1 << 14  # rows times components of a tile


@dataclass(frozen=True)
class BoundedRows(BlockModel):
    """A mixture as a model of wide rows: values, and then their lower and upper bounds.

    Attributes
    ----------
    mixture : Mixture
    """

    mixture: Mixture

    @abstractmethod
    def of_bounds(self, bounds: Bounds) -> tuple[np.ndarray, ...]:
        """Of a tile of m rows (K, m) log p(row | k), and then expectations (K, m, …) given the component."""

    def expected(self, bounds: Bounds) -> tuple[np.ndarray, ...]:
        """(K, m) log p(row, k) of a tile of m rows, and the expectations of :meth:`of_bounds`."""
        with np.errstate(over="ignore", invalid="ignore"):
            log_p, *expectations = self.of_bounds(bounds)
        return np.maximum(np.maximum(self.mixture.log_weights, LOWEST)[:, None] + log_p, LOWEST), *expectations

    def tiles(self, function, X, n_threads) -> list:
        """[function(bounds of a tile of wide rows, its slice)]."""
        K, d = self.mixture.emission.shape
        size = max(64, TILE // K)
        tiles = [slice(start, start + size) for start in range(0, len(X), size)]
        return parallel_map(lambda tile: function(bounds_of(X[tile], d), tile), tiles, n_threads)

    def sums(self, X, sample_weight, n_threads) -> tuple[dict, list]:
        """Of all rows: {counts, weight, log_likelihood, entropy}, and the sums (K, …) of the expectations."""

        def of_tile(bounds, tile):
            joint, *expectations = self.expected(bounds)
            log_density, r = normalised(joint)
            weight = 1.0 if sample_weight is None else np.asarray(sample_weight[tile], np.float64)
            entropy = -(r * np.log(np.where(r > 0, r, 1))).sum(axis=0)
            r = r * weight
            totals = r.sum(axis=1), (weight * log_density).sum(), (weight * entropy).sum()
            return *totals, *((r.reshape(*r.shape, *[1] * (e.ndim - 2)) * e).sum(axis=1) for e in expectations)

        counts, log_likelihood, entropy, *sums = (
            np.sum(part, axis=0) for part in zip(*self.tiles(of_tile, X, n_threads))
        )
        weight = float(len(X) if sample_weight is None else sample_weight.sum())
        return {"counts": counts, "weight": weight, "log_likelihood": log_likelihood, "entropy": entropy}, sums

    def score(self, X, n_threads=1, **outputs) -> None:
        """Fill the given arrays: ``log_density`` (n,), ``responsibilities`` (n, K), ``labels`` (n,)."""

        def fill(bounds, tile):
            joint = self.expected(bounds)[0]
            log_density, r = normalised(joint)
            values = {
                "log_density": np.where(log_density > LOWEST, log_density, -np.inf),
                "responsibilities": r.T,
                "labels": joint.argmax(axis=0),
            }
            for name, array in outputs.items():
                array[tile] = values[name]

        self.tiles(fill, X, n_threads)


@dataclass(frozen=True)
class FeatureRows(BoundedRows):
    """The same of an exponential family, whose M-step takes expected features: :meth:`of_bounds` gives these (K, m, q)
    behind log p."""

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        """The statistics of the mixture, see :meth:`fastem.models.mixture.Mixture.e_step_of_block`, of wide rows.

        ``base`` is the entropy of the values between their bounds, given the components.
        """
        totals, (first,) = self.sums(X, sample_weight, n_threads)
        statistics = Statistics(first=first, base=np.zeros(1), **totals)
        base = statistics.log_likelihood - statistics.entropy
        base -= self.mixture.expected_log_joint(statistics, self.mixture)
        return statistics.replaced(base=np.array([base]))
