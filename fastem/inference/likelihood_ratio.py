"""How many components: the likelihood ratio against draws from the smaller mixture.

The statistic has no known distribution, because the smaller mixture is on the boundary of the larger one's parameters.

G. J. McLachlan: On bootstrapping the likelihood ratio test statistic for the number of components in a normal mixture.
Applied Statistics 36 (1987) 318-324.
"""

from __future__ import annotations

import numbers
import warnings
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import COLUMNS, SEARCH, tagged
from fastem.families.gaussian.mixture import GaussianMixture
from fastem.families.own import require_no_own
from fastem.families.regressions import MixtureOfRegressions
from fastem.inference.model_search import ModelSearch, kept, require_one_for_all, searched_parameters, strict
from fastem.kernels.threads import for_jobs
from fastem.kernels.workers import parallel_map
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.validation import generator
from fastem.starts.diagnosis import tie
from fastem.starts.moves import split
from fastem.starts.text_table import html_of_text, text_table
from fastem.starts.tournament import FAILURES

NOT_TAKEN = ("noise", "truncation", "truncate", "fixed")  # parameters that neither the search nor the draws know
LEAST_STARTS = 3  # of each fit of a mixture that select does not search
MOST_SPLITS = 3  # of the smaller fit's components, from which the larger one starts
PARALLEL_FROM = 4000  # rows x columns^2 x components; with less, threads wait for each other in the interpreter


class Fit(NamedTuple):
    """What the test needs of one: its mixture, and the log-likelihood of all rows."""

    model: Mixture
    log_likelihood: float


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """The result of :func:`likelihood_ratio_test`.

    Attributes
    ----------
    n_components : (int, int)
        Numbers of components of the null hypothesis and of the alternative.
    statistic : float
        Twice the difference of the log-likelihoods; 0 where rounding alone separates them.
    p_value : float
        (1 + draws at least as large) / (1 + draws).
    draws : array
        The statistic of each sample from the null hypothesis, ascending.
    n_failed : int
        Samples for which one of the two fits failed or was not sound; they do not count.
    """

    n_components: tuple[int, int]
    statistic: float
    p_value: float
    draws: np.ndarray = field(repr=False)
    n_failed: int = 0

    def __str__(self):
        """The test as a table."""
        few, many = self.n_components
        rows = [
            ("null hypothesis", f"{few} component{'s' * (few != 1)}"),
            ("alternative", f"{many} components"),
            ("statistic", f"{self.statistic:.5g}"),
            ("p-value", f"{self.p_value:.4g}"),
            ("draws", f"{len(self.draws)}" + (f", {self.n_failed} failed" if self.n_failed else "")),
        ]
        if len(self.draws):
            rows.insert(3, ("95 % of the draws are below", f"{np.quantile(self.draws, 0.95):.5g}"))
        return "\n".join(line.rstrip() for line in text_table(rows, "<<"))

    _repr_html_ = html_of_text


