"""Starts from a fitted mixture: rows of its components are given to others, components are merged and split.

Each start is responsibilities of some rows, from which any family makes a mixture.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from fastem.driver.em import em
from fastem.kernels.arithmetic import matmul
from fastem.kernels.threads import for_pass
from fastem.models.log_joint import exp_relative
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import standardised
from fastem.starts.clusters import kmeans_plusplus, lloyd, scatter, sphered
from fastem.starts.diagnosis import effective_rows, merit, sound_first
from fastem.starts.gaussian_start import filled
from fastem.starts.plan import Plan
from fastem.starts.short_runs import contest, few_of
from fastem.starts.subsample import subsample

MOST_CANDIDATES = 10  # ways to split, or to merge and split, that are tried
SPLIT_RUN = 20  # iterations that show which of them is best
GROUP = 0.5  # of an equal share of the rows: with less, a collapsed component goes whatever its rows are


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


def best_start(memberships, plan: Plan, few, scales, n_threads, by=merit):
    """The best mixture after a short run from each membership."""
    starts = [
        lambda given=given: plan.from_membership(given).mixture(few, scales, None, n_threads) for given in memberships
    ]
    return contest(starts, few, [(SPLIT_RUN, 1)], plan, n_threads, by=by)


def without(model, lost, plan: Plan, blocks, scales, rng, n_threads):
    """The mixture without the lost components; the others share all rows."""
    kept = np.delete(np.arange(model.emission.shape[0]), lost)
    X, weight = subsample(blocks, rng, len(kept))
    smaller = plan.from_membership(posterior_of(model, X, kept))
    return smaller.mixture(ArrayBlocks(X, weight), scales, rng, n_threads)


def dropped(model, lost, plan: Plan, blocks, scales, rng, n_threads):
    """The mixture without one of the lost components, the lightest that can go, and its number; None where none can.

    A component stays where it holds a group of rows that the mixture without it does not describe: where that mixture
    is less likely by more than what the component's parameters may cost (BIC's measure), apart from what it wins by
    being thin. For rows that are equal, for example, no further component will be any wider.
    """
    model = replace(model, shares=model.shares.constant())
    K = model.emission.shape[0]
    few, n_effective = few_of(plan, blocks, rng).whole(), effective_rows(blocks)
    threads = for_pass(n_threads, few, K)

    def total(mixture):
        return n_effective * merit(em(mixture, few, max_iter=0, n_threads=threads), n_effective)[1]

    for k in sorted(lost, key=lambda k: model.weights[k]):
        if model.weights[k] < GROUP / K:
            return without(model, [k], plan, blocks, scales, rng, n_threads), k
        others = posterior_of(model, few.X, np.delete(np.arange(K), k))
        smaller = best_start([others], plan, few, scales, n_threads)
        cost = 0.5 * (model.n_parameters - smaller.n_parameters) * np.log(n_effective)
        if total(model) - total(smaller) < cost:
            return smaller, k
    return None


def reseeded(model, lost, plan: Plan, blocks, scales, rng, n_threads):
    """The mixture in which each lost component takes one half of another, where that is sound and the likelihood gains
    most."""
    kept = np.delete(np.arange(model.emission.shape[0]), lost)
    few = few_of(plan, blocks, rng).whole()
    n_threads = for_pass(n_threads, few, model.emission.shape[0])
    membership, X = posterior_of(model, few.X, kept), filled(few.X, few.sample_weight)
    for _ in lost[1:]:
        heaviest = int(matmul(few.sample_weight, membership).argmax())
        membership = split(X, few.sample_weight, membership, heaviest, rng, n_threads)
    heaviest = np.argsort(-matmul(few.sample_weight, membership), kind="stable")[:MOST_CANDIDATES]
    halves = [split(X, few.sample_weight, membership, k, rng, n_threads) for k in heaviest]
    return best_start(halves, plan, few, scales, n_threads, by=sound_first)


def split_merge_start(model, plan: Plan, blocks, scales, rng, n_threads):
    """The best of the mixtures that merge two components which share rows and split another one.

    Ueda, Nakano, Ghahramani, Hinton: SMEM algorithm for mixture models. Neural Computation 12 (2000) 2109-2128.
    """
    K = model.emission.shape[0]
    few = few_of(plan, blocks, rng).whole()
    n_threads = for_pass(n_threads, few, K)
    membership, X = posterior_of(model, few.X, np.arange(K)), filled(few.X, few.sample_weight)
    weighted = membership * few.sample_weight[:, None]
    length = np.sqrt((weighted * membership).sum(axis=0))
    length[length == 0] = 1
    shared = matmul((weighted / length).T, membership / length)
    pairs = sorted(combinations(range(K), 2), key=lambda pair: -shared[pair])[:MOST_CANDIDATES]
    by_weight = np.argsort(-weighted.sum(axis=0), kind="stable").tolist()
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
    return best_start(memberships, plan, few, scales, n_threads)
