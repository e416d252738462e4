"""The observed information of Gaussians whose entries of covariances are coordinates, by a formula and in one pass.

T. A. Louis: Finding the observed information matrix when using the EM algorithm. J. Royal Statist. Soc. B 44 (1982)
226-233.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.parsimonious import EEI, EII
from fastem.models.information import inverse_at_maximum

CHUNK_VALUES = 1 << 20  # of the scores that are in memory at a time


def has_formula(model) -> bool:
    """Whether the information is that of Gaussians whose entries of covariances are coordinates."""
    return (
        type(model.emission) is Gaussian and coordinates(model.emission.covariance, *model.emission.shape) is not None
    )


def coordinates(covariance, K, d):
    """(K, d(d+1)/2) the number of the coordinate that each packed entry is; -1: always 0. None where they are not
    coordinates."""
    q, diagonal = d * (d + 1) // 2, np.equal(*packed_lower(d))
    along = np.where(diagonal, np.cumsum(diagonal) - 1, -1)
    of_k = np.arange(K)[:, None]
    return {
        Full: of_k * q + np.arange(q),
        Tied: 0 * of_k + np.arange(q),
        Diagonal: np.where(diagonal, of_k * d + along, -1),
        Spherical: np.where(diagonal, of_k, -1),
        EEI: 0 * of_k + along,
        EII: np.where(diagonal, 0 * of_k, -1),
    }.get(type(covariance))


def plain_information(model, blocks, units):
    """(K T, K T) the observed information in the weight, mean and packed covariance of each component, as if free, and
    (K T,) the derivatives of the log-likelihood; of columns that are divided by their units (d,)."""
    K, d = model.emission.shape
    i, j = packed_lower(d)
    precisions = model.emission.covariance.dense(K, d).precisions() * units * units[:, None]
    halves = np.where(i == j, 0.5, 1.0)
    T = 1 + d + len(i)
    observed, slope = np.zeros((K * T, K * T)), np.zeros(K * T)
    counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    rows_at_once = max(1, CHUNK_VALUES // (K * T))

    def add(X, weight, start):
        for begin in range(0, len(X), rows_at_once):
            rows = slice(begin, begin + rows_at_once)
            x = np.asarray(X[rows], np.float64)
            w = np.ones(len(x)) if weight is None else weight[rows]
            r = model.posterior(X[rows])
            score = np.empty((len(x), K, T))
            for k in range(K):
                block = slice(k * T, (k + 1) * T)
                rest = (x - model.emission.means[k]) / units
                y = rest @ precisions[k]
                score[:, k, 0] = 1 / model.weights[k]
                score[:, k, 1 : 1 + d] = y
                score[:, k, 1 + d :] = halves * (y[:, i] * y[:, j] - precisions[k][i, j])
                share = w * r[:, k]
                counts[k] += share.sum()
                first[k] += share @ rest
                second[k] += (share[:, None] * rest).T @ rest
                observed[block, block] -= (share[:, None] * score[:, k]).T @ score[:, k]
            expected = (r[:, :, None] * score).reshape(len(x), -1)
            observed[...] += (w[:, None] * expected).T @ expected
            slope[...] += w @ expected

    blocks.each(add)
    basis = np.zeros((len(i), d, d))
    basis[np.arange(len(i)), i, j] = basis[np.arange(len(i)), j, i] = 1
    for k in range(K):
        P, begin = precisions[k], k * T
        turned = P @ basis @ P  # (q, d, d)
        observed[begin, begin] += counts[k] / model.weights[k] ** 2
        mean, packed = slice(begin + 1, begin + 1 + d), slice(begin + 1 + d, begin + T)
        observed[mean, mean] += counts[k] * P
        cross = turned @ first[k]
        observed[packed, mean] += cross
        observed[mean, packed] += cross.T
        scatter = P @ second[k] - 0.5 * counts[k] * np.eye(d)
        observed[packed, packed] += np.einsum("aij,bjl,li->ab", turned, basis, scatter, optimize=True)
    return observed, slope


def errors_by_formula(model, blocks, weight_unit):
    """Standard errors of the weights (K,), the means (K, d) and the covariances, in the shape of their structure.
    ValueError where the mixture is at no maximum."""
    K, d = model.emission.shape
    covariance = model.emission.covariance
    place = coordinates(covariance, K, d)
    n_free = place.max() + 1
    T = 1 + d + place.shape[1]
    jacobian = np.zeros((K, T, (K - 1) + K * d + n_free))  # the free coordinates to all of them
    for k in range(K):
        jacobian[k, 0, : K - 1] = -1.0 if k == K - 1 else np.arange(K - 1) == k
        jacobian[k, 1 : 1 + d, K - 1 + k * d : K - 1 + (k + 1) * d] = np.eye(d)
        entries = np.flatnonzero(place[k] >= 0)
        jacobian[k, 1 + d + entries, K - 1 + K * d + place[k][entries]] = 1
    jacobian = jacobian.reshape(K * T, -1)
    units = np.sqrt(np.diagonal(covariance.pooled(model.weights, d)))  # all alike where columns share a coordinate
    observed, slope = plain_information(model, blocks, units)
    unit = blocks.total_weight / blocks.n_effective
    variance = inverse_at_maximum(jacobian.T @ observed @ jacobian, jacobian.T @ slope, unit)
    errors = np.sqrt(np.maximum(np.einsum("ap,pq,aq->a", jacobian, variance, jacobian, optimize=True), 0))
    i, j = packed_lower(d)
    with np.errstate(over="ignore"):  # such errors are refused
        errors = errors.reshape(K, T) / np.sqrt(weight_unit) * np.concatenate([[1], units, units[i] * units[j]])
    dense = np.zeros((K, d, d))
    dense[:, i, j] = dense[:, j, i] = errors[:, 1 + d :]
    return errors[:, 0], errors[:, 1 : 1 + d], like_covariances(dense, covariance)


def like_covariances(dense, covariance):
    """Numbers (K, d, d) in the shape of the structure's covariances."""
    shape = covariance.covariances.shape
    if isinstance(covariance, Full):
        return dense if len(shape) == 3 else dense[0]
    diagonal = np.diagonal(dense, axis1=1, axis2=2)
    return diagonal[:, 0].copy() if len(shape) == 1 else diagonal.copy()
