"""How well a fitted mixture predicts rows that it has not seen, without fitting it again."""

from __future__ import annotations

import numbers
from typing import Any

from fastem.driver.cross_validation import FOLDS, ITERATIONS, held_out_log_likelihood
from fastem.kernels.threads import for_pass
from fastem.rows.sources.open_rows import in_moderate_weights
from fastem.rows.validation import generator, require_rows

__all__ = ["cross_validated_score"]


def cross_validated_score(
    self: Any, X, sample_weight=None, *, n_folds: int = FOLDS, n_iter: int = ITERATIONS, random_state=0
) -> float:
    """Mean log-density of each row under the mixture of the rows outside its fold; larger is better.

    The folds' mixtures come from this one by arithmetic on sums: one pass over the rows gives the statistics of all
    folds, an M-step on those of the other folds gives the mixture of a fold, and another pass scores the rows. So it
    costs about two passes, and as many more as there are folds for each further iteration. No start is searched anew:
    components stay where all rows led them, so that too many components are judged too well. To choose their number,
    ``fastem.select(criterion="cv")`` begins anew without each fold.

    Of every `n_folds` rows that follow each other one is in each fold, at random.

    Parameters
    ----------
    X
        The rows of the fit, of any kind: see :func:`fastem.open_rows`.
    sample_weight : (n,), optional
        As in the fit.
    n_folds : int
        At least 2, at most the number of rows.
    n_iter : int
        EM iterations of each fold's mixture, from the fitted one. With 1 the posteriors of the other rows still know
        the fold. That matters where components overlap.
    random_state : int, Generator, RandomState or None
        Of the folds.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        Wrong input; or a covariance is singular without a fold (`reg_covar` = 0).

    References
    ----------
    Smyth: Model selection for probabilistic clustering using cross-validated likelihood. Statistics and Computing 10
    (2000) 63-72.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = fastem.GaussianMixture(2, random_state=0, tol=1e-6).fit(X)
    >>> round(model.score(X), 2), round(model.cross_validated_score(X), 2)
    (-4.16, -4.21)
    """
    owner = type(self).__name__
    for name, value, least in [("n_folds", n_folds, 2), ("n_iter", n_iter, 1)]:
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}. Got {value!r} instead.")
    seed = int(generator(random_state).integers(2**63))
    blocks, _ = in_moderate_weights(self._checked_blocks(X, sample_weight))
    require_rows(blocks, n_folds, owner)
    n_threads = for_pass(self.n_threads, blocks, self.model_.n_components)
    weight = blocks.total_weight
    return held_out_log_likelihood(self.model_, blocks, int(n_folds), int(n_iter), seed, n_threads) / float(weight)
