"""Components merged into clusters, the most similar first, because one cluster may need several Gaussians.

Each merge is the one that lowers the entropy of the posterior most. With a row's probabilities r and h(x) = x log x, it
falls by sum_n h(r_i + r_j) - h(r_i) - h(r_j). These are sums over rows, so each merge needs one pass over the rows and
no array of size n x K^2.

J.-P. Baudry, A. E. Raftery, G. Celeux, K. Lo, R. Gottardo: Combining mixture components for clustering. Journal of
Computational and Graphical Statistics 19 (2010) 332-353.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from fastem.estimators.transform import responsibilities
from fastem.kernels.threads import for_pass
from fastem.rows.rechunk import slices


def xlogx(x):
    """x log x, 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1))


@dataclass(frozen=True)
class Merging:
    """The order in which components are merged, from K clusters to one.

    Attributes
    ----------
    model : the fitted mixture
        Noise is not merged: its probability is in the last column, its label is -1.
    pairs : (K - 1, 2) int
        The two clusters of each merge, each named by its lowest component.
    entropies : (K,)
        Entropy of the posterior of K, K - 1, …, 1 clusters, summed over the rows, in nats.
    """

    model: Any
    pairs: np.ndarray
    entropies: np.ndarray

    @property
    def n_components(self) -> int:
        return len(self.entropies)

    def clusters(self, n_clusters: int | None = None) -> np.ndarray:
        """(K,) the cluster of each component, 0 to n_clusters - 1; by default as many as :meth:`elbow` says."""
        K = self.n_components
        n_clusters = self.elbow() if n_clusters is None else n_clusters
        if not isinstance(n_clusters, numbers.Integral) or not 1 <= n_clusters <= K:
            raise ValueError(
                f"n_clusters must be a whole number from 1 to n_components = {K}. Got {n_clusters!r} instead."
            )
        cluster = np.arange(K)
        for kept, absorbed in self.pairs[: K - n_clusters]:
            cluster[cluster == absorbed] = kept
        return np.unique(cluster, return_inverse=True)[1]

    def predict_proba(self, X, n_clusters: int | None = None) -> np.ndarray:
        """(n, n_clusters) posterior probabilities of the clusters for rows, see :meth:`clusters`. Those of noise stand
        behind them."""
        cluster = self._clusters_of_model(n_clusters)
        noise = self.model.model_.n_components - len(cluster)
        width, dtype = int(cluster.max()) + 1 + noise, getattr(X, "dtype", np.float64)
        return self.model._evaluated(X, "probabilities", lambda rows: self._merged(rows, cluster), dtype, width)

    def predict(self, X, n_clusters: int | None = None) -> np.ndarray:
        """(n,) the most probable cluster of each row, which is not always that of its most probable component."""
        cluster = self._clusters_of_model(n_clusters)

        def labels(rows):
            most = self._merged(rows, cluster).argmax(axis=1)
            return np.where(most > cluster.max(), -1, most)

        return self.model._evaluated(X, "label", labels, np.intp)

    def _merged(self, rows, cluster):
        """(m, number of clusters, and one with noise) the probabilities of checked rows."""
        components = responsibilities(self.model, rows)
        K = len(cluster)
        sums = [components[:, :K][:, cluster == c].sum(axis=1) for c in range(cluster.max() + 1)]
        return np.column_stack([*sums, components[:, K:]])

    def _clusters_of_model(self, n_clusters):
        """:meth:`clusters`; ValueError where the model is no longer that of the components."""
        cluster, K = self.clusters(n_clusters), len(self.model.weights_)
        if K != len(cluster):
            raise ValueError(f"model now has {K} components, but {len(cluster)} were merged. Merge them again.")
        return cluster

    def elbow(self) -> int:
        """The number of clusters at which the curve of the entropy bends: where two straight lines fit best, one up to
        there and one from there on, as in mclust's ``clustCombiOptim``. With fewer than three components there is no
        bend: the number of components.

        The lines are a rule of thumb, which may say one cluster more than one sees where the curve bends all along.
        Look at ``entropies`` as well: where it is about zero, no two clusters overlap.
        """
        K = self.n_components
        numbers, entropies = np.arange(1, K + 1), self.entropies[::-1]
        costs = [
            misfit(numbers[:c], entropies[:c]) + misfit(numbers[c - 1 :], entropies[c - 1 :]) for c in numbers[1:-1]
        ]
        return int(numbers[1:-1][np.argmin(costs)]) if costs else K


