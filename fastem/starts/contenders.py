"""Starts that some of the rows do not tell apart are compared on more of them.

Of two mixtures, the lead of one over a sample is a sum over its rows; a lead of few standard errors of that sum says
little of all rows.

Q. H. Vuong: Likelihood ratio tests for model selection and non-nested hypotheses. Econometrica 57 (1989) 307-333.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from fastem.rows.side_columns import SideBlocks
from fastem.starts.diagnosis import best_first, merit
from fastem.starts.tournament import tournament

MOST = 3  # mixtures that are compared on more rows
ERRORS = 2.0  # standard errors of a lead, from which it is taken to be one
STEPS = 10  # of EM over a larger sample, before mixtures are compared there,
STEPS_OVER_ALL = 3  # and over all rows, after long runs on a sample


def narrowed(models, seen, more, steps, stop, n_threads, n_effective) -> list:
    """Of mixtures, those that may be the best by the rows that have been seen, the best first; by more rows, and some
    steps of EM there, where these leave it open."""
    models = still_open(models, seen, n_threads)
    if len(models) == 1 or more.n_rows <= seen.n_rows or isinstance(more, SideBlocks):
        return models
    starts = [partial(the_same, model) for model in models]
    return as_sound(tournament(starts, more, ((steps, MOST),), stop, n_threads, n_effective=n_effective), n_effective)


def still_open(models, rows, n_threads) -> list:
    """Of some mixtures, best first, that one and those whose distance from it these rows leave open."""
    first, *others = models
    if not others:
        return models
    weight = np.ones(rows.n_rows) if rows.sample_weight is None else rows.sample_weight
    highest = log_densities(first, rows, n_threads)

    def is_open(model):
        with np.errstate(invalid="ignore"):  # where both have no density, the row says nothing of them
            lead = np.nan_to_num(highest - log_densities(model, rows, n_threads), nan=0.0)
        total = weight @ lead
        return total < ERRORS * np.sqrt(weight**2 @ (lead - total / weight.sum()) ** 2)

    return [first, *filter(is_open, others)]


def as_sound(runs, n_effective, by=merit) -> list:
    """The mixtures at the ends of runs, best first, without those that are less sound."""
    first, *others = list(best_first(runs, n_effective, by))
    sound = by(first, n_effective)[0] if others else None
    return [first.model, *(run.model for run in others if by(run, n_effective)[0] == sound)]


def log_densities(model, rows, n_threads):
    """(n,) those of rows in memory."""
    densities = np.empty(rows.n_rows)
    model.score(rows.X, n_threads, log_density=densities)
    return densities


def the_same(model):
    """A start that has been made."""
    return model
