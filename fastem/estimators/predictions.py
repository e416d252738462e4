"""Predictions of a fitted mixture for many rows, written to a file block by block, in one pass of the kernels each."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from fastem.driver.atomic_write import written_whole
from fastem.estimators import covariates
from fastem.estimators.beside import of_blocks, only_covariates
from fastem.estimators.outliers import threshold_of
from fastem.estimators.refused_sides import require_sides
from fastem.rows.blocks import block_rows
from fastem.rows.side_columns import named_columns
from fastem.rows.sources.files import is_one_of
from fastem.rows.sources.open_rows import is_dask, is_spark, paths_of

__all__ = ["text_writer", "write_each", "write_predictions"]

COLUMNS = {"label": np.int64, "probability": np.float64, "log_density": np.float64}


def write_predictions(
    model: Any,
    X: Any,
    path: str | os.PathLike,
    *,
    probabilities: bool = False,
    outliers: float | None = None,
    keep: Mapping[str, Iterable] | None = None,
    **sides: Any,
) -> None:
    """Write the label of each row, its probability and the log-density of the row to a file.

    Rows are read and written block by block: neither they nor the predictions need to fit in memory. The file is
    never incomplete: it is written under another name and then moved.

    Parameters
    ----------
    model : one of fastem's mixtures
        Fitted.
    X
        Rows of any kind except a Dask collection: see :func:`fastem.open_rows`.
    path : str or path-like
        Ends in ``.csv`` or ``.txt``; or ``.parquet`` or ``.pq`` (pyarrow, extra ``arrow``). The columns are ``label``
        (int), ``probability`` and ``log_density`` (natural logarithm; float64). An existing file is replaced. Of a
        Spark frame: a new folder ``.parquet`` or ``.csv``, which Spark writes; these columns stand behind the frame's.
    probabilities : bool
        Write the probability of every component as well, as ``probability_0``, …
    outliers : float in [0, 1], optional
        Write a column ``outlier`` of 0 and 1 as well: the rows that :meth:`~fastem.GaussianMixture.is_outlier` finds at
        this rate.
    keep : {name: values}, optional
        Columns to write before the others, such as a key to join on; each has one value for each row and a name that
        the others do not have. Not for a Spark
        frame, whose columns are all written.
    **sides
        Side columns that the model's methods take: ``errors``, ``lower`` and ``upper``; see
        :meth:`fastem.GaussianMixture.fit`.

    Raises
    ------
    ValueError
        The suffix is another one, the file is one of those that are read, or the model cannot describe a row; the
        message says where it is.
    TypeError
        The model has no components, or X is a Dask collection.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = fastem.GaussianMixture(2, random_state=0).fit(X)
    >>> fastem.write_predictions(model, X, "labels.csv")
    >>> print(open("labels.csv").readline().strip())
    label,probability,log_density
    """
    if is_spark(X):
        _write_frame(Predictions(model, probabilities, outliers), X, path, keep, sides)
        return
    path = Path(path)
    opened = writer_for(path)
    if is_one_of(path, paths_of(X)):
        raise ValueError(f"{path} is one of the files that are read: name another.")
    asked = Predictions(model, probabilities, outliers, keep)
    with written_whole(path) as beside, opened(beside, asked.columns) as write:
        write_each(asked, X, write, **sides)
        asked.require_all_kept()


def _write_frame(asked, X, path, keep, sides):
    """Of a Spark frame, whose executors predict and write."""
    from fastem.rows.sources.spark_results import with_columns, written

    if keep:
        raise TypeError("X is a Spark frame, all of whose columns are written. Leave out keep.")
    require_sides(asked.model, sides)
    named = {role: named_columns(given) for role, given in sides.items()}
    for role, names in named.items():
        if names is None:
            raise TypeError(f"X is a Spark frame, so {role} must be names of its columns, not an array.")

    def computed(rows):
        parts: list = []
        write_each(asked, rows, parts.append, **sides)
        return [np.concatenate(column) for column in zip(*parts)]

    beside = list(chain.from_iterable(named.values()))
    columns = {name: (kind, None) for name, kind in asked.columns.items()}
    others = [name for name in X.columns if name not in beside]
    chosen = asked.model._columns_of(others)
    written(with_columns(X, columns, computed, [*chosen, *beside]), path)


def writer_for(path: Path) -> Callable:
    """The function that opens a table of this name; raises an error where the name is wrong."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f"{path}: the name of a table must end in {', '.join(WRITERS)}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no such folder")
    if path.is_dir():
        raise ValueError(f"{path} is a folder. Name a file in it.")
    if WRITERS[suffix] is _parquet_file:
        import fastem.rows.sources.arrow_files  # noqa: F401  says what is missing before the work begins
    return WRITERS[suffix]


