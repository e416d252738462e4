"""Logarithms of joint densities log p(x, z = k), (n, K), which underflow all at once where a row is far away."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic

LOWEST = -1e300  # log 0 as a number, so no inf - inf


def exp_relative(joint: np.ndarray, level: np.ndarray) -> np.ndarray:
    """exp(joint - level), (n, K), where each row has a level (n,) such as its largest joint or their log-sum-exp.

    Of a row whose level is not finite, because its joints all are -inf, the result is 0 and not NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem.models.log_joint import exp_relative
    >>> joint = np.array([[0.0, -np.inf], [-np.inf, -np.inf]])
    >>> exp_relative(joint, joint.max(axis=1)).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    return arithmetic.exp(joint - np.where(np.isfinite(level), level, 0)[:, None])


def normalised(joint):
    """(m,) log-densities and (K, m) responsibilities, of log p(w, k) (K, m)."""
    top = joint.max(axis=0)
    share = arithmetic.exp(joint - top)
    total = share.sum(axis=0)
    return top + arithmetic.log(total), share / total
