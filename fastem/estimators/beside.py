"""Side columns of the rows of a mixture: measurement errors, bounds of their values, covariates; and the methods of a
mixture that takes more of them than covariates.

A family names the side columns that it takes, and how rows with them are opened, in `_openers`. The one `fit` is that
of :mod:`fastem.estimators.mixture_estimator`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from fastem.estimators import wide_rows
from fastem.estimators.checks import check_features
from fastem.estimators.compatibility import refusal
from fastem.estimators.covariates import open_gated
from fastem.estimators.estimator import require_fitted
from fastem.estimators.method_docs import describe_methods
from fastem.estimators.refused_sides import refuse_sides, refused, require_sides
from fastem.estimators.transform import framed
from fastem.kernels.threads import for_pass
from fastem.models import criteria
from fastem.rows.side_columns import SideBlocks


def opened(self, X, sample_weight, sides, check=None) -> tuple[SideBlocks, float]:
    """Rows with their side columns as blocks, and the unit of their weights; of a fit without any, of the rows alone.

    Parameters
    ----------
    sides : {role: array or names}
        Those that are given.
    check : callable, optional
        Called with the number and the names of the columns of values, before these are read.
    """
    if "labels" in sides:
        raise refused(self, "labels", " in predictions and scores")
    require_sides(self, sides)
    if only_covariates(sides):
        return open_gated(X, sides.get("covariates"), sample_weight, type(self).__name__)
    if "covariates" in sides:
        others = [role for role in sides if role != "covariates"]
        raise ValueError(refusal(kind_of(others), "covariates").format(" and ".join(others), "covariates"))
    openers = list(dict.fromkeys(self._openers[role] for role in sides))
    if len(openers) > 1:
        raise ValueError(refusal("errors", "intervals").format("errors", "lower and upper"))
    return openers[0](self, X, sides, sample_weight, check)


def kind_of(sides) -> str:
    """What some side columns are, in the table of features that cannot be combined."""
    return next((kind for kind in ("errors", "covariates") if kind in sides), "intervals")


def given(sides) -> dict[str, Any]:
    """The side columns that are there."""
    return {role: side for role, side in sides.items() if side is not None}


def only_covariates(sides) -> bool:
    """Whether no side columns are given but those that every mixture takes."""
    return not sides.keys() - {"covariates"}


def of_blocks(self, X, sides, function: Callable, sample_weight=None) -> list:
    """[function(model of wide rows, wide rows, their weights, threads)] of each block of new rows."""
    require_fitted(self)
    mixture = self.model_
    if getattr(self, "noise_weight_", None) is not None:
        raise ValueError(f"{next(iter(sides))} cannot be combined with noise, whose density has none. Set noise=None.")
    if getattr(self, "truncation", None) is not None:
        raise ValueError(refusal("truncation", kind_of(sides)).format("truncation", " and ".join(sides)))
    if getattr(self, "gate_coefficients_", None) is not None and "covariates" not in sides:
        raise ValueError(
            f"{' and '.join(sides)} cannot be combined with covariates, on which the weights of this mixture depend. "
            "Pass covariates= alone."
        )
    blocks, _ = opened(self, X, sample_weight, sides, lambda d, names: check_features(self, d, names))
    model, n_threads = blocks.reduced_as(mixture), for_pass(self.n_threads, blocks, mixture.n_components)
    return blocks.blocks.each(lambda rows, weight, start: function(model, rows, weight, n_threads))


def scored(self, X, sides, name, dtype, by_component=False) -> np.ndarray:
    """One of the outputs of the `score` of the model of wide rows, of all rows."""
    return wide_rows.output(partial(of_blocks, self, X, sides), name, dtype, by_component)


def totals(self, X, sides, sample_weight) -> tuple[float, float, float]:
    """Weight, log-likelihood and doubt of all rows; see :func:`fastem.estimators.wide_rows.totals`."""
    return wide_rows.totals(partial(of_blocks, self, X, sides, sample_weight=sample_weight), np.float64)


class TakesSideColumns:
    """A mixture, the class behind this one, whose rows may have side columns.

    Attributes
    ----------
    _openers : {role: callable}
        ``opener(estimator, X, sides, sample_weight, check)``; see :func:`opened`.
    """

    _openers: ClassVar[dict[str, Callable]] = {}

    def score_samples(self, X, **sides) -> np.ndarray:
        """Log-density of each row, shape (n,), natural logarithm.

        With side columns (see :meth:`fit`) of the rows as they are known: as they were measured with `errors`; of an
        interval, its probability.
        """
        sides = given(sides)
        if only_covariates(sides):
            return super().score_samples(X, **sides)
        return scored(self, X, sides, "log_density", np.float64)

    def score(self, X, y=None, sample_weight=None, **sides) -> float:
        """Mean log-density of the rows; with weights, a weight of 2 counts as two equal rows. Side columns: see
        :meth:`fit`."""
        sides = given(sides)
        if only_covariates(sides):
            return super().score(X, y, sample_weight, **sides)
        weight, total, _ = totals(self, X, sides, sample_weight)
        return total / weight

    def predict(self, X, **sides) -> np.ndarray:
        """The most probable component of each row, shape (n,). Side columns: see :meth:`fit`."""
        sides = given(sides)
        if only_covariates(sides):
            return super().predict(X, **sides)
        return scored(self, X, sides, "labels", np.intp)

    def predict_proba(self, X, **sides) -> np.ndarray:
        """Posterior probability of each component for each row, shape (n, K), in the type of X; with side columns (see
        :meth:`fit`), float64."""
        sides = given(sides)
        if only_covariates(sides):
            return super().predict_proba(X, **sides)
        require_fitted(self)
        return framed(self, scored(self, X, sides, "responsibilities", np.float64, True), X)

    def bic(self, X, sample_weight=None, **sides) -> float:
        """Bayesian information criterion on X, the smaller the better: p log n - 2 log-likelihood.

        n is the number of rows; with weights it is their sum. Side columns: see :meth:`fit`.
        """
        sides = given(sides)
        if only_covariates(sides):
            return super().bic(X, sample_weight, **sides)
        n, total, _ = totals(self, X, sides, sample_weight)
        return criteria.bic(total, self.model_.n_parameters, n)

    def aic(self, X, sample_weight=None, **sides) -> float:
        """Akaike information criterion on X, the smaller the better: 2 p - 2 log-likelihood. Side columns: see
        :meth:`fit`."""
        sides = given(sides)
        if only_covariates(sides):
            return super().aic(X, sample_weight, **sides)
        return criteria.aic(totals(self, X, sides, sample_weight)[1], self.model_.n_parameters)

    def icl(self, X, sample_weight=None, **sides) -> float:
        """Integrated completed likelihood on X, the smaller the better: BIC minus twice the sum over rows of the
        logarithm of the largest posterior probability. Side columns: see :meth:`fit`.

        C. Biernacki, G. Celeux, G. Govaert: Assessing a mixture model for clustering with the integrated completed
        likelihood. IEEE Trans. PAMI 22 (2000) 719-725. mclust's ICL is the negative of this.
        """
        sides = given(sides)
        if only_covariates(sides):
            return super().icl(X, sample_weight, **sides)
        n, total, doubt = totals(self, X, sides, sample_weight)
        return criteria.icl(criteria.bic(total, self.model_.n_parameters, n), doubt)


describe_methods(TakesSideColumns)
refuse_sides(TakesSideColumns)
