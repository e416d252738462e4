"""Mixtures of a density of one's own, from its logarithm in numpy and its weighted maximum likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from fastem.driver.em import em
from fastem.errors import convergence_warning, warn
from fastem.estimators.checks import checked_numbers, real, whole
from fastem.estimators.fitted_mixture import FittedMixture
from fastem.estimators.parameters import MODEL, attribute, parameter
from fastem.estimators.planning import require_enough_rows
from fastem.families.load import read_estimator
from fastem.families.own_density import Density, OwnModel, WholeRows, stacked
from fastem.models import criteria
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.validation import generator, in_moderate_units, require_finite
from fastem.starts.given import checked_attribute, checked_weights
from fastem.starts.tournament import FAILURES

FUNCTIONS = "log_prob", "estimate"  # parameters, which a file cannot contain


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
    log_likelihood_, lower_bound_ : float
        In total, and per unit of weight.
    history_, lower_bounds_ : list
        Mean log-likelihood of the start and after each iteration; the same without the start.
    model_ : the fitted model itself
        :func:`fastem.em` takes it.
    component_status_ : list of str
        "ok" of each.
    converged_, n_iter_, stop_reason_, log_likelihood_error_, remaining_gain_, remaining_gain_method_, n_parameters_, \
    n_samples_, total_weight_, n_features_in_, feature_names_in_
        As in :class:`fastem.GaussianMixture`.

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

    n_components: int = parameter(
        default=1, check=whole(1), doc="int\nNumber of components, K.", kw_only=False, tags=[MODEL]
    )
    log_prob: Any = parameter(
        default=None,
        doc="callable\n``log_prob(X, parameters)``: (n,) the log-density of rows, by the parameters of one component.",
        tags=[MODEL],
    )
    estimate: Any = parameter(
        default=None,
        doc="""callable
