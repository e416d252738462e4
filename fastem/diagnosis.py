"""What became of each component of a Gaussian mixture's fit, and whether the fit is to be trusted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Diagnosis(NamedTuple):
    """What is to be said of a component, and whether it describes anything."""

    status: str
    sound: bool


def diagnose(result, n_effective) -> list[Diagnosis]:
    """Per component; n_effective is what all rows count for.

    A collapsed component wins likelihood without describing anything, so a fit that has one is not sound. Directions in
    which the data as a whole do not vary (a constant or a duplicated column) put every component at the floor: that is
    said, but it is no collapse.
    """
    emission = result.model.emission
    K, d = emission.shape
    counts = result.statistics.counts * (n_effective / result.statistics.weight)
    needed = emission.covariance.least_rows(d)
    flat = emission.covariance.directions_at_floor(total_covariance(result.model), 2 * emission.floor)
    return [
        Diagnosis("empty: no row belongs to it", False)
        if count < 1e-8 * n_effective
        else Diagnosis("at the floor: its variance is held at reg_covar times the data's", False)
        if low > flat
        else Diagnosis(f"few rows: {count:.2f} effective, its covariance needs {needed}", False)
        if count < needed
        else Diagnosis(f"at the floor in {low} direction(s) in which the data do not vary", True)
        if low
        else Diagnosis("ok", True)
        for count, low in zip(counts, np.broadcast_to(emission.covariance.at_floor, K))
    ]


def total_covariance(model):
    """(d, d) covariance of the whole mixture: within plus between the components."""
    means = model.emission.means - model.weights @ model.emission.means
    within = model.emission.covariance.pooled(model.weights, means.shape[1])
    return within + (model.weights[:, None] * means).T @ means


def is_sound(result, n_effective) -> bool:
    """Whether every component describes something."""
    return all(diagnosis.sound for diagnosis in diagnose(result, n_effective))


def best_first(results, n_effective):
    """Sound results before the others, and by their log-likelihood."""
    return sorted(results, key=lambda result: (is_sound(result, n_effective), result.log_likelihood), reverse=True)


def best_sound(results, n_effective):
    """The result with the largest log-likelihood among the sound ones, if any is sound."""
    return best_first(results, n_effective)[0]


def effective_rows(blocks) -> float:
    """What the rows count for under their weights, whatever the weights' unit (Kish): (sum w)^2 / sum w^2."""
    weight = blocks.sample_weight
    return float(len(blocks.X)) if weight is None else float(weight.sum() ** 2 / (weight**2).sum())
