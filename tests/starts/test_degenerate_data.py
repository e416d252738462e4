"""Data without a proper answer: a finite fit whose status says what happened, or with reg_covar=0 a clear error."""

import warnings

import numpy as np
import pytest
from instances import STRUCTURES, blobs

import fastem
from fastem import DegenerateComponentWarning, GaussianMixture, MixedMixture, RoundingWarning, StudentTMixture
from fastem.datasets import load_faithful
from fastem.errors import IllDefinedCovariance
from fastem.models.gaussian.linear_algebra import precisions_cholesky
from fastem.starts.named import START_NAMES

FAITHFUL = load_faithful().data
TYPES = [structure.name for structure in STRUCTURES]
BLOBS = blobs(0, 200, 2, 2, 4.0)
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")

# name: (X, components, covariance_types for which a covariance must be singular without a floor)
DEGENERATE = {
    "duplicated column": (np.column_stack([FAITHFUL, FAITHFUL[:, 0]]), 2, ["full", "tied"]),
    "constant column": (np.column_stack([FAITHFUL, np.full(len(FAITHFUL), 7.3)]), 2, ["full", "tied", "diag"]),
    "constant column of 0": (np.column_stack([FAITHFUL, np.zeros(len(FAITHFUL))]), 2, ["full", "tied", "diag"]),
    "as many rows as components": (BLOBS[:5], 5, TYPES),
    "two point masses": (np.repeat([[0.0, 1.0], [3.0, 5.0]], [30, 50], axis=0), 2, TYPES),
    "one point mass": (np.full((20, 2), 0.1), 1, TYPES),
    "rows on a line": (np.outer(np.arange(50.0), [1.0, 2.0, -1.0]), 1, ["full", "tied"]),
}


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("name", DEGENERATE)
def test_a_finite_fit_with_a_status(name, covariance_type):
    X, K, singular = DEGENERATE[name]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X)
    for attribute in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "history_"):
        assert np.isfinite(getattr(model, attribute)).all(), attribute
    assert np.isfinite(model.score_samples(X)).all() and np.isfinite(model.predict_proba(X)).all()
    if covariance_type in singular:
        assert "ok" not in model.component_status_ or name == "as many rows as components"
        degenerate = [w for w in caught if w.category is DegenerateComponentWarning]
        assert len(degenerate) == 1 and "component 0" in str(degenerate[0].message)
        assert degenerate[0].filename == __file__


