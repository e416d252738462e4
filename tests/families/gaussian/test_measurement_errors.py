"""Gaussian mixtures of rows with known measurement errors: closed forms, laws, sources, and what is refused."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import reference

import fastem
from fastem import GaussianMixture
from fastem.datasets import load_iris
from fastem.rows import blocks

COVARIANCES = ["full", "tied", "diag", "spherical", "VEV", "EVE", "VVI", "EEI"]


def noisy(n=400, d=2, seed=0, largest=1.5):
    """Rows of two components, with errors of their own, and these as deviations."""
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0, largest, (n, d))
    X = rng.normal(size=(n, d)) + 6 * (rng.random((n, 1)) < 0.4)
    return X + errors * rng.normal(size=(n, d)), errors


def fitted(X, errors, K=2, **parameters):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(K, **({"random_state": 0, "tol": 1e-8} | parameters)).fit(X, errors=errors)


def dense(errors):
    return errors[:, :, None] ** 2 * np.eye(errors.shape[1])


@pytest.mark.parametrize("covariance_type", COVARIANCES)
@pytest.mark.parametrize("kind", ["deviations", "covariances"])
def test_the_likelihood_rises_and_is_that_of_the_measured_rows(covariance_type, kind):
    X, errors = noisy()
    errors = errors if kind == "deviations" else dense(errors) + 0.1
    model = fitted(X, errors, covariance_type=covariance_type, accelerate=None, tol=1e-6)
    history = np.array(model.history_)
    assert len(history) > 3 and (np.diff(history) >= -1e-12 * abs(history[1:])).all()
    S = dense(errors) if kind == "deviations" else errors
    *_, expected = reference.noisy_sums(X, S, model.weights_, model.means_, model.model_.emission.dense_covariances())
    assert np.isclose(model.log_likelihood_, expected, rtol=1e-12)
    assert abs(model.log_likelihood_ - expected) <= model.log_likelihood_error_
    assert np.isclose(model.score(X, errors=errors) * len(X), expected, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV"])
@pytest.mark.parametrize("missing", [False, True])
def test_without_errors_it_is_the_plain_fit(covariance_type, missing):
    X = load_iris().data.copy()
    if missing:
        X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    settings = {"covariance_type": covariance_type, "tol": 1e-6, "init_params": "kmeans"}
    plain = GaussianMixture(3, random_state=0, **settings).fit(X)
    for zero in (np.zeros(X.shape), np.zeros((*X.shape, 4))):
        model = fitted(X, zero, 3, **settings)
        for name in ("weights_", "means_", "covariances_", "log_likelihood_"):
            assert np.allclose(getattr(model, name), getattr(plain, name), rtol=1e-7, atol=1e-9), name
    assert np.allclose(plain.denoise(X, np.zeros(X.shape))[0], plain.impute(X), rtol=1e-12)
    assert np.allclose(plain.score_samples(X, errors=np.zeros(X.shape)), plain.score_samples(X), rtol=1e-11)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_starts_are_compared_with_the_errors(seed):
    """Two clusters that errors as wide as their distance hide: for the values alone one component is as good."""
    rng = np.random.default_rng(1000 + seed)
    X, errors = rng.normal(0, 0.8, (250, 2)) + 2.5 * rng.integers(0, 2, (250, 1)), rng.uniform(0.5, 4, (250, 2))
    X = X + errors * rng.normal(size=errors.shape)
    found = fitted(X, errors, 2).log_likelihood_
    others = [
        fitted(X, errors, 2, init_params=init, tol=1e-5, max_iter=3000) for init in ("kmeans", "random_from_data")
    ]
    assert found > max(one.log_likelihood_ for one in others) - 0.3
    assert found > fitted(X, errors, 1).log_likelihood_ + 1


@pytest.mark.parametrize("scale", [1e150, 1e155])
def test_errors_beyond_the_range_of_numbers_are_refused(scale):
    X, errors = np.random.default_rng(0).normal(size=(60, 2)), np.full((60, 2), 0.1)
    errors[3, 1] = scale
    with pytest.raises(ValueError, match=r"errors: the standard deviation of row 3, column 1 .* give inf"):
        fitted(X, errors, 1)
    if scale < 1e154:
        with pytest.raises(ValueError, match="errors: the variance of row 3, column 1"):
            fitted(X, errors[:, :, None] ** 2 * np.eye(2), 1)


def test_equal_errors_and_one_component_in_closed_form():
    X = np.random.default_rng(0).normal(size=(3000, 3)) @ np.diag([3.0, 2.0, 0.5])
    model = fitted(X, np.full(X.shape, 1.0), 1, tol=1e-12, covariance_type="diag", stop="log_likelihood")
    floor = model.model_.emission.floor
    assert np.allclose(model.covariances_[0], np.maximum(X.var(axis=0) - 1, floor), rtol=1e-3, atol=2e-3)
    full = fitted(X[:, :2], np.full((len(X), 2), 1.0), 1, tol=1e-12, stop="log_likelihood")
    assert np.allclose(full.covariances_[0], np.cov(X[:, :2].T, bias=True) - np.eye(2), atol=1e-4)


def test_the_reference_reaches_the_same():
    X, errors = noisy(120)
    model = fitted(X, errors, weights_init=[0.5, 0.5], means_init=[[0, 0], [6, 6]], reg_covar=0, tol=1e-10)
    parameters = model.weights_, model.means_, model.covariances_
    stepped = parameters
    for _ in range(30):
        stepped = reference.bovy_step(X, dense(errors), *stepped)
    for value, expected in zip(parameters, stepped):
        assert np.allclose(value, expected, rtol=1e-3, atol=1e-3)


def test_noise_free_rows_are_recovered_where_a_plain_fit_does_not():
    X, errors = noisy(20_000, largest=3.0)
    model = fitted(X, errors, tol=1e-6)
    assert np.allclose(model.covariances_, np.eye(2), atol=0.15)
    assert (GaussianMixture(2, random_state=0).fit(X).covariances_[:, [0, 1], [0, 1]] > 2).all()


def test_seeds_recover_what_a_plain_fit_does_not():
    """20 samples: the mean and the variance of one component, of deviation 1 beside errors up to 3."""
    off, plain = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        errors = rng.uniform(0.2, 3, (1500, 1))
        X = rng.normal(size=(1500, 1)) + 9 * (rng.random((1500, 1)) < 0.5) + errors * rng.normal(size=(1500, 1))
        start = {"weights_init": [0.5, 0.5], "means_init": [[0.0], [9.0]], "tol": 1e-6}
        for found, given in [(off, {"errors": errors}), (plain, {})]:
            model = GaussianMixture(2, **start).fit(X, **given)
            found.append([model.means_[0, 0], model.covariances_[0, 0, 0] - 1])
    off, plain = np.array(off), np.array(plain)
    spread = off.std(axis=0)
    assert (spread < [0.1, 0.25]).all() and (abs(off.mean(axis=0)) < 4 * spread / np.sqrt(20)).all()
    assert abs(plain[:, 1]).min() > 4 * spread[1]


def test_rows_of_huge_errors():
    """5 % of rows with errors a million times the others'."""
    X, errors = noisy(2000)
    rng = np.random.default_rng(1)
    rough = rng.random(len(X)) < 0.05
    errors = np.where(rough[:, None], 1e6 * errors, errors)
    measured = np.where(rough[:, None], errors * rng.normal(size=X.shape), X)
    model, without = fitted(measured, errors), fitted(X[~rough], errors[~rough])
    assert np.allclose(model.means_[model.weights_.argsort()], without.means_[without.weights_.argsort()], atol=1e-3)
    missing = fitted(np.where(rough[:, None], np.nan, X), errors)
    assert np.allclose(model.covariances_, missing.covariances_, atol=1e-3)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "spherical", "diag"])
