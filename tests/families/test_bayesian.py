"""BayesianGaussianMixture: equal to the reference and to scikit-learn, a bound of the evidence, and what follows."""

import warnings
from itertools import product

import numpy as np
import pytest
import reference
from scipy.special import gammaln, logsumexp
from sklearn.mixture import BayesianGaussianMixture as ScikitLearns

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.driver.model import log_prior_error

pytestmark = pytest.mark.filterwarnings("ignore::fastem.errors.ConvergenceWarning")

TYPES = ["full", "tied", "diag", "spherical"]
PROCESS, DIRICHLET = "dirichlet_process", "dirichlet_distribution"
each_type = pytest.mark.parametrize("covariance_type", TYPES)
each_prior = pytest.mark.parametrize("prior_type", [PROCESS, DIRICHLET])
LEARNED = [
    "weights_",
    "weight_concentration_",
    "mean_precision_",
    "means_",
    "degrees_of_freedom_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "mean_prior_",
    "covariance_prior_",
    "weight_concentration_prior_",
    "mean_precision_prior_",
    "degrees_of_freedom_prior_",
]


def groups(n=300, d=3, seed=0, K=3, apart=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + apart * rng.normal(size=(K, d))[rng.integers(K, size=n)]


def shares_of(n, K, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(K, 0.5), n)


def after_steps(X, resp, steps, **parameters):
    """Fitted with so many steps after the M-step from the responsibilities."""
    settings = {"tol": 0, "max_iter": steps, "accelerate": None, "stop": "log_likelihood", "init_params": resp}
    fit = {name: parameters.pop(name) for name in ("sample_weight",) if name in parameters}
    return BayesianGaussianMixture(resp.shape[1], **settings | parameters).fit(X, **fit)


def close(actual, wanted, tolerance=1e-10):
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=tolerance * scale)


class FromResponsibilities(ScikitLearns):
    """scikit-learn's, from given responsibilities."""

    start = None

    def _initialize_parameters(self, X, random_state, xp=None):
        self._initialize(X, self.start)


# ---- equal to others ------------------------------------------------------------------------------------------------


@each_prior
@each_type
def test_scikit_learns_parameters(covariance_type, prior_type):
    X, resp = groups(), shares_of(300, 4)
    parameters = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "reg_covar": 0}
    ours = after_steps(X, resp, 30, predictive="plug-in", **parameters)
    theirs = FromResponsibilities(n_components=4, tol=0, max_iter=30, **parameters)
    theirs.start = resp
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X)
    for name in LEARNED:
        close(getattr(ours, name), getattr(theirs, name))
    close(ours.predict_proba(X), theirs.predict_proba(X))
    close(ours.score_samples(X), theirs.score_samples(X))
    assert (ours.predict(X) == theirs.predict(X)).all()


@each_prior
@each_type
def test_each_step_is_that_of_the_reference(covariance_type, prior_type):
    X, K, d = groups(n=60), 3, 3
    weight = np.random.default_rng(1).integers(1, 4, len(X)).astype(float)
    a, beta0, nu0, m0, scale = 0.7, 2.0, 4.5, np.array([0.5, -1, 2]), np.diag([1.0, 2, 3])
    given = {"full": scale + 0.3, "tied": scale + 0.3, "diag": np.diagonal(scale), "spherical": 2.0}[covariance_type]
    scale = scale + 0.3 if covariance_type in ("full", "tied") else np.diag(np.broadcast_to(given, d))
    prior, resp = (a, beta0, m0, nu0, scale), shares_of(len(X), K)
    ours = after_steps(
        X,
        resp,
        5,
        sample_weight=weight,
        covariance_type=covariance_type,
        weight_concentration_prior_type=prior_type,
        weight_concentration_prior=a,
        mean_precision_prior=beta0,
        mean_prior=m0,
        degrees_of_freedom_prior=nu0,
        covariance_prior=given,
    )
    process = prior_type == PROCESS
    posterior = reference.variational_m_step(X, weight[:, None] * resp, prior, covariance_type, process)
    bounds = []
    for _ in range(6):
        last = posterior
        posterior, bound = reference.variational_step(X, last, prior, covariance_type, process, weight)
        bounds.append(bound / weight.sum())
    close(ours.history_, bounds, 1e-12)
    concentration, beta, m, nu, inverse = last
    close(ours.weight_concentration_, concentration)
    close(ours.mean_precision_, beta)
    close(ours.means_, m)
    close(ours.degrees_of_freedom_, nu[0] if covariance_type == "tied" else nu)
    close(ours.model_.emission.dense_covariances(), inverse / nu[:, None, None])
    steps = [step.bound for step in ours.steps_]
    assert (np.diff(bounds) >= -1e-12).all()
    assert (np.array(steps) >= np.array(bounds[:-1]) - 1e-12).all()
    assert (np.array(steps) <= np.array(bounds[1:]) + 1e-12).all()


