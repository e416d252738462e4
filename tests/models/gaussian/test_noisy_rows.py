"""The sums over rows with measurement errors: against the paper's step and dense matrices, row by row."""

from fractions import Fraction

import numpy as np
import pytest
import reference
from scipy.stats import multivariate_normal

from fastem.kernels.packing import packed_lower
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.noisy_rows import NoisyRows
from fastem.models.gaussian.structures import STRUCTURES
from fastem.models.mixture import Mixture

WEIGHTS = np.array([0.3, 0.7])


def problem(d=3, n=90, seed=0, missing=0.0):
    rng = np.random.default_rng(seed)
    A, B = rng.normal(size=(2, d, d)), rng.normal(size=(n, d, d))
    errors = B @ np.swapaxes(B, 1, 2) * rng.choice([0, 0.1, 5], (n, 1, 1))
    X = rng.normal(size=(n, d)) * 3
    X[rng.random(X.shape) < missing] = np.nan
    return X, errors, rng.normal(size=(2, d)), A @ np.swapaxes(A, 1, 2) + 0.1 * np.eye(d)


def mixture(means, covariances, name="full"):
    structure, d = STRUCTURES[name], means.shape[1]
    if name == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    if name == "spherical":
        covariances = np.trace(covariances, axis1=1, axis2=2) / d
    if name == "tied":
        covariances = covariances[0]
    return Mixture(WEIGHTS, Gaussian(means, structure.from_covariances(covariances, np.zeros(d)), np.zeros(d)))


def wide(X, errors, diagonal=False):
    d = X.shape[1]
    if diagonal:
        return np.hstack([X, np.sqrt(np.diagonal(errors, axis1=1, axis2=2))])
    i, j = packed_lower(d)
    return np.hstack([X, errors[:, i, j]])


@pytest.mark.parametrize("missing", [0, 0.2, 0.6])
@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("d", [2, 3, 5])
def test_sums(name, diagonal, d, missing):
    X, errors, means, covariances = problem(d, missing=missing)
    if diagonal:
        errors = errors * np.eye(d)
    model = mixture(means, covariances, name)
    weight = np.random.default_rng(4).random(len(X))
    found = NoisyRows(model).e_step_of_block(wide(X, errors, diagonal), weight, 1, {})
    dense = model.emission.dense_covariances()
    counts, first, second, log_likelihood = reference.noisy_sums(X, errors, WEIGHTS, means, dense, weight)
    i, j = packed_lower(d)
    second = model.emission.covariance.of_full(second[:, i, j], d)
    for value, expected in ((found.counts, counts), (found.first, first), (found.second, second)):
        assert np.allclose(value, expected, rtol=1e-10, atol=1e-10)
    assert np.isclose(found.log_likelihood, log_likelihood, rtol=1e-13)
    bound = model.expected_log_joint(found, model) + found.entropy + found.unseen
    assert np.isclose(bound, log_likelihood, rtol=1e-13)


def test_bovys_step():
    X, errors, means, covariances = problem()
    model = mixture(means, covariances)
    stepped = model.m_step(NoisyRows(model).e_step_of_block(wide(X, errors), None, 1, {}))
    expected = reference.bovy_step(X, errors, WEIGHTS, means, covariances)
    found = stepped.weights, stepped.emission.means, stepped.emission.covariance.covariances
    for value, other in zip(found, expected):
        assert np.allclose(value, other, rtol=1e-12, atol=1e-13)


def test_moments_of_a_narrow_component():
    """V is 1e-12 wide in one direction, and H as large there: the moments are right in V's own units."""
    axis, across = np.array([0.6, 0.8]), np.array([-0.8, 0.6])
    narrow = np.outer(axis, axis) + 1e-12 * np.outer(across, across)
    model = NoisyRows(mixture(np.zeros((2, 2)), np.array([narrow, np.eye(2)])))
    H = -2.5e12 * np.outer(across, across) + 3 * np.outer(axis, axis)
    i, j = packed_lower(2)
    counts, exact = np.array([5.0, 5.0]), [[Fraction(float(x)) for x in row] for row in narrow]
    _, second = model.expected_moments(counts, np.zeros((2, 2)), np.array([H[i, j], H[i, j]]))
    full = [[Fraction(float(x)) for x in row] for row in H]
    VHV = [
        [sum(exact[a][c] * full[c][e] * exact[e][b] for c in (0, 1) for e in (0, 1)) for b in (0, 1)] for a in (0, 1)
    ]
    wrong = [float(second[0][p]) - (5 * exact[i[p]][j[p]] + VHV[i[p]][j[p]]) for p in range(3)]
    wrong = np.array([[float(wrong[0]), float(wrong[1])], [float(wrong[1]), float(wrong[2])]])
    root = np.linalg.inv(np.linalg.cholesky(narrow))
    assert np.abs(root @ wrong @ root.T).max() < 0.01


def test_densities_and_posteriors():
    X, errors, means, covariances = problem()
    model = NoisyRows(mixture(means, covariances))
    density, labels, r = np.empty(len(X)), np.empty(len(X), np.intp), np.empty((len(X), 2))
    model.score(wide(X, errors), 1, log_density=density, labels=labels, responsibilities=r)
    expected = np.array(
        [
            [w * multivariate_normal.pdf(x, m, c + s) for w, m, c in zip(WEIGHTS, means, covariances)]
            for x, s in zip(X, errors)
        ]
    )
    assert np.allclose(density, np.log(expected.sum(axis=1)), rtol=1e-12)
    assert np.allclose(r, expected / expected.sum(axis=1, keepdims=True), rtol=1e-10)
    assert np.array_equal(labels, expected.argmax(axis=1))


@pytest.mark.parametrize("name", ["full", "diag"])
def test_denoised(name):
    X, errors, means, covariances = problem(missing=0.2)
    errors = errors * np.eye(3)
    model = mixture(means, covariances, name)
    found, spread = NoisyRows(model).denoised(wide(X, errors, diagonal=True))
    dense = model.emission.dense_covariances()
    for row in range(len(X)):
        parts = [reference.noisy_row(X[row], m, c, errors[row]) for m, c in zip(means, dense)]
        r = np.exp(np.array([np.log(w) + part[0] for w, part in zip(WEIGHTS, parts)]))
        r /= r.sum()
        mean = sum(share * part[1] for share, part in zip(r, parts))
        expected = sum(share * (part[2] + np.outer(part[1], part[1])) for share, part in zip(r, parts))
        assert np.allclose(found[row], mean, rtol=1e-9, atol=1e-9)
        assert np.allclose(spread[row], expected - np.outer(mean, mean), rtol=1e-9, atol=1e-9)


def test_threads_and_infinite_errors_change_nothing():
    X, errors, means, covariances = problem(n=20_000, missing=0.1)
    model, rows = NoisyRows(mixture(means, covariances)), wide(X, errors * np.eye(3), diagonal=True)
    one, two = (model.e_step_of_block(rows, None, threads, {}) for threads in (1, 2))
    assert one.vector.tobytes() == two.vector.tobytes()
    infinite = np.hstack([np.where(np.isnan(X), 5.0, X), np.where(np.isnan(X), np.inf, rows[:, 3:])])
    assert model.e_step_of_block(infinite, None, 1, {}).vector.tobytes() == one.vector.tobytes()
