"""A density of one's own: its logarithm and its weighted fit make a whole estimator."""

import pickle
from functools import partial

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
    assert loaded.get_params() == model.get_params() and loaded.lower_bounds_ == model.lower_bounds_
    loaded.fit(X)
    with pytest.raises(ValueError, match="it contains a 'Mixture', of a density of one's own: read it by the load of"):
        fastem.load(tmp_path / "rayleigh.npz")
    fastem.PoissonMixture(1).fit(X // 1).save(tmp_path / "poisson.npz")
    with pytest.raises(ValueError, match="it contains a 'PoissonMixture', not a Mixture of a density of one's own"):
        Rayleigh.load(tmp_path / "poisson.npz")


@pytest.mark.parametrize(
    "change",
    [
        {"weights_": np.ones(2)},
        {"weights_": np.array([np.nan, 1])},
        {"parameters_": np.ones(3)},
        {"parameters_": None},
        {"predict": np.ones(2)},
        {"fastem.json": None},
    ],
    ids=str,
)
def test_files_that_hold_something_else_are_refused(model, change, tmp_path):
    path = tmp_path / "model.npz"
    model.save(path)
    with np.load(path) as file:
        entries = {name: file[name] for name in file.files} | change
    with open(path, "wb") as file:
        np.savez(file, **{name: array for name, array in entries.items() if array is not None})
    with pytest.raises(ValueError, match=r"model\.npz"):
        Rayleigh.load(path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_files_that_are_none_are_refused(content, tmp_path):
    (tmp_path / "model.npz").write_bytes(content)
    with pytest.raises(ValueError, match="is not a model file"):
        Rayleigh.load(tmp_path / "model.npz")


def test_the_number_of_components_and_pictures(model):
    best = Rayleigh.select(X, range(1, 4), random_state=0)
    assert best.n_components == 2 and best.bic_.keys() == {1, 2, 3}
    assert len(plot.mixture(model, X, ax=Figure()).lines) == 3
    plot.responsibilities(model, X, ax=Figure())
    plot.history(model, ax=Figure())


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1e12])
def test_weights_in_any_unit_are_the_same_mixture(model, unit):
    other = Rayleigh(2, random_state=0, tol=1e-8).fit(X, None, np.full(800, unit))
    np.testing.assert_allclose(np.sort(other.parameters_), np.sort(model.parameters_), rtol=1e-6)
    assert other.log_likelihood_ == pytest.approx(unit * model.log_likelihood_, rel=1e-9)
    assert other.total_weight_ == pytest.approx(800 * unit) and other.n_samples_ == 800


def test_rows_without_weight_are_as_none():
    """Also one that no component can produce."""
    rows, weight = np.vstack([X, [[-1.0]]]), np.append(np.ones(800), 0.0)
    with np.errstate(all="ignore"):
        guarded = fastem.Mixture.of(lambda X, s: np.where(X[:, 0] > 0, log_prob(abs(X), s), -np.inf), estimate)
    fits = guarded(2, random_state=0).fit(rows, None, weight), guarded(2, random_state=0).fit(X)
    assert np.array_equal(fits[0].parameters_, fits[1].parameters_) and fits[0].n_samples_ == 801
    assert fits[0].score_samples(rows)[-1] == -np.inf
    assert fits[0].score(rows, None, weight) == pytest.approx(fits[1].score(X))
    with pytest.raises(ValueError, match="is -inf for row 800 in every component: no component can produce it"):
        fits[0].predict(rows)


def test_the_functions_cannot_change_what_they_are_given(model):
    rows = X.copy()

    def in_place(X, *others):
        X /= 2

    for functions in ((log_prob, in_place), (in_place, estimate)):
        with pytest.raises(ValueError, match="read-only"):
            fastem.Mixture.of(*functions)(2, random_state=0).fit(rows)
    assert np.array_equal(rows, X)


def test_a_start_that_breaks_down_loses():
    calls = iter(range(10**6))

    def breaks(X, weight):
        return np.nan if next(calls) < 2 else estimate(X, weight)

    assert np.isfinite(fastem.Mixture.of(log_prob, breaks)(2, n_init=3, random_state=0).fit(X).log_likelihood_)


