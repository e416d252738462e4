"""Starts of Gaussians beside noise: noise must not decide where the clusters are.

S. Byers, A. E. Raftery: Nearest-neighbor clutter removal for estimating features in spatial point processes. JASA 93
(1998) 577-584.
"""

from __future__ import annotations

import numpy as np

from fastem.kernels import clusters
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import standardised
from fastem.starts.diagnosis import effective_rows
from fastem.starts.gaussian_start import gaussian_start, initialised, robust_start, tamed
from fastem.starts.labels import LabelledStart
from fastem.starts.plan import Plan
from fastem.starts.short_runs import SHORT_RUN, contest
from fastem.starts.subsample import all_rows, subsample

NOISE_SHARE = 0.05  # the weight of the noise at the start
NEIGHBOURS = 8  # the distance to the last of them shows how dense the rows are
REFERENCE_ROWS = 512  # rows among which neighbours are searched,
REFERENCE_ROWS_PER_COMPONENT = 16  # or so many for each component, if that is more
STARTS_PER_KIND = 2  # from each kind of rows
INTENSITY_STEPS = 50  # of EM for the two intensities
BLOCK_ROWS = 4096  # rows whose distances are in memory at the same time


def noise_start(plan: Plan, blocks, structure, floor, background, rng, n_threads) -> Mixture:
    """The best of several starts after a few iterations on a subsample.

    The starts come from two kinds of rows: all rows, the far ones pulled in, and the rows that do not lie sparsely. A
    membership of every row is taken as it is; with labels, far rows are pulled in.
    """
    K, init = plan.n_components, plan.start.init
    if isinstance(init, LabelledStart):
        X, weight = all_rows(blocks)
        blocks = ArrayBlocks(tamed(X, weight), weight)
    if not isinstance(init, str):
        return background.beside(gaussian_start(plan, blocks, structure, floor, rng, n_threads), NOISE_SHARE)
    X, weight = subsample(blocks, rng, K)
    sample = ArrayBlocks(X, weight)

    def start(rows, initialised):
        gaussians = gaussian_start(plan, rows, structure, floor, rng, n_threads, initialised)
        return background.beside(gaussians, NOISE_SHARE)

    kinds = [(sample, robust_start), (dense_rows(X, weight, K, n_threads), initialised)]
    starts = [lambda kind=kind: start(*kind) for kind in STARTS_PER_KIND * kinds]
    return contest(starts, sample, [(SHORT_RUN, 1)], plan, n_threads, effective_rows(blocks))


def dense_rows(X, weight, n_components, n_threads) -> ArrayBlocks:
    """The rows that do not lie as sparsely as noise; all rows where too few would be left."""
    among = max(REFERENCE_ROWS, REFERENCE_ROWS_PER_COMPONENT * n_components)
    dense = ~sparse(standardised(X, weight), among, n_threads)
    if len(np.unique(X[dense], axis=0)) > n_components:
        return ArrayBlocks(X[dense], weight[dense])
    return ArrayBlocks(X, weight)


def sparse(Z, among, n_threads) -> np.ndarray:
    """(n,) which rows lie sparsely.

    EM separates two intensities of a Poisson process by the volumes of the balls that reach the k-th neighbour. Volume
    times intensity is gamma distributed, with shape k.
    """
    squares, shape = neighbour_squares(Z, among, n_threads)
    positive = squares > 0
    if not positive.any():
        return np.zeros(len(Z), bool)
    log_volume = 0.5 * Z.shape[1] * np.log(np.where(positive, squares, squares[positive].min()))
    log_volume = np.clip(log_volume - np.median(log_volume), -500, 500)
    volume = np.exp(log_volume)
    share = (log_volume > np.quantile(log_volume, 0.75)).astype(float)
    for _ in range(INTENSITY_STEPS):
        membership = np.array([1 - share, share])
        counts = membership.sum(axis=1)
        if not counts.all():
            break
        rate = shape * counts / (membership @ volume)
        dense, sparser = np.log(counts)[:, None] + shape * np.log(rate)[:, None] - rate[:, None] * volume
        share = 1 / (1 + np.exp(np.clip(dense - sparser, -500, 500)))
    return share > 0.5


def neighbour_squares(Z, among, n_threads):
    """(n,) squared distances to the k-th neighbour among so many of the rows, and k."""
    n = len(Z)
    among = np.arange(min(n, among)) * n // min(n, among)
    k = min(NEIGHBOURS, len(among) - 1)
    squares = np.empty(n)
    for start in range(0, n, BLOCK_ROWS):
        rows = Z[start : start + BLOCK_ROWS]
        apart = clusters.squares(np.ascontiguousarray(rows), Z[among], n_threads)
        (here,) = np.nonzero((among >= start) & (among < start + len(rows)))
        apart[among[here] - start, here] = np.inf  # no row is its own neighbour
        apart.partition(k - 1, axis=1)
        squares[start : start + len(rows)] = apart[:, k - 1]
    return squares, k
