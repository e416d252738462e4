"""Student-t mixtures: what they have beyond the laws of test_models.py."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from instances import STRUCTURES, blobs, uneven_clusters
from scipy.stats import f, kstest

from fastem import DegenerateComponentWarning, GaussianMixture, RoundingWarning, StudentTMixture, em
from fastem.errors import CollapsedComponent, StatisticsNotFinite
from fastem.models.gaussian.diagonal import Spherical
from fastem.models.gaussian.student_t import MOST_DEGREES, StudentT
from fastem.models.mixture import Mixture
from fastem.models.rounding import Pass

TYPES = [structure.name for structure in STRUCTURES]
every_type = pytest.mark.parametrize("covariance_type", TYPES)
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization did not converge")


def tailed(seed, n=600):
    rng = np.random.default_rng(seed)
    u = rng.gamma(1.5, 1 / 1.5, (n, 1))
    return rng.normal(size=(n, 2)) / np.sqrt(u) + 6 * rng.integers(0, 2, (n, 1))


@every_type
def test_without_tails_it_is_the_gaussian_mixture(covariance_type):
    X = blobs(0, 500, 3, 2, 3.0)
    fit = {"covariance_type": covariance_type, "init_params": np.arange(500) % 2, "tol": 1e-9, "accelerate": None}
    t = StudentTMixture(2, degrees_of_freedom=1e8, **fit).fit(X)
    gaussian = GaussianMixture(2, **fit).fit(X)
    np.testing.assert_allclose(t.model_.parameters()[:-2], gaussian.model_.parameters(), rtol=1e-6, atol=1e-6)
    assert t.lower_bound_ == pytest.approx(gaussian.lower_bound_, rel=1e-6)
    assert t.n_parameters_ == gaussian.n_parameters_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degrees_of_freedom_of_a_gaussian_are_the_most_that_may_be_given(dtype):
    """The bound on rounding has nu log nu as a factor; of 1e200 it overflowed, with false warnings."""
    X = blobs(0, 100, 3, 2, 6.0).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        t = StudentTMixture(2, degrees_of_freedom=1e10, random_state=0).fit(X)
        for nu in (2e10, [4.0, 1e200], np.inf):
            with pytest.raises(ValueError, match=r"at most 1e\+10, which .* For Gaussians"):
                StudentTMixture(2, degrees_of_freedom=nu).fit(X)
    assert t.log_likelihood_ == pytest.approx(GaussianMixture(2, random_state=0).fit(X).log_likelihood_, abs=1e-3)


@every_type
@pytest.mark.parametrize("degrees_of_freedom", [None, 4.0])
@pytest.mark.parametrize("duplicated", [False, True], ids=["sound", "at the floor"])
def test_both_half_steps_climb(covariance_type, degrees_of_freedom, duplicated):
    """Also where the floor holds a scale matrix, or one is shared: the expansion must not be overdone there."""
    X = tailed(1)
    X = np.column_stack([X, X[:, 0]]) if duplicated else X
    fit = {"covariance_type": covariance_type, "degrees_of_freedom": degrees_of_freedom, "tol": 0, "max_iter": 40}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        t = StudentTMixture(3, random_state=0, init_params="random", **fit).fit(X)
    rounding = 1e-7 if duplicated else 1e-11
    assert min(step.m_gain for step in t.steps_ if not step.accelerated) > -rounding
    assert min(step.e_gain for step in t.steps_) > -rounding


@every_type
def test_the_bound_lies_below_the_expected_log_density(covariance_type):
    X = tailed(2)
    given = StudentTMixture(2, covariance_type=covariance_type, random_state=0, max_iter=3).fit(X).model_
    statistics = given.e_step(X)
    rng = np.random.default_rng(0)
    for _ in range(20):
        at = given.from_vector(given.to_vector() + 0.3 * rng.normal(size=len(given.to_vector())))
        exact = (given.posterior(X) * at.log_joint(X)).sum()
        assert given.expected_log_joint(statistics, at) < exact


@pytest.mark.parametrize("far", [1e2, 1e4, 1e6])
def test_outliers_do_not_matter(far):
    rng = np.random.default_rng(0)
    groups = np.vstack([rng.normal(size=(300, 2)), 6 + rng.normal(size=(300, 2))])
    X = np.vstack([groups, rng.uniform(-far, far, (20, 2))])
    t = StudentTMixture(2, random_state=0, tol=1e-5, max_iter=500).fit(X)
    order = t.means_[:, 0].argsort()
    assert np.abs(t.means_[order] - [[0, 0], [6, 6]]).max() < 0.5
    assert (t.predict(groups) == np.repeat(order, 300)).mean() > 0.99


def test_rows_too_far_for_float32_ask_for_float64():
    """Their squared distance overflows, so that u is 0."""
    X = np.random.default_rng(0).normal(size=(200, 1)).astype(np.float32)
    X[0] = 1e18
    with pytest.warns(RoundingWarning, match="Pass float64"):
        StudentTMixture(2, random_state=0).fit(X)
    with pytest.raises(StatisticsNotFinite, match="pass float64"):
        StudentTMixture(2, init_params="kmeans", random_state=0).fit(X)
    t = StudentTMixture(2, random_state=0).fit(X.astype(np.float64))
    assert np.isfinite(t.score_samples(X.astype(np.float64))).all()


def test_degrees_of_freedom_are_found():
    rng = np.random.default_rng(0)
    X = rng.standard_t(3, size=(20_000, 1))
    t = StudentTMixture(1, tol=1e-9, max_iter=500).fit(X)
    assert t.degrees_of_freedom_ == pytest.approx(3, rel=0.1)
    assert t.component_status_ == ["ok"]


@pytest.mark.parametrize("nu, d", [(0.6, 1), (1.5, 1), (3.0, 2), (8.0, 3)])
def test_tails_are_found_by_the_default_fit(nu, d):
    """Its few iterations are enough, because it starts with the tails that the rows show."""
    rng = np.random.default_rng(7)
    X = 3 + 5 * rng.normal(size=(30_000, d)) / np.sqrt(rng.gamma(nu / 2, 2 / nu, (30_000, 1)))
    t = StudentTMixture(1, random_state=0).fit(X)
    most = StudentTMixture(1, random_state=0, tol=1e-12, max_iter=1000).fit(X)
    assert t.degrees_of_freedom_ == pytest.approx(most.degrees_of_freedom_, rel=0.1)
    assert most.log_likelihood_ - t.log_likelihood_ < 10


@pytest.mark.parametrize("covariance_type", ["VEE", "tied", "diag", "spherical"])
def test_a_start_has_the_tails_and_the_structure(covariance_type):
    start = StudentTMixture(2, covariance_type=covariance_type, random_state=0, max_iter=0).fit(tailed(0, 3000))
    np.testing.assert_allclose(start.degrees_of_freedom_, 3, rtol=0.3)
    covariance = start.model_.emission.covariance
    if covariance_type == "VEE":
        shapes = covariance.covariances / np.linalg.det(covariance.covariances)[:, None, None] ** 0.5
        np.testing.assert_allclose(shapes[0], shapes[1], rtol=1e-6)


def test_given_means_stay_the_start():
    means = np.array([[0.0, 0.5], [5.0, 6.5]])
    start = StudentTMixture(2, means_init=means, random_state=0, max_iter=0).fit(tailed(0))
    np.testing.assert_array_equal(start.means_, means)


def test_equal_rows_have_no_tails():
    """All distances of a component's rows are 0."""
    X = np.repeat([[0.0], [5.0], [5.5], [7.0]], [100, 5, 5, 5], axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        t = StudentTMixture(2, init_params=np.repeat([0, 1], [100, 15]), max_iter=0).fit(X)
    assert np.isfinite(t.log_likelihood_)


@pytest.mark.parametrize("seed", range(3))
def test_degrees_of_freedom_run_off_in_few_steps(seed):
    X = np.random.default_rng(seed).uniform(size=(500, 2))
    t = StudentTMixture(1, tol=1e-9, max_iter=60).fit(X)
    assert t.converged_ and t.degrees_of_freedom_[0] == 1e6
    assert "do not distinguish it from a Gaussian" in t.component_status_[0]
    assert (np.diff(t.history_) > -1e-12).all()


def test_degrees_of_freedom_beyond_100_are_found():
    """Leaps that go too far are dropped."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(50_000, 4)) / np.sqrt(rng.gamma(100, 1 / 100, (50_000, 1)))
    fit = {"tol": 1e-9, "max_iter": 300, "random_state": 0}
    t, other = (StudentTMixture(1, accelerate=name, **fit).fit(X) for name in (None, "anderson"))
    assert 110 < t.degrees_of_freedom_[0] < 400
    assert t.log_likelihood_ == pytest.approx(other.log_likelihood_, abs=0.2)


def test_degrees_of_freedom_that_run_off_are_told():
    X = np.random.default_rng(0).uniform(size=(500, 2))  # no tails at all
    with pytest.warns(DegenerateComponentWarning, match="component 0: degrees of freedom rose to .*Gaussian"):
        t = StudentTMixture(1, tol=1e-12, max_iter=2000, accelerate="anderson").fit(X)
    assert 100 < t.degrees_of_freedom_[0] <= 1e6
    assert t.lower_bound_ <= GaussianMixture(1).fit(X).lower_bound_ + 1e-9


def test_given_degrees_of_freedom_are_kept():
    t = StudentTMixture(2, degrees_of_freedom=[3, 50], random_state=0).fit(tailed(3))
    assert t.degrees_of_freedom_.tolist() == [3, 50]
    free = StudentTMixture(2, random_state=0).fit(tailed(3))
    assert free.n_parameters_ == t.n_parameters_ + 2


@pytest.mark.parametrize("wrong", [0, -1.0, np.inf, np.nan, "many", [1.0, 2.0, 3.0], True])
def test_degrees_of_freedom_that_are_none(wrong):
    with pytest.raises(ValueError, match="degrees_of_freedom must be a finite number above 0"):
        StudentTMixture(2, degrees_of_freedom=wrong).fit(tailed(4))


@every_type
def test_where_it_arrives_is_a_maximum(covariance_type):
    X = tailed(6)
    fit = {"covariance_type": covariance_type, "degrees_of_freedom": [1.0, 100.0], "tol": 0, "max_iter": 500}
    model = StudentTMixture(2, init_params=(X[:, 0] > 3).astype(int), **fit).fit(X).model_
    best, vector = model.e_step(X).log_likelihood, model.to_vector()
    for step in 1e-3 * np.vstack([np.eye(len(vector)), -np.eye(len(vector))]):
        assert model.from_vector(vector + step).e_step(X).log_likelihood < best


@pytest.mark.parametrize("heavy", [0, 1])
def test_rows_beyond_all_bounds(heavy):
    """Where squares overflow, the component with the heavier tail has them."""
    gaussian = GaussianMixture(2, init_params=np.arange(600) % 2, max_iter=0).fit(tailed(5)).model_
    tails = [2.0, 30.0] if heavy == 0 else [30.0, 2.0]
    model = Mixture(gaussian.weights, StudentT.of_gaussian(gaussian.emission, tails, True))
    far = np.array([[1e200, 0.0], [-1e180, 1e180]])
    labels = np.empty(2, np.intp)
    model.score(far, labels=labels)
    assert labels.tolist() == [heavy, heavy]


@every_type
def test_the_log_density_of_rows_beyond_all_bounds(covariance_type):
    """It falls by (nu + d) log 10 with each decade, as before squares overflow; and the shares stay what they are."""
    model = StudentTMixture(2, covariance_type=covariance_type, degrees_of_freedom=3.0, random_state=0).fit(tailed(5))
    before, after = 1e150 * np.array([[1.0, -2.0], [3.0, 0.5]]), 1e160 * np.array([[1.0, -2.0], [3.0, 0.5]])
    fallen = model.score_samples(before) - model.score_samples(after)
    assert fallen == pytest.approx(10 * (3 + 2) * np.log(10), rel=1e-12)
    assert model.score(after) == pytest.approx(model.score_samples(after).mean(), rel=1e-12)
    np.testing.assert_allclose(model.predict_proba(after), model.predict_proba(before), rtol=1e-9)
    np.testing.assert_array_equal(model.predict(after), model.predict_proba(after).argmax(axis=1))


@every_type
def test_weights_count_as_repeats_from_the_start_on(covariance_type):
    """With one component the start is no draw. Rows that weigh nothing lie far out, and would widen it."""
    rng = np.random.default_rng(0)
    X, times = rng.standard_t(1.5, size=(300, 2)), rng.integers(0, 4, 300)
    X[times == 0] *= 100
    for max_iter in (0, 3):
        one, other = (StudentTMixture(1, covariance_type=covariance_type, max_iter=max_iter) for _ in range(2))
        one.fit(X, sample_weight=times)
        other.fit(np.repeat(X, times, axis=0))
        np.testing.assert_allclose(one.model_.parameters(), other.model_.parameters(), rtol=1e-9, atol=1e-9)


def test_a_start_follows_the_weight():
    """Most rows lie elsewhere and weigh next to nothing: the start is at the others."""
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(300, 2)), 50 + 0.01 * rng.normal(size=(900, 2))])
    weight = np.repeat([1.0, 1e-9], [300, 900])
    start = StudentTMixture(1, max_iter=0).fit(X, sample_weight=weight)
    assert np.abs(start.means_).max() < 0.3 and np.abs(start.covariances_ - np.eye(2)).max() < 0.3


def test_constant_rows_without_a_floor_are_refused_in_words():
    """Of float32, whose range a factor would leave: no RuntimeWarning of numpy's says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(ValueError, match="ill-defined empirical covariance"):
            StudentTMixture(1, covariance_type="VEV", reg_covar=0.0).fit(np.full((150, 6), 2.5, np.float32))


def test_a_stretched_step_that_the_floor_holds_is_not_taken():
    """Where a scale is at its floor, a step with expanded parameters may go down: by 1e-9, among others."""
    X = [
        [-0.598, -0.202, -0.365, 0.232, -0.509, 0.82],
        [8.14, 6.81, 7.254, 7.198, 6.405, 7.507],
        [3.145, 3.588, 3.035, 4.51, 4.868, 5.5],
        [3.486, 4.855, 3.327, 3.169, 2.337, 5.21],
        [-1.298, 0.298, -0.26, 0.576, -1.899, -1.498],
        [4.681, 2.023, 4.197, 3.001, 2.399, 3.919],
        [4.978, 5.334, 5.724, 3.18, 5.34, 3.484],
        [10.383, 8.412, 7.414, 7.647, 8.299, 8.813],
    ]
    model = StudentTMixture(5, covariance_type="spherical", reg_covar=1e-12, random_state=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateComponentWarning)
        model.fit(X)
    assert model.converged_ and (np.diff(model.history_) > 0).all()


@pytest.mark.filterwarnings("ignore::fastem.errors.DegenerateComponentWarning")
@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_degrees_of_freedom_of_a_scale_at_the_floor_are_the_most_likely_ones(covariance_type):
    """The step with expanded parameters stays where the floor holds it, by what the floor has taken of the scale."""
    X = np.array([[0.93, 1.37], [0.78, -0.62], [-0.2, -0.51], [0.054, -0.86], [0.054, -0.86]])
    given = {"covariance_type": covariance_type}
    model = StudentTMixture(1, random_state=2, **given).fit(X)
    assert model.component_status_[0].startswith("at the floor")
    found = [
        StudentTMixture.from_parameters(model.weights_, model.means_, model.covariances_, [nu], **given).score(X)
        for nu in np.geomspace(0.05, 5, 200)
    ]
    assert len(X) * (max(found) - model.score(X)) < 1e-2


TIED = np.concatenate([np.zeros(60), np.linspace(-1, 11, 40)])
ON_A_LINE = np.column_stack(
    [np.linspace(-2, 2, 100), np.linspace(-2, 2, 100) + np.where(TIED == 0, 0, np.sin(9 * TIED))]
)
ALIKE = np.repeat(np.tan(np.linspace(-1.5, 1.5, 100))[:, None], 2, axis=1)  # two equal columns with long tails


@pytest.mark.parametrize(
    "make", [partial(StudentTMixture, degrees_of_freedom=0.3), partial(GaussianMixture, noise="box")]
)
@pytest.mark.parametrize("X", [TIED[:, None], ON_A_LINE], ids=["a value", "a line"])
def test_rows_that_tails_or_noise_describe_vary(make, X):
    """The covariances of such a mixture say nothing of these rows: a collapse onto the others passed as sound."""
    with pytest.warns(DegenerateComponentWarning):
        model = make(1).fit(X)
    assert model.component_status_[0] == "at the floor: its variance is held at reg_covar times the data's"
    with pytest.raises(CollapsedComponent):
        make(1, on_collapse="raise").fit(X)


@pytest.mark.filterwarnings("ignore::fastem.errors.DegenerateComponentWarning")
def test_equal_columns_with_long_tails_are_no_collapse():
    model = StudentTMixture(1, on_collapse="raise").fit(ALIKE, sample_weight=np.full(100, 0.5))
    assert model.component_status_[0].startswith("at the floor in 1 direction(s) in which the data do not vary")


def test_a_component_whose_rows_are_all_too_far_away_stays():
    """In float32 the u of a row at 1e19 are 0: nothing is divided by them, and the estimator says what it needs."""
    X = np.float32(
        [
            [5.019373, 3.2705, 2.5911078, 5.3384986],
            [6.870086, 7.967722, 9.99999998e18, 7.948094],
            [2.3167722, 4.4374847, 6.922422, 4.003076],
            [3.0323854, 5.1386528, 4.4115577, 5.4360127],
            [-1.7441814, 0.5105934, -1.2626468, -1.1508608],
        ]
    )
    model = StudentTMixture(3, covariance_type="VII", init_params="whitened", random_state=0, max_iter=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.raises(StatisticsNotFinite, match="float32 does not hold"):
            model.fit(X)


def test_steps_that_are_equal_to_rounding_say_so():
    """At the floor the best of three steps is taken; near Gaussians their bounds are differences of large numbers."""
    X = np.random.default_rng(0).normal(size=(150, 2))
    fit = StudentTMixture(2, random_state=0).fit(X)
    emission = replace(fit.model_.emission, degrees_of_freedom=np.array([1e6, 1e6]))
    low = np.full(2, np.linalg.eigvalsh(fit.covariances_).min() / 1.2)
    statistics = replace(fit.model_, emission=emission).e_step(X)
    free, floored = (
        replace(emission, floor=floor).step_error(statistics, Pass(np.dtype("f8"), np.zeros(2)), 1e-15)
        for floor in (emission.floor, low)
    )
    assert 1e-9 * 150 < floored - free < 1e-6 * 150


@pytest.mark.filterwarnings("ignore::fastem.errors.DegenerateComponentWarning")
@pytest.mark.parametrize("seed", [3, 16, 40, 50, 56])
def test_steps_at_the_floor_do_not_hang_on_rounding(seed):
    """A constant column leaves its variance at the floor itself, which rounding takes for below it or not."""
    rng = np.random.default_rng(seed)
    X = 3 + 4 * rng.normal(size=(40, 1)) * [1, 0, 1] + rng.normal(size=(40, 3)) * [0.8, 0, 0.8]
    X = X.astype(np.float32)
    given = {"covariance_type": "VVE", "init_params": "k-means++", "random_state": 0, "on_collapse": "floor"}
    model = StudentTMixture(2, max_iter=1, tol=0.0, **given).fit(X).model_
    steps = [em(model, X[rng.permutation(40)], max_iter=1, tol=0).model.emission for _ in range(20)]
    first, *others = (step.covariance.variances(2, 3) for step in steps)
    for one in others:
        np.testing.assert_allclose(one, first, rtol=1e-4)


def test_coordinates_of_any_degrees_of_freedom():
    """Differences for standard errors may step beyond all numbers."""
    emission = StudentTMixture(2, random_state=0).fit(tailed(0)).model_.emission
    vector = emission.to_vector()
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        most = emission.from_vector(vector + np.where(np.arange(len(vector)) >= len(vector) - 2, 1e3, 0))
    assert (most.degrees_of_freedom == MOST_DEGREES).all()


@pytest.mark.parametrize("seed", [5, 10])
def test_clusters_of_uneven_sizes_and_heavy_tails_are_found(seed):
    """Without merging and splitting components of the best start the fits end 183 and 127 below."""
    rng = np.random.default_rng(seed)
    X, z = uneven_clusters(rng, 800, 5, 3, lambda shape: rng.standard_t(4, shape))
    known = StudentTMixture(5, init_params=z).fit(X).log_likelihood_
    assert StudentTMixture(5, random_state=0).fit(X).log_likelihood_ > known - 5


def test_a_drawn_row_has_one_scale_for_all_columns():
    """So that its squared length over the number of columns has an F distribution."""
    covariance = Spherical.from_covariances(np.ones(1), np.zeros(5))
    emission = StudentT(np.zeros((1, 5)), covariance, np.zeros(5), np.array([3.0]), False)
    drawn = emission.sample(0, 5000, np.random.default_rng(0))
    assert kstest((drawn**2).mean(axis=1), f(5, 3).cdf).pvalue > 1e-3


@pytest.mark.parametrize("third", [lambda X: X[:, 0], lambda X: X.sum(axis=1), lambda X: X @ [0.3, 0.7]])
@pytest.mark.parametrize("far", [1e7, 1e8, 1e9])
@pytest.mark.filterwarnings("ignore")
def test_a_far_row_does_not_make_a_column_twice_a_collapse(third, far):
    """It leaves rounding in the rows' covariance where they do not vary."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    X[0] = far, -far / 3
    X = np.column_stack([X, third(X)])
    for model in (StudentTMixture(1, on_collapse="raise"), GaussianMixture(1, noise=1e6, on_collapse="raise")):
        (status,) = model.fit(X).component_status_
        assert status.startswith("at the floor in 1 direction(s) in which the data do not vary")
