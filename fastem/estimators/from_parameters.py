"""A fitted mixture of known parameters, without rows."""

from __future__ import annotations

from typing import Any, TypeVar

E = TypeVar("E")


def from_parameters(cls: type[E], weights: Any, *arrays: Any, **parameters: Any) -> E:
    """A fitted mixture of given parameters, without rows: it scores, predicts, draws, is saved, and learns from rows.

    The arrays are those of the fitted attributes, which hold copies of them, in the order in which they are named
    below: ``means`` and ``covariances`` of Gaussian mixtures (or ``precisions`` or ``precisions_cholesky`` by name),
    also ``degrees_of_freedom`` of Student-t mixtures; ``means``, ``components`` and ``noise_variances`` of factor
    analyzers; ``rates``; ``probabilities``; ``shapes`` and ``rates`` of gamma mixtures; ``mean_directions`` and
    ``concentrations``; ``gaussian_means``, ``poisson_rates``, … by name for columns of different kinds.

    With ``warm_start=True``, :meth:`fit` starts from it, and :meth:`partial_fit` continues from it.

    Parameters
    ----------
    weights : (K,)
        Their sum is 1.
    *arrays
        In the shapes of the attributes, e.g. means (K, d).
    **parameters
        Arrays by name, and parameters of the constructor, e.g. ``covariance_type``. `n_components` is K. What is in
        units of the rows (`reg_covar`, `max_eigenvalue_ratio`) holds from the next :meth:`fit` on.

    Returns
    -------
    the mixture
        Its `n_iter_` is 0; `log_likelihood_`, its error and `lower_bound_` are NaN.

    Raises
    ------
    ValueError
        An array has not the shape or the values that it must have.
    TypeError
        An array is missing, two are the same matrices in two forms, or a name is not known.

    Examples
    --------
    >>> from fastem import GaussianMixture, PoissonMixture
    >>> model = GaussianMixture.from_parameters([0.3, 0.7], [[-5.0], [5.0]], [[4.0], [9.0]], covariance_type="diag")
    >>> model.predict([[-4.0], [6.0]])
    array([0, 1])
    >>> round(PoissonMixture.from_parameters([0.5, 0.5], rates=[[1.0, 9.0], [8.0, 2.0]]).score([[1, 8]]), 2)
    -3.72
    """
    named, others = cls._named_arrays(arrays, parameters)
    K = len(weights) if hasattr(weights, "__len__") else 1
    if others.setdefault("n_components", K) != K:
        raise ValueError(f"n_components={others['n_components']}, but there are {K} weights. Leave it out.")
    estimator = cls(**others)
    estimator.weights_ = weights
    for name, array in named.items():
        setattr(estimator, name, array)
    if not estimator.__sklearn_is_fitted__():
        needed, got = (
            ", ".join(["weights", *(name.removesuffix("_") for name in names)])
            for names in (estimator._needed(), named)
        )
        raise TypeError(f"{cls.__name__}.from_parameters needs {needed}. Got {got}.")
    estimator._check_parameters()
    estimator._require_fitted()
    return estimator
