"""The models that the command line fits, by the names that it has for them."""

from __future__ import annotations

from typing import Any

from fastem.families import ESTIMATORS

FAMILIES = {  # --model: the class, and what it is for
    "gaussian": ("GaussianMixture", "clusters that are ellipses"),
    "bayesian": ("BayesianGaussianMixture", "the same by variational Bayes: components that no row needs get none"),
    "student_t": ("StudentTMixture", "ellipses with outliers"),
    "factor_analyzers": ("MixtureOfFactorAnalyzers", "many columns that a few factors drive"),
    "poisson": ("PoissonMixture", "counts"),
    "geometric": ("GeometricMixture", "counts of failures before a success"),
    "bernoulli": ("BernoulliMixture", "columns of 0 and 1"),
    "categorical": ("CategoricalMixture", "columns of codes 0, 1, 2, …"),
    "exponential": ("ExponentialMixture", "waiting times, above 0"),
    "gamma": ("GammaMixture", "amounts, above 0"),
    "von_mises_fisher": ("VonMisesFisherMixture", "directions: rows of length 1"),
    "mixed": ("MixedMixture", "columns of several kinds, named by --kinds"),
}
FACTORS = {  # models without components, of which --components are the factors
    "factor_analysis": ("FactorAnalysis", "no clusters: a few common factors, and noise of each column's own"),
    "ppca": ("PPCA", "the same with one noise for all columns: probabilistic principal components"),
}
EXPLAINED = "families of --model:\n" + "\n".join(
    f"  {name:<18}{what}" for name, (_, what) in (FAMILIES | FACTORS).items()
)
COVARIANCES = """structures of --covariance:
  full, tied, diag, spherical, or mclust's letters for volume, shape and orientation of the components: E equal,
  V variable, I none. EII VII spheres; EEI VEI EVI VVI along the columns; EEE VEE EVE VVE EEV VEV EVV VVV free.
  VVV is full, EEE tied, VVI diag, VII spherical."""


def estimator(name: str, given: dict[str, Any]) -> Any:
    """An unfitted estimator of a family, with those of the given parameters that it has; ValueError for others.

    given: those that the user has set.
    """
    make = ESTIMATORS[(FAMILIES | FACTORS)[name][0]]
    known = make().get_params()
    for option, value in given.items():
        if option not in known:
            raise ValueError(f"{OPTIONS.get(option, option)} is not for --model {name}. Got {value!r}: leave it out")
    return make(**given)


OPTIONS = {
    **{"covariance_type": "--covariance", "noise": "--noise", "kinds": "--kinds", "n_factors": "--factors"},
    **{"n_init": "--n-init", "tol": "--tol", "max_iter": "--max-iter", "verbose": "--progress"},
}
