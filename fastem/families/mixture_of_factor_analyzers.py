"""Mixtures of factor analyzers: Gaussian components with covariances W W^T + Psi, of loadings W and noise Psi.

1. In the E-step a component is a full Gaussian; its factors are integrated out.
2. The M-step starts from the present loadings and noise of the component. It takes the best loadings for the noise,
   then the best noise of one column after the other (`best_factors`). Each step raises Q and none needs the rows;
   together they do not reach its maximum, so this is generalised EM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fastem.estimators.checks import real, whole
from fastem.estimators.factor_estimator import LEAST_FLOOR
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import MODEL, attribute, parameter
from fastem.kernels.packing import packed_lower, unpack_symmetric
from fastem.models.gaussian.covariance import outer
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.factor_steps import best_factors
from fastem.models.gaussian.linear_algebra import precisions_cholesky, product
from fastem.models.mixture import Mixture
from fastem.rows.column_moments import column_variances
from fastem.rows.scale import covariance_floor, rounding_variances
from fastem.starts.from_memberships import from_membership
from fastem.starts.given import checked_attribute
from fastem.starts.plan import Family, Scales

START_STEPS = 5  # steps from the covariance of a component to its factors
TOUCHING = 1 + 1e-6  # times the floor; noise below it counts as held at the floor


@dataclass(frozen=True)
class Factored(Full):
    """Covariances W W^T + Psi. loadings: (K, d, q), noise: (K, d), the diagonals of Psi."""

    loadings: np.ndarray
    noise: np.ndarray

    @classmethod
    def from_factors(cls, loadings, noise, floor):
        """The structure of loadings and of noise variances at or above the floor."""
        covariances = product(loadings, np.swapaxes(loadings, 1, 2)) + noise[:, :, None] * np.eye(noise.shape[1])
        hits = np.zeros(len(noise), dtype=int)
        for k in np.flatnonzero((noise < TOUCHING * floor).any(axis=1)):
            hits[k] = cls.directions_at_floor(covariances[k], TOUCHING * floor)
        return cls(covariances, precisions_cholesky(covariances), hits, loadings, noise)

    @classmethod
    def from_scatter(cls, covariances, n_factors, floor):
        """The structure after a few steps towards given covariances (K, d, d)."""
        K, d = covariances.shape[:2]
        noise = np.maximum(np.diagonal(covariances, axis1=1, axis2=2), floor)
        structure = cls.from_factors(np.zeros((K, d, n_factors)), noise, floor)
        i, j = packed_lower(d)
        for _ in range(START_STEPS):
            structure = structure.estimate(np.ones(K), np.zeros((K, d)), covariances[:, i, j], floor)
        return structure

    def estimate(self, counts, shift, second, floor, given=None):
        """Loadings and noise that raise Q, from the present ones."""
        scatter = unpack_symmetric(second, len(floor)) / counts[:, None, None] - outer(shift)
        return self.from_factors(*best_factors(scatter, self.noise, self.loadings.shape[2], floor), floor)

    def to_vector(self):
        """Loadings and the logarithms of the noise variances."""
        return np.concatenate([self.loadings.ravel(), np.log(self.noise).ravel()])

    def from_vector(self, vector, floor):
        loadings, logs = np.split(vector, [self.loadings.size])
        noise = np.maximum(np.exp(logs).reshape(self.noise.shape), floor)
        return self.from_factors(loadings.reshape(self.loadings.shape), noise, floor)

    def n_parameters(self, n_components, d):
        """Loadings are determined up to a rotation, and a covariance has d (d + 1) / 2 at most."""
        q = self.loadings.shape[2]
        return n_components * min(d * q - q * (q - 1) // 2 + d, d * (d + 1) // 2)

    def least_rows(self, d):
        return self.loadings.shape[2] + 2

    def few_rows(self, d):
        return 2 * self.least_rows(d)


@dataclass(frozen=True)
class FactorAnalyzers(Gaussian):
    """K Gaussians over a `Factored` structure."""

    @property
    def n_rotations(self):
        """Those of the loadings of each component."""
        K, d = self.shape
        return self.covariance.to_vector().size - self.covariance.n_parameters(K, d)

    def diagnose(self, weights, counts, columns=None):
        """As for Gaussians; also columns that the factors of a component explain completely (Heywood cases)."""
        numbers = np.arange(self.shape[1]) if columns is None else np.asarray(columns)
        at_floor = [numbers[noise < TOUCHING * self.floor].tolist() for noise in self.covariance.noise]
        return [
            (
                f"Heywood case: the noise of column(s) {', '.join(map(str, held))} is held at its floor, reg_covar",
                True,
            )
            if held and status == "ok"
            else (status, sound)
            for held, (status, sound) in zip(at_floor, super().diagnose(weights, counts, columns))
        ]

    def factor_scores(self, component, X):
        """(n, q) E[z | x] = W^T C^-1 (x - mean) of one component."""
        loadings, upper = self.covariance.loadings[component], self.covariance.precisions_cholesky[component]
        residual = np.subtract(X, self.means[component], order="C")
        return product(residual, product(upper, product(upper.T, loadings)))


@dataclass(frozen=True)
class FactorAnalyzerFamily(Family):
    """What factor analyzers give to a fit: a floor of the noise, and factors from the covariances of clusters."""

    n_factors: int
    reg_covar: float

    def examine(self, blocks, n_components, n_threads) -> Scales:
        d = blocks.n_features
        if self.n_factors > d:
            raise ValueError(f"n_factors = {self.n_factors} is more than the {d} feature(s) of X.")
        return Scales(
            floor=covariance_floor(column_variances(blocks, n_threads), blocks, self.reg_covar),
            rounding_variance=rounding_variances(blocks.spaced_rows()),
        )

    def constrained(self, mixture, scales):
        return replace(mixture, emission=mixture.emission.of_rows(scales.rounding_variance, scales.rows_covariance))

    def emission(self, X, weight, membership, n_components, scales):
        full = from_membership(X, weight, membership, n_components, Full, scales.floor).emission
        covariance = Factored.from_scatter(full.covariance.covariances, self.n_factors, scales.floor)
        return FactorAnalyzers(full.means, covariance, scales.floor)

    def least_rows(self, n_features):
        return self.n_factors + 2

    def continued(self, mixture, scales):
        covariance, floor = mixture.emission.covariance, scales.floor
        if covariance.loadings.shape[2] != self.n_factors:
            raise ValueError(
                "warm_start=True, but n_factors has changed since the last fit. Set warm_start=False to start afresh."
            )
        raised = Factored.from_factors(covariance.loadings, np.maximum(covariance.noise, floor), floor)
        return Mixture(mixture.weights, replace(mixture.emission, covariance=raised, floor=floor))


class MixtureOfFactorAnalyzers(MixtureEstimator):
    """Mixture of factor analyzers, fitted by generalised EM: clusters and, within each, a few common factors.

    Between full and diagonal covariances: d (q + 1) covariance parameters per component for d columns.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    means_ : (K, d)
    components_ : (K, q, d)
        Loadings.
    noise_variances_ : (K, d)
    covariances_ : (K, d, d)
        ``components_[k].T @ components_[k]`` and the noise on the diagonal.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import MixtureOfFactorAnalyzers
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(2000, 1)) @ [[3.0, 3.0, 0.0]] + rng.normal(size=(2000, 3))
    >>> X[1000:] += [0, 0, 20]
    >>> model = MixtureOfFactorAnalyzers(2, n_factors=1, random_state=0, tol=1e-6).fit(X)
    >>> abs(model.components_).round()
    array([[[3., 3., 0.]],
    <BLANKLINE>
           [[3., 3., 0.]]])

    References
    ----------
    Ghahramani, Hinton: The EM algorithm for mixtures of factor analyzers. Toronto CRG-TR-96-1 (1996).
    McLachlan, Peel: Finite Mixture Models. Wiley 2000, chapter 8.
    Zhao, Yu: Fast ML estimation for the mixture of factor analyzers via an ECM algorithm. IEEE Transactions on Neural
    Networks 19 (2008) 1956-1961.
    """

    means_: np.ndarray = attribute()
    components_: np.ndarray = attribute()
    noise_variances_: np.ndarray = attribute()

    n_factors: int = parameter(
        default=1,
        check=whole(0),
        doc="int\nFactors of each component, at most as many as columns. 0: diagonal covariances.",
        tags=[MODEL],
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(LEAST_FLOOR, finite=True),
        doc="float\nLeast noise variance, relative to the variance of each column; at least 1e-8.",
        tags=[MODEL],
    )

    _parameter_arrays = ("means_", "components_", "noise_variances_")

    def _family(self):
        return FactorAnalyzerFamily(self.n_factors, self.reg_covar)

    def _arrays(self, emission):
        return {
            "means_": emission.means,
            "components_": np.swapaxes(emission.covariance.loadings, 1, 2).copy(),
            "noise_variances_": emission.covariance.noise,
        }

    def _emission(self):
        means = checked_attribute(self, "means_", ("K", "d"))
        K, d = means.shape
        components = checked_attribute(self, "components_", (K, self.n_factors, d))
        noise = checked_attribute(self, "noise_variances_", (K, d))
        if not (noise > 0).all():
            raise ValueError(f"noise_variances_ must be positive, but it contains {noise.min()}")
        none = np.zeros(d)
        return FactorAnalyzers(means, Factored.from_factors(np.swapaxes(components, 1, 2), noise, none), none)

    def factor_scores(self, X) -> np.ndarray:
        """Posterior means of the factors given each component, shape (n, K, q).

        The factors of one component have no relation to those of another, and are determined up to a rotation. Use
        those of the component that :meth:`predict` names, or weigh all with :meth:`predict_proba`.

        Parameters
        ----------
        X : (n, d)

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import MixtureOfFactorAnalyzers
        >>> rng = np.random.default_rng(0)
        >>> factor = rng.normal(size=(500, 1))
        >>> X = factor @ [[3.0, 3.0, 3.0]] + rng.normal(size=(500, 3))
        >>> scores = MixtureOfFactorAnalyzers(1, tol=1e-6).fit(X).factor_scores(X)
        >>> bool(abs(np.corrcoef(scores[:, 0, 0], factor[:, 0])[0, 1]) > 0.95)
        True
        """
        X = self._new_rows(X)
        emission = self._mixture().emission
        return np.stack([emission.factor_scores(k, X) for k in range(len(self.weights_))], axis=1)

    @property
    def covariances_(self) -> np.ndarray:
        """(K, d, d) covariances of the components."""
        self._require_fitted()
        return self._mixture().emission.covariance.covariances
