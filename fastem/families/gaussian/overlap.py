"""Distances between the components of a fitted Gaussian mixture, and their overlap."""

from __future__ import annotations

import numpy as np

from fastem.families.gaussian.parts import gaussian_mixture
from fastem.models.gaussian.distances import DISTANCES
from fastem.models.gaussian.distances import component_distances as distances_between


def component_distances(self, kind: str = "bhattacharyya") -> np.ndarray:
    """Distances between the components, without their weights: (K, K), symmetric, zeros on the diagonal.

    Parameters
    ----------
    kind : {"bhattacharyya", "symmetric_kl", "mahalanobis"}
        "bhattacharyya": -log of the integral of sqrt(p_i p_j); "symmetric_kl": KL(p_i || p_j) + KL(p_j || p_i),
        both in nats; "mahalanobis": between the means, under the mean of both covariances. None depends on the
        units of the columns.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> gm = GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> gm.component_distances("mahalanobis").round(1)
    array([[0. , 6.9],
           [6.9, 0. ]])
    """
    mixture = gaussian_mixture(self, "component_distances")
    if not isinstance(kind, str) or kind not in DISTANCES:
        raise ValueError(f"kind must be one of {', '.join(map(repr, DISTANCES))}. Got {kind!r} instead.")
    return distances_between(mixture.emission, kind)


def component_overlap(self) -> np.ndarray:
    """Bhattacharyya coefficients: the integral of sqrt(p_i p_j), in [0, 1], shape (K, K); 1 for equal components.

    Among rows of components i and j alone, the best rule misassigns at most a share of sqrt(w_i w_j) times it, where
    w_i and w_j are the shares of the two: half of it where they are equal.

    References
    ----------
    T. Kailath: The divergence and Bhattacharyya distance measures in signal selection. IEEE Transactions on
    Communication Technology 15 (1967) 52-60.
    """
    mixture = gaussian_mixture(self, "component_overlap")
    return np.exp(-distances_between(mixture.emission, "bhattacharyya"))
