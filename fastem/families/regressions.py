"""Mixtures of regressions, and with covariates mixtures of experts."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, Self

import numpy as np

from fastem.driver.em import em
from fastem.errors import convergence_warning, warn
from fastem.estimators.checks import check_features, choice, real, whole
from fastem.estimators.covariates import require_finite_covariates, units
from fastem.estimators.estimator import Estimator, as_regressor
from fastem.estimators.parameters import parameter
from fastem.families.gaussian.regressor import checked_targets
from fastem.kernels.threads import for_pass
from fastem.models import criteria
from fastem.models.gate import Gate
from fastem.models.regressions import MEANS, Regressions, normalised
from fastem.models.weights import FREE
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.side_columns import named_columns, require_length
from fastem.rows.sources.open_beside import as_side
from fastem.rows.validation import as_matrix, as_sample_weight, column_names, generator, require_finite, require_rows

DEPENDENT = 1e-14  # of a column's length: what is left of it beside the columns before it, where it depends on them
SHORT = 10  # iterations of each start
WIDTH = 1e-4  # of the differences for standard errors, in units of the coordinates' own errors


class Errors(NamedTuple):
    """Standard errors, in the shapes of what they are of. gate: None without covariates."""

    coef: np.ndarray
    intercept: np.ndarray
    gate: np.ndarray | None


class MixtureOfRegressions(Estimator):
    """Components that are regressions of y on x; with covariates, a mixture of experts.

    p(y | x) = sum_k pi_k p(y | mean g(b_k + x . B_k)), g the identity (gaussian, each output with a variance of its
    own), the exponential (poisson) or the logistic function (binomial, y is 0 or 1). Several outputs are independent
    given x and the component.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    weights_ : (K,)
        With covariates, the mean of the rows' weights.
    coef_ : (K, d), or (K, m, d) where y has two dimensions
    intercept_ : (K,) or (K, m)
        On the scale of g's argument. A column of X that depends on those before it has the coefficient 0.
    variances_ : (K,) or (K, m), for family="gaussian"
    gate_coefficients_ : (K, p + 1), after a fit with covariates
        Of log weight, the intercept first; those of the last component are 0.
    log_likelihood_ : float
    n_parameters_, n_iter_, n_features_in_ : int
    converged_ : bool
    history_ : list

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
    """

    n_components: int = parameter(default=1, check=whole(1), doc="int", kw_only=False)
    family: str = parameter(
        default="gaussian", check=choice([*MEANS]), doc='{"gaussian", "poisson", "binomial"}', kw_only=True
    )
    tol: float = parameter(
        default=1e-3, check=real(0.0), doc='float\nAs that of :class:`fastem.GaussianMixture`, rule "gain".'
    )
    max_iter: int = parameter(default=1000, check=whole(0), doc="int")
    n_init: int = parameter(
        default=20,
        check=whole(1),
        doc="int\nRandom starts, each from a few rows a component, of which the best after ten iterations goes on.",
    )
    reg_covar: float = parameter(
        default=1e-6, check=real(0.0), doc="float\nThe least variance of an output, in units of its variance."
    )
    random_state: Any = parameter(default=None, check=None, doc="int, Generator, RandomState or None")
    n_threads: int | None = parameter(default=None, check=whole(1, optional=True), doc="int, optional")

    _saved_arrays: ClassVar[tuple[str, ...]] = ()

    def __sklearn_tags__(self):
        return as_regressor(super().__sklearn_tags__())

    def fit(self, X, y, sample_weight=None, *, covariates=None) -> Self:
        """Fit to rows and their targets.

        Parameters
        ----------
        X : (n, d) array or frame
            An intercept is added. Each must be complete, and in memory.
        y : (n,) or (n, m)
            poisson: counts; binomial: 0 or 1.
        sample_weight : (n,), optional
            A weight of 2 counts as two equal rows.
        covariates : (n, p) or (n,), optional
            The weights depend on these by a multinomial logit: see :mod:`fastem.models.gate`. They may be X itself.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            Rows, targets or a parameter cannot be used; the message says why.

        Warns
        -----
        ConvergenceWarning
        """
        self._check_parameters()
        owner = type(self).__name__
        names, rows = column_names(X), as_matrix(X, owner).astype(np.float64)
        require_rows(rows, 2, owner)
        require_finite(rows, columns=names)
        targets, self._flat = checked_targets(y, len(rows), owner)
        targets = targets.astype(np.float64)
        require_targets(targets, self.family)
        weight = as_sample_weight(sample_weight, len(rows))
        if len(rows) < self.n_components:
            raise ValueError(f"X has {len(rows)} rows for {self.n_components} components. Give more rows.")
        shares, side = FREE, np.empty((len(rows), 0))
        if covariates is not None:
            side = checked_covariates(covariates, len(rows))
            shares = Gate(None, None, *units(ArrayBlocks(side, weight), 0))
        self._basis = basis(rows, weight)
        wide = np.column_stack([self._basis.of(rows), targets, side])
        result = self._fitted(wide, weight, shares, targets)
        self._regressions = result.model
        self.n_iter_, self.converged_, self.history_ = result.n_iter, result.converged, list(result.history)
        self.log_likelihood_, self.n_parameters_ = result.log_likelihood, result.model.n_parameters
        self._keep_columns(rows.shape[1], names)
        self._set_attributes(result.model)
        if not self.converged_ and self.max_iter > 0:
            warn(
                f"{owner} did not converge in {self.n_iter_} iterations. Increase max_iter or tol.",
                convergence_warning(),
            )
        return self

    def _fitted(self, wide, weight, shares, targets):
        """The EMResult of the best start."""
        rng = generator(self.random_state)
        counted = np.ones(len(wide)) if weight is None else weight
        mean = counted @ targets / counted.sum()
        spread = counted @ (targets - mean) ** 2 / counted.sum()
        spread = np.where(spread > 0, spread, 1.0)
        floor = max(self.reg_covar, 1e-300) * spread
        n_threads = for_pass(self.n_threads, ArrayBlocks(wide, weight), self.n_components)
        more = {"n_threads": n_threads, "sample_weight": weight}
        best = None
        for _ in range(self.n_init if self.n_components > 1 else 1):
            start = random_start(wide, counted, self, spread, floor, shares, rng)
            result = em(start, wide, tol=0, max_iter=min(SHORT, self.max_iter), stop="log_likelihood", **more)
            if best is None or result.history[-1] > best.history[-1]:
                best = result
        return em(best.model, wide, tol=self.tol, max_iter=self.max_iter, **more)

    def _set_attributes(self, model):
        coef = np.einsum("dp,kpm->kmd", self._basis.transform, model.coefficients)
        intercept, slopes = coef[:, :, 0], coef[:, :, 1:]
        self.weights_ = model.weights
        self.coef_, self.intercept_ = (a[:, 0] if self._flat else a for a in (slopes, intercept))
        for name in ("variances_", "gate_coefficients_"):
            vars(self).pop(name, None)
        if model.is_gaussian:
            self.variances_ = model.variances[:, 0] if self._flat else model.variances
        if isinstance(model.shares, Gate):
            self.gate_coefficients_ = model.shares.in_units(model.weights)

    @property
    def model_(self):
        """The fitted model of rows in the basis of the fit, :class:`fastem.models.regressions.Regressions`."""
        self._require_fitted()
        return self._regressions

    def _wide(self, X, y, covariates):
        """Rows (n, P + m + p) of the model. y None: 0."""
        model, rows = self.model_, as_matrix(X, type(self).__name__).astype(np.float64)
        names = column_names(X)
        check_features(self, rows.shape[1], names)
        require_finite(rows, columns=names)
        m, gated = model.coefficients.shape[2], isinstance(model.shares, Gate)
        if gated != (covariates is not None):
            raise ValueError(
                "the weights of this mixture depend on covariates. Pass covariates=."
                if gated
                else f"this {type(self).__name__} was fitted without covariates, so it cannot take them."
            )
        side = checked_covariates(covariates, len(rows)) if gated else np.empty((len(rows), 0))
        if gated and side.shape[1] != len(model.shares.centre):
            raise ValueError(f"covariates has {side.shape[1]} columns, but the fit had {len(model.shares.centre)}.")
        targets = np.zeros((len(rows), m))
        if y is not None:
            targets, _ = checked_targets(y, len(rows), type(self).__name__)
            if targets.shape[1] != m:
                raise ValueError(f"y has {targets.shape[1]} outputs, but the fit had {m}.")
            require_targets(targets, self.family)
        return np.column_stack([self._basis.of(rows), targets, side])

    def predict(self, X, return_std: bool = False, *, covariates=None):
        """The mean of y given each row, shape (n,) or (n, m) as y had; with `return_std` also its deviation."""
        model, wide = self.model_, self._wide(X, None, covariates)
        z, _, side = model.split(wide)
        mean, spread = MEANS[model.family](model.linear(z))
        shares = np.exp(model.log_shares(side))
        shares = np.broadcast_to(shares, (len(z), len(model.weights)))
        total = np.einsum("nk,nkm->nm", shares, mean)
        variance = model.variances if model.is_gaussian else spread
        second = np.einsum("nk,nkm->nm", shares, variance + (mean - total[:, None]) ** 2)
        total, deviation = (a[:, 0] if self._flat else a for a in (total, np.sqrt(second)))
        return (total, deviation) if return_std else total

    def predict_components(self, X, y, *, covariates=None) -> np.ndarray:
        """The probability of each component for each row and its target, (n, K)."""
        wide = self._wide(X, y, covariates)
        return normalised(self.model_.log_joint(wide))[1]

    def class_probabilities(self, covariates) -> np.ndarray:
        """The probability of each component from the covariates alone, (n, K); ValueError after a fit without them."""
        model = self.model_
        if not isinstance(model.shares, Gate):
            raise ValueError(f"this {type(self).__name__} was fitted without covariates, so it cannot take them.")
        return np.exp(model.log_shares(checked_covariates(covariates, None)))

    def score_samples(self, X, y, *, covariates=None) -> np.ndarray:
        """log p(y | x) of each row, (n,)."""
        return normalised(self.model_.log_joint(self._wide(X, y, covariates)))[0]

    def score(self, X, y, sample_weight=None, *, covariates=None) -> float:
        """The coefficient of determination of :meth:`predict`, 1 - (squares about it) / (squares about the mean), the
        mean over outputs."""
        predicted = self.predict(X, covariates=covariates)
        predicted = predicted.reshape(len(predicted), -1)
        targets, _ = checked_targets(y, len(predicted), type(self).__name__)
        weight = as_sample_weight(sample_weight, len(targets))
        mean = np.average(targets, axis=0, weights=weight)
        left, all_ = (np.average((targets - at) ** 2, axis=0, weights=weight) for at in (predicted, mean))
        return float(np.where(all_ > 0, 1 - left / np.where(all_ > 0, all_, 1), np.where(left > 0, 0.0, 1.0)).mean())

    def bic(self, X, y, sample_weight=None, *, covariates=None) -> float:
        """Bayesian information criterion, the smaller the better: p log n - 2 log-likelihood of y given X."""
        density = self.score_samples(X, y, covariates=covariates)
        weight = as_sample_weight(sample_weight, len(density))
        weight = np.ones(len(density)) if weight is None else weight
        return criteria.bic(float(weight @ density), self.n_parameters_, float(weight.sum()))

    def aic(self, X, y, sample_weight=None, *, covariates=None) -> float:
        """Akaike information criterion, the smaller the better: 2 p - 2 log-likelihood of y given X."""
        density = self.score_samples(X, y, covariates=covariates)
        weight = as_sample_weight(sample_weight, len(density))
        total = density.sum() if weight is None else weight @ density
        return criteria.aic(float(total), self.n_parameters_)

    def standard_errors(self, X, y, sample_weight=None, *, covariates=None) -> Errors:
        """Standard errors from the observed information at the fit: the inverse of minus the Hessian of the
        log-likelihood of these rows.

        The Hessian is that of central differences of the exact gradient. Gaussian variances are those of maximum
        likelihood, so with one component the errors are sqrt((n - d - 1)/n) times those of ordinary least squares.

        Parameters
        ----------
        X, y, sample_weight, covariates
            The rows of the fit.

        Returns
        -------
        Errors
            `coef` and `intercept`, in the shapes of `coef_` and `intercept_`, and `gate`, in that of
            `gate_coefficients_`.

        Raises
        ------
        ValueError
            The information has no inverse: the fit has not converged, or something is not determined by the rows.
        """
        model, wide = self.model_, self._wide(X, y, covariates)
        weight = as_sample_weight(sample_weight, len(wide))
        covariance = inverse_information(model, wide, weight)
        K, P, m = model.coefficients.shape
        own = covariance[: K * P * m, : K * P * m].reshape(K, P, m, K, P, m)
        T = self._basis.transform
        variances = np.array(
            [[np.einsum("dp,pq,dq->d", T, own[k, :, j, k, :, j], T) for j in range(m)] for k in range(K)]
        )
        errors = np.sqrt(variances)
        errors = errors[:, 0] if self._flat else errors
        return Errors(errors[..., 1:], errors[..., 0], gate_errors(model, covariance))

    def sample(self, *arguments, **named):
        """Not defined, because the mixture does not describe X."""
        raise TypeError("a mixture of regressions does not describe X, so it cannot draw rows. Use predict.")


class Basis(NamedTuple):
    """Columns (1, x) times `transform` (d + 1, P) have mean square 1 and are orthogonal; centre and scale, (d,), are
    taken off the columns before `within` (d + 1, P)."""

    centre: np.ndarray
    scale: np.ndarray
    within: np.ndarray

    def of(self, X):
        """(n, P)"""
        return np.column_stack([np.ones(len(X)), (X - self.centre) / self.scale]) @ self.within

    @property
    def transform(self):
        """(d + 1, P) from coefficients in the basis to the intercept and the coefficients of X."""
        slopes = self.within[1:] / self.scale[:, None]
        return np.vstack([self.within[:1] - self.centre @ slopes, slopes])


def basis(X, weight) -> Basis:
    """The basis of rows (n, d) with weights. Columns that depend on those before them have no part in it."""
    weight = np.ones(len(X)) if weight is None else weight
    used = weight > 0
    X, root = X[used], np.sqrt(weight[used] / weight.sum())[:, None]
    centre = (root[:, 0] ** 2) @ X
    scale = abs(X - centre).max(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    D = root * np.column_stack([np.ones(len(X)), (X - centre) / scale])
    length = np.sqrt((D**2).sum(axis=0))
    kept = []
    for j in range(D.shape[1]):
        R = np.linalg.qr(D[:, [*kept, j]], mode="r")
        if len(R) > len(kept) and abs(R[len(kept), -1]) > DEPENDENT * max(length[j], 1e-150) and length[j] > 1e-12:
            kept.append(j)
    within = np.zeros((D.shape[1], len(kept)))
    within[kept] = np.linalg.inv(np.linalg.qr(D[:, kept], mode="r"))
    within[kept] = within[kept] @ np.linalg.inv(np.linalg.qr(D @ within, mode="r"))  # again, for its rounding
    return Basis(centre, scale, within)


def random_start(wide, counted, estimator, spread, floor, shares, rng) -> Regressions:
    """Each component a regression of a few random rows."""
    K, m = estimator.n_components, len(spread)
    P = wide.shape[1] - m - (0 if shares is FREE else len(shares.centre))
    z, y = wide[:, :P], wide[:, P : P + m]
    if estimator.family == "poisson":
        y = np.log(y + 0.5)
    elif estimator.family == "binomial":
        y = np.log((y + 0.5) / (1.5 - y))
    used = np.flatnonzero(counted)
    if K == 1:
        few = [used]
    else:
        size = min(len(used), P + 2 if estimator.family == "gaussian" else 5 * P + 10)
        few = [rng.choice(used, size, replace=False) for _ in range(K)]
    mild = 0.0 if K == 1 else 1e-3  # so that a few rows give no wild slopes
    coefficients = []
    for rows in few:
        zz, zy = z[rows].T @ z[rows] + mild * len(rows) * np.eye(P), z[rows].T @ y[rows]
        coefficients.append(np.linalg.lstsq(zz, zy, rcond=None)[0])
    variances = np.tile(np.maximum(spread / 4, floor) if estimator.family == "gaussian" else np.ones(m), (K, 1))
    widest = abs(z[used]).max(axis=0)
    return Regressions(np.full(K, 1 / K), np.array(coefficients), variances, estimator.family, floor, widest, shares)


def require_targets(y, family):
    """ValueError where a target is none of the family's."""
    wrong = {
        "gaussian": lambda: np.zeros(y.shape, bool),
        "poisson": lambda: (y < 0) | (y != np.floor(y)),
        "binomial": lambda: (y != 0) & (y != 1),
    }[family]()
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        what = "counts: whole numbers >= 0" if family == "poisson" else "0 or 1"
        raise ValueError(f"With family={family!r} y must hold {what}, but that of row {row} is {y[row, column]:g}.")