def likelihood_ratio_test(
    estimator: MixtureEstimator,
    X,
    *,
    n_components: tuple[int, int] | None = None,
    n_draws: int = 99,
    n_jobs: int | None = None,
    random_state=None,
) -> LikelihoodRatioTest:
    """Test a number of components against a larger one by the parametric bootstrap.

    Parameters
    ----------
    estimator : any of fastem's mixtures but MixtureOfRegressions, whose `bic` of several fits may be compared
        Both hypotheses have its family and its other parameters, except those of a start; it need not be fitted.
        Without `noise`, `truncation`, `truncate` and `fixed`, which are refused, as by :func:`fastem.select`, and so
        are arrays with a value for each component (`weight_concentration_prior`, `degrees_of_freedom`). `tol` is
        1e-6 at most, `max_iter` is 1000 at least. The starts of a GaussianMixture are those of
        :func:`fastem.select`; those of others are `n_init` restarts, at least 3, and the smaller fit with each of its
        heaviest components split.
    X : array, data frame, …
        Weights of rows, which :func:`fastem.open_rows` takes, must be whole numbers: a weight of 2 counts as two rows.
    n_components : (int, int), optional
        Numbers of components of the null hypothesis and of the alternative. Default: the estimator's, and one more.
    n_draws : int
        Samples of the size of X, each row counted with its weight, and with its missing values, from the null
        hypothesis; the least p value is 1 / (n_draws + 1).
    n_jobs : int, optional
        Threads, where a fit is work enough for them. Default: all that the process may use. The result does not depend
        on it.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    LikelihoodRatioTest

    Raises
    ------
    ValueError, TypeError
        Wrong input, or a component collapses in one of the two fits to X.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> one = fastem.GaussianMixture(1, covariance_type="EEE")
    >>> test = fastem.likelihood_ratio_test(one, load_faithful().data, n_draws=4, random_state=0)
    >>> test.p_value
    0.2
    """
    require_no_own(estimator, "likelihood_ratio_test", "Compare by BIC, as the select of its kind does.")
    if isinstance(estimator, MixtureOfRegressions):
        raise TypeError(
            "likelihood_ratio_test is only for mixtures of rows X alone. Got MixtureOfRegressions instead: fit it with "
            "each number of components, and compare bic(X, y)."
        )
    if not isinstance(estimator, MixtureEstimator):
        raise TypeError(f"likelihood_ratio_test expects a mixture. Got {type(estimator).__name__} instead.")
    require_taken(estimator)
    require_one_for_all(estimator.get_params(deep=False), "likelihood_ratio_test")
    if n_components is None:
        n_components = estimator.n_components, estimator.n_components + 1
    smaller, larger = checked_pair(n_components)
    if not isinstance(n_draws, numbers.Integral) or n_draws < 1:
        raise ValueError(f"n_draws must be an int of at least 1. Got {n_draws!r} instead.")
    n_jobs, rng = for_jobs(n_jobs), generator(random_state)
    pair = int(smaller), int(larger)
    fitted = searched(estimator, pair) if isinstance(estimator, GaussianMixture) else refitted(estimator, pair)
    blocks = open_rows(X, owner=type(estimator).__name__)
    missing = np.repeat(missing_values(blocks), counts(blocks), axis=0)
    n, dtype = len(missing), blocks.dtype
    null, alternative = fitted(X, int(rng.integers(2**63)), n_jobs)

    def draw(seed):
        rng = np.random.default_rng(seed)
        rows = null.model.sample(n, rng)[0].astype(dtype)
        if missing.any():  # as in X; which values are missing does not depend on a row's component
            rows = np.where(missing, np.nan, rng.permutation(rows))
        try:
            return ratio(*fitted(ArrayBlocks(rows, None, blocks.names), seed, 1), n)
        except FAILURES:
            return np.nan

    n_threads = n_jobs if n * blocks.n_features**2 * larger >= PARALLEL_FROM else 1
    draws = np.array(parallel_map(draw, rng.integers(2**63, size=n_draws).tolist(), n_threads))
    finite = np.sort(draws[np.isfinite(draws)])
    if not len(finite):
        raise ValueError(f"none of the n_draws={n_draws} samples could be fitted: choose fewer components.")
    statistic = ratio(null, alternative, n)
    p_value = (1 + np.count_nonzero(finite >= statistic)) / (1 + len(finite))
    return LikelihoodRatioTest(pair, statistic, float(p_value), finite, len(draws) - len(finite))


def require_taken(estimator) -> None:
    """TypeError at the first parameter of the estimator that the test would not heed."""
    for name in NOT_TAKEN:
        value = getattr(estimator, name, None)
        if value is not None:
            raise TypeError(
                f"likelihood_ratio_test() takes no {name}: leave it out. The estimator has {name}={value!r}."
            )


def missing_values(blocks):
    """(n, d) whether each value is missing."""
    return np.concatenate(blocks.each(lambda X, weight, start: np.isnan(X)))


