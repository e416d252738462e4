"""Latent classes of published tables, with the log-likelihoods that poLCA prints; with covariates, StepMix's."""

import itertools
import warnings

import numpy as np
import pytest

import fastem

# Stouffer, Toby: Role conflict and personality. Amer. J. Sociol. 56 (1951) 395-406, in Goodman's order (poLCA: values)
VALUES = [42, 23, 6, 25, 6, 24, 7, 38, 1, 4, 1, 6, 2, 9, 2, 20]
# McCutcheon: Latent Class Analysis. Sage (1987), table 3.1 (gss82): purpose, accuracy, understanding, cooperation
GSS82 = [419, 35, 2, 71, 25, 5, 270, 25, 4, 42, 16, 5, 23, 4, 1, 6, 2, 0, 43, 9, 2, 9, 3, 2]
GSS82 += [26, 3, 0, 1, 2, 0, 85, 23, 6, 13, 12, 8]
PRINTED = [
    (VALUES, (2, 2, 2, 2), 1, -543.6498),
    (VALUES, (2, 2, 2, 2), 2, -504.4677),
    (VALUES, (2, 2, 2, 2), 3, -503.3011),
    (GSS82, (3, 2, 2, 3), 2, -2783.268),
    (GSS82, (3, 2, 2, 3), 3, -2754.545),
    (GSS82, (3, 2, 2, 3), 4, -2746.621),
]
TIGHT = {"tol": 1e-7, "max_iter": 9000, "random_state": 0}


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("counts, codes, K, printed", PRINTED)
def test_polcas_log_likelihoods(counts, codes, K, printed):
    cells = np.array(list(itertools.product(*map(range, codes))), float)
    model = fastem.CategoricalMixture(K, n_init=8, **TIGHT).fit(cells, sample_weight=np.array(counts, float))
    places = len(str(printed).partition(".")[2])
    assert abs(model.log_likelihood_ - printed) <= 0.6 * 10.0**-places
    free = (K - 1) + K * (sum(codes) - len(codes))
    assert model.n_parameters_ == free


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("codes", [(3, 40), (40, 3, 50), (600,)])
def test_columns_of_many_codes_are_looked_up(codes, tmp_path):
    """Log-densities and the next M-step by numpy; a term for each such column, however many codes it has."""
    rng = np.random.default_rng(0)
    z = rng.integers(0, 2, 900)
    X = np.stack([np.where(z, rng.integers(0, L, 900), rng.integers(0, L, 900) // 2) for L in codes], axis=1)
    X[0] = np.array(codes) - 1
    model = fastem.CategoricalMixture(2, random_state=0, max_iter=5, tol=1e-2).fit(X)
    mixture = model.model_
    assert mixture.emission.terms().kind.size == sum(1 if L >= 32 else L - 1 for L in codes)
    joint = np.log(model.weights_) + sum(np.log(model.probabilities_[:, j, X[:, j]]).T for j in range(len(codes)))
    density = np.logaddexp.reduce(joint, axis=1)
    np.testing.assert_allclose(model.score_samples(X), density, rtol=1e-13)
    r = np.exp(joint - density[:, None])
    after = mixture.m_step(mixture.e_step(X.astype(float)))
    for j, L in enumerate(codes):
        expected = np.stack([np.bincount(X[:, j], r_k, L) for r_k in r.T]) / r.sum(axis=0)[:, None]
        np.testing.assert_allclose(after.emission.probabilities[:, j, :L], expected, rtol=1e-6, atol=2e-10)
    again = mixture.from_vector(mixture.to_vector())
    np.testing.assert_allclose(again.emission.probabilities, mixture.emission.probabilities, rtol=1e-12)
    model.save(tmp_path / "model.npz")
    assert np.array_equal(fastem.load(tmp_path / "model.npz").score_samples(X), model.score_samples(X))


def test_stepmix_with_covariates():
    """Its one-step estimate starts from its own classes, and has no prior: the same maximum."""
    stepmix = pytest.importorskip("stepmix")
    rng = np.random.default_rng(0)
    C = rng.normal(size=(500, 2))
    z = (C @ [1.0, -1.0] + 0.5 + rng.logistic(size=500)) > 0
    X = (rng.random((500, 6)) < np.where(z[:, None], 0.8, 0.25)).astype(float)
    model = fastem.BernoulliMixture(2, **TIGHT).fit(X, covariates=C)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other = stepmix.StepMix(
            2,
            n_steps=1,
            measurement="binary",
            structural="covariate",
            structural_params={"method": "newton-raphson", "max_iter": 5},
            random_state=0,
            abs_tol=1e-12,
            rel_tol=0,
            max_iter=3000,
            progress_bar=0,
        )
        other.fit(X, C)
        theirs = other.score(X, C) * len(X)
    assert model.log_likelihood_ == pytest.approx(theirs, abs=1e-3)
    assert model.log_likelihood_ > theirs - 1e-3
