"""How the M-step makes weights from the components' counts: free, equal, fixed, or drawn together by a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastem.kernels import arithmetic


@dataclass(frozen=True)
class Shares:
    """Weights proportional to counts and pseudo-counts; fixed weights stay, and the others share the rest.

    Attributes
    ----------
    pseudo : (K,) or None
        A Dirichlet prior's concentration minus one, not negative: then the mode is where the M-step puts it.
    fixed : (K,) bool or None
        Weights that stay. Equal weights are all fixed.
    """

    counts_rows: ClassVar[bool] = True  # whether its prior counts as a number of rows

    pseudo: np.ndarray | None = None
    fixed: np.ndarray | None = None

    @property
    def constrains(self) -> bool:
        return self.pseudo is not None or self.fixed is not None

    def n_parameters(self, n_components) -> int:
        """The number of free weights, less one, because their sum is known."""
        free = n_components if self.fixed is None else n_components - int(self.fixed.sum())
        return max(free - 1, 0)

    def log_weights(self, weights) -> np.ndarray:
        """(K,) by which the pass weighs the densities: the logarithms; -inf for a component without weight."""
        with np.errstate(divide="ignore"):
            return arithmetic.log(weights)

    def of_pass(self, weights) -> np.ndarray:
        """(K,) the same, not as logarithms."""
        return weights

    def updated(self, counts) -> Shares:
        """The same after an M-step with these counts: only a posterior of the weights depends on them."""
        return self

    def after(self, statistics) -> Shares:
        """The same after an M-step with these statistics."""
        return self.updated(statistics.counts)

    def require_constant(self) -> None:
        """ValueError where the weights are not those of every row."""

    def constant(self) -> Shares:
        """Those of weights that are the same for all rows."""
        return self

    def expected_log_weights(self, statistics, weights, after) -> float:
        """E[sum over rows of log weight of the row's component] at `weights` and the shares `after`, or at least."""
        used = statistics.counts > 0
        return arithmetic.matmul(statistics.counts[used], after.log_weights(weights)[used])

    def log_weights_size(self, statistics, weights) -> float:
        """At least the sum of the sizes of the rows' log-weights, for errors of rounding."""
        used = statistics.counts > 0
        return float(statistics.counts[used] @ np.abs(np.log(weights[used])))

    def m_step(self, counts, weights) -> np.ndarray:
        """(K,) weights that maximise counts @ log(weights) + log_prior(weights), from those before."""
        return self.apportioned(counts if self.pseudo is None else counts + self.pseudo, weights)

    def apportioned(self, counts, weights) -> np.ndarray:
        """Weights in proportion to counts, or unchanged where these are all 0; fixed weights stay."""
        if self.fixed is None:
            return counts / counts.sum()
        if self.fixed.all():
            return weights
        free = ~self.fixed
        counts = counts[free] if counts[free].any() else weights[free]
        apportioned = weights.copy()
        left = max(1 - weights[self.fixed].sum(), 0.0)
        apportioned[free] = left * counts / (counts.sum() or 1.0)
        return apportioned

    def n_coordinates(self, n_components) -> int:
        """The length of :meth:`to_vector`."""
        return n_components - 1

    def to_vector(self, weights) -> np.ndarray:
        """Unconstrained coordinates: log-ratios of the weights to the last one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return arithmetic.log(weights[:-1]) - arithmetic.log(weights[-1])

    def from_vector(self, vector, weights) -> tuple[Shares, np.ndarray]:
        """The same, and the weights of these coordinates; `weights` are those before."""
        log_weights = np.append(vector, 0.0)
        relative = arithmetic.exp(log_weights - log_weights.max())
        return self, self.apportioned(relative, weights)

    def gradient(self, statistics, weights) -> np.ndarray:
        """Of the log-likelihood in the coordinates of :meth:`to_vector`; free weights."""
        return (statistics.counts - statistics.counts.sum() * weights)[:-1]

    def parameters(self, weights) -> np.ndarray:
        """All of them as one vector, in which steps are measured."""
        return weights

    def log_prior(self, weights) -> float:
        """The prior's log-density, up to a constant."""
        if self.pseudo is None:
            return 0.0
        used = self.pseudo > 0
        with np.errstate(divide="ignore"):
            return float(arithmetic.matmul(self.pseudo[used], arithmetic.log(weights[used])))


FREE = Shares()


def fixed_components(fixed: bool | np.ndarray, n_components: int) -> np.ndarray:
    """(K,) bool: all or none of the components, or those with these numbers."""
    if isinstance(fixed, bool):
        return np.full(n_components, fixed)
    return np.isin(np.arange(n_components), fixed)


@dataclass(frozen=True)
class WeightRule:
    """The constraints and prior of the weights, for any number of components.

    Attributes
    ----------
    equal : bool
        All weights are 1/K.
    concentration : float or (K,)
        Of a Dirichlet prior; 1 is no prior.
    fixed : bool or (m,) int
        All weights stay, or those of some components.
    """

    equal: bool = False
    concentration: float | np.ndarray = 1.0
    fixed: bool | np.ndarray = False

    @property
    def has_prior(self) -> bool:
        return bool(np.any(np.asarray(self.concentration) > 1))

    def shares(self, n_components) -> Shares:
        """The same for a number of components."""
        fixed = np.full(n_components, True) if self.equal else fixed_components(self.fixed, n_components)
        pseudo = np.broadcast_to(np.asarray(self.concentration, np.float64) - 1, n_components)
        return Shares(pseudo if self.has_prior else None, fixed if fixed.any() else None)

    def shares_after(self, before: Shares, n_components) -> Shares:
        """The same for a mixture that had the shares `before`."""
        return self.shares(n_components)


FREE_WEIGHTS = WeightRule()
