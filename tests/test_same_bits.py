"""The same bits for any number of threads, any layout and place in memory, and wherever in an array a row stands."""

import hashlib

import numpy as np
import pytest
from instances import STRUCTURES, blobs
from passes import bits, problem, score
from threadpoolctl import threadpool_info, threadpool_limits

import fastem.rows.blocks
from fastem import (
    PPCA,
    FactorAnalysis,
    GaussianMixture,
    GaussianMixtureRegressor,
    MixtureOfFactorAnalyzers,
    MixtureOfRegressions,
    three_step,
)
from fastem.families.gaussian.covariance_mixture import BASIC
from fastem.models.gaussian.linear_algebra import inverse_factor, product
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.column_moments import observed_variances
from fastem.rows.scale import standardised
from fastem.starts.named import MEMBERSHIPS
from fastem.starts.short_runs import pays

REALS = ["float64", "float32"]
THREADS = [1, 2, 5, 16]


def shifted(X, order="C"):
    """The same values, the first of them one value past a boundary of 64 bytes."""
    memory = np.empty(X.nbytes + 128, np.uint8)
    start = -memory.ctypes.data % 64 + X.itemsize
    same = memory[start : start + X.nbytes].view(X.dtype).reshape(X.shape, order=order)
    same[...] = X
    assert same.ctypes.data % 64 == X.itemsize
    return same


def mapped(X, file, order="C"):
    """The same values in a file, after a header of odd length in values."""
    same = np.memmap(file, X.dtype, "w+", 3 * X.itemsize, X.shape, order)
    same[...] = X
    return same


def layouts(X, folder):
    """The same values in memory in every way."""
    n, d = X.shape
    wider = np.full((n, d + 3), np.nan, X.dtype)
    wider[:, 1 : d + 1] = X
    strided = np.full((2 * n, 3 * d), np.nan, X.dtype)
    strided[::2, ::3] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    np.save(folder / "X.npy", X)
    return {
        "Fortran": np.asfortranarray(X),
        "shifted": shifted(X),
        "shifted, Fortran": shifted(X, "F"),
        "memory map": mapped(X, folder / "C"),
        "memory map, Fortran": mapped(X, folder / "F", "F"),
        "memory map of a .npy file": np.load(folder / "X.npy", mmap_mode="r"),
        "columns of a wider array": wider[:, 1 : d + 1],
        "every other row": np.repeat(X, 2, axis=0)[::2],
        "every third column": np.repeat(X, 3, axis=1)[:, ::3],
        "rows and columns strided": strided[::2, ::3],
        "rows backwards": X[::-1].copy()[::-1],
        "columns backwards": X[:, ::-1].copy()[:, ::-1],
        "both backwards": np.asfortranarray(X[::-1, ::-1])[::-1, ::-1],
        "read-only": read_only,
    }


