"""Components that are left out by proof where rows lie together: the same sums as with all of them."""

import importlib

import numpy as np
import pytest

from fastem import GaussianMixture, MixedMixture, kernels
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.e_step import e_step
from fastem.rows.statistics import merged

REALS = {"float64": 1e-12, "float32": 2e-5}
ALL = [name for name in kernels.INSTRUCTION_SETS if kernels.built(name) and kernels.supported(name)]


def problem(d, K, structure="full", n=9000, real="float64", spread=0.3, seed=0):
    """Rows of K components that are `spread` times as wide as their distance, and these."""
    rng = np.random.default_rng([seed, d, K])
    means, roots = rng.random((K, d)), rng.normal(size=(K, d, d)) * spread * K ** (-1 / d) / np.sqrt(d)
    X = means[z := rng.integers(0, K, n)] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(n, d)))
    covariances = roots @ roots.swapaxes(1, 2) + (spread * 0.1) ** 2 * K ** (-2 / d) * np.eye(d)
    if structure == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    if structure == "spherical":
        covariances = np.trace(covariances, axis1=1, axis2=2) / d
    weights = rng.random(K) + 0.1
    density = Gaussian(means, STRUCTURES[structure].from_covariances(covariances, np.zeros(d)), np.zeros(d))
    return X.astype(real), Mixture(weights / weights.sum(), density), rng.random(n)


def both(mixture, X, weight, module=None, nearby=None):
    """The sums with all components, and with those that are left over."""
    module = module or kernels.for_dtype(X.dtype)
    call = mixture.kernel_call(X.dtype)
    parts = tuple(module.Part(part.family, part.n_columns, mixture.n_components, part.params) for part in call.parts)
    nearby = nearby or module.nearby_rows(X, 1)
    arguments = parts, X, weight, call.centre, mixture.n_components, 2
    return module.expect(*arguments), module.expect(*arguments, None, None, nearby)


def assert_alike(all_of_them, left_over, tolerance):
    size = abs(all_of_them[0]).max()
    assert np.allclose(left_over[0], all_of_them[0], rtol=tolerance, atol=tolerance * size)
    for found, expected in zip(left_over[1:], all_of_them[1:]):
        assert abs(found - expected) <= tolerance * (abs(all_of_them[1]) + abs(all_of_them[2]))


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", ["full", "diag", "spherical"])
@pytest.mark.parametrize("d", [1, 2, 3, 5, 8])
def test_sums(structure, d, real):
    for weighted in (False, True):
        X, mixture, weight = problem(d, 300, structure, real=real)
        assert_alike(*both(mixture, X, weight if weighted else None), REALS[real])


@pytest.mark.parametrize("name", ALL)
def test_every_build(name):
    X, mixture, weight = problem(2, 200, n=9001)
    assert_alike(*both(mixture, X, weight, importlib.import_module(f"fastem.kernels._{name}_float64")), 1e-12)


def test_what_is_left_out_hangs_on_the_boxes():
    """Points in place of boxes leave out too much: so something is left out, and the tests above can fail."""
    X, mixture, _ = problem(2, 300, spread=2.0)
    rows, low, high = kernels.for_dtype(X.dtype).nearby_rows(X, 1)
    expected, found = both(mixture, X, None, nearby=(rows, low, high))
    assert_alike(expected, found, 1e-12)
    with pytest.raises(AssertionError):
        assert_alike(*both(mixture, X, None, nearby=(rows, low - 10, low - 10)), 1e-12)


@pytest.mark.parametrize("far", [1e3, 1e100, 1e200, np.nan])
def test_a_row_far_from_all(far):
    X, mixture, _ = problem(2, 200)
    X[17] = far
    expected, found = both(mixture, X, None)
    if np.isnan(far):
        assert np.isnan(found[0]).any()
    elif far < 1e10:
        assert_alike(expected, found, 1e-12)
    else:
        assert np.allclose(found[1], expected[1], rtol=1e-12)


