"""Gaussian mixtures whose rows look at a few components each: a partial E-step.

Each row keeps `C` candidates, and its posterior q is that over these. This is EM in the widest sense (Neal and
Hinton): q is not the best one, and F(q, θ) = sum log sum_candidates p(x, k) lies below the log-likelihood, but never
falls: candidates are exchanged only for more probable ones, the M-step is that of every fit. Where there are many
components, most of which say nothing about a row, that is nearly all that a pass would find, at a cost that does not
grow with their number.

    D. Hirschberger, D. Forster, J. Lücke: A variational EM acceleration for efficient clustering at very large scales.
    IEEE Transactions on Pattern Analysis and Machine Intelligence 44 (2022) 9787-9801.
    R. Neal, G. Hinton: A view of the EM algorithm that justifies incremental, sparse, and other variants. 1998.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.kernel_arrays import ROOT_HALF
from fastem.models.gaussian.linear_algebra import product
from fastem.models.mixture import Mixture
from fastem.rows.blocks import Blocks, BlocksOf
from fastem.rows.statistics import Statistics, merged

COLUMNS = 8  # as in truncated.pxi
NEIGHBOURS = 2  # tried per candidate that a row keeps
LANES, LANE_BYTES = 32, 1 << 28  # of a block, at most, and what their sums may take together
FRESH = -1  # as in truncated.pxi
STEADY = 512  # components up to which neighbours are found anew in every pass; where there are more, now and then


class TruncatedBlocks(BlocksOf):
    """Rows in memory that keep candidates from pass to pass, for one run of EM; see the top of this file.

    Parameters
    ----------
    blocks : Blocks
    n_candidates : int
    """

    def __init__(self, blocks: Blocks, n_candidates: int):
        self.blocks, self.n_candidates, self.passes, self.neighbours = blocks, n_candidates, 0, None
        self.dtype, self.n_features, self.names = blocks.dtype, blocks.n_features, blocks.names
        self.weighted, self.holder, self.candidates = blocks.weighted, blocks.holder, {}

    def __iter__(self):
        return iter(self.blocks)

    def whole(self):
        return self.blocks.whole()

    def for_one_run(self):
        return TruncatedBlocks(self.blocks, self.n_candidates)

    def reduce(self, model, n_threads) -> Statistics:
        if not (isinstance(model, Mixture) and isinstance(model.emission, Gaussian)):
            return self.blocks.reduce(model, n_threads)
        arrays = Arrays(model)
        K, C = model.n_components, min(self.n_candidates, model.n_components)
        if self.neighbours is None or self.passes % -(-K // STEADY) == 0:
            self.neighbours = arrays.neighbours(min(NEIGHBOURS * C, K - 1)) if K > 1 else np.zeros((1, 1), np.intc)
        parts, start = [], 0
        for X, weight in self.blocks:
            own = self.candidates.get(start)
            if own is None:
                own = self.candidates[start] = np.full((len(X), 2 * C), FRESH, np.intc)
            parts.append(arrays.statistics(X, weight, self.neighbours, own, start, self.passes, n_threads))
            start += len(X)
        self.passes += 1
        return merged(parts)


def truncated(blocks: Blocks, n_candidates: int | None) -> Blocks:
    """The rows, each of which looks at so many components; None: at all."""
    return blocks if n_candidates is None else TruncatedBlocks(blocks, n_candidates)


class Arrays:
    """A mixture's parameters as the compiled pass takes them."""

    def __init__(self, mixture):
        emission = mixture.emission
        (K, d), covariance = emission.shape, emission.covariance
        self.mixture, self.emission = mixture, emission
        self.full = covariance.kernel != "gaussian_diagonal"
        self.filled = -(-d // COLUMNS) * COLUMNS
        log_det = covariance.log_det_precision_root(K, d)
        self.constant = mixture.log_weights + log_det - 0.5 * d * arithmetic.log(2 * np.pi)
        factors = covariance.factors(K) if self.full else covariance.scales(d)[:, None, :]
        self.means, self.factors = self._filled(emission.means), self._filled(ROOT_HALF * factors)

    def _filled(self, array):
        """With columns of zeros up to a multiple of the kernel's lanes."""
        wide = np.zeros((*array.shape[:-1], self.filled))
        wide[..., : array.shape[-1]] = array
        return wide

    @cached_property
    def _expected(self) -> np.ndarray:
        """(K, K) E log p(x, c) of a row x of component k."""
        K, d = self.emission.shape
        covariance, z = self.emission.covariance, self.emission.means - self.emission.means.mean(axis=0)
        if not self.full:
            precisions, second = covariance.scales(d) ** 2, covariance.variances(K, d) + z**2
            linear = precisions * z
        else:
            factors = covariance.factors(K)
            matrices = product(factors, np.swapaxes(factors, 1, 2))
            dense = self.emission.dense_covariances() + z[:, :, None] * z[:, None, :]
            precisions, second = matrices.reshape(K, -1), dense.reshape(K, -1)
            linear = np.einsum("kij,kj->ki", matrices, z)
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # of components so narrow or far that the range of numbers ends
            squares = arithmetic.matmul(second, precisions.T) - 2 * arithmetic.matmul(z, linear.T)
            expected = self.constant - 0.5 * (squares + (linear * z).sum(axis=1))
        return np.where(np.isnan(expected), -np.inf, expected)

    def neighbours(self, size) -> np.ndarray:
        """(K, size) the components that are most probable for the rows of each other one."""
        expected = self._expected.copy()
        np.fill_diagonal(expected, -np.inf)
        nearest = np.argpartition(-expected, size - 1, axis=1)[:, :size]
        return np.ascontiguousarray(nearest, np.intc)

    def statistics(self, X, weight, neighbours, candidates, start, passes, n_threads) -> Statistics:
        """Of a block; `candidates` become the next ones."""
        emission, (K, d) = self.emission, self.emission.shape
        module, size = kernels.for_dtype(X.dtype), 1 + d + (d * (d + 1) // 2 if self.full else d)
        lanes = int(max(1, min(LANES, LANE_BYTES // (8 * K * size), len(X))))
        X = np.ascontiguousarray(X)
        weight = None if weight is None else np.ascontiguousarray(weight, np.float64)
        sums, log_likelihood, entropy = module.expect_truncated(
            X, weight, self.means, self.constant, self.factors, self.full, neighbours, candidates, start, passes, lanes,
            n_threads,
        )  # fmt: skip
        if np.isnan(log_likelihood):
            raise ValueError(
                "the density of a row is not a number: it is too far from all components for truncate. Leave the row "
                "out, or set truncate=None."
            )
        counts, first, second = sums[:, 0], sums[:, 1 : 1 + d], sums[:, 1 + d :]
        if self.full and emission.covariance.shared:
            second = second.sum(axis=0)
        totals = {"weight": len(X) if weight is None else weight.sum(), "log_likelihood": log_likelihood}
        return Statistics(
            counts=counts.copy(), first=first.copy(), second=second.copy(), **totals, entropy=entropy, unseen=0.0
        )
