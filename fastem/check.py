"""``fastem check``: how many digits of certified answers this installation reproduces, as LAPACK's test programs do."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastem.datasets import CertifiedProblem
from fastem.starts.text_table import text_table

MOST = 15.0  # digits: as many as NIST certifies, and a double can surely tell
LEAST = {"low": (13.0, 11.0), "average": (13.0, 10.0), "high": (12.0, 9.0)}
"""Digits of the log-likelihood and of the worst parameter that fastem states, by level of difficulty."""
MOST_ITERATIONS = 20_000
PATIENCE = 30  # steps
SHARED = {"tied", "EEE"}  # structures with one covariance for all components


class Agreement(NamedTuple):
    """How many digits an answer has in common with the certified one."""

    problem: CertifiedProblem
    log_likelihood: float
    parameters: float
    n_iter: int

    @property
    def enough(self) -> bool:
        """Whether these are as many as fastem states for problems of this level."""
        least = LEAST[self.problem.level]
        return self.log_likelihood >= least[0] and self.parameters >= least[1]


def agreements(problems: Iterable[CertifiedProblem]) -> Iterator[Agreement]:
    """Fits each problem from its start, as tightly as doubles allow, and compares."""
    for problem in problems:
        model = fitted(problem)
        yield Agreement(
            problem,
            digits(model.log_likelihood_, problem.log_likelihood),
            parameter_digits(estimates(model), problem),
            model.n_iter_,
        )


class StandingStill:
    """A stopping rule for the last digits: of `PATIENCE` steps none was the shortest so far, so that rounding is left.

    A step is as long as its largest change of a parameter, relative to that parameter: relative to all of them, means
    far from the origin would hide how the variances still move.
    """

    def __init__(self) -> None:
        self.before, self.shortest, self.since = None, np.inf, 0

    def __call__(self, result: Any) -> bool:
        before, self.before = self.before, result.model.parameters()
        if before is None:
            return False
        size = np.maximum(abs(self.before), np.finfo(float).tiny)
        length = np.max(abs(self.before - before) / size)
        self.since = 0 if length < self.shortest else self.since + 1
        self.shortest = min(length, self.shortest)
        return length == 0 or self.since == PATIENCE


def report(found: list[Agreement]) -> str:
    """A line for each problem, and what came of all."""
    head = ("problem", "family", "level", "digits: log-likelihood", "parameters", "iterations", "")
    lines = [
        (
            one.problem.name,
            one.problem.family,
            one.problem.level,
            f"{one.log_likelihood:.1f}",
            f"{one.parameters:.1f}",
            str(one.n_iter),
            "" if one.enough else "TOO FEW",
        )
        for one in found
    ]
    short = sum(not one.enough for one in found)
    stated = "; ".join(f"{level} {value:g} and {worst:g}" for level, (value, worst) in LEAST.items())
    return "\n".join(
        [
            *(line.rstrip() for line in text_table([head, *lines], "<<<>>><")),
            "",
            f"digits: -log10 of the relative error (of the worst parameter), at most {MOST:g}. Stated: {stated}.",
            f"{short} of {len(found)} problems have fewer." if short else f"All {len(found)} problems have as many.",
        ]
    )


def fitted(problem: CertifiedProblem, **settings: Any) -> Any:
    """fastem's estimator, fitted from the problem's start until it stands still; other settings as given."""
    import fastem

    family = getattr(fastem, problem.family)
    settings = problem.settings | {"stop": StandingStill(), "max_iter": MOST_ITERATIONS} | settings
    if problem.family == "GaussianMixture":
        settings = {"reg_covar": 0.0} | settings  # the likelihood itself, without a floor
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a component is narrow, say: the digits tell
        if problem.family == "FactorAnalysis":
            model = family(noise_variance_init=problem.start["noise_variances"][0], **settings)
        else:
            start = dict(problem.start)
            if "components" in start:
                del start["covariances"]  # they follow from the factors
            model = family.from_parameters(**start, warm_start=True, **settings)
        return model.fit(problem.data, **problem.sides)


def estimates(model: Any) -> dict[str, np.ndarray]:
    """The arrays of a fitted model by the names of certified ones, components in their order."""
    if not hasattr(model, "weights_"):  # factor analysis: one component
        return {
            "weights": np.ones(1),
            "means": model.mean_[None],
            "covariances": model.get_covariance()[None],
            "noise_variances": model.noise_variance_[None],
        }
    names = (
        "weights",
        "means",
        "covariances",
        "degrees_of_freedom",
        "noise_variances",
        "rates",
        "shapes",
        "probabilities",
        "gate_coefficients",
    )
    arrays = {name: getattr(model, f"{name}_") for name in names if hasattr(model, f"{name}_")}
    shared = {"covariances"} if getattr(model, "covariance_type", None) in SHARED else set()
    order = component_order(arrays)
    ordered = {name: array if name in shared else array[order] for name, array in arrays.items()}
    if "gate_coefficients" in ordered:
        ordered["gate_coefficients"] = ordered["gate_coefficients"] - ordered["gate_coefficients"][-1]
    return ordered


def component_order(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(K,) the order of components by their first mean, rate or probability."""
    values = next(arrays[name] for name in ("means", "rates", "probabilities") if name in arrays)
    return np.lexsort(values.reshape(len(values), -1).T[::-1])


def parameter_digits(arrays: dict[str, np.ndarray], problem: CertifiedProblem) -> float:
    """The least number of digits of any parameter that is certified and was estimated."""
    common = problem.parameters.keys() & arrays.keys()
    return min(digits(arrays[name], problem.parameters[name]) for name in common)


def digits(estimated: np.ndarray | float, certified: np.ndarray | float) -> float:
    """NIST's log relative error, ``-log10 |q - c| / |c|``, of the worst number (absolute where c is 0); 0 to `MOST`."""
    estimated, certified = np.broadcast_arrays(np.asarray(estimated, float), np.asarray(certified, float))
    size = np.where(certified == 0, 1.0, abs(certified))
    worst = np.max(abs(estimated - certified) / size, initial=0.0)
    if not np.isfinite(worst):
        return 0.0
    return float(np.clip(-np.log10(max(worst, 1e-300)), 0.0, MOST))
