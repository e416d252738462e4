"""The equation of gamma distributions' shapes and of Student-t distributions' degrees of freedom; and a constant of
both that cancels."""

from __future__ import annotations

import numpy as np

from fastem import kernels

LARGE = 16.0  # from here on the difference of the two logarithmic terms is summed as a series
BERNOULLI = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)  # B_2k / 2k


def log_peak(shapes):
    """The log-density of log x at its largest, where x has a gamma distribution: a log a - a - log Gamma(a), by
    Stirling's series where these cancel."""
    from scipy.special import gammaln  # here, since it takes long to import

    far = np.maximum(shapes, LARGE)
    terms = [b / (2 * k - 1) for k, b in enumerate(BERNOULLI, 1)]
    stirling = 0.5 * np.log(far / (2 * np.pi)) - np.polyval(terms[::-1], far**-2.0) / far
    near = np.minimum(shapes, LARGE)
    return np.where(shapes < LARGE, near * np.log(near) - near - gammaln(near), stirling)


def gamma_shape(gap, most):
    """The x <= most with log x - digamma(x) = gap, elementwise; `most` where the gap is smaller than that of `most`.

    Newton's steps for 1/x from a start that is right within 1.5 %, kept between the bounds 1/2 < x gap < 1.

    Minka: Estimating a gamma distribution. Microsoft Research 2002.
    """
    gap = np.asarray(gap, dtype=np.float64)
    found = kernels.for_dtype(np.float64).gamma_shapes(np.ascontiguousarray(gap).reshape(-1), most)
    return found.reshape(gap.shape)[()]