# ---- a bound of the evidence ----------------------------------------------------------------------------------------


@each_prior
def test_one_component_gives_the_log_evidence(prior_type):
    X = groups(n=40)
    model = BayesianGaussianMixture(1, weight_concentration_prior_type=prior_type, max_iter=3).fit(X)
    prior = (1.0, 1.0, X.mean(axis=0), 3.0, np.cov(X.T))
    evidence = reference.normal_wishart_evidence(X, prior)
    if prior_type == PROCESS:  # the rows also chose the first stick, of a process that goes on: 1 / (n + 1) a = 1
        evidence -= np.log(len(X) + 1)
    assert model.lower_bound_ * len(X) == pytest.approx(evidence, rel=1e-10)
    assert model.history_[0] == pytest.approx(model.lower_bound_, rel=1e-12)


@pytest.mark.parametrize("K", [2, 3])
def test_the_gap_is_the_divergence_from_the_posterior(K):
    """d = 1 and few rows: log p(X) by summing over all assignments; the gap is KL(q(z) || p(z | X)) + what
    q(parameters) lacks given z."""
    X, a, beta0, m0, nu0, scale = np.array([[-1.0], [0.2], [2.0]]), 0.8, 0.5, 0.3, 1.7, 0.9
    prior = (a, beta0, np.array([m0]), nu0, np.array([[scale]]))

    def log_joint(z):  # log p(X, z): Dirichlet-multinomial times the evidence of each component's rows
        counts = np.bincount(z, minlength=K)
        total = gammaln(K * a) - gammaln(K * a + len(z)) + (gammaln(a + counts) - gammaln(a)).sum()
        return total + sum(reference.normal_wishart_evidence(X[z == k], prior) for k in range(K) if counts[k])

    assignments = [np.array(z) for z in product(range(K), repeat=len(X))]
    joint = np.array([log_joint(z) for z in assignments])
    evidence = logsumexp(joint)
    model = BayesianGaussianMixture(
        K,
        weight_concentration_prior_type=DIRICHLET,
        weight_concentration_prior=a,
        mean_precision_prior=beta0,
        mean_prior=[m0],
        degrees_of_freedom_prior=nu0,
        covariance_prior=[[scale]],
        init_params=shares_of(len(X), K, seed=3),
        tol=1e-13,
        max_iter=5000,
    ).fit(X)
    bound = model.lower_bound_ * len(X)
    assert bound < evidence
    r = model.predict_proba(X)
    log_q = np.array([np.log([r[n, k] for n, k in enumerate(z)]).sum() for z in assignments])
    q = np.exp(log_q)
    # KL(q(z) q(t) || p(z, t | X)) = KL(q(z) || p(z | X)) + E_z KL(q(t) || p(t | X, z)); given z the posterior of t is
    # the M-step of z, so its divergence is one between two posteriors of the same kind
    learned = (
        model.weight_concentration_,
        model.mean_precision_,
        model.means_,
        model.degrees_of_freedom_,
        model.covariances_ * model.degrees_of_freedom_[:, None, None],
    )
    of_z = q @ (log_q - (joint - evidence))
    of_parameters = 0.0
    for z, share in zip(assignments, q):
        given = reference.variational_m_step(X, np.eye(K)[z], prior, "full", False)
        of_parameters += share * divergence_between(learned, given)
    assert evidence - bound == pytest.approx(of_z + of_parameters, rel=1e-8)


