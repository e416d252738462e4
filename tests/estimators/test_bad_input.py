"""Bad input: each error names the argument, what was found and where, and what to do."""

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import scipy.sparse
from instances import blobs

import fastem
from fastem import GaussianMixture, NotFittedError, StudentTMixture

X = blobs(0, 60, 3, 2, 3.0)
EYE = np.eye(3)


def changed(array, place, value):
    array = np.array(array)
    array[place] = value
    return array


NAN_FRAME = pandas.DataFrame(changed(X, (7, 1), np.nan), columns=["a", "b", "c"])
GAP = {"a": [1.0, None, 2.0], "b": [1.0, 2.0, 3.0]}
NULLS = pandas.DataFrame({"a": pandas.array([1, None, 3, 4], dtype="Int64"), "b": [1.0, 2.0, 3.0, 5.0]})

BAD_DATA = {
    "NaN": (changed(X, (7, 1), np.nan), ["X contains NaN", "row 7, column 1", "Remove or impute"]),
    "infinity": (changed(X, (3, 2), np.inf), ["X contains infinity", "row 3, column 2"]),
    "minus infinity": (changed(X, (59, 0), -np.inf), ["X contains infinity", "row 59, column 0"]),
    "NaN in the first row": (changed(X, (0, 0), np.nan), ["X contains NaN", "row 0, column 0"]),
    "the first of several": (changed(changed(X, (9, 0), np.nan), (4, 2), np.nan), ["row 4, column 2"]),
    "NaN in float32": (changed(X, (7, 1), np.nan).astype(np.float32), ["X contains NaN", "row 7, column 1"]),
    "NaN deep in large data": (changed(np.zeros((70_000, 2)), (66_000, 1), np.nan), ["row 66000, column 1"]),
    "NaN in a data frame": (NAN_FRAME, ["X contains NaN", "row 7, column 'b'"]),
    "null in polars": (polars.DataFrame(GAP), ["X contains NaN", "row 1, column 'a'"]),
    "null in Arrow": (pyarrow.table(GAP), ["X contains NaN", "row 1 of the Arrow table, column 'a'"]),
    "null in a nullable column": (NULLS, ["X contains NaN", "row 1, column 'a'"]),
    "overflowing squares": (X * 1e300, ["X", "overflow", "divide X by its scale"]),
    "zero rows": (np.empty((0, 3)), ["0 sample(s)", "(shape=(0, 3))", "minimum of 1 is required by GaussianMixture"]),
    "one row": (X[:1], ["1 sample(s)", "minimum of 2"]),
    "zero columns": (np.empty((12, 0)), ["0 feature(s)", "(shape=(12, 0))", "minimum of 1 is required"]),
    "a list of nothing": ([], ["Expected 2D array, got 1D array", "Reshape your data"]),
    "one dimension": (X[:, 0], ["Expected 2D array, got 1D array", "Reshape your data", "reshape(-1, 1)"]),
    "a scalar": (np.float64(3), ["Expected 2D array, got scalar array", "Reshape your data"]),
    "three dimensions": (X[None], ["Found array with dim 3", "dim <= 2 is required"]),
    "complex": (X + 1j, ["Complex data not supported"]),
    "strings": (np.array([["a", "b"], ["c", "d"]]), ["X must hold numbers", "dtype"]),
    "strings among numbers": (np.array([[1.0, "a"], [2.0, 3.0]], dtype=object), ["X must hold numbers", "'a'"]),
    "ragged": ([[1.0, 2.0], [3.0]], ["X is not a rectangular array of numbers"]),
    "dates": (np.array([["2020-01-01"], ["2021-01-01"]], dtype="M8[D]"), ["X must hold numbers", "datetime64"]),
}


