"""Responsibilities as features: a mixture as a step of a pipeline."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastem.estimators.checks import require_no_named
from fastem.estimators.containers import chosen_container, in_container
from fastem.estimators.covariates import scored


def transform(self, X) -> Any:
    """The posterior probabilities of the components as features, (n, K); see :meth:`set_output` for frames.

    Not after a fit with `errors`, or `lower` and `upper`: see :meth:`predict_proba`.
    """
    return in_container(posterior(self, X), X, self.get_feature_names_out(), chosen_container(self))


def fit_transform(self, X, y=None, sample_weight=None) -> Any:
    """Fit, then the posterior probabilities of the components as features, (n, K)."""
    require_no_named("fit_transform", sample_weight=sample_weight)
    return self.fit(X, y, sample_weight).transform(X)


def predict_proba(self, X, *, covariates=None) -> np.ndarray:
    """Posterior probability of each component for each row, shape (n, K), in the type of X.

    A frame where :meth:`set_output` says so. covariates: see :meth:`fit`.
    """
    if covariates is not None:
        return framed(self, scored(self, X, covariates, "responsibilities", by_component=True), X)
    return framed(self, posterior(self, X), X)


def framed(estimator, values, X):
    """Posterior probabilities as the estimator's own `set_output` says; scikit-learn's configuration has no part."""
    container = chosen_container(estimator, everywhere=False)
    return values if container == "default" else in_container(values, X, estimator.get_feature_names_out(), container)


def posterior(estimator, X):
    """(n, K) posterior probabilities, as an array."""
    K = estimator._mixture().n_components if estimator.__sklearn_is_fitted__() else 0
    dtype = getattr(X, "dtype", np.float64)
    return estimator._evaluated(X, "probabilities", lambda rows: responsibilities(estimator, rows), dtype, K)


def responsibilities(estimator, rows):
    """(m, K) posterior probabilities of checked rows, in their type."""
    values = np.empty((len(rows), estimator._mixture().n_components), rows.dtype)
    estimator._score(rows, responsibilities=values)
    return values


def get_feature_names_out(self, input_features=None) -> np.ndarray:
    """Names of what `transform` gives: the class's name and the number of the component, or "noise"."""
    self._require_fitted()
    kind, K = type(self).__name__.lower(), len(self.weights_)
    noise = [f"{kind}_noise"] * (self._mixture().n_components - K)
    return np.array([*(f"{kind}{k}" for k in range(K)), *noise], dtype=object)
