"""Side columns that an estimator or one of its methods does not take are refused: by its own name, and with what takes
them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

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
    others = f"Side columns are {', '.join(ROLES)}."
    return TypeError(f"{type(estimator).__name__}{method} takes no {role}. {ROLES.get(role, others)}")


def require_sides(estimator, sides: Iterable[str]) -> None:
    """Raise TypeError at the first of these side columns that no method of this mixture takes."""
    for role in sides:
        if role not in getattr(estimator, "_openers", {}) and role not in OF_EVERY_MIXTURE:
            raise refused(estimator, role)


def refuse_sides(cls) -> None:
    """Wrap the methods in the body of a class that do not take all side columns."""
    for name in METHODS:
        method = vars(cls).get(name)
        if not inspect.isfunction(method):
            continue
        taken = inspect.signature(method).parameters.values()
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
            setattr(cls, name, refusing(method, ROLES.keys() - {parameter.name for parameter in taken}))


def refusing(method: Callable[..., Any], roles) -> Callable[..., Any]:
    """The method, with a TypeError where one of these roles is given."""

    @wraps(method)
    def checked(self, *args, **named):
        if named and (given := roles & named.keys()):
            raise refused(self, min(given), f".{method.__name__}")
        return method(self, *args, **named)

    return checked
