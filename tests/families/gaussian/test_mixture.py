"""GaussianMixture on data whose answer is known: scikit-learn's steps, published optima, laws, exact sums."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from instances import INSTANCES, STRUCTURES, blobs, start
from sklearn.mixture import GaussianMixture as ScikitLearns

from fastem import GaussianMixture
from fastem.datasets import load_faithful, load_iris

FAITHFUL, IRIS = load_faithful().data, load_iris().data
TYPES = [structure.name for structure in STRUCTURES]
BY_NAME = {instance.name: instance for instance in INSTANCES}
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


def starting_point(instance, structure):
    """The parameters that make both libraries start alike."""
    model = start(instance, structure)
    return {
        "n_components": instance.n_components,
        "covariance_type": structure.name,
        "weights_init": model.weights,
        "means_init": model.emission.means,
        "precisions_init": model.emission.covariance.precisions(),
    }


@pytest.mark.parametrize("n_iter", [1, 2, 5])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
@pytest.mark.parametrize("name", ["separated", "overlapping", "one column", "17 columns", "one component"])
def test_each_step_is_scikit_learns(name, structure, n_iter):
    instance = BY_NAME[name]
    settings = {**starting_point(instance, structure), "reg_covar": 0, "tol": 0, "max_iter": n_iter}
    ours, theirs = GaussianMixture(**settings).fit(instance.X), ScikitLearns(**settings).fit(instance.X)
    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    for attribute in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        a, b = getattr(ours, attribute), getattr(theirs, attribute)
        assert a.shape == b.shape, attribute
        assert np.allclose(a, b, rtol=1e-10, atol=1e-10 * abs(b).max()), attribute
    assert np.allclose(ours.score_samples(instance.X), theirs.score_samples(instance.X), rtol=1e-10, atol=1e-10)
    assert np.allclose(ours.predict_proba(instance.X), theirs.predict_proba(instance.X), rtol=0, atol=1e-10)
    assert np.array_equal(ours.predict(instance.X), theirs.predict(instance.X))
    assert ours.n_parameters_ == theirs._n_parameters()
    assert np.isclose(ours.bic(instance.X), theirs.bic(instance.X), rtol=1e-10, atol=0)
    assert np.isclose(ours.aic(instance.X), theirs.aic(instance.X), rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "data, covariance_type, n_components, n_parameters, log_likelihood, n_init, seeds",
    [
        ("faithful", "tied", 3, 11, -1126.31592782, 10, [0, 1]),
        ("faithful", "full", 2, 11, -1130.26396018, 10, [0, 1]),
        ("faithful", "full", 3, 17, -1114.43987290, 10, [3]),
        ("iris", "full", 2, 29, -214.35470437, 10, [0, 1]),
        ("iris", "full", 3, 44, -180.18547713, 10, [0, 1, 2, 3, 4]),
        ("iris", "tied", 3, 24, -256.35404313, 10, [0, 1]),
        ("iris", "diag", 3, 26, -306.86046051, 10, [0, 1]),
    ],
)
def test_known_optima(data, covariance_type, n_components, n_parameters, log_likelihood, n_init, seeds):
    X = {"faithful": FAITHFUL, "iris": IRIS}[data]
    for seed in seeds:
        model = GaussianMixture(
            n_components, covariance_type=covariance_type, tol=1e-9, max_iter=5000, n_init=n_init, random_state=seed
        ).fit(X)
        assert model.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-5)
        assert model.n_parameters_ == n_parameters
        assert model.converged_ and model.component_status_ == ["ok"] * n_components


@pytest.mark.parametrize("init_params, seed, likelier", [("random_from_data", 0, 6), ("k-means++", 2, 0.8)])
def test_no_random_start_of_iris_wins_by_collapsing(init_params, seed, likelier):
    """Though one of these ten restarts does collapse, to a likelihood that is higher by so much."""
    model = GaussianMixture(3, tol=1e-6, max_iter=1000, n_init=10, init_params=init_params, random_state=seed)
    assert model.fit(IRIS).log_likelihood_ < -180.18
    assert model.component_status_ == ["ok"] * 3
    collapsed = [one.log_likelihood for one in model.fit_report_.restarts if not one.sound]
    assert max(collapsed) > model.log_likelihood_ + likelier


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("power", range(-100, 101, 20))
def test_units_do_not_matter(covariance_type, power):
    fit = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0}
    one = GaussianMixture(**fit).fit(FAITHFUL)
    X = FAITHFUL * 10.0**power
    scaled = GaussianMixture(**fit).fit(X)
    assert np.array_equal(scaled.predict(X), one.predict(FAITHFUL))
    expected = one.log_likelihood_ - FAITHFUL.size * power * np.log(10)
    assert scaled.log_likelihood_ == pytest.approx(expected, rel=1e-9)
    assert scaled.component_status_ == one.component_status_ == ["ok", "ok"]


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("distance", [1e6, 1e8])
def test_the_origin_does_not_matter(covariance_type, distance):
    X = np.round(blobs(0, 400, 3, 2, 4.0) * 2**8) / 2**8  # stays exact when moved
    fit = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0, "accelerate": None}
    near, far = GaussianMixture(**fit).fit(X), GaussianMixture(**fit).fit(X + distance)
    assert far.n_iter_ == near.n_iter_
    assert far.log_likelihood_ == pytest.approx(near.log_likelihood_, rel=1e-8)
    assert np.allclose(far.means_ - distance, near.means_, rtol=0, atol=1e-15 * distance + 1e-7)
    assert np.allclose(far.covariances_, near.covariances_, rtol=1e-6, atol=1e-7)


def number_accuracy(centre):
    """NIST's univariate NumAcc3 and NumAcc4: a centre, then 500 pairs a tenth below and above it."""
    return np.array([centre] + [round(centre - 0.1, 1), round(centre + 0.1, 1)] * 500)[:, None]


