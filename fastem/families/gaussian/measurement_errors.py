"""Rows with measurement errors: the methods of a Gaussian mixture that take `errors`."""

from __future__ import annotations

import numpy as np

from fastem.estimators.beside import of_blocks
from fastem.kernels.packing import packed_index, packed_lower, unpack_symmetric
from fastem.models.gaussian.linear_algebra import eigvalsh
from fastem.models.gaussian.noisy_rows import INFINITE, NoisyRows
from fastem.models.mixture import Mixture
from fastem.rows.scale import robust_variances
from fastem.rows.side_columns import SideBlocks, named_columns
from fastem.rows.sources.open_beside import as_numbers, open_beside
from fastem.rows.sources.open_rows import in_moderate_weights
from fastem.rows.validation import first_cell

ROUNDING = 1e-7  # of a covariance of errors: an eigenvalue below zero by less, in units of the largest, is zero
TYPICAL = 4.0  # times the median error: a value with a larger one is not looked at where starts are sought


class Seen:
    """What starts and the scales of columns see of wide rows: the values without those of large error, as a function.

    Parameters
    ----------
    d : int
    most : (d,)
        The largest variance of an error.
    """

    def __init__(self, d: int, most: np.ndarray):
        self.d, self.most = d, most

    def __call__(self, X):
        variances = error_variances(X, self.d)
        hidden = variances > self.most
        return np.where(hidden, X.dtype.type(np.nan), X[:, : self.d]) if hidden.any() else X[:, : self.d]


def error_variances(X, d):
    """(m, d) the variances of the errors of wide rows."""
    errors = X[:, d:]
    if errors.shape[1] == d:
        with np.errstate(over="ignore"):
            return errors**2
    i, j = packed_lower(d)
    return errors[:, i == j]


def open_errors(estimator, X, sides, sample_weight, check=None):
    """See :func:`fastem.estimators.beside.opened`."""
    return open_noisy(X, sides["errors"], sample_weight, type(estimator).__name__, check)


