"""A component is called sound only if its rows determine it, whatever its structure shares with others."""

import pickle
import warnings
from dataclasses import fields, replace

import numpy as np
import pytest
from sklearn.datasets import load_wine

import fastem
from fastem import GaussianMixture, MixedMixture, MixtureOfFactorAnalyzers, StudentTMixture
from fastem.driver.history import objective
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.parsimonious import FAMILIES
from fastem.models.gaussian.soundness import beside_others
from fastem.starts.diagnosis import is_sound, merit, sound_first

WINE = load_wine().data
WINE = (WINE - WINE.mean(axis=0)) / WINE.std(axis=0)
rng = np.random.default_rng(0)
CODES = rng.integers(0, 2, (500, 3)).astype(float)
PAIRS = (2 * CODES[:, 0] + CODES[:, 1]).astype(int)
CLUSTERS = np.vstack([rng.normal(0, 1, (250, 2)), rng.normal(8, 1, (250, 2))])
STRAY = np.vstack([CLUSTERS, [[100.0, 100.0]]])
OF_STRAY = np.repeat([0, 1, 2], [250, 250, 1])
LINE = np.column_stack([np.linspace(-1, 1, 5), 1 + 1e-3 * rng.normal(size=5)])  # inside the first cluster
SPIKE = np.vstack([CLUSTERS, LINE])
OF_SPIKE = np.repeat([0, 1, 2], [250, 250, 5])
EVERY = {
    "full": lambda **fit: GaussianMixture(3, **fit),
    "diag": lambda **fit: GaussianMixture(3, covariance_type="diag", **fit),
    "tied": lambda **fit: GaussianMixture(3, covariance_type="tied", **fit),
    "VVE": lambda **fit: GaussianMixture(3, covariance_type="VVE", **fit),
    "noise": lambda **fit: GaussianMixture(3, noise=1e6, **fit),
    "t": lambda **fit: StudentTMixture(3, **fit),
    "t, diag": lambda **fit: StudentTMixture(3, covariance_type="diag", **fit),
    "factors": lambda **fit: MixtureOfFactorAnalyzers(3, **fit),
    "mixed": lambda **fit: MixedMixture(3, kinds="gaussian", **fit),
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning"),
    pytest.mark.filterwarnings("ignore:Best performing initialization did not converge"),
]


def results(make, X, **fit):
    """The estimator, and the result of its only start."""
    kept = []
    found = make(init_params=fit.pop("labels"), **fit).fit(X, callback=lambda result: kept.append(replace(result)))
    return found, kept[-1]


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in ("EII", "VII")])
def test_covariances_at_the_floor_are_not_sound(name):
    """Two of three columns are constant in every component."""
    found = GaussianMixture(4, covariance_type=name, init_params=PAIRS).fit(CODES)
    assert all("at the floor" in status for status in found.component_status_)
    assert [one.floor_hits for one in found.fit_report_.components] == [2] * 4
    assert not found.fit_report_.restarts[0].sound


def test_few_rows_are_said_to_be_fewer_than_the_covariance_needs():
    """It was said that three rows are too few where three are needed."""
    covariance = Full.from_covariances(np.repeat(np.eye(2)[None], 2, axis=0), np.zeros(2))
    emission = Gaussian(np.array([[0.0, 0.0], [3.0, 0.0]]), covariance, np.full(2, 1e-9))
    (status, sound), _ = emission.diagnose(np.array([0.25, 0.75]), np.array([2.99999, 9.00001]))
    assert (status, sound) == ("few rows: 2.99 effective, its covariance needs 3", False)


@pytest.mark.parametrize("make", [GaussianMixture, StudentTMixture])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_a_floor_as_wide_as_the_data_is_not_called_data_that_do_not_vary(make, covariance_type):
    X = np.random.default_rng(5).normal(size=(50, 3))
    for rows, reg_covar in ((X, 1e3), (np.column_stack([X, np.full(50, 7.0)]), 1e-6)):
        found = make(1, covariance_type=covariance_type, reg_covar=reg_covar).fit(rows)
        assert found.component_status_[0].endswith("beyond it: constant or duplicated columns, or a large reg_covar")
        assert found.fit_report_.restarts[0].sound


def test_select_takes_no_covariance_at_the_floor():
    best = fastem.select(CODES, range(1, 5), ["EII", "VEI", "VVE", "EVV"], random_state=0).best_row
    assert best.sound and best.status == "ok"
    assert np.linalg.eigvalsh(best.estimator.model_.emission.dense_covariances()).min() > 1e-3


