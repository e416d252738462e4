"""The compiled steps of many mixtures are the driver's, and end where the driver must decide."""

import numpy as np
import pytest

from fastem.driver.em import em
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.short_runs import LETTERS, short_runs
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.from_memberships import from_membership

STEPS = 7


def starts(structure, X, weight, n, K=3, floor=1e-6):
    """Mixtures of components that hold as many rows each, cut across a random direction."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        labels = np.argsort(np.argsort(X @ rng.normal(size=X.shape[1]))) * K // len(X)
        yield from_membership(X, weight, labels, K, structure, floor * X.var(axis=0))


def rows(d=4, n=700, weighted=True):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) * np.arange(1, d + 1) + 5 * rng.integers(0, 3, n)[:, None] + 100
    return X, rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)


def parameters(mixture):
    return mixture.weights, mixture.emission.means, mixture.emission.covariance.covariances


@pytest.mark.parametrize("structure", LETTERS)
@pytest.mark.parametrize("d", [1, 4, 19])
def test_steps_are_those_of_the_driver(structure, d):
    X, weight = rows(d)
    blocks, begun = ArrayBlocks(X, weight), list(starts(structure, X, weight, 3))
    iterated = {"VEI": 1e-5, "VEV": 1e-5, "VEE": 1e-3, "EVE": 1e-3, "VVE": 1e-3}  # until a sweep changes little
    digits = iterated.get(LETTERS[structure], 1e-8)
    for start, (model, before) in zip(begun, short_runs(begun, blocks, STEPS, 1)):
        result = em(start, blocks, max_iter=STEPS, tol=0)
        assert len(before) == STEPS
        np.testing.assert_allclose(before, result.history[:STEPS], rtol=1e-3 * digits)
        for ours, theirs in zip(parameters(model), parameters(result.model)):
            np.testing.assert_allclose(ours, theirs, rtol=digits, atol=digits)


def test_same_bits_for_any_number_of_threads_and_any_neighbours():
    X, weight = rows(weighted=False)
    blocks = ArrayBlocks(X)
    begun = list(starts(Full, X, weight, 5))
    alone = [short_runs([start], blocks, STEPS, 1)[0] for start in begun]
    together = short_runs(begun, blocks, STEPS, 4)
    shifted = short_runs(begun[:1] * 2, blocks, STEPS, 2)
    for (model, before), (other, also) in [*zip(together, short_runs(begun, blocks, STEPS, 1)), (shifted[0], alone[0])]:
        assert before == also
        assert model.emission.covariance.covariances.tobytes() == other.emission.covariance.covariances.tobytes()


def test_a_run_ends_before_a_step_that_meets_the_floor():
    X, weight = rows(2)
    X[:5] = X[0]  # a component of equal rows
    labels = np.r_[np.zeros(5, int), np.ones(len(X) - 5, int)]
    structure = Full
    start = from_membership(X, weight, labels, 2, structure, 1e-6 * X.var(axis=0))
    wide = Mixture(
        start.weights,
        Gaussian(
            start.emission.means,
            structure.from_covariances(np.array([np.eye(2) * 1e-3, np.cov(X.T)]), start.emission.floor),
            start.emission.floor,
        ),
    )
    blocks = ArrayBlocks(X, weight)
    ((model, before),) = short_runs([wide], blocks, 50, 1)
    assert len(before) < 50
    finished = em(model, blocks, max_iter=50 - len(before), tol=0)
    driven = em(wide, blocks, max_iter=50, tol=0)
    assert finished.model.emission.covariance.at_floor[0] == driven.model.emission.covariance.at_floor[0] > 0
    np.testing.assert_allclose(finished.history[-1], driven.history[-1], rtol=1e-10)


def test_rows_with_missing_values_and_far_means_are_left_to_the_driver():
    X, weight = rows(3)
    blocks = ArrayBlocks(X, weight)
    (start,) = starts(Full, X, weight, 1)
    holes = X.copy()
    holes[3, 1] = np.nan
    assert short_runs([start], ArrayBlocks(holes, weight), STEPS, 1) == [(start, [])]
    emission = start.emission
    far = Mixture(start.weights, Gaussian(emission.means - 1e9, emission.covariance, emission.floor))
    assert short_runs([far], blocks, STEPS, 1) == [(far, [])]