def test_laws(covariance_type):
    """Order, weights as repeated rows, units and origin of the columns."""
    X, errors = noisy(300)
    shape = fastem.models.gaussian.structures.STRUCTURES[covariance_type].shape(2, 2)
    precisions = np.broadcast_to(np.eye(2), shape) if covariance_type in ("full", "tied") else np.ones(shape)

    def eight_steps(X, errors, weight=None, by=1.0, to=0.0):
        model = GaussianMixture(
            2,
            covariance_type=covariance_type,
            weights_init=[0.5, 0.5],
            means_init=np.array([[0.0, 0.0], [6.0, 6.0]]) * by + to,
            precisions_init=precisions / by**2,
            reg_covar=0,
            max_iter=8,
            tol=0,
            accelerate=None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(X, sample_weight=weight, errors=errors)
        return (model.means_ - to) / by, model.covariances_ / by**2, model.lower_bound_ + 2 * np.log(by)

    def same(found, expected):
        return all(np.allclose(a, b, rtol=1e-9, atol=1e-10) for a, b in zip(found, expected))

    one = eight_steps(X, errors)
    order = np.random.default_rng(0).permutation(len(X))
    assert same(eight_steps(X[order], errors[order]), one)
    assert same(eight_steps(X * 8 + 3, errors * 8, by=8.0, to=3.0), one)
    times = np.arange(len(X)) % 3
    often = np.repeat(np.arange(len(X)), times)
    assert same(eight_steps(X, errors, times), eight_steps(X[often], errors[often]))
    assert not same(eight_steps(X, errors * 1.01), one)


def test_rows_and_errors_rotated_together():
    X, errors = noisy(300, 3)
    Q = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    asked = {"max_iter": 8, "tol": 0, "accelerate": None, "reg_covar": 0, "weights_init": [0.5, 0.5]}
    asked["precisions_init"] = np.tile(np.eye(3), (2, 1, 1))
    means = np.array([[0.0] * 3, [6.0] * 3])
    one = fitted(X, dense(errors), means_init=means, **asked)
    other = fitted(X @ Q.T, Q @ dense(errors) @ Q.T, means_init=means @ Q.T, **asked)
    assert np.allclose(other.means_ @ Q, one.means_, rtol=1e-8, atol=1e-9)
    assert np.isclose(other.log_likelihood_, one.log_likelihood_, rtol=1e-12)


def test_every_source_gives_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 1)
    X, errors = noisy(9000)
    table = pd.DataFrame(np.hstack([errors[:, :1], X, errors[:, 1:]]), columns=["ea", "a", "b", "eb"])
    table.to_parquet(tmp_path / "rows.parquet")
    names = ["ea", "eb"]
    sources = [
        (table, names),
        (table[["a", "b"]], errors),
        (tmp_path / "rows.parquet", names),
        (lambda: iter([table[:5000], table[5000:]]), names),
        (lambda: iter([X[:5000], X[5000:]]), errors),
    ]
    asked = {"max_iter": 3, "tol": 0, "coarse": False}
    one = fitted(X, errors, n_threads=1, **asked)
    score = one.score_samples(X, errors=errors)
    for source, given in sources:
        model = fitted(source, given, n_threads=2, **asked)
        assert model.history_ == one.history_ and model.means_.tobytes() == one.means_.tobytes()
        assert np.array_equal(model.score_samples(source, errors=given), score)
        assert np.array_equal(model.predict(source, errors=given), one.predict(X, errors=errors))
    assert list(fitted(table, names, **asked).feature_names_in_) == ["a", "b"]


