"""How certain the parameters of a fitted Gaussian mixture are: by the observed information, or by the bootstrap.

Louis: the observed information is that of the complete data, less what not knowing the components costs: the
conditional variance of the complete data's score. Both are sums over rows, from one pass.

T. A. Louis: Finding the observed information matrix when using the EM algorithm. JRSS B 44 (1982) 226-233.
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
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.inference.model_search import strict
from fastem.inference.observed_information import errors_of, information
from fastem.kernels.packing import packed_lower
from fastem.kernels.threads import for_jobs, for_pass
from fastem.kernels.workers import parallel_map
from fastem.models.gate import Gate
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.parsimonious import EEI, EII
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
CHUNK_VALUES = 1 << 20  # of the scores that are in memory at a time
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
    estimator : GaussianMixture; for "bootstrap" any of fastem's mixtures
        Fitted to X, and near its maximum: with a `tol` of 1e-8, say. Not to rows with `errors`, bounds or `labels`.
    X, sample_weight
        The rows, and what each counts for, as in the fit.
    method : {"louis", "bootstrap"}
        "louis": from the observed information, for every family, without constraints, prior and noise, and without
        missing values of Gaussians. In one pass for the covariance types full, tied, diag, spherical (VVV, EEE, VVI,
        VII), EEI, EII, E and V; else, and with covariates, by one for each end of a difference in each parameter, of
        which one at a bound, such as a probability of 0, is taken as known.
        "bootstrap": the standard deviation over fits to rows drawn with replacement, as many as `sample_weight` counts,
        which start from this fit; for every family, also where few rows make the likelihood skew; the rows must be in
        memory.
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
    ValueError
        The fit is not at a maximum, a component is at the floor, an error is beyond the range of numbers, the rows of
        the fit had side columns other than covariates, or "louis" does not take the fit; the message says what to do.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = fastem.GaussianMixture(2, tol=1e-9, max_iter=1000, random_state=0).fit(X)
    >>> fastem.standard_errors(model, X).weights.round(4)
    array([0.0291, 0.0291])
    """
    if not isinstance(estimator, MixtureEstimator):
        raise TypeError(f"standard_errors expects a fitted mixture. Got {type(estimator).__name__} instead.")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}. Got {method!r} instead.")
    require_no_sides(estimator)
    gated = isinstance(estimator.model_.shares, Gate) if estimator.__sklearn_is_fitted__() else False
    if gated or covariates is not None:
        if method != "louis":
            raise ValueError("method='bootstrap' does not take covariates: choose method='louis'.")
        return with_estimates(_with_covariates(estimator, X, covariates, sample_weight), estimator)
    blocks = checked_blocks(estimator, X, sample_weight)
    model = estimator.model_
    if method == "louis":
        require_plain(estimator, blocks)
        by = _by_information if has_formula(model) else partial(_by_differences, estimator)
        return with_estimates(by(model, *in_moderate_weights(blocks)), estimator)
    if not isinstance(n_draws, numbers.Integral) or n_draws < 2:
        raise ValueError(f"n_draws must be an int of at least 2. Got {n_draws!r} instead.")
    if not isinstance(blocks, ArrayBlocks):
        raise ValueError(
            "method='bootstrap' draws from the rows of X, which must be in memory: pass an array, or choose 'louis'."
        )
    errors = _by_bootstrap(estimator, blocks, int(n_draws), for_jobs(n_jobs), generator(random_state))
    return with_estimates(errors, estimator)


