"""Rows with missing values: the compiled passes against formulas row by row, and fits, scores and imputation."""

import dask.array
import numpy as np
import pandas
import pyarrow
import pytest
import reference
from instances import STRUCTURES, dense, random_mixture
from passes import TOLERANCE, assert_scores, assert_sums, bits, in_shape, problem, score

import fastem
from fastem import GaussianMixture, kernels
from fastem.datasets import load_faithful
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.missing_patterns import grouped, patterns

FULL, TIED, DIAG, SPHERICAL = STRUCTURES


def with_gaps(X, share, seed=0):
    """A copy in which so large a share of the values is missing, in one row all of them."""
    X = X.copy()
    X[np.random.default_rng(seed).random(X.shape) < share] = np.nan
    X[len(X) // 2] = np.nan
    return X


def parameters(mixture):
    K, d = mixture.emission.shape
    return mixture.weights, mixture.emission.means, dense(mixture.emission.covariance, K, d)


@pytest.mark.parametrize("real", ["float64", "float32"])
@pytest.mark.parametrize("n, d, K, share", [(130, 1, 2, 0.3), (300, 3, 3, 0.2), (90, 7, 4, 0.6), (170, 13, 2, 0.1)])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_sums_are_those_of_each_row(structure, n, d, K, share, real):
    mixture, X, weight = problem(structure, real, n, d, K)
    X = with_gaps(X, share)
    expected = reference.incomplete_sums(X, *parameters(mixture), weight)
    second, size = expected["second"]
    expected["second"] = in_shape(second, structure), size
    assert_sums(mixture.e_step(X, weight), expected, TOLERANCE[real], structure)


@pytest.mark.parametrize("real", ["float64", "float32"])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_scores_are_those_of_each_row(structure, real):
    mixture, X, _ = problem(structure, real, 300, 6, 3)
    X = with_gaps(X, 0.3)
    X[:50:2] = np.nan_to_num(X[:50:2])
    assert_scores(score(mixture, X), reference.incomplete_joint(X, *parameters(mixture)), TOLERANCE[real])
    nothing = np.full((1, 6), np.nan, real)
    found = score(mixture, nothing)
    assert abs(found["log_density"][0]) < 20 * np.finfo(real).eps
    np.testing.assert_allclose(found["responsibilities"][0], mixture.weights, rtol=1e-5)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_same_bits_for_any_number_of_threads_and_with_what_is_kept(structure):
    mixture, X, weight = problem(structure, "float64", 9000, 4, 3)
    X, kept = with_gaps(X, 0.2), {}
    first = mixture.e_step_of_block(X, weight, 1, kept).vector.tobytes()
    assert kept
    assert {mixture.e_step_of_block(X, weight, n, kept).vector.tobytes() for n in (1, 2, 3)} == {first}
    assert mixture.e_step(np.asfortranarray(X), weight).vector.tobytes() == first
    assert bits(score(mixture, X, 1)) == bits(score(mixture, X, 3))


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_weights_are_repetitions(structure):
    mixture, X, _ = problem(structure, "float64", 400, 5, 2)
    X, repeats = with_gaps(X, 0.3), np.arange(400) % 4
    weighted = mixture.e_step(X, repeats.astype(float)).vector
    np.testing.assert_allclose(weighted, mixture.e_step(np.repeat(X, repeats, axis=0)).vector, rtol=1e-9, atol=1e-9)


def test_groups_hold_every_row_once_beside_rows_of_its_pattern():
    X = with_gaps(np.random.default_rng(0).normal(size=(300, 3)), 0.3)
    rows, pattern, columns, n_missing = grouped(X, 8)
    assert np.array_equal(np.sort(rows[rows >= 0]), np.arange(300))
    filled = np.where(rows < 0, ~rows, rows).reshape(-1, 8)
    for group, p in zip(filled, pattern):
        missing = np.sort(columns[p, : n_missing[p]])
        assert all(np.array_equal(np.flatnonzero(np.isnan(X[row])), missing) for row in group)


@pytest.mark.parametrize("d", [3, 64, 65, 200])
def test_patterns_tell_which_values_are_missing(d):
    X = np.where(np.random.default_rng(d).random((50, d)) < 0.5, np.nan, 0.0)
    X[10:20] = X[:10]
    missing, of_row = patterns(X)
    assert len(missing) == len(np.unique(np.isnan(X), axis=0))
    assert np.array_equal(missing[of_row], np.isnan(X))


def blobs(n=600, d=4):
    """Rows of two clusters, correlated, a fifth of the values missing."""
    rng = np.random.default_rng(5)
    X, _ = random_mixture(rng, 2, d, FULL, 3.0).sample(n, rng)
    return with_gaps(rng.permutation(X), 0.2)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", *FAMILIES])
def test_every_family_climbs_to_a_fixed_point(covariance_type):
    X = blobs()
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0, tol=1e-8, max_iter=500).fit(X)
    assert model.converged_
    assert (np.diff(model.history_) > -1e-10).all()
    assert np.isclose(model.score(X), model.lower_bound_)
    joint = reference.incomplete_joint(X, *parameters(model.model_))
    assert np.isclose(reference.log_density(joint).mean(), model.lower_bound_, rtol=1e-9)
    again = model.model_.m_step(model.model_.e_step(X))
    assert np.abs(again.emission.means - model.means_).max() < 1e-2


