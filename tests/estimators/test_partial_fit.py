"""partial_fit: estimators go on batch by batch, from fits, copies and files, but not with another model."""

import copy
import io
import pickle
from functools import partial

import joblib
import numpy as np
import pytest
from containers import CONTAINERS
from instances import INSTANCES
from models import MODELS, Family

import fastem
from fastem import (
    ExponentialMixture,
    GammaMixture,
    GaussianMixture,
    GeometricMixture,
    MixtureOfFactorAnalyzers,
    StudentTMixture,
    load,
)
from fastem.online import Stepwise

REGULAR = [i for i in INSTANCES if i.name in ("separated", "overlapping", "17 columns")]
OVERLAPPING = REGULAR[1]
NOISE = Family("noise", partial(GaussianMixture, noise="box"), lambda rng, n: OVERLAPPING.X[:n])


def test_partial_fit_is_stepwise():
    batches = np.array_split(np.random.default_rng(0).permutation(OVERLAPPING.X), 4)
    model = GaussianMixture(3, random_state=0)
    for batch in batches:
        assert model.partial_fit(batch) is model
    assert model.means_.shape == (3, 3) and model.predict(OVERLAPPING.X).shape == (600,)
    start_model = GaussianMixture(3, random_state=0, max_iter=0).fit(batches[0]).model_
    stream = Stepwise(start_model)
    for batch in batches:
        stream.update(batch)
    assert np.allclose(model.means_, stream.model.emission.means, rtol=1e-12)


def test_after_a_batch_nothing_is_said_of_the_rows_of_the_last_fit(tmp_path):
    X = OVERLAPPING.X
    model = GaussianMixture(3, random_state=0).fit(X[:200]).partial_fit(X[200:])
    gone = ("log_likelihood_", "log_likelihood_error_", "lower_bound_", "remaining_gain_")
    assert np.isnan([getattr(model, name) for name in gone]).all() and not model.converged_
    assert not hasattr(model, "n_samples_") and not hasattr(model, "total_weight_")
    assert "BIC" not in model.summary() and "partial_fit" in model.summary()
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz", GaussianMixture)
    assert again.summary() == model.summary() and again.score(X) == model.score(X)
    assert np.isfinite(model.fit(X).log_likelihood_) and model.n_samples_ == len(X)


def test_a_component_that_a_stream_leaves_is_named():
    rng = np.random.default_rng(0)
    model = GaussianMixture(2, random_state=0).fit(rng.normal(size=(200, 1)) + 30 * (np.arange(200)[:, None] < 40))
    assert model.component_status_ == ["ok", "ok"]
    for _ in range(200):
        model.partial_fit(rng.normal(size=(200, 1)), memory=1)
    assert sorted(status.split(":")[0] for status in model.component_status_) != ["ok", "ok"]


def test_partial_fit_with_a_memory_is_stepwise_with_it():
    batches = np.array_split(np.random.default_rng(0).permutation(OVERLAPPING.X), 10)
    model = GaussianMixture(3, random_state=0).fit(OVERLAPPING.X)
    stream = Stepwise(model.model_, memory=2, statistics=model.model_.e_step(OVERLAPPING.X))
    for batch in batches:
        model.partial_fit(batch, memory=2)
        stream.update(batch)
    assert np.allclose(model.means_, stream.model.emission.means, rtol=1e-10)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_batches_may_be_in_any_container(kind, tmp_path):
    """The bits of the array."""
    opened, named, _ = CONTAINERS[kind]
    batches = np.random.default_rng(0).normal(size=(2, 4000, 2)) + 4 * np.arange(2)[:, None, None]
    of_array, of_container = GaussianMixture(3, random_state=0), GaussianMixture(3, random_state=0)
    for i, batch in enumerate(batches):
        folder = tmp_path / str(i)
        folder.mkdir()
        of_array.partial_fit(batch)
        of_container.partial_fit(opened(folder, batch, [f"x{j}" for j in range(batch.shape[1])]))
    assert np.array_equal(of_container.means_, of_array.means_)
    assert hasattr(of_container, "feature_names_in_") == named


