"""astroML: extreme deconvolution in numpy, one matrix at a time. It computes in float64."""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as installed_version

PACKAGE = "astroML"
COVARIANCES = ()  # takes no part in the problems of GaussianMixture
INSTALL = "pip install '.[rivals]'"


def available() -> bool:
    return importlib.util.find_spec("astroML") is not None


def version() -> str:
    return installed_version("astroML")


def fit_errors(X, errors, start, iterations, n_threads) -> float:
    """The log-likelihood after iterations as those of its `fit`, which takes no start."""
    from astroML.density_estimation import XDGMM
    from threadpoolctl import threadpool_limits

    weights, means, covariances = start
    model = XDGMM(len(weights))
    model.alpha, model.mu, model.V = weights, means, covariances
    with threadpool_limits(n_threads):
        for _ in range(iterations):
            model._EMstep(X, errors)
            log_likelihood = model.logL(X, errors)
    return float(log_likelihood)
