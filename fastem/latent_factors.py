"""FactorAnalysis and PPCA: scikit-learn's interface on models with continuous latent variables.

A fit goes over the rows once, for their mean and covariance; iterations see only these.
"""

from __future__ import annotations

import numbers

import numpy as np

from fastem.blocks import ArrayBlocks
from fastem.em import em
from fastem.errors import DegenerateComponentWarning, convergence_warning, warn
from fastem.estimators import Estimator
from fastem.factor_analysis import ConditionalFactorModel, FactorModel, PPCAModel, best_loadings
from fastem.moments import MomentBlocks
from fastem.rotation import ROTATIONS, rotated
from fastem.scale import covariance_floor
from fastem.threads import resolve
from fastem.validation import (
    as_matrix,
    as_sample_weight,
    check_choice,
    check_number,
    column_names,
    generator,
    in_moderate_units,
)

LEAST_FLOOR = 1e-8  # of the noise, relative to the data: below, rounding shows in the likelihood
TRANSFORM_ROWS = 4096  # at a time, so that the rows about their mean stay in the cache

_SAVED_KINDS = {
    "converged_": bool,
    "n_iter_": int,
    "log_likelihood_": float,
    "loglike_": list,
    "stop_reason_": str,
    "feature_status_": list,
    "n_parameters_": int,
    "n_features_in_": int,
}


