"""Equal weights, fixed parameters, a bound on the ratio of eigenvalues: each against what it must mean."""

import numpy as np
import pytest
from models import MODELS
from scipy.optimize import minimize
from scipy.special import expit

import fastem
from fastem import GaussianMixture, StudentTMixture
from fastem.datasets import load_faithful, load_iris
from fastem.models.gaussian.eigenvalue_ratio import clip_to_ratio, least_bound

X = load_faithful().data
LABELS = (X[:, 0] > 3).astype(int)
MEANS = np.array([[2.0, 55.0], [4.0, 80.0], [3.0, 70.0]])
PRECISIONS = np.array([np.diag([9.0, 0.03])] * 3)
WEIGHTS = np.array([0.3, 0.5, 0.2])
START = {"weights_init": WEIGHTS, "means_init": MEANS, "precisions_init": PRECISIONS}
OF_KIND = {
    "full": PRECISIONS,
    "diag": PRECISIONS[:, [0, 1], [0, 1]],
    "spherical": np.full(3, 0.1),
    "tied": PRECISIONS[0],
}
pytestmark = pytest.mark.filterwarnings("error::fastem.LogLikelihoodFell", "ignore::fastem.ConvergenceWarning")


def climbs(model):
    return np.diff(model.history_).min(initial=0) > -1e-10


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_equal_weights_lie_within_free_ones(family):
    rows = family.data(150)
    model = family.make(2, equal_weights=True, random_state=0, max_iter=20).fit(rows)
    assert (model.weights_ == 0.5).all() and model.n_parameters_ == model.model_.n_parameters
    inner, parameters = model.log_likelihood_, model.n_parameters_
    model.set_params(equal_weights=False, warm_start=True).fit(rows)
    assert model.n_parameters_ == parameters + 1
    assert model.log_likelihood_ >= inner - 1e-6 * abs(inner)


