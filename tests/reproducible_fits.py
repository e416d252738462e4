"""Digests of small fits, printed as JSON: with FASTEM_INSTRUCTION_SET=reproducible they are the same on every machine.

Rows are made from whole numbers and exact quotients, so that they are the same everywhere as well.
"""

import hashlib
import json
import warnings

import numpy as np

import fastem
from fastem.kernels import arithmetic


def rows(n, d, seed, real="f8"):
    """Three groups with correlations, on a grid of 2^-12."""
    rng = np.random.default_rng(seed)
    centres = rng.integers(-6, 7, (3, d))
    z = rng.integers(0, 2**10, (4, n, d)).sum(axis=0) / 2**10 - 2
    z[:, 1:] += z[:, :-1] / 2
    return (z + centres[rng.integers(0, 3, n)]).astype(real)


def gaps(X):
    return np.where(np.random.default_rng(5).integers(0, 8, X.shape) == 0, np.nan, X).astype(X.dtype)


NAMES = (
    "weights_ means_ covariances_ precisions_cholesky_ precisions_ rates_ probabilities_ history_ log_likelihood_ "
    "remaining_gain_"
)


def digest(model, X):
    """Of all that a fit leaves and says of its rows."""
    values = [getattr(model, name) for name in NAMES.split() if hasattr(model, name)]
    arrays = [np.asarray(value) for value in values]
    arrays += [model.score_samples(X), model.predict_proba(X), model.predict(X)]
    text = hashlib.sha256()
    for array in arrays:
        text.update(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes())
    return text.hexdigest()[:16]


def gaussian(X, K=3, **parameters):
    return lambda: (fastem.GaussianMixture(K, random_state=0, accelerate=None, max_iter=20, **parameters), X)


def of(kind, X, K=2):
    return lambda: (getattr(fastem, kind)(K, random_state=0, accelerate=None, max_iter=20), X)


CASES = {}
for structure in ("full", "tied", "diag", "spherical"):
    for real in ("f8", "f4"):
        for n, d in ((300, 1), (500, 3), (700, 9), (400, 33)):
            CASES[f"{structure} {real} {d}"] = gaussian(rows(n, d, d, real), covariance_type=structure)
    CASES[f"{structure} gaps"] = gaussian(gaps(rows(400, 4, 1)), covariance_type=structure)
    CASES[f"{structure} certified"] = gaussian(rows(400, 3, 11), covariance_type=structure, stop="certified")
    CASES[f"{structure} squarem"] = lambda s=structure: (
        fastem.GaussianMixture(3, covariance_type=s, random_state=0, accelerate="squarem"),
        rows(500, 3, 7),
    )
for start in ("k-means++", "whitened", "hierarchical", "random", "random_from_data"):
    CASES[f"start {start}"] = gaussian(rows(500, 4, 2), init_params=start)
CASES["large"] = gaussian(rows(60_000, 3, 3), K=4)
CASES["many components"] = gaussian(rows(20_000, 2, 12), K=250, init_params="random_from_data")
CASES["units"] = gaussian(rows(500, 3, 4) * [2.0**-30, 1, 2.0**30])
CASES["floor"] = gaussian(np.round(rows(100, 2, 6)), K=8)
counts = np.random.default_rng(8).integers(0, 9, (400, 4)) * np.random.default_rng(9).integers(1, 4, (400, 1))
for kind, X in (
    ("PoissonMixture", counts),
    ("GeometricMixture", counts),
    ("BernoulliMixture", counts % 2),
    ("CategoricalMixture", counts % 4),
    ("ExponentialMixture", counts + 0.5),
):
    CASES[kind] = of(kind, X.astype(float))


def functions():
    """Digests of exp, log and linear algebra themselves."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 2**40, 2000) / 2**30
    a = rng.integers(-(2**20), 2**20, (5, 12, 12)) / 2**20
    spd = arithmetic.fixed_matmul(a, np.swapaxes(a, 1, 2)) + np.eye(12) / 16
    arrays = [
        arithmetic.fixed_exp(-x),
        arithmetic.fixed_log(x),
        arithmetic.fixed_log1p(x),
        spd,
        *arithmetic.fixed_eigh(spd),
    ]
    arrays += [arithmetic.fixed_inverse(spd), arithmetic.fixed_einsum("kij,kj->ki", spd, a[:, 0])]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]


def digests():
    found = {"functions": functions()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, case in CASES.items():
            model, X = case()
            found[name] = digest(model.fit(X), X)
    return found


if __name__ == "__main__":
    print(json.dumps(digests(), indent=0))
