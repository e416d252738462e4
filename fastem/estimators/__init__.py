"""What all estimators in scikit-learn's shape share.

For authors of families: the classes that a public estimator inherits, and how it writes its parameters.
"""

from fastem.estimators.exponential_family_mixture import ExponentialFamilyMixture
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import parameter

__all__ = ["ExponentialFamilyMixture", "MixtureEstimator", "parameter"]
