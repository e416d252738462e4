"""Rows of which something is known: their component, or how probable each component is for each of them.

A row's prior multiplies the weights: p(x_n, z = k) = a_nk weight_k p_k(x_n), and the log-likelihood is the sum of
log sum_k a_nk weight_k p_k(x_n). A label is a prior of 1 for its component and 0 for the others. Rows with the
same prior are rows of one mixture with other weights, so kernels need not know of priors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastem.kernels.threads import for_pass
from fastem.models.log_joint import exp_relative
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.e_step import BlockModel
from fastem.rows.scale import standardised
from fastem.rows.statistics import merged
from fastem.rows.validation import numbers_beside, require_unmasked
from fastem.starts.clusters import nearest, sphered
from fastem.starts.named import EMEM, MEMBERSHIPS, MERGED
from fastem.starts.subsample import all_rows, subsample_rows

MOST_GROUPS = 256  # groups of equal priors; with more, K + 1 passes over the rows replace a call for each group


def checked_priors(labels, n, n_components, n_densities):
    """The distinct priors (G, n_densities), sorted, and which of them each row has (n,), from labels (n,) of components
    or from priors of all densities (n, n_densities)."""
    array = as_labels(labels)
    if array.ndim == 1:
        return priors_of_labels(array, n, n_components, n_densities)
    if array.shape != (n, n_densities):
        noise = ", the noise last" if n_densities > n_components else ""
        raise ValueError(
            f"labels must have shape {(n,)}, or {(n, n_densities)} with a prior of each component for each row{noise}. "
            f"Got shape {array.shape} instead."
        )
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


def as_labels(labels) -> np.ndarray:
    """Labels or priors as an array of numbers, None and pandas' NA as NaN; ValueError where they are something else."""
    require_unmasked(labels, "labels")
    try:
        array = numbers_beside(np.asarray(labels))
    except ValueError as error:
        raise ValueError(f"labels must be whole numbers, or priors of components: {error}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"labels must be whole numbers, or priors of components. Got type {array.dtype} instead.")
    return array


def priors_of_labels(labels, n, n_components, n_densities):
    """The same from labels; -1 or NaN: nothing is known of the row."""
    if labels.shape != (n,):
        raise ValueError(f"labels has {len(labels)} entries, but X has {n} rows.")
    known = np.where(np.isnan(labels), -1, labels)
    bad = ~((known >= -1) & (known < n_components) & (known == np.floor(known)))
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"labels contains {labels[row]:g} in row {row}, but labels must be whole numbers from 0 to n_components - "
            f"1 = {n_components - 1}, or -1 or NaN where the component is not known."
        )
    values, value_of_row = np.unique(known.astype(int), return_inverse=True)
    priors = np.array([np.eye(n_densities)[v] if v >= 0 else np.ones(n_densities) for v in values])
    distinct, place = distinct_rows(priors)
    return distinct, place[value_of_row]


def priors_of_columns(columns, n_densities):
    """The same from columns of wide rows that were checked: labels (n, 1), NaN where not known, or priors."""
    if columns.shape[1] > 1:
        return distinct_rows(columns.astype(np.float64))
    return priors_of_labels(columns[:, 0], len(columns), n_densities, n_densities)


def certain_component(priors, n_components):
    """(G,) the component of rows with these priors, -1 where it is not certain."""
    certain = ((priors > 0).sum(axis=1) == 1) & priors[:, :n_components].any(axis=1)
    return np.where(certain, priors[:, :n_components].argmax(axis=1), -1)


def distinct_rows(array):
    """The distinct rows (G, m), and for each row (n,) its place among them."""
    distinct, place = np.unique(array, axis=0, return_inverse=True)
    return distinct, place.reshape(len(array))


def chances(numbers) -> np.ndarray:
    """(K + 1,) with which rows are taken for a start: of rows that are not known, and of those of each component, where
    there are so many of them. So that no component is overlooked."""
    n_components = len(numbers) - 1
    size = subsample_rows(n_components)
    most = np.append(size, np.full(n_components, size / n_components))
    return np.minimum(1, most / np.maximum(numbers, 1))


class LabelledBlocks(ArrayBlocks):
    """An array whose rows have priors, for mixtures: rows of equal priors are reduced together, from a sorted copy.

    Parameters
    ----------
    blocks : ArrayBlocks
    priors : (G, K)
    group_of_row : (n,) numbers from 0 to G - 1
    """

    roles = ("labels",)

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


@dataclass(frozen=True)
class LabelledRows(BlockModel):
    """A mixture as a model of wide rows: values, and then a label or priors; see :func:`priors_of_columns`.

    Attributes
    ----------
    mixture : Mixture
    n_values : int
    """

    mixture: Mixture
    n_values: int

    def e_step_of_block(self, X, sample_weight, n_threads, kept):
        """The statistics of :meth:`LabelledBlocks.reduce`."""
        d, model = self.n_values, self.mixture
        priors, group = priors_of_columns(X[:, d:], len(model.weights))
        if len(priors) > MOST_GROUPS:
            return reduce_row_priors(model, np.ascontiguousarray(X[:, :d]), sample_weight, priors[group], n_threads)
        parts = []
        for g, prior in enumerate(priors):
            rows = np.flatnonzero(group == g)
            weight = None if sample_weight is None else sample_weight[rows]
            parts.append(reduce_equal_priors(model, prior, ArrayBlocks(X[rows, :d], weight), n_threads))
        return merged(parts)


