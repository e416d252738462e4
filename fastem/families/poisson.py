"""Mixtures of independent Poisson counts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.parameters import attribute
from fastem.kernels import arithmetic
from fastem.models.exponential_family import AT_BOUND, IDENTITY, ExponentialFamily, Features, at_a_bound
from fastem.rows.validation import numbered, require_values

LEAST_SHARE = 1e-10  # of a column's mean; with a rate of 0, every count except 0 would be impossible


@dataclass(frozen=True)
class Poisson(ExponentialFamily):
    """K products of Poisson distributions.

    Attributes
    ----------
    rates : (K, d)
    floor : (d,) the least rate
    """

    arrays: ClassVar = ("rates",)
    discrete: ClassVar = True

    rates: np.ndarray
    floor: np.ndarray

    @property
    def shape(self):
        return self.rates.shape

    def features(self):
        return Features.of_columns(self.shape[1], IDENTITY, factorial=True)

    def natural(self):
        return -self.rates.sum(axis=1), arithmetic.log(self.rates)

    def estimate(self, counts, first):
        return replace(self, rates=np.maximum(first / counts[:, None], self.floor))

    def conditions(self, columns):
        return at_a_bound(self.rates <= self.floor * (1 + AT_BOUND), columns, "of its rates are held at the least")

    def sample(self, component, n, rng):
        return rng.poisson(self.rates[component], (n, self.shape[1])).astype(np.float64)

    def to_vector(self):
        """Unconstrained coordinates: the logarithms of the rates."""
        return arithmetic.log(self.rates).ravel()

    def from_vector(self, vector):
        return replace(self, rates=np.maximum(arithmetic.exp(vector.reshape(self.shape)), self.floor))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        require_values(X, names, "counts: whole numbers >= 0", lambda x: (x >= 0) & (x == np.floor(x)), place)

    @classmethod
    def pattern(cls, blocks, mean):
        floor = LEAST_SHARE * np.where(mean > 0, mean, 1)
        return Poisson(floor[None], floor)


class PoissonMixture(ExponentialFamilyMixture):
    """Mixture of products of Poisson distributions: counts that are independent given the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    rates_ : (K, d)
        At least 1e-10 times the column's mean, so that no count is impossible; `component_status_` says which are held
        there.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import PoissonMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.poisson([2, 9], (200, 2)), rng.poisson([7, 1], (200, 2))])
    >>> PoissonMixture(2, random_state=0).fit(X).rates_.round()
    array([[7., 1.],
           [2., 9.]])

    References
    ----------
    McLachlan, Peel: Finite Mixture Models. Wiley 2000, chapter 5.
    """

    rates_: np.ndarray = attribute()

    _density = Poisson
    _parameter_arrays = ("rates_",)

    def _emission(self):
        rates = self._checked_array("rates_", least=0, strict=True)
        return Poisson(rates, LEAST_SHARE * rates.mean(axis=0))
