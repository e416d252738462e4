"""The identity that EM rests on: for any distribution q of the latent variables,

    log-likelihood = ELBO(q, model) + KL(q || posterior),    ELBO = E_q[log p(x, z)] + H(q).

The E-step sets q to the posterior, so that the KL is 0 and the bound touches; the M-step raises the bound over the
model. A model needs ``log_joint(X)``, the (n, K) log p(x, z = k), and for :func:`q_function` also
``expected_log_joint(statistics, at)``.
"""

from __future__ import annotations

import inspect
import numbers
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, rel_entr, softmax, xlogy

from fastem.errors import OutsideSupport
from fastem.estimators.estimator import checked_rows
from fastem.models.mixture import Mixture
from fastem.models.weight_posteriors import WeightPosterior
from fastem.models.weights import FREE
from fastem.rows.statistics import Statistics
from fastem.rows.validation import as_sample_weight, generator


def log_likelihood(model, X, sample_weight=None) -> float:
    """Sum over the rows of log p(x)."""
    return _sum(logsumexp(_log_joint(model, X), axis=1), sample_weight)


def posterior(model, X) -> np.ndarray:
    """(n, K) p(z = k | x): the q of an E-step."""
    return softmax(_log_joint(model, X), axis=1)


def entropy(q, sample_weight=None) -> float:
    """H(q), summed over the rows."""
    q = _distribution(q, "q")
    return _sum(-xlogy(q, q).sum(axis=1), sample_weight)


def kl(q, p, sample_weight=None) -> float:
    """KL(q || p), summed over the rows; both (n, K) with rows that sum to 1."""
    q, p = _distribution(q, "q"), _distribution(p, "p")
    if q.shape != p.shape:
        raise ValueError(f"q has shape {q.shape}, but p has {p.shape}")
    return _sum(rel_entr(q, p).sum(axis=1), sample_weight)


def elbo(model, X, q, sample_weight=None) -> float:
    """E_q[log p(x, z)] + H(q), summed over the rows: a lower bound of the log-likelihood.

    Parameters
    ----------
    model : with ``log_joint(X)``, or a fitted mixture estimator
    X : (n, d) array
    q : (n, K) array
        A distribution of the latent variable for each row.
    sample_weight : (n,) array, optional

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import GaussianMixture, theory
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> q = np.full((len(X), 2), 0.5)
    >>> bound, gap = theory.elbo(model, X, q), theory.kl(q, theory.posterior(model, X))
    >>> bool(np.isclose(bound + gap, theory.log_likelihood(model, X)))
    True
    """
    joint = _log_joint(model, X)
    q = _distribution(q, "q", joint.shape)
    return _sum((_times(q, joint) - xlogy(q, q)).sum(axis=1), sample_weight)


def evidence_bound(model, X, q=None, sample_weight=None) -> float:
    """The bound of variational Bayes: of log p(X), with the parameters integrated out.

    E_q[log p(X, z, parameters)] - E_q[log q(z) q(parameters)] = :func:`elbo` of the model, whose joint is
    exp(E[log p(x, z)]), minus the divergence of the parameters' posterior from their prior.

    Parameters
    ----------
    model : fitted BayesianGaussianMixture, or its ``model_``
    X : (n, d) array
    q : (n, K) array, optional
        A distribution of the component of each row. Default: the best, that of an E-step.
    sample_weight : (n,) array, optional

    Raises
    ------
    TypeError
        The parameters of the model have no posterior.

    Examples
    --------
    >>> from fastem import BayesianGaussianMixture, theory
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = BayesianGaussianMixture(2, random_state=0).fit(X)
    >>> bool(abs(theory.evidence_bound(model, X) - len(X) * model.lower_bound_) < 1e-6)
    True
    """
    own = model.model_ if hasattr(type(model), "model_") else model
    if not isinstance(getattr(own, "shares", None), WeightPosterior):
        raise TypeError(f"the parameters of a {type(model).__name__} have no posterior: use elbo.")
    q = posterior(own, X) if q is None else q
    return elbo(own, X, q, sample_weight) + own.log_prior()


def gap(model, X, q, sample_weight=None) -> float:
    """KL(q || posterior), from log-densities: correct also where a posterior probability underflows."""
    joint = _log_joint(model, X)
    q = _distribution(q, "q", joint.shape)
    log_posterior = joint - logsumexp(joint, axis=1, keepdims=True)
    return _sum((xlogy(q, q) - _times(q, log_posterior)).sum(axis=1), sample_weight)


def q_function(at, given, statistics) -> float:
    """Q(at | given) = E[log p(x, z; at)] under the posterior of `given`, from the statistics of its E-step alone.

    Parameters
    ----------
    at, given : models, or fitted mixture estimators
        Of one kind: the same family, structure, and numbers of components and columns.
    statistics : Statistics
        Of the E-step of `given`.

    Raises
    ------
    TypeError
        A model has no ``expected_log_joint``, or `statistics` are none.
    ValueError
        `at` or `statistics` are of another kind of mixture than `given`.

    Examples
    --------
    >>> from fastem import GaussianMixture, theory
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> given = GaussianMixture(2, random_state=0, max_iter=3).fit(X).model_
    >>> statistics = given.e_step(X)
    >>> next_one = given.m_step(statistics)  # which maximises Q
    >>> bool(theory.q_function(next_one, given, statistics) > theory.q_function(given, given, statistics))
    True
    """
    at, given = (model.model_ if hasattr(type(model), "model_") else model for model in (at, given))
    if not callable(getattr(given, "expected_log_joint", None)):
        raise TypeError(f"{type(given).__name__} has no method expected_log_joint(statistics, at)")
    if not isinstance(statistics, Statistics):
        raise TypeError(f"statistics must be those of an E-step of given. Got {type(statistics).__name__} instead.")
    if isinstance(given, Mixture):
        _require_same_kind(at, given, statistics)
    return given.expected_log_joint(statistics, at)


