"""FactorAnalysis and PPCA: models with continuous latent variables in scikit-learn's interface."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.driver.em import em
from fastem.driver.stopping import RULES
from fastem.estimators.checks import choice, flag, real, whole
from fastem.estimators.factor_estimator import LEAST_FLOOR, FactorEstimator
from fastem.estimators.parameters import parameter
from fastem.families.rotation import ROTATIONS, rotated
from fastem.models.gaussian.factor_models import ConditionalFactorModel, FactorModel, PPCAModel
from fastem.models.gaussian.factor_steps import best_loadings
from fastem.rows.validation import real_numbers


class FactorAnalysis(FactorEstimator):
    """Factor analysis: each row is a mean, a few common factors, and noise whose variance differs by column.

    Fitted by maximum likelihood, from the covariance alone. Each iteration takes the best loadings for the noise, then
    the best noise variance of each column (conditional maximisations, so the likelihood never falls).

    Parameters
    ----------
    {parameters}

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
    log_likelihood_error_ : float
        A bound on how far rounding has taken it from the exact value; see :mod:`fastem.models.rounding`.
    remaining_gain_ : float
        About how much it can still rise towards the local maximum that EM climbs; infinite where that is not known yet.
    remaining_gain_method_ : str
        "rate": from EM's last gains; "newton": by Newton's decrement; "closed form": PPCA is fitted by a formula;
        "": not known, as of given parameters. See :class:`fastem.EMResult`.
    feature_status_ : list of str
        "ok", or what is wrong with a column.
    converged_ : bool
    stop_reason_ : str
    n_iter_, n_parameters_, n_features_in_ : int
    n_samples_ : int
        Rows of the fit, and
    total_weight_ : float
        the sum of their weights.
    model_ : :class:`fastem.models.gaussian.factor_models.FactorModel`
        The fitted model itself, which :func:`fastem.em` takes.
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

    n_components: int | None = parameter(
        default=None,
        check=whole(0, optional=True),
        doc="int or None\nFactors; 0: independent columns; None: as many as columns.",
        kw_only=False,
    )
    tol: float = parameter(
        default=1e-8, check=real(0.0), doc="float\nStop when the quantity that `stop` names is smaller."
    )
    stop: Any = parameter(
        default="log_likelihood",
        check=choice(RULES, unless=callable, others="a function"),
        doc="""{"log_likelihood", "gain", "relative", "parameters", "aitken"} or callable
By default the change of the mean log-likelihood. It is flat at the maximum, and so tells half of the digits of the
parameters: "parameters" with tol=1e-15 goes on as long as these change. See :func:`fastem.em`.""",
    )
    max_iter: int = parameter(default=1000, check=whole(1), doc="int\nMost iterations.")
    noise_variance_init: Any = parameter(
        default=None,
        check=None,
        doc="(d,), optional\nNoise variances to start from; the columns' variances by default.",
    )
    rotation: str | None = parameter(
        default=None,
        check=choice(ROTATIONS, unless=lambda value: value is None, others="None"),
        doc="""{None, "varimax", "quartimax"}
Rotation of the loadings to simple structure.""",
    )
    kaiser_normalization: bool = parameter(
        default=True,
        check=flag,
        doc="""bool
Rotate loadings whose rows are divided by the roots of their communalities, and multiply back: every column counts the
same, whatever its unit, and tables are those of R's factanal, psych and SPSS. False: scikit-learn's, of the loadings as
they are.""",
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(LEAST_FLOOR, finite=True),
        doc="""float
Least noise variance, relative to the variance of each column. It acts only in Heywood cases, where the
likelihood rises as the noise of a column goes to 0.""",
    )

    _model_class = FactorModel
    _floor_status = "Heywood case: its noise variance is held at reg_covar times the column's variance"

    @staticmethod
    def _most_factors(d):
        return d

    def _fit_moments(self, moments, n_factors, floor, callback):
        noise = np.diagonal(moments.covariance)
        if self.noise_variance_init is not None:
            noise = real_numbers(self.noise_variance_init)
            if noise is None or noise.shape != floor.shape or not (np.isfinite(noise) & (noise > 0)).all():
                raise ValueError(
                    f"noise_variance_init must be {len(floor)} positive numbers, one for each column of X. "
                    f"Got {self.noise_variance_init!r} instead."
                )
        noise = np.maximum(noise, floor)
        loadings, _ = best_loadings(moments.covariance, noise, n_factors)
        start = ConditionalFactorModel(moments.mean, loadings, noise, floor)
        return em(
            start,
            moments,
            tol=self.tol,
            max_iter=self.max_iter,
            stop=self.stop,
            n_threads=1,
            callback=callback,
        )

    def _keep(self, result, variance, unit, blocks):
        super()._keep(result, variance, unit, blocks)
        if self.rotation is not None and len(self.components_):
            self.components_ = rotated(self.components_.T, self.rotation, self.kaiser_normalization).T


class PPCA(FactorEstimator):
    """Probabilistic principal components: factor analysis with the same noise variance in all columns, in closed form.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    components_ : (n_components, d)
        Loadings, transposed: principal axes times the square root of the variance above the noise.
    noise_variance_ : (d,)
        The same in every column.
    remaining_gain_, remaining_gain_method_
        0 and "closed form".
    converged_, n_iter_, stop_reason_
        True, 0, and that the maximum is known in closed form.
    loglike_ : list
        The log-likelihood, once.
    mean_, log_likelihood_, log_likelihood_error_, feature_status_, model_, n_parameters_, n_features_in_, \
    feature_names_in_, n_samples_, total_weight_
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

    n_components: int | None = parameter(
        default=None,
        check=whole(0, optional=True),
        doc="int or None\nNone: one less than the columns, the largest number that leaves noise.",
        kw_only=False,
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(LEAST_FLOOR, finite=True),
        doc="float\nLeast noise variance, relative to the mean variance of the columns.",
    )

    _model_class = PPCAModel
    _floor_status = "no noise is left: its variance is held at reg_covar times the mean variance of all columns"

    @staticmethod
    def _most_factors(d):
        return d - 1

    def _fit_moments(self, moments, n_factors, floor, callback):
        result = em(PPCAModel.maximum(moments.mean, moments.covariance, n_factors, floor), moments, max_iter=0)
        result.converged, result.stop_reason = True, "the maximum is known in closed form"
        result.remaining_gain, result.remaining_gain_method = 0.0, "closed form"
        return result

    def _take_sklearns(self, model):
        super()._take_sklearns(model)
        if np.ptp(self.noise_variance_) > 1e-9 * np.max(self.noise_variance_):
            raise ValueError(
                "the noise variances of the model differ, but those of PPCA are equal. Use FactorAnalysis."
            )
