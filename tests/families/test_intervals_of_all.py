"""What rows between bounds promise in every family that takes them: fine bins are the values themselves, and limits are
no values."""

import warnings

import numpy as np
import pytest

from fastem import GammaMixture, GaussianMixture, StudentTMixture


def normal(n, rng):
    return rng.normal(size=(n, 1)) * 1.4 + 6 * (rng.random((n, 1)) < 0.4)


def heavy(n, rng):
    return np.where(rng.random((n, 1)) < 0.6, rng.standard_t(3, (n, 1)), 8 + rng.standard_t(5, (n, 1)))


def positive(n, rng):
    return np.where(rng.random((n, 1)) < 0.6, rng.gamma(2, 1, (n, 1)), rng.gamma(40, 0.4, (n, 1)))


@pytest.mark.parametrize(
    "kind, rows, first, of_parameters, close",
    [
        (GaussianMixture, normal, "means_", lambda model: np.log(model.covariances_[:, 0, 0]), 1e-4),
        (StudentTMixture, heavy, "means_", lambda model: np.log(model.degrees_of_freedom_), 1e-3),
        (GammaMixture, positive, "shapes_", lambda model: np.log(model.shapes_[:, 0]), 1e-4),
    ],
)
def test_fine_bins_tend_to_the_exact_fit(kind, rows, first, of_parameters, close):
    """A density times a width is the probability of a narrow bin."""
    X = rows(3000, np.random.default_rng(0))
    exact = kind(2, random_state=0, tol=1e-9).fit(X)
    apart = []
    for width in (0.5, 0.05, 1e-4):
        edges, times = np.unique(np.floor(X / width), return_counts=True)  # bins with their counts
        lower = edges[:, None] * width
        model = kind(2, random_state=0, tol=1e-9)
        model.fit(lower + 0.5 * width, sample_weight=times, lower=lower, upper=lower + width)
        ours, theirs = (of_parameters(m)[getattr(m, first)[:, 0].argsort()] for m in (model, exact))
        apart.append(abs(ours - theirs).max())
        found = model.log_likelihood_ - len(X) * np.log(width)
        assert np.isclose(found, exact.log_likelihood_, rtol=0.1 * width + 1e-7)
    assert apart[2] < close < apart[0] < 0.3


def of_normal(model, k):
    return [model.means_[k, 0] / 0.045, np.log(model.covariances_[k, 0, 0]) / 2 / 0.034]


def of_heavy(model, k):
    return [model.means_[k, 0] / 0.05, np.log(model.covariances_[k, 0, 0]) / 2 / 0.045]


def of_gamma(model, k):
    shape = model.shapes_[k, 0]
    return [np.log(shape / 1.5) / 0.085, np.log(shape / model.rates_[k, 0] / 1.5) / 0.034]


@pytest.mark.parametrize(
    "kind, low, high, limit, least, of_errors, asked",
    [
        (
            GaussianMixture,
            lambda rng: rng.normal(size=(1500, 1)),
            lambda rng: 9 + rng.normal(size=(1500, 1)),
            -0.5,
            -np.inf,
            of_normal,
            {},
        ),
        (
            StudentTMixture,
            lambda rng: rng.standard_t(4, (1500, 1)),
            lambda rng: 9 + rng.standard_t(4, (1500, 1)),
            -0.5,
            -np.inf,
            of_heavy,
            {"degrees_of_freedom": 4.0},
        ),
        (
            GammaMixture,
            lambda rng: rng.gamma(1.5, 1, (1500, 1)),
            lambda rng: rng.gamma(80, 0.25, (1500, 1)),
            1.0,
            0.0,
            of_gamma,
            {},
        ),
    ],
    ids=["gaussian", "student", "gamma"],
)
def test_seeds_recover_what_substitution_does_not(kind, low, high, limit, least, of_errors, asked):
    """Below a detection limit: 20 samples, z-scores of two parameters of the censored component of some 750 rows."""
    errors, naive = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = np.where(rng.random((1500, 1)) < 0.5, low(rng), high(rng))
        bounds = {"lower": np.where(X < limit, least, X), "upper": np.maximum(X, limit)}
        for found, seen, given in ((errors, X, bounds), (naive, np.maximum(X, limit), {})):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = kind(2, init_params=(X[:, 0] > 5).astype(int), tol=1e-6, **asked).fit(seen, **given)
            found.append(of_errors(model, 0))
    errors, naive = np.array(errors), np.array(naive)
    assert (abs(errors) < 4).all() and (abs(errors.mean(axis=0)) < 1).all()
    assert (abs(naive).max(axis=1) > 3).all()
