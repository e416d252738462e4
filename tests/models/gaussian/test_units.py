"""Columns in unlike units: what does not depend on them is found to the last digit in any, and so is what does."""

import warnings

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.errors import IllDefinedCovariance
from fastem.models.gaussian.linear_algebra import eigh, raise_to_floor, relative_eigenvalues
from fastem.models.gaussian.structures import FAMILIES

CLOSED = ["EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV"]  # under scaling of columns
WITHIN = {
    "EVE": "EEE",
    "VVE": "VEE",
    "EEV": "EEE",
    "VEV": "VEE",
    "EII": None,
    "VII": "EII",
}  # a family that each contains
POWERS = (0, 1, 3, 4, 7, 8, 10)


def rows_and_labels():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=(n, 3)) @ rng.normal(size=(3, 3)) + at for n, at in ((40, 0), (50, 2))]
    return np.vstack(rows), np.repeat([0, 1], [40, 50])


def log_likelihoods(name):
    """Of the rows in standard units, from fits of the rows in others, which differ by 10^20 at the last."""
    X, labels = rows_and_labels()
    settings = dict(covariance_type=name, init_params=labels, tol=1e-6, max_iter=100)
    units = [np.array([10.0**-k, 1, 10.0**k]) for k in POWERS]
    return np.array(
        [GaussianMixture(2, **settings).fit(X * s).log_likelihood_ + len(X) * np.log(s).sum() for s in units]
    )


@pytest.mark.parametrize("name", CLOSED)
def test_families_that_units_do_not_change(name):
    found = log_likelihoods(name)
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in CLOSED])
def test_other_families_keep_their_digits(name):
    """With axes turned to the columns no unit matters any longer; with equal variances each costs what it must."""
    found = log_likelihoods(name)
    if name in ("EII", "VII"):
        steps = np.diff(found[2:]) / np.diff(POWERS[2:])
        np.testing.assert_allclose(steps, -90 * 3 * np.log(10), rtol=2e-3)
    else:
        np.testing.assert_allclose(found[3:], found[-1], atol=1e-3)
        assert (found > log_likelihoods(WITHIN[name])[0]).all()


@pytest.mark.parametrize("d", [2, 5, 30])
@pytest.mark.parametrize("power", [0, 4, 20, 40])
def test_eigenpairs_of_columns_in_unlike_units(d, power):
    rng = np.random.default_rng(d)
    root = rng.normal(size=(3, d, d)) + 2 * np.eye(d)
    scale = 10.0 ** rng.permutation(np.linspace(-power, power, d))
    matrices = root @ np.swapaxes(root, 1, 2) * scale * scale[:, None]
    matrices[2] = root[2] @ root[2].T  # one of even columns among them
    values, vectors = eigh(matrices)
    scales = np.array([scale, scale, np.ones(d)])
    again = (vectors * values[:, None]) @ np.swapaxes(vectors, 1, 2) / scales[:, :, None] / scales[:, None]
    np.testing.assert_allclose(again, matrices / scales[:, :, None] / scales[:, None], atol=1e-10 * d)
    np.testing.assert_allclose(np.swapaxes(vectors, 1, 2) @ vectors, np.broadcast_to(np.eye(d), (3, d, d)), atol=1e-12)
    assert (np.diff(values, axis=1) >= 0).all()
    log_det = np.linalg.slogdet(root @ np.swapaxes(root, 1, 2))[1] + 2 * np.log(scales).sum(axis=1)
    np.testing.assert_allclose(np.log(values).sum(axis=1), log_det, rtol=1e-9, atol=1e-6)


def test_a_floor_below_the_digits_of_a_covariance_is_raised_to_them():
    far = np.ones((3, 3)) * 1e15
    covariances, upper, hits = raise_to_floor(np.array([far + np.eye(3), np.eye(3)]), np.full(3, 1e-6))
    assert hits[0] == 2 and hits[1] == 0
    assert np.array_equal(covariances[1], np.eye(3)) and np.allclose(covariances[0], far, rtol=1e-12)
    assert np.isfinite(upper).all()


def test_a_column_without_variance_beside_some_of_1e25_floors():
    """Whose rounding hides that it is below the floor: it is raised there, without a warning of numpy's."""
    A = np.random.default_rng(0).normal(size=(5, 5))
    wide = np.zeros((1, 6, 6))
    wide[0, 1:, 1:] = 1e12 * (A @ A.T + np.eye(5))
    floor = np.array([1e-13] + [1e-5] * 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for order in (np.arange(6), np.array([1, 0, 2, 3, 4, 5]), np.arange(6)[::-1]):
            covariances, upper, hits = raise_to_floor(np.ascontiguousarray(wide[:, order][:, :, order]), floor[order])
            assert np.isfinite(upper).all() and hits.tolist() == [1]
            assert np.isclose(np.diagonal(covariances[0])[order == 0], 1e-13, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("value", [0.0, 7.3])
@pytest.mark.parametrize("name", CLOSED)
def test_beside_a_constant_column_units_matter_by_its_floor_alone(name, value):
    X, labels = rows_and_labels()
    settings = dict(covariance_type=name, init_params=labels, tol=1e-8, max_iter=500)
    found = []
    for s in (np.array([1, 1, 1]), np.array([1e-60, 1, 1]), np.array([1, 1, 1e60]), np.array([1e-60, 1, 1e60])):
        rows = np.column_stack([X * s, np.full(len(X), value)])
        total = GaussianMixture(2, **settings).fit(rows).log_likelihood_
        floor = GaussianMixture(**settings | {"init_params": "kmeans", "covariance_type": "diag"}).fit(rows)
        found.append(total + len(X) * (np.log(s).sum() + np.log(floor.covariances_[0, -1]) / 2))
    assert np.allclose(found, found[0], rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_eigenvalues_relative_to_a_covariance_that_is_nearly_nothing():
    dense = np.array([1e13 * np.eye(3), 1e-300 * np.eye(3)])
    found = relative_eigenvalues(dense, 1e-300 * np.eye(3))
    np.testing.assert_allclose(found, [[np.inf] * 3, [1, 1, 1]], rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5, 30])
def test_a_covariance_that_is_no_number_is_refused_by_its_component(d):
    covariances = np.stack([np.eye(d)] * 3)
    covariances[1, 0, 0] = np.nan
    with pytest.raises(IllDefinedCovariance, match=r"component 1\."):
        raise_to_floor(covariances, np.full(d, 1e-6))
