"""A fit described in a few lines of text: what `summary` of every mixture says."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastem.models import criteria
from fastem.rows.sources.columns import numbered_names
from fastem.starts.text_table import preformatted, text_table

__all__ = ["summary"]

WIDTH = 100  # a table wider than this is split into one block per component
MOST_NAMES = 6  # columns named in the head
MOST_BLOCKS = 12  # components shown in blocks, and
MOST_LINES = 24  # lines of each, before the rest is elided
MOST_ROWS = 100  # components in a table
NAME_WIDTH = 24
FACTS = ("n_samples_", "total_weight_", "n_iter_", "converged_", "stop_reason_", "log_likelihood_")
NAMES_IN_WORDS = {
    "BayesianGaussian mixture": "Bayesian Gaussian mixture",
    "StudentT mixture": "Student-t mixture",
    "VonMisesFisher mixture": "von Mises-Fisher mixture",
}


def summary(self) -> str:
    """The fit in words and a table: how it went, the criteria, and the parameters and size of each component.

    Returns
    -------
    str
        Lines without a newline at the end. The information criteria are those of the fit, smaller is better; "rows" are
        the rows, or their weight, that belong to each component, each with its posterior probability. Of Gaussian and
        Student-t components: standard deviations are the roots of the diagonals of `covariances_`.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> model = fastem.GaussianMixture(2, random_state=0).fit(load_faithful().data)
    >>> print(model.summary().splitlines()[0])
    Gaussian mixture, 2 components, full covariance
    """
    mixture = self.model_
    columns = names_of_columns(self, mixture.emission.shape[1])
    head = title_and_facts(_title(self), facts_of_fit(self, columns))
    return "\n".join([*head, "", *_components(self, mixture.emission, columns)])


def names_of_columns(estimator: Any, d: int) -> list[str]:
    """The names of the d columns of a fit, each of limited width."""
    return [_shortened(str(name)) for name in getattr(estimator, "feature_names_in_", numbered_names(d))]


def as_dict(estimator: Any) -> dict[str, Any]:
    """A fitted model in numbers, texts and lists: what its summary says, and its parameters."""
    n, total, p = getattr(estimator, "total_weight_", math.nan), estimator.log_likelihood_, estimator.n_parameters_
    columns = getattr(estimator, "feature_names_in_", numbered_names(estimator.n_features_in_))
    found = {"model": type(estimator).__name__, "columns": [str(name) for name in columns]}
    if not math.isnan(n):
        found |= {name.rstrip("_"): getattr(estimator, name) for name in FACTS}
        found |= {"bic": criteria.bic(total, p, n), "aic": criteria.aic(total, p)}
    statuses = {name: getattr(estimator, name, None) for name in ("component_status_", "feature_status_")}
    found |= {"n_parameters": p} | {name.rstrip("_"): list(kept) for name, kept in statuses.items() if kept is not None}
    names = ("weights_", *estimator._parameter_arrays, "noise_weight_")
    arrays = {name: getattr(estimator, name, None) for name in names}
    return found | {name.rstrip("_"): np.asarray(array).tolist() for name, array in arrays.items() if array is not None}


def as_html(self) -> str:
    """The summary of a fit, or the parameters of what is not fitted, for notebooks."""
    return preformatted(self.summary() if self.__sklearn_is_fitted__() else repr(self))


def title_and_facts(title: str, facts: dict[str, str]) -> list[str]:
    """The lines above the table."""
    return [title, "", *(f"{name:<16}{fact}" for name, fact in facts.items())]


def _title(estimator: Any) -> str:
    s = "s" * (len(estimator.weights_) != 1)
    title = f"{_kind(type(estimator).__name__)}, {len(estimator.weights_)} component{s}"
    return f"{title}, {estimator.covariance_type} covariance" if hasattr(estimator, "covariance_type") else title


def _kind(name: str) -> str:
    """The name of a class in words: "Poisson mixture"."""
    name = re.sub(r"(?<=.)(Mixture|Of|Factor|Analyzers)", lambda word: f" {word[0].lower()}", name)
    return NAMES_IN_WORDS.get(name, name)


def facts_of_fit(estimator: Any, columns: list[str]) -> dict[str, str]:
    """What is known of the whole fit; a model of given parameters has no rows."""
    p, n = estimator.n_parameters_, getattr(estimator, "total_weight_", math.nan)
    of_columns = {"columns": f"{len(columns)} ({_listed(columns)})"}
    if math.isnan(n) or math.isnan(estimator.log_likelihood_):
        return {**of_columns, "parameters": f"{p} free", "fitted": f"no: {estimator.stop_reason_}"}
    total, rows = estimator.log_likelihood_, estimator.n_samples_
    outcome = "converged" if estimator.converged_ else "NOT converged"
    return {
        "rows": f"{rows}" if n == rows else f"{rows}, of total weight {n:.10g}",
        **of_columns,
        "iterations": f"{estimator.n_iter_}, {outcome}: {estimator.stop_reason_}",
        "log-likelihood": f"{total:.10g} ({total / n:.6g} per row)",
        **_remaining(estimator),
        **({"noise": f"weight {estimator.noise_weight_:.4g}"} if hasattr(estimator, "noise_weight_") else {}),
        **_of_posterior(estimator, n),
        "parameters": f"{p} free",
        "BIC": f"{criteria.bic(total, p, n):.10g} (smaller is better)",
        "AIC": f"{criteria.aic(total, p):.10g} (smaller is better)",
    }


def _remaining(estimator: Any) -> dict[str, str]:
    """What is left to gain, of a fit that knows it; a model from a file of version 0.1 does not."""
    total = getattr(estimator, "remaining_gain_", math.nan)
    if math.isnan(total):
        return {}
    unknown = "more, since the point is no maximum" if estimator.remaining_gain_method_ == "newton" else "not known"
    amount = f"about {total:.2g}" if math.isfinite(total) else unknown
    return {"left to gain": f"{amount} ({estimator.remaining_gain_method_})"}


def _is_posterior(estimator: Any) -> bool:
    return hasattr(estimator, "n_components_")


def _of_posterior(estimator: Any, n: float) -> dict[str, str]:
    """What a mixture has whose parameters have a posterior."""
    if not _is_posterior(estimator):
        return {}
    return {
        "ELBO": f"{estimator.lower_bound_ * n:.10g} (larger is better)",
        "with rows": f"{estimator.n_components_} of {len(estimator.weights_)} components",
    }


def _components(estimator: Any, emission: Any, columns: list[str]) -> list[str]:
    """A table with a line per component; where that is too wide, a block per component."""
    weights, status = np.asarray(estimator.weights_), list(estimator.component_status_)
    names, groups = _groups(emission, columns, len(weights))
    if len(names) <= WIDTH // 10:  # more columns never fit
        sizes = _sizes(estimator, weights)
        index = [["component", *map(str, range(len(weights)))], ["weight", *_aligned(weights, 4)]]
        tables = [_titled("", [*index, *([["rows", *sizes]] if sizes else [])])]
        for title, values, digits in groups:
            shown = [[name, *_aligned(values[:, j], digits[j])] for j, name in enumerate(names)]
            tables.append(_titled(title, shown))
        lines = text_table(zip(*tables), ">" * len(tables))
        if len(lines[0]) <= WIDTH:
            lines = [f"{line}  {word}".rstrip() for line, word in zip(lines, ["", "status", *status])]
            return _elided(lines, MOST_ROWS + 2, "components")
    lines = []
    heaviest = np.argsort(-weights, kind="stable")
    for k in sorted(heaviest[:MOST_BLOCKS]):
        cells = zip(names, *(_aligned(values[k], digits) for _, values, digits in groups))
        head = ("  column", *(title for title, _, _ in groups))
        block = text_table([head, *((f"  {name}", *values) for name, *values in cells)], "<" + ">" * len(groups))
        lines += [f"component {k}: weight {weights[k]:.4g}, status {status[k]}"]
        lines += [*_elided(block, MOST_LINES, "columns"), ""]
    if len(weights) > MOST_BLOCKS:
        rest = heaviest[MOST_BLOCKS:]
        lines += [f"... and {len(rest)} lighter components, together of weight {weights[rest].sum():.4g}", ""]
        lines += [f"component {k}: status {status[k]}" for k in sorted(rest) if status[k] != "ok"]
    return lines[:-1] if not lines[-1] else lines


def _groups(emission: Any, columns: list[str], K: int) -> tuple[list[str], list[tuple]]:
    """The names of what is shown of a component, and (title, values (K, m), digits (m,)) of each kind of it."""
    d = len(columns)
    if hasattr(emission, "covariance") and hasattr(emission, "means"):
        means, deviations = np.asarray(emission.means), np.sqrt(emission.covariance.variances(K, d))
        digits = [_digits(means[:, j], deviations[:, j]) for j in range(d)]
        return columns, [("mean", means, digits), ("standard deviation", deviations, [4] * d)]
    table = emission.column_parameters()
    if table is None:
        return [], []
    names = [columns[j] if code is None else f"{columns[j]}={code}" for j, code in zip(table.columns, table.codes)]
    return names, [(table.name.replace("_", " "), np.asarray(table.values), [5] * len(names))]


def _sizes(estimator: Any, weights: np.ndarray) -> list[str]:
    """The rows of each component, each with its posterior probability, where the fit knows its rows."""
    n = getattr(estimator, "total_weight_", math.nan)
    return [] if math.isnan(n) else [f"{size:.1f}" for size in weights * n]


def _digits(means: np.ndarray, deviations: np.ndarray) -> int:
    """Significant digits that show the means to a hundredth of the smallest deviation or better."""
    largest, smallest = np.abs(means).max(), deviations.min()
    if not 0 < smallest < largest < math.inf:
        return 5
    return min(15, max(5, math.ceil(math.log10(largest / smallest)) + 3))


def _aligned(values: np.ndarray, digits: int | Sequence[int]) -> list[str]:
    """The values with so many significant digits; their decimal points stand below each other."""
    digits = np.broadcast_to(digits, len(values))
    texts = [f"{value:.{n}g}" for value, n in zip(values, digits)]
    if all(0 <= value <= 1 for value in values) and any("e" in text for text in texts):  # probabilities
        return [f"{value:.4f}" for value in values]
    if any("e" in text for text in texts):
        return [f"{value:.{n - 1}e}" for value, n in zip(values, digits)]
    fractions = [len(text.partition(".")[2]) + ("." in text) for text in texts]
    return [text + " " * (max(fractions) - fraction) for text, fraction in zip(texts, fractions)]


def _titled(title: str, columns: list[list[str]]) -> list[str]:
    """Columns side by side, each to the right, below a common title."""
    lines = text_table(zip(*columns), ">" * len(columns))
    return [title.center(len(lines[0])), *lines]


def _elided(lines: list[str], most: int, what: str) -> list[str]:
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"  ... and {len(lines) - most + 1} more {what}; a saved model holds all of them"]


def _shortened(name: str) -> str:
    """A name on one line of limited width; its end often tells more than its middle."""
    name = " ".join(str(name).split())
    return name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 11]}...{name[-8:]}"


def _listed(names: list[str]) -> str:
    more = f", ... {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