def test_what_is_estimated_is_near_what_the_whole_rows_tell():
    rng = np.random.default_rng(1)
    truth = random_mixture(rng, 2, 3, FULL, 4.0)
    X = rng.permutation(truth.sample(20_000, rng)[0])
    whole = GaussianMixture(2, random_state=0, tol=1e-6).fit(X)
    partly = GaussianMixture(2, random_state=0, tol=1e-6, means_init=whole.means_).fit(with_gaps(X, 0.2))
    np.testing.assert_allclose(partly.means_, whole.means_, atol=0.1)
    np.testing.assert_allclose(partly.covariances_, whole.covariances_, atol=0.2)


def brute_imputation(mixture, X):
    weights, means, covariances = parameters(mixture)
    resp = reference.responsibilities(reference.incomplete_joint(X, weights, means, covariances))
    rows = [[reference.incomplete_row(x, m, c) for m, c in zip(means, covariances)] for x in X.astype(np.float64)]
    mean = np.array([sum(r * own[1] for r, own in zip(resp[i], rows[i])) for i in range(len(X))])
    second = [sum(r * (own[2] + np.outer(own[1], own[1])) for r, own in zip(resp[i], rows[i])) for i in range(len(X))]
    return mean, np.array(second)


@pytest.mark.parametrize("real", ["float64", "float32"])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV", "VVI"])
def test_imputation_is_the_conditional_mean(covariance_type, real):
    X = blobs(200).astype(real)
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    found = model.impute(X)
    there = ~np.isnan(X)
    assert found.dtype == real and np.array_equal(found[there], X[there])
    np.testing.assert_allclose(found, brute_imputation(model.model_, X)[0], rtol=1e-8 if real == "float64" else 1e-4)
    assert np.array_equal(model.impute(found), found)
    assert np.isnan(X).any()


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_draws_have_the_conditional_moments(covariance_type):
    X = blobs(40)
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    draws = model.impute(X, draws=4000, random_state=1)
    assert draws.shape == (4000, *X.shape)
    mean, second = brute_imputation(model.model_, X)
    deviation = np.sqrt(np.maximum(np.einsum("nii->ni", second) - mean**2, 0))
    assert (abs(draws.mean(axis=0) - mean) <= 5 * deviation / np.sqrt(4000) + 1e-12).all()
    found = np.einsum("mni,mnj->nij", draws, draws) / 4000
    assert (abs(found - second) <= 0.3 * (1 + abs(second))).all()
    assert np.array_equal(draws, model.impute(X, draws=4000, random_state=1))


@pytest.mark.parametrize("draws", [0, 1.5, "many"])
def test_a_wrong_number_of_draws_is_named(draws):
    X = blobs(100)
    with pytest.raises(ValueError, match="draws must be a whole number"):
        GaussianMixture(2, random_state=0).fit(X).impute(X, draws=draws)


