"""A fit described in a few lines of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastem.models import criteria
from fastem.starts.text_table import text_table

__all__ = ["summary"]

WIDTH = 100  # a table wider than this is split into one block per component
MOST_NAMES = 6  # columns named in the head
MOST_BLOCKS = 12  # components shown in blocks, and
MOST_LINES = 24  # lines of each, before the rest is elided
MOST_ROWS = 100  # components in a table
NAME_WIDTH = 24


def summary(estimator: Any, n_rows: int, columns: Sequence[str], weight: float | None = None) -> str:
    """Describe a fitted Gaussian mixture in words and a table.

    Parameters
    ----------
    estimator : GaussianMixture
        Fitted.
    n_rows : int
        Number of rows of the data that it was fitted to.
    columns : sequence of str
        The names of the columns.
    weight : float, optional
        The sum of the rows' weights, if they have any; values per row are then per unit of weight.

    Returns
    -------
    str
        Several lines, without a newline at the end. Standard deviations are the roots of the covariances' diagonals;
        the information criteria are those of the fit, in scikit-learn's convention: smaller is better.

    Examples
    --------
    >>> import fastem
    >>> from fastem.datasets import load_faithful
    >>> from fastem.summary import summary
    >>> faithful = load_faithful()
    >>> X = faithful.data
    >>> model = fastem.GaussianMixture(2, random_state=0).fit(X)
    >>> print(summary(model, len(X), faithful.columns).splitlines()[0])
    Gaussian mixture, 2 components, full covariance
    """
    n_components, d = len(estimator.weights_), len(columns)
    variances = estimator.model_.emission.covariance.variances(n_components, d)
    columns = [_shortened(name) for name in columns]
    head = _head(estimator, n_rows, columns, weight)
    components = _components(
        columns,
        np.asarray(estimator.weights_),
        np.asarray(estimator.means_),
        np.sqrt(variances),
        list(estimator.component_status_),
    )
    return "\n".join([*head, "", *components])


def _head(estimator: Any, n_rows: int, columns: list[str], weight: float | None) -> list[str]:
    total, p = estimator.log_likelihood_, estimator.n_parameters_
    n = n_rows if weight is None else weight
    n_components = len(estimator.weights_)
    outcome = "converged" if estimator.converged_ else "NOT converged"
    facts = {
        "rows": f"{n_rows}" if weight is None else f"{n_rows}, of total weight {weight:.10g}",
        "columns": f"{len(columns)} ({_listed(columns)})",
        "iterations": f"{estimator.n_iter_}, {outcome}: {estimator.stop_reason_}",
        "log-likelihood": f"{total:.10g} ({total / n:.6g} per row)",
        **_remaining(estimator),
        **({"noise": f"weight {estimator.noise_weight_:.4g}"} if hasattr(estimator, "noise_weight_") else {}),
        **_of_posterior(estimator, n),
        "parameters": f"{p} free",
        "BIC": f"{criteria.bic(total, p, n):.10g} (smaller is better)",
        "AIC": f"{criteria.aic(total, p):.10g} (smaller is better)",
    }
    s = "s" * (n_components != 1)
    kind = "Bayesian Gaussian mixture" if _is_posterior(estimator) else "Gaussian mixture"
    title = f"{kind}, {n_components} component{s}, {estimator.covariance_type} covariance"
    return [title, "", *(f"{name:<16}{fact}" for name, fact in facts.items())]


def _remaining(estimator: Any) -> dict[str, str]:
    """What is left to gain, of a fit that knows it; a saved model does not."""
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


def _components(
    columns: list[str], weights: np.ndarray, means: np.ndarray, deviations: np.ndarray, status: list[str]
) -> list[str]:
    """A table with a line per component; where that is too wide, a block per component."""
    mean_digits = [_digits(means[:, j], deviations[:, j]) for j in range(len(columns))]
    if len(columns) <= WIDTH // 10:  # more columns never fit
        index = ["component", *map(str, range(len(weights)))]
        mean_columns = [[name, *_aligned(means[:, j], mean_digits[j])] for j, name in enumerate(columns)]
        deviation_columns = [[name, *_aligned(deviations[:, j], 4)] for j, name in enumerate(columns)]
        groups = [
            _titled("", [index, ["weight", *_aligned(weights, 4)]]),
            _titled("mean", mean_columns),
            _titled("standard deviation", deviation_columns),
        ]
        lines = text_table(zip(*groups), ">>>")
        if len(lines[0]) <= WIDTH:
            lines = [f"{line}  {word}".rstrip() for line, word in zip(lines, ["", "status", *status])]
            return _elided(lines, MOST_ROWS + 2, "components")
    lines = []
    heaviest = np.argsort(-weights, kind="stable")
    for k in sorted(heaviest[:MOST_BLOCKS]):
        cells = zip(columns, _aligned(means[k], mean_digits), _aligned(deviations[k], 4))
        head = ("  column", "mean", "standard deviation")
        block = text_table([head, *((f"  {name}", *values) for name, *values in cells)], "<>>")
        lines += [f"component {k}: weight {weights[k]:.4g}, status {status[k]}"]
        lines += [*_elided(block, MOST_LINES, "columns"), ""]
    if len(weights) > MOST_BLOCKS:
        rest = heaviest[MOST_BLOCKS:]
        lines += [f"... and {len(rest)} lighter components, together of weight {weights[rest].sum():.4g}", ""]
        lines += [f"component {k}: status {status[k]}" for k in sorted(rest) if status[k] != "ok"]
    return lines[:-1] if not lines[-1] else lines


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
