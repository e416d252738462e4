"""Side columns and other arguments that an estimator or one of its methods does not take are refused: by its own name,
and with what takes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from fastem.errors import did_you_mean

WITH_BOUNDS = "Mixtures whose components have a distribution function at hand do, such as GaussianMixture."
ROLES = {
    "errors": "Only GaussianMixture does.",
    "covariates": "Mixtures by maximum likelihood do, in fit, in predictions and in scores.",
    "lower": WITH_BOUNDS,
    "upper": WITH_BOUNDS,
    "labels": "Mixtures do, in fit.",
}
OF_EVERY_MIXTURE = {"covariates", "labels"}
METHODS = (
    "fit",
    "fit_predict",
    "partial_fit",
    "predict",
    "predict_proba",
    "score",
    "score_samples",
    "bic",
    "aic",
    "icl",
)


def refused(estimator, role: str, method: str = "") -> TypeError:
    """The error where it does not take a side column."""
    if role not in ROLES:
        return TypeError(
            f"{type(estimator).__name__}: predictions and scores of single rows got an unexpected keyword argument "
            f"{role!r}.{did_you_mean(role, ROLES)} Beside X they take side columns: {', '.join(ROLES)}."
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


def refuse_sides(cls) -> None:
    """Wrap the methods in the body of a class that do not take any argument."""
    for name in METHODS:
        method = vars(cls).get(name)
        if not inspect.isfunction(method):
            continue
        taken = inspect.signature(method).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
            setattr(cls, name, refusing(method, [parameter.name for parameter in taken][1:]))


def refusing(method: Callable[..., Any], taken: list[str]) -> Callable[..., Any]:
    """The method, with a TypeError where an argument is given that is not among these."""
    known = set(taken)

    @wraps(method)
    def checked(self, *args, **named):
        if named and (given := named.keys() - known):
            if roles := given & ROLES.keys():
                raise refused(self, min(roles), f".{method.__name__}")
            name = min(given)
            raise TypeError(
                f"{type(self).__name__}.{method.__name__} got an unexpected keyword argument {name!r}."
                f"{did_you_mean(name, taken)} Its arguments: {', '.join(taken)}."
            )
        return method(self, *args, **named)

    return checked