def divergence_between(q, p):
    """KL of one posterior from another, component by component."""
    total = 0.0
    a, a0 = q[0], p[0]
    total += gammaln(a.sum()) - gammaln(a).sum() - gammaln(a0.sum()) + gammaln(a0).sum()
    total += (a - a0) @ reference.expected_log_weights(a)
    for k in range(len(a)):
        one = tuple(part[k : k + 1] for part in q[1:])
        prior = (1.0, p[1][k], p[2][k], p[3][k], p[4][k])
        total += reference.variational_divergence(prior, np.array([1.0]), *one)
    return total


def test_the_evidence_of_few_rows_by_quadrature():
    """The closed form of the reference: integrated over mean and precision."""
    from scipy.integrate import quad
    from scipy.stats import gamma, norm

    X, beta0, m0, nu0, scale = np.array([-1.0, 0.2]), 0.5, 0.3, 1.7, 0.9

    def given_precision(precision):
        def integrand(mean):
            likelihood = norm.pdf(X, mean, precision**-0.5).prod()
            return likelihood * norm.pdf(mean, m0, (beta0 * precision) ** -0.5)

        width = 30 / np.sqrt(precision)
        return quad(integrand, -width, width, points=[0.0], limit=200)[0] * gamma.pdf(
            precision, nu0 / 2, scale=2 / scale
        )

    evidence = np.log(quad(given_precision, 0, 60, limit=200)[0])
    prior = (1.0, beta0, np.array([m0]), nu0, np.array([[scale]]))
    assert reference.normal_wishart_evidence(X[:, None], prior) == pytest.approx(evidence, rel=1e-5)


@each_prior
@each_type
@pytest.mark.parametrize("kind", ["weights", "missing", "float32", "chunks"])
def test_the_bound_never_falls(covariance_type, prior_type, kind):
    X, weight = groups(n=200), None
    if kind == "weights":
        weight = np.random.default_rng(0).exponential(size=len(X))
    if kind == "missing":
        X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    if kind == "float32":
        X = X.astype(np.float32)
    rows = (lambda: iter([X[:70], X[70:]])) if kind == "chunks" else X
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type, "random_state": 0}
    for n_threads in (1, 2):
        model = BayesianGaussianMixture(5, tol=1e-7, n_threads=n_threads, **settings).fit(rows, sample_weight=weight)
        falls = 1e-5 if kind == "float32" else 1e-11
        assert (np.diff(model.history_) >= -falls).all()
        assert "fell" not in model.stop_reason_
        if n_threads == 1:
            first = model
    assert np.array_equal(first.means_, model.means_) and first.history_ == model.history_


@each_type
def test_integer_weights_are_repeated_rows(covariance_type):
    X, resp = groups(n=80), shares_of(80, 3)
    weight = np.random.default_rng(2).integers(1, 4, len(X))
    times = np.repeat(np.arange(len(X)), weight)
    weighed = after_steps(X, resp, 10, covariance_type=covariance_type, sample_weight=weight)
    repeated = after_steps(X[times], resp[times], 10, covariance_type=covariance_type)
    assert weighed.lower_bound_ == pytest.approx(repeated.lower_bound_, rel=1e-11)
    for name in LEARNED:
        close(getattr(weighed, name), getattr(repeated, name))


@pytest.mark.parametrize("seed", range(2))
def test_the_bound_peaks_at_the_number_of_groups(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(500, 2)) + 6 * np.array([[0, 0], [1, 0], [0, 1]])[rng.integers(3, size=500)]
    settings = {"weight_concentration_prior_type": DIRICHLET, "tol": 1e-6, "random_state": 0}
    bounds = [BayesianGaussianMixture(K, **settings).fit(X).lower_bound_ for K in range(1, 6)]
    assert np.argmax(bounds) == 2


