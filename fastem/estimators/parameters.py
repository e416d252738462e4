r"""Parameters of constructors. Each is written once, in the body of its class:

    class Powered(MixtureEstimator):
        power: float = parameter(2.0, real(0.0), "float\nHow steep the densities are.")

These rows make the constructor with its explicit signature, the checks, the section "Parameters" of the docstring and
every list of names. Tags say what else a row is.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from textwrap import indent
from typing import Any

from fastem.estimators.checks import Check

COLUMNS = "columns"  # a tag: its shape is that of all columns, so a mixture of some columns does not have it
RESUME = "resume"  # it does not change the result of a fit, so it may differ when a fit is resumed
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


def parameter(
    default: Any, check: Check | None = None, doc: str = "", *, tags: Iterable[str] = (), kw_only: bool = True
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


def declared(cls, above: dict[str, Parameter]) -> dict[str, Parameter]:
    """The rows of a class: those in its body, which are removed from it, and those of the class above.

    Positional parameters come first, then those of the body, then the others.
    """
    annotations = inspect.get_annotations(cls)
    in_body = {
        name: replace(row, name=name, annotation=annotations.get(name))
        for name, row in list(vars(cls).items())
        if isinstance(row, Parameter)
    }
    for name in in_body:
        delattr(cls, name)
    rows = in_body | {name: row for name, row in above.items() if name not in in_body}
    rows = {name: replace(row, positional=True) if positional(name, above) else row for name, row in rows.items()}
    return {name: rows[name] for name in sorted(rows, key=lambda name: not rows[name].positional)}


def positional(name, above) -> bool:
    """Whether a parameter is positional in the class above."""
    return name in above and above[name].positional


def constructor(rows: dict[str, Parameter]):
    """The __init__ of a class with these parameters: it stores them, and does nothing else."""
    signature = inspect.Signature(
        [
            inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(
                inspect.Parameter(
                    name,
                    inspect.Parameter.POSITIONAL_OR_KEYWORD if row.positional else inspect.Parameter.KEYWORD_ONLY,
                    default=row.default,
                    annotation=inspect.Parameter.empty if row.annotation in (None, "Any") else row.annotation,
                )
                for name, row in rows.items()
            ),
        ]
    )

    def __init__(self, *args, **named):
        try:
            bound = signature.bind(self, *args, **named)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}. Its parameters: {', '.join(rows)}.") from None
        bound.apply_defaults()
        vars(self).update({name: bound.arguments[name] for name in rows})

    __init__.__signature__ = signature  # type: ignore[attr-defined]
    return __init__


def documented(doc: str | None, rows: dict[str, Parameter], attributes: str) -> str | None:
    """A docstring in which the parameters replace the line ``{parameters}``, and the attributes ``{attributes}``."""
    if doc is None:  # python -OO takes docstrings away
        return doc
    lines = []
    for name, row in rows.items():
        kind, _, text = row.doc.partition("\n")
        lines.append(f"{name} : {kind}" if kind else name)
        lines += [f"    {line}".rstrip() for line in text.split("\n") if text]
    doc = doc.replace(PARAMETERS, indent("\n".join(lines), INDENT))
    return doc.replace(ATTRIBUTES, indent(attributes, INDENT))


def tagged(estimator, tag: str) -> dict[str, Any]:
    """{name: default} of an estimator's parameters that have a tag."""
    return {name: row.default for name, row in estimator._parameters.items() if tag in row.tags}
