"""What the docstrings of methods say of arguments that mean the same in all of them, written once."""

from __future__ import annotations

import inspect
from textwrap import indent

ROWS = """rows of any kind
An array (n, d), a data frame, files, chunks, a Dask or Spark frame, …; see :func:`fastem.open_rows`."""
ARGUMENTS = {  # name: its type, then what it is
    "X": ROWS,
    "y": "ignored\nIt is there for scikit-learn's pipelines.",
    "targets": "(n,) or (n, m)\nThe targets, as in `fit`.",
    "trials": "(n,) or (n, m) or names of columns, optional\nOf binomial targets, see `fit`; default: one.",
    "exposure": "(n,) or (n, m) or names of columns, optional\nOf Poisson targets, see `fit`; default: 1.",
    "sample_weight": "(n,) or the name of a column, optional\nNot negative; a weight of 2 counts as two equal rows.",
    "errors": "array or names of columns, optional\nThe measurement errors of each row; see `fit`.",
    "covariates": "(n, p) or (n,) or names of columns, optional\nOf rows, where the fit had some; see `fit`.",
    "sides": "optional\nColumns beside the values, by name: `errors`, `lower` and `upper`, or `covariates`; see `fit`.",
    "labels": "(n,) or (n, K), optional\nWhat is known of the components of the rows; see `fit`.",
    "path": "str or path-like\nIts name ends in ``.npz``. An existing file is replaced.",
    "deep": "bool\nWithout effect; scikit-learn passes it.",
    "params": "Any\nParameters of the constructor by name.",
    "input_features": "ignored\nIt is there for scikit-learn's pipelines.",
    "return_std": "bool, default False\nReturn also the standard deviations.",
    "return_cov": "bool, default False\nReturn also the covariances.",
    "n_samples": "int\nRows to draw.",
    "random_state": "int, Generator, RandomState or None\nNone: that of the estimator.",
    "q": "float or array\nShares in [0, 1].",
    "level": "float in (0, 1)",
}


def describe_methods(cls) -> None:
    """Give the public methods in the body of a class a section "Parameters" where their docstrings have none."""
    for name, member in list(vars(cls).items()):
        function = getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            function.__doc__ = described(function)


def described(function) -> str:
    """The docstring of a function, with a section "Parameters" where it has none."""
    doc = inspect.cleandoc(function.__doc__)
    arguments = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    if arguments and "Parameters\n---" not in doc and all(p.name in ARGUMENTS for p in arguments):
        written = section("Parameters", [(starred(p), *said_of(p).partition("\n")[::2]) for p in arguments])
        at = first_section(doc)
        return "\n\n".join(part for part in (doc[:at].strip(), written, doc[at:].strip()) if part)
    return function.__doc__


def said_of(argument) -> str:
    """What is said of an argument; y is ignored unless it must be given."""
    return ARGUMENTS["targets" if argument.name == "y" and argument.default is argument.empty else argument.name]


def starred(argument) -> str:
    return {argument.VAR_POSITIONAL: "*", argument.VAR_KEYWORD: "**"}.get(argument.kind, "") + argument.name


def section(title, rows) -> str:
    """The text of a numpydoc section: (name, type, description) of each row."""
    lines = [title, "-" * len(title)]
    for name, kind, text in rows:
        lines += [f"{name} : {kind}", *([indent(text, "    ")] if text else [])]
    return "\n".join(lines)


def first_section(doc) -> int:
    """Where the first section begins, else the end."""
    lines = doc.splitlines(keepends=True)
    for i in range(1, len(lines)):
        if lines[i].strip() and set(lines[i].strip()) == {"-"}:
            return sum(map(len, lines[: i - 1]))
    return len(doc)
