"""Rows in chunks that an iterable, or a function that opens one, gives anew in every pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from fastem.rows.validation import as_matrix, as_sample_weight, column_names

ONE_SHOT = (
    "X is {}, which can be iterated over only once, but EM reads the rows many times: pass the function that makes it "
    "(fit(lambda: chunks())), or a list of the chunks."
)


class ChunkSource:
    """Chunks of rows that an iterable, or a function, gives anew in every pass.

    Parameters
    ----------
    opened : function
        Returns an iterator over chunks.
    what : str
        For messages.
    n_rows : int, optional
    sample_weight : (n,) array, optional
    """

    def __init__(self, opened: Callable[[], Iterable], what: str, n_rows=None, sample_weight=None, owner="fastem"):
        self.opened, self.what, self.n_rows, self.owner = opened, what, n_rows, owner
        first = next(self._chunks(), None)
        if first is None:
            raise ValueError(f"there are no rows in {what}")
        X, weight, self.names = first
        self.dtype, self.n_features = X.dtype, X.shape[1]
        if weight is not None and sample_weight is not None:
            raise TypeError("sample_weight is given, but the chunks of X have weights too: give only one of the two.")
        self.weighted = weight is not None or sample_weight is not None
        self.sample_weight = sample_weight

    def __str__(self):
        return self.what

    def place(self, row):
        return f"row {row} of {self.what}"

    def chunks(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        return weighed(self._same_chunks(), self.sample_weight, self.what)

    def _same_chunks(self):
        for i, (X, weight, names) in enumerate(self._chunks()):
            self._require_same(i, X, weight, names)
            yield X, weight

    def _chunks(self):
        """X, its weights and its columns' names of every chunk that has rows."""
        for i, chunk in enumerate(self.opened()):
            if isinstance(chunk, tuple) and len(chunk) != 2:
                raise ValueError(
                    f"chunk {i} of {self.what} is a tuple of {len(chunk)}. Give an array or a frame, or a pair of it "
                    "and its weights."
                )
            X, weight = chunk if isinstance(chunk, tuple) else (chunk, None)
            names = column_names(X)
            try:
                X = as_matrix(X, self.owner, least_rows=0)
                weight = as_sample_weight(weight, len(X), some=False)
            except (TypeError, ValueError) as error:
                raise type(error)(f"chunk {i} of {self.what}: {error}") from error
            if len(X):
                yield X, weight, names

    def _require_same(self, i, X, weight, names):
        """ValueError where a chunk does not agree with the first."""
        if X.shape[1] != self.n_features:
            raise ValueError(f"chunk {i} of {self.what} has {X.shape[1]} columns, but the first has {self.n_features}.")
        if X.dtype != self.dtype:
            raise ValueError(
                f"chunk {i} of {self.what} holds {X.dtype}, but the first {self.dtype}: give all chunks the same type."
            )
        if (names is None) != (self.names is None) or (names is not None and list(names) != list(self.names)):
            raise ValueError(
                f"chunk {i} of {self.what} has the columns {_listed(names)}, but the first {_listed(self.names)}: "
                "give all chunks the same columns in the same order."
            )
        if (weight is None) != (not self.weighted or self.sample_weight is not None):
            raise ValueError(
                f"chunk {i} of {self.what} has {'no ' if weight is None else ''}weights, unlike the first: give "
                "weights with all chunks, or with none."
            )


def weighed(chunks, sample_weight, what: str) -> Iterator:
    """Chunks (X, weight); where sample_weight (n,) is given, with its entries for their rows. It must fit all rows."""
    if sample_weight is None:
        yield from chunks
        return
    n, start = len(sample_weight), 0
    for X, _ in chunks:
        if start + len(X) > n:
            raise ValueError(f"sample_weight has {n} entries, but there are more rows in {what}.")
        yield X, sample_weight[start : start + len(X)]
        start += len(X)
    if start != n:
        raise ValueError(f"sample_weight has {n} entries, but there are {start} rows in {what}.")


def _listed(names):
    return "without names" if names is None else ", ".join(map(str, names))
