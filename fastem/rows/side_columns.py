"""What a row carries beside its values: measurement errors, and whatever else a model takes row by row.

Side columns are further columns of the blocks, behind those of the values. So every source of rows, their threads,
weights and order serve them without knowing: a model takes the wide rows, everything else sees the values alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from fastem.rows.blocks import ArrayBlocks, Blocks, BlocksOf
from fastem.rows.e_step import BlockModel, e_step
from fastem.rows.spaced_rows import spacing
from fastem.rows.validation import as_sample_weight


class BesideBlocks(BlocksOf):
    """Blocks with further columns from an array (n, p) that is in memory.

    Parameters
    ----------
    blocks : Blocks
        Not those of a Dask collection, whose workers would each get the whole array.
    array : (n, p)
    role : str
        The name of the array in messages.
    """

    def __init__(self, blocks: Blocks, array: np.ndarray, role: str):
        self.blocks, self.array, self.role = blocks.cut_for(blocks.n_features + array.shape[1]), array, role
        self.holder, self.weighted = blocks.holder, blocks.weighted
        self.dtype, self.n_features = np.result_type(blocks.dtype, array.dtype), blocks.n_features + array.shape[1]
        self.names = wide_names(blocks.names, role, array.shape[1])
        if getattr(blocks, "n_rows_known", True):
            require_length(array, blocks.n_rows, role)

    def __iter__(self):
        start = 0
        for X, sample_weight in self.blocks:
            stop = start + len(X)
            if stop > len(self.array):
                require_length(self.array, self.n_rows, self.role)
            yield np.concatenate([X, self.array[start:stop]], axis=1, dtype=self.dtype), sample_weight
            start = stop
        require_length(self.array, start, self.role)

    def spaced_rows(self):
        """Those that a stream has kept, with theirs."""
        rows = self.blocks.spaced_rows()
        return np.concatenate([rows, self.array[:: spacing(len(self.array))]], axis=1, dtype=self.dtype)


class SideBlocks(BlocksOf):
    """Wide rows, values and side columns, for models that take both; all others see the values.

    Parameters
    ----------
    wide : Blocks
        The values are the first columns.
    n_values : int
    reduced_as : callable
        ``reduced_as(model)`` is the model of wide rows whose sums are those of `model`; None for a model of values.
    seen : callable, optional
        ``seen(X)``: of wide rows the values (m, d) that starts and scales of columns look at. Default: all values.
    roles : tuple of str
        What the side columns are, for messages.
    planned : callable, optional
        ``planned(plan)``: what they make of the plan of a fit. Default: the same.
    side_names : (p,) array of str, optional
        The names of the side columns, where they have some that a fit keeps.
    in_starts : bool
        Whether starts are compared with them.

    Attributes
    ----------
    row_error : float
        What rounding of the side columns may do to the log-likelihood of all rows, beside what a model says.
    """

    row_error = 0.0

    def __init__(
        self,
        wide: Blocks,
        n_values: int,
        reduced_as: Callable,
        seen: Callable | None = None,
        roles: tuple[str, ...] = ("errors",),
        planned: Callable = lambda plan: plan,
        side_names: np.ndarray | None = None,
        in_starts: bool = True,
    ):
        self.in_starts = in_starts
        self.roles, self.planned, self.side_names = roles, planned, side_names
        self.blocks, self.n_features, self.reduced_as = wide, n_values, reduced_as
        self.seen = seen or FirstColumns(n_values)
        self.dtype, self.weighted, self.holder = wide.dtype, wide.weighted, wide.holder
        self.names = None if wide.names is None else wide.names[:n_values]

    def __iter__(self):
        return ((self.seen(X), sample_weight) for X, sample_weight in self.blocks)

    def each(self, function):
        seen = self.seen
        return self.blocks.each(lambda X, sample_weight, start: function(seen(X), sample_weight, start))

    def reduce(self, model, n_threads):
        wide_model = self.reduced_as(model)
        return self.blocks.reduce(OfSeen(model, self.seen) if wide_model is None else wide_model, n_threads)

    def spaced(self) -> SideBlocks:
        """Some evenly spaced rows with their side columns, in memory."""
        return self.of(ArrayBlocks(self.blocks.spaced_rows(), self.blocks.spaced_weights()))

    def of(self, some: ArrayBlocks) -> SideBlocks:
        """Some of the wide rows, in memory, as these are seen."""
        found = SideBlocks(some, self.n_features, self.reduced_as, self.seen, self.roles, self.planned)
        found.row_error = self.row_error
        return found

    def whole(self):
        wide = self.blocks.whole()
        return None if wide is None else ArrayBlocks(self.seen(wide.X), wide.sample_weight, self.names)


class WeightColumnBlocks(BlocksOf):
    """Blocks whose last column holds the weights of the rows."""

    weighted = True

    def __init__(self, blocks: Blocks):
        self.n_features, self.dtype = blocks.n_features - 1, blocks.dtype
        self.blocks = blocks.cut_for(self.n_features)
        self.holder, self.names = blocks.holder, blocks.names[:-1]
        self.check_weights()

    def check_weights(self):
        """ValueError at the first weight that is none."""
        name = self.blocks.names[-1]

        def check(X, place):
            bad = ~(np.isfinite(X[:, -1]) & (X[:, -1] >= 0))
            if bad.any():
                row = int(bad.argmax())
                raise ValueError(
                    f"sample_weight must be finite and not negative, but {place(row)}, column {name!r} is "
                    f"{X[row, -1]:g}."
                )

        self.blocks.check(check)

    def __iter__(self):
        return (weights_apart(X) for X, _ in self.blocks)

    def each(self, function):
        return self.blocks.each(lambda X, _, start: function(*weights_apart(X), start))

    def reduce(self, model, n_threads):
        return self.blocks.reduce(OfWeightColumn(model), n_threads)


class OfWeightColumn(BlockModel):
    """A model of weighted rows as a model of rows whose last column holds the weights."""

    def __init__(self, model):
        self.model = model

    def e_step_of_block(self, X, sample_weight, n_threads, kept):
        """Nothing is kept, as for other columns that are chosen."""
        return e_step(self.model, *weights_apart(X), n_threads)


def weights_apart(X):
    """Rows whose last column holds their weights, as rows and weights."""
    return X[:, :-1], X[:, -1].astype(np.float64)


def weighed_by(blocks: Blocks, name: str) -> Blocks:
    """The same rows, of which this column holds the weights and no values."""
    blocks = at_the_end(blocks, {"sample_weight": [name]})
    if not isinstance(blocks, ArrayBlocks):
        return WeightColumnBlocks(blocks)
    X, weight = weights_apart(blocks.X)
    return ArrayBlocks(np.ascontiguousarray(X), as_sample_weight(weight, len(X)), blocks.names[:-1])


class OfSeen(BlockModel):
    """A model of values as a model of wide rows."""

    def __init__(self, model, seen: Callable):
        self.model, self.seen = model, seen

    def e_step_of_block(self, X, sample_weight, n_threads, kept):
        """Nothing is kept, because it would be known of these columns only."""
        return e_step(self.model, self.seen(X), sample_weight, n_threads)


class FirstColumns:
    """The values of wide rows, as a function."""

    def __init__(self, n_values: int):
        self.n_values = n_values

    def __call__(self, X):
        return X[:, : self.n_values]


def wide_names(names, role, n_columns):
    """The names of the columns, then of an array beside them; None where the columns have none."""
    return None if names is None else np.append(names, [f"{role} {j}" for j in range(n_columns)])


def require_length(array, n_rows, role):
    """ValueError where an array has not one row for each row of X."""
    if len(array) != n_rows:
        raise ValueError(f"{role} has {len(array)} rows, but X has {n_rows}. Give one for each row.")


def named_columns(given) -> list[str] | None:
    """The names where side columns are named, a name or a list of names; None where they are an array.

    An array or an index of distinct str is a list of names; not one that holds some twice, such as a text for each row.
    """
    if isinstance(given, str):
        return [given]
    if isinstance(given, np.ndarray) or hasattr(given, "get_indexer"):  # of an index of pandas
        names = given.tolist() if given.ndim == 1 and given.dtype.kind in "OUT" else []  # not of an array of numbers
        given = names if all(map(is_name, names)) and len(set(names)) == len(names) else None
    if isinstance(given, (list, tuple)) and len(given) and all(isinstance(name, str) for name in given):
        return list(given)
    return None


def is_name(value) -> bool:
    return isinstance(value, str)


def require_named_once(sides: Mapping[str, list[str]], sample_weight) -> None:
    """ValueError where a side column is also the column of the weights, which is then not among those of X."""
    for role, names in sides.items():
        if isinstance(sample_weight, str) and sample_weight in names:
            raise ValueError(
                f"{role} names the column {sample_weight!r}, which sample_weight names already. Name each column once."
            )


def require_one(columns: list[str], name: str, role: str) -> None:
    """ValueError where `role` names a column, and several have this name."""
    if columns.count(name) > 1:
        raise ValueError(f"{role} names the column {name!r}, but X has several columns named {name!r}. Rename them.")


def at_the_end(blocks: Blocks, sides: Mapping[str, list[str]]) -> Blocks:
    """The same rows with these columns behind all others.

    Parameters
    ----------
    blocks : Blocks
        With names.
    sides : {role: names of columns}
    """
    if blocks.names is None:
        role, names = next(iter(sides.items()))
        raise TypeError(f"{role} names the column {names[0]!r}, but the columns of X have no names. Pass an array.")
    columns: list[str] = blocks.names.tolist()
    chosen: list[int] = []
    for role, names in sides.items():
        for name in names:
            if name not in columns:
                raise ValueError(
                    f"{role} names the column {name!r}, which X does not have. Its columns are {', '.join(columns)}."
                )
            require_one(columns, name, role)
            if columns.index(name) in chosen:
                raise ValueError(f"{role} names the column {name!r}, which is named already. Name each column once.")
            chosen.append(columns.index(name))
    values = [place for place in range(len(columns)) if place not in chosen]
    if not values:
        raise ValueError(f"{' and '.join(sides)} name all columns of X, so that no values are left.")
    order = np.array(values + chosen)
    if isinstance(blocks, ArrayBlocks):  # once, not in every pass
        return ArrayBlocks(np.ascontiguousarray(blocks.X[:, order]), blocks.sample_weight, blocks.names[order])
    return blocks.columns(order)
