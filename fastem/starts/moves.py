"""Moves of a mixture's rows: responsibilities in which components are left out, split, or merged."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from fastem.kernels.arithmetic import matmul
from fastem.models.log_joint import exp_relative
from fastem.rows.scale import standardised
from fastem.starts.clusters import kmeans_plusplus, lloyd, scatter, sphered
from fastem.starts.gaussian_start import filled

MOST_CANDIDATES = 10  # ways to split, or to merge and split, that are tried


def posterior_of(model, X, kept):
    """(n, len(kept)) responsibilities of some of the components, as if there were no others."""
    joint = replace(model, shares=model.shares.constant()).log_joint(X)[:, kept]
    relative = exp_relative(joint, joint.max(axis=1))
    total = relative.sum(axis=1, keepdims=True)
    return np.where(total > 0, relative / np.where(total > 0, total, 1), 1 / len(kept))


def split(X, weight, membership, component, rng, n_threads):
    """Responsibilities (n, K + 1) in which the rows of one component form two clusters, the second a new component.

    Clusters are found in coordinates where the component is a sphere, so that units and rotations do not change them.
    """
    share = weight * membership[:, component]
    most = share.max()
    if not most > 0:  # no row to divide
        return np.column_stack([membership, np.zeros(len(X))])
    share = np.ldexp(share, -np.frexp(most)[1])  # as accurate however few rows the component has
    Z = standardised(X.astype(np.float64), share)
    Z = sphered(Z, scatter(Z, share))
    seeds = kmeans_plusplus(Z, share, 2, rng, n_threads)
    second = lloyd(Z, share, Z[seeds], n_threads) == 1
    halves = np.column_stack([membership, np.where(second, membership[:, component], 0)])
    halves[second, component] = 0
    return halves


def merge_pair(membership, i, j):
    """Responsibilities (n, K - 1) in which component i has the rows of j as well."""
    pooled = membership.copy()
    pooled[:, i] += pooled[:, j]
    return np.delete(pooled, j, axis=1)


def shared_rows(membership, weight):
    """(K, K) the cosines of the components' responsibilities (n, K)."""
    weighted = membership * weight[:, None]
    length = np.sqrt((weighted * membership).sum(axis=0))
    length[length == 0] = 1
    return matmul((weighted / length).T, membership / length)


def split_merges(model, few, rng, n_threads, least=-1.0) -> list[np.ndarray]:
    """Responsibilities (n, K) of some rows in which two components that share rows are merged and another is split.

    least : the cosine of two components' responsibilities above which they are tried

    Ueda, Nakano, Ghahramani, Hinton: SMEM algorithm for mixture models. Neural Computation 12 (2000) 2109-2128.
    """
    K = model.emission.shape[0]
    membership, X = posterior_of(model, few.X, np.arange(K)), filled(few.X, few.sample_weight)
    shared = shared_rows(membership, few.sample_weight)
    pairs = sorted(combinations(range(K), 2), key=lambda pair: -shared[pair])[:MOST_CANDIDATES]
    pairs = [pair for pair in pairs if shared[pair] > least]
    by_weight = np.argsort(-(membership * few.sample_weight[:, None]).sum(axis=0), kind="stable").tolist()
    moves = [
        (rank + place, (i, j), k)
        for rank, (i, j) in enumerate(pairs)
        for place, k in enumerate(by_weight)
        if k not in (i, j) or K == 2
    ]
    memberships = []
    for _, (i, j), k in sorted(moves)[:MOST_CANDIDATES]:
        one = merge_pair(membership, i, j)
        memberships.append(split(X, few.sample_weight, one, 0 if K == 2 else k - (k > j), rng, n_threads))
    return memberships
