"""What rows ask of a model: sums over a block of them."""

from __future__ import annotations

import numpy as np

from fastem.rows.statistics import Statistics


class BlockModel:
    """A model that uses threads, and that keeps between passes what it knows about a block of rows.

    For rows, a model needs ``e_step(X, sample_weight)`` only. Its weights are ones where the rows have none. If it
    has ``e_step_of_block``, blocks call that instead, with None in place of ones.
    A subclass of this class defines ``e_step_of_block`` and has both.
    """

    @property
    def prior_counts_rows(self) -> bool:
        """Whether its prior counts as a number of rows, beside which weights have no other unit."""
        return False

    def e_step(self, X, sample_weight=None) -> Statistics:
        """As :meth:`e_step_of_block`, with one thread, for rows that are used once."""
        return self.e_step_of_block(X, sample_weight, 1, {})

    def e_step_of_block(self, X, sample_weight, n_threads: int, kept: dict) -> Statistics:
        """Expected sufficient statistics of the rows of a block.

        Parameters
        ----------
        X : (m, d)
        sample_weight : (m,) or None
        n_threads : int
        kept : dict
            What earlier calls with the same rows have put there, by this model or another of its kind; empty where rows
            are read anew in every pass. The model may put there what the rows alone determine.
        """
        raise NotImplementedError


def e_step(model, X, sample_weight, n_threads: int, kept: dict | None = None) -> Statistics:
    """A model's E-step of a block of rows, by the method that it has; see :class:`BlockModel`."""
    if hasattr(model, "e_step_of_block"):
        return model.e_step_of_block(X, sample_weight, n_threads, {} if kept is None else kept)
    return model.e_step(X, np.ones(len(X)) if sample_weight is None else sample_weight)
