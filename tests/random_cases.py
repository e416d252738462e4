"""Random estimators on random rows: each fit ends with finite numbers, or with an error that fastem itself raises.

python tests/random_cases.py 0 1000      # tells of every case that ends otherwise, by the place where it does
"""

import linecache
import sys
import tempfile
import traceback
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

import fastem
from fastem.models.gaussian.structures import STRUCTURES

PACKAGE = str(Path(fastem.__file__).parent)
SAID = (fastem.ConvergenceWarning, fastem.DegenerateComponentWarning, fastem.LogLikelihoodFell, UserWarning)

# ---- rows ------------------------------------------------------------------------------------------------------------


def blobs(rng, n, d):
    return rng.normal(size=(n, d)) + 4 * rng.integers(0, 3, (n, 1))


def small(rng, n, d):
    return rng.normal(size=(int(rng.integers(1, 8)), d))


def constant_column(rng, n, d):
    X = blobs(rng, n, d)
    X[:, rng.integers(d)] = 3.0
    return X


def far_scales(rng, n, d):
    return blobs(rng, n, d) * 10.0 ** rng.integers(-8, 9, d)


def outlier(rng, n, d):
    X = blobs(rng, n, d)
    X[rng.integers(n), rng.integers(d)] = 10.0 ** rng.integers(3, 37)
    return X


def repeated(rng, n, d):
    return rng.normal(size=(4, d))[rng.integers(0, 4, n)]


def collinear(rng, n, d):
    return blobs(rng, n, 1) * np.arange(1.0, d + 1)


REAL = {
    "blobs": blobs,
    "small": small,
    "rounded": lambda rng, n, d: blobs(rng, n, d).round(),
    "constant column": constant_column,
    "constant": lambda rng, n, d: np.full((n, d), 2.5),
    "scales": far_scales,
    "tiny": lambda rng, n, d: blobs(rng, n, d) * 10.0 ** rng.integers(-150, -20),
    "huge": lambda rng, n, d: blobs(rng, n, d) * 10.0 ** rng.integers(20, 150),
    "offset": lambda rng, n, d: blobs(rng, n, d) + 10.0 ** rng.integers(3, 16),
    "outlier": outlier,
    "repeated": repeated,
    "collinear": collinear,
    "0/1": lambda rng, n, d: rng.integers(0, 2, (n, d)) * 1.0,
}
POSITIVE = {f"|{name}|": lambda rng, n, d, made=made: abs(made(rng, n, d)) + 1e-3 for name, made in REAL.items()}
COUNTS = {
    "counts": lambda rng, n, d: rng.poisson(rng.choice([0.1, 3.0, 50.0], (n, 1)), (n, d)) * 1.0,
    "large counts": lambda rng, n, d: rng.poisson(10.0 ** rng.integers(4, 12), (n, d)) * 1.0,
    "zeros": lambda rng, n, d: np.zeros((n, d)),
    "few": lambda rng, n, d: rng.integers(0, 4, (int(rng.integers(1, 8)), d)) * 1.0,
    "one large": lambda rng, n, d: np.where(np.arange(n)[:, None] == 0, 1e6, rng.integers(0, 3, (n, d))) * 1.0,
}
BINARY = {"0/1": REAL["0/1"], "zeros": COUNTS["zeros"], "few": lambda rng, n, d: (small(rng, n, d) > 0) * 1.0}
LEVELS = {"levels": lambda rng, n, d: rng.integers(0, 4, (n, d)) * 1.0, "few": COUNTS["few"], "zeros": COUNTS["zeros"]}
DIRECTIONS = {
    name: REAL[name] for name in ("blobs", "small", "rounded", "repeated", "collinear", "tiny", "huge", "scales")
}

# ---- estimators ------------------------------------------------------------------------------------------------------


def maybe(rng, share, **choices):
    """Each parameter, with this probability, at one of its values."""
    return {name: values[rng.integers(len(values))] for name, values in choices.items() if rng.random() < share}