def test_rows_that_do_not_determine_common_axes():
    """Eleven rows in 13 columns turn the axes that all share to where these rows do not vary."""
    found = fastem.select(WINE, [3, 6], ["VVE"], random_state=0)
    assert found.best_row.n_components == 3 and found.best_row.status == "ok"
    X, labels = np.random.default_rng(0).normal(size=(100, 8)), np.repeat([0, 1], [91, 9])
    for name, sound in [("VVE", False), ("EVE", False), ("VEE", True), ("VEI", True), ("VVI", True)]:
        fit = GaussianMixture(2, covariance_type=name, init_params=labels, max_iter=1).fit(X)
        assert ("spike" in fit.component_status_[1]) is not sound, name
        assert fit.fit_report_.restarts[0].sound is sound, name


@pytest.mark.parametrize("name", ["VEE", "VEI", "EEV", "VEV"])
def test_a_common_shape_may_be_thin(name):
    """The rows of all components determine it, so few rows suffice for one of them."""
    flat = np.random.default_rng(1).normal(size=(210, 3)) * [1, 1, 0.01]
    labels = np.repeat([0, 1, 2], [100, 100, 10])
    found = GaussianMixture(3, covariance_type=name, init_params=labels).fit(flat + 9 * np.eye(3)[labels])
    assert found.component_status_ == ["ok"] * 3


def test_diagonal_covariances_are_not_made_dense(monkeypatch):
    def refuse(self, *sizes):
        raise AssertionError("a dense covariance was made")

    monkeypatch.setattr(Gaussian, "dense_covariances", refuse)
    X = np.random.default_rng(0).normal(size=(60, 300))
    found = GaussianMixture(2, covariance_type="diag", init_params=np.arange(60) // 58, on_collapse="reseed").fit(X)
    assert len(found.fit_report_.components) == 2


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_at_a_floor_as_wide_as_clusters_the_likelihood_decides(covariance_type):
    """The floor holds every good fit there: none may lose against one that is worse because it is not held."""
    X = clusters_of_two_widths()
    fit = {"covariance_type": covariance_type, "reg_covar": 0.3, "n_init": 1}
    found = [GaussianMixture(3, random_state=seed, **fit).fit(X) for seed in range(6)]
    assert any("at the floor" in status for one in found for status in one.component_status_)
    assert all(one.fit_report_.restarts[0].sound for one in found)
    assert np.ptp([one.log_likelihood_ for one in found]) < 5


def clusters_of_two_widths():
    rng = np.random.default_rng(0)
    return np.vstack([rng.normal(size=(400, 3)), rng.normal([2, 1, 0], [0.5, 1, 2], size=(400, 3))])


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "EEV", "VII"])
def test_clusters_that_are_all_at_the_floor_do_not_lose_to_a_wide_component_over_both(covariance_type):
    """Two thin clusters of many rows: to describe them is more than to be sound."""
    rng = np.random.default_rng(1)
    across = np.repeat([-50.0, 50.0], 200) + 1e-3 * rng.normal(size=400)
    X = np.column_stack([across, rng.normal(size=(400, 2)) * [20, 5]])
    wanted = GaussianMixture(2, covariance_type=covariance_type, init_params=np.repeat([0, 1], 200)).fit(X)
    for seed in range(6):
        found = GaussianMixture(2, covariance_type=covariance_type, random_state=seed).fit(X)
        assert found.log_likelihood_ >= wanted.log_likelihood_ - 1e-3


@pytest.mark.parametrize("covariance_type", ["full", "EII", "tied"])
@pytest.mark.parametrize("stray", [1e4, 1e8])
def test_stray_rows_make_no_floor_narrow(covariance_type, stray):
    """Three rows far away widen the data, not the clusters, which a wide floor holds."""
    rng = np.random.default_rng(3)
    X = np.vstack([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + [6, 0]])
    X[:3] = stray
    labels = np.repeat([2, 0, 1], [3, 197, 200])
    wanted = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0.1, init_params=labels).fit(X)
    for seed in range(4):
        found = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0.1, random_state=seed).fit(X)
        assert found.log_likelihood_ >= wanted.log_likelihood_ - 1


