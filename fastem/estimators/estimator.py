"""Estimators with scikit-learn's interface, without importing it: parameters, tags, checks at prediction, scores."""

from __future__ import annotations

import inspect
import numbers
from typing import TYPE_CHECKING, Any, ClassVar, Self, dataclass_transform

import numpy as np

from fastem.errors import OTHER_NAMES, did_you_mean, not_fitted, shown
from fastem.estimators.checks import check_features
from fastem.estimators.metadata_routing import get_metadata_routing, set_fit_request, set_score_request
from fastem.estimators.method_docs import describe_methods
from fastem.estimators.model_file import save
from fastem.estimators.parameters import Parameter, attribute, constructor, declared, documented, parameter
from fastem.estimators.refused_sides import refuse_sides
from fastem.kernels.threads import resolve
from fastem.models import criteria
from fastem.rows.sources.open_rows import in_memory, is_dask, is_spark, open_rows
from fastem.rows.validation import as_matrix, column_names, generator, not_infinite, numbered, require_finite

SIZES = {"n_samples_": int, "total_weight_": float}  # of the rows of a fit; files of version 0.1 do not have them
LEAST = {
    **{"n_samples_": 1, "total_weight_": np.finfo(np.float64).smallest_subnormal},
    **{"n_iter_": 0, "n_parameters_": 0, "reg_covar_": 0},
}
NOT_IN_OLD_FILES = {  # which version 0.1 has written: what a model of theirs has
    "log_likelihood_error_": np.nan,
    "remaining_gain_": np.nan,
    "remaining_gain_method_": "",
}
OF_NUMBERS = "history_", "loglike_"  # saved lists; others are of text
CHOICES = "_output", "_metadata_requests"  # of a user, beside the parameters; a clone has them


