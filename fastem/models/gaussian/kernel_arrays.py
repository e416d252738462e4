"""The compiled Gaussian families seen from Python: parameters to flat arrays, sums to moments about the means.

One class per family of fastem/kernels/gaussian_*.pxi, whose layout names the arrays and sums. Densities are taken as
constant - |y|^2, so the factor 1/2 goes into the factors as ROOT_HALF. `means` are about the centre of the rows.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.kernels.packing import factor_order, packed_lower, unpack_symmetric
from fastem.models.emission import flattened
from fastem.models.gaussian.linear_algebra import product

ROOT_HALF = np.sqrt(0.5)


class FullKernel:
    """Any covariance per component."""

    name = "gaussian_full"

    @staticmethod
    def pack(covariance, constant, means, dtype):
        K, d = means.shape
        lower = ROOT_HALF * np.swapaxes(covariance.factors(K), 1, 2)
        rows, columns = factor_order(d)
        offset = -arithmetic.einsum("kij,kj->ki", lower, means)
        arrays = {"constant": constant, "factor": lower[:, rows, columns], "offset": offset, "mean": means}
        return flattened(arrays, dtype)

    @staticmethod
    def unpack(covariance, sums, means, dtype):
        counts, first, second = sums["counts"], sums["first"].copy(), sums["second"].copy()
        first, second = covariance.moved(counts, first, second, means - means.astype(dtype))
        return counts, first, second


class DiagonalKernel:
    """Diagonal covariances, spherical ones among them."""

    name = "gaussian_diagonal"
    unpack = FullKernel.unpack

    @staticmethod
    def pack(covariance, constant, means, dtype):
        scale = ROOT_HALF * covariance.scales(means.shape[1])
        return flattened({"constant": constant, "scale": scale, "offset": -scale * means, "mean": means}, dtype)


class FullMissingKernel:
    """Any covariance per component, rows with missing values in groups.

    See :func:`fastem.rows.missing_patterns.grouped`.
    """

    name = "gaussian_missing"
    unpack = FullKernel.unpack

    @staticmethod
    def pack(covariance, constant, means, dtype):
        upper = covariance.factors(len(means))
        precisions = np.ascontiguousarray(product(upper, np.swapaxes(upper, 1, 2)))
        return FullKernel.pack(covariance, constant, means, dtype) | {"precision": precisions.ravel().view(dtype)}


class DiagonalMissingKernel:
    """Diagonal covariances, rows with missing values."""

    name = "gaussian_diagonal_missing"

    @staticmethod
    def pack(covariance, constant, means, dtype):
        gain = arithmetic.log(covariance.scales(means.shape[1])) - 0.5 * arithmetic.log(2 * np.pi)
        return DiagonalKernel.pack(covariance, constant, means, dtype) | flattened({"gain": gain}, dtype)

    @staticmethod
    def unpack(covariance, sums, means, dtype):
        K, d = means.shape
        counts, first, second, lost = (sums[name] for name in ("counts", "first", "second", "lost"))
        step = means - means.astype(dtype)  # a missing value is expected at the mean itself
        first, second = first + lost * step, second + lost * (covariance.variances(K, d) + step**2)
        first, second = covariance.moved(counts, first, second, step)
        return counts, first, second


class TiedKernel:
    """One covariance for all: whitened rows, one scatter. It loses digits with (separation / sigma)^2: see `serves`."""

    name = "gaussian_tied"

    @staticmethod
    def serves(covariance, means, dtype):
        """Whether the components lie near enough to each other for a common scatter."""
        largest = ((arithmetic.matmul(means, covariance.precisions_cholesky)) ** 2).sum(axis=1).max(initial=0)
        return largest * np.finfo(dtype).eps < (1e-8 if np.dtype(dtype) == np.float64 else 1e-3)

    @staticmethod
    def rounded_factor(covariance, dtype):
        return (ROOT_HALF * covariance.precisions_cholesky).astype(dtype).astype(np.float64)

    @classmethod
    def pack(cls, covariance, constant, means, dtype):
        d = means.shape[1]
        upper = cls.rounded_factor(covariance, dtype)
        rows, columns = factor_order(d)
        factor, nu = upper.T[rows, columns], arithmetic.matmul(means, upper)
        return flattened({"constant": constant, "factor": factor, "zeros": np.zeros(d), "nu": nu}, dtype)

    @classmethod
    def unpack(cls, covariance, sums, means, dtype):
        d = means.shape[1]
        upper = cls.rounded_factor(covariance, dtype)
        counts = sums["counts"]
        nu = arithmetic.matmul(means, upper)
        first = sums["first"] - counts[:, None] * nu
        scatter = unpack_symmetric(sums["scatter"], d)
        cross = arithmetic.matmul(first.T, nu)
        scatter = scatter - cross - cross.T - arithmetic.matmul((counts[:, None] * nu).T, nu)
        back = arithmetic.inverse_transposed(upper.T)
        first = arithmetic.matmul(first, back)
        scatter = arithmetic.matmul(arithmetic.matmul(back.T, scatter), back)
        return counts, first, scatter[packed_lower(d)]
