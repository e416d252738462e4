"""FASTEM_INSTRUCTION_SET=reproducible: the stored digests of fits, on every build and below any numpy and BLAS."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastem import PPCA, GaussianMixture, StudentTMixture, kernels
from fastem.estimators.reproducible import require_reproducible
from fastem.kernels import arithmetic

TESTS = Path(__file__).resolve().parents[1]
KERNELS = TESTS.parent / "fastem" / "kernels"
DIGESTS = json.loads((TESTS / "reproducible_digests.json").read_text())
BUILDS = [
    f"{kernels.REPRODUCIBLE}_{name}"
    for name in kernels.INSTRUCTION_SETS
    if kernels.built(f"{kernels.REPRODUCIBLE}_{name}") and kernels.supported(name)
]
OTHERS = {  # what numpy and OpenBLAS would do on a CPU of ten years ago; others than x86 do not heed it
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Sandybridge",
}

pytestmark = pytest.mark.skipif(not BUILDS, reason="not built: FASTEM_INSTRUCTION_SETS=all")


def digests(build, **others):
    environment = os.environ | {"FASTEM_INSTRUCTION_SET": build} | others
    call = [sys.executable, "-P", str(TESTS / "reproducible_fits.py")]
    ran = subprocess.run(call, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("build", BUILDS)
def test_fits_of_every_build_have_the_stored_bits(build):
    assert digests(build) == DIGESTS


def test_numpy_and_blas_of_another_machine_change_no_bit():
    assert digests("reproducible", **OTHERS) == DIGESTS


def test_what_is_not_promised_is_refused(monkeypatch):
    monkeypatch.setattr(arithmetic, "FIXED_ORDER", True)
    with pytest.raises(ValueError, match="with accelerate=None or 'squarem' only"):
        GaussianMixture(2).fit(np.arange(20.0)[:, None])
    with pytest.raises(ValueError, match="not for StudentTMixture"):
        StudentTMixture(2).fit(np.arange(20.0)[:, None])
    with pytest.raises(ValueError, match="not for PPCA"):
        PPCA(1).fit(np.arange(20.0).reshape(10, 2))
    with pytest.raises(ValueError, match="covariance_type='full' or 'tied' or 'diag' or 'spherical' only"):
        GaussianMixture(2, accelerate=None, covariance_type="VVE").fit(np.arange(20.0)[:, None])
    with pytest.raises(ValueError, match="without labels"):
        require_reproducible(GaussianMixture(2, accelerate=None), labels=True)
    with pytest.raises(ValueError, match="without lower and upper only"):
        require_reproducible(GaussianMixture(2, accelerate=None), bounds=True)
    with pytest.raises(ValueError, match="with truncation=None only"):
        require_reproducible(GaussianMixture(2, accelerate=None, truncation=(0, 1)))


def test_functions_beside_numpys():
    rng = np.random.default_rng(0)
    x = np.concatenate([10 ** rng.uniform(-300, 300, 2000), rng.uniform(0.5, 2, 2000), [1.0, 5e-324, np.inf, 0.0]])
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(arithmetic.fixed_log(x), np.log(x), rtol=4e-16, atol=1e-16)
    y = np.concatenate([rng.uniform(-700, 700, 4000), [0.0, -745.0, -800.0, 710.0, -np.inf, np.inf]])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(arithmetic.fixed_exp(y), np.exp(y), rtol=5e-16)
    z = np.concatenate([-rng.uniform(0, 1, 1000), 10 ** rng.uniform(-30, 3, 1000)])
    np.testing.assert_allclose(arithmetic.fixed_log1p(z), np.log1p(z), rtol=1e-15)
    assert arithmetic.fixed_log(np.float32(2)).dtype == np.float32 and np.isnan(arithmetic.fixed_log(-1.0))


@pytest.mark.parametrize(
    "shapes", [((3, 0), (0,)), ((3, 0), (0, 2)), ((0, 3), (3, 2)), ((2, 0, 3), (3, 4)), ((0,), (0,))]
)
def test_products_of_nothing_are_numpys(shapes):
    a, b = map(np.ones, shapes)
    for product in (arithmetic.fixed_matmul, arithmetic.unthreaded_matmul):
        found = product(a, b)
        assert found.shape == (a @ b).shape and np.array_equal(found, a @ b)


@pytest.mark.parametrize("d", [1, 2, 7, 40])
def test_matrices_beside_numpys(d):
    rng = np.random.default_rng(d)
    a, b = rng.normal(size=(3, d, d + 2)), rng.normal(size=(d + 2, 4))
    spd = a @ np.swapaxes(a, 1, 2) + 0.1 * np.eye(d)
    np.testing.assert_allclose(arithmetic.fixed_matmul(a, b), a @ b, atol=1e-13 * d)
    np.testing.assert_allclose(arithmetic.fixed_matmul(a[0, 0], b), a[0, 0] @ b, atol=1e-13 * d)
    np.testing.assert_allclose(arithmetic.fixed_matmul(a, b[:, 0]), a @ b[:, 0], atol=1e-13 * d)
    np.testing.assert_allclose(arithmetic.fixed_matmul(a[0, 0], b[:, 0]), a[0, 0] @ b[:, 0], atol=1e-13 * d)
    np.testing.assert_allclose(arithmetic.fixed_cholesky(spd), np.linalg.cholesky(spd), atol=1e-11)
    np.testing.assert_allclose(arithmetic.fixed_inverse(spd) @ spd, np.broadcast_to(np.eye(d), spd.shape), atol=1e-8)
    np.testing.assert_allclose(spd[0] @ arithmetic.solve(spd[0], a[0, :, 0]), a[0, :, 0], atol=1e-8)
    values, vectors = arithmetic.fixed_eigh(spd)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(spd), rtol=1e-11)
    np.testing.assert_allclose((vectors * values[:, None]) @ np.swapaxes(vectors, 1, 2), spd, atol=1e-11 * d)
    einsum = "kij,kj->ki"
    np.testing.assert_allclose(arithmetic.fixed_einsum(einsum, spd, a[:, :, 0]), np.einsum(einsum, spd, a[:, :, 0]))
    with pytest.raises(np.linalg.LinAlgError):
        arithmetic.fixed_cholesky(-spd)
    for wrong in (-1.0, 0.0, np.nan):
        spd[0, -1, -1] = wrong
        with pytest.raises(np.linalg.LinAlgError):
            arithmetic.solve(spd[0], a[0, :, 0])


HASHES = {"double": "3f1808b8b2d96328", "float": "6aac8f51ceb33ec7"}  # of what vocabulary.cpp prints
COMPILERS = {
    "gcc": ["g++"],
    "gcc, not optimised": ["g++", "-O0"],
    "avx2": ["g++", "-mavx2", "-mfma"],
    "avx512": ["g++", "-march=x86-64-v4"],
    "clang": ["clang++"],
    "arm64": ["aarch64-linux-gnu-g++", "-static"],
}


@pytest.mark.parametrize("real", HASHES)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_compiler_gives_the_vocabulary_the_same_bits(compiler, real, tmp_path):
    """Where it is installed: for arm64 `apt install g++-aarch64-linux-gnu qemu-user-static`."""
    command, *flags = COMPILERS[compiler]
    run = ["qemu-aarch64-static"] if compiler == "arm64" else []
    if compiler in kernels.INSTRUCTION_SETS and not kernels.supported(compiler):
        pytest.skip(f"this CPU has no {compiler}")
    if not all(map(shutil.which, [command, *run])):
        pytest.skip(f"{command} is not installed")
    if not KERNELS.exists():
        pytest.skip("the source is not here")
    program = tmp_path / "vocabulary"
    asked = [command, "-O3", *flags, "-std=gnu++17", "-ffp-contract=off", "-Wno-psabi", "-DFASTEM_REPRODUCIBLE=1"]
    asked += ["-DFASTEM_FLOAT=1"] if real == "float" else []
    source = str(TESTS / "kernels" / "vocabulary.cpp")
    subprocess.run([*asked, f"-I{KERNELS}", source, "-o", str(program), "-lm"], check=True)
    assert subprocess.run([*run, str(program)], capture_output=True, text=True).stdout.strip() == HASHES[real]
