"""FactorAnalysis and PPCA: scikit-learn's interface on models with continuous latent variables."""

from __future__ import annotations

import numbers

import numpy as np

from fastem.driver.em import em
from fastem.estimators.checks import check_choice, check_number
from fastem.estimators.factor_estimator import FactorEstimator
from fastem.families.rotation import ROTATIONS, rotated
from fastem.models.gaussian.factor_models import ConditionalFactorModel, FactorModel, PPCAModel
from fastem.models.gaussian.factor_steps import best_loadings


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
    _held = "Heywood case: its noise variance is held at reg_covar times its own"

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

    def _fit_moments(self, moments, n_factors, floor, callback):
        noise = np.diagonal(moments.covariance)
        if self.noise_variance_init is not None:
            noise = np.asarray(self.noise_variance_init, np.float64)
            if noise.shape != floor.shape or not (np.isfinite(noise) & (noise > 0)).all():
                raise ValueError(
                    f"noise_variance_init must be {len(floor)} positive numbers, one for each column of X."
                )
        noise = np.maximum(noise, floor)
        loadings, _ = best_loadings(moments.covariance, noise, n_factors)
        start = ConditionalFactorModel(moments.mean, loadings, noise, floor)
        return em(start, moments, tol=self.tol, max_iter=self.max_iter, n_threads=1, callback=callback)

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
    _held = "no noise is left: its variance is held at reg_covar times the mean of all columns"

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

    def _fit_moments(self, moments, n_factors, floor, callback):
        result = em(PPCAModel.maximum(moments.mean, moments.covariance, n_factors, floor), moments, max_iter=0)
        result.converged, result.stop_reason = True, "the maximum is known in closed form"
        return result
