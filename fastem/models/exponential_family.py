"""Emissions of one exponential family: log p = constant + eta . t(x) + base(x), one compiled family for all of them.

A family defines its features t of the columns, how (constant, eta) follow from its parameters, and how these follow
from the sums of the features. Everything else is here.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np

from fastem import kernels
from fastem.kernels import arithmetic
from fastem.models.emission import ColumnParameters, Emission, KernelCall, flattened
from fastem.models.rounding import UNIT, Rounding
from fastem.models.seen_values import NEARLY
from fastem.rows.validation import numbered

# As in kernels/exponential_family.pxi: x, log x, [x = level], x**2, 1 / x, log(1 - x); the last one is only of terms
IDENTITY, LOGARITHM, INDICATOR, SQUARE, RECIPROCAL, LOG_COMPLEMENT, LEVELS = range(7)
AT_BOUND = 1e-6  # relative, as near as which a parameter is held at a bound


class Features(NamedTuple):
    """t: feature f is a function (kind) of a column, for an indicator of one level of it.

    Attributes
    ----------
    kind : (m,)
        IDENTITY x, LOGARITHM log x, INDICATOR [x = level], SQUARE x**2, RECIPROCAL 1 / x, LOG_COMPLEMENT log(1 - x).
        `require_values` must refuse values at which a feature is no number.
    column, level : (m,)
    has_factorial : (d,)
        Whether -log x! of the column belongs to the base.
    """

    kind: np.ndarray
    column: np.ndarray
    level: np.ndarray
    has_factorial: np.ndarray

    @classmethod
    @lru_cache  # every iteration asks for the same ones, which nobody changes
    def of_columns(cls, d, *kinds, factorial=False):
        """The same kinds of features of each of d columns: all columns by the first kind, then by the second."""
        m = d * len(kinds)
        return cls(np.repeat(kinds, d), np.tile(np.arange(d), len(kinds)), np.zeros(m), np.full(d, factorial))

    def of(self, X) -> np.ndarray:
        """(n, m) the features of rows, for tests and for rows outside of the kernels' range."""
        x = X[:, self.column].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.select(
                [self.kind == kind for kind in range(6)],
                [x, arithmetic.log(x), x == self.level, x * x, 1 / x, arithmetic.log(1 - x)],
            )


