"""The problems of the benchmark: shapes, data and the point every rival starts from.

Everything follows from a problem's definition, so two runs on two machines fit the same numbers.
The components overlap (two means lie about three standard deviations apart, whatever d) and the
start is half as far off: EM is still climbing after the last iteration measured, so no rival stops
early because its log-likelihood stands still, yet no component dies (rows of the data as means
would collapse in 64 dimensions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

SEPARATION = 3.0  # distance between two means, in standard deviations, about

# What an exp costs where it is done best, in the flops that the same slots could have done instead:
# range reduction, polynomial and scaling are about 14 vector instructions in float64, 9 in float32,
# and a fused multiply-add counts as two.
EXP_FLOPS = {"float64": 28, "float32": 18}


class Parameters(NamedTuple):
    """A Gaussian mixture; the covariances in scikit-learn's shape of their structure.

    weights (K,), means (K, d), covariances full (K, d, d), tied (d, d), diag (K, d), spherical (K,).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class Problem:
    """One row of the table: n rows of d features, K components.

    Examples
    --------
    >>> problem = Problem("small", "diag", n=1000, d=3, K=2)
    >>> problem.data().shape
    (1000, 3)
    >>> problem.start(problem.data()).covariances.shape
    (2, 3)
    """

    name: str
    covariance: str
    n: int
    d: int
    K: int
    dtype: str = "float64"
    is_dense: ClassVar[bool] = True  # whether every row may belong to every component

    @property
    def title(self) -> str:
        """The shape as people say it, e.g. ``full 1e6×2 K=8 f64``."""
        exponent = len(str(self.n)) - 1
        lead = f"{self.n / 10**exponent:g}"
        return f"{self.covariance} {lead}e{exponent}×{self.d} K={self.K} f{self.dtype[-2:]}"

    def data(self) -> np.ndarray:
        """The rows: a mixture of K Gaussians, each with a covariance of its own."""
        rng = np.random.default_rng([self.n, self.d, self.K])
        means = self._means(rng)
        factors = np.eye(self.d) + rng.normal(size=(self.K, self.d, self.d)) * 0.3 / np.sqrt(self.d)
        labels = rng.integers(self.K, size=self.n)
        X = np.empty((self.n, self.d), self.dtype)
        for k, (mean, factor) in enumerate(zip(means, factors)):
            rows = np.flatnonzero(labels == k)
            X[rows] = rng.normal(size=(len(rows), self.d)) @ factor.T + mean
        return X

    def _means(self, rng: np.random.Generator) -> np.ndarray:
        """The true means, drawn first from a fresh generator of this problem."""
        return rng.normal(size=(self.K, self.d)) * SEPARATION / np.sqrt(2 * self.d)

    def start(self, X: np.ndarray) -> Parameters:
        """Where EM starts: equal weights, the true means moved, the data's own variances."""
        rng = np.random.default_rng([self.n, self.d, self.K])
        means = self._means(rng) + 0.5 * self._means(rng)
        variances = X.var(axis=0, dtype=np.float64)
        covariances = {
            "full": lambda: np.tile(np.diag(variances), (self.K, 1, 1)),
            "tied": lambda: np.diag(variances),
            "diag": lambda: np.tile(variances, (self.K, 1)),
            "spherical": lambda: np.full(self.K, variances.mean()),
        }[self.covariance]()
        weights = np.full(self.K, 1 / self.K)
        return Parameters(*(a.astype(self.dtype) for a in (weights, means, covariances)))

    def settings(self, start: Parameters, iterations: int) -> dict:
        """Arguments of a GaussianMixture (fastem's or scikit-learn's): so many iterations, no initialisation."""
        dense = self.covariance in ("full", "tied")
        return {
            "n_components": self.K,
            "covariance_type": self.covariance,
            "tol": 0,
            "reg_covar": 0,
            "max_iter": iterations,
            "weights_init": start.weights,
            "means_init": start.means,
            "precisions_init": np.linalg.inv(start.covariances) if dense else 1 / start.covariances,
        }

    def algebra_flops(self) -> float:
        """Multiplications and additions of one iteration when nothing is wasted: densities plus statistics."""
        d = self.d
        each = {"full": d**2 + d**2, "diag": 4 * d + 4 * d}.get(self.covariance, 2 * d + 2 * d)
        return self.n * self.K * each

    def flops(self) -> float:
        """All floating-point work of one iteration when nothing is wasted: the algebra and an exp each."""
        return self.algebra_flops() + self.n * self.K * EXP_FLOPS[self.dtype]

    def bytes(self) -> int:
        """Memory traffic of one iteration when nothing is wasted: the data, read once."""
        return self.n * self.d * np.dtype(self.dtype).itemsize


def by_name(*problems: Problem) -> dict[str, Problem]:
    """Problems under their names."""
    return {problem.name: problem for problem in problems}


@dataclass(frozen=True)
class Patches(Problem):
    """Squares of √d x √d grey values from scikit-learn's two sample pictures, less their means: most components say
    nothing of most rows. EM starts at the parameters of rows that were dealt out by their first differences."""

    is_dense = False

    @property
    def title(self) -> str:
        return f"patches, {super().title}"

    def data(self) -> np.ndarray:
        from sklearn.datasets import load_sample_images

        rng = np.random.default_rng([self.n, self.d])
        side, half, rows = round(self.d**0.5), self.n // 2, []
        for image in load_sample_images().images:
            grey = image.mean(axis=2) / 255
            windows = np.lib.stride_tricks.sliding_window_view(grey, (side, side))
            i, j = (rng.integers(0, size, half) for size in windows.shape[:2])
            rows.append(windows[i, j].reshape(half, self.d))
        X = np.concatenate(rows)
        X = X - X.mean(axis=1, keepdims=True) + 0.01 * rng.normal(size=X.shape)  # grey values are whole numbers
        return np.ascontiguousarray(X, self.dtype)

    def start(self, X: np.ndarray) -> Parameters:
        order = np.argsort(X[:, 0] - X[:, -1], kind="stable").reshape(self.K, -1)
        means = np.array([X[rows].mean(axis=0) for rows in order])
        variances = np.array([X[rows].var(axis=0) for rows in order]) + 1e-4
        covariances = np.array([np.diag(v) for v in variances]) if self.covariance == "full" else variances
        return Parameters(*(a.astype(self.dtype) for a in (np.full(self.K, 1 / self.K), means, covariances)))


