"""How wide components are, in units of the data: what tells a spike from a cluster."""

from __future__ import annotations

import numpy as np

FLAT = 1e-12  # share of the largest eigenvalue below which the data do not vary in a direction


def relative_eigenvalues(dense, means, weights):
    """(K, r) ascending eigenvalues of the covariances (K, d, d) relative to that of the whole mixture.

    In the r directions in which it varies. No unit and no rotation of the data changes them.
    """
    centred = means - weights @ means
    total = np.tensordot(weights, dense, axes=1) + (weights[:, None] * centred).T @ centred
    scale = np.sqrt(np.diagonal(total))
    scale = np.where(scale > 0, scale, 1)
    values, vectors = np.linalg.eigh(total / scale[:, None] / scale)
    varies = values > FLAT * values[-1]
    root = vectors[:, varies] / np.sqrt(values[varies]) / scale[:, None]
    return np.linalg.eigvalsh(root.T @ dense @ root)
