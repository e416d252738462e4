"""BayesianGaussianMixture: a Gaussian mixture whose parameters have a posterior, by variational Bayes.

What it gives to a fit is in :mod:`fastem.families.gaussian.variational`, the densities and their derivation in
:mod:`fastem.models.gaussian.variational`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from fastem.estimators.checks import choice, positive, real
from fastem.estimators.fitted_mixture import around
from fastem.estimators.parameters import COLUMNS, MODEL, RESUME, SEARCH, attribute, parameter
from fastem.estimators.scikit_learn import from_sklearn, to_sklearn
from fastem.families.gaussian.covariance_mixture import BASIC, CovarianceMixture, for_sklearn
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.families.gaussian.variational import (
    VariationalFamily,
    degrees_of_freedom,
    given_scale,
    scale_as_given,
    variational_mixture,
)
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.gaussian.variational import NormalWishart, VariationalGaussian, predictive_mixture
from fastem.models.mixture import Mixture
from fastem.models.weight_posteriors import POSTERIORS
from fastem.models.weights import FREE_WEIGHTS
from fastem.rows.missing_patterns import patterns
from fastem.starts.given import checked_attribute, checked_weights

PRIORS = "weight_concentration_prior_", "mean_precision_prior_", "degrees_of_freedom_prior_"


class BayesianGaussianMixture(CovarianceMixture, without=("equal_weights", "fixed", "on_collapse")):
    """Gaussian mixture with a posterior of its weights, means and precisions: variational Bayes.

    A drop-in for scikit-learn's, so that the number of components need not be known: those that the rows do not need
    get no row (`n_components_`), and `lower_bound_` compares fits with other numbers and priors. It holds the ELBO, the
    evidence lower bound, with all its terms, per unit of the rows' weight. NaN is a missing value. :meth:`partial_fit`
    takes a stream (stochastic variational inference): its prior weighs as much as beside all rows so far, or beside
    `memory` batches.

    :meth:`score_samples`, :meth:`score` and :meth:`sample` are of the predictive density, which integrates over the
    posterior: a mixture of Student-t. :meth:`predict` and :meth:`predict_proba` give the responsibilities of the
    variational posterior, as scikit-learn's do.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    weight_concentration_ : (K,), or (2, K) of the sticks' beta distributions
    mean_precision_ : (K,)
    means_ : (K, d)
    degrees_of_freedom_ : (K,), or a number if tied
    covariances_, precisions_, precisions_cholesky_ : (K, d, d), (d, d), (K, d) or (K,), by covariance_type
        The precisions are the posterior's means.
    weight_concentration_prior_, mean_precision_prior_, degrees_of_freedom_prior_ : float
    mean_prior_ : (d,)
    covariance_prior_ : (d, d), (d,) or a number, by covariance_type
    n_components_ : int
        How many components hold rows.
    {attributes}

    Examples
    --------
    >>> from fastem import BayesianGaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = BayesianGaussianMixture(6, weight_concentration_prior=0.01, random_state=0).fit(X)
    >>> model.n_components_
    2
    >>> model.prune().means_.round(0)
    array([[ 4., 80.],
           [ 2., 55.]])
    """

    weight_concentration_: np.ndarray = attribute()
    mean_precision_: np.ndarray = attribute()
    degrees_of_freedom_: np.ndarray = attribute()
    weight_concentration_prior_: float = attribute()
    mean_precision_prior_: float = attribute()
    degrees_of_freedom_prior_: float = attribute()
    mean_prior_: np.ndarray = attribute()
    covariance_prior_: np.ndarray = attribute()

    covariance_type: str = parameter(
        default="full",
        check=choice(BASIC),
        doc="""str
"full", "tied", "diag" or "spherical": how free the posterior of the precisions is. The prior is that of full matrices
in all four; see :mod:`fastem.models.gaussian.variational`.""",
        tags=[MODEL],
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(0.0, finite=True),
        doc="""float
The default of `covariance_prior` is at or above ``reg_covar`` times the variance of each column, so that it is not
singular. The covariances need no floor: the prior is one.""",
        tags=[MODEL, SEARCH],
    )
    weight_concentration_prior_type: str = parameter(
        default="dirichlet_process",
        check=choice(POSTERIORS),
        doc="""str
"dirichlet_process" (stick breaking: later components are smaller) or "dirichlet_distribution".""",
        tags=[MODEL, SEARCH],
    )
    weight_concentration_prior: float | None = parameter(
        default=None,
        check=positive,
        doc="float, optional\nLow values leave more components without rows. Default: 1 / n_components.",
        tags=[MODEL, SEARCH],
    )
    mean_precision_prior: float | None = parameter(
        default=None,
        check=positive,
        doc="""float, optional
