"""fastem: mixture and latent variable models by the EM algorithm, on large data, on multicore CPUs."""

from importlib import metadata

from fastem import datasets
from fastem.em import EMResult, LogLikelihoodFell, em
from fastem.errors import ConvergenceWarning, DegenerateComponentWarning, NotFittedError
from fastem.gaussian_mixture import GaussianMixture
from fastem.persistence import load
from fastem.statistics import Statistics
from fastem.versions import show_versions

__version__ = metadata.version("fastem")

__all__ = [
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "EMResult",
    "GaussianMixture",
    "LogLikelihoodFell",
    "NotFittedError",
    "Statistics",
    "datasets",
    "em",
    "load",
    "show_versions",
]
