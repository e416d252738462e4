"""Fitted estimators as scikit-learn's, and back: so whatever knows scikit-learn's classes (ONNX, skops) takes them.

A class says what it is there: `_counterpart` (module and class), `_for_sklearn()`, which gives the constructor's
parameters and the fitted attributes, and `_take_sklearns(model)`, which sets its own.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

OF_A_FIT = {
    "init_params",
    "random_state",
    "verbose",
    "verbose_interval",
    "warm_start",
}  # not the same there
FROM_THERE = {"n_components", "covariance_type"} | {f"{name}_prior" for name in ("mean", "mean_precision")}
FROM_THERE |= {"weight_concentration_prior_type", "weight_concentration_prior", "degrees_of_freedom_prior"}
FROM_THERE |= {"covariance_prior"}


def counterpart(cls) -> type:
    """scikit-learn's class of a class of fastem."""
    module, name = cls._counterpart
    return getattr(import_module(f"sklearn.{module}"), name)


def to_sklearn(self) -> Any:
    """A fitted estimator of scikit-learn's with the same parameters, which predicts the same up to rounding.

    A GaussianMixture becomes a ``sklearn.mixture.GaussianMixture``; of the families that are not there, each component
    gets its own full covariance. A BayesianGaussianMixture becomes one of the same name, whose `score_samples` is that
    of ``predictive="plug-in"``. FactorAnalysis and PPCA become a ``sklearn.decomposition.FactorAnalysis``, since the
    transform of scikit-learn's PCA is another one.

    Returns
    -------
    scikit-learn's estimator
        Missing values are refused there.

    Raises
    ------
    ValueError
        The mixture has noise, `truncation` or covariates, which scikit-learn's has not.
    ImportError
        scikit-learn is not installed (extra ``sklearn``).

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> ours = GaussianMixture(2, random_state=0).fit(X)
    >>> theirs = ours.to_sklearn()
    >>> type(theirs).__module__.partition(".")[0], bool((theirs.predict(X) == ours.predict(X)).all())
    ('sklearn', True)
    """
    self._require_fitted()
    make = counterpart(type(self))
    known = make().get_params().keys() - OF_A_FIT
    parameters, attributes = self._for_sklearn()
    theirs = make(**{name: value for name, value in self.get_params().items() if name in known} | parameters)
    attributes["n_features_in_"] = self.n_features_in_
    if hasattr(self, "feature_names_in_"):
        attributes["feature_names_in_"] = self.feature_names_in_
    for name, value in attributes.items():
        setattr(theirs, name, value.copy() if isinstance(value, np.ndarray) else value)
    return theirs


def from_sklearn(cls, model) -> Any:
    """A fitted estimator of this class from scikit-learn's, with the same parameters.

    Parameters
    ----------
    model : fitted ``sklearn.mixture.GaussianMixture`` or ``BayesianGaussianMixture``, by the name of this class; of
        FactorAnalysis and PPCA ``sklearn.decomposition.FactorAnalysis``

    Returns
    -------
    the estimator
        It scores, predicts, draws, is saved; with ``warm_start=True``, :meth:`fit` continues from it. It has no
        history.

    Raises
    ------
    TypeError
        `model` is of another class.
    ValueError
        `model` is not fitted, or its arrays make no model of this class.

    Examples
    --------
    >>> from sklearn.mixture import GaussianMixture as Theirs
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> theirs = Theirs(2, random_state=0).fit(X)
    >>> bool((GaussianMixture.from_sklearn(theirs).predict(X) == theirs.predict(X)).all())
    True
    """
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    make = counterpart(cls)
    if not isinstance(model, make):
        raise TypeError(
            f"{cls.__name__}.from_sklearn takes a sklearn.{cls._counterpart[0]}.{make.__name__}, "
            f"not a {type(model).__module__}.{type(model).__name__}."
        )
    try:
        check_is_fitted(model)
    except NotFittedError as error:
        raise ValueError(f"{error} Fit it before from_sklearn.") from None
    kept = {name: value for name, value in model.get_params().items() if name in FROM_THERE & cls._parameters.keys()}
    ours = cls(**kept)
    if hasattr(model, "feature_names_in_"):
        ours.feature_names_in_ = model.feature_names_in_
    ours._take_sklearns(model)
    ours._check_parameters()
    ours._require_fitted()
    return ours
