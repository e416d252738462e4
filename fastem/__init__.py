"""fastem: mixture and latent variable models by the EM algorithm, on large data, on multicore CPUs."""

from fastem import datasets
from fastem.bernoulli import BernoulliMixture
from fastem.categorical import CategoricalMixture
from fastem.em import EMResult, LogLikelihoodFell, em
from fastem.errors import ConvergenceWarning, DegenerateComponentWarning, NotFittedError
from fastem.exponential import ExponentialMixture
from fastem.gamma import GammaMixture
from fastem.gaussian_mixture import GaussianMixture
from fastem.latent_factors import PPCA, FactorAnalysis
from fastem.mixed import MixedMixture
from fastem.mixture_of_factor_analyzers import MixtureOfFactorAnalyzers
from fastem.persistence import load
from fastem.poisson import PoissonMixture
from fastem.statistics import Statistics
from fastem.student_t import StudentTMixture
from fastem.versions import show_versions
from fastem.von_mises_fisher import VonMisesFisherMixture

__all__ = [
    "PPCA",
    "BernoulliMixture",
    "CategoricalMixture",
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "EMResult",
    "ExponentialMixture",
    "FactorAnalysis",
    "GammaMixture",
    "GaussianMixture",
    "LogLikelihoodFell",
    "MixedMixture",
    "MixtureOfFactorAnalyzers",
    "NotFittedError",
    "PoissonMixture",
    "Statistics",
    "StudentTMixture",
    "VonMisesFisherMixture",
    "datasets",
    "em",
    "load",
    "show_versions",
]


def __getattr__(name):
    if name == "__version__":  # looked up when asked for: importlib.metadata is slow to import
        from importlib.metadata import version

        return version("fastem")
    raise AttributeError(f"module 'fastem' has no attribute {name!r}")
