"""Standard errors against a numerical Hessian and closed forms; the likelihood ratio test on rows of known origin."""

import numpy as np
import pandas
import pytest
from models import MODELS
from scipy.stats import multivariate_normal
from short_starts import shorten

from fastem import (
    PPCA,
    GaussianMixture,
    MixedMixture,
    MixtureOfRegressions,
    PoissonMixture,
    StudentTMixture,
    likelihood_ratio_test,
    select,
    standard_errors,
)
from fastem.datasets import load_faithful
from fastem.inference import likelihood_ratio
from fastem.inference.gaussian_information import coordinates
from fastem.kernels.packing import packed_lower
from fastem.models.mixture import Mixture
from fastem.rows.sources.open_rows import open_rows

X = load_faithful().data
LINEAR = ["full", "tied", "diag", "spherical", "EII", "EEI"]


@pytest.fixture(autouse=True)
def side_by_side(monkeypatch):
    """Fits of few rows too."""
    for name in ("likelihood_ratio", "standard_errors"):
        monkeypatch.setattr(f"fastem.inference.{name}.PARALLEL_FROM", 0)


def fitted(covariance_type, K=2, data=X, **settings):
    settings = {"tol": 1e-12, "max_iter": 5000, "random_state": 0} | settings
    return GaussianMixture(K, covariance_type=covariance_type, **settings).fit(data)


def by_differences(model, data):
    """Standard errors of weights, means and free covariances from a numerical Hessian of the log-likelihood."""
    K, d = model.emission.shape
    place = coordinates(model.emission.covariance, K, d)
    i, j = packed_lower(d)
    dense = model.emission.covariance.dense(K, d).covariances[:, i, j]
    free = np.zeros(place.max() + 1)
    free[place[place >= 0]] = dense[place >= 0]
    at = np.concatenate([model.weights[:-1], model.emission.means.ravel(), free])

    def log_likelihood(v):
        weights, means, entries = np.split(v, [K - 1, K - 1 + K * d])
        covariances = np.zeros((K, d, d))
        covariances[:, i, j] = covariances[:, j, i] = np.append(entries, 0)[place]
        weights = np.append(weights, 1 - weights.sum())
        parts = [w * multivariate_normal(*one).pdf(data) for w, *one in zip(weights, means.reshape(K, d), covariances)]
        return np.log(sum(parts)).sum()

    steps = np.diag(1e-4 * np.maximum(np.abs(at), 0.05))
    hessian = np.zeros((len(at), len(at)))
    for a, e in enumerate(steps):
        for b, f in enumerate(steps[: a + 1]):
            corners = log_likelihood(at + e + f) - log_likelihood(at + e - f)
            corners -= log_likelihood(at - e + f) - log_likelihood(at - e - f)
            hessian[a, b] = hessian[b, a] = corners / (4 * e[a] * f[b])
    errors = np.sqrt(np.diag(np.linalg.inv(-hessian)))
    return errors[: K - 1], errors[K - 1 : K - 1 + K * d].reshape(K, d), np.append(errors[K - 1 + K * d :], 0)[place]


