"""pomegranate's GeneralMixtureModel on torch, one kind of column at a time. It computes in float32.

It is given its best: a tensor of the type it wants, and no check of the values in each iteration (check_data=False).
Its StudentT takes no part: the M-step is the Gaussian's and its columns are independent, so it is neither EM for the
t distribution nor the same model.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as installed_version

import numpy as np

# kind of column: the distribution, and what it calls the parameters
DISTRIBUTIONS = {
    "poisson": ("Poisson", {"rates": "lambdas"}),
    "bernoulli": ("Bernoulli", {"probabilities": "probs"}),
    "categorical": ("Categorical", {"probabilities": "probs"}),
    "exponential": ("Exponential", {"rates": "scales"}),  # which are 1 / rates
    "gamma": ("Gamma", {"shapes": "shapes", "rates": "rates"}),
    "gaussian": ("Normal", {"means": "means", "covariances": "covs"}),
}

PACKAGE = "pomegranate.gmm"
COVARIANCES = ()  # takes no part in the problems of GaussianMixture
INSTALL = "pip install '.[rivals]'"


def available() -> bool:
    return importlib.util.find_spec("pomegranate") is not None


def version() -> str:
    return installed_version("pomegranate")


def prepared(problem, X):
    """The rows as a tensor; categories as integers, since they are used as indices."""
    import torch

    return torch.from_numpy(X.astype(np.int64) if "categorical" in problem.kinds else X)


def fit_columns(problem, X, start, iterations, n_threads):
    """EM from the given start."""
    import torch
    from pomegranate import distributions
    from pomegranate.gmm import GeneralMixtureModel

    torch.set_num_threads(n_threads)
    (kind,) = problem.kinds
    name, spelled = DISTRIBUTIONS[kind]
    settings = {"check_data": False} | ({"covariance_type": "diag"} if kind == "gaussian" else {})
    given = {theirs: scale_or_rate(kind, start[f"{kind}_{ours}"]) for ours, theirs in spelled.items()}
    model = GeneralMixtureModel(
        [
            getattr(distributions, name)(**{theirs: a[k].astype(np.float32) for theirs, a in given.items()}, **settings)
            for k in range(problem.K)
        ],
        priors=start["weights"].astype(np.float32),
        max_iter=iterations,
        tol=-np.inf,  # no improvement is less: it never stops early
        check_data=False,
    )
    model.fit(X)
    found = {"weights": model.priors.numpy()}
    for ours, theirs in spelled.items():
        fitted = np.array([getattr(d, theirs).numpy() for d in model.distributions])
        found[f"{kind}_{ours}"] = scale_or_rate(kind, fitted)
    return found


def scale_or_rate(kind, array):
    """One from the other where pomegranate has the other."""
    return 1 / array if kind == "exponential" else array
