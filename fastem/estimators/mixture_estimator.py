"""What all mixtures share: make a plan, run it, keep the result."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from fastem.driver.acceleration import ACCELERATORS
from fastem.driver.history import Step
from fastem.driver.partial_steps import Stepwise
from fastem.driver.settings_text import stable_text
from fastem.driver.stopping import RULES
from fastem.errors import convergence_warning, warn, warn_of_statuses
from fastem.estimators.attribute_docs import attributes_of
from fastem.estimators.beside import given, kind_of, opened
from fastem.estimators.checks import choice, flag, real, require_no_named, whole
from fastem.estimators.compatibility import refusal, require_compatible
from fastem.estimators.constraints import weight_rule
from fastem.estimators.covariates import keep_names
from fastem.estimators.fitted_mixture import FittedMixture
from fastem.estimators.fitting import fit_to
from fastem.estimators.labels import open_labelled
from fastem.estimators.metadata_routing import set_partial_fit_request
from fastem.estimators.parameters import COLUMNS, MODEL, RESUME, SEARCH, attribute, parameter
from fastem.estimators.partial_fit import partial_fit
from fastem.estimators.planning import plan_of, request_of
from fastem.estimators.refused_sides import require_sides
from fastem.models.mixture import Mixture
from fastem.models.weights import WeightRule
from fastem.rows.side_columns import named_columns
from fastem.starts.collapse import POLICIES
from fastem.starts.fit_report import FitReport
from fastem.starts.given import checked_weights
from fastem.starts.labels import as_labels
from fastem.starts.named import START_NAMES
from fastem.starts.plan import NO_SCALES, Family, Plan, Scales


class MixtureEstimator(FittedMixture, general=True):
    """A mixture fitted by EM. The parameters and attributes here are those of every mixture.

    Subclasses define `_family` (what their densities give to a fit), `_parameter_arrays` (the fitted attributes),
    `_emission` and `_arrays`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    {attributes}
    """

    n_components: int = parameter(
        default=1, check=whole(1), doc="int\nNumber of components, K.", kw_only=False, tags=[MODEL]
    )
    tol: float = parameter(
        default=1e-3,
        check=real(0.0),
        doc="""float
Stop when the quantity that `stop` names is smaller: by default the change of the mean log-likelihood, and what is left
to gain.""",
        tags=[SEARCH],
    )
    max_iter: int = parameter(
        default=1000, check=whole(0), doc="int\nMost iterations of a start.", tags=[RESUME, SEARCH]
    )
    n_init: int = parameter(
        default=1,
        check=whole(1),
        doc="""int
Number of restarts. The one of the largest log-likelihood is kept, without what components that are not sound win by
being thin: so a spike inside a cluster does not win, but stray rows may have a component of their own.
With "emem", "merged", "kmeans" and "hierarchical", the later restarts are in turn split and merge of the best so far,
and new starts of several kinds. A start that is given as a whole is not repeated.""",
    )
    init_params: Any = parameter(
        default="emem",
        check=choice(START_NAMES, unless=lambda value: not isinstance(value, str), others="an array or a function"),
        doc="""str, array or callable
