"""How exact a log-likelihood is said to be, against ball arithmetic: the exact value is inside, and the bound is not
far from the true error. It adds absolute values and does not know how errors cancel: 1000 times is near in the median.
"""

import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from instances import INSTANCES, STRUCTURES, start
from models import MODELS

import fastem
from fastem import em
from fastem.models.exponential_family import sizes_of_logs
from fastem.models.gaussian.dense import Full, Tied
from fastem.models.gaussian.diagonal import Diagonal
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.factor_models import FactorModel
from fastem.models.gaussian.rounding import of_estimate, of_gaussians
from fastem.models.mixture import Mixture
from fastem.models.rounding import Pass

MOST = 1000
REALS = ["float64", "float32"]
SAID = ("ConvergenceWarning", "DegenerateComponentWarning")
pytestmark = pytest.mark.filterwarnings(*(f"ignore::fastem.{name}" for name in SAID))


@pytest.fixture(scope="module")
def ball():
    return pytest.importorskip("ball_reference")


def of_fit(estimator):
    """The result of an estimator's fit, as of :func:`fastem.em`."""
    return SimpleNamespace(
        model=estimator.model_,
        log_likelihood=estimator.log_likelihood_,
        log_likelihood_error=estimator.log_likelihood_error_,
    )


def ratio(ball, result, X, sample_weight=None, name=""):
    """The bound over the true error, which half of the last place is at least; and that the exact value is inside."""
    exact = ball.log_likelihood(result.model, X, sample_weight)
    error = float(abs(ball.arb(result.log_likelihood) - exact).mid())
    assert float(exact.rad()) < 1e-30 * (1 + abs(result.log_likelihood)), name
    bound = result.log_likelihood_error
    assert error <= bound, f"{name}: {result.log_likelihood!r} is off by {error:.3g}, more than {bound:.3g}"
    return bound / max(error, np.spacing(abs(result.log_likelihood)) / 2)


def assert_tight(ratios):
    assert np.median(ratios) <= MOST, sorted(ratios)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_hard_instances(ball, structure, real):
    """At the start and after some steps; what float32 cannot hold is left out. Of some rows: balls take their time."""
    ratios = []
    for instance in INSTANCES:
        X = instance.X[:: 1 + len(instance.X) // 200].astype(real)
        if real == "float32" and instance.name.startswith("moved by 1e8"):
            continue
        for max_iter in (0, 20):
            result = em(start(instance, structure), X, max_iter=max_iter, tol=0)
            ratios.append(ratio(ball, result, X, name=f"{instance}, {max_iter} iterations"))
    assert_tight(ratios)


def narrow(d, condition, real, offset=0.0, n=200):
    """Rows of two clusters of a covariance with this condition, in random directions."""
    rng = np.random.default_rng([d, 7])
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0] * np.sqrt(np.geomspace(1 / condition, 1, d))
    return (rng.normal(size=(n, d)) @ axes.T + 3 * rng.integers(2, size=(n, 1)) + offset).astype(real)


@pytest.mark.parametrize("real", REALS)
def test_ill_conditioned_covariances(ball, real):
    """Up to 1e9, whether a floor holds them or not; fits that end where rounding ends them as well."""
    ratios = []
    for condition in (1e3, 1e9):
        for d in (2, 5):
            X = narrow(d, condition, real)
            for structure in ("full", "tied", "VEV", "EVE", "VVI", "spherical"):
                for reg_covar in (1e-12 if real == "float32" else 0.0, 1e-6):
                    fit = fastem.GaussianMixture(
                        2, covariance_type=structure, reg_covar=reg_covar, random_state=0, max_iter=30
                    ).fit(X)
                    ratios.append(ratio(ball, of_fit(fit), X, name=f"{structure}, {condition:g}, {reg_covar}"))
            for make in (fastem.StudentTMixture, fastem.MixtureOfFactorAnalyzers):
                fit = make(2, random_state=0, max_iter=30).fit(X)
                ratios.append(ratio(ball, of_fit(fit), X, name=f"{make.__name__}, {condition:g}"))
    assert_tight(ratios)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("family", MODELS, ids=str)
