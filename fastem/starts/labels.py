"""Rows of which something is known: their component, or how probable each component is for each of them.

A row's prior multiplies the weights: p(x_n, z = k) = a_nk weight_k p_k(x_n), and the log-likelihood is the sum of
log sum_k a_nk weight_k p_k(x_n). A label is a prior of 1 for its component and 0 for the others. Rows with the
same prior are rows of one mixture with other weights, so kernels need not know of priors.
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
from fastem.starts.clusters import nearest
from fastem.starts.named import MEMBERSHIPS
from fastem.starts.subsample import all_rows

MOST_GROUPS = 256  # groups of equal priors; with more, K + 1 passes over the rows replace a call for each group


def checked_priors(labels, n, n_components, n_densities):
    """The distinct priors (G, n_densities), sorted, and which of them each row has (n,), from labels (n,) of components
    or from priors of all densities (n, n_densities)."""
    array = np.asarray(labels)
    if array.ndim == 1:
        return priors_of_labels(array, n, n_components, n_densities)
    if array.shape != (n, n_densities):
        noise = ", the noise last" if n_densities > n_components else ""
        raise ValueError(
            f"labels must have shape {(n,)}, or {(n, n_densities)} with a prior of each component for each row{noise}. "
            f"Got shape {array.shape} instead."
        )
    if array.dtype.kind not in "fiub":
        raise ValueError(f"labels contains priors of type {array.dtype}, but priors must be numbers.")
    bad = ~(np.isfinite(array) & (array >= 0)).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"labels contains {array[row]} in row {row}, but priors must be finite and not negative.")
    none = ~array.any(axis=1)
    if none.any():
        raise ValueError(
            f"labels contains no positive prior in row {int(none.argmax())}, so no component can contain that row. "
            "Give equal priors where nothing is known."
        )
    return distinct_rows(array.astype(np.float64))


def priors_of_labels(labels, n, n_components, n_densities):
    """The same from labels; -1: nothing is known of the row."""
    if labels.shape != (n,):
        raise ValueError(f"labels has {len(labels)} entries, but X has {n} rows.")
    if labels.dtype.kind not in "iu":
        raise ValueError(
            f"labels has type {labels.dtype}, but labels must be whole numbers (astype(int)), -1 where not known."
        )
    bad = (labels < -1) | (labels >= n_components)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"labels contains {labels[row]} in row {row}, but labels must be from 0 to n_components - 1 = "
            f"{n_components - 1}, or -1 where the component is not known."
        )
    values, value_of_row = np.unique(labels, return_inverse=True)
    priors = np.array([np.eye(n_densities)[v] if v >= 0 else np.ones(n_densities) for v in values.astype(int)])
    distinct, place = distinct_rows(priors)
    return distinct, place[value_of_row]


def distinct_rows(array):
    """The distinct rows (G, m), and for each row (n,) its place among them."""
    distinct, place = np.unique(array, axis=0, return_inverse=True)
    return distinct, place.reshape(len(array))


class LabelledBlocks(ArrayBlocks):
    """An array whose rows have priors, for mixtures: rows of equal priors are reduced together, from a sorted copy.

    Parameters
    ----------
    blocks : ArrayBlocks
    priors : (G, K)
    group_of_row : (n,) numbers from 0 to G - 1
    """

    def __init__(self, blocks: ArrayBlocks, priors: np.ndarray, group_of_row: np.ndarray):
        super().__init__(blocks.X, blocks.sample_weight, blocks.names)
        self.priors, self.group_of_row = priors, group_of_row
        self.groups = []
        if len(priors) <= MOST_GROUPS:
            order = np.argsort(group_of_row, kind="stable")
            for rows in np.split(order, np.cumsum(np.bincount(group_of_row, minlength=len(priors)))[:-1]):
                weight = None if self.sample_weight is None else self.sample_weight[rows]
                self.groups.append(ArrayBlocks(self.X[rows], weight))

    def reduce(self, model, n_threads):
        """The statistics of a mixture; `entropy` holds the expected logarithm of the priors as well.

        So the bound is ``Q + entropy``.
        """
        if self.groups:
            return merged(reduce_equal_priors(model, *pair, n_threads) for pair in zip(self.priors, self.groups))
        starts = range(0, self.n_rows, self.block_rows)
        groups = (self.group_of_row[start : start + self.block_rows] for start in starts)
        return merged(
            reduce_row_priors(model, *rows, self.priors[group], n_threads) for rows, group in zip(self, groups)
        )


def reduce_equal_priors(model, prior, rows, n_threads):
    """The statistics of rows that have one prior (K,)."""
    known = Mixture(model.weights * prior, model.emission)
    statistics = rows.reduce(known, for_pass(n_threads, rows, len(prior)))
    gained = xlogy(statistics.counts, np.where(statistics.counts > 0, prior, 1)).sum()
    return statistics.replaced(entropy=statistics.entropy + gained)


def reduce_row_priors(model, X, weight, prior, n_threads):
    """The statistics of rows with a prior for each row (n, K): one pass for each component, whose responsibilities are
    the weights."""
    weight = np.ones(len(X)) if weight is None else weight
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)
    joint = model.log_joint(X) + log_prior
    density = logsumexp(joint, axis=1)
    r = exp_relative(joint, density)
    alone = (Mixture(one, model.emission) for one in np.eye(len(model.weights)))
    parts = [one.e_step_of_block(X, weight * share, n_threads, {}) for one, share in zip(alone, r.T)]
    entropy = xlogy(r, np.where(r > 0, prior, 1)).sum(axis=1) - xlogy(r, r).sum(axis=1)
    return merged(parts).replaced(weight=weight.sum(), log_likelihood=weight @ density, entropy=weight @ entropy)


def labelled(blocks, labels, n_components, n_densities) -> LabelledBlocks:
    """The blocks with these labels or priors."""
    return LabelledBlocks(blocks, *checked_priors(labels, len(blocks.X), n_components, n_densities))


class LabelledStart:
    """A start in which each row whose component is known belongs to it.

    The other rows belong to the nearest mean of the known ones. Where a component has no known row, the start of this
    name assigns them; its clusters are then numbered so that they agree best with the known rows.
    """

    def __init__(self, blocks, name, n_threads):
        self.blocks, self.name, self.n_threads = blocks, name, n_threads

    words = "the labels"  # of this start in a report

    def __call__(self, X, n_components, rng):
        blocks, K = self.blocks, n_components
        weight = all_rows(blocks)[1]
        prior = blocks.priors[:, :K]
        certain = (blocks.priors > 0).sum(axis=1) == 1
        known = np.where(certain & prior.any(axis=1), prior.argmax(axis=1), -1)[blocks.group_of_row]
        counts = np.bincount(known + 1, weight, minlength=K + 1)[1:]
        if counts.all():
            Z = standardised(X, weight)
            sums = [(weight * (known == k)) @ Z for k in range(K)]
            start = nearest(Z, (np.array(sums) / counts[:, None]).astype(Z.dtype), self.n_threads)
        else:
            start = MEMBERSHIPS[self.name](X, weight, K, rng, self.n_threads)
        share = np.where(prior.any(axis=1, keepdims=True), prior, 1)
        share = (share / share.sum(axis=1, keepdims=True))[blocks.group_of_row]
        if start.ndim == 2:
            start = start * share
            return start / start.sum(axis=1, keepdims=True)
        if not counts.all():
            overlap = [np.bincount(start, weight * of_component, minlength=K) for of_component in share.T]
            start = linear_sum_assignment(np.transpose(overlap), maximize=True)[1][start]
        rows = np.arange(len(X))
        return np.where(share[rows, start] > 0, start, share.argmax(axis=1))
