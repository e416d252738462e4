"""The table of estimators, a row each: what `import fastem` exports and what a file may hold."""

from fastem.bernoulli import BernoulliMixture as BernoulliMixture
from fastem.categorical import CategoricalMixture as CategoricalMixture
from fastem.exponential import ExponentialMixture as ExponentialMixture
from fastem.gamma import GammaMixture as GammaMixture
from fastem.gaussian_mixture import GaussianMixture as GaussianMixture
from fastem.geometric import GeometricMixture as GeometricMixture
from fastem.latent_factors import PPCA as PPCA
from fastem.latent_factors import FactorAnalysis as FactorAnalysis
from fastem.mixed import MixedMixture as MixedMixture
from fastem.mixture_of_factor_analyzers import MixtureOfFactorAnalyzers as MixtureOfFactorAnalyzers
from fastem.poisson import PoissonMixture as PoissonMixture
from fastem.student_t import StudentTMixture as StudentTMixture
from fastem.von_mises_fisher import VonMisesFisherMixture as VonMisesFisherMixture

ESTIMATORS = {name: value for name, value in list(globals().items()) if isinstance(value, type)}