How many rows the prior's mean counts for: large values draw the means to `mean_prior`. Default: 1.""",
        tags=[MODEL, SEARCH],
    )
    mean_prior: Any = parameter(
        default=None,
        check=None,
        doc="(d,), optional\nThe mean of the components' means. Default: the mean of the rows.",
        tags=[COLUMNS, MODEL, SEARCH],
    )
    degrees_of_freedom_prior: float | None = parameter(
        default=None,
        check=positive,
        doc="""float, optional
How many rows the prior's covariance counts for; above d - 1. Default: d.""",
        tags=[COLUMNS, MODEL, SEARCH],
    )
    covariance_prior: Any = parameter(
        default=None,
        check=None,
        doc="""(d, d), (d,) or float, by covariance_type, optional
The prior's scatter: `degrees_of_freedom_prior` times a typical covariance. Default: the covariance of the rows.""",
        tags=[COLUMNS, MODEL, SEARCH],
    )
    predictive: str = parameter(
        default="exact",
        check=choice(("exact", "plug-in")),
        doc="""{"exact", "plug-in"}
The density of :meth:`score_samples` and :meth:`sample`. "plug-in": what scikit-learn gives, the sum over the components
of exp(E[log p(x, k)]), whose integral is below 1; samples are then from :meth:`to_mixture`.""",
        tags=[RESUME],
    )

    _takes_missing: ClassVar[bool] = True
    equal_weights: ClassVar[bool] = False
    fixed: ClassVar[None] = None
    on_collapse: ClassVar[str] = "floor"  # nothing collapses
    _parameter_arrays = (
        *CovarianceMixture._parameter_arrays,
        "weight_concentration_",
        "mean_precision_",
        "degrees_of_freedom_",
        "mean_prior_",
        "covariance_prior_",
    )
    _saved_scalars = (*CovarianceMixture._saved_scalars, *PRIORS)
    _fixable: ClassVar = {}

    def _weight_rule(self, parameters):
        return FREE_WEIGHTS

    def _family(self):
        return VariationalFamily(
            self.covariance_type,
            self.reg_covar,
            self.weight_concentration_prior_type,
            self.weight_concentration_prior,
            self.mean_precision_prior,
            self.mean_prior,
            self.degrees_of_freedom_prior,
            self.covariance_prior,
        )

    # ---- attributes ---------------------------------------------------------------------------------------------

    def _arrays(self, emission):
        freedom, prior = emission.degrees_of_freedom, emission.prior
        return super()._arrays(emission) | {
            "mean_precision_": emission.mean_precision,
            "degrees_of_freedom_": np.array(freedom[0]) if emission.covariance.shared else freedom,
            "mean_prior_": prior.mean,
            "covariance_prior_": scale_as_given(prior.scale, self.covariance_type),
        }

    def _keep_model(self, model):
        shares, prior = model.shares, model.emission.prior
        super()._keep_model(model)
        shares.concentration.flags.writeable = False
        self.weight_concentration_ = shares.concentration
        values = shares.prior, prior.shrinkage, prior.dof
        for name, value in zip(PRIORS, values):
            setattr(self, name, float(value))
        self._model_arrays = self._fitted_arrays()

    def _fitted_arrays(self):
        return [*super()._fitted_arrays(), *(getattr(self, name, None) for name in PRIORS)]

    @classmethod
    def _settable(cls):
        return (*super()._settable(), *PRIORS)

    @classmethod
    def _parameters_to_give(cls):
        return (*super()._parameters_to_give(), *PRIORS)

    def __sklearn_is_fitted__(self):
        return super().__sklearn_is_fitted__() and all(hasattr(self, name) for name in PRIORS)

    def _of_attributes(self):
        means = self._means()
        K, d = means.shape
        checked_weights(self.weights_, K, "weights_")  # the model's are those of weight_concentration_
        for name in PRIORS:
            positive(type(self).__name__, name, getattr(self, name))
        scale = given_scale(self.covariance_prior_, STRUCTURES[self.covariance_type], d)
        mean = checked_attribute(self, "mean_prior_", (d,))
        dof = degrees_of_freedom(self.degrees_of_freedom_prior_, d)
        prior = NormalWishart(mean, float(self.mean_precision_prior_), dof, scale)
        tied = self.covariance_type == "tied"
        freedom = checked_attribute(self, "degrees_of_freedom_", () if tied else (K,))
        precision = checked_attribute(self, "mean_precision_", (K,))
        sticks = self.weight_concentration_prior_type == "dirichlet_process"
        concentration = checked_attribute(self, "weight_concentration_", (2, K) if sticks else (K,))
        for name, array, least in [
            ("degrees_of_freedom_", freedom, d - 1),
            ("mean_precision_", precision, 0),
            ("weight_concentration_", concentration, 0),
        ]:
            if not (array > least).all():
                raise ValueError(f"{name} must be greater than {least}. Got {array.min():.5g}.")
        freedom = np.broadcast_to(freedom, K).astype(np.float64)
        covariance, no_floor = self._covariance(means), np.zeros(d)
        emission = VariationalGaussian(means, covariance, no_floor, precision, freedom, prior)
        type_, a = self.weight_concentration_prior_type, self.weight_concentration_prior_
        return variational_mixture(emission, type_, a, concentration)

    # ---- densities ----------------------------------------------------------------------------------------------

    def _predictive(self) -> Mixture:
        """The mixture of Student-t densities that integrates over the posterior; or the plug-in mixture."""
        model = self.model_
        if self.predictive == "plug-in":
            return model
        if getattr(self, "_predicts", (None, None))[0] is not model:
            self._predicts = model, predictive_mixture(model)
        return self._predicts[1]

    def _score(self, X, **outputs):
        log_density = outputs.pop("log_density", None) if self.predictive == "exact" else None
        if outputs:
            super()._score(X, **outputs)
        if log_density is not None:
            score_observed(self._predictive(), X, self._threads_for(X), log_density)

    # ---- other models -------------------------------------------------------------------------------------------

    @property
    def n_components_(self) -> int:
        """How many components hold rows: of a weight of 1 or more, together."""
        self._require_fitted()
        return int(self._holding().sum())

    def _holding(self):
        """(K,) whether a component holds rows."""
        return self._mixture().emission.counts() >= 1.0

    def prune(self) -> BayesianGaussianMixture:
        """The mixture without the components that hold no rows; see `n_components_`.

        Returns
        -------
        BayesianGaussianMixture
            Fitted, with the same priors. It has no history: `log_likelihood_` and `lower_bound_` are NaN. With
            ``warm_start=True``, :meth:`fit` continues from it.

        Raises
        ------
        ValueError
            No component holds a row.
        """
        self._require_fitted()
        model, kept = self._mixture(), self._holding()
        if not kept.any():
            raise ValueError("no component holds a row, so none would be left.")
        concentration = self.weight_concentration_prior_
        emission = model.emission.of_some(kept)
        parameters = self.get_params(deep=False) | {
            "n_components": int(kept.sum()),
            "weight_concentration_prior": concentration,
            "weights_init": None,
            "means_init": None,
            "precisions_init": None,
        }
        return around(
            type(self)(**parameters),
            variational_mixture(emission, self.weight_concentration_prior_type, concentration),
            names=getattr(self, "feature_names_in_", None),
            converged=self.converged_,
            reason="it is a fitted mixture without its empty components",
        )

    to_sklearn = to_sklearn
    from_sklearn = classmethod(from_sklearn)
    _counterpart: ClassVar = ("mixture", "BayesianGaussianMixture")

    def _for_sklearn(self):
        parameters, attributes = for_sklearn(self)
        attributes |= {name: getattr(self, name) for name in (*self._parameter_arrays, *PRIORS)}
        for name in ("degrees_of_freedom_", "covariance_prior_"):
            if not np.ndim(attributes[name]):
                attributes[name] = float(attributes[name])
        if self.weight_concentration_prior_type == "dirichlet_process":
            attributes["weight_concentration_"] = tuple(self.weight_concentration_.copy())
        return parameters, attributes

    def _take_sklearns(self, model):
        self.weights_ = model.weights_
        self._set_arrays({name: np.asarray(getattr(model, name)) for name in self._parameter_arrays})
        for name in PRIORS:
            setattr(self, name, float(getattr(model, name)))

    def to_mixture(self) -> GaussianMixture:
        """The plug-in mixture: the posterior's mean weights, mean means and mean precisions, as if they were known.

        Returns
        -------
        GaussianMixture
            Fitted. It has no history: `log_likelihood_` is NaN.
        """
        self._require_fitted()
        model = self._mixture()
        emission = Gaussian(model.emission.means, model.emission.covariance, model.emission.floor)
        parameters = {name: getattr(self, name) for name in ("random_state", "n_threads")}
        return around(
            GaussianMixture(model.n_components, covariance_type=self.covariance_type, **parameters),
            Mixture(model.weights, emission),
            names=getattr(self, "feature_names_in_", None),
            converged=self.converged_,
            reason="it is the plug-in mixture of a BayesianGaussianMixture",
        )


def score_observed(density, X, n_threads, log_density):
    """Fill in the log-densities (n,) of the values of rows (n, d) that are not missing."""
    if not np.isnan(X).any():
        density.score(X, n_threads, log_density=log_density)
        return
    kinds, of_row = patterns(X)
    for i, missing in enumerate(kinds):
        rows, there = np.flatnonzero(of_row == i), np.flatnonzero(~missing)
        values = np.zeros(len(rows))
        if len(there):
            some = replace(density, emission=density.emission.marginal(there)) if missing.any() else density
            some.score(np.ascontiguousarray(X[rows][:, there]), n_threads, log_density=values)
        log_density[rows] = values
