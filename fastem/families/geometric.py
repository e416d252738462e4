"""Mixtures of independent geometric counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.parameters import attribute
from fastem.families.positive_intervals import TakesBounds
from fastem.kernels import arithmetic
from fastem.models.exponential_family import IDENTITY, ExponentialFamily, Features, at_a_bound
from fastem.rows.validation import numbered, require_values

LEAST_FAILURE = 1e-10  # with a probability of 0 of a failure, every count except 0 would be impossible


@dataclass(frozen=True)
class Geometric(ExponentialFamily):
    """K products of geometric distributions, p (1 - p)^x for x = 0, 1, …

    Attributes
    ----------
    probabilities : (K, d) of a success
    """

    arrays: ClassVar = ("probabilities",)
    discrete: ClassVar = True

    probabilities: np.ndarray

    @property
    def shape(self):
        return self.probabilities.shape

    def features(self):
        return Features.of_columns(self.shape[1], IDENTITY)

    def natural(self):
        return arithmetic.log(self.probabilities).sum(axis=1), arithmetic.log1p(-self.probabilities)

    def estimate(self, counts, first):
        return bounded(1 / (1 + first / counts[:, None]))

    def conditions(self, columns):
        certain = 1 - self.probabilities <= 2 * LEAST_FAILURE
        return at_a_bound(certain, columns, "of its probabilities are at 1")

    def sample(self, component, n, rng):
        return rng.geometric(self.probabilities[component], (n, self.shape[1])) - 1.0

    def to_vector(self):
        """Unconstrained coordinates: the logits."""
        return (arithmetic.log(self.probabilities) - arithmetic.log1p(-self.probabilities)).ravel()

    def from_vector(self, vector):
        return bounded(1 / (1 + arithmetic.exp(-np.clip(vector, -700, 700).reshape(self.shape))))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        require_values(X, names, "counts: whole numbers >= 0", lambda x: (x >= 0) & (x == np.floor(x)), place)

    @classmethod
    def pattern(cls, blocks, mean):
        return Geometric(np.full((1, len(mean)), 0.5))


def bounded(probabilities):
    """The nearest emission with which every row is possible; the best of these, as the likelihood has one peak."""
    return Geometric(np.minimum(probabilities, 1 - LEAST_FAILURE))


class GeometricMixture(TakesBounds, ExponentialFamilyMixture):
    """Mixture of products of geometric distributions: numbers of failures before the first success, independent given
    the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    probabilities_ : (K, d)
        Of a success. At most 1 - 1e-10, so that no count is impossible; `component_status_` says which are held there.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GeometricMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.geometric([0.9, 0.1], (500, 2)), rng.geometric([0.1, 0.9], (500, 2))]) - 1
    >>> GeometricMixture(2, random_state=0).fit(X).probabilities_.round(1)
    array([[0.1, 0.9],
           [0.9, 0.1]])

    References
    ----------
    Titterington, Smith, Makov: Statistical Analysis of Finite Mixture Distributions. Wiley 1985.
    """

    probabilities_: np.ndarray = attribute()

    _density = Geometric
    _parameter_arrays = ("probabilities_",)

    def _emission(self):
        return Geometric(self._checked_array("probabilities_", least=0, most=1, strict=True))