def reduce_equal_priors(model, prior, rows, n_threads):
    """The statistics of rows that have one prior (K,)."""
    from scipy.special import xlogy  # here, because it takes long to import

    known = Mixture(model.shares.of_pass(model.weights) * prior, model.emission)
    statistics = rows.reduce(known, for_pass(n_threads, rows, len(prior)))
    gained = xlogy(statistics.counts, np.where(statistics.counts > 0, prior, 1)).sum()
    return statistics.replaced(entropy=statistics.entropy + gained)


def posterior_under(model, X, prior):
    """(n,) log-densities and (n, K) posteriors of rows with a prior for each row (n, K)."""
    from scipy.special import logsumexp  # here, because it takes long to import

    with np.errstate(divide="ignore"):
        joint = model.log_joint(X) + np.log(prior)
    density = logsumexp(joint, axis=1)
    return density, exp_relative(joint, density)


def reduce_row_priors(model, X, weight, prior, n_threads):
    """The statistics of rows with a prior for each row (n, K): one pass for each component, whose responsibilities are
    the weights."""
    from scipy.special import xlogy

    weight = np.ones(len(X)) if weight is None else weight
    density, r = posterior_under(model, X, prior)
    alone = (Mixture(one, model.emission) for one in np.eye(len(model.weights)))
    parts = [one.e_step_of_block(X, weight * share, n_threads, {}) for one, share in zip(alone, r.T)]
    entropy = xlogy(r, np.where(r > 0, prior, 1)).sum(axis=1) - xlogy(r, r).sum(axis=1)
    return merged(parts).replaced(weight=weight.sum(), log_likelihood=weight @ density, entropy=weight @ entropy)


def labelled(blocks, labels, n_components, n_densities) -> LabelledBlocks:
    """The blocks with these labels or priors."""
    return LabelledBlocks(blocks, *checked_priors(labels, len(blocks.X), n_components, n_densities))


def nearest_mean(Z, weight, known, n_components, rng, n_threads):
    """For each row (n,) the component with the nearest mean of known rows."""
    return nearest(Z, means_of(Z, weight, known, n_components), n_threads)


def nearest_mean_in_their_metric(Z, weight, known, n_components, rng, n_threads):
    """The same where the covariance of the known rows about their means is a sphere."""
    return nearest_mean(in_metric(Z, weight, known, n_components), weight, known, n_components, rng, n_threads)


def nearest_known_row(Z, weight, known, n_components, rng, n_threads):
    """For each row the component of the nearest known row, or of the nearest of MOST_KNOWN."""
    rows = np.flatnonzero(known >= 0)
    if len(rows) > MOST_KNOWN:
        rows = np.sort(rng.choice(rows, MOST_KNOWN, replace=False))
    return known[rows][nearest(Z, np.ascontiguousarray(Z[rows]), n_threads)]


def nearest_of_one_each(Z, weight, known, n_components, rng, n_threads):
    """For each row the component of the nearest of K known rows, one drawn from each component."""
    rows = [rng.choice(np.flatnonzero((known == k) & (weight > 0))) for k in range(n_components)]
    Y = in_metric(Z, weight, known, n_components)
    return nearest(Y, np.ascontiguousarray(Y[rows]), n_threads)


def means_of(Z, weight, known, n_components):
    """(K, d) of the known rows of each component, which has some."""
    counts = np.bincount(known + 1, weight, minlength=n_components + 1)[1:]
    sums = np.array([(weight * (known == k)) @ Z for k in range(n_components)])
    return (sums / counts[:, None]).astype(Z.dtype)


def in_metric(Z, weight, known, n_components):
    """Rows (n, d) in which the known rows' covariance about their means, and some rows of unit covariance beside them,
    is a sphere."""
    rows, d = known >= 0, Z.shape[1]
    rest = (Z[rows] - means_of(Z, weight, known, n_components)[known[rows]]).astype(np.float64)
    within = (rest * weight[rows, None]).T @ rest + d * weight[rows].mean() * np.eye(d)
    return sphered(Z, within)


KNOWN = {  # what only looks at rows whose component is known; each component has some
    "nearest mean": nearest_mean,
    "nearest mean in their metric": nearest_mean_in_their_metric,
    "nearest known row": nearest_known_row,
    "nearest of one row each": nearest_of_one_each,
}
NAMED = ("whitened", "merged", "kmeans")  # beside the one that is asked for
SHORT_RUNS = "short runs"  # of several kinds
REPEATED = ("nearest of one row each", "kmeans", "random_from_data", "whitened")  # in further restarts, in turn
MOST_KNOWN = 1000  # rows among which each row looks for the nearest


