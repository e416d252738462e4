"""The commands and their options. Options that are not given keep the defaults of fastem's classes and functions."""

from __future__ import annotations

import argparse
import csv
import math
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NoReturn

from fastem.models.gaussian.structures import STRUCTURES
from fastem.shell.models import COVARIANCES, EXPLAINED, FACTORS, FAMILIES
from fastem.shell.rows import SIDES, SIDES_OF_FIT

READABLE = (
    "files and folders of CSV (with or without a header; also .gz, .zst), .npy, Parquet or Feather, read block by "
    "block; or shipped data: faithful, iris"
)
MODEL = {"metavar": "MODEL.npz", "help": "written by fastem fit --save"}


class Parser(argparse.ArgumentParser):
    """Reports mistakes as :func:`fastem.__main__.main` reports all others."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see: {self.prog} --help)")


def parser(run: dict[str, Any]) -> argparse.ArgumentParser:
    """The parser of all commands.

    Parameters
    ----------
    run : {command: function}
        What runs each; the parsed arguments hold it as ``run``.
    """
    top = Parser(prog="fastem", description="Fit and use mixture models.")
    top.add_argument("--version", action="version", version=f"fastem {version('fastem')}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for name, (add, what) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=what,
            description=what[0].upper() + what[1:] + ".",
            argument_default=argparse.SUPPRESS,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(command)
        command.set_defaults(run=run[name])
    return top


def _fit(fit: argparse.ArgumentParser) -> None:
    fit.epilog = f"{EXPLAINED}\n\n{COVARIANCES}"
    _rows(fit)
    fit.add_argument(
        "--components",
        dest="n_components",
        type=_whole(0),
        required=True,
        metavar="K",
        help="number of components; of factor_analysis and ppca: of factors",
    )
    family = fit.add_mutually_exclusive_group()
    family.add_argument(
        "--model",
        dest="family",
        choices=FAMILIES | FACTORS,
        default="gaussian",
        metavar="FAMILY",
        help="see below (gaussian)",
    )
    family.add_argument(
        "--bayesian", dest="family", action="store_const", const="bayesian", help="the same as --model bayesian"
    )
    _sides(fit, SIDES_OF_FIT)
    fit.add_argument(
        "--covariance",
        dest="covariance_type",
        choices=STRUCTURES,
        metavar="NAME",
        help="structure: full, tied, diag, spherical, VEV, … (default: full); see below",
    )
    fit.add_argument(
        "--noise", type=_noise, metavar="box|VOLUME", help="a component of constant density for stray rows"
    )
    fit.add_argument(
        "--kinds", type=_kinds, metavar="A,B", help="of each column, or as COLUMN=A,COLUMN=B, for --model mixed"
    )
    fit.add_argument("--factors", dest="n_factors", type=_whole(0), metavar="Q", help="for --model factor_analyzers")
    fit.add_argument(
        "--seed", dest="random_state", type=_whole(0), default=0, help="seed of the random start (default: 0)"
    )
    fit.add_argument("--n-init", type=_whole(1), metavar="N", help="number of starts; the best is kept (default: 1)")
    fit.add_argument("--tol", type=_at_least_0, help="stop when the mean log-likelihood changes less (default: 1e-3)")
    fit.add_argument("--max-iter", type=_whole(0), metavar="N", help="largest number of iterations (default: 1000)")
    fit.add_argument(
        "--threads", dest="n_threads", type=_whole(1), metavar="N", help="threads; the result does not depend on them"
    )
    fit.add_argument(
        "--progress", dest="verbose", action="store_const", const="bar", help="a bar that estimates the end"
    )
    fit.add_argument(
        "--checkpoint",
        default=None,
        metavar="FILE",
        help="write the state of the fit there, every minute and when it is interrupted",
    )
    fit.add_argument(
        "--checkpoint-seconds",
        type=_at_least_0,
        default=60.0,
        metavar="S",
        help="how often it is written (default: 60)",
    )
    fit.add_argument("--resume", action="store_true", default=False, help="go on from the checkpoint, if it exists")
    fit.add_argument("--strict", action="store_true", default=False, help="exit code 3 where the fit has not converged")
    fit.add_argument("--save", default=None, metavar="MODEL.npz", help="write the fitted model to this file")
    fit.add_argument("--plot", default=None, metavar="FILE.png", help="draw components and data; also .svg, .pdf")
    _json(fit)


def _select(select: argparse.ArgumentParser) -> None:
    select.epilog = COVARIANCES
    _rows(select)
    select.add_argument(
        "--components",
        dest="n_components",
        type=numbers,
        default=range(1, 10),
        metavar="1:9",
        help="numbers of components (default: 1:9)",
    )
    select.add_argument(
        "--covariance",
        dest="covariance_types",
        type=comma_list,
        default=None,
        metavar="A,B",
        help="structures (default: all 14); see below",
    )
    select.add_argument(
        "--criterion", choices=("bic", "aic", "icl", "cv", "elbo"), help="smaller is better (default: bic)"
    )
    select.add_argument(
        "--seed", dest="random_state", type=_whole(0), default=0, help="seed of the random starts (default: 0)"
    )
    select.add_argument(
        "--tol", type=_at_least_0, help="stop when the mean log-likelihood changes less (default: 1e-5)"
    )
    select.add_argument("--max-iter", type=_whole(0), metavar="N", help="largest number of iterations (default: 1000)")
    select.add_argument(
        "--threads", dest="n_jobs", type=_whole(1), metavar="N", help="threads; the result does not depend on them"
    )
    select.add_argument("--progress", action="store_true", default=False, help="count the models that have ended")
    select.add_argument("--model", type=_no_family, help=argparse.SUPPRESS)
    select.add_argument("--save", default=None, metavar="MODEL.npz", help="write the best model to this file")
    select.add_argument("--plot", default=None, metavar="FILE.png", help="draw the criterion; also .svg, .pdf")
    _json(select)


def _sides(command: argparse.ArgumentParser, sides: dict[str, str]) -> None:
    for role, text in sides.items():
        each = ", one for each column of values" if role in ("errors", "lower", "upper") else ""
        command.add_argument(f"--{role}", type=comma_list, default=None, metavar="A,B", help=f"{text}{each}")


def _predict(predict: argparse.ArgumentParser) -> None:
    _model_and_rows(predict)
    _sides(predict, SIDES)
    predict.add_argument(
        "--keep", type=_names, default=None, metavar="A,B", help="columns to write first, numbers or not: a key"
    )
    predict.add_argument(
        "--probabilities", action="store_true", default=False, help="the probability of every component as well"
    )
    predict.add_argument(
        "--outliers",
        type=_share,
        default=None,
        metavar="RATE",
        help="a column that is 1 for rows as improbable as a share RATE of the model's own, e.g. 0.001",
    )
    predict.add_argument(
        "--output",
        default=None,
        metavar="LABELS.csv",
        help="where to write label, probability and log-density; also .parquet",
    )


def _impute(impute: argparse.ArgumentParser) -> None:
    _model_and_rows(impute)
    _sides(impute, {role: SIDES[role] for role in ("lower", "upper")})
    impute.add_argument(
        "--output", default=None, metavar="FILLED.csv", help="default: the standard output; also .parquet"
    )


def _sample(sample: argparse.ArgumentParser) -> None:
    sample.add_argument("model", **MODEL)
    sample.add_argument("--rows", type=_whole(1), default=1000, metavar="N", help="how many (default: 1000)")
    sample.add_argument("--seed", dest="random_state", type=_whole(0), default=0, help="default: 0")
    sample.add_argument(
        "--output", default=None, metavar="ROWS.csv", help="default: the standard output; also .parquet"
    )


def _score(score: argparse.ArgumentParser) -> None:
    _model_and_rows(score)
    _sides(score, SIDES)
    _json(score)


def _describe(describe: argparse.ArgumentParser) -> None:
    describe.add_argument("model", **MODEL)
    _json(describe)


def _report(report: argparse.ArgumentParser) -> None:
    _model_and_rows(report)
    report.add_argument("--output", required=True, metavar="REPORT.html", help="one page with all pictures in it")


def _nothing(command: argparse.ArgumentParser) -> None:
    """A command without options."""


COMMANDS = {
    "fit": (_fit, "fit a mixture to files"),
    "select": (_select, "choose the model of files"),
    "predict": (_predict, "label the rows of files with a saved mixture"),
    "impute": (_impute, "fill in the missing values of files"),
    "sample": (_sample, "draw rows from a saved model"),
    "score": (_score, "how probable the rows of files are under a saved model"),
    "describe": (_describe, "the summary of a saved model"),
    "report": (_report, "a page about a saved mixture and rows, with pictures"),
    "check": (_nothing, "fit problems with certified answers and show to how many digits this installation is right"),
    "versions": (_nothing, "show versions of fastem and what it runs on"),
}


def _rows(command: argparse.ArgumentParser) -> None:
    """The options that say which rows are read."""
    command.add_argument("files", metavar="FILE", nargs="+", help=READABLE)
    command.add_argument(
        "--columns", type=comma_list, default=None, metavar="A,B", help="names, or numbers from 0 (default: all)"
    )
    command.add_argument(
        "--weights", default=None, metavar="COLUMN", help="a column that says how often each row counts"
    )
    _missing(command)


def _model_and_rows(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", **MODEL)
    command.add_argument("files", metavar="FILE", nargs="+", help=READABLE)
    command.add_argument(
        "--columns",
        type=comma_list,
        default=None,
        metavar="A,B",
        help="in the model's order (default: those with the model's names)",
    )
    _missing(command)


def _missing(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--missing",
        type=_codes,
        default=None,
        metavar="CODES",
        help="numbers that stand for missing values, as in --missing=-9,-99, beside empty fields and NaN",
    )


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", default=False, help="print JSON in place of a table")


def numbers(text: str) -> list[int]:
    """The whole numbers, from 1 on, of ``1:9`` (both ends), ``1,3,5`` or ``4``."""
    if not re.fullmatch(r"\d+(:\d+)?(,\d+(:\d+)?)*", text) or re.search(r"\b0+\b", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers from 1 on, such as 1:9, 1,3,5 or 4")
    ends = [[int(end) for end in part.split(":")] for part in text.split(",")]
    return [K for first, *last in ends for K in range(first, (last or [first])[0] + 1)]


def comma_list(text: str) -> list[str]:
    """The names in ``a,b``; a name that has a comma must be in double quotes."""
    return [name.strip() for name in next(csv.reader([text]), [])]


def _names(text: str) -> list[str]:
    """The same, each once."""
    names = comma_list(text)
    for name in names:
        if names.count(name) > 1:
            raise argparse.ArgumentTypeError(f"{name!r} is named twice; name it once")
    return names


def _whole(least: int) -> Callable[[str], int]:
    """What reads whole numbers of at least `least`."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d+", text) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return int(text)

    return read


