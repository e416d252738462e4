"""Data as their first two moments: for models that see nothing else, iterations do not depend on the number of rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.blocks import Blocks
from fastem.matrices import unpack_symmetric
from fastem.statistics import Statistics


@dataclass(frozen=True)
class MomentBlocks:
    """Rows that were seen once. :func:`fastem.em` takes them in place of the rows.

    A model that is fitted to moments has ``e_step_of_moments(weight, shift, scatter)``, where shift and scatter are the
    mean and the mean outer product of the rows about the model's own mean, and an ``e_step`` with the same sums:
    ``weight``, ``first`` and ``second`` moments about the model's mean among them (second: a packed lower triangle).

    Attributes
    ----------
    weight : float
        The number of rows, or the sum of their weights.
    mean : (d,)
    covariance : (d, d)
        About the mean, with denominator `weight`.
    dtype
        Of the rows.
    """

    weight: float
    mean: np.ndarray
    covariance: np.ndarray
    dtype: np.dtype

    @classmethod
    def collect(cls, blocks: Blocks, model, n_threads: int) -> MomentBlocks:
        """One pass over the rows, about the mean of a model, which should lie among them."""
        statistics = blocks.reduce(model, n_threads)
        shift, covariance = mean_and_covariance(statistics)
        return cls(statistics.weight, model.mean + shift, covariance, blocks.dtype)

    def reduce(self, model, n_threads: int) -> Statistics:
        """Expected sufficient statistics of all rows."""
        shift = self.mean - model.mean
        return model.e_step_of_moments(self.weight, shift, self.covariance + np.outer(shift, shift))


def mean_and_covariance(statistics) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) about the model's, and the covariance (d, d) about the mean."""
    shift = statistics.first / statistics.weight
    second = unpack_symmetric(statistics.second / statistics.weight, len(shift))
    return shift, second - np.outer(shift, shift)
