r"""Parameters of constructors. Each is written once, in the body of its class:

    class Powered(MixtureEstimator):
        power: float = parameter(2.0, real(0.0), "float\nHow steep the densities are.")

From these rows come the constructor with its explicit signature, the checks, the section "Parameters" of the docstring
and every list of names: rows carry tags that say what else they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from fastem.estimators.checks import Check

COLUMNS = "columns"  # a tag: it is in the shape of all columns, so a mixture of some columns has none
RESUME = "resume"  # it does not change what a fit finds, so it may differ when a fit is resumed
SEARCH = "search"  # it has a meaning where many models are fitted, from starts that they share
PLACEHOLDER = "    {parameters}"


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
        What stands below its name in the docstring; its first line may begin with a type, ``"float, optional\\n..."``.
    tags : iterable of str
    kw_only : bool
        False: it may be given by place.
    """
    return Parameter(default, check, doc, frozenset(tags), not kw_only)


def declared(cls, above: dict[str, Parameter]) -> dict[str, Parameter]:
    """The rows of a class: its own, which are taken out of its body, and those of the class above.

    Parameters that may be given by place come first, then the class's own, then the others.
    """
    annotations = inspect.get_annotations(cls)
    own = {
        name: replace(row, name=name, annotation=annotations.get(name))
        for name, row in list(vars(cls).items())
        if isinstance(row, Parameter)
    }
    for name in own:
        delattr(cls, name)
    rows = own | {name: row for name, row in above.items() if name not in own}
    rows = {name: replace(row, positional=True) if positional(name, above) else row for name, row in rows.items()}
    return {name: rows[name] for name in sorted(rows, key=lambda name: not rows[name].positional)}


def positional(name, above) -> bool:
    """Whether a parameter may be given by place in the class above."""
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


def documented(doc: str | None, rows: dict[str, Parameter]) -> str | None:
    """A docstring with the parameters in the place of its line ``{parameters}``."""
    if doc is None or PLACEHOLDER not in doc:  # python -OO takes docstrings away
        return doc
    lines = []
    for name, row in rows.items():
        kind, _, text = row.doc.partition("\n")
        lines.append(f"    {name} : {kind}" if kind else f"    {name}")
        lines += [f"        {line}".rstrip() for line in text.split("\n") if text]
    return doc.replace(PLACEHOLDER, "\n".join(lines))


def tagged(estimator, tag: str) -> dict[str, Any]:
    """{name: default} of an estimator's parameters that bear a tag."""
    return {name: row.default for name, row in estimator._parameters.items() if tag in row.tags}