CONTAINERS = {
    "frame": pandas.DataFrame,
    "Arrow with nulls": lambda X: pyarrow.table(
        [pyarrow.array(column, from_pandas=True) for column in X.T], names=list("abcd")
    ),
    "chunks": lambda X: lambda: iter([X[:100], X[100:]]),
    "Dask": lambda X: dask.array.from_array(X, chunks=(150, 4)),
}


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_containers_give_what_an_array_gives(container, covariance_type):
    X = blobs()
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
    expected, found = model.fit(X).means_, model.fit(container(X)).means_
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    held = container(X)
    rows = pandas.DataFrame(X, columns=list("abcd")) if hasattr(model, "feature_names_in_") else X
    for method in (model.predict, model.predict_proba, model.score_samples, model.impute):
        np.testing.assert_allclose(np.asarray(method(held)), method(rows), rtol=1e-12)
    assert np.isclose(model.bic(held), model.bic(rows))


def test_a_file_of_text_with_empty_fields(tmp_path):
    X = blobs()
    pandas.DataFrame(X, columns=list("abcd")).to_csv(tmp_path / "rows.csv", index=False)
    expected = GaussianMixture(2, random_state=0).fit(X)
    assert np.array_equal(GaussianMixture(2, random_state=0).fit(tmp_path / "rows.csv").means_, expected.means_)
    assert np.array_equal(GaussianMixture(2, random_state=0).fit([X[:100], X[100:]]).means_, expected.means_)


def test_em_partial_fit_and_files_of_models_take_them(tmp_path):
    X = blobs()
    model = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_allclose(fastem.em(model.model_, X, max_iter=0).history[0], model.lower_bound_, rtol=1e-12)
    model.save(tmp_path / "model.npz")
    assert np.array_equal(fastem.load(tmp_path / "model.npz").impute(X), model.impute(X))
    before = model.means_
    assert not np.array_equal(model.partial_fit(X[:100]).means_, before)
    for start in ("k-means++", "random", "random_from_data", np.arange(600) % 2):
        assert np.isfinite(
            GaussianMixture(2, random_state=0, init_params=start).fit(X, sample_weight=X[:, 0] > -9).means_
        ).all()


def test_without_missing_values_nothing_is_grouped():
    X = np.nan_to_num(blobs())
    blocks = ArrayBlocks(X)
    model = GaussianMixture(2, random_state=0).fit(X)
    blocks.reduce(model.model_, 1)
    assert blocks._kept == {0: {}}
    assert np.array_equal(model.impute(X), X)


def test_many_rows_take_a_coarse_start(monkeypatch):
    monkeypatch.setattr("fastem.starts.subsample.SUBSAMPLE", 200)
    X = blobs(2000)
    coarse, single = (GaussianMixture(2, random_state=0, tol=1e-6, coarse=c).fit(X) for c in (True, False))
    assert coarse.n_iter_ <= single.n_iter_ and "subsample" in coarse.fit_report_.restarts[0].start
    assert np.isclose(coarse.lower_bound_, single.lower_bound_)


def spoilt(row, column, value):
    X = np.random.default_rng(0).normal(size=(60, 3))
    X[row, column] = value
    return X


@pytest.mark.parametrize(
    "X, words",
    [
        (spoilt(slice(None), 1, np.nan), ["Column 1 of X", "every value is missing", "Leave it out"]),
        (pandas.DataFrame(spoilt(slice(None), 2, np.nan), columns=["a", "b", "c"]), ["Column 'c' of X"]),
        (np.full((9, 2), np.nan), ["Column 0, 1 of X"]),
        (spoilt(5, slice(0, 2), [np.nan, np.inf]), ["infinity", "row 5, column 1"]),
        (spoilt(5, slice(0, 2), [np.nan, 1e200]), ["overflow"]),
        (np.repeat([[1.0, np.nan], [1.0, 2.0]], [5, 0], axis=0), ["Column 1"]),
    ],
)
def test_what_cannot_be_fitted_is_named(X, words):
    with pytest.raises(ValueError) as error:
        GaussianMixture(2, random_state=0).fit(X)
    assert all(word in str(error.value) for word in words), error.value


def test_a_row_far_from_everything_goes_to_the_nearest_component():
    mixture, _, _ = problem(FULL, "float64", 10, 2, 2)
    for real, far in (("float64", 1e200), ("float32", 1e30)):
        X = np.array([[far, np.nan], [np.nan, -far], [0, np.nan]], real)
        found = score(mixture, X)
        assert np.isfinite(found["responsibilities"]).all()
        assert np.allclose(found["responsibilities"].sum(axis=1), 1)
        assert np.isfinite(found["log_density"][2]) and found["log_density"][0] < -1e50


