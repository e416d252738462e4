"""What became of each component of a fit, and whether the fit is to be trusted."""

from __future__ import annotations

from typing import NamedTuple

from fastem.driver.history import objective

TIED = 1e-12  # relative difference of what EM climbs that rounding alone may make


class Diagnosis(NamedTuple):
    """What is to be said of a component, and whether it describes anything."""

    status: str
    sound: bool


def diagnose(result, n_effective) -> list[Diagnosis]:
    """Per component; n_effective is what all rows count for.

    A collapsed component wins likelihood without describing anything, so a fit that has one is not sound.
    """
    counts = result.statistics.counts * (n_effective / result.statistics.weight)
    found = result.model.emission.diagnose(result.model.weights, counts)
    return [
        Diagnosis("empty: no row belongs to it", False) if count < 1e-8 * n_effective else Diagnosis(*condition)
        for count, condition in zip(counts, found)
    ]


def is_sound(result, n_effective) -> bool:
    """Whether every component describes something."""
    return all(diagnosis.sound for diagnosis in diagnose(result, n_effective))


def best_first(results, n_effective):
    """Sound results before the others, and by what EM climbs; where rounding alone tells some apart, the earlier first.

    Two starts often climb to one optimum with its components in another order. Which has the larger last bit hangs on
    the columns' units, and on the kernels that BLAS picks for the CPU.
    """

    def merit(result):
        return is_sound(result, n_effective), objective(result.model, result.statistics)

    left, found = sorted(((*merit(result), -i) for i, result in enumerate(results)), reverse=True), []
    while left:
        sound, most, _ = left[0]
        tied = [one for one in left if one[0] == sound and one[1] >= most - TIED * (1 + abs(most))] or left[:1]
        found += sorted(tied, key=lambda one: -one[2])
        left = left[len(tied) :]
    return [results[-i] for _, _, i in found]


def best_sound(results, n_effective):
    """The result with the largest log-likelihood among the sound ones, if any is sound."""
    return best_first(results, n_effective)[0]


def effective_rows(blocks) -> float:
    """What the rows count for under their weights, whatever the weights' unit (Kish): (sum w)^2 / sum w^2."""
    if not blocks.weighted:
        return float(blocks.n_rows)
    total, squares = blocks.weights[:, 3:].sum(axis=0)
    return float(total**2 / squares)
