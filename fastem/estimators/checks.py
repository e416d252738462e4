"""Parameters of constructors and columns at prediction, checked in scikit-learn's words."""

from __future__ import annotations

import numbers

import numpy as np

from fastem.errors import warn


def check_features(estimator, n_features, names):
    """The columns at prediction against those that the estimator was fitted on."""
    kind = type(estimator).__name__
    fitted = getattr(estimator, "feature_names_in_", None)
    if fitted is None and names is not None:
        warn(f"X has feature names, but {kind} was fitted without feature names", UserWarning)
    elif fitted is not None and names is None:
        warn(f"X does not have valid feature names, but {kind} was fitted with feature names", UserWarning)
    elif fitted is not None and (len(fitted) != len(names) or (fitted != names).any()):
        raise ValueError(_names_differ(sorted(set(names) - set(fitted)), sorted(set(fitted) - set(names))))
    if n_features != estimator.n_features_in_:
        raise ValueError(
            f"X has {n_features} features, but {kind} is expecting {estimator.n_features_in_} features as input."
        )


def _names_differ(unseen, missing):
    def listed(names):
        return "".join(f"- {name}\n" for name in names[:5]) + ("- ...\n" if len(names) > 5 else "")

    message = "The feature names should match those that were passed during fit.\n"
    if unseen:
        message += "Feature names unseen at fit time:\n" + listed(unseen)
    if missing:
        message += "Feature names seen at fit time, yet now missing:\n" + listed(missing)
    if not missing and not unseen:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message


def check_number(estimator, name, kind, low, *, optional=False, finite=False, boolean=False):
    """A parameter that must be a number of at least `low`."""
    value = getattr(estimator, name)
    if optional and value is None:
        return
    integral = kind is numbers.Integral
    right_type = isinstance(value, kind) and (boolean or not isinstance(value, bool))
    if not right_type or not value >= low or (finite and not np.isfinite(value)):
        what = "an int" if integral else "a float"
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be {what} in the range "
            f"[{low}, inf){' or None' if optional else ''}. Got {value!r} instead."
        )


def check_choice(estimator, name, choices):
    """A parameter that must be one of some strings."""
    value = getattr(estimator, name)
    if not isinstance(value, str) or value not in choices:
        listed = ", ".join(repr(choice) for choice in sorted(choices))
        raise ValueError(
            f"The {name!r} parameter of {type(estimator).__name__} must be a str among {{{listed}}}. "
            f"Got {value!r} instead."
        )
