"""What a careless or hostile caller can do: no crash, no silent nonsense."""

import json
import warnings

import numpy as np
import pytest

import fastem
from fastem import GaussianMixture, MixtureOfRegressions, em, three_step
from fastem.datasets import load_faithful, load_iris
from fastem.driver.partial_steps import incremental_em

FAITHFUL, IRIS = load_faithful().data, load_iris().data
TYPES = ["full", "tied", "diag", "spherical"]


@pytest.fixture(scope="module")
def model():
    return GaussianMixture(2, random_state=0).fit(FAITHFUL)


@pytest.mark.parametrize(
    "X, weight, words",
    [
        (FAITHFUL, np.ones(3), "sample_weight"),
        (FAITHFUL, -np.ones(272), "Negative"),
        (np.ones((5000, 30)), None, "2 columns"),
        (np.ones((0, 2)), None, "no rows"),
    ],
)
def test_the_driver_checks_lengths_before_the_kernels_trust_them(model, X, weight, words):
    with pytest.raises(ValueError, match=words):
        fastem.em(model._mixture(), X, sample_weight=weight)


def test_outputs_of_the_wrong_length_are_refused(model):
    for name, shape in {"log_density": (1,), "responsibilities": (272, 3), "joint": (271, 2)}.items():
        with pytest.raises(ValueError, match=name):
            model._mixture().score(FAITHFUL, **{name: np.empty(shape)})


@pytest.mark.parametrize("make", [GaussianMixture, fastem.StudentTMixture, fastem.MixtureOfFactorAnalyzers])
def test_single_precision_rows_beyond_its_squares_are_scored_in_double(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = make(2, random_state=0).fit(FAITHFUL.astype(np.float32))
        far = np.array([[1e25, 1e25], [3, 70], [-1e25, 1e20]], np.float32)
        joint = np.empty((3, 2), np.float32)
        model.model_.score(far, joint=joint)
        exact = model.model_.log_joint(far.astype(float))
        assert np.allclose(model.model_.log_joint(far), exact, rtol=1e-4)
        assert np.allclose(model.score_samples(far), np.logaddexp.reduce(exact, axis=1), rtol=1e-4)
        assert np.array_equal(model.predict(far), exact.argmax(axis=1))
        assert np.isfinite(joint[1]).all() and ((joint == -np.inf) == (exact < -3.4e38)).all()


def test_integers_are_rows_too(model):
    whole = FAITHFUL.astype(int)
    assert model._mixture().e_step(whole).log_likelihood == model._mixture().e_step(whole * 1.0).log_likelihood


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("real, far", [("float32", 1e25), ("float64", 1e200)])
def test_rows_beyond_overflow_belong_to_the_nearest_component(covariance_type, real, far):
    fit = {"covariance_type": covariance_type, "init_params": (FAITHFUL[:, 0] > 3).astype(int)}
    model = GaussianMixture(2, **fit).fit(FAITHFUL.astype(real))
    X = np.vstack([FAITHFUL[:5], [[far, far], [-far, -far]]]).astype(real)
    reference = GaussianMixture(2, **fit).fit(FAITHFUL)
    density, probability = model.score_samples(X), model.predict_proba(X)
    assert np.isfinite(density[:5]).all() and (density[5:] < -1e30).all()
    assert np.allclose(probability.sum(axis=1), 1)
    assert np.array_equal(probability.argmax(axis=1), model.predict(X))
    merely_far = np.vstack([FAITHFUL[:5], [[1e12, 1e12], [-1e12, -1e12]]])
    if (covariance_type, real) != ("tied", "float32"):  # 1e25 squares within float64, and there the two are a tie
        assert np.array_equal(model.predict(X), reference.predict(merely_far))


@pytest.mark.parametrize("covariance_type", ["diag", "spherical", "full"])
def test_a_component_narrower_than_rounding_is_a_point(covariance_type):
    X = np.random.default_rng(1).standard_normal((400, 3))
    X[0] = 1e6
    fit = {"covariance_type": covariance_type, "init_params": "k-means++", "random_state": 1}
    with pytest.raises(ValueError, match="ill-defined"):
        GaussianMixture(2, reg_covar=0, **fit).fit(X)


def test_squares_that_underflow_are_said_so():
    width = np.ptp(FAITHFUL[:, 0])
    with pytest.raises(ValueError, match=rf"underflow float64 \(all its values lie within {width:.3g}e-200 "):
        GaussianMixture(2).fit(FAITHFUL * 1e-200)
    with pytest.raises(ValueError, match=r"column 0 .* underflow float32"):
        GaussianMixture(2).fit((FAITHFUL * [1e-25, 1]).astype("f4"))


@pytest.mark.parametrize(
    "extra", [np.full((150, 1), 7.3), IRIS[:, :1]], ids=["a constant column", "a duplicated column"]
)
def test_a_flat_direction_does_not_hide_a_collapse(extra):
    """The data as a whole are at the floor there, so that is no sign of collapse; the sound restart still wins over one
    in which four rows have a component of their own, though that one is more likely."""
    species = np.unique(load_iris().target, return_inverse=True)[1]
    four_rows = np.where(np.arange(150) < 4, 2, np.minimum(species, 1))
    fits = []
    for X in (IRIS, np.hstack([IRIS, extra])):
        starts = iter([four_rows, species])
        model = GaussianMixture(3, init_params=lambda *_, s=starts: next(s), n_init=2, tol=1e-6, max_iter=500)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fastem.DegenerateComponentWarning)
            fits.append(model.fit(X))
        collapsed, sound = model.fit_report_.restarts
        assert collapsed.log_likelihood > sound.log_likelihood + 80
        assert (collapsed.sound, collapsed.chosen, sound.sound, sound.chosen) == (False, False, True, True)
    plain, wide = fits
    assert plain.log_likelihood_ == pytest.approx(-180.185, abs=0.01)
    assert np.allclose(wide.weights_, plain.weights_, atol=0.02)
    assert all("do not vary" in status for status in wide.component_status_)


