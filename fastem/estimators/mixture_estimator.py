"""The face of every mixture: check, start, run em, keep what it found. A family adds a few small hooks."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import ClassVar

import numpy as np

from fastem.driver.acceleration import ACCELERATORS
from fastem.driver.checkpoint import Checkpoint, asked_of, told
from fastem.driver.partial_steps import Stepwise
from fastem.driver.stopping import RULES
from fastem.errors import convergence_warning, interruption, warn, warn_of_statuses
from fastem.estimators.checks import check_choice, check_number
from fastem.estimators.constraints import (
    check_constraints,
    require_labels_can_stay,
    require_rows_as_unit,
    require_starts,
    with_shares,
)
from fastem.estimators.fitted_mixture import FittedMixture
from fastem.estimators.parameters import full_signature
from fastem.estimators.partial_fit import MixtureStream
from fastem.kernels.threads import for_pass
from fastem.models.mixture import Mixture
from fastem.rows.sources.open_rows import open_to_fit
from fastem.rows.validation import require_distinct_rows, require_rows
from fastem.starts.clusters import MEMBERSHIPS, NAMED
from fastem.starts.collapse import POLICIES
from fastem.starts.diagnosis import diagnose, effective_rows
from fastem.starts.from_memberships import shares
from fastem.starts.given import checked_membership, checked_weights
from fastem.starts.labels import labelled
from fastem.starts.restarts import Restarts
from fastem.starts.subsample import all_rows, subsample


class MixtureEstimator(MixtureStream, FittedMixture):
    """A mixture fitted by EM. The parameters and attributes here are those of every mixture.

    A family gives `_parameter_arrays` (its fitted attributes), `_examine`, `_estimate`, `_emission` and `_arrays`.

    Parameters
    ----------
    n_components : int
    tol : float
        Stop when the mean log-likelihood changes by less, or what else `stop` names is less.
    max_iter : int
    n_init : int
        Restarts; the best sound one is kept: the largest log-likelihood among those without a degenerate component.
        With "kmeans" and "hierarchical", those after the first are in turn split and merge of the best so far, "kmeans"
        and "emem".
    init_params : {"kmeans", "whitened", "hierarchical", "k-means++", "random", "random_from_data", "emem"} or own
        Array: responsibilities (n, K) or labels (n,). Callable: ``f(X, n_components, rng)`` that returns such an
        array. "whitened": k-means where the clusters' pooled covariance is a sphere; "hierarchical": a tree of at
        most 2000 rows by the likelihood of Gaussians; "emem": the best of ten short runs of EM from the other kinds but
        the tree. The named starts see some 20 000 rows (200 per component if that is more, at
        most 100 000).
    weights_init : (K,), optional
    random_state : int, Generator, RandomState or None
    warm_start : bool
        Start from the last fit.
    verbose : int or "bar"
        1: a line every `verbose_interval` iterations, through :mod:`logging`; 2: with the change; "bar": a bar with
        an estimate of the end (tqdm).
    verbose_interval : int
    n_threads : int, optional
        All that the process may use by default.
    coarse : bool
        Where there are many rows (at least five times those that the named starts see), at least six short runs of EM
        on a subsample find the start; the fit then goes over all rows until `tol` holds there.
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
        Of a Dirichlet prior of the weights, at least 1: a - 1 rows more for each component. EM then climbs the
        log-posterior, which `history_` and `lower_bound_` hold (up to a constant); `log_likelihood_` stays what it is.
    fixed : dict, optional
        ``{"weights": True}`` or ``{"weights": [0, 2]}``: all or some components keep the weights of `weights_init`, or
        of the last fit (`warm_start`); the others share the rest.

    Attributes
    ----------
    weights_ : (K,)
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
    n_features_in_ : int
    feature_names_in_ : (d,), where X has names
    """

    def __init_subclass__(cls, first_parameters=()):
        super().__init_subclass__()
        if "__init__" in vars(cls):
            above = super(cls, cls).__init__
            cls.__init__.__signature__ = full_signature(cls.__init__, above, first_parameters)

    def __init__(
        self,
        n_components: int = 1,
        *,
        tol: float = 1e-3,
        max_iter: int = 100,
        n_init: int = 1,
        init_params="kmeans",
        weights_init=None,
        random_state=None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_threads: int | None = None,
        coarse: bool = True,
        stop="log_likelihood",
        accelerate: str | None = None,
        on_collapse: str = "floor",
        split_merge: int = 0,
        equal_weights: bool = False,
        weight_concentration_prior=None,
        fixed: dict | None = None,
    ):
        self.n_components = n_components
        self.tol = tol
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_threads = n_threads
        self.coarse = coarse
        self.stop = stop
        self.accelerate = accelerate
        self.on_collapse = on_collapse
        self.split_merge = split_merge
        self.equal_weights = equal_weights
        self.weight_concentration_prior = weight_concentration_prior
        self.fixed = fixed

    _fixable: ClassVar = ("weights",)

    # ---- what a family gives ------------------------------------------------------------------------------------

    def _examine(self, blocks, n_threads):
        """Check the values of the rows; what comes out (scales, floors, levels) is passed to `_estimate`."""
        raise NotImplementedError

    def _estimate(self, X, weight, membership, examined):
        """The emission that fits labels (n,) or responsibilities (n, K)."""
        raise NotImplementedError

    def _least_rows(self, n_features) -> int:
        """Rows that one component needs."""
        return 1

    def _start_is_given(self) -> bool:
        """Whether every restart would be the same."""
        return not (isinstance(self.init_params, str) or callable(self.init_params))

    def _start_is_free(self) -> bool:
        """Whether the start is fastem's to choose."""
        return isinstance(self.init_params, str) and self.weights_init is None

    def _start(self, blocks, examined, rng, n_threads) -> Mixture:
        """A mixture to start EM from."""
        K, init = self.n_components, self.init_params
        if isinstance(init, str):
            X, weight = subsample(blocks, rng, K)
            membership = MEMBERSHIPS[init](X, weight, K, rng, n_threads)
        else:
            X, weight = all_rows(blocks)
            membership = checked_membership(init(X, K, rng) if callable(init) else init, len(X), K)
        weights = checked_weights(self.weights_init, K)
        if weights is None:
            weights = shares(weight, membership, K)
        return Mixture(weights, self._estimate(X, weight, membership, examined))

    def _warm_start(self, examined) -> Mixture:
        """The last fit's model."""
        return self._mixture()

    def _learned(self, blocks, n_threads):
        """What constraints take from the data: passed to `_constrained`."""
        require_starts(self)

    def _constrained(self, mixture, learned=None) -> Mixture:
        return with_shares(self, mixture)

    def _begun(self, mixture, learned) -> Mixture:
        """A start that keeps to the constraints."""
        mixture = self._constrained(mixture, learned)
        if self.equal_weights:
            mixture = replace(mixture, weights=np.full(self.n_components, 1 / self.n_components))
        return mixture

    # ---- fitting ------------------------------------------------------------------------------------------------

    def fit(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        labels=None,
        callback=None,
        checkpoint=None,
        checkpoint_seconds: float = 60.0,
        resume: bool = False,
    ):
        """Fit to rows.

        Parameters
        ----------
        X
            An array (n, d), a data frame, files, chunks, a Dask collection, … (see :func:`fastem.open_rows`).
            float32 and float64 are used as they are, anything else becomes float64.
        y : ignored
        sample_weight : (n,), optional
            Non-negative; a weight of 2 counts as two equal rows.
        labels : (n,) or (n, K), optional
            What is known of the rows of an array: the component of each, from 0 to K - 1, -1 where it is not known; or
            a prior of each component for each row, by which the weights are multiplied: not negative, of any scale
            (with noise K + 1 of them). Where a component has no labelled row, the others' labels still choose which it
            is. Predictions know nothing of them.
        callback : callable, optional
            Called with the :class:`fastem.EMResult` so far after each iteration; a true answer ends this start's run.
        checkpoint : path, optional
            Write what is reached to this file, every `checkpoint_seconds`; removed when the fit ends. See
            :mod:`fastem.driver.checkpoint`.
        resume : bool
            Go on from the checkpoint, if it is there, to the same bits as a fit that was not interrupted.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Input that cannot be fitted; the message names what was found.
        CheckpointError
            A checkpoint that cannot be written, or is of another fit.
        KeyboardInterrupt, OSError, …
            What ends a fit from outside is raised again when the last complete iteration is in the attributes.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning
        """
        self._check_parameters()
        keeper = None
        if checkpoint is not None:
            asked = asked_of(self) if labels is None else asked_of(self) | {"labels": told(np.asarray(labels))}
            keeper = Checkpoint(checkpoint, asked, checkpoint_seconds, resume)
        blocks, unit = open_to_fit(X, sample_weight, self)
        require_rows_as_unit(self, unit)
        n_threads = for_pass(self.n_threads, blocks, self.n_components)
        starting = self
        if labels is not None:
            require_labels_can_stay(self)
            blocks, starting = labelled(self, blocks, labels, n_threads)
        examined = self._examine(blocks, n_threads)
        self._require_enough_rows(blocks)
        n_effective = effective_rows(blocks)
        restarts = Restarts(starting, blocks, examined, n_threads, callback, keeper)
        try:
            restarts.run()
        except BaseException as error:
            if restarts.results or restarts.running:
                best = restarts.best(n_effective)
                self._keep(best, restarts.report(best, unit), n_effective, unit, blocks)
                self.converged_, self.stop_reason_ = False, interruption(error)
            raise
        best = restarts.best(n_effective)
        self._keep(best, restarts.report(best, unit), n_effective, unit, blocks)
        if keeper is not None:
            keeper.remove()
        self._report()
        return self

    def fit_predict(self, X, y=None, sample_weight=None, *, labels=None) -> np.ndarray:
        """Fit, then the most probable component of each row."""
        given = {} if labels is None else {"labels": labels}
        return self.fit(X, y, sample_weight, **given).predict(X)

    def _restore(self):
        self._check_parameters()
        super()._restore()

    def _check_parameters(self):
        check_number(self, "n_components", numbers.Integral, 1)
        check_number(self, "tol", numbers.Real, 0.0)
        check_number(self, "max_iter", numbers.Integral, 0)
        check_number(self, "n_init", numbers.Integral, 1)
        if self.verbose != "bar":
            check_number(self, "verbose", numbers.Integral, 0, boolean=True)
        check_number(self, "verbose_interval", numbers.Integral, 1)
        check_number(self, "n_threads", numbers.Integral, 1, optional=True)
        check_number(self, "coarse", numbers.Integral, 0, boolean=True)
        if self.accelerate is not None:
            check_choice(self, "accelerate", ACCELERATORS)
        if not callable(self.stop):
            check_choice(self, "stop", RULES)
        if isinstance(self.init_params, str):
            check_choice(self, "init_params", NAMED)
        check_choice(self, "on_collapse", POLICIES)
        check_number(self, "split_merge", numbers.Integral, 0)
        check_constraints(self)

    def _require_same_shape(self, n_features):
        """A warm start goes on with the last fit's components and columns."""
        if len(self.weights_) != self.n_components and not self._may_have(len(self.weights_)):
            raise ValueError(
                "warm_start=True, but n_components has changed since the last fit. "
                "Set warm_start=False to start afresh."
            )
        if self.n_features_in_ != n_features:
            raise ValueError(
                f"X has {n_features} features, but with warm_start=True {type(self).__name__} is expecting "
                f"{self.n_features_in_} features as input, as in the last fit."
            )

    def _require_enough_rows(self, blocks):
        require_rows(blocks, 2, self)
        n, K = blocks.n_rows, self.n_components
        if n < K:
            raise ValueError(f"Expected n_samples >= n_components but got n_components = {K}, n_samples = {n}")
        require_distinct_rows(blocks, K)

    def _keep(self, result, report, n_effective, unit, blocks):
        self.fit_report_ = report
        self._keep_model(result.model)
        self._stream = Stepwise(result.model, n_threads=self.n_threads, statistics=result.statistics)
        self._stream.weight_before *= unit
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.history_ = list(result.history)
        self.steps_ = result.steps
        self.lower_bounds_ = result.history[1:]
        self.lower_bound_ = result.history[-1]
        self.log_likelihood_ = result.log_likelihood * unit
        self.stop_reason_ = result.stop_reason
        self.component_status_ = [diagnosis.status for diagnosis in diagnose(result, n_effective)]
        self.n_parameters_ = result.model.n_parameters
        self._keep_columns(blocks.n_features, blocks.names)

    def _report(self):
        """Warnings: what the user must know about this fit."""
        if not self.converged_ and self.max_iter > 0:
            warn(
                "Best performing initialization did not converge. Try different init parameters, or increase "
                "max_iter, "
                f"tol, or check for degenerate data. Stopped since {self.stop_reason_}.",
                convergence_warning(),
            )
        self.fit_report_.warn_of_events()
        warn_of_statuses("component", self.component_status_)
