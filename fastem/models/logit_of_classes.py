"""A multinomial logit of classes that are known by their probabilities in each row, or by assignments with errors."""

from __future__ import annotations

import numpy as np

from fastem.kernels import arithmetic
from fastem.models.gate import log_norm_of, logits
from fastem.models.gate_steps import prior_curvature

MOST_STEPS, HALVES = 200, 30
ARRIVED, ROUNDED = 1e-10, 1e-14  # left to gain in total, by Newton's decrement, and that a unit of weight


class LogitOfClasses:
    """A multinomial logit of (n, P) rows (1, u), in the coordinates of :meth:`fastem.models.gate.Gate.to_vector`.

    Parameters
    ----------
    u, weight : (n, P), (n,)
    shares : (n, K), whose rows add up to 1
    errors : (K, K) or None
        Then the shares are of assignments, which have these probabilities given the class.
    unit : float
        Of the weights, in which the prior counts.
    """

    def __init__(self, u, weight, shares, errors=None, unit=1.0):
        self.u, self.weight, self.shares, self.errors = u, weight, shares, errors
        self.K, self.P = shares.shape[1], u.shape[1]
        self.unit, self.prior = unit, unit * prior_curvature(self.K, self.P)

    def at(self, vector):
        """The objective, pi (n, K) and the shares (n, K)."""
        gamma = np.vstack([vector.reshape(self.K - 1, self.P), np.zeros(self.P)])
        logs = logits(self.u, gamma) - log_norm_of(self.u, gamma)[:, None]
        pi, shares = arithmetic.exp(logs), self.shares
        if self.errors is not None:
            seen = arithmetic.matmul(pi, self.errors)  # (n, K) probabilities of the assignments
            logs = arithmetic.log(seen)
            shares = pi * arithmetic.matmul(self.shares / seen, np.ascontiguousarray(self.errors.T))
        of_row = (self.shares * logs).sum(axis=1)
        prior = 0.5 * float(arithmetic.matmul(arithmetic.matmul(self.prior, vector), vector))
        return float((self.weight * of_row).sum()) - prior, pi, shares

    def furthest(self, vector):
        """The largest difference of two logits of a row."""
        gamma = np.vstack([vector.reshape(self.K - 1, self.P), np.zeros(self.P)])
        return float(np.ptp(logits(self.u, gamma), axis=1).max())

    def information(self, shares, weight):
        """((K - 1) P, (K - 1) P) sum of w (diag s - s s') x u u'."""
        J, P = self.K - 1, self.P
        blocks = np.empty((J, P, J, P))
        for k in range(J):
            for j in range(k + 1):
                by = weight * shares[:, k] * ((k == j) - shares[:, j])
                weighed = np.ascontiguousarray((self.u * by[:, None]).T)
                blocks[k, :, j] = blocks[j, :, k] = arithmetic.matmul(weighed, self.u)
        return blocks.reshape(J * P, J * P)

    def scores(self, pi, shares):
        """(n, (K - 1) P) of each row, without its weight."""
        return ((shares - pi)[:, :-1, None] * self.u[:, None]).reshape(len(self.u), -1)

    def curvatures(self, pi):
        """Minus the objective's, and that of the complete data, which is positive everywhere."""
        complete = self.information(pi, self.weight) + self.prior
        if self.errors is None:
            return complete, complete
        seen, missing = arithmetic.matmul(pi, self.errors), 0.0
        for s in range(self.K):
            missing = missing + self.information(
                pi * self.errors[:, s] / seen[:, s, None], self.weight * self.shares[:, s]
            )
        return complete - missing, complete

    def maximum(self, most_steps=MOST_STEPS) -> tuple[np.ndarray, bool]:
        """The coordinates of the best of the maxima from 0 and, where the objective is not concave, from the maximum
        without its errors; and whether Newton's steps arrived there."""
        zero = np.zeros((self.K - 1) * self.P)
        if self.errors is None:
            return self.maximum_from(zero, most_steps)
        plain, _ = LogitOfClasses(self.u, self.weight, self.shares, None, self.unit).maximum()
        return max((self.maximum_from(start) for start in (zero, plain)), key=lambda found: self.at(found[0])[0])

    def maximum_from(self, vector, most_steps=MOST_STEPS) -> tuple[np.ndarray, bool]:
        """By Newton's steps, shortened until they climb; where the objective is not concave, by the complete data's."""
        arrived = ARRIVED * self.unit + ROUNDED * float(self.weight.sum())
        value, pi, shares = self.at(vector)
        for _ in range(most_steps):
            slope = arithmetic.matmul(self.weight, self.scores(pi, shares)) - arithmetic.matmul(self.prior, vector)
            step = solution(self.curvatures(pi), slope)
            if arithmetic.matmul(step, slope) < 2 * arrived:
                return vector, True
            for _ in range(HALVES):
                after, step = self.at(vector + step), step / 2
                if after[0] >= value:
                    break
            else:  # all that is left is rounding
                return vector, True
            vector, (value, pi, shares) = vector + 2 * step, after
        return vector, False

    def sandwich(self, vector):
        """The covariance ((K - 1) P, (K - 1) P) of the coordinates: the prior's where the rows say nothing; NaN where
        the information has no inverse."""
        if not len(vector):
            return np.zeros((0, 0))
        _, pi, shares = self.at(vector)
        scores = self.scores(pi, shares)
        try:
            inverse = arithmetic.inverse(self.curvatures(pi)[0])
        except np.linalg.LinAlgError:
            return np.full((scores.shape[1],) * 2, np.nan)
        squares = arithmetic.matmul(np.ascontiguousarray((scores * self.weight[:, None]).T), scores)
        return arithmetic.matmul(arithmetic.matmul(inverse, squares + self.prior), inverse)


def solution(curvatures, slope):
    """The step by the first of these matrices that is positive definite; ValueError where none is."""
    for curvature in curvatures:
        try:
            return arithmetic.solve(curvature, slope)
        except np.linalg.LinAlgError:
            continue
    raise ValueError(
        "the covariates do not determine the coefficients: leave out those that depend on others or that separate the "
        "classes, or use correction='ML'."
    )
