"""How many values the rows of each component hold, and what they do not determine because there are too few."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NOT_DETERMINED = "not determined: "  # how a sentence begins
NEARLY = 0.5  # of a value, by which the sum of what rows count for a component may be less than their number


class SeenValues(NamedTuple):
    """Effective numbers of the values that the rows of each component hold.

    Attributes
    ----------
    columns : (K, d)
    pairs : (K, d, d) or None
        Of rows that hold both columns; None where the densities need none.
    bounded : bool
        Whether rows have bounds: those that are known on one side alone count where others are known on the other side.
    """

    columns: np.ndarray
    pairs: np.ndarray | None = None
    bounded: bool = False

    def too_few(self, blind, counts, numbers, whose="its rows") -> list[str]:
        """A sentence for each component (K,) of columns (K, d), or pairs of them (K, d, d), whose parameters these
        counts do not determine, "" where there are none; numbers: (d,) of the columns in X."""
        sentences = []
        for of_component, count in zip(blind, counts):
            places = np.argwhere(np.triu(of_component) if of_component.ndim == 2 else of_component)
            if not len(places):
                sentences.append("")
                continue
            first = tuple(places[0])
            value = "no value" if count[first] < 0.005 else f"{count[first]:.2f} values"
            what = " beside one of column ".join(str(numbers[j]) for j in first)
            more = f", and few of {len(places) - 1} more" if len(places) > 1 else ""
            censored = ", apart from values censored on one side" if self.bounded else ""
            sentences.append(f"{NOT_DETERMINED}{whose} hold {value} of column {what}{more}{censored}")
        return sentences


def first_of(*sentences) -> list[str]:
    """Of several lists of sentences (K,) the first one of each component that is not empty."""
    return [next(filter(None, of_component), "") for of_component in zip(*sentences)]
