"""Checks of what a user gives: memberships and arrays to start from, and fitted attributes."""

from __future__ import annotations

import numpy as np

from fastem.rows.validation import numbers_beside, require_finite, require_unmasked


def checked_membership(membership, n, n_components):
    """Responsibilities (n, K) whose rows sum to 1, or labels (n,) below K."""
    require_unmasked(membership, "init_params")
    try:
        array = np.asarray(membership)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"init_params must be an array of labels or of responsibilities: {error}") from error
    if array.shape == (n,):
        if array.dtype.kind not in "iu":
            raise ValueError(f"init_params contains labels of type {array.dtype}, but labels must be whole numbers.")
        if array.min() < 0 or array.max() >= n_components:
            raise ValueError(
                f"init_params must contain labels from 0 to {n_components - 1}. "
                f"Got labels from {array.min()} to {array.max()}."
            )
        return array
    if array.shape != (n, n_components):
        raise ValueError(
            f"init_params must be responsibilities of shape {(n, n_components)} or labels of shape {(n,)}, "
            f"but it has shape {array.shape}."
        )
    if array.dtype.kind not in "fiu":
        raise ValueError(f"init_params contains responsibilities of type {array.dtype}, but they must be numbers.")
    array = array.astype(np.float64)
    require_finite(array, "init_params")
    if (array < 0).any() or np.abs(array.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError("init_params contains responsibilities, but not every row is probabilities that sum to 1.")
    return array


def checked_array(value, name, shape, source=""):
    """A float64 copy of finite numbers in the right shape, or None.

    shape : tuple
        Lengths; one that may be any has a name in place of a number, e.g. ``("K", "d")``.
    source : str
        The parameter or attribute that has the value, where scikit-learn's messages, in which `name` is, do not say it.
    """
    if value is None:
        return None
    where = f" in {source}" if source else ""
    expected = str(shape).replace("'", "")
    require_unmasked(value, source or name)
    try:
        array = np.array(numbers_beside(np.asarray(value)), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The parameter '{name}' must contain numbers in the shape of {expected}{where}: {error}"
        ) from error
    if array.ndim != len(shape) or any(not isinstance(n, str) and n != m for n, m in zip(shape, array.shape)):
        raise ValueError(f"The parameter '{name}' should have the shape of {expected}, but got {array.shape}{where}")
    if not np.isfinite(array).all():
        raise ValueError(f"The parameter '{name}' contains NaN or infinity{where}.")
    return array


def checked_attribute(estimator, name, shape):
    """A fitted attribute, which a user may have set, as :func:`checked_array`; None where it is not there."""
    return checked_array(getattr(estimator, name, None), name.removesuffix("_"), shape, name)


def checked_weights(value, n_components, source="weights_init"):
    """Mixture weights: in [0, 1], summing to 1."""
    weights = checked_array(value, "weights", (n_components,), source)
    if weights is None:
        return None
    if (weights < 0).any() or (weights > 1).any():
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{weights.max():.5f}, min value {weights.min():.5f} in {source}"
        )
    if abs(weights.sum() - 1) > 1e-6:
        raise ValueError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f} in {source}"
        )
    return weights