def test_every_family(ball, family, real):
    ratios = []
    for n in (200, 199, 198):  # one log-likelihood alone may be right by luck
        X = family.data(n).astype(real)
        ratios.append(ratio(ball, of_fit(family.make(2, random_state=0).fit(X)), X))
    assert np.median(ratios) < 30 * MOST, ratios


def test_terms_that_nearly_cancel(ball):
    """Large shapes, concentrations, counts and degrees of freedom; probabilities at their bounds."""
    rng = np.random.default_rng(0)
    gamma = rng.gamma(1e5, 1e-3, (200, 2))
    directions = np.eye(3)[rng.integers(2, size=200)] + 1e-3 * rng.normal(size=(200, 3))
    cases = [
        (fastem.GammaMixture, gamma, {}),
        (fastem.GammaMixture, gamma * 1e-100, {}),
        (fastem.VonMisesFisherMixture, directions / np.linalg.norm(directions, axis=1, keepdims=True), {}),
        (fastem.PoissonMixture, rng.poisson(1e6, (200, 2)).astype(float), {}),
        (fastem.StudentTMixture, rng.normal(size=(200, 2)), {"degrees_of_freedom": 1e6}),
        (fastem.BernoulliMixture, (rng.random((200, 3)) < [1.0, 0.5, 0.0]).astype(float), {}),
        (fastem.GeometricMixture, np.zeros((200, 1)), {}),
    ]
    for make, X, parameters in cases:
        n_components = 1 if make is fastem.GeometricMixture else 2
        fit = make(n_components, random_state=0, max_iter=20, **parameters).fit(X)
        ratio(ball, of_fit(fit), X, name=make.__name__)


def test_factor_models_of_moments(ball):
    ratios = []
    for real in REALS:
        for make in (fastem.FactorAnalysis, fastem.PPCA):
            for condition, offset in [(1, 0), (10, 0), (1e6, 0), (10, 1e4)]:
                X = narrow(5, condition, real, offset)
                fit = make(2).fit(X)
                assert isinstance(fit.model_, FactorModel)
                name = f"{make.__name__}, {real}, {condition:g}, {offset:g}"
                ratios.append(ratio(ball, of_fit(fit), X, name=name))
    assert np.median(ratios) <= 2 * MOST, sorted(ratios)  # where the moments were summed about is not known any more


@pytest.mark.parametrize("offset", [1e11, 1e13])
def test_a_factor_model_far_from_0(ball, offset):
    """Its moments are about the mean before that is rounded."""
    X = np.random.default_rng(0).normal(size=(11, 2)) + offset
    for make in (fastem.FactorAnalysis, fastem.PPCA):
        fit = make(1).fit(X)
        ratio(ball, of_fit(fit), X, name=f"{make.__name__}, {offset:g}")


