"""Mixtures of independent exponential columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.parameters import attribute
from fastem.families.positive_intervals import TakesBounds
from fastem.kernels import arithmetic
from fastem.models.exponential_family import AT_BOUND, IDENTITY, ExponentialFamily, Features, at_a_bound
from fastem.rows.validation import numbered, require_values

LEAST_SHARE = 1e-10  # of a column's mean, the least mean of a component


@dataclass(frozen=True)
class Exponential(ExponentialFamily):
    """K products of exponential distributions.

    Attributes
    ----------
    rates : (K, d)
    cap : (d,) the largest rate
    """

    arrays: ClassVar = ("rates",)

    rates: np.ndarray
    cap: np.ndarray

    @property
    def shape(self):
        return self.rates.shape

    def features(self):
        return Features.of_columns(self.shape[1], IDENTITY)

    def natural(self):
        return arithmetic.log(self.rates).sum(axis=1), -self.rates

    def estimate(self, counts, first):
        return replace(self, rates=1 / np.maximum(first / counts[:, None], 1 / self.cap))

    def conditions(self, columns):
        return at_a_bound(self.rates >= self.cap * (1 - AT_BOUND), columns, "of its means are held at the least")

    def sample(self, component, n, rng):
        X = rng.standard_exponential((n, self.shape[1])) / self.rates[component]
        return np.maximum(X, np.finfo(np.float64).tiny)  # a draw may be 0, which is not a positive number

    def to_vector(self):
        """Unconstrained coordinates: the logarithms of the rates."""
        return arithmetic.log(self.rates).ravel()

    def from_vector(self, vector):
        return replace(self, rates=np.minimum(arithmetic.exp(vector.reshape(self.shape)), self.cap))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        require_values(X, names, "positive numbers", lambda x: x > 0, place)

    @classmethod
    def pattern(cls, blocks, mean):
        return Exponential(1 / mean[None], 1 / (LEAST_SHARE * mean))


class ExponentialMixture(TakesBounds, ExponentialFamilyMixture):
    """Mixture of products of exponential distributions: waiting times that are independent given the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    rates_ : (K, d)
        One over the means, which are at least 1e-10 times the column's mean; `component_status_` says which are held
        there.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import ExponentialMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.exponential(0.01, (300, 1)), rng.exponential(5, (300, 1))])
    >>> (1 / ExponentialMixture(2, random_state=0, tol=1e-6).fit(X).rates_).round(2)
    array([[0.01],
           [4.86]])

    References
    ----------
    Titterington, Smith, Makov: Statistical Analysis of Finite Mixture Distributions. Wiley 1985.
    """

    rates_: np.ndarray = attribute()

    _density = Exponential
    _parameter_arrays = ("rates_",)

    def _emission(self):
        rates = self._checked_array("rates_", least=0, strict=True)
        return Exponential(rates, np.full(rates.shape[1], np.inf))
