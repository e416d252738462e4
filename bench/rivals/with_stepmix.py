"""StepMix: latent class analysis on numpy, whose threads are those of BLAS. It computes in float64.

It is given its best: categories one-hot encoded beforehand. From integer codes, its default, it encodes them anew in
each E-step and each M-step.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version as installed_version

import numpy as np

from bench.columns import LEVELS, of_kind

PACKAGE = "stepmix"
COVARIANCES = ()  # takes no part in the problems of GaussianMixture
INSTALL = "pip install '.[rivals]'"


def available() -> bool:
    return importlib.util.find_spec("stepmix") is not None


def version() -> str:
    return installed_version("stepmix")


def prepared(problem, X):
    """The rows as StepMix wants them."""
    return np.hstack(
        [one_hot(X[:, own]) if kind == "categorical" else X[:, own] for kind, own in problem.slices().items()]
    )


def one_hot(codes):
    """(n, d LEVELS) indicators."""
    return (codes[:, :, None] == np.arange(LEVELS)).reshape(len(codes), -1).astype(np.float64)


def descriptor(kind, d):
    """How StepMix calls columns of a kind."""
    return {
        "bernoulli": {"model": "binary", "n_columns": d},
        "gaussian": {"model": "gaussian_diag", "n_columns": d, "reg_covar": 0.0},
        "categorical": {
            "model": "categorical",
            "n_columns": d * LEVELS,
            "integer_codes": False,
            "max_n_outcomes": LEVELS,
            "total_outcomes": d * LEVELS,
        },
    }[kind]


def fit_columns(problem, X, start, iterations, n_threads):
    """EM from the given start, which StepMix has no parameter for: it comes in where it would draw one."""
    from stepmix import StepMix
    from threadpoolctl import threadpool_limits

    measurement = {}
    for kind, d in problem.kinds.items():
        own = of_kind(kind, start)
        if kind != "gaussian":
            own = {"pis": own["probabilities"].reshape(problem.K, -1)}
        if kind == "categorical":
            own |= {"max_n_outcomes": LEVELS, "total_outcomes": d * LEVELS}
        measurement[kind] = own
    given = {"weights": start["weights"], "measurement": measurement, "measurement_in": X.shape[1]}

    class FromStart(StepMix):
        def _initialize_parameters(self, X, random_state):
            self.set_parameters(given)

    model = FromStart(
        problem.K,
        measurement={kind: descriptor(kind, d) for kind, d in problem.kinds.items()},
        max_iter=iterations,
        abs_tol=0.0,
        rel_tol=0.0,
        progress_bar=0,
    )
    with threadpool_limits(n_threads):
        model.fit(X)
    if model.n_iter_ != iterations:
        raise RuntimeError(f"StepMix ran {model.n_iter_} iterations where {iterations} were asked for")
    fitted = model.get_parameters()
    found = {"weights": fitted["weights"]}
    for kind, own in fitted["measurement"].items():
        if kind == "gaussian":
            found |= {f"gaussian_{name}": own[name] for name in ("means", "covariances")}
        else:
            found[f"{kind}_probabilities"] = own["pis"].reshape(start[f"{kind}_probabilities"].shape)
    return found


def fit_covariates(X, C, K, iterations, n_threads):
    """Binary latent classes whose weights depend on C (n, p), or do not: None."""
    from stepmix import StepMix
    from threadpoolctl import threadpool_limits

    more = {"max_iter": iterations, "abs_tol": 0, "rel_tol": 0, "random_state": 0, "progress_bar": 0}
    if C is not None:
        more |= {
            "structural": "covariate",
            "n_steps": 1,
            "structural_params": {"method": "newton-raphson", "max_iter": 1},
        }
    with threadpool_limits(n_threads):
        return StepMix(K, measurement="binary", **more).fit(X, C)
