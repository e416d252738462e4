"""Checks of what users pass: data, weights, parameters. Every error names the argument, what was wrong, what to do.

Messages follow scikit-learn's, so that its users and its `check_estimator` recognise them.
"""

from __future__ import annotations

import numpy as np

from fastem.errors import OutsideSupport, shown
from fastem.rows.objects import HOW_TO_CONVERT, HOW_TO_READ_TEXT, numbers_of
from fastem.rows.typed_columns import (
    makes_objects,
    numbers_by_column,
    numbers_of_columns,
    require_no_intervals,
    require_no_text,
    require_no_text_objects,
    require_no_times,
)

TEXT_KINDS = "SUTV"  # of numpy's dtypes; V: nothing that is known, records for one


def column_names(X):
    """Names of a table's columns if all are strings, else None; names of mixed kinds are refused."""
    names = getattr(X, "columns", None)
    if names is None and hasattr(X, "to_frame") and isinstance(getattr(X, "name", None), str):
        names = [X.name]  # a series
    if names is None or callable(names):
        names = getattr(X, "column_names", None)
    elif hasattr(X, "column_names") and not all(isinstance(name, str) for name in names):
        names = X.column_names  # a pyarrow table's `columns` are the columns themselves
    if names is None or callable(names) or not hasattr(X, "shape"):
        return None
    kinds = sorted({type(name).__name__ for name in names})
    if len(kinds) > 1 and "str" in kinds:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types. If you want feature names to be stored and validated, you "
            "must convert them all to strings, by using X.columns = X.columns.astype(str) for example. Otherwise you "
            "can remove feature / column names from your input data, or convert them all to a non-string data type."
        )
    return np.asarray(names, dtype=object) if kinds == ["str"] else None


class NoRows(TypeError):
    """What is given for rows is of no kind that holds any."""


def as_matrix(X, owner, least_rows=1):
    """X as a two-dimensional array of float32 or float64, copied only where needed.

    owner : str, who asks, for messages.
    """
    if hasattr(X, "toarray") and hasattr(X, "nnz"):
        raise TypeError(
            "Sparse data was passed for X, but dense data is required. "
            "Use '.toarray()' to convert to a dense numpy array."
        )
    require_unmasked(X, "X")
    require_no_times(X)
    require_no_intervals(X)
    require_no_text(X)
    try:
        array = numbers_by_column(X) if makes_objects(X) else np.asarray(X)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"X is not a rectangular array of numbers: {error}") from error
    if array.dtype == object:
        require_no_text_objects(array, column_names(X))
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: X has shape {array.shape} and type {array.dtype}.")
    if array.dtype.kind in "Mm":
        raise ValueError(f"X must hold numbers, but its dtype is {array.dtype}. {HOW_TO_CONVERT}")
    if array.dtype.names:
        raise ValueError(
            f"X is an array of records with the fields {', '.join(array.dtype.names)}. Pass pandas.DataFrame(X), or "
            "numpy.lib.recfunctions.structured_to_unstructured(X)."
        )
    if array.dtype.kind in TEXT_KINDS:
        raise ValueError(f"X must hold numbers, but its dtype is {array.dtype}. {HOW_TO_READ_TEXT}")
    if array.ndim == 0 and array.dtype == object:
        if any(hasattr(X, name) for name in ("__next__", "__call__", "__fspath__", "reduce")):
            raise TypeError(
                f"{owner} takes rows in memory here, an array or a frame, but X is {type(X).__name__}. Read it first, "
                "as by numpy.vstack(list(chunks))."
            )
        raise NoRows(f"X is {type(X).__name__}, which holds no rows. Give {owner} an array or a frame.")
    if array.ndim != 2:
        hint = (
            "Reshape your data either using array.reshape(-1, 1) if your data has a single feature or "
            "array.reshape(1, -1) if it contains a single sample."
        )
        if array.ndim < 2:
            kind = "scalar" if array.ndim == 0 else "1D"
            raise ValueError(f"Expected 2D array, got {kind} array of shape {array.shape} instead. {hint}")
        raise ValueError(f"Found array with dim {array.ndim}, while dim <= 2 is required by {owner}.")
    if array.dtype == object:
        array = numbers_of_columns(array, column_names(X))
    if array.dtype not in (np.float32, np.float64) or not array.dtype.isnative:
        try:
            array = array.astype(np.float32 if array.dtype == np.dtype(">f4") else np.float64)
        except ValueError as error:
            raise ValueError(f"X must hold numbers: {error}") from error
    if not array.flags.aligned:
        array = array.copy()
    require_rows(array, least_rows, owner)
    if array.shape[1] < 1:
        raise ValueError(_too_few(array, 1, "feature", owner))
    return array


