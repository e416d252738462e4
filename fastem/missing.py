"""Missing values: rows grouped by their pattern of NaN, and what the columns tell of those that are not missing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastem.scale import ColumnMoments, among_the_rows, moments_of, resolved_variances
from fastem.statistics import Statistics
from fastem.validation import not_infinite, require_finite

ROWS = 1 << 16  # taken at a time, to bound the memory


class Patterns(NamedTuple):
    """missing : (patterns, d) bool, ascending as bits; of_row : (n,) which of them each row has."""

    missing: np.ndarray
    of_row: np.ndarray


def patterns(X) -> Patterns:
    """The patterns of missing values in rows (n, d)."""
    d = X.shape[1]
    words = np.zeros((len(X), -(-d // 64)), ">u8")
    for start in range(0, len(X), ROWS):
        bits = np.packbits(np.isnan(X[start : start + ROWS]), axis=1)
        words.view(np.uint8)[start : start + ROWS, : bits.shape[1]] = bits
    if words.shape[1] == 1:
        found, of_row = np.unique(words[:, 0].astype(np.uint64), return_inverse=True)
        found = found.astype(">u8")[:, None]
    else:
        found, of_row = np.unique(words.view(f"V{8 * words.shape[1]}")[:, 0], return_inverse=True)
        found = found[:, None]
    bits = np.unpackbits(np.ascontiguousarray(found).view(np.uint8).reshape(len(found), -1), axis=1)
    return Patterns(bits[:, :d].astype(bool), of_row.reshape(-1))


def grouped(X, group_rows):
    """The rows in groups of one pattern each, as the kernels take them: see `groups` of ``expect`` in
    kernels/mixture_pass.pxi. A pattern's last group is filled up with a row of its own (as a complement, ~row)."""
    missing, of_row = patterns(X)
    order = np.argsort(of_row.astype(np.min_scalar_type(len(missing))), kind="stable")  # few patterns: radix sort
    counts = np.bincount(of_row, minlength=len(missing))
    groups = -(-counts // group_rows)
    ends = np.cumsum(counts)
    rows = np.repeat(~order[ends - 1], groups * group_rows)
    ahead = np.cumsum(groups * group_rows) - groups * group_rows - (ends - counts)
    rows[np.arange(len(X)) + np.repeat(ahead, counts)] = order
    columns = np.argsort(~missing, axis=1, kind="stable")
    return rows, np.repeat(np.arange(len(missing)), groups), columns, missing.sum(axis=1)


class ObservedMoments:
    """A model whose E-step sums, column by column, the values that are there and their squares about a point."""

    def __init__(self, about):
        self.about = about

    def e_step(self, X, sample_weight) -> Statistics:
        sums = np.zeros((3, X.shape[1]))
        for start in range(0, len(X), ROWS):
            z = X[start : start + ROWS] - self.about
            there = ~np.isnan(z)
            weight = 1.0 if sample_weight is None else sample_weight[start : start + ROWS, None]
            z = np.where(there, z, 0)
            sums += np.array([(weight * there).sum(axis=0), (weight * z).sum(axis=0), (weight * z**2).sum(axis=0)])
        return Statistics(weight=sums[0], first=sums[1], second=sums[2])


def observed_variances(blocks, n_threads):
    """Variances (d,) of the values that are there; the compiled pass tells whether all are.

    Raises ValueError where a value is infinite, where squares leave the range of their type, and for a column in which
    every value is missing.
    """
    model = ColumnMoments(among_the_rows(blocks))
    if np.isfinite(model.about).all():
        sums = blocks.reduce(model, n_threads)
        if np.isfinite(sums.vector).all():
            return moments_of(blocks, model, sums)[1]
    names = blocks.names
    blocks.check(lambda X, place: require_finite(X, columns=names, place=place, allowed=not_infinite))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = blocks.reduce(ObservedMoments(np.zeros(blocks.n_features)), n_threads)
        empty = np.flatnonzero(sums.weight == 0)
        if len(empty):
            listed = ", ".join(str(i) if names is None else repr(names[i]) for i in empty)
            raise ValueError(
                f"Column {listed} of X: every value is missing (NaN) in the rows of positive weight. Leave it out."
            )
        mean = sums.first / sums.weight
        sums = blocks.reduce(ObservedMoments(mean), n_threads)
    limit = np.finfo(blocks.dtype).max
    if not (np.isfinite(sums.vector).all() and (sums.second < limit).all()):
        raise ValueError(f"The squares of X overflow {blocks.dtype}: divide X by its scale first, or pass float64.")
    shift = sums.first / sums.weight
    return resolved_variances(blocks, mean + shift, sums.second / sums.weight - shift**2)
