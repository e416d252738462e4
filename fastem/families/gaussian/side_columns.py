"""The fit of a Gaussian mixture to rows with side columns."""

from __future__ import annotations

from typing import TypeVar

from fastem.estimators.beside import TakesSideColumns

E = TypeVar("E")


def fit(
    self: E,
    X,
    y=None,
    sample_weight=None,
    *,
    errors=None,
    lower=None,
    upper=None,
    covariates=None,
    labels=None,
    callback=None,
    checkpoint=None,
    checkpoint_seconds: float = 60.0,
    resume: bool = False,
) -> E:
    """Fit to rows; with `errors`, to rows that were measured with known errors (extreme deconvolution); with `lower`
    and `upper`, to rows whose values are known to lie between bounds.

    With errors row n is x_n plus noise N(0, S_n), and the mixture is that of the noise-free x: `means_` and
    `covariances_` are theirs, and `log_likelihood_` is that of the rows as they were measured. Pass the errors of new
    rows to :meth:`score_samples`, :meth:`predict`, …; without them a row is taken as exact.

    With bounds a value is known as far as lower <= value <= upper: censored at a detection limit, rounded, or counted
    in a bin (its edges, with the count as sample_weight). `log_likelihood_` is then the sum of the logarithms of the
    intervals' probabilities, and of densities where values are exact. Structures with independent columns ("diag",
    "spherical", …) and one column take any number of intervals, others at most one in each row.

    Parameters
    ----------
    X
        An array (n, d), a data frame, files, chunks, a Dask or Spark frame, … (see :func:`fastem.open_rows`). NaN: a
        value is missing; with errors: it was not measured.
    y : ignored
    sample_weight : (n,), optional
        Non-negative; a weight of 2 counts as two equal rows.
    errors : array or names of columns, optional
        Of each row: standard deviations (n, d) in the units of X; or covariances (n, d, d), or their packed lower
        triangles (n, d (d + 1) / 2), S_11, S_21, S_22, …. 0: exact. inf: not measured. Or the names of the columns of
        X that hold them, in this order, which are then not among the values. Beside chunks of a stream, an array of
        all rows or names of columns of the chunks; beside a Dask array, an array.
    lower, upper : arrays (n, d) or names of columns, optional
        The bounds of each value in the units of X, both or none. Equal: the value is exact. -inf or inf: there is no
        bound on this side, so with both the value is missing. NaN in both: the value of X counts, as exact, or as
        missing where it is NaN. Where there are bounds, the value of X does not count. Cannot be combined with errors.
    covariates, labels, callback, checkpoint, checkpoint_seconds, resume
        See :meth:`fastem.PoissonMixture.fit`. Labels and covariates cannot be combined with errors or bounds.

    Returns
    -------
    self

    Raises
    ------
    ValueError
        X, errors, bounds or a parameter cannot be used; the message says why, and where.

    Warns
    -----
    ConvergenceWarning, DegenerateComponentWarning

    References
    ----------
    Bovy, Hogg, Roweis: Extreme deconvolution: inferring complete distribution functions from noisy, heterogeneous and
    incomplete observations. Annals of Applied Statistics 5 (2011) 1657-1677.
    Dempster, Laird, Rubin: Maximum likelihood from incomplete data via the EM algorithm. JRSS B 39 (1977) 1-38.

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

    Values below a detection limit of 9 are known to lie below it:

    >>> X = rng.normal(10, 1, (5000, 1))
    >>> lower, upper = np.where(X < 9, -np.inf, X), np.maximum(X, 9)
    >>> GaussianMixture().fit(np.maximum(X, 9)).covariances_.round(2)
    array([[[0.74]]])
    >>> GaussianMixture().fit(X, lower=lower, upper=upper).covariances_.round(1)
    array([[[1.]]])
    """
    sides = {"errors": errors, "lower": lower, "upper": upper, "covariates": covariates}
    more = {"callback": callback, "checkpoint": checkpoint, "checkpoint_seconds": checkpoint_seconds, "resume": resume}
    return TakesSideColumns.fit(self, X, y, sample_weight, labels=labels, **more, **sides)
