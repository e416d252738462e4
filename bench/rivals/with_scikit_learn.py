"""scikit-learn's GaussianMixture; its threads are those of BLAS and OpenMP."""

from __future__ import annotations

import importlib.util
import warnings
from importlib.metadata import version as installed_version

import numpy as np

PACKAGE = "sklearn.mixture"
COVARIANCES = ("full", "tied", "diag", "spherical")
INSTALL = "pip install scikit-learn"


def available() -> bool:
    return importlib.util.find_spec("sklearn") is not None


def version() -> str:
    return installed_version("scikit-learn")


def fit(problem, X, start, iterations, n_threads):
    """EM from the given start: weights, means and precisions all given, so no k-means runs."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    dense = problem.covariance in ("full", "tied")
    model = GaussianMixture(
        problem.K,
        covariance_type=problem.covariance,
        tol=0,
        reg_covar=0,
        max_iter=iterations,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=np.linalg.inv(start.covariances) if dense else 1 / start.covariances,
    )
    with threadpool_limits(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # tol=0 never converges: as asked
        model.fit(X)
    if model.n_iter_ != iterations:
        raise RuntimeError(f"scikit-learn ran {model.n_iter_} iterations where {iterations} were asked for")
    return model.weights_, model.means_, model.covariances_
