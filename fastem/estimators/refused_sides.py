"""Side columns of rows that a method does not take are refused by the estimator's name: Python would name the class far
above it that has the method."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

WITH_BOUNDS = "Mixtures whose components have a distribution function at hand do, such as GaussianMixture."
ROLES = {
    "errors": "Only GaussianMixture does.",
    "covariates": "Mixtures by maximum likelihood do, in fit, in predictions and in scores.",
    "lower": WITH_BOUNDS,
    "upper": WITH_BOUNDS,
}
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
        if named and (refused := roles & named.keys()):
            role = min(refused)
            raise TypeError(f"{type(self).__name__}.{method.__name__} takes no {role}=. {ROLES[role]}")
        return method(self, *args, **named)

    return checked