# ---- which restart is kept ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical", "tied", "VEV", "EEE"])
def test_more_starts_do_not_lose_two_clusters_to_a_stray_row(covariance_type):
    one, five = (
        GaussianMixture(3, covariance_type=covariance_type, n_init=n, random_state=0).fit(STRAY) for n in (1, 5)
    )
    assert five.log_likelihood_ >= one.log_likelihood_ - 1e-6
    labels = five.predict(STRAY)
    assert [len(np.unique(part)) for part in np.split(labels, [250, 500])] == [1, 1, 1]
    assert len(np.unique(labels)) == 3
    if covariance_type == "full":
        assert five.component_status_[labels[-1]] == "outliers: 1.00 row(s) far from all others, at the floor"
        assert not five.fit_report_.restarts[0].sound


def test_select_prefers_fewer_components_to_one_of_a_stray_row():
    found = fastem.select(STRAY, [1, 2, 3], ["VVV"], random_state=0)
    assert [row.sound for row in found.table] == [True, True, False]
    assert found.best_row.n_components == 2 and found.table[2].bic < found.best_row.bic


@pytest.mark.parametrize("name", EVERY)
def test_what_is_left_is_a_bound_of_a_wider_mixture(name):
    for X, labels in [(STRAY, OF_STRAY), (SPIKE, OF_SPIKE)]:
        _, result = results(EVERY[name], X, labels=labels, max_iter=3)
        honest, value = merit(result, len(X))
        assert honest and value <= objective(result.model, result.statistics)
        if is_sound(result, len(X)):
            assert name == "tied" and value == objective(result.model, result.statistics)
            continue
        wide = replace(
            result.model, emission=result.model.emission.widened(result.model.weights, result.statistics.counts)
        )
        assert wide.e_step(X).log_likelihood / len(X) >= value - 1e-9
        assert sound_first(result, len(X))[0] is False


def test_a_stray_row_costs_little_and_a_spike_all_that_it_won():
    stray, spike = (
        results(EVERY["full"], X, labels=labels, max_iter=30)[1] for X, labels in [(STRAY, OF_STRAY), (SPIKE, OF_SPIKE)]
    )
    two, _ = (GaussianMixture(2, random_state=0, tol=1e-6).fit(X) for X in (SPIKE, STRAY))
    assert merit(stray, 501)[1] * 501 > stray.log_likelihood - 20
    assert merit(spike, 505)[1] * 505 < two.log_likelihood_ < spike.log_likelihood


def test_results_of_a_family_that_cannot_widen_come_last():
    X = np.concatenate([np.random.default_rng(0).gamma(2, 1, 300), np.full(40, 3.0)])[:, None]
    found, result = results(
        lambda **fit: fastem.GammaMixture(2, **fit), X, labels=np.repeat([0, 1], [300, 40]), max_iter=5
    )
    assert "shape is held" in found.component_status_[1]
    assert merit(result, len(X)) == (False, objective(result.model, result.statistics))


def test_reseeded_components_do_not_go_back_to_where_they_collapsed():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = GaussianMixture(3, init_params=OF_STRAY, on_collapse="reseed", random_state=0).fit(STRAY)
    assert found.component_status_ == ["ok"] * 3


# ---- rounded values ----------------------------------------------------------------------------------------------


def rounded():
    """Values of which almost each has a component of its own, and what these are."""
    x = np.round(np.random.default_rng(0).normal(6, 1.5, 400))[:, None]
    return x, np.maximum(np.unique(x, return_inverse=True)[1].ravel() - 1, 0)


@pytest.mark.parametrize("unit", [1.0, 1e-9])
@pytest.mark.parametrize(
    "make",
    [
        lambda K, **fit: GaussianMixture(K, covariance_type="E", **fit),
        lambda K, **fit: StudentTMixture(K, covariance_type="tied", degrees_of_freedom=50, **fit),
    ],
    ids=["E", "t"],
)
def test_components_on_single_values_are_not_sound(make, unit):
    x, labels = rounded()
    K = labels.max() + 1
    narrow = make(K, init_params=labels, max_iter=1).fit(x * unit)
    assert all("on single values" in status for status in narrow.component_status_)
    assert [one.floor_hits for one in narrow.fit_report_.components] == [0] * K
    wide = make(2, random_state=0, max_iter=500).fit(x * unit)
    assert wide.component_status_ == ["ok"] * 2
    smooth = x + np.random.default_rng(1).uniform(-0.05, 0.05, x.shape)
    assert make(K, init_params=labels, max_iter=1).fit(smooth * unit).component_status_ == ["ok"] * K