def test_scores_of_measured_rows():
    X, errors = noisy()
    model = fitted(X, errors)
    score, weight = model.score_samples(X, errors=errors), np.arange(len(X)) % 3.0
    assert np.isclose(model.score(X, sample_weight=weight, errors=errors), weight @ score / weight.sum())
    r = model.predict_proba(X, errors=errors)
    assert np.allclose(r.sum(axis=1), 1) and np.array_equal(r.argmax(axis=1), model.predict(X, errors=errors))
    p, n = model.n_parameters_, len(X)
    assert np.isclose(model.bic(X, errors=errors), p * np.log(n) - 2 * score.sum())
    assert np.isclose(model.aic(X, errors=errors), 2 * p - 2 * score.sum())
    assert np.isclose(
        model.icl(X, errors=errors), model.bic(X, errors=errors) - 2 * np.log(r.max(axis=1)).sum(), rtol=1e-9
    )
    again = GaussianMixture(2, random_state=0, tol=1e-8).fit_predict(X, errors=errors)
    assert np.array_equal(again, model.predict(X, errors=errors))
    with pytest.raises(ValueError, match="All sample_weight are zero"):
        model.score(X, sample_weight=np.zeros(len(X)), errors=errors)


def test_samples_with_noise():
    model = GaussianMixture.from_parameters([1.0], [[0.0, 5.0]], [np.eye(2)])
    n = 40_000
    S = np.array([[3.0, 1.0], [1.0, 2.0]])
    for errors, expected in [
        (np.full((n, 2), 2.0), 5 * np.eye(2)),
        (np.tile(S, (n, 1, 1)), np.eye(2) + S),
    ]:
        X, z = model.sample(n, random_state=0, errors=errors)
        assert np.allclose(np.cov(X.T), expected, atol=0.15) and z.shape == (n,)
    free = model.sample(5, random_state=0)[0]
    assert np.array_equal(model.sample(5, random_state=0, errors=np.zeros((5, 2)))[0], free)


