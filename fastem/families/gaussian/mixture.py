"""GaussianMixture: fastem's EM in scikit-learn's interface."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from fastem.estimators.beside import TakesSideColumns
from fastem.estimators.checks import real, whole
from fastem.estimators.compatibility import refusal
from fastem.estimators.constraints import checked_fixed
from fastem.estimators.parameters import COLUMNS, MODEL, SEARCH, attribute, parameter
from fastem.estimators.scikit_learn import from_sklearn, to_sklearn
from fastem.families.gaussian import measurement_errors
from fastem.families.gaussian.adaptation import adapt
from fastem.families.gaussian.covariance_mixture import CovarianceMixture, for_sklearn
from fastem.families.gaussian.densities import GaussianFamily
from fastem.families.gaussian.distribution import exact_quantile, logcdf
from fastem.families.gaussian.filling import impute
from fastem.families.gaussian.intervals import open_bounds
from fastem.families.gaussian.overlap import component_distances, component_overlap
from fastem.families.gaussian.parts import conditional, marginal, predict_columns
from fastem.families.gaussian.truncation import box_of, check_truncation, require_inside, untruncated
from fastem.models.gaussian.conjugate_prior import ConjugatePrior, check_prior
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.noise import WithNoise, in_box
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.gaussian.truncated import TruncatedGaussian, truncated
from fastem.models.mixture import Mixture
from fastem.rows.validation import generator, not_missing, numbered, require_finite
from fastem.starts.given import checked_attribute, checked_weights
from fastem.starts.plan import Scales


def check_noise(owner, name, value):
    """None, "box", or a volume."""
    box = isinstance(value, str) and value == "box"
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not box and not (number and 0 < value < np.inf):
        raise ValueError(
            f"The {name!r} parameter of {owner} must be None, 'box' or a volume: a finite number above 0. "
            f"Got {value!r} instead."
        )


NOISE = "noise_weight_", "noise_log_volume_", "noise_box_"


class GaussianMixture(TakesSideColumns, CovarianceMixture):
    """Gaussian mixture fitted by EM. A drop-in for scikit-learn's. NaN is a missing value; see also :meth:`impute`.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    means_ : (K, d)
    covariances_, precisions_, precisions_cholesky_ : (K, d, d), (d, d), (K, d) or (K,), by covariance_type
    noise_weight_, noise_log_volume_ : float
        Only with noise; `weights_` then sum to 1 - `noise_weight_`. `predict` and `sample` give noise the label -1,
        `predict_proba` the last column; it adds one to `n_parameters_`. (mclust adds another for its volume.)
    noise_box_ : (2, d)
        Only where the volume is that of the data's box. :meth:`sample` draws noise from it.
    prior_ : dict
        The prior of the fit, only with `prior`.
    {attributes}

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> eruptions = load_faithful().data
    >>> gm = GaussianMixture(2, random_state=0, tol=1e-6).fit(eruptions)
    >>> round(gm.log_likelihood_, 2)
    -1130.26
    >>> gm.means_[gm.weights_.argsort()].round(1)
    array([[ 2. , 54.5],
           [ 4.3, 80. ]])
    """

    noise: Any = parameter(
        default=None,
        check=check_noise,
        doc="""None, "box" or float
A further component of constant density 1 / volume, for rows that belong to no cluster (not counted in `n_components`).
The volume is given as a float; "box": the product of the columns' ranges, so that units do not matter. At the start the
noise has a weight of 5 %, and the weights of `weights_init` are scaled to 95 %.""",
        tags=[MODEL],
    )
    prior: Any = parameter(
        default=None,
        check=lambda owner, name, value: check_prior(value),
        doc=""""default" or dict, optional
mclust's conjugate prior of means and covariances; see :mod:`fastem.models.gaussian.conjugate_prior`. "default" is
mclust's: shrinkage 0.01 to the mean of the data, d + 2 degrees of freedom, and as scale the data's covariance divided
by K^(2/d) (its mean variance, for families along the columns). A dict sets some of "mean" (d,), "shrinkage", "dof" and
"scale" (a matrix, variances, or a number, as the family has them). mclust has the prior for ten families, fastem for
all: each covariance has it, or the one covariance that all components share. With any prior, EM maximises the
log-posterior, which `history_` and `lower_bound_` contain, up to a constant. mclust's own estimates are its mode for
EEE, VVV, VII and VVI, but not for EII, EEI and EEV, so the results of these differ a little.""",
        tags=[COLUMNS, MODEL, SEARCH],
    )
    max_eigenvalue_ratio: float | None = parameter(
        default=None,
        check=real(1.0, optional=True),
        doc="""float, optional
