"""What is nothing is not computed: a pass over rows that belong to few components each has the sums of all pairs."""

import numpy as np
import pytest

from fastem import GaussianMixture, StudentTMixture
from fastem.rows.blocks import ArrayBlocks


def clusters(n, d, K, apart, dtype=np.float64):
    rng = np.random.default_rng(0)
    centres = apart * rng.normal(size=(K, d))
    return (centres[rng.integers(K, size=n)] + rng.normal(size=(n, d))).astype(dtype), centres


def plain(X, mixture):
    """Counts, moments about the means and log-likelihood in numpy, every pair computed."""
    X = X.astype(np.float64)
    joint = np.empty((len(X), mixture.n_components))
    for k, (mean, upper) in enumerate(zip(mixture.emission.means, mixture.emission.covariance.precisions_cholesky)):
        y = (X - mean) @ upper
        joint[:, k] = np.log(mixture.weights[k]) + np.log(np.diagonal(upper)).sum() - (y**2).sum(axis=1) / 2
    joint -= X.shape[1] / 2 * np.log(2 * np.pi)
    log_density = np.logaddexp.reduce(joint, axis=1)
    r = np.exp(joint - log_density[:, None])
    first = np.stack([r[:, k] @ (X - mean) for k, mean in enumerate(mixture.emission.means)])
    return r.sum(axis=0), first, log_density.sum()


@pytest.mark.parametrize("d, K, apart", [(16, 6, 3.0), (19, 5, 0.9), (33, 8, 1.0), (40, 4, 0.1), (40, 12, 6.0)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sums_are_those_of_all_pairs(d, K, apart, dtype):
    X, centres = clusters(6000, d, K, apart, dtype)
    model = GaussianMixture(K, means_init=centres, max_iter=1, tol=0, reg_covar=1e-4, accelerate=None, random_state=0)
    mixture = model.fit(X)._mixture()
    sums = ArrayBlocks(X).reduce(mixture, 1)
    counts, first, log_likelihood = plain(X, mixture)
    digits = 1e-10 if dtype == np.float64 else 2e-4
    np.testing.assert_allclose(sums.counts, counts, rtol=digits)
    np.testing.assert_allclose(sums.first, first, atol=digits * len(X))
    np.testing.assert_allclose(sums.log_likelihood, log_likelihood, rtol=1e-3 * digits if digits < 1e-6 else 1e-5)


def test_rows_whose_tile_follows_a_sparse_one_are_scored_as_ever():
    """Clusters in the first half, one cloud in the second: what looks negligible by its first coordinates is not."""
    near, centres = clusters(4000, 24, 6, 8.0)
    between = np.random.default_rng(1).normal(size=(4000, 24)) + centres[:2].mean(axis=0)
    X = np.vstack([near, between])
    mixture = (
        GaussianMixture(6, means_init=centres, max_iter=2, tol=0, accelerate=None, random_state=0).fit(X)._mixture()
    )
    together = ArrayBlocks(X).reduce(mixture, 1)
    apart = [ArrayBlocks(np.ascontiguousarray(rows)).reduce(mixture, 1) for rows in (X[:4000], X[4000:])]
    assert together.log_likelihood == pytest.approx(sum(s.log_likelihood for s in apart), rel=1e-13)
    np.testing.assert_allclose(together.counts, sum(s.counts for s in apart), rtol=1e-12)


def test_student_t_too():
    X, centres = clusters(5000, 20, 5, 40.0)
    model = StudentTMixture(5, means_init=centres, max_iter=3, tol=0, accelerate=None, random_state=0).fit(X)
    assert model.score(X) * len(X) == pytest.approx(model.log_likelihood_, rel=1e-11)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_same_bits_for_any_number_of_threads(covariance_type):
    X, centres = clusters(30_000, 20, 6, 2.0)
    found = [
        GaussianMixture(
            6, covariance_type=covariance_type, means_init=centres, max_iter=4, tol=0, random_state=0, n_threads=n
        ).fit(X)
        for n in (1, 2, 5)
    ]
    assert len({model.covariances_.tobytes() for model in found}) == 1
