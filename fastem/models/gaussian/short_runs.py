"""Steps of EM of many Gaussian mixtures on few rows, side by side in the compiled module.

A step in Python takes ten times as long as its arithmetic where rows are few. Only ordinary steps are made here: a
mixture whose M-step is not one (a component without rows or at the floor) is returned as it is before that step, and so
is one of another kind. The driver goes on from there, so the steps' results are the driver's. In the reproducible mode
all steps are the driver's, since the logarithms here are the C library's.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem import kernels
from fastem.kernels.arithmetic import FIXED_ORDER
from fastem.models.gaussian.dense import Tied
from fastem.models.gaussian.emission import Gaussian, middle
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks

LETTERS = {structure: name for name, structure in FAMILIES.items()}
MOST_COLUMNS = 64  # beyond, the M-step's factors are faster by LAPACK
MOST_ROWS = 25_000  # as a subsample has: beyond, a pass takes longer than what is saved


def short_runs(mixtures, blocks, n_iter, n_threads) -> list[tuple[Mixture, list[float]]]:
    """Of each mixture: the mixture after up to `n_iter` steps, and the mean log-likelihood before each of them."""
    if FIXED_ORDER or not (mixtures and n_iter and all(map(is_ordinary, mixtures)) and are_few_rows(blocks)):
        return [(mixture, []) for mixture in mixtures]
    first = mixtures[0].emission
    structure, floor, (K, d) = type(first.covariance), first.floor, first.shape
    if any((type(m.emission.covariance), m.emission.shape) != (structure, (K, d)) for m in mixtures):
        raise ValueError("mixtures of one structure and shape can be run side by side")
    letters, module = LETTERS[structure], kernels.for_dtype(np.float64)
    centre = middle(np.vstack([m.emission.means for m in mixtures]), np.concatenate([m.weights for m in mixtures]))
    models = np.array([flat(mixture, letters[2] != "I", centre) for mixture in mixtures])
    rows = blocks.X, blocks.sample_weight, centre
    done, histories = module.short_runs(letters, K, *rows, models, floor, n_iter, n_threads)
    return [
        (from_flat(row, mixture, centre) if steps else mixture, history[:steps].tolist())
        for row, mixture, steps, history in zip(models, mixtures, done, histories)
    ]


def is_ordinary(mixture) -> bool:
    """Whether a mixture has an M-step in the compiled module."""
    emission = mixture.emission
    return (
        type(mixture) is Mixture
        and not mixture.shares.constrains
        and type(emission) is Gaussian
        and type(emission.covariance) in LETTERS
        and emission.shape[1] <= MOST_COLUMNS
        and bool((emission.floor > 0).all() and (mixture.weights > 0).all())
    )


def are_few_rows(blocks) -> bool:
    """Whether these are rows in memory that a pass takes as one block."""
    return (
        isinstance(blocks, ArrayBlocks)
        and blocks.dtype == np.float64
        and blocks.n_rows <= min(MOST_ROWS, blocks.block_rows)
    )


def flat(mixture, full, centre):
    """Weights, means about the centre and covariances of the components in one vector."""
    emission = mixture.emission
    K, d = emission.shape
    spread = emission.covariance
    second = np.broadcast_to(spread.covariances, (K, d, d)) if full else spread.variances(K, d)
    return np.concatenate([mixture.weights, (emission.means - centre).ravel(), second.ravel()])


def from_flat(row, mixture, centre) -> Mixture:
    """The mixture of such a vector, otherwise like another one."""
    emission = mixture.emission
    K, d = emission.shape
    weights, means, second = np.split(row, [K, K + K * d])
    structure = type(emission.covariance)
    shape = structure.shape(K, d)
    second = second.reshape(K, -1)
    if len(shape) == 1:
        covariances = second[:, 0]
    else:
        covariances = (second[0] if structure is Tied else second).reshape(shape)
    covariance = structure.from_covariances(covariances.copy(), emission.floor)
    emission = replace(emission, means=means.reshape(K, d) + centre, covariance=covariance)
    return replace(mixture, weights=weights.copy(), emission=emission)
