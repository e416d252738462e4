"""Mixtures of independent binary columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.parameters import attribute
from fastem.kernels import arithmetic
from fastem.models.exponential_family import IDENTITY, ExponentialFamily, Features, at_a_bound
from fastem.rows.validation import numbered, require_values

LEAST_PROBABILITY = 1e-10  # with a probability of 0, rows that the next batch may contain would be impossible


@dataclass(frozen=True)
class Bernoulli(ExponentialFamily):
    """K products of Bernoulli distributions.

    Attributes
    ----------
    probabilities : (K, d) of a 1
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
        return arithmetic.log1p(-self.probabilities).sum(axis=1), self.logits()

    def logits(self):
        """(K, d)"""
        return arithmetic.log(self.probabilities) - arithmetic.log1p(-self.probabilities)

    def estimate(self, counts, first):
        return bounded(first / counts[:, None])

    def conditions(self, columns):
        certain = np.minimum(self.probabilities, 1 - self.probabilities) <= 2 * LEAST_PROBABILITY
        return at_a_bound(certain, columns, "of its probabilities are at 0 or 1")

    def sample(self, component, n, rng):
        return (rng.random((n, self.shape[1])) < self.probabilities[component]).astype(np.float64)

    def to_vector(self):
        """Unconstrained coordinates: the logits."""
        return self.logits().ravel()

    def from_vector(self, vector):
        return bounded(1 / (1 + arithmetic.exp(-np.clip(vector, -700, 700).reshape(self.shape))))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        require_values(X, names, "zeros and ones", lambda x: (x == 0) | (x == 1), place)

    @classmethod
    def pattern(cls, blocks, mean):
        return Bernoulli(np.full((1, len(mean)), 0.5))


def bounded(probabilities):
    """The nearest emission with which every row is possible.

    It is also the best of these, because the likelihood falls on either side of its maximum.
    """
    return Bernoulli(np.clip(probabilities, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY))


class BernoulliMixture(ExponentialFamilyMixture):
    """Mixture of products of Bernoulli distributions: columns of 0 and 1 that are independent given the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    probabilities_ : (K, d)
        Of a 1. Held in [1e-10, 1 - 1e-10], so that no row is impossible; `component_status_` says which columns are.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import BernoulliMixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((600, 4)) < np.repeat([[0.9, 0.9, 0.1, 0.2], [0.1, 0.2, 0.9, 0.9]], 300, axis=0)
    >>> BernoulliMixture(2, random_state=0).fit(X).probabilities_.round(1)
    array([[0.2, 0.2, 0.9, 0.9],
           [0.9, 0.9, 0.1, 0.2]])

    References
    ----------
    Bishop: Pattern Recognition and Machine Learning. Springer 2006, section 9.3.3.
    """

    probabilities_: np.ndarray = attribute()

    _density = Bernoulli
    _parameter_arrays = ("probabilities_",)

    def _emission(self):
        return Bernoulli(self._checked_array("probabilities_", least=0, most=1, strict=True))
