"""Mixtures of directions: von Mises-Fisher distributions on the unit sphere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from fastem.errors import OutsideSupport
from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.parameters import attribute
from fastem.models.exponential_family import IDENTITY, ExponentialFamily, Features
from fastem.rows.validation import numbered

LEAST_CONCENTRATION = 1e-6  # a smaller one is the same as the uniform distribution
MOST_PER_DIRECTION = {np.dtype(np.float64): 1e6, np.dtype(np.float32): 1e4}  # concentration / (d - 1), for rounding
MOST_CONCENTRATION = 1e9  # for which Bessel functions are computed
NORM_TOLERANCE = {np.dtype(np.float64): 1e-8, np.dtype(np.float32): 1e-5}
CONCENTRATION_STEPS = 20
UNDERFLOW = 1e-290
BLOCK_ROWS = 65536


@dataclass(frozen=True)
class VonMisesFisher(ExponentialFamily):
    """K von Mises-Fisher distributions.

    Attributes
    ----------
    mean_directions : (K, d) unit vectors
    concentrations : (K,)
    cap : the largest concentration
    """

    arrays: ClassVar = ("mean_directions", "concentrations")

    mean_directions: np.ndarray
    concentrations: np.ndarray
    cap: float

    @property
    def shape(self):
        return self.mean_directions.shape

    @property
    def n_parameters(self):
        return self.mean_directions.size

    def features(self):
        return Features.of_columns(self.shape[1], IDENTITY)

    def natural(self):
        half = self.shape[1] / 2
        constant = (half - 1) * np.log(self.concentrations) - half * np.log(2 * np.pi)
        return constant - log_bessel(half - 1, self.concentrations), self.slopes()

    def slopes(self):
        """(K, d)"""
        return self.concentrations[:, None] * self.mean_directions

    def estimate(self, counts, first):
        directions, lengths = self.directions(first / counts[:, None])
        return replace(
            self,
            mean_directions=directions,
            concentrations=most_likely_concentrations(lengths, self.shape[1], self.cap),
        )

    @staticmethod
    def directions(vectors):
        """Unit vectors and lengths; a vector of length 0 gets the first axis as direction."""
        lengths = np.linalg.norm(vectors, axis=1)
        nowhere = lengths == 0
        vectors = np.where(nowhere[:, None], np.eye(vectors.shape[1])[0], vectors)
        return vectors / np.where(nowhere, 1, lengths)[:, None], lengths

    def conditions(self, columns):
        same = bool((self.mean_directions @ self.mean_directions[0] > 1 - 1 / self.cap).all())  # all rows are alike
        return [
            (f"its directions are nearly equal, so the concentration is held at {self.cap:g}", same)
            if concentration >= self.cap * (1 - 1e-9)
            else ("ok", True)
            for concentration in self.concentrations
        ]

    def feature_sizes(self, statistics):
        """Rows are unit vectors."""
        return np.broadcast_to(statistics.counts[:, None], self.shape)

    def constant_sizes(self):
        """The logarithm of a Bessel function has terms as large as the concentration and the number of columns."""
        logs = np.abs(np.log(self.concentrations))
        return super().constant_sizes() + 4 * self.concentrations + self.shape[1] * (logs + 4)

    def sample(self, component, n, rng):
        """Wood: Simulation of the von Mises Fisher distribution. Communications in Statistics 23 (1994) 157-164."""
        mean, kappa, p = self.mean_directions[component], self.concentrations[component], self.shape[1] - 1
        b = p / (2 * kappa + np.sqrt(4 * kappa**2 + p**2))
        most = (1 - b) / (1 + b)
        bound = kappa * most + p * np.log(4 * b / (1 + b) ** 2)
        along = np.empty(0)
        while len(along) < n:
            z = rng.beta(p / 2, p / 2, 2 * (n - len(along)) + 10)
            w = (1 - (1 + b) * z) / (1 - (1 - b) * z)
            accepted = kappa * w + p * np.log(1 - most * w) - bound >= np.log1p(-rng.random(len(z)))
            along = np.concatenate([along, w[accepted]])
        along = along[:n, None]
        across = rng.standard_normal((n, p + 1))
        across -= np.outer(across @ mean, mean)
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        X = along * mean + np.sqrt(np.maximum(1 - along**2, 0)) * across
        return X / np.linalg.norm(X, axis=1, keepdims=True)

    def to_vector(self):
        """Unconstrained coordinates: concentrations times mean directions."""
        return self.slopes().ravel()

    def from_vector(self, vector):
        directions, lengths = self.directions(vector.reshape(self.shape))
        return replace(self, mean_directions=directions, concentrations=np.clip(lengths, LEAST_CONCENTRATION, self.cap))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        if X.shape[1] < 2:
            raise ValueError(
                f"VonMisesFisherMixture needs unit vectors of at least 2 columns, but X has n_features = {X.shape[1]}."
            )
        for start in range(0, len(X), BLOCK_ROWS):
            norms = np.linalg.norm(X[start : start + BLOCK_ROWS], axis=1)
            good = np.abs(norms - 1) <= NORM_TOLERANCE[X.dtype]
            if not good.all():
                row = int(np.argmin(good))
                what = "It has no direction; remove it." if norms[row] == 0 else "Divide rows by their norms."
                raise OutsideSupport(
                    f"X must hold unit vectors, but the norm of {place(start + row)} is {norms[row]:.9g}. {what}"
                )

    @classmethod
    def pattern(cls, blocks, mean):
        d = len(mean)
        return VonMisesFisher(
            np.eye(1, d), np.ones(1), min(MOST_PER_DIRECTION[blocks.dtype] * (d - 1), MOST_CONCENTRATION)
        )


def log_bessel(order, x):
    """log I_order(x), x > 0. Where I underflows, the order is large: Olver's uniform expansion (DLMF 10.41.3)."""
    from scipy.special import ive

    with np.errstate(under="ignore"):
        scaled = ive(order, x)
    if (scaled > UNDERFLOW).all():
        return np.log(scaled) + x
    z = x / order
    root = np.hypot(1, z)
    t = 1 / root
    u = (
        t * (3 - 5 * t**2) / 24,
        t**2 * (81 - 462 * t**2 + 385 * t**4) / 1152,
        t**3 * (30375 - 369603 * t**2 + 765765 * t**4 - 425425 * t**6) / 414720,
        t**4 * (4465125 - 94121676 * t**2 + 349922430 * t**4 - 446185740 * t**6 + 185910725 * t**8) / 39813120,
    )
    correction = np.log1p(sum(term / order ** (i + 1) for i, term in enumerate(u)))
    uniform = order * (root + np.log(z / (1 + root))) - 0.5 * np.log(2 * np.pi * order * root) + correction
    return np.where(scaled > UNDERFLOW, np.log(np.maximum(scaled, UNDERFLOW)) + x, uniform)