def test_components_far_apart_keep_their_digits():
    """Missing values far from the origin; narrow components."""
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + 6 * (rng.random((500, 1)) < 0.4)
    Z = with_gaps(Z, 0.2)
    near, far = (GaussianMixture(2, random_state=0, tol=1e-6).fit(shift + Z) for shift in (0, 1e6))
    np.testing.assert_allclose(far.means_ - 1e6, near.means_, atol=1e-4)
    assert np.isclose(far.lower_bound_, near.lower_bound_, atol=1e-5)


def test_kernels_refuse_groups_that_do_not_fit():
    mixture, X, _ = problem(FULL, "float64", 30, 2, 2)
    call, module = mixture.incomplete_call(X.dtype), kernels.for_dtype(X.dtype)
    rows, pattern, columns, n_missing = grouped(X, module.group_rows)
    arguments = call.parts, X, None, call.centre, 2, 1, None
    for wrong in (None, (rows[1:], pattern, columns, n_missing), (rows, pattern, columns[:, :1].copy(), n_missing)):
        with pytest.raises(ValueError):
            module.expect(*arguments, wrong)


def test_scikit_learn_sees_that_missing_values_are_taken():
    """And runs its checks accordingly: test_scikit_learns_checks in estimators/test_interface.py."""
    assert GaussianMixture().__sklearn_tags__().input_tags.allow_nan
    assert not fastem.StudentTMixture().__sklearn_tags__().input_tags.allow_nan


def test_others_refuse_them():
    X = blobs(100)
    for model in (fastem.StudentTMixture(2), fastem.MixtureOfFactorAnalyzers(2)):
        with pytest.raises(ValueError, match="NaN"):
            model.fit(X)
        model.fit(np.nan_to_num(X))
        with pytest.raises(ValueError, match="NaN"):
            model.predict(X)


@pytest.mark.parametrize("structure", ["full", "tied", "diag", "spherical", "VEI"])
def test_a_prior_changes_the_fit_alone(structure):
    """The fitted mixture is one of Gaussians, which describes a row by what is seen of it."""
    X = load_faithful().data
    gaps = X.copy()
    gaps[::3, 0], gaps[1::7, 1] = np.nan, np.nan
    model = fastem.GaussianMixture(2, covariance_type=structure, prior="default", random_state=0).fit(X)
    given = model.weights_, model.means_, model.covariances_
    plain = fastem.GaussianMixture.from_parameters(*given, covariance_type=structure)
    for method in ("score", "score_samples", "predict", "predict_proba", "impute", "bic"):
        np.testing.assert_allclose(getattr(model, method)(gaps), getattr(plain, method)(gaps), rtol=1e-9)
    draws = [one.impute(gaps, draws=2, random_state=0) for one in (model, plain)]
    np.testing.assert_allclose(*draws, rtol=1e-9)
    with pytest.raises(ValueError, match=r"prior='default' needs rows without missing values. Or fit with prior=None"):
        model.fit(gaps)


@pytest.mark.parametrize("given", [{"noise": "box"}, {"truncation": ([0, 0], [9, 200])}])
def test_what_takes_no_missing_value_says_so_in_predictions(given):
    X = load_faithful().data
    model = fastem.GaussianMixture(2, covariance_type="diag", random_state=0, **given).fit(X)
    (name,) = given
    words = rf"row 0, column 0. {name}=.* needs rows without missing values. Or fit with {name}=None: NaN is then"
    for method in (model.impute, model.predict, model.score):
        with pytest.raises(ValueError, match=words) as raised:
            method([[np.nan, 70.0]])
        assert "impute" not in str(raised.value)
    with pytest.raises(ValueError, match="infinity"):
        model.predict([[np.inf, 70.0]])


def test_draws_of_several_missing_values_have_their_covariance():
    covariance = np.array([[4.0, 1.5, 0.3], [1.5, 1.0, 0.2], [0.3, 0.2, 0.25]])
    model = GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), covariance[None])
    drawn = model.impute(np.tile([np.nan, np.nan, 0.0], (20_000, 1)), draws=1, random_state=0)[0][:, :2]
    expected = covariance[:2, :2] - np.outer(covariance[:2, 2], covariance[:2, 2]) / covariance[2, 2]
    np.testing.assert_allclose(np.cov(drawn.T), expected, rtol=0.05)