def test_equal_rows_are_not_taken_for_two_components():
    X = np.vstack([np.repeat([[0.0, 0.0], [1.0, 1.0]], 50, axis=0), [[0.5, 0.1], [0.2, 0.9], [0.7, 0.3]]])
    for seed in range(20):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fastem.DegenerateComponentWarning)
            means = GaussianMixture(2, init_params="random_from_data", random_state=seed).fit(X).means_
        assert np.abs(means[0] - means[1]).max() > 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_not_called_a_defect(seed):
    X = np.random.default_rng(seed).standard_normal((20, 30))
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastem.LogLikelihoodFell)
        warnings.simplefilter("ignore", fastem.DegenerateComponentWarning)
        GaussianMixture(1, reg_covar=1e-10, tol=1e-7).fit(X)


def test_attributes_can_be_replaced_but_not_edited(model):
    moved = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    with pytest.raises(ValueError, match="read-only"):
        moved.means_ += 1000
    moved.means_ = moved.means_ + [0, 1000]
    assert moved.score(FAITHFUL + [0, 1000]) == pytest.approx(model.score(FAITHFUL), rel=1e-9)
    by_hand = GaussianMixture(2)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "n_features_in_"):
        setattr(by_hand, name, getattr(model, name))
    assert np.array_equal(by_hand.predict_proba(FAITHFUL), model.predict_proba(FAITHFUL))


def edited(path, change):
    """The model file with its header changed."""
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    header = json.loads(str(parts["fastem.json"]))
    change(header)
    parts["fastem.json"] = np.array(json.dumps(header))
    with open(path, "wb") as file:
        np.savez(file, **parts)


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["attributes"].update(n_features_in_=3000),
        lambda h: h["attributes"].update(n_parameters_="hello"),
        lambda h: h["attributes"].update(history_="hello"),
        lambda h: h["attributes"].pop("n_iter_"),
        lambda h: h["attributes"].update(n_iter_=-1),
        lambda h: h["attributes"].update(n_iter_=True),
        lambda h: h["attributes"].update(n_samples_=-5),
        lambda h: h["attributes"].pop("n_samples_"),
        lambda h: h["attributes"].pop("total_weight_"),
        lambda h: h["attributes"].update(total_weight_=-3.0),
        lambda h: h["attributes"].update(history_=[1.0, "a"]),
        lambda h: h["attributes"].update(component_status_=["ok"]),
        lambda h: h["attributes"].update(component_status_=["ok", 2]),
        lambda h: h["attributes"].update(side_columns_=[3]),
        lambda h: h["parameters"].update(n_components=9),
        lambda h: h["parameters"].update(covariance_type="foo"),
    ],
)
def test_a_model_file_that_contradicts_itself_is_refused(model, tmp_path, change):
    path = tmp_path / "model.npz"
    model.save(path)
    edited(path, change)
    with pytest.raises(ValueError, match=r"model\.npz"):
        fastem.load(path)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("feature_names_in_", np.array([1.0, 2.0]), "feature_names_in_ must hold the names of 2 columns"),
        ("covariances_", np.array([[[1.0, 0.5], [0.0, 1.0]]] * 2), "covariances_ are not symmetric"),
    ],
)
def test_arrays_of_a_file_that_are_none_of_a_fit_are_refused(model, tmp_path, name, array, words):
    path = tmp_path / "model.npz"
    model.save(path)
    edited(path, lambda h: h["arrays"].update({name: {"shape": list(array.shape), "dtype": array.dtype.str}}))
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    with open(path, "wb") as file:
        np.savez(file, **parts | {name: array})
    with pytest.raises(ValueError, match=words):
        fastem.load(path)


