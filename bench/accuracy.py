"""To how many digits libraries agree with certified answers, from the same starts: with default settings, and tightest.

Digits as in ``fastem check``: -log10 of the relative error, of the worst parameter, at most 15. A peer takes part in
the problems that it can express, and is named as not measured where it is not installed.
"""

from __future__ import annotations

import csv
import json
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from shutil import which
from statistics import median
from typing import NamedTuple

import numpy as np

from bench.contest import Session
from bench.report import Section, table

MOST_ITERATIONS = 5000  # of peers that cannot tell when they stand still
LEGEND = """\
Every library starts from the point that the problem gives (where it takes one; a factor analysis starts on its own).
Default: its own tolerance, number of iterations and regularisation. Tightest: no regularisation, and a tolerance of 0
or as small as it takes. Cells: digits of the log-likelihood / of the worst parameter, which are -log10 of the relative
error (at most 15); `–`: the library has no such model; an exception by its name. scikit-learn, mclust, pomegranate and
fastem report the log-likelihood themselves; for oneDAL and statsmodels it is that of their parameters, in doubles."""


class Peer(NamedTuple):
    """A library: its version, None where it is not installed, and how it fits.

    answer : of (problem, whether tightest): (log-likelihood, {name: array}); None where it has no such model
    """

    name: str
    version: Callable
    answer: Callable


def run(session: Session) -> Section:
    """Every certified problem, every library that is installed."""
    from fastem.datasets import load_certified

    problems = load_certified()[:: 8 if session.quick else 1]
    versions = {peer.name: peer.version() for peer in PEERS}
    present = [peer for peer in PEERS if versions[peer.name] is not None]
    rows = [row(problem, present) for problem in problems]
    columns = {"problem": ("name", "s"), "family": ("family", "s"), "level": ("level", "s")}
    for peer in present:
        for how in ("default", "tightest"):
            columns[f"{peer.name}, {how}"] = (f"{peer.name}, {how}", "s")
    parts = [
        table([summary(peer.name, versions[peer.name], rows) for peer in present], SUMMARY),
        table(rows, columns),
        LEGEND,
    ]
    missing = [peer.name for peer in PEERS if peer not in present]
    if missing:
        parts.append(f"Not measured, since not installed: {', '.join(missing)}.")
    return Section("Digits of certified answers", "\n\n".join(parts), rows)


SUMMARY = {
    "library": ("library", "s"),
    "problems": ("problems", "d"),
    "ℓ, default: least": ("least value, default", ".1f"),
    "median": ("median value, default", ".1f"),
    "parameters, default: least": ("least parameter, default", ".1f"),
    "median ": ("median parameter, default", ".1f"),
    "ℓ, tightest: least": ("least value, tightest", ".1f"),
    "median  ": ("median value, tightest", ".1f"),
    "parameters, tightest: least": ("least parameter, tightest", ".1f"),
    "median   ": ("median parameter, tightest", ".1f"),
    "failed": ("failed", "d"),
}


def summary(name: str, version: str, rows: list[dict]) -> dict:
    """A library over all problems that it fits."""
    line = {"library": f"{name} {version}", "failed": 0}
    for how in ("default", "tightest"):
        cells = [one["digits"].get(f"{name}, {how}") for one in rows]
        found = [cell for cell in cells if isinstance(cell, tuple)]
        line["problems"] = sum(cell is not None for cell in cells)
        line["failed"] += sum(isinstance(cell, str) for cell in cells)
        for what, values in zip(("value", "parameter"), zip(*found)):
            line[f"least {what}, {how}"], line[f"median {what}, {how}"] = min(values), median(values)
    return line


def row(problem, peers: list[Peer]) -> dict:
    """A problem: the digits of every library."""
    line = {
        "name": problem.name,
        "family": problem.family.removesuffix("Mixture"),
        "level": problem.level,
        "digits": {},
    }
    for peer in peers:
        for tight, how in ((False, "default"), (True, "tightest")):
            key = f"{peer.name}, {how}"
            found = line["digits"][key] = agreement(problem, peer, tight)
            line[key] = "–" if found is None else found if isinstance(found, str) else "{:.1f} / {:.1f}".format(*found)
    return line


def agreement(problem, peer: Peer, tight: bool) -> tuple[float, float] | str | None:
    """Digits of the log-likelihood and of the worst parameter; the name of an exception; None: no such model."""
    from fastem.check import component_order, digits, parameter_digits

    if problem.sides and peer.answer is not with_fastem:  # errors, bounds, covariates: the others would leave them out
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answer = peer.answer(problem, tight)
        except Exception as error:  # whatever a library raises is its answer
            return type(error).__name__
    if answer is None:
        return None
    value, arrays = answer
    order = component_order(arrays)
    arrays = {name: a[order] if len(a) == len(order) and not shared(problem, name) else a for name, a in arrays.items()}
    return digits(value, problem.log_likelihood), parameter_digits(arrays, problem)


