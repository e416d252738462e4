"""Constraints of a fit's parameters, from the parameters of a constructor; other values are refused."""

from __future__ import annotations

import numpy as np

from fastem.models.weights import WeightRule
from fastem.rows.validation import real_numbers


def weight_rule(parameters, owner, fixable) -> WeightRule:
    """The constraint of the weights that `equal_weights`, `weight_concentration_prior` and `fixed` make."""
    K = parameters["n_components"]
    fixed = parameters["fixed"]
    for name in fixed if isinstance(fixed, dict) else ():
        checked_fixed(fixed, name, K, owner, fixable)
    return WeightRule(
        bool(parameters["equal_weights"]),
        concentration(parameters["weight_concentration_prior"], K),
        checked_fixed(fixed, "weights", K, owner, fixable),
    )


def concentration(value, n_components):
    """A Dirichlet prior's concentration: a number of at least 1, or one for each component."""
    array = real_numbers(1.0 if value is None else value)
    good_shape = array is not None and array.shape in ((), (n_components,))
    if not good_shape or not ((array >= 1) & np.isfinite(array)).all():
        raise ValueError(
            f"weight_concentration_prior must be one number or {n_components} numbers, each at least 1, because below "
            f"1 the posterior has no maximum with positive weights. Got {value!r} instead."
        )
    return array.astype(np.float64)


def checked_fixed(asked, name, n_components, owner, fixable) -> bool | np.ndarray:
    """What the parameter `fixed` says of one name: True (all components), False (none) or the numbers of components."""
    known = ", ".join(map(repr, fixable))
    if asked is None:
        return False
    if not isinstance(asked, dict):
        raise ValueError(
            f"fixed must be a dict {{name: True or numbers of components}} with names among {known}. "
            f"Got {asked!r} instead."
        )
    if name not in fixable:
        if name in asked:
            raise ValueError(f"fixed names {name!r}, but {owner} can fix only {known}.")
        return False
    value = asked.get(name, False)
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    components = real_numbers(value)
    if components is not None and components.size == 0:
        return False
    most = n_components - 1
    whole = components is not None and components.dtype.kind in "iu" and components.ndim < 2
    if not whole or components.min() < 0 or components.max() > most:
        raise ValueError(f"fixed[{name!r}] must be True or numbers from 0 to {most}. Got {value!r} instead.")
    return np.atleast_1d(components)


def require_values_to_keep(fixed, values, is_warm) -> None:
    """Raise ValueError where what is fixed has no value; values: {name: (parameter, its value)}."""
    for name, (parameter, value) in values.items():
        if names_something(fixed, name) and not is_warm and value is None:
            raise ValueError(
                f"fixed names {name!r}, but there is no value to keep. Pass {parameter}, or set warm_start=True and "
                "fit again."
            )


def names_something(fixed, name) -> bool:
    """Whether the parameter `fixed` names components of this name."""
    value = (fixed or {}).get(name, False)
    return value is not False and np.size(value) > 0
