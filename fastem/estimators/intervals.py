"""Rows whose values lie between bounds, `lower` and `upper`, as a fit opens them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from fastem.models.bounded_rows import BoundedRows
from fastem.models.mixture import Mixture
from fastem.rows.column_moments import require_some_values
from fastem.rows.intervals import Representatives, bounds_of, require_bounds, scale_of
from fastem.rows.side_columns import SideBlocks, named_columns
from fastem.rows.sources.open_beside import open_beside
from fastem.rows.sources.open_rows import in_moderate_weights

WIDTH_ROUNDING = 8.0  # times the unit of rounding and a column's range: what the width of an interval may be off by


def open_intervals(
    estimator,
    X,
    sides,
    sample_weight,
    check,
    kind: type[BoundedRows],
    require: Callable | None = None,
    seen=Representatives,
    least: float = -np.inf,
):
    """Rows with bounds of their values as :func:`fastem.estimators.beside.opened` gives them.

    Parameters
    ----------
    kind : type
        A mixture as a model of wide rows.
    require : callable, optional
        ``require(wide rows, number of values, names, place)`` raises where the family cannot describe rows.
    seen : callable
        ``seen(d, centre, spread)`` of the columns is the function that gives starts what they see of wide rows.
    least : float
        No value is below.
    """
    if set(sides) != {"lower", "upper"}:
        missing = "upper" if "lower" in sides else "lower"
        raise ValueError(
            f"lower and upper belong together, but {missing} is not given. Give both; a bound that does not exist is "
            "-inf or inf."
        )
    if (named_columns(sides["lower"]) is None) != (named_columns(sides["upper"]) is None):
        raise TypeError("lower and upper must be given in the same way: both as arrays, or both as names of columns.")
    sides = {role: sides[role] for role in ("lower", "upper")}
    wide, width = open_beside(X, sides, sample_weight, type(estimator).__name__)
    d = wide.n_features - sum(width.values())
    for role, p in width.items():
        if p != d:
            raise ValueError(f"{role} has {p} columns for {d} columns of values. Give one for each.")
    names = None if wide.names is None else wide.names[:d]
    if check is not None:
        check(d, names)
    wide, unit = in_moderate_weights(wide)

    place = wide.place

    def of_block(rows, weight, start):
        def place_of(row):
            return place(start + row)

        require_bounds(rows, d, names, place_of)
        if require is not None:
            require(rows, d, names, place_of)
        return widths_of(rows, weight, d), told(rows, weight, d, least) if is_fit else None

    is_fit = check is None  # new rows are not looked at
    widths, is_told = zip(*wide.each(of_block))  # one pass, which keeps spaced rows
    if is_fit:
        require_some_values(np.any(is_told, axis=0), names, "(it may be anything between lower and upper)")
    row_error = rounding_of_widths(widths, wide.dtype, names)
    of_rows = seen(d, *scale_of(wide.spaced_rows(), d)) if is_fit else None
    blocks = SideBlocks(wide, d, partial(model_of_rows, kind), of_rows, roles=("lower", "upper"))
    blocks.row_error = row_error
    return blocks, unit


def told(rows, weight, d, least):
    """(d,) whether some of these wide rows of positive weight says anything of a column."""
    bounds = bounds_of(rows, d)
    says = (bounds.lower > least) | (bounds.upper < np.inf)
    return (says if weight is None else says[:, weight > 0]).any(axis=1)


def widths_of(rows, weight, d):
    """Of a block of wide rows, by column: the sum of 1 / width of its intervals, by weight, the narrowest width, the
    least and the largest finite bound."""
    low, high = (rows[:, i * d : (i + 1) * d].astype(np.float64) for i in (1, 2))
    widths = np.where(np.isfinite(low) & np.isfinite(high) & (low < high), high - low, np.inf)
    counts = (1 / widths if weight is None else weight[:, None] / widths).sum(axis=0)
    least, most = (np.where(np.isfinite(end), end, beyond) for end, beyond in ((low, np.inf), (high, -np.inf)))
    return counts, *(
        extreme(axis=0, initial=start)
        for extreme, start in ((widths.min, np.inf), (least.min, np.inf), (most.max, -np.inf))
    )


def rounding_of_widths(of_blocks, dtype, names) -> float:
    """What rounding may do to the log-probabilities of all rows beyond what their model says: the ends of an interval
    are rounded about the means and in units of the deviations, so that its width has as few digits as it is narrow.
    ValueError where none are left. of_blocks: [:func:`widths_of` a block]."""
    counts, narrowest, least, most = map(np.array, zip(*of_blocks))
    unit = np.finfo(np.float64 if dtype is None else dtype).eps
    ranges = np.maximum(most.max(axis=0) - least.min(axis=0), 0)
    narrowest = narrowest.min(axis=0)
    lost = narrowest < WIDTH_ROUNDING * unit * ranges
    if lost.any():
        j = int(lost.argmax())
        raise ValueError(
            f"lower and upper of column {j if names is None else names[j]} are in some row {narrowest[j]:.2g} apart, "
            f"which is rounding beside values {ranges[j]:.3g} apart. Make them equal: that is an exact value."
        )
    return float(WIDTH_ROUNDING * unit * (ranges * counts.sum(axis=0)).sum())


def model_of_rows(kind: type[BoundedRows], model) -> BoundedRows | None:
    """A mixture as a model of wide rows; None for what looks at the values alone."""
    return kind(model) if isinstance(model, Mixture) else None
