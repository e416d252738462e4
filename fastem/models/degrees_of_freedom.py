"""How heavy the tails of one Student-t component are: a search over one number, where EM would need many passes."""

from __future__ import annotations

import numpy as np

SCALE_STEPS = 5  # of the scale for each number of degrees of freedom tried; enough for its first digits
TOLERANCE = 0.02  # of the logarithm of the degrees of freedom: EM is for the rest


def most_likely_degrees(squares, weight, d, least, most):
    """The degrees of freedom in [least, most] and the scale under which squared distances (n,) in d columns are most
    likely, as if all scale matrices were multiplied by that scale. Rows count with their weights (n,)."""
    from scipy.optimize import minimize_scalar  # here, because they take long to import
    from scipy.special import betaln

    used = (weight > 0) & (squares > 0)
    if not used.any():
        return most, 1.0
    squares, weight = squares[used] / d, weight[used] / weight[used].sum()
    middle = np.exp(weight @ np.log(squares))

    def scale_for(nu):
        scale = middle
        for _ in range(SCALE_STEPS):  # as EM with expanded parameters
            u = (nu + d) / (nu * scale + d * squares)
            scale = weight @ (u * squares) / (weight @ u)
        return scale

    def loss(log_degrees):
        nu = np.exp(log_degrees)
        scale = scale_for(nu)
        tail = weight @ np.log1p(d * squares / (nu * scale))
        return betaln(nu / 2, d / 2) + d / 2 * np.log(nu * scale) + (nu + d) / 2 * tail

    bounds = np.log(least), np.log(most)
    nu = np.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": TOLERANCE}).x)
    return nu, scale_for(nu)
