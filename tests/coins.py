"""A model of one's own, from a tutorial: two coins, one of which was drawn for each row of tosses."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, softmax

from fastem import Statistics


def ones(X, sample_weight):
    return np.ones(len(X)) if sample_weight is None else sample_weight


@dataclass(frozen=True)
class Coins:
    """Each row: heads and tosses of one of two coins, drawn unseen with equal probability."""

    heads: np.ndarray

    def log_joint(self, X):
        h, n = X[:, :1], X[:, 1:]
        return np.log(0.5) + h * np.log(self.heads) + (n - h) * np.log(1 - self.heads)

    def e_step(self, X, sample_weight):
        w, joint = ones(X, sample_weight), self.log_joint(X)
        r = w[:, None] * softmax(joint, axis=1)
        return Statistics(
            heads=r.T @ X[:, 0], tosses=r.T @ X[:, 1], weight=w.sum(), log_likelihood=w @ logsumexp(joint, axis=1)
        )

    def m_step(self, statistics):
        return Coins(statistics.heads / statistics.tosses)

    def to_vector(self):
        return np.log(self.heads) - np.log(1 - self.heads)

    def from_vector(self, vector):
        return Coins(1 / (1 + np.exp(-vector)))


TOSSES = np.array([[5, 10], [9, 10], [8, 10], [4, 10], [7, 10]])