@pytest.mark.parametrize(
    "name, covariance_type", [(name, kind) for name, (_, _, singular) in DEGENERATE.items() for kind in singular]
)
def test_without_a_floor_a_clear_error(name, covariance_type):
    X, K, _ = DEGENERATE[name]
    with pytest.raises(ValueError, match=r"ill-defined empirical covariance .* component \d.* reg_covar"):
        GaussianMixture(K, covariance_type=covariance_type, reg_covar=0, random_state=0).fit(X)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_one_outlier(covariance_type):
    """It takes a component of its own, which says so; the other rows are fitted as if it were not there."""
    fit = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-8, "max_iter": 1000, "n_init": 5}
    alone = GaussianMixture(2, **fit).fit(FAITHFUL)
    X = np.vstack([FAITHFUL, [[1e6, 1e6]]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        model = GaussianMixture(3, **fit).fit(X)
    labels = model.predict(X)
    assert np.sum(labels == labels[-1]) == 1
    if covariance_type != "tied":  # there the other rows determine the one covariance
        assert "at the floor" in model.component_status_[labels[-1]]
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            GaussianMixture(3, **fit, reg_covar=0).fit(X)
    others = np.delete(np.arange(3), labels[-1])
    ours, theirs = (others[np.argsort(model.means_[others, 0])], np.argsort(alone.means_[:, 0]))
    assert np.allclose(model.means_[ours], alone.means_[theirs], rtol=1e-3)
    assert [model.component_status_[k] for k in others] == ["ok", "ok"]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_row_twice(covariance_type):
    labels = (FAITHFUL[:, 0] > 3).astype(int)
    fit = {"n_components": 2, "covariance_type": covariance_type, "tol": 1e-8}
    once = GaussianMixture(**fit, init_params=labels).fit(FAITHFUL)
    twice = GaussianMixture(**fit, init_params=np.repeat(labels, 2)).fit(np.repeat(FAITHFUL, 2, axis=0))
    assert twice.log_likelihood_ == pytest.approx(2 * once.log_likelihood_, rel=1e-12)
    assert np.allclose(twice.covariances_, once.covariances_, rtol=1e-9, atol=1e-12)
    assert twice.component_status_ == once.component_status_ == ["ok", "ok"]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_floor_does_not_touch_sound_components(covariance_type):
    labels = (FAITHFUL[:, 0] > 3).astype(int)
    fit = {"n_components": 2, "covariance_type": covariance_type, "init_params": labels, "tol": 0, "max_iter": 10}
    with_floor, without = (GaussianMixture(**fit, reg_covar=reg).fit(FAITHFUL) for reg in (1e-6, 0))
    assert np.array_equal(with_floor.covariances_, without.covariances_)


def test_a_sound_restart_is_preferred_to_a_collapsed_one():
    spike = np.vstack([blobs(1, 200, 2, 2, 5.0), np.full((3, 2), 1.5)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateComponentWarning)
        model = GaussianMixture(3, n_init=20, init_params="random_from_data", tol=1e-5, max_iter=500, random_state=0)
        assert model.fit(spike).component_status_ == ["ok"] * 3


def test_components_that_are_empty_say_so():
    fit = {"weights_init": [0.5, 0.5], "means_init": [[3.5, 70.0], [1e5, 1e5]], "precisions_init": [[1, 0.01]] * 2}
    with pytest.warns(DegenerateComponentWarning, match="component 1: empty"):
        model = GaussianMixture(2, covariance_type="diag", **fit).fit(FAITHFUL)
    assert model.component_status_[1].startswith("empty")
    assert model.weights_[1] == pytest.approx(0, abs=1e-12) and np.isfinite(model.means_).all()


@pytest.mark.parametrize("d", [66, 90, 150])
def test_singular_covariances_are_named_whatever_lapack_says(d, monkeypatch):
    """LAPACK finds a factor of some of them, where the inverse by halves has none."""
    monkeypatch.setattr("fastem.models.gaussian.linear_algebra.is_positive_definite", lambda matrix: True)
    for seed in range(5):
        X = np.random.default_rng(seed).normal(size=(d // 2, d))
        with pytest.raises(IllDefinedCovariance, match="component 1"):
            precisions_cholesky(np.array([np.eye(d), X.T @ X]))


@pytest.mark.parametrize("init_params", START_NAMES)
def test_a_fit_has_as_many_components_as_asked(init_params, tmp_path):
    """Also where the rows that a start sees are fewer than components: rows that are alike up to what is missing."""
    X = np.array([[0.0, 0.0], [np.nan, 0.0], [1.0, 1.0], [np.nan, 1.0]])[np.arange(40) % 4]
    model = GaussianMixture(2, init_params=init_params, random_state=0).fit(X)
    assert len(model.weights_) == 2
    rows = np.vstack([np.zeros((3000, 2)), np.eye(2), 2 * np.eye(2)])
    few = GaussianMixture(4, init_params=init_params, random_state=0, max_iter=2, coarse=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastem.starts.subsample.SUBSAMPLE", 100)
        few.fit(rows)
    assert len(few.weights_) == 4
    few.save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").n_components == 4


def test_a_start_has_no_weight_that_its_prior_forbids():
    """Steps of the start are made without the prior; a weight of 0 has no log-density under it."""
    t = np.array(
        [8.179965, -1.379539, -1.3302214, 8.431138, 2.0027993, 4.0656805, 8.993728, 4.8422694, 2.9796858, 0.868]
    )
    X = np.column_stack([t, 2 * t]).astype(np.float32)
    parameters = {"covariance_type": "diag", "init_params": "random_from_data", "random_state": 7, "max_iter": 0}
    model = StudentTMixture(8, weight_concentration_prior=2.0, **parameters).fit(X)
    assert np.isfinite(model.lower_bound_) and (model.weights_ > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("start", [{"init_params": "random"}, {"init_params": np.zeros(4, int)}])
def test_a_row_that_does_not_count_may_lie_anywhere(start):
    """Also where its square is beyond the numbers of float32."""
    X, weight = np.array([[1e24], [7.0], [4.0], [5.5]], np.float32), np.array([0.0, 1.0, 1.0, 1.0])
    model = MixedMixture(1, kinds=["gaussian"], max_iter=0, random_state=7, **start).fit(X, sample_weight=weight)
    assert np.allclose(model.members_["gaussian"].means_, 5.5)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_a_float32_row_whose_square_about_the_plain_mean_overflows_has_a_start(covariance_type):
    """By its weight it is near enough to the mean: the moments of the start are finite, as those of the pass are."""
    X = np.float32([[-1.9, 0.3], [1e20, 0.8], [0.4, -1.1]])
    weight = np.array([0.78, 0.007, 0.78])
    given = {"covariance_type": covariance_type, "max_iter": 0, "random_state": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        narrow = GaussianMixture(1, **given).fit(X, sample_weight=weight)
        wide = GaussianMixture(1, **given).fit(X.astype(np.float64), sample_weight=weight)
    ours, theirs = (np.einsum("kii->ki", fit.model_.emission.dense_covariances()) for fit in (narrow, wide))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_float32_that_does_not_hold_the_distances_is_said():
    """A sentinel leaves no digits for the others: the fit may be any, and says so; in float64 it is right."""
    rng = np.random.default_rng(7)
    X = np.r_[rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 6]
    X[0, 0] = 1e8
    with pytest.warns(RoundingWarning, match=r"rounding may change the log-likelihood .*float32 .*Pass float64"):
        GaussianMixture(2, random_state=0).fit(np.float32(X))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RoundingWarning)
        GaussianMixture(2, random_state=0).fit(X)
        GaussianMixture(2, random_state=0).fit(np.float32(BLOBS + 1e4))
