"""Expected sufficient statistics: sums over rows, so blocks, threads and machines just add."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


class Statistics:
    """Named views of one float64 vector; adding two merges their data; multiplying them by a number reweights it.

    Parameters
    ----------
    **sums : array_like
        What was summed over the rows, by name. ``log_likelihood`` and ``weight`` (the sum of the
        sample weights) are among them for everything that :func:`fastem.em` drives.

    Examples
    --------
    >>> from fastem import Statistics
    >>> a = Statistics(log_likelihood=-3.0, weight=2.0, counts=[1.5, 0.5])
    >>> b = Statistics(log_likelihood=-1.0, weight=1.0, counts=[0.0, 1.0])
    >>> (a + b).counts
    array([1.5, 1.5])
    """

    __slots__ = ("_layout", "vector")

    def __init__(self, **sums: Any) -> None:
        if "vector" in sums:
            raise ValueError("no statistic can be named 'vector': that attribute holds them all; choose another name")
        arrays = {name: np.asarray(value, dtype=np.float64) for name, value in sums.items()}
        self.vector = np.concatenate([a.ravel() for a in arrays.values()]) if arrays else np.empty(0)
        self._layout = {}
        start = 0
        for name, a in arrays.items():
            self._layout[name] = (start, start + a.size, a.shape)
            start += a.size

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            start, stop, shape = self._layout[name]
        except KeyError:
            raise AttributeError(f"there is no statistic {name!r}, only {', '.join(self._layout)}") from None
        return self.vector[start:stop].reshape(shape) if shape else float(self.vector[start])

    def __getstate__(self):
        return self.vector, self._layout

    def __setstate__(self, state):
        self.vector, self._layout = state

    def __iadd__(self, other: Statistics) -> Statistics:
        if self._layout != other._layout:
            raise ValueError(f"statistics of different models cannot be added: {self} and {other}")
        self.vector += other.vector
        return self

    def __add__(self, other: Statistics) -> Statistics:
        total = Statistics()
        total.vector, total._layout = self.vector.copy(), self._layout
        total += other
        return total

    def __mul__(self, factor: float) -> Statistics:
        scaled = Statistics()
        scaled.vector, scaled._layout = factor * self.vector, self._layout
        return scaled

    __rmul__ = __mul__

    def __sub__(self, other: Statistics) -> Statistics:
        return self + -1.0 * other

    def replaced(self, **sums) -> Statistics:
        """The same with some sums replaced, or with more."""
        if not self._layout.keys().isdisjoint(sums):
            return Statistics(**{name: getattr(self, name) for name in self._layout} | sums)
        more, shift = Statistics(**sums), len(self.vector)
        shifted = {name: (first + shift, last + shift, shape) for name, (first, last, shape) in more._layout.items()}
        more.vector, more._layout = np.concatenate([self.vector, more.vector]), self._layout | shifted
        return more

    def differences(self, other: Statistics) -> list[str]:
        """The names whose sums have another shape there, or that only one of the two has."""
        if self._layout == other._layout:
            return []
        ours, theirs = ({name: shape for name, (_, _, shape) in s._layout.items()} for s in (self, other))
        return sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name))

    def not_finite(self) -> list[str]:
        """The names of sums that hold NaN or infinity."""
        if np.isfinite(self.vector).all():
            return []
        return [name for name in self._layout if not np.isfinite(getattr(self, name)).all()]

    @property
    def names(self) -> list[str]:
        """What was summed."""
        return list(self._layout)

    def __contains__(self, name: str) -> bool:
        return name in self._layout

    def __repr__(self):
        return f"Statistics({', '.join(f'{name}{list(shape)}' for name, (_, _, shape) in self._layout.items())})"


def merged(parts: Iterable[Statistics]) -> Statistics:
    """The sum of parts, added pairwise in a tree that depends on their number alone."""
    return folded(merged_nodes(enumerate(parts)))


def merged_nodes(leaves: Iterable[tuple[int, Statistics]]) -> list:
    """The nodes (level, i, sum) of the tree that some of its leaves (i, sum) give, in order."""
    return merged_siblings((0, i, part) for i, part in leaves)


def merged_siblings(nodes: Iterable[tuple[int, int, Statistics]]) -> list:
    """The same nodes, in order; wherever both children of a node are there, the node replaces them."""
    largest: list = []
    for level, i, part in nodes:
        while i % 2 and largest and largest[-1][:2] == (level, i - 1):
            part = _sum(largest.pop()[2], part)
            level, i = level + 1, i // 2
        largest.append((level, i, part))
    return largest


def folded(nodes: list) -> Statistics:
    """The sum of the largest nodes of a tree, in order, added from the right."""
    total = nodes[-1][2]
    for _, _, part in reversed(nodes[:-1]):
        total = _sum(part, total)
    return total


def total_of(nodes: Iterable[tuple[int, int, Statistics]]) -> Statistics:
    """The sum of a whole tree, from the nodes that its parts give, in any order."""
    return folded(merged_siblings(sorted(nodes, key=lambda node: node[1] << node[0])))


def _sum(left, right):
    with np.errstate(over="ignore"):  # of rows that no component can produce: who collects the sums says so
        left += right
    return left
