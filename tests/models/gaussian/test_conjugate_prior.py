"""Priors: their density against scipy's, the M-step against direct maximisation of Q + log prior, what EM climbs."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from models import MODELS
from reference import covariances_of, minus_log_likelihood
from scipy.optimize import minimize
from scipy.stats import invgamma, invwishart, multivariate_normal, ortho_group

import fastem
from fastem import GaussianMixture, Statistics
from fastem.datasets import load_faithful, load_iris
from fastem.models.gaussian.conjugate_prior import ConjugatePrior
from fastem.models.gaussian.constrained import ConstrainedGaussian
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.diagonal import Diagonal, Spherical
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.models.mixture import Mixture
from fastem.models.weights import Shares
from fastem.online import incremental_em
from fastem.starts.diagnosis import best_sound

K, D = 2, 2
PRIOR = ConjugatePrior(np.array([1.0, -1.0]), 3.0, 7.0, np.array([[2.0, 0.6], [0.6, 1.0]]))
ROUND = ConjugatePrior(PRIOR.mean, 3.0, 7.0, 1.5 * np.eye(2))
X = load_faithful().data
# LogLikelihoodFell is a RuntimeWarning
pytestmark = pytest.mark.filterwarnings("error::fastem.LogLikelihoodFell", "ignore::fastem.ConvergenceWarning")


def prior_of(name):
    return ROUND if issubclass(FAMILIES[name], Diagonal) else PRIOR


def log_density(name, means, covariances):
    """The prior's, by scipy: of the common covariance once, of each one's own otherwise."""
    prior = prior_of(name)
    total = sum(multivariate_normal(prior.mean, c / prior.shrinkage).logpdf(m) for m, c in zip(means, covariances))
    for c in covariances[:1] if FAMILIES[name].shared else covariances:
        if issubclass(FAMILIES[name], Diagonal):
            variances = np.diagonal(c)[: 1 if issubclass(FAMILIES[name], Spherical) else None]
            total += invgamma(prior.dof / 2, scale=ROUND.scale[0, 0] / 2).logpdf(variances).sum()
        else:
            total += invwishart(prior.dof, prior.scale).logpdf(c)
    return total


def member(name, seed):
    """A mixture of the family with the prior, and its dense covariances."""
    rng = np.random.default_rng(seed)
    frames = ortho_group.rvs(D, size=K, random_state=rng)
    dense = covariances_of(name, 0.3 * rng.normal(size=FAMILIES[name].n_parameters(K, D)), K, D, frames)
    structure = FAMILIES[name]
    own = dense[0] if name == "EEE" else dense
    if issubclass(structure, Diagonal):
        own = dense[:, 0, 0] if issubclass(structure, Spherical) else np.diagonal(dense, axis1=1, axis2=2)
    covariance = structure.from_covariances(own.copy(), np.zeros(D))
    free = np.zeros(K, dtype=bool)
    emission = ConstrainedGaussian(rng.normal(size=(K, D)), covariance, np.zeros(D), free, free, prior_of(name))
    return Mixture(np.array([0.4, 0.6]), emission), dense


def minus_log_prior(name, means, covariances):
    """Minus twice the same up to a constant, quickly."""
    prior = prior_of(name)
    _, log_det = np.linalg.slogdet(covariances)
    inverse = np.linalg.inv(covariances)
    step = means - prior.mean
    value = log_det.sum() + prior.shrinkage * np.einsum("ki,kij,kj", step, inverse, step)
    own = slice(1) if FAMILIES[name].shared else slice(None)
    if issubclass(FAMILIES[name], Diagonal):
        each = slice(1) if issubclass(FAMILIES[name], Spherical) else slice(None)
        variances = np.diagonal(covariances, axis1=1, axis2=2)[own, each]
        return value + ((prior.dof + 2) * np.log(variances) + prior.scale[0, 0] / variances).sum()
    return value + (prior.dof + D + 1) * log_det[own].sum() + (inverse[own] * prior.scale).sum()


@pytest.mark.parametrize("name", FAMILIES)
def test_log_prior_is_the_density(name):
    """Up to a constant: differences between two models are scipy's."""
    (one, dense), (other, dense2) = member(name, 1), member(name, 2)
    expected = log_density(name, other.emission.means, dense2) - log_density(name, one.emission.means, dense)
    assert np.isclose(other.log_prior() - one.log_prior(), expected)
    quickly = minus_log_prior(name, one.emission.means, dense) - minus_log_prior(name, other.emission.means, dense2)
    assert np.isclose(quickly / 2, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_m_step_maximises_the_posterior(name):
    model, _ = member(name, 1)
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(25, D)) * [1.0, 2.0] + [0.5, 0.0]
    r = model.posterior(rows)

    def minus(means, covariances):
        centred = rows - means[:, None]
        scatter = np.swapaxes(r.T[:, :, None] * centred, 1, 2) @ centred
        return (
            minus_log_likelihood(covariances, np.ones(K), scatter)
            + minus_log_prior(name, means, covariances)
            + (r.sum(axis=0) - 1) @ np.linalg.slogdet(covariances)[1]
        )

    emission = model.m_step(model.e_step(rows)).emission
    value = minus(emission.means, emission.covariance.dense(K, D).covariances)
    size, best = FAMILIES[name].n_parameters(K, D), np.inf
    for _ in range(2):
        frames = ortho_group.rvs(D, size=K, random_state=rng)
        found = minimize(
            lambda v, frames=frames: minus(v[: K * D].reshape(K, D), covariances_of(name, v[K * D :], K, D, frames)),
            np.concatenate([np.zeros(K * D), 0.1 * rng.normal(size=size)]),
            method="BFGS",
        )
        best = min(best, found.fun)
    assert abs(value - best) < 1e-4


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("accelerate", [None, "squarem"])
def test_em_climbs_the_posterior(name, accelerate):
    """What is monitored never falls and is the log-likelihood plus the log-prior of the model that is returned."""
    model = GaussianMixture(
        3, covariance_type=name, prior="default", weight_concentration_prior=2.5, random_state=0, tol=1e-8,
        accelerate=accelerate, max_iter=300,
    ).fit(X)  # fmt: skip
    assert np.diff(model.history_).min() > -1e-10
    expected = (model.log_likelihood_ + model.model_.log_prior()) / len(X)
    assert np.isclose(model.lower_bound_, expected, rtol=1e-12)
    assert np.isclose(model.log_likelihood_, model.score_samples(X).sum())
    assert all(step.e_gain > -1e-9 for step in model.steps_)
    assert all(step.m_gain > -1e-9 for step in model.steps_ if not step.accelerated)


