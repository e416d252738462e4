"""What became of each component of a fit, and whether the fit can be trusted."""

from __future__ import annotations

from typing import NamedTuple

from fastem.driver.history import objective

OBJECTIVE_TIE = 1e-12  # relative difference of objectives that rounding alone can make


class Diagnosis(NamedTuple):
    """The state of a component in words, and whether it describes anything."""

    status: str
    sound: bool


def diagnose(result, n_effective) -> list[Diagnosis]:
    """The diagnosis of each component; n_effective: the effective number of all rows.

    A collapsed component raises the likelihood without describing anything, so a fit that has one is not sound.
    """
    counts = result.statistics.counts * (n_effective / result.statistics.weight)
    conditions = result.model.emission.diagnose(result.model.weights, counts)
    return [
        Diagnosis("empty: no row belongs to it", False) if count < 1e-8 * n_effective else Diagnosis(*condition)
        for count, condition in zip(counts, conditions)
    ]


def is_sound(result, n_effective) -> bool:
    """Whether every component describes something."""
    return all(diagnosis.sound for diagnosis in diagnose(result, n_effective))


def best_first(results, n_effective):
    """Sound results first, then by objective, the largest first; where only rounding separates two, the earlier first.

    Two starts often reach the same optimum with its components in another order. Which of them has the larger last bit
    depends on the columns' units and on the kernels that BLAS picks for the CPU.
    """

    def merit(result):
        return is_sound(result, n_effective), objective(result.model, result.statistics)

    left, ordered = sorted(((*merit(result), -i) for i, result in enumerate(results)), reverse=True), []
    while left:
        sound, most, _ = left[0]
        tied = [one for one in left if one[0] == sound and one[1] >= most - OBJECTIVE_TIE * (1 + abs(most))] or left[:1]
        ordered += sorted(tied, key=lambda one: -one[2])
        left = left[len(tied) :]
    return [results[-i] for _, _, i in ordered]


def best_sound(results, n_effective):
    """The best sound result; the best of all where none is sound."""
    return best_first(results, n_effective)[0]


def effective_rows(blocks) -> float:
    """The effective number of rows under their weights."""
    return blocks.n_effective
