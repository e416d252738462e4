"""A density of one's own: its logarithm and its weighted fit make a whole estimator."""

import pickle

import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure
from sklearn.base import clone

import fastem
from fastem import plot

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.rayleigh(1, 400), RNG.rayleigh(9, 400)])[:, None]


def log_prob(X, scale):
    return np.log(X[:, 0] / scale**2) - X[:, 0] ** 2 / (2 * scale**2)


def estimate(X, weight):
    return np.sqrt(weight @ X[:, 0] ** 2 / (2 * weight.sum()))


Rayleigh = fastem.Mixture.of(log_prob, estimate)


@pytest.fixture(scope="module")
def model():
    return Rayleigh(2, random_state=0, tol=1e-8).fit(X)


def test_a_whole_estimator(model):
    assert np.sort(model.parameters_) == pytest.approx([1, 9], rel=0.1) and model.converged_
    assert model.predict(X).shape == (800,) and np.allclose(model.predict_proba(X).sum(axis=1), 1)
    assert model.score(X) * 800 == pytest.approx(model.log_likelihood_)
    assert model.bic(X) == pytest.approx(3 * np.log(800) - 2 * model.log_likelihood_)
    assert model.transform(X).shape == (800, 2) and "Mixture, 2 components" in model.summary()
    assert (np.diff(model.history_) > -1e-12).all()
    assert pickle.loads(pickle.dumps(model)).score(X) == model.score(X)
    assert clone(model).fit(X).parameters_.shape == (2,)


def test_it_is_the_family_of_fastem_where_there_is_one():
    counts = np.concatenate([RNG.poisson(2, 300), RNG.poisson(12, 300)])[:, None].astype(float)
    from scipy.stats import poisson

    own = fastem.Mixture.of(lambda X, rate: poisson.logpmf(X[:, 0], rate), lambda X, w: w @ X[:, 0] / w.sum())
    fit = own(2, random_state=0, tol=1e-10).fit(counts)
    theirs = fastem.PoissonMixture(2, random_state=0, tol=1e-10).fit(counts)
    assert fit.log_likelihood_ == pytest.approx(theirs.log_likelihood_, abs=1e-4)
    np.testing.assert_allclose(np.sort(fit.parameters_), np.sort(theirs.rates_[:, 0]), rtol=1e-3)


def test_weights_are_repeated_rows(model):
    weight = RNG.integers(1, 4, 800).astype(float)
    start = dict(random_state=0, tol=1e-11, max_iter=5000)
    weighted, repeated = (
        Rayleigh(2, **start).fit(X, None, weight),
        Rayleigh(2, **start).fit(np.repeat(X, weight.astype(int), 0)),
    )
    np.testing.assert_allclose(np.sort(weighted.parameters_), np.sort(repeated.parameters_), rtol=1e-3)
    frame = pandas.DataFrame({"x": X[:, 0], "w": weight})
    np.testing.assert_array_equal(Rayleigh(2, **start).fit(frame, sample_weight="w").parameters_, weighted.parameters_)


def test_it_is_saved_and_loaded(model, tmp_path):
    model.save(tmp_path / "rayleigh.npz")
    loaded = Rayleigh.load(tmp_path / "rayleigh.npz")
    assert np.array_equal(loaded.predict_proba(X), model.predict_proba(X)) and loaded.summary().count("\n") > 5
    with pytest.raises(ValueError, match="holds no mixture of a density"):
        np.savez(tmp_path / "other.npz", a=1)
        Rayleigh.load(tmp_path / "other.npz")


def test_the_number_of_components_and_pictures(model):
    best = Rayleigh.select(X, range(1, 4), random_state=0)
    assert best.n_components == 2 and best.bic_.keys() == {1, 2, 3}
    assert len(plot.mixture(model, X, ax=Figure()).lines) == 3
    plot.responsibilities(model, X, ax=Figure())
    plot.history(model, ax=Figure())


@pytest.mark.parametrize(
    ("density", "fitted", "message"),
    [
        (lambda X, p: np.zeros((len(X), 1)), estimate, r"one number for each row, \(800,\), but returned \(800, 1\)"),
        (lambda X, p: np.full(len(X), np.nan), estimate, "returned NaN for row 0"),
        (lambda X, p: np.full(len(X), -np.inf), estimate, "no component can produce it"),
        (log_prob, lambda X, w: np.inf, "parameters that are not finite"),
        (None, None, "needs the functions log_prob and estimate"),
    ],
)
def test_mistakes_are_said(density, fitted, message):
    with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
        fastem.Mixture.of(density, fitted)(2, random_state=0).fit(X)
