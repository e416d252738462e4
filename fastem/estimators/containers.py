"""Results in the container that a user chose: an array, or a data frame of pandas or polars."""

from __future__ import annotations

import importlib
import sys
from typing import Any, TypeVar

import numpy as np

E = TypeVar("E")
CONTAINERS = {  # with the arguments that each takes from the rows X
    "default": None,
    "pandas": lambda X: {"index": X.index} if hasattr(X, "iloc") else {},
    "polars": lambda X: {"orient": "row"},
}


def set_output(self: E, *, transform: str | None = None) -> E:
    """What `transform` and `impute` return, and of mixtures `predict_proba`.

    Parameters
    ----------
    transform : {None, "default", "pandas", "polars"}
        "default": an array; None: no change. ``sklearn.set_config(transform_output=...)`` does so for `transform` and
        `impute` of all estimators.

    Returns
    -------
    self
    """
    if transform not in (None, *CONTAINERS):
        raise ValueError(f"transform must be None or one of {', '.join(map(repr, CONTAINERS))}. Got {transform!r}.")
    if transform is not None:
        vars(self)["_output"] = transform
    return self


def chosen_container(estimator: Any, everywhere: bool = True) -> str:
    """The container of an estimator: its own choice, else, where it holds `everywhere`, scikit-learn's configuration"""
    default = "default"
    if everywhere and "sklearn" in sys.modules:
        default = sys.modules["sklearn"].get_config()["transform_output"]
    return getattr(estimator, "_output", default)


def in_container(values: Any, X: Any, names: Any, container: str) -> Any:
    """Values (n, m) of the rows X in a container, their columns with these names; a lazy array stays one."""
    if container == "default" or not isinstance(values, np.ndarray):
        return values
    frame = importlib.import_module(container).DataFrame(values, **CONTAINERS[container](X))
    frame.columns = list(names)
    return frame
