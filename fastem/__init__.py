"""fastem: mixture and latent variable models by the EM algorithm, on large data, on multicore CPUs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastem import datasets
from fastem.driver.em import em
from fastem.driver.result import EMResult
from fastem.errors import (
    CheckpointError,
    ConvergenceWarning,
    DegenerateComponentWarning,
    LogLikelihoodFell,
    NotFittedError,
    RoundingWarning,
    SaddlePointWarning,
)
from fastem.estimators.predictions import write_predictions
from fastem.families import *  # noqa: F403  the estimators
from fastem.families import ESTIMATORS
from fastem.families.gaussian.regressor import GaussianMixtureRegressor
from fastem.families.load import load
from fastem.families.outlier_detector import OutlierDetector
from fastem.families.own import Mixture
from fastem.families.regressions import MixtureOfRegressions
from fastem.inference.likelihood_ratio import LikelihoodRatioTest, likelihood_ratio_test
from fastem.inference.selection import Selection, select
from fastem.inference.standard_errors import StandardErrors, standard_errors
from fastem.inference.three_step import ThreeStep, three_step
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.statistics import Statistics
from fastem.versions import show_versions

if TYPE_CHECKING:
    from fastem import online, plot, theory

__all__ = [
    *ESTIMATORS,
    "CheckpointError",
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "EMResult",
    "GaussianMixtureRegressor",
    "LikelihoodRatioTest",
    "LogLikelihoodFell",
    "Mixture",
    "MixtureOfRegressions",
    "NotFittedError",
    "RoundingWarning",
    "SaddlePointWarning",
    "OutlierDetector",
    "Selection",
    "StandardErrors",
    "Statistics",
    "ThreeStep",
    "datasets",
    "em",
    "likelihood_ratio_test",
    "load",
    "online",
    "open_rows",
    "plot",
    "select",
    "show_versions",
    "standard_errors",
    "theory",
    "three_step",
    "write_predictions",
]


LAZY = "online", "plot", "theory"  # imported when asked for


def __getattr__(name: str) -> Any:
    if name in LAZY:
        return import_module(f"fastem.{name}")
    if name == "__version__":  # looked up when asked for: importlib.metadata is slow to import
        from importlib.metadata import version

        return version("fastem")
    raise AttributeError(f"module 'fastem' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, without the rooms of the house."""
    return sorted([*__all__, *(name for name in globals() if name.startswith("__")), "__version__"])