def misfit(x, y):
    """The sum of squares that the best straight line leaves."""
    x, y = x - x.mean(), y - y.mean()
    return float(y @ y - (x @ y) ** 2 / (x @ x))


def merging_of(estimator, blocks, n_threads: int) -> Merging:
    """How the components of a fitted mixture merge, by rows in :class:`fastem.rows.blocks.Blocks`."""
    mixture = estimator.model_
    n_densities, K = mixture.n_components, len(estimator.weights_)  # noise is the last density

    def sums(function, shape):
        """The sum over all rows of function(responsibilities (m, K), weights (m,)), which sums over m rows."""

        def of_block(X, weight, start):
            total = np.zeros(shape)
            for some in slices(len(X), 4 * K + X.shape[1]):
                r = np.empty((some.stop - some.start, n_densities), X.dtype)
                mixture.score(X[some], n_threads, responsibilities=r)
                total += function(r.astype(np.float64), np.ones(len(r)) if weight is None else weight[some])
            return total

        return sum(blocks.each(of_block))

    def of_pairs(r, weight):
        terms = np.diag(weight @ xlogx(r[:, :K]))
        for i in range(K - 1):
            terms[i, i + 1 :] = weight @ xlogx(r[:, i, None] + r[:, i + 1 : K])
        return terms

    together = sums(of_pairs, (K, K))  # (i, j): the sum of h(r_i + r_j); (i, i): of h(r_i)
    together += np.triu(together, 1).T
    alone = sums(lambda r, weight: weight @ xlogx(r[:, K]), ()) if n_densities > K else 0.0
    alive, clusters = np.arange(K), np.eye(K)  # the clusters that are left; the components (columns) of each
    pairs, entropies = [], [-np.trace(together) - alone]
    while len(alive) > 1:
        single = np.diagonal(together)
        i, j = max(combinations(alive.tolist(), 2), key=lambda pair: together[pair] - single[[*pair]].sum())
        clusters[i] += clusters[j]
        alive = alive[alive != j]
        members, place = clusters[alive].T, int(np.searchsorted(alive, i))

        def with_merged(r, weight, members=members, place=place):
            r = r[:, :K] @ members
            both = r + r[:, place, None]
            both[:, place] = r[:, place]
            return weight @ xlogx(both)

        together[i, alive] = together[alive, i] = sums(with_merged, len(alive))
        pairs.append((i, j))
        entropies.append(-np.diagonal(together)[alive].sum() - alone)
    return Merging(estimator, np.array(pairs, dtype=int).reshape(-1, 2), np.maximum(entropies, 0.0))


def merge_components(self, X, sample_weight=None) -> Merging:
    """Merge components into clusters, the most similar first, where one cluster needs several components.

    Parameters
    ----------
    X : rows of any kind that `fit` takes; they are read K times
    sample_weight : (n,), optional

    Returns
    -------
    :class:`fastem.estimators.merging.Merging`
        ``pairs``, ``entropies``; ``clusters(n)``, ``predict(X, n)``, ``predict_proba(X, n)`` for any number of
        clusters, by default as many as ``elbow()`` says.

    Raises
    ------
    ValueError
        The rows of the fit had `errors`, or `lower` and `upper`, which are not taken here.

    References
    ----------
    Baudry, Raftery, Celeux, Lo, Gottardo: Combining mixture components for clustering. Journal of Computational
    and Graphical Statistics 19 (2010) 332-353.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> eruptions = load_faithful().data
    >>> merging = GaussianMixture(4, random_state=0).fit(eruptions).merge_components(eruptions)
    >>> merging.elbow(), merging.predict(eruptions, n_clusters=2).shape
    (3, (272,))
    """
    blocks = self._checked_blocks(X, sample_weight)
    return merging_of(self, blocks, for_pass(self.n_threads, blocks, len(self.weights_)))