class FactorEstimator(Estimator):
    """What both share. Subclasses give `_model_class` and `_fit_moments`, from moments to an EMResult."""

    _saved_arrays = ("components_", "mean_", "noise_variance_", "feature_names_in_")
    _saved_scalars = tuple(_SAVED_KINDS)

    def fit(self, X, y=None, sample_weight=None):
        """Fit to rows.

        Parameters
        ----------
        X : (n, d) array, data frame or Arrow table
            float32 and float64 are used as they are, anything else becomes float64.
        y : ignored
        sample_weight : (n,), optional
            Non-negative; a weight of 2 counts as two equal rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Input that cannot be fitted; the message names what was found.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning
        """
        self._check_parameters()
        names = column_names(X)
        X = as_matrix(X, self, least_rows=2)
        d = X.shape[1]
        n_factors = self._most_factors(d) if self.n_components is None else self.n_components
        if n_factors > d:
            raise ValueError(f"n_components = {n_factors} is more than the {d} feature(s) of X.")
        weight, unit = in_moderate_units(as_sample_weight(sample_weight, len(X)))
        blocks = ArrayBlocks(X, weight)
        n_threads = 1 if X.size * d < 2_000_000 else resolve(self.n_threads)
        moments = MomentBlocks.collect(blocks, n_threads, names)
        variance = np.diagonal(moments.covariance)
        floor = covariance_floor(variance, X[0], self.reg_covar)
        self._keep(self._fit_moments(moments, n_factors, floor), variance, unit, names)
        self._report()
        return self

    def _check_parameters(self):
        check_number(self, "n_components", numbers.Integral, 0, optional=True)
        check_number(self, "reg_covar", numbers.Real, LEAST_FLOOR, finite=True)
        check_number(self, "n_threads", numbers.Integral, 1, optional=True)

    def _keep(self, result, variance, unit, names):
        model = result.model
        self.mean_ = model.mean
        self.components_ = model.loadings.T.copy()
        self.noise_variance_ = model.noise
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        total = result.statistics.weight * unit
        self.log_likelihood_ = result.history[-1] * total
        self.loglike_ = [mean * total for mean in result.history[1:]] or [self.log_likelihood_]
        self.stop_reason_ = result.stop_reason
        self.feature_status_ = [
            "constant"
            if not varies
            else "Heywood case: its noise variance is held at reg_covar times its own"
            if held
            else "ok"
            for varies, held in zip(variance > 0, model.at_floor)
        ]
        self.n_parameters_ = model.n_parameters
        self.n_features_in_ = len(model.mean)
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _report(self):
        """Warnings: what the user must know about this fit."""
        if not self.converged_:
            warn(
                f"{type(self).__name__} did not converge. Increase max_iter or tol. Stopped since {self.stop_reason_}.",
                convergence_warning(),
            )
        wrong = [f"feature {i}: {status}" for i, status in enumerate(self.feature_status_) if status != "ok"]
        if wrong:
            more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            warn("; ".join(wrong[:5]) + more, DegenerateComponentWarning)

    def _model(self):
        """The model of the attributes, which may have been replaced or loaded since the fit."""
        self._require_fitted()
        d = len(self.mean_)
        noise = np.broadcast_to(np.asarray(self.noise_variance_, np.float64), d)
        return self._model_class(self.mean_, np.asarray(self.components_, np.float64).T, noise, np.zeros(d))

    def transform(self, X) -> np.ndarray:
        """Posterior means of the factors of each row, shape (n, n_components), in the type of X."""
        X = self._new_rows(X)
        model = self._model()
        factors = np.empty((len(X), model.n_factors), X.dtype)
        for start in range(0, len(X), TRANSFORM_ROWS):
            rows = slice(start, start + TRANSFORM_ROWS)
            factors[rows] = (X[rows] - model.mean) @ model.to_factors.T
        return factors

    def fit_transform(self, X, y=None, sample_weight=None) -> np.ndarray:
        """Fit, then the posterior means of the factors."""
        return self.fit(X, y, sample_weight).transform(X)

    def inverse_transform(self, X) -> np.ndarray:
        """Rows (n, d) that are expected of factors X (n, n_components)."""
        self._require_fitted()
        factors = as_matrix(X, self) if len(self.components_) else np.empty((len(X), 0))
        if factors.shape[1] != len(self.components_):
            raise ValueError(f"X has {factors.shape[1]} columns; there are {len(self.components_)} components.")
        return factors @ self.components_ + self.mean_

    def get_covariance(self) -> np.ndarray:
        """(d, d) covariance of the fitted density, ``components_.T @ components_`` and the noise."""
        return self._model().covariance

    def get_precision(self) -> np.ndarray:
        """(d, d) its inverse."""
        return self._model().precision

    def score_samples(self, X) -> np.ndarray:
        """Log-density of each row, shape (n,), natural logarithm."""
        X = self._new_rows(X)
        log_density = np.empty(len(X))
        n_threads = resolve(self.n_threads) if X.size > 20_000 else 1
        self._model().density.score(X, n_threads, log_density=log_density)
        return log_density

    def score(self, X, y=None) -> float:
        """Mean log-density of the rows."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state=None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the fitted density.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
            None: the estimator's own.

        Returns
        -------
        X : (n_samples, d)
        Z : (n_samples, n_components) the factors of each row
        """
        model = self._model()
        if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a whole number of at least 1. Got {n_samples!r} instead.")
        return model.sample(n_samples, generator(self.random_state if random_state is None else random_state))

    def bic(self, X) -> float:
        """Bayesian information criterion on X, the smaller the better: p log n - 2 log-likelihood."""
        log_density = self.score_samples(X)
        return float(self.n_parameters_ * np.log(len(log_density)) - 2 * log_density.sum())

    def aic(self, X) -> float:
        """Akaike information criterion on X, the smaller the better: 2 p - 2 log-likelihood."""
        return float(2 * self.n_parameters_ - 2 * self.score_samples(X).sum())

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the factors, the class's name and a number."""
        self._require_fitted()
        return np.array([f"{type(self).__name__.lower()}{k}" for k in range(len(self.components_))], dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "components_")

    def __sklearn_tags__(self):
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = None
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        return tags

    def _restore(self):
        """Refuses loaded arrays that make no model."""
        self._check_parameters()
        for name, kind in _SAVED_KINDS.items():
            if not isinstance(getattr(self, name, None), kind):
                raise ValueError(f"{name} is missing or no {kind.__name__}")
        d = self.n_features_in_
        if self.mean_.shape != (d,) or self.components_.ndim != 2 or self.components_.shape[1] != d:
            raise ValueError(
                f"mean_ {self.mean_.shape} and components_ {self.components_.shape} do not have {d} columns"
            )
        if self.noise_variance_.shape != (d,) or not (self.noise_variance_ > 0).all():
            raise ValueError(f"noise_variance_ is not positive in {d} columns")
        if len(getattr(self, "feature_names_in_", range(d))) != d:
            raise ValueError(f"feature_names_in_ has {len(self.feature_names_in_)} names for {d} columns")


