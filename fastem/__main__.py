"""The command line: ``fastem fit``, ``fastem predict``, ``fastem versions``; also as ``python -m fastem``."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

__all__ = ["main"]

COVARIANCES = ("full", "tied", "diag", "spherical")
BLOCK_ROWS = 65536  # rows predicted at once: bounds the memory for their probabilities


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``fastem``. Default: those of the process.

    Returns
    -------
    int
        The exit code: 0, or 2 after a mistake of the user, which one line on the standard error output explains;
        130 when interrupted.

    Examples
    --------
    >>> from fastem.__main__ import main
    >>> main(["fit", "faithful", "--components", "2"])  # doctest: +ELLIPSIS
    Gaussian mixture, 2 components, full covariance
    ...
    0
    """
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            arguments = _parser().parse_args(argv)
            arguments.run(arguments)
            sys.stdout.flush()
            return 0
        except BrokenPipeError:  # the reader of a pipe, such as head, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (ValueError, OSError, ImportError, MemoryError) as error:
            print(f"fastem: {_one_line(error)}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print("fastem: interrupted", file=sys.stderr)
            return 130


def _fit(arguments: argparse.Namespace) -> None:
    """``fastem fit``: read, fit, tell, save, draw."""
    from fastem import GaussianMixture, plot
    from fastem.drawing import require_file_type
    from fastem.summary import summary
    from fastem.tables import read_table

    _require_place("--save", arguments.save)
    _require_place("--plot", arguments.plot)
    if arguments.plot is not None:
        require_file_type(arguments.plot)
    X, columns = read_table(arguments.file, arguments.columns)
    given = {name: value for name, value in vars(arguments).items() if name in GaussianMixture().get_params()}
    X = _named(X, [] if _are_numbered(columns) else columns)
    model = GaussianMixture(**given).fit(X)
    if arguments.save is not None:  # before the summary, whose reader may close the pipe
        model.save(arguments.save)
    if arguments.plot is not None:
        plot.write(arguments.plot, model, X)
    print(summary(model, X.shape, model.bic(X), model.aic(X), columns))
    if arguments.save is not None:
        print(f"\nsaved to {arguments.save}")
    if arguments.plot is not None:
        print(f"\npicture in {arguments.plot}")


def _predict(arguments: argparse.Namespace) -> None:
    """``fastem predict``: a label, its probability and the log-density for every row of a file."""
    from fastem import load
    from fastem.tables import read_table

    _require_place("--output", arguments.output)
    if arguments.output is not None and Path(arguments.output).resolve() in map(
        Path.resolve, map(Path, (arguments.model, arguments.file))
    ):
        raise ValueError(f"--output {arguments.output} is one of the files that are read: name another")
    model = load(arguments.model)
    names = list(getattr(model, "feature_names_in_", []))
    X, _ = read_table(arguments.file, _columns_to_read(names, arguments))
    lines = _predictions(model, X, names)
    if arguments.output is None:
        sys.stdout.writelines(lines)
        return
    with open(arguments.output, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def _require_place(option: str, path: str | None) -> None:
    """A file can be written there; said before the work, not after it."""
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise ValueError(f"{option} {path}: there is no such folder")
    if path is not None and Path(path).is_dir():
        raise ValueError(f"{option} {path} is a folder: name a file in it")


def _columns_to_read(known: list[str], arguments: argparse.Namespace) -> list[str] | None:
    """The columns asked for; else those of the names known to the model, in its order; else all."""
    from fastem.tables import column_names

    if arguments.columns is not None or not known:
        return arguments.columns
    present = column_names(arguments.file)
    missing = [name for name in known if name not in present]
    if not missing:
        return known
    if _are_numbered(present):  # a file without names: take its columns as they stand
        return None
    raise ValueError(
        f"{arguments.file} has no column {missing[0]!r}, which the model was fitted to; "
        f"name {len(known)} columns with --columns that stand for {', '.join(known)}"
    )


def _are_numbered(columns: list[str]) -> bool:
    """Whether the names only say where the columns stand in a file that has no names."""
    return all(re.fullmatch(r"x\d+", name) for name in columns)


def _predictions(model: Any, X: np.ndarray, names: list[str]) -> Iterator[str]:
    """The lines of the output. All that can be wrong with the data is found before the first of them."""
    labels, densities = model.predict(_named(X, names)), model.score_samples(_named(X, names))
    probabilities = np.empty(len(X))
    for start in range(0, len(X), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        responsibilities = model.predict_proba(_named(X[rows], names))
        probabilities[rows] = np.take_along_axis(responsibilities, labels[rows, None], axis=1)[:, 0]
    columns = zip(labels.tolist(), probabilities.tolist(), densities.tolist())
    rows_of_text = (f"{label},{probability!r},{density!r}\n" for label, probability, density in columns)
    return chain(["label,probability,log_density\n"], rows_of_text)


class _NamedColumns:
    """A matrix whose columns have names: what the estimator needs to see of a data frame."""

    def __init__(self, data: np.ndarray, columns: list[str]) -> None:
        self.data, self.columns, self.shape = data, columns, data.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=True) if copy else np.asarray(self.data, dtype=dtype)


def _named(data: np.ndarray, names: list[str]) -> np.ndarray | _NamedColumns:
    return _NamedColumns(data, names) if names else data


def _versions(arguments: argparse.Namespace) -> None:
    """``fastem versions``: what is needed to understand a report of a problem."""
    from fastem import show_versions

    show_versions()


class _Parser(argparse.ArgumentParser):
    """Reports mistakes as :func:`main` reports all others."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see: {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastem", description="Fit and use Gaussian mixtures.")
    parser.add_argument("--version", action="version", version=f"fastem {version('fastem')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    readable = "CSV (with or without a header), .npy, Parquet or Feather; or shipped data: faithful, iris"

    # Options are named after the parameters of GaussianMixture; those not given are left to its own defaults.
    fit = commands.add_parser("fit", help="fit a mixture to a file", argument_default=argparse.SUPPRESS)
    fit.add_argument("file", metavar="FILE", help=readable)
    fit.add_argument("--components", dest="n_components", type=int, required=True, metavar="K", help="how many")
    fit.add_argument("--columns", type=_comma_list, default=None, metavar="A,B", help="names or numbers from 0; all")
    fit.add_argument("--covariance", dest="covariance_type", choices=COVARIANCES, help="structure; full")
    fit.add_argument("--seed", dest="random_state", type=int, default=0, help="of the random start; 0")
    fit.add_argument("--n-init", type=int, metavar="N", help="starts, of which the best is kept; 1")
    fit.add_argument("--tol", type=float, help="stop when the mean log-likelihood changes less; 1e-3")
    fit.add_argument("--max-iter", type=int, metavar="N", help="most iterations; 100")
    fit.add_argument("--threads", dest="n_threads", type=int, metavar="N", help="the result does not depend on it")
    fit.add_argument("--save", default=None, metavar="MODEL.npz", help="write the fitted model to this file")
    fit.add_argument("--plot", default=None, metavar="FILE.png", help="draw components and data; also .svg, .pdf")
    fit.set_defaults(run=_fit)

    predict = commands.add_parser("predict", help="label the rows of a file with a saved mixture")
    predict.add_argument("model", metavar="MODEL.npz", help="written by fastem fit --save")
    predict.add_argument("file", metavar="FILE", help=readable)
    predict.add_argument(
        "--columns", type=_comma_list, metavar="A,B", help="in the model's order; by default those of the model's names"
    )
    predict.add_argument("--output", metavar="LABELS.csv", help="where to write label, probability and log-density")
    predict.set_defaults(run=_predict)

    versions = commands.add_parser("versions", help="show versions of fastem and what it runs on")
    versions.set_defaults(run=_versions)
    return parser


def _comma_list(text: str) -> list[str]:
    """The names in ``a,b``; one with a comma in it goes in double quotes."""
    return [name.strip() for name in next(csv.reader([text]), [])]


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastem: warning: {_one_line(message)}", file=sys.stderr)


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__


if __name__ == "__main__":
    sys.exit(main())