def test_a_column_that_is_as_narrow_in_all_rows_is_not_on_single_values():
    """A few ones among many zeros: their variance is less than that of rounding to whole numbers, 1 / 12."""
    x = np.column_stack([np.random.default_rng(0).normal(size=500), (np.arange(500) % 50 == 0) * 1.0])
    model = GaussianMixture(1).fit(x)
    assert model.covariances_[0, 1, 1] < model.model_.emission.rounding_variance[1]
    assert model.component_status_ == ["ok"]


def test_single_values_from_any_source():
    x, labels = rounded()
    K = labels.max() + 1
    start = {
        "weights_init": np.bincount(labels) / len(x),
        "means_init": [x[labels == k].mean(axis=0) for k in range(K)],
        "precisions_init": [[50.0]],
        "covariance_type": "tied",
        "max_iter": 2,
    }
    for source in (x, x.astype(np.float32), lambda: iter(np.array_split(x, 7))):
        found = GaussianMixture(K, **start).fit(source)
        assert all("on single values" in status for status in found.component_status_)


def test_select_stops_where_values_are_rounded():
    """Three clusters, rounded so coarsely that few values are left of each."""
    rng = np.random.default_rng(3)
    x = np.round(np.concatenate([rng.normal(5 * k, 0.6, 150) for k in range(3)]), 0)[:, None]
    found = fastem.select(x, range(1, 13), random_state=0)
    assert found.best_row.n_components == 3 and found.best_row.status == "ok"
    assert min(row.bic for row in found.table) < found.best_row.bic  # of components on single values


@pytest.mark.parametrize("structure", ["full", "diag", "spherical", "VVE", "EVI", "VEE"])
def test_beside_others_is_relative_to_their_mean(structure):
    """Also where the component itself is nearly all of the mean in a direction."""
    rng, K, d = np.random.default_rng(0), 5, 3
    X = rng.normal(size=(400, d)) @ rng.normal(size=(d, d)) + 20 * rng.integers(0, K, (400, 1))
    model = GaussianMixture(K, covariance_type=structure, max_iter=3, random_state=0).fit(X)
    emission, weights = model._mixture().emission, np.array([0.05, 0.1, 0.6, 0.2, 0.05])
    stretched = emission.covariance.widened(np.arange(K) == 1, 1e6 * emission.pooled(weights))
    for covariance in (emission.covariance, stretched):
        changed = replace(emission, covariance=covariance)
        found = beside_others(changed, weights, np.arange(K))
        for k in range(K):
            others = np.where(np.arange(K) == k, 0, weights)
            expected = covariance.relative_eigenvalues([k], changed.pooled(others / others.sum()))[0]
            np.testing.assert_allclose(found[k], expected, rtol=1e-8)


def test_a_diagnosis_is_linear_in_the_components():
    """All components of many are suspects: what is common to them is made once, not once for each."""
    K, d, made = 60, 2, []
    covariance = Full.from_covariances(np.repeat(np.eye(d)[None], K, axis=0), np.zeros(d))

    class Counted(Full):
        def of_mixture(self, weights, z):
            made.append(len(weights))
            return super().of_mixture(weights, z)

    counted = Counted(covariance.covariances, covariance.precisions_cholesky, covariance.at_floor)
    emission = Gaussian(np.arange(K * d, dtype=float).reshape(K, d), counted, np.full(d, 1e-9))
    assert all(sound for _, sound in emission.diagnose(np.full(K, 1 / K), np.full(K, emission.least_rows)))
    assert 0 < len(made) < 5


def test_a_diagnosis_is_made_once_and_is_not_pickled(monkeypatch):
    X = np.random.default_rng(0).normal(size=(60, 2))
    emission = GaussianMixture(2, random_state=0).fit(X).model_.emission
    weights, counts = np.array([0.4, 0.6]), np.array([24.0, 36.0])
    first = emission.diagnose(weights, counts)
    first_other = emission.diagnose(weights, np.array([1.0, 59.0]))
    monkeypatch.setattr("fastem.models.gaussian.emission.conditions", None)
    assert emission.diagnose(weights, counts) == first != first_other
    assert emission.diagnose(weights, counts) is not first
    assert vars(pickle.loads(pickle.dumps(emission))).keys() == {field.name for field in fields(emission)}