class FactorAnalysis(FactorEstimator):
    """Factor analysis: rows are a mean, a few common factors, and noise of its own variance in each column.

    Fitted by maximum likelihood, on the covariance alone: each iteration takes the best loadings for the noise, then
    the best noise variance of each column (conditional maximisations, so that the likelihood only rises).

    Parameters
    ----------
    n_components : int or None
        Factors; 0: independent columns; None: as many as columns.
    tol : float
        Stop when the mean log-likelihood changes by less.
    max_iter : int
    noise_variance_init : (d,), optional
        Noise variances to start from; the columns' variances by default.
    rotation : {None, "varimax", "quartimax"}
        Of the loadings, to simple structure.
    reg_covar : float
        Least noise variance, relative to the variance of each column. It acts in Heywood cases only, where the
        likelihood rises as a column loses all noise of its own.
    random_state : int, Generator, RandomState or None
        For `sample`.
    n_threads : int, optional
        All that the process may use by default.

    Attributes
    ----------
    components_ : (n_components, d)
        Loadings, transposed.
    noise_variance_ : (d,)
    mean_ : (d,)
    loglike_ : list
        Log-likelihood of all rows after each iteration.
    log_likelihood_ : float
        At these parameters, each row counted with its weight.
    feature_status_ : list of str
        "ok", or what is wrong with a column.
    converged_ : bool
    stop_reason_ : str
    n_iter_, n_parameters_, n_features_in_ : int
    feature_names_in_ : (d,), where X has names

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import FactorAnalysis
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 1)) @ [[3.0, 2.0, 1.0, 2.0]] + rng.normal(size=(1000, 4))
    >>> fa = FactorAnalysis(1).fit(X)
    >>> fa.components_.round()
    array([[3., 2., 1., 2.]])
    >>> fa.transform(X).shape
    (1000, 1)
    """

    _model_class = FactorModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        tol: float = 1e-8,
        max_iter: int = 1000,
        noise_variance_init=None,
        rotation: str | None = None,
        reg_covar: float = 1e-6,
        random_state=None,
        n_threads: int | None = None,
    ):
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.noise_variance_init = noise_variance_init
        self.rotation = rotation
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.n_threads = n_threads

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self, "tol", numbers.Real, 0.0)
        check_number(self, "max_iter", numbers.Integral, 1)
        if self.rotation is not None:
            check_choice(self, "rotation", ROTATIONS)

    @staticmethod
    def _most_factors(d):
        return d

    def _fit_moments(self, moments, n_factors, floor):
        noise = np.diagonal(moments.covariance)
        if self.noise_variance_init is not None:
            noise = np.asarray(self.noise_variance_init, np.float64)
            if noise.shape != floor.shape or not (np.isfinite(noise) & (noise > 0)).all():
                raise ValueError(
                    f"noise_variance_init must be {len(floor)} positive numbers, one for each column of X."
                )
        noise = np.maximum(noise, floor)
        loadings = best_loadings(moments.covariance, noise, n_factors)
        start = ConditionalFactorModel(moments.mean, loadings, noise, floor)
        return em(start, moments, tol=self.tol, max_iter=self.max_iter, n_threads=1)

    def _keep(self, result, variance, unit, names):
        super()._keep(result, variance, unit, names)
        if self.rotation is not None and len(self.components_):
            self.components_ = rotated(self.components_.T, self.rotation).T


class PPCA(FactorEstimator):
    """Probabilistic principal components: factor analysis with one noise variance for all columns, in closed form.

    Parameters
    ----------
    n_components : int or None
        None: one less than columns, the most that leaves noise.
    reg_covar : float
        Least noise variance, relative to the mean variance of the columns.
    random_state : int, Generator, RandomState or None
        For `sample`.
    n_threads : int, optional
        All that the process may use by default.

    Attributes
    ----------
    components_ : (n_components, d)
        Loadings, transposed: principal axes times the root of the variance beyond the noise.
    noise_variance_ : (d,)
        The same in every column.
    mean_, log_likelihood_, feature_status_, n_parameters_, n_features_in_, feature_names_in_
        As in :class:`FactorAnalysis`.

    Examples
    --------
    >>> from fastem import PPCA
    >>> from fastem.datasets import load_faithful
    >>> eruptions = load_faithful().data
    >>> ppca = PPCA(1).fit(eruptions)
    >>> ppca.components_.round(1)
    array([[ 1. , 13.6]])
    >>> ppca.noise_variance_.round(2)
    array([0.24, 0.24])
    """

    _model_class = PPCAModel

    def __init__(
        self,
        n_components: int | None = None,
        *,
        reg_covar: float = 1e-6,
        random_state=None,
        n_threads: int | None = None,
    ):
        self.n_components = n_components
        self.reg_covar = reg_covar
        self.random_state = random_state
        self.n_threads = n_threads

    @staticmethod
    def _most_factors(d):
        return d - 1

    def _fit_moments(self, moments, n_factors, floor):
        result = em(PPCAModel.maximum(moments.mean, moments.covariance, n_factors, floor), moments, max_iter=0)
        result.converged, result.stop_reason = True, "the maximum is known in closed form"
        return result
