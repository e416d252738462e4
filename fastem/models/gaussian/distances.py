"""How far apart the components of a Gaussian mixture are, and how much they overlap, in closed form.

Independent columns are blocks of one column each, because every sum here is a sum over independent blocks.
"""

from __future__ import annotations

import numpy as np

from fastem.models.gaussian.diagonal import Diagonal


def in_blocks(emission):
    """Means (K, g, s) and covariances (K, g, s, s) of g independent blocks of s columns."""
    K, d = emission.shape
    covariance = emission.covariance
    if isinstance(covariance, Diagonal):
        return emission.means[:, :, None], covariance.variances(K, d)[:, :, None, None]
    return emission.means[:, None], np.broadcast_to(covariance.covariances, (K, d, d))[:, None]


def half_log_det(matrices):
    """Of (…, g, s, s), summed over the blocks."""
    factor = np.linalg.cholesky(matrices)
    return np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(axis=(-2, -1))


def quadratic(matrices, step):
    """step^T matrix^-1 step for matrices (…, g, s, s) and steps (…, g, s), summed over the blocks."""
    return (step * np.linalg.solve(matrices, step[..., None])[..., 0]).sum(axis=(-2, -1))


def mahalanobis(mean, covariance, means, covariances):
    """Distances of means under the mean of both covariances."""
    return np.sqrt(quadratic((covariance + covariances) / 2, means - mean))


def bhattacharyya(mean, covariance, means, covariances):
    """-log of the integral of the root of both densities' product."""
    middle = (covariance + covariances) / 2
    volume_term = half_log_det(middle) - (half_log_det(covariance) + half_log_det(covariances)) / 2
    return quadratic(middle, means - mean) / 8 + volume_term


def symmetric_kl(mean, covariance, means, covariances):
    """KL(p || q) + KL(q || p)."""
    both = covariance + np.zeros_like(covariances)
    ratio = np.linalg.solve(both, covariances), np.linalg.solve(covariances, both)
    traces = sum(np.trace(r, axis1=-2, axis2=-1).sum(axis=-1) for r in ratio)
    step = means - mean
    return (traces + quadratic(both, step) + quadratic(covariances, step)) / 2 - step[0].size


DISTANCES = {"bhattacharyya": bhattacharyya, "symmetric_kl": symmetric_kl, "mahalanobis": mahalanobis}


def component_distances(emission, kind) -> np.ndarray:
    """(K, K), symmetric, zeros on the diagonal."""
    means, covariances = in_blocks(emission)
    K = len(means)
    distances = np.zeros((K, K))
    for k in range(K - 1):  # a row at a time: nothing of size K^2 d^2
        distances[k, k + 1 :] = DISTANCES[kind](means[k], covariances[k], means[k + 1 :], covariances[k + 1 :])
    return np.maximum(distances + distances.T, 0)
