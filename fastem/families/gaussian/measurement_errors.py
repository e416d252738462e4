"""Rows with measurement errors: the methods of a Gaussian mixture that take `errors`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastem.estimators.checks import check_features
from fastem.estimators.compatibility import refusal
from fastem.estimators.estimator import require_fitted
from fastem.estimators.mixture_estimator import fit_to
from fastem.families.gaussian.covariance_mixture import CovarianceMixture
from fastem.kernels.packing import packed_index, packed_lower, unpack_symmetric
from fastem.kernels.threads import for_pass
from fastem.models import criteria
from fastem.models.gaussian.linear_algebra import eigvalsh
from fastem.models.gaussian.noisy_rows import NoisyRows
from fastem.models.mixture import Mixture
from fastem.rows.scale import robust_variances
from fastem.rows.side_columns import SideBlocks, named_columns
from fastem.rows.sources.open_beside import open_beside
from fastem.rows.sources.open_rows import in_moderate_weights

ROUNDING = 1e-7  # of a covariance of errors: an eigenvalue below zero by less, in units of the largest, is zero
TYPICAL = 4.0  # times the median error: a value with a larger one is not looked at where starts are sought


class Seen:
    """What starts and the scales of columns see of wide rows: the values without those of large error, as a function.

    Parameters
    ----------
    d : int
    most : (d,)
        The largest variance of an error.
    """

    def __init__(self, d: int, most: np.ndarray):
        self.d, self.most = d, most

    def __call__(self, X):
        variances = error_variances(X, self.d)
        hidden = variances > self.most
        return np.where(hidden, X.dtype.type(np.nan), X[:, : self.d]) if hidden.any() else X[:, : self.d]


def error_variances(X, d):
    """(m, d) the variances of the errors of wide rows."""
    errors = X[:, d:]
    if errors.shape[1] == d:
        with np.errstate(over="ignore"):
            return errors**2
    i, j = packed_lower(d)
    return errors[:, i == j]


def open_noisy(X, errors, sample_weight, owner, check=None) -> tuple[SideBlocks, float]:
    """Rows with their errors as blocks, and the unit of their weights; see
    :func:`fastem.rows.sources.open_rows.open_to_fit`.

    check : callable, optional
        Called with the number and the names of the columns of values, before these are read.
    """
    wide, width = open_beside(X, {"errors": packed(errors)}, sample_weight, owner)
    p = width["errors"]
    d = wide.n_features - p
    if p not in (d, d * (d + 1) // 2):
        raise ValueError(
            f"errors has {p} columns for {d} columns of values. Give standard deviations, (n, {d}), or covariances, "
            f"({d}, {d}) or {d * (d + 1) // 2} packed, of each row."
        )
    names = None if wide.names is None else wide.names[:d]
    if check is not None:
        check(d, names)
    wide, unit = in_moderate_weights(wide)
    wide.check(lambda rows, place: require_errors(rows, d, names, place))
    return SideBlocks(wide, d, of_noisy_rows, Seen(d, most_error(wide.spaced_rows(), d)), ("errors",)), unit


def of_noisy_rows(model) -> NoisyRows | None:
    """A mixture as a model of wide rows; None for what looks at the values alone."""
    return NoisyRows(model) if isinstance(model, Mixture) else None


def packed(errors):
    """Covariances (n, d, d) as their packed lower triangles; those of one column as deviations. Others as they are."""
    if named_columns(errors) is not None or np.ndim(errors) != 3:
        return errors
    errors = np.asarray(errors, np.float64)
    _, d, e = errors.shape
    if d != e:
        raise ValueError(f"errors must have shape (n, d), (n, d, d) or (n, d (d + 1) / 2). Got {errors.shape} instead.")
    transposed = np.swapaxes(errors, 1, 2)
    with np.errstate(invalid="ignore"):
        apart = abs(errors - transposed) > ROUNDING * (abs(errors) + abs(transposed))
    if apart.any():
        row, i, j = np.argwhere(apart)[0]
        raise ValueError(f"errors must hold symmetric matrices, but that of row {row} is not, in ({i}, {j}).")
    if d == 1:
        with np.errstate(invalid="ignore"):
            return np.where(errors[:, 0] < 0, errors[:, 0], np.sqrt(errors[:, 0]))
    i, j = packed_lower(d)
    return np.ascontiguousarray(errors[:, i, j])


def require_errors(X, d, names, place):
    """ValueError at the first wide row, X (m, d + p), whose errors are no errors. place(i) names row i."""
    measured, errors = ~np.isnan(X[:, :d]), X[:, d:]
    full = errors.shape[1] > d
    diagonal = packed_index(d)[np.arange(d), np.arange(d)] if full else np.arange(d)
    along = errors[:, diagonal]
    what = "variance" if full else "standard deviation"
    bad = measured & ~(along >= 0)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        name = column if names is None else repr(names[column])
        raise ValueError(
            f"errors must hold {what}s of at least 0, but that of {place(row)}, column {name} is "
            f"{along[row, column]:g}. Where a value was not measured, give inf, or NaN in X."
        )
    if not full:
        return
    known = measured & np.isfinite(along)
    i, j = packed_lower(d)
    entries = np.where(known[:, i] & known[:, j], errors, 0.0)
    bad = ~np.isfinite(entries).all(axis=1)
    if not bad.any():
        values = eigvalsh(unpack_symmetric(entries.astype(np.float64), d))
        bad = values[:, 0] < -ROUNDING * np.maximum(values[:, -1], np.finfo(np.float64).tiny)
    if bad.any():
        raise ValueError(f"errors must hold covariance matrices, but that of {place(int(bad.argmax()))} is none.")


def most_error(X, d) -> np.ndarray:
    """(d,) the variance of an error beyond which a value says little of where the rows are, from some wide rows: that
    of the column, or TYPICAL times the median deviation where that is larger."""
    values, variances = X[:, :d].astype(np.float64), error_variances(X, d).astype(np.float64)
    known = np.isfinite(values) & np.isfinite(variances)
    if not known.any(axis=0).all():
        return np.full(d, np.finfo(np.float64).max)
    values, variances = np.where(known, values, np.nan), np.where(known, variances, np.nan)
    spread = robust_variances(values, np.full(d, np.inf))
    spread = np.where(np.isfinite(spread), spread, 0)
    return np.maximum(spread, TYPICAL**2 * np.nanmedian(variances, axis=0))


# ---- methods ----------------------------------------------------------------------------------------------------


def fit(
    self,
    X,
    y=None,
    sample_weight=None,
    *,
    errors=None,
    covariates=None,
    labels=None,
    callback=None,
    checkpoint=None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
):
    """Fit to rows; with `errors`, to rows that were measured with known errors (extreme deconvolution).

    Row n is then x_n plus noise N(0, S_n), and the mixture is that of the noise-free x: `means_` and `covariances_` are
    theirs, and `log_likelihood_` is that of the rows as they were measured. Pass the errors of new rows to
    :meth:`score_samples`, :meth:`predict`, …; without them a row is taken as exact.

    Parameters
    ----------
    X
        An array (n, d), a data frame, files, chunks, a Dask collection, … (see :func:`fastem.open_rows`). NaN: a value
        is missing; with errors: it was not measured.
    y : ignored
    sample_weight : (n,), optional
        Non-negative; a weight of 2 counts as two equal rows.
    errors : array or names of columns, optional
        Of each row: standard deviations (n, d) in the units of X; or covariances (n, d, d), or their packed lower
        triangles (n, d (d + 1) / 2), S_11, S_21, S_22, …. 0: exact. inf: not measured. Or the names of the columns of
        X that hold them, in this order, which are then not among the values. Beside chunks of a stream, an array of
        all rows or names of columns of the chunks; beside a Dask array, an array.
    covariates, labels, callback, checkpoint, checkpoint_seconds, resume
        See :meth:`fastem.PoissonMixture.fit`. Labels and covariates cannot be combined with errors.

    Returns
    -------
    self

    Raises
    ------
    ValueError
        X, errors or a parameter cannot be used; the message says why, and where.

    Warns
    -----
    ConvergenceWarning, DegenerateComponentWarning

    References
    ----------
    Bovy, Hogg, Roweis: Extreme deconvolution: inferring complete distribution functions from noisy, heterogeneous and
    incomplete observations. Annals of Applied Statistics 5 (2011) 1657-1677.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> errors = rng.uniform(0.5, 3, (5000, 1))
    >>> X = rng.normal(10, 1, (5000, 1)) + errors * rng.normal(size=(5000, 1))
    >>> GaussianMixture().fit(X).covariances_.round(1)
    array([[[4.6]]])
    >>> GaussianMixture().fit(X, errors=errors).covariances_.round(1)
    array([[[1.]]])
    """
    more = {"callback": callback, "checkpoint": checkpoint, "checkpoint_seconds": checkpoint_seconds, "resume": resume}
    if errors is None:
        return CovarianceMixture.fit(self, X, y, sample_weight, covariates=covariates, labels=labels, **more)
    require_no_covariates(covariates)
    return fit_to(self, lambda: open_noisy(X, errors, sample_weight, type(self).__name__), labels=labels, **more)


def fit_predict(self, X, y=None, sample_weight=None, *, errors=None, covariates=None, labels=None) -> np.ndarray:
    """Fit, then the most probable component of each row. See :meth:`fit` for the parameters."""
    self.fit(X, y, sample_weight, errors=errors, covariates=covariates, labels=labels)
    return self.predict(X, errors=errors, covariates=covariates)


def require_no_covariates(covariates):
    """ValueError where there are any beside errors."""
    if covariates is not None:
        raise ValueError(refusal("errors", "covariates"))


def of_blocks(self, X, errors, function: Callable, sample_weight=None) -> list:
    """[function(model of wide rows, wide rows, their weights, threads)] of each block of new rows."""
    require_fitted(self)
    mixture = self.model_
    if getattr(self, "noise_weight_", None) is not None:
        raise ValueError("errors cannot be combined with noise, whose density has no errors. Set noise=None.")
    blocks, _ = open_noisy(
        X, errors, sample_weight, type(self).__name__, lambda d, names: check_features(self, d, names)
    )
    model, n_threads = NoisyRows(mixture), for_pass(self.n_threads, blocks, mixture.n_components)
    return blocks.blocks.each(lambda rows, weight, start: function(model, rows, weight, n_threads))


def scored(self, X, errors, name, dtype, width=None) -> np.ndarray:
    """One of the outputs of :meth:`fastem.models.gaussian.noisy_rows.NoisyRows.score` of all rows."""

    def of_block(model, rows, weight, n_threads):
        values = np.empty(len(rows) if width is None else (len(rows), width), dtype)
        model.score(rows, n_threads, **{name: values})
        return values

    return np.concatenate(of_blocks(self, X, errors, of_block))


def totals(self, X, errors, sample_weight) -> tuple[float, float, float]:
    """The weight of the rows together, their log-likelihood, and their doubt: minus the logarithms of the largest
    posterior probabilities."""

    def of_block(model, rows, weight, n_threads):
        density, posterior = np.empty(len(rows)), np.empty((len(rows), model.mixture.n_components))
        model.score(rows, n_threads, log_density=density, responsibilities=posterior)
        weight = np.ones(len(rows)) if weight is None else weight
        return weight.sum(), weight @ density, -(weight @ np.log(posterior.max(axis=1)))

    weight, density, doubt = np.sum(of_blocks(self, X, errors, of_block, sample_weight), axis=0).tolist()
    if not weight > 0:
        raise ValueError("All sample_weight are zero: at least one row must count.")
    return weight, density, doubt


def score_samples(self, X, *, errors=None, covariates=None) -> np.ndarray:
    """Log-density of each row, shape (n,), natural logarithm; with `errors` (see :meth:`fit`), of the rows as they were
    measured."""
    if errors is None:
        return CovarianceMixture.score_samples(self, X, covariates=covariates)
    require_no_covariates(covariates)
    return scored(self, X, errors, "log_density", np.float64)


def score(self, X, y=None, sample_weight=None, *, errors=None, covariates=None) -> float:
    """Mean log-density of the rows; with weights, a weight of 2 counts as two equal rows. errors: see :meth:`fit`."""
    if errors is None:
        return CovarianceMixture.score(self, X, y, sample_weight, covariates=covariates)
    require_no_covariates(covariates)
    weight, total, _ = totals(self, X, errors, sample_weight)
    return total / weight


def predict(self, X, *, errors=None, covariates=None) -> np.ndarray:
    """The most probable component of each row, shape (n,). errors: see :meth:`fit`."""
    if errors is None:
        return CovarianceMixture.predict(self, X, covariates=covariates)
    require_no_covariates(covariates)
    return scored(self, X, errors, "labels", np.intp)


def predict_proba(self, X, *, errors=None, covariates=None) -> np.ndarray:
    """Posterior probability of each component for each row, shape (n, K), in the type of X; with `errors` (see
    :meth:`fit`), float64."""
    if errors is None:
        return CovarianceMixture.predict_proba(self, X, covariates=covariates)
    require_no_covariates(covariates)
    require_fitted(self)
    return scored(self, X, errors, "responsibilities", np.float64, self.model_.n_components)


def bic(self, X, sample_weight=None, *, errors=None, covariates=None) -> float:
    """Bayesian information criterion on X, the smaller the better: p log n - 2 log-likelihood.

    n is the number of rows; with weights it is their sum. errors: see :meth:`fit`.
    """
    if errors is None:
        return CovarianceMixture.bic(self, X, sample_weight, covariates=covariates)
    require_no_covariates(covariates)
    n, total, _ = totals(self, X, errors, sample_weight)
    return criteria.bic(total, self.model_.n_parameters, n)


def aic(self, X, sample_weight=None, *, errors=None, covariates=None) -> float:
    """Akaike information criterion on X, the smaller the better: 2 p - 2 log-likelihood. errors: see :meth:`fit`."""
    if errors is None:
        return CovarianceMixture.aic(self, X, sample_weight, covariates=covariates)
    require_no_covariates(covariates)
    return criteria.aic(totals(self, X, errors, sample_weight)[1], self.model_.n_parameters)


def icl(self, X, sample_weight=None, *, errors=None, covariates=None) -> float:
    """Integrated completed likelihood on X, the smaller the better: BIC minus twice the sum over rows of the
    logarithm of the largest posterior probability. errors: see :meth:`fit`.

    C. Biernacki, G. Celeux, G. Govaert: Assessing a mixture model for clustering with the integrated completed
    likelihood. IEEE Trans. PAMI 22 (2000) 719-725. mclust's ICL is the negative of this.
    """
    if errors is None:
        return CovarianceMixture.icl(self, X, sample_weight, covariates=covariates)
    require_no_covariates(covariates)
    n, total, doubt = totals(self, X, errors, sample_weight)
    return criteria.icl(criteria.bic(total, self.model_.n_parameters, n), doubt)


def denoise(self, X, errors) -> tuple[np.ndarray, np.ndarray]:
    """What the mixture says of the noise-free rows behind measured ones: their posterior means and covariances.

    Parameters
    ----------
    X : rows of any kind
        NaN: not measured.
    errors
        See :meth:`fit`. With zeros the means are those of :meth:`impute`.

    Returns
    -------
    means : (n, d)
    covariances : (n, d, d)
        Of the mixture of the components' posteriors, so also of the doubt which component it is.

    Raises
    ------
    ValueError
        The rows or the errors cannot be used; the message says where.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> model = GaussianMixture.from_parameters([1.0], [[0.0]], [[[4.0]]])
    >>> means, covariances = model.denoise([[3.0], [3.0]], errors=[[0.0], [2.0]])
    >>> means.ravel(), covariances.ravel()
    (array([3. , 1.5]), array([0., 2.]))
    """
    parts = of_blocks(self, X, errors, lambda model, rows, weight, n_threads: model.denoised(rows, n_threads))
    means, covariances = zip(*parts)
    return np.concatenate(means), np.concatenate(covariances)


def with_noise(X, errors, rng) -> np.ndarray:
    """Rows (n, d) with noise of these errors (n, p), arrays as in :meth:`fit`."""
    blocks, _ = open_noisy(X, errors, None, "sample")
    noisy = []
    for rows, _ in blocks.blocks:
        d = X.shape[1]
        if rows.shape[1] == 2 * d:
            noise = rows[:, d:] * rng.standard_normal((len(rows), d))
        else:
            values, vectors = np.linalg.eigh(unpack_symmetric(rows[:, d:], d))
            scaled = np.sqrt(np.maximum(values, 0)) * rng.standard_normal((len(rows), d))
            noise = np.einsum("nij,nj->ni", vectors, scaled)
        noisy.append(rows[:, :d] + noise)
    return np.concatenate(noisy)
