"""The summary of a fit with continuous factors: how it went, and what they explain of each column."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators.summary import facts_of_fit, names_of_columns, title_and_facts
from fastem.starts.text_table import text_table

MOST_COLUMNS = 50  # lines of the table before the rest is elided
MOST_FACTORS = 8  # whose loadings are shown
TITLES = {"FactorAnalysis": "Factor analysis", "PPCA": "Probabilistic principal components"}
ONE_NOISE = {"PPCA"}  # of all columns, whose units are taken to be the same


def factor_summary(self) -> str:
    """The fit in words and a table: how it went, the criteria, and of each column its loadings, the share of its
    variance that the factors explain (its communality, of a variance of 1), and the variance of its noise.

    Returns
    -------
    str
        Lines without a newline at the end. The last line of the table is the share of all variance, in units of each
        column's own, that each factor explains; in PPCA, whose noise is one for all, of the variance as it is. BIC and
        AIC are those of the fit, smaller is better.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_iris
    >>> print(fastem.FactorAnalysis(1).fit(load_iris().data).summary().splitlines()[0])
    Factor analysis, 1 factor
    """
    self._require_fitted()
    columns = names_of_columns(self, self.n_features_in_)
    return "\n".join([*title_and_facts(_title(self), facts_of_fit(self, columns)), "", *_table(self, columns)])


def _title(estimator: Any) -> str:
    q = len(estimator.components_)
    rotation = getattr(estimator, "rotation", None)
    name = TITLES.get(type(estimator).__name__, type(estimator).__name__)
    return f"{name}, {q} factor{'s' * (q != 1)}" + (f", {rotation} rotation" if rotation else "")


def _table(estimator: Any, columns: list[str]) -> list[str]:
    """A line for each column of the rows, and one for all."""
    loadings, noise = np.asarray(estimator.components_).T, np.broadcast_to(estimator.noise_variance_, len(columns))
    q, shown = loadings.shape[1], min(loadings.shape[1], MOST_FACTORS)
    squares = loadings**2
    variances = squares.sum(axis=1) + noise
    share = squares / variances[:, None]
    head = ["column", *(f"factor {k}" for k in range(shown)), "explained", "noise variance", "status"]
    rows = [
        [name, *(f"{x:.4g}" for x in loadings[j, :shown]), f"{share[j].sum():.3f}", f"{noise[j]:.4g}", status]
        for j, (name, status) in enumerate(zip(columns, estimator.feature_status_))
    ]
    more = [f"  ... and {len(rows) - MOST_COLUMNS} more columns"] if len(rows) > MOST_COLUMNS else []
    more += [f"  ... and {q - shown} more factors, in components_"] if q > shown else []
    of_factors = squares.sum(axis=0) / variances.sum() if type(estimator).__name__ in ONE_NOISE else share.mean(axis=0)
    total = ["all, explained", *(f"{x:.3f}" for x in of_factors[:shown]), f"{of_factors.sum():.3f}", "", ""]
    lines = text_table([head, *rows[:MOST_COLUMNS], total], "<" + ">" * (shown + 2) + "<")
    return [line.rstrip() for line in lines] + more