@pytest.mark.parametrize("given", [None, {1.0, 2.0}, object(), np.array(None)])
def test_what_holds_no_rows(given):
    name = type(given).__name__
    every = rf"X is {name}, which holds no rows. GaussianMixture takes .*frame.*path.*chunks.*a function"
    with pytest.raises(TypeError, match=every):
        GaussianMixture(1).fit(given)
    with pytest.raises(TypeError, match=rf"X is {name}, which holds no rows. Give GaussianMixture an array or a frame"):
        GaussianMixture(1).fit(X).predict(given)


def assert_refused(call, words, error=ValueError):
    with pytest.raises(error) as refusal:
        call()
    for word in words:
        assert word in str(refusal.value)


def refuser(words):
    """A mixture that refuses data: to a GaussianMixture NaN is a missing value."""
    missing = any("NaN" in word for word in words) or "row 4, column 2" in words or "row 66000, column 1" in words
    return StudentTMixture(1) if missing else GaussianMixture(1)


@pytest.mark.parametrize("case", BAD_DATA)
def test_data(case):
    data, words = BAD_DATA[case]
    assert_refused(lambda: refuser(words).fit(data), words)


AT_PREDICTION = ["NaN", "infinity", "NaN in float32", "one dimension", "three dimensions", "a scalar", "complex"]


@pytest.mark.parametrize("case", [*AT_PREDICTION, "ragged", "strings", "strings among numbers"])
def test_data_at_prediction(case):
    data, words = BAD_DATA[case]
    model = refuser(words).fit(X)
    for method in (model.predict, model.predict_proba, model.score_samples, model.score, model.bic, model.aic):
        assert_refused(lambda method=method: method(data), words)


@pytest.mark.parametrize("form", ["csr_matrix", "csc_array", "coo_array", "dok_array", "lil_array"])
def test_sparse_data(form):
    sparse = getattr(scipy.sparse, form)(X)
    for call in (GaussianMixture(1).fit, GaussianMixture(1).fit(X).predict):
        assert_refused(lambda call=call: call(sparse), ["Sparse data was passed for X", ".toarray()"], TypeError)


def test_objects():
    data = np.array([[1.0, {}], [2.0, 3.0]], dtype=object)
    assert_refused(lambda: GaussianMixture(1).fit(data), ["argument must be", "dict"], (TypeError, ValueError))


@pytest.mark.parametrize(
    "data, K, weight, words",
    [
        (X[:3], 4, None, ["n_samples >= n_components", "n_components = 4", "n_samples = 3"]),
        (np.repeat(X[:3], 20, axis=0), 4, None, ["X has 3 distinct row(s)", "n_components = 4", "choose fewer"]),
        (np.ones((50, 2)), 2, None, ["X has 1 distinct row(s)", "n_components = 2"]),
        (np.where(np.eye(2)[np.arange(60) % 2] > 0, np.nan, 0.0), 2, None, ["X has 1 distinct row(s)"]),
        (X, 4, np.arange(60) < 3, ["X has 3 distinct row(s) of positive weight", "n_components = 4"]),
    ],
)
def test_too_few_rows(data, K, weight, words):
    assert_refused(lambda: GaussianMixture(K).fit(data, sample_weight=weight), words)


@pytest.mark.parametrize(
    "weight, words",
    [
        (changed(np.ones(60), 5, np.nan), ["sample_weight contains NaN", "row 5"]),
        (changed(np.ones(60), 6, np.inf), ["sample_weight contains infinity", "row 6"]),
        (changed(np.ones(60), 8, -0.5), ["Negative values", "sample_weight", "-0.5 in row 8"]),
        (np.zeros(60), ["All sample_weight are zero"]),
        (0.0, ["All sample_weight are zero"]),
        (-1.0, ["Negative values", "sample_weight"]),
        (np.ones(59), ["sample_weight.shape == (59,)", "expected (60,)"]),
        (np.ones((60, 1)), ["Sample weights must be 1D", "2D"]),
        (["a"] * 60, ["sample_weight must hold numbers"]),
    ],
)
def test_sample_weight(weight, words):
    assert_refused(lambda: GaussianMixture(2).fit(X, sample_weight=weight), words)


