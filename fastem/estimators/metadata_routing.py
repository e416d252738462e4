"""scikit-learn's metadata routing: which of the arguments beside X and y a meta-estimator hands on."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from fastem.estimators.refused_sides import taken_of

E = TypeVar("E")
NOT_ROUTED = "self", "X", "y"
METHODS = "fit", "partial_fit", "predict", "predict_proba", "score", "transform"


def set_fit_request(self: E, **requests: Any) -> E:
    """What a scikit-learn meta-estimator hands on to `fit`, after ``sklearn.set_config(enable_metadata_routing=True)``.

    Parameters
    ----------
    **requests : bool, None or str
        Of each argument of `fit` beside X and y, e.g. ``sample_weight=True``: hand it on; False: do not; None: raise an
        error where it is given; a name: hand on what is given by this name.

    Returns
    -------
    self

    Raises
    ------
    TypeError
        `fit` has no such argument.
    RuntimeError
        Metadata routing is not enabled: meta-estimators would not look at what is set here.
    """
    return requested(self, "fit", requests)


def request_of(method: str) -> Callable[..., Any]:
    """The same as :func:`set_fit_request` for another method."""

    def set_request(self: E, **requests: Any) -> E:
        return requested(self, method, requests)

    set_request.__name__ = set_request.__qualname__ = f"set_{method}_request"
    set_request.__doc__ = f"""What a scikit-learn meta-estimator hands on to `{method}`; see :meth:`set_fit_request`.

    Parameters
    ----------
    **requests : bool, None or str

    Returns
    -------
    self
    """
    return set_request


set_score_request = request_of("score")
set_partial_fit_request = request_of("partial_fit")
set_predict_request = request_of("predict")
set_predict_proba_request = request_of("predict_proba")


def requested(self, method, requests):
    """The estimator, which remembers these requests of a method."""
    if not is_enabled():
        raise RuntimeError(
            f"set_{method}_request is only available when metadata routing is enabled. Call "
            "sklearn.set_config(enable_metadata_routing=True) before it."
        )
    known = routable(self, method)
    for name in requests:
        if name not in known:
            only = f"only {', '.join(known)}" if known else "only X"
            raise TypeError(f"{type(self).__name__}.{method} has no argument {name!r}, {only}.")
    before = getattr(self, "_metadata_requests", {})
    self._metadata_requests = before | {method: before.get(method, {}) | requests}
    return self


def is_enabled() -> bool:
    """Whether scikit-learn routes metadata; where it was not imported, nobody can have asked it to."""
    return "sklearn" in sys.modules and sys.modules["sklearn"].get_config()["enable_metadata_routing"]


def routable(estimator, method) -> list[str]:
    """The arguments of a method beside X and y, with the side columns that the estimator takes."""
    function = getattr(type(estimator), method, None)
    if function is None:
        return []
    return taken_of(estimator, [name for name in inspect.signature(function).parameters if name not in NOT_ROUTED])


def get_metadata_routing(self) -> Any:
    """The requests as scikit-learn's meta-estimators read them."""
    from sklearn.utils.metadata_routing import MetadataRequest

    chosen, routing = getattr(self, "_metadata_requests", {}), MetadataRequest(owner=self)
    for method in METHODS:
        for name in routable(self, method):
            getattr(routing, method).add_request(param=name, alias=chosen.get(method, {}).get(name))
    return routing
