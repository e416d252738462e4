"""fastem's GaussianMixture, as installed."""

from __future__ import annotations

import warnings
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import numpy as np

PACKAGE = "fastem"
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
    """EM from the given start: weights, means and precisions all given, so nothing is initialised."""
    import fastem

    dense = problem.covariance in ("full", "tied")
    model = fastem.GaussianMixture(
        problem.K,
        covariance_type=problem.covariance,
        tol=0,
        reg_covar=0,
        max_iter=iterations,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=np.linalg.inv(start.covariances) if dense else 1 / start.covariances,
        n_threads=n_threads,
    )
    with warnings.catch_warnings():
        # tol=0 never converges: as asked. By message, since the class may be scikit-learn's or not.
        warnings.filterwarnings("ignore", message=".*converge.*")
        model.fit(X)
    if model.n_iter_ != iterations:
        raise RuntimeError(
            f"fastem ran {model.n_iter_} iterations where {iterations} were asked for: "
            f"it stopped because {model.stop_reason_}"
        )
    return model.weights_, model.means_, model.covariances_
