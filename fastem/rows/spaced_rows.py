"""Evenly spaced rows, kept while blocks go by whose number is not known."""

from __future__ import annotations

import numpy as np

SPREAD = 2048  # rows that show how a column is distributed


def spread_step(n_rows: int) -> int:
    """The least power of two at which no more than twice SPREAD rows are taken."""
    return 1 << ((n_rows - 1) // (2 * SPREAD)).bit_length()


class Spread:
    """Evenly spaced rows of blocks that follow each other, as :meth:`Blocks.spread` takes them."""

    def __init__(self):
        self.step, self.parts, self.count = 1, [], 0

    def add(self, X: np.ndarray, start: int) -> None:
        """One more block, whose first row has the number `start`."""
        for first in range(0, len(X), SPREAD * self.step):  # else a first, large block would be kept whole
            part = X[first : first + SPREAD * self.step]
            self._keep(part[-(start + first) % self.step :: self.step].copy())

    def _keep(self, rows):
        self.parts.append(rows)
        self.count += len(rows)
        if self.count > 2 * SPREAD:
            self.parts, self.step = [self.rows()[::2]], 2 * self.step
            self.count = len(self.parts[0])

    def rows(self) -> np.ndarray:
        """(m, d)"""
        return np.concatenate(self.parts)
