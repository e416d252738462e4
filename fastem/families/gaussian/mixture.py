"""GaussianMixture: scikit-learn's interface on fastem's EM."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Unpack

import numpy as np

from fastem.errors import IllDefinedCovariance
from fastem.estimators.checks import check_choice, check_number
from fastem.estimators.constraints import Learned, check_gaussian_constraints, learned, with_gaussians
from fastem.estimators.parameters import MixtureParameters
from fastem.families.gaussian.adaptation import adapted_estimator
from fastem.families.gaussian.uses import GaussianUses
from fastem.families.gaussian.with_noise import NoisyMixture
from fastem.models.gaussian.conjugate_prior import ConjugatePrior
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.imputation import impute
from fastem.models.gaussian.noise import alone
from fastem.models.gaussian.structures import STRUCTURES, check_dimension
from fastem.rows.column_moments import column_variances, observed_variances
from fastem.rows.scale import covariance_floor, robust_variances
from fastem.rows.validation import generator
from fastem.starts.from_memberships import from_membership
from fastem.starts.gaussian_start import gaussian_start, start_is_given, warm_start
from fastem.starts.given import checked_array

SCIKIT_LEARNS_ORDER = (
    *("covariance_type", "tol", "reg_covar", "max_iter", "n_init", "init_params", "weights_init", "means_init"),
    *("precisions_init", "random_state", "warm_start", "verbose", "verbose_interval"),
)


class GaussianMixture(GaussianUses, NoisyMixture, first_parameters=SCIKIT_LEARNS_ORDER):
    """Gaussian mixture fitted by EM. A drop-in for scikit-learn's. NaN is a missing value; see also :meth:`impute`.

    Parameters
    ----------
    n_components : int
    covariance_type : str
        "full", "tied", "diag", "spherical"; or one of mclust's fourteen families, three letters for volume, shape and
        orientation, equal (E), variable (V) or of the identity (I): EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV
        VVV; of one column E or V. VVV is full, EEE tied, VVI diag, VII spherical; see
        :mod:`fastem.models.gaussian.parsimonious`.
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
        With "kmeans" and "hierarchical", those after the first are in turn split and merge of the best so far, "kmeans"
        and "emem".
        A start that is given whole is not repeated.
    init_params : {"kmeans", "whitened", "hierarchical", "k-means++", "random", "random_from_data", "emem"} or own
        Array: responsibilities (n, K) or labels (n,). Callable: ``f(X, n_components, rng)`` that returns such an array.
        "kmeans" takes a few k-means steps from k-means++ seeds, in standardised columns; "whitened" where the
        clusters' pooled covariance is a sphere; "hierarchical" merges small clusters of at most 2000 rows so that the
        likelihood of Gaussians falls least; "emem" is the best of ten short runs of EM from the other kinds but the
        tree. The named starts see some 20 000 rows (200 per component if that is more, at most 100 000). All see
        missing values filled in.
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
    equal_weights : bool
        All weights are 1/K.
    weight_concentration_prior : float or (K,), optional
        Of a Dirichlet prior of the weights, at least 1: a - 1 rows more for each component.
    fixed : dict, optional
        What keeps its start, by name: "weights", "means", "covariances"; True for all, or numbers of components. The
        start is `weights_init`, `means_init` or `precisions_init`, or the last fit's (`warm_start`). Weights that are
        not fixed share the rest. Covariances of some components are fixed where each has its own (full, diag,
        spherical), of all with any covariance_type.
    prior : "default" or dict, optional
        mclust's conjugate prior of means and covariances; see :mod:`fastem.models.gaussian.conjugate_prior`.
        "default" is mclust's: shrinkage 0.01 to the mean of the data, d + 2 degrees of freedom, and the data's
        covariance over K^(2/d) as scale (its mean variance, of families along the columns). A dict sets some of "mean"
        (d,), "shrinkage", "dof" and "scale" (a matrix, variances, or a number, as the family has them). mclust has it
        for ten families, here all have it: each covariance has the prior, or the common one where all share it whole.
        With a prior, of weights or of these, EM climbs the log-posterior, which `history_` and `lower_bound_` hold, up
        to a constant.
    max_eigenvalue_ratio : float, optional
        The largest eigenvalue of all covariances over the least, at most, as in tclust, in place of `reg_covar`: for
        "full" and "diag" with columns in units of their standard deviation (of their middle half, where that is less),
        so that the data's units do not matter; for "spherical" as it is.

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
    steps_ : sequence of :class:`fastem.driver.history.Step`
        What the E-step and the M-step of each iteration gained. Not saved to files.
    stop_reason_ : str
    component_status_ : list of str
        "ok", or what is wrong with a component.
    fit_report_ : :class:`fastem.starts.fit_report.FitReport`
        What came of each restart and of each component; print it. Not saved to files.
    n_parameters_ : int
        Those that are fixed do not count; the noise adds its weight. (mclust counts its volume as one more.)
    prior_ : dict
        The prior that was used, where there was one.
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
    _saved_scalars = (*NoisyMixture._saved_scalars, "prior_", "column_scales_")
    _fixable = ("weights", "means", "covariances")

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        reg_covar: float = 1e-6,
        means_init=None,
        precisions_init=None,
        prior=None,
        max_eigenvalue_ratio: float | None = None,
        **others: Unpack[MixtureParameters],
    ):
        super().__init__(n_components, **others)
        self.covariance_type = covariance_type
        self.reg_covar = reg_covar
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.prior = prior
        self.max_eigenvalue_ratio = max_eigenvalue_ratio

    def _check_parameters(self):
        super()._check_parameters()
        check_number(self, "reg_covar", numbers.Real, 0.0, finite=True)
        check_choice(self, "covariance_type", STRUCTURES)
        check_gaussian_constraints(self)

    def _examine(self, blocks, n_threads):
        """The floor under the covariances, from the columns' variances; and the noise."""
        check_dimension(self.covariance_type, blocks.n_features)
        variances = observed_variances if self._takes_missing else column_variances
        try:
            variance = variances(blocks, n_threads)
        except ValueError as error:
            self._blame(blocks, error)
            raise
        least = self.reg_covar if self.max_eigenvalue_ratio is None else max(self.reg_covar, 1e-6)  # of the start alone
        floor = covariance_floor(robust_variances(blocks.spread(), variance), blocks.head(1)[0], least)
        return self._background(blocks, floor)

    @property
    def _takes_missing(self):
        return self.noise is None and self.prior is None  # the box and the prior are those of whole rows

    def _blame(self, blocks, error):
        """ValueError that names the parameter beside which values must not be missing, where some are."""
        for name in ("noise", "prior"):
            value = getattr(self, name)
            if value is not None and any(blocks.each(lambda X, weight, start: bool(np.isnan(X).any()))):
                raise ValueError(f"{error} Or set {name}=None, with which NaN is a missing value: {name}={value!r}.")

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
        return from_membership(X, weight, membership, self.n_components, structure, floor).emission

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

    def _learned(self, blocks, n_threads):
        super()._learned(blocks, n_threads)
        return learned(self, blocks, n_threads)

    def _constrained(self, mixture, learned=None):
        mixture = super()._constrained(mixture)
        found = self._kept() if learned is None else learned
        return mixture if "means" not in self._fixable else with_gaussians(self, mixture, found)

    def _kept(self):
        """What the last fit learned of the data for its constraints."""
        prior, scale = getattr(self, "prior_", None), getattr(self, "column_scales_", None)
        return Learned(
            None if prior is None else ConjugatePrior.of(prior), None if scale is None else np.array(scale, np.float64)
        )

    def _begun(self, mixture, learned):
        mixture = super()._begun(mixture, learned)
        if isinstance(mixture.emission, ConstrainedGaussian):
            mixture = replace(mixture, emission=mixture.emission.feasible(mixture.weights))
        return mixture

    def _keep_model(self, model):
        super()._keep_model(model)
        for name in ("prior_", "column_scales_"):
            vars(self).pop(name, None)
        if getattr(model.emission, "prior", None) is not None:
            self.prior_ = model.emission.prior.told()
        if getattr(model.emission, "ratio", None) is not None:
            self.column_scales_ = model.emission.ratio.scale.tolist()

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

    def adapt(self, X, sample_weight=None, *, relevance=16.0, parameters=("means",), max_iter=1):
        """A new estimator: this one, moved towards new rows as far as they are many.

        Each component's mean (and weight, and covariance, where asked for) becomes a E[x] + (1 - a) times its own, with
        a = N / (N + relevance) and N the new rows that belong to it: what few rows tell of is adapted, the rest stays
        as in this background model.

        Parameters
        ----------
        X, sample_weight
            As in :meth:`fit`.
        relevance : float
            Rows that the background counts for in each component. 0: none.
        parameters : sequence of {"weights", "means", "covariances"}
        max_iter : int
            Iterations: with more than one, rows are shared out anew by the adapted model.

        Returns
        -------
        GaussianMixture
            Fitted, with the parameters of this one.

        References
        ----------
        Reynolds, Quatieri, Dunn: Speaker verification using adapted Gaussian mixture models. Digital Signal Processing
        10 (2000) 19-41.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> background = GaussianMixture(1).fit(rng.normal(size=(10_000, 1)))
        >>> rows = rng.normal(1, 1, (16, 1))
        >>> moved = background.adapt(rows, relevance=16)
        >>> bool(np.isclose(moved.means_[0, 0], (rows.mean() + background.means_[0, 0]) / 2))
        True
        """
        self._require_fitted()
        return adapted_estimator(self, X, sample_weight, relevance, parameters, max_iter)

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