@pytest.mark.parametrize("centre", [1000000.2, 10000000.2])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_one_component_on_nist_data(centre, covariance_type):
    X = number_accuracy(centre)
    exact = [Fraction(value) for value in X[:, 0]]
    mean = sum(exact) / len(exact)
    variance = sum((value - mean) ** 2 for value in exact) / len(exact)
    model = GaussianMixture(1, covariance_type=covariance_type).fit(X)
    assert model.means_[0, 0] == pytest.approx(float(mean), abs=np.spacing(centre))
    assert model.covariances_.ravel()[0] == pytest.approx(float(variance), rel=1e-14)
    assert model.means_[0, 0] == pytest.approx(centre, rel=1e-15)
    assert np.sqrt(model.covariances_.ravel()[0] * 1001 / 1000) == pytest.approx(0.1, rel=1e-7)


@pytest.mark.parametrize("X", [FAITHFUL, IRIS, BY_NAME["17 columns"].X], ids=["faithful", "iris", "17 columns"])
def test_one_component_is_the_mean_and_the_covariance(X):
    model = GaussianMixture(1).fit(X)
    exact = X.astype(np.longdouble)
    z = exact - exact.mean(axis=0)
    assert np.allclose(model.means_[0], exact.mean(axis=0).astype(float), rtol=1e-15, atol=1e-15)
    covariance = (z.T @ z / len(z)).astype(float)
    assert np.allclose(model.covariances_[0], covariance, rtol=1e-14, atol=1e-14 * covariance.max())
    assert model.weights_ == [1.0]


