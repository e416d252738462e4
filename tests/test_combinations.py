"""Features of a mixture beside each other: the right answer, or an error that names them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy.special import logsumexp, xlogy
from scipy.stats import multivariate_normal

from fastem import GaussianMixture, likelihood_ratio_test, plot, standard_errors
from fastem.models.gaussian.linear_algebra import product
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.online import incremental_em
from fastem.rows.sources.open_rows import open_rows

pytestmark = pytest.mark.filterwarnings("ignore:Best performing initialization")


def rows(n=150):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(n // 3, 3)) + centre for centre in ([0, 0, 0], [6, 0, 1], [0, 7, -3])])
    return X[rng.permutation(n)]


def with_gaps(X, share=0.1):
    return np.where(np.random.default_rng(1).random(X.shape) < share, np.nan, X)


def cluttered():
    return np.vstack([rows(), np.random.default_rng(2).uniform(-15, 15, (40, 3))])


CONSTRAINTS = [
    {"equal_weights": True},
    {"weight_concentration_prior": 2.0},
    {"fixed": {"means": [0]}, "means_init": [[0, 0, 0], [6, 0, 1], [0, 7, -3]]},
    {"prior": "default"},
    {"max_eigenvalue_ratio": 5.0},
]


@pytest.mark.parametrize("noise", ["box", 5000.0])
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda asked: next(iter(asked)))
def test_noise_beside_constraints_is_refused(noise, constraint):
    with pytest.raises(ValueError, match=f"noise cannot be combined with {next(iter(constraint))}"):
        GaussianMixture(3, noise=noise, **constraint).fit(rows())


@pytest.mark.parametrize("asked", [{"noise": "box"}, {"noise": 5000.0}, {"prior": "default"}])
def test_missing_values_are_refused_by_the_name_of_what_needs_them(asked):
    (name,) = asked
    with pytest.raises(ValueError, match=f"contains NaN: .*Or fit with {name}=None"):
        GaussianMixture(3, **asked).fit(with_gaps(rows()))


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
def test_missing_values_beside_a_ratio_of_eigenvalues(covariance_type):
    X = with_gaps(rows())
    ratio = {"max_eigenvalue_ratio": 1.3, "covariance_type": covariance_type, "random_state": 0}
    model = GaussianMixture(3, **ratio).fit(X)
    assert (np.diff(model.history_) >= -1e-12).all()
    covariance = model.model_.emission.covariance
    factors = covariance.dense(3, 3).factors(3)
    covariances = np.linalg.inv(product(factors, np.swapaxes(factors, 1, 2)))
    scale = np.ones(3) if covariance_type == "spherical" else np.array(model.column_scales_)
    eigenvalues = np.linalg.eigvalsh(covariances / scale / scale[:, None])
    assert eigenvalues.max() <= 1.3 * (1 + 1e-9) * eigenvalues.min()
    joint = np.zeros((len(X), 3))
    for i, row in enumerate(X):
        seen = ~np.isnan(row)
        for k in range(3):
            part = model.means_[k][seen], covariances[k][np.ix_(seen, seen)]
            joint[i, k] = np.log(model.weights_[k]) + (
                multivariate_normal(*part).logpdf(row[seen]) if seen.any() else 0
            )
    np.testing.assert_allclose(model.score_samples(X), logsumexp(joint, axis=1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "diag", "tied", "spherical", "VEI"])
@pytest.mark.parametrize("labelled", [False, True])
def test_both_steps_gain_where_values_are_missing(covariance_type, labelled):
    X = with_gaps(rows())
    labels = np.where(np.arange(150) < 20, (rows()[:, 0] > 3) + 2 * (rows()[:, 1] > 3.5), -1) if labelled else None
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0, tol=0, max_iter=5)
    steps = model.fit(X, labels=labels).steps_
    assert all(step.m_gain > -1e-12 and step.e_gain > -1e-12 for step in steps)
    assert incremental_em(model.model_, X, tol=1e-9, max_iter=3).history[0] == pytest.approx(model.score(X), rel=1e-12)
    doubt = -np.log(model.predict_proba(X).max(axis=1)).sum()  # of the components alone
    assert model.icl(X) - model.bic(X) == pytest.approx(2 * doubt, rel=1e-6)


@pytest.mark.parametrize("moves", [{"on_collapse": "drop"}, {"on_collapse": "reseed"}, {"split_merge": 1}])
def test_labels_beside_what_moves_components_are_refused(moves):
    X, labels = np.vstack([rows(), np.full((4, 3), 30.0)]), np.full(154, -1)
    labels[-4:] = 3  # a component that collapses
    with pytest.raises(ValueError, match=f"labels refer to components by number, but {next(iter(moves))}="):
        GaussianMixture(4, random_state=0, **moves).fit(X, labels=labels)


@pytest.mark.parametrize("asked", ["marginal", "conditional", "logcdf"])
def test_uses_of_gaussians_say_that_noise_is_in_the_way(asked):
    X = cluttered()
    model = GaussianMixture(3, noise="box", random_state=0).fit(X)
    values = {"marginal": ([0],), "conditional": ([0], [1.0]), "logcdf": (X,)}[asked]
    with pytest.raises(TypeError, match=f"{asked} .* noise='box'"):
        getattr(model, asked)(*values)


def test_adapting_beside_noise_is_refused():
    X = cluttered()
    with pytest.raises(ValueError, match=r"adapt .* noise=None"):
        GaussianMixture(3, noise="box", random_state=0).fit(X).adapt(X[:30])


def test_noise_is_no_cluster_that_merges():
    X = cluttered()
    model = GaussianMixture(4, noise="box", random_state=0).fit(X)
    merging = model.merge_components(X)
    r = model.predict_proba(X)
    assert merging.clusters(1).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(merging.entropies[0], -xlogy(r, r).sum(), rtol=1e-9)
    of_all = np.column_stack([r[:, :4].sum(axis=1), r[:, 4]])
    np.testing.assert_allclose(merging.predict_proba(X, 1), of_all, atol=1e-12)
    np.testing.assert_allclose(merging.entropies[-1], -xlogy(of_all, of_all).sum(), rtol=1e-6)
    assert np.array_equal(merging.predict(X, 1), np.where(of_all[:, 1] > of_all[:, 0], -1, 0))


@pytest.mark.parametrize("asked", [{"noise": "box"}, *CONSTRAINTS], ids=lambda asked: next(iter(asked)))
def test_the_observed_information_is_refused_where_the_likelihood_is_another(asked):
    X = cluttered() if "noise" in asked else rows()
    model = GaussianMixture(3, random_state=0, tol=1e-8, **asked).fit(X)
    with pytest.raises(
        ValueError, match=r"cannot handle constraints, a prior, noise or truncation.*method='bootstrap'"
    ):
        standard_errors(model, X)


def test_the_observed_information_is_refused_beside_missing_values():
    gaps = with_gaps(rows())
    model = GaussianMixture(3, random_state=0, tol=1e-8).fit(gaps)
    with pytest.raises(ValueError, match=r"cannot handle missing values .*method='bootstrap'"):
        standard_errors(model, gaps)


def test_the_null_hypothesis_draws_rows_with_gaps(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "fastem.inference.likelihood_ratio.ModelSearch",
        lambda X, *rest, of=likelihood_ratio_test.__globals__["ModelSearch"]: (
            drawn.append(np.isnan(open_rows(X).X)) or of(X, *rest)
        ),
    )
    X = with_gaps(rows()[:, :2])
    likelihood_ratio_test(GaussianMixture(1, covariance_type="EEE"), X, n_draws=2, n_jobs=1, random_state=0)
    first, *others = drawn
    assert len(others) == 2 and all(np.array_equal(first, other) for other in others)


SINGULAR = {
    "a constant column": lambda X: np.column_stack([X, np.ones(len(X))]),
    "two values": lambda X: (X > X.mean(axis=0)).astype(float),
}


@pytest.mark.parametrize("singular", SINGULAR)
@pytest.mark.filterwarnings("error::RuntimeWarning", "ignore:component")
def test_no_family_is_led_astray_by_rows_that_do_not_fill_the_space(singular):
    X = SINGULAR[singular](rows())
    start = {"init_params": (rows()[:, 0] > 3).astype(int), "tol": 1e-6}
    found = {}
    for name in FAMILIES:
        model = GaussianMixture(2, covariance_type=name, **start).fit(X)
        assert (np.diff(model.history_) >= -1e-9).all() and np.isfinite(model.means_).all()
        found[name] = model.log_likelihood_
    for smaller, larger in [("EEI", "VEI"), ("EEI", "EVI"), ("EEV", "VEV"), ("EEV", "EVV"), ("EEE", "VEE")]:
        assert found[larger] > found[smaller] - 0.1 * abs(found[smaller]), (smaller, larger, found)


def test_pictures_of_rows_with_gaps():
    X = with_gaps(rows())
    model = GaussianMixture(3, random_state=0).fit(X)
    axes = plot.mixture(model, X, ax=Figure())
    points = axes[1, 0].collections[0].get_offsets()
    assert len(points) == np.count_nonzero(~np.isnan(X[:, :2]).any(axis=1))
    labels = plot.responsibilities(model, X, [0, 1], ax=Figure()).texts
    assert np.isfinite([label.get_position() for label in labels]).all()
    one = GaussianMixture(2, random_state=0).fit(X[:, :1])
    line = plot.uncertainty(one, X[:, :1], ax=Figure()).lines[0]
    assert np.isfinite(line.get_xydata()).all()
    with pytest.raises(ValueError, match="every value of column 'x1' of X is missing"):
        plot.mixture(model, np.where([False, True, False], np.nan, X))