def shared(problem, name: str) -> bool:
    """Whether all components have this array in common."""
    return name == "covariances" and problem.settings.get("covariance_type") == "tied"


def covariance_type(problem) -> str | None:
    return problem.settings.get("covariance_type") if problem.family == "GaussianMixture" else None


def has_gaps(problem) -> bool:
    return bool(np.isnan(problem.data).any())


def log_likelihood_at(problem, arrays: dict) -> float:
    """Of given parameters of a Gaussian mixture, in double precision."""
    import fastem

    model = fastem.GaussianMixture.from_parameters(
        arrays["weights"],
        arrays["means"],
        arrays["covariances"],
        covariance_type=problem.settings.get("covariance_type", "full"),
    )
    return float(model.score_samples(problem.data).sum())


def version_of(package: str) -> Callable:
    """A function that tells the version of an installed package, or None."""

    def version():
        try:
            return installed_version(package)
        except PackageNotFoundError:
            return None

    return version


# ---- fastem


def with_fastem(problem, tight):
    from fastem.check import estimates, fitted

    settings = {} if tight else defaults_of(problem)
    model = fitted(problem, **settings)
    return model.log_likelihood_, estimates(model)


def defaults_of(problem) -> dict:
    import fastem

    parameters = getattr(fastem, problem.family)().get_params()
    return {name: parameters[name] for name in ("tol", "stop", "max_iter", "reg_covar") if name in parameters}


# ---- scikit-learn


def with_scikit_learn(problem, tight):
    X, start = problem.data, problem.start
    if problem.family == "FactorAnalysis":
        from sklearn.decomposition import FactorAnalysis

        settings = {"tol": 0.0, "max_iter": MOST_ITERATIONS, "svd_method": "lapack"} if tight else {}
        model = FactorAnalysis(**problem.settings, **settings).fit(X)
        return model.score(X) * len(X), one_component(model.mean_, model.get_covariance(), model.noise_variance_)
    kind = covariance_type(problem)
    if kind not in ("full", "tied", "diag", "spherical") or has_gaps(problem):
        return None
    from sklearn.mixture import GaussianMixture

    dense = kind in ("full", "tied")
    model = GaussianMixture(
        problem.n_components,
        covariance_type=kind,
        weights_init=start["weights"],
        means_init=start["means"],
        precisions_init=np.linalg.inv(start["covariances"]) if dense else 1 / start["covariances"],
        **({"tol": 0.0, "reg_covar": 0.0, "max_iter": MOST_ITERATIONS} if tight else {}),
    ).fit(X)
    return model.score(X) * len(X), {
        "weights": model.weights_,
        "means": model.means_,
        "covariances": model.covariances_,
    }


def one_component(mean, covariance, noise) -> dict:
    """A factor analysis by the names of certified problems."""
    return {
        "weights": np.ones(1),
        "means": mean[None],
        "covariances": covariance[None],
        "noise_variances": noise[None],
    }


# ---- oneDAL


def with_onedal(problem, tight):
    kind = covariance_type(problem)
    if kind not in ("full", "diag") or has_gaps(problem):
        return None
    import daal4py

    start, full = problem.start, kind == "full"
    settings = {"maxIterations": MOST_ITERATIONS, "accuracyThreshold": 0.0, "regularizationFactor": 0.0}
    result = daal4py.em_gmm(
        nComponents=problem.n_components,
        covarianceStorage="full" if full else "diagonal",
        **(settings if tight else {}),
    ).compute(
        problem.data,
        start["weights"][None, :],
        start["means"],
        list(start["covariances"] if full else start["covariances"][:, None, :]),
    )
    arrays = {
        "weights": result.weights[0],
        "means": result.means,
        "covariances": np.stack(result.covariances) if full else np.concatenate(result.covariances),
    }
    return log_likelihood_at(problem, arrays), arrays


# ---- mclust, in R


MCLUST = """
suppressPackageStartupMessages(library(mclust))
words <- commandArgs(TRUE)
X <- as.matrix(read.csv(words[1], header = FALSE)); z <- as.matrix(read.csv(words[2], header = FALSE))
dimnames(X) <- NULL; dimnames(z) <- NULL
control <- if (words[4] == "tightest") emControl(eps = 0, tol = c(0, 0), itmax = c(5000, 5000)) else emControl()
fit <- me(X, modelName = words[3], z = z, control = control)
v <- fit$parameters$variance
sigma <- if (ncol(X) > 1) v$sigma else rep(v$sigmasq, length.out = ncol(z))
show <- function(x) paste0("[", paste(sprintf("%.17g", as.vector(x)), collapse = ","), "]")
cat(sprintf('{"log_likelihood": %.17g, "weights": %s, "means": %s, "sigma": %s}',
            fit$loglik, show(fit$parameters$pro), show(fit$parameters$mean), show(sigma)))
"""
LETTERS = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}


def mclust_version():
    if which("Rscript") is None:
        return None
    asked = subprocess.run(
        ["Rscript", "-e", 'cat(as.character(packageVersion("mclust")))'], check=False, capture_output=True, text=True
    )
    return asked.stdout.strip() or None if asked.returncode == 0 else None