def counts(blocks):
    """How many rows each row counts for, (n,); without weights 1. ValueError at the first weight that is no count."""
    if not blocks.weighted:
        return 1
    weight = np.concatenate(blocks.each(lambda X, weight, start: weight))
    broken = weight != np.floor(weight)
    if broken.any():
        row = int(broken.argmax())
        raise ValueError(
            f"sample_weight must be whole numbers, because samples have as many rows as they count, but row {row} has "
            f"{weight[row]:g}. Leave out sample_weight, or round it."
        )
    return weight.astype(np.int64)


def checked_pair(n_components):
    """The numbers of components of both hypotheses; ValueError where they are none."""
    pair = tuple(n_components) if isinstance(n_components, (tuple, list, np.ndarray)) else ()
    whole = len(pair) == 2 and all(isinstance(K, numbers.Integral) and K >= 1 for K in pair)
    if not whole or not pair[0] < pair[1]:
        raise ValueError(
            "n_components must be two whole numbers of at least 1, the smaller first: those of the null hypothesis and "
            f"of the alternative, such as (2, 3). Got {n_components!r} instead."
        )
    return pair


def searched(estimator, pair):
    """A function that fits Gaussian mixtures of both numbers of components by the search of :func:`fastem.select`."""
    parameters, family = searched_parameters(estimator), estimator.covariance_type

    def fitted(rows, seed, n_threads):
        search = ModelSearch(rows, None, pair, [family], parameters, seed, n_threads)
        fits = []
        for K, one, result in search.results(family, pair):
            wrong, sound = (result, False) if one is None else search.statuses(result)
            require_sound(K, sound, wrong)
            fits.append(Fit(result.model, result.log_likelihood * search.unit))
        return fits

    return fitted


def refitted(estimator, pair):
    """A function that fits mixtures of both numbers of components, the larger also from the smaller one."""
    of_start = tagged(estimator, COLUMNS).keys() - tagged(estimator, SEARCH).keys() | {"warm_start", "verbose"}
    parameters = {name: value for name, value in estimator.get_params(deep=False).items() if name not in of_start}
    parameters |= strict(parameters) | {"n_init": max(parameters["n_init"], LEAST_STARTS)}

    def best(K, rows, seed, n_threads, starts=()):
        asked = parameters | {"n_components": K, "random_state": seed, "n_threads": n_threads}
        starts = asked["init_params"], *starts
        fits = [type(estimator)(**asked | {"init_params": start}).fit(rows) for start in starts]
        sound = [fit for fit in fits if any(one.chosen and one.sound for one in fit.fit_report_.restarts)]
        require_sound(K, sound, "; ".join(fits[0].component_status_))
        return max(sound, key=lambda fit: fit.log_likelihood_)

    def fitted(rows, seed, n_threads):
        rows = kept(open_rows(rows))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            null = best(pair[0], rows, seed, n_threads)
            alternative = best(pair[1], rows, seed, n_threads, list(grown(null, pair[1], rows, seed, n_threads)))
            return [Fit(fit.model_, fit.log_likelihood_) for fit in (null, alternative)]

    return fitted


def grown(smaller, n_components, rows, seed, n_threads):
    """Responsibilities (n, n_components) from a fitted mixture with each of its heaviest components split."""
    X, weight = rows.X, np.ones(rows.n_rows) if rows.sample_weight is None else rows.sample_weight
    posterior = smaller.model_.posterior(X)
    rng = np.random.default_rng(seed)
    for component in np.argsort(-smaller.weights_, kind="stable")[:MOST_SPLITS]:
        halves = split(X, weight, posterior, component, rng, n_threads)
        while halves.shape[1] < n_components:
            halves = split(X, weight, halves, int(halves.sum(axis=0).argmax()), rng, n_threads)
        yield halves


def require_sound(n_components, sound, wrong) -> None:
    """ValueError where no fit is sound."""
    if not sound:
        raise ValueError(f"{n_components} components cannot be fitted soundly: {wrong}")


def ratio(null, alternative, n_rows) -> float:
    """Twice the difference of two fits' log-likelihoods; 0 where rounding alone separates these."""
    gain = alternative.log_likelihood - null.log_likelihood
    return 2 * gain if gain > n_rows * tie(null.log_likelihood / n_rows) else 0.0
