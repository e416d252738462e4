r"""Parameters of constructors. Each is written once, in the body of its class:

    class Powered(MixtureEstimator):
        power: float = parameter(default=2.0, check=real(0.0), doc="float\nHow steep the densities are.")

These rows make the constructor with its explicit signature, the checks, the section "Parameters" of the docstring and
every list of names. Tags say what else a row is.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from textwrap import indent
from typing import Any, Literal

from fastem.errors import OTHER_NAMES, did_you_mean
from fastem.estimators.checks import Check

COLUMNS = "columns"  # a tag: it is of a fit to all columns, so a mixture of some columns does not have it
RESUME = "resume"  # it does not change the result of a fit, so it may differ when a fit is resumed
MODEL = "model"  # of what the model is, and what its M-step keeps to: batches go on from no other
SEARCH = "search"  # it applies where many models are fitted from starts that they share
INDENT = "    "  # of the docstring of a class
PARAMETERS, ATTRIBUTES = f"{INDENT}{{parameters}}", f"{INDENT}{{attributes}}"


@dataclass(frozen=True)
class Parameter:
    """One row: a parameter of a constructor."""

    default: Any
    check: Check | None
    doc: str
    tags: frozenset[str]
    positional: bool
    name: str = ""
    annotation: Any = None
    general: bool = False


def parameter(
    *, default: Any, check: Check | None = None, doc: str = "", tags: Iterable[str] = (), kw_only: bool = True
) -> Any:
    """A row of the table, for the body of a class.

    Parameters
    ----------
    default
    check : callable, optional
        ``check(owner, name, value)`` raises ValueError; see :mod:`fastem.estimators.checks`.
    doc : str
        The text below its name in the docstring; its first line may be a type, ``"float, optional\\n..."``.
    tags : iterable of str
    kw_only : bool
        False: it may be a positional argument.
    """
    return Parameter(default, check, doc, frozenset(tags), not kw_only)


FITTED = object()


def attribute(*, init: Literal[False] = False) -> Any:
    """A fitted attribute, for the body of a class: ``rates_: np.ndarray = attribute()`` tells type checkers of it."""
    return FITTED


def declared(cls, above: dict[str, Parameter], general: bool) -> dict[str, Parameter]:
    """The rows of a class: those of the class above, and those in its body, which are removed from it.

    Positional parameters come first, and the general ones, which every estimator of a kind has, come last.
    """
    annotations = inspect.get_annotations(cls)
    in_body = {
        name: replace(row, name=name, annotation=annotations.get(name), general=general)
        for name, row in list(vars(cls).items())
        if isinstance(row, Parameter)
    }
    for name in [*in_body, *(name for name, value in vars(cls).items() if value is FITTED)]:
        delattr(cls, name)
    rows = above | in_body
    return {name: rows[name] for name in sorted(rows, key=lambda name: (not rows[name].positional, rows[name].general))}


def constructor(cls, rows: dict[str, Parameter]):
    """The __init__ of a class with these parameters: it stores them, and does nothing else."""
    by_place = [name for name, row in rows.items() if row.positional]
    defaults = {name: row.default for name, row in rows.items()}
    shown = [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD if row.positional else inspect.Parameter.KEYWORD_ONLY,
            default=row.default,
            annotation=inspect.Parameter.empty if row.annotation in (None, "Any") else row.annotation,
        )
        for name, row in rows.items()
    ]
    signature = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD), *shown])

    def __init__(self, *args, **named):
        placed = dict(zip(by_place, args))
        if len(args) > len(by_place) or placed.keys() & named.keys() or not named.keys() <= defaults.keys():
            try:
                signature.bind(self, *args, **named)  # says what is wrong
            except TypeError as error:
                unknown = next((name for name in named if name not in defaults), None)
                hint = "" if unknown is None else did_you_mean(unknown, defaults, OTHER_NAMES)
                raise TypeError(f"{type(self).__name__}: {error}.{hint} Its parameters: {', '.join(rows)}.") from None
        vars(self).update(defaults | placed | named)

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    __init__.__annotations__ = {p.name: p.annotation for p in shown if p.annotation is not p.empty}
    __init__.__qualname__, __init__.__module__ = f"{cls.__qualname__}.__init__", cls.__module__
    return __init__


def documented(doc: str | None, rows: dict[str, Parameter], attributes: str) -> str | None:
    """A docstring in which the parameters replace the line ``{parameters}``, and the attributes ``{attributes}``."""
    if doc is None:  # python -OO takes docstrings away
        return doc
    lines = []
    for name, row in rows.items():
        kind, _, text = row.doc.partition("\n")
        if row.default is not None and "optional" not in kind:
            kind = f"{kind}, default {row.default!r}".removeprefix(", ")
        lines.append(f"{name} : {kind}" if kind else name)
        lines += [f"    {line}".rstrip() for line in text.split("\n") if text]
    doc = doc.replace(PARAMETERS, indent("\n".join(lines), INDENT))
    return doc.replace(ATTRIBUTES, indent(attributes, INDENT))


def tagged(estimator, tag: str) -> dict[str, Any]:
    """{name: default} of an estimator's parameters that have a tag."""
    return {name: row.default for name, row in estimator._parameters.items() if tag in row.tags}
