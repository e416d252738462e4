"""Side columns and other arguments that an estimator or one of its methods does not take are refused: by its own name,
and with what takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from fastem.errors import did_you_mean
from fastem.estimators.compatibility import may_have
from fastem.estimators.sides_of_fit import require_read_whole, require_ungated

WITH_BOUNDS = "Mixtures whose components have a distribution function at hand do, such as GaussianMixture."
ROLES = {
    "errors": "Only GaussianMixture does.",
    "covariates": "Mixtures by maximum likelihood do, in fit, in predictions and in scores.",
    "lower": WITH_BOUNDS,
    "upper": WITH_BOUNDS,
    "labels": "Mixtures do, in fit.",
}
OF_EVERY_MIXTURE = {"covariates", "labels"}
ANY = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
SIDES = "sides"  # of a method, `**sides`: all side columns of the estimator


def refused(estimator, role: str, method: str = "") -> TypeError:
    """The error where it does not take a side column."""
    if role not in ROLES:
        return TypeError(
            f"{type(estimator).__name__}: predictions and scores of single rows got an unexpected keyword argument "
            f"{role!r}.{did_you_mean(role, ROLES)} Beside X they take side columns: {', '.join(sides_of(estimator))}."
        )
    advice = ROLES[role]
    if role in takes(estimator):
        advice = "Its fit does, and so do its predictions and scores."
    return TypeError(f"{type(estimator).__name__}{method} takes no {role}. {advice}")


def takes(estimator):
    """The side columns of a family that this mixture takes."""
    return getattr(estimator, "_openers", {})


def require_sides(estimator, sides: Iterable[str]) -> None:
    """Raise TypeError at the first of these side columns that no method of this mixture takes."""
    for role in sides:
        if role not in takes(estimator) and role not in OF_EVERY_MIXTURE:
            raise refused(estimator, role)


def sides_of(estimator) -> list[str]:
    """The side columns that predictions and scores of this mixture take."""
    return [role for role in ROLES if role in takes(estimator) or (role == "covariates" and gated(estimator))]


def gated(estimator) -> bool:
    """Whether the weights of a mixture of this class may depend on covariates."""
    return may_have({name: row.default for name, row in estimator._parameters.items()}, "covariates")


def taken_of(estimator, listed: list[str]) -> list[str]:
    """The arguments of a method that this estimator takes; listed: those of its signature."""
    listed = [one for one in listed if one != SIDES] + (sides_of(estimator) if SIDES in listed else [])
    others = ROLES.keys() - {"labels", *sides_of(estimator)}
    return [one for one in listed if one not in others]


def refuse_sides(cls) -> None:
    """Wrap the public methods in the body of a class, but those that take any argument."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        if inspect.isgeneratorfunction(method) or inspect.iscoroutinefunction(method):
            continue
        ours = method.__globals__["__name__"].partition(".")[0] == "fastem"  # others may give arguments themselves
        taken = list(inspect.signature(method, follow_wrapped=ours).parameters.values())[1:]
        if all(parameter.kind not in ANY or parameter.name == SIDES for parameter in taken):
            setattr(cls, name, refusing(method, taken, cls))


def refusing(method: Callable[..., Any], taken: list[inspect.Parameter], owner: type) -> Callable[..., Any]:
    """The method, with a TypeError by the user's own class where it is given what it does not take, and a ValueError
    where it cannot be had after a fit to rows with side columns."""
    listed = [parameter.name for parameter in taken]
    by_place = [parameter for parameter in taken if parameter.kind is parameter.POSITIONAL_OR_KEYWORD]
    needed = [parameter.name for parameter in by_place if parameter.default is parameter.empty]
    gateless = "covariates" not in listed
    known = set(listed) | (ROLES.keys() if SIDES in listed else set())

    @wraps(method)
    def checked(self, *args, **named):
        if not isinstance(self, owner):  # called on the class: Python says what is missing
            return method(self, *args, **named)
        if gateless:
            require_ungated(self, method.__name__)
        require_read_whole(self, method.__name__)
        if named and (given := named.keys() - known):
            if roles := given & ROLES.keys():
                raise refused(self, min(roles), f".{method.__name__}")
            raise unknown(self, method, min(given), listed)
        if len(args) > len(by_place):
            names = ", ".join(parameter.name for parameter in by_place) or "nothing"
            raise TypeError(f"{name_of(self, method)} takes {names} by position, but got {len(args)} arguments.")
        if len(args) < len(needed) and (missing := [name for name in needed[len(args) :] if name not in named]):
            raise TypeError(f"{name_of(self, method)} needs {' and '.join(missing)}.")
        return method(self, *args, **named)

    return checked


def name_of(estimator, method: Callable[..., Any]) -> str:
    """As the user called it."""
    return f"{type(estimator).__name__}.{method.__name__}"


def unknown(estimator, method: Callable[..., Any], name: str, listed: list[str]) -> TypeError:
    """The error where a method has no argument of this name; listed: those of its signature."""
    taken = taken_of(estimator, listed)
    return TypeError(
        f"{name_of(estimator, method)} got an unexpected keyword argument {name!r}.{did_you_mean(name, taken)} "
        f"Its arguments: {', '.join(taken) or 'none'}."
    )
