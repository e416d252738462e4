"""What an estimator is told to keep to: its parameters, checked against each other, made part of a start.

Weights are constrained in every mixture (`equal_weights`, `weight_concentration_prior`, `fixed`), means and covariances
in mixtures of Gaussians (`prior`, `max_eigenvalue_ratio`, `fixed`).
"""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from fastem.estimators.checks import check_number
from fastem.models.gaussian.conjugate_prior import ConjugatePrior, check_prior, conjugate_prior
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.covariance import Diagonal, Full, Spherical
from fastem.models.gaussian.eigenvalue_ratio import SERVED, EigenvalueRatio
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.weights import Shares
from fastem.rows.column_moments import observed_variances
from fastem.rows.cross_moments import MomentBlocks
from fastem.rows.scale import covariance_floor, robust_variances

STARTS = {"weights": "weights_init", "means": "means_init", "covariances": "precisions_init"}
OF_ONE_COMPONENT = Full, Diagonal, Spherical  # whose covariances have nothing to do with each other
MOVING = {"on_collapse": lambda policy: policy in ("reseed", "drop"), "split_merge": lambda attempts: attempts > 0}


class Learned(NamedTuple):
    """What a prior and a bound on the ratio of eigenvalues take from the data."""

    prior: ConjugatePrior | None = None
    scale: np.ndarray | None = None


def check_constraints(estimator) -> None:
    """ValueError where the constraints of any mixture are none, or contradict each other."""
    K, init = estimator.n_components, estimator.weights_init
    check_number(estimator, "equal_weights", numbers.Integral, 0, boolean=True)
    concentration = concentrations(estimator)
    held = fixed(estimator, "weights")
    for name in estimator.fixed or {}:
        fixed(estimator, name)
    numbered = [name for name in ("fixed", "weight_concentration_prior") if by_number(getattr(estimator, name))]
    if numbered and moving(estimator):
        name, value = moving(estimator)
        raise ValueError(
            f"{numbered[0]} tells components by their number, but {name}={value!r} moves them: drop one of the two."
        )
    if estimator.equal_weights:
        if held.any():
            raise ValueError("equal_weights=True leaves no weights to fix, but 'weights' is in fixed: drop one.")
        if (concentration > 1).any():
            raise ValueError("equal_weights=True leaves weight_concentration_prior nothing to weigh: drop one.")
        if init is not None and np.ptp(np.asarray(init, dtype=np.float64)) > 1e-6:
            raise ValueError(f"equal_weights=True, but weights_init holds other weights: {init!r}. Drop one.")
    if held.all() and (concentration > 1).any():
        raise ValueError("fixed holds all weights, which leaves weight_concentration_prior nothing to weigh: drop one.")
    if init is not None and np.shape(init) == (K,) and ((np.asarray(init) == 0) & (concentration > 1)).any():
        raise ValueError("weights_init holds 0, of which weight_concentration_prior is infinitely far: start above it.")


def moving(estimator):
    """The parameter that gives components other numbers, and its value; None where none does."""
    for name, moves in MOVING.items():
        if moves(getattr(estimator, name)):
            return name, getattr(estimator, name)
    return None


def require_labels_can_stay(estimator) -> None:
    """ValueError where labels of rows would be lost on the way."""
    if moving(estimator):
        name, value = moving(estimator)
        raise ValueError(
            f"labels tell components by their number, but {name}={value!r} moves them: drop one of the two."
        )
    if isinstance(estimator.init_params, str) and estimator.init_params == "emem":
        raise ValueError("init_params='emem' compares starts that know of no labels: choose another beside labels.")


def by_number(value) -> bool:
    """Whether a constraint names components, or has a value for each."""
    return np.ndim(value) > 0 or (isinstance(value, dict) and len(value) > 0)


def check_gaussian_constraints(estimator) -> None:
    """The same for what only Gaussians have."""
    ratio, kind, own = estimator.max_eigenvalue_ratio, estimator.covariance_type, type(estimator).__name__
    for name in ("prior", "max_eigenvalue_ratio"):
        if "means" not in estimator._fixable and getattr(estimator, name) is not None:
            raise ValueError(f"{name} is of Gaussian mixtures; {own} has none. Got {getattr(estimator, name)!r}.")
    check_prior(estimator.prior)
    structure = STRUCTURES[kind]
    if ratio is not None:
        check_number(estimator, "max_eigenvalue_ratio", numbers.Real, 1.0)
        if structure not in SERVED:
            served = ", ".join(repr(name) for name, found in STRUCTURES.items() if found in SERVED)
            raise ValueError(f"max_eigenvalue_ratio goes with covariance_type {served}; it is {kind!r}.")
        if fixed(estimator, "covariances").any():
            raise ValueError(
                "max_eigenvalue_ratio bounds all covariances, but 'covariances' is in fixed: drop one of the two."
            )
    held = fixed(estimator, "covariances")
    if held.any() and not held.all() and structure not in OF_ONE_COMPONENT:
        raise ValueError(
            f"fixed names the covariances of some components, but with covariance_type={kind!r} they depend on each "
            "other: fix all or none, or choose 'full', 'diag' or 'spherical'."
        )


