"""GaussianMixture: scikit-learn's interface on fastem's EM."""

from __future__ import annotations

import numbers
from typing import Unpack

import numpy as np

from fastem import initialise
from fastem.emissions import Gaussian
from fastem.gaussian_start import STRUCTURES, check_dimension, gaussian_start, start_is_given, warm_start
from fastem.imputation import impute
from fastem.matrices import IllDefinedCovariance
from fastem.missing import observed_variances
from fastem.mixture_estimator import MixtureEstimator
from fastem.parameters import MixtureParameters
from fastem.scale import column_variances, covariance_floor, robust_variances
from fastem.validation import check_choice, check_number, checked_array, generator

SCIKIT_LEARNS_ORDER = "covariance_type", "tol", "reg_covar", "max_iter", "n_init", "init_params", "weights_init"


class GaussianMixture(MixtureEstimator, first_parameters=SCIKIT_LEARNS_ORDER):
    """Gaussian mixture fitted by EM. A drop-in for scikit-learn's. NaN is a missing value; see also :meth:`impute`.

    Parameters
    ----------
    n_components : int
    covariance_type : str
        "full", "tied", "diag", "spherical"; or one of mclust's fourteen families, three letters for volume, shape and
        orientation, equal (E), variable (V) or of the identity (I): EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV
        VVV; of one column E or V. VVV is full, EEE tied, VVI diag, VII spherical; see
        :mod:`fastem.covariance_families`.
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
        20 000 rows (200 per component if that is more, at most 100 000). All see missing values filled in.
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
        six short runs of EM on a subsample find the start, `n_init` of them if that is more, the worse ones dropped
        early; the fit then goes over all rows until `tol` holds there. False: start from `init_params` as it is.
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

    _takes_missing = True
    _parameter_arrays = ("means_", "covariances_", "precisions_cholesky_")

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        reg_covar: float = 1e-6,
        means_init=None,
        precisions_init=None,
        **others: Unpack[MixtureParameters],
    ):
        super().__init__(n_components, **others)
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.means_init = means_init
        self.precisions_init = precisions_init

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self, "reg_covar", numbers.Real, 0.0, finite=True)
        check_choice(self, "covariance_type", STRUCTURES)

    def _examine(self, blocks, n_threads):
        """The floor under the covariances, from the columns' variances."""
        check_dimension(self.covariance_type, blocks.n_features)
        variances = observed_variances if self._takes_missing else column_variances
        variance = variances(blocks, n_threads)
        return covariance_floor(robust_variances(blocks.spread(), variance), blocks.head(1)[0], self.reg_covar)

    def impute(self, X, *, draws: int | None = None, random_state=None) -> np.ndarray:
        """X with its missing values (NaN) filled in from the observed ones of the same row.

        Parameters
        ----------
        X : rows of any kind
        draws : int, optional
            Random draws from p(x_missing | x_observed) in place of its mean, so many times: for multiple imputation,
            where the spread between analyses of the draws tells what the missing values cost.
        random_state : int, Generator, RandomState or None
            Of the draws. None: the estimator's own.

        Returns
        -------
        (n, d), in the type of X, or with `draws` (draws, n, d)
            Observed values are as they were. A row in which all is missing gets the mean of the mixture.

        References
        ----------
        Ghahramani, Jordan: Supervised learning from incomplete data via an EM approach. NIPS 6 (1994).

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> model = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> model.impute([[2.0, np.nan], [4.5, np.nan]]).round(1)
        array([[ 2. , 54.3],
               [ 4.5, 81.1]])
        """
        self._require_fitted()
        mixture = self._mixture()
        if draws is None:
            dtype = getattr(X, "dtype", np.float64)
            return self._evaluated(X, lambda rows: impute(mixture, rows), dtype, self.n_features_in_)
        if not isinstance(draws, numbers.Integral) or draws < 1:
            raise ValueError(f"draws must be a whole number of at least 1, or None. Got {draws!r} instead.")
        if hasattr(X, "__dask_graph__"):
            raise TypeError("X is a Dask collection: impute it with draws chunk by chunk, or hand in X.compute().")
        rng = generator(self.random_state if random_state is None else random_state)
        return np.concatenate(self._of_new_rows(X, lambda rows: impute(mixture, rows, draws, rng)), axis=1)

    def _estimate(self, X, weight, membership, floor):
        structure = STRUCTURES[self.covariance_type]
        return initialise.from_membership(X, weight, membership, self.n_components, structure, floor).emission

    def _least_rows(self, n_features):
        return STRUCTURES[self.covariance_type].least_rows(n_features)

    def _start_is_given(self):
        return start_is_given(self)

    def _start_is_free(self):
        return super()._start_is_free() and self.means_init is None and self.precisions_init is None

    def _start(self, blocks, floor, rng, n_threads):
        return gaussian_start(self, blocks, floor, rng, n_threads)

    def _warm_start(self, floor):
        return warm_start(self, floor)

    def _arrays(self, emission):
        covariance = emission.covariance
        return {
            "means_": emission.means,
            "covariances_": covariance.covariances,
            "precisions_cholesky_": covariance.precisions_cholesky,
        }

    def _emission(self):
        structure = STRUCTURES[self.covariance_type]
        means = np.asarray(self.means_, dtype=np.float64)
        if means.ndim != 2:
            raise ValueError(f"means_ must have shape (K, d), but it has {means.shape}")
        shape = structure.shape(*means.shape)
        upper = checked_array(self.precisions_cholesky_, "precisions_cholesky", shape)
        covariances = checked_array(self.covariances_, "covariances", shape)
        covariance = structure(covariances, upper, np.zeros(1, dtype=int))
        return Gaussian(means, covariance, np.zeros(means.shape[1]))

    @property
    def precisions_(self):
        """Inverse covariances, in the shape of ``covariances_``."""
        self._require_fitted()
        return self._mixture().emission.covariance.precisions()

    def _restore(self):
        super()._restore()
        covariance = self._mixture().emission.covariance
        try:
            expected = (
                type(covariance).from_covariances(self.covariances_, np.zeros(self.n_features_in_)).precisions_cholesky
            )
        except IllDefinedCovariance:
            raise ValueError("covariances_ are not positive definite") from None
        if np.abs(self.precisions_cholesky_ - expected).max() > 1e-5 * np.abs(expected).max():
            raise ValueError("precisions_cholesky_ does not belong to covariances_")
