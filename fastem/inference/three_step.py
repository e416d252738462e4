"""Covariates after the fit: the classes of a fitted mixture regressed on covariates of its rows, corrected for the
error with which single rows are classified.

With the posteriors r, the assignments a (one-hot, or r itself) and D_ks = sum r_k a_s / sum r_k, the probability that a
row of class k is assigned to s, the logit pi(c) maximises over the rows

    none:  sum_s a_s log pi_s                biased towards no effect
    BCH:   sum_k (a D^-1)_k log pi_k         shares that may be negative; concave all the same
    ML:    sum_s a_s log sum_k pi_k D_ks     a row counts a_s times as one that is assigned to s

J. Vermunt: Latent class modeling with covariates: two improved three-step approaches. Political Analysis 18 (2010)
450-469.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastem.errors import convergence_warning, warn
from fastem.estimators.covariates import units
from fastem.kernels import arithmetic
from fastem.models.gate import Gate
from fastem.models.logit_of_classes import LogitOfClasses
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.side_columns import named_columns, require_length
from fastem.rows.sources.open_beside import as_side
from fastem.rows.validation import as_sample_weight, column_names, in_moderate_units

CORRECTIONS, ASSIGNMENTS = ("ML", "BCH", None), ("modal", "soft")
LEAST = 1e-15  # of a probability whose logarithm is taken
SEPARATED = 30.0  # logits apart: probabilities below rounding


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
    model: Any,
    X: Any,
    covariates: Any,
    sample_weight=None,
    *,
    correction: str | None = "ML",
    assignment: str = "modal",
    **sides: Any,
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
    **sides
        The other side columns of the fit, `errors` or `lower` and `upper`: see `predict_proba` of the model.

    Returns
    -------
    ThreeStep

    Raises
    ------
    ValueError
        A parameter cannot be used, the mixture was fitted with covariates, a covariate is missing or the same in all
        rows, or no row is assigned to a class.
    TypeError
        The model is no mixture, or takes no such side column.

    Warns
    -----
    ConvergenceWarning
    UserWarning
        With "BCH", where the covariates separate the classes: its shares may be negative, and the objective then has no
        maximum but that of the weak prior.

    References
    ----------
    J. Vermunt: Latent class modeling with covariates: two improved three-step approaches. Political Analysis 18 (2010)
    450-469.
    A. Bolck, M. Croon, J. Hagenaars: Estimating latent structure models with categorical variables: one-step versus
    three-step estimators. Political Analysis 12 (2004) 3-27.

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
    ML 2.0
    """
    for name, value, known in (("correction", correction, CORRECTIONS), ("assignment", assignment, ASSIGNMENTS)):
        if not (value is None or isinstance(value, str)) or value not in known:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}. Got {value!r} instead.")
    if isinstance(model, type) or not (hasattr(model, "predict_proba") and hasattr(model, "weights_")):
        raise TypeError(f"three_step expects a fitted mixture that has predict_proba. Got {model!r:.60} instead.")
    if getattr(model, "gate_coefficients_", None) is not None:
        raise ValueError(
            "three_step expects a mixture that was fitted without covariates. This one has gate_coefficients_ already: "
            "its fit estimated them together with the classes. Fit without covariates= for three steps."
        )
    posterior = np.asarray(model.predict_proba(X, **sides), np.float64)
    n, K = posterior.shape
    if K != len(model.weights_):
        raise ValueError("three_step cannot be combined with noise, which is no class.")
    if named_columns(covariates) is not None:
        raise ValueError("three_step expects an array of covariates, not names of columns.")
    names, covariates = column_names(covariates), as_side(covariates, "covariates").astype(np.float64, order="C")
    require_length(covariates, n, "covariates")
    weight = as_sample_weight(sample_weight, n)
    weight, unit = in_moderate_units(np.ones(n) if weight is None else weight)
    gate = Gate(None, None, *units(ArrayBlocks(covariates, weight), 0, names))
    assigned = np.eye(K)[posterior.argmax(axis=1)] if assignment == "modal" else posterior
    by_class = np.ascontiguousarray((posterior * weight[:, None]).T)
    if not by_class.any(axis=1).all():
        k = by_class.any(axis=1).argmin()
        raise ValueError(f"component {k} has no rows, so nothing is known of their covariates.")
    there = weight @ assigned > 0
    if not there.all():
        raise ValueError(
            f"no row is assigned to component {there.argmin()}. Use assignment='soft', or fewer components."
        )
    classification = arithmetic.matmul(by_class, assigned) / by_class.sum(axis=1)[:, None]
    said = said_of_classes(assigned, classification, correction)
    fit = LogitOfClasses(gate.design(covariates), weight, *said, gate.unit)
    vector, converged = fit.maximum()
    if not converged:
        warn("three_step: the coefficients did not converge.", convergence_warning())
    if correction == "BCH" and fit.shares.min() < 0 and fit.furthest(vector) > SEPARATED:
        warn(
            "the covariates separate the classes, where the BCH correction has no maximum but that of the weak prior: "
            "use correction='ML'.",
            UserWarning,
        )
    gate, _ = gate.from_vector(vector, model.weights_)
    errors = gate.errors_in_units(fit.sandwich(vector), K) / np.sqrt(unit)
    return ThreeStep(gate.in_units(None), errors, classification)


def said_of_classes(assigned, classification, correction):
    """(n, K) shares of the classes of each row, and the errors (K, K) with which they are known; None: none."""
    if correction is None:
        return assigned, None
    if correction == "ML":
        return assigned, np.clip(classification, LEAST, 1)
    if np.linalg.matrix_rank(classification) < len(classification):
        raise ValueError(
            "correction='BCH' needs rows of every class, but the posteriors do not tell some apart. Use "
            "correction='ML', or fewer components."
        )
    return arithmetic.matmul(assigned, np.linalg.inv(classification)), None
