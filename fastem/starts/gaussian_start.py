"""The start of a Gaussian mixture: given arrays are checked, the rest is initialised."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.imputation import impute
from fastem.models.gaussian.linear_algebra import is_positive_definite
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import robust_variances
from fastem.starts.from_memberships import POINTS, from_membership
from fastem.starts.given import checked_array, checked_membership, checked_weights
from fastem.starts.named import MEMBERSHIPS, MERGED
from fastem.starts.plan import Plan
from fastem.starts.subsample import all_rows, subsample

TAME = 3.0  # a robust start pulls far rows in to so many standard deviations of the middle half
FILLING_STEPS = 5  # of EM for the rows of a start, where values are missing
TYPICAL_ROWS = 2048  # from which the middle half is estimated


def initialised(init, n_components, blocks, structure, floor, rng, n_threads):
    """The start that `init_params` asks for."""
    K = n_components
    if isinstance(init, str):
        X, weight = subsample(blocks, rng, K)
        X = filled(X, weight)
        if init in POINTS:
            return POINTS[init](X, weight, K, structure, floor, rng, n_threads)
        membership = MEMBERSHIPS[init](X, weight, K, rng, n_threads)
        return from_membership(X, weight, membership, K, structure, floor)
    X, weight = all_rows(blocks)
    X = filled(X, weight)
    membership = checked_membership(init(X, K, rng) if callable(init) else init, len(X), K)
    return from_membership(X, weight, membership, K, structure, floor)


def filled(X, weight):
    """X, its missing values filled in by a few EM steps of one Gaussian, for a start only; X itself where it has none.

    Column means in their place would pull all components towards each other.
    """
    if not np.isnan(X).any():
        return X
    X = np.ascontiguousarray(X)  # numpy's sums depend on the layout
    observed = np.where(np.isnan(X), 0, weight[:, None]).sum(axis=0)
    observed = np.where(observed > 0, observed, 1)  # a column may be missing in all of a subsample
    mean = np.nansum(weight[:, None] * X, axis=0) / observed
    variance = np.nansum(weight[:, None] * (X - mean) ** 2, axis=0) / observed
    variance = np.where(variance > 0, variance, 1)
    floor = 1e-6 * variance
    one = Mixture(np.ones(1), Gaussian(mean[None], Full.from_covariances(np.diag(variance)[None], floor), floor))
    kept: dict = {}
    for _ in range(FILLING_STEPS):
        one = one.m_step(one.e_step_of_block(X, weight, 1, kept))
    return impute(one, X)


def tamed(X, weight):
    """Rows (n, d), each column pulled in to some standard deviations of its middle half around its median.

    Deviation and median are those of rows at equal steps of the cumulative weight, so that a weight of 2 counts as two
    equal rows.
    """
    mean = arithmetic.matmul(weight, X) / weight.sum()
    cumulative = np.cumsum(weight)
    steps = (np.arange(TYPICAL_ROWS) + 0.5) / TYPICAL_ROWS * cumulative[-1]
    typical = X[np.searchsorted(cumulative, steps)]
    scale = np.sqrt(robust_variances(typical, arithmetic.matmul(weight, (X - mean) ** 2) / weight.sum()))
    middle = np.median(typical, axis=0)
    return np.clip(X, middle - TAME * scale, middle + TAME * scale).astype(X.dtype)


def robust_start(init, n_components, blocks, structure, floor, rng, n_threads):
    """The start that `init_params` asks for, from rows that are tamed: outliers neither are clusters nor widen one."""
    K = n_components
    if not isinstance(init, str):
        return initialised(init, K, blocks, structure, floor, rng, n_threads)
    X, weight = subsample(blocks, rng, K)
    tame = tamed(X, weight)
    if init not in (MERGED, "kmeans"):
        return initialised(init, K, ArrayBlocks(tame, weight), structure, floor, rng, n_threads)
    labels = MEMBERSHIPS[init](tame, weight, K, rng, n_threads)
    for k in np.unique(labels):
        rows = labels == k
        tame[rows] = tamed(X[rows], weight[rows])
    return from_membership(tame, weight, labels, K, structure, floor)


def gaussian_start(plan: Plan, blocks, structure, floor, rng, n_threads, initialised=initialised) -> Mixture:
    """A mixture to start EM from: `initialised` makes it from ``plan.start.init``; weights, means and precisions that
    are given take the place of those."""
    K, d, given = plan.n_components, blocks.n_features, plan.start.given
    weights = checked_weights(given.get("weights"), K)
    means = checked_array(given.get("means"), "means", (K, d), "means_init")
    covariance = checked_covariance(given.get("precisions"), structure, K, d, floor)
    if weights is None or means is None or covariance is None:
        start = initialised(plan.start.init, K, blocks, structure, floor, rng, n_threads)
        weights = start.weights if weights is None else weights
        means = start.emission.means if means is None else means
        covariance = start.emission.covariance if covariance is None else covariance
    return Mixture(weights, Gaussian(means, covariance, floor))


def checked_covariance(precisions, structure, K, d, floor, source="precisions_init"):
    """The structure whose inverse covariances are given, held at the floor."""
    array = checked_array(precisions, "precisions", structure.shape(K, d), source)
    if array is None:
        return None
    if issubclass(structure, Full):
        matrices = array.reshape(-1, d, d)
        if not np.allclose(matrices, np.swapaxes(matrices, 1, 2)) or not all(map(is_positive_definite, matrices)):
            raise ValueError(f"'precisions' should be symmetric, positive-definite in {source}")
        return structure.from_covariances(arithmetic.inverse(matrices).reshape(array.shape), floor)
    if (array <= 0).any():
        raise ValueError(f"'precisions' should be positive, but the least is {array.min():.5g} in {source}")
    return structure.from_covariances(1 / array, floor)


def continued(mixture, structure, floor) -> Mixture:
    """The last fit's Gaussians under the present floor."""
    emission = mixture.emission
    if type(emission.covariance) is not structure:
        raise ValueError(
            "warm_start=True, but covariance_type has changed since the last fit. Set warm_start=False to start afresh."
        )
    covariance = structure.from_covariances(emission.covariance.covariances, floor)
    return Mixture(mixture.weights, Gaussian(emission.means, covariance, floor))