def test_more_components_than_rows_and_numbers_of_them():
    for rows, weight in ((X[:5], None), (X[:9], [1.0] * 5 + [0.0] * 4), (np.ones((9, 1)), None)):
        with pytest.raises(ValueError, match=r"n_components = 6"):
            Rayleigh(6).fit(rows, None, weight)
    with pytest.raises(ValueError, match="n_components is empty"):
        Rayleigh.select(X, [])
    with pytest.raises(ValueError, match="n_components must hold whole numbers of at least 1"):
        Rayleigh.select(X, [0, 1])
    assert Rayleigh.select(X, 2, random_state=0).n_components == 2


def test_a_number_that_cannot_be_fitted_leaves_the_others():
    """Three values, so that a fourth component has no rows; where all fail, the first error is raised."""
    rows = np.repeat([1.0, 5.0, 30.0], 20)[:, None]
    with pytest.warns(
        UserWarning, match=r"^a mixture of 4 component\(s\) cannot be fitted: ValueError: .* n_components = 4"
    ):
        best = Rayleigh.select(rows, [4, 1, 2], random_state=0)
    assert list(best.bic_) == [1, 2, 4] and np.isnan(best.bic_[4])
    assert best.bic_[best.n_components] == min(best.bic_[1], best.bic_[2])
    for call, message in [
        (lambda: Rayleigh.select(rows, [4, 5]), "n_components = 4"),
        (lambda: Rayleigh.select(np.where(rows > 9, np.nan, rows), [1, 2]), "NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_what_is_set_or_selected_does_not_outlive_what_it_was_of():
    best = Rayleigh.select(X, [1, 2], random_state=0)
    assert not hasattr(best.fit(X[:100]), "bic_")
    best.weights_ = [0.9, 0.9]
    with pytest.raises(ValueError, match=r"normalized.* in weights_"):
        best.score(X)
    best.weights_, best.parameters_ = [0.9, 0.1], [1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match=r"shape of \(2,\), but got \(3,\) in parameters_"):
        best.score(X)


def test_what_needs_more_than_the_two_functions_is_refused(model):
    posterior = model.predict_proba(X)
    assert model.icl(X) == pytest.approx(model.bic(X) - 2 * np.log(posterior.max(axis=1)).sum())
    draws = model.sample, model.is_outlier, model.quantile, lambda rows: plot.qq(model, rows, 0)
    for use, rows in zip(draws, (2, X, 0.01, X)):
        with pytest.raises(TypeError, match="of one's own draws no rows"):
            use(rows)
    steps = model.cross_validated_score, *(partial(one, model) for one in (plot.bound, plot.alternation, plot.animate))
    for use in steps:
        with pytest.raises(TypeError, match=r"no M-step without the rows of its fit.* Call fit"):
            use(X)
    with pytest.raises(TypeError, match="has no from_parameters"):
        fastem.Mixture.from_parameters([1.0], [1.0])
    for use in (model.class_probabilities, lambda C: model.predict(X, covariates=C)):
        with pytest.raises(ValueError, match="fitted without covariates"):
            use(X)
    assert model.quantile(0.5, X) == pytest.approx(np.median(model.score_samples(X)))


@pytest.mark.parametrize(
    ("density", "fitted", "message"),
    [
        (lambda X, p: np.zeros((len(X), 1)), estimate, r"one number for each row, \(800,\), but returned \(800, 1\)"),
        (lambda X, p: np.full(len(X), np.nan), estimate, "returned NaN for row 0"),
        (lambda X, p: np.full(len(X), -np.inf), estimate, "no component can produce it"),
        (lambda X, p: np.full(len(X), np.inf), estimate, "returned inf for row 0"),
        (log_prob, lambda X, w: np.inf, "parameters that are not finite"),
        (log_prob, lambda X, w: 1 + 2j, "estimate must return a number or an array of them, .* returned a complex"),
        (lambda X, p: log_prob(X, p) + 0j, estimate, "log_prob must return .* a ndarray of complex128"),
        (log_prob, lambda X, w: {"scale": 1.0}, "returned a dict"),
        (log_prob, lambda X, w: "1.0", "returned a str"),
        (log_prob, lambda X, w: [[1.0], [1.0, 2.0]], "returned a list"),
        (log_prob, lambda X, w: np.ones(int(w.sum()) % 7), "parameters of the shapes"),
        (None, None, "needs the functions log_prob and estimate"),
    ],
)
def test_mistakes_are_said(density, fitted, message):
    with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
        fastem.Mixture.of(density, fitted)(2, random_state=0).fit(X)