def checked_covariates(covariates, n) -> np.ndarray:
    """(n, p) finite float64; ValueError where they are something else. n None: any number of rows."""
    if named_columns(covariates) is not None:
        raise ValueError("covariates of a mixture of regressions must be an array, not names of columns.")
    side = as_side(covariates, "covariates").astype(np.float64)
    if n is not None:
        require_length(side, n, "covariates")
    require_finite_covariates(ArrayBlocks(side), 0)
    return side


def inverse_information(model, wide, weight) -> np.ndarray:
    """The inverse of minus the Hessian of the log-posterior in the model's coordinates; ValueError if there is none."""
    x = model.to_vector()
    n = len(wide) if weight is None else weight.sum()
    widths = WIDTH * (1 + abs(x)) / max(1.0, np.log10(n))

    def gradient(vector):
        at = model.from_vector(vector)
        return at.gradient(at.e_step(wide, weight))

    columns = []
    for i, width in enumerate(widths):
        step = np.zeros(len(x))
        step[i] = width
        columns.append((gradient(x + step) - gradient(x - step)) / (2 * width))
    information = -(np.array(columns) + np.array(columns).T) / 2
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the information is not positive definite, so there are no standard errors: fit with a smaller tol, or "
            "with fewer components."
        ) from None
    return np.linalg.inv(information)


def gate_errors(model, covariance):
    """(K, p + 1) standard errors of the gate's coefficients in the units of the covariates; None without a gate."""
    if not isinstance(model.shares, Gate):
        return None
    gate, K = model.shares, len(model.weights)
    P = len(gate.centre) + 1
    own = covariance[-(K - 1) * P :, -(K - 1) * P :].reshape(K - 1, P, K - 1, P) if K > 1 else np.zeros((0, P, 0, P))
    units = np.diag(1 / np.append(1.0, gate.scale))
    units[0, 1:] = -gate.centre / gate.scale
    errors = [np.sqrt(np.diagonal(units @ own[k, :, k] @ units.T)) for k in range(K - 1)]
    return np.vstack([*errors, np.zeros(P)])
