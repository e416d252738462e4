"""Rows on which covariances degenerate: every structure ends with a fit, no raw warning of numpy, and never falls."""

import warnings

import numpy as np
import pytest

from fastem import GaussianMixture, StudentTMixture
from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.structures import FAMILIES

KINDS = {
    "rounded": lambda X, rng: np.round(X),
    "two values": lambda X, rng: np.where(X > 0, 1.0, 0.0),
    "a constant column": lambda X, rng: X * [1, 0, 1] + [0, rng.choice([0, 5, 1e8]), 0],
    "a column twice": lambda X, rng: X[:, [0, 1, 1]],
    "repeated rows": lambda X, rng: np.repeat(X[:10], 5, axis=0),
    "unlike units": lambda X, rng: X * 10.0 ** rng.uniform(-9, 9, 3),
    "tiny": lambda X, rng: X * 1e-100,
    "huge": lambda X, rng: X * 1e90,
    "one far row": lambda X, rng: np.vstack([X, np.full(3, 10.0 ** rng.uniform(2, 10))]),
    "far from 0": lambda X, rng: X + 10.0 ** rng.uniform(3, 13),
    "few": lambda X, rng: X[:7],
}


def checked(fit, X, rounding=1e-9):
    """The fit of X, with numpy's warnings, and that of a log-likelihood that fell, as errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        fit.fit(X)
        assert np.isfinite(fit.score(X)) and np.isfinite(fit.predict_proba(X)).all()
    assert (np.diff(fit.history_) >= -rounding * (1 + abs(fit.history_[-1]))).all()
    return fit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_odd_rows(name, kind):
    for seed, mixture in enumerate((GaussianMixture, StudentTMixture)):
        rng = np.random.default_rng(seed + 1)
        X = KINDS[kind](rng.normal(size=(50, 3)), rng)
        checked(mixture(int(rng.integers(2, 7)), covariance_type=name, random_state=seed, max_iter=20), X)


@pytest.mark.parametrize("mixture", [GaussianMixture, StudentTMixture])
@pytest.mark.parametrize("name", FAMILIES)
def test_components_on_rounded_values(name, mixture):
    """Most of the components have columns without variance, and shapes or volumes that others share with them."""
    for seed in range(4 if mixture is GaussianMixture else 1):  # the others' fits take many iterations
        X = np.round(np.random.default_rng(seed).normal(size=(60, 4)))
        checked(mixture(8, covariance_type=name, random_state=seed, max_iter=300), X)


@pytest.mark.parametrize("name", FAMILIES)
def test_components_of_one_row(name):
    """Their scatter is the rounding of their sums, and counts as none."""
    i, j = packed_lower(3)
    structure, counts = FAMILIES[name], np.array([1.0, 1, 9, 20])
    for seed in range(40):
        rng = np.random.default_rng(seed)
        roots, shift = 3 * rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3))
        scatter = roots @ np.swapaxes(roots, 1, 2) * [[[0]], [[0]], [[1]], [[1]]]
        second = (scatter + counts[:, None, None] * shift[:, :, None] * shift[:, None])[:, i, j]
        second[:2] *= 1 + 1e-16 * rng.integers(-2, 3, size=(2, 6))
        with np.errstate(all="raise", under="ignore"):
            made = structure.estimate(counts, shift, structure.of_full(second, 3), np.full(3, 1e-6))
        assert np.isfinite(made.precisions_cholesky).all()
    X = np.exp(rng.normal(size=(31, 3))) * [10, 1, 3] + 100 * rng.normal(size=3)
    checked(GaussianMixture(9, covariance_type=name, random_state=0, tol=1e-6, max_iter=300), X)


@pytest.mark.parametrize("value", [1e8, 1e12, 1e14, 1e20, 9.97e36])
@pytest.mark.parametrize("name", ["full", "diag", "spherical", "tied", "VEE"])
def test_a_sentinel_among_normal_rows(name, value):
    """It is described as an outlier that is as wide as its rounding; the other rows keep their digits."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    alone = GaussianMixture(1, covariance_type=name).fit(X[1:])
    X[0] = value
    for K in (2, 3):
        fit = checked(GaussianMixture(K, covariance_type=name, random_state=0), X, 1e-6)  # 1e14 has no more digits
        if name != "tied":
            assert any(status.startswith("outliers: 1.00 row(s)") for status in fit.component_status_)
            if K == 2:
                component = fit.means_[:, 0].argmin()
                np.testing.assert_allclose(fit.means_[component], alone.means_[0], rtol=1e-6)
                assert fit.log_likelihood_ > alone.log_likelihood_ - 40 - 2 * np.log(value)
        elif value > 1e16:
            assert all(status.startswith("too far away") for status in fit.component_status_)


@pytest.mark.parametrize("value", [1e22, 1e30, 9.97e36])
@pytest.mark.parametrize("name", ["EVI", "EVE", "EVV", "EEV"])
def test_a_sentinel_widens_no_equal_volume(name, value):
    """The rounding of its distance is the width of its component alone; of the others it was the volume as well."""
    X = np.vstack([np.random.default_rng(5).normal(size=(50, 3)), [[value, 0, 0]]])
    fit = checked(GaussianMixture(2, covariance_type=name, random_state=0), X)
    sound = fit.weights_.argmax()
    assert fit.component_status_[sound] == "ok" and fit.component_status_[1 - sound].startswith("outliers: 1.00 row(s)")
    volume = np.linalg.det(np.cov(X[:50].T, bias=True)) ** (1 / 3)
    assert np.linalg.det(fit.model_.emission.dense_covariances()[sound]) ** (1 / 3) == pytest.approx(volume, rel=0.1)


@pytest.mark.parametrize(("name", "value"), [("VEV", 1e150), ("EEV", 1e100), ("VVE", 1e150), ("EVI", 3e153)])
def test_a_value_near_the_end_of_the_range_of_numbers(name, value):
    """Trial covariances overflow, and are not taken; numpy said so."""
    X = np.vstack([np.random.default_rng(5).normal(size=(50, 3)), [[value, 0, 0]]])
    fit = checked(GaussianMixture(2 + (name == "VVE"), covariance_type=name, random_state=0), X)
    assert fit.component_status_[fit.predict(X)[-1]].startswith("outliers: 1.00 row(s)")


@pytest.mark.parametrize("name", ["tied", "EII", "EEI"])
def test_a_covariance_that_all_share_and_rounding_hides_is_said_to_be_that(name):
    """Of EEI it was said that reg_covar held it, though it was wider than the rows by 1e45."""
    X = np.vstack([np.random.default_rng(5).normal(size=(50, 3)), [[9.97e36, 0, 0]]])
    fit = checked(GaussianMixture(2, covariance_type=name, random_state=0), X)
    assert all(status.startswith("too far away") for status in fit.component_status_)


@pytest.mark.filterwarnings("ignore::fastem.errors.DegenerateComponentWarning")
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EVE"])
def test_a_floor_below_the_digits_of_float32(name):
    """It is raised to them and said; below, the log-likelihood fell by up to 0.4 without a word."""
    for seed in range(6):
        X = np.random.default_rng(seed).normal(size=(54, 2)).astype(np.float32)
        fit = GaussianMixture(13, covariance_type=name, reg_covar=1e-12, random_state=seed, n_init=2)
        with pytest.warns(UserWarning, match="reg_covar=1e-12 is below the digits of float32 rows: .* above 1.2e-07"):
            fit.fit(X)
        assert (np.diff(fit.history_) >= -1e-4).all()
