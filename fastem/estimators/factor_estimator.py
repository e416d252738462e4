"""What estimators with continuous latent variables share: checks, moments, fitted attributes, transform.

A fit reads the rows once, for their mean and covariance; iterations use only these.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np

from fastem.errors import convergence_warning, interruption, warn, warn_of_rounding, warn_of_statuses
from fastem.estimators.checks import real, require_no_named, whole
from fastem.estimators.containers import chosen_container, in_container, set_output
from fastem.estimators.estimator import NOT_IN_OLD_FILES, SIZES, Estimator
from fastem.estimators.factor_summary import factor_summary
from fastem.estimators.parameters import attribute, parameter
from fastem.estimators.reproducible import require_reproducible
from fastem.estimators.scikit_learn import from_sklearn, to_sklearn
from fastem.estimators.summary import as_html
from fastem.kernels.threads import for_pass
from fastem.models.gaussian.factor_models import FactorModel
from fastem.models.gaussian.linear_algebra import product
from fastem.rows.cross_moments import MomentBlocks
from fastem.rows.scale import covariance_floor
from fastem.rows.sources.open_rows import open_to_fit
from fastem.rows.validation import as_matrix, require_rows
from fastem.starts.given import checked_attribute

LEAST_FLOOR = 1e-8  # of the noise, relative to the data: below it, the likelihood shows rounding
ATTRIBUTES = "mean_", "components_", "noise_variance_"  # which make a model
TRANSFORM_ROWS = 4096  # at a time, so that the centred rows stay in the cache

_SAVED_KINDS = {
    "converged_": bool,
    "n_iter_": int,
    "log_likelihood_": float,
    "log_likelihood_error_": float,
    "remaining_gain_": float,
    "remaining_gain_method_": str,
    "loglike_": list,
    "stop_reason_": str,
    "feature_status_": list,
    "n_parameters_": int,
    "n_features_in_": int,
}


class FactorEstimator(Estimator, general=True):
    """What :class:`FactorAnalysis` and :class:`PPCA` share.

    Subclasses define `_model_class`, `_floor_status` (the status of a column at the floor), and `_fit_moments`, which
    makes an EMResult from moments and passes it to a callback after each iteration.
    """

    n_components: int | None = parameter(default=None, check=whole(0, optional=True), doc="int or None", kw_only=False)
    reg_covar: float = parameter(
        default=1e-6,
        check=real(LEAST_FLOOR, finite=True),
        doc="float\nLeast noise variance, relative to the variance of each column.",
    )
    random_state: Any = parameter(
        default=None,
        check=None,
        doc="int, Generator, RandomState or None\nFor `sample`. None: numpy's global state (np.random.seed).",
    )
    n_threads: int | None = parameter(
        default=None, check=whole(1, optional=True), doc="int, optional\nAll that the process may use by default."
    )

    components_: np.ndarray = attribute()
    noise_variance_: np.ndarray = attribute()
    mean_: np.ndarray = attribute()
    loglike_: list[float] = attribute()
    log_likelihood_: float = attribute()
    log_likelihood_error_: float = attribute()
    remaining_gain_: float = attribute()
    remaining_gain_method_: str = attribute()
    feature_status_: list[str] = attribute()
    converged_: bool = attribute()
    stop_reason_: str = attribute()
    n_iter_: int = attribute()
    n_parameters_: int = attribute()
    n_samples_: int = attribute()
    total_weight_: float = attribute()

    _parameter_arrays = ATTRIBUTES
    _saved_arrays = ("components_", "mean_", "noise_variance_", "feature_names_in_")
    _saved_scalars = (*_SAVED_KINDS, *SIZES)

    def fit(self, X, y=None, sample_weight=None) -> Self:
        """Fit to rows.

        Parameters
        ----------
        X
            An array (n, d), a data frame, files, chunks, a Dask or Spark frame, … (see :func:`fastem.open_rows`).
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
            X or a parameter cannot be used; the message says why.
        KeyboardInterrupt
            Raised again after the attributes are set to the last complete iteration.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning, RoundingWarning
        """
        require_reproducible(self)
        self._check_parameters()
        blocks, unit = open_to_fit(X, sample_weight, type(self).__name__)
        d = blocks.n_features
        n_factors = self._most_factors(d) if self.n_components is None else self.n_components
        if n_factors > d:
            raise ValueError(f"n_components = {n_factors} is more than the {d} feature(s) of X.")
        moments = MomentBlocks.collect(blocks, for_pass(self.n_threads, blocks, 1))
        require_rows(blocks, 2, type(self).__name__)
        variance = np.diagonal(moments.covariance)
        floor = covariance_floor(variance, blocks, self.reg_covar)
        reached = []
        try:
            result = self._fit_moments(moments, n_factors, floor, reached.append)
        except BaseException as error:
            if reached:
                self._keep(reached[-1], variance, unit, blocks)
                self.converged_, self.stop_reason_ = False, interruption(error)
            raise
        self._keep(result, variance, unit, blocks)
        self._report()
        warn_of_rounding(self, blocks.dtype)
        return self

    def _keep(self, result, variance, unit, blocks):
        model = result.model
        self.mean_ = model.mean.copy()
        self.components_ = model.loadings.T.copy()
        self.noise_variance_ = model.noise.copy()
        self._fitted = model
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        total = result.statistics.weight * unit
        self.log_likelihood_ = result.history[-1] * total
        self.log_likelihood_error_ = result.log_likelihood_error * unit
        self.loglike_ = [mean * total for mean in result.history[1:]] or [self.log_likelihood_]
        self.remaining_gain_ = result.remaining_gain * unit
        self.remaining_gain_method_ = result.remaining_gain_method
        self.stop_reason_ = result.stop_reason
        self.feature_status_ = [
            "constant" if not varies else self._floor_status if at_floor else "ok"
            for varies, at_floor in zip(variance > 0, model.at_floor)
        ]
        self.n_parameters_ = model.n_parameters
        self.n_samples_, self.total_weight_ = blocks.n_rows, float(total)
        self._keep_columns(len(model.mean), blocks.names)

    def _report(self):
        """Warn of what the user must know about this fit."""
        if not self.converged_:
            warn(
                f"{type(self).__name__} did not converge. Increase max_iter or tol. "
                f"Stopped because {self.stop_reason_}.",
                convergence_warning(),
            )
        warn_of_statuses("feature", self.feature_status_)

    @property
    def model_(self) -> FactorModel:
        """The fitted model itself, which :func:`fastem.em` takes, of the attributes as they are now.

        It has the floor of the fit as long as they are the fit's; a file holds no floor.
        """
        self._require_fitted()
        return self._of_attributes()

    def _of_attributes(self) -> FactorModel:
        """The model that the attributes make, which a user may have set; ValueError where they make none."""
        mean = checked_attribute(self, "mean_", ("d",))
        components = checked_attribute(self, "components_", ("n_components", "d"))
        noise = checked_attribute(self, "noise_variance_", ("d",) if np.ndim(self.noise_variance_) else ())
        d = len(mean)
        if components.shape[1] != d or noise.shape not in ((), (d,)):
            raise ValueError(
                f"mean_ {mean.shape}, components_ {components.shape} and noise_variance_ {noise.shape} do not have the "
                "same columns"
            )
        if not (noise > 0).all():
            raise ValueError(f"noise_variance_ must be positive, but it contains {noise.min()}")
        model = self._model_class(mean, components.T, np.broadcast_to(noise, d), np.zeros(d))
        fitted = getattr(self, "_fitted", None)
        is_of_fit = fitted is not None and all(
            np.array_equal(getattr(model, name), getattr(fitted, name)) for name in ("mean", "loadings", "noise")
        )
        return fitted if is_of_fit else model

    def _require_fitted(self):
        """Also makes a fit of attributes that a user has set."""
        super()._require_fitted()
        if hasattr(self, "n_parameters_"):
            return
        model = self._of_attributes()
        d = len(model.mean)
        for name, array in zip(ATTRIBUTES, (model.mean, model.loadings.T, model.noise)):
            setattr(self, name, np.array(array))
        self.converged_, self.n_iter_, self.stop_reason_ = True, 0, "its parameters were given"
        self.log_likelihood_ = self.log_likelihood_error_ = float("nan")
        self.loglike_ = []
        self.remaining_gain_, self.remaining_gain_method_ = float("nan"), ""
        self.feature_status_, self.n_parameters_ = ["ok"] * d, model.n_parameters
        self._keep_columns(d, getattr(self, "feature_names_in_", None))

    @classmethod
    def from_parameters(cls, mean, components, noise_variance, **parameters: Any) -> Self:
        """A fitted estimator of given parameters, without rows.

        Parameters
        ----------
        mean : (d,)
        components : (n_components, d)
            Loadings, transposed.
        noise_variance : (d,) or float
        **parameters
            Of the constructor. `n_components` is that of `components`.

        Examples
        --------
        >>> from fastem import FactorAnalysis
        >>> model = FactorAnalysis.from_parameters([0.0, 0.0], [[1.0, 2.0]], [1.0, 1.0])
        >>> model.get_covariance()
        array([[2., 2.],
               [2., 5.]])
        """
        estimator = cls(**{"n_components": len(components)} | parameters)
        for name, value in zip(ATTRIBUTES, (mean, components, noise_variance)):
            setattr(estimator, name, value)
        estimator._check_parameters()
        estimator._require_fitted()
        return estimator

    def transform(self, X) -> np.ndarray:
        """Posterior means of the factors of each row, shape (n, n_components), in the type of X."""
        model = self.model_

        def factors(rows):
            scores = np.empty((len(rows), model.n_factors), rows.dtype)
            for start in range(0, len(rows), TRANSFORM_ROWS):
                some = slice(start, start + TRANSFORM_ROWS)
                scores[some] = product(np.subtract(rows[some], model.mean, order="C"), model.to_factors.T)
            return scores

        scores = self._evaluated(X, "factors", factors, getattr(X, "dtype", np.float64), model.n_factors)
        return in_container(scores, X, self.get_feature_names_out(), chosen_container(self))

    set_output = set_output
    summary = factor_summary
    _repr_html_ = as_html

    def fit_transform(self, X, y=None, sample_weight=None) -> np.ndarray:
        """Fit, then the posterior means of the factors."""
        require_no_named("fit_transform", sample_weight=sample_weight)
        return self.fit(X, y, sample_weight).transform(X)

    def inverse_transform(self, X) -> np.ndarray:
        """Expected rows (n, d) for factors X (n, n_components)."""
        model = self.model_
        factors = as_matrix(X, type(self).__name__) if model.n_factors else np.empty((len(X), 0))
        if factors.shape[1] != model.n_factors:
            raise ValueError(f"X has {factors.shape[1]} columns, but there are {model.n_factors} components.")
        return factors @ model.loadings.T + model.mean

    def get_covariance(self) -> np.ndarray:
        """(d, d) covariance of the fitted density, ``components_.T @ components_`` plus the noise."""
        return self.model_.covariance

    def get_precision(self) -> np.ndarray:
        """(d, d) inverse covariance of the fitted density."""
        return self.model_.precision

    to_sklearn = to_sklearn
    from_sklearn = classmethod(from_sklearn)
    _counterpart: ClassVar = ("decomposition", "FactorAnalysis")

    def _for_sklearn(self):
        names = (*ATTRIBUTES, "n_iter_", "loglike_")
        attributes = {name: getattr(self, name) for name in names} | {"noise_variance_": self.model_.noise}
        return {"n_components": len(self.components_)}, attributes

    def _take_sklearns(self, model):
        for name in ATTRIBUTES:
            setattr(self, name, np.array(getattr(model, name)))

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
        """Names of the factors: the class's name and a number."""
        self._require_fitted()
        return np.array([f"{type(self).__name__.lower()}{k}" for k in range(len(self.components_))], dtype=object)

    def __sklearn_is_fitted__(self):
        return all(hasattr(self, name) for name in ATTRIBUTES)

    def _require_savable(self):
        super()._require_savable()
        self.noise_variance_ = np.array(self._of_attributes().noise)

    def __sklearn_tags__(self):
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.estimator_type = None
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        return tags

    def _restore(self):
        """Raise ValueError where loaded arrays make no model."""
        self._check_parameters()
        for name, unknown in NOT_IN_OLD_FILES.items():
            vars(self).setdefault(name, unknown)
        self._require_saved(_SAVED_KINDS)
        d = self.n_features_in_
        if self.mean_.shape != (d,) or self.components_.ndim != 2 or self.components_.shape[1] != d:
            raise ValueError(
                f"mean_ {self.mean_.shape} and components_ {self.components_.shape} do not have {d} columns"
            )
        if self.noise_variance_.shape != (d,) or not (self.noise_variance_ > 0).all():
            raise ValueError(f"noise_variance_ is not positive in {d} columns")
