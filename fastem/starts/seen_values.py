"""Whether the values that rows hold determine every component of a fit, where some are missing or between bounds."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.seen_values import SeenValues
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.intervals import bounds_of
from fastem.rows.side_columns import SideBlocks
from fastem.starts.labels import LabelledBlocks, LabelledRows, posterior_under, priors_of_columns

ROWS = 1 << 14  # looked at together, to bound the memory


def undetermined(result, blocks, n_effective, n_threads=1) -> list[str]:
    """What the rows of each component do not determine, in words; "" where that is nothing.

    Some of the rows tell mostly; all are looked at where these do not hold enough.
    """
    emission, statistics = result.model.emission, result.statistics
    hidden = has_bounds(blocks) or ("unseen" in statistics and statistics.unseen != 0)
    if not hidden or emission.may_be_empty or emission.log_prior() != 0:  # else a prior determines the rest
        return [""] * emission.shape[0]
    unit = n_effective / statistics.weight
    words = emission.undetermined(seen_values(result.model, some_of(blocks), unit, n_threads))
    return emission.undetermined(seen_values(result.model, blocks, unit, n_threads)) if any(words) else words


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


def seen_values(model, blocks, unit, n_threads) -> SeenValues:
    """Of the rows under a mixture; unit: of a row of weight 1, in effective rows."""
    K, d = model.emission.shape
    bounded, paired = has_bounds(blocks), model.emission.needs_pairs
    least = blocks.seen.least if bounded else None
    posterior = posterior_of(model, blocks, n_threads)

    def of_block(rows, weight, start):
        columns, pairs = np.zeros((K, d)), np.zeros((K, d, d) if paired else 0)
        sides = np.zeros((2, K, d))
        for begin in range(0, len(rows), ROWS):
            tile = slice(begin, begin + ROWS)
            r = posterior(rows[tile], slice(start + begin, start + begin + len(rows[tile])))[:, :K].T.astype(np.float64)
            r = unit * (r if weight is None else r * weight[tile])
            values, *one_sided = known(rows[tile], d, least)
            columns += arithmetic.matmul(r, values)
            for side, there in zip(sides, one_sided):
                side += arithmetic.matmul(r, there)
            if paired:
                there = sum(one_sided, values)
                pairs += np.array([arithmetic.matmul((of_component[:, None] * there).T, there) for of_component in r])
        return columns, pairs, sides

    each = blocks.blocks.each if isinstance(blocks, SideBlocks) else blocks.each
    columns, pairs, sides = (np.sum(parts, axis=0) for parts in zip(*each(of_block)))
    return SeenValues(columns + sides.min(axis=0), pairs if paired else None, bounded)


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
