"""The table of estimators of rows alone, one row each: those that fastem exports and that a file may contain."""

from fastem.families.bayesian import BayesianGaussianMixture as BayesianGaussianMixture
from fastem.families.bernoulli import BernoulliMixture as BernoulliMixture
from fastem.families.categorical import CategoricalMixture as CategoricalMixture
from fastem.families.exponential import ExponentialMixture as ExponentialMixture
from fastem.families.factor_analysis import PPCA as PPCA
from fastem.families.factor_analysis import FactorAnalysis as FactorAnalysis
from fastem.families.gamma import GammaMixture as GammaMixture
from fastem.families.gaussian.mixture import GaussianMixture as GaussianMixture
from fastem.families.geometric import GeometricMixture as GeometricMixture
from fastem.families.mixed import MixedMixture as MixedMixture
from fastem.families.mixture_of_factor_analyzers import MixtureOfFactorAnalyzers as MixtureOfFactorAnalyzers
from fastem.families.poisson import PoissonMixture as PoissonMixture
from fastem.families.student_t import StudentTMixture as StudentTMixture
from fastem.families.von_mises_fisher import VonMisesFisherMixture as VonMisesFisherMixture

ESTIMATORS = {name: value for name, value in list(globals().items()) if isinstance(value, type)}
