"""Latent class analysis: mixtures of independent categorical columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fastem.estimators.exponential_family_mixture import DensityFamily, ExponentialFamilyMixture
from fastem.estimators.parameters import MODEL, attribute, parameter
from fastem.kernels import arithmetic
from fastem.models.emission import ColumnParameters
from fastem.models.exponential_family import INDICATOR, LEVELS, ExponentialFamily, Features
from fastem.rows.column_moments import column_moments
from fastem.rows.validation import first_cell, numbered, real_numbers, require_values
from fastem.starts.plan import Scales

LEAST_PROBABILITY = 1e-10  # with a probability of 0, rows that the next batch may contain would be impossible
MANY_CATEGORIES = 32  # of a column, from which looking a row's up takes less time than a sum over all of them
MOST_CATEGORIES = 1 << 16  # of a column; a column with more contains identifiers rather than categories


@dataclass(frozen=True)
class Categorical(ExponentialFamily):
    """K products of categorical distributions.

    Attributes
    ----------
    probabilities : (K, d, L) of the codes 0 .. L - 1; 0 for codes that a column does not have
    n_categories : (d,)
    """

    arrays: ClassVar = ("probabilities",)
    discrete: ClassVar = True

    probabilities: np.ndarray
    n_categories: np.ndarray

    @property
    def shape(self):
        return self.probabilities.shape[:2]

    @property
    def n_parameters(self):
        return int(self.shape[0] * (self.n_categories - 1).sum())

    def levels(self):
        """Column and code of each feature: all codes except 0, whose indicator follows from the others. Columns of many
        codes are last."""
        column, level = np.nonzero(self.exists()[:, 1:]) + np.array([[0], [1]])
        order = np.argsort(self.n_categories[column] >= MANY_CATEGORIES, kind="stable")
        return column[order], level[order]

    def exists(self):
        """(d, L) whether a column has this code."""
        return np.arange(self.probabilities.shape[2]) < self.n_categories[:, None]

    def features(self):
        column, level = self.levels()
        return Features(np.full(len(column), INDICATOR), column, level, np.zeros(self.shape[1]))

    def terms(self):
        """The codes of a column that has many are looked up."""
        column, level = self.levels()
        many = self.n_categories[column] >= MANY_CATEGORIES
        terms = ~many | (level == 1)
        kind, level = np.where(many, LEVELS, INDICATOR), np.where(many, self.n_categories[column] - 1, level)
        return Features(kind[terms], column[terms], level[terms], np.zeros(self.shape[1]))

    def natural(self):
        column, level = self.levels()
        reference = arithmetic.log(self.probabilities[:, :, 0])
        return reference.sum(axis=1), arithmetic.log(self.probabilities[:, column, level]) - reference[:, column]

    def estimate(self, counts, first):
        column, level = self.levels()
        cells = np.zeros((len(counts), *self.probabilities.shape[1:]))
        cells[:, column, level] = first
        cells[:, :, 0] = np.maximum(counts[:, None] - cells.sum(axis=2), 0)
        return replace(self, probabilities=most_likely(cells, self.exists()))

    def column_parameters(self):
        """The probability of each code of each column."""
        column, code = np.nonzero(self.exists())
        return ColumnParameters("probabilities", self.probabilities[:, column, code], column, code.tolist())

    def conditions(self, columns):
        never = ((self.probabilities <= 2 * LEAST_PROBABILITY) & self.exists()).any(axis=2)
        return [
            (
                f"a probability is at 0 in {row.sum()} column(s), first in column {columns[row.argmax()]}"
                if row.any()
                else "ok",
                True,
            )
            for row in never
        ]

    def sample(self, component, n, rng):
        cumulative = self.probabilities[component].cumsum(axis=1)
        below = (rng.random((n, self.shape[1], 1)) >= cumulative[:, :-1]).sum(axis=2)
        return np.minimum(below, self.n_categories - 1).astype(np.float64)

    def to_vector(self):
        """Unconstrained coordinates: log-ratios of the probabilities to that of code 0."""
        return self.natural()[1].ravel()

    def from_vector(self, vector):
        column, level = self.levels()
        ratios = np.where(self.exists(), 0.0, -np.inf) * np.ones((self.shape[0], 1, 1))
        ratios[:, column, level] = vector.reshape(self.shape[0], -1)
        cells = arithmetic.exp(ratios - ratios.max(axis=2, keepdims=True))
        return replace(self, probabilities=most_likely(cells, self.exists()))

    @classmethod
    def require_values(cls, X, names, place=numbered):
        require_values(X, names, "codes: whole numbers >= 0", lambda x: (x >= 0) & (x == np.floor(x)), place)


def most_likely(cells, exists):
    """Probabilities of at least LEAST_PROBABILITY that maximise sum(cells * log p).

    Smaller ones are set to it; the others share the rest in proportion to their cells.

    cells : (K, d, L)
    exists : (d, L) whether a column has this code
    """
    at_bound = ~exists & np.ones(cells.shape, bool)
    while True:
        free = np.where(at_bound, 0, cells)
        rest = 1 - LEAST_PROBABILITY * (at_bound & exists).sum(axis=2, keepdims=True)
        total = free.sum(axis=2, keepdims=True)
        p = np.where(at_bound, LEAST_PROBABILITY * exists, free / np.where(total > 0, total, 1) * rest)
        low = ~at_bound & (p < LEAST_PROBABILITY)
        if not low.any():
            return p
        at_bound |= low


@dataclass(frozen=True)
class CategoricalFamily(DensityFamily):
    """What categorical densities give to a fit: the number of codes of each column, given or from the rows."""

    n_categories: Any = None

    def examine(self, blocks, n_components, n_threads):
        column_moments(blocks, n_threads)  # raises where values are not finite
        names, require = blocks.names, self.density.require_values
        blocks.check(lambda X, place: require(X, names, place))
        n_categories = self.given(blocks.n_features)
        if n_categories is None:
            most = blocks.each(lambda X, weight, start: X.max(axis=0))
            n_categories = np.max(most, axis=0).astype(np.int64) + 1
        if n_categories.max() > MOST_CATEGORIES:
            _, column, name = first_cell((n_categories == n_categories.max())[None], names)
            raise ValueError(
                f"column {name} has {n_categories[column]} categories, more than {MOST_CATEGORIES}. "
                "Number the values that occur from 0, as numpy.unique(..., return_inverse=True) does."
            )
        blocks.check(lambda X, place: require_codes(X, names, n_categories, place))
        exists = np.arange(n_categories.max()) < n_categories[:, None]
        return Scales(pattern=Categorical(most_likely(exists[None].astype(np.float64), exists), n_categories))

    def given(self, n_features):
        """(d,) the parameter `n_categories`, or None."""
        if self.n_categories is None:
            return None
        given = real_numbers(self.n_categories)
        if given is None or given.dtype.kind not in "iu" or given.shape not in ((), (n_features,)) or (given < 1).any():
            raise ValueError(
                "The 'n_categories' parameter must be None, a whole number >= 1 or one for each of "
                f"{n_features} categorical column(s). Got {self.n_categories!r} instead."
            )
        return np.broadcast_to(given, n_features).astype(np.int64)

    def continued(self, mixture, scales):
        now, before = scales.pattern.n_categories, mixture.emission.n_categories
        if (now > before).any():
            raise ValueError(
                f"warm_start=True, but the columns now have {now} categories, and {before} in the last fit. Set "
                "n_categories, or set warm_start=False to start afresh."
            )
        return mixture


class CategoricalMixture(ExponentialFamilyMixture):
    """Latent class analysis: columns of categories that are independent given the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    probabilities_ : (K, d, L)
        ``probabilities_[k, column, code]``; L is the largest number of categories of a column; codes that a column does
        not have are 0. The others are at least 1e-10, so that no row is impossible; `component_status_` says where.
    n_categories_ : (d,)
        Categories of each column.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import CategoricalMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.vstack([rng.choice(3, (300, 5), p=[0.8, 0.1, 0.1]), rng.choice(3, (300, 5), p=[0.1, 0.1, 0.8])])
    >>> model = CategoricalMixture(2, random_state=0).fit(X)
    >>> model.probabilities_[:, 0].round(1)
    array([[0.1, 0.1, 0.8],
           [0.8, 0.1, 0.1]])

    References
    ----------
    Goodman: Exploratory latent structure analysis using both identifiable and unidentifiable models. Biometrika 61
    (1974) 215-231.
    """

    probabilities_: np.ndarray = attribute()

    n_categories: Any = parameter(
        default=None,
        check=None,
        doc="""int, sequence of int (one per column) or None
