"""The distribution function of a fitted Gaussian mixture and quantiles of its density, where there are formulas."""

from __future__ import annotations

import numpy as np

from fastem.families.gaussian.parts import gaussian_mixture
from fastem.models.gaussian.diagonal import Diagonal
from fastem.models.gaussian.noise import WithNoise
from fastem.rows.validation import require_finite


def logcdf(self, X) -> np.ndarray:
    """log P(x <= row) of all columns together, shape (n,), where it has a closed form.

    It has one with one column or with diagonal covariances: products of normal distribution functions, accurate to
    rounding also far out in the tails.

    Parameters
    ----------
    X : rows of any kind that `predict` takes

    Raises
    ------
    ValueError
        There are several columns, and the covariances are not diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> gm = GaussianMixture(2, covariance_type="diag", random_state=0).fit(load_faithful().data)
    >>> np.exp(gm.logcdf([[3, 70], [9, 200]])).round(2)
    array([0.36, 1.  ])
    """
    mixture = gaussian_mixture(self, "logcdf")
    K, d = mixture.emission.shape
    covariance = mixture.emission.covariance
    if d > 1 and not isinstance(covariance, Diagonal):
        raise ValueError(
            f"logcdf has no closed form with covariance_type={self.covariance_type!r} and {d} columns. Use the "
            "marginal of one column, or sum scipy.stats.multivariate_normal.cdf over the components, which integrates "
            "numerically."
        )
    deviations = np.sqrt(covariance.variances(K, d))

    def of_rows(rows):
        from scipy.special import log_ndtr  # here, because it takes long to import

        require_finite(rows)
        log_probability = np.full(len(rows), -np.inf)
        with np.errstate(divide="ignore", over="ignore"):
            for weight, mean, deviation in zip(mixture.weights, mixture.emission.means, deviations):
                each = log_ndtr((rows.astype(np.float64, copy=False) - mean) / deviation)
                np.logaddexp(log_probability, np.log(weight) + each.sum(axis=1), out=log_probability)
        return np.minimum(log_probability, 0.0)

    return self._evaluated(X, "log_cdf", of_rows, np.float64)


def exact_quantile(self, q):
    """With one component, -2 log-density is chi-squared up to a constant."""
    mixture = self.model_
    if isinstance(mixture.emission, WithNoise) or mixture.n_components > 1:
        return None
    from scipy.special import chdtri  # here, because it takes long to import

    _, d = mixture.emission.shape
    at_mean = mixture.emission.covariance.log_det_precision_root(1, d)[0] - 0.5 * d * np.log(2 * np.pi)
    with np.errstate(divide="ignore"):
        return at_mean - chdtri(d, q) / 2