def _number(text: str, right: Callable[[float], bool], otherwise: str) -> float:
    """A number for which `right` is true; otherwise: what is said of the text."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not right(value):
        raise argparse.ArgumentTypeError(f"{text!r} {otherwise}")
    return value


def _at_least_0(text: str) -> float:
    return _number(text, lambda value: value >= 0, "is not a number of at least 0")


def _share(text: str) -> float:
    return _number(text, lambda value: 0 <= value <= 1, "is not a share, a number from 0 to 1")


def _no_family(text: str) -> NoReturn:
    raise argparse.ArgumentTypeError(
        f"select compares Gaussian mixtures. Got {text!r}: leave it out (--save names the file of the best model), or "
        "compare the BIC of fits of that family, which fastem fit --model prints"
    )


def _kinds(text: str) -> list[str] | dict[str, list[str]]:
    """Kinds of columns in their order, ``a,b``, or by their names, ``x=a,y=b``."""
    words = comma_list(text)
    if not any("=" in word for word in words):
        return words
    named: dict[str, list[str]] = {}
    for word in words:
        column, equals, kind = word.rpartition("=")
        if not equals:
            raise argparse.ArgumentTypeError(
                f"{word!r} names no column, as COLUMN=KIND does: name all columns, or none"
            )
        named.setdefault(kind, []).append(column)
    return named


def _codes(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as -999 or -9,-99") from None


def _noise(text: str) -> str | float:
    if text == "box":
        return text
    return _number(text, lambda value: 0 < value < math.inf, "is neither box nor a volume, a finite number above 0")
