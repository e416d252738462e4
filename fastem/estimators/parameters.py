"""Parameters of constructors: a family states its own and passes the others on; signatures show all of them."""

from __future__ import annotations

import inspect
from typing import Any, TypedDict


class MixtureParameters(TypedDict, total=False):
    """What every mixture's constructor takes by name, for type checkers."""

    tol: float
    max_iter: int
    n_init: int
    init_params: Any
    weights_init: Any
    random_state: Any
    warm_start: bool
    verbose: int
    verbose_interval: int
    n_threads: int | None
    coarse: bool
    stop: Any
    accelerate: str | None
    on_collapse: str
    split_merge: int
    equal_weights: bool
    weight_concentration_prior: Any
    fixed: dict | None


class GaussianParameters(MixtureParameters, total=False):
    """What mixtures of Gaussians and their relatives take besides."""

    covariance_type: str
    reg_covar: float
    means_init: Any
    precisions_init: Any
    noise: Any
    prior: Any
    max_eigenvalue_ratio: float | None


def full_signature(init, above, first=()) -> inspect.Signature:
    """The signature of a constructor with all that the one above it takes in place of its `**others`.

    Its own parameters come before the others, and those named in `first` before all.
    """
    signature = inspect.signature(init)
    own = {name: p for name, p in signature.parameters.items() if p.kind is not p.VAR_KEYWORD}
    if len(own) < len(signature.parameters):
        own |= {name: p for name, p in inspect.signature(above).parameters.items() if name not in own}
    order = ["self", "n_components", *first]
    names = [name for name in order if name in own] + [name for name in own if name not in order]
    return signature.replace(parameters=[own[name] for name in names])


def require_parameters(cls, args, named):
    """Raise TypeError, in the name of the class, where its constructor does not take these arguments."""
    signature = inspect.signature(cls.__init__)
    try:
        signature.bind(None, *args, **named)
    except TypeError as error:
        parameters = ", ".join(name for name in signature.parameters if name != "self")
        raise TypeError(f"{cls.__name__}: {error}. Its parameters: {parameters}.") from None
