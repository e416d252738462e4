"""Where mixtures of regressions start: the best of short runs of EM from partitions of a subsample.

Lines that cross are found from lines through a few random rows each, groups that lie apart from k-means of predictors
and targets together and from the cells of random rows. The best third of the runs goes on, and then the best of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fastem.driver.em import EMResult, em
from fastem.models.gate import Gate
from fastem.models.logit_of_classes import LogitOfClasses
from fastem.models.regressions import Regressions
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.clusters import lloyd, nearest

ROWS = 4000  # of the subsample
FIRST, SECOND = 15, 100  # iterations
GATE_STEPS = 5  # of Newton, for the gate of a partition,
MOST_OF_GATE = 100  # and its coefficients, up to which that is cheap
SURE = 0.8  # that rows of a partition belong where it says, for the gate that it begins with
MILD = 1e-3  # of the rows' number, on the diagonal of few rows' normal equations: they give no wild slopes


def best_start(model: Regressions, wide, weight, n_init: int, rng) -> Regressions:
    """The model to start from, of wide rows (n, ...) with weights (n,) or None.

    Parameters
    ----------
    model : Regressions
        With any coefficients, and the variances of y in all components.
    """
    if len(model.weights) == 1:
        return of_memberships(model, wide, weight, np.ones((len(wide), 1)), 0.0)
    counted = np.arange(len(wide)) if weight is None else np.flatnonzero(weight)
    if len(counted) > ROWS:
        counted = np.sort(rng.choice(counted, ROWS, replace=False))
    rows, weight = wide[counted], None if weight is None else weight[counted]
    blocks = ArrayBlocks(rows, weight)
    runs = [short(start(i, model, rows, weight, rng), blocks, FIRST) for i in range(n_init)]
    runs = sorted(runs, key=merit, reverse=True)[: max(1, n_init // 3)]
    if len(runs) > 1:
        runs = [short(run.model, blocks, SECOND) for run in runs]
    return max(runs, key=merit).model


def start(i, model, wide, weight, rng) -> Regressions:
    """The start of this number: every other one from lines, the others from clusters and from cells, with gate and
    without."""
    if i % 2:
        return lines(model, wide, weight, rng)
    partition, gated = ((clusters, True), (cells, False), (clusters, False), (cells, True))[i // 2 % 4]
    return of_partition(model, wide, weight, partition(model, wide, weight, rng), gated)


def short(model, blocks, n_iter) -> EMResult:
    """A run of EM on the subsample."""
    return em(model, blocks, max_iter=n_iter, tol=1e-6, stop="log_likelihood", n_threads=1)


def merit(run) -> tuple[bool, float]:
    """A component of hardly more rows than coefficients fits these exactly, and its likelihood says nothing."""
    return bool(run.statistics.counts.min() > 2 * len(run.model.widest)), run.log_likelihood


def of_memberships(model, wide, weight, memberships, mild=MILD) -> Regressions:
    """Least squares of what y says of the linear predictor, weighted by memberships (n, K) and mildly drawn to its
    mean."""
    z, y, sizes, _ = model.split(wide)
    z, eta = np.column_stack([np.ones(len(z)), z]), model.working(y, sizes)
    coefficients, variances, P = model.coefficients.copy(), model.variances.copy(), z.shape[1]
    mean = np.average(eta, axis=0, weights=weight)
    eta = eta - mean
    for k, r in enumerate(memberships.T if weight is None else memberships.T * weight):
        some = r > 0
        own, by = z[some], z[some].T * r[some]
        coefficients[k] = np.linalg.lstsq(by @ own + mild * r.sum() * np.eye(P), by @ eta[some], rcond=None)[0]
        if model.is_gaussian and r.sum() > 0:
            about = r[some] @ (eta[some] - own @ coefficients[k]) ** 2 / r.sum()
            variances[k] = np.maximum(about, model.floor)
        coefficients[k, 0] += mean
    return replace(model, coefficients=coefficients, variances=variances)


def standard(model, wide):
    """(n, P - 1 + m) predictors and targets, each of unit variance."""
    z, y, sizes, _ = model.split(wide)
    columns = np.column_stack([z, model.rates(y, sizes)])
    columns = columns / np.maximum(abs(columns).max(axis=0), np.finfo(np.float64).tiny)  # whose squares are numbers
    spread = columns.std(axis=0)
    return (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1)


def of_partition(model, wide, weight, labels, gated):
    """Least squares of each group; gated: and the gate that tells the groups apart.

    Without it, runs that part the rows by their covariates are behind until their gates have moved; with it, those
    whose groups the covariates do not tell apart begin with one that is wrong.
    """
    memberships = np.eye(len(model.weights))[labels]
    found, gate = of_memberships(model, wide, weight, memberships), model.shares
    if not gated or not isinstance(gate, Gate) or not len(gate.centre):
        return found
    if gate.n_parameters(len(found.weights)) > MOST_OF_GATE:
        return found
    counts = np.ones(len(wide)) if weight is None else weight
    known = SURE * memberships + (1 - SURE) / len(model.weights)
    vector, _ = LogitOfClasses(gate.design(model.split(wide)[3]), counts, known).maximum(GATE_STEPS)
    gate, weights = gate.from_vector(vector, found.weights)
    return replace(found, shares=gate, weights=weights)


def random_centres(rows, K, rng):
    return rows[rng.permutation(len(rows))[:K]]


def cells(model, wide, weight, rng):
    """(n,) the cells of random rows."""
    rows = standard(model, wide)
    return nearest(rows, random_centres(rows, len(model.weights), rng), 1)


def clusters(model, wide, weight, rng):
    """(n,) those of k-means."""
    rows = standard(model, wide)
    counts = np.ones(len(rows)) if weight is None else weight
    return lloyd(rows, counts, random_centres(rows, len(model.weights), rng))


def lines(model, wide, weight, rng):
    """From regressions of a few random rows each, and the variance about the nearest of them."""
    (K, P, _), n = model.coefficients.shape, len(wide)
    each = min(P + 1 if model.is_gaussian else 5 * P + 10, max(1, n // K))
    few = rng.permutation(n)[: K * each]
    memberships = np.zeros((n, K))
    memberships[few, np.arange(len(few)) % K] = 1
    found = of_memberships(model, wide, None, memberships)
    if not found.is_gaussian:
        return found
    z, y, _, _ = found.split(wide)
    squares = (y[:, None] - found.linear(z)) ** 2
    about = squares[np.arange(n), squares.sum(axis=2).argmin(axis=1)].mean(axis=0)
    return replace(found, variances=np.tile(np.maximum(about, found.floor), (K, 1)))
