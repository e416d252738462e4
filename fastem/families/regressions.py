"""Mixtures of regressions, and with covariates mixtures of experts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from fastem.driver.em import em
from fastem.errors import DegenerateComponentWarning, convergence_warning, warn
from fastem.estimators.checks import check_features, choice, real, whole
from fastem.estimators.covariates import GATE_ARRAYS, keep_gate, keep_names, require_covariates
from fastem.estimators.determination import determination
from fastem.estimators.estimator import Estimator, as_regressor
from fastem.estimators.metadata_routing import set_predict_request
from fastem.estimators.parameters import parameter
from fastem.families.gaussian.regressor import checked_targets
from fastem.families.regression_attributes import model_of_attributes
from fastem.families.regression_errors import Errors, gate_errors, inverse_information
from fastem.families.regression_rows import (
    at_the_floor,
    checked_covariates,
    covariates_of,
    given_sides,
    in_units,
    is_constant,
    of_largest,
    require_sizes,
    require_targets,
    sizes_of,
    split_columns,
    taken_weight,
)
from fastem.kernels.threads import for_pass
from fastem.models import criteria
from fastem.models.design import Basis
from fastem.models.gate import Gate
from fastem.models.regressions import TARGETS, Regressions
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.validation import (
    column_names,
    generator,
    in_moderate_units,
    require_finite,
    require_rows,
)
from fastem.starts.regressions import best_start

MODEL_ARRAYS = "weights_", "coef_", "intercept_", "variances_", "gate_coefficients_"
MOST_REFINED = 1 << 20  # values of X
UNSEEN = object()  # targets that are asked for


SAVED_KINDS = {
    "converged_": bool,
    "n_iter_": int,
    "log_likelihood_": float,
    "history_": list,
    "n_parameters_": int,
    "n_features_in_": int,
    "side_columns_": list,
    "reg_covar_": float,
}


class MixtureOfRegressions(Estimator):
    """Components that are regressions of y on x; with covariates, a mixture of experts.

    p(y | x) = sum_k pi_k p(y | mean g(b_k + x . B_k)), g the identity (gaussian, each output with a variance of its
    own), the exponential (poisson) or the logistic function (binomial, y is 0 or 1). Several outputs are independent
    given x and the component. With `trials`, y are numbers of successes, and all trials of a row have one component;
    with `exposure`, the mean of counts is exposure times g.

    Columns are brought into an orthonormal basis first. One Gaussian regression of up to a million values is refined
    with residuals in long doubles: NIST's certified coefficients come out to 13 digits (Longley), 11 (Wampler 1 to 3),
    10 (4), 9 (5) and 7 (Filip, whose powers of x are rounded before they get here); where long doubles are doubles, to
    10, 5, 5, 5 and 6.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    weights_ : (K,)
        With covariates, the mean of the rows' weights.
    coef_ : (K, d), or (K, m, d) where y has two dimensions
    intercept_ : (K,) or (K, m)
        On the scale of g's argument. A column of X that depends on those before it has the coefficient 0, and no
        standard error (NaN).
    variances_ : (K,) or (K, m), for family="gaussian"
    gate_coefficients_ : (K, p + 1), after a fit with covariates
        Of log weight, the intercept first; those of the last component are 0.
    covariate_names_ : (p,), after a fit with covariates that have names
    basis_ : (2 + d, d)
        The orthonormal basis of the fit: means and scales of the columns, and a triangular factor.
    lines_ : (K, m, 1 + r)
        The coefficients in this basis, of which a saved model is read to the last bit. So is its gate of
        `gate_in_units_` (K + 2, p + 1). Not used where `coef_`, `intercept_` or `gate_coefficients_` were set.
    log_likelihood_ : float
    n_parameters_, n_iter_, n_features_in_ : int
    converged_ : bool
    history_ : list
    model_ : :class:`fastem.models.regressions.Regressions`
        The fitted model of rows in the basis of the fit.
    side_columns_ : list of str
        Which of "covariates", "trials" and "exposure" the fit had.
    reg_covar_ : float
        The `reg_covar` of the fit, by which `standard_errors` knows variances at the floor.

    Examples
    --------
    Two lines that cross:

    >>> import numpy as np
    >>> from fastem import MixtureOfRegressions
    >>> rng = np.random.default_rng(0)
    >>> x = rng.uniform(-1, 1, (500, 1))
    >>> y = np.where(rng.random(500) < 0.4, 2 * x[:, 0], 1 - 3 * x[:, 0]) + 0.1 * rng.normal(size=500)
    >>> model = MixtureOfRegressions(2, random_state=0).fit(x, y)
    >>> sorted(model.coef_[:, 0].round(1).tolist())
    [-3.0, 2.0]

    Successes in 20 trials each, as R's ``cbind(successes, failures) ~ x``:

    >>> successes = rng.binomial(20, 1 / (1 + np.exp(-np.where(y > 1, 2 * x[:, 0], -3 * x[:, 0]))))
    >>> rates = MixtureOfRegressions(2, family="binomial", random_state=0).fit(x, successes, trials=np.full(500, 20))
    >>> sorted(rates.coef_[:, 0].round().tolist())
    [-3.0, 2.0]
    """

    n_components: int = parameter(default=1, check=whole(1), doc="int", kw_only=False)
    family: str = parameter(
        default="gaussian", check=choice(TARGETS), doc='{"gaussian", "poisson", "binomial"}', kw_only=True
    )
    tol: float = parameter(
        default=1e-3, check=real(0.0), doc='float\nAs that of :class:`fastem.GaussianMixture`, rule "gain".'
    )
    max_iter: int = parameter(default=1000, check=whole(0), doc="int")
    n_init: int = parameter(
        default=20,
        check=whole(1),
        doc="int\nShort runs on a subsample: from lines through random rows, k-means, random cells. The best goes on.",
    )
    reg_covar: float = parameter(
        default=1e-6,
        check=real(0.0),
        doc="float\nThe least variance of an output, in units of its variance; of a constant output, itself.",
    )
    random_state: Any = parameter(default=None, check=None, doc="int, Generator, RandomState or None")
    n_threads: int | None = parameter(default=None, check=whole(1, optional=True), doc="int, optional")

    _saved_arrays: ClassVar[tuple[str, ...]] = (
        "coef_",
        "intercept_",
        "weights_",
        "variances_",
        "basis_",
        "lines_",
        *GATE_ARRAYS,
        "feature_names_in_",
    )
    _saved_scalars: ClassVar[tuple[str, ...]] = tuple(SAVED_KINDS)

    def __sklearn_tags__(self):
        return as_regressor(super().__sklearn_tags__())

    def fit(self, X, y, sample_weight=None, *, covariates=None, trials=None, exposure=None) -> Self:
        """Fit to rows and their targets.

        Parameters
        ----------
        X : (n, d) array or frame
            An intercept is added. Each must be complete, and in memory.
        y : (n,) or (n, m)
            poisson: counts; binomial: 0 or 1, or with trials numbers of successes.
        sample_weight : (n,) or the name of a column of X, optional
            A weight of 2 counts as two equal rows.
        covariates : (n, p) or (n,), or names of columns, optional
            The weights depend on these by a multinomial logit: see :mod:`fastem.models.gate`. They may be X itself. A
            column of X that is named is no predictor; the other methods take names as well.
        trials : (n,), or (n, m) as y, or names of columns, optional
            binomial: of how many trials y are the successes. The log-likelihood has the binomial coefficients. Default:
            one.
        exposure : (n,), or (n, m) as y, or names of columns, optional
            poisson: for how long, or among how many, y was counted; its logarithm is the offset of the linear
            predictor. Default: 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Rows, targets or a parameter cannot be used; the message says why.

        Warns
        -----
        ConvergenceWarning, DegenerateComponentWarning
        """
        self._check_parameters()
        owner, sides = type(self).__name__, given_sides(covariates, trials, exposure, sample_weight)
        require_sizes(self.family, sides)
        rows, names, sides = split_columns(X, sides, owner)
        require_rows(rows, 2, owner)
        require_finite(rows, columns=names)
        targets, flat = checked_targets(y, len(rows), owner)
        targets = targets.astype(np.float64)
        sizes = sizes_of(sides, targets.shape[1], column_names(y))
        require_targets(targets, self.family, sizes)
        weight, unit = in_moderate_units(taken_weight(sides, sample_weight, len(rows)))
        if len(rows) < self.n_components:
            raise ValueError(f"X has {len(rows)} rows for {self.n_components} components. Give more rows.")
        given = covariates_of(sides)
        asked = self.n_components, self.family, self.reg_covar
        basis, pattern, wide = in_units(asked, rows, targets, sizes, given, weight)
        result = self._fitted(pattern, wide, weight)
        lines = basis.of_columns(np.swapaxes(result.model.coefficients, 1, 2))
        if self.family == "gaussian" and self.n_components == 1 and rows.size <= MOST_REFINED:
            lines = basis.refined(rows, targets, weight, lines[0])[None]
        # nothing above changes the estimator, which stays as it is where a fit fails
        self.n_iter_, self.converged_, self.history_ = result.n_iter, result.converged, list(result.history)
        self.log_likelihood_, self.n_parameters_ = unit * float(result.log_likelihood), int(result.model.n_parameters)
        self._keep_columns(rows.shape[1], names)
        self._flat, self.side_columns_, self.reg_covar_ = flat, list(sides), float(self.reg_covar)
        self._set_attributes(basis, result.model, lines)
        keep_names(self, None if given is None else given.names)
        self._keep(basis, result.model)
        if not self.converged_ and self.max_iter > 0:
            warn(
                f"{owner} did not converge in {self.n_iter_} iterations. Increase max_iter or tol.",
                convergence_warning(),
            )
        if result.model.at_floor.any():
            warn(at_the_floor(result.model, is_constant(targets, weight)), DegenerateComponentWarning)
        return self

    def _fitted(self, model, wide, weight):
        """The EMResult of the best start."""
        start = best_start(model, wide, of_largest(weight), self.n_init, generator(self.random_state))
        n_threads = for_pass(self.n_threads, ArrayBlocks(wide, weight), self.n_components)
        return em(start, wide, tol=self.tol, max_iter=self.max_iter, n_threads=n_threads, sample_weight=weight)

    def _restore(self):
        """The model of loaded arrays; ValueError where they make none."""
        self._check_parameters()
        vars(self).setdefault("side_columns_", [])  # files of version 0.1 do not have it
        vars(self).setdefault("reg_covar_", self._reg_covar_of_fit())
        self._require_saved(SAVED_KINDS)
        if self.n_components != len(self.weights_):
            raise ValueError(
                f"the arrays contain {len(self.weights_)} components, but n_components is {self.n_components}"
            )
        self._flat = self.coef_.ndim == 2
        m = 1 if self._flat else self.coef_.shape[1]
        saved = getattr(self, "basis_", None) is not None
        basis = Basis.from_array(self.basis_) if saved else Basis.plain(self.n_features_in_)
        ones, widest = np.ones((self.n_components, m)), np.append(1.0, np.full(basis.size, len(basis.kept) > 0))
        pattern = Regressions(self.weights_, None, ones, self.family, np.zeros(m), widest)
        model = model_of_attributes(self, basis, pattern)
        if saved and self.n_parameters_ != model.n_parameters:
            raise ValueError(f"n_parameters_ is {self.n_parameters_}, but the arrays have {model.n_parameters}")
        if saved:  # these have all digits of the model
            if np.shape(self.lines_) != (self.n_components, m, 1 + basis.size):
                raise ValueError(
                    f"lines_ {np.shape(self.lines_)} are not of {self.n_components} components, {m} outputs and "
                    f"{basis.size} columns of a basis"
                )
            model = replace(model, coefficients=np.swapaxes(np.asarray(self.lines_, np.float64), 1, 2).copy())
        self._keep(basis, model)

    def _reg_covar_of_fit(self) -> float:
        """Of files and pickles that do not say it: the parameter."""
        return getattr(self, "reg_covar_", float(self.reg_covar))

    def _require_savable(self):
        super()._require_savable()
        family, K = self.model_.family, len(self.weights_)
        if self.n_components != K:
            raise ValueError(
                f"there are {K} weights_, but n_components is {self.n_components}. Set n_components before saving."
            )
        if self.family != family:
            raise ValueError(
                f"the fit was of family={family!r}, but family is {self.family!r}. Set family before saving."
            )

    def _keep(self, basis, model):
        """Keep a model with the attributes that it is of."""
        self._basis, self._regressions, self._model_arrays = basis, model, self._fitted_arrays()

    def _fitted_arrays(self):
        return [getattr(self, name, None) for name in MODEL_ARRAYS]

    def _set_attributes(self, basis, model, lines):
        """Those of a model in a basis; lines: (K, m, 1 + d) its coefficients of the columns, the intercept first."""
        self.basis_, self.lines_ = basis.to_array(), np.swapaxes(model.coefficients, 1, 2).copy()
        self.weights_ = model.weights
        parts = lines[..., 1:].copy(), lines[..., 0].copy()
        self.coef_, self.intercept_ = (part[:, 0] for part in parts) if self._flat else parts
        vars(self).pop("variances_", None)
        if model.is_gaussian:
            self.variances_ = model.variances[:, 0] if self._flat else model.variances
        keep_gate(self, model)

    @property
    def model_(self):
        """The fitted model of rows in the basis of the fit, :class:`fastem.models.regressions.Regressions`."""
        self._require_fitted()
        if not self._is_of_attributes():  # the user has set some
            self._adopt_attributes()
        return self._regressions

    def _adopt_attributes(self):
        model = model_of_attributes(self, self._basis, self._regressions)
        self.lines_, self.n_parameters_ = np.swapaxes(model.coefficients, 1, 2).copy(), model.n_parameters
        self._keep(self._basis, model)

    def _wide(self, X, y, sides):
        """The model, and its rows (n, P + m + …) with their side columns. y UNSEEN: 0."""
        return self._weighed(X, y, sides, None)[:2]

    def _weighed(self, X, y, sides, sample_weight):
        """The same, and the weights of the rows."""
        model, owner = self.model_, type(self).__name__
        require_sizes(model.family, sides)
        rows, names, sides = split_columns(X, sides, owner)
        check_features(self, rows.shape[1], names)
        require_finite(rows, columns=names)
        weight = taken_weight(sides, sample_weight, len(rows))
        m, gated = model.coefficients.shape[2], isinstance(model.shares, Gate)
        if gated != ("covariates" in sides):
            raise ValueError(
                "the weights of this mixture depend on covariates. Pass covariates=."
                if gated
                else f"this {owner} was fitted without covariates, so it cannot take them."
            )
        side, sizes, targets = np.empty((len(rows), 0)), sizes_of(sides, m, column_names(y)), np.zeros((len(rows), m))
        if gated:
            given = covariates_of(sides)
            side = given.X
            require_covariates(self, model.shares, given.n_features, given.names)
        if y is not UNSEEN:
            if sizes is None and "exposure" in getattr(self, "side_columns_", ()):
                raise ValueError("this model was fitted with exposure. Pass exposure=.")
            targets, _ = checked_targets(y, len(rows), owner)
            if targets.shape[1] != m:
                raise ValueError(f"y has {targets.shape[1]} outputs, but the fit had {m}.")
            require_targets(targets, model.family, sizes)
        columns = [self._basis.rows(rows), targets, *([] if sizes is None else [sizes]), side]
        return replace(model, sized=sizes is not None), np.column_stack(columns), weight

    set_predict_request = set_predict_request

    def predict(
        self, X, return_std: bool = False, *, covariates=None, trials=None, exposure=None
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The mean of y given each row, shape (n,) or (n, m) as y had; with `return_std` also its deviation. Without
        trials or exposure: of one trial, of the exposure 1."""
        model, wide = self._wide(X, UNSEEN, given_sides(covariates, trials, exposure))
        total, second = self._moments(model, wide)
        total, deviation = (a[:, 0] if self._flat else a for a in (total, np.sqrt(second)))
        return (total, deviation) if return_std else total

    def _moments(self, model, wide):
        """(n, m) means and variances of y given wide rows."""
        z, _, sizes, side = model.split(wide)
        mean, variance = model.moments(z, sizes)
        shares = np.broadcast_to(model.shares_of(side), (len(z), len(model.weights)))
        total = np.einsum("nk,nkm->nm", shares, mean)
        with np.errstate(over="ignore"):  # of counts beyond the range of numbers: inf
            squares = variance + (mean - total[:, None]) ** 2
        return total, np.einsum("nk,nkm->nm", shares, np.where(shares[:, :, None] > 0, squares, 0))

    def predict_components(self, X, y, *, covariates=None, trials=None, exposure=None) -> np.ndarray:
        """The probability of each component for each row and its target, (n, K)."""
        model, wide = self._wide(X, y, given_sides(covariates, trials, exposure))
        shares = np.empty((len(wide), len(self.weights_)))
        model.score(wide, self.n_threads, responsibilities=shares)
        return shares

    def class_probabilities(self, covariates) -> np.ndarray:
        """The probability of each component from the covariates alone, (n, K); ValueError after a fit without them."""
        model = self.model_
        if not isinstance(model.shares, Gate):
            raise ValueError(f"this {type(self).__name__} was fitted without covariates, so it cannot take them.")
        given = checked_covariates(covariates)
        require_covariates(self, model.shares, given.n_features, given.names)
        return model.shares_of(given.X)

    def score_samples(self, X, y, *, covariates=None, trials=None, exposure=None) -> np.ndarray:
        """log p(y | x) of each row, (n,)."""
        model, wide = self._wide(X, y, given_sides(covariates, trials, exposure))
        return self._log_density(model, wide)

    def _log_density(self, model, wide):
        density = np.empty(len(wide))
        model.score(wide, self.n_threads, log_density=density)
        return density

    def score(self, X, y, sample_weight=None, *, covariates=None, trials=None, exposure=None) -> float:
        """The coefficient of determination of :meth:`predict`, 1 - (squares about it) / (squares about the mean), the
        mean over outputs; NaN of one row, with a warning; ValueError where y is none of the family's."""
        sides = given_sides(covariates, trials, exposure, sample_weight)
        model, wide, weight = self._weighed(X, y, sides, sample_weight)
        _, targets, _, _ = model.split(wide)
        predicted, _ = self._moments(model, wide)
        return determination(targets, predicted, weight)

    def _total(self, X, y, sample_weight, covariates, trials, exposure):
        """The weight and the log-likelihood of all rows."""
        sides = given_sides(covariates, trials, exposure, sample_weight)
        model, wide, weight = self._weighed(X, y, sides, sample_weight)
        density = self._log_density(model, wide)
        return (len(density), float(density.sum())) if weight is None else (weight.sum(), float(weight @ density))

    def bic(self, X, y, sample_weight=None, *, covariates=None, trials=None, exposure=None) -> float:
        """Bayesian information criterion, the smaller the better: p log n - 2 log-likelihood of y given X."""
        n, total = self._total(X, y, sample_weight, covariates, trials, exposure)
        return criteria.bic(total, self.n_parameters_, n)

    def aic(self, X, y, sample_weight=None, *, covariates=None, trials=None, exposure=None) -> float:
        """Akaike information criterion, the smaller the better: 2 p - 2 log-likelihood of y given X."""
        _, total = self._total(X, y, sample_weight, covariates, trials, exposure)
        return criteria.aic(total, self.n_parameters_)

    def standard_errors(self, X, y, sample_weight=None, *, covariates=None, trials=None, exposure=None) -> Errors:
        """Standard errors from the observed information at the fit: the inverse of minus the Hessian of the
        log-likelihood of these rows.

        The Hessian is that of central differences of the exact gradient. Gaussian variances are those of maximum
        likelihood, so with one component the errors are sqrt((n - d - 1)/n) times those of ordinary least squares.

        Parameters
        ----------
        X, y, sample_weight, covariates, trials, exposure
            The rows of the fit.

        Returns
        -------
        Errors
            `coef` and `intercept`, in the shapes of `coef_` and `intercept_`, and `gate`, in that of
            `gate_coefficients_`.

        Raises
        ------
        ValueError
            The fit is at no maximum: it has not converged, a variance is at its floor, or something is not determined
            by the rows.
        """
        sides = given_sides(covariates, trials, exposure, sample_weight)
        model, wide, weight = self._weighed(X, y, sides, sample_weight)
        weight, unit = in_moderate_units(weight)
        _, targets, sizes, _ = model.split(wide)
        rows, _, sides = split_columns(X, sides, type(self).__name__)
        asked = len(model.weights), model.family, self._reg_covar_of_fit()
        basis, pattern, wide = in_units(asked, rows, targets, sizes, covariates_of(sides), weight)
        model = model_of_attributes(self, basis, pattern)
        covariance = inverse_information(model, wide, weight) / unit
        K, P, m = model.coefficients.shape
        own = covariance[: K * P * m, : K * P * m].reshape(K, P, m, K, P, m)
        errors = np.array([[basis.deviations(own[k, :, j, k, :, j]) for j in range(m)] for k in range(K)])
        errors = errors[:, 0] if self._flat else errors
        return Errors(errors[..., 1:], errors[..., 0], gate_errors(model, covariance))

    def sample(self, *arguments, **named) -> NoReturn:
        """Not defined, because the mixture does not describe X."""
        raise TypeError("a mixture of regressions does not describe X, so it cannot draw rows. Use predict.")