def test_weights_of_any_magnitude():
    weight = np.random.default_rng(0).uniform(0.5, 2, len(FAITHFUL))
    fit = {"init_params": (FAITHFUL[:, 0] > 3).astype(int), "tol": 1e-13}
    reference = GaussianMixture(2, **fit).fit(FAITHFUL, sample_weight=weight)
    for unit in (1e-200, 1e-50, 1e36, 1e290):
        for real, tolerance in (("float64", 1e-8), ("float32", 1e-3)):
            scaled = GaussianMixture(2, **fit).fit(FAITHFUL.astype(real), sample_weight=weight * unit)
            assert np.allclose(scaled.means_, reference.means_, rtol=tolerance)
            assert scaled.log_likelihood_ == pytest.approx(reference.log_likelihood_ * unit, rel=1e-3)


UNITS = [5e-322, 1e-200, 1e-60, 1e60, 1e290]


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("make", [GaussianMixture, fastem.ExponentialMixture, fastem.StudentTMixture])
def test_every_door_takes_weights_of_any_magnitude(make, real, unit):
    X = FAITHFUL.astype(real)
    weight = np.random.default_rng(0).integers(1, 3, len(X)).astype(float)
    start = make(2, init_params=(X[:, 0] > 3).astype(int), max_iter=0).fit(X).model_
    same, plain = {"rtol": 1e-12 if real == "float64" else 1e-4}, {"init_params": (X[:, 0] > 3).astype(int)}
    doors = [
        lambda weight: em(start, X, sample_weight=weight, tol=0, max_iter=5).model,
        lambda weight: incremental_em(start, X, sample_weight=weight, tol=0, max_iter=5).model,
        lambda weight: make(2, **plain).partial_fit(X, None, weight).partial_fit(X, None, weight).model_,
        lambda weight: make(2, tol=0, max_iter=5, **plain).fit(X, sample_weight=weight).model_,
    ]
    for door in doors:
        extreme, moderate = door(weight * unit), door(weight)
        assert np.allclose(extreme.parameters(), moderate.parameters(), **same)
    result = em(start, X, sample_weight=weight * unit, tol=0, max_iter=5)
    moderate = em(start, X, sample_weight=weight, tol=0, max_iter=5)
    assert np.allclose(result.history, moderate.history, **same)
    assert result.log_likelihood == pytest.approx(moderate.log_likelihood * unit, rel=1e-5 + 1e-323 / unit)
    assert em(result, X, sample_weight=weight * unit, tol=0, max_iter=6).n_iter == 6


@pytest.mark.parametrize("weight", [1e-60, 1e60])
def test_a_prior_has_no_meaning_beside_extreme_weights_in_float32(weight):
    start = GaussianMixture(2, prior="default", random_state=0, max_iter=0).fit(FAITHFUL).model_
    with pytest.raises(ValueError, match="A prior counts as a number of rows"):
        em(start, FAITHFUL.astype("f4"), sample_weight=np.full(len(FAITHFUL), weight))


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-100, 2.0**40])
def test_the_weak_prior_of_slopes_is_in_the_unit_of_the_weights(unit):
    """What only keeps coefficients finite counts for as little, however the rows are weighed."""
    C, weight = FAITHFUL[:, :1], np.random.default_rng(0).uniform(0.5, 1.5, len(FAITHFUL))
    fits, steps = [], []
    for w in (weight, weight * unit):
        fits.append(MixtureOfRegressions(2, random_state=0).fit(C, FAITHFUL[:, 1], w, covariates=C))
        plain = GaussianMixture(2, random_state=0).fit(FAITHFUL, sample_weight=w)
        steps.append(three_step(plain, FAITHFUL, C, sample_weight=w))
    for name in ("coef_", "gate_coefficients_"):
        np.testing.assert_allclose(getattr(fits[1], name), getattr(fits[0], name), rtol=1e-9)
    np.testing.assert_allclose(steps[1].coefficients, steps[0].coefficients, rtol=1e-9)
    np.testing.assert_allclose(steps[1].standard_errors * np.sqrt(unit), steps[0].standard_errors, rtol=1e-9)


def test_a_stream_remembers_the_unit_of_its_batches():
    weight = np.full(len(FAITHFUL), 1e-60)
    small = GaussianMixture(2, random_state=0).fit(FAITHFUL, sample_weight=weight)
    for batch in (1, 2, 3):
        small.partial_fit(FAITHFUL[:50] + batch, sample_weight=weight[:50])
    usual = GaussianMixture(2, random_state=0).fit(FAITHFUL)
    for batch in (1, 2, 3):
        usual.partial_fit(FAITHFUL[:50] + batch)
    assert np.allclose(small.means_, usual.means_, rtol=1e-9)


def test_large_samples_have_the_moments_of_the_model():
    model = GaussianMixture(3, covariance_type="full", random_state=0).fit(IRIS)
    X, labels = model.sample(20_000, random_state=1)
    for k in range(3):
        assert np.allclose(np.cov(X[labels == k].T), model.covariances_[k], atol=0.03)
    with pytest.raises(ValueError, match="whole number"):
        model.sample(2.5)
