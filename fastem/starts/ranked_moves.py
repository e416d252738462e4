"""Which two components of a Gaussian mixture are merged, and which are split, by what each costs and wins alone.

A merger costs likelihood on the rows of two components, a split wins some on those of one; both are found without the
other components, so all of them are tried in the time of a few steps of EM. Moves of different components add up, so
that many are made at once.

Ueda, Nakano, Ghahramani, Hinton: SMEM algorithm for mixture models. Neural Computation 12 (2000) 2109-2128 (the moves,
and partial EM on their rows).
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gaussian.short_runs import short_runs
from fastem.models.log_joint import LOWEST, normalised
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.from_memberships import component_moments, from_moments, runs_from_moments
from fastem.starts.moves import posterior_of, shared_rows, split

OWN = 1e-3  # responsibility from which a row is one of a component
LEAST_ROWS = 4  # to divide
STEPS = 20  # of EM after a split
PAIRS = 3  # mergers that are tried for each component: of those that share most
SINGLE = 4  # moves that are tried alone


def ranked_moves(model, few, rng, n_threads, least) -> list[np.ndarray]:
    """Labels (n,) of some complete rows after moves that may be better: after all together that win likelihood, then
    after single ones.

    least : the cosine of two components' responsibilities above which they may be merged
    """
    K, X, weight = model.n_components, few.X, few.sample_weight
    structure, floor = type(model.emission.covariance), model.emission.floor
    membership = posterior_of(model, X, np.arange(K))
    costs = merger_costs(model, X, weight, membership, least)
    if not costs:
        return []
    splits = {k: split_of(X, weight, membership[:, k], structure, floor, rng, n_threads) for k in range(K)}
    wins = {k: found for k, found in splits.items() if found is not None}
    moves = [(wins[k][0] - cost, pair, k) for pair, cost in costs.items() for k in wins if k not in pair]
    moves.sort(key=lambda move: -move[0])
    best = membership.argmax(axis=1)
    together, taken = best, set()
    for gain, pair, k in moves:
        if gain > 0 and not taken & {*pair, k}:
            taken |= {*pair, k}
            together = after(together, pair, k, wins[k][1])
    several = [together] if len(taken) > 3 else []
    return several + [after(best, pair, k, wins[k][1]) for _, pair, k in moves[:SINGLE]]


def after(labels, pair, k, second):
    """Labels after a move: a pair is its first component, and its second one is the second half of k."""
    i, j = pair
    labels = np.where(labels == j, i, labels)
    return np.where((labels == k) & second, j, labels)


def merger_costs(model, X, weight, membership, least) -> dict:
    """Of each pair of components that share rows: the log-likelihood of their rows that is lost when they are one."""
    K, costs = model.n_components, {}
    structure, floor = type(model.emission.covariance), model.emission.floor
    joint, shared = np.maximum(model.log_joint(X), LOWEST), shared_rows(membership, weight)
    pairs = sorted(combinations(range(K), 2), key=lambda pair: -shared[pair])[: PAIRS * K]
    for i, j in pairs:
        if not shared[i, j] > least:
            break
        share = membership[:, i] + membership[:, j]
        rows = np.flatnonzero(share > OWN)
        w = weight[rows] * share[rows]
        if not w.any():
            continue
        of_two = w @ normalised(joint[rows][:, [i, j]].T)[0] - w.sum() * float(
            arithmetic.log(model.weights[i] + model.weights[j])
        )
        costs[i, j] = of_two - of_one(X[rows], w, structure, floor)
    return costs


def of_one(X, weight, structure, floor) -> float:
    """The log-likelihood of weighted rows under one Gaussian."""
    moments = component_moments(X, weight, np.zeros(len(X), np.intp), 1, structure)
    density = np.empty(len(X))
    from_moments(moments, structure, floor).score(X, log_density=density)
    return weight @ density


def split_of(X, weight, share, structure, floor, rng, n_threads):
    """What the log-likelihood of one component's rows wins when there are two, and (n,) whether a row is in the second;
    None where they are not divided."""
    rows = np.flatnonzero(share > OWN)
    if len(rows) < LEAST_ROWS:
        return None
    X, w = np.ascontiguousarray(X[rows]), weight[rows] * share[rows]
    halves = split(X, w, np.ones((len(X), 1)), 0, rng, n_threads).argmax(axis=1)
    if not np.bincount(halves, w, minlength=2).all():
        return None
    local = ArrayBlocks(X, w)
    runs = runs_from_moments([component_moments(X, w, halves, 2, structure)], structure, floor, local)
    if runs is None or runs[0] is None:
        return None
    (run,) = short_runs(runs, local, STEPS, n_threads)
    n_rows = w.sum() / weight.sum() * len(weight)  # of few of them nothing is known: they may lie on a line by chance
    if not (run.n_iter and np.isfinite(run.history[-1]) and run.is_plainly_sound(n_rows)):
        return None
    second = np.zeros(len(share), bool)
    second[rows] = run.model.posterior(X).argmax(axis=1) == 1
    return run.history[-1] * w.sum() - of_one(X, w, structure, floor), second