# ---- predictive -----------------------------------------------------------------------------------------------------


@each_prior
@each_type
def test_the_predictive_density_is_the_mean_over_the_posterior(covariance_type, prior_type):
    from scipy.stats import multivariate_t

    X, d = groups(n=50), 3
    settings = {"covariance_type": covariance_type, "weight_concentration_prior_type": prior_type}
    model = BayesianGaussianMixture(2, random_state=0, **settings).fit(X)
    freedom = np.broadcast_to(model.degrees_of_freedom_, 2)
    dense = model.model_.emission.dense_covariances()
    density = 0.0
    for k in range(2):
        nu, beta = freedom[k] + 1 - d, model.mean_precision_[k]
        shape = (1 + beta) / (nu * beta) * freedom[k] * dense[k]
        density += model.weights_[k] * multivariate_t(model.means_[k], shape, nu).pdf(X)
    close(model.score_samples(X), np.log(density))
    gaps = X.copy()
    gaps[:10, 1], gaps[10, :] = np.nan, np.nan
    scores = model.score_samples(gaps)
    assert np.array_equal(scores[11:], model.score_samples(X[11:])) and scores[10] == 0
    assert (scores[:10] > model.score_samples(X)[:10] - 10).all()


def test_the_predictive_density_by_simulation():
    X = groups(n=20, d=2, K=2)
    model = BayesianGaussianMixture(2, weight_concentration_prior_type=DIRICHLET, random_state=0).fit(X)
    from scipy.stats import multivariate_normal, wishart

    rng, draws, x = np.random.default_rng(0), 4000, X[0]
    density = np.zeros(draws)
    for k in range(2):
        W = np.linalg.inv(model.covariances_[k] * model.degrees_of_freedom_[k])
        for i, precision in enumerate(wishart(model.degrees_of_freedom_[k], W).rvs(draws, random_state=rng)):
            covariance = np.linalg.inv(precision)
            mean = rng.multivariate_normal(model.means_[k], covariance / model.mean_precision_[k])
            density[i] += model.weights_[k] * multivariate_normal(mean, covariance).pdf(x)
    error = density.std() / np.sqrt(draws) / density.mean()
    assert abs(np.log(density.mean()) - model.score_samples(X[:1])[0]) < 4 * error


def test_the_predictive_density_is_better_than_the_plug_in_on_new_rows():
    gains, gains_of_bound = [], []
    for seed in range(20):
        X = groups(n=1040, d=4, K=3, seed=seed)
        model = BayesianGaussianMixture(3, random_state=0).fit(X[:40])
        exact = model.score(X[40:])
        gains.append(exact - model.to_mixture().score(X[40:]))
        gains_of_bound.append(exact - model.set_params(predictive="plug-in").score(X[40:]))
    assert np.mean(gains) > 0.05 and np.mean(gains_of_bound) > 0.05


def test_samples_are_of_the_predictive_density():
    X = groups(n=12, d=1, K=1)
    model = BayesianGaussianMixture(1, random_state=0, degrees_of_freedom_prior=0.5).fit(X)
    drawn, _ = model.sample(20000, random_state=0)
    assert np.isclose((model.score_samples(drawn) > model.score_samples(drawn[:1])).mean(), 0.5, atol=0.5)
    wide = np.quantile(np.abs(drawn - model.means_[0]), 0.995)
    plugged, _ = model.set_params(predictive="plug-in").sample(20000, random_state=0)
    assert wide > 1.15 * np.quantile(np.abs(plugged - model.means_[0]), 0.995)


# ---- components -----------------------------------------------------------------------------------------------------


