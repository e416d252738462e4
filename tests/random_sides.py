"""Side columns of random rows: measurement errors, bounds, covariates; and what is done with fits that had some."""

import tempfile
import warnings
from pathlib import Path

import numpy as np

import fastem

WHOLE = "PoissonMixture", "GeometricMixture"  # of counts
WITH_BOUNDS = "GaussianMixture", "StudentTMixture", "ExponentialMixture", "GammaMixture", "GeometricMixture"
NOT_BESIDE_A_GATE = "equal_weights", "weight_concentration_prior"
WITHOUT_COVARIATES = "BayesianGaussianMixture", "PPCA", "FactorAnalysis"

# ---- side columns ----------------------------------------------------------------------------------------------------


def spread(X):
    """(d,) about how wide the columns are."""
    with warnings.catch_warnings():  # of columns without values
        warnings.simplefilter("ignore")
        middle = np.nanmedian(X.astype(np.float64), axis=0)
        width = np.nanmedian(abs(X - middle), axis=0)
    return np.where(np.isfinite(width) & (width > 0), width, 1.0)


def deviations(rng, X):
    errors = rng.uniform(0, 2, X.shape) * spread(X)
    errors[rng.random(X.shape) < 0.1] = 0.0
    if rng.random() < 0.3:
        errors[rng.random(X.shape) < 0.05] = np.inf
    if rng.random() < 0.3:
        errors[rng.random(len(X)) < 0.05] *= 1e6
    return {"errors": errors}


def covariances_of_errors(rng, X):
    n, d = X.shape
    roots = rng.normal(size=(n, d, d)) * spread(X)[:, None] * 10.0 ** int(rng.choice([0, 0, -6]))
    return {"errors": roots @ np.swapaxes(roots, 1, 2)}


def bounds(rng, X, whole=False):
    """Some values in intervals, some beyond a limit, the rest exact; of some rows one value alone."""
    X = X.astype(np.float64)
    width = rng.uniform(0, 2, X.shape) * spread(X) * 10.0 ** int(rng.choice([0, 0, 0, -8, 6]))
    lower, upper = X - width, X + width * rng.uniform(0, 1, X.shape)
    lower[rng.random(X.shape) < 0.2] = -np.inf
    upper[rng.random(X.shape) < 0.2] = np.inf
    exact = rng.random(X.shape) < 0.5
    if rng.random() < 0.5:  # at most one in a row, as structures with covariances take them
        exact[np.arange(X.shape[1]) != rng.integers(X.shape[1], size=(len(X), 1))] = True
    lower[exact], upper[exact] = (np.nan, np.nan) if rng.random() < 0.5 else (X[exact], X[exact])
    if whole:
        lower, upper = np.floor(lower), np.ceil(upper)
    return {"lower": lower, "upper": upper}


def covariates(rng, X):
    n, p = len(X), int(rng.integers(1, 4))
    made = {
        "normal": lambda: rng.normal(size=(n, p)),
        "far": lambda: rng.normal(size=(n, p)) + 1e9,
        "scales": lambda: rng.normal(size=(n, p)) * 10.0 ** rng.integers(-100, 100, p),
        "collinear": lambda: rng.normal(size=(n, 1)) * np.arange(1.0, p + 1),
        "0/1": lambda: rng.integers(0, 2, (n, p)) * 1.0,
        "separating": lambda: np.repeat(np.nan_to_num(X[:, :1], posinf=0.0, neginf=0.0) > 0, p, axis=1) * 1.0,
        "float32": lambda: rng.normal(size=(n, p)).astype(np.float32),
    }
    return {"covariates": made[list(made)[rng.integers(len(made))]]()}


def random_sides(rng, name, X) -> dict:
    """Side columns that a mixture of this name takes; {} where it takes none."""
    makers = [] if name in WITHOUT_COVARIATES else [covariates]
    if name in WITH_BOUNDS:
        makers.append(lambda rng, X: bounds(rng, X, name in WHOLE))
    if name == "GaussianMixture":
        makers += [deviations, covariances_of_errors]
    with np.errstate(all="ignore"):  # of rows next to the range of numbers
        return makers[rng.integers(len(makers))](rng, X) if makers else {}


# ---- what is done with fits ------------------------------------------------------------------------------------------


def then_score_sides(estimator, case):
    assert np.isfinite(estimator.score_samples(case.X, **case.sides)).all(), "score_samples is not finite"
    shares = estimator.predict_proba(case.X, **case.sides)
    assert np.allclose(shares.sum(axis=1), 1, atol=1e-4), "predict_proba does not sum to 1"
    chosen = np.take_along_axis(shares, estimator.predict(case.X, **case.sides)[:, None], axis=1)[:, 0]
    assert np.allclose(chosen, shares.max(axis=1), atol=1e-4), "predict is not the most probable component"


def then_judge_sides(estimator, case):
    for name in ("bic", "icl"):
        value = getattr(estimator, name)(case.X, sample_weight=case.weight, **case.sides)
        assert np.isfinite(value), f"{name} is not finite"
    assert np.isfinite(estimator.aic(case.X, **case.sides)), "aic is not finite"


def then_save_sides(estimator, case):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.npz")
        estimator.save(path)
        again = fastem.load(path)
    before, after = (one.score_samples(case.X, **case.sides) for one in (estimator, again))
    assert np.array_equal(before, after), "a loaded model scores otherwise"


def then_impute_sides(estimator, case):
    """The values behind errors or bounds."""
    if "errors" in case.sides:
        mean, covariance = estimator.denoise(case.X, errors=case.sides["errors"])
        assert np.isfinite(mean).all() and np.isfinite(covariance).all(), "denoise is not finite"
    elif "lower" in case.sides and hasattr(estimator, "impute"):
        assert np.isfinite(estimator.impute(case.X, **case.sides)).all(), "impute is not finite"


def then_errors_sides(estimator, case):
    if "covariates" in case.sides:
        errors = fastem.standard_errors(estimator, case.X, sample_weight=case.weight, **case.sides)
        assert np.isfinite(errors.parameters["gate_coefficients_"]).all(), "errors of a gate are not finite"


def then_fit_again_sides(estimator, case):
    return case.fitted(case.fitted(case.estimator(warm_start=True)))


USES = [then_score_sides, then_judge_sides, then_save_sides, then_impute_sides, then_errors_sides, then_fit_again_sides]
