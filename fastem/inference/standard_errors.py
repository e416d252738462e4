"""How certain the parameters of a fitted mixture are: by the observed information, or by the bootstrap.

Louis: the observed information is that of the complete data, less what not knowing the components costs: the
conditional variance of the complete data's score.

B. Efron, R. J. Tibshirani: An introduction to the bootstrap. Chapman & Hall (1993).
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fastem.driver.em import em
from fastem.estimators.covariates import reduced
from fastem.estimators.estimator import checked_blocks
from fastem.estimators.fitted_mixture import arrays_of
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.sides_of_fit import require_read_whole
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.families.own import require_no_own
from fastem.families.regressions import MixtureOfRegressions
from fastem.inference.gaussian_information import errors_by_formula, has_formula
from fastem.inference.model_search import strict
from fastem.inference.observed_information import errors_of, information
from fastem.kernels.threads import for_jobs, for_pass
from fastem.kernels.workers import parallel_map
from fastem.models.gate import Gate
from fastem.models.gaussian.candidates import truncated
from fastem.models.gaussian.emission import Gaussian
from fastem.models.seen_values import NOT_DETERMINED
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.sources.open_rows import in_moderate_weights
from fastem.rows.validation import generator
from fastem.starts.text_table import html_of_text, text_table
from fastem.starts.tournament import FAILURES

METHODS = ("louis", "bootstrap")
DEPENDENT = "covariances_", "precisions_cholesky_", "components_"  # on others, or up to a rotation
NORMAL = 1.959963984540054  # the 97.5 % point of the normal distribution
MOST_ROWS = 100  # of the printed table
MOST_DRAWN = 1 << 53  # rows of a sample of the bootstrap: float64 holds all numbers up to it
PARALLEL_FROM = 200_000  # rows x columns^2 x components; with less, threads wait for each other in the interpreter


@dataclass(frozen=True, repr=False)
class StandardErrors:
    """Standard errors in the units of the parameters, and in their shapes.

    Attributes
    ----------
    weights : (K,)
        None where they depend on covariates.
    means : (K, d)
        None where the components have no means and covariances; so is `covariances`.
    covariances : as ``covariances_``
    method : str
    n_draws : int
        Samples that were fitted; 0 for "louis".
    parameters : {str: array}
        By the names of the attributes, e.g. ``parameters["rates_"]``. Loadings of factors are not there, because they
        are determined up to a rotation; their covariances are. After a fit with covariates also
        ``parameters["gate_coefficients_"]``; the last component is the reference, whose errors are 0.
    estimates : {str: array}
        The parameters themselves, by the names of the attributes.

    Printed, it is a table of all parameters: estimate, error, 95 % interval.
    """

    weights: np.ndarray | None
    means: np.ndarray | None
    covariances: np.ndarray | None
    method: str
    n_draws: int = 0
    parameters: dict = field(default_factory=dict)
    estimates: dict = field(default_factory=dict, repr=False)

    def __repr__(self):
        how = f"{self.n_draws} draws" if self.n_draws else "the observed information"
        return f"<StandardErrors of {', '.join(self._arrays())} by {how}>"

    def _arrays(self) -> dict:
        """The errors by the names of the attributes."""
        named = {"weights_": self.weights, "means_": self.means, "covariances_": self.covariances}
        return {name: array for name, array in (named | self.parameters).items() if array is not None}

    def __str__(self):
        """A line for each parameter: its estimate, its standard error, and the interval that covers it with a
        probability of about 95 %: the estimate and 1.96 errors on both sides."""
        rows = [("parameter", "estimate", "error", "2.5 %", "97.5 %")]
        for name, errors in self._arrays().items():
            values = np.asarray(self.estimates[name])
            for place in np.ndindex(errors.shape):
                value, error = values[place], errors[place]
                numbers = (value, error, value - NORMAL * error, value + NORMAL * error)
                rows.append((f"{name}{list(place)}", *(f"{number:.5g}" for number in numbers)))
        if len(rows) > MOST_ROWS:
            rows = [*rows[:MOST_ROWS], (f"and {len(rows) - MOST_ROWS} more", "", "", "", "")]
        return "\n".join(line.rstrip() for line in text_table(rows, "<>>>>"))

    _repr_html_ = html_of_text


def standard_errors(
    estimator: MixtureEstimator,
    X,
    method: str = "louis",
    *,
    sample_weight=None,
    covariates=None,
    n_draws: int = 200,
    n_jobs: int | None = None,
    random_state=None,
) -> StandardErrors:
    """Standard errors of the weights, means and covariances, or other parameters, of a fitted mixture.

    Parameters
    ----------
    estimator : any of fastem's mixtures but MixtureOfRegressions, which has a method ``standard_errors(X, y)``
        Fitted to X, and near its maximum: with a `tol` of 1e-8, say. Not to rows with `errors`, bounds or `labels`.
    X, sample_weight
        The rows, and what each counts for, as in the fit.
    method : {"louis", "bootstrap"}
        "louis": from the observed information, for every family, without constraints, prior and noise, and without
        missing values of Gaussians. In one pass for the covariance types full, tied, diag, spherical (VVV, EEE, VVI,
        VII), EEI, EII, E and V; else, and with covariates, by one for each end of a difference in each parameter, of
        which one at a bound, such as a probability of 0, is taken as known.
        "bootstrap": the standard deviation over fits to rows drawn with replacement, as many as `sample_weight` counts,
        which start from this fit; for every family without covariates, also where few rows make the likelihood skew;
        the rows must be in memory.
    covariates
        Those of the fit, where there were any: then by "louis" alone.
    n_draws : int
        Samples of the bootstrap.
    n_jobs : int, optional
        Threads of the bootstrap, where a fit is work enough for them. Default: all that the process may use. The result
        does not depend on it.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    StandardErrors

    Raises
    ------
    TypeError
        `estimator` is none of these.
    NotFittedError
        It has not been fitted.
    ValueError
        The fit is not at a maximum, a component is at the floor, or its rows do not determine it, an error is beyond
        the range of numbers, the rows of the fit had side columns other than covariates, or "louis" does not take the
        fit; the message says what to do.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = fastem.GaussianMixture(2, tol=1e-9, max_iter=1000, random_state=0).fit(X)
    >>> fastem.standard_errors(model, X).weights.round(4)
    array([0.0291, 0.0291])
    """
    require_no_own(
        estimator,
        "standard_errors",
        "Fit again to rows drawn with replacement, some 200 times, and take the standard deviations of parameters_.",
    )
    if isinstance(estimator, MixtureOfRegressions):
        raise TypeError(
            "standard_errors is only for mixtures of rows X alone. Got MixtureOfRegressions instead: call its method "
            "standard_errors(X, y)."
        )
    if not isinstance(estimator, MixtureEstimator):
        raise TypeError(f"standard_errors expects a fitted mixture. Got {type(estimator).__name__} instead.")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}. Got {method!r} instead.")
    if not isinstance(n_draws, numbers.Integral) or n_draws < 2:
        raise ValueError(f"n_draws must be an int of at least 2. Got {n_draws!r} instead.")
    n_jobs = for_jobs(n_jobs)
    require_read_whole(estimator, "standard_errors")
    require_determined(estimator)
    gated = isinstance(estimator.model_.shares, Gate) if estimator.__sklearn_is_fitted__() else False
    if gated or covariates is not None:
        if method != "louis":
            raise ValueError("method='bootstrap' does not take covariates: choose method='louis'.")
        return with_estimates(_with_covariates(estimator, X, covariates, sample_weight), estimator)
    blocks = checked_blocks(estimator, X, sample_weight)
    model = estimator.model_
    if method == "louis":
        require_plain(estimator, blocks)
        blocks, unit = in_moderate_weights(blocks)
        if has_formula(model):
            errors = StandardErrors(*errors_by_formula(model, blocks, unit), "louis")
        else:
            errors = _by_differences(estimator, model, blocks, unit)
        return with_estimates(errors, estimator)
    if not isinstance(blocks, ArrayBlocks):
        raise ValueError(
            "method='bootstrap' draws from the rows of X, which must be in memory: pass an array, or choose 'louis'."
        )
    errors = _by_bootstrap(estimator, blocks, int(n_draws), n_jobs, generator(random_state))
    return with_estimates(errors, estimator)


def require_determined(estimator) -> None:
    """ValueError where the rows of the fit do not determine a component, so that its parameters have no errors."""
    for k, status in enumerate(getattr(estimator, "component_status_", ())):
        if NOT_DETERMINED in status:
            why = status[status.index(NOT_DETERMINED) :]
            raise ValueError(
                f"the parameters of component {k} have no standard errors, as they are {why}. Leave the column out, or "
                "choose fewer components."
            )


def with_estimates(errors, estimator):
    """The errors beside the parameters that they are of; ValueError where they are beyond the range of numbers."""
    for name, array in errors._arrays().items():
        if np.isinf(array).any():
            raise ValueError(
                f"standard errors of {name} are beyond the range of numbers: divide the columns of X by their standard "
                "deviations, and sample_weight by its mean, and fit again."
            )
    return replace(errors, estimates={name: np.asarray(getattr(estimator, name)) for name in errors._arrays()})


# ---- the observed information ----------------------------------------------------------------------------------------


def require_plain(estimator, blocks):
    """ValueError where the likelihood of the rows alone, in free parameters, is not what was maximised."""
    emission, shares = estimator.model_.emission, estimator.model_.shares
    gated = isinstance(shares, Gate)
    if (shares.constrains and not gated) or (isinstance(estimator, GaussianMixture) and type(emission) is not Gaussian):
        obstacle = "constraints, a prior, noise or truncation"
    elif emission.has_ellipses and any(blocks.each(lambda X, weight, start: bool(np.isnan(X).any()))):
        obstacle = "missing values (NaN)"
    else:
        obstacle = None
    if obstacle and gated:
        raise ValueError(f"standard_errors with covariates cannot handle {obstacle}.")
    if obstacle:
        raise ValueError(f"method='louis' cannot handle {obstacle}: choose method='bootstrap'.")
    empty = np.flatnonzero(estimator.model_.weights == 0)
    if len(empty):
        raise ValueError(f"component {empty[0]} is empty, so that nothing is known of it: choose fewer components.")
    if type(emission) is Gaussian and np.any(emission.floor_hits):
        raise ValueError(
            "a component has a covariance at the floor, where the likelihood has no maximum: choose fewer components."
        )


def _with_covariates(estimator, X, covariates, sample_weight):
    if covariates is None:
        raise ValueError("the weights of this mixture depend on covariates. Pass covariates=.")
    blocks, unit, mixture = reduced(estimator, X, covariates, sample_weight)
    require_plain(estimator, blocks)
    return _by_differences(estimator, mixture, blocks, unit)


def _by_differences(estimator, mixture, blocks, unit):
    """Of any family, with or without covariates."""
    found = information(mixture, blocks, for_pass(estimator.n_threads, blocks, mixture.n_components))
    functions = {name: partial(parameter_of, estimator, name) for name in parameters_of(estimator, mixture)}
    if isinstance(mixture.shares, Gate):
        functions.pop("weights_")
        functions["gate_coefficients_"] = lambda at: at.shares.in_units(at.weights)
    with np.errstate(over="ignore"):  # such errors are refused
        errors = {name: errors_of(found, mixture, function) / np.sqrt(unit) for name, function in functions.items()}
    weights, means, covariances = (errors.pop(name, None) for name in ("weights_", "means_", "covariances_"))
    return StandardErrors(weights, means, covariances, "louis", parameters=errors)


def parameter_of(estimator, name, mixture):
    return np.asarray(parameters_of(estimator, mixture)[name][0])


# ---- the bootstrap ---------------------------------------------------------------------------------------------------


def _by_bootstrap(estimator, blocks, n_draws, n_jobs, rng):
    model, n = estimator.model_, blocks.n_rows
    weight = np.ones(n) if blocks.sample_weight is None else blocks.sample_weight
    total = weight.sum()
    n_drawn = rows_of_weight(total)
    seeds = rng.integers(2**63, size=n_draws)
    match = matching(model, blocks.X)

    def draw(seed):
        drawn = np.random.default_rng(seed).multinomial(n_drawn, weight / total) * (total / n_drawn)
        try:
            result = em(
                model,
                truncated(ArrayBlocks(blocks.X, drawn.astype(np.float64)), getattr(estimator, "truncate", None)),
                n_threads=1,
                **strict({"tol": estimator.tol, "max_iter": estimator.max_iter}),
            )
        except FAILURES:
            return None
        order, arrays = match(result.model), parameters_of(estimator, result.model)
        return {name: array[order] if each else array for name, (array, each) in arrays.items()}

    n_threads = n_jobs if n * blocks.n_features**2 * model.n_components >= PARALLEL_FROM else 1
    fits = [fit for fit in parallel_map(draw, seeds, n_threads) if fit is not None]
    if len(fits) < 2:
        raise ValueError(f"only {len(fits)} of n_draws={n_draws} samples could be fitted: choose fewer components.")
    errors = {name: np.std(np.array([fit[name] for fit in fits]), axis=0, ddof=1) for name in fits[0]}
    means, covariances = (errors.get(name) for name in ("means_", "covariances_"))
    return StandardErrors(errors.pop("weights_"), means, covariances, "bootstrap", len(fits), errors)


def rows_of_weight(total) -> int:
    """How many rows weights of this sum count; ValueError where they count none, or more than can be drawn."""
    if not 1 <= total <= MOST_DRAWN:
        raise ValueError(
            f"sample_weight sums to {total:.3g}, but method='bootstrap' draws as many rows: give weights that count "
            "rows, such as sample_weight divided by its mean."
        )
    return round(total)


def parameters_of(estimator, model):
    """{attribute: (array, whether it has a row for each component)} of a model of the estimator's kind."""
    emission = model.emission
    K = emission.shape[0]
    arrays = {"weights_": (emission.weights_of_all(model.weights)[:K], True)}  # without that of noise
    for name, array in arrays_of(estimator, model).items():
        if not name.endswith(DEPENDENT):
            arrays[name] = array, True
    if emission.has_ellipses:
        shape = emission.covariance.shape
        arrays["covariances_"] = emission.covariance.covariances, shape(K + 1, 2) != shape(K, 2)
    return arrays


def matching(model, X):
    """A function: for each component of the model the one of another that it is.

    By the distances between means, where there are some, else by the rows that they share.
    """
    from scipy.optimize import linear_sum_assignment  # here, since it takes long to import

    if not model.emission.has_ellipses:
        posterior = model.posterior(X)
        return lambda other: linear_sum_assignment(-posterior.T @ other.posterior(X))[1]
    means, whiten = model.emission.means, model.emission.covariance.whiten

    def by_means(other):
        distance = [np.square(whiten(k, other.emission.means - mean)).sum(axis=1) for k, mean in enumerate(means)]
        return linear_sum_assignment(np.array(distance))[1]

    return by_means
