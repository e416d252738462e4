"""GaussianMixture: scikit-learn's interface on fastem's EM."""

from __future__ import annotations

import numbers

import numpy as np

from fastem import initialise
from fastem.acceleration import ACCELERATORS
from fastem.blocks import ArrayBlocks
from fastem.coarse import applies, coarse_start
from fastem.diagnosis import best_sound, diagnose, effective_rows
from fastem.em import em
from fastem.emissions import Gaussian
from fastem.errors import DegenerateComponentWarning, convergence_warning, warn
from fastem.estimators import MixtureEstimator
from fastem.gaussian_start import (
    STRUCTURES,
    checked_array,
    checked_weights,
    gaussian_start,
    require_distinct_rows,
    start_is_given,
    warm_start,
)
from fastem.matrices import IllDefinedCovariance
from fastem.mixture import Mixture
from fastem.online import Stepwise
from fastem.progress import Progress
from fastem.scale import column_variances, covariance_floor, robust_variances
from fastem.stopping import RULES
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

_SAVED_KINDS = {
    "converged_": bool,
    "n_iter_": int,
    "lower_bound_": float,
    "log_likelihood_": float,
    "n_parameters_": int,
    "n_features_in_": int,
    "stop_reason_": str,
    "component_status_": list,
    "history_": list,
}