def of_mixture(rng):
    return {"n_components": int(rng.choice([1, 2, 3, 5, 8])), "max_iter": int(rng.choice([0, 1, 30]))} | maybe(
        rng,
        0.15,
        tol=[0.0, 1e-6],
        n_init=[2, 3],
        init_params=["k-means++", "whitened", "hierarchical", "random", "random_from_data", "emem"],
        on_collapse=["reseed", "drop", "raise"],
        split_merge=[1],
        accelerate=["anderson", "squarem"],
        stop=["relative", "parameters", "aitken"],
        equal_weights=[True],
        weight_concentration_prior=[1.0, 2.0],
    )


def covariances(rng):
    return {"covariance_type": str(rng.choice(list(STRUCTURES)))} | maybe(rng, 0.2, reg_covar=[0.0, 1e-12, 1e-3])


def gaussian(rng):
    constraints = maybe(
        rng,
        0.1,
        noise=["box", 1e-300, 1e-3, 1000.0],
        prior=["default"],
        max_eigenvalue_ratio=[1.5, 100.0],
    )
    return covariances(rng) | constraints


def factors(rng):
    return {"n_factors": int(rng.integers(1, 3))} | maybe(rng, 0.2, reg_covar=[0.0, 1e-12, 1e-3])


def factor_analysis(rng):
    return {"n_components": int(rng.integers(1, 4))} | maybe(rng, 0.3, reg_covar=[0.0, 1e-12])


def nothing(rng):
    return {}


KINDS = {
    "GaussianMixture": (REAL, of_mixture, gaussian),
    "StudentTMixture": (REAL, of_mixture, covariances),
    "MixtureOfFactorAnalyzers": (REAL, of_mixture, factors),
    "PPCA": (REAL, factor_analysis, nothing),
    "FactorAnalysis": (REAL, factor_analysis, nothing),
    "MixedMixture": (REAL, of_mixture, nothing),
    "VonMisesFisherMixture": (DIRECTIONS, of_mixture, nothing),
    "GammaMixture": (POSITIVE, of_mixture, nothing),
    "ExponentialMixture": (POSITIVE, of_mixture, nothing),
    "PoissonMixture": (COUNTS, of_mixture, nothing),
    "GeometricMixture": (COUNTS, of_mixture, nothing),
    "BernoulliMixture": (BINARY, of_mixture, nothing),
    "CategoricalMixture": (LEVELS, of_mixture, nothing),
}
SHARES = np.array([8, 3, 2] + [1] * (len(KINDS) - 3)) / (13 + len(KINDS) - 3)

# ---- what is done with them ------------------------------------------------------------------------------------------


def fit(estimator, X, weight):
    return estimator.fit(X) if weight is None else estimator.fit(X, sample_weight=weight)


def then_score(estimator, X, weight):
    assert np.isfinite(estimator.score_samples(X)).all(), "score_samples is not finite"
    if hasattr(estimator, "predict_proba"):
        assert np.allclose(estimator.predict_proba(X).sum(axis=1), 1, atol=1e-4), "predict_proba does not sum to 1"


def then_go_on(estimator, X, weight):
    if hasattr(estimator, "partial_fit"):
        estimator.partial_fit(X, sample_weight=weight)


def then_em(estimator, X, weight):
    if hasattr(estimator, "model_"):
        fastem.em(estimator.model_, X, sample_weight=weight, max_iter=3)


def then_sample(estimator, X, weight):
    if hasattr(estimator, "sample"):
        estimator.sample(7)


def then_judge(estimator, X, weight):
    for name in ("bic", "aic"):
        if hasattr(estimator, name):
            assert np.isfinite(getattr(estimator, name)(X)), f"{name} is not finite"


def then_save(estimator, X, weight):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        estimator.save(path)
        again = fastem.load(path)
    assert np.array_equal(again.score_samples(X), estimator.score_samples(X)), "a loaded model scores otherwise"


def then_errors(estimator, X, weight):
    if isinstance(estimator, fastem.GaussianMixture):
        fastem.standard_errors(estimator, X, sample_weight=weight)


USES = [then_score, then_score, then_score, then_go_on, then_em, then_sample, then_judge, then_save, then_errors]


