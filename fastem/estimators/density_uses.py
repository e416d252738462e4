"""What a fitted mixture is for besides scores and labels, whatever its family: thresholds and clusters."""

from __future__ import annotations

import numbers

import numpy as np

from fastem.estimators.merging import Merging, merging_of
from fastem.kernels.threads import for_pass

LEAST_BELOW = 10  # drawn rows below a threshold, without which it is not known


class DensityUses:
    """Methods of every fitted mixture."""

    def quantile(self, q, X=None, *, n_samples: int = 100_000, random_state=0):
        """The log-density below which a share q of the rows lies: a threshold for anomalies.

        Parameters
        ----------
        q : float or array
            In [0, 1].
        X : rows, optional
            Whose share is meant; by default rows that the fitted density itself would give: exact for one Gaussian,
            else by drawing, so that the true share is q up to a standard error of ``sqrt(q (1 - q) / n_samples)``.
        n_samples : int
            Rows to draw; at least 10 / q.
        random_state : int, Generator, RandomState or None
            For drawing; the default is always the same draw.

        Returns
        -------
        float, or an array of the shape of q
            In nats. Compare with ``score_samples``.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> eruptions = load_faithful().data
        >>> gm = GaussianMixture(2, random_state=0).fit(eruptions)
        >>> int((gm.score_samples(eruptions) < gm.quantile(0.01)).sum())
        2
        """
        self._require_fitted()
        q = checked_shares(q)
        if X is not None:
            found = np.quantile(self.score_samples(X), q)
        else:
            found = self._exact_quantile(q)
            if found is None:
                found = self._drawn_quantile(q, n_samples, random_state)
        return found if q.ndim else float(found)

    def _exact_quantile(self, q):
        """The quantile where a formula gives it, else None."""

    def _drawn_quantile(self, q, n_samples, random_state):
        if not isinstance(n_samples, numbers.Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be a whole number from 1. Got {n_samples!r} instead.")
        if (q > 0).any() and q[q > 0].min() * n_samples < LEAST_BELOW:
            least = q[q > 0].min()
            raise ValueError(
                f"q={least:g} leaves {least * n_samples:.2g} of n_samples={n_samples} drawn rows below the threshold: "
                f"draw at least {int(np.ceil(LEAST_BELOW / least))}"
            )
        drawn, _ = self.sample(n_samples, random_state)
        return np.quantile(self.score_samples(drawn), q)

    def merge_components(self, X, sample_weight=None) -> Merging:
        """Merge components into clusters, the most confused ones first, where a cluster needs several components.

        Parameters
        ----------
        X : rows of any kind that `fit` takes; they are passed over K times
        sample_weight : (n,), optional

        Returns
        -------
        :class:`fastem.estimators.merging.Merging`
            ``pairs``, ``entropies``; ``clusters(n)``, ``predict(X, n)``, ``predict_proba(X, n)`` for any number of
            clusters, by default as many as ``elbow()`` says.

        References
        ----------
        Baudry, Raftery, Celeux, Lo, Gottardo: Combining mixture components for clustering. Journal of Computational
        and Graphical Statistics 19 (2010) 332-353.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> eruptions = load_faithful().data
        >>> merging = GaussianMixture(5, random_state=0).fit(eruptions).merge_components(eruptions)
        >>> merging.elbow(), merging.predict(eruptions, n_clusters=2).shape
        (2, (272,))
        """
        blocks = self._new_blocks(X, sample_weight)
        names = blocks.names
        blocks.check(lambda rows, place: self._require_new(rows, names, place))
        return merging_of(self, blocks, for_pass(self.n_threads, blocks, len(self.weights_)))


def checked_shares(q):
    """q as an array of numbers in [0, 1]."""
    try:
        shares = np.asarray(q, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"q={q!r} must hold numbers in [0, 1]: {error}") from error
    if not ((shares >= 0) & (shares <= 1)).all():  # true of NaN as well
        raise ValueError(f"q={q!r} must be in [0, 1]: it is the share of rows below the threshold")
    return shares
