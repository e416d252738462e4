"""The plan of a fit: frozen, made once from an estimator's parameters. Nothing below sees an estimator.

A `Plan` holds what every mixture has (how many components, where EM starts, when it stops, how often) and a `Family`:
what one kind of density gives to a fit. Variants of a fit are ``replace(plan, start=...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from fastem.driver.stopping import NEAR
from fastem.models.gaussian.conjugate_prior import ConjugatePrior
from fastem.models.gaussian.noise import Background
from fastem.models.mixture import Mixture
from fastem.models.weights import FREE_WEIGHTS, WeightRule
from fastem.starts.from_memberships import membership_weights
from fastem.starts.given import checked_membership, checked_weights
from fastem.starts.named import EMEM, MEMBERSHIPS, MERGED
from fastem.starts.subsample import all_rows, subsample


@dataclass(frozen=True)
class Scales:
    """What a fit takes from the columns before it starts. Each family fills in what it needs.

    Attributes
    ----------
    floor : (d,)
        Least variance of each column.
    background : Background
        The noise that a mixture of Gaussians has beside its components.
    prior : ConjugatePrior
        The prior of means and covariances.
    deviations : (d,)
        The columns' units, for a bound on the ratio of eigenvalues.
    rounding_variance : (d,)
        What rounding of the values adds to the variance of each column.
    rows_covariance : (d, d) or (d,)
        Of the rows, where that of a mixture may be less.
    weight : float
        Of all rows, against which a prior counts as so many.
    pattern : Emission
        A density of the right kind, with its bounds and levels; its parameters are not used.
    members : {kind: Scales}
        The scales of columns of different kinds.
    """

    floor: np.ndarray | None = None
    background: Background | None = None
    prior: ConjugatePrior | None = None
    deviations: np.ndarray | None = None
    rounding_variance: np.ndarray | None = None
    rows_covariance: np.ndarray | None = None
    weight: float | None = None
    pattern: Any = None
    members: Mapping[str, Scales] = field(default_factory=dict)


NO_SCALES = Scales()


@dataclass(frozen=True)
class Start:
    """Where EM begins.

    Attributes
    ----------
    init : str, array or callable
        A named start, responsibilities (n, K) or labels (n,), or a function ``f(X, n_components, rng)`` that
        returns either.
    given : {"weights", "means", "precisions": array}
        Parameters that replace those of `init`.
    last : Mixture, optional
        The result of the last fit, from which this one continues.
    coarse : bool
        Whether short runs on a subsample find the start where there are many rows.
    """

    init: Any = EMEM
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
        """Whether fastem may replace this start by one of another kind."""
        return isinstance(self.init, str) and not self.given and self.last is None


@dataclass(frozen=True)
class Stop:
    """When a run of EM ends; see :func:`fastem.em`."""

    tol: float = 1e-3
    max_iter: int = 1000
    rule: str | Callable = "gain"

    @property
    def near(self) -> Stop:
        """The same for a run that begins near the end."""
        return replace(self, rule=NEAR) if self.rule == "gain" else self


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

    A family must define `examine` and `emission`; the defaults of the other methods suit most families.

    Attributes
    ----------
    has_noise : bool
        Whether there is a density of noise after those of the components.
    start_kinds : {kind: runs}
        The named starts between which short runs of EM choose.
    start_partitions : tuple of str
        Those of them that are partitions of the rows, of which each that is unlike the others is a start. The family's
        own `start` makes a mixture from the others by their names.
    start_rounds : sequence of (iterations, runs that are left)
        The rounds of these runs. Random starts climb late.
    move_rounds : sequence of (iterations, runs that are left)
        The rounds of runs that merge two components of the best of these and split another. Default: none.
    driver_move_rounds : sequence of (iterations, runs that are left)
        The same where `short_runs` has no runs whose steps are compiled. Default: `move_rounds`.
    incomplete_rounds : (start_rounds, move_rounds) or ()
        Those of rows with missing values, where what is filled in hides clusters. Default: the same.
    """

    has_noise: ClassVar[bool] = False
    start_kinds: ClassVar[Mapping[str, int]] = {MERGED: 1, "kmeans": 1}
    start_partitions: ClassVar[tuple[str, ...]] = (MERGED, "kmeans")
    start_rounds: ClassVar[Sequence[tuple[int, int]]] = ((3, 2), (8, 1))
    move_rounds: ClassVar[Sequence[tuple[int, int]]] = ()
    incomplete_rounds: ClassVar[Sequence] = ()

    @property
    def driver_move_rounds(self) -> Sequence[tuple[int, int]]:
        return self.move_rounds

    @property
    def unconstrained(self) -> Family:
        """The same without constraints and priors."""
        return self

    def short_runs(self, plan: Plan, partitions, blocks, scales: Scales) -> list | None:
        """Of each partition (n,) of rows in memory the :class:`ShortRun` that begins at the mixture that `start` makes
        from it, or None where that has to be made. None for all where steps are not made in the compiled module."""
        return None

    def of_columns(self, names: np.ndarray | None) -> Family:
        """The same for rows whose columns have these names, (d,); None where they have none."""
        return self

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
            X = self.complete(X, weight)
            membership = MEMBERSHIPS[init](X, weight, K, rng, n_threads)
        else:
            X, weight = all_rows(blocks)
            X = self.complete(X, weight)
            membership = checked_membership(init(X, K, rng) if callable(init) else init, len(X), K)
        weights = checked_weights(plan.start.given.get("weights"), K)
        if weights is None:
            weights = membership_weights(weight, membership, K)
        return Mixture(weights, self.emission(X, weight, membership, K, scales))

    def settled(self, mixture: Mixture, blocks, n_threads: int) -> Mixture:
        """A start, once more by what side columns say, which starts do not see. Default: as it is."""
        return mixture

    def views(self, n_features: int) -> list:
        """Columns of the rows, each for partitions of its own. Default: all together."""
        return [slice(None)]

    def start_sizes(self, n_components: int) -> Sequence[int]:
        """Into how many clusters partitions of the rows may divide them. Default: one for each component."""
        return (n_components,)

    def complete(self, X, weight):
        """The rows of a start without missing values."""
        return X

    def continued(self, mixture: Mixture, scales: Scales) -> Mixture:
        """The last fit's mixture, as a start for rows of these scales."""
        return mixture

    def constrained(self, mixture: Mixture, scales: Scales) -> Mixture:
        """The mixture with densities whose M-step obeys the constraints."""
        return mixture

    def feasible(self, mixture: Mixture) -> Mixture:
        """A constrained mixture, moved to where its constraints hold."""
        return mixture


