"""Rows that look at a few components: the sums of their posteriors, a bound that never falls, near the whole fit."""

import numpy as np
import pytest
import reference

import fastem
from fastem import em
from fastem.models.gaussian.candidates import TruncatedBlocks
from fastem.rows.blocks import ArrayBlocks

STRUCTURES = ["full", "tied", "diag", "spherical", "EII", "EEI", "EEE", "VEV", "EVI"]
SUMS = "counts", "first", "second"


def rows_of(n_clusters, d=3, n=40, seed=0, apart=3.0):
    rng = np.random.default_rng(seed)
    shapes = rng.normal(size=(n_clusters, d, d)) / 2 + np.eye(d)
    centres = apart * rng.normal(size=(n_clusters, d))
    X = np.concatenate([centre + rng.normal(size=(n, d)) @ shape for centre, shape in zip(centres, shapes)])
    return X, rng.uniform(0.2, 2, len(X))


def mixture_of(X, K, covariance_type="full"):
    return fastem.GaussianMixture(K, covariance_type=covariance_type, random_state=0, max_iter=2, coarse=False).fit(X)


def candidates(blocks):
    """(n, C) of the last pass."""
    wide = np.concatenate(list(blocks.candidates.values()))
    return wide[:, : wide.shape[1] // 2]


@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("structure", STRUCTURES)
def test_with_all_components_it_is_the_pass_of_every_fit(structure, real):
    X, weight = rows_of(5)
    model = mixture_of(X, 5, structure).model_
    blocks = ArrayBlocks(X.astype(real), weight)
    whole, truncated = blocks.reduce(model, 1), TruncatedBlocks(blocks, 5)
    for _ in range(2):  # all tried; then the candidates
        some = truncated.reduce(model, 1)
        tight = 1e-12 if real == np.float64 else 1e-4
        for name in (*SUMS, "log_likelihood", "entropy", "weight"):
            expected = getattr(whole, name)
            assert np.allclose(getattr(some, name), expected, rtol=tight, atol=tight * np.abs(expected).max()), name


@pytest.mark.parametrize("structure", STRUCTURES)
def test_sums_are_those_of_posteriors_over_the_candidates(structure):
    X, weight = rows_of(7, apart=1.0)
    fitted = mixture_of(X, 7, structure)
    model, d = fitted.model_, X.shape[1]
    blocks = TruncatedBlocks(ArrayBlocks(X, weight), 3)
    statistics = blocks.reduce(model, 2)
    joint = reference.log_joint(X, model.weights, model.emission.means, model.emission.dense_covariances())
    chosen = candidates(blocks)
    assert (np.sort(chosen) == np.sort(np.argsort(-joint, axis=1)[:, :3])).all()  # at first all are tried
    kept = np.full_like(joint, -np.inf)
    np.put_along_axis(kept, chosen, np.take_along_axis(joint, chosen, axis=1), axis=1)
    density = reference.log_density(kept)
    r = np.exp(kept - density[:, None])
    z = X[:, None, :] - model.emission.means
    assert np.isclose(statistics.log_likelihood, weight @ density)
    assert np.allclose(statistics.counts, weight @ r)
    assert np.allclose(statistics.first, np.einsum("n,nk,nkd->kd", weight, r, z), atol=1e-9)
    second = np.einsum("n,nk,nki,nkj->kij", weight, r, z, z)
    if model.emission.covariance.kernel == "gaussian_diagonal":
        assert np.allclose(statistics.second, np.diagonal(second, axis1=1, axis2=2))
    else:
        i, j = np.tril_indices(d)
        second = second.sum(axis=0) if model.emission.covariance.shared else second
        assert np.allclose(statistics.second, second[..., i, j], atol=1e-9)
    entropy = -(weight @ np.where(r > 0, r * np.log(np.where(r > 0, r, 1)), 0).sum(axis=1))
    assert np.isclose(statistics.entropy, entropy)


@pytest.mark.parametrize("accelerate", [None, "anderson", "squarem"])
def test_the_bound_never_falls_and_stays_below_the_log_likelihood(accelerate):
    X, weight = rows_of(30, apart=1.0)
    start = mixture_of(X, 30, "diag").model_
    blocks = ArrayBlocks(X, weight)
    result = em(start, TruncatedBlocks(blocks, 2), tol=0, max_iter=40, accelerate=accelerate)
    assert result.n_iter == 40 and (np.diff(result.history) >= -1e-12).all()
    assert result.history[-1] < em(result.model, blocks, max_iter=0).history[0]


def test_candidates_before_the_last_remain_when_a_model_is_given_up():
    """A pass with a bad model, as of an accelerated step, takes nothing from the pass before."""
    X, _ = rows_of(30, apart=1.0)
    model = mixture_of(X, 30, "diag").model_
    blocks = TruncatedBlocks(ArrayBlocks(X), 2)
    before = blocks.reduce(model, 1).log_likelihood
    bad = mixture_of(X[::-1] + 5, 30, "diag").model_
    blocks.reduce(bad, 1)
    assert blocks.reduce(model, 1).log_likelihood >= before - 1e-9 * abs(before)


def test_the_same_bits_with_any_number_of_threads():
    X, weight = rows_of(20, n=200)
    fits = [
        fastem.GaussianMixture(20, truncate=3, n_threads=n, random_state=0, max_iter=10).fit(X, sample_weight=weight)
        for n in (1, 2, 3)
    ]
    for one in fits[1:]:
        assert np.array_equal(one.means_, fits[0].means_) and one.log_likelihood_ == fits[0].log_likelihood_


@pytest.mark.parametrize("structure", ["full", "diag", "tied"])
def test_separated_clusters_are_found_as_without(structure):
    X, _ = rows_of(12, n=100, apart=30.0)
    options = {"covariance_type": structure, "random_state": 0, "tol": 1e-9}
    whole, few = (fastem.GaussianMixture(12, truncate=truncate, **options).fit(X) for truncate in (None, 2))
    assert np.isclose(few.log_likelihood_, whole.log_likelihood_, rtol=1e-9)
    assert np.isclose(few.log_likelihood_, few.score_samples(X).sum(), rtol=1e-12)
    assert few.lower_bound_ <= few.log_likelihood_ / len(X) + 1e-12
    assert 0 < few.log_likelihood_error_ < 1e-6


def test_what_cannot_be_is_said():
    X, _ = rows_of(4)
    with pytest.raises(ValueError, match=r"truncate=2 cannot be combined with checkpoint"):
        fastem.GaussianMixture(4, truncate=2).fit(X, checkpoint="never.npz")
    with pytest.raises(ValueError, match=r"'truncate' parameter .* Got 0 instead"):
        fastem.GaussianMixture(4, truncate=0).fit(X)
    gaps = X.copy()
    gaps[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"truncate=2 needs rows without missing values.*truncate=None"):
        fastem.GaussianMixture(4, truncate=2).fit(gaps)
    model = mixture_of(X, 4).model_
    far = X.copy()
    far[0] = 1e200
    with pytest.raises(ValueError, match="too far from all components"):
        TruncatedBlocks(ArrayBlocks(far), 2).reduce(model, 1)


def test_components_beyond_the_range_of_numbers_have_neighbours_without_a_warning():
    """What the rows of one expect of the other overflows."""
    X = np.random.default_rng(0).normal(size=(40, 2)) * 1e-140
    X[0] = 1e31
    precisions = np.array([np.eye(2) * 1e-60, np.eye(2) * 1e280, np.eye(2) * 1e279])
    model = fastem.GaussianMixture.from_parameters(np.full(3, 1 / 3), X[:3], precisions=precisions).model_
    with np.errstate(over="raise", invalid="raise"):
        assert np.isfinite(TruncatedBlocks(ArrayBlocks(X), 2).reduce(model, 1).log_likelihood)
