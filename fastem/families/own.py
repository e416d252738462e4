"""Mixtures of a density of one's own, from its logarithm in numpy and its weighted maximum likelihood."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from fastem.driver.atomic_write import written_whole
from fastem.driver.em import em
from fastem.errors import convergence_warning, warn
from fastem.estimators.checks import real, whole
from fastem.estimators.estimator import require_fitted
from fastem.estimators.fitted_mixture import FittedMixture
from fastem.estimators.parameters import attribute, parameter
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.statistics import Statistics
from fastem.rows.validation import generator, require_finite

LEAST_WEIGHT = 1e-8  # of a component, in rows: one with less keeps its parameters


@dataclass(frozen=True)
class Density:
    """A density by its functions."""

    log_prob: Callable
    estimate: Callable

    def fitted(self, X, weight) -> np.ndarray:
        """The parameters of a weighted fit, as an array."""
        found = np.asarray(self.estimate(X, weight), np.float64)
        if not np.isfinite(found).all():
            raise ValueError(f"estimate returned parameters that are not finite: {found}")
        return found

    def log_density(self, X, parameters) -> np.ndarray:
        """(n,) its logarithm; ValueError where log_prob gives another shape or NaN."""
        values = np.asarray(self.log_prob(X, parameters), np.float64)
        if values.shape != (len(X),):
            raise ValueError(f"log_prob must return one number for each row, ({len(X)},), but returned {values.shape}.")
        if np.isnan(values).any():
            row = int(np.isnan(values).argmax())
            raise ValueError(f"log_prob returned NaN for row {row} with the parameters {parameters}.")
        return values


@dataclass(frozen=True)
class OwnModel:
    """The fitted mixture: what :func:`fastem.em` drives.

    Its E-step keeps the responsibilities of all rows: a density that gives no sums of its own needs them in its M-step.
    """

    weights: np.ndarray
    parameters_: np.ndarray
    density: Density
    d: int
    rows: np.ndarray | None = None

    discrete = has_ellipses = takes_missing = False

    @property
    def n_components(self) -> int:
        return len(self.weights)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.weights), self.d

    @property
    def emission(self) -> OwnModel:
        """Itself: what is asked of an emission, it answers."""
        return self

    @property
    def n_parameters(self) -> int:
        return self.parameters_.size + len(self.weights) - 1

    def column_parameters(self):
        """None: which column a parameter is of, is not known."""
        return None

    def log_joint(self, X) -> np.ndarray:
        """(n, K) log p(x, z = k)."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights)
        return np.stack([self.density.log_density(X, at) for at in self.parameters_], axis=1) + logs

    def posterior(self, X) -> np.ndarray:
        """(n, K) p(z = k | x)."""
        return posterior_of(self.log_joint(X))[0]

    def e_step(self, X, sample_weight) -> Statistics:
        """The responsibilities times the weights, and the log-likelihood."""
        posterior, total = posterior_of(self.log_joint(X))
        return Statistics(
            joint=posterior * sample_weight[:, None], log_likelihood=sample_weight @ total, weight=sample_weight.sum()
        )

    def m_step(self, statistics) -> OwnModel:
        """Each component fitted to its share of the rows."""
        counts = statistics.joint.sum(axis=0)
        found = [
            self.density.fitted(self.rows, joint) if count > LEAST_WEIGHT else before
            for joint, count, before in zip(statistics.joint.T, counts, self.parameters_)
        ]
        return replace(self, weights=counts / counts.sum(), parameters_=np.array(found))

    def score(self, X, n_threads, *, labels=None, responsibilities=None, log_density=None) -> None:
        """Write what is asked for into the arrays given."""
        posterior, total = posterior_of(self.log_joint(X))
        for out, values in ((labels, posterior.argmax(axis=1)), (responsibilities, posterior), (log_density, total)):
            if out is not None:
                out[:] = values


@dataclass(frozen=True)
class WholeRows:
    """Rows of which the E-step keeps every one."""

    X: np.ndarray
    sample_weight: np.ndarray

    def reduce(self, model, n_threads) -> Statistics:
        return model.e_step(self.X, self.sample_weight)


