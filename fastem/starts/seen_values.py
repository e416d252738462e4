"""Whether the values that rows hold determine every component of a fit, where some are missing or between bounds."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.seen_values import NEARLY, SeenValues
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.intervals import bounds_of
from fastem.rows.side_columns import SideBlocks
from fastem.starts.labels import LabelledBlocks, LabelledRows, posterior_under, priors_of_columns

ROWS = 1 << 14  # looked at together, to bound the memory,
PRODUCTS = 1 << 22  # and products of two columns


def undetermined(result, blocks, n_threads=1) -> list[str]:
    """What the rows of each component do not determine, in words; "" where that is nothing.

    Some of the rows tell mostly; all are looked at where these do not hold enough.
    """
    emission, statistics = result.model.emission, result.statistics
    hidden = has_bounds(blocks) or ("unseen" in statistics and statistics.unseen != 0)
    if not hidden or emission.may_be_empty or emission.log_prior() != 0:  # else a prior determines the rest
        return [""] * emission.shape[0]
    words = emission.undetermined(seen_values(result.model, some_of(blocks), n_threads))
    return emission.undetermined(seen_values(result.model, blocks, n_threads)) if any(words) else words


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


def seen_values(model, blocks, n_threads) -> SeenValues:
    """Of the rows under a mixture: effective numbers in the sense of Kish, of weights in any unit. Pairs of columns are
    counted where a component has few complete rows, since these hold all of them."""
    (K, d), bounded, paired = model.emission.shape, has_bounds(blocks), model.emission.needs_pairs
    least = blocks.seen.least if bounded else None
    posterior = posterior_of(model, blocks, n_threads)

    def summed(components, what, most):
        """Of some components, the sums of r w and of r w^2 over rows, each times what(values, ...) of these, (m, p)."""

        def of_block(rows, weight, start):
            sums: list = [0.0, 0.0]
            for begin in range(0, len(rows), most):
                tile = slice(begin, begin + most)
                r = posterior(rows[tile], slice(start + begin, start + begin + len(rows[tile])))
                r = r[:, components].T.astype(np.float64)
                w, there = 1 if weight is None else weight[tile], what(*known(rows[tile], d, least))
                sums = [one + arithmetic.matmul(r * w**power, there) for power, one in zip((1, 2), sums)]
            return sums

        each = blocks.blocks.each if isinstance(blocks, SideBlocks) else blocks.each
        return [sum(parts) for parts in zip(*each(of_block))]  # blocks may be empty

    def of_columns(*kinds):
        return np.hstack([*kinds, complete(sum(kinds))[:, None]])

    def of_pairs(*kinds):
        there = sum(kinds)
        there = np.where(complete(there)[:, None], 0, there)  # which are counted already
        return (there[:, :, None] * there[:, None, :]).reshape(len(there), d * d)

    totals, squares = summed(np.arange(K), of_columns, ROWS)
    *columns, whole = np.split(effective(totals, squares), range(d, totals.shape[1], d), axis=1)
    values = columns[0]
    if bounded:  # on one side alone, values tell where others are known on the other side, or at all
        values = values + np.where(values > NEARLY, sum(columns[1:]), np.minimum(*columns[1:]))
    if not paired:
        return SeenValues(values, None, bounded)
    pairs = np.broadcast_to(whole[:, :, None], (K, d, d)).copy()
    few = np.flatnonzero(whole[:, 0] < 2)
    if len(few):
        more = summed(few, of_pairs, max(1, PRODUCTS // d**2))
        pairs[few] = effective(*(a[few, -1:] + b for a, b in zip((totals, squares), more))).reshape(-1, d, d)
    return SeenValues(values, pairs, bounded)


def complete(there):
    """(m,) 1 for rows that hold all values (m, d) that are 1 where they are there."""
    return there.all(axis=1).astype(np.float64)


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