class LabelledStart:
    """A start in which each row whose component is known belongs to it.

    Kinds of starts differ in what they make of the other rows: those of `KNOWN` look at the known rows alone; a named
    start's clusters are numbered so that they agree best with what is known. With the name "emem" short runs choose
    (see `candidates`), and the first of further restarts is the nearest mean, or, where a component has no known row,
    merged clusters; with another name that comes first.

    Parameters
    ----------
    blocks : LabelledBlocks
        The rows, or some of them that stand for all.
    name : str
        The named start.
    n_threads : int
    number : int
        Of the restart, from 0.
    """

    def __init__(self, blocks, name, n_threads, number=0):
        self.blocks, self.name, self.n_threads, self.number = blocks, name, n_threads, number

    def restarted(self, number) -> LabelledStart:
        """The start of another restart."""
        return LabelledStart(self.blocks, self.name, self.n_threads, number)

    def of_few(self, n_components, rng) -> LabelledStart:
        """The same for some of the rows, where there are many."""
        blocks, known = self.blocks, self.known(n_components) + 1
        if blocks.n_rows <= subsample_rows(n_components):
            return self
        chance = chances(np.bincount(known, minlength=n_components + 1))[known]
        taken = np.flatnonzero((rng.random(len(known)) < chance) & (all_rows(blocks)[1] > 0))
        weight = all_rows(blocks)[1][taken] / chance[taken]
        few = LabelledBlocks(ArrayBlocks(blocks.X[taken], weight), blocks.priors, blocks.group_of_row[taken])
        return LabelledStart(few, self.name, self.n_threads, self.number)

    def kind(self, known, n_components) -> str:
        """What decides about the rows that are not known."""
        first = self.kinds(known, n_components)
        if self.name == EMEM:
            first = [SHORT_RUNS, *first]
        if self.number < len(first):
            return first[self.number]
        further = [name for name in REPEATED if first[0] in KNOWN or first[1] in KNOWN or name not in KNOWN]
        return further[(self.number - len(first)) % len(further)]

    def kinds(self, known, n_components) -> list[str]:
        """Those that differ."""
        weight = all_rows(self.blocks)[1]
        everywhere = bool(np.bincount(known + 1, weight, minlength=n_components + 1)[1:].all())
        named = MERGED if self.name == EMEM else self.name
        return [*(KNOWN if everywhere else ()), named, *(name for name in NAMED if name != named)]

    @property
    def chooses(self) -> bool:
        """Whether short runs decide between kinds; see :func:`fastem.starts.short_runs.labelled_start`."""
        return self.name == EMEM and self.number == 0

    def candidates(self, n_components) -> list[LabelledStart]:
        """A start of each kind that looks at the known rows alone, or of each named kind where one cannot."""
        kinds = self.kinds(self.known(n_components), n_components)
        numbers = [number for number, kind in enumerate(kinds) if kind in KNOWN] or range(len(kinds))
        return [LabelledStart(self.blocks, MERGED, self.n_threads, number) for number in numbers]

    def known(self, n_components):
        """(n,) the component of each row, -1 where it is not certain."""
        return certain_component(self.blocks.priors, n_components)[self.blocks.group_of_row]

    def described(self, n_components) -> str:
        """For the report."""
        return f"the labels, {self.kind(self.known(n_components), n_components)}"

    words = "the labels"  # of this start in a report

    def __call__(self, X, n_components, rng):
        blocks, K = self.blocks, n_components
        weight, known = all_rows(blocks)[1], self.known(K)
        kind = self.kind(known, K)
        if kind in KNOWN:
            return self.kept(KNOWN[kind](standardised(X, weight), weight, known, K, rng, self.n_threads), K)
        return self.kept(self.numbered(MEMBERSHIPS[kind](X, weight, K, rng, self.n_threads), K), K)

    def shares(self, n_components):
        """(n, K) what the labels say of each row alone."""
        prior = self.blocks.priors[:, :n_components]
        share = np.where(prior.any(axis=1, keepdims=True), prior, 1)
        return (share / share.sum(axis=1, keepdims=True))[self.blocks.group_of_row]

    def numbered(self, start, n_components):
        """Labels (n,) whose clusters are numbered so that they agree best with what is known; others as they are."""
        if start.ndim == 2:
            return start
        from scipy.optimize import linear_sum_assignment  # here, because it takes long to import

        weight, share = all_rows(self.blocks)[1], self.shares(n_components)
        overlap = [np.bincount(start, weight * of_component, minlength=n_components) for of_component in share.T]
        return linear_sum_assignment(np.transpose(overlap), maximize=True)[1][start]

    def kept(self, start, n_components):
        """A membership that agrees with what is known."""
        share = self.shares(n_components)
        if start.ndim == 2:
            start = start * share
            return start / start.sum(axis=1, keepdims=True)
        rows = np.arange(len(start))
        return np.where(share[rows, start] > 0, start, share.argmax(axis=1))
