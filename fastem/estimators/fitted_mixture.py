"""A mixture from its fitted attributes: scores, predictions, samples, criteria, and what a file must contain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fastem.driver.settings_text import stable_text
from fastem.estimators.containers import set_output
from fastem.estimators.covariates import GATE_ARRAYS, class_probabilities, keep_gate, scored, totals, with_gate
from fastem.estimators.cross_validate import cross_validated_score
from fastem.estimators.estimator import NOT_IN_OLD_FILES, SIZES, Estimator
from fastem.estimators.from_parameters import from_parameters as of_parameters
from fastem.estimators.merging import merge_components
from fastem.estimators.metadata_routing import set_predict_proba_request, set_predict_request
from fastem.estimators.outliers import is_outlier
from fastem.estimators.parameters import MODEL, attribute, tagged
from fastem.estimators.quantile import quantile
from fastem.estimators.summary import as_html, summary
from fastem.estimators.transform import fit_transform, get_feature_names_out, predict_proba, transform
from fastem.models import criteria
from fastem.models.mixture import Mixture
from fastem.starts.given import checked_weights

_SAVED_KINDS = {
    "converged_": bool,
    "n_iter_": int,
    "lower_bound_": float,
    "log_likelihood_": float,
    "log_likelihood_error_": float,
    "remaining_gain_": float,
    "remaining_gain_method_": str,
    "n_parameters_": int,
    "n_features_in_": int,
    "stop_reason_": str,
    "component_status_": list,
    "history_": list,
    "side_columns_": list,
}


class FittedMixture(Estimator):
    """Weights and the arrays of an emission, which come from a fit, a file or a user.

    :mod:`fastem.estimators.mixture_estimator` fits them.

    Subclasses define `_parameter_arrays` (the names of the fitted attributes), `_emission` and `_arrays`. Of the
    parameters, `n_components`, `random_state` and `n_threads` are used here.
    """

    _parameter_arrays: ClassVar[tuple[str, ...]] = ()
    _optional_arrays: ClassVar[tuple[str, ...]] = ()  # attributes that are not always there
    _made_with: ClassVar[dict[str, str]] = {}  # parameters of the model, by name, as text; none in old pickles
    _saved_scalars: ClassVar[tuple[str, ...]] = (*_SAVED_KINDS, *SIZES)

    weights_: np.ndarray = attribute()
    converged_: bool = attribute()
    n_iter_: int = attribute()
    lower_bound_: float = attribute()
    lower_bounds_: list[float] = attribute()
    log_likelihood_: float = attribute()
    log_likelihood_error_: float = attribute()
    remaining_gain_: float = attribute()
    remaining_gain_method_: str = attribute()
    history_: list[float] = attribute()
    stop_reason_: str = attribute()
    component_status_: list[str] = attribute()
    n_parameters_: int = attribute()
    n_samples_: int = attribute()
    total_weight_: float = attribute()
    side_columns_: list[str] = attribute()

    def __init_subclass__(cls, **settings):
        super().__init_subclass__(**settings)
        cls._saved_arrays = (
            "weights_",
            *cls._parameter_arrays,
            *cls._optional_arrays,
            *GATE_ARRAYS,
            "feature_names_in_",
        )

    def _emission(self):
        """The emission of the fitted attributes, which a user may have set; ValueError where they make none."""
        raise NotImplementedError

    def _arrays(self, emission) -> dict:
        """The fitted attributes of an emission, by name."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self):
        return all(hasattr(self, name) for name in ("weights_", *self._parameter_arrays))

    def _require_fitted(self):
        """Also makes a model of attributes that a user has set since the last use."""
        if self._is_of_attributes():
            return
        super()._require_fitted()
        self._mixture()

    if TYPE_CHECKING:

        @classmethod
        def from_parameters(cls, weights: Any, *arrays: Any, **parameters: Any) -> Self: ...

    else:
        from_parameters = classmethod(of_parameters)

    @classmethod
    def _parameters_to_give(cls) -> tuple[str, ...]:
        """The attributes that make a mixture, in the order in which :meth:`from_parameters` takes them."""
        return cls._parameter_arrays

    def _needed(self) -> tuple[str, ...]:
        """The attributes that make a mixture with these parameters."""
        return self._parameters_to_give()

    @classmethod
    def _settable(cls) -> tuple[str, ...]:
        """All attributes that :meth:`from_parameters` takes by name."""
        return cls._parameter_arrays

    @classmethod
    def _named_arrays(cls, arrays, parameters):
        """{attribute: array} of what :meth:`from_parameters` is given, and the parameters of the constructor."""
        order = cls._parameters_to_give()
        if len(arrays) > len(order):
            expected = ", ".join(["weights", *(name.removesuffix("_") for name in order)])
            raise TypeError(f"{cls.__name__}.from_parameters takes {expected}, but got {len(arrays) + 1} arrays.")
        named, others = dict(zip(order, arrays)), {}
        for name, value in parameters.items():
            if f"{name}_" in named:
                raise TypeError(f"{cls.__name__}.from_parameters got {name} twice.")
            if f"{name}_" in cls._settable():
                named[f"{name}_"] = value
            else:
                others[name] = value
        return named, others

    @property
    def model_(self) -> Mixture:
        """The fitted model itself, which :func:`fastem.em` and :mod:`fastem.theory` take."""
        self._require_fitted()
        return self._model

    def _fitted_arrays(self):
        return [getattr(self, name, None) for name in ("weights_", "gate_coefficients_", *self._parameter_arrays)]

    def _mixture(self) -> Mixture:
        """The model of the attributes, which a user may have set, or replaced since the fit."""
        if not self._is_of_attributes():
            self._adopt(self._of_attributes())
        return self._model

    def _adopt(self, mixture):
        """Keep the model that attributes make which a user has set; what the last fit says of others stays."""
        K, d = mixture.emission.shape
        if not hasattr(self, "n_parameters_"):
            around(self, mixture, reason="its parameters were given", names=getattr(self, "feature_names_in_", None))
            return
        self._keep_model(mixture)
        if d != self.n_features_in_:
            self._keep_columns(d, None)
        if K != len(self.component_status_):
            self.component_status_ = ["ok"] * K
        self.n_parameters_ = mixture.n_parameters

    def _of_attributes(self) -> Mixture:
        """The model that the attributes make; ValueError where they make none."""
        emission = self._emission()
        mixture = Mixture(checked_weights(self.weights_, emission.shape[0], "weights_"), emission)
        return with_gate(self, self._constrained(mixture))

    def _constrained(self, mixture) -> Mixture:
        """The mixture with the constraints of the parameters, scaled as in the last fit."""
        return mixture

    def _keep_model(self, model):
        self.weights_ = model.weights
        arrays = self._arrays(model.emission)
        keep_gate(self, model)
        for name in self._parameter_arrays:
            if name not in arrays and hasattr(self, name):
                delattr(self, name)
        self._set_arrays(arrays)
        for array in (model.weights, *arrays.values()):
            array.flags.writeable = False  # shared with the model; replace an attribute to change it
        self._take(model)

    def _take(self, model):
        """Keep what the attributes and the parameters now make."""
        self._model, self._model_arrays, self._made_with = model, self._fitted_arrays(), self._parameters_of_model()

    def _parameters_of_model(self) -> dict[str, str]:
        return {name: stable_text(getattr(self, name)) for name in tagged(self, MODEL)}

    def _require_savable(self):
        super()._require_savable()
        self._check_parameters()
        if self.n_components != len(self.weights_) and not self._may_have(len(self.weights_)):
            raise ValueError(
                f"there are {len(self.weights_)} weights_, but n_components is {self.n_components}. Set n_components "
                "before saving."
            )
        now = self._parameters_of_model()
        changed = [name for name in now.keys() - {"n_components"} if self._made_with.get(name, now[name]) != now[name]]
        if "kinds" in changed or (changed and not self._makes_its_model()):  # kinds say which array is of which column
            name = min(changed)
            raise ValueError(
                f"the fit had {name}={self._made_with[name]}, but now {name}={now[name]}, which makes another model of "
                "its attributes, or none. Set it back before saving, or fit again."
            )

    def _makes_its_model(self) -> bool:
        """Whether the parameters, which may have changed since, make the model of the fit of its attributes."""
        try:
            return self._of_attributes().n_parameters == self.n_parameters_
        except ValueError:
            return False

    def _restore(self):
        """Rebuild the model from loaded arrays; ValueError where they make none."""
        for name, unknown in NOT_IN_OLD_FILES.items():
            vars(self).setdefault(name, unknown)
        vars(self).setdefault("side_columns_", [])
        self._require_saved(_SAVED_KINDS)
        K = len(self.weights_)
        if self.n_components != K and not self._may_have(K):  # before anything of this size is made
            raise ValueError(f"the arrays contain {K} components, but n_components is {self.n_components}")
        if len(self.component_status_) != K:
            raise ValueError(f"component_status_ has {len(self.component_status_)} statuses for {K} components")
        self._check_parameters()
        model = self._of_attributes()
        _, d = model.emission.shape
        if (self.n_features_in_, self.n_parameters_) != (d, model.n_parameters):
            raise ValueError(f"n_features_in_ or n_parameters_ does not match arrays of shape {(K, d)}")
        self.lower_bounds_ = self.history_[1:]
        self._take(model)

    def _may_have(self, n_components) -> bool:
        """Whether a fit may have so few components: on_collapse="drop" removes some."""
        return self.on_collapse == "drop" and n_components < self.n_components

    summary = summary
    _repr_html_ = as_html
    quantile = quantile
    merge_components = merge_components
    cross_validated_score = cross_validated_score

    def _exact_quantile(self, q):
        """The quantiles of the log-density where there is a formula, else None."""

    class_probabilities = class_probabilities

    def bic(self, X, sample_weight=None, *, covariates=None) -> float:
        """Bayesian information criterion on X, the smaller the better: p log n - 2 log-likelihood.

        n is the number of rows; with weights it is their sum. covariates: see :meth:`fit`.
        """
        if covariates is None:
            return super().bic(X, sample_weight)
        n, total, _ = totals(self, X, covariates, sample_weight)
        return criteria.bic(total, self.model_.n_parameters, n)

    def aic(self, X, sample_weight=None, *, covariates=None) -> float:
        """Akaike information criterion on X, the smaller the better: 2 p - 2 log-likelihood. covariates: see
        :meth:`fit`."""
        if covariates is None:
            return super().aic(X, sample_weight)
        return criteria.aic(totals(self, X, covariates, sample_weight)[1], self.model_.n_parameters)

    def score_samples(self, X, *, covariates=None) -> np.ndarray:
        """Log-density of each row, shape (n,), natural logarithm; with `covariates` (see :meth:`fit`), given these."""
        if covariates is None:
            return super().score_samples(X)
        return scored(self, X, covariates, "log_density", np.float64)

    def score(self, X, y=None, sample_weight=None, *, covariates=None) -> float:
        """Mean log-density of the rows; with weights, a weight of 2 counts as two equal rows. covariates: see
        :meth:`fit`."""
        if covariates is None:
            return super().score(X, y, sample_weight)
        n, total, _ = totals(self, X, covariates, sample_weight)
        return total / n

    def icl(self, X, sample_weight=None, *, covariates=None) -> float:
        """Integrated completed likelihood on X, the smaller the better: BIC minus twice the sum over rows of the
        logarithm of the largest posterior probability.

        C. Biernacki, G. Celeux, G. Govaert: Assessing a mixture model for clustering with the integrated completed
        likelihood. IEEE Trans. PAMI 22 (2000) 719-725. mclust's ICL is the negative of this. covariates: see
        :meth:`fit`.
        """
        if covariates is not None:
            n, total, doubt = totals(self, X, covariates, sample_weight)
            return criteria.icl(criteria.bic(total, self.model_.n_parameters, n), doubt)
        n, total, doubt = self._totals(X, sample_weight, self._log_density, lambda rows: self.model_.doubt(rows))
        return criteria.icl(criteria.bic(total, self.model_.n_parameters, n), doubt)

    def _score(self, X, **outputs):
        """Of rows that were checked, by the model that was then made sure of."""
        self._model.score(X, self._threads_for(X), **outputs)

    def predict(self, X, *, covariates=None) -> np.ndarray:
        """The most probable component of each row, shape (n,). covariates: see :meth:`fit`."""
        if covariates is not None:
            return scored(self, X, covariates, "labels", np.intp)

        def labels(rows):
            assigned = np.empty(len(rows), np.intp)
            self._score(rows, labels=assigned)
            return assigned

        return self._evaluated(X, "label", labels, np.intp)

    transform = transform
    fit_transform = fit_transform
    predict_proba = predict_proba
    get_feature_names_out = get_feature_names_out
    set_output = set_output
    set_predict_request = set_predict_request
    set_predict_proba_request = set_predict_proba_request
    is_outlier = is_outlier

    def __sklearn_tags__(self):
        from sklearn.utils import TransformerTags

        tags = super().__sklearn_tags__()
        tags.transformer_tags = TransformerTags(preserves_dtype=["float64", "float32"])
        return tags


def arrays_of(estimator, mixture) -> dict:
    """The attributes that a mixture of the estimator's kind would have, by name, except the weights."""
    return estimator._arrays(mixture.emission)


def around(estimator, mixture, *, names=None, converged=True, reason="", statuses=None):
    """The estimator with a mixture in its attributes, which counts as fitted although it comes from no fit."""
    d = mixture.emission.shape[1]
    for name in (*SIZES, "side_columns_"):
        vars(estimator).pop(name, None)
    estimator._keep_model(mixture)
    estimator._keep_columns(d, names)
    estimator.converged_, estimator.n_iter_ = converged, 0
    estimator.history_, estimator.lower_bounds_ = [], []
    estimator.lower_bound_ = estimator.log_likelihood_ = estimator.log_likelihood_error_ = float("nan")
    estimator.remaining_gain_, estimator.remaining_gain_method_ = float("nan"), ""
    estimator.stop_reason_ = reason
    estimator.component_status_ = list(statuses or ["ok"] * mixture.n_components)
    estimator.n_parameters_ = mixture.n_parameters
    return estimator
