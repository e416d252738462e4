"""The M-step of a start: from labels, responsibilities or points to a mixture of Gaussians."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np

from fastem.kernels import clusters
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.emission import Gaussian, floor_with_digits
from fastem.models.gaussian.scatters import scatter_matrices, scatter_of_columns
from fastem.models.gaussian.short_runs import MOST_COLUMNS, runs_from
from fastem.models.mixture import Mixture
from fastem.rows.column_moments import ColumnMoments
from fastem.rows.cross_moments import CrossMoments
from fastem.rows.scale import standardised
from fastem.starts.clusters import kmeans_plusplus, random_rows


class Moments(NamedTuple):
    """What an M-step takes from the rows of K components, second moments as the structures of one kernel sum them.

    counts (K,); points (K, d) near the means; shift (K, d) from there to the means; second, about the points.
    """

    counts: np.ndarray
    points: np.ndarray
    shift: np.ndarray
    second: np.ndarray

    def split(self, component, halves) -> Moments:
        """Those of one more component: the halves of one, the second of them last."""
        arrays = [np.concatenate([own, new[1:]]) for own, new in zip(self, halves)]
        for own, new in zip(arrays, halves):
            own[component] = new[0]
        return Moments(*arrays)


def from_membership(X, weight, membership, n_components, structure, floor):
    """The M-step from given responsibilities (n, K) or labels (n,)."""
    return from_moments(component_moments(X, weight, membership, n_components, structure), structure, floor)


def from_moments(moments, structure, floor):
    """The M-step from the moments of the components."""
    counts, means = moments.counts, moments.points + moments.shift
    covariance = structure.estimate(counts, moments.shift, moments.second, floor_with_digits(means, counts, floor))
    return Mixture(counts / counts.sum(), Gaussian(means, covariance, floor))


def runs_from_moments(moments, structure, floor, blocks, begun=lambda mixture: mixture):
    """Of each moments the run that begins at the M-step from them: see :func:`runs_from`."""
    counts, points, shift, second = (np.array(arrays) for arrays in zip(*moments))
    R, K, d = shift.shape
    if structure.kernel == "gaussian_diagonal":
        own = scatter_of_columns(counts.ravel(), shift.reshape(-1, d), second.reshape(-1, d))
    else:
        own = scatter_matrices(counts.ravel(), shift.reshape(-1, d), second.reshape(R * K, -1))
    own = own.reshape(R, K, -1) / counts[..., None]
    return runs_from(counts, points + shift, own, structure, floor, blocks, begun)


def component_moments(X, weight, membership, n_components, structure) -> Moments:
    """The moments of components with given responsibilities (n, K) or labels (n,)."""
    if membership.ndim == 1 and X.dtype == np.float64 and X.shape[1] <= MOST_COLUMNS:
        return moments_of_clusters(X, weight, membership, n_components, structure)
    sums_about = ColumnMoments if structure.kernel == "gaussian_diagonal" else CrossMoments
    X = np.ascontiguousarray(X)  # numpy adds in an order that depends on the strides
    middle = cache(lambda: mean_of(X))  # made once, if any component takes all rows
    counts, points, shift, second = [], [], [], []
    least = np.finfo(X.dtype).tiny  # the kernel takes weights in the real type of the rows
    for k in range(n_components):
        if membership.ndim == 1:
            rows = np.flatnonzero(membership == k)
            r, x = weight[rows], X[rows]
        else:
            r, x = weight * membership[:, k], X
        if not r.sum() > len(r) * least:  # no row belongs here: a broad component over all rows
            r, x = weight / len(X), X
        if not r.all():  # rows that do not count may lie anywhere
            some = np.flatnonzero(r)
            r, x = r[some], x[some]
        mean = middle() if x is X else mean_of(x)
        sums = sums_about(mean).e_step(x, r)
        if x.dtype == np.float32 and not np.isfinite(sums.second).all():  # float32 may hold them about the other mean
            sums = sums_about(mean.astype(np.float64)).e_step(x.astype(np.float64), r)
        counts.append(sums.weight)
        points.append(mean)
        shift.append(sums.first / sums.weight)
        second.append(sums.second)
    return Moments(*(np.array(values, np.float64) for values in (counts, points, shift, second)))


def moments_of_clusters(X, weight, labels, n_components, structure) -> Moments:
    """Those of labels, by one pass over the rows; a component without rows is broad, over all of them."""
    along_columns = structure.kernel == "gaussian_diagonal"
    X, labels = np.ascontiguousarray(X), np.ascontiguousarray(labels, np.intp)
    counts, means, second = clusters.moments(X, weight, labels, n_components, not along_columns)
    empty = counts == 0
    if empty.any():
        everywhere = np.zeros(len(X), np.intp)
        of_all = clusters.moments(X, weight / len(X), everywhere, 1, not along_columns)
        for own, broad in zip((counts, means, second), of_all):
            own[empty] = broad
    i, j = packed_lower(X.shape[1])
    return Moments(counts, means, np.zeros_like(means), second[:, 0] if along_columns else second[:, i, j])


def mean_of(X):
    """(d,) the mean of rows, in their type: near enough to that by weight to take moments about."""
    return X.mean(axis=0, dtype=np.float64).astype(X.dtype)


def from_points(X, weight, means, structure, floor):
    """Equal weights, the given means, and for each component the covariance of all rows."""
    n_components = len(means)
    everything = from_membership(X, weight, np.zeros(len(X), int), 1, structure, floor).emission.covariance
    covariance = structure.from_covariances(
        np.broadcast_to(everything.covariances, structure.shape(n_components, X.shape[1])).copy(), floor
    )
    emission = Gaussian(np.array(means, dtype=np.float64), covariance, floor)
    return Mixture(np.full(n_components, 1 / n_components), emission)


def gaussians_at_seeds(X, weight, n_components, structure, floor, rng, n_threads):
    """k-means++ seeds as means."""
    seeds = kmeans_plusplus(standardised(X, weight), weight, n_components, rng, n_threads)
    return from_points(X, weight, X[seeds], structure, floor)


def gaussians_at_rows(X, weight, n_components, structure, floor, rng, n_threads):
    """Random rows as means."""
    return from_points(X, weight, random_rows(X, n_components, rng), structure, floor)


POINTS = {"k-means++": gaussians_at_seeds, "random_from_data": gaussians_at_rows}


def membership_weights(weight, membership, n_components):
    """(K,) the share of the weight that belongs to each component."""
    if membership.ndim == 1:
        counts = np.bincount(membership, weight, minlength=n_components)
    else:
        counts = (weight[:, None] * membership).sum(axis=0)
    counts = np.where(counts > 0, counts, weight.sum() / len(weight))  # no row belongs there: the weight of one row
    return counts / counts.sum()


def density_from_membership(pattern, X, weight, membership, n_components):
    """Densities of the pattern's kind that fit labels (n,) or responsibilities (n, K)."""
    one = Mixture(np.ones(1), replace(pattern, **{name: getattr(pattern, name)[:1] for name in pattern.arrays}))
    sums = []
    for k in range(n_components):
        r = weight * (membership == k if membership.ndim == 1 else membership[:, k])
        r = r if r.any() else weight  # no row belongs here: all
        r = np.ldexp(r, -np.frexp(r.max())[1])  # as accurate however small, also in float32; the ratio of sums counts
        sums.append(one.e_step(X, r))
    counts, first = (np.concatenate([getattr(s, name) for s in sums]) for name in ("counts", "first"))
    return pattern.estimate(counts, first)