def concentrations(estimator) -> np.ndarray:
    """(K,) of the Dirichlet prior of the weights; 1 is no prior."""
    value, K = estimator.weight_concentration_prior, estimator.n_components
    array = np.asarray(1.0 if value is None else value)
    if array.dtype.kind not in "iuf" or array.shape not in ((), (K,)) or not ((array >= 1) & np.isfinite(array)).all():
        raise ValueError(
            f"weight_concentration_prior must be a number of at least 1, or {K} of them: below 1 the posterior has no "
            f"maximum inside. Got {value!r} instead."
        )
    return np.broadcast_to(array.astype(np.float64), K)


def fixed(estimator, name) -> np.ndarray:
    """(K,) bool: the components of which a parameter is fixed."""
    asked, K = estimator.fixed, estimator.n_components
    known = ", ".join(map(repr, estimator._fixable))
    if asked is None:
        return np.zeros(K, dtype=bool)
    if not isinstance(asked, dict):
        raise ValueError(f"fixed must be {{name: True or numbers of components}}, names among {known}. Got {asked!r}.")
    if name not in estimator._fixable:
        if name in asked:
            raise ValueError(f"fixed names {name!r}; {type(estimator).__name__} can fix {known}.")
        return np.zeros(K, dtype=bool)
    value = asked.get(name, False)
    if isinstance(value, (bool, np.bool_)):
        return np.full(K, value)
    components = np.atleast_1d(np.asarray(value))
    if components.size == 0:
        return np.zeros(K, dtype=bool)
    if components.ndim != 1 or components.dtype.kind not in "iu" or components.min() < 0 or components.max() >= K:
        raise ValueError(f"fixed[{name!r}] must be True or hold components from 0 to {K - 1}. Got {value!r} instead.")
    return np.isin(np.arange(K), components)


def require_starts(estimator) -> None:
    """ValueError where a parameter is fixed of which no value is given."""
    for name in estimator.fixed or {}:
        warm = estimator.warm_start and estimator.__sklearn_is_fitted__()
        if fixed(estimator, name).any() and not warm and getattr(estimator, STARTS[name]) is None:
            raise ValueError(
                f"fixed names {name!r}, but no value is given to keep: pass {STARTS[name]}, or fit again with "
                "warm_start=True."
            )


def has_prior(estimator) -> bool:
    """Whether rows are weighed against a prior."""
    return bool((concentrations(estimator) > 1).any()) or getattr(estimator, "prior", None) is not None


def require_rows_as_unit(estimator, unit) -> None:
    """ValueError for sample weights beside which a prior, whose strength is in rows, means nothing."""
    if unit != 1 and has_prior(estimator):
        raise ValueError(
            "sample_weight is below 1e-9 or above 1e9 everywhere, beside which a prior, whose strength is in rows, "
            "means nothing: divide it by its mean."
        )


def with_shares(estimator, mixture):
    """The mixture with what its M-step makes of counts."""
    K = len(mixture.weights)
    held = np.full(K, True) if estimator.equal_weights else fixed(estimator, "weights")
    concentration = concentrations(estimator)
    pseudo = concentration - 1 if (concentration > 1).any() else None
    return replace(mixture, shares=Shares(pseudo, held if held.any() else None))  # the last fit's may have been others


def learned(estimator, blocks, n_threads) -> Learned:
    """From the rows, in one pass or two where a prior or a bound is asked for."""
    prior = scale = None
    if estimator.prior is not None:
        moments = MomentBlocks.collect(blocks, n_threads)
        weight = moments.weight
        covariance = moments.covariance * (weight / (weight - 1) if weight > 1 else 1)  # as R's var
        structure = STRUCTURES[estimator.covariance_type]
        prior = conjugate_prior(estimator.prior, structure, estimator.n_components, moments.mean, covariance)
    if estimator.max_eigenvalue_ratio is not None:
        variance = robust_variances(blocks.spread(), observed_variances(blocks, n_threads))
        scale = np.sqrt(covariance_floor(variance, blocks.head(1)[0], 1.0))
    return Learned(prior, scale)


def with_gaussians(estimator, mixture, found: Learned):
    """The mixture with Gaussians that keep to what is asked for."""
    means, covariances = fixed(estimator, "means"), fixed(estimator, "covariances")
    ratio = None if found.scale is None else EigenvalueRatio(estimator.max_eigenvalue_ratio, found.scale)
    if not means.any() and not covariances.any() and found.prior is None and ratio is None:
        return mixture
    own = mixture.emission
    low = np.broadcast_to(own.covariance.at_floor, len(means)) > 0
    if (low & covariances).any():
        raise ValueError(
            f"the covariance of component {int((low & covariances).argmax())} is fixed below reg_covar times the "
            "variance of the data: lower reg_covar, or fix another."
        )
    floor = own.floor if ratio is None else np.zeros_like(own.floor)
    emission = ConstrainedGaussian(own.means, own.covariance, floor, means, covariances, found.prior, ratio)
    return replace(mixture, emission=emission)
