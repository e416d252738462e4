"""Means and variances of the columns in one pass, which also finds what is not finite.

Of all values, or of those that are not missing.
"""

from __future__ import annotations

import numpy as np

from fastem import kernels
from fastem.rows.e_step import BlockModel
from fastem.rows.missing_patterns import ROWS
from fastem.rows.statistics import Statistics
from fastem.rows.validation import not_infinite, require_finite

FIRST_ROWS = 256  # their mean is near enough to the mean of all that sums about it keep their digits
NEARER = 4  # times that the point is moved to the mean; from 1e24 deviations away, each finds half of the digits


class ColumnMoments(BlockModel):
    """A model without a density: its E-step sums the rows and their squares about a point."""

    part = "column_moments"  # of the compiled pass
    far = 1e4  # squared distance of the mean from the point, in variances: beyond, four digits of these are lost

    def __init__(self, about):
        self.about = about

    def e_step_of_block(self, X, sample_weight, n_threads, kept) -> Statistics:
        d = len(self.about)
        module = kernels.for_dtype(X.dtype)
        parts = (module.Part(self.part, d, 1, {"point": np.zeros(d, X.dtype)}),)
        sums, _, _ = module.expect(parts, X, sample_weight, self.about, 1, n_threads)
        return Statistics(**module.named_sums(parts, sums)[0])

    @staticmethod
    def mean_and_variances(sums):
        """(d,) the mean about the point of the sums, and (d,) the variances."""
        shift = sums.first / sums.weight
        return shift, sums.second / sums.weight - shift**2


def column_variances(blocks, n_threads):
    """Variances (d,) of all rows; see :func:`column_moments`."""
    return column_moments(blocks, n_threads)[1]


def column_moments(blocks, n_threads):
    """Means (d,) and variances (d,) of all rows; the variance of a constant column is 0.

    Raises ValueError where X is not finite (naming row and column), or where its squares leave the range of its type.
    """
    model = ColumnMoments(among_the_rows(blocks))
    return resolved_moments(blocks, *near_the_mean(blocks, model, finite_sums(blocks, model, n_threads), n_threads))


def resolved_moments(blocks, model, sums):
    """Means (d,) and variances (d,) from the sums of a :class:`ColumnMoments`."""
    shift, variances = model.mean_and_variances(sums)
    return model.about + shift, resolved_variances(blocks, model.about + shift, variances)


def near_the_mean(blocks, model, sums, n_threads):
    """A model of sums about a point, and its sums; again about the mean where the point lies so far away that digits
    were lost, e.g. among rows of weight 0."""
    for _ in range(NEARER):
        shift, variances = model.mean_and_variances(sums)
        about = (model.about + shift).astype(blocks.dtype)
        with np.errstate(over="ignore"):  # of a variance that is nearly too large: nothing is far from such rows
            far = shift**2 > model.far * np.maximum(variances, 0)
        if not (far & (about != model.about)).any():
            break
        model = type(model)(about)
        sums = finite_sums(blocks, model, n_threads)
    return model, sums


def among_the_rows(blocks):
    """(d,) a point to sum about, of the type of X: the first rows' mean, exact in a constant column."""
    X = blocks.head(FIRST_ROWS)
    with np.errstate(over="ignore", invalid="ignore"):
        return X[0] + (X - X[0]).mean(axis=0)


def finite_sums(blocks, model, n_threads):
    """The statistics of all rows about the point `model.about`; ValueError where they are not finite."""
    if np.isfinite(model.about).all():
        sums = blocks.reduce(model, n_threads)
        if np.isfinite(sums.vector).all():
            return sums
    names = blocks.names
    blocks.check(lambda X, place: require_finite(X, columns=names, place=place))
    raise overflow(blocks.dtype)


def overflow(dtype):
    """The ValueError for rows of a type whose squares overflow it."""
    return ValueError(f"The squares of X overflow {dtype}: divide X by its scale first{or_float64(dtype)}.")