def test_sums_at_the_end_of_the_numbers_have_a_bound_or_none():
    """Whitened rows' sums that round below 0; and squares that overflow."""
    spread, counts = Tied.from_covariances(np.eye(2), np.zeros(2)), np.full(2, 10.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passed = Pass(np.dtype(float), np.zeros(2))
        assert of_estimate(spread, np.zeros((2, 2)), counts, np.array([-1e-17, 0.0, 1.0]), passed, 1e-16) < 1e-20
        huge = np.array([[1e200, 0.0, 1e200]])
        one = Full.from_covariances(np.eye(2)[None], np.zeros(2))
        assert of_gaussians(one, np.zeros((1, 2)), np.ones(1), np.ones(1), np.zeros((1, 2)), huge, passed).error > 1e180


@pytest.mark.parametrize("real", REALS)
def test_weights_noise_priors_and_missing_values(ball, real):
    X, rng = narrow(3, 100, real), np.random.default_rng(1)
    weight = rng.gamma(1.0, size=len(X))
    gaps = np.where(rng.random(X.shape) < 0.2, np.nan, X).astype(real)
    ratios = []
    for covariance_type in ("full", "tied", "diag", "spherical", "VEV"):
        make = fastem.GaussianMixture(2, covariance_type=covariance_type, random_state=0, reg_covar=1e-9)
        ratios.append(ratio(ball, of_fit(make.fit(gaps)), gaps, name=f"missing values, {covariance_type}"))
    for unit in (1.0, 1e-20, 1e20):
        fit = fastem.GaussianMixture(2, random_state=0).fit(X, sample_weight=unit * weight)
        ratios.append(ratio(ball, of_fit(fit), X, unit * weight, name=f"weights of {unit:g}"))
    for parameters in ({"noise": "box"}, {"prior": "default"}, {"weight_concentration_prior": 5.0}):
        fit = fastem.GaussianMixture(2, random_state=0, **parameters).fit(X)
        ratios.append(ratio(ball, of_fit(fit), X, name=str(parameters)))
    kinds = {"gaussian": [0, 2], "bernoulli": [1]}
    mixed = np.column_stack([gaps[:, 0], X[:, 1] > 0, X[:, 2]]).astype(real)
    ratios.append(ratio(ball, of_fit(fastem.MixedMixture(2, kinds=kinds, random_state=0).fit(mixed)), mixed))
    assert np.median(ratios) <= 3 * MOST, sorted(ratios)  # a constant term for each weight and each missing value


@pytest.mark.parametrize("real", REALS)
def test_labels_and_priors_of_rows(ball, real):
    """Each row under the mixture whose weights are multiplied by its prior."""
    X, rng = narrow(2, 10, real, n=60), np.random.default_rng(2)
    hard = np.where(rng.random(60) < 0.5, -1, rng.integers(2, size=60))
    soft = rng.dirichlet([0.2, 0.2], size=60)
    for labels, priors in [(hard, np.where(hard[:, None] < 0, 1.0, np.eye(2)[hard])), (soft, soft)]:
        fit = fastem.GaussianMixture(2, random_state=0, max_iter=5).fit(X, labels=labels)
        exact = ball.arb(0)
        for x, prior in zip(X, priors, strict=True):
            exact += ball.log_likelihood(replace(fit.model_, weights=fit.weights_ * prior), x[None])
        error = float(abs(ball.arb(fit.log_likelihood_) - exact).mid())
        assert error <= fit.log_likelihood_error_ < 1e6 * max(error, np.spacing(abs(fit.log_likelihood_)))


def test_far_outliers(ball):
    """One fill value of a file format among normal rows."""
    for value in (1e8, 9.97e36):
        X = np.random.default_rng(0).normal(size=(300, 2))
        X[0] = value
        fit = fastem.GaussianMixture(2, random_state=0).fit(X)
        ratio(ball, of_fit(fit), X, name=f"{value:g}")


def test_a_far_component_does_not_take_the_digits_of_the_others(ball):
    """Tails or none, rows are taken about where most of them are, not about the mean of all."""
    X = np.random.default_rng(0).normal(size=(300, 2))
    X[0] = 1e32
    means, scales = np.array([[0.0, 0.0], [1e32, 1e32]]), np.array([np.eye(2), 1e62 * np.eye(2)])
    for make, tails in [(fastem.GaussianMixture, ()), (fastem.StudentTMixture, ([5.0, 5.0],))]:
        result = em(make.from_parameters([0.99, 0.01], means, scales, *tails).model_, X, max_iter=0)
        ratio(ball, result, X)
        assert result.log_likelihood_error < 1e-9


def without_digits(model):
    """The same mixture but for the last half of the means' digits."""
    emission = model.emission
    return replace(model, emission=replace(emission, means=emission.means.astype(np.float32).astype(np.float64)))


@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_a_log_likelihood_of_other_parameters_is_outside(ball, structure):
    """So the law above can fail."""
    instance = INSTANCES[1]
    result = em(start(instance, structure), instance.X, max_iter=2, tol=0)
    ratio(ball, result, instance.X)
    result.statistics = without_digits(result.model).e_step(instance.X)
    with pytest.raises(AssertionError, match="is off by"):
        ratio(ball, result, instance.X)


def one_gaussian(covariance):
    d = len(covariance)
    full = Full.from_covariances(np.array([covariance], np.float64), np.zeros(d))
    return Mixture(np.ones(1), Gaussian(np.zeros((1, d)), full, np.zeros(d)))


def rounded_alike():
    """Equal rows: every addition to a sum of float32 rounds in the same direction."""
    return one_gaussian([[5.074189222348614]]), np.zeros((1536, 1), np.float32)


def away_from_the_centre():
    """A component far from that about which rows are taken."""
    X = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0.0], [1e6]], [200, 100], axis=0)
    return fastem.GaussianMixture(2, random_state=0, reg_covar=0.0, max_iter=5).fit(X).model_, X


