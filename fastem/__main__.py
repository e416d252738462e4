"""The command line: ``fastem fit``, ``select``, ``predict``, ``check``, ``versions``; also as ``python -m fastem``."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from fastem.models.gaussian.structures import STRUCTURES
from fastem.rows.sources.columns import numbered_names

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``fastem``. Default: those of the process.

    Returns
    -------
    int
        The exit code: 0; 1 where ``check`` finds too few digits; 2 after a mistake of the user, which one line on the
        standard error output explains; 130 when interrupted.

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
            code = arguments.run(arguments)
            sys.stdout.flush()
            return code or 0
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
    """``fastem fit``: read, fit, print, save, draw."""
    from fastem import BayesianGaussianMixture, GaussianMixture, open_rows, plot
    from fastem.plot.canvas import require_file_type
    from fastem.summary import summary

    _require_place("--save", arguments.save)
    _require_place("--plot", arguments.plot)
    if arguments.plot is not None:
        require_file_type(arguments.plot)
    if arguments.resume and arguments.checkpoint is None:
        raise ValueError("--resume needs the file to go on from: name it with --checkpoint")
    sides = {
        role: getattr(arguments, role) for role in ("errors", "covariates") if getattr(arguments, role) is not None
    }
    for role in sides:
        if arguments.bayesian:
            raise ValueError(f"--{role} is only for mixtures by maximum likelihood: leave out --bayesian")
    columns = arguments.columns
    if columns is not None:
        columns = [*columns, *(name for names in sides.values() for name in names)]
    blocks = open_rows(arguments.files, sample_weight=arguments.weights, columns=columns)
    make = BayesianGaussianMixture if arguments.bayesian else GaussianMixture
    given = {name: value for name, value in vars(arguments).items() if name in make().get_params()}
    model = make(**given).fit(blocks, checkpoint=arguments.checkpoint, resume=arguments.resume, **sides)
    if sides:  # what follows is about the values
        blocks = blocks.columns(np.array([blocks.names.tolist().index(name) for name in model.feature_names_in_]))
    if arguments.save is not None:  # before the summary, whose reader may close the pipe
        model.save(arguments.save)
    names = _names(blocks, arguments.columns)
    if arguments.plot is not None:
        rows = getattr(blocks, "X", None)  # all that is in memory; of what is read, some thousands
        rows = blocks.spaced_rows() if rows is None else rows
        plot.write(arguments.plot, model, rows if blocks.names is None else _NamedColumns(rows, names))
    weight = blocks.total_weight if blocks.weighted else None
    print(summary(model, blocks.n_rows, names, weight))
    if arguments.save is not None:
        print(f"\nsaved to {arguments.save}")
    if arguments.plot is not None:
        print(f"\npicture in {arguments.plot}")


def _select(arguments: argparse.Namespace) -> None:
    """``fastem select``: read, fit many models, print, save the best, draw."""
    from fastem import open_rows, plot, select
    from fastem.plot.canvas import require_file_type

    _require_place("--save", arguments.save)
    _require_place("--plot", arguments.plot)
    if arguments.plot is not None:
        require_file_type(arguments.plot)
    given = ("criterion", "random_state", "n_jobs", "tol", "max_iter")
    selected = select(
        open_rows(arguments.files, sample_weight=arguments.weights, columns=arguments.columns),
        arguments.n_components,
        arguments.covariance_types,
        **{name: value for name, value in vars(arguments).items() if name in given},
    )
    if arguments.save is not None:
        selected.best.save(arguments.save)
    if arguments.plot is not None:
        plot.write_selection(arguments.plot, selected)
    row = selected.best_row
    s = "s" * (row.n_components != 1)
    print(selected)
    print(f"\nleast {selected.criterion.upper()}: {row.covariance_type} with {row.n_components} component{s}")
    if not row.sound:
        print(f"but no model is sound: {row.status}")
    if arguments.save is not None:
        print(f"saved to {arguments.save}")
    if arguments.plot is not None:
        print(f"picture in {arguments.plot}")


def _numbers(text: str) -> list[int]:
    """The whole numbers of ``1:9`` (both ends), ``1,3,5`` or ``4``."""
    if not re.fullmatch(r"\d+(:\d+)?(,\d+(:\d+)?)*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1:9, 1,3,5 or 4")
    ends = [[int(end) for end in part.split(":")] for part in text.split(",")]
    return [K for first, *last in ends for K in range(first, (last or [first])[0] + 1)]


def _names(blocks: Any, columns: list[str] | None) -> list[str]:
    """The names of columns; where the file has none, ``x0, x1, ...`` after their place in it."""
    if blocks.names is not None:
        return list(blocks.names)
    if columns is None:
        return numbered_names(blocks.n_features)
    return [f"x{column}" if column.isdecimal() else column for column in columns]


def _predict(arguments: argparse.Namespace) -> None:
    """``fastem predict``: a label, its probability and the log-density for every row of files."""
    from fastem import load, open_rows, write_predictions
    from fastem.estimators.predictions import text_writer, write_each, writer_for
    from fastem.rows.sources.files import files_in

    _require_place("--output", arguments.output)
    if arguments.output is not None:
        read = [Path(arguments.model), *(file for path in arguments.files for file in files_in(Path(path)))]
        if Path(arguments.output).resolve() in map(Path.resolve, read):
            raise ValueError(f"--output {arguments.output} is one of the files that are read: name another")
        writer_for(Path(arguments.output))
    model = load(arguments.model)
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"{arguments.model} holds a {type(model).__name__}, which has no components to label rows with"
        )
    names = getattr(model, "feature_names_in_", None)
    blocks = open_rows(arguments.files, columns=_columns_to_read(names, arguments))
    blocks.names = names  # the columns stand for those that the model was fitted to
    if arguments.output is None:
        write_each(model, blocks, text_writer(sys.stdout))
    else:
        write_predictions(model, blocks, arguments.output)


def _require_place(option: str, path: str | None) -> None:
    """ValueError where no file can be written there: before the work, not after it."""
    if path is not None and not Path(path).absolute().parent.is_dir():
        raise ValueError(f"{option} {path}: there is no such folder")
    if path is not None and Path(path).is_dir():
        raise ValueError(f"{option} {path} is a folder: name a file in it")


def _columns_to_read(known: Sequence[str] | None, arguments: argparse.Namespace) -> list[str] | None:
    """The columns asked for; else those whose names the model knows, in its order; else all."""
    from fastem.rows.sources.files import column_names

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


class _NamedColumns:
    """A matrix whose columns have names: all that a picture needs of a data frame."""

    def __init__(self, data: np.ndarray, columns: list[str]) -> None:
        self.data, self.columns, self.shape = data, columns, data.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=True) if copy else np.asarray(self.data, dtype=dtype)


def _check(arguments: argparse.Namespace) -> int:
    """``fastem check``: how many digits of certified answers this installation reproduces; 1 where they are too few."""
    from fastem.check import agreements, report
    from fastem.datasets import load_certified

    found = list(agreements(load_certified()))
    print(report(found))
    return 0 if all(agreement.enough for agreement in found) else 1


def _versions(arguments: argparse.Namespace) -> None:
    """``fastem versions``: what the report of a problem should contain."""
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
    readable = (
        "files and folders of CSV (with or without a header), .npy, Parquet or Feather, read block by block; "
        "or shipped data: faithful, iris"
    )

    # Options have the names of GaussianMixture's parameters; those not given keep its defaults.
    fit = commands.add_parser("fit", help="fit a mixture to files", argument_default=argparse.SUPPRESS)
    fit.add_argument("files", metavar="FILE", nargs="+", help=readable)
    fit.add_argument(
        "--components", dest="n_components", type=int, required=True, metavar="K", help="number of components"
    )
    fit.add_argument(
        "--columns", type=_comma_list, default=None, metavar="A,B", help="names, or numbers from 0 (default: all)"
    )
    fit.add_argument("--weights", default=None, metavar="COLUMN", help="a column that says how often each row counts")
    fit.add_argument(
        "--errors",
        type=_comma_list,
        default=None,
        metavar="A,B",
        help="columns with the standard deviations of each row's measurement errors, one for each column of values",
    )
    fit.add_argument(
        "--covariates",
        type=_comma_list,
        default=None,
        metavar="A,B",
        help="columns on which the weights of the components depend",
    )
    fit.add_argument(
        "--covariance",
        dest="covariance_type",
        choices=STRUCTURES,
        metavar="NAME",
        help="structure or family: full, tied, diag, spherical, VEV, … (default: full)",
    )
    fit.add_argument(
        "--bayesian",
        action="store_true",
        default=False,
        help="variational Bayes: components that the rows do not need get none; full, tied, diag or spherical",
    )
    fit.add_argument("--seed", dest="random_state", type=int, default=0, help="seed of the random start (default: 0)")
    fit.add_argument("--n-init", type=int, metavar="N", help="number of starts; the best is kept (default: 1)")
    fit.add_argument("--tol", type=float, help="stop when the mean log-likelihood changes less (default: 1e-3)")
    fit.add_argument("--max-iter", type=int, metavar="N", help="largest number of iterations (default: 100)")
    fit.add_argument(
        "--threads", dest="n_threads", type=int, metavar="N", help="threads; the result does not depend on them"
    )
    fit.add_argument(
        "--progress", dest="verbose", action="store_const", const="bar", help="a bar that estimates the end"
    )
    fit.add_argument(
        "--checkpoint", default=None, metavar="FILE", help="write the state of the fit there, every minute"
    )
    fit.add_argument("--resume", action="store_true", default=False, help="go on from the checkpoint, if it exists")
    fit.add_argument("--save", default=None, metavar="MODEL.npz", help="write the fitted model to this file")
    fit.add_argument("--plot", default=None, metavar="FILE.png", help="draw components and data; also .svg, .pdf")
    fit.set_defaults(run=_fit)

    # Options that are not given keep the defaults of fastem.select.
    select = commands.add_parser("select", help="choose the model of files", argument_default=argparse.SUPPRESS)
    select.add_argument("files", metavar="FILE", nargs="+", help=readable)
    select.add_argument(
        "--components",
        dest="n_components",
        type=_numbers,
        default=range(1, 10),
        metavar="1:9",
        help="numbers of components (default: 1:9)",
    )
    select.add_argument(
        "--covariance",
        dest="covariance_types",
        type=_comma_list,
        default=None,
        metavar="A,B",
        help="families (default: all 14)",
    )
    select.add_argument(
        "--criterion", choices=("bic", "aic", "icl", "cv", "elbo"), help="smaller is better (default: bic)"
    )
    select.add_argument(
        "--columns", type=_comma_list, default=None, metavar="A,B", help="names, or numbers from 0 (default: all)"
    )
    select.add_argument(
        "--weights", default=None, metavar="COLUMN", help="a column that says how often each row counts"
    )
    select.add_argument(
        "--seed", dest="random_state", type=int, default=0, help="seed of the random starts (default: 0)"
    )
    select.add_argument("--tol", type=float, help="stop when the mean log-likelihood changes less (default: 1e-5)")
    select.add_argument("--max-iter", type=int, metavar="N", help="largest number of iterations (default: 1000)")
    select.add_argument(
        "--threads", dest="n_jobs", type=int, metavar="N", help="threads; the result does not depend on them"
    )
    select.add_argument(
        "--save", "--model", default=None, metavar="MODEL.npz", help="write the best model to this file"
    )
    select.add_argument("--plot", default=None, metavar="FILE.png", help="draw the criterion; also .svg, .pdf")
    select.set_defaults(run=_select)

    predict = commands.add_parser("predict", help="label the rows of files with a saved mixture")
    predict.add_argument("model", metavar="MODEL.npz", help="written by fastem fit --save")
    predict.add_argument("files", metavar="FILE", nargs="+", help=readable)
    predict.add_argument(
        "--columns",
        type=_comma_list,
        metavar="A,B",
        help="in the model's order (default: those with the model's names)",
    )
    predict.add_argument(
        "--output", metavar="LABELS.csv", help="where to write label, probability and log-density; also .parquet"
    )
    predict.set_defaults(run=_predict)

    check = commands.add_parser(
        "check", help="fit problems with certified answers and show to how many digits this installation is right"
    )
    check.set_defaults(run=_check)

    versions = commands.add_parser("versions", help="show versions of fastem and what it runs on")
    versions.set_defaults(run=_versions)
    return parser


def _comma_list(text: str) -> list[str]:
    """The names in ``a,b``; a name that has a comma must be in double quotes."""
    return [name.strip() for name in next(csv.reader([text]), [])]


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"fastem: warning: {_one_line(message)}", file=sys.stderr)


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__


if __name__ == "__main__":
    sys.exit(main())