def test_the_default_is_mclusts():
    rows, k = load_iris().data, 3
    prior = GaussianMixture(k, prior="default", random_state=0).fit(rows).prior_
    assert np.allclose(prior["mean"], rows.mean(axis=0)) and (prior["shrinkage"], prior["dof"]) == (0.01, 6)
    assert np.allclose(prior["scale"], np.cov(rows.T) / np.sqrt(k))
    diagonal = GaussianMixture(k, covariance_type="diag", prior="default", random_state=0).fit(rows).prior_
    assert np.allclose(diagonal["scale"], np.cov(rows.T).trace() / 4 / np.sqrt(k) * np.eye(4))


def map_of_iris(name, of_mclust):
    """The log-likelihood at the end of EM on iris, K = 3, with the default prior: the M-step written out, as Fraley and
    Raftery define the posterior, or as the code of mclust has it."""
    rows, k = load_iris().data, 3
    (n, d), centre, shrinkage, dof = rows.shape, rows.mean(axis=0), 0.01, 6
    scale = np.cov(rows.T).trace() / d / np.sqrt(k)
    r = np.eye(k)[np.repeat(range(k), 50)]
    for _ in range(200):
        counts = r.sum(axis=0)
        means = (r.T @ rows) / counts[:, None]
        squares = (r[:, :, None] * (rows[:, None] - means) ** 2).sum(axis=(0, 1))
        squares += (counts * shrinkage / (counts + shrinkage)) @ (centre - means) ** 2
        if name == "EII":
            own = 0 if of_mclust else scale
            variances = np.full(d, (squares.sum() + own) / (dof + 2 + (n + k) * d))
        else:
            variances = (squares + scale) / (dof + 2 + n + (0 if of_mclust else k))
        if name == "EII" or not of_mclust:
            means = (counts[:, None] * means + shrinkage * centre) / (counts + shrinkage)[:, None]
        log_p = np.log(counts / n) - 0.5 * np.log(2 * np.pi * variances).sum()
        log_p = log_p - 0.5 * ((rows[:, None] - means) ** 2 / variances).sum(axis=2)
        total = np.logaddexp.reduce(log_p, axis=1)
        r = np.exp(log_p - total[:, None])
    return total.sum()


@pytest.mark.parametrize("name, mclusts", [("EII", -401.953), ("EEI", -362.151)])
def test_where_mclust_leaves_the_posterior_mode(name, mclusts):
    start = {"init_params": np.repeat(range(3), 50), "tol": 1e-12, "max_iter": 1000}
    model = GaussianMixture(3, covariance_type=name, prior="default", **start).fit(load_iris().data)
    assert np.isclose(model.log_likelihood_, map_of_iris(name, of_mclust=False), atol=1e-4)
    assert np.isclose(mclusts, map_of_iris(name, of_mclust=True), atol=1e-3)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "VEV"])
