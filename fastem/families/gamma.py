"""Mixtures of independent gamma columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.parameters import attribute
from fastem.families.positive_intervals import TakesBounds
from fastem.models.exponential_family import IDENTITY, LOGARITHM, ExponentialFamily, Features
from fastem.models.gamma_intervals import GammaRows
from fastem.models.gamma_shape import gamma_shape
from fastem.rows.validation import numbered, require_values

LEAST_SHARE = 1e-10  # of a column's mean, the least mean of a component
MOST_SHAPE = {np.dtype(np.float64): 1e6, np.dtype(np.float32): 1e4}  # above it, the density shows rounding
ALIKE = 1e-2  # relative difference of means below which they count as equal


@dataclass(frozen=True)
class Gamma(ExponentialFamily):
    """K products of gamma distributions.

    Attributes
    ----------
    shapes, rates : (K, d)
    floor : (d,) the least mean
    cap : the largest shape
    """

    arrays: ClassVar = ("shapes", "rates")

    shapes: np.ndarray
    rates: np.ndarray
    floor: np.ndarray
    cap: float

    @property
    def shape(self):
        return self.shapes.shape

    def features(self):
        return Features.of_columns(self.shape[1], IDENTITY, LOGARITHM)

    def natural(self):
        from scipy.special import gammaln

        constant = self.shapes * np.log(self.rates) - gammaln(self.shapes)
        return constant.sum(axis=1), np.hstack([-self.rates, self.shapes - 1])

    def estimate(self, counts, first):
        """With the mean m = shape / rate, the likelihood has one peak, at the mean of x and at the shape for which
        log(shape) - digamma(shape) = log m - mean of log x + mean of x / m - 1; it falls on either side."""
        mean, mean_log = np.hsplit(first / counts[:, None], 2)
        m = np.maximum(mean, self.floor)
        shapes = gamma_shape(np.log(m) - mean_log + mean / m - 1, self.cap)
        return replace(self, shapes=shapes, rates=shapes / m)

    def conditions(self, columns):
        capped = self.shapes >= self.cap * (1 - 1e-9)
        means = self.shapes / self.rates
        constant = capped.all(axis=0) & (np.ptp(means, axis=0) <= ALIKE * means.max(axis=0))
        return [
            (
                f"its values in column {columns[row.argmax()]} are nearly equal, so the shape is held at {self.cap:g}",
                bool(constant[row].all()),
            )
            if row.any()
            else ("ok", True)
            for row in capped
        ]

    def constant_sizes(self):
        """Two terms as large as the shape, which nearly cancel."""
        from scipy.special import gammaln

        return (self.shapes * (1 + np.abs(np.log(self.rates))) + np.abs(gammaln(self.shapes)) + 1).sum(axis=1)

    def sample(self, component, n, rng):
        X = rng.standard_gamma(self.shapes[component], (n, self.shape[1])) / self.rates[component]
        return np.maximum(X, np.finfo(np.float64).tiny)  # for small shapes draws are rounded to 0

    def to_vector(self):
        """Unconstrained coordinates: the logarithms of the shapes and of the means."""
        return np.log(np.concatenate([self.shapes.ravel(), (self.shapes / self.rates).ravel()]))

    def from_vector(self, vector):
        shapes, m = np.exp(vector).reshape(2, *self.shape)
        shapes = np.minimum(shapes, self.cap)
        return replace(self, shapes=shapes, rates=shapes / np.maximum(m, self.floor))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        require_values(X, names, "positive numbers", lambda x: x > 0, place)

    @classmethod
    def pattern(cls, blocks, mean):
        return Gamma(np.ones((1, len(mean))), 1 / mean[None], LEAST_SHARE * mean, MOST_SHAPE[blocks.dtype])


class GammaMixture(TakesBounds, ExponentialFamilyMixture):
    """Mixture of products of gamma distributions: positive numbers that are independent given the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    shapes_ : (K, d)
        At most 1e6 (float32: 1e4), where the deviation is a thousandth (a hundredth) of the mean; `component_status_`
        says which are held there.
    rates_ : (K, d)
        The means are `shapes_` / `rates_`; they are at least 1e-10 times the column's mean.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GammaMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.gamma(2, 1, (500, 1)), rng.gamma(50, 1, (500, 1))])
    >>> model = GammaMixture(2, random_state=0, tol=1e-6).fit(X)
    >>> (model.shapes_ / model.rates_).round()
    array([[ 2.],
           [50.]])

    References
    ----------
    McLachlan, Peel: Finite Mixture Models. Wiley 2000.
    """

    shapes_: np.ndarray = attribute()
    rates_: np.ndarray = attribute()

    _density = Gamma
    _rows_between = GammaRows
    _parameter_arrays = ("shapes_", "rates_")

    def _emission(self):
        shapes, rates = (self._checked_array(name, least=0, strict=True) for name in self._parameter_arrays)
        if shapes.shape != rates.shape:
            raise ValueError(
                f"shapes_ and rates_ must have the same shape, but they have {shapes.shape} and {rates.shape}"
            )
        return Gamma(shapes, rates, np.zeros(shapes.shape[1]), max(MOST_SHAPE.values()))
