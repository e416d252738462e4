"""Components whose responsibilities vanish on whole tiles: kernels skip them there, and nobody may notice.

Clusters lie so far apart that responsibilities are below 2^-60, which is taken as 0; sorted rows then give tiles that
belong to one of them.
"""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from instances import STRUCTURES, random_covariances
from passes import TOLERANCE, assert_sums, expected_sums, joint_of

from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture

REALS = ["float64", "float32"]
APART = {"float64": 30.0, "float32": 30.0}  # standard deviations, no more than the tied kernel serves
FAMILY = {"full": "gaussian_full", "tied": "gaussian_tied"}  # or else diagonal
CHUNK = 1536  # rows: one tile or several whole ones, for the few columns here


def far_apart(structure, real, d, K, seed=0):
    """A mixture of components on a line."""
    rng = np.random.default_rng([seed, d, K])
    means = APART[real] * (np.arange(K) - K // 2)[:, None] * np.eye(d)[0] + rng.normal(size=(K, d))
    dense = np.eye(d) + 0.1 * random_covariances(rng, K, d)
    covariances = structure.type.from_covariances(structure.from_dense(dense), np.zeros(d))
    mixture = Mixture(rng.dirichlet(np.full(K, 5.0)), Gaussian(means, covariances, np.zeros(d)))
    assert mixture.kernel_call(np.dtype(real)).parts[0].family == FAMILY.get(structure.name, "gaussian_diagonal")
    return mixture


def rows_of(mixture, components, real, seed=0):
    """One row of each of these components in turn."""
    rng = np.random.default_rng(seed)
    means = mixture.emission.means
    return (means[components] + rng.normal(size=(len(components), means.shape[1]))).astype(real)


def own_sums(mixture, X, k, n_threads=1):
    """The statistics of component k alone. Tied components share their second moments."""
    statistics = mixture.e_step_of_block(X, None, n_threads, {})
    shared = len(statistics.second) != mixture.n_components or statistics.second.ndim == 1
    return [statistics.counts[k], statistics.first[k]] + ([] if shared else [statistics.second[k]])


def same_bits(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


RUNS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 700)), min_size=1, max_size=6)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(runs=RUNS, d=st.sampled_from([1, 2, 4, 5, 9]), K=st.integers(1, 5), weighted=st.booleans())
@example(runs=[(0, 1536), (1, 1), (0, 1535), (2, 3072), (1, 1)], d=2, K=3, weighted=False)  # one row in an alien tile
@example(runs=[(0, 1), (1, 1534), (0, 1), (1, 768), (2, 768), (0, 3)], d=5, K=3, weighted=False)
def test_runs_of_rows_give_the_sums_of_the_formulas(structure, real, runs, d, K, weighted):
    mixture = far_apart(structure, real, d, K)
    components = np.concatenate([np.full(length, k % K) for k, length in runs])
    X = rows_of(mixture, components, real)
    weight = np.random.default_rng(1).choice([0.0, 0.5, 3.0], len(X)) if weighted else None
    weight = np.ones(len(X)) if weight is None else weight
    expected = expected_sums(mixture, X, weight, structure)
    if structure.name == "tied":  # its rows are about the common centre
        apart = np.abs(mixture.emission.means).max()
        for name, power in (("first", 1), ("second", 2)):
            value, size = expected[name]
            expected[name] = value, size + weight.sum() * apart**power
    found = mixture.e_step(X, weight)
    assert_sums(found, expected, TOLERANCE[real] + np.finfo(real).eps * APART[real] * K, structure)
    absent = np.setdiff1d(np.arange(K), components)
    assert not found.counts[absent].any() and not (structure.name != "tied" and found.first[absent].any())


def towards(mixture, real, k, other, log_share):
    """A row between two components of which k's responsibility is about exp(log_share)."""
    means = mixture.emission.means
    path = means[other] + np.linspace(0, 1, 50_001)[:, None] * (means[k] - means[other])
    joint = joint_of(mixture, path)
    return path[np.abs(joint[:, k] - joint.max(axis=1) - log_share).argmin()].astype(real)


@pytest.mark.parametrize("real, log_share", [("float64", -41.0), ("float32", -41.0)])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("d, K", [(1, 2), (2, 3), (3, 4), (5, 3)])
def test_a_component_that_vanishes_has_the_bits_of_one_that_all_but_vanishes(structure, real, log_share, d, K):
    """Shares too small to move any sum keep a component from being skipped; where they are 0 it may be skipped."""
    mixture, k, other = far_apart(structure, real, d, K), 1, 0
    chunk_of = np.random.default_rng(0).permutation([k] * 9 + [other] * 16)
    vanishing = rows_of(mixture, np.repeat(chunk_of, CHUNK), real)
    almost = vanishing.copy()
    almost[CHUNK // 3 :: CHUNK][chunk_of == other] = towards(mixture, real, k, other, log_share)
    for i in np.flatnonzero(chunk_of == other):
        rows = slice(i * CHUNK, (i + 1) * CHUNK)
        assert mixture.e_step(vanishing[rows]).counts[k] == 0
        assert 0 < mixture.e_step(almost[rows]).counts[k] < 1e-17
    for n_threads in (1, 2):
        assert same_bits(own_sums(mixture, vanishing, k, n_threads), own_sums(mixture, almost, k, n_threads))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("d, K", [(1, 2), (2, 3), (4, 4), (5, 5)])
def test_tiles_of_others_leave_no_trace(structure, real, d, K):
    """Wherever whole tiles of other components stand between its own, a component's sums have the same bits."""
    mixture, k = far_apart(structure, real, d, K), 1
    mine = rows_of(mixture, np.full(2 * CHUNK, k), real).reshape(2, CHUNK, d)
    other = rows_of(mixture, np.arange(CHUNK) % (K - 1) + (np.arange(CHUNK) % (K - 1) >= k), real)
    orders = [(mine[0], mine[1], other), (mine[0], other, mine[1]), (other, mine[0], mine[1])]
    expected, *found = [own_sums(mixture, np.concatenate(order), k) for order in orders]
    assert all(same_bits(sums, expected) for sums in found)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("place", [0, 1, 7, 8, 255, 256, 510, 511])
def test_a_single_row_in_an_alien_tile_counts(structure, real, place):
    mixture = far_apart(structure, real, 3, 3)
    components = np.zeros(4 * CHUNK, int)
    components[2 * CHUNK + place] = 2
    found = mixture.e_step(rows_of(mixture, components, real))
    assert found.counts.tolist() == [len(components) - 1, 0, 1]
