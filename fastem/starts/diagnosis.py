"""What became of each component of a fit, and whether the fit can be trusted."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastem.driver.history import objective
from fastem.driver.stopping import left_to_gain
from fastem.models.gaussian.short_runs import ShortRun
from fastem.models.gaussian.soundness import OUTLIERS
from fastem.starts.seen_values import undetermined

EQUAL = {4: 1e-5, 8: 1e-9}  # relative difference of log-densities that is rounding, by the bytes of the rows' type
SAMPLED = 8  # rows at which densities are compared
MOST_STEPS = 50.0  # of the last one's gain that a run may still make, as far as it is expected
OBJECTIVE_TIE = 1e-9, 1e-12  # differences of objectives, per row and relative, that rounding alone can make


class Diagnosis(NamedTuple):
    """The state of a component in words, and whether it describes anything."""

    status: str
    sound: bool


def diagnose(result, n_effective) -> list[Diagnosis]:
    """The diagnosis of each component; n_effective: the effective number of all rows.

    A collapsed component raises the likelihood without describing anything, so a fit that has one is not sound.
    """
    counts = effective_counts(result, n_effective)
    emission = result.model.emission
    conditions = emission.diagnose(result.model.weights, counts)
    least = 0.0 if emission.may_be_empty else 1e-8 * n_effective
    return [
        Diagnosis("empty: no row belongs to it", False) if count < least else Diagnosis(*condition)
        for count, condition in zip(counts, conditions)
    ]


def final_statuses(result, n_effective, blocks=None, n_threads=1) -> list[str]:
    """The status of each component where a fit has ended: also whether it equals another, which EM does not change, and
    whether the values of these blocks, if there are any, determine it.

    Equal components get the same share of each row, so that every step of EM leaves them equal, at a saddle.
    """
    statuses = [diagnosis.status for diagnosis in diagnose(result, n_effective)]
    if result.model.emission.may_be_empty:  # components that no row needs are equal to their prior
        return statuses
    twins = equal_components(result.model, EQUAL[result.dtype.itemsize])
    statuses = [
        f"equal to component {twins[k]}: EM cannot separate them" if status == "ok" and k in twins else status
        for k, status in enumerate(statuses)
    ]
    if blocks is None:
        return statuses
    open_questions = undetermined(result, blocks, n_threads)
    return [
        "; ".join(filter(None, [status * (status != "ok"), more])) or "ok"
        for status, more in zip(statuses, open_questions)
    ]


def equal_components(model, tolerance) -> dict[int, int]:
    """{component: another of the same density}, as far as rows of the heaviest component show.

    Two densities with different parameters differ almost surely at a row that is drawn at random.
    """
    K = model.emission.shape[0]
    if K < 2 or model.emission.are_apart:
        return {}
    weights = model.weights[:K]
    rows = model.emission.sample(int(np.argmax(weights)), SAMPLED, np.random.default_rng(0))
    model = replace(model, shares=model.shares.constant())
    densities = model.log_joint(rows)[:, :K].T - np.log(np.where(weights > 0, weights, 1))[:, None]
    twins = {}
    for i in range(K):
        with np.errstate(invalid="ignore"):  # -inf of a component without weight
            same = (abs(densities - densities[i]) <= tolerance * (1 + abs(densities[i]))).all(axis=1)
        same[i] = False
        if same.any() and np.isfinite(densities[i]).all():
            twins[i] = int(np.argmax(same))
    return twins


def effective_counts(result, n_effective):
    """(K,) the effective rows of each component."""
    if isinstance(result, ShortRun) and result.counts is not None:
        return result.counts * (n_effective / result.counts.sum())
    return result.statistics.counts * (n_effective / result.statistics.weight)


def is_sound(result, n_effective) -> bool:
    """Whether every component describes something."""
    if isinstance(result, ShortRun) and result.is_plainly_sound(n_effective):
        return True
    return all(diagnosis.sound for diagnosis in diagnose(result, n_effective))


def merit(result, n_effective) -> tuple[bool, float]:
    """By what results are compared: whether what collapsed components win is taken out, and the mean objective.

    A component that is not sound wins likelihood without describing anything. The gain is taken out by widening it to
    the other components' size: what is left is at most the objective of that mixture, which is sound. So a spike inside
    a cluster loses against a sound fit, but a stray row in a component of its own costs little, since the rest of the
    mixture describes the other rows. Where a family cannot widen, its unsound results come after all others.
    """
    value = objective_of(result)
    if is_sound(result, n_effective):
        return True, value
    model, statistics = result.model, result.statistics
    counts = effective_counts(result, n_effective)
    wide = model.emission.widened(model.weights, counts)
    if wide is None:
        return False, value
    before, after = (model.emission.expected_log_prob(statistics, at) for at in (model.emission, wide))
    return True, value - max(before - after, 0) / statistics.weight


def sound_first(result, n_effective) -> tuple[bool, float]:
    """By what results are compared where no component may be lost: whether all are sound, and the mean objective."""
    return is_sound(result, n_effective), objective_of(result)


def sound_merit(result, n_effective) -> tuple[bool, float]:
    """By what results are compared where one that is not sound does not count: whether every component is sound, or
    describes stray rows, and the mean objective without what those that are not sound win."""
    if is_sound(result, n_effective):
        return True, objective_of(result)
    honest = all(one.sound or one.status.startswith(OUTLIERS) for one in diagnose(result, n_effective))
    return honest, merit(result, n_effective)[1]


def objective_of(result) -> float:
    """The mean objective at the end."""
    return result.history[-1] if isinstance(result, ShortRun) else objective(result.model, result.statistics)


def expected_merit(result, n_effective) -> tuple[bool, float]:
    """The merit, and with it what the run has still to gain: the worse of two runs may be on its way to the better
    optimum."""
    sound, value = merit(result, n_effective)
    return sound, value + expected_gain(result)


def expected_gain(result) -> float:
    """What the mean objective of a run has still to gain, by Aitken's estimate."""
    if len(result.history) < 2:
        return np.inf
    return min(left_to_gain(result), MOST_STEPS * max(result.history[-1] - result.history[-2], 0))