@pytest.mark.parametrize("name", LINEAR)
def test_louis_is_the_hessian(name):
    fit = fitted(name)
    found = standard_errors(fit, X)
    weights, means, packed = by_differences(fit.model_, X)
    np.testing.assert_allclose(found.weights[:-1], weights, rtol=1e-5)
    np.testing.assert_allclose(found.means, means, rtol=1e-5)
    assert found.covariances.shape == fit.covariances_.shape
    i, j = packed_lower(2)
    of_entries = {
        2: lambda: packed[:, i == j] if name in ("diag", "EEI") else packed[0][[[0, 1], [1, 2]]],
        1: lambda: packed[:, 0],
        3: lambda: packed[:, [[0, 1], [1, 2]]],
    }[found.covariances.ndim]()
    np.testing.assert_allclose(found.covariances, of_entries, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_one_component_has_closed_forms(dtype):
    n = len(X)
    found = standard_errors(fitted("full", 1, X.astype(dtype), tol=1e-3), X.astype(dtype))
    S = np.cov(X.T, bias=True)
    np.testing.assert_allclose(found.means[0], np.sqrt(np.diag(S) / n), rtol=1e-5)
    expected = np.sqrt((S**2 + np.outer(np.diag(S), np.diag(S))) / n)
    np.testing.assert_allclose(found.covariances[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(found.weights, [0])


def test_units_go_along():
    scale = np.array([1e-6, 1e5])
    one, other = standard_errors(fitted("full"), X), standard_errors(fitted("full", data=X * scale), X * scale)
    np.testing.assert_allclose(other.means, one.means * scale, rtol=1e-3)
    np.testing.assert_allclose(other.covariances, one.covariances * np.outer(scale, scale), rtol=1e-3)


def test_weights_count_as_rows():
    weight = np.random.default_rng(0).integers(0, 3, len(X))
    fit = fitted("tied", data=np.repeat(X, weight, axis=0))
    one = standard_errors(fit, X, sample_weight=weight)
    other = standard_errors(fit, np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(one.means, other.means, rtol=1e-9)


@pytest.mark.parametrize("name", ["full", "VEV", "EEI"])
def test_the_bootstrap_is_near(name):
    fit = fitted(name, tol=1e-9)
    found = standard_errors(fit, X, "bootstrap", n_draws=60, random_state=0)
    again = standard_errors(fit, X, "bootstrap", n_draws=60, random_state=0, n_jobs=3)
    np.testing.assert_array_equal(found.covariances, again.covariances)
    assert found.n_draws == 60 and found.covariances.shape == fit.covariances_.shape
    near = standard_errors(fit if name != "VEV" else fitted("full"), X)
    for part, rtol in {"weights": 0.4, "means": 0.4, "covariances": 0.5}.items():
        if part != "covariances" or name != "VEV":
            np.testing.assert_allclose(getattr(found, part), getattr(near, part), rtol=rtol)
    assert (found.covariances > 0).all()


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (lambda: (fitted("full"), X, "jackknife"), ValueError, "method must be one of louis, bootstrap"),
        (lambda: (fitted("full"), X[:, :1]), ValueError, "1 features"),
        (lambda: (fitted("full"), X[:3]), ValueError, "not at a maximum"),
        (lambda: (PoissonMixture(), X), ValueError, "not fitted"),
        (lambda: (PPCA(), X), TypeError, "expects a fitted mixture. Got PPCA"),
        (lambda: (MixtureOfRegressions(), X), TypeError, r"call its method standard_errors\(X, y\)"),
        (lambda: (GaussianMixture(), X), ValueError, "not fitted"),
    ],
)
def test_bad_input(arguments, error, message):
    with pytest.raises(error, match=message):
        standard_errors(*arguments())


def test_the_bootstrap_needs_rows_in_memory():
    with pytest.raises(ValueError, match="must be in memory"):
        standard_errors(fitted("full"), lambda: iter([X]), "bootstrap")
    streamed = standard_errors(fitted("full"), lambda: iter([X[:100], X[100:]]))
    np.testing.assert_allclose(streamed.means, standard_errors(fitted("full"), X).means, rtol=1e-9)


def test_the_likelihood_ratio_finds_components():
    rng = np.random.default_rng(0)
    two = rng.normal(size=(60, 1)) + np.repeat([[0.0], [6]], 30, axis=0)
    null = GaussianMixture(1, covariance_type="E", accelerate="anderson")
    found = likelihood_ratio_test(null, two, n_draws=9, random_state=0)
    assert found.p_value == 0.1 and found.n_components == (1, 2)
    assert found.statistic > found.draws.max() and (np.diff(found.draws) >= 0).all() and (found.draws >= 0).all()
    again = likelihood_ratio_test(null, two, n_draws=9, random_state=0, n_jobs=3)
    np.testing.assert_array_equal(found.draws, again.draws)
    more = likelihood_ratio_test(null, two, n_components=(2, 3), n_draws=4, random_state=0)
    assert more.statistic < found.statistic / 4 and more.p_value > 0.2


def test_the_statistic_is_twice_what_the_larger_mixture_gains(monkeypatch):
    monkeypatch.setattr("fastem.inference.model_search.DEFAULTS", {"tol": 1e-4, "max_iter": 20})
    rows = np.random.default_rng(0).poisson(np.repeat([3, 30], 20))[:, None]
    one, two = (PoissonMixture(K, random_state=0).fit(rows).log_likelihood_ for K in (1, 2))
    test = likelihood_ratio_test(PoissonMixture(1, tol=1e-4, max_iter=20), rows, n_draws=1, random_state=0)
    assert test.statistic == pytest.approx(2 * (two - one), rel=1e-3)


def test_draws_that_are_as_large_count_in_the_p_value(monkeypatch):
    monkeypatch.setattr(likelihood_ratio, "ratio", lambda *fits: 3.0)
    rows = np.random.default_rng(0).poisson(5, (30, 1))
    assert likelihood_ratio_test(PoissonMixture(1), rows, n_draws=2, random_state=0).p_value == 1


def test_what_rounding_alone_gains_is_no_statistic():
    """Counts that vary less than a Poisson's have their maximum at equal components, whatever their number."""
    rows = np.random.default_rng(3).binomial(10, 0.4, (300, 1))
    test = likelihood_ratio_test(PoissonMixture(1), rows, n_draws=1, random_state=0)
    assert (test.statistic, test.p_value) == (0, 1)
    least = [likelihood_ratio.Fit(None, value) for value in (-500.0, -499.999)]
    assert likelihood_ratio.ratio(*least, 300) == pytest.approx(0.002)  # what is more than that counts


def test_p_values_spread_under_the_null():
    """Of samples from one component; the rank of a statistic among its draws is any."""
    rng = np.random.default_rng(1)
    null = GaussianMixture(1, covariance_type="E", accelerate="anderson")
    p = [likelihood_ratio_test(null, rng.normal(size=(30, 1)), n_draws=4, random_state=i).p_value for i in range(6)]
    assert 0.25 < np.mean(p) < 0.95 and len(set(p)) > 2


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"n_components": (2, 2)}, ValueError, "two whole numbers of at least 1, the smaller first"),
        ({"n_components": (0, 1)}, ValueError, "two whole numbers of at least 1, the smaller first"),
        ({"n_draws": 0}, ValueError, "n_draws must be"),
        ({"estimator": PPCA()}, TypeError, "expects a mixture. Got PPCA"),
        ({"estimator": MixtureOfRegressions()}, TypeError, r"Got MixtureOfRegressions.*compare bic\(X, y\)"),
        ({"X": X[:4]}, ValueError, "components cannot be fitted soundly"),
    ],
)
def test_bad_tests(arguments, error, message):
    with pytest.raises(error, match=message):
        likelihood_ratio_test(**{"estimator": GaussianMixture(1), "X": X} | arguments)