def wide_factor():
    """A nearly singular covariance of other rows, so that the errors of its factor do not cancel."""
    z = np.random.default_rng(0).normal(size=(300, 3))
    X = z[:, :1] * [1.0, 0.7, 0.3] + 1e-5 * z
    return one_gaussian(4.1 * np.cov(X.T, ddof=0)), X


@pytest.mark.parametrize(
    "name, instead, case",
    [
        ("models.mixture.of_total", lambda terms, *_: terms.error, rounded_alike),
        ("models.gaussian.rounding.of_whitened_rows", lambda *_: 0.0, away_from_the_centre),
        ("models.gaussian.rounding.of_factors", lambda *_: 0.0, wide_factor),
    ],
)
def test_no_ingredient_can_be_left_out(ball, monkeypatch, name, instead, case):
    """Each has an instance in which it is nearly all of the error."""
    model, X = case()
    result = em(model, X, max_iter=0)
    ratio(ball, result, X)
    monkeypatch.setattr(f"fastem.{name}", instead)
    with pytest.raises(AssertionError, match="is off by"):
        ratio(ball, result, X)


def test_a_covariance_without_digits_has_no_bound():
    """A floor of the data's own digits: U^T C U may be anything."""
    model = em(start(INSTANCES[0], STRUCTURES[0]), INSTANCES[0].X, max_iter=1).model
    covariance = model.emission.covariance
    wrong = replace(covariance, precisions_cholesky=1.5 * covariance.precisions_cholesky)
    wrong = Mixture(model.weights, replace(model.emission, covariance=wrong))
    assert wrong.log_likelihood_error(wrong.e_step(INSTANCES[0].X), 600) == np.inf


def test_it_scales_with_the_weights_and_grows_with_the_rows():
    X = INSTANCES[0].X
    model = start(INSTANCES[0], STRUCTURES[0])
    one, two = model.e_step(X), model.e_step(X, np.full(len(X), 2.0))
    bound = model.log_likelihood_error(one, len(X))
    assert model.log_likelihood_error(two, len(X)) == pytest.approx(2 * bound, rel=1e-6)
    assert bound < model.log_likelihood_error(one, 10**9) <= model.log_likelihood_error(one, None) < 100 * bound


def test_sizes_of_logarithms():
    rng = np.random.default_rng(0)
    for scale in (1e-3, 1.0, 1e3):
        x, r = scale * rng.gamma(0.3, size=500), rng.random(500)
        bound = sizes_of_logs(np.array([r.sum()]), np.array([r @ x]), np.array([r @ np.log(x)]))
        assert r @ abs(np.log(x)) <= bound[0] < 10 * r @ abs(np.log(x))
    assert sizes_of_logs(np.zeros(1), np.zeros(1), np.zeros(1)) == 0