def with_mclust(problem, tight):
    """From the responsibilities at the start: mclust begins with an M-step."""
    import fastem

    kind, d, K = covariance_type(problem), problem.data.shape[1], problem.n_components
    if kind is None or has_gaps(problem) or K == 1:
        return None
    start = [problem.start[name] for name in ("weights", "means", "covariances")]
    z = fastem.GaussianMixture.from_parameters(*start, covariance_type=kind).predict_proba(problem.data)
    letters = LETTERS.get(kind, kind)
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for name, array in (("rows", problem.data), ("memberships", z)):
            files.append(Path(folder, f"{name}.csv"))
            with files[-1].open("w", newline="") as file:
                csv.writer(file).writerows([[repr(float(x)) for x in line] for line in array])
        name = letters if d > 1 else letters[0]
        how = "tightest" if tight else "default"
        asked = subprocess.run(
            ["Rscript", "-e", MCLUST, *map(str, files), name, how], check=True, capture_output=True, text=True
        )
    found = json.loads(asked.stdout.replace("NA", "NaN"))
    sigma = np.reshape(found["sigma"], (K, d, d))
    covariances = {
        "tied": lambda: sigma[0],
        "diag": lambda: np.diagonal(sigma, axis1=1, axis2=2),
        "VEI": lambda: np.diagonal(sigma, axis1=1, axis2=2),
        "spherical": lambda: sigma[:, 0, 0],
    }.get(kind, lambda: sigma)()
    return found["log_likelihood"], {
        "weights": np.array(found["weights"]),
        "means": np.reshape(found["means"], (K, d)),
        "covariances": covariances,
    }


# ---- statsmodels


def with_statsmodels(problem, tight):
    """Factor analysis of the correlation matrix; multiplied back by the deviations of the columns."""
    if problem.family != "FactorAnalysis":
        return None
    from statsmodels.multivariate.factor import Factor

    X = problem.data
    found = Factor(X, n_factor=problem.settings["n_components"], method="ml").fit(
        **({"maxiter": MOST_ITERATIONS, "tol": 1e-15, "opt": {"gtol": 1e-14}} if tight else {})
    )
    scale = X.std(axis=0)
    correlation = found.loadings @ found.loadings.T + np.diag(found.uniqueness)
    arrays = one_component(X.mean(axis=0), correlation * np.outer(scale, scale), found.uniqueness * scale**2)
    return log_likelihood_at(problem, arrays), arrays


# ---- pomegranate


def with_pomegranate(problem, tight):
    """In float32, which is what its mixtures compute in."""
    kind = covariance_type(problem)
    spelled = POMEGRANATE.get(problem.family)
    if (spelled is None and kind not in ("full", "diag")) or has_gaps(problem):
        return None
    import torch
    from pomegranate import distributions
    from pomegranate.gmm import GeneralMixtureModel

    start = {name: array.astype(np.float32) for name, array in problem.start.items()}
    name, names = spelled or ("Normal", {"means": "means", "covariances": "covs"})
    kinds = {} if kind is None else {"covariance_type": kind}
    inverse = problem.family == "ExponentialMixture"  # it has scales
    components = [
        getattr(distributions, name)(
            **{theirs: 1 / start[ours][k] if inverse else start[ours][k] for ours, theirs in names.items()}, **kinds
        )
        for k in range(problem.n_components)
    ]
    settings = {"tol": 0.0, "max_iter": MOST_ITERATIONS} if tight else {}
    model = GeneralMixtureModel(components, priors=start["weights"], **settings)
    integers = problem.family == "CategoricalMixture"
    X = torch.from_numpy(problem.data.astype(np.int64 if integers else np.float32))
    model.fit(X)
    arrays = {
        ours: np.array([getattr(d, theirs).numpy() for d in model.distributions], float)
        for ours, theirs in names.items()
    }
    if inverse:
        arrays["rates"] = 1 / arrays["rates"]
    value = float(model.log_probability(X).double().sum())
    return value, arrays | {"weights": model.priors.numpy().astype(float)}


POMEGRANATE = {
    "PoissonMixture": ("Poisson", {"rates": "lambdas"}),
    "ExponentialMixture": ("Exponential", {"rates": "scales"}),
    "GammaMixture": ("Gamma", {"shapes": "shapes", "rates": "rates"}),
    "BernoulliMixture": ("Bernoulli", {"probabilities": "probs"}),
    "CategoricalMixture": ("Categorical", {"probabilities": "probs"}),
}
PEERS = [
    Peer("fastem", version_of("fastem"), with_fastem),
    Peer("scikit-learn", version_of("scikit-learn"), with_scikit_learn),
    Peer("oneDAL", version_of("daal"), with_onedal),
    Peer("mclust", mclust_version, with_mclust),
    Peer("pomegranate", version_of("pomegranate"), with_pomegranate),
    Peer("statsmodels", version_of("statsmodels"), with_statsmodels),
]
