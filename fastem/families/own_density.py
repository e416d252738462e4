"""The model of a density of one's own: what EM drives, from the two functions that a user gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NoReturn

import numpy as np

from fastem.models.weights import FREE, Shares
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.statistics import Statistics
from fastem.rows.validation import real_numbers, require_unmasked

LEAST_WEIGHT = 1e-8  # of a component, in units of the heaviest share of a row: one with less keeps its parameters


@dataclass(frozen=True)
class Density:
    """A density by its functions, which see rows and weights that they cannot change."""

    log_prob: Callable
    estimate: Callable

    def fitted(self, X, weight) -> np.ndarray:
        """The parameters of a weighted fit, as an array."""
        found = returned(
            "estimate", self.estimate(unchangeable(X), unchangeable(weight)), "a number or an array of them"
        )
        if not np.isfinite(found).all():
            raise ValueError(f"estimate returned parameters that are not finite: {found}")
        return found

    def log_density(self, X, parameters) -> np.ndarray:
        """(n,) its logarithm; ValueError where log_prob gives another shape, NaN or inf."""
        values = returned("log_prob", self.log_prob(unchangeable(X), parameters), "one number for each row")
        if values.shape != (len(X),):
            raise ValueError(f"log_prob must return one number for each row, ({len(X)},), but returned {values.shape}.")
        wrong = np.isnan(values) | (values == np.inf)
        if wrong.any():
            row = int(wrong.argmax())
            what = "NaN" if np.isnan(values[row]) else "inf"
            raise ValueError(f"log_prob returned {what} for row {row} with the parameters {parameters}.")
        return values


def unchangeable(array) -> np.ndarray:
    """The array in float64, as a view that cannot be written to."""
    view = np.asarray(array, np.float64).view()
    view.flags.writeable = False
    return view


def returned(name, value, what) -> np.ndarray:
    """float64 of what a user's function returned; ValueError where that is something else than real numbers."""
    require_unmasked(value, f"what {name} returned")
    array = real_numbers(value)
    if array is None:
        kind = getattr(value, "dtype", None)
        kind = type(value).__name__ + ("" if kind is None else f" of {kind}")
        raise ValueError(f"{name} must return {what}, real and all of one shape, but returned a {kind}.")
    return array.astype(np.float64)


def stacked(parameters) -> np.ndarray:
    """(K, ...) the parameters of the components; ValueError where their shapes differ."""
    shapes = list(dict.fromkeys(one.shape for one in parameters))
    if len(shapes) > 1:
        raise ValueError(
            f"estimate returned parameters of the shapes {shapes[0]} and {shapes[1]}. Return the same one."
        )
    return np.array(parameters)


@dataclass(frozen=True)
class OwnModel:
    """The fitted mixture: what :func:`fastem.em` drives.

    Its E-step keeps the responsibilities of all rows: a density that gives no sums of its own needs them in its M-step.
    """

    weights: np.ndarray
    parameters_: np.ndarray
    density: Density
    d: int
    rows: np.ndarray | None = None

    shares: ClassVar[Shares] = FREE
    discrete = has_ellipses = takes_missing = False

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.weights), self.d

    @property
    def emission(self) -> OwnModel:
        """Itself: what is asked of an emission, it answers."""
        return self

    @property
    def n_parameters(self) -> int:
        return self.parameters_.size + len(self.weights) - 1

    def column_parameters(self):
        """None: which column a parameter is of, is not known."""
        return None

    def log_joint(self, X) -> np.ndarray:
        """(n, K) log p(x, z = k)."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights)
        return np.stack([self.density.log_density(X, at) for at in self.parameters_], axis=1) + logs

    def posterior(self, X) -> np.ndarray:
        """(n, K) p(z = k | x)."""
        return posterior_of(self.log_joint(X))

    def doubt(self, X) -> np.ndarray:
        """(n,) minus the logarithm of each row's largest posterior probability; 0 where no component can produce it."""
        joint = self.log_joint(X)
        possible = np.isfinite(joint.max(axis=1))
        return np.where(possible, total_of(joint) - np.where(possible, joint.max(axis=1), 0), 0)

    def e_step(self, X, sample_weight=None) -> Statistics:
        """The responsibilities times the weights, and the log-likelihood."""
        joint, weight = self.log_joint(X), np.ones(len(X)) if sample_weight is None else sample_weight
        return Statistics(
            joint=posterior_of(joint) * weight[:, None], log_likelihood=weight @ total_of(joint), weight=weight.sum()
        )

    def m_step(self, statistics) -> OwnModel:
        """Each component fitted to its share of the rows; TypeError of a model that keeps none."""
        if self.rows is None:
            raise TypeError(
                "a density of one's own has no M-step without the rows of its fit, which the fitted mixture does not "
                "keep. Call fit."
            )
        counts = statistics.joint.sum(axis=0)
        least = LEAST_WEIGHT * statistics.joint.max()
        found = [
            self.density.fitted(self.rows, joint) if count > least else before
            for joint, count, before in zip(statistics.joint.T, counts, self.parameters_)
        ]
        return replace(self, weights=counts / counts.sum(), parameters_=stacked(found))

    def score(self, X, n_threads, *, labels=None, responsibilities=None, log_density=None) -> None:
        """Write what is asked for into the arrays given."""
        joint = self.log_joint(X)
        if log_density is not None:
            log_density[:] = total_of(joint)
        if labels is not None or responsibilities is not None:
            posterior = posterior_of(joint)
            for out, values in ((labels, posterior.argmax(axis=1)), (responsibilities, posterior)):
                if out is not None:
                    out[:] = values

    def sample(self, n, rng) -> NoReturn:
        """Not defined, because nothing but the logarithm of the density is known."""
        raise TypeError(
            "a density of one's own draws no rows, because only its logarithm is known. For thresholds of the "
            "log-density give rows: quantile(q, X)."
        )


class WholeRows(ArrayBlocks):
    """Rows of which the E-step keeps every one."""

    def reduce(self, model, n_threads) -> Statistics:
        return model.e_step(self.X, self.sample_weight)


def total_of(log_joint) -> np.ndarray:
    """(n,) log p(x) of log p(x, z = k): -inf where no component can produce a row."""
    return np.logaddexp.reduce(log_joint, axis=1)


def posterior_of(log_joint) -> np.ndarray:
    """(n, K) responsibilities of log p(x, z = k); ValueError at the first row that no component can produce."""
    most = log_joint.max(axis=1)
    if not np.isfinite(most).all():
        row = int((~np.isfinite(most)).argmax())
        raise ValueError(f"log_prob is -inf for row {row} in every component: no component can produce it.")
    joint = np.exp(log_joint - most[:, None])
    return joint / joint.sum(axis=1, keepdims=True)
