"""The compiled passes beside the formulas of reference.py: problems, what is expected, and how near is near enough."""

import numpy as np
import reference
from instances import dense, random_mixture

from fastem.kernels.packing import packed_lower

TOLERANCE = {"float64": 1e-12, "float32": 2e-5}  # of the sum of the terms' absolute values


def problem(structure, real, n, d, K, seed=0):
    """A mixture, rows that it might have made, and weights of which some are 0."""
    rng = np.random.default_rng([seed, n, d, K])
    mixture = random_mixture(rng, K, d, structure)
    X = (mixture.emission.means[rng.integers(K, size=n)] + 1.5 * rng.normal(size=(n, d))).astype(real)
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], size=n, p=[0.2, 0.2, 0.4, 0.2])
    return mixture, X, weight


def joint_of(mixture, X):
    K, d = mixture.emission.shape
    return reference.log_joint(
        X.astype(np.float64), mixture.weights, mixture.emission.means, dense(mixture.emission.covariance, K, d)
    )


def in_shape(second, structure):
    """Moments (K, d, d) as the statistic of a structure."""
    if structure.name in ("diag", "spherical"):
        return np.diagonal(second, axis1=1, axis2=2)
    rows, columns = packed_lower(second.shape[-1])
    return second[:, rows, columns] if structure.name == "full" else second[:, rows, columns].sum(axis=0)


def expected_sums(mixture, X, weight, structure):
    """name: (value, sum of the absolute values of its terms)."""
    K, d = mixture.emission.shape
    covariances = dense(mixture.emission.covariance, K, d)
    sums = reference.expected_sums(X.astype(np.float64), mixture.weights, mixture.emission.means, covariances, weight)
    second, size = sums["second"]
    return {**sums, "second": (in_shape(second, structure), size)}


def assert_sums(found, expected, tolerance, structure):
    for name, (value, size) in expected.items():
        sums = found[name] if isinstance(found, dict) else getattr(found, name)
        if name == "second" and structure.name == "tied":
            sums = sums.reshape(-1, sums.shape[-1]).sum(axis=0)
        assert np.shape(sums) == np.shape(value), name
        wrong = np.max(np.abs(sums - value) / (tolerance * size + np.finfo(float).tiny))
        assert wrong <= 1, f"{name}: {wrong * tolerance:.3g} off, {tolerance:g} allowed"


def score(mixture, X, n_threads=1):
    n, K = len(X), mixture.n_components
    outputs = {
        "log_density": np.full(n, np.nan),
        "responsibilities": np.full((n, K), np.nan, X.dtype),
        "joint": np.full((n, K), np.nan, X.dtype),
        "labels": np.full(n, -1, np.intp),
    }
    mixture.score(X, n_threads, **outputs)
    return outputs


def assert_scores(found, joint, tolerance):
    size = 1 + abs(joint)
    density = reference.log_density(joint)
    assert np.all(abs(found["joint"] - joint) <= tolerance * size)
    assert np.all(abs(found["log_density"] - density) <= tolerance * (1 + abs(density)))
    resp = reference.responsibilities(joint)
    assert np.all(abs(found["responsibilities"] - resp) <= tolerance * size.min(axis=1, keepdims=True))
    labels = found["labels"]
    best = joint.max(axis=1)
    assert np.all(joint[np.arange(len(joint)), labels] >= best - 2 * tolerance * (1 + abs(best)))
    assert np.array_equal(labels, found["joint"].argmax(axis=1))


def bits(outputs):
    return {name: value.tobytes() for name, value in outputs.items()}