def random_case(seed):
    """An estimator, rows, weights or None, what is done after the fit, and words for all of it."""
    rng = np.random.default_rng(seed)
    name = list(KINDS)[rng.choice(len(KINDS), p=SHARES)]
    rows, *parameters = KINDS[name]
    kind = list(rows)[rng.integers(len(rows))]
    X = rows[kind](rng, int(rng.choice([10, 40, 150])), int(rng.choice([1, 2, 3, 6])))
    asked = {key: value for made in parameters for key, value in made(rng).items()}
    if name not in ("PPCA", "FactorAnalysis"):
        asked["random_state"] = int(rng.integers(10))
    if name == "MixedMixture":
        kinds = ["gaussian", "exponential", "poisson", "bernoulli", "categorical"]
        asked["kinds"] = [str(kind) for kind in rng.choice(kinds, X.shape[1], p=[0.6, 0.1, 0.1, 0.1, 0.1])]
        to_kind = {
            "exponential": lambda x: abs(x) + 1e-3,
            "poisson": lambda x: np.minimum(abs(x), 1e6).round(),
            "bernoulli": lambda x: (x > np.median(x)) * 1.0,
            "categorical": lambda x: (x > np.median(x)) * 2.0,
        }
        X = np.column_stack([to_kind.get(kind, np.copy)(x) for kind, x in zip(asked["kinds"], X.T)])
    real = str(rng.choice(["f8", "f8", "f4"]))
    with np.errstate(over="ignore"):
        X = X.astype(real)
    if rng.random() < 0.1 and name in ("GaussianMixture", "StudentTMixture", "MixedMixture", "FactorAnalysis", "PPCA"):
        X[rng.random(X.shape) < 0.2] = np.nan
    weight = None
    if rng.random() < 0.25 and name not in ("PPCA", "FactorAnalysis"):
        weight = rng.random(len(X)) * 10.0 ** int(rng.choice([0, 0, 0, -60, 60, -300]))
        weight[rng.random(len(X)) < 0.2] = 0
    use = USES[rng.integers(len(USES))]
    words = f"{name}({', '.join(f'{key}={value!r}' for key, value in asked.items())}) on {kind} {real} {X.shape}"
    return (
        getattr(fastem, name)(**asked),
        X,
        weight,
        use,
        words + f", {use.__name__}" + ", weights" * (weight is not None),
    )


def by_fastem(error):
    """Whether an error was raised by a statement of fastem, and not by what it called."""
    if not isinstance(error, (ValueError, TypeError)) or isinstance(error, np.linalg.LinAlgError) or not str(error):
        return False
    frame = traceback.extract_tb(error.__traceback__)[-1]
    line = linecache.getline(frame.filename, frame.lineno).strip()
    return frame.filename.startswith(PACKAGE) and line.startswith("raise ")


def place_of(error):
    """The innermost line of fastem that an error went through."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(PACKAGE)]
    frame = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename.removeprefix(PACKAGE + '/')}:{frame.lineno}"


def finite(estimator):
    """AssertionError where a number of a fit is not finite."""
    for name, value in vars(estimator).items():
        if name.endswith("_") and isinstance(value, (np.ndarray, float)) and np.asarray(value).dtype.kind == "f":
            assert np.isfinite(value).all() or name == "degrees_of_freedom_", f"{name} is not finite"


def what_is_wrong(seed):
    """{place: what} of a case, and whether it was fitted."""
    estimator, X, weight, use, words = random_case(seed)
    wrong, fitted = [], False
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            fit(estimator, X, weight)
            finite(estimator)
            fitted = True
            use(estimator, X, weight)
        except Exception as error:
            if not by_fastem(error):
                wrong.append((place_of(error), f"{type(error).__name__}: {error}"))
    for one in heard:
        if not issubclass(one.category, SAID):
            place = f"{one.filename.removeprefix(PACKAGE + '/')}:{one.lineno}"
            wrong.append((place, f"{one.category.__name__}: {one.message}"))
    return {place: f"{what[:150]} [seed {seed}: {words}]" for place, what in wrong}, fitted


def main(first, last):
    found, n_fitted, n_wrong = defaultdict(list), 0, 0
    for seed in range(first, last):
        wrong, fitted = what_is_wrong(seed)
        n_fitted += fitted
        n_wrong += bool(wrong)
        for place, what in wrong.items():
            found[place].append(what)
    print(f"{last - first} cases, {n_fitted} fits, {n_wrong} end otherwise")
    for place, all_of_it in sorted(found.items(), key=lambda item: -len(item[1])):
        print(f"\n{place}: {len(all_of_it)}", *all_of_it[:3], sep="\n    ")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