PROBLEMS = by_name(
    Problem("full-d2", "full", n=1_000_000, d=2, K=8),
    Problem("full-d16", "full", n=200_000, d=16, K=32),
    Problem("full-d64", "full", n=50_000, d=64, K=32),
    Problem("full-d16-f32", "full", n=200_000, d=16, K=32, dtype="float32"),
    Problem("diag-d39", "diag", n=200_000, d=39, K=64),
    Problem("diag-d1", "diag", n=2_000_000, d=1, K=3),
    Problem("tied-d32", "tied", n=200_000, d=32, K=32),
    Problem("spherical-d16", "spherical", n=300_000, d=16, K=32),
)

# Where nearly all the work is matrix algebra, so that the FMA units can be kept busy.
DENSE_PROBLEMS = by_name(
    Problem("full-d32", "full", n=100_000, d=32, K=32),
    Problem("full-d128", "full", n=20_000, d=128, K=32),
    Problem("full-d32-f32", "full", n=100_000, d=32, K=32, dtype="float32"),
    Problem("full-d64-f32", "full", n=50_000, d=64, K=32, dtype="float32"),
    Problem("full-d128-f32", "full", n=20_000, d=128, K=32, dtype="float32"),
    Problem("full-d256", "full", n=10_000, d=256, K=8),
    Problem("diag-d784", "diag", n=20_000, d=784, K=16),
    Patches("patches-d64", "full", n=51_200, d=64, K=32),
    Patches("patches-d16", "full", n=204_800, d=16, K=32),
    Patches("patches-diag", "diag", n=51_200, d=64, K=256),
    Problem("diag-K256", "diag", n=100_000, d=32, K=256),
    Problem("diag-K1000", "diag", n=50_000, d=32, K=1000),
    Problem("diag-K2000", "diag", n=50_000, d=32, K=2000),
    Problem("full-K1000", "full", n=200_000, d=32, K=1000),
    # Flash-GMM's published table: 18 ms on an A100
    Problem("spherical-K1024-f32", "spherical", n=100_000, d=128, K=1024, dtype="float32"),
)


@dataclass(frozen=True)
class Sample:
    """Rows for a fit with default settings: unequal weights, general covariances, centres some ``apart`` deviations.

    Examples
    --------
    >>> Sample("full", n=1000, d=3, K=2, apart=1.0).data(10).shape
    (10, 3)
    """

    covariance: str
    n: int
    d: int
    K: int
    apart: float

    def data(self, n: int) -> np.ndarray:
        """n rows, always of the same mixture."""
        rng = np.random.default_rng(1)
        centres = rng.normal(size=(self.K, self.d)) * self.apart
        roots = rng.normal(size=(self.K, self.d, self.d)) * 0.3 + np.eye(self.d)
        component = rng.choice(self.K, size=n, p=rng.dirichlet(np.full(self.K, 3.0)))
        return np.einsum("nij,nj->ni", roots[component], rng.normal(size=(n, self.d))) + centres[component]


SAMPLES = (
    Sample("full", n=200_000, d=8, K=16, apart=4.0),
    Sample("full", n=200_000, d=8, K=16, apart=1.5),
    Sample("full", n=200_000, d=8, K=16, apart=0.7),
    Sample("full", n=200_000, d=2, K=8, apart=2.0),
    Sample("diag", n=200_000, d=16, K=8, apart=1.0),
    Sample("full", n=1_000_000, d=4, K=8, apart=1.0),
)


def mean_log_likelihood(X: np.ndarray, covariance: str, mixture: Parameters) -> float:
    """Mean log-density of some 20 000 rows of X, in plain float64 numpy: the same judge for all.

    Examples
    --------
    >>> one = Parameters(np.ones(1), np.zeros((1, 1)), np.ones((1, 1)))
    >>> round(mean_log_likelihood(np.zeros((5, 1)), "diag", one), 6)
    -0.918939
    """
    X = X[:: max(1, len(X) // 20_000)].astype(np.float64)
    weights, means, covariances = (np.asarray(a, dtype=np.float64) for a in mixture)
    K, d = means.shape
    dense = {
        "full": lambda: covariances,
        "tied": lambda: np.tile(covariances, (K, 1, 1)),
        "diag": lambda: covariances[:, :, None] * np.eye(d),
        "spherical": lambda: covariances[:, None, None] * np.eye(d),
    }[covariance]()
    log_densities = np.empty((len(X), K))
    for k in range(K):
        factor = np.linalg.cholesky(dense[k])
        y = np.linalg.solve(factor, (X - means[k]).T)
        log_det = 2 * np.log(np.diag(factor)).sum()
        log_densities[:, k] = np.log(weights[k]) - 0.5 * (d * np.log(2 * np.pi) + log_det + (y**2).sum(axis=0))
    top = log_densities.max(axis=1, keepdims=True)
    return float(np.mean(top[:, 0] + np.log(np.exp(log_densities - top).sum(axis=1))))
