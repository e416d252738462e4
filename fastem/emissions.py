"""Emissions: K densities evaluated together, each a thin layer over a compiled family.

An emission turns its parameters into the arrays of a kernel, the kernel's sums into named statistics, and statistics
into new parameters. The mixture above it adds the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np

from fastem import kernels
from fastem.covariance import Diagonal, Full, Spherical, Tied
from fastem.gaussian_kernels import DiagonalKernel, FullKernel, TiedKernel

KERNELS = {Full: FullKernel, Tied: TiedKernel, Diagonal: DiagonalKernel, Spherical: DiagonalKernel}


class KernelCall(NamedTuple):
    """What a compiled pass needs, and how its sums become named statistics."""

    family: str
    centre: np.ndarray
    params: tuple
    n_sums: int
    unpack: Callable[[np.ndarray], dict]


@dataclass(frozen=True)
class Gaussian:
    """K Gaussian densities.

    Attributes
    ----------
    means : (K, d)
    covariance : a structure of :mod:`fastem.covariance`
    floor : (d,)
        Least variance per column; see :mod:`fastem.covariance`.
    """

    means: np.ndarray
    covariance: Full | Diagonal
    floor: np.ndarray

    @property
    def shape(self):
        """(K, d)"""
        return self.means.shape

    @property
    def n_parameters(self) -> int:
        return self.means.size + self.covariance.n_parameters(*self.shape)

    def kernel_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass for these parameters, on data of a real type."""
        K, d = self.shape
        log_det = self.covariance.log_det_precision_root(K, d)
        constant = log_weights + log_det - 0.5 * d * np.log(2 * np.pi)
        constant = np.maximum(constant, kernels.for_dtype(dtype).lowest)  # log 0 as a number, so no inf - inf
        centre = (np.exp(log_weights) @ self.means).astype(dtype)
        means = self.means - centre
        kernel = KERNELS[type(self.covariance)]
        if kernel is TiedKernel and not kernel.serves(self.covariance, means, dtype):
            kernel = FullKernel
        return KernelCall(
            kernel.name,
            centre,
            kernel.pack(self.covariance, constant, means, dtype),
            kernel.n_sums(K, d),
            lambda sums: dict(zip(("counts", "first", "second"), kernel.unpack(self.covariance, sums, means, dtype))),
        )

    def m_step(self, statistics) -> Gaussian:
        """Weighted means and covariances. A component without rows keeps its own."""
        counts = statistics.counts
        present = counts > np.finfo(np.float64).tiny
        shift = statistics.first / np.where(present, counts, 1)[:, None]
        structure = type(self.covariance)
        if present.all() or structure is Tied:
            covariance = structure.estimate(counts, shift, statistics.second, self.floor)
        else:
            found = structure.estimate(counts[present], shift[present], statistics.second[present], self.floor)
            merged = {f.name: getattr(self.covariance, f.name).copy() for f in fields(structure)}
            for name, array in merged.items():
                array[present] = getattr(found, name)
            covariance = replace(found, **merged)
        return replace(self, means=self.means + shift, covariance=covariance)

    def sample(self, component, n, rng):
        """n rows of one component."""
        K, d = self.shape
        root = np.linalg.cholesky(self.covariance.dense(K, d)[component])
        return self.means[component] + rng.standard_normal((n, d)) @ root.T
