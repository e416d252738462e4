"""Predictions of a fitted mixture for many rows, written to a file block by block, in one pass of the kernels each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastem.driver.atomic_write import written_whole
from fastem.estimators.beside import of_blocks, require_sides
from fastem.rows.blocks import block_rows
from fastem.rows.sources.open_rows import is_dask

__all__ = ["text_writer", "write_each", "write_predictions"]

PREDICTION_COLUMNS = ("label", "probability", "log_density")


def write_predictions(model: Any, X: Any, path: str | os.PathLike, **sides: Any) -> None:
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
        (int), ``probability`` and ``log_density`` (natural logarithm; float64). An existing file is replaced.
    **sides
        Side columns that the model's methods take: ``errors``, ``lower`` and ``upper``; see
        :meth:`fastem.GaussianMixture.fit`.

    Raises
    ------
    ValueError
        The suffix is another one, or the model cannot describe a row; the message says where it is.
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
    path = Path(path)
    opened = writer_for(path)
    with written_whole(path) as beside, opened(beside) as write:
        write_each(model, X, write, **sides)


def writer_for(path: Path) -> Callable:
    """The function that opens a file of this name for predictions; raises an error where the name is wrong."""
    suffix = path.suffix.lower()
    if suffix not in WRITERS:
        raise ValueError(f"{path}: the name of a file of predictions must end in {', '.join(WRITERS)}")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no such folder")
    if path.is_dir():
        raise ValueError(f"{path} is a folder. Name a file in it.")
    if WRITERS[suffix] is _parquet_file:
        import fastem.rows.sources.arrow_files  # noqa: F401  says what is missing before the work begins
    return WRITERS[suffix]


def write_each(model: Any, X: Any, write: Callable, **sides: Any) -> None:
    """Call write(labels, probabilities, log_densities), each (m,), for some rows after the other."""
    if not hasattr(model, "predict_proba"):
        raise TypeError(f"a {type(model).__name__} has no components, so it cannot label rows. Use score_samples.")
    if is_dask(X):
        raise TypeError("X is a Dask collection. Use predict, predict_proba or score_samples, which give lazy arrays.")

    def write_scored(score, rows, dtype):
        K = model.model_.n_components
        step = block_rows(rows.shape[1] + K)  # bounds the memory for the responsibilities
        for start in range(0, len(rows), step):
            some = rows[start : start + step]
            labels, densities = np.empty(len(some), np.intp), np.empty(len(some))
            responsibilities = np.empty((len(some), K), dtype)
            score(some, labels=labels, responsibilities=responsibilities, log_density=densities)
            write(labels, np.take_along_axis(responsibilities, labels[:, None], axis=1)[:, 0], densities)

    if sides:
        require_sides(model, sides)

        def write_wide(wide_model, rows, weight, n_threads):
            write_scored(lambda some, **outputs: wide_model.score(some, n_threads, **outputs), rows, np.float64)

        of_blocks(model, X, sides, write_wide)
    else:
        model._of_new_rows(X, lambda rows: write_scored(model._score, rows, rows.dtype))


def text_writer(file) -> Callable:
    """A function that writes predictions to an open text file, the header before the first."""
    header = [",".join(PREDICTION_COLUMNS) + "\n"]

    def write(labels, probabilities, densities):
        file.writelines(header)
        header.clear()
        rows = zip(labels.tolist(), probabilities.tolist(), densities.tolist())
        file.writelines(f"{label},{probability!r},{density!r}\n" for label, probability, density in rows)

    return write


@contextmanager
def _text_file(path: Path) -> Iterator[Callable]:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        yield text_writer(file)


def _parquet_file(path: Path) -> AbstractContextManager[Callable]:
    from fastem.rows.sources.arrow_files import parquet_writer  # names the extra where pyarrow is missing

    return parquet_writer(path, PREDICTION_COLUMNS, (np.int64, np.float64, np.float64))


WRITERS = {".csv": _text_file, ".txt": _text_file, ".parquet": _parquet_file, ".pq": _parquet_file}
