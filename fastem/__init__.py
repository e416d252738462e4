"""fastem: mixture and latent variable models by the EM algorithm, on large data, on multicore CPUs."""

from fastem import datasets
from fastem.bootstrap import LikelihoodRatioTest, likelihood_ratio_test
from fastem.em import EMResult, em
from fastem.errors import (
    CheckpointError,
    ConvergenceWarning,
    DegenerateComponentWarning,
    LogLikelihoodFell,
    NotFittedError,
)
from fastem.families import *  # noqa: F403  the estimators
from fastem.families import ESTIMATORS
from fastem.gaussian_regressor import GaussianMixtureRegressor
from fastem.load import load
from fastem.predictions import write_predictions
from fastem.select import Selection, select
from fastem.sources import open_rows
from fastem.standard_errors import StandardErrors, standard_errors
from fastem.statistics import Statistics
from fastem.versions import show_versions

__all__ = [
    *ESTIMATORS,
    "CheckpointError",
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "EMResult",
    "GaussianMixtureRegressor",
    "LikelihoodRatioTest",
    "LogLikelihoodFell",
    "NotFittedError",
    "Selection",
    "StandardErrors",
    "Statistics",
    "datasets",
    "em",
    "likelihood_ratio_test",
    "load",
    "open_rows",
    "select",
    "show_versions",
    "standard_errors",
    "write_predictions",
]


def __getattr__(name):
    if name == "__version__":  # looked up when asked for: importlib.metadata is slow to import
        from importlib.metadata import version

        return version("fastem")
    raise AttributeError(f"module 'fastem' has no attribute {name!r}")
