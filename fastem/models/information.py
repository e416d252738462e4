"""The inverse of an observed information: the covariance of estimates, where the likelihood is at its maximum."""

from __future__ import annotations

import numpy as np

MOST_LEFT = 0.5  # of the log-likelihood to be gained, by Newton's estimate: a parameter may be an error off
NOT_DEFINITE = "the observed information is not positive definite"
NO_MAXIMUM = (
    "{}, so the fit is not at a maximum of the likelihood: fit with a smaller tol, or choose fewer components or "
    "covariates."
)


def inverse_at_maximum(observed, slope, unit=1.0) -> np.ndarray:
    """(r, r) the inverse of an observed information, of which the symmetric part is taken.

    Parameters
    ----------
    observed : (r, r)
    slope : (r,)
        The derivatives of the log-likelihood, from which Newton's estimate says what is left to gain.
    unit : float
        The weight of one row in both.

    Raises
    ------
    ValueError
        The model is at no maximum of the likelihood of these rows.
    """
    try:
        observed = (observed + observed.T) / 2
        np.linalg.cholesky(observed)
        inverse = np.linalg.inv(observed)
    except np.linalg.LinAlgError:
        raise ValueError(NO_MAXIMUM.format(NOT_DEFINITE)) from None
    left = 0.5 * slope @ inverse @ slope / unit
    if left > MOST_LEFT:
        raise ValueError(NO_MAXIMUM.format(f"the log-likelihood may rise by {left:.2g}"))
    return inverse
