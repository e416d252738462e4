"""The M-step of a start: from labels, responsibilities or points to a mixture of Gaussians."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture
from fastem.rows.scale import standardised
from fastem.starts.clusters import kmeans_plusplus, random_rows


def from_membership(X, weight, membership, n_components, structure, floor):
    """The M-step from given responsibilities (n, K) or labels (n,)."""
    counts, means, shift, second = [], [], [], []
    for k in range(n_components):
        if membership.ndim == 1:
            rows = np.flatnonzero(membership == k)
            r, x = weight[rows], X[rows]
        else:
            r, x = weight * membership[:, k], X
        if not r.sum() > 0:  # nobody belongs here: a broad component over all rows
            r, x = weight / len(X), X
        x = np.ascontiguousarray(x)  # numpy adds in an order that depends on the strides
        about = x.mean(axis=0, dtype=np.float64)
        sums = moments(x, r, about, structure)
        counts.append(sums.counts[0])
        shift.append(sums.first[0] / sums.counts[0])
        second.append(sums.second.reshape(-1))
        means.append(about + shift[-1])
    counts, means = np.array(counts), np.array(means)
    covariance = structure.estimate(counts, np.array(shift), np.array(second), floor)
    return Mixture(counts / counts.sum(), Gaussian(means, covariance, floor))


def moments(X, weight, about, structure):
    """The statistics of one component to which all rows belong: its E-step. Threads and BLAS have no part in it."""
    d = len(about)
    shape = structure.shape(1, d)
    unit = np.broadcast_to(np.eye(d) if shape[-2:] == (d, d) else 1.0, shape)
    emission = Gaussian(about[None], structure.from_covariances(unit, np.zeros(d)), np.zeros(d))
    return Mixture(np.ones(1), emission).e_step(X, weight)


def from_points(X, weight, means, structure, floor):
    """Equal weights, given means, and everywhere the covariance of all rows."""
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
    """(K,) how much of the weight belongs to each component."""
    if membership.ndim == 1:
        counts = np.bincount(membership, weight, minlength=n_components)
    else:
        counts = (weight[:, None] * membership).sum(axis=0)
    counts = np.where(counts > 0, counts, weight.sum() / len(weight))  # nobody belongs there: one row's worth
    return counts / counts.sum()


def density_from_membership(pattern, X, weight, membership, n_components):
    """The densities of an exponential family, of a pattern's kind, that fit labels (n,) or responsibilities (n, K)."""
    one = Mixture(np.ones(1), replace(pattern, **{name: getattr(pattern, name)[:1] for name in pattern.arrays}))
    sums = []
    for k in range(n_components):
        r = weight * (membership == k if membership.ndim == 1 else membership[:, k])
        sums.append(one.e_step(X, r if r.any() else weight / len(X)))  # nobody belongs here: all do, a little
    counts, first = (np.concatenate([getattr(s, name) for s in sums]) for name in ("counts", "first"))
    return pattern.estimate(counts, first)
