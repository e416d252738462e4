"""What a fitted mixture is for: marginals, conditionals, prediction of columns, distribution function, thresholds."""

import pickle

import numpy as np
import pandas
import pytest
from instances import STRUCTURES, random_mixture
from models import MODELS
from scipy import stats

import fastem
from fastem import GaussianMixture
from fastem.models.gaussian.parsimonious import FAMILIES as GAUSSIAN_FAMILIES

TYPES = [*(structure.name for structure in STRUCTURES), *GAUSSIAN_FAMILIES]
GIVEN = [[0], [2], [3, 1], [0, 1, 3]]
pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization")


def rows(n=300, d=4, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    about = 3 * rng.normal(size=(3, d))[rng.integers(3, size=n)]
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + about + shift


X = rows()


@pytest.fixture(scope="module", params=TYPES)
def model(request):
    return GaussianMixture(3, covariance_type=request.param, random_state=0, max_iter=20).fit(X)


def others(columns, d=4):
    return [i for i in range(d) if i not in columns]


def dense(mixture):
    return mixture.emission.covariance.dense(*mixture.emission.shape).covariances


# ---- marginal and conditional ---------------------------------------------------------------------------------------


def test_a_marginal_has_the_columns_parameters(model):
    some = model.marginal([3, 1])
    assert np.array_equal(some.weights_, model.weights_) and np.array_equal(some.means_, model.means_[:, [3, 1]])
    assert np.allclose(dense(some.model_), dense(model.model_)[:, [[3], [1]], [3, 1]], rtol=1e-12)


def test_a_marginal_of_a_marginal_is_a_marginal(model):
    once, twice = model.marginal([2]), model.marginal([3, 2, 0]).marginal([1])
    assert np.array_equal(once.means_, twice.means_) and np.allclose(once.covariances_, twice.covariances_, rtol=1e-14)
    assert once.covariance_type == twice.covariance_type


def test_a_marginal_of_all_columns_in_another_order(model):
    all_ = model.marginal([2, 0, 3, 1])
    assert all_.covariance_type == model.covariance_type
    assert np.allclose(all_.score_samples(X[:, [2, 0, 3, 1]]), model.score_samples(X), rtol=1e-12)


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_joint_is_marginal_times_conditional(model, given):
    """log p(a, b) = log p(b) + log p(a | b)"""
    rest = others(given)
    marginal = model.marginal(given).score_samples(X[:10, given])
    for x, joint, own in zip(X, model.score_samples(X[:10]), marginal):
        conditional = model.conditional(given, x[given]).score_samples(x[None, rest])[0]
        assert np.isclose(own + conditional, joint, rtol=1e-12)


def test_conditional_in_two_steps(model):
    x = X[0]
    once, twice = model.conditional([1, 3], x[[1, 3]]), model.conditional([3], x[[3]]).conditional([1], x[[1]])
    assert np.allclose(once.weights_, twice.weights_, rtol=1e-10, atol=1e-300)
    assert np.allclose(once.means_, twice.means_, rtol=1e-10)
    assert np.allclose(dense(once.model_), dense(twice.model_), rtol=1e-10)


def test_data_far_from_the_origin_keep_their_digits():
    near, far = (GaussianMixture(2, random_state=0, max_iter=5).fit(rows(shift=shift)) for shift in (0.0, 1e6))
    a, b = near.conditional([1], [0.5]), far.conditional([1], [0.5 + 1e6])
    assert np.allclose(a.means_, b.means_ - 1e6, atol=1e-6) and np.allclose(a.covariances_, b.covariances_, rtol=1e-6)


def test_what_is_nearly_determined_stays_positive():
    """The conditional variance is 1e-12 of the column's own: Sigma_aa - Sigma_ab Sigma_bb^-1 Sigma_ba would lose it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    twins = np.column_stack([x, x + 1e-6 * rng.normal(size=500)])
    model = GaussianMixture(1, reg_covar=0).fit(twins)
    found = model.conditional([0], [0.3]).covariances_[0, 0, 0]
    slope, at_zero = np.polyfit(twins[:, 0], twins[:, 1] - twins[:, 0], 1)
    left = twins[:, 1] - twins[:, 0] - slope * twins[:, 0] - at_zero
    assert np.isclose(found, left.var(), rtol=1e-3)


@pytest.mark.parametrize("value", [1e3, -1e100, 1e200, 1e300])
def test_far_outside_the_nearest_takes_all(model, value):
    found = model.conditional([2], [value])
    assert np.isfinite(found.means_).all() and np.isclose(found.weights_.sum(), 1)
    direct = model.marginal([2]).predict_proba([[value]])[0]
    assert np.allclose(found.weights_, direct, rtol=1e-12, atol=1e-200)


def test_means_beyond_float64_are_an_error():
    model = GaussianMixture(1).fit(rows(d=2) * [1e-10, 1e10])
    with pytest.raises(ValueError, match="range of float64"):
        model.conditional([0], [1e300])


def test_what_comes_out_is_a_fitted_mixture(model, tmp_path):
    for found in (model.marginal([1, 3]), model.conditional([1], [0.2]), model.marginal([1])):
        d = found.n_features_in_
        drawn, _ = found.sample(50, random_state=0)
        assert drawn.shape == (50, d) and np.isfinite(found.score_samples(drawn)).all()
        assert np.isfinite(found.bic(drawn)) and found.n_parameters_ == found.model_.n_parameters
        assert found.component_status_ == model.component_status_ and found.history_ == []
        found.save(tmp_path / "part.npz")
        for again in (fastem.load(tmp_path / "part.npz"), pickle.loads(pickle.dumps(found))):
            assert np.array_equal(again.score_samples(drawn), found.score_samples(drawn))
            assert again.covariance_type == found.covariance_type
        found.fit(drawn)


def test_families_that_are_closed_stay():
    kept = {"full", "tied", "diag", "spherical", "EII", "VII", "EEI", "VEI", "VVI", "EEE", "VEE", "VVV"}
    for type_ in TYPES:
        model = GaussianMixture(2, covariance_type=type_, random_state=0, max_iter=3).fit(X)
        widest = "VVI" if type_ == "EVI" else "VVV"
        assert model.marginal([0, 2]).covariance_type == (type_ if type_ in kept else widest)
        assert model.conditional([0, 2], [0, 0]).covariance_type == (type_ if type_ in kept else widest)


def test_names_choose_columns():
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = GaussianMixture(2, random_state=0).fit(frame)
    assert list(model.marginal(["c", "a"]).feature_names_in_) == ["c", "a"]
    left = model.conditional(["b"], [0.1])
    assert list(left.feature_names_in_) == ["a", "c", "d"] and left.predict(frame[["a", "c", "d"]]).shape == (300,)
    named = model.predict_columns(frame[["a", "c", "d"]], ["b"])
    with pytest.warns(UserWarning, match="valid feature names"):
        assert np.array_equal(named, model.predict_columns(X[:, [0, 2, 3]], [1]))
    with pytest.raises(ValueError, match="feature names"):
        model.predict_columns(frame[["c", "a", "d"]], ["b"])


def test_parameters_of_all_columns_are_left_behind():
    start = GaussianMixture(2, random_state=0).fit(X)
    model = GaussianMixture(2, means_init=start.means_, weights_init=start.weights_, init_params=start.predict(X)).fit(
        X
    )
    part = model.marginal([0, 1])
    assert part.means_init is None and part.init_params == "emem"
    part.fit(X[:, :2])


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda m: m.marginal([4]), "no column 4; its columns are x0, x1, x2, x3"),
        (lambda m: m.marginal([-1]), "no column -1"),
        (lambda m: m.marginal([]), "no columns were chosen"),
        (lambda m: m.marginal([1, 1]), "chosen twice"),
        (lambda m: m.marginal(1), "is not a list: for one column, give"),
        (lambda m: m.conditional(["nothing"], [1]), "no column 'nothing'"),
        (lambda m: m.conditional([0, 1, 2, 3], [1, 2, 3, 4]), "are all columns"),
        (lambda m: m.conditional([0, 1], [1]), r"values must have shape \(2,\), .* Got \(1,\)"),
        (lambda m: m.conditional([0, 1], [[1, 2]]), r"values must have shape \(2,\), .* Got \(1, 2\)"),
        (lambda m: m.conditional([0, 1], [1, np.nan]), "values contains nan for column 'x1'"),
        (lambda m: m.conditional([0, 1], [np.inf, 1]), "values contains inf for column 'x0'"),
        (lambda m: m.conditional([0], ["much"]), "values must contain a number"),
        (lambda m: m.predict_columns(X, [0]), "X has 4 features.*3 features"),
        (lambda m: m.predict_columns(X, [0, 1, 2, 3]), "are all columns"),
        (lambda m: m.predict_columns(np.full((2, 3), np.nan), [0]), "NaN"),
        (lambda m: m.predict_columns(X[:, 1:], [0], return_std=True, return_cov=True), "both true"),
        (lambda m: m.logcdf(X), "no closed form.*marginal"),
        (lambda m: m.component_distances("euclid"), "kind must be one of 'bhattacharyya', .* Got 'euclid'"),
        (lambda m: m.quantile(1.5), r"q must be in \[0, 1\].* Got 1\.5"),
        (lambda m: m.quantile([0.5, np.nan]), "q must be in"),
        (lambda m: m.quantile("much"), "q must contain numbers"),
        (lambda m: m.quantile(1e-9), "n_samples to at least 10000000000"),
        (lambda m: m.quantile([1e-6, 0.5]), "q=1e-06 leaves only 0.1 of n_samples=100000 drawn rows below"),
        (lambda m: m.quantile(0.5, n_samples=0), "n_samples must be a whole number"),
    ],
)
def test_bad_input(call, words):
    with pytest.raises(ValueError, match=words):
        call(GaussianMixture(2, random_state=0, max_iter=2).fit(X))


OF_GAUSSIANS = [
    "marginal",
    "conditional",
    "predict_columns",
    "logcdf",
    "component_distances",
    "component_overlap",
    "adapt",
]


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.marginal([0]),
        lambda m: m.conditional([0], [1]),
        lambda m: m.predict_columns(X, [0]),
        lambda m: m.logcdf(X),
        lambda m: m.component_distances(),
        lambda m: m.component_overlap(),
    ],
)
def test_what_is_of_gaussians_alone(call):
    assert not {*dir(fastem.StudentTMixture)} & {*OF_GAUSSIANS}
    with pytest.raises(ValueError, match="not fitted"):
        call(GaussianMixture())
    with pytest.raises(ValueError, match="covariance_type has been changed"):
        call(GaussianMixture().fit(X).set_params(covariance_type="diag"))


def test_what_noise_takes_no_part_in_is_refused_by_its_own_name():
    model = GaussianMixture(2, noise="box", random_state=0, max_iter=2).fit(X)
    for name in ("component_distances", "component_overlap"):
        with pytest.raises(TypeError, match=f"^{name} works only for Gaussians without noise"):
            getattr(model, name)()


# ---- prediction of columns ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_predictions_are_the_conditionals_moments(model, given):
    given, rest = sorted(given), others(given)
    mean, covariances = model.predict_columns(X[:20, given], rest, return_cov=True)
    for x, at, about in zip(X, mean, covariances):
        part = model.conditional(given, x[given])
        weights, means = part.weights_, part.means_
        assert np.allclose(at, weights @ means, rtol=1e-11)
        direct = np.tensordot(weights, dense(part.model_), 1) + np.einsum(
            "k,ki,kj->ij", weights, means - at, means - at
        )
        assert np.allclose(about, direct, rtol=1e-10, atol=1e-13)
    deviations = model.predict_columns(X[:20, given], rest, return_std=True)[1]
    assert np.allclose(deviations**2, np.diagonal(covariances, axis1=1, axis2=2), rtol=1e-12)


def test_predictions_against_integration():
    model = GaussianMixture(3, random_state=0).fit(X[:, :2])
    x = 0.7

    y = np.linspace(-60, 60, 200_001)  # so fine that sums of a smooth density are integrals, to all digits
    density = np.exp(model.score_samples(np.column_stack([np.full_like(y, x), y])))

    def moment(power):
        return (y**power * density).sum()

    (mean,), (deviation,) = model.predict_columns([[x]], [1], return_std=True)
    first, second = moment(1) / moment(0), moment(2) / moment(0)
    assert np.isclose(mean[0], first, rtol=1e-7) and np.isclose(deviation[0], np.sqrt(second - first**2), rtol=1e-7)


def test_predictions_come_in_the_asked_order(model):
    first, second = model.predict_columns(X[:, :2], [2, 3]), model.predict_columns(X[:, :2], [3, 2])
    assert np.allclose(first, second[:, ::-1], rtol=1e-12)


def test_predictions_of_many_rows_of_any_kind():
    """Blocks of rows, chunks, threads and real types change nothing."""
    many = np.tile(X, (80, 1))
    model = GaussianMixture(3, random_state=0, n_threads=1).fit(X)
    mean, cov = model.predict_columns(many[:, 1:], [0], return_cov=True)
    few = model.predict_columns(X[:, 1:], [0])
    assert mean.shape == (24000, 1) and np.allclose(mean, np.tile(few, (80, 1)), rtol=1e-12)
    chunked = model.predict_columns([many[:7000, 1:], many[7000:, 1:]], [0], return_cov=True)
    assert np.allclose(chunked[0], mean, rtol=1e-12) and np.allclose(chunked[1], cov, rtol=1e-12)
    assert np.array_equal(model.set_params(n_threads=2).predict_columns(many[:, 1:], [0]), mean)
    assert np.allclose(model.predict_columns(many[:, 1:].astype(np.float32), [0]), mean, rtol=1e-2, atol=1e-3)


# ---- distribution function ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["diag", "spherical", "VEI"])
def test_logcdf_against_integration(type_):
    model = GaussianMixture(2, covariance_type=type_, random_state=0).fit(X[:, :2])
    nodes, weights = np.polynomial.legendre.leggauss(200)
    for row in X[:3, :2]:
        grid = np.stack(np.meshgrid(*(end + (end + 40) * (nodes - 1) / 2 for end in row), indexing="ij"), axis=-1)
        values = np.exp(model.score_samples(grid.reshape(-1, 2))).reshape(200, 200)
        below = weights @ values @ weights * np.prod(row + 40) / 4
        assert np.isclose(np.exp(model.logcdf(row[None])[0]), below, rtol=1e-9)


@pytest.mark.parametrize("type_", ["full", "tied", "diag", "spherical", "E", "V"])
def test_logcdf_of_one_column(type_):
    model = GaussianMixture(3, covariance_type=type_, random_state=0).fit(X[:, :1])
    at = np.linspace(-30, 30, 200)[:, None]
    found = model.logcdf(at)
    assert (np.diff(found) >= 0).all() and (found <= 0).all()
    direct = sum(
        w * stats.norm.cdf(at[:, 0], m, s)
        for w, m, s in zip(model.weights_, model.means_[:, 0], np.sqrt(dense(model.model_)[:, 0, 0]))
    )
    assert np.allclose(np.exp(found), direct, rtol=1e-12)
    slope = np.diff(np.exp(model.logcdf([[0.5], [0.5 + 1e-6]])))[0] / 1e-6
    assert np.isclose(slope, np.exp(model.score([[0.5]])), rtol=1e-4)


def test_logcdf_in_the_tails():
    model = GaussianMixture(1, covariance_type="diag").fit(X)
    assert np.array_equal(model.logcdf([[1e300] * 4]), [0.0])
    low = model.logcdf([[-1e3] * 4])[0]
    deviations = np.sqrt(model.covariances_[0])
    assert np.isfinite(low) and np.isclose(low, stats.norm.logcdf(-1e3, model.means_[0], deviations).sum(), rtol=1e-12)
    assert model.logcdf([[-1e300] + [0.0] * 3])[0] == -np.inf


# ---- thresholds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", TYPES)
def test_quantiles_of_one_gaussian_are_chi_squared(type_):
    model = GaussianMixture(1, covariance_type=type_).fit(X)
    q = np.array([[0.0, 1e-12], [0.5, 1.0]])
    top = model.score_samples(model.means_)[0]
    assert np.allclose(2 * (top - model.quantile(q)), stats.chi2.isf(q, 4), rtol=1e-9, atol=1e-9)
    assert model.quantile(0.0) == -np.inf and isinstance(model.quantile(0.3), float)


def test_drawn_quantiles_of_twin_components_are_those_of_one():
    one = GaussianMixture(1).fit(X)
    twins = GaussianMixture(2, weights_init=[0.5, 0.5], max_iter=0, means_init=np.repeat(one.means_, 2, axis=0))
    twins.set_params(precisions_init=np.repeat(one.precisions_, 2, axis=0)).fit(X)
    q = np.array([0.001, 0.01, 0.5, 0.99])
    threshold = twins.quantile(q)
    share = stats.chi2.sf(2 * (one.score_samples(one.means_)[0] - threshold), 4)
    assert (np.abs(share - q) < 5 * np.sqrt(q * (1 - q) / 100_000)).all()
    assert np.array_equal(threshold, twins.quantile(q)) and (np.diff(threshold) > 0).all()
    assert not np.array_equal(threshold, twins.quantile(q, random_state=1))


def test_quantiles_of_rows():
    model = GaussianMixture(2, random_state=0).fit(X)
    below = model.score_samples(X) < model.quantile(0.1, X)
    assert below.sum() == 30


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_every_family_has_thresholds(family):
    rows = family.data(300)
    model = family.make(2, random_state=0, max_iter=5).fit(rows)
    threshold = model.quantile(0.25, n_samples=2000)
    drawn, _ = model.sample(2000, 1)
    share = (model.score_samples(drawn) < threshold).mean(), (model.score_samples(drawn) <= threshold + 1e-9).mean()
    assert share[0] - 0.06 <= 0.25 <= share[1] + 0.06


# ---- distances ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def line():
    return GaussianMixture(3, random_state=0).fit(X[:, :1])


def density(model, k):
    return stats.norm(model.means_[k, 0], np.sqrt(dense(model.model_)[k, 0, 0])).logpdf


@pytest.mark.parametrize("i, j", [(0, 1), (0, 2), (2, 1)])
def test_distances_against_integration(line, i, j):
    at = np.linspace(-60, 60, 20001)
    p, q = density(line, i)(at), density(line, j)(at)
    overlap = np.exp((p + q) / 2).sum() * (at[1] - at[0])
    divergence = ((p - q) * (np.exp(p) - np.exp(q))).sum() * (at[1] - at[0])
    assert np.isclose(line.component_overlap()[i, j], overlap, rtol=1e-7)
    assert np.isclose(line.component_distances()[i, j], -np.log(overlap), rtol=1e-6)
    assert np.isclose(line.component_distances("symmetric_kl")[i, j], divergence, rtol=1e-6)


@pytest.mark.parametrize("kind", ["bhattacharyya", "symmetric_kl", "mahalanobis"])
@pytest.mark.parametrize("structure", STRUCTURES, ids=str)
def test_distances_are_those_of_dense_covariances(structure, kind):
    mixture = random_mixture(np.random.default_rng(3), 4, 3, structure)
    found = fastem.models.gaussian.distances.component_distances(mixture.emission, kind)
    assert np.array_equal(found, found.T) and not found.diagonal().any() and (found[~np.eye(4, dtype=bool)] > 0).all()
    S, means = dense(mixture), mixture.emission.means
    for i in range(4):
        for j in range(i):
            step, middle = means[i] - means[j], (S[i] + S[j]) / 2
            squared = step @ np.linalg.solve(middle, step)
            dets = [np.linalg.slogdet(m)[1] for m in (middle, S[i], S[j])]
            inverses = np.linalg.inv(S[i]), np.linalg.inv(S[j])
            both = sum(np.trace(a @ b) for a, b in zip(inverses, (S[j], S[i]))) - 6 + step @ sum(inverses) @ step
            want = {
                "bhattacharyya": squared / 8 + (dets[0] - (dets[1] + dets[2]) / 2) / 2,
                "symmetric_kl": both / 2,
                "mahalanobis": np.sqrt(squared),
            }
            assert np.isclose(found[i, j], want[kind], rtol=1e-10)


@pytest.mark.parametrize("type_", ["full", "tied", "diag", "VVV", "EEE", "VVI"])
def test_distances_do_not_depend_on_units(type_):
    scaled = GaussianMixture(3, covariance_type=type_, random_state=0, max_iter=20)
    plain = GaussianMixture(3, covariance_type=type_, random_state=0, max_iter=20).fit(X)
    scaled.fit(X * [1e-20, 1, 1e3, 1e20] + [0, 5, 0, 0])
    for kind in ("bhattacharyya", "symmetric_kl", "mahalanobis"):
        assert np.allclose(plain.component_distances(kind), scaled.component_distances(kind), rtol=1e-6)