"emem", "merged", "kmeans", "whitened", "hierarchical", "k-means++", "random" or "random_from_data".
Array: responsibilities (n, K) or labels (n,). Callable: ``f(X, n_components, rng)`` that returns such an array.
"emem" is the best of short runs of EM from the kinds that suit the family: for Gaussians from all partitions of
"merged", from "kmeans" and, for few components, several by the nearest of random rows; where values are
missing, also from partitions of the complete rows; then from mixtures that merge two components of the best of these
and split another (not beside noise, nor of mixed columns). Where some rows do not tell two starts apart, more of them
do. With covariates, partitions of values and covariates together are starts as well. Where a part of the start is given
(`means_init`, …), "emem" is "merged".
"merged" merges many small k-means clusters, in a metric that neighbours give, by several criteria;
"kmeans" takes a few k-means steps from k-means++ seeds, in standardised columns; "whitened" does so where the
clusters' pooled covariance is a sphere; "hierarchical" merges rows, at most 2000, so that the
likelihood of Gaussians falls least.
The named starts use about 20 000 rows (200 per component if that is more, at most 100 000), with missing values filled
in.""",
    )
    weights_init: Any = parameter(
        default=None, check=None, doc="(K,), optional\nThe weights of the start.", tags=[COLUMNS]
    )
    random_state: Any = parameter(
        default=None,
        check=None,
        doc="int, Generator, RandomState or None\nNone: numpy's global state (np.random.seed).",
    )
    warm_start: bool = parameter(default=False, check=flag, doc="bool\nStart from the last fit.")
    verbose: int | str = parameter(
        default=0,
        check=whole(0, boolean=True, unless="bar"),
        doc="""int or "bar"
1: a line every `verbose_interval` iterations, through :mod:`logging`; 2: with the change; "bar": a bar with an
estimate of the end (tqdm).""",
        tags=[RESUME],
    )
    verbose_interval: int = parameter(
        default=10, check=whole(1), doc="int\nIterations between two lines.", tags=[RESUME]
    )
    n_threads: int | None = parameter(
        default=None,
        check=whole(1, optional=True),
        doc="int, optional\nAll that the process may use by default.",
        tags=[RESUME],
    )
    coarse: bool = parameter(
        default=True,
        check=flag,
        doc="""bool
Where there are many rows (at least five times as many as the named starts use) and no start is given, short runs of EM
on a subsample find the start, the worse of which are dropped early: from twice as many partitions as elsewhere with
"emem", or `n_init` times as many; else at least six, or `n_init` if that is more. The fit then uses all rows until
`tol` holds. False: start from `init_params` as it is.""",
    )
    stop: Any = parameter(
        default="gain",
        check=choice(RULES, unless=callable, others="a function"),
        doc="""{"gain", "log_likelihood", "relative", "parameters", "aitken", "certified"} or callable
"gain": the mean log-likelihood changes by less than `tol`, and what is still to be gained in total is small as well,
with tol=1e-3 less than 0.1 + 1e-6 n; "log_likelihood": the former alone, which is scikit-learn's rule;
"certified": `remaining_gain_` is less than `tol`, in units of the log-likelihood of all rows; with weights so far from
1 that they are summed in another unit, in this unit. See :func:`fastem.em`.""",
        tags=[SEARCH],
    )
    accelerate: str | None = parameter(
        default="anderson",
        check=choice(ACCELERATORS, unless=lambda value: value is None, others="None"),
        doc="""{"anderson", "squarem", None}
Fewer passes where components overlap strongly, by steps that EM confirms; None: EM alone. See :func:`fastem.em`.""",
        tags=[SEARCH],
    )
    on_collapse: str = parameter(
        default="floor",
        check=choice(POLICIES),
        doc="""{"floor", "reseed", "drop", "raise"}
What happens to a component that is not sound for ten iterations, or at the end. "floor": it stays and is reported, and
what it wins by being thin does not count where restarts are compared. "reseed": it takes half of another component, at
most three times a start. "drop": the lightest goes, and the fit continues with fewer components and warns; those stay
that hold many rows which no other describes. "raise": the start fails with a
:class:`fastem.errors.CollapsedComponent`, and the fit fails where no other start is left.
`history_` begins after the last such repair; `max_iter` counts all iterations.""",
    )
    split_merge: int = parameter(
        default=0,
        check=whole(0),
        doc="""int
Attempts to improve the finished fit by merging two components and splitting another, each a further restart.""",
        tags=[SEARCH],
    )
    equal_weights: bool = parameter(
        default=False, check=flag, doc="bool\nAll weights are 1/K.", tags=[COLUMNS, MODEL, SEARCH]
    )
    weight_concentration_prior: Any = parameter(
        default=None,
        check=None,
        doc="""float or (K,), optional
