"""Fitted estimators from files; :mod:`fastem.estimators.model_file` writes them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from fastem.estimators.estimator import Estimator
from fastem.estimators.model_file import check_arrays, listed, read_file
from fastem.families import ESTIMATORS
from fastem.families.regressions import MixtureOfRegressions

FILED = ESTIMATORS | {"MixtureOfRegressions": MixtureOfRegressions}  # what a file may contain
OWN = "Mixture"  # whose functions are in no file
E = TypeVar("E", bound=Estimator)


@overload
def load(path: str | os.PathLike) -> Any: ...


@overload
def load(path: str | os.PathLike, kind: type[E]) -> E: ...


def load(path: str | os.PathLike, kind: type[Estimator] = Estimator) -> Any:
    """Read an estimator that :func:`save` has written.

    Parameters
    ----------
    path : str or path-like
    kind : class, optional
        What the file must hold, e.g. :class:`fastem.GaussianMixture`; type checkers then know the result.

    Returns
    -------
    one of fastem's estimators
        Fitted; it predicts the same as the saved one.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, or it is damaged, of another kind, of another class than `kind` or of a later version of
        the format, or its numbers make no model.

    Examples
    --------
    See :func:`save`.
    """
    return read_estimator(path, FILED, kind)


def read_estimator(path: str | os.PathLike, known: Mapping[str, Callable], kind: type = Estimator) -> Any:
    """The estimator in a file, as :func:`load` has it; known: {name of a class: what makes one, by its parameters}."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    header, arrays = read_file(path)
    try:
        if header["class"] not in known:
            raise ValueError(f"it contains a {header['class']!r}, {_instead(header['class'], known)}")
        make = known[header["class"]]
        blank = make()
        if not isinstance(blank, kind):
            raise ValueError(f"it contains a {header['class']}, not a {kind.__name__}")
        check_arrays(header["arrays"], arrays)
        return _build(make, blank, header, arrays)
    except KeyError as error:
        raise ValueError(f"{path} is damaged: {error} is missing. Save the model again.") from None
    except (AttributeError, TypeError) as error:  # a value has the wrong type
        raise ValueError(f"{path} is damaged: {error}. Save the model again.") from error
    except ValueError as error:
        raise ValueError(f"{path} is not a usable model: {error}") from error


def _instead(name, known) -> str:
    """What to do where a file contains none of the classes that are known."""
    if name == OWN:
        return "of a density of one's own: read it by the load of what Mixture.of gives for this density"
    if name in FILED:
        return f"not a {' or '.join(known)} of a density of one's own: read it by fastem.load"
    return f"but this version knows only {', '.join(known)}"


def _build(make: Callable, blank: Estimator, header: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """An estimator with the parameters, attributes and arrays of the file; blank: one with the default parameters."""
    cls = type(blank)
    array_parameters = set(header["array_parameters"])
    unknown = (set(arrays) - array_parameters - set(cls._saved_arrays)) | (
        set(header["attributes"]) - set(cls._saved_scalars)
    )
    if unknown:  # a file must not replace a method
        raise ValueError(f"{listed(unknown)} cannot be part of a {cls.__name__}")
    known = blank.get_params()
    # a parameter that the class had when the file was written, and that was never set, is left out
    parameters = {name: value for name, value in header["parameters"].items() if name in known or value is not None}
    estimator = make(**parameters, **{name: arrays[name] for name in array_parameters})
    attributes = {name: array for name, array in arrays.items() if name not in array_parameters}
    estimator._set_arrays(
        {name: array.astype(object) if array.dtype.kind == "U" else array for name, array in attributes.items()}
    )
    for name, value in header["attributes"].items():
        setattr(estimator, name, value)
    estimator._restore()
    return estimator