Upper bound of the largest eigenvalue of all covariances divided by the least, as in tclust. It replaces `reg_covar`.
For "full" and "diag" columns are in units of their standard deviation (that of their middle half, where it is less), so
that the data's units do not matter; for "spherical" they are not scaled.""",
        tags=[COLUMNS, MODEL, SEARCH],
    )

    truncation: Any = parameter(
        default=None,
        check=check_truncation,
        doc="""(low, high), optional
A box in which alone rows could be seen, two numbers or arrays (d,), -inf and inf where there is no end; how many rows
were outside is not known. `means_`, `covariances_` and `weights_` are of all rows, seen or not; densities, predictions
and :meth:`sample` of seen ones. For "diag" and "spherical", and for any structure of up to three columns; see
:mod:`fastem.models.gaussian.truncated`.""",
        tags=[COLUMNS, MODEL],
    )

    truncate: int | None = parameter(
        default=None,
        check=whole(1, optional=True),
        doc="""int, optional
Each row looks at so many components only, the most probable ones that it has found so far (and in every pass at some
next to these), for mixtures of hundreds of components: a pass then takes as long as with some `3 * truncate` of them.
The posteriors of the fit are those over these components, so `history_` and `lower_bound_` hold a bound of the
log-likelihood, which never falls; `log_likelihood_` is that of all components, and so is all that is asked of the
fitted mixture. 5 is fast, 24 nearly exact. See :mod:`fastem.models.gaussian.candidates`.""",
        tags=[COLUMNS],
    )

    noise_weight_: float = attribute()
    noise_log_volume_: float = attribute()
    noise_box_: np.ndarray = attribute()
    prior_: dict = attribute()

    _optional_arrays = ("noise_box_",)
    _saved_scalars = (
        *CovarianceMixture._saved_scalars,
        "noise_weight_",
        "noise_log_volume_",
        "prior_",
        "column_scales_",
    )
    _fixable: ClassVar = {"weights": "weights_init", "means": "means_init", "covariances": "precisions_init"}

    marginal = untruncated(marginal)
    conditional = untruncated(conditional)
    predict_columns = untruncated(predict_columns)
    logcdf = untruncated(logcdf)
    component_distances = component_distances
    component_overlap = untruncated(component_overlap)
    impute = impute
    adapt = untruncated(adapt)
    denoise = measurement_errors.denoise

    def _exact_quantile(self, q):
        return None if self.truncation is not None else exact_quantile(self, q)

    _openers: ClassVar = {
        "errors": measurement_errors.open_errors,
        "lower": open_bounds,
        "upper": open_bounds,
    }

    def _family(self):
        fixed = {
            name: checked_fixed(self.fixed, name, self.n_components, type(self).__name__, tuple(self._fixable))
            for name in ("means", "covariances")
        }
        return GaussianFamily(
            self.covariance_type,
            self.reg_covar,
            noise=self.noise,
            prior=self.prior,
            truncate=self.truncate,
            max_eigenvalue_ratio=self.max_eigenvalue_ratio,
            truncation=self.truncation,
            fixed_means=fixed["means"],
            fixed_covariances=fixed["covariances"],
        )

    @property
    def _takes_missing(self):
        if not self.__sklearn_is_fitted__():
            return self._family().takes_missing
        return self._mixture().emission.takes_missing

    def _require_new(self, X, names, place=numbered):
        if (self.noise is not None or self.truncation is not None) and not self._takes_missing:
            name = "noise" if self._has_noise else "truncation"
            advice = refusal(name, "missing values").format(f"{name}={getattr(self, name)!r}")
            require_finite(X, columns=names, place=place, allowed=not_missing, advice=advice)
        super()._require_new(X, names, place)

    def _scales(self):
        prior, deviations = getattr(self, "prior_", None), getattr(self, "column_scales_", None)
        return Scales(
            prior=None if prior is None else ConjugatePrior.from_dict(prior),
            deviations=None if deviations is None else np.array(deviations, np.float64),
        )

    def _keep_model(self, model):
        super()._keep_model(model)
        emission = model.emission
        for name in ("prior_", "column_scales_", *NOISE):
            vars(self).pop(name, None)
        if isinstance(emission, WithNoise):
            self.weights_ = model.weights[:-1]
            self.noise_weight_, self.noise_log_volume_ = float(model.weights[-1]), emission.log_volume
            if emission.box is not None:
                self.noise_box_ = emission.box
        if isinstance(emission, ConstrainedGaussian):
            if emission.prior is not None:
                self.prior_ = emission.prior.to_dict()
            if emission.ratio is not None:
                self.column_scales_ = emission.ratio.scale.tolist()
        if isinstance(emission, TruncatedGaussian):
            self.weights_ = emission.weights_of_all(model.weights)
            self.weights_.flags.writeable = False
            weights = emission.weights_of_seen(self.weights_)
            self._model = replace(model, weights=weights)  # to the bit that of the attributes, and so of a file
        self._model_arrays = self._fitted_arrays()

    def _emission(self):
        emission = super()._emission()
        if self.truncation is None:
            return emission
        return truncated(emission, box_of(self.truncation, STRUCTURES[self.covariance_type], emission.shape[1]))

    def _require_new_values(self, X, names, place=numbered):
        if self.truncation is not None:
            require_inside(X, self._emission().box, names, place)

    def _makes_its_model(self):
        """Also the box, which no attribute holds."""
        if not super()._makes_its_model():
            return False
        fitted, made = (getattr(model.emission, "box", None) for model in (self._model, self._of_attributes()))
        return np.array_equal(fitted, made)

    # ---- scikit-learn -------------------------------------------------------------------------------------------

    to_sklearn = untruncated(to_sklearn)
    from_sklearn = classmethod(from_sklearn)
    _counterpart: ClassVar = ("mixture", "GaussianMixture")

    def _for_sklearn(self):
        if self._has_noise:
            raise ValueError(f"scikit-learn's mixtures have no noise, but this one has noise={self.noise!r}.")
        return for_sklearn(self)

    def _take_sklearns(self, model):
        self.weights_ = model.weights_
        self._set_arrays({name: getattr(model, name) for name in self._parameter_arrays})

    # ---- noise --------------------------------------------------------------------------------------------------

    @property
    def _has_noise(self):
        return hasattr(self, "noise_weight_")

    @classmethod
    def _settable(cls):
        return (*super()._settable(), *NOISE)

    def _fitted_arrays(self):
        return [*super()._fitted_arrays(), *(getattr(self, name, None) for name in NOISE)]

    def _of_attributes(self):
        if self.truncation is not None:
            mixture = super()._of_attributes()
            return replace(mixture, weights=mixture.emission.weights_of_seen(mixture.weights))
        if not self._has_noise:
            return super()._of_attributes()
        emission = self._emission()
        weights = checked_attribute(self, "weights_", ("K",)), checked_attribute(self, "noise_weight_", ())
        weights = checked_weights(np.append(*weights), len(emission.means) + 1, "weights_ and noise_weight_")
        return Mixture(weights, self._noise_beside(emission))

    def _noise_beside(self, emission) -> WithNoise:
        """The Gaussians and the noise of the attributes, its volume that of the box where one is set."""
        log_volume, box = (getattr(self, name, None) for name in NOISE[1:])
        if box is None:
            if not isinstance(log_volume, numbers.Real) or not np.isfinite(log_volume):
                raise ValueError(f"noise_log_volume_ must be a finite number. Got {log_volume!r} instead.")
            return WithNoise(emission, float(log_volume))
        box = checked_attribute(self, "noise_box_", (2, emission.shape[1]))
        if not (box[1] > box[0]).all():
            raise ValueError("noise_box_ must contain the least value of each column and, in row 1, the largest.")
        within = in_box(emission, box)
        if log_volume is not None and not np.isclose(log_volume, within.log_volume, rtol=1e-9):
            raise ValueError(
                f"noise_log_volume_ is {log_volume!r}, but the logarithm of the volume of noise_box_ is "
                f"{within.log_volume!r}. Delete one of the two, or set both."
            )
        return within if log_volume is None else WithNoise(emission, log_volume, box)

    def _restore(self):
        kinds = {"noise_weight_": float, "noise_log_volume_": float}
        if any(hasattr(self, name) for name in (*kinds, "noise_box_")):
            self._require_saved(kinds)
            box = getattr(self, "noise_box_", None)
            if not np.isfinite(self.noise_log_volume_):
                raise ValueError(f"noise_log_volume_ must be finite, but it is {self.noise_log_volume_}")
            if box is not None and (box.shape != (2, self.n_features_in_) or not (box[1] > box[0]).all()):
                raise ValueError(
                    "noise_box_ must contain the least value of each column and, in row 1, the largest, which is larger"
                )
        super()._restore()

    def _score(self, X, **outputs):
        super()._score(X, **outputs)
        labels = outputs.get("labels")
        if labels is not None and self._has_noise:
            labels[labels == len(self.weights_)] = -1

    def sample(self, n_samples: int = 1, random_state=None, *, errors=None) -> tuple[np.ndarray, np.ndarray]:
        rng = random_state if errors is None else generator(self.random_state if random_state is None else random_state)
        X, z = super().sample(n_samples, rng)
        X = X if errors is None else measurement_errors.with_noise(X, errors, rng)
        return X, np.where(z == len(self.weights_), -1, z) if self._has_noise else z

    sample.__doc__ = CovarianceMixture.sample.__doc__.replace(
        """
        Returns
""",
        """        errors : array, optional
            Of each row that is drawn, as in :meth:`fit`: the rows get noise of these errors. None: they are noise-free.

        Returns
""",
    )