class GaussianMixture(MixtureEstimator):
    """Gaussian mixture fitted by EM. A drop-in for scikit-learn's.

    Parameters
    ----------
    n_components : int
    covariance_type : {"full", "tied", "diag", "spherical"}
    tol : float
        Stop when the mean log-likelihood changes by less, or what else `stop` names is less.
    reg_covar : float
        Least variance relative to the data's own: covariances are kept at or above ``reg_covar`` times the variance of
        each column (of its middle half, where that is less). Unlike scikit-learn's absolute constant, which is added
        to every diagonal, it does not depend on the units of the data and does not touch components that are not
        degenerate. 0: no floor, and an error where a covariance is singular.
    max_iter : int
    n_init : int
        Restarts; the best sound one is kept: the largest log-likelihood among those without a degenerate component.
        A start that is given whole is not repeated.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, callable or array
        Array: responsibilities (n, K) or labels (n,). Callable: ``f(X, n_components, rng)`` that returns such an array.
        "kmeans" takes a few k-means steps from k-means++ seeds, in standardised columns. The named starts see some
        20 000 rows (200 per component if that is more, at most 100 000).
    weights_init, means_init, precisions_init : arrays, optional
        In scikit-learn's shapes.
    random_state : int, Generator, RandomState or None
    warm_start : bool
        Start from the last fit.
    verbose, verbose_interval : int
        Print every ``verbose_interval`` iterations; verbose=2: with the change.
    n_threads : int, optional
        All that the process may use by default.
    coarse : bool
        Where there are many rows (at least five times those that the named starts see) and no start is given, at least
        four short runs of EM on a subsample find the start, `n_init` of them if that is more; the fit then goes over
        all rows until `tol` holds there. False: start from `init_params` as it is.
    stop : {"log_likelihood", "relative", "parameters", "aitken"} or callable
        See :func:`fastem.em`.
    accelerate : {None, "anderson", "squarem"}
        Fewer passes where components overlap strongly; see :func:`fastem.em`.

    Attributes
    ----------
    weights_ : (K,)
    means_ : (K, d)
    covariances_, precisions_, precisions_cholesky_ : (K, d, d), (d, d), (K, d) or (K,), by covariance_type
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean log-likelihood at these parameters.
    lower_bounds_ : list
        The same after each iteration.
    log_likelihood_ : float
        Of all rows, each counted with its weight.
    history_ : list
        Mean log-likelihood of the start and after each iteration.
    steps_ : sequence of :class:`fastem.history.Step`
        What the E-step and the M-step of each iteration gained. Not saved to files.
    stop_reason_ : str
    component_status_ : list of str
        "ok", or what is wrong with a component.
    n_parameters_ : int
    n_features_in_ : int
    feature_names_in_ : (d,), where X has names

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> eruptions = load_faithful().data
    >>> gm = GaussianMixture(2, random_state=0, tol=1e-6).fit(eruptions)
    >>> round(gm.log_likelihood_, 2)
    -1130.26
    >>> gm.means_[gm.weights_.argsort()].round(1)
    array([[ 2. , 54.5],
           [ 4.3, 80. ]])
    """

    _saved_arrays = ("weights_", "means_", "covariances_", "precisions_cholesky_", "feature_names_in_")
    _saved_scalars = tuple(_SAVED_KINDS)

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params="kmeans",
        weights_init=None,
        means_init=None,
        precisions_init=None,
        random_state=None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_threads: int | None = None,
        coarse: bool = True,
        stop="log_likelihood",
        accelerate: str | None = None,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_threads = n_threads
        self.coarse = coarse
        self.stop = stop
        self.accelerate = accelerate

    def fit(self, X, y=None, sample_weight=None) -> GaussianMixture:
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
            Input that cannot be fitted; the message names what was found. Also where ``reg_covar=0`` and a covariance
            becomes singular.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning
        """
        self._check_parameters()
        names = column_names(X)
        X = as_matrix(X, self, least_rows=2)
        if len(X) < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, n_samples = {len(X)}"
            )
        weight, unit = in_moderate_units(as_sample_weight(sample_weight, len(X)))
        small = X.size * self.n_components * X.shape[1] < 2_000_000  # a thread team would cost more than it saves
        n_threads = 1 if small else resolve(self.n_threads)
        blocks = ArrayBlocks(X, weight)
        variance = column_variances(blocks, n_threads, names)
        require_distinct_rows(X, weight, self.n_components)
        floor = covariance_floor(robust_variances(X, variance), X[0], self.reg_covar)
        n_effective = effective_rows(blocks)
        result = self._best_fit(blocks, floor, n_effective, n_threads)
        self._keep(result, n_effective, X.shape[1], names)
        self.log_likelihood_ *= unit
        self._report(result)
        return self

    def partial_fit(self, X, y=None, sample_weight=None) -> GaussianMixture:
        """Learn from one more batch of rows: a step of stepwise EM; see :class:`fastem.online.Stepwise`.

        The first batch of an estimator that is not fitted chooses the start and the floor, as :meth:`fit` would. After
        a fit, batches go on from it; after loading one or setting its attributes, from the model alone. The history
        stays that of the last :meth:`fit`.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`; an unfitted estimator needs at least `n_components` distinct rows.

        Returns
        -------
        self
        """
        self._check_parameters()
        if not hasattr(self, "means_"):
            start = type(self)(**self.get_params() | {"max_iter": 0}).fit(X, sample_weight=sample_weight)
            vars(self).update({name: value for name, value in vars(start).items() if name not in self.get_params()})
        X = self._new_rows(X)
        stream = getattr(self, "_stream", None)
        if stream is None or stream.model is not self._mixture():
            stream = Stepwise(self._mixture(), n_threads=self.n_threads)
        stream.update(X, as_sample_weight(sample_weight, len(X)))
        self._stream = stream
        self._keep_model(stream.model)
        return self

    def _check_parameters(self):
        check_number(self, "n_components", numbers.Integral, 1)
        check_number(self, "tol", numbers.Real, 0.0)
        check_number(self, "reg_covar", numbers.Real, 0.0, finite=True)
        check_number(self, "max_iter", numbers.Integral, 0)
        check_number(self, "n_init", numbers.Integral, 1)
        check_number(self, "verbose", numbers.Integral, 0, boolean=True)
        check_number(self, "verbose_interval", numbers.Integral, 1)
        check_number(self, "n_threads", numbers.Integral, 1, optional=True)
        check_number(self, "coarse", numbers.Integral, 0, boolean=True)
        check_choice(self, "covariance_type", STRUCTURES)
        if self.accelerate is not None:
            check_choice(self, "accelerate", ACCELERATORS)
        if not callable(self.stop):
            check_choice(self, "stop", RULES)
        if isinstance(self.init_params, str):
            check_choice(self, "init_params", initialise.STARTS)

    def _best_fit(self, blocks, floor, n_effective, n_threads):
        """The best sound result of all restarts."""
        rng = generator(self.random_state)
        warm = self.warm_start and hasattr(self, "means_")
        coarse = not warm and applies(self, blocks)
        results, failure = [], None
        for restart in range(1 if warm or coarse or start_is_given(self) else self.n_init):
            try:
                if warm:
                    model = warm_start(self, blocks.X.shape[1], floor)
                elif coarse:
                    model = coarse_start(self, blocks, floor, rng, n_threads)
                else:
                    model = gaussian_start(self, blocks, floor, rng, n_threads)
                progress = Progress(self.verbose, self.verbose_interval, restart)
                result = em(
                    model,
                    blocks,
                    tol=self.tol,
                    max_iter=self.max_iter,
                    stop=self.stop,
                    accelerate=self.accelerate,
                    n_threads=n_threads,
                    callback=progress,
                )
                progress.end(result)
                results.append(result)
            except IllDefinedCovariance as error:
                failure = error
        if not results:
            raise failure
        return best_sound(results, n_effective)

    def _keep(self, result, n_effective, n_features, names):
        self._keep_model(result.model)
        self._keep_outcome(result, n_effective, n_features, names)

    def _keep_model(self, model):
        self._model = model
        for array in (model.weights, model.emission.means):
            array.flags.writeable = False  # shared with the model; replace an attribute to change it
        self.weights_ = model.weights
        self.means_ = model.emission.means
        self.covariances_ = model.emission.covariance.covariances
        self.precisions_cholesky_ = model.emission.covariance.precisions_cholesky

    def _keep_outcome(self, result, n_effective, n_features, names):
        self._stream = Stepwise(result.model, n_threads=self.n_threads, statistics=result.statistics)
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.history_ = list(result.history)
        self.steps_ = result.steps
        self.lower_bounds_ = result.history[1:]
        self.lower_bound_ = result.history[-1]
        self.log_likelihood_ = result.log_likelihood
        self.stop_reason_ = result.stop_reason
        self.component_status_ = [diagnosis.status for diagnosis in diagnose(result, n_effective)]
        self.n_parameters_ = result.model.n_parameters
        self.n_features_in_ = n_features
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _report(self, result):
        """Warnings: what the user must know about this fit."""
        if not result.converged and self.max_iter > 0:
            warn(
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
                f"tol, or check for degenerate data. Stopped since {result.stop_reason}.",
                convergence_warning(),
            )
        wrong = [f"component {k}: {status}" for k, status in enumerate(self.component_status_) if status != "ok"]
        if wrong:
            more = f"; and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            warn("; ".join(wrong[:5]) + more, DegenerateComponentWarning)

    @property
    def precisions_(self):
        """Inverse covariances, in the shape of ``covariances_``."""
        self._require_fitted()
        return self._mixture().emission.covariance.precisions()

    def _mixture(self) -> Mixture:
        """The model of the attributes, which may have been replaced or set by hand since the fit."""
        model = getattr(self, "_model", None)
        covariance = None if model is None else model.emission.covariance
        if (
            covariance is None
            or self.means_ is not model.emission.means
            or self.weights_ is not model.weights
            or self.covariances_ is not covariance.covariances
            or self.precisions_cholesky_ is not covariance.precisions_cholesky
        ):
            model = self._mixture_of_attributes()
        return model

    def _mixture_of_attributes(self):
        structure = STRUCTURES[self.covariance_type]
        means = np.asarray(self.means_, dtype=np.float64)
        shape = structure.shape(*means.shape)
        upper = checked_array(self.precisions_cholesky_, "precisions_cholesky", shape)
        covariances = checked_array(self.covariances_, "covariances", shape)
        covariance = structure(covariances, upper, np.zeros(1, dtype=int))
        weights = checked_weights(self.weights_, len(means))
        return Mixture(weights, Gaussian(means, covariance, np.zeros(means.shape[1])))

    def _restore(self):
        """Rebuild the model from loaded arrays; raises ValueError where they make none."""
        self._check_parameters()
        for name, kind in _SAVED_KINDS.items():
            if not isinstance(getattr(self, name, None), kind):
                raise ValueError(f"{name} is missing or no {kind.__name__}")
        if self.means_.ndim != 2 or self.means_.dtype.kind != "f" or len(self.means_) != self.n_components:
            raise ValueError(f"means_ of shape {self.means_.shape} are none of {self.n_components} components")
        K, d = self.means_.shape
        model = self._mixture_of_attributes()
        structure = type(model.emission.covariance)
        try:
            expected = structure.from_covariances(self.covariances_, np.zeros(d)).precisions_cholesky
        except IllDefinedCovariance:
            raise ValueError("covariances_ are not positive definite") from None
        if np.abs(self.precisions_cholesky_ - expected).max() > 1e-5 * np.abs(expected).max():
            raise ValueError("precisions_cholesky_ does not belong to covariances_")
        if (self.n_features_in_, self.n_parameters_) != (d, model.n_parameters):
            raise ValueError(f"n_features_in_ or n_parameters_ does not belong to means_ of shape {(K, d)}")
        if len(getattr(self, "feature_names_in_", range(d))) != d:
            raise ValueError(f"feature_names_in_ has {len(self.feature_names_in_)} names for {d} columns")
        self.lower_bounds_ = self.history_[1:]
