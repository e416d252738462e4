"""GaussianMixture: scikit-learn's interface on fastem's EM."""

from __future__ import annotations

import numbers
from typing import Unpack

import numpy as np

from fastem import initialise
from fastem.emissions import Gaussian
from fastem.gaussian_start import STRUCTURES, check_dimension, gaussian_start, start_is_given, warm_start
from fastem.gaussian_uses import GaussianUses
from fastem.matrices import IllDefinedCovariance
from fastem.noise import alone
from fastem.noisy_mixture import NoisyMixture
from fastem.parameters import MixtureParameters
from fastem.scale import column_variances, covariance_floor, robust_variances
from fastem.validation import check_choice, check_number, checked_array

SCIKIT_LEARNS_ORDER = "covariance_type", "tol", "reg_covar", "max_iter", "n_init", "init_params", "weights_init"


class GaussianMixture(GaussianUses, NoisyMixture, first_parameters=SCIKIT_LEARNS_ORDER):
    """Gaussian mixture fitted by EM. A drop-in for scikit-learn's.

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
        With "kmeans", those after the first are in turn split and merge of the best so far, "kmeans" and "emem".
        A start that is given whole is not repeated.
    init_params : {"kmeans", "whitened", "k-means++", "random", "random_from_data", "emem"}, callable or array
        Array: responsibilities (n, K) or labels (n,). Callable: ``f(X, n_components, rng)`` that returns such an array.
        "kmeans" takes a few k-means steps from k-means++ seeds, in standardised columns; "whitened" where the
        clusters' pooled covariance is a sphere; "emem" is the best of ten short runs of EM from all these starts. The
        named starts see some 20 000 rows (200 per component if that is more, at most 100 000).
    weights_init, means_init, precisions_init : arrays, optional
        In scikit-learn's shapes.
    random_state : int, Generator, RandomState or None
    warm_start : bool
        Start from the last fit.
    verbose, verbose_interval : int
        Print every ``verbose_interval`` iterations; verbose=2: with the change.
    n_threads : int, optional
        All that the process may use by default.
    noise : None, "box" or float
        A further component of constant density 1 / volume takes up rows that lie apart (not counted in `n_components`).
        The volume is given, or that of the data's box: the product of the columns' ranges, so that units do not matter.
        Of the K weights that `weights_init` gives, 95 % are left to start from.
    coarse : bool
        Where there are many rows (at least five times those that the named starts see) and no start is given, at least
        six short runs of EM on a subsample find the start, `n_init` of them if that is more, the worse ones dropped
        early; the fit then goes over all rows until `tol` holds there. False: start from `init_params` as it is.
    stop : {"log_likelihood", "relative", "parameters", "aitken"} or callable
        See :func:`fastem.em`.
    accelerate : {None, "anderson", "squarem"}
        Fewer passes where components overlap strongly; see :func:`fastem.em`.
    on_collapse : {"floor", "reseed", "drop", "raise"}
        What happens to a component that is not sound for ten iterations, or in the end. "floor": it stays, is
        reported, and sound restarts are preferred. "reseed": it takes half of another component, at most three times a
        start. "drop": the fit goes on with fewer, and warns. "raise": the start fails with a
        :class:`fastem.errors.CollapsedComponent`, and the fit where no other start is left. `history_` begins after
        the last such repair; `max_iter` counts all iterations.
    split_merge : int
        Attempts to improve the finished fit by merging two components and splitting another, each a further restart.

    Attributes
    ----------
    weights_ : (K,)
        Of sum 1, or 1 - noise_weight_.
    noise_weight_, noise_log_volume_ : float
        Where there is noise. `predict` and `sample` give it the label -1, `predict_proba` the last column.
    noise_box_ : (2, d)
        Where the volume is that of the data's box, from which :meth:`sample` draws.
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
    fit_report_ : :class:`fastem.fit_report.FitReport`
        What came of each restart and of each component; print it. Not saved to files.
    n_parameters_ : int
        The noise adds its weight. (mclust counts the volume as one more.)
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
        """The floor under the covariances, from the columns' variances; and the noise."""
        check_dimension(self.covariance_type, blocks.n_features)
        variance = column_variances(blocks, n_threads)
        floor = covariance_floor(robust_variances(blocks.spread(), variance), blocks.head(1)[0], self.reg_covar)
        return self._background(blocks, floor)

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
        if self.noise is not None:
            return self._noisy_start(blocks, floor, rng, n_threads)
        return gaussian_start(self, blocks, floor, rng, n_threads)

    def _warm_start(self, floor):
        if self.noise is not None:
            return floor.beside(warm_start(self, floor.floor))
        return alone(warm_start(self, floor))

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
