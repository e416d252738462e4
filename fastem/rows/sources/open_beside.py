"""Rows of any kind opened together with their side columns."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from fastem.rows.blocks import ArrayBlocks, Blocks
from fastem.rows.side_columns import (
    BesideBlocks,
    at_the_end,
    named_columns,
    require_length,
    require_named_once,
    wide_names,
)
from fastem.rows.sources.open_rows import is_dask, is_spark, open_rows
from fastem.rows.typed_columns import require_numbers_named
from fastem.rows.validation import column_names, numbers_beside, require_unmasked

LIKE_X = "errors", "lower", "upper"  # side columns of which each belongs to one of X


def open_beside(X, sides: Mapping[str, Any], sample_weight=None, owner="fastem") -> tuple[Blocks, dict[str, int]]:
    """Rows with their side columns as blocks of wide rows: first the values, then each role's columns.

    Parameters
    ----------
    X
        See :func:`fastem.rows.sources.open_rows.open_rows`.
    sides : {role: array or names}
        An array (n, p) or (n,); or the name of a column of X, or a list of names, which are then not among the values.
        Beside a Dask array also a Dask array.
    sample_weight
        As there.

    Returns
    -------
    Blocks, {role: number of its columns}

    Raises
    ------
    TypeError, ValueError
        Side columns that X does not have, or of another length.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.rows.sources.open_beside import open_beside
    >>> blocks, width = open_beside(np.zeros((4, 2)), {"errors": np.ones((4, 2))})
    >>> blocks.shape, width
    ((4, 4), {'errors': 2})
    """
    named = {role: names for role, given in sides.items() if (names := named_columns(given)) is not None}
    require_named_once(named, sample_weight)
    require_numbers_named(X, named)
    arrays = {role: given for role, given in sides.items() if role not in named}
    names = {role: column_names(given) for role, given in arrays.items() if role in LIKE_X}
    if arrays and is_spark(X):
        from fastem.rows.sources.spark_frame import AN_ARRAY

        raise TypeError(AN_ARRAY.format(next(iter(arrays))))
    if arrays and is_dask(X):
        from fastem.rows.sources.dask_blocks import beside

        X, widths = beside(X, arrays)
        arrays = {}
    else:
        arrays = {role: as_side(given, role) for role, given in arrays.items()}
        widths = {role: array.shape[1] for role, array in arrays.items()}
    blocks = open_rows(X, sample_weight, owner=owner)
    if named:
        blocks = at_the_end(blocks, named)
    values = None if blocks.names is None else blocks.names[: len(blocks.names) - sum(map(len, named.values()))]
    require_same_order({"X": values} | names)
    for role, array in arrays.items():
        blocks = with_array(blocks, array, role)
    return blocks, {role: len(names) for role, names in named.items()} | widths


def require_same_order(names: Mapping[str, Any]) -> None:
    """ValueError where two tables that belong together column by column both have a column, and not in one place.

    names : {role: names of its columns, or None}
        Those of the same places may differ: the errors of column x are often in a column x_err.
    """
    known = [(role, list(own)) for role, own in names.items() if own is not None]
    for (first, columns), (role, own) in combinations(known, 2):
        if len(own) != len(columns):
            continue  # refused later, or packed
        for name, other in zip(own, columns):
            if name != other and name in columns:
                raise ValueError(
                    f"{role} has column {name!r} in the place of {other!r} of {first}, and is taken by its place. "
                    f"Give both the same order, or {role} other names."
                )


def as_numbers(given, role) -> np.ndarray:
    """An array of float32 or float64 of any shape; ValueError where it is something else."""
    require_unmasked(given, role)
    try:
        array = numbers_beside(np.asarray(given))
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{role} must be an array of numbers, or names of columns of X: {error}") from error


def as_side(given, role) -> np.ndarray:
    """An array (n, p) of numbers, p = 1 for (n,); ValueError where it is something else."""
    array = as_numbers(given, role)
    if array.ndim not in (1, 2):
        raise ValueError(f"{role} must have one or two dimensions. Got shape {array.shape} instead.")
    return array[:, None] if array.ndim == 1 else array


def with_array(blocks: Blocks, array: np.ndarray, role: str) -> Blocks:
    """The rows with the columns of an array behind theirs."""
    if not isinstance(blocks, ArrayBlocks):
        return BesideBlocks(blocks, array, role)
    require_length(array, blocks.n_rows, role)
    names = wide_names(blocks.names, role, array.shape[1])
    wide = np.empty((len(array), blocks.n_features + array.shape[1]), np.result_type(blocks.X, array))
    return ArrayBlocks(np.concatenate([blocks.X, array], axis=1, out=wide), blocks.sample_weight, names)