def best_first(results, n_effective, by=merit):
    """By merit, or :func:`sound_first`, the largest first; where only rounding separates two, the earlier first. A
    generator: what comes late need not be diagnosed.

    Two starts often reach the same optimum with its components in another order. Which of them has the larger last bit
    depends on the columns' units and on the kernels that BLAS picks for the CPU.
    """
    if len(results) == 1:
        yield from results
        return
    hopes = sorted(((at_most(result), -i) for i, result in enumerate(results)), reverse=True)
    left = []  # (*merit, -i) of those that are judged
    while hopes or left:
        first, most, _ = max(left, default=(False, -np.inf, 0))
        while hopes and (not first or not hopes[0][0] < most - tie(most)):
            _, i = hopes.pop(0)
            left.append((*by(results[-i], n_effective), i))
            first, most, _ = max(left)
        tied = [one for one in left if one[0] == first and one[1] >= most - tie(most)] or [max(left)]
        for one in sorted(tied, key=lambda one: -one[2]):
            left.remove(one)
            yield results[-one[2]]


def at_most(result) -> float:
    """What no merit of a result is above, nor what is expected of it."""
    return objective_of(result) + expected_gain(result)


def tie(objective) -> float:
    """By how much another objective may be less and count as equal."""
    per_row, relative = OBJECTIVE_TIE
    return per_row + relative * abs(objective)


def best_sound(results, n_effective):
    """The result of the largest merit."""
    return next(best_first(results, n_effective))


def effective_rows(blocks) -> float:
    """The effective number of rows under their weights."""
    return blocks.n_effective
