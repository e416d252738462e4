"""Estimators shaped like scikit-learn's, without importing it: validate, build a start, call em, copy the results."""

from __future__ import annotations

import inspect

from fastem.errors import not_fitted
from fastem.validation import as_matrix, check_features, column_names, require_finite


class Estimator:
    """What every fastem estimator shares: parameters, tags, the checks at prediction, saving."""

    _saved_arrays: tuple[str, ...] = ()
    _saved_scalars: tuple[str, ...] = ()

    @classmethod
    def _parameter_names(cls):
        return sorted(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    def get_params(self, deep: bool = True) -> dict:
        """The constructor's parameters by name."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params):
        """Set constructor parameters; returns self."""
        valid = self._parameter_names()
        for name, value in params.items():
            if name not in valid:
                raise ValueError(f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: {valid!r}.")
            setattr(self, name, value)
        return self

    def __repr__(self):
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name in defaults
            if name != "self" and repr(getattr(self, name)) != repr(defaults[name].default)
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
            input_tags=InputTags(),
        )

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_features_in_")

    def __sklearn_clone__(self):
        from sklearn.base import clone

        return type(self)(**{name: clone(value, safe=False) for name, value in self.get_params(deep=False).items()})

    def _require_fitted(self):
        if not self.__sklearn_is_fitted__():
            raise not_fitted(self)

    def _new_rows(self, X):
        """X at prediction, checked against the fit."""
        self._require_fitted()
        names = column_names(X)
        array = as_matrix(X, self)
        check_features(self, array, names)
        require_finite(array, columns=names)
        return array

    def save(self, path) -> None:
        """Write the fitted estimator to an .npz file; see :func:`fastem.load`."""
        from fastem.persistence import save

        self._require_fitted()
        save(self, path)
