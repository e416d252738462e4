"""Labels of rows that are read in blocks, or that a column of the rows holds: a side column, as weights are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.side_columns import SideBlocks, named_columns
from fastem.rows.sources.open_beside import open_beside
from fastem.rows.sources.open_rows import in_moderate_weights, open_to_fit
from fastem.starts.labels import LabelledBlocks, LabelledRows, certain_component, chances, priors_of_columns

SEED = 0  # of the rows that the start of labelled rows looks at


def open_labelled(estimator, X, labels, sample_weight):
    """Rows as blocks, and the unit of their weights; with their labels as side columns, where these are named or the
    rows are no array. Labels beside an array are taken up later, by number of row."""
    owner, K = type(estimator).__name__, estimator.n_components
    if named_columns(labels) is None or isinstance(X, np.ndarray):  # whose columns have no names
        blocks, unit = open_to_fit(X, sample_weight, owner)
        if blocks.whole() is not None:
            return blocks, unit
    n_densities = K + estimator._family().has_noise
    wide, width = open_beside(X, {"labels": labels}, sample_weight, owner)
    p = width["labels"]
    if p not in (1, n_densities):
        raise ValueError(
            f"labels has {p} columns. Give one of labels, or {n_densities} of priors, one for each component."
        )
    d = wide.n_features - p
    wide, unit = in_moderate_weights(wide)
    wide.check(lambda rows, place: require_labels(rows[:, d:], K, place))
    return SideBlocks(wide, d, partial(of_labelled_rows, n_values=d), roles=("labels",), in_starts=False), unit


def of_labelled_rows(model, n_values) -> LabelledRows | None:
    """A mixture as a model of wide rows; None for what looks at the values alone."""
    return LabelledRows(model, n_values) if isinstance(model, Mixture) else None


def require_labels(columns, n_components, place: Callable) -> None:
    """ValueError at the first row whose labels (m, 1) or priors (m, n_densities) are none. place(i) names row i."""
    if columns.shape[1] == 1:
        known = np.where(np.isnan(columns[:, 0]), -1, columns[:, 0])
        bad = ~((known >= -1) & (known < n_components) & (known == np.floor(known)))
        what = f"whole numbers from 0 to n_components - 1 = {n_components - 1}, or -1 or NaN where not known"
    else:
        bad = ~((np.isfinite(columns) & (columns >= 0)).all(axis=1) & columns.any(axis=1))
        what = "priors, which are finite and not negative, and positive for some component"
    if bad.any():
        row = int(bad.argmax())
        found = ", ".join(f"{value:g}" for value in columns[row])
        raise ValueError(f"labels must be {what}, but {place(row)} has {found}.")


def labelled_sample(blocks: SideBlocks, n_components, n_densities) -> LabelledBlocks:
    """Some of the rows with their labels, and the weights with which they stand for all: for the start. Rows of each
    component whose label is known, so that none is overlooked, and of all others."""
    d = blocks.n_features

    def known(X):
        priors, group = priors_of_columns(X[:, d:], n_densities)
        return certain_component(priors, n_components)[group] + 1

    wide = blocks.blocks
    numbers = sum(wide.each(lambda X, weight, start: np.bincount(known(X), minlength=n_components + 1)))
    chance = chances(numbers)

    def of_block(X, weight, start):
        own = chance[known(X)]
        weight = np.ones(len(X)) if weight is None else weight
        taken = (np.random.default_rng([SEED, start]).random(len(X)) < own) & (weight > 0)
        return X[taken], weight[taken] / own[taken]

    rows, weights = (np.concatenate(arrays) for arrays in zip(*wide.each(of_block)))
    priors, group = priors_of_columns(rows[:, d:], n_densities)
    return LabelledBlocks(ArrayBlocks(np.ascontiguousarray(blocks.seen(rows)), weights), priors, group)