def test_every_estimator_has_it(tmp_path):
    """After a fit, from a file, and NaN where no rows were seen."""
    rng = np.random.default_rng(0)
    fits = [family.make(2, random_state=0, max_iter=3).fit(family.data(100)) for family in MODELS]
    fits += [make(1).fit(rng.normal(size=(50, 3))) for make in (fastem.FactorAnalysis, fastem.PPCA)]
    for fit in fits:
        assert 0 < fit.log_likelihood_error_ < 1e-6 * (1 + abs(fit.log_likelihood_)), fit
        fit.save(tmp_path / "fit.npz")
        assert fastem.load(tmp_path / "fit.npz").log_likelihood_error_ == fit.log_likelihood_error_
    given = fastem.GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    assert np.isnan(given.model_ and given.log_likelihood_error_)
    assert np.isnan(fastem.PPCA.from_parameters([0.0, 0.0], [[1.0, 2.0]], 1.0).log_likelihood_error_)


def test_a_bound_makes_no_warnings():
    X = np.random.default_rng(0).normal(size=(60, 2))
    X[0] = 1e100
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert fastem.GaussianMixture(2, random_state=0).fit(X).log_likelihood_error_ > 0


def test_a_component_that_leaves_the_others_without_digits_is_no_defect():
    """Sums about its mean, 1e28, do not know the rows near 0; there is a fall, and plain words for it."""
    X = np.append(np.random.default_rng(0).normal(size=40), 1e30)[:, None]
    covariance = Diagonal.from_covariances(np.array([[1e60], [1e36]]), np.zeros(1))
    start = Mixture(np.array([0.6, 0.4]), Gaussian(np.array([[1e28], [0.0]]), covariance, floor=np.full(1, 1e-6)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = fastem.em(start, X, max_iter=5, tol=0)
    assert result.n_iter == 0 and "a component far from the others; the model before is kept" in result.stop_reason


def test_a_factor_beyond_the_range_of_the_rows_type_has_no_bound():
    X = np.array([[0.0], [1.0], [2.0]], np.float32)
    covariance = Diagonal.from_covariances(np.array([[1e-100]]), np.zeros(1))
    narrow = Mixture(np.ones(1), Gaussian(np.ones((1, 1)), covariance, floor=np.zeros(1)))
    assert fastem.em(narrow, X[1:2], max_iter=0).log_likelihood_error == np.inf
    assert fastem.em(narrow, X[1:2].astype(float), max_iter=0).log_likelihood_error < np.inf


def test_degrees_of_freedom_of_float32_sums_may_lose_what_their_rounding_leaves_open():
    X = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)
    model = fastem.StudentTMixture(1, max_iter=3).fit(X).model_
    near_gaussian = replace(model, emission=replace(model.emission, degrees_of_freedom=np.full(1, 1e6)))
    statistics = model.e_step(X)
    assert near_gaussian.step_error(statistics, model, len(X), np.float32) > 1
    assert model.step_error(statistics, model, len(X), np.float64) < 1e-6


def test_a_tied_estimate_loses_what_its_difference_from_the_sum_about_the_centre_does():
    """In float32, of means 1e5 deviations apart; the same of components that have a covariance each is nothing."""
    rng = np.random.default_rng(0)
    X = (np.repeat([[-50.0], [50.0]], 20, axis=0) + 1e-3 * rng.normal(size=(40, 1))).astype(np.float32)
    lost = {}
    for structure in ("tied", "full"):
        model = fastem.GaussianMixture(2, covariance_type=structure, reg_covar=1e-9, max_iter=2).fit(X).model_
        lost[structure] = model.step_error(model.e_step(X), model, len(X), np.float32)
    assert lost["tied"] > 1e-3 > 10 * lost["full"]