def assert_consistent(model, X, weight=None):
    """What is reported is the value at the returned parameters."""
    density = model.score_samples(X)
    weight = np.ones(len(X)) if weight is None else weight
    assert np.isfinite(density).all()
    assert model.log_likelihood_ == pytest.approx(weight @ density, rel=1e-12)
    assert model.lower_bound_ == pytest.approx(weight @ density / weight.sum(), rel=1e-12)
    assert model.history_[-1] == model.lower_bound_ and model.lower_bounds_ == model.history_[1:]
    assert len(model.history_) == model.n_iter_ + 1
    assert model.weights_.sum() == pytest.approx(1, abs=1e-14)
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1, rtol=0, atol=1e-14)
    for name in ("means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert np.isfinite(getattr(model, name)).all(), name


@pytest.mark.parametrize("max_iter", [0, 1, 4, 500])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_what_is_reported_belongs_to_the_parameters(covariance_type, max_iter):
    model = GaussianMixture(3, covariance_type=covariance_type, max_iter=max_iter, random_state=1)
    assert_consistent(model.fit(FAITHFUL), FAITHFUL)
    assert model.score(FAITHFUL) == pytest.approx(model.lower_bound_, rel=1e-12)
    weight = np.random.default_rng(0).uniform(0, 3, len(FAITHFUL))
    assert_consistent(model.fit(FAITHFUL, sample_weight=weight), FAITHFUL, weight)


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_whole_weights_are_repeated_rows(structure):
    instance = BY_NAME["overlapping"]
    fit = {**starting_point(instance, structure), "tol": 0, "max_iter": 10}
    weight = np.random.default_rng(0).integers(0, 4, len(instance.X))
    a = GaussianMixture(**fit).fit(instance.X, sample_weight=weight)
    b = GaussianMixture(**fit).fit(np.repeat(instance.X, weight, axis=0))
    assert_same(a, b, 1e-10)


@pytest.mark.filterwarnings("ignore:component 0")
@pytest.mark.parametrize("real", [np.float64, np.float32])
@pytest.mark.parametrize("unit", [2.0**-60, 1 / 600, 2.0**60])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_unit_of_the_weights_does_not_matter(structure, unit, real):
    instance = BY_NAME["separated"]
    fit, X = {**starting_point(instance, structure), "tol": 0, "max_iter": 5}, instance.X.astype(real)
    a = GaussianMixture(**fit).fit(X, sample_weight=np.full(len(X), unit))
    b = GaussianMixture(**fit).fit(X)
    assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=1e-6 if real == np.float32 else 1e-12)
    assert np.allclose(a.means_, b.means_, rtol=1e-5 if real == np.float32 else 1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_weights_that_sum_to_1_do_not_make_components_look_empty(covariance_type):
    fit = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit
    assert fit(FAITHFUL).component_status_ == ["ok", "ok"]
    assert fit(FAITHFUL, sample_weight=np.full(len(FAITHFUL), 1 / len(FAITHFUL))).component_status_ == ["ok", "ok"]


def assert_same(a, b, tolerance):
    assert a.log_likelihood_ == pytest.approx(b.log_likelihood_, rel=tolerance)
    for name in ("weights_", "means_", "covariances_"):
        size = abs(getattr(b, name)).max()
        assert np.allclose(getattr(a, name), getattr(b, name), rtol=tolerance, atol=tolerance * size), name


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_the_order_of_rows_columns_and_components_does_not_matter(structure):
    instance = BY_NAME["overlapping"]
    X, K = instance.X, instance.n_components
    fit = {**starting_point(instance, structure), "tol": 0, "max_iter": 10}
    model, rng = GaussianMixture(**fit).fit(X), np.random.default_rng(0)
    assert_same(GaussianMixture(**fit).fit(rng.permutation(X)), model, 1e-10)

    labels, rows, order = model.predict(X), np.arange(X.shape[1])[::-1], rng.permutation(K)
    fit = {"n_components": K, "covariance_type": structure.name, "tol": 0, "max_iter": 10}
    one = GaussianMixture(**fit, init_params=labels).fit(X)
    columns = GaussianMixture(**fit, init_params=labels).fit(X[:, rows])
    assert columns.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-10)
    assert np.allclose(columns.means_, one.means_[:, rows], rtol=1e-9, atol=1e-9)
    components = GaussianMixture(**fit, init_params=order[labels]).fit(X)
    assert components.log_likelihood_ == pytest.approx(one.log_likelihood_, rel=1e-10)
    assert np.allclose(components.means_[order], one.means_, rtol=1e-9, atol=1e-9)
    assert np.allclose(components.weights_[order], one.weights_, rtol=1e-9, atol=1e-9)