def require_no_sides(estimator):
    """ValueError where the rows of the fit had side columns other than covariates, which are taken beside X."""
    sides = " and ".join(role for role in getattr(estimator, "side_columns_", ()) if role != "covariates")
    if sides:
        raise ValueError(
            f"standard_errors takes no {sides}, with which this mixture was fitted. Fit again to rows drawn with "
            f"replacement, together with their {sides}, some 200 times, and take the standard deviations over these "
            "fits."
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
    if shares.constrains or (isinstance(estimator, GaussianMixture) and type(emission) is not Gaussian):
        obstacle = "constraints, a prior or noise"
    elif emission.has_ellipses and any(blocks.each(lambda X, weight, start: bool(np.isnan(X).any()))):
        obstacle = "missing values (NaN)"
    else:
        obstacle = None
    if obstacle:
        raise ValueError(f"method='louis' cannot handle {obstacle}: choose method='bootstrap'.")
    empty = np.flatnonzero(estimator.model_.weights == 0)
    if len(empty):
        raise ValueError(f"component {empty[0]} is empty, so that nothing is known of it: choose fewer components.")
    if type(emission) is Gaussian and emission.covariance.at_floor.any():
        raise ValueError(
            "a component has a covariance at the floor, where the likelihood has no maximum: choose fewer components."
        )


def has_formula(model) -> bool:
    """Whether the information is that of Gaussians whose entries of covariances are coordinates."""
    return (
        type(model.emission) is Gaussian and coordinates(model.emission.covariance, *model.emission.shape) is not None
    )


def coordinates(covariance, K, d):
    """(K, d(d+1)/2) the number of the coordinate that each packed entry is; -1: always 0. None where they are not
    coordinates."""
    q, diagonal = d * (d + 1) // 2, np.equal(*packed_lower(d))
    along = np.where(diagonal, np.cumsum(diagonal) - 1, -1)
    of_k = np.arange(K)[:, None]
    return {
        Full: of_k * q + np.arange(q),
        Tied: 0 * of_k + np.arange(q),
        Diagonal: np.where(diagonal, of_k * d + along, -1),
        Spherical: np.where(diagonal, of_k, -1),
        EEI: 0 * of_k + along,
        EII: np.where(diagonal, 0 * of_k, -1),
    }.get(type(covariance))


def plain_information(model, blocks, units):
    """(K T, K T) the observed information in the weight, mean and packed covariance of each component, as if free; of
    columns that are divided by their units (d,)."""
    K, d = model.emission.shape
    i, j = packed_lower(d)
    precisions = model.emission.covariance.dense(K, d).precisions() * units * units[:, None]
    halves = np.where(i == j, 0.5, 1.0)
    T = 1 + d + len(i)
    observed = np.zeros((K * T, K * T))
    counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, d))
    rows_at_once = max(1, CHUNK_VALUES // (K * T))

    def add(X, weight, start):
        for begin in range(0, len(X), rows_at_once):
            rows = slice(begin, begin + rows_at_once)
            x = np.asarray(X[rows], np.float64)
            w = np.ones(len(x)) if weight is None else weight[rows]
            r = model.posterior(X[rows])
            score = np.empty((len(x), K, T))
            for k in range(K):
                block = slice(k * T, (k + 1) * T)
                rest = (x - model.emission.means[k]) / units
                y = rest @ precisions[k]
                score[:, k, 0] = 1 / model.weights[k]
                score[:, k, 1 : 1 + d] = y
                score[:, k, 1 + d :] = halves * (y[:, i] * y[:, j] - precisions[k][i, j])
                share = w * r[:, k]
                counts[k] += share.sum()
                first[k] += share @ rest
                second[k] += (share[:, None] * rest).T @ rest
                observed[block, block] -= (share[:, None] * score[:, k]).T @ score[:, k]
            expected = (r[:, :, None] * score).reshape(len(x), -1)
            observed[...] += (w[:, None] * expected).T @ expected

    blocks.each(add)
    basis = np.zeros((len(i), d, d))
    basis[np.arange(len(i)), i, j] = basis[np.arange(len(i)), j, i] = 1
    for k in range(K):
        P, begin = precisions[k], k * T
        turned = P @ basis @ P  # (q, d, d)
        observed[begin, begin] += counts[k] / model.weights[k] ** 2
        mean, packed = slice(begin + 1, begin + 1 + d), slice(begin + 1 + d, begin + T)
        observed[mean, mean] += counts[k] * P
        cross = turned @ first[k]
        observed[packed, mean] += cross
        observed[mean, packed] += cross.T
        scatter = P @ second[k] - 0.5 * counts[k] * np.eye(d)
        observed[packed, packed] += np.einsum("aij,bjl,li->ab", turned, basis, scatter, optimize=True)
    return observed


def _by_information(model, blocks, unit):
    K, d = model.emission.shape
    covariance = model.emission.covariance
    place = coordinates(covariance, K, d)
    n_free = place.max() + 1
    T = 1 + d + place.shape[1]
    jacobian = np.zeros((K, T, (K - 1) + K * d + n_free))  # the free coordinates to all of them
    for k in range(K):
        jacobian[k, 0, : K - 1] = -1.0 if k == K - 1 else np.arange(K - 1) == k
        jacobian[k, 1 : 1 + d, K - 1 + k * d : K - 1 + (k + 1) * d] = np.eye(d)
        entries = np.flatnonzero(place[k] >= 0)
        jacobian[k, 1 + d + entries, K - 1 + K * d + place[k][entries]] = 1
    jacobian = jacobian.reshape(K * T, -1)
    units = np.sqrt(np.diagonal(covariance.pooled(model.weights, d)))  # all alike where columns share a coordinate
    free = jacobian.T @ plain_information(model, blocks, units) @ jacobian
    try:
        variance = np.linalg.inv(free)
        np.linalg.cholesky((free + free.T) / 2)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the observed information is not positive definite, so the fit is not at a maximum of the likelihood: "
            "fit with a smaller tol, choose fewer components, or choose method='bootstrap'."
        ) from None
    errors = np.sqrt(np.maximum(np.einsum("ap,pq,aq->a", jacobian, variance, jacobian, optimize=True), 0))
    i, j = packed_lower(d)
    with np.errstate(over="ignore"):  # such errors are refused
        errors = errors.reshape(K, T) / np.sqrt(unit) * np.concatenate([[1], units, units[i] * units[j]])
    dense = np.zeros((K, d, d))
    dense[:, i, j] = dense[:, j, i] = errors[:, 1 + d :]
    return StandardErrors(errors[:, 0], errors[:, 1 : 1 + d], like_covariances(dense, covariance), "louis")


def _with_covariates(estimator, X, covariates, sample_weight):
    if covariates is None:
        raise ValueError("the weights of this mixture depend on covariates. Pass covariates=.")
    blocks, unit, mixture = reduced(estimator, X, covariates, sample_weight)
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


def like_covariances(dense, covariance):
    """Numbers (K, d, d) in the shape of the structure's covariances."""
    shape = covariance.covariances.shape
    if isinstance(covariance, Full):
        return dense.reshape(-1, *shape[-2:])[: shape[0]].reshape(shape) if len(shape) == 3 else dense[0]
    diagonal = np.diagonal(dense, axis1=1, axis2=2)
    return diagonal[:, 0].copy() if len(shape) == 1 else diagonal.copy()


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
                ArrayBlocks(blocks.X, drawn.astype(np.float64)),
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
