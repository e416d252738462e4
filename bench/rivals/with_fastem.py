"""fastem's GaussianMixture, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from bench.rivals.estimator import parameters_after

PACKAGE = "fastem"
FACTORS, PPCA = "fastem", "PPCA"  # the module of factor models, and its name of probabilistic PCA
COVARIANCES = ("full", "tied", "diag", "spherical")
INSTALL = "pip install ."


def available() -> bool:
    # Not find_spec: that would be content with the checkout's folder, compiled or not.
    try:
        version()
    except PackageNotFoundError:
        return False
    return True


def version() -> str:
    return installed_version("fastem")


def fit(problem, X, start, iterations, n_threads):
    """EM from the given start."""
    import fastem

    model = fastem.GaussianMixture(**problem.settings(start, iterations), n_threads=n_threads)
    return parameters_after(iterations, model, X)
