"""Problems of mixtures over columns of several kinds: shapes, data, and the point every rival starts from.

As in ``problems.py`` everything follows from the definition, the components overlap, and the start is half as far off.
Parameters are one dictionary, ``weights`` and the arrays of each kind as ``kind_name``, spelled as fastem spells them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

LEVELS = 4  # of a categorical column


class Kind(NamedTuple):
    """A kind of column, independent given the component; its parameters come from standard normals.

    n_normals : for each column and component
    parameters : normals (n_normals, K, d) -> {name: (K, d) or, categorical, (K, d, LEVELS)}
    draw : (rng, parameters of one component, n) -> (n, d)
    log_density : (rows (n, 1, d), parameters) -> (n, K, d)
    """

    n_normals: int
    parameters: Callable
    draw: Callable
    log_density: Callable


def _bernoulli_log_density(x, p):
    return np.log(np.where(x == 1, p["probabilities"], 1 - p["probabilities"]))


def _categorical_parameters(z):
    cells = np.moveaxis(np.exp(z), 0, -1)
    return {"probabilities": cells / cells.sum(axis=-1, keepdims=True)}


def _categorical_draw(rng, p, n):
    bounds = p["probabilities"].cumsum(axis=-1)[:, :-1]
    return (rng.random((n, len(bounds), 1)) >= bounds).sum(axis=2)


def _categorical_log_density(x, p):
    probabilities = p["probabilities"]
    codes = np.moveaxis(x, 1, 2).astype(np.intp)  # (n, d, 1)
    columns = np.arange(probabilities.shape[1])[:, None]
    return np.moveaxis(np.log(probabilities)[np.arange(len(probabilities)), columns, codes], 1, 2)


def _gamma_log_density(x, p):
    from scipy.special import gammaln

    a, rate = p["shapes"], p["rates"]
    return a * np.log(rate) - gammaln(a) + (a - 1) * np.log(x) - rate * x


def _poisson_log_density(x, p):
    from scipy.special import gammaln

    return x * np.log(p["rates"]) - p["rates"] - gammaln(x + 1)


KINDS = {
    "poisson": Kind(
        1,
        lambda z: {"rates": 4 * np.exp(0.4 * z[0])},
        lambda rng, p, n: rng.poisson(p["rates"], (n, len(p["rates"]))),
        _poisson_log_density,
    ),
    "bernoulli": Kind(
        1,
        lambda z: {"probabilities": 1 / (1 + np.exp(-z[0]))},
        lambda rng, p, n: rng.random((n, len(p["probabilities"]))) < p["probabilities"],
        _bernoulli_log_density,
    ),
    "categorical": Kind(LEVELS, _categorical_parameters, _categorical_draw, _categorical_log_density),
    "exponential": Kind(
        1,
        lambda z: {"rates": np.exp(0.6 * z[0])},
        lambda rng, p, n: rng.exponential(1 / p["rates"], (n, len(p["rates"]))),
        lambda x, p: np.log(p["rates"]) - p["rates"] * x,
    ),
    "gamma": Kind(
        2,
        lambda z: {"shapes": 3 * np.exp(0.4 * z[0]), "rates": np.exp(0.4 * z[1])},
        lambda rng, p, n: rng.gamma(p["shapes"], 1 / p["rates"], (n, len(p["rates"]))),
        _gamma_log_density,
    ),
    "gaussian": Kind(
        2,
        lambda z: {"means": 0.6 * z[0], "covariances": np.exp(0.3 * z[1])},
        lambda rng, p, n: rng.normal(p["means"], np.sqrt(p["covariances"]), (n, len(p["means"]))),
        lambda x, p: -0.5 * (np.log(2 * np.pi * p["covariances"]) + (x - p["means"]) ** 2 / p["covariances"]),
    ),
}


@dataclass(frozen=True)
class Columns:
    """n rows, so many columns of each kind in this order, K components.

    Examples
    --------
    >>> problem = Columns({"poisson": 3, "categorical": 2}, n=1000, K=2)
    >>> problem.title
    'poisson 3, categorical 2, 1e3 rows K=2 f64'
    >>> problem.data().shape
    (1000, 5)
    >>> problem.start()["categorical_probabilities"].shape
    (2, 2, 4)
    """

    kinds: dict[str, int]
    n: int
    K: int
    dtype: str = "float64"

    @property
    def title(self) -> str:
        """The shape in a few words."""
        exponent = len(str(self.n)) - 1
        columns = ", ".join(f"{kind} {d}" for kind, d in self.kinds.items())
        return f"{columns}, {self.n / 10**exponent:g}e{exponent} rows K={self.K} f{self.dtype[-2:]}"

    def slices(self) -> dict[str, slice]:
        """The columns of each kind."""
        ends = np.cumsum(list(self.kinds.values()))
        return {kind: slice(end - d, end) for (kind, d), end in zip(self.kinds.items(), ends.tolist())}

    def _normals(self, rng):
        return {kind: rng.normal(size=(KINDS[kind].n_normals, self.K, d)) for kind, d in self.kinds.items()}

    def _generator(self):
        return np.random.default_rng([self.n, self.K, *self.kinds.values()])

    def data(self) -> np.ndarray:
        """The rows: components alike in number, drawn from the true parameters."""
        rng = self._generator()
        truth = self._normals(rng)
        labels = rng.integers(self.K, size=self.n)
        X = np.empty((self.n, sum(self.kinds.values())), self.dtype)
        for kind, own in self.slices().items():
            parameters = KINDS[kind].parameters(truth[kind])
            for k in range(self.K):
                rows = np.flatnonzero(labels == k)
                one = {name: array[k] for name, array in parameters.items()}
                X[rows, own] = KINDS[kind].draw(rng, one, len(rows))
        return X

    def start(self) -> dict[str, np.ndarray]:
        """Where EM starts: equal weights, the true parameters moved by half as much as they scatter."""
        rng = self._generator()
        truth, moves = self._normals(rng), self._normals(rng)
        found = {"weights": np.full(self.K, 1 / self.K)}
        for kind in self.kinds:
            parameters = KINDS[kind].parameters(truth[kind] + 0.5 * moves[kind])
            found |= {f"{kind}_{name}": array for name, array in parameters.items()}
        return found

    def mean_log_likelihood(self, X, parameters) -> float:
        """Mean log-density of some 20 000 rows of X, in plain float64 numpy: the same judge for all.

        Examples
        --------
        >>> one = {"weights": np.ones(1), "exponential_rates": np.ones((1, 1))}
        >>> Columns({"exponential": 1}, n=3, K=1).mean_log_likelihood(np.array([[1.0], [2.0], [3.0]]), one)
        -2.0
        """
        X = X[:: max(1, len(X) // 20_000)].astype(np.float64)
        parameters = {name: np.asarray(array, dtype=np.float64) for name, array in parameters.items()}
        joint = np.log(parameters["weights"])
        for kind, own in self.slices().items():
            joint = joint + KINDS[kind].log_density(X[:, None, own], of_kind(kind, parameters)).sum(axis=2)
        top = joint.max(axis=1, keepdims=True)
        return float(np.mean(top[:, 0] + np.log(np.exp(joint - top).sum(axis=1))))


def of_kind(kind: str, parameters: dict) -> dict:
    """The arrays of one kind under their own names.

    Examples
    --------
    >>> of_kind("poisson", {"weights": 0, "poisson_rates": 1, "gamma_rates": 2})
    {'rates': 1}
    """
    return {name.removeprefix(f"{kind}_"): array for name, array in parameters.items() if name.startswith(f"{kind}_")}
