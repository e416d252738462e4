"""oneDAL through daal4py (pip: scikit-learn-intelex): full and diagonal covariances only."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as installed_version

import numpy as np

PACKAGE = "daal4py"
COVARIANCES = ("full", "diag")
INSTALL = "pip install scikit-learn-intelex"


def available() -> bool:
    return importlib.util.find_spec("daal4py") is not None


def version() -> str:
    return installed_version("scikit-learn-intelex")  # numbered as the oneDAL it brings


def fit(problem, X, start, iterations, n_threads):
    """EM from the given start: weights (K,), means (K, d), covariances full (K, d, d) or diag (K, d).

    oneDAL takes the covariances as a list of K tables, d×d or, for a diagonal, 1×d. It has no "never
    stop early": with accuracyThreshold=0 it stops when two float log-likelihoods are equal, which
    the count of iterations brings to light.
    """
    import daal4py

    daal4py.daalinit(n_threads)
    full = problem.covariance == "full"
    tables = start.covariances if full else start.covariances[:, None, :]
    algorithm = daal4py.em_gmm(
        nComponents=problem.K,
        fptype="double" if X.dtype == np.float64 else "float",
        maxIterations=iterations,
        accuracyThreshold=0.0,
        covarianceStorage="full" if full else "diagonal",
    )
    result = algorithm.compute(X, start.weights[None, :], start.means, list(tables))
    done = int(np.ravel(result.nIterations)[0])
    if done != iterations:
        raise RuntimeError(f"oneDAL ran {done} iterations where {iterations} were asked for")
    covariances = np.stack(result.covariances) if full else np.concatenate(result.covariances)
    return result.weights[0], result.means, covariances
