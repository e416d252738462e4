"""Partial E-steps: the bound climbs, and EM itself is the special case."""

import numpy as np
import pytest
from instances import INSTANCES, STRUCTURES, start
from test_own_models import TOSSES, Coins

from fastem import GaussianMixture, em
from fastem.online import Stepwise, incremental_em

REGULAR = [i for i in INSTANCES if i.name in ("separated", "overlapping", "17 columns")]
OVERLAPPING = REGULAR[1]


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("instance", REGULAR, ids=str)
@pytest.mark.parametrize("n_blocks", [1, 7])
def test_the_bound_climbs_to_a_fixed_point(instance, structure, n_blocks):
    result = incremental_em(start(instance, structure), instance.X, n_blocks=n_blocks, tol=1e-9, max_iter=3000)
    assert result.converged and (np.diff(result.history) >= -1e-10).all()
    on = em(result.model, instance.X, tol=0, max_iter=5)
    assert on.history[-1] - on.history[0] < 1e-7
    assert result.log_likelihood == result.model.e_step(instance.X).log_likelihood


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_one_block_is_em(structure):
    X, model = OVERLAPPING.X, start(OVERLAPPING, structure)
    whole = em(model, X, tol=0, max_iter=8)
    block = incremental_em(model, X, n_blocks=1, tol=0, max_iter=8)
    assert np.allclose(block.history[:-1], whole.history, rtol=1e-10)
    assert np.allclose(block.model.parameters(), whole.model.parameters(), rtol=1e-8, atol=1e-9)


def test_weights_count_rows_in_blocks_too():
    X = OVERLAPPING.X
    weight = np.random.default_rng(0).integers(1, 4, len(X))
    model = start(OVERLAPPING, STRUCTURES[0])
    weighted = incremental_em(model, X, sample_weight=weight.astype(float), tol=1e-10, max_iter=3000)
    repeated = incremental_em(model, np.repeat(X, weight, axis=0), tol=1e-10, max_iter=3000)
    assert np.isclose(weighted.history[-1], repeated.history[-1], rtol=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_stepwise_with_all_rows_and_steps_of_1_is_em(structure):
    X, model = OVERLAPPING.X, start(OVERLAPPING, structure)
    stream = Stepwise(model, alpha=0)
    for _ in range(10):
        stream.update(X)
    whole = em(model, X, tol=0, max_iter=10)
    assert np.allclose(stream.model.parameters(), whole.model.parameters(), rtol=1e-10, atol=1e-11)


def test_averages_of_other_steps_are_about_the_present_means():
    """By hand in one dimension and one component: the running mean and variance of the batches."""
    rng = np.random.default_rng(0)
    stream = Stepwise(GaussianMixture(1, reg_covar=0).fit(rng.normal(50, 3, (9, 1))).model_, alpha=0.8)
    first = second = 0.0
    for t in range(12):
        batch = rng.normal(t, 1 + t, (30, 1))
        step = (t + 2) ** -0.8 if t else 1.0
        first, second = (1 - step) * first + step * batch.mean(), (1 - step) * second + step * (batch**2).mean()
        stream.update(batch)
        assert np.isclose(stream.model.emission.means[0, 0], first, rtol=1e-10)
        assert np.isclose(stream.model.emission.covariance.covariances[0, 0, 0], second - first**2, rtol=1e-9)


def test_a_stream_finds_what_all_rows_say():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40_000, 2)) + 4 * rng.integers(0, 2, (40_000, 1))
    stream = Stepwise(GaussianMixture(2, random_state=0).fit(X[:200]).model_)
    for batch in np.array_split(X, 200):
        stream.update(batch)
    whole = GaussianMixture(2, random_state=0, tol=1e-8).fit(X)
    difference = stream.model.e_step(X).log_likelihood - whole.log_likelihood_
    assert -1e-3 * len(X) < difference < 1e-6 * len(X)


def test_models_of_plain_sums_need_no_rebase():
    stream = Stepwise(Coins(np.array([0.6, 0.5])), alpha=0)
    for _ in range(10):
        stream.update(TOSSES)
    assert np.allclose(stream.model.heads, em(Coins(np.array([0.6, 0.5])), TOSSES, tol=0, max_iter=10).model.heads)
    with pytest.raises(TypeError, match="Coins does not tell its bound"):
        incremental_em(Coins(np.array([0.6, 0.5])), TOSSES, n_blocks=2)


def test_bad_arguments_are_named():
    model = start(OVERLAPPING, STRUCTURES[0])
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        Stepwise(model, alpha=1.5)
    for n_blocks in (0, 601):
        with pytest.raises(ValueError, match=f"n_blocks is {n_blocks}"):
            incremental_em(model, OVERLAPPING.X, n_blocks=n_blocks)


def test_partial_fit_is_stepwise():
    batches = np.array_split(np.random.default_rng(0).permutation(OVERLAPPING.X), 4)
    model = GaussianMixture(3, random_state=0)
    for batch in batches:
        assert model.partial_fit(batch) is model
    assert model.means_.shape == (3, 3) and model.predict(OVERLAPPING.X).shape == (600,)
    start_model = GaussianMixture(3, random_state=0, max_iter=0).fit(batches[0]).model_
    stream = Stepwise(start_model)
    for batch in batches:
        stream.update(batch)
    assert np.allclose(model.means_, stream.model.emission.means, rtol=1e-12)


def test_partial_fit_goes_on_from_a_fit():
    X = INSTANCES[0].X
    model = GaussianMixture(3, random_state=0, tol=1e-10).fit(X)
    before = model.means_.copy()
    model.partial_fit(X)
    assert np.allclose(model.means_, before, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :1])


def test_one_odd_batch_does_not_wipe_out_a_fit():
    X = INSTANCES[0].X
    model = GaussianMixture(3, random_state=0, tol=1e-10).fit(X)
    before = model.weights_.copy()
    own = X[model.predict(X) == 0]
    model.partial_fit(own)
    step = 2**-0.7
    assert np.allclose(model.weights_, (1 - step) * before + step * np.eye(3)[0], atol=5e-3)  # step of the first batch
