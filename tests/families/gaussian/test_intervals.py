"""Gaussian mixtures of values between bounds: references, closed forms, laws, sources, and what is refused."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.optimize import minimize
from scipy.stats import norm

import fastem
from fastem import GaussianMixture
from fastem.families.gaussian.intervals import open_bounds
from fastem.rows import blocks


def rows(n=400, d=2, seed=0):
    """Of two components whose columns depend on each other."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ (np.eye(d) + 0.4) + 6 * (rng.random((n, 1)) < 0.4)


def any_bounds(X, seed=1):
    """Of each kind some values: exact, rounded, below or above a limit, missing."""
    kind = np.random.default_rng(seed).integers(0, 5, X.shape)
    lower = np.select([kind == 0, kind == 1, kind == 3], [X, np.floor(X), np.minimum(X, 5)], -np.inf)
    upper = np.select([kind == 0, kind == 1, kind == 2], [X, np.floor(X) + 1, np.maximum(X, 1)], np.inf)
    lower[0], upper[0] = X[0], X[0]
    return lower, upper


def one_interval(X, seed=1):
    """Of each row at most one value in an interval, of any column; others exact or missing."""
    lower, upper = any_bounds(X, seed)
    chosen = np.random.default_rng(seed + 1).integers(0, X.shape[1], len(X))
    others = np.arange(X.shape[1]) != chosen[:, None]
    missing = np.random.default_rng(seed + 2).random(X.shape) < 0.1
    lower = np.where(others, np.where(missing, -np.inf, X), lower)
    upper = np.where(others, np.where(missing, np.inf, X), upper)
    return lower, upper


