"""Rows of which something is known: whose they are, or how probable each component is for each of them.

A row's prior multiplies the weights: p(x_n, z = k) = a_nk weight_k p_k(x_n), and the log-likelihood is the sum of
log sum_k a_nk weight_k p_k(x_n). A label is a prior of 1 for its component and 0 for the others. Rows of the same
prior are rows of one mixture, with other weights: so no kernel needs to know.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp, xlogy

from fastem.kernels.threads import for_pass
from fastem.models.log_joint import exp_relative
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import standardised
from fastem.rows.statistics import merged
from fastem.starts.clusters import MEMBERSHIPS, nearest
from fastem.starts.subsample import all_rows

MOST_GROUPS = 256  # of equal priors; with more, the rows take K + 1 passes instead of a call for each group


def checked_priors(labels, n, n_components, n_densities):
    """The distinct priors (G, n_densities), sorted, and which of them each row has (n,), from labels (n,) of components
    or from priors of all densities (n, n_densities)."""
    array = np.asarray(labels)
    if array.ndim == 1:
        return priors_of_labels(array, n, n_components, n_densities)
    if array.shape != (n, n_densities):
        noise = ", the noise last" if n_densities > n_components else ""
        raise ValueError(
            f"labels must have shape {(n,)}, or {(n, n_densities)} with a prior probability of each component for each "
            f"row{noise}; but it has {array.shape}."
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"labels holds priors of type {array.dtype}; they must be numbers.")
    bad = ~(np.isfinite(array) & (array >= 0)).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"labels holds {array[row]} in row {row}: priors must be finite and not negative.")
    none = ~array.any(axis=1)
    if none.any():
        raise ValueError(
            f"labels holds no positive prior in row {int(none.argmax())}, so that no component could have made it: "
            "give equal priors where nothing is known."
        )
    return distinct_rows(array.astype(np.float64))


def priors_of_labels(labels, n, n_components, n_densities):
    """The same from labels; -1 says nothing."""
    if labels.shape != (n,):
        raise ValueError(f"labels has {len(labels)} entries, but X has {n} rows.")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"labels holds {labels.dtype}; they must be whole numbers (astype(int)), -1 where not known.")
    bad = (labels < -1) | (labels >= n_components)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"labels holds {labels[row]} in row {row}: they must lie from 0 to n_components - 1 = {n_components - 1}, "
            "or be -1 where the component is not known."
        )
    values, own = np.unique(labels, return_inverse=True)
    priors = np.array([np.eye(n_densities)[v] if v >= 0 else np.ones(n_densities) for v in values.astype(int)])
    distinct, place = distinct_rows(priors)
    return distinct, place[own]


def distinct_rows(array):
    """(G, m) and for each row its place there."""
    distinct, place = np.unique(array, axis=0, return_inverse=True)
    return distinct, place.reshape(len(array))


class LabelledBlocks(ArrayBlocks):
    """An array whose rows have priors, for mixtures: rows of equal priors are reduced together, from a sorted copy.

    Parameters
    ----------
    blocks : ArrayBlocks
    priors : (G, K)
    own : (n,) numbers from 0 to G - 1
    """

    def __init__(self, blocks: ArrayBlocks, priors: np.ndarray, own: np.ndarray):
        super().__init__(blocks.X, blocks.sample_weight, blocks.names)
        self.priors, self.own = priors, own
        self.groups = []
        if len(priors) <= MOST_GROUPS:
            order = np.argsort(own, kind="stable")
            for rows in np.split(order, np.cumsum(np.bincount(own, minlength=len(priors)))[:-1]):
                weight = None if self.sample_weight is None else self.sample_weight[rows]
                self.groups.append(ArrayBlocks(self.X[rows], weight))

    def reduce(self, model, n_threads):
        """The statistics of a mixture; `entropy` holds the expected logarithm of the priors as well.

        So the bound is ``Q + entropy``.
        """
        if self.groups:
            return merged(of_equal(model, *pair, n_threads) for pair in zip(self.priors, self.groups))
        starts = range(0, self.n_rows, self.block_rows)
        owns = (self.own[start : start + self.block_rows] for start in starts)
        return merged(of_each(model, *rows, self.priors[own], n_threads) for rows, own in zip(self, owns))


def of_equal(model, prior, rows, n_threads):
    """The statistics of rows that have one prior (K,)."""
    known = Mixture(model.weights * prior, model.emission)
    statistics = rows.reduce(known, for_pass(n_threads, rows, len(prior)))
    gained = xlogy(statistics.counts, np.where(statistics.counts > 0, prior, 1)).sum()
    return statistics.replaced(entropy=statistics.entropy + gained)


def of_each(model, X, weight, prior, n_threads):
    """The statistics of rows that have a prior each (n, K): a pass for each component, with its responsibilities as
    weights."""
    weight = np.ones(len(X)) if weight is None else weight
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)
    joint = model.log_joint(X) + log_prior
    density = logsumexp(joint, axis=1)
    r = exp_relative(joint, density)
    alone = (Mixture(one, model.emission) for one in np.eye(len(model.weights)))
    parts = [one.e_step_of_block(X, weight * own, n_threads, {}) for one, own in zip(alone, r.T)]
    entropy = xlogy(r, np.where(r > 0, prior, 1)).sum(axis=1) - xlogy(r, r).sum(axis=1)
    return merged(parts).replaced(weight=weight.sum(), log_likelihood=weight @ density, entropy=weight @ entropy)


def labelled(blocks, labels, n_components, n_densities) -> LabelledBlocks:
    """The blocks with these labels or priors."""
    return LabelledBlocks(blocks, *checked_priors(labels, len(blocks.X), n_components, n_densities))


class Membership:
    """A start: the component of each row as far as it is known; the others by the nearest mean of those or, where a
    component has none, by the start of this name, its clusters numbered as suits the known rows best."""

    def __init__(self, blocks, name, n_threads):
        self.blocks, self.name, self.n_threads = blocks, name, n_threads

    def __call__(self, X, n_components, rng):
        blocks, K = self.blocks, n_components
        weight = all_rows(blocks)[1]
        prior = blocks.priors[:, :K]
        certain = (blocks.priors > 0).sum(axis=1) == 1
        told = np.where(certain & prior.any(axis=1), prior.argmax(axis=1), -1)[blocks.own]
        counts = np.bincount(told + 1, weight, minlength=K + 1)[1:]
        if counts.all():
            Z = standardised(X, weight)
            sums = [(weight * (told == k)) @ Z for k in range(K)]
            found = nearest(Z, (np.array(sums) / counts[:, None]).astype(Z.dtype), self.n_threads)
        else:
            found = MEMBERSHIPS[self.name](X, weight, K, rng, self.n_threads)
        share = np.where(prior.any(axis=1, keepdims=True), prior, 1)
        share = (share / share.sum(axis=1, keepdims=True))[blocks.own]
        if found.ndim == 2:
            found = found * share
            return found / found.sum(axis=1, keepdims=True)
        if not counts.all():
            overlap = [np.bincount(found, weight * of_component, minlength=K) for of_component in share.T]
            found = linear_sum_assignment(np.transpose(overlap), maximize=True)[1][found]
        rows = np.arange(len(X))
        return np.where(share[rows, found] > 0, found, share.argmax(axis=1))