``estimate(X, weight)``: the parameters, a number or an array, at which the weighted log-likelihood of rows is
largest.""",
        tags=[MODEL],
    )
    tol: float = parameter(default=1e-3, check=real(0.0), doc="float\nSee :func:`fastem.em`.")
    max_iter: int = parameter(default=1000, check=whole(0), doc="int\nMost iterations of a start.")
    n_init: int = parameter(default=5, check=whole(1), doc="int\nRandom starts, of which the best is kept.")
    random_state: Any = parameter(default=None, doc="int, Generator, RandomState or None\nOf the starts.")
    n_threads: int | None = parameter(default=None, doc="int, optional\nWithout effect on functions in numpy.")

    parameters_: np.ndarray = attribute()

    _parameter_arrays = ("parameters_",)
    on_collapse: ClassVar[str] = "raise"  # nothing is dropped

    @classmethod
    def of(cls, log_prob: Callable, estimate: Callable) -> Kind:
        """The mixtures of a density.

        Parameters
        ----------
        log_prob : callable
            ``log_prob(X, parameters)``: (n,) the log-density of rows, by the parameters of one component; -inf where it
            cannot produce a row.
        estimate : callable
            ``estimate(X, weight)``: the parameters of the weighted maximum likelihood, a number or an array. X, in
            float64, and weight cannot be written to.

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
        require_enough_rows(blocks, self.n_components, "Mixture")
        weight = np.ones(len(rows)) if blocks.sample_weight is None else blocks.sample_weight
        moderate, unit = in_moderate_units(weight)
        best = self._best(WholeRows(rows[weight > 0], moderate[weight > 0]))
        self._keep(best, unit)
        self._keep_columns(rows.shape[1], names)
        self.n_samples_, self.total_weight_ = len(rows), float(weight.sum())
        if not best.converged and self.max_iter > 0:
            warn(
                f"The best start did not converge: {best.stop_reason}. Increase max_iter or tol.", convergence_warning()
            )
        return self

    def _best(self, blocks):
        """The result of the best start; the first error where all break down."""
        rng, results, errors = generator(self.random_state), [], []
        for _ in range(self.n_init):
            try:
                results.append(self._run(blocks, rng))
            except FAILURES as error:
                errors.append(error)
        if not results:
            raise errors[0]
        return max(results, key=lambda result: result.history[-1])

    def _run(self, blocks, rng):
        """EM from rows that are drawn at random and the rows near them."""
        rows, weight = blocks.X, blocks.sample_weight
        K, density = self.n_components, Density(self.log_prob, self.estimate)
        deviation = rows.std(axis=0)
        scaled = rows / np.where(deviation > 0, deviation, 1)
        seeds = scaled[rng.choice(len(rows), K, replace=False, p=weight / weight.sum())]
        nearest = ((scaled[:, None] - seeds) ** 2).sum(axis=2).argmin(axis=1)
        joint = weight[:, None] * (0.9 * (nearest[:, None] == np.arange(K)) + 0.1 / K)
        parameters = stacked([density.fitted(rows, of_k) for of_k in joint.T])
        start = OwnModel(joint.sum(axis=0) / weight.sum(), parameters, density, rows.shape[1], rows)
        return em(start, blocks, tol=self.tol, max_iter=self.max_iter)

    def _keep(self, result, unit):
        """The attributes of a result, whose rows were weighed in a unit."""
        vars(self).pop("bic_", None)  # of a `select` among other rows
        self._keep_model(replace(result.model, rows=None))
        self.converged_, self.n_iter_, self.history_ = result.converged, result.n_iter, list(result.history)
        self.lower_bounds_, self.lower_bound_ = result.history[1:], result.history[-1]
        self.log_likelihood_, self.stop_reason_ = result.log_likelihood * unit, result.stop_reason
        self.log_likelihood_error_ = result.log_likelihood_error * unit
        self.remaining_gain_, self.remaining_gain_method_ = result.remaining_gain * unit, result.remaining_gain_method
        self.n_parameters_, self.component_status_ = result.model.n_parameters, ["ok"] * self.n_components

    def _arrays(self, emission):
        return {"parameters_": emission.parameters_}

    def _of_attributes(self):
        weights = checked_weights(self.weights_, np.size(self.weights_), "weights_")
        shape = (len(weights), *np.shape(self.parameters_)[1:])
        parameters = checked_attribute(self, "parameters_", shape)
        return OwnModel(weights, parameters, Density(self.log_prob, self.estimate), self.n_features_in_)

    def __sklearn_is_fitted__(self):
        return super().__sklearn_is_fitted__() and hasattr(self, "n_features_in_")

    @classmethod
    def _named_arrays(cls, arrays, parameters) -> NoReturn:
        """Those of :meth:`from_parameters`: none."""
        raise TypeError(
            "a mixture of a density of one's own has no from_parameters, because its parameters do not tell of how "
            "many columns it is. Call fit; then weights_ and parameters_ may be set."
        )

    def _saved_parameters(self):
        return {name: value for name, value in super()._saved_parameters().items() if name not in FUNCTIONS}


def require_no_own(estimator, asked: str, instead: str) -> None:
    """TypeError where it is a mixture of a density of one's own, of which only the two functions are known."""
    if isinstance(estimator, Mixture):
        raise TypeError(
            f"{asked} takes mixtures of fastem's families, but not those of Mixture.of, of which it knows log_prob and "
            f"estimate alone. {instead}"
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
        """The fitted mixture that `save` has written, with the functions of this density; see :func:`fastem.load`."""
        return read_estimator(path, {self.make.__name__: self})

    def select(self, X, n_components=range(1, 10), *, sample_weight=None, **parameters: Any) -> Mixture:
        """The mixture of the least BIC, of several numbers of components; its `bic_` maps each number to its BIC.

        Numbers with which no fit succeeds have NaN there, and a warning says why; where none succeeds, the first error
        is raised.
        """
        numbers, fits, errors = checked_numbers(n_components), {}, {}
        for K in numbers:
            try:
                fits[K] = self(K, **parameters).fit(X, sample_weight=sample_weight)
            except FAILURES as error:
                errors[K] = error
        if not fits:
            raise errors[numbers[0]]
        for K, error in errors.items():
            warn(f"a mixture of {K} component(s) cannot be fitted: {type(error).__name__}: {error}", UserWarning)
        found = {
            K: float(criteria.bic(fit.log_likelihood_, fit.n_parameters_, fit.total_weight_)) for K, fit in fits.items()
        }
        best = fits[min(found, key=lambda K: found[K])]
        best.bic_ = dict.fromkeys(numbers, math.nan) | found
        return best
