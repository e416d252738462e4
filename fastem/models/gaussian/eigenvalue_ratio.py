"""Covariances whose eigenvalues differ by a bounded factor, over all components: no component can become a spike.

For given scatters the most likely ones keep their axes and have their eigenvalues clipped to [m, ratio m]. What is
minimised over m, sum n (log e(m) + e / e(m)), has a derivative that m^2 makes piecewise linear and rising, so m is
found from sorted eigenvalues in closed form.

L. A. García-Escudero, A. Gordaliza, C. Matrán, A. Mayo-Iscar: A general trimming approach to robust cluster analysis.
Annals of Statistics 36 (2008) 1324-1345. H. Fritz, L. A. García-Escudero, A. Mayo-Iscar: A fast algorithm for robust
constrained clustering. Computational Statistics & Data Analysis 61 (2013) 124-136.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.kernels.packing import unpack_symmetric
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.diagonal import Spherical
from fastem.models.gaussian.linear_algebra import eigh, product


def least_bound(values, counts, ratio) -> float:
    """The m for which eigenvalues of K components, clipped to [m, ratio m], are most likely; 0 where all are 0."""
    n = np.broadcast_to(counts[:, None], values.shape).ravel()
    above, below = values.ravel(), values.ravel() / ratio
    kinks = np.concatenate([above, below])
    order = np.argsort(kinks, kind="stable")
    kinks, slopes = kinks[order], np.concatenate([n, -n])[order]
    # the derivative: sum n max(m - above, 0) - sum n max(below - m, 0); from `below` on a row no longer pulls m up
    slope = n.sum() + np.cumsum(slopes)
    rise = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(kinks))])
    start = -(n * (below - kinks[0])).sum()
    value = start + rise
    last = int(np.searchsorted(np.maximum.accumulate(value), 0.0, side="right")) - 1
    if last < 0:
        return float(kinks[0])
    flat = slope[last] <= 1e-12 * n.sum()
    return float(kinks[last] if flat else kinks[last] - value[last] / slope[last])


def clip_to_ratio(values, counts, ratio):
    """Eigenvalues (K, m) clipped so that they differ by the factor `ratio` at most, in the most likely way for these
    counts (K,)."""
    values = np.maximum(values, 0)
    if np.isinf(ratio) or not counts.any() or values.max() <= ratio * values.min():
        return values
    low = least_bound(values, counts, ratio)
    return np.clip(values, low, ratio * low)


@dataclass(frozen=True)
class EigenvalueRatio:
    """A bound on the ratio of eigenvalues.

    Attributes
    ----------
    most : float
    scale : (d,)
        Units in which columns are measured: standard deviations, so that the columns' own units do not matter.
    """

    most: float
    scale: np.ndarray

    def estimate(self, structure, counts, second, given):
        """The most likely covariances within the bound from second moments about the means, of the structure's kind; a
        component without rows keeps what was given, within the bound."""
        rows = np.where(counts > np.finfo(np.float64).tiny, counts, np.inf)
        if issubclass(structure, Full):
            covariances = unpack_symmetric(second, len(self.scale)) / rows[:, None, None]
        else:
            covariances = np.maximum(second, 0) / rows[:, None]
            covariances = covariances.mean(axis=1) if issubclass(structure, Spherical) else covariances
        empty = np.isinf(rows)
        covariances[empty] = given.covariances[empty]
        return self.within(structure, covariances, counts)

    def within(self, structure, covariances, counts):
        """The structure of the most likely covariances within the bound for these, each of so many rows."""
        if issubclass(structure, Full):
            unit = self.scale[:, None] * self.scale
            values, axes = eigh(covariances / unit)
            clipped = clip_to_ratio(values, counts, self.most)
            changed = (clipped != values).any()
            if changed:
                covariances = product(axes * clipped[:, None, :], np.swapaxes(axes, 1, 2)) * unit
                covariances = (covariances + np.swapaxes(covariances, 1, 2)) / 2
        elif issubclass(structure, Spherical):
            covariances = clip_to_ratio(covariances[:, None], counts, self.most)[:, 0]
        else:
            covariances = clip_to_ratio(covariances / self.scale**2, counts, self.most) * self.scale**2
        return structure.from_covariances(covariances, np.zeros(len(self.scale)))