class Predictions:
    """What is written of each row.

    Attributes
    ----------
    columns : {name: type}
    """

    def __init__(self, model, probabilities=False, outliers=None, keep=None):
        if not hasattr(model, "predict_proba"):
            raise TypeError(f"a {type(model).__name__} has no components, so it cannot label rows. Use score_samples.")
        self.model, self.probabilities = model, probabilities
        self.threshold = None if outliers is None else threshold_of(model, outliers)
        self.kept = {name: iter(values) for name, values in (keep or {}).items()}
        self.columns = {name: str for name in self.kept} | COLUMNS
        if probabilities:
            self.columns |= {f"probability_{k}": np.float64 for k in range(model.model_.n_components)}
        if outliers is not None:
            self.columns["outlier"] = np.int64
        for name in self.kept:
            if self.columns[name] is not str:
                raise ValueError(f"keep has the column {name!r}, which predictions have too. Give it another name.")

    def of_rows(self, rows, score, dtype) -> list:
        """The columns of some rows, of which score(rows, **outputs) fills arrays, as models do."""
        K = self.model.model_.n_components
        labels, densities = np.empty(len(rows), np.intp), np.empty(len(rows))
        responsibilities = np.empty((len(rows), K), dtype)
        score(rows, labels=labels, responsibilities=responsibilities, log_density=densities)
        probability = np.take_along_axis(responsibilities, labels[:, None], axis=1)[:, 0]
        columns = [self._next_kept(name, len(rows)) for name in self.kept] + [labels, probability, densities]
        if self.probabilities:
            columns += list(responsibilities.T)
        if self.threshold is not None:
            columns.append((densities < self.threshold).astype(np.int64))
        return columns

    def _next_kept(self, name, n):
        values = list(islice(self.kept[name], n))
        if len(values) != n:
            raise ValueError(f"keep has fewer values of {name!r} than there are rows in X.")
        return values

    def require_all_kept(self):
        """ValueError where a column that is kept goes on behind the last row."""
        for name, values in self.kept.items():
            if next(values, self) is not self:
                raise ValueError(f"keep has more values of {name!r} than there are rows in X.")


def write_each(asked: Predictions, X: Any, write: Callable, **sides: Any) -> None:
    """Call write(columns) for some rows after the other; sides: columns beside the values, such as ``errors``."""
    model = asked.model
    if is_dask(X):
        raise TypeError("X is a Dask collection. Use predict, predict_proba or score_samples, which give lazy arrays.")

    def write_scored(score, rows, dtype):
        step = block_rows(rows.shape[1] + model.model_.n_components)  # bounds the memory for responsibilities
        for start in range(0, len(rows), step):
            write(asked.of_rows(rows[start : start + step], score, dtype))

    if not sides:
        model._of_new_rows(X, lambda rows: write_scored(model._score, rows, rows.dtype))
        return
    if asked.threshold is not None:
        raise ValueError(
            f"outliers cannot be combined with {' and '.join(sides)}, because the threshold is that of rows without. "
            "Leave out one of the two."
        )

    def write_wide(wide_model, rows, weight, n_threads):
        write_scored(lambda some, **outputs: wide_model.score(some, n_threads, **outputs), rows, np.float64)

    if only_covariates(sides):
        covariates.of_blocks(model, X, sides["covariates"], write_wide)
    else:
        of_blocks(model, X, sides, write_wide)


def text_writer(file, columns) -> Callable:
    """A function that writes columns to an open text file, the header before the first."""
    writer, header = csv.writer(file, lineterminator="\n"), [list(columns)]

    def write(values):
        writer.writerows(header)
        header.clear()
        writer.writerows(zip(*(column.tolist() if isinstance(column, np.ndarray) else column for column in values)))

    return write


@contextmanager
def _text_file(path: Path, columns) -> Iterator[Callable]:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        yield text_writer(file, columns)


@contextmanager
def _parquet_file(path: Path, columns) -> Iterator[Callable]:
    from fastem.rows.sources.arrow_files import parquet_writer  # names the extra where pyarrow is missing

    with parquet_writer(path, tuple(columns), tuple(columns.values())) as write:
        yield lambda values: write(*values)


WRITERS = {".csv": _text_file, ".txt": _text_file, ".parquet": _parquet_file, ".pq": _parquet_file}
