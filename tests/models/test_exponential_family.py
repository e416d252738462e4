"""A family of one's own from the features that are compiled: a fit beside scipy's density, and stated sizes."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from fastem import Statistics
from fastem.estimators import ExponentialFamilyMixture
from fastem.models import ExponentialFamily, Features
from fastem.models.exponential_family import IDENTITY, LOG_COMPLEMENT, LOGARITHM, RECIPROCAL, SQUARE

RNG = np.random.default_rng(0)


@dataclass(frozen=True)
class Normal(ExponentialFamily):
    """Independent normal columns by x and x**2."""

    arrays = ("means", "variances")

    means: np.ndarray
    variances: np.ndarray

    @property
    def shape(self):
        return self.means.shape

    def features(self):
        return Features.of_columns(self.shape[1], IDENTITY, SQUARE)

    def natural(self):
        m, v = self.means, self.variances
        constant = -(np.log(2 * np.pi * v) + m**2 / v) / 2
        return constant.sum(axis=1), np.hstack([m / v, -1 / (2 * v)])

    def estimate(self, counts, first):
        x, square = np.hsplit(first / counts[:, None], 2)
        return replace(self, means=x, variances=np.maximum(square - x**2, 1e-6))

    def sample(self, component, n, rng):
        return rng.normal(self.means[component], np.sqrt(self.variances[component]), (n, self.shape[1]))

    def to_vector(self):
        return np.concatenate([self.means.ravel(), np.log(self.variances).ravel()])

    def from_vector(self, vector):
        means, logs = vector.reshape(2, *self.shape)
        return replace(self, means=means, variances=np.exp(logs))

    @classmethod
    def require_values(cls, X, names, place=str):
        """Every number is one."""

    @classmethod
    def pattern(cls, blocks, mean):
        return cls(mean[None], np.ones((1, len(mean))))


class NormalMixture(ExponentialFamilyMixture):
    _density = Normal
    _parameter_arrays = ("means_", "variances_")
    _positive_only = False

    def _emission(self):
        return Normal(self._checked_array("means_"), self._checked_array("variances_", least=0, strict=True))


@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_a_family_of_squares_is_a_whole_estimator(real):
    X = np.concatenate([RNG.normal(-3, 1, (400, 2)), RNG.normal(2, 0.5, (300, 2))]).astype(real)
    model = NormalMixture(2, random_state=0, tol=1e-7).fit(X)
    densities = [
        stats.norm.logpdf(X.astype(float), m, np.sqrt(v)).sum(axis=1) for m, v in zip(model.means_, model.variances_)
    ]
    exact = np.logaddexp.reduce(np.stack(densities) + np.log(model.weights_)[:, None])
    np.testing.assert_allclose(model.score_samples(X), exact, rtol=1e-10 if real is np.float64 else 1e-4)
    assert abs(model.log_likelihood_ - exact.sum()) <= model.log_likelihood_error_ < 1e-3 * abs(exact.sum())
    assert np.sort(model.means_[:, 0]) == pytest.approx([-3, 2], abs=0.2) and (np.diff(model.history_) > -1e-6).all()
    assert model.predict(X).shape == (700,) and "Normal mixture, 2 components" in model.summary()


@dataclass(frozen=True)
class OfKinds(Normal):
    """Features of any kinds, of which only the sizes are asked."""

    kinds: tuple = ()

    def features(self):
        return Features.of_columns(self.shape[1], *self.kinds)


@pytest.mark.parametrize(
    "kinds",
    [
        (IDENTITY, SQUARE),
        (SQUARE, LOGARITHM),
        (RECIPROCAL, LOGARITHM),
        (IDENTITY, LOGARITHM, RECIPROCAL),
        (LOGARITHM, LOG_COMPLEMENT),
        (IDENTITY, LOGARITHM, SQUARE, RECIPROCAL),
    ],
)
def test_sizes_of_features_bound_their_absolute_values(kinds):
    X = RNG.gamma(1.0, 2.0, (300, 2)) * [1.0, 1e-3]
    X = X / (1 + X) if LOG_COMPLEMENT in kinds else X
    X = RNG.normal(1, 2, (300, 2)) if kinds == (IDENTITY, SQUARE) else X
    family = OfKinds(np.ones((3, 2)), np.ones((3, 2)), kinds)
    posterior = RNG.dirichlet(np.ones(3), 300)
    t = family.features().of(X)
    sizes = family.feature_sizes(Statistics(first=posterior.T @ t, counts=posterior.sum(axis=0)))
    true = posterior.T @ np.abs(t)
    assert (sizes >= true * (1 - 1e-12)).all() and (sizes <= 50 * true).all()


def test_logarithms_alone_do_not_tell_their_sizes():
    family = OfKinds(np.ones((3, 2)), np.ones((3, 2)), (LOGARITHM,))
    with pytest.raises(NotImplementedError, match="must define feature_sizes"):
        family.feature_sizes(Statistics(first=np.ones((3, 2)), counts=np.ones(3)))
