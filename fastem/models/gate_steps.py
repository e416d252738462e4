"""The two steps of a gate, neither of which can lower the likelihood, and what they are sure to gain.

With g_k = sum (r_k - pi_k) u the gradient:

1. Boehning's: the curvature is nowhere above (I - 11'/K)/2 x G, with G = sum u u', so gamma_k + 2 G^-1 g_k gains at
   least sum_k g_k G^-1 g_k.
2. Newton's, where the curvature H is known: along a direction D the third derivative is at most the range w of D_k . u
   over components times the second. So the step t D, D = H^-1 g, t = log(1 + w)/w, gains at least
   l2 (t - (exp(w t) - w t - 1)/w^2), with l2 = g . D. For the same reason a curvature that was summed at another gate,
   whose gamma_k . u differ by a range of v, is exp(v) times its matrix at most.

A weak normal prior (`RIDGE`) of the slopes about their mean over the components keeps them finite where a covariate
separates the components. Where weights are small it is in their `unit`, so that it is as weak.

D. Boehning: Multinomial logistic regression algorithm. Ann. Inst. Statist. Math. 44 (1992) 197-200.
F. Bach: Self-concordant analysis for logistic regression. Electron. J. Statist. 4 (2010) 384-414.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from fastem.kernels import arithmetic

ROUNDING = 1e-13  # of sums over rows
MOST_SPREAD = 300.0  # of which exp is taken
RIDGE = 1e-3  # of the slopes' prior: -RIDGE/2 times their squares, in units of the covariates' largest deviations


class Curvature(NamedTuple):
    """sum w (diag pi - pi pi') x u u', (K (p + 1), K (p + 1)), at some coefficients (K, p + 1), of the rows with this
    sum of u u', `gram`."""

    matrix: np.ndarray
    coefficients: np.ndarray
    gram: np.ndarray

    def spread(self, coefficients) -> float:
        """The curvature at other coefficients is at most exp(spread) times the matrix."""
        return 0.0 if coefficients is self.coefficients else range_of(coefficients - self.coefficients)

    def factor(self, coefficients) -> float:
        """exp(spread), or a number so large that a step by this curvature is none."""
        return float(arithmetic.exp(min(self.spread(coefficients), MOST_SPREAD)))


def bounded_step(gradient, gram, unit=1.0):
    """Boehning's step, and what it gains at least."""
    step = arithmetic.matmul(gradient, inverse_bound(gram.tobytes(), len(gram), unit))
    return step, 0.5 * float((step * gradient).sum())


def newton_step(gradient, curvature, factor, unit=1.0):
    """The damped Newton step for a curvature of at most `factor` times this, and what it gains at least; None where
    the curvature has no inverse."""
    K, P = gradient.shape
    free, step = (K - 1) * P, np.zeros((K, P))  # the last component is the reference
    try:
        information = factor * curvature[:free, :free] + unit * prior_curvature(K, P)
        solution = arithmetic.solve(information, gradient[:-1].ravel())
    except np.linalg.LinAlgError:
        return None
    step[:-1] = solution.reshape(K - 1, P)
    square, width = float((step * gradient).sum()), range_of(step)
    if not np.isfinite(width) or not square > 0:
        return None
    t = damping(width)
    return t * step, square * (t - convexity(width * t) * t**2)


def damping(width) -> float:
    """The share of a Newton step that gains most for sure, where it changes no linear predictor by more than width."""
    return 1.0 if width < 1e-8 else float(arithmetic.log1p(width)) / width


@cache
def precisions(P):
    """(P,) of the prior of a component's coefficients; the intercept has none."""
    return np.append(0.0, np.full(P - 1, RIDGE))


@lru_cache(maxsize=16)
def inverse_bound(gram: bytes, P, unit=1.0):
    """(P, P) inverse of Boehning's curvature of a component; all M-steps of a fit share the sum of u u'."""
    bound = 0.5 * np.frombuffer(gram).reshape(P, P)
    # of dependent covariates in rows of large weights, beside which the prior is nothing; a larger bound is one, too
    rounding = ROUNDING * P * np.diagonal(bound)
    return arithmetic.inverse(bound + np.diag(unit * precisions(P) + rounding))


@cache
def prior_curvature(K, P):
    """((K - 1) P, (K - 1) P): that of the prior, in the coefficients of all but the last component."""
    return np.kron(np.eye(K - 1) - 1 / K, np.diag(precisions(P)))


def range_of(step) -> float:
    """At least the range over components of step_k . u, where no covariate is beyond 1."""
    return float(abs(step[:, None] - step).sum(axis=2).max())


def convexity(x) -> float:
    """(exp x - x - 1) / x^2, for x >= 0."""
    return 0.5 + x / 6 + x * x / 24 if x < 1e-3 else float(arithmetic.exp(x) - 1 - x) / x**2