@pytest.mark.parametrize("kind", OF_KIND)
def test_all_fixed_is_the_start(kind):
    start = START | {"precisions_init": OF_KIND[kind]}
    fixed = {"weights": True, "means": True, "covariances": True}
    model = GaussianMixture(3, covariance_type=kind, fixed=fixed, **start).fit(X)
    assert (model.weights_ == WEIGHTS).all() and (model.means_ == MEANS).all()
    assert np.allclose(model.precisions_, OF_KIND[kind]) and model.n_parameters_ == 0
    assert np.ptp(model.history_) == 0


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
@pytest.mark.parametrize("accelerate", [None, "anderson"])
def test_some_fixed_stay_and_the_rest_climbs(kind, accelerate):
    start = START | {"precisions_init": OF_KIND[kind]}
    fixed = {"weights": [2], "means": [0, 2], "covariances": [1]}
    free = GaussianMixture(3, covariance_type=kind, **start).fit(X)
    model = GaussianMixture(
        3, covariance_type=kind, fixed=fixed, tol=1e-9, max_iter=300, accelerate=accelerate, **start
    ).fit(X)
    assert climbs(model) and model.log_likelihood_ > len(X) * model.history_[0] + 1
    assert model.weights_[2] == WEIGHTS[2] and np.isclose(model.weights_.sum(), 1)
    assert (model.means_[[0, 2]] == MEANS[[0, 2]]).all() and not np.isclose(model.means_[1], MEANS[1]).any()
    assert np.allclose(model.precisions_[1], OF_KIND[kind][1]) and not np.allclose(
        model.precisions_[0], OF_KIND[kind][0]
    )
    one = {"full": 3, "diag": 2, "spherical": 1}[kind]
    assert free.n_parameters_ - model.n_parameters_ == 1 + 2 * 2 + one
    # at the maximum over what is free, weights share what is left as their rows do, and scatter is about the mean
    r = model.predict_proba(X)
    share = r.sum(axis=0)[:2]
    assert np.allclose(model.weights_[:2], 0.8 * share / share.sum(), atol=1e-3)
    centred = X - MEANS[0]
    scatter = (r[:, :1] * centred).T @ centred / r[:, 0].sum()
    dense = {"full": scatter, "diag": np.diagonal(scatter), "spherical": np.trace(scatter) / 2}[kind]
    assert np.allclose(model.covariances_[0], dense, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("name", ["VEV", "EVE", "tied", "EII", "VEI"])
def test_fixed_means_in_every_structure(name):
    """Against the same data with as many mirrored rows: about a fixed mean, row and mirrored row are alike."""
    at = X.mean(axis=0) + [0.3, 5.0]
    model = GaussianMixture(1, covariance_type=name, means_init=at[None], fixed={"means": True}).fit(X)
    mirrored = GaussianMixture(1, covariance_type=name).fit(np.vstack([X, 2 * at - X]))
    assert (model.means_ == at).all()
    assert np.allclose(model.covariances_, mirrored.covariances_, rtol=1e-9)


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_fixed_weights_of_any_family(family):
    rows = family.data(150)
    fixed = {"weights_init": [0.9, 0.1], "fixed": {"weights": True}}
    model, free = (family.make(2, random_state=0, max_iter=5, **asked).fit(rows) for asked in (fixed, {}))
    assert (model.weights_ == [0.9, 0.1]).all() and model.n_parameters_ == free.n_parameters_ - 1
    assert climbs(model) and model.history_[-1] > model.history_[0]


def test_the_last_fit_can_be_fixed():
    model = GaussianMixture(2, random_state=0).fit(X)
    means = model.means_
    model.set_params(warm_start=True, fixed={"means": True}).fit(X + 0.1)
    assert (model.means_ == means).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ratio", [1.0, 1.5, 10.0, 1e4])
def test_eigenvalues_are_cut_as_brute_force_does(seed, ratio):
    rng = np.random.default_rng(seed)
    values, counts = np.exp(3 * rng.normal(size=(3, 2))), rng.uniform(0, 50, 3)
    values[0, 0] = 0.0

    def minus(found):
        return float((counts[:, None] * (np.log(found) + values / found)).sum())

    def within(v):
        return np.exp(v[0]) * ratio ** expit(v[1:]).reshape(values.shape)

    best = min(
        (minimize(lambda v: minus(within(v)), np.append(level, np.zeros(6)), method="BFGS") for level in (-3, 0, 3)),
        key=lambda result: result.fun,
    )
    found = clip_to_ratio(values, counts, ratio)
    assert found.max() <= ratio * found.min() * (1 + 1e-12)
    assert minus(found) <= best.fun + 1e-6 * abs(best.fun)
    levels = least_bound(values, counts, ratio) * np.exp(np.linspace(-5, 5, 2001))
    assert minus(found) <= min(minus(np.clip(values, level, ratio * level)) for level in levels) + 1e-9


@pytest.mark.parametrize("kind", ["full", "VVV", "diag", "VVI", "spherical", "VII"])
@pytest.mark.parametrize("ratio", [1, 4.0, 50])
def test_ratios_hold_and_em_climbs(kind, ratio):
    rows = load_iris().data
    model = GaussianMixture(4, covariance_type=kind, max_eigenvalue_ratio=ratio, random_state=0, tol=1e-7, n_init=2)
    model.fit(rows)
    assert climbs(model)
    scale = np.ones(4) if kind in ("spherical", "VII") else np.array(model.column_scales_)
    dense = model.model_.emission.covariance.dense(4, 4).covariances / (scale[:, None] * scale)
    values = np.linalg.eigvalsh(dense)
    assert values.max() <= ratio * values.min() * (1 + 1e-9)
    assert model.component_status_ == ["ok"] * 4


@pytest.mark.parametrize("kind", ["full", "diag", "spherical"])
def test_no_bound_is_no_constraint(kind):
    asked = {"covariance_type": kind, "init_params": LABELS, "reg_covar": 0}
    free = GaussianMixture(2, **asked).fit(X)
    model = GaussianMixture(2, max_eigenvalue_ratio=np.inf, **asked).fit(X)
    assert np.allclose(model.history_, free.history_, rtol=1e-12)
    assert np.allclose(model.covariances_, free.covariances_, rtol=1e-9)


def test_equal_spheres_are_a_family():
    asked = {"means_init": MEANS, "random_state": 0, "tol": 1e-10, "max_iter": 1000}
    one = GaussianMixture(3, covariance_type="spherical", max_eigenvalue_ratio=1, **asked).fit(X)
    other = GaussianMixture(3, covariance_type="EII", **asked).fit(X)
    assert np.isclose(one.log_likelihood_, other.log_likelihood_, rtol=1e-7)
    assert np.allclose(one.covariances_, other.covariances_, rtol=1e-3)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_bound_does_not_see_units(kind):
    asked = {"covariance_type": kind, "max_eigenvalue_ratio": 3.0, "tol": 1e-7, "init_params": LABELS}
    scale, shift = np.array([1e4, 1e-4]), np.array([-1e4, 3e-3])
    one, other = GaussianMixture(2, **asked).fit(X), GaussianMixture(2, **asked).fit(X * scale + shift)
    assert (one.predict(X) == other.predict(X * scale + shift)).all()
    assert np.allclose(other.means_, one.means_ * scale + shift, rtol=1e-6)


def test_a_spike_is_held():
    """Rows that are all alike make no singular component, and an empty one no error."""
    rows = np.vstack([np.zeros((30, 2)), X])
    model = GaussianMixture(4, max_eigenvalue_ratio=20.0, reg_covar=0, random_state=0, n_init=2).fit(rows)
    assert climbs(model) and np.isfinite(model.covariances_).all() and model.component_status_ == ["ok"] * 4
    assert np.linalg.eigvalsh(model.covariances_ / np.outer(model.column_scales_, model.column_scales_)).min() > 1e-6
    far = GaussianMixture(
        2, max_eigenvalue_ratio=20.0, means_init=[[3.0, 70.0], [1e6, 1e6]], weights_init=[1, 0],
        precisions_init=[np.eye(2), 1e4 * np.eye(2)],
    )  # fmt: skip
    with pytest.warns(fastem.DegenerateComponentWarning):
        far.fit(X)
    assert climbs(far)


@pytest.mark.parametrize("accelerate", [None, "anderson"])
def test_all_together(accelerate, tmp_path):
    asked = {
        "fixed": {"means": [0]}, "means_init": MEANS, "equal_weights": True, "prior": {"shrinkage": 0},
        "max_eigenvalue_ratio": 8, "accelerate": accelerate, "random_state": 0, "tol": 1e-9, "max_iter": 400,
    }  # fmt: skip
    model = GaussianMixture(3, **asked).fit(X.astype(np.float32))
    assert np.diff(model.history_).min() > -1e-6 and (model.means_[0] == MEANS[0]).all()
    assert model.n_parameters_ == 2 * 2 + 3 * 3 and (model.weights_ == 1 / 3).all()
    values = np.linalg.eigvalsh(model.covariances_ / np.outer(model.column_scales_, model.column_scales_))
    assert values.max() <= 8 * values.min() * (1 + 1e-5)
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert again.fixed == {"means": [0]} and again.n_parameters_ == model.n_parameters_
    step, same = (m.model_.m_step(m.model_.e_step(X)) for m in (model, again))
    assert np.allclose(step.emission.covariance.covariances, same.emission.covariance.covariances)


def test_any_coordinates_are_within_the_constraints():
    """What acceleration proposes keeps to them, wherever it looks."""
    rng = np.random.default_rng(0)
    fixed = {"weights": [1], "means": [0, 2], "covariances": [2]}
    model = GaussianMixture(3, fixed=fixed, max_iter=1, **START).fit(X).model_
    vector = model.to_vector()
    found = model.from_vector(vector + rng.normal(size=len(vector)))
    assert found.weights[1] == WEIGHTS[1] and np.isclose(found.weights.sum(), 1)
    assert not np.isclose(found.weights[[0, 2]], model.weights[[0, 2]]).any()
    assert (found.emission.means[[0, 2]] == MEANS[[0, 2]]).all()
    kept = found.emission.covariance.covariances == model.emission.covariance.covariances
    assert kept[2].all() and not kept[:2].any()
    model = GaussianMixture(2, covariance_type="diag", max_eigenvalue_ratio=2.0, random_state=0).fit(X)
    vector = model.model_.to_vector()
    emission = model.model_.from_vector(vector + rng.normal(size=len(vector))).emission
    values = emission.covariance.covariances / np.square(model.column_scales_)
    assert values.max() <= 2 * values.min() * (1 + 1e-9)


def test_streams_keep_constraints():
    model = GaussianMixture(2, max_eigenvalue_ratio=3.0, fixed={"means": [0]}, means_init=MEANS[:2], random_state=0)
    for rows in np.array_split(X, 4):
        model.partial_fit(rows)
    assert (model.means_[0] == MEANS[0]).all()
    scale = np.array(model.column_scales_)
    values = np.linalg.eigvalsh(model.covariances_ / (scale[:, None] * scale))
    assert values.max() <= 3 * values.min() * (1 + 1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_matter(dtype):
    rows = np.tile(X, (20, 1)).astype(dtype)
    one, two = (GaussianMixture(3, max_eigenvalue_ratio=5, random_state=0, n_threads=n).fit(rows) for n in (1, 2))
    assert (one.means_ == two.means_).all() and one.history_ == two.history_


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"equal_weights": True, "fixed": {"weights": [0]}, "weights_init": WEIGHTS}, "equal_weights.*fixed"),
        ({"equal_weights": True, "weight_concentration_prior": 2}, "equal_weights.*weight_concentration_prior"),
        ({"equal_weights": True, "weights_init": WEIGHTS}, "equal_weights.*weights_init"),
        (
            {"fixed": {"weights": True}, "weight_concentration_prior": 2, "weights_init": WEIGHTS},
            "fixed.*weight_concentration_prior",
        ),
        ({"fixed": {"weights": True}}, "Pass weights_init"),
        ({"fixed": {"means": [0]}}, "Pass means_init"),
        ({"fixed": {"means": True}, "warm_start": True}, "Pass means_init"),
        ({"fixed": {"covariances": [1]}}, "Pass precisions_init"),
        ({"fixed": {"means": [3]}, "means_init": MEANS}, "numbers from 0 to 2"),
        ({"fixed": {"means": 0.5}, "means_init": MEANS}, "numbers from 0 to 2"),
        ({"fixed": {"nu": True}}, "'nu'"),
        ({"fixed": ["means"]}, "fixed must be"),
        (
            {"fixed": {"covariances": [1]}, "covariance_type": "VEV", "precisions_init": PRECISIONS},
            "Fix all or none",
        ),
        ({"fixed": {"covariances": True}, "precisions_init": 1e9 * PRECISIONS}, "Lower reg_covar"),
        (
            {"fixed": {"covariances": True}, "precisions_init": PRECISIONS, "max_eigenvalue_ratio": 3},
            "max_eigenvalue_ratio.*fixed",
        ),
        ({"max_eigenvalue_ratio": 0.5}, "max_eigenvalue_ratio"),
        ({"max_eigenvalue_ratio": np.nan}, "max_eigenvalue_ratio"),
        ({"max_eigenvalue_ratio": 3, "covariance_type": "tied"}, "max_eigenvalue_ratio works only with .*VVI.*'tied'"),
    ],
)
def test_contradictions_are_refused(parameters, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(3, **parameters).fit(X)


def test_what_a_family_has_not_cannot_be_fixed():
    with pytest.raises(ValueError, match="PoissonMixture can fix only 'weights'"):
        fastem.PoissonMixture(2, fixed={"means": True}).fit(np.ones((5, 1)))
    with pytest.raises(TypeError, match=r"StudentTMixture: .*'max_eigenvalue_ratio'"):
        StudentTMixture(2, max_eigenvalue_ratio=2.0)