@dataclass_transform(kw_only_default=True, field_specifiers=(parameter, attribute))
class Estimator:
    """What every fastem estimator shares: parameters, tags, the checks at prediction, the fitted density, saving.

    Subclasses give `model_`, with ``score``, ``sample`` and ``n_parameters``.
    """

    _takes_missing: ClassVar[bool] = False  # whether NaN is a missing value
    _saved_arrays: ClassVar[tuple[str, ...]] = ()
    _saved_scalars: ClassVar[tuple[str, ...]] = ()
    _parameters: ClassVar[dict[str, Parameter]] = {}
    _model_arrays: ClassVar[list] = []  # of :meth:`_fitted_arrays` when the model was made; none in old pickles

    if TYPE_CHECKING:  # rows of subclasses are taken out of their bodies, but this is no subclass
        n_features_in_: int = attribute()
        feature_names_in_: np.ndarray = attribute()

    def __init_subclass__(cls, parameters_of=None, general=False, without=()):
        """parameters_of: another estimator whose parameters this one has.

        general: the class's own parameters stand behind those of its subclasses.

        without: names of parameters that it does not have.
        """
        super().__init_subclass__()
        rows = declared(cls, cls._parameters if parameters_of is None else parameters_of._parameters, general)
        rows = {name: row for name, row in rows.items() if name not in without}
        describe_methods(cls)
        refuse_sides(cls)
        cls.__doc__ = documented(cls.__doc__, rows, cls._described_attributes(rows))
        if "__init__" not in vars(cls) and rows != cls._parameters:
            cls.__init__ = constructor(cls, rows)
        cls._parameters = rows

    @classmethod
    def _described_attributes(cls, rows: dict[str, Parameter]) -> str:
        """What the docstring of a class with these parameters says of the attributes that all subclasses have."""
        return ""

    @classmethod
    def _defaults(cls) -> dict:
        """{name: default} of the constructor's parameters; `**others` stands for those of the class above."""
        shown = [p for p in inspect.signature(cls.__init__).parameters.values() if p.name != "self"]
        defaults = {p.name: p.default for p in shown if p.kind is not p.VAR_KEYWORD}
        if len(defaults) < len(shown):
            defaults |= {name: row.default for name, row in cls._parameters.items() if name not in defaults}
        return defaults

    @classmethod
    def _parameter_names(cls):
        return sorted(cls._defaults())

    def _check_parameters(self):
        """Raise ValueError for the first parameter whose value is not allowed."""
        for name, row in self._parameters.items():
            if row.check is not None:
                row.check(type(self).__name__, name, getattr(self, name))

    def get_params(self, deep: bool = True) -> dict:
        """The constructor's parameters by name."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def _saved_parameters(self) -> dict:
        """Those that a file contains."""
        return self.get_params(deep=False)

    def set_params(self, **params: Any) -> Self:
        """Set constructor parameters; returns self."""
        valid = self._parameter_names()
        for name, value in params.items():
            if name not in valid:
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}.{did_you_mean(name, valid, OTHER_NAMES)} Valid "
                    f"parameters are: {valid!r}."
                )
            setattr(self, name, value)
        return self

    def __repr__(self):
        changed = [
            f"{name}={shown(getattr(self, name))}"
            for name, default in self._defaults().items()
            if repr(getattr(self, name)) != repr(default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def __sklearn_tags__(self):
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(
            estimator_type="density_estimator",
            target_tags=TargetTags(required=False),
            transformer_tags=None,
            classifier_tags=None,
            regressor_tags=None,
            input_tags=InputTags(allow_nan=self._takes_missing),
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_in_")

    def __sklearn_clone__(self):
        from sklearn.base import clone

        copied = {name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()}
        copy = type(self)(**copied)
        vars(copy).update({name: value for name, value in vars(self).items() if name in CHOICES})
        return copy

    set_fit_request = set_fit_request
    set_score_request = set_score_request
    get_metadata_routing = get_metadata_routing

    def _require_fitted(self):
        if not self.__sklearn_is_fitted__():
            raise not_fitted(self)

    def _fitted_arrays(self) -> list:
        """The attributes that make the model, which a user may set; None for those that are not there."""
        return []

    def _is_of_attributes(self) -> bool:
        """Whether the model that was kept is that of the attributes; False where none was."""
        arrays = self._fitted_arrays()
        return len(arrays) == len(self._model_arrays) and all(map(is_same, arrays, self._model_arrays))

    def _require_new_values(self, X, names, place=numbered):
        """Raise ValueError at the first row that this fitted model cannot describe; place(row of X) names it."""

    def _require_new(self, X, names, place=numbered):
        def allowed(block):
            finite = np.isfinite(block)
            return finite if finite.all() or not self._takes_missing else not_infinite(block)

        require_finite(X, columns=names, place=place, allowed=allowed)
        self._require_new_values(X, names, place)

    def _new_rows(self, X):
        """The rows of an array or a frame at prediction, checked against the fit."""
        self._require_fitted()
        names = column_names(X)
        array = as_matrix(X, type(self).__name__)
        check_features(self, array.shape[1], names)
        self._require_new(array, names)
        return array

    def _new_blocks(self, X, sample_weight=None):
        """Rows for a fitted model as blocks, their columns checked against the fit."""
        self._require_fitted()
        blocks = open_rows(X, sample_weight, owner=type(self).__name__)
        check_features(self, blocks.n_features, blocks.names)
        return blocks

    def _checked_blocks(self, X, sample_weight=None):
        """The same blocks, after a check of all their values."""
        blocks = self._new_blocks(X, sample_weight)
        names = blocks.names
        blocks.check(lambda rows, place: self._require_new(rows, names, place))
        return blocks

    def _of_new_rows(self, X, function) -> list:
        """[function(rows)] of the checked rows of X: of all together where they are in memory, else of each block."""
        if in_memory(X):
            return [function(self._new_rows(X))]
        return self._of_blocks(self._new_blocks(X), lambda rows, sample_weight: function(rows))

    def _of_blocks(self, blocks, function) -> list:
        """[function(rows, sample_weight)] of the checked rows of each block."""
        names, place = blocks.names, blocks.place

        def checked(rows, sample_weight, start):
            self._require_new(rows, names, lambda row: place(start + row))
            return function(rows, sample_weight)

        return blocks.each(checked)

    def _totals(self, X, sample_weight, *functions):
        """The weight of the rows of X together, and the sum of each function(rows), (m,), with their weights."""
        blocks = self._new_blocks(X, sample_weight)

        def sums(rows, weight):
            whole = len(rows) if weight is None else weight.sum()
            return [whole, *(weighted_sum(function(rows), weight) for function in functions)]

        totals = np.sum(self._of_blocks(blocks, sums), axis=0)
        if not totals[0] > 0:
            raise ValueError("All sample_weight are zero: at least one row must count.")
        return totals.tolist()

    def _evaluated(self, X, name, function, dtype, width=None):
        """function(rows), shape (m,) or (m, width), of all rows of X, concatenated; a lazy array for Dask; for Spark a
        lazy frame of the columns of X and this one, by name."""
        if is_dask(X):
            from fastem.rows.sources.dask_blocks import mapped

            self._require_fitted()
            return mapped(X, lambda rows: function(self._new_rows(rows)), dtype, width)
        if is_spark(X):
            from fastem.rows.sources.spark_results import with_columns

            columns = {name: (np.float64 if width else dtype, width)}
            return with_columns(X, columns, lambda rows: [function(self._new_rows(rows))], self._columns_of(X.columns))
        values = self._of_new_rows(X, function)
        return values[0] if len(values) == 1 else np.concatenate(values)

    def _columns_of(self, columns) -> list[str]:
        """Those of the columns of a Spark frame that the model was fitted to; all where it knows no names."""
        self._require_fitted()
        names = list(getattr(self, "feature_names_in_", columns))
        check_features(self, len(names), np.array(names, dtype=object))
        return names

    def _set_arrays(self, arrays):
        """Set attributes that belong together."""
        for name, array in arrays.items():
            setattr(self, name, array)

    def _keep_columns(self, n_features, names):
        self.n_features_in_ = n_features
        if names is not None:
            self.feature_names_in_ = names
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _require_saved(self, kinds):
        """Raise ValueError where a loaded attribute is missing or has another type."""
        if any(hasattr(self, name) for name in SIZES):
            kinds = kinds | SIZES
        for name, kind in kinds.items():
            value = getattr(self, name, None)
            if type(value) is not kind:
                raise ValueError(f"{name} is missing or is not of type {kind.__name__}")
            if name in LEAST and not value >= LEAST[name]:
                raise ValueError(f"{name} is {value!r}, which is less than that of any fit")
            if kind is list and not all(isinstance(one, float if name in OF_NUMBERS else str) for one in value):
                raise ValueError(f"{name} must hold {'numbers' if name in OF_NUMBERS else 'text'} alone")
        d = self.n_features_in_
        values = sum(np.size(getattr(self, name, ())) for name in self._saved_arrays)
        if not 1 <= d <= values:  # before anything of this size is made
            raise ValueError(f"n_features_in_ is {d}, but the arrays contain {values} values")
        names = getattr(self, "feature_names_in_", None)
        if names is not None and (len(names) != d or not all(isinstance(name, str) for name in names)):
            raise ValueError(f"feature_names_in_ must hold the names of {d} columns. Got {list(names)!r} instead.")

    @property
    def model_(self) -> Any:
        """The fitted model itself, which :func:`fastem.em` and :mod:`fastem.theory` take."""
        raise NotImplementedError

    def _predictive(self):
        """What :meth:`sample` draws from."""
        return self.model_

    def _score(self, X, **outputs):
        self.model_.score(X, self._threads_for(X), **outputs)

    def _threads_for(self, X):
        return resolve(self.n_threads) if X.size > 20_000 else 1

    def _log_density(self, rows):
        log_density = np.empty(len(rows))
        self._score(rows, log_density=log_density)
        return log_density

    def score_samples(self, X) -> np.ndarray:
        """Log-density of each row, shape (n,), natural logarithm."""
        return self._evaluated(X, "log_density", self._log_density, np.float64)

    def score(self, X, y=None, sample_weight=None) -> float:
        """Mean log-density of the rows; with weights, a weight of 2 counts as two equal rows."""
        n, total = self._totals(X, sample_weight, self._log_density)
        return total / n

    def sample(self, n_samples: int = 1, random_state=None) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows from the fitted density.

        Parameters
        ----------
        n_samples : int
        random_state : int, Generator, RandomState or None
            None: that of the estimator.

        Returns
        -------
        X : (n_samples, d)
        z : (n_samples,) the component of each row; rows are sorted by it. Factor models: (n_samples, q), the factors
        """
        self._require_fitted()
        if not isinstance(n_samples, numbers.Integral):
            raise ValueError(f"n_samples must be a whole number. Got {n_samples!r} instead.")
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        rng = generator(self.random_state if random_state is None else random_state)
        return self._predictive().sample(n_samples, rng)

    def bic(self, X, sample_weight=None) -> float:
        """Bayesian information criterion on X, the smaller the better: p log n - 2 log-likelihood.

        n is the number of rows; with weights it is their sum.
        """
        n, total = self._totals(X, sample_weight, self._log_density)
        return criteria.bic(total, self.model_.n_parameters, n)

    def aic(self, X, sample_weight=None) -> float:
        """Akaike information criterion on X, the smaller the better: 2 p - 2 log-likelihood."""
        _, total = self._totals(X, sample_weight, self._log_density)
        return criteria.aic(total, self.model_.n_parameters)

    def save(self, path) -> None:
        """Write the fitted estimator to an .npz file; see :func:`fastem.load`."""
        self._require_fitted()
        save(self, path)

    def _require_savable(self):
        """Raise an error where a file of this estimator could not be loaded."""
        self._require_fitted()


