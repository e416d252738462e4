"""What a mixture of regressions takes: predictors, targets, and the covariates of its weights, or why it does not."""

from __future__ import annotations

import numpy as np

from fastem.estimators.covariates import require_finite_covariates
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.side_columns import at_the_end, named_columns, require_length
from fastem.rows.sources.open_beside import as_side
from fastem.rows.validation import as_matrix, column_names


def require_gate_width(model, covariates):
    """ValueError where there are not as many covariates as in the fit."""
    p, fitted = covariates.shape[1], len(model.shares.centre)
    if p != fitted:
        raise ValueError(f"covariates has {p} columns, but the fit had {fitted}.")


def require_targets(y, family):
    """ValueError where a target is none of the family's."""
    wrong = {
        "gaussian": lambda: np.zeros(y.shape, bool),
        "poisson": lambda: (y < 0) | (y != np.floor(y)),
        "binomial": lambda: (y != 0) & (y != 1),
    }[family]()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        what = "counts: whole numbers >= 0" if family == "poisson" else "0 or 1"
        raise ValueError(f"With family={family!r} y must hold {what}, but that of row {row} is {y[row, column]:g}.")


def split_columns(X, covariates, owner):
    """The predictors (n, d) in float64, their names and the covariates as blocks, which are columns of X where they are
    named; None: there are none."""
    rows, names, named = as_matrix(X, owner).astype(np.float64), column_names(X), named_columns(covariates)
    if named is None:
        return rows, names, None if covariates is None else checked_covariates(covariates, len(rows))
    wide = at_the_end(ArrayBlocks(rows, names=names), {"covariates": named})
    d = wide.n_features - len(named)
    values, side = (np.ascontiguousarray(part) for part in np.split(wide.X, [d], axis=1))
    return values, wide.names[:d], finite_covariates(side, wide.names[d:])


def checked_covariates(covariates, n) -> ArrayBlocks:
    """(n, p) finite float64; ValueError where they are something else. n None: any number of rows."""
    if named_columns(covariates) is not None:
        raise ValueError("class_probabilities expects an array of covariates, not names of columns.")
    side = as_side(covariates, "covariates").astype(np.float64)
    if n is not None:
        require_length(side, n, "covariates")
    return finite_covariates(side, column_names(covariates))


def finite_covariates(side, names) -> ArrayBlocks:
    """The blocks of these columns; ValueError at the first that is missing or infinite."""
    blocks = ArrayBlocks(side, names=names)
    require_finite_covariates(blocks, 0)
    return blocks


def of_largest(weight):
    """Weights in units of the largest, with whose products numbers do not leave their range; None: of all 1."""
    return None if weight is None else weight / weight.max()