@dataclass(frozen=True)
class ExponentialFamily(Emission):
    """What K densities of an exponential family share. A family defines `arrays`, the abstract members here, and those
    of :class:`Emission` that are not defined here.

    Attributes
    ----------
    arrays : the names of its parameters, each (K, …)
    """

    arrays: ClassVar[tuple[str, ...]] = ()

    @property
    def n_parameters(self) -> int:
        """Free parameters."""
        return sum(getattr(self, name).size for name in self.arrays)

    @abstractmethod
    def features(self) -> Features:
        """t."""

    def terms(self) -> Features:
        """The features as the kernels take them, where the last ones may be of kind LEVELS: each stands for the
        indicators of the levels 1, 2, …, up to its own, of a column. Default: each feature is a term."""
        return self.features()

    @abstractmethod
    def natural(self) -> tuple[np.ndarray, np.ndarray]:
        """constant (K,) and eta (K, m)."""

    @abstractmethod
    def estimate(self, counts, first) -> ExponentialFamily:
        """The maximum likelihood for sums of the features `first` (K, m) of `counts` (K,) > 0 rows."""

    @classmethod
    def require_values(cls, X, names, place=numbered) -> None:
        """ValueError at the first row that the family cannot describe; place(row of X): where it is."""
        raise NotImplementedError

    @classmethod
    def pattern(cls, blocks, mean) -> ExponentialFamily:
        """One density of the right kind, with bounds and levels for rows with these column means (d,).

        Its parameters are not used.
        """
        raise NotImplementedError

    def diagnose(self, weights, counts, columns=None) -> list[tuple[str, bool]]:
        """The status of each component, and whether it is sound."""
        return self.conditions(np.arange(self.shape[1]) if columns is None else columns)

    def conditions(self, columns) -> list[tuple[str, bool]]:
        """The same; columns: (d,) their numbers in X."""
        return [("ok", True)] * self.shape[0]

    def undetermined(self, seen, columns=None):
        """Of a column as many values are needed as it has parameters."""
        least = len(self.arrays) - NEARLY
        numbers = np.arange(self.shape[1]) if columns is None else columns
        return seen.too_few(seen.columns < least, seen.columns, numbers)

    def kernel_call(self, log_weights, dtype) -> KernelCall:
        """The compiled pass for these parameters, on data of a real type."""
        (K, d), module = self.shape, kernels.for_dtype(dtype)
        terms, (constant, eta) = self.terms(), self.natural()
        constant = np.maximum(log_weights + constant, module.lowest)
        params = flattened(dict(zip(("constant", "eta", *terms._fields), (constant, eta, *terms))), dtype)
        return KernelCall((module.Part("exponential_family", d, K, params),), np.zeros(d, dtype), self.unpack)

    def unpack(self, sums) -> dict:
        """The kernel's sums as statistics."""
        return {name: sums[name] for name in ("counts", "first", "base")}

    def m_step(self, statistics) -> ExponentialFamily:
        """The maximum. A component without rows keeps its parameters."""
        counts, first = statistics.counts, statistics.first
        present = counts > np.finfo(np.float64).tiny
        if present.all():
            return self.estimate(counts, first)
        estimate = self.estimate(np.where(present, counts, 1), np.where(present[:, None], first, self.any_sums(first)))
        arrays = {}
        for name in self.arrays:
            before, after = getattr(self, name), getattr(estimate, name)
            arrays[name] = np.where(present.reshape(-1, *[1] * (before.ndim - 1)), after, before)
        return replace(estimate, **arrays)

    @staticmethod
    def any_sums(first) -> np.ndarray:
        """Sums of features for a component without rows, whose estimate is not used."""
        return first.sum(axis=0) / max(1, len(first))

    def rebase(self, statistics, given) -> dict:
        """Sums that were collected at another emission; they do not depend on it."""
        return {"first": statistics.first}

    def expected_log_prob(self, statistics, at) -> float:
        """E[sum over rows of log p(x | z; at)] under the posterior of this emission's mixture, from its statistics."""
        constant, eta = at.natural()
        by_count = arithmetic.matmul(statistics.counts, constant)
        return float(by_count + (statistics.first * eta).sum() + statistics.base.sum())

    def parameters(self) -> np.ndarray:
        """All parameters as one vector."""
        return np.concatenate([getattr(self, name).ravel() for name in self.arrays])

    def log_density_error(self, statistics, passed) -> Rounding:
        """Each of m + 2 terms is rounded, and their sums; the parameters of the kernel are functions of these here."""
        counts, unit, stated = statistics.counts, passed.unit, passed.kernels
        features, (constant, eta) = self.features(), self.natural()
        values = self.feature_sizes(statistics)
        logs = (values * np.abs(eta))[:, np.isin(features.kind, (LOGARITHM, LOG_COMPLEMENT))].sum()
        complements = counts @ np.abs(eta[:, features.kind == LOG_COMPLEMENT]).sum(axis=1)  # 1 - x is rounded, x < 1
        factorials = np.abs(statistics.base).sum()
        size = counts @ np.abs(constant) + (values * np.abs(eta)).sum() + factorials
        error = unit * ((len(features.kind) + 5) * size + 2 * stated.log_ulps * logs + 2 * complements)
        error += 2 * unit * stated.log_factorial_ulps * (factorials + counts.sum() * features.has_factorial.sum())
        error += 16 * UNIT * (counts @ self.constant_sizes() + (values * (1 + np.abs(eta))).sum())
        return Rounding(float(size), float(error))

    def feature_sizes(self, statistics) -> np.ndarray:
        """(K, m) at least the sums of the features' absolute values by responsibility. Default: a column itself is not
        negative where it is a feature without its square, and the sign of a logarithm follows from another feature
        of the column; a family of other columns has its own."""
        features, sizes = self.features(), np.abs(statistics.first)
        for f in np.flatnonzero((features.kind == LOGARITHM) | (features.kind == IDENTITY)):
            same = features.column == features.column[f]
            sums = {kind: statistics.first[:, i] for i, kind in enumerate(features.kind) if same[i]}
            if features.kind[f] == LOGARITHM:
                sizes[:, f] = log_sizes(statistics.counts, sums)
            elif SQUARE in sums:  # Cauchy and Schwarz
                sizes[:, f] = np.sqrt(statistics.counts * sums[SQUARE])
        return sizes

    def constant_sizes(self) -> np.ndarray:
        """(K,) the sums of the absolute values of what the constants are summed of, and of where functions of the
        parameters are evaluated. Default: their values, and 1 for each column."""
        return np.abs(self.natural()[0]) + self.shape[1]

    def nearest(self, X) -> np.ndarray:
        """The most probable component of rows whose log-density overflows."""
        constant, eta = self.natural()
        with np.errstate(over="ignore", invalid="ignore"):
            return np.argmax(constant + arithmetic.matmul(self.features().of(X), eta.T), axis=1)

    def column_parameters(self):
        """The first array that has one number of each component and column."""
        for name in self.arrays:
            if getattr(self, name).shape == self.shape:
                return ColumnParameters.one_each(name, getattr(self, name))
        return None


def at_a_bound(certain, columns, what) -> list[tuple[str, bool]]:
    """What :meth:`ExponentialFamily.conditions` says of certain (K, d) parameters; what: they, and where they are."""
    return [
        (f"{row.sum()} {what}, first in column {columns[row.argmax()]}" if row.any() else "ok", True) for row in certain
    ]


def log_sizes(counts, sums) -> np.ndarray:
    """(K,) at least the sums of |log x|, from the sums of the features of x by their kind."""
    logs = sums[LOGARITHM]
    if LOG_COMPLEMENT in sums:  # x < 1
        return -logs
    if IDENTITY in sums:
        return sizes_of_logs(counts, sums[IDENTITY], logs)
    if RECIPROCAL in sums:
        return sizes_of_logs(counts, sums[RECIPROCAL], -logs)
    if SQUARE in sums:
        return sizes_of_logs(counts, sums[SQUARE], 2 * logs) / 2
    raise NotImplementedError(
        "a family with log x, but without another feature of the column, must define feature_sizes: how large the "
        "logarithms are does not follow from their sum"
    )


def sizes_of_logs(counts, values, logs) -> np.ndarray:
    """(K,) at least the sums of |log x| of positive x, from sums of x and of log x.

    About the mean m: |log x| <= |log m| + 2 x / (e m) - log (x / m), because log t <= t / e.
    """
    present = (counts > 0) & (values > 0)
    mean = np.where(present, values, 1) / np.where(present, counts, 1)
    about = logs - counts * np.log(mean)
    return np.where(present, counts * (np.abs(np.log(mean)) + 2 / np.e) - about, 0)
