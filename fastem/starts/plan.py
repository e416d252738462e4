"""A fit as asked for: frozen, made once at the door from an estimator's parameters. Nothing below sees an estimator.

A `Plan` holds what every mixture has (how many components, from where, until when, how often) and a `Family`: what one
kind of density gives to a fit. Variants of a fit are ``replace(plan, start=...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from fastem.models.gaussian.conjugate_prior import ConjugatePrior
from fastem.models.gaussian.noise import Background
from fastem.models.mixture import Mixture
from fastem.models.weights import FREE_WEIGHTS, WeightRule
from fastem.starts.clusters import MEMBERSHIPS
from fastem.starts.from_memberships import membership_weights
from fastem.starts.given import checked_membership, checked_weights
from fastem.starts.subsample import all_rows, subsample


@dataclass(frozen=True)
class Scales:
    """What a fit takes from the columns before it starts. A family fills in what it has.

    Attributes
    ----------
    floor : (d,)
        Least variance of each column.
    background : Background
        The noise beside Gaussians.
    prior : ConjugatePrior
        The prior of means and covariances.
    deviations : (d,)
        The columns' units, for a bound on the ratio of eigenvalues.
    pattern : Emission
        A density of the right kind, with its bounds and levels; its parameters are not used.
    members : {kind: Scales}
        Of columns of different kinds.
    """

    floor: np.ndarray | None = None
    background: Background | None = None
    prior: ConjugatePrior | None = None
    deviations: np.ndarray | None = None
    pattern: Any = None
    members: Mapping[str, Scales] = field(default_factory=dict)


NO_SCALES = Scales()


@dataclass(frozen=True)
class Start:
    """Where EM begins.

    Attributes
    ----------
    init : str, array or callable
        A named start, responsibilities (n, K) or labels (n,), or a function ``f(X, n_components, rng)`` of such.
    given : {"weights", "means", "precisions": array}
        Parameters that take the place of those which `init` leads to.
    last : Mixture, optional
        Of the last fit, from which this one goes on.
    coarse : bool
        Whether short runs on a subsample find the start where there are many rows.
    """

    init: Any = "kmeans"
    given: Mapping[str, np.ndarray] = field(default_factory=dict)
    last: Mixture | None = None
    coarse: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether every restart would begin at the same mixture."""
        by_row = not (isinstance(self.init, str) or callable(self.init))
        return by_row or {"weights", "means", "precisions"} <= self.given.keys()

    @property
    def is_named(self) -> bool:
        """Whether another kind of start may stand in for this one: it is fastem's to choose."""
        return isinstance(self.init, str) and not self.given and self.last is None


@dataclass(frozen=True)
class Stop:
    """When a run of EM ends; see :func:`fastem.em`."""

    tol: float = 1e-3
    max_iter: int = 100
    rule: str | Callable = "log_likelihood"


@dataclass(frozen=True)
class RestartPolicy:
    """How often a fit starts, and what happens to a component that collapses.

    Attributes
    ----------
    n_init : int
    split_merge : int
        Further restarts that merge two components of the best mixture and split another one.
    on_collapse : {"floor", "reseed", "drop", "raise"}
    """

    n_init: int = 1
    split_merge: int = 0
    on_collapse: str = "floor"


class Family(Protocol):
    """What a kind of density gives to a fit. Frozen; it holds parameters, no data and no estimator.

    `examine` and `emission` are owed; the other methods have a meaning for most families.

    Attributes
    ----------
    has_noise : bool
        Whether a density that is no component stands behind the components' own.
    """

    has_noise: ClassVar[bool] = False

    def examine(self, blocks, n_components: int, n_threads: int) -> Scales:
        """Check the values of the rows, and take from the columns what the fit needs."""
        ...

    def emission(self, X, weight, membership, n_components: int, scales: Scales):
        """The densities that fit labels (n,) or responsibilities (n, K)."""
        ...

    def least_rows(self, n_features: int) -> int:
        """Rows that one component needs."""
        return 1

    def start(self, plan: Plan, blocks, scales: Scales, rng, n_threads: int) -> Mixture:
        """The mixture that ``plan.start`` leads to; `blocks` may be some of the rows."""
        K, init = plan.n_components, plan.start.init
        if isinstance(init, str):
            X, weight = subsample(blocks, rng, K)
            membership = MEMBERSHIPS[init](X, weight, K, rng, n_threads)
        else:
            X, weight = all_rows(blocks)
            membership = checked_membership(init(X, K, rng) if callable(init) else init, len(X), K)
        weights = checked_weights(plan.start.given.get("weights"), K)
        if weights is None:
            weights = membership_weights(weight, membership, K)
        return Mixture(weights, self.emission(X, weight, membership, K, scales))

    def continued(self, mixture: Mixture, scales: Scales) -> Mixture:
        """The last fit's mixture, as a start for rows of these scales."""
        return mixture

    def constrained(self, mixture: Mixture, scales: Scales) -> Mixture:
        """The mixture with densities whose M-step keeps to the constraints."""
        return mixture

    def feasible(self, mixture: Mixture) -> Mixture:
        """A constrained mixture moved to where its constraints hold."""
        return mixture


@dataclass(frozen=True)
class Plan:
    """A fit as asked for.

    Attributes
    ----------
    family : Family
    n_components : int
    weights : WeightRule
        What the weights keep to.
    start : Start
    stop : Stop
    accelerate : str, optional
        See :func:`fastem.em`.
    restarts : RestartPolicy
    random_state : int, Generator, RandomState or None
    n_threads : int, optional
        As asked for; None is all that there are.
    verbose, verbose_interval
        What is told of the progress.
    """

    family: Family
    n_components: int
    weights: WeightRule = FREE_WEIGHTS
    start: Start = Start()
    stop: Stop = Stop()
    accelerate: str | None = None
    restarts: RestartPolicy = RestartPolicy()
    random_state: Any = None
    n_threads: int | None = None
    verbose: int | str = 0
    verbose_interval: int = 10

    def least_rows(self, n_features: int) -> int:
        """Rows that all components need together."""
        return self.n_components * self.family.least_rows(n_features)

    def from_start(self, init) -> Plan:
        """The same fit from another start."""
        return replace(self, start=replace(self.start, init=init))

    def from_membership(self, responsibilities) -> Plan:
        """The same fit from responsibilities (n, K), for as many components, and from nothing else."""
        return replace(self, n_components=responsibilities.shape[1], start=Start(init=responsibilities))

    def mixture(self, blocks, scales: Scales, rng, n_threads: int) -> Mixture:
        """A mixture to start from, on some of the rows; it need not keep to the constraints."""
        return self.family.start(self, blocks, scales, rng, n_threads)

    def constrained(self, mixture: Mixture, scales: Scales) -> Mixture:
        """The mixture whose M-step keeps to the constraints."""
        mixture = replace(mixture, shares=self.weights.shares(len(mixture.weights)))
        return self.family.constrained(mixture, scales)

    def begun(self, mixture: Mixture, scales: Scales) -> Mixture:
        """A start that keeps to the constraints itself."""
        mixture = self.constrained(mixture, scales)
        if self.weights.equal:
            K = mixture.n_components
            mixture = replace(mixture, weights=np.full(K, 1 / K))
        return self.family.feasible(mixture)