describe_methods(Estimator)
refuse_sides(Estimator)


def is_same(value, other) -> bool:
    """Whether an attribute is still what it was: the same array, or an equal one, as a pickle and a copy make it."""
    return value is other or (type(value) is type(other) and np.array_equal(value, other))


def weighted_sum(values, weight) -> float:
    """The sum of values (m,), each times its weight; where that is 0, also infinity counts as 0."""
    if weight is None:
        return values.sum()
    counted = weight > 0
    return (weight[counted] * values[counted]).sum()


def checked_rows(estimator, X):
    """Rows of an array or a frame for a fitted estimator: (n, d), checked against its fit."""
    return estimator._new_rows(X)


def predictive(estimator):
    """The mixture, or the factor model, whose density is that of rows under a fitted estimator."""
    return estimator._predictive()


def log_density(estimator, rows) -> np.ndarray:
    """Log-densities (m,) of rows (m, d) that were checked against a fitted estimator."""
    return estimator._log_density(rows)


def checked_blocks(estimator, X, sample_weight=None):
    """Rows of any kind for a fitted estimator, in blocks, checked against its fit."""
    return estimator._checked_blocks(X, sample_weight)


def require_fitted(estimator) -> None:
    """Raise NotFittedError where the estimator is not fitted."""
    estimator._require_fitted()


def checked_new(estimator, X, names, place):
    """Raise ValueError at the first of some rows (m, d) that a fitted estimator cannot describe."""
    estimator._require_new(X, names, place)


def over_rows(estimator, X, function) -> list:
    """[function(rows)] of the rows of X, checked against a fitted estimator: of all together, or of each block."""
    return estimator._of_new_rows(X, function)


def as_regressor(tags):
    """scikit-learn's tags, changed to those of an estimator that predicts one target or several."""
    from sklearn.utils import RegressorTags, TargetTags

    tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
    tags.target_tags = TargetTags(required=True, multi_output=True)
    return tags