RAGGED = [[1], [2, 3]]
SQUARE = np.stack([EYE, EYE])
BAD_PARAMETERS = [
    ({"n_components": 0}, ["'n_components' parameter of GaussianMixture", "int", "[1, inf)", "Got 0"]),
    ({"n_components": 2.5}, ["'n_components'", "int", "Got 2.5"]),
    ({"n_components": True}, ["'n_components'", "Got True"]),
    ({"n_components": "2"}, ["'n_components'", "Got '2'"]),
    ({"covariance_type": "banded"}, ["'covariance_type'", "'full'", "'tied'", "'diag'", "'spherical'", "Got 'banded'"]),
    ({"covariance_type": None}, ["'covariance_type'", "Got None"]),
    ({"init_params": "best"}, ["'init_params'", "'kmeans'", "'k-means++'", "'random_from_data'", "Got 'best'"]),
    ({"tol": -1e-3}, ["'tol'", "[0.0, inf)", "Got -0.001"]),
    ({"tol": np.nan}, ["'tol'", "Got nan"]),
    ({"reg_covar": -1}, ["'reg_covar'", "Got -1"]),
    ({"reg_covar": "small"}, ["'reg_covar'", "Got 'small'"]),
    ({"max_iter": -1}, ["'max_iter'", "Got -1"]),
    ({"max_iter": 1.5}, ["'max_iter'", "Got 1.5"]),
    ({"n_init": 0}, ["'n_init'", "Got 0"]),
    ({"verbose": -1}, ["'verbose'", "Got -1"]),
    ({"verbose_interval": 0}, ["'verbose_interval'", "Got 0"]),
    ({"n_threads": 0}, ["'n_threads'", "None", "Got 0"]),
    ({"random_state": "today"}, ["random_state must be", "'today'", "seed"]),
    ({"random_state": -1}, ["random_state must be", "-1", "seed"]),
    ({"random_state": [None]}, ["random_state must be", "[None]"]),
    ({"verbose": "much"}, ["'verbose'", "[0, inf) or 'bar'", "Got 'much'"]),
    ({"accelerate": "much"}, ["'accelerate'", "'anderson', 'squarem'} or None", "Got 'much'"]),
    ({"stop": "late"}, ["'stop'", "or a function", "Got 'late'"]),
    ({"warm_start": "yes"}, ["'warm_start'", "must be True or False", "Got 'yes'"]),
    ({"weight_concentration_prior": RAGGED}, ["weight_concentration_prior must be", "[[1], [2, 3]]"]),
    ({"fixed": {"weights": RAGGED}}, ["fixed['weights'] must be", "[[1], [2, 3]]"]),
    ({"prior": {"scale": RAGGED}}, ["prior['scale'] must be", "[[1], [2, 3]]"]),
    ({"prior": {"mean": RAGGED}}, ["prior['mean'] must", "[[1], [2, 3]]"]),
    ({"init_params": RAGGED}, ["init_params must be an array"]),
    ({"weights_init": RAGGED}, ["weights_init", "(2,)"]),
    ({"weights_init": [1.0]}, ["'weights'", "(2,)", "(1,) in weights_init"]),
    ({"weights_init": [[0.5, 0.5]]}, ["'weights'", "(2,)", "(1, 2)"]),
    ({"weights_init": [1.5, -0.5]}, ["'weights'", "[0, 1]", "1.5", "-0.5"]),
    ({"weights_init": [0.5, 0.6]}, ["'weights'", "normalized", "1.1"]),
    ({"weights_init": [0.5, np.nan]}, ["'weights'", "NaN"]),
    ({"weights_init": ["a", "b"]}, ["weights"]),
    ({"means_init": np.ones((2, 2))}, ["'means'", "(2, 3)", "(2, 2) in means_init"]),
    ({"means_init": np.ones((3, 3))}, ["'means'", "(2, 3)", "(3, 3)"]),
    ({"means_init": np.full((2, 3), np.inf)}, ["'means'", "infinity"]),
    ({"precisions_init": EYE}, ["'precisions'", "(2, 3, 3)", "(3, 3)"]),
    ({"precisions_init": changed(SQUARE, (1, 2, 2), -1.0)}, ["'precisions'", "positive-definite"]),
    ({"precisions_init": changed(SQUARE, (0, 0, 1), 0.9)}, ["'precisions'", "symmetric"]),
    ({"precisions_init": changed(SQUARE, (0, 0, 0), np.nan)}, ["'precisions'", "NaN"]),
    ({"precisions_init": np.ones((2, 3, 3))}, ["'precisions'", "positive-definite"]),
    ({"precisions_init": -EYE, "covariance_type": "tied"}, ["'precisions'", "positive-definite"]),
    ({"precisions_init": SQUARE, "covariance_type": "tied"}, ["'precisions'", "(3, 3)", "(2, 3, 3)"]),
    ({"precisions_init": [[1, 1, 0]] * 2, "covariance_type": "diag"}, ["'precisions'", "positive", "0"]),
    ({"precisions_init": np.ones((2, 2)), "covariance_type": "diag"}, ["'precisions'", "(2, 3)", "(2, 2)"]),
    ({"precisions_init": [1.0, -2.0], "covariance_type": "spherical"}, ["'precisions'", "positive", "-2"]),
    ({"precisions_init": [1.0], "covariance_type": "spherical"}, ["'precisions'", "(2,)", "(1,)"]),
    ({"init_params": np.zeros(59, int)}, ["init_params", "(60, 2)", "(60,)", "(59,)"]),
    ({"init_params": np.full(60, 2)}, ["init_params", "labels", "0 to 1", "2"]),
    ({"init_params": np.full(60, -1)}, ["init_params", "labels", "-1"]),
    ({"init_params": np.full(60, 0.5)}, ["init_params", "labels", "float64"]),
    ({"init_params": np.full((60, 2), 0.7)}, ["init_params", "responsibilities", "sum to 1"]),
    ({"init_params": np.full((60, 2), np.nan)}, ["init_params contains NaN", "row 0, column 0"]),
    ({"init_params": lambda X, K, rng: np.zeros(3, int)}, ["init_params", "(60, 2)", "(3,)"]),
    ({"init_params": 5}, ["init_params", "()"]),
]