class Divergence(NamedTuple):
    """A Monte Carlo estimate and its standard error."""

    value: float
    standard_error: float


def kl_divergence(p, q, n_samples: int = 10_000, random_state=None) -> Divergence:
    """KL(p || q) between two fitted densities, in nats, by Monte Carlo.

    Maximum likelihood minimises it over q, with the data in the place of p.

    Parameters
    ----------
    p : with ``sample(n, random_state)`` and ``score_samples(X)``
    q : with ``score_samples(X)``
    n_samples : int
        At least 2.
    random_state : int, Generator, RandomState or None

    Returns
    -------
    Divergence
        ``value`` and ``standard_error``. Infinite where q excludes what p draws: its log-density is -inf there, or it
        is one of fastem's densities and refuses such rows, as a GammaMixture does those that are not positive.

    Raises
    ------
    TypeError
        p or q has not the methods.
    ValueError
        `n_samples` is no whole number of at least 2, or q is of rows of other columns.

    Examples
    --------
    >>> from fastem import GaussianMixture, theory
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> two, one = (GaussianMixture(k, random_state=0).fit(X) for k in (2, 1))
    >>> value, error = theory.kl_divergence(two, one, random_state=0)
    >>> bool(value > 5 * error)
    True
    """
    for model, names in ((p, ("sample", "score_samples")), (q, ("score_samples",))):
        for name in names:
            if not callable(getattr(model, name, None)):
                raise TypeError(f"{type(model).__name__} has no method {name}")
    if not isinstance(n_samples, numbers.Integral) or n_samples < 2:
        raise ValueError(
            f"n_samples must be a whole number of at least 2, from which there is a standard error. Got {n_samples!r} "
            "instead."
        )
    if "random_state" not in inspect.signature(p.sample).parameters:
        raise TypeError(f"{type(p).__name__}.sample has no parameter random_state, which makes the draws repeatable")
    drawn = p.sample(n_samples, random_state=int(generator(random_state).integers(2**31)))
    X = drawn[0] if isinstance(drawn, tuple) else drawn
    own, excluded = p.score_samples(X), Divergence(np.inf, 0.0)
    try:
        ratio = np.asarray(own, np.float64) - np.asarray(q.score_samples(X), np.float64)
    except OutsideSupport:
        return excluded
    if np.isposinf(ratio).any():
        return excluded
    return Divergence(float(ratio.mean()), float(ratio.std(ddof=1) / np.sqrt(n_samples)))


def _require_same_kind(at, given, statistics):
    """ValueError where another model or statistics are not of a mixture's kind, so that its sums tell nothing of it."""
    sums = _sums_of(given)
    if type(getattr(at, "emission", None)) is not type(given.emission) or sums.differences(_sums_of(at)):
        raise ValueError(
            f"at is {_kind_of(at)}, but given is {_kind_of(given)}. Q compares mixtures of the same family, structure, "
            "and numbers of components and columns."
        )
    wrong = [name for name in sums.differences(statistics) if name in sums]
    if wrong:
        raise ValueError(
            f"statistics are not those of given, {_kind_of(given)}, whose E-step returns {sums}. Their {wrong[0]} is "
            f"missing or of another shape. Pass given.e_step(X)."
        )


def _sums_of(mixture):
    """The sums of a mixture over a row of its first component."""
    return replace(mixture, shares=FREE).e_step(mixture.emission.sample(0, 1, np.random.default_rng(0)))


def _kind_of(model):
    """In words."""
    emission = getattr(model, "emission", None)
    if emission is None:
        return f"a {type(model).__name__}"
    K, d = emission.shape
    parts = [emission, *([emission.covariance] if hasattr(emission, "covariance") else [])]
    return f"a mixture of {K} {' '.join(type(part).__name__ for part in parts)} of {d} column(s)"


def _log_joint(model, X):
    if hasattr(type(model), "model_"):
        model, X = model.model_, checked_rows(model, X)
    if not callable(getattr(model, "log_joint", None)):
        raise TypeError(f"{type(model).__name__} has no method log_joint(X), which gives the posterior")
    return np.asarray(model.log_joint(X), dtype=np.float64)


def _times(q, log_p):
    """q log p with 0 log 0 = 0."""
    return np.where(q > 0, q * np.where(q > 0, log_p, 0), 0)


def _sum(rows, sample_weight):
    weight = as_sample_weight(sample_weight, len(rows))
    return float(rows.sum() if weight is None else weight @ rows)


def _distribution(q, name, shape=None):
    """(n, K), non-negative, rows that sum to 1."""
    q = np.asarray(q, dtype=np.float64)
    if q.ndim != 2 or (shape is not None and q.shape != shape):
        wanted = "(n, K)" if shape is None else shape
        raise ValueError(f"{name} has shape {q.shape}; it must be {wanted}, a distribution for each row")
    wrong = ~((q >= 0).all(axis=1) & (np.abs(q.sum(axis=1) - 1) < 1e-6))  # true of NaN as well
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"row {row} of {name} is not a distribution: {q[row]} is negative or does not sum to 1")
    return q
