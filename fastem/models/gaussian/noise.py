"""Noise: one more component beside Gaussians, whose density is the same everywhere.

J. D. Banfield, A. E. Raftery: Model-based Gaussian and non-Gaussian clustering. Biometrics 49 (1993) 803-821.

No kernel knows of it. They take log p = constant - |L x + b|^2, which is uniform for L = 0 and b = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem import kernels
from fastem.models.emission import Emission, KernelCall
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.kernel_arrays import TiedKernel
from fastem.models.mixture import Mixture
from fastem.models.rounding import Rounding


@dataclass(frozen=True)
class WithNoise(Emission):
    """K Gaussian densities and, last, the constant density 1 / volume.

    Attributes
    ----------
    emission : Gaussian
    log_volume : float
        inf: the density is 0.
    box : (2, d) or None
        The least and largest values of each column, where they make the volume: rows are drawn from there. The density
        is taken as constant outside as well, so that new rows have one.
    """

    has_ellipses: ClassVar[bool] = True

    emission: Gaussian
    log_volume: float
    box: np.ndarray | None = None

    @property
    def shape(self):
        """(K, d), of the Gaussians."""
        return self.emission.shape

    @property
    def means(self):
        return self.emission.means

    @property
    def covariance(self):
        return self.emission.covariance

    @property
    def n_parameters(self) -> int:
        return self.emission.n_parameters

    def kernel_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass of the Gaussians with one component more, all of whose arrays but the constant are 0."""
        K, d = self.shape
        emission = self.emission
        if emission.covariance.kernel == TiedKernel.name:  # it adds the same square to all components
            emission = replace(emission, covariance=emission.covariance.dense(K, d))
        module, gaussian_log_weights = kernels.for_dtype(dtype), log_weights[:K]
        noise_alone = np.isneginf(gaussian_log_weights).all()
        call = emission.kernel_call(np.zeros(K) if noise_alone else gaussian_log_weights, dtype)
        (part,) = call.parts
        params = {name: np.append(a, np.zeros(len(a) // K, a.dtype)) for name, a in part.params.items()}
        constant = params["constant"]
        if noise_alone:
            constant[:K] = module.lowest
        constant[K] = max(log_weights[K] - self.log_volume, module.lowest)

        def unpack(sums):
            moments = call.unpack({name: values[:K] for name, values in sums.items()})
            return moments | {"counts": np.append(moments["counts"], sums["counts"][K])}

        return KernelCall((module.Part(part.family, d, K + 1, params),), call.centre, unpack)

    def of_gaussians(self, statistics):
        """The statistics without the noise."""
        return statistics.replaced(counts=statistics.counts[:-1])

    def m_step(self, statistics) -> WithNoise:
        return replace(self, emission=self.emission.m_step(self.of_gaussians(statistics)))

    def rebase(self, statistics, given) -> dict:
        return self.emission.rebase(self.of_gaussians(statistics), given.emission)

    def expected_log_prob(self, statistics, at) -> float:
        noise = statistics.counts[-1]
        uniform = noise * at.log_volume if noise > 0 else 0.0
        return self.emission.expected_log_prob(self.of_gaussians(statistics), at.emission) - uniform

    def parameters(self) -> np.ndarray:
        return self.emission.parameters()

    def to_vector(self) -> np.ndarray:
        return self.emission.to_vector()

    def from_vector(self, vector) -> WithNoise:
        return replace(self, emission=self.emission.from_vector(vector))

    def diagnose(self, weights, counts, columns=None) -> list[tuple[str, bool]]:
        """The status of each Gaussian, and whether it is sound. The noise has none: it needs no rows."""
        gaussian_weights = weights[:-1]
        return self.emission.diagnose(gaussian_weights / (gaussian_weights.sum() or 1), counts[:-1], columns)

    def of_rows(self, rounding_variance, covariance) -> WithNoise:
        return replace(self, emission=self.emission.of_rows(rounding_variance, covariance))

    def widened(self, weights, counts) -> WithNoise:
        gaussian_weights = weights[:-1]
        wide = self.emission.widened(gaussian_weights / (gaussian_weights.sum() or 1), counts[:-1])
        return replace(self, emission=wide)

    def relative_eigenvalues(self, weights):
        gaussian_weights = weights[:-1]
        return self.emission.relative_eigenvalues(gaussian_weights / (gaussian_weights.sum() or 1))

    @property
    def floor_hits(self):
        return self.emission.floor_hits

    def column_parameters(self):
        return self.emission.column_parameters()

    def log_density_error(self, statistics, passed) -> Rounding:
        noise = statistics.counts[-1]
        size = noise * abs(self.log_volume) if noise > 0 else 0.0
        return self.emission.log_density_error(self.of_gaussians(statistics), passed).plus(
            Rounding(size, 2 * passed.unit * size)
        )

    def step_error(self, statistics, passed, unit) -> float:
        return self.emission.step_error(self.of_gaussians(statistics), passed, unit)

    def nearest(self, X):
        return self.emission.nearest(X)

    def marginal(self, columns) -> WithNoise:
        """The densities of some of the columns; that of the noise is known where its box is."""
        if self.box is None:
            return WithNoise(self.emission.marginal(columns), np.inf)
        return in_box(self.emission.marginal(columns), self.box[:, columns])

    def sample(self, component, n, rng):
        """n rows of one component; ValueError for noise that has no box."""
        if component < len(self.means):
            return self.emission.sample(component, n, rng)
        if self.box is None:
            raise ValueError(
                "sample() cannot draw rows of the noise, because its volume was given but not its place. Fit with "
                "noise='box', or sample from a model without noise."
            )
        return rng.uniform(*self.box, (n, self.shape[1]))


@dataclass(frozen=True)
class Background:
    """Noise that is still without Gaussians: its volume, or the box that it fills.

    Attributes
    ----------
    log_volume : float
        NaN where the box determines it.
    box : (2, d) or None
    """

    log_volume: float
    box: np.ndarray | None = None

    def beside(self, mixture, share) -> Mixture:
        """A mixture of Gaussians with this noise and its share of the rows; one that has noise keeps its share."""
        emission, weights = mixture.emission, mixture.weights
        if isinstance(emission, WithNoise):
            emission = emission.emission
        if len(weights) == emission.shape[0]:
            weights = np.append((1 - share) * weights, share)
        noisy = WithNoise(emission, self.log_volume) if self.box is None else in_box(emission, self.box)
        return Mixture(weights, noisy)


def in_box(emission, box) -> WithNoise:
    """Gaussians and noise that fills a box (2, d) with sides of positive length."""
    return WithNoise(emission, float(np.log(box[1] - box[0]).sum()), box)


def alone(mixture) -> Mixture:
    """Gaussians without the noise whose weight may stand behind theirs."""
    weights = mixture.weights[: mixture.emission.shape[0]]
    return mixture if len(weights) == mixture.n_components else Mixture(weights / weights.sum(), mixture.emission)


def data_box(blocks) -> np.ndarray:
    """(2, d) the least and largest values of each column among the rows of positive weight; ValueError where a column
    is constant."""

    def extremes(X, weight, start):
        rows = X if weight is None else X[weight > 0]
        return (rows.min(axis=0), rows.max(axis=0)) if len(rows) else None

    lows, highs = zip(*(pair for pair in blocks.each(extremes) if pair is not None))
    box = np.array([np.min(lows, axis=0), np.max(highs, axis=0)], dtype=np.float64)
    flat = np.flatnonzero(box[1] == box[0])
    if len(flat):
        name = flat[0] if blocks.names is None else repr(blocks.names[flat[0]])
        raise ValueError(
            f"noise='box', but column {name} of X is constant, so the box has no volume: leave the column out, or "
            "give the volume."
        )
    return box
