"""Predictors as an orthonormal basis, in which regressions are well conditioned, and the way back.

The columns are centred and scaled, and a QR finds a basis z of mean square 1 for them: X = mean + scale z R. Sums of
z z' are then near the identity however nearly dependent the columns are, and only the last step, back to the
coefficients of the columns themselves, meets their condition, as in any least squares by QR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DEPENDENT = 1e-12  # of a column's length: what is left of it beside those before it, where it depends on them
CONSTANT = 4 * np.finfo(np.float64).eps  # of a column's mean: its largest deviation, where it is the same in all rows
REFINEMENTS = 5
CHUNK = 1 << 14  # rows


@dataclass(frozen=True)
class Basis:
    """See the top of this file.

    Attributes
    ----------
    means, scales : (d,)
    kept : (r,) int
        Columns that do not depend on those before them. The others get the coefficient 0, as R's lm gives them none.
    factor : (r, r)
        Upper triangular.
    """

    means: np.ndarray
    scales: np.ndarray
    kept: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, X: np.ndarray, weight: np.ndarray | None = None) -> Basis:
        """Of rows (n, d) float64 with weights (n,)."""
        from scipy.linalg import qr  # here, because it takes long to import

        if weight is not None:
            X, weight = X[weight > 0], weight[weight > 0]
        means = np.clip(np.average(X, axis=0, weights=weight), X.min(axis=0), X.max(axis=0))
        scales = abs(X - means).max(axis=0)
        varies = np.flatnonzero(scales > CONSTANT * abs(means))
        share = np.ones(len(X)) if weight is None else weight
        rows = (X[:, varies] - means[varies]) / scales[varies] * np.sqrt(share / share.sum())[:, None]
        (factor,) = qr(rows, mode="r")
        left = abs(np.diagonal(factor))
        free = np.flatnonzero(left > DEPENDENT * np.sqrt((rows**2).sum(axis=0))[: len(left)])
        if len(free) < len(varies):
            (factor,) = qr(rows[:, free], mode="r")
        r = len(free)
        return cls(means, scales, varies[free], np.ascontiguousarray(factor[:r, :r]))

    @classmethod
    def plain(cls, d: int) -> Basis:
        """The columns as they are."""
        return cls(np.zeros(d), np.ones(d), np.arange(d), np.eye(d))

    def to_array(self) -> np.ndarray:
        """(2 + d, d) the means, the scales, and the factor, of 0 where a column is not kept."""
        d = len(self.means)
        factor = np.zeros((d, d))
        factor[np.ix_(self.kept, self.kept)] = self.factor
        return np.vstack([self.means, self.scales, factor])

    @classmethod
    def from_array(cls, array) -> Basis:
        """The basis of :meth:`to_array`; ValueError where the array makes none."""
        array = np.asarray(array, np.float64)
        if array.ndim != 2 or len(array) != 2 + array.shape[1] or not np.isfinite(array).all():
            raise ValueError(f"a basis is a finite array (2 + d, d). Got shape {array.shape} instead.")
        means, scales, factor = array[0], array[1], array[2:]
        kept = np.flatnonzero(np.diagonal(factor))
        if not (scales[kept] > 0).all():
            raise ValueError("the scales of a basis must be positive.")
        return cls(means, scales, kept, np.ascontiguousarray(factor[np.ix_(kept, kept)]))

    @property
    def size(self) -> int:
        """Columns of :meth:`rows`."""
        return max(1, len(self.kept))

    @property
    def dropped(self) -> np.ndarray:
        """(d,) bool: columns that depend on others."""
        return ~np.isin(np.arange(len(self.means)), self.kept)

    def rows(self, X: np.ndarray) -> np.ndarray:
        """(n, max(r, 1)) the rows in the basis; a column of zeros where it has none."""
        from scipy.linalg import solve_triangular

        if not len(self.kept):
            return np.zeros((len(X), 1))
        standard = (X[:, self.kept] - self.means[self.kept]) / self.scales[self.kept]
        return solve_triangular(self.factor, standard.T, trans="T").T

    def of_columns(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients (..., 1 + r) in the basis as those (..., 1 + d) of a one and the columns."""
        from scipy.linalg import solve_triangular

        r = len(self.kept)
        flat = coefficients.reshape(-1, coefficients.shape[-1])
        out = np.zeros((len(flat), 1 + len(self.means)))
        if r:
            out[:, 1 + self.kept] = solve_triangular(self.factor, flat[:, 1 : 1 + r].T).T / self.scales[self.kept]
        out[:, 0] = flat[:, 0] - out[:, 1:] @ self.means
        return out.reshape(*coefficients.shape[:-1], -1)

    def of_basis(self, coefficients: np.ndarray) -> np.ndarray:
        """Coefficients (..., 1 + d) of a one and the columns as those (..., 1 + size) in the basis; what they say of
        columns that depend on others is not used."""
        r = len(self.kept)
        out = np.zeros((*coefficients.shape[:-1], 1 + self.size))
        out[..., 0] = coefficients[..., 0] + coefficients[..., 1:] @ self.means
        out[..., 1 : 1 + r] = (coefficients[..., 1 + self.kept] * self.scales[self.kept]) @ self.factor.T
        return out

    def deviations(self, covariance: np.ndarray) -> np.ndarray:
        """(1 + d,) standard errors of the columns' coefficients from the covariance of those in the basis; NaN where
        a column depends on others."""
        r = 1 + len(self.kept)
        covariance = covariance[:r, :r]
        errors = np.sqrt((self.of_columns(np.linalg.cholesky(covariance).T) ** 2).sum(axis=0))
        errors[1:][self.dropped] = np.nan
        return errors

    def refined(self, X, Y, weight, coefficients) -> np.ndarray:
        """Least squares (q, 1 + d) of Y (n, q) on a one and the columns of X, from nearly these, to the last digits.

        Residuals and their products with the columns are summed in long doubles where these are longer than doubles
        (not on Windows, nor on ARM's Macs). Nothing else limits the digits: Bjorck's iterative refinement.
        """
        from scipy.linalg import solve_triangular

        long, b, r = np.longdouble, coefficients.astype(np.longdouble), len(self.kept)
        means, scales = self.means[self.kept].astype(long), self.scales[self.kept].astype(long)
        for _ in range(REFINEMENTS):
            total = np.zeros((1 + r, len(b)), long)
            for at in range(0, len(X), CHUNK):
                rows = X[at : at + CHUNK].astype(long)
                left = Y[at : at + CHUNK].astype(long) - b[:, 0] - (rows[:, None, :] * b[:, 1:]).sum(axis=2)
                if weight is not None:
                    left *= weight[at : at + CHUNK, None]
                total[0] += left.sum(axis=0)
                standard = (rows[:, self.kept] - means) / scales
                total[1:] += (standard[:, :, None] * left[:, None, :]).sum(axis=0)
            step = (total / (len(X) if weight is None else weight.sum())).astype(np.float64)
            if r:
                step[1:] = solve_triangular(self.factor, step[1:], trans="T")
            b += self.of_columns(step.T)
        return b.astype(np.float64)
