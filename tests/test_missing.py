"""Rows with missing values: the compiled passes against formulas row by row, and fits, scores and imputation."""

import dask.array
import numpy as np
import pandas
import pyarrow
import pytest
import reference
from instances import STRUCTURES, dense, random_mixture
from passes import TOLERANCE, assert_scores, assert_sums, bits, in_shape, problem, score
from sklearn.utils.estimator_checks import check_estimator

import fastem
from fastem import GaussianMixture, kernels
from fastem.blocks import ArrayBlocks
from fastem.covariance_families import FAMILIES
from fastem.missing import grouped, patterns

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
@pytest.mark.parametrize("n, d, K, share", [(130, 1, 2, 0.3), (700, 3, 3, 0.2), (90, 7, 4, 0.6), (450, 13, 2, 0.1)])
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
