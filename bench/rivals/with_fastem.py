"""fastem's GaussianMixture, as installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

import numpy as np

from bench.columns import of_kind
from bench.rivals.estimator import fit_exactly, parameters_after

PACKAGE = "fastem"
FACTORS, PPCA = "fastem", "PPCA"  # the module of factor models, and its name of probabilistic PCA
COVARIANCES = ("full", "tied", "diag", "spherical")
INSTALL = "pip install ."


def available() -> bool:
    # Not find_spec: that would be content with the checkout's folder, compiled or not.
    try:
        version()
    except PackageNotFoundError:
        return False
    return True


def version() -> str:
    return installed_version("fastem")


def fit(problem, X, start, iterations, n_threads):
    """EM from the given start."""
    import fastem

    # an iteration is a pass: a proposal that is dropped would be another one
    model = fastem.GaussianMixture(**problem.settings(start, iterations), accelerate=None, n_threads=n_threads)
    return parameters_after(iterations, model, X)


def prepared(problem, X):
    """The rows as they are."""
    return X


def fit_columns(problem, X, start, iterations, n_threads):
    """EM from the given start: the fitted attributes, from which warm_start goes on."""
    import fastem

    settings = {"max_iter": iterations, "tol": 0, "accelerate": None, "n_threads": n_threads, "warm_start": True}
    if len(problem.kinds) > 1:
        columns = {kind: list(range(own.start, own.stop)) for kind, own in problem.slices().items()}
        model, prefix = fastem.MixedMixture(problem.K, kinds=columns, **settings), "{}_"
    elif "gaussian" in problem.kinds:
        model, prefix = fastem.GaussianMixture(problem.K, covariance_type="diag", reg_covar=0, **settings), ""
    else:
        (kind,) = problem.kinds
        model, prefix = getattr(fastem, f"{kind.capitalize()}Mixture")(problem.K, **settings), ""
    names = {"weights": "weights_"}
    for kind in problem.kinds:
        names |= {f"{kind}_{name}": f"{prefix.format(kind)}{name}_" for name in of_kind(kind, start)}
    for name, attribute in names.items():
        setattr(model, attribute, start[name])
    if "gaussian" in problem.kinds:
        roots = 1 / np.sqrt(start["gaussian_covariances"])
        setattr(model, f"{prefix.format('gaussian')}precisions_cholesky_", roots)
    model.n_features_in_ = X.shape[1]
    fit_exactly(iterations, model, X)
    return {name: getattr(model, attribute) for name, attribute in names.items()}


def fit_errors(X, errors, start, iterations, n_threads) -> float:
    """The log-likelihood after so many iterations from a start: weights, means, covariances."""
    import fastem

    weights, means, covariances = start
    model = fastem.GaussianMixture(
        len(weights),
        weights_init=weights,
        means_init=means,
        precisions_init=np.linalg.inv(covariances),
        reg_covar=0,
        max_iter=iterations,
        tol=0,
        accelerate=None,
        n_threads=n_threads,
    )
    fit_exactly(iterations, model, X, errors=errors)
    return model.log_likelihood_


def fit_covariates(X, C, K, iterations, n_threads):
    """Binary latent classes whose weights depend on C (n, p), or do not: None."""
    import fastem

    start = np.random.default_rng(0).dirichlet(np.ones(K), len(X))
    model = fastem.BernoulliMixture(
        K, init_params=start, max_iter=iterations, tol=0, accelerate=None, coarse=False, n_threads=n_threads
    )
    return model.fit(X) if C is None else model.fit(X, covariates=C)