def posterior_of(log_joint) -> tuple[np.ndarray, np.ndarray]:
    """(n, K) responsibilities and (n,) log-densities of log p(x, z = k)."""
    most = log_joint.max(axis=1)
    if not np.isfinite(most).all():
        row = int((~np.isfinite(most)).argmax())
        raise ValueError(f"log_prob is {most[row]} for row {row} in every component: no component can produce it.")
    joint = np.exp(log_joint - most[:, None])
    total = joint.sum(axis=1)
    return joint / total[:, None], most + np.log(total)


class Mixture(FittedMixture):
    """A mixture of a density of one's own. Make it by :meth:`of`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    weights_ : (K,)
    parameters_ : (K, ...)
        What `estimate` returned, of each component.
    converged_ : bool
    n_iter_ : int
    history_ : list
        Mean log-likelihood of the start and after each iteration.
    log_likelihood_, lower_bound_ : float
        In total, and per unit of weight.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import Mixture
    >>> def log_prob(X, scale):  # Rayleigh's distribution
    ...     return np.log(X[:, 0] / scale**2) - X[:, 0] ** 2 / (2 * scale**2)
    >>> def estimate(X, weight):
    ...     return np.sqrt(weight @ X[:, 0] ** 2 / (2 * weight.sum()))
    >>> Rayleigh = Mixture.of(log_prob, estimate)
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.rayleigh(1, 500), rng.rayleigh(9, 500)])[:, None]
    >>> model = Rayleigh(2, random_state=0).fit(X)
    >>> np.sort(model.parameters_).round()
    array([1., 9.])
    """

    n_components: int = parameter(default=1, check=whole(1), doc="int\nNumber of components, K.", kw_only=False)
    log_prob: Any = parameter(
        default=None,
        doc="callable\n``log_prob(X, parameters)``: (n,) the log-density of rows, by the parameters of one component.",
    )
    estimate: Any = parameter(
        default=None,
        doc="""callable
``estimate(X, weight)``: the parameters, a number or an array, at which the weighted log-likelihood of rows is
largest.""",
    )
    tol: float = parameter(default=1e-3, check=real(0.0), doc="float\nSee :func:`fastem.em`.")
    max_iter: int = parameter(default=1000, check=whole(0), doc="int\nMost iterations of a start.")
    n_init: int = parameter(default=5, check=whole(1), doc="int\nRandom starts, of which the best is kept.")
    random_state: Any = parameter(default=None, doc="int, Generator, RandomState or None\nOf the starts.")
    n_threads: int | None = parameter(default=None, doc="int, optional\nWithout effect on functions in numpy.")

    parameters_: np.ndarray = attribute()

    _parameter_arrays = ("parameters_",)

    @classmethod
    def of(cls, log_prob: Callable, estimate: Callable) -> Kind:
        """The mixtures of a density.

        Parameters
        ----------
        log_prob : callable
            ``log_prob(X, parameters)``: (n,) the log-density of rows, by the parameters of one component.
        estimate : callable
            ``estimate(X, weight)``: the parameters of the weighted maximum likelihood, a number or an array.

        Returns
        -------
        Kind
            Called as a class is, it makes an estimator: ``Rayleigh(2, random_state=0)``; ``Rayleigh.load(path)`` reads
            what its `save` has written, and ``Rayleigh.select(X, range(1, 6))`` chooses the number of components.
        """
        return Kind(cls, Density(log_prob, estimate))

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Fit to rows in memory.

        Parameters
        ----------
        X : (n, d) array or data frame
        y : ignored
        sample_weight : (n,) or the name of a column, optional
            Not negative; a weight of 2 counts as two equal rows.
        """
        self._check_parameters()
        if not callable(self.log_prob) or not callable(self.estimate):
            raise ValueError("Mixture needs the functions log_prob and estimate: make it by Mixture.of.")
        blocks = open_rows(X, sample_weight, owner="Mixture")
        if not hasattr(blocks, "X"):
            raise ValueError(f"a density of one's own is fitted to rows in memory, but X is {blocks.holder}.")
        rows, names = np.asarray(blocks.X, np.float64), blocks.names
        require_finite(rows, columns=names)
        weight = np.ones(len(rows)) if blocks.sample_weight is None else blocks.sample_weight
        rng = generator(self.random_state)
        results = [self._run(rows, weight, rng) for _ in range(self.n_init)]
        best = max(results, key=lambda result: result.history[-1])
        self._keep(best, rows, weight, names)
        if not best.converged and self.max_iter > 0:
            warn(
                f"The best start did not converge: {best.stop_reason}. Increase max_iter or tol.", convergence_warning()
            )
        return self

    def _run(self, rows, weight, rng):
        """EM from rows that are drawn at random and the rows near them."""
        K, density = self.n_components, Density(self.log_prob, self.estimate)
        deviation = rows.std(axis=0)
        scaled = rows / np.where(deviation > 0, deviation, 1)
        seeds = scaled[rng.choice(len(rows), K, replace=False, p=weight / weight.sum())]
        nearest = ((scaled[:, None] - seeds) ** 2).sum(axis=2).argmin(axis=1)
        joint = weight[:, None] * (0.9 * (nearest[:, None] == np.arange(K)) + 0.1 / K)
        parameters = np.array([density.fitted(rows, of_k) for of_k in joint.T])
        start = OwnModel(joint.sum(axis=0) / weight.sum(), parameters, density, rows.shape[1], rows)
        return em(start, WholeRows(rows, weight), tol=self.tol, max_iter=self.max_iter)

    def _keep(self, result, rows, weight, names):
        self._keep_model(replace(result.model, rows=None))
        self._keep_columns(rows.shape[1], names)
        self.converged_, self.n_iter_, self.history_ = result.converged, result.n_iter, list(result.history)
        self.lower_bounds_, self.lower_bound_ = result.history[1:], result.history[-1]
        self.log_likelihood_, self.stop_reason_ = result.log_likelihood, result.stop_reason
        self.remaining_gain_, self.remaining_gain_method_ = result.remaining_gain, result.remaining_gain_method
        self.n_parameters_, self.component_status_ = result.model.n_parameters, ["ok"] * self.n_components
        self.n_samples_, self.total_weight_ = len(rows), float(weight.sum())

    def _arrays(self, emission):
        return {"parameters_": emission.parameters_}

    def _of_attributes(self):
        density = Density(self.log_prob, self.estimate)
        return OwnModel(np.asarray(self.weights_), np.asarray(self.parameters_), density, self.n_features_in_)

    def save(self, path) -> None:
        """Write the fitted mixture to an .npz file, without its functions; `load` of what :meth:`of` gave reads it."""
        self._require_fitted()
        path = Path(path)
        arrays = {name: np.asarray(getattr(self, name)) for name in SAVED if hasattr(self, name)}
        if hasattr(self, "feature_names_in_"):
            arrays["feature_names_in_"] = np.asarray(self.feature_names_in_, str)
        with written_whole(path) as beside, open(beside, "wb") as file:
            np.savez(file, **arrays)


SAVED = (
    *("weights_", "parameters_", "n_features_in_", "converged_", "n_iter_", "log_likelihood_", "lower_bound_"),
    *("stop_reason_", "n_parameters_", "n_samples_", "total_weight_", "history_"),
)


@dataclass(frozen=True)
class Kind:
    """The mixtures of one density, see :meth:`Mixture.of`."""

    make: type[Mixture]
    density: Density

    def __call__(self, n_components: int = 1, **parameters: Any) -> Mixture:
        """An estimator that is not fitted."""
        functions = {"log_prob": self.density.log_prob, "estimate": self.density.estimate}
        return self.make(n_components, **functions, **parameters)

    def load(self, path) -> Mixture:
        """The fitted mixture that `save` has written."""
        with np.load(path, allow_pickle=False) as file:
            if not {"weights_", "parameters_"} <= set(file.files):
                raise ValueError(f"{path} holds no mixture of a density of one's own, but {', '.join(file.files)}")
            model = self(len(file["weights_"]))
            for name in file.files:
                array = file[name]
                value = array.item() if array.ndim == 0 else array
                setattr(model, name, value.astype(object) if array.dtype.kind == "U" and array.ndim else value)
        model.history_ = list(model.history_)
        model.component_status_ = ["ok"] * model.n_components
        model.remaining_gain_ = float("nan")
        require_fitted(model)
        return model

    def select(self, X, n_components=range(1, 10), *, sample_weight=None, **parameters: Any) -> Mixture:
        """The mixture of the least BIC, of several numbers of components; its `bic_` maps each number to its BIC."""
        fits = {K: self(K, **parameters).fit(X, sample_weight=sample_weight) for K in n_components}
        found = {K: fit.n_parameters_ * np.log(fit.total_weight_) - 2 * fit.log_likelihood_ for K, fit in fits.items()}
        best = fits[min(found, key=lambda K: found[K])]
        best.bic_ = {K: float(value) for K, value in found.items()}
        return best
