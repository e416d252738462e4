"""A background model moved towards new rows: its own parameters count as so many rows of each component.

D. A. Reynolds, T. F. Quatieri, R. B. Dunn: Speaker verification using adapted Gaussian mixture models. Digital Signal
Processing 10 (2000) 19-41.
"""

from __future__ import annotations

import numbers
from dataclasses import replace

import numpy as np

from fastem.driver.em import EMResult, collect
from fastem.driver.history import objective
from fastem.estimators.constraints import fixed
from fastem.kernels.packing import packed_lower
from fastem.kernels.threads import for_pass
from fastem.models.gaussian.covariance import Tied, pooled_second
from fastem.models.gaussian.emission import estimated
from fastem.models.gaussian.noise import WithNoise
from fastem.starts.diagnosis import effective_rows
from fastem.starts.fit_report import report_of_one

PARAMETERS = "weights", "means", "covariances"


def adapted(background, statistics, relevance, parameters):
    """The mixture between a background and what statistics, summed about its means, tell of new rows."""
    emission, counts = background.emission, statistics.counts
    structure, (K, d) = emission.covariance, emission.shape
    rows = counts + relevance
    known = rows > np.finfo(np.float64).tiny
    means, weights, covariance = emission.means, background.weights, structure
    shift = np.zeros((K, d))
    if "means" in parameters:
        shift = statistics.first / np.where(known, rows, 1)[:, None]
        means = means + shift
    if "weights" in parameters:
        share = counts / np.where(known, rows, 1)
        weights = share * counts / counts.sum() + (1 - share) * weights
        weights = weights / weights.sum()
    if "covariances" in parameters:
        i, j = packed_lower(d)
        own = structure.of_full(structure.dense(K, d).covariances[:, i, j], d) * relevance
        second = statistics.second
        if isinstance(structure, Tied):
            own, second = pooled_second(own), pooled_second(second)
        _, second = structure.moved(rows, statistics.first, second + own, shift)
        covariance = estimated(structure, known, rows, np.zeros((K, d)), second, emission.floor)
    return replace(background, weights=weights, emission=replace(emission, means=means, covariance=covariance))


def adapted_estimator(estimator, X, sample_weight, relevance, parameters, max_iter):
    """A fitted copy of a Gaussian mixture, adapted to rows; see :meth:`fastem.GaussianMixture.adapt`."""
    check(estimator, relevance, parameters, max_iter)
    background = estimator.model_
    blocks = estimator._new_blocks(X, sample_weight)
    names, place = blocks.names, blocks.place
    blocks.each(lambda rows, weight, start: estimator._require_new(rows, names, lambda row: place(start + row)))
    n_threads = for_pass(estimator.n_threads, blocks, estimator.n_components)
    result = None
    model = background
    history = []
    for _ in range(max_iter + 1):
        if result is not None:
            about = background.rebase(result.statistics, result.model)
            model = adapted(background, about, relevance, parameters)
        statistics = collect(blocks, model, n_threads)
        history = [*history, objective(model, statistics)]
        result = EMResult(model, statistics, history)
    result.n_iter = max_iter
    result.converged, result.stop_reason = True, f"adapted in {max_iter} iteration(s)"
    found = type(estimator)(**estimator.get_params(deep=False))
    n_effective = effective_rows(blocks)
    found._keep(result, report_of_one(result, "the background model", n_effective, 1.0), n_effective, 1.0, blocks)
    return found


def check(estimator, relevance, parameters, max_iter) -> None:
    """ValueError for what no adaptation can be made of."""
    if "means" not in estimator._fixable:
        raise TypeError(f"adapt is of Gaussian mixtures; {type(estimator).__name__} has none.")
    if isinstance(estimator.model_.emission, WithNoise):
        raise ValueError("adapt moves Gaussians alone, but this background model has noise: fit one with noise=None.")
    if not isinstance(relevance, numbers.Real) or not 0 <= relevance < np.inf:
        raise ValueError(f"relevance must be a number of rows, 0 or more. Got {relevance!r} instead.")
    if isinstance(parameters, str) or not set(parameters) or not set(parameters) <= set(PARAMETERS):
        raise ValueError(f"parameters must be some of {', '.join(map(repr, PARAMETERS))}. Got {parameters!r} instead.")
    kept = {"weights": estimator.equal_weights, "covariances": estimator.max_eigenvalue_ratio is not None}
    for name in parameters:
        if kept.get(name) or fixed(estimator, name).any():
            raise ValueError(f"parameters names {name!r}, which {estimator!r} constrains: leave it out.")
    if not isinstance(max_iter, numbers.Integral) or max_iter < 1:
        raise ValueError(f"max_iter must be a whole number of at least 1. Got {max_iter!r} instead.")
