"""Evenly spaced rows, kept in one pass over blocks whose number is not known before."""

from __future__ import annotations

import numpy as np

SPACED = 2048  # rows that show how a column is distributed


def spacing(n_rows: int) -> int:
    """The distance of spaced rows: the least power of two that gives at most 2 SPACED of them."""
    return 1 << ((n_rows - 1) // (2 * SPACED)).bit_length()


class SpacedRows:
    """Evenly spaced rows of blocks that follow each other, as :meth:`Blocks.spaced_rows` takes them."""

    def __init__(self):
        self.step, self.parts, self.count = 1, [], 0

    def add(self, X: np.ndarray, start: int) -> None:
        """One more block, whose first row has the number `start`."""
        first = 0
        while first < len(X):  # part by part, or a first, large block would be kept whole; the step may grow
            part = X[first : first + SPACED * self.step]
            self._keep(part[-(start + first) % self.step :: self.step].copy())
            first += len(part)

    def _keep(self, rows):
        self.parts.append(rows)
        self.count += len(rows)
        if self.count > 2 * SPACED:
            self.parts, self.step = [self.rows()[::2]], 2 * self.step
            self.count = len(self.parts[0])

    def rows(self) -> np.ndarray:
        """(m, d)"""
        return np.concatenate(self.parts)
