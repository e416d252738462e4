"""What a compiled run has passed: its models and their sums, in two arrays, until they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.models.gaussian.kernel_arrays import DiagonalKernel, FullKernel
from fastem.models.gaussian.linear_algebra import log_cholesky
from fastem.models.gaussian.short_runs import from_flat, is_full
from fastem.models.mixture import Mixture
from fastem.rows.statistics import Statistics


@dataclass(frozen=True)
class KeptPasses:
    """The passes of a run, without its rows.

    Attributes
    ----------
    begun : Mixture
        Another mixture of the same kind.
    centre : (d,)
        About which the models' means are.
    weight : float
        Of all rows.
    arrays : (passes, model and sums)
        Each a model as :func:`fastem.models.gaussian.short_runs.flat` lays it out, and the sums of its pass.
    """

    begun: Mixture
    centre: np.ndarray
    weight: float
    arrays: np.ndarray

    @property
    def _size(self):
        """Numbers of a model."""
        K, d = self.begun.emission.shape
        return K * (1 + d + (d * d if is_full(self.begun) else d))

    def model(self, i) -> Mixture:
        """Of one of the passes."""
        return from_flat(self.arrays[i, : self._size], self.begun, self.centre)

    def statistics(self, i) -> Statistics:
        """The sums of one of the passes, which those of the model's own pass are up to rounding."""
        model, sums = self.model(i), self.arrays[i, self._size :]
        kernel = FullKernel if is_full(model) else DiagonalKernel
        call = model.emission._call_of(kernel, model.log_weights, np.float64)
        of_part = kernels.for_dtype(np.float64).named_sums(call.parts, sums[:-2])
        totals = {"weight": self.weight, "log_likelihood": sums[-2], "entropy": sums[-1], "unseen": 0.0}
        return Statistics(**call.unpack(*of_part), **totals)

    def coordinates(self) -> np.ndarray:
        """(passes, m) of the models in nearly those coordinates that :meth:`Mixture.to_vector` gives."""
        K, d = self.begun.emission.shape
        weights, means, second = np.split(self.arrays[:, : self._size], [K, K + K * d], axis=1)
        if is_full(self.begun):
            spread = log_cholesky(second.reshape(-1, d, d)).reshape(len(second), -1)
        else:
            spread = 0.5 * arithmetic.log(second)
        logs = arithmetic.log(weights)
        return np.hstack([logs[:, :-1] - logs[:, -1:], means, spread])
