"""How many components: the likelihood ratio against draws from the smaller mixture.

The statistic has no known distribution, because the smaller mixture is on the boundary of the larger one's parameters.

G. J. McLachlan: On bootstrapping the likelihood ratio test statistic for the number of components in a normal mixture.
Applied Statistics 36 (1987) 318-324.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass, field

import numpy as np

from fastem.families.gaussian.mixture import GaussianMixture
from fastem.inference.model_search import ModelSearch, searched_parameters
from fastem.kernels.threads import resolve
from fastem.kernels.workers import parallel_map
from fastem.rows.validation import generator
from fastem.starts.tournament import FAILURES


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """The result of :func:`likelihood_ratio_test`.

    Attributes
    ----------
    n_components : (int, int)
        Numbers of components of the null hypothesis and of the alternative.
    statistic : float
        Twice the difference of the log-likelihoods.
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


def likelihood_ratio_test(
    estimator: GaussianMixture,
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
    estimator : GaussianMixture
        Both hypotheses have its family and its other parameters; it need not be fitted. `tol` is 1e-6 at most,
        `max_iter` is 1000 at least, and the starts are those of :func:`fastem.select`.
    X : array, data frame, …
    n_components : (int, int), optional
        Numbers of components of the null hypothesis and of the alternative. Default: the estimator's, and one more.
    n_draws : int
        Samples of the size of X, with its missing values, from the null hypothesis; the least p value is
        1 / (n_draws + 1).
    n_jobs : int, optional
        Threads. Default: all that the process may use. The result does not depend on it.
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
    if not isinstance(estimator, GaussianMixture):
        raise TypeError(f"likelihood_ratio_test expects a GaussianMixture. Got {type(estimator).__name__} instead.")
    smaller, larger = n_components or (estimator.n_components, estimator.n_components + 1)
    if not all(isinstance(K, numbers.Integral) and K >= 1 for K in (smaller, larger)) or not smaller < larger:
        raise ValueError(
            f"n_components must be two whole numbers of at least 1, the smaller first. Got {(smaller, larger)!r}."
        )
    if not isinstance(n_draws, numbers.Integral) or n_draws < 1:
        raise ValueError(f"n_draws must be an int of at least 1. Got {n_draws!r} instead.")
    parameters = searched_parameters(estimator)
    rng = generator(random_state)
    pair, family = (int(smaller), int(larger)), estimator.covariance_type

    def fitted(rows, seed, n_threads=1):
        """The search, and its estimators for both numbers; ValueError where one is not sound."""
        search = ModelSearch(rows, None, pair, [family], parameters, seed, n_threads)
        estimators = []
        for K, one, result in search.chain(family, pair):
            wrong, sound = (result, False) if one is None else search.statuses(result)
            if not sound:
                raise ValueError(f"{K} components cannot be fitted soundly: {wrong}")
            estimators.append(one)
        return search, *estimators

    search, null, alternative = fitted(X, int(rng.integers(2**63)), resolve(n_jobs))
    n, dtype = search.blocks.n_rows, search.blocks.dtype
    missing = np.concatenate(search.blocks.each(lambda X, weight, start: np.isnan(X)))

    def draw(seed):
        rng = np.random.default_rng(seed)
        rows = null.model_.sample(n, rng)[0].astype(dtype)
        if missing.any():  # as in X; which values are missing does not depend on a row's component
            rows = np.where(missing, np.nan, rng.permutation(rows))
        try:
            return ratio(*fitted(rows, seed)[1:])
        except FAILURES:
            return np.nan

    draws = np.array(parallel_map(draw, rng.integers(2**63, size=n_draws).tolist(), resolve(n_jobs)))
    kept = np.sort(draws[np.isfinite(draws)])
    if not len(kept):
        raise ValueError(f"none of the n_draws={n_draws} samples could be fitted: choose fewer components.")
    statistic = ratio(null, alternative)
    p_value = (1 + np.count_nonzero(kept >= statistic)) / (1 + len(kept))
    return LikelihoodRatioTest(pair, statistic, float(p_value), kept, len(draws) - len(kept))


def ratio(null, alternative) -> float:
    """Twice the difference of two fits' log-likelihoods."""
    return max(0.0, 2 * (alternative.log_likelihood_ - null.log_likelihood_))