@pytest.mark.parametrize(
    "parameters",
    [
        {"noise": "box"},
        {"truncation": ([1.5, 40.0], [np.inf, np.inf])},
        {"truncate": 1},
        {"fixed": {"means": True}, "means_init": X[:1]},
        {"fixed": {"weights": True}, "weights_init": [1.0]},
    ],
    ids=str,
)
def test_what_the_test_does_not_know_is_refused_by_name(parameters):
    """As select does: a truncated mixture was tested as one of all rows."""
    name = next(iter(parameters))
    for kind in (
        (GaussianMixture, PoissonMixture) if name == "fixed" and "weights_init" in parameters else [GaussianMixture]
    ):
        with pytest.raises(TypeError, match=rf"^likelihood_ratio_test\(\) takes no {name}: leave it out\. .*{name}="):
            likelihood_ratio_test(kind(1, **parameters), X, n_draws=1)


@pytest.mark.parametrize(
    "test",
    [
        lambda value: likelihood_ratio_test(GaussianMixture(2, weight_concentration_prior=value), X, n_draws=1),
        lambda value: likelihood_ratio_test(PoissonMixture(2, weight_concentration_prior=value), X, n_draws=1),
        lambda value: likelihood_ratio_test(StudentTMixture(2, degrees_of_freedom=value), X, n_draws=1),
        lambda value: select(X, [2], weight_concentration_prior=value),
    ],
)
def test_values_of_each_component_are_refused_by_name(test):
    """They were refused as if there were one component, or three."""
    for value in ([2.0, 2.0], np.array([2.0])):
        with pytest.raises(ValueError, match=r"takes one \w+ for all components, .* pass a number\. Got "):
            test(value)


