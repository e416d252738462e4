"""Conditional maximisation of factor models, one or many (leading axes) at a time: each step a closed form that cannot
lower the likelihood of W W^T + Psi.

Zhao, Yu, Jiang: ML estimation for factor analysis: EM or non-EM? Statistics and Computing 18 (2008) 109-123.
"""

from __future__ import annotations

import numpy as np

from fastem.models.gaussian.linear_algebra import leading_eigenpairs

LEAST_RATIO = 1e-3  # by which a column's variance given the others may shrink in a step, lest its inverse lose digits


def best_factors(covariances, noise, n_factors, floor):
    """Loadings (…, d, q) that are best for the noise (…, d), then the best noise variance of one column after the
    other, at or above the floor (d,)."""
    loadings, precisions = best_loadings(covariances, noise, n_factors)
    return loadings, best_noise(covariances, precisions, noise, floor)


def best_loadings(covariances, noise, n_factors):
    """Loadings (…, d, q) of greatest likelihood for given noise variances (…, d): principal components in units of the
    noise; and the inverses (…, d, d) of W W^T + Psi.

    Lawley (1940); of each factor the largest loading is positive.
    """
    root = np.sqrt(noise)[..., None]
    units = root * np.swapaxes(root, -2, -1)
    values, vectors = leading_eigenpairs(covariances / units, n_factors)
    values = np.maximum(values, 1)[..., None, :]
    loadings = root * vectors * np.sqrt(values - 1)
    largest = np.take_along_axis(loadings, np.abs(loadings).argmax(axis=-2)[..., None, :], axis=-2)
    inverse = np.eye(noise.shape[-1]) - np.einsum("...iq,...jq->...ij", vectors * (1 - 1 / values), vectors)
    diagonal = np.einsum("...ii->...i", inverse)  # a view
    diagonal[...] = np.maximum(diagonal, (np.square(vectors) / values).sum(axis=-1))  # else 0 beyond values of 1e16
    return np.where(largest < 0, -loadings, loadings), inverse / units


def best_noise(covariances, precisions, noise, floor):
    """(…, d) noise variances, each the best given all else.

    In units of the noise, since squares of precisions leave the range of numbers where columns are of extreme scale.
    These units are powers of two, so no digit depends on them.

    A changed variance changes the inverse by a multiple of the outer product of one of its rows, so that a later row is
    the first inverse's less what the earlier ones pull from it. Sums are einsum's: BLAS would use threads.
    """
    unit = np.exp2(np.round(np.log2(noise) / 2))
    covariances = covariances / unit[..., None] / unit[..., None, :]
    precisions = precisions * unit[..., None] * unit[..., None, :]
    noise, floor = noise / unit / unit, floor / unit / unit
    rows, pulls = np.empty_like(precisions), np.empty_like(noise)
    for i in range(noise.shape[-1]):
        earlier = rows[..., :i, :]
        row = precisions[..., i, :] - np.einsum("...j,...jd->...d", pulls[..., :i] * earlier[..., i], earlier)
        precision = row[..., i]  # the reciprocal of the column's variance given the others, its noise among it
        explained = (np.einsum("...ij,...j->...i", covariances, row) * row).sum(axis=-1)
        change = np.maximum(
            (explained - precision) / precision**2,
            np.maximum(floor[..., i] - noise[..., i], (LEAST_RATIO - 1) / precision),
        )
        noise[..., i] += change
        rows[..., i, :], pulls[..., i] = row, change / (1 + change * precision)
    return noise * unit * unit
