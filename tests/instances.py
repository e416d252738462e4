"""The hard instances and the structures that the tests run over, each listed once; all seeds are fixed."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture


@dataclass(frozen=True)
class Instance:
    """Data and the number of components to look for."""

    name: str
    X: np.ndarray
    n_components: int

    def __str__(self):
        return self.name


@dataclass(frozen=True)
class Structure:
    """A covariance_type, its class, and K dense covariances (K, d, d) in its shape."""

    name: str
    type: type
    from_dense: Callable[[np.ndarray], np.ndarray]

    def __str__(self):
        return self.name


STRUCTURES = [
    Structure("full", Full, lambda dense: dense),
    Structure("tied", Tied, lambda dense: dense.mean(axis=0)),
    Structure("diag", Diagonal, lambda dense: np.diagonal(dense, axis1=1, axis2=2).copy()),
    Structure("spherical", Spherical, lambda dense: np.trace(dense, axis1=1, axis2=2) / dense.shape[1]),
]


def random_covariances(rng, n_components, d):
    """(K, d, d) with correlations, well conditioned."""
    roots = rng.normal(size=(n_components, d, d)) / np.sqrt(d) + np.eye(d)
    return roots @ np.swapaxes(roots, 1, 2) + 0.3 * np.eye(d)


def random_mixture(rng, n_components, d, structure, separation=2.0):
    """A mixture whose components overlap somewhat."""
    means = separation * rng.normal(size=(n_components, d))
    covariances = structure.from_dense(random_covariances(rng, n_components, d))
    floor = np.zeros(d)
    weights = rng.dirichlet(np.full(n_components, 5.0))
    return Mixture(weights, Gaussian(means, structure.type.from_covariances(covariances, floor), floor))


def blobs(seed, n, d, n_components, separation):
    """Rows of a mixture with full covariances, in random order."""
    rng = np.random.default_rng(seed)
    X, _ = random_mixture(rng, n_components, d, STRUCTURES[0], separation).sample(n, rng)
    return rng.permutation(X)


def start(instance, structure):
    """A mixture to start EM from: distinct rows as means, everywhere the covariance of all rows, the default floor."""
    K, X = instance.n_components, instance.X.astype(np.float64)
    rng = np.random.default_rng(7)
    means = rng.permutation(np.unique(X, axis=0))[:K]
    covariance = np.atleast_2d(np.cov(X.T, ddof=0))
    floor = 1e-6 * np.diagonal(covariance)
    covariances = structure.from_dense(np.repeat(covariance[None], K, axis=0))
    return Mixture(np.full(K, 1 / K), Gaussian(means, structure.type.from_covariances(covariances, floor), floor))


INSTANCES = [
    Instance("separated", blobs(0, 600, 2, 3, 12.0), 3),
    Instance("overlapping", blobs(1, 600, 3, 4, 0.7), 4),
    Instance("one column", blobs(2, 500, 1, 3, 3.0), 3),
    Instance("17 columns", blobs(3, 700, 17, 3, 1.5), 3),
    Instance("moved by 1e6", blobs(4, 600, 2, 3, 3.0) + 1e6, 3),
    Instance("moved by 1e8", blobs(5, 600, 3, 2, 3.0) + 1e8, 2),
    Instance("columns of 1e-5 and 1e5", blobs(6, 600, 3, 3, 3.0) * np.array([1e-5, 1.0, 1e5]), 3),
    Instance("duplicated rows", np.repeat(blobs(7, 200, 2, 3, 2.0), 3, axis=0), 3),
    Instance("rounded", np.round(blobs(8, 500, 2, 3, 3.0), 0), 3),
    Instance("one component", blobs(9, 300, 4, 2, 3.0), 1),
    Instance("few rows", blobs(10, 12, 2, 2, 3.0), 4),
    Instance("too many components", blobs(11, 400, 2, 2, 3.0), 12),
    Instance("heavy tails", np.random.default_rng(12).standard_t(1.5, size=(500, 2)), 3),
    Instance("float32", blobs(13, 600, 3, 3, 3.0).astype(np.float32), 3),
]


def dense(covariance, n_components, d):
    """(K, d, d) covariances of any structure."""
    return np.array([covariance.pooled(weights, d) for weights in np.eye(n_components)])


def uneven_clusters(rng, n, K, d, draw):
    """Rows (n, d) of clusters of which each has 0.6 of the weight of the one before, and their labels.

    draw(shape): about a centre, in units of the cluster's root.
    """
    share = 0.6 ** np.arange(K)
    z = rng.choice(K, n, p=share / share.sum())
    roots = 0.5 * rng.normal(size=(K, d, d)) + 0.7 * np.eye(d)
    return 3 * rng.normal(size=(K, d))[z] + np.einsum("nij,nj->ni", roots[z], draw((n, d))), z
