"""The start of a Gaussian mixture from an estimator's parameters: given arrays are checked, the rest is initialised."""

from __future__ import annotations

import numpy as np

from fastem import initialise
from fastem.covariance import Diagonal, Full, Spherical, Tied
from fastem.emissions import Gaussian
from fastem.matrices import is_positive_definite
from fastem.mixture import Mixture
from fastem.validation import require_finite

STRUCTURES = {"full": Full, "tied": Tied, "diag": Diagonal, "spherical": Spherical}


def gaussian_start(estimator, blocks, floor, rng, n_threads) -> Mixture:
    """A mixture to start EM from: `init_params`, then whatever of weights, means and precisions is given."""
    structure = STRUCTURES[estimator.covariance_type]
    K, d = estimator.n_components, blocks.X.shape[1]
    weights = checked_weights(estimator.weights_init, K)
    means = checked_array(estimator.means_init, "means", (K, d))
    covariance = checked_covariance(estimator.precisions_init, structure, K, d, floor)
    if weights is None or means is None or covariance is None:
        start = initialised(estimator, blocks, structure, floor, rng, n_threads)
        weights = start.weights if weights is None else weights
        means = start.emission.means if means is None else means
        covariance = start.emission.covariance if covariance is None else covariance
    return Mixture(weights, Gaussian(means, covariance, floor))


def initialised(estimator, blocks, structure, floor, rng, n_threads):
    """The start that `init_params` asks for."""
    K, init = estimator.n_components, estimator.init_params
    if isinstance(init, str):
        X, weight = initialise.subsample(blocks.X, blocks.sample_weight, rng, K)
        return initialise.STARTS[init](X, weight, K, structure, floor, rng, n_threads)
    membership = checked_membership(init(blocks.X, K, rng) if callable(init) else init, len(blocks.X), K)
    weight = np.ones(len(blocks.X)) if blocks.sample_weight is None else blocks.sample_weight
    return initialise.from_membership(blocks.X, weight, membership, K, structure, floor)


def checked_membership(membership, n, n_components):
    """Responsibilities (n, K) whose rows sum to 1, or labels (n,) below K."""
    array = np.asarray(membership)
    if array.shape == (n,):
        if array.dtype.kind not in "iu":
            raise ValueError(f"init_params holds labels of type {array.dtype}; they must be whole numbers.")
        if array.min() < 0 or array.max() >= n_components:
            raise ValueError(
                f"init_params holds labels that are not whole numbers from 0 to {n_components - 1}: "
                f"found {array.dtype} between {array.min()} and {array.max()}."
            )
        return array
    if array.shape != (n, n_components):
        raise ValueError(
            f"init_params must be responsibilities of shape {(n, n_components)} or labels of shape {(n,)}, "
            f"but got an array of shape {array.shape}."
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"init_params holds responsibilities of type {array.dtype}; they must be numbers.")
    array = array.astype(np.float64)
    require_finite(array, "init_params")
    if (array < 0).any() or np.abs(array.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError("init_params holds responsibilities whose rows are not probabilities that sum to 1.")
    return array


def checked_array(value, name, shape):
    """float64 and of the right shape, or None."""
    if value is None:
        return None
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The parameter '{name}' must hold numbers in the shape of {shape}: {error}") from error
    if array.shape != shape:
        raise ValueError(f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' contains NaN or infinity.")
    return array


def checked_weights(value, n_components):
    """Mixture weights: in [0, 1], summing to 1."""
    weights = checked_array(value, "weights", (n_components,))
    if weights is None:
        return None
    if (weights < 0).any() or (weights > 1).any():
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.max():.5f}, min value {weights.min():.5f}"
        )
    if abs(weights.sum() - 1) > 1e-6:
        raise ValueError(f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}")
    return weights


def checked_covariance(precisions, structure, K, d, floor):
    """The structure whose inverse covariances are given, held at the floor."""
    array = checked_array(precisions, "precisions", structure.shape(K, d))
    if array is None:
        return None
    if issubclass(structure, Full):
        matrices = array.reshape(-1, d, d)
        if not np.allclose(matrices, np.swapaxes(matrices, 1, 2)) or not all(map(is_positive_definite, matrices)):
            raise ValueError("'precisions' should be symmetric, positive-definite")
        return structure.from_covariances(np.linalg.inv(matrices).reshape(array.shape), floor)
    if (array <= 0).any():
        raise ValueError(f"'precisions' should be positive, but the least is {array.min():.5g}")
    return structure.from_covariances(1 / array, floor)


def start_is_given(estimator) -> bool:
    """Whether every restart would be the same."""
    given = (estimator.weights_init, estimator.means_init, estimator.precisions_init)
    return all(part is not None for part in given) or not (
        isinstance(estimator.init_params, str) or callable(estimator.init_params)
    )


def require_distinct_rows(X, sample_weight, n_components):
    """Fewer distinct rows than components cannot be told apart. Usually the first few rows settle it."""
    distinct = X[:0]
    start, size = 0, 4 * n_components + 8
    while start < len(X):
        rows = slice(start, start + size)
        block = X[rows] if sample_weight is None else X[rows][sample_weight[rows] > 0]
        distinct = np.unique(np.concatenate([distinct, block]), axis=0)[:n_components]
        if len(distinct) == n_components:
            return
        start, size = start + size, max(size, 4096)
    raise ValueError(
        f"X has {len(distinct)} distinct row(s) of positive weight, fewer than n_components = {n_components}: "
        "choose fewer components."
    )


def warm_start(estimator, n_features, floor) -> Mixture:
    """The last fit's model under the present floor."""
    model = estimator._mixture()
    structure = STRUCTURES[estimator.covariance_type]
    last = {"n_components": model.n_components, "covariance_type": type(model.emission.covariance)}
    if last != {"n_components": estimator.n_components, "covariance_type": structure}:
        changed = "n_components" if last["n_components"] != estimator.n_components else "covariance_type"
        raise ValueError(
            f"warm_start=True, but {changed} has changed since the last fit. Set warm_start=False to start afresh."
        )
    if model.emission.shape[1] != n_features:
        raise ValueError(
            f"X has {n_features} features, but with warm_start=True {type(estimator).__name__} is expecting "
            f"{model.emission.shape[1]} features as input, as in the last fit."
        )
    covariance = structure.from_covariances(model.emission.covariance.covariances, floor)
    return Mixture(model.weights, Gaussian(model.emission.means, covariance, floor))
