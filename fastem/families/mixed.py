"""Mixtures over columns of different kinds, independent given the component."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastem.estimators.estimator import is_same
from fastem.estimators.mixture_estimator import MixtureEstimator
from fastem.estimators.parameters import MODEL, parameter
from fastem.families.column_kinds import MIXTURE_OF_KIND, columns_of, mixture_of_kind
from fastem.families.gaussian.covariance_mixture import FORMS
from fastem.models.mixed import Mixed
from fastem.rows.blocks import consecutive
from fastem.rows.validation import not_infinite, numbered, require_finite
from fastem.starts.gaussian_start import filled
from fastem.starts.named import ROWS
from fastem.starts.plan import NO_SCALES, Family, Scales

REMOVE = "Remove or impute such values."
ONLY_GAUSSIAN = (
    'Of MixedMixture only columns of kind "gaussian" take NaN, as missing values; in a "categorical" column missing '
    "can be a code of its own."
)


def without_old_forms(given, known):
    """{attribute: array} without forms of matrices that are those of the last fit, where another form was replaced."""
    forms = given.keys() & {*FORMS}
    replaced = {name for name in forms if not any(is_same(given[name], array) for array in known)}
    return {name: array for name, array in given.items() if name not in forms or name in (replaced or forms)}


@dataclass(frozen=True)
class MixedFamily(Family):
    """What columns of different kinds give to a fit: what the family of each kind gives.

    Attributes
    ----------
    kinds, n_categories
        See :class:`MixedMixture`.
    names : (d,), optional
        Of the columns.
    """

    start_kinds: ClassVar = {**Family.start_kinds, ROWS: 8}
    start_rounds: ClassVar = ((10, 6), (20, 4), (40, 2), (80, 1))  # probabilities are late

    kinds: Any
    names: np.ndarray | None = None
    n_categories: Any = None

    def of_columns(self, names):
        return replace(self, names=names)

    def members(self, d) -> dict:
        """{kind: (its family, its columns)} of d columns."""
        columns = columns_of(self.kinds, d, self.names)
        return {
            kind: (mixture_of_kind(kind, n_categories=self.n_categories)._family(), places)
            for kind, places in columns.items()
        }

    def examine(self, blocks, n_components, n_threads) -> Scales:
        members, families = {}, self.members(blocks.n_features)
        if self.n_categories is not None and "categorical" not in families:
            raise ValueError(
                f"n_categories is for columns of kind 'categorical', but kinds names none. Got {self.n_categories!r}: "
                "leave it out."
            )
        for kind, (family, columns) in families.items():
            of_kind = blocks.columns(columns)
            try:
                members[kind] = family.examine(of_kind, n_components, n_threads)
            except ValueError as error:
                if kind != "gaussian" and any(of_kind.each(lambda X, weight, start: bool(np.isnan(X).any()))):
                    raise ValueError(f"{error} {ONLY_GAUSSIAN}") from error
                raise
        return Scales(members=members)

    def emission(self, X, weight, membership, n_components, scales):
        members = self.members(X.shape[1])
        emissions = {
            kind: family.emission(X[:, consecutive(columns)], weight, membership, n_components, scales.members[kind])
            for kind, (family, columns) in members.items()
        }
        return Mixed(emissions, {kind: columns for kind, (_, columns) in members.items()})

    def continued(self, mixture, scales):
        return self._by_members("continued", mixture, scales)

    def constrained(self, mixture, scales):
        return self._by_members("constrained", mixture, scales)

    def _by_members(self, method, mixture, scales):
        """Each member as this method of its own family has it."""
        families = self.members(mixture.emission.shape[1])

        def member(kind, emission):
            (family, _), own = families[kind], scales.members.get(kind, NO_SCALES)
            return getattr(family, method)(replace(mixture, emission=emission), own).emission

        return replace(mixture, emission=mixture.emission.with_members(member))

    def views(self, n_features):
        """All columns, and those of each kind: near neighbours share a code, whatever component they are of."""
        of_kinds = [columns for _, columns in self.members(n_features).values()]
        return [slice(None), *(of_kinds if len(of_kinds) > 1 else [])]

    def complete(self, X, weight):
        return filled(X, weight)

    def least_rows(self, n_features):
        return max(family.least_rows(len(columns)) for family, columns in self.members(n_features).values())


class MixedMixture(MixtureEstimator):
    """Mixture over columns of different kinds, independent given the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    members_ : dict
        {kind: mixture of that kind over its columns}, fitted, e.g. ``members_["poisson"].rates_``.
    gaussian_means_, gaussian_covariances_, gaussian_precisions_cholesky_, poisson_rates_, bernoulli_probabilities_, \
    categorical_probabilities_, exponential_rates_, gamma_shapes_, gamma_rates_, von_mises_fisher_mean_directions_, \
    von_mises_fisher_concentrations_ :
        The same arrays by kind and name, of the kinds that there are.
    {attributes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import MixedMixture
    >>> rng = np.random.default_rng(0)
    >>> z = rng.integers(2, size=500)
    >>> X = np.column_stack([rng.normal(6 * z), rng.poisson(2 + 8 * z)])
    >>> model = MixedMixture(2, kinds=["gaussian", "poisson"], random_state=0).fit(X)
    >>> np.sort(model.members_["poisson"].rates_.ravel()).round(0)
    array([ 2., 10.])

    References
    ----------
    Hunt, Jorgensen: Mixture model clustering using the MULTIMIX program. Australian & New Zealand Journal of
    Statistics 41 (1999) 154-171.
    """

    if TYPE_CHECKING:  # which arrays there are hangs on the kinds

        def __getattr__(self, name: str) -> np.ndarray: ...

    kinds: Any = parameter(
        default="gaussian",
        check=None,
        doc="""sequence of str, or dict
One kind per column, or {kind: list of numbers or names of columns}. Kinds: "gaussian" (one variance per column and
component), "poisson", "bernoulli", "categorical", "exponential", "gamma", "von_mises_fisher" (its columns together are
one direction). The mixture of each kind says which values its columns may contain. Values of "gaussian" columns may be
missing (NaN): a row is described by the others. In other columns NaN is refused; for "categorical" ones, missing can be
a category.""",
        tags=[MODEL],
    )

    n_categories: Any = parameter(
        default=None,
        check=None,
        doc="""int, sequence of int (one per column of kind "categorical", in the order of `kinds`) or None
The codes of such a column are 0 .. n_categories - 1. None: up to the largest in the data.""",
        tags=[MODEL],
    )

    _parameter_arrays = tuple(
        f"{kind}_{name}" for kind, (mixture, _) in MIXTURE_OF_KIND.items() for name in mixture._parameter_arrays
    )

    def _family(self):
        return MixedFamily(self.kinds, getattr(self, "feature_names_in_", None), self.n_categories)

    def _columns(self) -> dict:
        """{kind: its columns}"""
        return columns_of(self.kinds, self._n_columns(), getattr(self, "feature_names_in_", None))

    def _require_new(self, X, names, place=numbered):
        for kind, columns in self._columns().items():
            of_kind, member_names = X[:, consecutive(columns)], columns.tolist() if names is None else names[columns]
            if kind == "gaussian":
                require_finite(of_kind, columns=member_names, place=place, allowed=not_infinite)
            else:
                require_finite(of_kind, columns=member_names, place=place, advice=f"{REMOVE} {ONLY_GAUSSIAN}")
                self.members_[kind]._require_new_values(of_kind, member_names, place)

    def _arrays(self, emission):
        return {
            f"{kind}_{name}": array
            for kind, member in emission.members.items()
            for name, array in mixture_of_kind(kind)._arrays(member).items()
        }

    @property
    def members_(self) -> dict:
        """{kind: mixture of that kind over its columns}."""
        self._require_fitted()
        return self._members()

    def _members(self):
        members = {}
        for kind, columns in self._columns().items():
            member = members[kind] = mixture_of_kind(kind, self.n_components, n_categories=self.n_categories)
            member.weights_, member.n_features_in_ = self.weights_, len(columns)
            given = {name: getattr(self, f"{kind}_{name}", None) for name in member._parameter_arrays}
            given = {name: array for name, array in given.items() if array is not None}
            member._set_arrays(without_old_forms(given, self._model_arrays))
        return members

    def _emission(self):
        members, columns = {}, self._columns()
        for kind, member in self._members().items():
            try:
                members[kind] = member._emission()
            except ValueError as error:
                raise ValueError(f"the arrays of kind {kind!r}: {error}") from error
        for kind, emission in members.items():
            if emission.shape != (len(self.weights_), len(columns[kind])):
                raise ValueError(
                    f"the arrays of kind {kind!r} are of {emission.shape} components and columns, but there are "
                    f"{len(self.weights_)} weights_, and {len(columns[kind])} columns of this kind"
                )
        return Mixed(members, columns)

    def _n_columns(self):
        """Where the attributes were set by hand, `kinds` and they say it."""
        if hasattr(self, "n_features_in_"):
            return self.n_features_in_
        if isinstance(self.kinds, str):
            first = f"{self.kinds}_{mixture_of_kind(self.kinds)._parameter_arrays[0]}"
            return np.shape(getattr(self, first))[1]
        listed = self.kinds.values() if isinstance(self.kinds, dict) else [self.kinds]
        return sum(np.size(one) for one in listed)

    @classmethod
    def _parameters_to_give(cls):
        """None by place, because they depend on the kinds."""
        return ()

    def _needed(self):
        kinds = dict.fromkeys([self.kinds] if isinstance(self.kinds, str) else self.kinds)
        return tuple(f"{kind}_{name}" for kind in kinds for name in mixture_of_kind(kind)._parameters_to_give())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = "gaussian" in ([self.kinds] if isinstance(self.kinds, str) else self.kinds)
        return tags

    def __sklearn_is_fitted__(self):
        return hasattr(self, "weights_") and all(hasattr(self, name) for name in self._needed())