def test_batches_in_containers_are_checked():
    X = OVERLAPPING.X
    model = GaussianMixture(3, random_state=0).fit(X)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit([X[:50, :1], X[50:99, :1]])
    bad = X[:99].copy()
    bad[70, 1] = np.inf
    before = model.means_
    with pytest.raises(ValueError, match="infinity"):
        model.partial_fit([bad[:50], bad[50:]])
    with pytest.raises(TypeError, match="iterated over only once"):
        model.partial_fit(iter([X[:50]]))
    assert model.means_ is before
    weight = np.random.default_rng(0).uniform(0.5, 2, 99)
    weighted = GaussianMixture(3, random_state=0).fit(X).partial_fit([(X[:50], weight[:50]), (X[50:99], weight[50:])])
    assert np.array_equal(weighted.means_, model.partial_fit(X[:99], sample_weight=weight).means_)


def test_partial_fit_goes_on_from_a_fit():
    X = INSTANCES[0].X
    model = GaussianMixture(3, random_state=0, tol=1e-10).fit(X)
    before = model.means_.copy()
    model.partial_fit(X)
    assert np.allclose(model.means_, before, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :1])


def test_one_odd_batch_does_not_wipe_out_a_fit():
    X = INSTANCES[0].X
    model = GaussianMixture(3, random_state=0, tol=1e-10).fit(X)
    before = model.weights_.copy()
    own = X[model.predict(X) == 0]
    model.partial_fit(own)
    step = (len(X) / len(own) + 2) ** -0.7
    assert np.allclose(model.weights_, (1 - step) * before + step * np.eye(3)[0], atol=5e-3)


@pytest.mark.parametrize("scale", [1.0, 1e12])
def test_a_fit_counts_as_the_batches_that_it_would_have_been(scale):
    """By hand in one dimension and one component; also where the fit went in other units of the weight."""
    rng = np.random.default_rng(0)
    X, batches = rng.normal(5, 1, (1000, 1)), rng.normal(0, 1, (3, 20, 1))
    model = GaussianMixture(1).fit(X, sample_weight=np.full(1000, scale))
    mean = X.mean()
    for t, batch in enumerate(batches):
        step = (1000 / 20 + t + 2) ** -0.7
        mean = (1 - step) * mean + step * batch.mean()
        model.partial_fit(batch, sample_weight=np.full(20, scale))
        assert model.means_[0, 0] == pytest.approx(mean, rel=1e-9)


CHANGES = [
    ({}, {"n_components": 3}),
    ({}, {"covariance_type": "diag"}),
    ({}, {"noise": "box"}),
    ({"noise": "box"}, {"noise": None}),
    ({}, {"reg_covar": 0.1}),
    ({}, {"max_eigenvalue_ratio": 5.0}),
    ({}, {"equal_weights": True}),
    ({}, {"fixed": {"means": [0]}, "means_init": OVERLAPPING.X[:2]}),
]


@pytest.mark.parametrize("before, after", CHANGES, ids=str)
def test_batches_do_not_go_on_with_another_model(before, after, tmp_path):
    """It went on with the old one in silence."""
    X, name = OVERLAPPING.X, next(iter(after))
    fresh = GaussianMixture(2, random_state=0, **before).partial_fit(X)
    fresh.save(tmp_path / "model.npz")
    sentence = rf"^partial_fit goes on from a model with {name}=.*, but now {name}=.*\. Set it back, or call fit\.$"
    for model in (fresh, load(tmp_path / "model.npz"), GaussianMixture(2, random_state=0, **before).fit(X)):
        parameters, means = model.get_params(), model.means_
        with pytest.raises(ValueError, match=sentence):
            model.set_params(**after).partial_fit(X)
        assert model.means_ is means
        model.set_params(**parameters).partial_fit(X)