def open_noisy(X, errors, sample_weight, owner, check=None) -> tuple[SideBlocks, float]:
    """Rows with their errors as blocks, and the unit of their weights; see
    :func:`fastem.rows.sources.open_rows.open_to_fit`.

    check : callable, optional
        Called with the number and the names of the columns of values, before these are read.
    """
    wide, width = open_beside(X, {"errors": packed(errors)}, sample_weight, owner)
    p = width["errors"]
    d = wide.n_features - p
    if p not in (d, d * (d + 1) // 2):
        raise ValueError(
            f"errors has {p} columns for {d} columns of values. Give standard deviations, (n, {d}), or covariances, "
            f"({d}, {d}) or {d * (d + 1) // 2} packed, of each row."
        )
    names = None if wide.names is None else wide.names[:d]
    if check is not None:
        check(d, names)
    wide, unit = in_moderate_weights(wide)
    wide.check(lambda rows, place: require_errors(rows, d, names, place))
    return SideBlocks(wide, d, of_noisy_rows, Seen(d, most_error(wide.spaced_rows(), d))), unit


def of_noisy_rows(model) -> NoisyRows | None:
    """A mixture as a model of wide rows; None for what looks at the values alone."""
    return NoisyRows(model) if isinstance(model, Mixture) else None


def packed(errors):
    """Covariances (n, d, d) as their packed lower triangles; those of one column as deviations. Others as they are."""
    if named_columns(errors) is not None or np.ndim(errors) != 3:
        return errors
    errors = as_numbers(errors, "errors").astype(np.float64, copy=False)
    _, d, e = errors.shape
    if d != e:
        raise ValueError(f"errors must have shape (n, d), (n, d, d) or (n, d (d + 1) / 2). Got {errors.shape} instead.")
    transposed = np.swapaxes(errors, 1, 2)
    with np.errstate(invalid="ignore"):
        apart = abs(errors - transposed) > ROUNDING * (abs(errors) + abs(transposed))
    if apart.any():
        row, i, j = np.argwhere(apart)[0]
        raise ValueError(f"errors must hold symmetric matrices, but that of row {row} is not, in ({i}, {j}).")
    if d == 1:
        with np.errstate(invalid="ignore"):
            return np.where(errors[:, 0] < 0, errors[:, 0], np.sqrt(errors[:, 0]))
    i, j = packed_lower(d)
    return np.ascontiguousarray(errors[:, i, j])


def require_errors(X, d, names, place):
    """ValueError at the first wide row, X (m, d + p), whose errors are no errors. place(i) names row i."""
    measured, errors = ~np.isnan(X[:, :d]), X[:, d:]
    full = errors.shape[1] > d
    diagonal = packed_index(d)[np.arange(d), np.arange(d)] if full else np.arange(d)
    along = errors[:, diagonal]
    what = "variance" if full else "standard deviation"
    bad = measured & ~(along >= 0)
    if bad.any():
        row, column, name = first_cell(bad, names)
        raise ValueError(
            f"errors must hold {what}s of at least 0, but that of {place(row)}, column {name} is "
            f"{along[row, column]:g}. Where a value was not measured, give inf, or NaN in X."
        )
    large = measured & np.isfinite(along) & ~(along < (INFINITE**2 if full else INFINITE))
    if large.any():
        row, column, name = first_cell(large, names)
        raise ValueError(
            f"errors: the {what} of {place(row)}, column {name} is {along[row, column]:.1e}, too large for "
            "sums of squares. Divide the column and its errors by a scale; where a value was not measured, give inf."
        )
    if not full:
        return
    known = measured & np.isfinite(along)
    i, j = packed_lower(d)
    entries = np.where(known[:, i] & known[:, j], errors, 0.0)
    bad = ~np.isfinite(entries).all(axis=1)
    if not bad.any():
        values = eigvalsh(unpack_symmetric(entries.astype(np.float64), d))
        bad = values[:, 0] < -ROUNDING * np.maximum(values[:, -1], np.finfo(np.float64).tiny)
    if bad.any():
        raise ValueError(f"errors must hold covariance matrices, but that of {place(int(bad.argmax()))} is none.")


def most_error(X, d) -> np.ndarray:
    """(d,) the variance of an error beyond which a value says little of where the rows are, from some wide rows: that
    of the column, or TYPICAL times the median deviation where that is larger."""
    values, variances = X[:, :d].astype(np.float64), error_variances(X, d).astype(np.float64)
    known = np.isfinite(values) & np.isfinite(variances)
    if not known.any(axis=0).all():
        return np.full(d, np.finfo(np.float64).max)
    values, variances = np.where(known, values, np.nan), np.where(known, variances, np.nan)
    spread = robust_variances(values, np.full(d, np.inf))
    spread = np.where(np.isfinite(spread), spread, 0)
    return np.maximum(spread, TYPICAL**2 * np.nanmedian(variances, axis=0))


def denoise(self, X, errors) -> tuple[np.ndarray, np.ndarray]:
    """What the mixture says of the noise-free rows behind measured ones: their posterior means and covariances.

    Parameters
    ----------
    X : rows of any kind
        NaN: not measured.
    errors
        See :meth:`fit`. With zeros the means are those of :meth:`impute`.

    Returns
    -------
    means : (n, d)
    covariances : (n, d, d)
        Of the mixture of the components' posteriors, so also of the doubt which component it is.

    Raises
    ------
    ValueError
        The rows or the errors cannot be used; the message says where.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[4.0]]])
    >>> means, covariances = model.denoise([[3.0], [3.0]], errors=[[0.0], [2.0]])
    >>> means.ravel(), covariances.ravel()
    (array([3. , 1.5]), array([0., 2.]))
    """
    parts = of_blocks(
        self, X, {"errors": errors}, lambda model, rows, weight, n_threads: model.denoised(rows, n_threads)
    )
    means, covariances = zip(*parts)
    return np.concatenate(means), np.concatenate(covariances)


def with_noise(X, errors, rng) -> np.ndarray:
    """Rows (n, d) with noise of these errors (n, p), arrays as in :meth:`fit`."""
    blocks, _ = open_noisy(X, errors, None, "sample")
    noisy = []
    for rows, _ in blocks.blocks:
        d = X.shape[1]
        if rows.shape[1] == 2 * d:
            noise = rows[:, d:] * rng.standard_normal((len(rows), d))
        else:
            values, vectors = np.linalg.eigh(unpack_symmetric(rows[:, d:], d))
            scaled = np.sqrt(np.maximum(values, 0)) * rng.standard_normal((len(rows), d))
            noise = np.einsum("nij,nj->ni", vectors, scaled)
        noisy.append(rows[:, :d] + noise)
    return np.concatenate(noisy)