Concentration a of a Dirichlet prior of the weights, at least 1: it adds a - 1 rows to each component. EM then maximises
the log-posterior, which `history_` and `lower_bound_` contain (up to a constant); `log_likelihood_` is without it.""",
        tags=[MODEL, SEARCH],
    )
    fixed: dict | None = parameter(
        default=None,
        check=None,
        doc="""dict, optional
Parameters that keep their start, by name: {"weights": True} for all components, {"weights": [0, 2]} for some. The start
is `weights_init`, or the last fit (`warm_start`). Weights that are not fixed share the rest. Gaussian mixtures can also
fix "means" (`means_init`) and "covariances" (`precisions_init`): of some components where each has its own (full, diag,
spherical), of all components with any covariance_type.""",
        tags=[COLUMNS, MODEL],
    )

    steps_: Sequence[Step] = attribute()
    fit_report_: FitReport = attribute()

    _starts_given: ClassVar[dict[str, str]] = {"weights": "weights_init"}  # part of a start: its parameter
    _fixable: ClassVar[dict[str, str]] = {"weights": "weights_init"}  # what a user may fix: the parameter of its value

    @classmethod
    def _described_attributes(cls, rows):
        return attributes_of(rows)

    # ---- what subclasses define ---------------------------------------------------------------------------------

    def _family(self) -> Family:
        """The family of densities that the parameters ask for."""
        raise NotImplementedError

    def _weight_rule(self, parameters) -> WeightRule:
        """The constraint of the weights that the parameters {name: value} ask for."""
        return weight_rule(parameters, type(self).__name__, tuple(self._fixable))

    def _scales(self) -> Scales:
        """The scales of the columns that the constraints of the last fit use."""
        return NO_SCALES

    def _structure(self) -> str:
        """Whether the covariances depend on each other; see :class:`fastem.estimators.compatibility.Request`."""
        return ""

    def _check_parameters(self):
        self._checked_plan()

    def _checked_plan(self) -> Plan:
        """The fit that the parameters ask for; ValueError where one is wrong, or two cannot be combined."""
        super()._check_parameters()
        checked_weights(self.weights_init, self.n_components)
        plan = plan_of(self)
        require_compatible(request_of(self))
        return plan

    # ---- fitting ------------------------------------------------------------------------------------------------

    def fit(
        self,
        X,
        y=None,
        sample_weight=None,
        *,
        errors=None,
        lower=None,
        upper=None,
        covariates=None,
        labels=None,
        callback=None,
        checkpoint=None,
        checkpoint_seconds: float = 60.0,
        resume: bool = False,
    ) -> Self:
        """Fit to rows; with `errors`, to rows that were measured with known errors (extreme deconvolution); with
        `lower` and `upper`, to rows whose values are known to lie between bounds.

        With errors row n is x_n plus noise N(0, S_n), and the mixture is that of the noise-free x: `means_` and
        `covariances_` are theirs, and `log_likelihood_` is that of the rows as they were measured. Pass the errors of
        new rows to `score_samples`, `predict`, …; without them a row is taken as exact.

        With bounds a value is known as far as lower <= value <= upper: censored at a detection limit, rounded, or
        counted in a bin (its edges, with the count as sample_weight). `log_likelihood_` is then the sum of the
        logarithms of the intervals' probabilities, and of densities where values are exact. Gaussian structures with
        independent columns ("diag", "spherical", …) and one column take any number of intervals, others and Student-t
        mixtures at most one in each row.

        Parameters
        ----------
        X
            An array (n, d), a data frame, files, chunks, a Dask or Spark frame, … (see :func:`fastem.open_rows`).
            float32 and float64 are used as they are, anything else becomes float64. NaN: a value is missing; with
            errors: it was not measured.
        y : ignored
        sample_weight : (n,), optional
            Non-negative; a weight of 2 counts as two equal rows.
        errors : array or names of columns, optional
            Only of :class:`fastem.GaussianMixture`. Of each row: standard deviations (n, d) in the units of X; or
            covariances (n, d, d), or their packed lower triangles (n, d (d + 1) / 2), S_11, S_21, S_22, …. 0: exact.
            inf: not measured. Or the names of the columns of X that hold them, in this order, which are then not among
            the values. Beside chunks of a stream, an array of all rows or names of columns of the chunks; beside a Dask
            array, an array.
        lower, upper : arrays (n, d) or names of columns, optional
            Of :class:`fastem.GaussianMixture`, :class:`fastem.StudentTMixture`, :class:`fastem.ExponentialMixture`,
            :class:`fastem.GammaMixture` and :class:`fastem.GeometricMixture`. The bounds of each value in the units of
            X, both or none; of whole numbers both ends belong to the interval. Equal: the value is exact. -inf or inf:
            there is no bound on this side, so with both the value is missing. NaN in both: the value of X counts, as
            exact, or as missing where it is NaN. Where there are bounds, the value of X does not count. Cannot be
            combined with errors.
        covariates : (n, p) or (n,) or names of columns, optional
            Columns on which the weights depend, through a multinomial logit with an intercept:
            see :mod:`fastem.models.gate` and `gate_coefficients_`. Names are those of columns of X, which are then not
            among the values. Pass the covariates of new rows to :meth:`predict`, …,
            in the same order; where they have names, others are refused.
        labels : (n,) or (n, K) or names of columns, optional
            What is known of the rows: the component of each row, from 0 to K - 1, or -1, NaN or None where not known;
            or a prior of each component for each row, which multiplies the weights: not negative, on any scale (with
            noise K + 1 columns). A component without labelled rows gets a number that the labels do not use.
            Names are those of columns of X, which are then not among the values.
            Predictions do not use labels. Cannot be combined with other side columns.
        callback : callable, optional
            Called after each iteration with the :class:`fastem.EMResult` so far; a true answer ends this start's run.
        checkpoint : path, optional
            Write the state of the fit to this file; it is removed when the fit ends. See
            :mod:`fastem.driver.checkpoint`.
        checkpoint_seconds : float
            How often.
        resume : bool
            Continue from the checkpoint, if there is one, to the same bits as a fit without interruption.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            The family does not take one of the side columns.
        ValueError
            X, a side column or a parameter cannot be used; the message says why, and where.
        CheckpointError
            The checkpoint cannot be written, or belongs to another fit.
        KeyboardInterrupt, OSError, …
            What ends a fit from outside is raised again after the attributes are set to the last complete iteration.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning, RoundingWarning, SaddlePointWarning

        References
        ----------
        Bovy, Hogg, Roweis: Extreme deconvolution: inferring complete distribution functions from noisy, heterogeneous
        and incomplete observations. Annals of Applied Statistics 5 (2011) 1657-1677.
        Dempster, Laird, Rubin: Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39 (1977) 1-38.

        Examples
        --------
        >>> import numpy as np
        >>> from fastem import GaussianMixture
        >>> rng = np.random.default_rng(0)
        >>> errors = rng.uniform(0.5, 3, (5000, 1))
        >>> X = rng.normal(10, 1, (5000, 1)) + errors * rng.normal(size=(5000, 1))
        >>> GaussianMixture().fit(X).covariances_.round(1)
        array([[[4.6]]])
        >>> GaussianMixture().fit(X, errors=errors).covariances_.round(1)
        array([[[1.]]])

        Values below a detection limit of 9 are known to lie below it:

        >>> X = rng.normal(10, 1, (5000, 1))
        >>> lower, upper = np.where(X < 9, -np.inf, X), np.maximum(X, 9)
        >>> GaussianMixture().fit(np.maximum(X, 9)).covariances_.round(2)
        array([[[0.74]]])
        >>> GaussianMixture().fit(X, lower=lower, upper=upper).covariances_.round(1)
        array([[[1.]]])
        """
        sides = given({"errors": errors, "lower": lower, "upper": upper, "covariates": covariates})
        require_sides(self, sides)
        if labels is not None and sides:  # before a column of labels is taken for one of values
            raise ValueError(refusal("labels", kind_of(sides)).format("labels", " and ".join(sides)))
        if labels is not None:
            rows = partial(open_labelled, self, X, labels, sample_weight)
        else:
            rows = partial(opened, self, X, sample_weight, sides)
        return fit_to(
            self,
            rows,
            labels=labels,
            callback=callback,
            checkpoint=checkpoint,
            checkpoint_seconds=checkpoint_seconds,
            resume=resume,
        )

    def fit_predict(self, X, y=None, sample_weight=None, *, labels=None, **sides) -> np.ndarray:
        """Fit, then the most probable component of each row. See :meth:`fit` for the parameters."""
        require_no_named("fit_predict", labels=labels, sample_weight=sample_weight)
        self.fit(X, y, sample_weight, **given({"labels": labels}), **sides)
        return self.predict(X, **given(sides))

    partial_fit = partial_fit
    set_partial_fit_request = set_partial_fit_request

    def _asked(self, labels) -> dict[str, str]:
        """What identifies a fit in a checkpoint, in words that are the same in another process."""
        asked = {"estimator": type(self).__name__}
        for name, value in self.get_params(deep=False).items():
            if name not in self._parameters or RESUME not in self._parameters[name].tags:
                asked[name] = stable_text(value)
        if labels is not None:
            asked["labels"] = stable_text(np.asarray(labels) if named_columns(labels) else as_labels(labels))
        return asked

    def _constrained(self, mixture) -> Mixture:
        if mixture.emission.shape[0] != self.n_components:  # the constraints are of another number of components
            return mixture
        if self.equal_weights and np.ptp(mixture.weights) > 1e-6:
            raise ValueError(
                f"equal_weights=True needs equal weights_, but they are {mixture.weights.tolist()}. Set "
                "equal_weights=False."
            )
        return plan_of(self).constrained(mixture, self._scales())

    def _keep(self, result, report, n_effective, unit, blocks):
        self.fit_report_ = report
        self._keep_model(result.model)
        self._stream = Stepwise(result, n_threads=self.n_threads)
        self._stream.weight_before *= unit
        self.converged_ = result.converged
        self.n_iter_ = result.n_iter
        self.history_ = list(result.history)
        self.steps_ = result.steps
        self.lower_bounds_ = result.history[1:]
        self.lower_bound_ = result.history[-1]
        self.log_likelihood_ = result.log_likelihood * unit
        self.log_likelihood_error_ = result.log_likelihood_error * unit
        self.remaining_gain_ = result.remaining_gain * unit
        self.remaining_gain_method_ = result.remaining_gain_method
        self.stop_reason_ = result.stop_reason
        self.component_status_ = [component.status for component in report.components]
        self.n_parameters_ = result.model.n_parameters
        self.n_samples_, self.total_weight_ = blocks.n_rows, blocks.total_weight * unit
        self.side_columns_ = list(getattr(blocks, "roles", ()))
        self._keep_columns(blocks.n_features, blocks.names)
        keep_names(self, getattr(blocks, "side_names", None))

    def _report(self):
        """Warn of what the user must know about this fit."""
        if not self.converged_ and self.max_iter > 0:
            warn(
                "Best performing initialization did not converge. Try different init parameters, or increase "
                "max_iter, "
                f"tol, or check for degenerate data. Stopped because {self.stop_reason_}.",
                convergence_warning(),
            )
        self.fit_report_.warn_of_events()
        self.fit_report_.warn_of_saddle(self.stop)
        warn_of_statuses("component", self.component_status_)