def test_columns_in_other_units_and_without_variation():
    X, mixture, _ = problem(3, 200)
    X[:, 1] = mixture.emission.means[:, 1].mean()
    assert_alike(*both(mixture, X, None), 1e-12)
    units = np.array([1e-9, 1.0, 1e7])
    scaled = STRUCTURES["full"].from_covariances(
        mixture.emission.covariance.covariances * units[:, None] * units, np.zeros(3)
    )
    there = Mixture(mixture.weights, Gaussian(mixture.emission.means * units, scaled, np.zeros(3)))
    expected, found = both(there, X * units, None)
    assert np.allclose(found[0], expected[0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("n", [1, 127, 128, 129, 5000, 70_000])
def test_the_order_is_of_all_rows_once(n):
    X = np.random.default_rng(n).normal(size=(n, 3)).round(1)
    module = kernels.for_dtype(X.dtype)
    rows, low, high = module.nearby_rows(X, 1)
    assert np.array_equal(np.sort(rows[:n]), np.arange(n)) and (rows[n:] == ~rows[n - 1]).all()
    for tile in range(len(low)):
        some = X[rows[128 * tile : min(128 * (tile + 1), n)]]
        assert np.array_equal(low[tile], some.min(axis=0)) and np.array_equal(high[tile], some.max(axis=0))
    for n_threads in (2, 5):
        assert all(map(np.array_equal, (rows, low, high), module.nearby_rows(X, n_threads)))


def test_rows_of_a_tile_lie_together():
    X = np.random.default_rng(0).random((128 * 256, 2))
    _, low, high = kernels.for_dtype(X.dtype).nearby_rows(X, 1)
    assert np.prod(high - low, axis=1).mean() < 1.2 / 256


@pytest.mark.parametrize(
    "X", [np.zeros((5000, 2)), np.repeat(np.arange(5.0)[:, None], 2000, axis=0), np.arange(9000.0)[:, None] % 4500]
)
def test_equal_and_sorted_rows(X):
    rows, *_ = kernels.for_dtype(X.dtype).nearby_rows(X, 2)
    assert np.array_equal(np.sort(rows[: len(X)]), np.arange(len(X)))


def test_what_is_wrong_is_said():
    X, mixture, _ = problem(2, 200)
    rows, low, high = kernels.for_dtype(X.dtype).nearby_rows(X, 1)
    for wrong in [
        (rows[:-1], low, high),
        (rows[:128], low, high),
        (rows, low[1:], high),
        (rows, low, high[:, :1].copy()),
    ]:
        with pytest.raises(ValueError, match=r"rows has length|low has length|a row of high"):
            both(mixture, X, None, nearby=wrong)
    X, mixture, _ = problem(2, 100)
    with pytest.raises(ValueError, match="one part that takes them"):
        both(mixture, X, None)


def bits(statistics):
    return statistics.vector.tobytes()


def used(mixture, X):
    kept = {}
    mixture.e_step_of_block(X, None, 1, kept)
    return "nearby" in kept


def test_it_is_used_where_it_pays():
    X, mixture, _ = problem(2, 200)
    assert used(mixture, X)
    assert not used(mixture, X[:8000])  # so few rows that tiles are large
    assert not used(problem(2, 100)[1], X)
    overlapping = problem(2, 200, spread=20.0)
    assert not used(overlapping[1], overlapping[0])
    assert used(problem(3, 1000)[1], problem(3, 1000)[0])
    assert not used(problem(8, 1000, spread=1.0)[1], problem(8, 1000, spread=1.0)[0])
    assert not used(problem(2, 200)[1], X.astype(np.float32))  # whose passes take half the time, but not their order


def test_columns_in_another_order():
    """A part whose columns are not in X's order has all components for all rows: the same fit as in that order."""
    X = np.random.default_rng(0).random((10_000, 2)) * [1, 1000]
    fits = [
        MixedMixture(200, kinds={"gaussian": kinds}, max_iter=4, tol=0, random_state=0).fit(X)
        for kinds in ([0, 1], [1, 0])
    ]
    for fit in fits:
        assert np.isclose(fit.log_likelihood_, fit.score_samples(X).sum(), rtol=1e-9)
    mixture = fits[1].model_
    call, module = mixture.kernel_call(X.dtype), kernels.for_dtype(X.dtype)
    assert call.order is not None and not call.takes_nearby
    with pytest.raises(ValueError, match="with its columns in X's order"):
        module.expect(call.parts, X, None, call.centre, 200, 1, call.order, None, module.nearby_rows(X, 1))


def test_additions_are_those_of_either_order():
    """The error of a sum is bounded whether or not rows are put in order."""
    part = problem(3, 200, "diag")[1].kernel_call(np.dtype("f8")).parts
    module = kernels.for_dtype("float64")
    fewer, more = (module.additions(part, n, 3, 200) for n in (8000, 9000))
    assert more[0] >= fewer[0] and more[1] >= fewer[1]
    n_tiles = 1 << 16
    lanes = min(64, n_tiles)
    assert module.additions(part, 128 * n_tiles, 3, 200)[1] >= n_tiles // lanes


@pytest.mark.filterwarnings("ignore:Best performing initialization", "ignore:component")
@pytest.mark.parametrize("structure", ["full", "diag"])
def test_the_same_bits_and_the_same_fit(structure):
    X, mixture, weight = problem(2, 250, structure, n=12_000)
    kept = {}
    first = bits(mixture.e_step_of_block(X, weight, 1, kept))
    assert "nearby" in kept
    for n_threads in (2, 3, 8):
        assert bits(mixture.e_step_of_block(X, weight, n_threads, {})) == first
    assert bits(merged(e_step(mixture, *rows, 1) for rows in ArrayBlocks(X, weight))) == first
    start = {"weights_init": mixture.weights, "means_init": mixture.emission.means}
    fit = GaussianMixture(250, covariance_type=structure, max_iter=15, tol=0, **start).fit(X, sample_weight=weight)
    assert (np.diff(fit.history_) >= -1e-12).all()
    total = weight @ fit.score_samples(X) / weight.sum()
    assert np.isclose(fit.log_likelihood_ / weight.sum(), total, rtol=1e-12)
