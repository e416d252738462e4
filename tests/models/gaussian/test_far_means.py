"""Means far from the rows: the scatter about the new means is a difference of large numbers, and EM climbs."""

import numpy as np
import pytest
from instances import STRUCTURES

from fastem import GaussianMixture, StudentTMixture, em
from fastem.models.gaussian.emission import Gaussian
from fastem.models.mixture import Mixture

ROWS = 50 + 1e-6 * np.random.default_rng(3).normal(size=(300, 2)) @ [[1.0, 0.4], [0.0, 0.7]]


pytestmark = pytest.mark.filterwarnings("error::fastem.errors.LogLikelihoodFell", "error::RuntimeWarning")


@pytest.mark.parametrize("away", [0.0, 49.9, -3e4])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_one_component_that_starts_far_away(structure, away):
    floor = np.full(2, 1e-18)
    covariance = structure.type.from_covariances(structure.from_dense(np.eye(2)[None]), floor)
    found = em(Mixture(np.ones(1), Gaussian(np.full((1, 2), away), covariance, floor)), ROWS, tol=1e-9, max_iter=100)
    expected = GaussianMixture(1, covariance_type=structure.name, tol=1e-9).fit(ROWS)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood_, abs=1e-3)
    assert (np.diff(found.history) >= -1e-9).all()


@pytest.mark.parametrize("settings", [{}, {"prior": "default"}, {"max_eigenvalue_ratio": 100.0}])
def test_the_estimator_with_given_means(settings):
    fit = {"means_init": [[0.0, 0.0]], "precisions_init": [np.eye(2)], "weights_init": [1.0], "tol": 1e-9}
    far, near = (GaussianMixture(1, **settings, **extra).fit(ROWS) for extra in (fit, {"tol": 1e-9}))
    assert far.log_likelihood_ == pytest.approx(near.log_likelihood_, abs=1e-3)
    assert (np.diff(far.history_) >= -1e-9).all()


def test_a_component_that_loses_an_outlier():
    """It holds one row at 1e12 with the others of its cluster, and then those alone."""
    X = np.vstack([np.random.default_rng(0).normal(size=(200, 2)), [[1e12, 1e12]]])
    start = np.where(np.arange(201) < 100, 0, 1)
    found = GaussianMixture(2, init_params=start, max_iter=50, covariance_type="diag").fit(X)
    assert (np.diff(found.history_) >= -1e-9).all()


def test_heavy_tails():
    far = StudentTMixture(1, degrees_of_freedom=5.0, means_init=[[0.0, 0.0]], precisions_init=[np.eye(2)], tol=1e-9)
    near = StudentTMixture(1, degrees_of_freedom=5.0, tol=1e-9)
    assert far.fit(ROWS).log_likelihood_ == pytest.approx(near.fit(ROWS).log_likelihood_, abs=1e-3)
