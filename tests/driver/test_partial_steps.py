"""Partial E-steps: the bound climbs, and EM itself is the special case."""

import numpy as np
import pandas as pd
import pytest
from coins import TOSSES, Coins
from instances import INSTANCES, STRUCTURES, start

from fastem import GaussianMixture, em
from fastem.online import Stepwise, incremental_em

REGULAR = [i for i in INSTANCES if i.name in ("separated", "overlapping", "17 columns")]
OVERLAPPING = REGULAR[1]


def test_parts_without_weight_are_left_out():
    X, begin = OVERLAPPING.X, start(OVERLAPPING, STRUCTURES[0])
    rows, weight = np.concatenate([X + 9, X]), np.repeat([0.0, 1.0], len(X))
    found = incremental_em(begin, rows, sample_weight=weight, n_blocks=10, tol=0, max_iter=5)
    assert np.allclose(found.history, incremental_em(begin, X, n_blocks=5, tol=0, max_iter=5).history, rtol=1e-12)


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


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_weights_count_rows_in_blocks_too(structure):
    """In each iteration, where the blocks hold the same rows."""
    X = OVERLAPPING.X
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    model = start(OVERLAPPING, structure)
    parts = np.array_split(np.arange(len(X)), 5)
    weighted = Chunks([(X[part], weight[part].astype(float)) for part in parts])
    repeated = Chunks([(np.repeat(X[part], weight[part], axis=0), None) for part in parts])
    one, other = (incremental_em(model, blocks, tol=0, max_iter=12) for blocks in (weighted, repeated))
    assert one.history[-1] > one.history[0] and np.allclose(one.history, other.history, rtol=1e-11)
    assert np.allclose(one.model.parameters(), other.model.parameters(), rtol=1e-8, atol=1e-10)


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


@pytest.mark.parametrize("memory", [1, 3, 7.5])
def test_with_a_memory_averages_are_exponentially_weighted(memory):
    """In one dimension and one component, once steps of 1/(t + 2) have come down to 1/memory."""
    rng = np.random.default_rng(1)
    stream = Stepwise(GaussianMixture(1, reg_covar=0).fit(rng.normal(0, 1, (9, 1))).model_, alpha=1, memory=memory)
    batches = rng.normal(size=(30, 20)) + np.arange(30)[:, None]
    means = []
    for batch in batches:
        stream.update(batch[:, None])
        means.append(stream.model.emission.means[0, 0])
    settled = int(memory) - 1
    average = pd.Series([means[settled], *batches[settled + 1 :].mean(axis=1)]).ewm(alpha=1 / memory, adjust=False)
    assert np.allclose(means[settled:], average.mean(), rtol=1e-10)


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
    with pytest.raises(TypeError, match="Coins gives no bound"):
        incremental_em(Coins(np.array([0.6, 0.5])), TOSSES, n_blocks=2)


def test_bad_arguments_are_named():
    model = start(OVERLAPPING, STRUCTURES[0])
    with pytest.raises(ValueError, match=r"alpha is 1\.5"):
        Stepwise(model, alpha=1.5)
    for memory in (0.5, np.nan, "long"):
        unfitted = GaussianMixture(2)
        with pytest.raises(ValueError, match=f"memory is {memory!r}; it must be"):
            Stepwise(model, memory=memory)
        with pytest.raises(ValueError, match=f"memory is {memory!r}; it must be"):
            unfitted.partial_fit(OVERLAPPING.X, memory=memory)
        assert not hasattr(unfitted, "weights_")
    for n_blocks in (0, 601):
        with pytest.raises(ValueError, match=f"n_blocks is {n_blocks}"):
            incremental_em(model, OVERLAPPING.X, n_blocks=n_blocks)
    with pytest.raises(TypeError, match="n_blocks=3 is only for an array; Chunks gives blocks already"):
        incremental_em(model, Chunks([(OVERLAPPING.X, None)]), n_blocks=3)
    with pytest.raises(TypeError, match="NotIterable must give"):
        incremental_em(model, NotIterable())
    for alpha in ("a", None, True):
        with pytest.raises(ValueError, match=f"alpha is {alpha!r}; it must be a number from 0 to 1"):
            Stepwise(model, alpha=alpha)
    with pytest.raises(ValueError, match="Chunks gave no blocks"):
        incremental_em(model, Chunks([]))


class NotIterable:
    """Blocks of which only the whole can be had."""

    def reduce(self, model, n_threads):
        raise NotImplementedError


class Chunks:
    """Blocks of rows and weights as a file would give them, one after the other."""

    dtype = np.dtype(float)

    def __init__(self, chunks):
        self.chunks = chunks

    def __iter__(self):
        yield from self.chunks

    def reduce(self, model, n_threads):
        first, *others = (model.e_step(X, weight) for X, weight in self.chunks)
        return sum(others, first)


def test_blocks_of_any_kind_are_the_parts():
    X, model = OVERLAPPING.X, start(OVERLAPPING, STRUCTURES[0])
    weight = np.random.default_rng(0).uniform(0.5, 2, len(X))
    chunks = Chunks(list(zip(np.array_split(X, 4), np.array_split(weight, 4))))
    of_array = incremental_em(model, X, n_blocks=4, sample_weight=weight, tol=0, max_iter=5)
    of_chunks = incremental_em(model, chunks, tol=0, max_iter=5)
    assert of_chunks.history[:-1] == of_array.history[:-1]
    assert np.array_equal(of_chunks.model.parameters(), of_array.model.parameters())
    assert of_chunks.log_likelihood == pytest.approx(of_array.log_likelihood, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_steps_go_on_from_a_result(scale):
    """Also where its weights are in another unit."""
    X, begin = OVERLAPPING.X, start(OVERLAPPING, STRUCTURES[0])
    result = em(begin, X, sample_weight=np.full(len(X), scale), tol=0, max_iter=3)
    stream, by_hand = Stepwise(result), Stepwise(result.model, statistics=result.model.e_step(X))
    for one, weight in ((stream, scale), (by_hand, 1.0)):
        one.update(X[:60], np.full(60, weight))
    assert stream.n_batches == pytest.approx(len(X) / 60 + 1) == by_hand.n_batches
    assert np.allclose(stream.model.emission.means, by_hand.model.emission.means, rtol=1e-9)
    with pytest.raises(TypeError, match="an EMResult, which has its statistics: leave statistics out"):
        Stepwise(result, statistics=result.statistics)
    on = incremental_em(result, X, tol=0, max_iter=2)
    assert on.history == incremental_em(result.model, X, tol=0, max_iter=2).history


@pytest.mark.parametrize("scale", [1.0, 1e12, 1e-12])
def test_a_memory_is_of_batches_in_any_unit_of_weight(scale):
    X = OVERLAPPING.X[:60]
    stream = Stepwise(start(OVERLAPPING, STRUCTURES[0]), memory=2.5)
    weights = []
    for _ in range(4):
        stream.update(X, np.full(60, scale))
        weights.append(stream.weight / (60 * scale))
    assert np.allclose(weights, [1, 2, 2.5, 2.5], rtol=1e-12)
