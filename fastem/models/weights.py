"""What the M-step makes of the components' counts: weights that are free, equal, held, or drawn towards each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shares:
    """Weights proportional to counts and pseudo-counts; those that are held stay, and the others share what they leave.

    Attributes
    ----------
    pseudo : (K,) or None
        A Dirichlet prior's concentration minus one, not negative: then the mode is where the M-step puts it.
    held : (K,) bool or None
        Weights that stay. Equal weights are held, all of them.
    """

    pseudo: np.ndarray | None = None
    held: np.ndarray | None = None

    @property
    def constrains(self) -> bool:
        return self.pseudo is not None or self.held is not None

    def n_parameters(self, n_components) -> int:
        """Free weights, which sum to what the held ones leave."""
        free = n_components if self.held is None else n_components - int(self.held.sum())
        return max(free - 1, 0)

    def m_step(self, counts, weights) -> np.ndarray:
        """(K,) weights that maximise counts @ log(weights) + log_prior(weights), from those before."""
        return self.apportioned(counts if self.pseudo is None else counts + self.pseudo, weights)

    def apportioned(self, counts, weights) -> np.ndarray:
        """Weights in proportion to counts, as they are where these are all 0; but the held ones stay."""
        if self.held is None:
            return counts / counts.sum()
        if self.held.all():
            return weights
        free = ~self.held
        counts = counts[free] if counts[free].any() else weights[free]
        found = weights.copy()
        left = max(1 - weights[self.held].sum(), 0.0)
        found[free] = left * counts / (counts.sum() or 1.0)
        return found

    def log_prior(self, weights) -> float:
        """The prior's log-density, up to a constant."""
        if self.pseudo is None:
            return 0.0
        used = self.pseudo > 0
        with np.errstate(divide="ignore"):
            return float(self.pseudo[used] @ np.log(weights[used]))


FREE = Shares()


def held_components(fixed: bool | np.ndarray, n_components: int) -> np.ndarray:
    """(K,) bool: all or none of the components, or those of these numbers."""
    if isinstance(fixed, bool):
        return np.full(n_components, fixed)
    return np.isin(np.arange(n_components), fixed)


@dataclass(frozen=True)
class WeightRule:
    """What the weights keep to, for any number of components.

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
        """What the M-step makes of so many counts."""
        held = np.full(n_components, True) if self.equal else held_components(self.fixed, n_components)
        pseudo = np.broadcast_to(np.asarray(self.concentration, np.float64) - 1, n_components)
        return Shares(pseudo if self.has_prior else None, held if held.any() else None)


FREE_WEIGHTS = WeightRule()