BAYESIAN = partial(fastem.BayesianGaussianMixture, 2, random_state=0)
OTHER_MODELS = [
    (partial(MixtureOfFactorAnalyzers, 2, random_state=0), {"n_factors": 2}),
    (partial(StudentTMixture, 2, random_state=0, degrees_of_freedom=1), {"degrees_of_freedom": 2}),
    (partial(GaussianMixture, 2, random_state=0), {"prior": {"shrinkage": 2.0}}),
    (partial(fastem.CategoricalMixture, 1, random_state=0), {"n_categories": 90}),
    *((BAYESIAN, {name: 7.0}) for name in ("weight_concentration_prior", "mean_precision_prior")),
    (BAYESIAN, {"degrees_of_freedom_prior": 7.0}),
    (BAYESIAN, {"mean_prior": [100.0, 100.0]}),
    (BAYESIAN, {"covariance_prior": 7 * np.eye(2)}),
]


@pytest.mark.parametrize("make, after", OTHER_MODELS, ids=str)
@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_batches_do_not_go_on_with_another_density_or_prior(make, after):
    X = abs(OVERLAPPING.X).round() if make.func is fastem.CategoricalMixture else OVERLAPPING.X
    model, name = make().partial_fit(X), next(iter(after))
    with pytest.raises(ValueError, match=rf"^partial_fit (goes on from a model with {name}=|.*{name})"):
        model.set_params(**after).partial_fit(X)


def test_batches_go_on_where_only_the_way_of_fitting_has_changed():
    X = OVERLAPPING.X
    model = GaussianMixture(2, random_state=0, fixed={"means": np.array([0])}, means_init=X[:2]).partial_fit(X)
    model.set_params(tol=1e-9, max_iter=3, fixed={"means": np.array([0])}, n_init=2, random_state=1).partial_fit(X)
    by_hand = GaussianMixture(2, random_state=0).fit(X)
    by_hand.weights_, by_hand.means_, by_hand.covariances_ = np.full(3, 1 / 3), X[:3], [np.eye(3)] * 3
    assert len(by_hand.set_params(n_components=3).partial_fit(X).weights_) == 3
    with_noise = GaussianMixture(2, noise="box", random_state=0).fit(X)
    arrays = with_noise.weights_, with_noise.means_, with_noise.covariances_
    named = {name: getattr(with_noise, f"{name}_") for name in ("noise_weight", "noise_box")}
    assert GaussianMixture.from_parameters(*arrays, **named).partial_fit(X).noise_weight_ > 0


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    return joblib.load(file)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("family", [*MODELS, NOISE], ids=str)
def test_copies_and_pickles_go_on_where_the_stream_was_and_leave_it(family):
    X = family.data(230)
    model = family.make(2, random_state=0, max_iter=3)
    for rows in np.split(X[:180], 3):
        model.partial_fit(rows)
    others = [duplicate(model) for duplicate in (copy.copy, copy.deepcopy, through_pickle, through_joblib)]
    scores = [other.partial_fit(X[180:]).score(X) for other in (*others, model)]
    assert len(set(scores)) == 1


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize(
    "make",
    [GaussianMixture, StudentTMixture, ExponentialMixture, GammaMixture, GeometricMixture],
    ids=lambda k: k.__name__,
)
def test_batches_do_not_go_on_from_intervals(make, tmp_path):
    rng = np.random.default_rng(0)
    X = rng.geometric(np.where(rng.random((300, 1)) < 0.5, 0.5, 0.05)).astype(float)
    model = make(2, random_state=0, max_iter=20, tol=1e-2).fit(X, lower=X, upper=X + 2)
    model.save(tmp_path / "model.npz")
    for same in (model, load(tmp_path / "model.npz")):
        with pytest.raises(ValueError, match=r"^partial_fit takes no lower and upper, with which.*from_parameters"):
            same.partial_fit(X)
    arrays = [getattr(model, name) for name in model._parameters_to_give()]
    for again in (make.from_parameters(model.weights_, *arrays), make(2, random_state=0).fit(X)):
        again.partial_fit(X).partial_fit(X)