def test_components_without_rows_are_no_fault_and_can_be_pruned():
    X = groups(n=400, d=2, K=2, apart=8.0)
    model = BayesianGaussianMixture(8, weight_concentration_prior=1e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", fastem.DegenerateComponentWarning)
        model.fit(X)
    assert model.n_components_ == 2 and model.component_status_ == ["ok"] * 8
    small = model.prune()
    assert small.n_components == small.n_components_ == 2 and small.weights_.sum() == pytest.approx(1)
    assert small.score(X) == pytest.approx(model.score(X), abs=5e-3)
    assert (small.means_[small.predict(X)] == model.means_[model.predict(X)]).all()
    again = small.set_params(warm_start=True, tol=1e-9).fit(X)
    assert again.n_components_ == 2


@each_type
def test_the_plug_in_mixture(covariance_type):
    X = groups()
    model = BayesianGaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    mixture = model.to_mixture()
    assert type(mixture) is GaussianMixture
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert np.array_equal(getattr(mixture, name), getattr(model, name))


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters, message",
    [
        (
            {"weight_concentration_prior": 0.0},
            "'weight_concentration_prior' parameter of BayesianGaussianMixture must be",
        ),
        ({"weight_concentration_prior": [1.0, 2.0]}, "must be None or a float in the range"),
        ({"mean_precision_prior": -1.0}, "'mean_precision_prior' parameter of BayesianGaussianMixture must be None or"),
        ({"weight_concentration_prior_type": "dirichlet"}, "'weight_concentration_prior_type' parameter"),
        ({"covariance_type": "VVV"}, "'covariance_type' parameter"),
        ({"predictive": "true"}, "'predictive' parameter"),
        ({"mean_prior": [1.0]}, r"The parameter 'means' should have the shape of \(3,\), but got \(1,\)"),
        (
            {"degrees_of_freedom_prior": 2.0},
            r"The parameter 'degrees_of_freedom_prior' should be greater than 2, but got 2.000.",
        ),
        ({"covariance_prior": np.eye(2)}, r"The parameter 'full covariance_prior' should have the shape of \(3, 3\)"),
        ({"covariance_prior": -np.eye(3)}, "'full precision' should be symmetric, positive-definite"),
        (
            {"covariance_prior": np.eye(3), "covariance_type": "diag"},
            "'diag covariance_prior' should have the shape of",
        ),
        ({"covariance_prior": [1, 0, 1], "covariance_type": "diag"}, "'diag precision' should be positive"),
        ({"covariance_prior": -1.0, "covariance_type": "spherical"}, "'spherical precision' should be positive"),
    ],
    ids=str,
)
def test_priors_that_are_none(parameters, message):
    with pytest.raises(ValueError, match=message):
        BayesianGaussianMixture(2, **parameters).fit(groups())