@dataclass(frozen=True)
class Plan:
    """What a fit is asked to do.

    Attributes
    ----------
    family : Family
    n_components : int
    weights : WeightRule
        The constraint of the weights.
    start : Start
    stop : Stop
    accelerate : str, optional
        See :func:`fastem.em`.
    restarts : RestartPolicy
    truncate : int, optional
        Components that a row looks at in a pass over all rows; see :mod:`fastem.models.gaussian.candidates`.
    random_state : int, Generator, RandomState or None
    n_threads : int, optional
        None: all that the process may use.
    verbose, verbose_interval
        What is reported of the progress.
    """

    family: Family
    n_components: int
    weights: WeightRule = FREE_WEIGHTS
    start: Start = Start()
    stop: Stop = Stop()
    accelerate: str | None = None
    restarts: RestartPolicy = RestartPolicy()
    truncate: int | None = None
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
        """The same fit from responsibilities (n, K) alone, with K components."""
        return replace(self, n_components=responsibilities.shape[1], start=Start(init=responsibilities))

    @property
    def unconstrained(self) -> Plan:
        """The same fit without constraints and priors."""
        return replace(self, weights=FREE_WEIGHTS, family=self.family.unconstrained)

    def mixture(self, blocks, scales: Scales, rng, n_threads: int) -> Mixture:
        """A mixture to start from, on some of the rows; it need not obey the constraints."""
        return self.family.start(self, blocks, scales, rng, n_threads)

    def constrained(self, mixture: Mixture, scales: Scales) -> Mixture:
        """The mixture whose M-step obeys the constraints."""
        mixture = replace(mixture, shares=self.weights.shares_after(mixture.shares, len(mixture.weights)))
        return self.family.constrained(mixture, scales)

    def begun(self, mixture: Mixture, scales: Scales) -> Mixture:
        """A start that obeys the constraints itself."""
        mixture = self.constrained(mixture, scales)
        if self.weights.equal:
            K = mixture.n_components
            mixture = replace(mixture, weights=np.full(K, 1 / K))
        elif self.weights.has_prior and not mixture.weights.all():  # the prior gives a weight of 0 no density
            least = np.maximum(mixture.weights, np.finfo(np.float64).eps)
            mixture = replace(mixture, weights=mixture.shares.apportioned(least, mixture.weights))
        return self.family.feasible(mixture)