def test_a_prior_vanishes_beside_many_rows(name):
    start = {"means_init": X[[0, 1]], "init_params": (X[:, 0] > 3).astype(int), "tol": 1e-10, "max_iter": 500}
    weight = np.full(len(X), 1e7)
    free = GaussianMixture(2, covariance_type=name, **start).fit(X, sample_weight=weight)
    drawn = GaussianMixture(
        2, covariance_type=name, prior="default", weight_concentration_prior=5, **start
    ).fit(X, sample_weight=weight)  # fmt: skip
    assert np.allclose(free.means_, drawn.means_, rtol=1e-5)
    assert np.allclose(free.covariances_, drawn.covariances_, rtol=1e-5, atol=1e-6)
    assert np.allclose(free.weights_, drawn.weights_, rtol=1e-5)


def test_a_weight_counts_as_rows():
    twice = {"prior": "default", "random_state": 0, "tol": 1e-9, "init_params": (X[:, 0] > 3).astype(int)}
    weighted = GaussianMixture(2, **twice).fit(X, sample_weight=np.full(len(X), 2.0))
    twice["init_params"] = np.tile(twice["init_params"], 2)
    repeated = GaussianMixture(2, **twice).fit(np.vstack([X, X]))
    assert np.allclose(weighted.covariances_, repeated.covariances_, rtol=1e-7)


@pytest.mark.parametrize("scale", [1e-5, 1e5])
@pytest.mark.parametrize("name", ["full", "diag", "VEV"])
def test_units_do_not_matter(name, scale):
    asked = {"covariance_type": name, "prior": "default", "random_state": 0, "tol": 1e-8, "accelerate": None}
    one, other = GaussianMixture(3, **asked).fit(X), GaussianMixture(3, **asked).fit(X * scale + 7 * scale)
    assert (one.predict(X) == other.predict(X * scale + 7 * scale)).all()
    assert np.allclose(other.means_, (one.means_ + 7) * scale, rtol=1e-5)


def test_few_rows_are_enough():
    """Where the likelihood has no maximum the posterior has one: all rows of a component alike."""
    rows = np.vstack([np.zeros((4, 2)), X[:60]])
    model = GaussianMixture(4, prior="default", random_state=0).fit(rows)
    assert model.component_status_ == ["ok"] * 4


@pytest.mark.parametrize("held", [None, [True, False, False, False]])
def test_weights_maximise_the_posterior(held):
    counts, before = np.array([3.0, 10.0, 0.5, 6.0]), np.array([0.4, 0.3, 0.2, 0.1])
    shares = Shares(np.array([0.0, 2.0, 5.0, 1.0]), None if held is None else np.array(held))

    def weights_of(v):
        if held is None:
            return np.exp(v) / np.exp(v).sum()
        return np.append(0.4, 0.6 * np.exp(v[1:]) / np.exp(v[1:]).sum())

    found = shares.m_step(counts, before)
    best = minimize(lambda v: -counts @ np.log(weights_of(v)) - shares.log_prior(weights_of(v)), np.zeros(4), tol=1e-10)
    assert np.allclose(found, weights_of(best.x), atol=1e-5)
    assert np.isclose(found.sum(), 1)


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_weights_of_every_family_are_drawn_together(family):
    rows = family.data(120)
    model = family.make(2, weight_concentration_prior=1e9, random_state=0, max_iter=5).fit(rows)
    assert np.allclose(model.weights_, 0.5, atol=1e-5)
    assert np.diff(model.history_).min() > -1e-6 * (1 + abs(model.history_[0]))


def test_every_driver_climbs_the_posterior():
    start = GaussianMixture(3, prior="default", weight_concentration_prior=3, random_state=0, max_iter=0).fit(X).model_
    result = incremental_em(start, X, n_blocks=4, tol=1e-10, max_iter=500)
    assert np.diff(result.history).min() > -1e-10
    for accelerate in (None, "anderson", "squarem"):
        other = fastem.em(start, X, tol=1e-10, max_iter=1000, accelerate=accelerate)
        assert np.diff(other.history).min() > -1e-10
        assert np.isclose(result.history[-1], other.history[-1], atol=1e-7)


