"""What a fit leaves: the model, its statistics, and the course of the iterations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastem.driver.history import Steps
from fastem.driver.model import log_likelihood_error
from fastem.driver.remaining_gain import NEWTON
from fastem.rows.statistics import Statistics

DOUBLE = np.dtype(np.float64)


@dataclass
class EMResult:
    """The result of :func:`em`.

    Attributes
    ----------
    model : the last model
    statistics : its expected sufficient statistics, with weights in units of `unit`
    history : list of float
        Mean log-likelihood of the start and after each iteration; the last entry belongs to `model`. Of a model with
        a prior: the mean log-posterior, (log-likelihood + ``model.log_prior()``) / weight.
    steps : sequence of Step
        What each iteration gained, in its two steps; see :class:`fastem.driver.history.Step`.
    accelerator
        With what it remembers of the last steps.
    n_rows : float
        The rows that a gain in total counts: their weight, or their effective number where that is more.
    n_iter : int
        Number of M-steps.
    n_passes : int
        E-steps over all rows: one more than `n_iter`, and one more for each accelerated step that was dropped.
    converged : bool
    stop_reason : str
    unit : float
        1; a power of two where all weights are so small or large that their sums would leave the range of float32.
    dtype
        Of the rows.
    rows_read : int or None
        How many they are, of any weight; None: not known.
    row_error : float
        What rounding may do to `log_likelihood` beyond what the model says, in units of `unit`: of narrow intervals.
    remaining_gain : float
        About how much the log-likelihood of all rows (with a prior, the log-posterior) can still rise towards the local
        maximum that EM climbs. Infinite where too few iterations were done to tell, or `model` is no maximum.
    remaining_gain_method : str
        "newton": by Newton's decrement, from the score and the observed information; "rate": from the last gains of
        EM, which converges linearly, without a further pass; "closed form": the maximum is known, as that of
        PPCA; "": nothing was asked. See :mod:`fastem.driver.remaining_gain`.
    """

    model: Any
    statistics: Statistics
    history: list[float] = field(repr=False)
    steps: Steps = field(default_factory=Steps, repr=False)
    accelerator: Any = field(default=None, repr=False)
    n_rows: float = 1.0
    n_iter: int = 0
    n_passes: int = 1
    converged: bool = False
    stop_reason: str = ""
    unit: float = 1.0
    dtype: Any = DOUBLE
    rows_read: int | None = None
    row_error: float = 0.0
    remaining_gain: float = np.inf
    remaining_gain_method: str = ""

    @property
    def has_jumped(self) -> bool:
        """Whether an accelerated step has been kept."""
        return self.accelerator is not None and self.accelerator.has_jumped

    @property
    def log_likelihood(self) -> float:
        """Of all rows, at `model`."""
        return self.statistics.log_likelihood * self.unit

    @property
    def log_likelihood_error(self) -> float:
        """A bound on how far rounding has taken `log_likelihood` from its exact value at `model`; see
        :mod:`fastem.models.rounding`. inf where a covariance is so ill-conditioned that its factor has no digits. Of a
        model that states none, a guess."""
        of_model = log_likelihood_error(self.model, self.statistics, self.rows_read, self.dtype)
        return (of_model + self.row_error) * self.unit

    @property
    def is_saddle(self) -> bool:
        """Whether the observed information has shown that `model` is no maximum."""
        return self.remaining_gain_method == NEWTON and np.isinf(self.remaining_gain)