The codes of a column are 0 .. n_categories - 1. None: up to the largest in the data.""",
        tags=[MODEL],
    )

    _density = Categorical
    _parameter_arrays = ("probabilities_",)

    def _family(self):
        return CategoricalFamily(Categorical, self.n_categories)

    @property
    def n_categories_(self) -> np.ndarray:
        """(d,) how many categories each column has."""
        self._require_fitted()
        return self._mixture().emission.n_categories

    def _require_new_values(self, X, names, place=numbered):
        super()._require_new_values(X, names, place)
        require_codes(X, names, self.n_categories_, place)

    def _emission(self):
        probabilities = self._checked_array("probabilities_", least=0, most=1, shape=("K", "d", "L"))
        exists = probabilities[0] > 0
        n_categories = exists.sum(axis=1)
        in_front = np.arange(exists.shape[1]) < n_categories[:, None]
        if not ((probabilities > 0) == in_front).all():
            raise ValueError("probabilities_ must be positive for the first codes of each column and 0 for the others")
        if np.abs(probabilities.sum(axis=2) - 1).max() > 1e-6:
            raise ValueError("probabilities_ must sum to 1 over the codes of each column")
        return Categorical(probabilities, n_categories)


def require_codes(X, names, n_categories, place=numbered):
    """Raise ValueError at the first code that its column does not have."""
    what = " or ".join(map(str, np.unique(n_categories)[:5]))
    advice = "Fit with an n_categories= that has room for all."
    require_values(X, names, f"codes below n_categories ({what})", lambda x: x < n_categories, place, advice)
