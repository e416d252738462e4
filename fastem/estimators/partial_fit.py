"""A mixture that learns batch by batch, from streams that never end."""

from __future__ import annotations

import math
from copy import copy
from typing import Any, TypeVar

from fastem.driver.partial_steps import Stepwise, checked_memory
from fastem.driver.result import EMResult
from fastem.estimators.compatibility import require_compatible
from fastem.estimators.planning import request_of
from fastem.estimators.reproducible import require_reproducible
from fastem.starts.diagnosis import diagnose

E = TypeVar("E")
JUDGED = 16  # batches: after each of so many, and then after every so many-th, components are diagnosed


def partial_fit(self: E, X: Any, y: Any = None, sample_weight: Any = None, *, memory: float | None = None) -> E:
    """Learn from one more batch of rows: a step of stepwise EM; see :class:`fastem.online.Stepwise`.

    The first batch of an estimator that is not fitted gives the start and what :meth:`fit` learns of the columns.
    After :meth:`fit`, batches continue from it, and its rows count as earlier batches of this size; also in copies and
    pickles. After :func:`fastem.load`, :meth:`from_parameters`, `prune` or setting attributes, there is a model without
    rows: it says to which components the rows of the first batch belong, and the parameters are then those of this
    batch alone.

    No pass over all rows tells how likely they are under the new parameters: `log_likelihood_`, its error,
    `lower_bound_` and `remaining_gain_` are NaN then, `converged_` is False, and there is no `n_samples_` or
    `total_weight_`. `component_status_` is made anew after each of the first 16 batches, then after every 16th.
    `history_`, `steps_` and `fit_report_` stay those of the last :meth:`fit`.

    Parameters
    ----------
    X, y, sample_weight
        As in :meth:`fit`; an unfitted estimator needs at least `n_components` distinct rows.
    memory : float, optional
        About how many of the last batches count, at least 1: old ones fade, so that the model follows a stream that
        drifts. By default all count, so that the model settles.

    Returns
    -------
    self

    Raises
    ------
    ValueError
        The batch cannot be used; parameters ask for another model than that which the batches go on from, such as
        another number of components; or the rows of the fit had `errors`, or `lower` and `upper`.

    Examples
    --------
    A stream whose two clusters wander by a hundredth of their width with each batch: a model that remembers
    some 20 batches is about that many behind; a model that remembers all of them stays where the stream began.

    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> def batch(t):
    ...     return rng.normal(0.01 * t, 1, (200, 1)) + 8 * rng.integers(0, 2, (200, 1))
    >>> follows, settles = GaussianMixture(2, random_state=0), GaussianMixture(2, random_state=0)
    >>> for t in range(600):
    ...     rows = batch(t)
    ...     _ = follows.partial_fit(rows, memory=20), settles.partial_fit(rows)
    >>> bool(abs(np.sort(follows.means_.ravel()) - [6, 14]).max() < 0.5)
    True
    >>> follows.score(batch(600)) > settles.score(batch(600)) + 0.1
    True
    """
    self._check_parameters()
    require_compatible(request_of(self, partial=True))
    require_reproducible(self, partial=True)
    memory = checked_memory(memory)
    if not self.__sklearn_is_fitted__():
        start = type(self)(**self.get_params() | {"max_iter": 0}).fit(X, sample_weight=sample_weight)
        kept = {*self.get_params(), "_stream"}  # the start does not count this batch, because it is the stream's first
        vars(self).update({name: value for name, value in vars(start).items() if name not in kept})
    require_unchanged(self)
    batch = self._checked_blocks(X, sample_weight)
    stream = getattr(self, "_stream", None)
    if stream is None or stream.model is not self._mixture():
        stream = Stepwise(self._mixture(), n_threads=self.n_threads)
    stream = copy(stream)  # that of a copy of the estimator stays, and where the batch cannot be used its own
    stream.memory = memory
    stream.update(batch)
    self._stream = stream
    self._keep_model(stream.model)
    forget_fit(self, stream)
    return self


def forget_fit(estimator, stream) -> None:
    """What the last fit says of its rows does not hold of the parameters after a batch."""
    for name in ("n_samples_", "total_weight_"):
        vars(estimator).pop(name, None)
    estimator.lower_bound_ = estimator.log_likelihood_ = estimator.log_likelihood_error_ = math.nan
    estimator.remaining_gain_, estimator.remaining_gain_method_ = math.nan, ""
    estimator.converged_, estimator.stop_reason_ = False, "partial_fit learns batch by batch"
    if stream.n_batches <= JUDGED or stream.n_batches % JUDGED < 1:  # it may take as long as a batch
        sums = EMResult(stream.model, stream.statistics, [])
        estimator.component_status_ = [diagnosis.status for diagnosis in diagnose(sums, stream.weight)]


def require_unchanged(estimator) -> None:
    """ValueError where a parameter of the model is not what it was when the model was made."""
    estimator._mixture()  # of attributes that were set by hand, with the parameters that there are now
    for name, text in estimator._parameters_of_model().items():
        before = estimator._made_with.get(name, text)
        if before != text and not (name == "n_components" and estimator.n_components == len(estimator.weights_)):
            raise ValueError(
                f"partial_fit goes on from a model with {name}={before}, but now {name}={text}. Set it back, or call "
                "fit."
            )