@pytest.mark.parametrize("parameters, words", BAD_PARAMETERS, ids=[next(iter(case)) for case, _ in BAD_PARAMETERS])
def test_parameters(parameters, words):
    assert_refused(lambda: GaussianMixture(**{"n_components": 2, **parameters}).fit(X), words)


@pytest.mark.parametrize(
    "estimator, words",
    [
        (StudentTMixture(2, degrees_of_freedom=RAGGED), ["degrees_of_freedom must be", "[[1], [2, 3]]"]),
        (fastem.CategoricalMixture(2, n_categories=RAGGED), ["'n_categories' parameter", "[[1], [2, 3]]"]),
        (fastem.FactorAnalysis(1, noise_variance_init=RAGGED), ["noise_variance_init must be", "[[1], [2, 3]]"]),
        (fastem.FactorAnalysis(1, noise_variance_init="a"), ["noise_variance_init must be", "Got 'a'"]),
        (fastem.MixedMixture(2, kinds=None), ["kinds must name one kind for each column", "Got None"]),
        (fastem.MixedMixture(2, kinds=3), ["kinds must name one kind for each column", "Got 3"]),
        (fastem.MixedMixture(2, kinds=RAGGED), ["kinds must name one kind for each column", "[[1], [2, 3]]"]),
        (fastem.MixedMixture(2, kinds={"gaussian": RAGGED}), ["kinds must be", "[[1], [2, 3]]"]),
    ],
    ids=str,
)
def test_odd_parameters_of_other_families(estimator, words):
    assert_refused(lambda: estimator.fit(np.abs(X).round()), words)