@pytest.mark.parametrize("make", [GaussianMixture, PoissonMixture], ids=["searched", "refitted"])
def test_weights_count_rows_in_the_draws_too(make, monkeypatch):
    """A weight of 3 is three rows: the same statistic, and draws of as many rows."""
    rng = np.random.default_rng(0)
    rows, weight = rng.poisson(6, (80, 1)).astype(float), rng.integers(0, 4, 80)
    sizes = set()
    sample = Mixture.sample
    monkeypatch.setattr(Mixture, "sample", lambda self, n, rng: sizes.add(n) or sample(self, n, rng))
    asked = {"n_draws": 3, "random_state": 0}
    weighted = likelihood_ratio_test(make(1), open_rows(rows, sample_weight=weight), **asked)
    repeated = likelihood_ratio_test(make(1), np.repeat(rows, weight, axis=0), **asked)
    assert sizes == {weight.sum()}
    assert weighted.statistic == pytest.approx(repeated.statistic, rel=0.05, abs=1e-3)
    np.testing.assert_allclose(weighted.draws, repeated.draws, rtol=1e-6, atol=1e-8)


def test_missing_values_of_weighted_rows_are_drawn_as_often_as_they_count(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(40, 2))
    rows[:10, 0] = np.nan
    weight, drawn = np.repeat([3, 1], [10, 30]), []
    search = likelihood_ratio.ModelSearch
    monkeypatch.setattr(likelihood_ratio, "ModelSearch", lambda X, *rest: drawn.append(X) or search(X, *rest))
    likelihood_ratio_test(GaussianMixture(1), open_rows(rows, sample_weight=weight), n_draws=2, random_state=0)
    assert [(blocks.n_rows, np.isnan(blocks.X).sum()) for blocks in drawn[1:]] == [(60, 30)] * 2


def test_which_values_of_draws_are_missing_does_not_depend_on_their_component(short, monkeypatch):
    """Draws come component by component: the missing values of the first rows would all be of one."""
    rows = np.random.default_rng(0).normal(size=(60, 2)) + 20 * np.repeat([[0], [1]], 30, axis=0)
    rows[:20, 0] = np.nan
    drawn, search = [], likelihood_ratio.ModelSearch
    monkeypatch.setattr(likelihood_ratio, "ModelSearch", lambda X, *rest: drawn.append(X) or search(X, *rest))
    likelihood_ratio_test(GaussianMixture(2), rows, n_draws=2, random_state=0)
    for blocks in drawn[1:]:
        assert 3 < (blocks.X[np.isnan(blocks.X[:, 0]), 1] > 10).sum() < 17


@pytest.mark.parametrize("make", [GaussianMixture, PoissonMixture])
def test_weights_that_count_no_rows_cannot_be_drawn(make):
    weight = np.full(len(X), 0.5)
    with pytest.raises(ValueError, match=r"sample_weight must be whole numbers.* but row 0 has 0.5"):
        likelihood_ratio_test(make(1), open_rows(X, sample_weight=weight), n_draws=1)


# ---- every mixture ---------------------------------------------------------------------------------------------------


@pytest.fixture
def short(monkeypatch):
    """Fits of few iterations."""
    monkeypatch.setattr("fastem.inference.model_search.DEFAULTS", {"tol": 1e-3, "max_iter": 5})
    shorten(monkeypatch)


