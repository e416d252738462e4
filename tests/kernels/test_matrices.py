"""Products, factors and inverses of the compiled module, beside numpy's."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.kernels import OPENMP, arithmetic, cholesky, inverse_transposed, product

SHAPES = [
    (1, 1, 1),
    (7, 3, 5),
    (13, 300, 17),
    (100, 257, 33),
    (6, 256, 16),
    (5, 1000, 1),
    (1, 600, 40),
    (0, 3, 2),
    (2, 0, 3),
]


def normal(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def positive(n, d):
    x = normal(n, d, 2 * d)
    return x @ np.swapaxes(x, 1, 2)


def strided(x):
    """The same values, with other strides."""
    return np.ascontiguousarray(np.swapaxes(x, 1, 2)[:, ::-1]).swapaxes(1, 2)[:, :, ::-1]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product(shape):
    p, q, r = shape
    a, b = normal(3, p, q), normal(3, q, r)
    found = product(a, b)
    np.testing.assert_allclose(found, a @ b, rtol=1e-12, atol=1e-12 * (q + 1))
    assert product(strided(a), strided(b)).tobytes() == found.tobytes()
    assert product(a[:1], b)[1].tobytes() == product(a[:1], b[1:2])[0].tobytes()


def test_an_entry_of_a_product_does_not_depend_on_where_it_stands():
    a, b = normal(1, 50, 300), normal(1, 300, 45)
    found = product(a, b)[0]
    for rows, columns in [(slice(3, 9), slice(1, 20)), (slice(49, 50), slice(44, 45)), (slice(7, 50), slice(0, 45))]:
        part = product(a[:, rows], b[:, :, columns])[0]
        assert part.tobytes() == found[rows, columns].tobytes()


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 33, 64])
def test_factors(d):
    matrices = positive(4, d)
    lower, failed = cholesky(matrices)
    assert failed == -1
    np.testing.assert_allclose(lower, np.linalg.cholesky(matrices), rtol=1e-9, atol=1e-12)
    upper = inverse_transposed(lower)
    np.testing.assert_allclose(np.swapaxes(upper, 1, 2) @ lower, np.repeat(np.eye(d)[None], 4, 0), atol=1e-10)
    assert (np.tril(upper, -1) == 0).all() and (np.triu(lower, 1) == 0).all()
    for wrong in (-1.0, 0.0, np.nan, np.inf):
        matrices[2, -1, -1] = wrong
        assert cholesky(matrices)[1] == 2


@pytest.mark.parametrize("d", [100, 129, 300])
def test_factors_by_halves(d):
    matrices = positive(2, d)
    np.testing.assert_allclose(arithmetic.cholesky(matrices), np.linalg.cholesky(matrices), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(arithmetic.inverse(matrices) @ matrices, np.repeat(np.eye(d)[None], 2, 0), atol=1e-7)
    matrices[1, -1, -1] = -1.0
    with pytest.raises(np.linalg.LinAlgError):
        arithmetic.cholesky(matrices)


@pytest.mark.parametrize(
    "shapes",
    [
        ((20_000,), (20_000,)),
        ((5000,), (5000, 6)),
        ((3, 90, 100), (100,)),
        ((100, 90), (90, 80)),
        ((2, 90, 99), (99, 90)),
    ],
    ids=str,
)
def test_large_products_are_as_numpys(shapes):
    a, b = (normal(*shape) for shape in shapes)
    for left, right in [(a, b), (a.astype(np.float32), b), (a.astype(np.float32), b.astype(np.float32))]:
        found, expected = arithmetic.matmul(left, right), left @ right
        assert np.shape(found) == np.shape(expected) and found.dtype == expected.dtype
        tolerance = 1e-3 if found.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    with pytest.raises(ValueError, match=r"have no product|mismatch"):
        arithmetic.matmul(a, b[..., :-1, :] if b.ndim > 1 else b[:-1])


WORK = """
import os, warnings, numpy as np, fastem

def others():
    tasks = [task for task in os.listdir("/proc/self/task") if int(task) != os.getpid()]
    stats = [open(f"/proc/self/task/{task}/stat").read().rsplit(")", 1)[1].split() for task in tasks]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats)

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 80)) + 3 * rng.normal(size=(4, 80))[rng.integers(0, 4, 2000)]
started = others()
for kind in ("full", "diag", "tied"):
    fastem.GaussianMixture(4, covariance_type=kind, max_iter=4, random_state=0, n_threads=1).fit(X)
print(others() - started)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="asks Linux for the time of each thread")
def test_a_fit_on_one_thread_wakes_no_other():
    """OpenBLAS's threads, which numpy's larger products and factors use, have done nothing after a fit."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4"}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", WORK], capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    assert int(ran.stdout) <= 2  # hundredths of a second


@pytest.mark.parametrize("n_threads", [2, 3, 7])
def test_stacks_by_several_threads(n_threads):
    """The same bits, and the first of two matrices that are not positive definite."""
    matrices, n = positive(9, 33), 9
    lower, _ = cholesky(matrices)
    upper = inverse_transposed(lower)
    assert cholesky(matrices, n_threads)[0].tobytes() == lower.tobytes()
    assert inverse_transposed(lower, n_threads).tobytes() == upper.tobytes()
    for left, right in ((upper, lower), (upper[:1], lower), (upper, lower[:1])):
        assert product(left, right, n_threads).tobytes() == product(left, right).tobytes()
    matrices[n - 2] = matrices[n - 4] = -np.eye(33)
    assert cholesky(matrices, n_threads)[1] == cholesky(matrices)[1] == n - 4


@pytest.mark.skipif(arithmetic.FIXED_ORDER or not OPENMP, reason="one thread")
def test_a_model_of_many_numbers_has_the_threads_of_its_fit(monkeypatch):
    asked = []
    monkeypatch.setattr(arithmetic.kernels, "cholesky", lambda *given: asked.append(given[1]) or cholesky(*given))
    X = normal(3000, 60)
    fits = [
        GaussianMixture(64, max_iter=2, init_params="random_from_data", random_state=0, n_threads=n).fit(X)
        for n in (1, 2)
    ]
    assert set(asked) == {1, 2}
    assert fits[0].covariances_.tobytes() == fits[1].covariances_.tobytes()
    asked.clear()
    fits[1].model_.m_step(fits[1].model_.e_step(X))  # no fit
    assert set(asked) == {1}