def sha256(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def fitted_and_scored(X, weight=None, **params):
    """All that a fit leaves behind and all that it says of the rows, as one SHA-256. The large tol: one iteration in
    each run of EM, which is enough to see other bits."""
    model = GaussianMixture(4, random_state=0, tol=1e9, **params).fit(X, sample_weight=weight)
    fitted = model.weights_, model.means_, model.covariances_, model.precisions_cholesky_, model.precisions_
    values = model.history_, model.lower_bound_, model.log_likelihood_, model.score(X)
    return sha256(*fitted, *values, model.score_samples(X), model.predict(X), model.predict_proba(X))


@pytest.fixture
def several_blocks(monkeypatch):
    """A fit to 100 000 rows goes block by block, as one to millions does."""
    monkeypatch.setattr(fastem.rows.blocks, "BLOCK_VALUES", 1 << 17)


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_fits(structure, real, weighted, several_blocks, tmp_path):
    X = blobs(0, 100_003, 3, 4, 2.0).astype(real)
    weight = np.random.default_rng(0).choice([0.0, 0.5, 1.0, 3.0], len(X)) if weighted else None
    assert pays(ArrayBlocks(X), 4) and len(list(ArrayBlocks(X))) == 3
    params = {"covariance_type": structure.name}
    expected = fitted_and_scored(X, weight, **params, n_threads=1)
    for n_threads in THREADS[1:]:
        assert fitted_and_scored(X, weight, **params, n_threads=n_threads) == expected, n_threads
    if weighted and structure.name in BASIC:  # rows are read alike without weights, and for other structures
        for name, same in layouts(X, tmp_path).items():
            assert np.array_equal(same, X)
            assert fitted_and_scored(same, weight, **params, n_threads=2) == expected, name
        for same in (
            shifted(weight),
            np.repeat(weight, 2)[::2],
            weight[::-1].copy()[::-1],
            mapped(weight, tmp_path / "w"),
        ):
            assert fitted_and_scored(X, same, **params, n_threads=2) == expected


def test_variances_of_rows_with_missing_values(tmp_path):
    X = blobs(0, 501, 6, 4, 2.0)
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    expected = observed_variances(ArrayBlocks(X), 1).tobytes()
    for name, same in layouts(X, tmp_path).items():
        assert observed_variances(ArrayBlocks(same), 1).tobytes() == expected, name


def labels(X, n_components, rng):
    return np.arange(len(X)) % n_components


def responsibilities(X, n_components, rng):
    return np.eye(n_components)[labels(X, n_components, rng)]


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("init_params", [*MEMBERSHIPS, labels, responsibilities])
def test_fits_to_few_rows_from_every_start(init_params, real, tmp_path):
    """Here the start sees the array itself, not a subsample that was copied from it."""
    X = blobs(1, 3001, 7, 4, 2.0).astype(real)
    expected = fitted_and_scored(X, init_params=init_params)
    misaligned = np.zeros(X.nbytes + 1, np.uint8)[1:].view(real).reshape(X.shape)
    misaligned[...] = X
    assert not misaligned.flags.aligned
    for name, same in {**layouts(X, tmp_path), "misaligned": misaligned}.items():
        assert fitted_and_scored(same, init_params=init_params) == expected, name


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("n, d, K", [(5, 1, 2), (20_011, 3, 3), (999, 2, 3), (999, 4, 3), (999, 16, 2), (3_001, 33, 5)])
def test_passes(structure, real, n, d, K, tmp_path):
    mixture, X, weight = problem(structure, real, n, d, K)
    sums, scores = sha256(mixture.e_step(X, weight).vector), bits(score(mixture, X, 1))
    for n_threads in THREADS[1:]:
        assert sha256(mixture.e_step_of_block(X, weight, n_threads, {}).vector) == sums, n_threads
        assert bits(score(mixture, X, n_threads)) == scores, n_threads
    for name, same in layouts(X, tmp_path).items():
        assert np.array_equal(same, X)
        assert sha256(mixture.e_step_of_block(same, shifted(weight), 2, {}).vector) == sums, name
        assert bits(score(mixture, same, 2)) == scores, name


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("d, K", [(1, 1), (2, 3), (4, 5), (5, 17), (16, 33)])
def test_a_row_scores_the_same_wherever_it_stands(structure, real, d, K, tmp_path):
    mixture, X, _ = problem(structure, real, 1100, d, K)
    together = score(mixture, X)
    for i in (0, 1, 31, 32, 383, 384, 767, 768, 1099):
        here = bits({name: value[i : i + 1] for name, value in together.items()})
        for name, alone in layouts(X[i : i + 1], tmp_path).items():
            assert bits(score(mixture, alone)) == here, name
    rng = np.random.default_rng(0)
    for n_threads in THREADS:
        order = rng.permutation(len(X))[: rng.integers(1, len(X))]
        expected = bits({name: value[order] for name, value in together.items()})
        assert bits(score(mixture, X[order], n_threads)) == expected, n_threads
    for start in range(1, 20):
        expected = bits({name: value[start:] for name, value in together.items()})
        assert bits(score(mixture, X[start:])) == expected, start


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_an_estimator_scores_a_row_the_same_alone_and_in_a_large_batch(structure, real):
    X = blobs(2, 30_000, 3, 4, 2.0).astype(real)
    model = GaussianMixture(4, covariance_type=structure.name, random_state=0, tol=1e9).fit(X)
    for method in (model.score_samples, model.predict, model.predict_proba):
        together = method(X)
        for i in (0, 1, 5_000, 29_998, 29_999):
            assert method(X[i : i + 1]).tobytes() == together[i : i + 1].tobytes()


@pytest.mark.filterwarnings("ignore:.*did not converge")
@pytest.mark.parametrize("d, q", [(40, 4), (100, 5), (150, 20), (210, 70), (330, 9)])
def test_fits_of_factors_with_any_number_of_blas_threads(d, q):
    X = np.random.default_rng(d).normal(size=(5 * d, q + d)) @ np.random.default_rng(q).normal(size=(q + d, d))
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            own = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
            assert own <= {n_threads}  # also where the environment asks for one
            fits = [make(q, max_iter=2).fit(X) for make in (FactorAnalysis, lambda q, max_iter: PPCA(q))]
            mixture = MixtureOfFactorAnalyzers(2, n_factors=q, init_params=np.arange(len(X)) % 2, max_iter=1).fit(X)
            arrays = [a for fit in fits for a in (fit.components_, np.array(fit.noise_variance_), fit.transform(X))]
            arrays += [np.array([fit.log_likelihood_ for fit in [*fits, mixture]]), mixture.factor_scores(X)]
        found.append(sha256(*arrays, mixture.components_, mixture.noise_variances_, mixture.means_))
    assert found[0] == found[1]


@pytest.mark.parametrize("n, d, q", [(271, 3, 1), (30, 40, 9), (3000, 20, 3)])
def test_what_is_computed_of_rows_by_blas_in_every_layout(n, d, q, tmp_path):
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(n, d)), rng.normal(size=(2 * d + 20, d))
    mixture = GaussianMixture.from_parameters(
        [0.5, 0.5], [np.full(d, -0.2), np.full(d, 0.2)], np.tile(np.eye(d), (2, 1, 1))
    )
    factors = MixtureOfFactorAnalyzers(2, n_factors=q, random_state=0, max_iter=1, tol=1e9).fit(Y)
    regressor = GaussianMixtureRegressor(2, random_state=0, max_iter=1, tol=1e9).fit(Y, Y[:, 0] ** 2)
    uses = {
        "transform": FactorAnalysis.from_parameters(np.zeros(d), Y[:q], np.ones(d)).transform,
        "factor scores": factors.factor_scores,
        "predict": regressor.predict,
        "regressions": lambda X: MixtureOfRegressions(1, max_iter=1).fit(X, X[:, 0] ** 2).coef_,
        "three steps": lambda X: three_step(mixture, X, X[:, :2]).coefficients,
    }
    for name, use in uses.items():
        expected = use(X).tobytes()
        for layout, same in layouts(X, tmp_path).items():
            assert use(same).tobytes() == expected, (name, layout)


@pytest.mark.parametrize("rows, inner, columns", [(3, 4, 5), (100, 100, 53), (700, 700, 9), (4096, 90, 3)])
def test_products_with_any_number_of_blas_threads(rows, inner, columns):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            found.append(product(a, b))
    np.testing.assert_allclose(found[0], a @ b, atol=1e-12 * inner)
    assert np.array_equal(*found)


def test_precisions_with_any_number_of_blas_threads():
    X = np.random.default_rng(0).normal(size=(900, 600))
    covariance = np.cov(X.T)
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            found.append(inverse_factor(covariance[None])[0])
    assert np.array_equal(*found)


@pytest.mark.parametrize("real", REALS)
def test_standardised_columns_in_every_layout(real):
    X = blobs(3, 500, 7, 4, 3.0).astype(real)
    weight = np.random.default_rng(0).random(len(X))
    first = standardised(X, weight)
    for same in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        assert np.array_equal(standardised(same, weight), first)