def require_unmasked(given, name) -> None:
    """ValueError where entries of an array, or of a list of arrays, are masked: numpy would give what is behind the
    mask."""
    if has_masked(given):
        kind = "masked array" if isinstance(given, np.ma.MaskedArray) else type(given).__name__
        raise ValueError(f"{name} is a {kind} with masked entries: remove or impute them first.")


def has_masked(given) -> bool:
    """Whether entries of an array, or of arrays in a list, are masked."""
    if isinstance(given, (list, tuple)):
        nested = any(issubclass(kind, (list, tuple, np.ma.MaskedArray)) for kind in set(map(type, given)))
        return nested and any(map(has_masked, given))
    return isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given)


def numbers_beside(array):
    """An array that is given beside the rows, or for a parameter; objects as numbers. ValueError where it holds what
    numpy would make other numbers of: text, dates and durations, complex numbers. Callers name the argument."""
    if array.dtype == object:
        try:
            return numbers_of(array)
        except (TypeError, ValueError) as error:
            raise ValueError(f"it {error}") from error
    if array.dtype.kind in "SUT":
        raise ValueError(f"it holds text. {HOW_TO_READ_TEXT}")
    if array.dtype.kind in "Mm":
        raise ValueError(f"its dtype is {array.dtype}. {HOW_TO_CONVERT}")
    if array.dtype.kind == "c":
        raise ValueError(f"it is complex, {array.dtype}")
    return array


def require_rows(rows, least, owner):
    """ValueError where rows of shape (n, d) are fewer than `least`."""
    if rows.shape[0] < least:
        raise ValueError(_too_few(rows, least, "sample", owner))


def _too_few(rows, least, what, owner):
    number = rows.shape[0 if what == "sample" else 1]
    return (
        f"Found array with {number} {what}(s) (shape={rows.shape}) while a minimum of {least} is required by {owner}."
    )


def real_numbers(value):
    """A parameter as an array of real numbers, of any shape; None where it is something else, ragged, or masked."""
    if has_masked(value):
        return None
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "iuf" else None


def numbered(row):
    """Where a row is, by its number alone."""
    return f"row {row}"


def not_infinite(X):
    """Where values are numbers or missing."""
    return ~np.isinf(X)


def not_missing(X):
    """Where values are numbers or infinite."""
    return ~np.isnan(X)


def require_finite(
    X, name="X", columns=None, place=numbered, allowed=np.isfinite, advice="Remove or impute such values."
):
    """ValueError that names the first row and column with NaN or infinity (not `allowed`). Block by block: no copy."""
    for start in range(0, len(X), 65536):
        block = X[start : start + 65536]
        finite = allowed(block)
        if not finite.all():
            where = np.argwhere(~finite)[0]
            value = block[tuple(where)]
            location = place(start + where[0])
            if X.ndim == 2:
                location += f", column {where[1] if columns is None else repr(columns[where[1]])}"
            what = "NaN" if np.isnan(value) else f"infinity or a value too large for {X.dtype}"
            raise ValueError(f"Input {name} contains {what}: the first is at {location}. {advice}")