def or_float64(dtype):
    """The other advice where squares leave the range of a type: of float32 rows alone."""
    return ", or pass float64" if dtype == np.float32 else ""


def resolved_variances(blocks, mean, variance):
    """The given variances (d,), but 0 where they are rounding errors only; ValueError where the squares underflow."""
    limits = np.finfo(blocks.dtype)
    tiny = np.flatnonzero(variance < float(limits.tiny) / float(limits.eps))
    if len(tiny):

        def ends(X, weight, start):  # of the rows that count
            counted = X[:, tiny] if weight is None else X[weight > 0][:, tiny]
            return np.fmin.reduce(counted, initial=np.inf), np.fmax.reduce(counted, initial=-np.inf)

        low, high = zip(*blocks.each(ends))
        for column, width in zip(tiny, np.max(high, axis=0) - np.min(low, axis=0)):
            if width > 0:
                name = column if blocks.names is None else repr(blocks.names[column])
                raise ValueError(
                    f"The squares of column {name} of X underflow {blocks.dtype} "
                    f"(all its values lie within {width:.3g} of each other): multiply X{or_float64(blocks.dtype)}."
                )
    rounding = 4 * np.finfo(np.float64).eps * np.abs(mean)  # of float32 too: values near each other differ exactly
    return np.where(variance > rounding**2, variance, 0)


class ObservedMoments:
    """A model whose E-step sums, column by column, the values that are not missing and their squares about a point."""

    def __init__(self, about):
        self.about = about

    def e_step(self, X, sample_weight) -> Statistics:
        sums = np.zeros((3, X.shape[1]))
        for start in range(0, len(X), ROWS):
            z = np.ascontiguousarray(X[start : start + ROWS]) - self.about  # numpy adds in an order that strides choose
            there = ~np.isnan(z)
            weight = 1.0 if sample_weight is None else sample_weight[start : start + ROWS, None]
            z = np.where(there, z, 0)
            sums += np.array([(weight * there).sum(axis=0), (weight * z).sum(axis=0), (weight * z**2).sum(axis=0)])
        return Statistics(weight=sums[0], first=sums[1], second=sums[2])


def require_some_values(has_some, names, how="(NaN)"):
    """ValueError for the columns (d,) of which no row that counts says anything."""
    empty = np.flatnonzero(~has_some)
    if len(empty):
        listed = ", ".join(str(i) if names is None else repr(names[i]) for i in empty)
        raise ValueError(
            f"Column {listed} of X: every value is missing {how} in the rows of positive weight. Leave it out."
        )


def observed_variances(blocks, n_threads):
    """Variances (d,) of the values that are not missing; the compiled pass shows whether any is.

    Raises ValueError where a value is infinite, where squares leave the range of their type, and for a column in which
    every value is missing.
    """
    model = ColumnMoments(among_the_rows(blocks))
    if np.isfinite(model.about).all():
        sums = blocks.reduce(model, n_threads)
        if np.isfinite(sums.vector).all():
            return resolved_moments(blocks, *near_the_mean(blocks, model, sums, n_threads))[1]
    names = blocks.names
    blocks.check(lambda X, place: require_finite(X, columns=names, place=place, allowed=not_infinite))
    with np.errstate(over="ignore", invalid="ignore"):
        sums = blocks.reduce(ObservedMoments(np.zeros(blocks.n_features)), n_threads)
        require_some_values(sums.weight > 0, names)
        mean = sums.first / sums.weight
        sums = blocks.reduce(ObservedMoments(mean), n_threads)
    limit = np.finfo(blocks.dtype).max
    if not (np.isfinite(sums.vector).all() and (sums.second < limit).all()):
        raise overflow(blocks.dtype)
    shift = sums.first / sums.weight
    return resolved_variances(blocks, mean + shift, sums.second / sums.weight - shift**2)
