"""Starts from a fitted mixture: rows of its components are given to others, components are merged and split.

Each start is responsibilities of some rows, from which any family makes a mixture.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem.driver.em import em
from fastem.kernels.arithmetic import matmul
from fastem.kernels.threads import for_pass
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.diagnosis import effective_rows, merit, sound_first
from fastem.starts.gaussian_start import filled
from fastem.starts.moves import MOST_CANDIDATES, posterior_of, split, split_merges
from fastem.starts.plan import Plan
from fastem.starts.short_runs import contest, few_of
from fastem.starts.subsample import subsample

SPLIT_RUN = 20  # iterations that show which of them is best
GROUP = 0.5  # of an equal share of the rows: with less, a collapsed component goes whatever its rows are


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

    See :func:`fastem.starts.moves.split_merges`.
    """
    few = few_of(plan, blocks, rng).whole()
    n_threads = for_pass(n_threads, few, model.emission.shape[0])
    memberships = split_merges(model, few, rng, n_threads)
    return best_start(memberships, plan, few, scales, n_threads)
