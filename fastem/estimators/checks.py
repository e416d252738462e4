"""Checks of parameters, and of the columns at prediction, with scikit-learn's messages.

A check is a function ``check(owner, name, value)`` that raises ValueError where an owner's parameter has a value that
is not allowed.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from fastem.errors import did_you_mean, shown, warn
from fastem.rows.side_columns import named_columns

Check = Callable[[str, str, Any], None]


def number(kind, least, *, optional=False, finite=False, boolean=False, unless: str | None = None) -> Check:
    """A number of at least `least`; `optional`, `boolean` and `unless` also allow None, True and False, and a word."""
    what = "an int" if kind is numbers.Integral else "a float"
    others = " or None" if optional else "" if unless is None else f" or {unless!r}"

    def check(owner, name, value):
        if (optional and value is None) or (unless is not None and isinstance(value, str) and value == unless):
            return
        is_flag = isinstance(value, (bool, np.bool_))
        right_type = boolean if is_flag else isinstance(value, kind)
        if not right_type or not value >= least or (finite and not np.isfinite(value)):
            raise ValueError(
                f"The {name!r} parameter of {owner} must be {what} in the range "
                f"[{least}, inf){others}. Got {shown(value)} instead."
            )

    return check


def whole(least, **allowed) -> Check:
    """A whole number of at least `least`."""
    return number(numbers.Integral, least, **allowed)


def real(least, **allowed) -> Check:
    """A real number of at least `least`."""
    return number(numbers.Real, least, **allowed)


def positive(owner, name, value):
    """A number above 0, or None."""
    is_number = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
    if value is not None and not (is_number and 0 < value < np.inf):
        raise ValueError(
            f"The {name!r} parameter of {owner} must be None or a float in the range (0.0, inf). "
            f"Got {shown(value)} instead."
        )


def flag(owner, name, value):
    """True or False; 1 and 0 are taken for them."""
    if not isinstance(value, (bool, np.bool_, numbers.Integral)) or value not in (0, 1):
        raise ValueError(f"The {name!r} parameter of {owner} must be True or False. Got {shown(value)} instead.")


def choice(choices: Collection[str], *, unless: Callable[[Any], bool] = lambda value: False, others: str = "") -> Check:
    """One of some strings, or a value for which `unless` is true; others: these values in words."""
    also = f" or {others}" if others else ""

    def check(owner, name, value):
        if not unless(value) and (not isinstance(value, str) or value not in choices):
            listed = ", ".join(repr(one) for one in sorted(choices))
            raise ValueError(
                f"The {name!r} parameter of {owner} must be a str among {{{listed}}}{also}. Got {shown(value)} instead."
                f"{did_you_mean(value, choices) if isinstance(value, str) else ''}"
            )

    return check


def checked_numbers(n_components) -> list[int]:
    """Numbers of components, ascending, each once."""
    listed = [n_components] if isinstance(n_components, numbers.Integral) else list(n_components)
    for K in listed:
        if not isinstance(K, numbers.Integral) or isinstance(K, bool) or K < 1:
            raise ValueError(f"n_components must hold whole numbers of at least 1. Found {K!r}.")
    if not listed:
        raise ValueError("n_components is empty: name at least one number of components.")
    return sorted({int(K) for K in listed})


def check_features(estimator, n_features, names):
    """Compare the columns at prediction with those of the fit."""
    kind = type(estimator).__name__
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None and names is not None:
        warn(f"X has feature names, but {kind} was fitted without feature names", UserWarning)
    elif fitted is not None and names is None:
        warn(f"X does not have valid feature names, but {kind} was fitted with feature names", UserWarning)
    elif fitted is not None:
        require_same_names(fitted, names)
    if n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {n_features} features, but {kind} is expecting {estimator.n_features_in_} features as input."
        )


def require_no_named(method, **given):
    """ValueError where a method that fits and then uses the same rows is given the name of a column of X: that column
    is none of the values, and X is used as a whole."""
    second = method.removeprefix("fit_")
    for role, value in given.items():
        if value is not None and named_columns(value) is not None:
            raise ValueError(
                f"{method} cannot leave out the column that {role}={value!r} names where it calls {second}. Call fit, "
                f"then {second} with the rows without it."
            )


def require_names_of_last_fit(estimator, names):
    """ValueError where a warm start would take the last fit's parameters for those of other columns."""
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is not None and names is not None:
        require_same_names(fitted, names)


def require_same_names(fitted, names, what="feature"):
    """ValueError where the names of columns at prediction are not those of the fit, in their order."""
    if list(fitted) != list(names):
        raise ValueError(names_differ(sorted(set(names) - set(fitted)), sorted(set(fitted) - set(names)), what))


def names_differ(unseen, missing, what="feature") -> str:
    """scikit-learn's message where the names at prediction differ from those of the fit; what: of which columns."""

    def listed(names):
        return "".join(f"- {name}\n" for name in names[:5]) + ("- ...\n" if len(names) > 5 else "")

    message, What = f"The {what} names should match those that were passed during fit.\n", what.capitalize()
    if unseen:
        message += f"{What} names unseen at fit time:\n" + listed(unseen)
    if missing:
        message += f"{What} names seen at fit time, yet now missing:\n" + listed(missing)
    if not missing and not unseen:
        message += f"{What} names must be in the same order as they were in fit.\n"
    return message