def mean_length(concentrations, d):
    """The length of the mean of unit vectors: I_{d/2}(kappa) / I_{d/2-1}(kappa)."""
    from scipy.special import ive

    with np.errstate(under="ignore"):
        above, below = ive(d / 2, concentrations), ive(d / 2 - 1, concentrations)
    by_logarithms = np.exp(log_bessel(d / 2, concentrations) - log_bessel(d / 2 - 1, concentrations))
    return np.where(above > UNDERFLOW, above / np.maximum(below, UNDERFLOW), by_logarithms)


def most_likely_concentrations(lengths, d, cap):
    """kappa in [LEAST_CONCENTRATION, cap] whose mean length is nearest to the given one.

    `approximate` is within a few percent of the inverse of `mean_length` and nearly proportional to it, so that a
    correction by its ratio gains a digit or two per step, even where rounding leaves `mean_length` no derivative.

    Banerjee, Dhillon, Ghosh, Sra: Clustering on the unit hypersphere using von Mises-Fisher distributions. JMLR 6
    (2005) 1345-1382, for the approximation; Sra, Computational Statistics 27 (2012) 177-190, for Newton's method.
    """

    def approximate(r):
        return r * (d - r**2) / ((1 - r) * (1 + r))

    bounds = mean_length(np.array([LEAST_CONCENTRATION, cap]), d)
    r = np.clip(lengths, *bounds)
    kappa = approximate(r)
    for _ in range(CONCENTRATION_STEPS):
        before = kappa
        kappa = np.clip(kappa * approximate(r) / approximate(mean_length(kappa, d)), LEAST_CONCENTRATION, cap)
        if np.allclose(kappa, before, rtol=1e-12, atol=0):
            break
    return np.where(lengths >= bounds[1], cap, np.where(lengths <= bounds[0], LEAST_CONCENTRATION, kappa))


class VonMisesFisherMixture(ExponentialFamilyMixture):
    """Mixture of von Mises-Fisher distributions: rows are unit vectors, of two columns or more.

    Densities are per area of the sphere. With two columns they are von Mises distributions of an angle.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    mean_directions_ : (K, d)
    concentrations_ : (K,)
        At least 1e-6; at most 1e6 (float32: 1e4) times d - 1, and at most 1e9. `component_status_` says which are held
        there.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import VonMisesFisherMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], 200, axis=0) + 0.1 * rng.normal(size=(400, 3))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> model = VonMisesFisherMixture(2, random_state=0).fit(X)
    >>> np.abs(model.mean_directions_.round(1))
    array([[0., 0., 1.],
           [1., 0., 0.]])

    References
    ----------
    Banerjee, Dhillon, Ghosh, Sra: Clustering on the unit hypersphere using von Mises-Fisher distributions. JMLR 6
    (2005) 1345-1382.
    """

    mean_directions_: np.ndarray = attribute()
    concentrations_: np.ndarray = attribute()

    _density = VonMisesFisher
    _parameter_arrays = ("mean_directions_", "concentrations_")
    _positive_only = False

    def _emission(self):
        directions = self._checked_array("mean_directions_", least=-1 - 1e-6, most=1 + 1e-6)
        concentrations = self._checked_array(
            "concentrations_", least=LEAST_CONCENTRATION, most=MOST_CONCENTRATION, shape=("K",)
        )
        if len(concentrations) != len(directions):
            raise ValueError(f"there are {len(directions)} mean_directions_, but {len(concentrations)} concentrations_")
        if np.abs(np.linalg.norm(directions, axis=1) - 1).max() > 1e-6:
            raise ValueError("mean_directions_ must be unit vectors")
        return VonMisesFisher(directions, concentrations, MOST_CONCENTRATION)