@pytest.mark.parametrize("family", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_every_mixture_is_tested(family, short):
    rows = family.data(60)
    estimator = family.make(1, max_iter=5, tol=1e-3)
    test = likelihood_ratio_test(estimator, rows, n_draws=1, random_state=0)
    again = likelihood_ratio_test(estimator, rows, n_draws=1, random_state=0, n_jobs=1)
    assert np.array_equal(test.draws, again.draws) and len(test.draws) + test.n_failed == 1
    assert (test.statistic, test.p_value) == (again.statistic, again.p_value) and test.n_components == (1, 2)
    one, two = (family.make(K, random_state=0, max_iter=5).fit(rows).log_likelihood_ for K in (1, 2))
    assert test.statistic > (two - one) > 0


def test_a_test_of_counts_finds_the_number_of_groups(monkeypatch):
    monkeypatch.setattr("fastem.inference.model_search.DEFAULTS", {"tol": 1e-4, "max_iter": 50})
    rng = np.random.default_rng(0)
    rows = rng.poisson(np.where(rng.random(100) < 0.5, 3, 15))[:, None]
    asked = {"n_draws": 9, "random_state": 0}
    assert likelihood_ratio_test(PoissonMixture(1, tol=1e-4, max_iter=50), rows, **asked).p_value == 0.1
    assert likelihood_ratio_test(PoissonMixture(2, tol=1e-4, max_iter=50), rows, **asked).p_value > 0.1


@pytest.mark.filterwarnings("ignore")
def test_columns_have_their_names_in_fits_and_draws(short):
    """By which kinds are named; as numbers they give the same test."""
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame({"a": rng.normal(size=60), "b": rng.poisson(4, 60)})
    by_name, by_place = (
        likelihood_ratio_test(MixedMixture(1, kinds={"gaussian": a, "poisson": b}), rows, n_draws=2, random_state=0)
        for a, b, rows in [(["a"], ["b"], frame), ([0], [1], frame.to_numpy())]
    )
    assert by_name.statistic == by_place.statistic and np.array_equal(by_name.draws, by_place.draws)


@pytest.mark.parametrize("family", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_every_mixture_has_a_bootstrap(family, short):
    rows = family.data(60)
    fit = family.make(2, random_state=0, tol=1e-3, max_iter=5).fit(rows)
    found = standard_errors(fit, rows, "bootstrap", n_draws=3, random_state=0)
    again = standard_errors(fit, rows, "bootstrap", n_draws=3, random_state=0, n_jobs=1)
    assert found.weights.shape == (2,) and found.parameters.keys()
    for name, errors in found.parameters.items():
        assert errors.shape == getattr(fit, name).shape and np.isfinite(errors).all()
        assert np.array_equal(errors, again.parameters[name])


def test_the_bootstrap_of_one_rate_is_its_standard_error():
    rows = np.random.default_rng(0).poisson(4, (200, 1))
    fit = PoissonMixture(1).fit(rows)
    found = standard_errors(fit, rows, "bootstrap", n_draws=400, random_state=0)
    assert np.isclose(found.parameters["rates_"][0, 0], rows.std() / np.sqrt(200), rtol=0.1)
    assert found.means is None and found.covariances is None


@pytest.mark.parametrize("n_jobs", [0, -1, 1.5, True, "a"])
def test_no_number_of_threads(n_jobs):
    fit = GaussianMixture(2, random_state=0).fit(X)
    for ask in (
        lambda: standard_errors(fit, X, "bootstrap", n_jobs=n_jobs),
        lambda: likelihood_ratio_test(fit, X, n_jobs=n_jobs),
    ):
        with pytest.raises(ValueError, match="n_jobs must be an int of at least 1, or None"):
            ask()


@pytest.mark.parametrize("count", [3, 400])
def test_the_bootstrap_draws_as_many_rows_as_weights_count(count):
    """As the observed information has it, and rows that stand there so often."""
    rows = np.random.default_rng(0).poisson(4, (200, 1))
    weight = count * np.random.default_rng(1).integers(0, 3, 200)
    fit = PoissonMixture(1).fit(rows, sample_weight=weight)
    found = standard_errors(fit, rows, "bootstrap", sample_weight=weight, n_draws=400, random_state=0)
    deviation = np.sqrt(np.cov(rows[:, 0], aweights=weight, bias=True))
    assert np.isclose(found.parameters["rates_"][0, 0], deviation / np.sqrt(weight.sum()), rtol=0.1)


def test_the_bootstrap_of_weights_is_near_the_observed_information():
    weight = np.full(len(X), 400.0)
    fit = fitted("full", tol=1e-9).fit(X, sample_weight=weight)
    found = standard_errors(fit, X, "bootstrap", sample_weight=weight, n_draws=60, random_state=0)
    near = standard_errors(fit, X, sample_weight=weight)
    np.testing.assert_allclose(found.weights, near.weights, rtol=0.4)
    np.testing.assert_allclose(found.means, near.means, rtol=0.4)


@pytest.mark.parametrize("scale", [1e-60, 1e-4, 1e60])
def test_weights_that_count_no_rows_have_no_bootstrap(scale):
    weight = np.full(len(X), scale)
    fit = fitted("full", tol=1e-3).fit(X, sample_weight=weight)
    with pytest.raises(ValueError, match=r"sample_weight sums to .*, but method='bootstrap' draws as many rows"):
        standard_errors(fit, X, "bootstrap", sample_weight=weight, n_draws=2)


@pytest.mark.parametrize("wrong", [3, 0, (1, 2, 3), (3, 2), "ab", (1, 2.5)])
def test_the_numbers_of_components_are_two(wrong):
    with pytest.raises(ValueError, match=r"n_components must be two whole numbers .* those of the null hypothesis and"):
        likelihood_ratio_test(GaussianMixture(1), np.ones((9, 2)), n_components=wrong)
