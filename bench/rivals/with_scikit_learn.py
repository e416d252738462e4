"""scikit-learn's GaussianMixture; its threads are those of BLAS and OpenMP."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as installed_version

from bench.rivals.estimator import parameters_after

PACKAGE = "sklearn.mixture"
FACTORS, PPCA = "sklearn.decomposition", "PCA"
COVARIANCES = ("full", "tied", "diag", "spherical")
INSTALL = "pip install scikit-learn"


def available() -> bool:
    return importlib.util.find_spec("sklearn") is not None


def version() -> str:
    return installed_version("scikit-learn")


def fit(problem, X, start, iterations, n_threads):
    """EM from the given start."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    with threadpool_limits(n_threads):
        return parameters_after(iterations, GaussianMixture(**problem.settings(start, iterations)), X)