def as_sample_weight(sample_weight, n=None, some=True):
    """(n,) float64 contiguous weights, or None; n=None: as many as there are. `some`: at least one must be positive."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, (list, tuple)) and len(sample_weight) and np.ndim(sample_weight[0]):
        raise ValueError(
            f"sample_weight is a list of {len(sample_weight)} arrays, but must be one array of a number for each row. "
            "Join them, np.concatenate(sample_weight), or beside chunks give pairs of a chunk and its weights as X."
        )
    require_unmasked(sample_weight, "sample_weight")
    try:
        weight = numbers_beside(np.asarray(sample_weight))
        weight = np.require(weight, np.float64, ["C", "A"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"sample_weight must hold numbers: {error}") from error
    n = weight.size if n is None else n
    if weight.ndim == 0:
        weight = np.full(n, float(weight))
    if weight.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weight.ndim}D array.")
    if len(weight) != n:
        raise ValueError(f"sample_weight.shape == {weight.shape}, expected {(n,)}!")
    require_finite(weight, "sample_weight")
    if (weight < 0).any():
        first = int(np.argmax(weight < 0))
        raise ValueError(f"Negative values in data passed to `sample_weight`: {weight[first]} in row {first}.")
    if some and not weight.any():
        raise ValueError("All sample_weight are zero: at least one row must count.")
    return weight


def in_moderate_units(weight):
    """The weights and 1.0; where their sums would leave the range of float32: divided by a power of two, and that."""
    if weight is None or 1e-9 < weight.max() < 1e9:
        return weight, 1.0
    unit = power_of_two(weight.max())
    return weight / unit, float(unit)


def power_of_two(most):
    """The largest that is not above a positive number, or above each of an array."""
    return np.ldexp(1.0, np.frexp(most)[1] - 1)


def generator(random_state) -> np.random.Generator:
    """A numpy Generator from None, a seed, a Generator or a RandomState, which is advanced by one draw.

    None is numpy's global RandomState, which np.random.seed seeds, as in scikit-learn.
    """
    source = np.random if random_state is None else random_state
    if source is np.random or isinstance(source, np.random.RandomState):
        return np.random.default_rng(source.randint(2**31 - 1))
    try:
        return np.random.default_rng(random_state)
    except (TypeError, ValueError, AttributeError):
        raise ValueError(
            "random_state must be None, a seed (a whole number of at least 0), a numpy Generator or a RandomState. "
            f"Got {shown(random_state)} instead."
        ) from None


def require_distinct_rows(blocks, n_components):
    """ValueError where there are fewer distinct rows than components. Usually the first few rows are enough to know."""
    distinct = np.empty((0, blocks.n_features), blocks.dtype)
    observed = np.full(blocks.n_features, np.nan, blocks.dtype)
    size = 4 * n_components + 8
    for X, sample_weight in blocks:
        start = 0
        while start < len(X):
            part = slice(start, start + size)
            some = X[part] if sample_weight is None else X[part][sample_weight[part] > 0]
            rows = np.concatenate([distinct, some])
            missing = np.isnan(rows)
            if missing.any():  # rows that differ only in which values are missing are alike
                first = rows[missing.argmin(axis=0), np.arange(rows.shape[1])]
                observed = np.where(np.isnan(observed), first, observed)
                rows = np.where(missing, observed, rows)
            distinct = rows[np.unique(np.where(np.isnan(rows), np.inf, rows), axis=0, return_index=True)[1]]
            distinct = distinct[:n_components]
            if len(distinct) == n_components:
                return
            start, size = start + size, max(size, 4096)
    raise ValueError(
        f"X has {len(distinct)} distinct row(s) of positive weight, fewer than n_components = {n_components}: "
        "choose fewer components."
    )


def require_values(X, columns, what, allowed, place=numbered, advice=""):
    """OutsideSupport that names the first row and column not `allowed` (a function of a block). X must hold `what`."""
    for start in range(0, len(X), 65536):
        block = X[start : start + 65536]
        good = allowed(block)
        if not good.all():
            row, column, name = first_cell(~good, columns)
            value = block[row, column]
            negative = "Negative values in data: " if value < 0 else ""  # scikit-learn's words
            found = f"{place(start + row)}, column {name} is {value:g}."
            raise OutsideSupport(f"{negative}X must hold {what}, but {found} {advice}".rstrip())


def first_cell(bad, names) -> tuple[int, int, object]:
    """Row and column of the first that is true in (m, d), and how messages name the column."""
    row, column = np.argwhere(bad)[0]
    return row, column, column if names is None else repr(names[column])
