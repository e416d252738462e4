"""Arrays of Python's objects as numbers: numpy would make numbers of durations, and of others nothing that says why."""

from __future__ import annotations

import datetime
import numbers

import numpy as np

TIME_OBJECTS = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
HOW_TO_CONVERT = (
    "A date or a duration is a number only in a unit and from an origin that you choose: convert the column first, for "
    "example (t - t.min()) / numpy.timedelta64(1, 'D') for days."
)
HOW_TO_READ_TEXT = (
    "Text in memory is never read as numbers: convert it first, with astype(float) or pandas.to_numeric (names of "
    "classes: pandas.factorize)."
)


def numbers_of(objects: np.ndarray) -> np.ndarray:
    """Objects as float64, those that are missing (None, pandas' NA) as NaN.

    Raises
    ------
    ValueError, TypeError
        Some are no real numbers: the message begins with "holds".
    """
    kinds = list(dict.fromkeys(map(type, objects.ravel())))
    for kind in kinds:
        _require_real(kind)
    if any(map(_is_missing, kinds)):
        objects = np.array([None if _is_missing(type(value)) else value for value in objects.ravel()]).reshape(
            objects.shape
        )
    try:
        return objects.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"holds what is no number of float64: {error}") from error


def has_text(objects: np.ndarray) -> bool:
    """Whether there is a text among objects of any shape."""
    return any(issubclass(kind, (str, bytes)) for kind in set(map(type, objects.ravel())))


def _require_real(kind: type) -> None:
    """ValueError where objects of a type are such as numpy may make numbers of, but none that the user meant."""
    if issubclass(kind, (str, bytes)):
        raise ValueError(f"holds text. {HOW_TO_READ_TEXT}")
    if issubclass(kind, TIME_OBJECTS):
        raise ValueError(f"holds {kind.__name__}. {HOW_TO_CONVERT}")
    if issubclass(kind, numbers.Complex) and not issubclass(kind, numbers.Real):
        raise ValueError("holds complex numbers. Give their real and imaginary parts as columns.")


def _is_missing(kind: type) -> bool:
    """Whether it is the type of pandas' NA, which has no way to a float."""
    return kind.__name__ == "NAType" and kind.__module__.startswith("pandas")
