"""Covariates after the fit: the classes of a fitted mixture regressed on covariates of its rows, corrected for the
error with which single rows are classified.

With the posteriors r, the assignments a (one-hot, or r itself) and D_ks = sum r_k a_s / sum r_k, the probability that a
row of class k is assigned to s, the logit pi(c) maximises over the rows

    none:  sum_s a_s log pi_s                biased towards no effect
    BCH:   sum_k (a D^-1)_k log pi_k         shares that may be negative; concave all the same
    ML:    log sum_k pi_k prod_s D_ks^a_s    a mixture again, of which D is known

J. Vermunt: Latent class modeling with covariates: two improved three-step approaches. Political Analysis 18 (2010)
450-469.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.errors import convergence_warning, warn
from fastem.estimators.covariates import units
from fastem.kernels import arithmetic
from fastem.models.gate import Gate, log_norm_of, logits
from fastem.models.gate_steps import prior_curvature
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.side_columns import named_columns, require_length
from fastem.rows.sources.open_beside import as_side
from fastem.rows.validation import as_sample_weight, column_names

CORRECTIONS, ASSIGNMENTS = ("ML", "BCH", None), ("modal", "soft")
LEAST = 1e-15  # of a probability whose logarithm is taken
MOST_STEPS, HALVES = 200, 30
ARRIVED = 1e-10  # left to gain in total, by Newton's decrement


class ThreeStep(NamedTuple):
    """The result of :func:`three_step`.

    Attributes
    ----------
    coefficients : (K, p + 1)
        Of log pi, the intercept first; those of the last component are 0.
    standard_errors : (K, p + 1)
        By the sandwich of information and scores; NaN where the information is not positive definite. They take the
        fitted mixture as known.
    classification : (K, K)
        The probabilities D that a row of one class (row) is assigned to another (column).
    """

    coefficients: np.ndarray
    standard_errors: np.ndarray
    classification: np.ndarray


def three_step(
    model: Any, X: Any, covariates: Any, sample_weight=None, *, correction: str | None = "ML", assignment: str = "modal"
) -> ThreeStep:
    """How the classes of a mixture, which was fitted without covariates, depend on covariates of its rows.

    ``fit(X, covariates=)`` estimates both at once, and uses all that the rows say. This is for classes that are to stay
    what they are.

    Parameters
    ----------
    model : a fitted mixture
    X : (n, d), the rows of its fit
    covariates : (n, p) or (n,) array or frame
    sample_weight : (n,), optional
        A weight of 2 counts as two equal rows.
    correction : {"ML", "BCH", None}
        Of the error of the assignments, as StepMix names them; None is biased towards no effect. Slopes have the weak
        prior of `fit(X, covariates=)`.
    assignment : {"modal", "soft"}
        Each row to its most probable class, or by its posterior probabilities.

    Returns
    -------
    ThreeStep

    Raises
    ------
    ValueError
        A parameter cannot be used, a covariate is missing or the same in all rows, or no row is assigned to a class.

    Examples
    --------
    >>> import numpy as np
    >>> import fastem
    >>> rng = np.random.default_rng(2)
    >>> age = rng.normal(size=2000)
    >>> z = rng.random(2000) < 1 / (1 + np.exp(-2 * age))  # the slope is 2
    >>> X = rng.normal(size=2000) + 3 * z
    >>> model = fastem.GaussianMixture(2, random_state=0).fit(X[:, None])
    >>> for correction in (None, "BCH", "ML"):
    ...     found = fastem.three_step(model, X[:, None], age, correction=correction)
    ...     print(correction, abs(found.coefficients[0, 1]).round(1))
    None 1.5
    BCH 2.0
    ML 1.9
    """
    for name, value, known in (("correction", correction, CORRECTIONS), ("assignment", assignment, ASSIGNMENTS)):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}. Got {value!r} instead.")
    posterior = np.asarray(model.predict_proba(X), np.float64)
    n, K = posterior.shape
    if K != len(model.weights_):
        raise ValueError("three_step cannot be combined with noise, which is no class.")
    if named_columns(covariates) is not None:
        raise ValueError("three_step expects an array of covariates, not names of columns.")
    names, covariates = column_names(covariates), as_side(covariates, "covariates").astype(np.float64)
    require_length(covariates, n, "covariates")
    weight = as_sample_weight(sample_weight, n)
    weight = np.ones(n) if weight is None else weight
    gate = Gate(None, None, *units(ArrayBlocks(covariates, weight), 0, names))
    assigned = np.eye(K)[posterior.argmax(axis=1)] if assignment == "modal" else posterior
    by_class = np.ascontiguousarray((posterior * weight[:, None]).T)
    if not by_class.any(axis=1).all():
        k = by_class.any(axis=1).argmin()
        raise ValueError(f"component {k} has no rows, so nothing is known of their covariates.")
    classification = arithmetic.matmul(by_class, assigned) / by_class.sum(axis=1)[:, None]
    fit = LogitOfClasses(gate.design(covariates), weight, *said_of_classes(assigned, classification, correction))
    vector = fit.maximum()
    gate, _ = gate.from_vector(vector, model.weights_)
    errors = gate.errors_in_units(fit.sandwich(vector), K)
    return ThreeStep(gate.in_units(None), errors, classification)


def said_of_classes(assigned, classification, correction):
    """(n, K) shares of the classes of each row and None, or None and the logarithms of what its assignment says."""
    if correction is None:
        return assigned, None
    if correction == "ML":
        logs = arithmetic.log(np.clip(classification, LEAST, 1))
        return None, arithmetic.matmul(assigned, np.ascontiguousarray(logs.T))
    if np.linalg.matrix_rank(classification) < len(classification):
        raise ValueError(
            "correction='BCH' needs rows of every class, but none is assigned to some. Use correction='ML', "
            "assignment='soft', or fewer components."
        )
    return arithmetic.matmul(assigned, np.linalg.inv(classification)), None


class LogitOfClasses:
    """A multinomial logit of (n, P) rows (1, u), in the coordinates of :meth:`fastem.models.gate.Gate.to_vector`.

    Parameters
    ----------
    u, weight : (n, P), (n,)
    shares : (n, K), whose rows add up to 1, or None
    evidence : (n, K) or None
        Then the shares are the posteriors of pi times its exponentials.
    """

    def __init__(self, u, weight, shares, evidence):
        self.u, self.weight, self.shares, self.evidence = u, weight, shares, evidence
        self.K, self.P = (evidence if shares is None else shares).shape[1], u.shape[1]
        self.prior = prior_curvature(self.K, self.P)

    def at(self, vector):
        """The objective, pi (n, K) and the shares (n, K)."""
        gamma = np.vstack([vector.reshape(self.K - 1, self.P), np.zeros(self.P)])
        logs = logits(self.u, gamma) - log_norm_of(self.u, gamma)[:, None]
        if self.shares is not None:
            shares, of_row = self.shares, (self.shares * logs).sum(axis=1)
        else:
            joint = logs + self.evidence
            top = joint.max(axis=1)
            of_row = top + arithmetic.log(arithmetic.exp(joint - top[:, None]).sum(axis=1))
            shares = arithmetic.exp(joint - of_row[:, None])
        prior = 0.5 * float(arithmetic.matmul(arithmetic.matmul(self.prior, vector), vector))
        return float((self.weight * of_row).sum()) - prior, arithmetic.exp(logs), shares

    def information(self, shares):
        """((K - 1) P, (K - 1) P) sum of w (diag s - s s') x u u'."""
        J, P = self.K - 1, self.P
        blocks = np.empty((J, P, J, P))
        for k in range(J):
            for j in range(k + 1):
                by = self.weight * shares[:, k] * ((k == j) - shares[:, j])
                weighed = np.ascontiguousarray((self.u * by[:, None]).T)
                blocks[k, :, j] = blocks[j, :, k] = arithmetic.matmul(weighed, self.u)
        return blocks.reshape(J * P, J * P)

    def scores(self, pi, shares):
        """(n, (K - 1) P) of each row, without its weight."""
        return ((shares - pi)[:, :-1, None] * self.u[:, None]).reshape(len(self.u), -1)

    def curvatures(self, pi, shares):
        """Minus the objective's, and that of the complete data, which is positive everywhere."""
        complete = self.information(pi) + self.prior
        return (complete if self.shares is not None else complete - self.information(shares)), complete

    def maximum(self):
        """By Newton's steps, shortened until they climb; where the objective is not concave, by the complete data's."""
        vector = np.zeros((self.K - 1) * self.P)
        value, pi, shares = self.at(vector)
        for _ in range(MOST_STEPS):
            slope = arithmetic.matmul(self.weight, self.scores(pi, shares)) - arithmetic.matmul(self.prior, vector)
            step = solution(self.curvatures(pi, shares), slope)
            if arithmetic.matmul(step, slope) < 2 * ARRIVED:
                return vector
            for _ in range(HALVES):
                after, step = self.at(vector + step), step / 2
                if after[0] >= value:
                    break
            else:  # all that is left is rounding
                return vector
            vector, (value, pi, shares) = vector + 2 * step, after
        warn(f"three_step did not converge in {MOST_STEPS} steps.", convergence_warning())
        return vector

    def sandwich(self, vector):
        """The covariance ((K - 1) P, (K - 1) P) of the coordinates; NaN where the information has no inverse."""
        if not len(vector):
            return np.zeros((0, 0))
        _, pi, shares = self.at(vector)
        scores = self.scores(pi, shares)
        try:
            inverse = arithmetic.inverse(self.curvatures(pi, shares)[0])
        except np.linalg.LinAlgError:
            return np.full((scores.shape[1],) * 2, np.nan)
        squares = arithmetic.matmul(np.ascontiguousarray((scores * self.weight[:, None]).T), scores)
        return arithmetic.matmul(arithmetic.matmul(inverse, squares), inverse)


def solution(curvatures, slope):
    """The step by the first of these matrices that is positive definite; ValueError where none is."""
    for curvature in curvatures:
        try:
            return arithmetic.solve(curvature, slope)
        except np.linalg.LinAlgError:
            continue
    raise ValueError("the covariates do not determine the coefficients: leave out those that depend on others.")
