"""A background model moved towards new rows: its parameters count as a number of rows of each component.

D. A. Reynolds, T. F. Quatieri, R. B. Dunn: Speaker verification using adapted Gaussian mixture models. Digital Signal
Processing 10 (2000) 19-41.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from fastem.driver.history import objective
from fastem.driver.passes import collect
from fastem.driver.result import EMResult
from fastem.estimators.constraints import names_something
from fastem.estimators.fitting import keep_fit
from fastem.kernels.packing import packed_lower
from fastem.kernels.threads import for_pass
from fastem.models.gaussian.covariance import pooled_second
from fastem.models.gaussian.dense import Tied
from fastem.models.gaussian.emission import estimated
from fastem.models.gaussian.noise import WithNoise
from fastem.starts.diagnosis import effective_rows
from fastem.starts.fit_report import report_of_one

PARAMETERS = "weights", "means", "covariances"


def adapted(background, statistics, relevance, parameters):
    """The mixture between a background and new rows, from the rows' statistics about its means."""
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
        earlier = structure.of_full(structure.dense(K, d).covariances[:, i, j], d) * relevance
        second = statistics.second
        if isinstance(structure, Tied):
            earlier, second = pooled_second(earlier), pooled_second(second)
        _, second = structure.moved(rows, statistics.first, second + earlier, shift)
        covariance = estimated(structure, known, rows, np.zeros((K, d)), second, emission.floor)
    return replace(background, weights=weights, emission=replace(emission, means=means, covariance=covariance))


E = TypeVar("E")


def adapt(
    self: E,
    X,
    sample_weight=None,
    *,
    relevance: float = 16.0,
    parameters: Sequence[str] = ("means",),
    max_iter: int = 1,
) -> E:
    """A new estimator: this one, moved towards new rows, the further the more they are.

    Each component's mean (and weight, and covariance, where asked for) becomes a E[x] + (1 - a) times its present
    value, with a = N / (N + relevance) and N the new rows that belong to it. Components with few new rows stay nearly
    as they are in this background model.

    Parameters
    ----------
    X, sample_weight
        As in :meth:`fit`.
    relevance : float
        The number of rows for which the background counts in each component. 0: none.
    parameters : sequence of {"weights", "means", "covariances"}
    max_iter : int
        Iterations; after the first, responsibilities come from the adapted model.

    Returns
    -------
    GaussianMixture
        Fitted, with the parameters of this one.

    Raises
    ------
    ValueError
        The rows of the fit had `errors`, or `lower` and `upper`, which are not taken here.

    References
    ----------
    Reynolds, Quatieri, Dunn: Speaker verification using adapted Gaussian mixture models. Digital Signal Processing
    10 (2000) 19-41.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> background = GaussianMixture(1).fit(rng.normal(size=(10_000, 1)))
    >>> rows = rng.normal(1, 1, (16, 1))
    >>> moved = background.adapt(rows, relevance=16)
    >>> bool(np.isclose(moved.means_[0, 0], (rows.mean() + background.means_[0, 0]) / 2))
    True
    """
    self._require_fitted()
    check(self, relevance, parameters, max_iter)
    background = self.model_
    blocks = self._checked_blocks(X, sample_weight)
    n_threads = for_pass(self.n_threads, blocks, self.n_components)
    result, model, history = None, background, []
    for _ in range(max_iter + 1):
        if result is not None:
            about = background.rebase(result.statistics, result.model)
            model = adapted(background, about, relevance, parameters)
        statistics = collect(blocks, model, n_threads)
        history = [*history, objective(model, statistics)]
        result = EMResult(model, statistics, history, dtype=blocks.dtype, rows_read=blocks.n_rows)
    result.n_iter = max_iter
    result.converged, result.stop_reason = True, f"adapted in {max_iter} iteration(s)"
    n_effective = effective_rows(blocks)
    report = report_of_one(result, "the background model", n_effective, 1.0)
    return keep_fit(type(self)(**self.get_params(deep=False)), result, report, n_effective, 1.0, blocks)


def check(estimator, relevance, parameters, max_iter) -> None:
    """Raise ValueError where the arguments allow no adaptation."""
    if isinstance(estimator.model_.emission, WithNoise):
        raise ValueError(
            "adapt works only for Gaussians without noise, but this model has noise. Fit one with noise=None."
        )
    if not isinstance(relevance, numbers.Real) or not 0 <= relevance < np.inf:
        raise ValueError(f"relevance must be a number of rows, 0 or more. Got {relevance!r} instead.")
    if isinstance(parameters, str) or not set(parameters) or not set(parameters) <= set(PARAMETERS):
        raise ValueError(f"parameters must be some of {', '.join(map(repr, PARAMETERS))}. Got {parameters!r} instead.")
    kept = {"weights": estimator.equal_weights, "covariances": estimator.max_eigenvalue_ratio is not None}
    for name in parameters:
        if kept.get(name) or names_something(estimator.fixed, name):
            raise ValueError(f"parameters contains {name!r}, but {estimator!r} constrains them. Leave them out.")
    if not isinstance(max_iter, numbers.Integral) or max_iter < 1:
        raise ValueError(f"max_iter must be a whole number of at least 1. Got {max_iter!r} instead.")
