"""Rows from the files that a command names, for a fit and for a fitted model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fastem.estimators.refused_sides import refused, require_sides
from fastem.rows.missing_codes import with_missing_codes
from fastem.rows.side_columns import require_named_once
from fastem.rows.sources.columns import choose, column_place, numbered_names
from fastem.rows.sources.files import column_names, is_one_of
from fastem.rows.sources.open_rows import open_rows


def names_of(blocks: Any, arguments: argparse.Namespace, more: Sequence[str] = ()) -> list[str]:
    """The names of columns; where the file has none, ``x0, x1, ...`` after their place in it."""
    if blocks.names is not None:
        return list(blocks.names)
    known = column_names(arguments.files)
    columns = None if arguments.columns is None else [*arguments.columns, *more]
    return [known[j] for j in choose(known, columns, arguments.files[0], arguments.weights)[0]]


SIDES = {  # columns beside the values, by the names of the parameters that take them
    "errors": "columns with the standard deviations of each row's measurement errors",
    "lower": "columns with the lower bounds of values that are known to lie between bounds",
    "upper": "columns with the upper bounds",
    "covariates": "columns on which the weights of the components depend",
}
SIDES_OF_FIT = SIDES | {"labels": "the column of the components that are known, from 0, or -1; or columns of priors"}


def sides_of(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The columns beside the values that are given by name or number, as names, by what they are."""
    given = {role: getattr(arguments, role, None) for role in SIDES_OF_FIT}
    given = {role: words for role, words in given.items() if words is not None}
    known = column_names(arguments.files) if given else []
    return {
        role: [known[column_place(known, word, arguments.files[0], f"--{role}")] for word in words]
        for role, words in given.items()
    }


def sides_for(model: Any, arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The same for a fitted model; ValueError where it takes none of these."""
    sides = sides_of(arguments)
    try:
        require_sides(model, sides)
        if sides and not hasattr(model, "predict_proba"):
            raise refused(model, next(iter(sides)))
    except TypeError as error:
        raise ValueError(f"{arguments.model}: {error}") from error
    return sides


def rows_to_fit(arguments: argparse.Namespace, sides: dict[str, list[str]] | None = None) -> Any:
    """The files as blocks of the columns chosen, and of those beside them."""
    sides = sides or {}
    require_named_once(sides, arguments.weights)
    columns, more = arguments.columns, [name for names in sides.values() for name in names]
    if more and columns is not None:
        columns = [*columns, *more]
    blocks = open_rows(arguments.files, sample_weight=arguments.weights, columns=columns)
    blocks = with_missing_codes(blocks, getattr(arguments, "missing", None))
    if more:
        blocks.names = np.array(names_of(blocks, arguments, more), dtype=object)
    return blocks


def rows_for(model: Any, arguments: argparse.Namespace, sides: dict[str, list[str]] | None = None) -> Any:
    """The files as blocks of the columns that a fitted model knows, and of those beside them that are named."""
    names, beside = getattr(model, "feature_names_in_", None), [name for of in (sides or {}).values() for name in of]
    weights = getattr(arguments, "weights", None)
    columns = columns_to_read(names, arguments)
    if beside and columns is None:
        raise ValueError("--columns must name the columns of values, because the model knows no names of columns")
    blocks = open_rows(arguments.files, sample_weight=weights, columns=[*columns, *beside] if beside else columns)
    blocks = with_missing_codes(blocks, getattr(arguments, "missing", None))
    if beside:
        known = numbered_names(len(columns)) if names is None else names
        names = np.array([*known, *beside], dtype=object)
    blocks.names = names  # the columns stand for those that the model was fitted to
    return blocks


def require_told(model: Any, blocks: Any, sides: dict[str, list[str]], arguments: argparse.Namespace) -> None:
    """ValueError where columns beside the values, without which rows tell a model nothing, are not named."""

    def refuse(what: str, roles: tuple[str, ...]) -> NoReturn:
        options = " and ".join(f"--{role}" for role in roles)
        there = all(hasattr(arguments, role) for role in roles)
        takes = f"name these columns with {options}" if there else f"fastem {arguments.command} takes no such columns"
        raise ValueError(f"{arguments.model} was fitted {what}: {takes}")

    if getattr(model, "gate_coefficients_", None) is not None and "covariates" not in sides:
        refuse("with covariates, on which its weights depend", ("covariates",))
    if sides or "lower" not in getattr(model, "side_columns_", ()):
        return
    n = sum(blocks.each(lambda X, weight, start: int(np.isnan(X).all(axis=1).sum())))
    if n:  # as rows of which nothing is known they would have the log-density 0
        refuse(
            f"to values between bounds, and {n} of {blocks.n_rows} rows have no value and no bounds", ("lower", "upper")
        )


def columns_to_read(known: Sequence[str] | None, arguments: argparse.Namespace) -> list[str] | None:
    """The columns asked for; else those whose names the model knows, in its order; else all."""
    if arguments.columns is not None or known is None:
        return arguments.columns
    present = column_names(arguments.files)
    missing = [name for name in known if name not in present]
    if not missing:
        return list(known)
    if _are_numbered(present):  # a file without names: take its columns as they stand
        return None
    raise ValueError(
        f"{arguments.files[0]} has no column {missing[0]!r}, which the model was fitted to; "
        f"name {len(known)} columns with --columns that stand for {', '.join(known)}"
    )


def _are_numbered(columns: list[str]) -> bool:
    """Whether the names are only numbers of columns, for a file that has no names."""
    return all(re.fullmatch(r"x\d+", name) for name in columns)


def require_place(option: str, path: str) -> None:
    """ValueError where no file can be written there: before the work, not after it."""
    if not Path(path).absolute().parent.is_dir():
        raise ValueError(f"{option} {path}: there is no such folder")
    if Path(path).is_dir():
        raise ValueError(f"{option} {path} is a folder: name a file in it")


OUTPUTS = ("save", "plot", "checkpoint", "output")  # options that name files to write


def require_other_files(arguments: argparse.Namespace, read: Sequence[str]) -> None:
    """ValueError where what is written would replace a file that is read, or another that is written."""
    named = {f"--{name}": getattr(arguments, name, None) for name in OUTPUTS}
    written: dict[Path, str] = {}
    for option, path in named.items():
        if path is None:
            continue
        require_place(option, path)
        if is_one_of(Path(path), list(read)):
            raise ValueError(f"{option} {path} is one of the files that are read: name another")
        if (other := written.setdefault(Path(path).resolve(), option)) != option:
            raise ValueError(f"{option} {path} is the file that {other} writes: name another")


class NamedColumns:
    """A matrix whose columns have names: all that a picture needs of a data frame."""

    def __init__(self, data: np.ndarray, columns: list[str]) -> None:
        self.data, self.columns, self.shape = data, columns, data.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=True) if copy else np.asarray(self.data, dtype=dtype)