def test_the_wrong_number_of_columns_at_prediction():
    model = GaussianMixture(2).fit(X)
    for method in (model.predict, model.predict_proba, model.score_samples, model.score, model.bic, model.aic):
        words = ["X has 2 features, but GaussianMixture is expecting 3 features as input"]
        assert_refused(lambda method=method, words=words: method(X[:, :2]), words)
    assert_refused(lambda: model.predict(X[:0]), ["0 sample(s)", "minimum of 1 is required"])


@pytest.mark.parametrize(
    "names, words",
    [
        (["a", "b", "d"], ["feature names should match", "unseen at fit time:\n- d", "now missing:\n- c"]),
        (["b", "a", "c"], ["feature names should match", "same order"]),
        (["a", "b"], ["now missing:\n- c"]),
    ],
)
def test_the_wrong_names_of_columns_at_prediction(names, words):
    model = GaussianMixture(2).fit(pandas.DataFrame(X, columns=["a", "b", "c"]))
    assert_refused(lambda: model.predict(pandas.DataFrame(X[:, : len(names)], columns=names)), words)


def test_names_of_several_kinds():
    frame = pandas.DataFrame(X, columns=["a", 1, "c"])
    assert_refused(lambda: GaussianMixture(2).fit(frame), ["Feature names", "int", "str", "astype(str)"], TypeError)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"])
def test_an_unfitted_model(method):
    import sklearn.exceptions

    words = ["This GaussianMixture instance is not fitted yet", "Call 'fit'"]
    errors = (NotFittedError, sklearn.exceptions.NotFittedError)
    assert_refused(lambda: getattr(GaussianMixture(2), method)(X), words, errors)
    assert_refused(lambda: GaussianMixture(2).sample(), words, ValueError)
    assert_refused(lambda: GaussianMixture(2).save("model.npz"), words, ValueError)


def test_a_failed_fit_leaves_the_fitted_model_alone():
    model = GaussianMixture(2, random_state=0).fit(X)
    before = model.predict_proba(X)
    assert_refused(lambda: model.fit(changed(X, (7, 1), np.inf)), ["row 7"])
    assert np.array_equal(model.predict_proba(X), before)


CALLS = {
    "fit": lambda **given: GaussianMixture(2, random_state=0).fit(X, **given),
    "em": lambda **given: fastem.em(GaussianMixture(2, random_state=0).fit(X).model_, X, **given),
}
BAD_CALLS = [
    ({"resume": True}, ValueError, "resume=True needs the file to go on from: name it with checkpoint="),
    ({"resume": "yes", "checkpoint": "c"}, ValueError, "resume must be True or False. Got 'yes' instead"),
    ({"checkpoint_seconds": -1}, ValueError, "checkpoint_seconds must be a number of at least 0. Got -1 instead"),
    ({"checkpoint_seconds": np.nan}, ValueError, "checkpoint_seconds must be a number of at least 0. Got nan"),
    ({"checkpoint_seconds": "60", "checkpoint": "c"}, ValueError, "checkpoint_seconds must .* Got '60' instead"),
    ({"checkpoint_seconds": None}, ValueError, "checkpoint_seconds must .* Got None instead"),
    ({"checkpoint": 5}, TypeError, "checkpoint must be the path of a file, a str or a pathlib.Path. Got 5 instead"),
    ({"checkpoint": b"c"}, TypeError, "checkpoint must be the path of a file"),
    ({"callback": 5}, TypeError, "callback must be a function of the result so far, or None. Got 5 instead"),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("given, kind, words", BAD_CALLS)
def test_what_a_fit_is_asked_beside_its_rows(call, given, kind, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind, match=words):
        CALLS[call](**given)
    assert not list(tmp_path.iterdir())


def test_the_callback_of_select():
    with pytest.raises(TypeError, match="callback must be a function of a row of the table, or None"):
        fastem.select(X, [1], ["full"], callback=5)
