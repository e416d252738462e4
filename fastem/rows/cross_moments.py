"""Data as their first two moments, for models that need no more: the rows are read once, whatever the iterations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.kernels.packing import unpack_symmetric
from fastem.rows.blocks import Blocks
from fastem.rows.column_moments import ColumnMoments, among_the_rows, finite_sums, near_the_mean, resolved_variances
from fastem.rows.statistics import Statistics

FAR = 10.0  # squared distance of the mean from the point of the sums, in variances: beyond, a digit is lost


class CrossMoments(ColumnMoments):
    """A model without a density: its E-step sums the rows and their products about a point."""

    part, far = "moments", FAR

    @staticmethod
    def mean_and_variances(sums):
        """(d,) the mean about the point of the sums, and (d,) the variances."""
        shift, covariance = mean_and_covariance(sums)
        return shift, np.diagonal(covariance)


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
    n_rows : int or None
        Of any weight; None: not known.
    """

    weight: float
    mean: np.ndarray
    covariance: np.ndarray
    dtype: np.dtype
    n_rows: int | None = None

    @classmethod
    def collect(cls, blocks: Blocks, n_threads: int) -> MomentBlocks:
        """One pass over the rows; more where their mean is far from that of the first rows. The covariances of
        constant columns are 0.

        Raises ValueError where X is not finite (naming row and column), or where its squares leave the range of its
        type.
        """
        model = CrossMoments(among_the_rows(blocks))
        model, sums = near_the_mean(blocks, model, finite_sums(blocks, model, n_threads), n_threads)
        shift, covariance = mean_and_covariance(sums)
        mean = model.about + shift
        varies = resolved_variances(blocks, mean, np.diagonal(covariance)) > 0
        return cls(sums.weight, mean, np.where(varies & varies[:, None], covariance, 0), blocks.dtype, blocks.n_rows)

    def reduce(self, model, n_threads: int) -> Statistics:
        """Expected sufficient statistics of all rows."""
        shift = self.mean - model.mean
        return model.e_step_of_moments(self.weight, shift, self.covariance + np.outer(shift, shift))


def mean_and_covariance(statistics) -> tuple[np.ndarray, np.ndarray]:
    """The mean (d,) about the point of the sums, and the covariance (d, d) about the mean."""
    shift = statistics.first / statistics.weight
    second = unpack_symmetric(statistics.second / statistics.weight, len(shift))
    return shift, second - np.outer(shift, shift)