def fitted(lower, upper, K=2, X=None, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(K, **({"random_state": 0, "tol": 1e-8} | parameters))
        return model.fit(np.full(lower.shape, np.nan) if X is None else X, lower=lower, upper=upper)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical", "EEI", "VVI", "full", "tied", "VEV"])
def test_the_likelihood_rises_and_is_that_of_the_reference(covariance_type):
    X = rows(150)
    diagonal = covariance_type in ("diag", "spherical", "EEI", "VVI")
    lower, upper = any_bounds(X) if diagonal else one_interval(X)
    model = fitted(lower, upper, covariance_type=covariance_type, accelerate=None, tol=1e-6)
    history = np.array(model.history_)
    assert len(history) > 3 and (np.diff(history) >= -1e-12 * abs(history[1:])).all()
    dense = model.model_.emission.dense_covariances()
    *_, expected = reference.interval_sums(lower, upper, model.weights_, model.means_, dense)
    assert np.isclose(model.log_likelihood_, expected, rtol=1e-12)
    assert abs(model.log_likelihood_ - expected) <= model.log_likelihood_error_
    assert np.isclose(model.score(X, lower=lower, upper=upper) * len(X), expected, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_one_step_is_that_of_the_reference(covariance_type):
    X = rows(150, 3)
    lower, upper = any_bounds(X) if covariance_type == "diag" else one_interval(X)
    start = {"weights_init": [0.5, 0.5], "means_init": [[0, 0, 0], [6, 6, 6.0]], "reg_covar": 0.0}
    start["precisions_init"] = np.ones((2, 3)) if covariance_type == "diag" else np.tile(np.eye(3), (2, 1, 1))
    model = fitted(lower, upper, covariance_type=covariance_type, max_iter=1, tol=0, accelerate=None, **start)
    counts, first, second, _ = reference.interval_sums(
        lower, upper, start["weights_init"], np.array(start["means_init"]), np.tile(np.eye(3), (2, 1, 1))
    )
    shift = first / counts[:, None]
    covariances = second / counts[:, None, None] - shift[:, :, None] * shift[:, None, :]
    assert np.allclose(model.weights_, counts / len(X), rtol=1e-10)
    assert np.allclose(model.means_, start["means_init"] + shift, rtol=1e-9)
    if covariance_type == "diag":
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    assert np.allclose(model.covariances_, covariances, rtol=1e-8, atol=1e-10)


def test_exact_bounds_are_the_plain_fit():
    X = rows()
    X[3, 1] = np.nan
    for covariance_type in ("full", "diag", "tied", "spherical"):
        plain = GaussianMixture(2, covariance_type=covariance_type, random_state=0, tol=1e-9).fit(X)
        none = np.full(X.shape, np.nan)
        for model in (
            fitted(none, none, X=X, covariance_type=covariance_type, tol=1e-9),
            fitted(
                np.where(np.isnan(X), -np.inf, X),
                np.where(np.isnan(X), np.inf, X),
                covariance_type=covariance_type,
                tol=1e-9,
            ),
        ):
            assert np.allclose(model.means_, plain.means_, rtol=1e-5)
            assert np.isclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-9)
        assert np.allclose(plain.impute(X, lower=none, upper=none), plain.impute(X), rtol=1e-12)


def test_one_component_is_the_maximum():
    """Against a direct maximisation of a censored and rounded normal column."""
    x = np.random.default_rng(0).normal(2, 1.5, 500)
    lower, upper = np.where(x < 1, -np.inf, np.floor(x)), np.where(x < 1, 1.0, np.floor(x) + 1)

    def loss(p):
        mean, deviation = p[0], np.exp(p[1])
        return -np.log(norm.cdf(upper, mean, deviation) - norm.cdf(lower, mean, deviation)).sum()

    best = minimize(loss, [2.0, 0.3], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    model = fitted(lower[:, None], upper[:, None], 1, tol=1e-13, stop="log_likelihood")
    assert np.isclose(model.means_[0, 0], best.x[0], atol=1e-5)
    assert np.isclose(model.covariances_[0, 0, 0], np.exp(2 * best.x[1]), rtol=1e-5)
    assert np.isclose(model.log_likelihood_, -best.fun, rtol=1e-10)


def test_half_of_a_normal_column():
    """Half of the rows are exact and positive, of the other half only the sign is known: the mean is near 0, and the
    variance near the mean square of the positive ones."""
    x = abs(np.random.default_rng(0).normal(0, 2, (4000, 1)))
    signs = np.arange(len(x))[:, None] % 2
    model = fitted(np.where(signs, x, -np.inf), np.where(signs, x, 0.0), 1, tol=1e-12)
    assert abs(model.means_[0, 0]) < 0.1
    assert np.isclose(model.covariances_[0, 0, 0], (x[1::2] ** 2).mean(), rtol=0.03)


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_laws(covariance_type):
    """Order, weights as repeated rows, units, sign and origin of the columns."""
    X = rows(200)
    lower, upper = any_bounds(X) if covariance_type == "diag" else one_interval(X)

    def eight_steps(lower, upper, weight=None, by=1.0, to=0.0):
        model = GaussianMixture(
            2,
            covariance_type=covariance_type,
            weights_init=[0.5, 0.5],
            means_init=np.array([[0.0, 0.0], [6.0, 6.0]]) * by + to,
            precisions_init=(np.ones((2, 2)) if covariance_type == "diag" else np.tile(np.eye(2), (2, 1, 1))) / by**2,
            reg_covar=0,
            max_iter=8,
            tol=0,
            accelerate=None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(lower, sample_weight=weight, lower=lower, upper=upper)
        return (model.means_ - to) / by, model.covariances_ / by**2

    def same(found, expected):
        return all(np.allclose(a, b, rtol=1e-8, atol=1e-9) for a, b in zip(found, expected))

    one = eight_steps(lower, upper)
    order = np.random.default_rng(0).permutation(len(X))
    assert same(eight_steps(lower[order], upper[order]), one)
    assert same(eight_steps(lower * 8 + 3, upper * 8 + 3, by=8.0, to=3.0), one)
    assert same(eight_steps(-upper, -lower, by=-1.0), one)
    times = np.arange(len(X)) % 3
    often = np.repeat(np.arange(len(X)), times)
    assert same(eight_steps(lower, upper, times), eight_steps(lower[often], upper[often]))
    assert not same(eight_steps(lower, np.where(lower == upper, upper, upper + 0.1)), one)


def test_every_source_gives_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)
    X = rows(9000)
    lower, upper = np.floor(X), np.floor(X) + 1
    table = pd.DataFrame(np.hstack([lower, X, upper]), columns=["la", "lb", "a", "b", "ua", "ub"])
    table.to_parquet(tmp_path / "rows.parquet")
    named = {"lower": ["la", "lb"], "upper": ["ua", "ub"]}
    arrays = {"lower": lower, "upper": upper}
    sources = [
        (table, named),
        (table[["a", "b"]], arrays),
        (tmp_path / "rows.parquet", named),
        (lambda: iter([table[:5000], table[5000:]]), named),
        (lambda: iter([X[:5000], X[5000:]]), arrays),
    ]
    asked = {"max_iter": 3, "tol": 0, "coarse": False, "covariance_type": "diag", "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = GaussianMixture(2, n_threads=1, **asked).fit(X, **arrays)
        score = one.score_samples(X, **arrays)
        for source, given in sources:
            model = GaussianMixture(2, n_threads=2, **asked).fit(source, **given)
            assert model.history_ == one.history_ and model.means_.tobytes() == one.means_.tobytes()
            assert np.array_equal(model.score_samples(source, **given), score)
        assert list(GaussianMixture(2, **asked).fit(table, **named).feature_names_in_) == ["a", "b"]


def test_scores_and_values_between_bounds():
    X = rows()
    lower, upper = any_bounds(X)
    given = {"lower": lower, "upper": upper}
    model = fitted(**given, covariance_type="diag")
    score, r = model.score_samples(X, **given), model.predict_proba(X, **given)
    assert np.allclose(r.sum(axis=1), 1) and np.array_equal(r.argmax(axis=1), model.predict(X, **given))
    assert np.isclose(model.bic(X, **given), model.n_parameters_ * np.log(len(X)) - 2 * score.sum())
    assert np.isclose(model.aic(X, **given), 2 * model.n_parameters_ - 2 * score.sum())
    assert model.icl(X, **given) > model.bic(X, **given)
    again = GaussianMixture(2, covariance_type="diag", random_state=0, tol=1e-8).fit_predict(X, **given)
    assert np.array_equal(again, model.predict(X, **given))
    filled = model.impute(X, **given)
    assert ((lower <= filled) & (filled <= upper)).all()
    assert np.array_equal(filled[lower == upper], X[lower == upper])
    one = GaussianMixture.from_parameters([1.0], [[0.0]], [[[4.0]]])
    assert np.allclose(one.impute([[np.nan]], lower=[[0.0]], upper=[[np.inf]]), 2 * np.sqrt(2 / np.pi))
    assert np.allclose(one.score_samples([[np.nan]], lower=[[0.0]], upper=[[np.inf]]), np.log(0.5))


@pytest.mark.parametrize("limit, side", [(-np.inf, 1), (1e6, 1), (-30.0, -1)])
def test_limits_that_say_nothing_or_very_much(limit, side):
    """Rows far in the tail of every component have finite steps."""
    X = rows(200, 1)
    lower, upper = X.copy(), X.copy()
    lower[0], upper[0] = (limit, np.inf) if side > 0 else (-np.inf, limit)
    model = fitted(lower, upper)
    assert np.isfinite(model.means_).all() and np.isfinite(model.log_likelihood_)


@pytest.mark.parametrize(
    "lower, upper, words",
    [
        (np.zeros((4, 1)), np.ones((4, 2)), "lower has 1 columns for 2 columns of values"),
        (np.zeros((3, 2)), np.ones((3, 2)), "lower has 3 rows, but X has 4"),
        (np.zeros((4, 2)), np.tile([1.0, -2.0], (4, 1)), "those of row 0, column 1 are 0 and -2"),
        (np.tile([0.0, np.nan], (4, 1)), np.ones((4, 2)), "those of row 0, column 1 are nan and 1"),
        (np.full((4, 2), np.inf), np.full((4, 2), np.inf), "those of row 0, column 0 are inf and inf"),
        (np.zeros((4, 2)), None, "upper is not given"),
    ],
)
def test_what_is_refused(lower, upper, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        GaussianMixture(1, covariance_type="diag").fit(np.arange(8.0).reshape(4, 2), lower=lower, upper=upper)


def test_refusals_say_why():
    X = rows(50)
    given = {"lower": np.floor(X), "upper": np.floor(X) + 1}
    with pytest.raises(ValueError, match=r"row 0 more than one interval\. With covariance_type='full' columns depend"):
        GaussianMixture(2).fit(X, **given)
    diagonal = GaussianMixture(2, covariance_type="diag")
    with pytest.raises(ValueError, match="labels cannot be combined with lower and upper"):
        diagonal.fit(X, labels=np.zeros(50, int), **given)
    with pytest.raises(ValueError, match="noise cannot be combined with lower and upper"):
        GaussianMixture(2, covariance_type="diag", noise="box").fit(X, **given)
    with pytest.raises(ValueError, match="errors cannot be combined with lower and upper"):
        diagonal.fit(X, errors=np.ones(X.shape), **given)
    with pytest.raises(ValueError, match="draws cannot be combined with lower and upper"):
        diagonal.fit(X).impute(X, draws=2, **given)
    with pytest.raises(TypeError, match="given in the same way"):
        diagonal.fit(pd.DataFrame(X, columns=["a", "b"]), lower=["a"], upper=given["upper"])
    with pytest.raises(TypeError, match="PoissonMixture takes no lower"):
        fastem.PoissonMixture(2).fit(np.floor(abs(X)), **given)


def test_the_command_line(tmp_path, capsys):
    from fastem.__main__ import main

    X = rows()
    lower, upper = any_bounds(X)
    table = pd.DataFrame(np.hstack([X, lower, upper]), columns=["a", "b", "la", "lb", "ua", "ub"])
    table.to_parquet(tmp_path / "rows.parquet")
    data, model = str(tmp_path / "rows.parquet"), str(tmp_path / "model.npz")
    bounds = ["--lower", "la,lb", "--upper", "ua,ub"]
    assert main(["fit", data, "--components", "2", "--covariance", "diag", *bounds, "--save", model]) == 0
    loaded = fastem.load(model)
    expected = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X, lower=lower, upper=upper)
    assert np.allclose(loaded.means_, expected.means_, rtol=1e-9)
    assert main(["predict", model, data, *bounds, "--output", str(tmp_path / "labels.csv")]) == 0
    written = pd.read_csv(tmp_path / "labels.csv")
    assert np.array_equal(written["label"], expected.predict(X, lower=lower, upper=upper))
    assert np.allclose(written["log_density"], expected.score_samples(X, lower=lower, upper=upper))
    assert np.allclose(written["probability"], expected.predict_proba(X, lower=lower, upper=upper).max(axis=1))
    assert main(["predict", model, data, "--errors", "la,lb"]) == 2
    assert "errors must hold standard deviations of at least 0" in capsys.readouterr().err
    assert main(["fit", data, "--components", "2", "--bayesian", *bounds]) == 2
    assert "BayesianGaussianMixture takes no lower" in capsys.readouterr().err
    fastem.PoissonMixture(1).fit(np.arange(6.0)[:, None]).save(model)
    assert main(["predict", model, data, *bounds]) == 2
    assert "PoissonMixture takes no lower" in capsys.readouterr().err


@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_the_width_of_an_interval_has_all_digits_beside_a_mean_that_is_far_away(real):
    """Both ends are the same number about the mean."""
    model = GaussianMixture.from_parameters([1.0], [[2e4, 0.0]], [[1e10, 1.0]], covariance_type="diag")
    low, high = np.array([7.8176e-5, 0.5], real), np.array([7.8202e-5, 0.5], real)
    found = model.score_samples(low[None], lower=low[None], upper=high[None])
    width = float(high[0]) - float(low[0])
    expected = norm.logpdf(float(low[0]), 2e4, 1e5) + np.log(width) + norm.logpdf(0.5)
    np.testing.assert_allclose(found, expected, rtol=1e-12 if real is np.float64 else 1e-5)


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_an_interval_far_from_its_mean_is_possible(covariance_type):
    """It is less wide than the numbers there are apart."""
    covariance = [[4.0, 1.0]] if covariance_type == "diag" else [[[4.0, 0.0], [0.0, 1.0]]]
    model = GaussianMixture.from_parameters([1.0], [[-1e19, 0.0]], covariance, covariance_type=covariance_type)
    found = model.score_samples(np.zeros((1, 2)), lower=np.array([[0.0, 1.0]]), upper=np.array([[0.5, 1.0]]))
    np.testing.assert_allclose(found, -((1e19 / 2) ** 2) / 2, rtol=1e-12)


@pytest.mark.parametrize("seed", [4, 8, 14])
def test_a_floor_that_has_no_digits_beside_wide_intervals_is_no_defect(seed):
    """The largest eigenvalue in units of the floor is 1e17, so that the others are rounding."""
    rng = np.random.default_rng(seed)
    X = np.outer(rng.normal(4, 2, 10), np.arange(1, 7))
    lower, upper = X.copy(), X.copy()
    for i in rng.choice(10, 5, replace=False):
        j, width = rng.integers(6), 1e6 * rng.uniform(2, 12, 2)
        lower[i, j], upper[i, j] = X[i, j] - width[0], X[i, j] + width[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GaussianMixture(5, reg_covar=1e-12, max_iter=30, random_state=3).fit(X, lower=lower, upper=upper)
    assert "defect" not in model.stop_reason_


def test_some_of_the_rows_keep_what_rounding_does_to_narrow_intervals():
    X = 1e6 + np.random.default_rng(0).normal(size=(50, 1))
    sides = {"lower": X - 1e-4, "upper": X + 1e-4}
    rows, _ = open_bounds(GaussianMixture(1), X, sides, None)
    assert rows.row_error > 0
    assert rows.spaced().row_error == rows.row_error