@settings(deadline=None, max_examples=30, derandomize=True)
@given(
    st.sampled_from(TYPES),
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(-40, 40), min_size=3, max_size=3),
    st.lists(st.integers(-(2**20), 2**20), min_size=3, max_size=3),
)
def test_the_fit_moves_and_stretches_with_the_data(covariance_type, seed, powers, moves):
    X = np.round(blobs(seed, 120, 3, 2, 3.0) * 2**8) / 2**8
    scale = 2.0 ** np.array(powers if covariance_type != "spherical" else powers[:1] * 3)
    shift = np.array(moves)  # both are exact
    labels = np.arange(len(X)) % 2
    fit = {"n_components": 2, "covariance_type": covariance_type, "tol": 0, "max_iter": 4, "init_params": labels}
    one, other = GaussianMixture(**fit).fit(X), GaussianMixture(**fit).fit((X + shift) * scale)
    expected = one.log_likelihood_ - len(X) * np.log(scale).sum()
    assert other.log_likelihood_ == pytest.approx(expected, rel=1e-8, abs=1e-6)
    assert np.allclose(other.means_ / scale - shift, one.means_, rtol=0, atol=1e-6)
    stretch = np.outer(scale, scale) if covariance_type in ("full", "tied") else scale**2
    stretch = scale[0] ** 2 if covariance_type == "spherical" else stretch
    assert np.allclose(other.covariances_ / stretch, one.covariances_, rtol=1e-6, atol=1e-6)
    assert np.array_equal(other.predict((X + shift) * scale), one.predict(X))


def test_one_dimension_by_hand():
    """sum of p_j exp(-(x - mu_j)^2 / 2 sigma_j^2) / sqrt(2 pi sigma_j^2), and its updates, as they are written."""
    x = load_faithful().data[:, 1]
    labels = (x > 70).astype(int)
    p = np.array([np.mean(labels == j) for j in (0, 1)])
    mu = np.array([x[labels == j].mean() for j in (0, 1)])
    variance = np.array([x[labels == j].var() for j in (0, 1)])

    def joint():
        return p * np.exp(-((x[:, None] - mu) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    history = [np.log(joint().sum(axis=1)).mean()]
    for _ in range(20):
        gamma = joint() / joint().sum(axis=1, keepdims=True)
        n = gamma.sum(axis=0)
        mu = gamma.T @ x / n
        variance = (gamma * (x[:, None] - mu) ** 2).sum(axis=0) / n
        p = n / len(x)
        history.append(np.log(joint().sum(axis=1)).mean())
    plain = {"tol": 0, "max_iter": 20, "accelerate": None}
    for covariance_type in ("full", "diag", "spherical"):
        model = GaussianMixture(2, covariance_type=covariance_type, init_params=labels, **plain).fit(x[:, None])
        np.testing.assert_allclose(model.history_, history, rtol=1e-12)
        np.testing.assert_allclose(model.weights_, p, rtol=1e-10)
        np.testing.assert_allclose(model.means_.ravel(), mu, rtol=1e-10)
        np.testing.assert_allclose(model.covariances_.ravel(), variance, rtol=1e-10)


def test_columns_of_a_marginal_are_a_list():
    model = GaussianMixture().fit(np.random.default_rng(0).normal(size=(50, 2)))
    with pytest.raises(ValueError, match=r"columns=slice\(0, 1, None\) is not a list of names or numbers of columns"):
        model.marginal(slice(0, 1))
