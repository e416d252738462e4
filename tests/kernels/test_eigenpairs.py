"""Eigenpairs and QR of fastem's own: as exact as LAPACK's for matrices of every kind, in every build."""

import importlib

import mpmath
import numpy as np
import pytest

from fastem import kernels
from fastem.models.gaussian.linear_algebra import eigh, eigvalsh, leading_eigenpairs

BUILDS = [name for name in kernels.INSTRUCTION_SETS if kernels.built(name) and kernels.supported(name)]
SIZES = [1, 2, 3, 5, 8, 9, 17, 26, 70, 131]


def of_eigenvalues(values, rng):
    """A symmetric matrix that has them, in some directions."""
    turn = np.linalg.qr(rng.normal(size=(len(values), len(values))))[0]
    matrix = (turn * values) @ turn.T
    return (matrix + matrix.T) / 2


def matrices(d):
    """Matrices (d, d) on which eigensolvers have failed."""
    rng, i = np.random.default_rng(d), np.arange(d)
    X = rng.normal(size=(3 * d, d))
    scale = 10 ** rng.uniform(-8, 8, d)
    return {
        "scatter": X.T @ X,
        "indefinite": X[:d] + X[:d].T,
        "huge": X.T @ X * 1e150,
        "tiny": X.T @ X * 1e-150,
        "of columns of any scale": X.T @ X * scale * scale[:, None],
        "zero": np.zeros((d, d)),
        "identity": np.eye(d),
        "pairs on the diagonal": np.diag(i // 2.0),
        "ones": np.ones((d, d)),
        "one cluster": of_eigenvalues(1 + 1e-13 * i, rng),
        "two values": of_eigenvalues(1 + i % 2, rng),
        "of low rank": of_eigenvalues(np.where(i < d / 3, 1.0, 0), rng),
        "graded": of_eigenvalues(10.0 ** -(30 * i / d), rng),
        "Wilkinson's": np.diag(abs(i - d // 2) * 1.0) + np.eye(d, k=1) + np.eye(d, k=-1),
        "in blocks": np.kron(np.eye((d + 1) // 2), np.ones((2, 2)))[:d, :d].copy(),
    }


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("d", SIZES)
def test_laws(d, build):
    module = importlib.import_module(f"fastem.kernels._{build}_eigenpairs")
    tolerance = 2e-15 * (5 + d)
    for name, matrix in matrices(d).items():
        size = np.abs(matrix).sum(axis=0).max() or 1.0
        expected = np.linalg.eigvalsh(matrix / size)[::-1]
        for n in sorted({0, d // 3, d}):
            values, vectors = module.eigenpairs(matrix, n)
            about = f"{name}, {n} vectors"
            assert abs(values / size - expected).max() < tolerance, about
            assert (np.diff(values) <= 0).all(), about
            residual = matrix / size @ vectors.T - vectors.T * (values[:n] / size)
            assert abs(residual).max(initial=0) < tolerance, about
            assert abs(vectors @ vectors.T - np.eye(n)).max(initial=0) < tolerance, about


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("q, m", [(1, 1), (1, 30), (3, 7), (5, 40), (26, 52), (33, 33), (70, 221)])
def test_orthogonal_factors(q, m, build):
    module = importlib.import_module(f"fastem.kernels._{build}_eigenpairs")
    columns = np.random.default_rng(q).normal(size=(q, m))
    columns[q // 2] = 0
    turned, triangle = module.orthogonal_factors(columns)
    assert abs(turned @ turned.T - np.eye(q)).max() < 1e-14 * m
    assert abs(triangle.T @ turned - columns).max() < 1e-14 * m
    assert (triangle == np.triu(triangle)).all()


def test_eigenvalues_are_those_in_more_digits():
    matrix = np.cov(np.random.default_rng(0).normal(size=(40, 30)).T)
    with mpmath.workdps(40):
        exact = np.array([float(value) for value in mpmath.eigsy(mpmath.matrix(matrix.tolist()), eigvals_only=True)])
    assert abs(eigvalsh(matrix) - exact).max() < 1e-15 * 30 * exact[-1]


def test_what_is_not_finite_is_an_error():
    for bad in (np.nan, np.inf):
        matrix = np.eye(30)
        matrix[3, 5] = bad
        with pytest.raises(np.linalg.LinAlgError, match="not finite"):
            leading_eigenpairs(matrix, 2)


@pytest.mark.parametrize("d", [3, 30])
def test_eigh_is_numpys(d):
    some = np.array([np.cov(np.random.default_rng(s).normal(size=(3 * d, d)).T) for s in range(4)]).reshape(2, 2, d, d)
    values, vectors = eigh(some)
    assert values.shape == (2, 2, d) and vectors.shape == some.shape
    np.testing.assert_allclose(values, np.linalg.eigvalsh(some), rtol=1e-12)
    np.testing.assert_allclose((vectors * values[..., None, :]) @ np.swapaxes(vectors, -2, -1), some, atol=1e-13)
    assert np.array_equal(eigvalsh(some).shape, values.shape)


@pytest.mark.parametrize("d, n", [(1, 1), (25, 3), (26, 0), (26, 26), (70, 4)])
def test_leading_eigenpairs(d, n):
    rng = np.random.default_rng(d)
    scatter = np.array([np.cov(rng.normal(size=(3 * d, d)).T).reshape(d, d), np.eye(d), np.diag(np.arange(d) // 2.0)])
    values, vectors = leading_eigenpairs(scatter, n)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(scatter)[:, ::-1][:, :n], atol=1e-12 * d)
    np.testing.assert_allclose(scatter @ vectors, vectors * values[:, None], atol=1e-12 * d)
    np.testing.assert_allclose(np.swapaxes(vectors, 1, 2) @ vectors, [np.eye(n)] * 3, atol=1e-12 * d)
    alone = leading_eigenpairs(scatter[0], n)
    assert np.array_equal(alone[0], values[0]) and np.array_equal(alone[1], vectors[0])