def test_the_best_restart_has_the_best_posterior():
    """Not the best likelihood, which the model without a prior has."""
    drawn, free = (
        GaussianMixture(3, covariance_type="diag", init_params="random", random_state=0, prior=prior, tol=1e-8).fit(X)
        for prior in ({"scale": 9.0, "dof": 50}, None)
    )
    other = replace(drawn.model_, emission=replace(drawn.model_.emission, means=free.means_))
    other = replace(other, emission=replace(other.emission, covariance=free.model_.emission.covariance))
    results = [fastem.em(model, X, max_iter=0) for model in (other, drawn.model_)]
    assert results[0].log_likelihood > results[1].log_likelihood
    assert best_sound(results, len(X)) is results[1]


def test_a_model_of_ones_own_may_have_a_prior():
    class Mean:
        def __init__(self, at):
            self.at = at

        def e_step(self, X, sample_weight):
            residual = X - self.at
            return Statistics(
                first=X.sum(), weight=len(X), log_likelihood=-0.5 * (residual**2).sum() - 0.9189385 * len(X)
            )

        def log_prior(self):
            return -0.5 * 5 * self.at**2

        def m_step(self, statistics):
            return Mean(statistics.first / (statistics.weight + 5))

    rows = np.full((5, 1), 2.0)
    result = fastem.em(Mean(0.0), rows)
    assert np.isclose(result.model.at, 1)
    assert np.isclose(result.history[-1], (result.log_likelihood - 2.5) / 5)
    assert np.isclose(result.log_likelihood, -2.5 - 0.9189385 * 5)


@pytest.mark.parametrize("prior", ["default", {"scale": 3.0, "mean": np.array([3.0, 70.0])}])
def test_a_file_keeps_the_prior(prior, tmp_path):
    model = GaussianMixture(2, covariance_type="diag", prior=prior, weight_concentration_prior=2.0, random_state=0)
    model.fit(X).save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert np.isclose(again.model_.log_prior(), model.model_.log_prior())
    assert np.isclose(pickle.loads(pickle.dumps(model)).model_.log_prior(), model.model_.log_prior())
    assert again.get_params()["weight_concentration_prior"] == 2.0 and again.prior_ == model.prior_


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_matter(dtype):
    rows = np.tile(X, (20, 1)).astype(dtype)
    one, two = (GaussianMixture(3, prior="default", random_state=0, n_threads=n).fit(rows) for n in (1, 2))
    assert (one.means_ == two.means_).all() and one.history_ == two.history_


@pytest.mark.parametrize(
    "parameters, words",
    [
        ({"prior": "mclust"}, "prior must be None, 'default' or a dict"),
        ({"prior": {"strength": 1}}, "'strength'"),
        ({"prior": {"dof": -1}}, "prior\\['dof'\\]"),
        ({"prior": {"shrinkage": np.inf}}, "prior\\['shrinkage'\\]"),
        ({"prior": {"mean": [1, 2, 3]}}, "prior\\['mean'\\] must hold 2"),
        ({"prior": {"scale": [[1, 2], [2, 1]]}}, "prior\\['scale'\\] must be symmetric and positive"),
        ({"prior": {"scale": np.eye(2)}, "covariance_type": "diag"}, "its shape is \\(2, 2\\)"),
        ({"prior": {"scale": [1, 1]}, "covariance_type": "spherical"}, "a number for this covariance_type"),
        ({"weight_concentration_prior": 0.5}, "at least 1"),
        ({"weight_concentration_prior": [1, 2, 3]}, "one number or 2 numbers, each at least 1"),
        ({"weight_concentration_prior": np.nan}, "at least 1"),
        ({"weight_concentration_prior": 2, "weights_init": [0, 1]}, "weights_init contains a weight of 0"),
    ],
)
def test_a_prior_that_is_none_is_refused(parameters, words):
    with pytest.raises(ValueError, match=words):
        GaussianMixture(2, **parameters).fit(X)


def test_where_a_prior_has_no_meaning_it_is_refused():
    with pytest.raises(TypeError, match=r"StudentTMixture: .* argument 'prior'"):
        fastem.StudentTMixture(2, prior="default").fit(X)
    with pytest.raises(ValueError, match="partial_fit averages"):
        GaussianMixture(2, prior="default").partial_fit(X)
    with pytest.raises(ValueError, match="The strength of a prior is a number of rows"):
        GaussianMixture(2, prior="default").fit(X, sample_weight=np.full(len(X), 1e20))


@pytest.mark.parametrize("structure", [Full, Diagonal])
def test_parameters_too_far_from_a_prior_have_none_of_its_density(structure):
    prior = ConjugatePrior(np.full(2, 1e150), 0.01, 4.0, np.eye(2))
    narrow = np.full((1, 2), 1e-20)
    covariance = structure.from_covariances(
        narrow if structure is Diagonal else narrow[..., None] * np.eye(2), 0 * narrow[0]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert prior.log_density(covariance, np.zeros((1, 2))) == -np.inf
