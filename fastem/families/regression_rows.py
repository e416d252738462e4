"""What a mixture of regressions takes, or why it does not: predictors, targets, their numbers of trials or exposures,
and the covariates of its weights."""

from __future__ import annotations

import numpy as np

from fastem.estimators.covariates import require_finite_covariates, units
from fastem.kernels import arithmetic
from fastem.models.design import Basis
from fastem.models.gate import Gate
from fastem.models.regressions import Regressions
from fastem.models.weights import FREE
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.scale import has_square
from fastem.rows.side_columns import at_the_end, named_columns, require_length
from fastem.rows.sources.open_beside import as_side, require_same_order
from fastem.rows.typed_columns import require_numbers_named
from fastem.rows.validation import as_matrix, as_sample_weight, column_names, power_of_two

FAMILIES = {"trials": "binomial", "exposure": "poisson"}  # whose targets have sizes, by what these are called


def require_targets(y, family, trials=None):
    """ValueError where a target is none of the family's; trials: (n, m) of binomial ones, or None: one."""
    whole, most = y == np.floor(y), np.inf if family == "poisson" else 1 if trials is None else trials
    wrong = ~np.isfinite(y) if family == "gaussian" else (y < 0) | (y > most) | ~whole
    if not wrong.any():
        return
    row, column = np.argwhere(wrong)[0]
    value = f"{y[row, column]:g}"
    if family == "poisson":
        what = "counts: whole numbers >= 0"
    elif trials is None:
        what = "0 or 1; numbers of successes need trials=" if (whole & (y >= 0)).all() else "0 or 1"
    else:
        what, value = "numbers of successes, from 0 to trials", f"{value} of {trials[row, column]:g}"
    raise ValueError(f"With family={family!r} y must hold {what}, but that of row {row} is {value}.")


def given_sides(covariates, trials, exposure, sample_weight=None) -> dict:
    """{role: side columns} of those that are given, of weights only where they are a column of X, by its name."""
    sides = {"covariates": covariates, "trials": trials, "exposure": exposure}
    sides["sample_weight"] = sample_weight if isinstance(sample_weight, str) else None
    return {role: side for role, side in sides.items() if side is not None}


def taken_weight(sides, sample_weight, n):
    """(n,) the weights, or None; those of a column are taken out of the side columns of :func:`split_columns`."""
    if "sample_weight" in sides:
        sample_weight = sides.pop("sample_weight")[0][:, 0]
    return as_sample_weight(sample_weight, n)


def require_sizes(family, sides):
    """ValueError where numbers of trials or exposures are given to another family than theirs."""
    for role, own in FAMILIES.items():
        if role in sides and family != own:
            raise ValueError(f"{role} is only for family={own!r}, but this is family={family!r}.")


