"""What mixtures of exponential families share: rows are checked for the family wherever they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.models.exponential_family import ExponentialFamily
from fastem.rows.column_moments import column_moments
from fastem.rows.validation import numbered
from fastem.starts.from_memberships import density_from_membership
from fastem.starts.given import checked_attribute
from fastem.starts.named import MERGED, ROWS
from fastem.starts.plan import Family, Scales


@dataclass(frozen=True)
class DensityFamily(Family):
    """What an exponential family gives to a fit: a check of the rows, and the bounds that come from the columns."""

    start_kinds: ClassVar = {MERGED: 1, "kmeans": 1, "k-means++": 1, ROWS: 16, "random": 2}
    start_rounds: ClassVar = ((10, 9), (20, 5), (40, 3), (80, 1))  # few of these start near the best optimum
    move_rounds: ClassVar = ((20, 2), (40, 1))

    density: type[ExponentialFamily]

    def examine(self, blocks, n_components, n_threads) -> Scales:
        mean, _ = column_moments(blocks, n_threads)
        names, require = blocks.names, self.density.require_values
        blocks.check(lambda X, place: require(X, names, place))
        return Scales(pattern=self.density.pattern(blocks, mean))

    def emission(self, X, weight, membership, n_components, scales):
        return density_from_membership(scales.pattern, X, weight, membership, n_components)


class ExponentialFamilyMixture(MixtureEstimator):
    """A mixture of an exponential family.

    Subclasses define `_density`, the emission whose arrays are the fitted attributes, and `_emission`.
    """

    _density: ClassVar[type[ExponentialFamily]]
    _positive_only: ClassVar[bool] = True  # for scikit-learn's checks

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = self._positive_only
        tags.input_tags.categorical = self._density.discrete  # the only tag with which its checks send whole numbers
        return tags

    def _family(self) -> Family:
        return DensityFamily(self._density)

    def _require_new_values(self, X, names, place=numbered):
        self._density.require_values(X, names, place)

    def _arrays(self, emission):
        return {f"{name}_": getattr(emission, name) for name in emission.arrays}

    def _checked_array(self, name, least=-np.inf, most=np.inf, strict=False, shape=("K", "d")):
        """A fitted attribute as :func:`checked_attribute`, in its range."""
        array = checked_attribute(self, name, shape)
        inside = (array > least) & (array < most) if strict else (array >= least) & (array <= most)
        if not inside.all():
            brackets = "()" if strict else "[]"
            raise ValueError(
                f"{name} must be in {brackets[0]}{least}, {most}{brackets[1]}, but contains {array[~inside].flat[0]}"
            )
        return array