@pytest.mark.parametrize("name", ["fixed", "prior", "noise", "equal_weights", "on_collapse"])
def test_what_has_no_meaning_beside_a_posterior_is_refused_by_name(name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        BayesianGaussianMixture(2, **{name: None})


# ---- streams and files ----------------------------------------------------------------------------------------------


def test_a_file_holds_the_posterior(tmp_path):
    X = groups()
    for covariance_type, prior_type in product(TYPES, (PROCESS, DIRICHLET)):
        model = BayesianGaussianMixture(
            3, covariance_type=covariance_type, weight_concentration_prior_type=prior_type, random_state=0
        ).fit(X)
        model.save(tmp_path / "model.npz")
        again = fastem.load(tmp_path / "model.npz")
        for name in LEARNED:
            assert np.array_equal(getattr(again, name), getattr(model, name)), name
        assert np.array_equal(again.score_samples(X), model.score_samples(X))
        assert np.array_equal(again.predict_proba(X), model.predict_proba(X))


def test_attributes_set_by_hand_make_the_posterior():
    X = groups()
    model = BayesianGaussianMixture(3, random_state=0).fit(X)
    again = BayesianGaussianMixture(3)
    for name in ("weights_", *model._parameters_to_give()):
        setattr(again, name, getattr(model, name))
    assert np.array_equal(again.score_samples(X), model.score_samples(X))
    again.mean_precision_ = np.zeros(3)
    with pytest.raises(ValueError, match="mean_precision_ must be greater than 0"):
        again.predict(X)


def test_a_component_holds_rows_from_one_on():
    model = BayesianGaussianMixture(4, random_state=0).fit(groups())
    model.mean_precision_ = model.mean_precision_prior_ + np.array([0.0, 0.9, 1.5, 90.0])
    assert model.n_components_ == 2 and model.prune().n_components == 2


def test_a_warm_start_goes_on_from_the_posterior():
    X = groups()
    model = BayesianGaussianMixture(4, random_state=0, max_iter=5, warm_start=True)
    model.fit(X)
    before = model.lower_bound_
    model.fit(X)
    assert model.history_[0] == pytest.approx(before, rel=1e-12)


def test_a_batch_is_a_natural_gradient_step():
    """The natural parameters of the posterior move by the step towards those of the batch, counted as all rows."""
    X = groups(n=400)
    model = BayesianGaussianMixture(3, weight_concentration_prior_type=DIRICHLET, random_state=0, tol=1e-8).fit(X[:200])

    def natural(m):
        beta, mean = m.mean_precision_[:, None], m.means_
        scatter = (
            m.covariances_ * m.degrees_of_freedom_[:, None, None] + beta[:, :, None] * mean[:, :, None] * mean[:, None]
        )
        return [m.weight_concentration_, m.mean_precision_, m.degrees_of_freedom_, beta * mean, scatter]

    r = model.predict_proba(X[200:]) * 2  # the batch of 200 stands for all 400 rows
    prior = (
        model.weight_concentration_prior_,
        model.mean_precision_prior_,
        model.mean_prior_,
        model.degrees_of_freedom_prior_,
        model.covariance_prior_,
    )
    before, n_before = natural(model), 200
    concentration, beta, m, nu, inverse = reference.variational_m_step(X[200:], r, prior, "full", False)
    towards = [concentration, beta, nu, beta[:, None] * m, inverse + beta[:, None, None] * m[:, :, None] * m[:, None]]
    nothing = [prior[0], prior[1], prior[3], prior[1] * prior[2], prior[4] + prior[1] * np.outer(prior[2], prior[2])]
    model.partial_fit(X[200:])
    step = 3**-0.7  # one batch before: see Stepwise
    for old, new, goal, none in zip(before, natural(model), towards, nothing):
        of_all = none + (old - none) * 400 / n_before
        close(new, (1 - step) * of_all + step * goal, 1e-9)
    assert model.mean_precision_.sum() == pytest.approx(400 + 3)


def test_a_stream_comes_near_the_fit_to_all_rows():
    X = groups(n=6000, d=2, K=3, apart=6.0, seed=3)
    stream = BayesianGaussianMixture(3, random_state=0)
    for begin in range(0, 6000, 500):
        stream.partial_fit(X[begin : begin + 500])
    whole = BayesianGaussianMixture(3, random_state=0, tol=1e-8).fit(X)
    assert stream.mean_precision_.sum() == pytest.approx(6000 + 3)
    assert stream.score(X) > whole.score(X) - 0.01
    fading = BayesianGaussianMixture(3, random_state=0)
    for begin in range(0, 6000, 500):
        fading.partial_fit(X[begin : begin + 500], memory=4)
    assert fading.mean_precision_.sum() == pytest.approx(4 * 500 + 3)


# ---- invariances ----------------------------------------------------------------------------------------------------


@each_type
def test_units_shift_the_bound_alike_for_all(covariance_type):
    X, resp = groups(), shares_of(300, 4)
    one = after_steps(X, resp, 20, covariance_type=covariance_type)
    scale, shift = (1000.0, 5e4) if covariance_type == "spherical" else (np.array([1000.0, 1e-3, 7.0]), [5e4, 0, -3])
    other = after_steps(X * scale + shift, resp, 20, covariance_type=covariance_type)
    jacobian = np.log(np.broadcast_to(scale, 3)).sum()
    np.testing.assert_allclose(np.array(other.history_) + jacobian, one.history_, rtol=1e-9)
    np.testing.assert_allclose(other.score_samples(X * scale + shift) + jacobian, one.score_samples(X), rtol=1e-6)


def test_scikit_learns_bound_picks_the_number_of_components_by_the_units():
    """Its bound lacks the constants of the prior, of which each component has one; see the README."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 2)) + 6 * np.array([[0, 0], [1, 0], [0, 1]])[rng.integers(3, size=300)]
    best = {}
    for units in (1e-3, 1.0, 1e3):
        for make in (BayesianGaussianMixture, ScikitLearns):
            settings = {"weight_concentration_prior_type": DIRICHLET, "random_state": 0, "tol": 1e-5, "max_iter": 300}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                floor = {"reg_covar": 1e-6 * units**2} if make is ScikitLearns else {}
                bounds = [make(n_components=K, **settings | floor).fit(X * units).lower_bound_ for K in range(1, 6)]
            best[make, units] = int(np.argmax(bounds)) + 1
    assert [best[BayesianGaussianMixture, units] for units in (1e-3, 1.0, 1e3)] == [3, 3, 3]
    assert best[ScikitLearns, 1e-3] > 3


# ---- scikit-learn's own tests ---------------------------------------------------------------------------------------

OF_PRIVATE_METHODS = {  # they call methods of scikit-learn's class that are not public, or test its functions
    "test_compare_covar_type",  # _check_parameters(X), _initialize_parameters: see test_scikit_learns_parameters
    "test_log_dirichlet_norm",
    "test_log_wishart_norm",
}
SLOW = {  # they pass as well; the same laws are held above, in less time
    "test_monotonic_likelihood",
    "test_invariant_translation",
    "test_bayesian_mixture_fit_predict_n_init",
}


def scikit_learns_tests():
    from sklearn.mixture.tests import test_bayesian_mixture as theirs

    for name, function in vars(theirs).items():
        if name.startswith("test_") and name not in OF_PRIVATE_METHODS | SLOW:
            several = [mark for mark in getattr(function, "pytestmark", []) if mark.name == "parametrize"]
            for values in several[0].args[1] if several else [()]:
                yield pytest.param(theirs, function, values, id=f"{name}{list(values) if several else ''}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("theirs, function, values", [*scikit_learns_tests()])
def test_scikit_learns_own_tests(theirs, function, values, monkeypatch):
    monkeypatch.setattr(theirs, "BayesianGaussianMixture", BayesianGaussianMixture)
    function(*values)


def test_a_prior_without_a_scale_is_refused():
    """Its density is no number: the evidence was -inf without a word."""
    X = 1e8 + np.random.default_rng(0).normal(0, 3e-8, (150, 3))
    with pytest.raises(ValueError, match=r"Column 0 of X does not vary beyond the rounding .*covariance_prior"):
        BayesianGaussianMixture(1, covariance_type="diag", reg_covar=0.0).fit(X)


def test_the_rounding_of_a_prior_far_from_unit_size_is_that_of_its_terms():
    """Constants of Wishart distributions for variances of 1e210 cancel to a divergence of about 1."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1)) * 1e105
    model = BayesianGaussianMixture(2, covariance_type="tied", random_state=0, max_iter=5).fit(X).model_
    assert abs(model.log_prior()) < 100
    assert log_prior_error(model) > 16 * np.finfo(float).eps * 10 * abs(model.log_prior())


@pytest.mark.parametrize("seed", [2, 4, 5])
@pytest.mark.parametrize("distance", [2, 6])
def test_the_default_start_keeps_no_component_that_the_bound_is_better_without(distance, seed):
    rng = np.random.default_rng(seed)
    z = rng.choice(4, 800, p=[0.4, 0.3, 0.2, 0.1])
    X = distance * rng.normal(size=(4, 3))[z] + rng.normal(size=(800, 3))
    bound = 800 * BayesianGaussianMixture(6, random_state=seed).fit(X).lower_bound_
    starts = [z, *("merged", "kmeans", "random_from_data")]
    others = [800 * BayesianGaussianMixture(6, init_params=one, random_state=1).fit(X).lower_bound_ for one in starts]
    assert bound > max(others) - 1.2