def sizes_of(sides, m, targets=None):
    """(n, m) numbers of trials, or the logarithms of exposures, of side columns as :func:`split_columns` gives them;
    None where there are none; ValueError where they are something else. targets: the names of the targets, or None."""
    role = next((role for role in FAMILIES if role in sides), None)
    if role is None:
        return None
    sizes, names = sides[role]
    if sizes.shape[1] not in (1, m):
        raise ValueError(f"{role} has {sizes.shape[1]} columns, but y has {m}. Give one column, or one for each of y.")
    require_same_order({"y": targets, role: names})
    with np.errstate(invalid="ignore"):
        right = np.isfinite(sizes) & (sizes > 0)
        right &= (sizes == np.floor(sizes)) if role == "trials" else True
    if not right.all():
        row, column = np.argwhere(~right)[0]
        what = "whole numbers >= 1" if role == "trials" else "positive numbers"
        raise ValueError(f"{role} must hold {what}, but that of row {row} is {sizes[row, column]:g}.")
    return np.tile(sizes if role == "trials" else arithmetic.log(sizes), (1, m // sizes.shape[1]))


def split_columns(X, sides, owner):
    """The predictors (n, d) in float64, their names, and {role: (array (n, p), its names)} of the side columns that are
    given, which are columns of X where they are named."""
    named = {role: own for role, given in sides.items() if (own := named_columns(given)) is not None}
    require_numbers_named(X, named)
    rows, names = as_matrix(X, owner).astype(np.float64, order="C"), column_names(X)
    arrays = {role: given for role, given in sides.items() if role not in named}
    found = {role: (checked_side(given, role, len(rows)), column_names(given)) for role, given in arrays.items()}
    if not named:
        return rows, names, found
    wide = at_the_end(ArrayBlocks(rows, names=names), named)
    first = d = wide.n_features - sum(map(len, named.values()))
    for role, own in named.items():
        found[role] = np.ascontiguousarray(wide.X[:, first : first + len(own)]), wide.names[first : first + len(own)]
        first += len(own)
    return np.ascontiguousarray(wide.X[:, :d]), wide.names[:d], found


def checked_side(given, role, n):
    """(n, p) float64; ValueError where it is something else. n None: any number of rows."""
    side = as_side(given, role).astype(np.float64, order="C")
    if n is not None:
        require_length(side, n, role)
    return side


def in_units(asked, rows, targets, sizes, covariates, weight):
    """The basis of these rows, a model without predictors, and the rows of the model.

    asked : (K, family, reg_covar)
    """
    K, family, reg_covar = asked
    counted = np.ones(len(rows)) if weight is None else of_largest(weight)
    basis = Basis.of(rows, weight)
    z, side, shares = basis.rows(rows), np.empty((len(rows), 0)), FREE
    if covariates is not None:
        side = covariates.X
        shares = Gate(None, None, *units(ArrayBlocks(side, weight, covariates.names), 0))
    m, gaussian = targets.shape[1], family == "gaussian"
    with np.errstate(over="ignore", invalid="ignore"):
        mean = counted @ targets / counted.sum()
    width = abs(targets - mean).max(axis=0)
    if not (has_square(width) | (width == 0)).all():
        raise ValueError(
            f"y varies by {width[~has_square(width)].max():.1e}, whose square float64 cannot hold. Give it in another "
            "unit."
        )
    spread = counted @ (targets - mean) ** 2 / counted.sum()
    spread = np.where((spread > 0) & ~is_constant(targets, weight), spread, 1.0)
    model = Regressions(
        weights=np.full(K, 1 / K),
        coefficients=np.zeros((K, 1 + basis.size, m)),
        variances=np.tile(spread if gaussian else np.ones(m), (K, 1)),
        family=family,
        floor=max(reg_covar, 1e-300) * spread,
        widest=np.append(1.0, abs(z[counted > 0]).max(axis=0)),
        shares=shares,
        sized=sizes is not None,
        unit=1.0 if weight is None else min(1.0, power_of_two(weight.max())),
    )
    return basis, model, np.column_stack([z, targets, *([] if sizes is None else [sizes]), side])


def is_constant(targets, weight) -> np.ndarray:
    """(m,) whether a target is the same in all rows that count; the mean of such ones may round."""
    return np.ptp(targets if weight is None else targets[weight > 0], axis=0) == 0


def at_the_floor(model, constant) -> str:
    """What is said of the components of which a variance is held by the floor; constant: as by :func:`is_constant`."""
    held = {
        True: "at the floor: y is the same in all rows, so that its variance is held at reg_covar",
        False: "at the floor: its variance is held at reg_covar times that of y",
    }
    low = model.variances <= model.floor
    return "; ".join(f"component {k}: {held[bool(constant[low[k]].all())]}" for k in np.flatnonzero(model.at_floor))


def covariates_of(sides) -> ArrayBlocks | None:
    """The covariates of :func:`split_columns` as blocks, or None; ValueError at the first that is not finite."""
    return finite_covariates(*sides["covariates"]) if "covariates" in sides else None


def checked_covariates(covariates) -> ArrayBlocks:
    """(n, p) finite float64 of an array; ValueError where they are something else."""
    if named_columns(covariates) is not None:
        raise ValueError("class_probabilities expects an array of covariates, not names of columns.")
    return finite_covariates(checked_side(covariates, "covariates", None), column_names(covariates))


def finite_covariates(side, names) -> ArrayBlocks:
    """The blocks of these columns; ValueError at the first that is missing or infinite."""
    blocks = ArrayBlocks(side, names=names)
    require_finite_covariates(blocks, 0)
    return blocks


def of_largest(weight):
    """Weights in units of the largest, with whose products numbers do not leave their range; None: of all 1."""
    return None if weight is None else weight / weight.max()
