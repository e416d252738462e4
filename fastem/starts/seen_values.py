"""Whether the values that rows hold determine every component of a fit, where some are missing or between bounds."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.seen_values import NEARLY, SeenValues
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.intervals import bounds_of
from fastem.rows.side_columns import SideBlocks
from fastem.starts.labels import LabelledBlocks, LabelledRows, posterior_under, priors_of_columns

ROWS = 1 << 14  # looked at together, to bound the memory
ENOUGH = 2.0  # rows that hold both columns determine a covariance


def undetermined(result, blocks, n_threads=1) -> list[str]:
    """What the rows of each component do not determine, in words; "" where that is nothing.

    Some of the rows tell mostly; all are looked at where these do not hold enough.
    """
    emission, statistics = result.model.emission, result.statistics
    hidden = has_bounds(blocks) or ("unseen" in statistics and statistics.unseen != 0)
    if not hidden or emission.may_be_empty or emission.log_prior() != 0:  # else a prior determines the rest
        return [""] * emission.shape[0]
    seen = seen_values(result.model, some_of(blocks), n_threads)
    words = emission.undetermined(seen)
    return emission.undetermined(seen_values(result.model, blocks, n_threads, seen.pairs)) if any(words) else words


def has_bounds(blocks) -> bool:
    """Whether the values of rows lie between bounds."""
    return "lower" in getattr(blocks, "roles", ())


def some_of(blocks):
    """Evenly spaced rows; all where they have labels, which are in memory."""
    if isinstance(blocks, LabelledBlocks):
        return blocks
    return (
        blocks.spaced()
        if isinstance(blocks, SideBlocks)
        else ArrayBlocks(blocks.spaced_rows(), blocks.spaced_weights())
    )


def seen_values(model, blocks, n_threads, pairs=None) -> SeenValues:
    """Of the rows under a mixture: effective numbers in the sense of Kish, whatever the rows' weights. Pairs of columns
    are counted for the components and columns of which neither the numbers of the columns nor `pairs`, (K, d, d) of
    some of the rows, tell that they are enough."""
    (K, d), bounded = model.emission.shape, has_bounds(blocks)
    least = blocks.seen.least if bounded else None
    posterior = posterior_of(model, blocks, n_threads)

    def summed(count):
        """Sums over rows of count(r w, values) and of count(r w^2, values), with r (K, m) and :func:`known` values."""

        def of_block(rows, weight, start):
            sums: list = [0.0, 0.0]
            for begin in range(0, len(rows), ROWS):
                tile = slice(begin, begin + ROWS)
                r = posterior(rows[tile], slice(start + begin, start + begin + len(rows[tile])))
                r, values = r[:, :K].T.astype(np.float64), known(rows[tile], d, least)
                once = count(r if weight is None else r * weight[tile], values)
                squared = once if weight is None else count(r * weight[tile] ** 2, values)
                sums = [sums[0] + once, sums[1] + squared]
            return sums

        each = blocks.blocks.each if isinstance(blocks, SideBlocks) else blocks.each
        return [sum(parts) for parts in zip(*each(of_block))]  # blocks may be empty

    def of_columns(r, values):
        return arithmetic.matmul(r, np.hstack([*values, complete(sum(values)), np.ones((r.shape[1], 1))]))

    def of_pairs(r, values):
        there = sum(values)[:, wide]
        return np.array([arithmetic.matmul((of_component[:, None] * there).T, there) for of_component in r[few]])

    sums = summed(of_columns)
    values, *one_sided = effective(*sums)[:, :-2].reshape(K, -1, d).swapaxes(0, 1)
    if bounded:  # on one side alone, values tell where others are known on the other side, or at all
        values = values + np.where(values > NEARLY, sum(one_sided), np.minimum(*one_sided))
    if not model.emission.needs_pairs:
        return SeenValues(values, None, bounded)
    at_least = least_pairs(*sums, d)
    pairs = at_least if pairs is None else np.maximum(pairs, at_least)
    unsure = pairs < ENOUGH
    few, wide = np.flatnonzero(unsure.any(axis=(1, 2))), np.flatnonzero(unsure.any(axis=(0, 1)))
    if len(few):
        place = np.ix_(few, wide, wide)
        pairs[place] = np.maximum(pairs[place], effective(*summed(of_pairs)))
    return SeenValues(values, pairs, bounded)


def least_pairs(totals, squares, d):
    """(K, d, d) pairs of columns that rows hold at least: those of the complete ones, or of all that lack neither. Of
    the sums of the columns' parts, of complete rows and of all rows."""
    total, square = (a[:, :-2].reshape(len(a), -1, d).sum(axis=1) for a in (totals, squares))
    both = np.maximum(total[:, :, None] + total[:, None, :] - totals[:, -1, None, None], 0)
    both[:, range(d), range(d)] = total
    whole = effective(totals[:, -2], squares[:, -2])
    return np.maximum(effective(both, np.minimum(square[:, :, None], square[:, None, :])), whole[:, None, None])


def complete(there):
    """(m, 1) 1 for rows that hold all values (m, d) that are 1 where they are there."""
    return there.all(axis=1, keepdims=True).astype(np.float64)


def effective(totals, squares):
    """How many rows of equal weight tell as much as those of these sums of weights, and of squared weights."""
    return totals**2 / np.where(squares > 0, squares, 1)


def known(rows, d, least):
    """[(m, d) 1 where a value is known, 1 where it is known to lie above, below a bound]; the last two are there where
    rows are wide, with bounds, and no value is below `least`."""
    if least is None:
        return [(~np.isnan(rows[:, :d])).astype(np.float64)]
    lower, upper = (side.T for side in bounds_of(rows, d))
    above, below, exact = lower > least, upper < np.inf, lower == upper
    return [part.astype(np.float64) for part in ((above & below) | exact, above & ~below, below & ~above & ~exact)]


def posterior_of(model, blocks, n_threads):
    """A function: of some rows of these blocks (m, …) with their numbers the posterior (m, K)."""
    if isinstance(blocks, LabelledBlocks):
        return lambda X, numbers: posterior_under(model, X, blocks.priors[blocks.group_of_row[numbers]])[1]
    wide = blocks.reduced_as(model) if isinstance(blocks, SideBlocks) else model

    def posterior(rows, numbers):
        if isinstance(wide, LabelledRows):
            priors, group = priors_of_columns(rows[:, wide.n_values :], model.n_components)
            return posterior_under(model, np.ascontiguousarray(rows[:, : wide.n_values]), priors[group])[1]
        kind = np.float64 if {"lower", "errors"} & set(getattr(blocks, "roles", ())) else rows.dtype
        r = np.empty((len(rows), model.n_components), kind)
        wide.score(rows, n_threads, responsibilities=r)
        return r

    return posterior