@pytest.mark.parametrize(
    "errors, words",
    [
        (np.ones((4, 1)), "errors has 1 columns for 2 columns of values"),
        (np.ones((3, 2)), "errors has 3 rows, but X has 4"),
        (np.array([[1, 1], [1, -2.0], [1, 1], [1, 1]]), "that of row 1, column 1 is -2"),
        (np.array([[1, 1], [1, 1.0], [np.nan, 1], [1, 1]]), "that of row 2, column 0 is nan"),
        (np.tile([1.0, 2.0, 1.0], (4, 1)), "covariance matrices, but that of row 0 is none"),
        (np.tile([[1.0, 2.0], [2.0, 1.0]], (4, 1, 1)), "covariance matrices, but that of row 0 is none"),
        (np.tile([[1.0, 2.0], [0.0, 1.0]], (4, 1, 1)), "symmetric matrices, but that of row 0 is not, in (0, 1)"),
        (np.ones((4, 2, 3)), "Got (4, 2, 3)"),
    ],
)
def test_what_is_refused(errors, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        GaussianMixture(1).fit(np.arange(8.0).reshape(4, 2), errors=errors)


def test_refusals_name_the_column_and_the_two_features():
    X, errors = noisy(50)
    table = pd.DataFrame(X, columns=["a", "b"])
    errors[7, 1] = -1
    with pytest.raises(ValueError, match="standard deviations of at least 0, but that of row 7, column 'b' is -1"):
        GaussianMixture(2).fit(table, errors=errors)
    errors[7, 1] = 1
    with pytest.raises(ValueError, match="labels cannot be combined with errors"):
        GaussianMixture(2).fit(X, errors=errors, labels=np.zeros(50, int))
    with pytest.raises(ValueError, match="noise cannot be combined with errors"):
        GaussianMixture(2, noise="box").fit(X, errors=errors)
    with pytest.raises(ValueError, match="errors cannot be combined with noise"):
        GaussianMixture(2, noise="box").fit(X).predict(X, errors=errors)
    with pytest.raises(ValueError, match="expecting 2 features"):
        GaussianMixture(2).fit(X).predict(np.ones((4, 3)), errors=np.ones((4, 3)))
    for kind in (fastem.StudentTMixture, fastem.PoissonMixture, fastem.BayesianGaussianMixture):
        with pytest.raises(TypeError, match=f"{kind.__name__} takes no errors. Only GaussianMixture does."):
            kind(2).fit(X, errors=errors)


def test_the_command_line(tmp_path, capsys):
    from fastem.__main__ import main

    X, errors = noisy()
    table = pd.DataFrame(np.hstack([X, errors]), columns=["a", "b", "ea", "eb"])
    table.to_csv(tmp_path / "rows.csv", index=False)
    asked = ["fit", str(tmp_path / "rows.csv"), "--components", "2", "--errors", "ea,eb", "--save"]
    assert main([*asked, str(tmp_path / "model.npz")]) == 0
    model = fastem.load(tmp_path / "model.npz")
    assert list(model.feature_names_in_) == ["a", "b"]
    expected = GaussianMixture(2, random_state=0).fit(table[["a", "b"]], errors=errors)
    assert np.allclose(model.means_, expected.means_, rtol=1e-9)
    assert main([*asked, str(tmp_path / "model.npz"), "--columns", "b,a", "--plot", str(tmp_path / "rows.png")]) == 0
    assert main([*asked, str(tmp_path / "model.npz"), "--bayesian"]) == 2
    assert "BayesianGaussianMixture takes no errors" in capsys.readouterr().err
    written = str(tmp_path / "labels.csv")
    asked = ["predict", str(tmp_path / "model.npz"), str(tmp_path / "rows.csv"), "--errors", "eb,ea"]
    assert main([*asked, "--output", written]) == 0
    model = fastem.load(tmp_path / "model.npz")  # of b and a
    score = model.score_samples(table[["b", "a"]], errors=errors[:, ::-1])
    assert np.allclose(pd.read_csv(written)["log_density"], score)


def test_tiny_rows_are_fitted_without_a_warning():
    """Steps that are tried and given up may leave the range of numbers on the way."""
    X = np.array([[2.8, 5.3, 4.4], [3.4, 4.5, 4.7]])
    errors = np.array([[4.27, 2.43, 2.45], [5.7, 6.1, 0.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for unit in (1.0, 1e-106):
            fit = GaussianMixture(1, max_iter=5, random_state=1).fit(X * unit, errors=errors * unit)
            assert np.isfinite(fit.log_likelihood_)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_errors_far_wider_than_the_components(covariance_type):
    """A product of pivots in units of the covariance would be infinite; other rows keep their bits beside such ones."""
    X = np.random.default_rng(0).normal(size=(40, 3)) * 1e-50
    model = fastem.GaussianMixture(1, covariance_type=covariance_type, max_iter=1, tol=10.0).fit(X)
    errors = np.full((40, 3), 1e-51)
    alone = model.score_samples(X, errors=errors)
    errors[7] = 1e6, 2e5, 3e105
    score = model.score_samples(X, errors=errors)
    expected = -0.5 * (np.log(2 * np.pi) + 2 * np.log(errors[7])).sum()
    assert np.isclose(score[7], expected, rtol=1e-14)
    assert np.array_equal(np.delete(score, 7), np.delete(alone, 7))
