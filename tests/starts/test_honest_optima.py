"""The best of several restarts is the best known optimum and sound; what collapses is mended; the report says all."""

import pickle
import re
import warnings

import numpy as np
import pytest
from models import MODELS
from scipy.linalg import eigh
from short_starts import shorten

import fastem
from fastem import GaussianMixture, MixedMixture, MixtureOfFactorAnalyzers, PoissonMixture, StudentTMixture
from fastem.datasets import load_faithful, load_iris
from fastem.errors import CollapsedComponent, DegenerateComponentWarning
from fastem.models.gaussian.linear_algebra import relative_eigenvalues
from fastem.starts.clusters import kmeans_labels, tree_labels, whitened_labels

FAITHFUL = np.asarray(load_faithful().data, dtype=float)
IRIS = np.asarray(load_iris().data, dtype=float)
TIGHT = {"tol": 1e-9, "max_iter": 5000, "n_threads": 1}
BEST = -1114.43987290  # known of three components of the geyser


def with_a_point(seed=0):
    """Two clusters and six equal rows, and labels that make these a component."""
    rng = np.random.default_rng(seed)
    X = np.vstack([rng.normal(0, 1, (200, 2)), rng.normal(8, 1, (200, 2)), np.tile([[4.0, -6.0]], (6, 1))])
    return X, np.repeat([0, 1, 2], [200, 200, 6])


POINT, LABELS = with_a_point()
COLLAPSING = {
    "full": lambda **fit: GaussianMixture(3, **fit),
    "diag": lambda **fit: GaussianMixture(3, covariance_type="diag", **fit),
    "spherical": lambda **fit: GaussianMixture(3, covariance_type="spherical", **fit),
    "VEV": lambda **fit: GaussianMixture(3, covariance_type="VEV", **fit),
    "t": lambda **fit: StudentTMixture(3, **fit),
    "factors": lambda **fit: MixtureOfFactorAnalyzers(3, **fit),
    "mixed": lambda **fit: MixedMixture(3, kinds="gaussian", **fit),
}


def collapsing(name, on_collapse, X=POINT, sample_weight=None, **others):
    fit = {"init_params": LABELS, "tol": 1e-6, "max_iter": 400, "random_state": 0, "n_threads": 1} | others
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return COLLAPSING[name](on_collapse=on_collapse, **fit).fit(X, sample_weight=sample_weight)


# ---- the best known optimum --------------------------------------------------------------------------------------


def test_ten_restarts_find_the_best_known_optimum():
    """Of iris, too: test_known_optima in families/gaussian/test_mixture.py."""
    for seed in range(4):
        found = GaussianMixture(3, n_init=10, random_state=seed, **TIGHT).fit(FAITHFUL)
        assert found.log_likelihood_ == pytest.approx(BEST, abs=1e-3)
        assert found.component_status_ == ["ok"] * 3


def test_split_and_merge_leaves_a_local_optimum_and_never_loses():
    fit = {"init_params": "kmeans", "random_state": 0, **TIGHT}
    stuck = GaussianMixture(3, **fit).fit(FAITHFUL)
    assert stuck.log_likelihood_ < BEST - 1
    free = GaussianMixture(3, split_merge=1, **fit).fit(FAITHFUL)
    assert free.log_likelihood_ == pytest.approx(BEST, abs=1e-3)
    assert [one.start for one in free.fit_report_.restarts] == ["kmeans", "split and merge"]
    for cls, X in [(StudentTMixture, FAITHFUL), (PoissonMixture, np.round(FAITHFUL))]:
        one, more = (cls(2, random_state=0, tol=1e-6, max_iter=500, split_merge=n).fit(X) for n in (0, 2))
        assert more.log_likelihood_ >= one.log_likelihood_


def test_one_component_has_nothing_to_split():
    assert len(GaussianMixture(1, split_merge=3).fit(FAITHFUL).fit_report_.restarts) == 1


def test_restarts_of_a_named_start_are_of_that_kind():
    found = GaussianMixture(3, n_init=3, init_params="random_from_data", random_state=0).fit(IRIS)
    assert [one.start for one in found.fit_report_.restarts] == ["random_from_data"] * 3
    found = GaussianMixture(3, n_init=5, random_state=0).fit(IRIS)
    assert [one.start for one in found.fit_report_.restarts] == [
        "emem",
        "split and merge",
        "kmeans",
        "emem",
        "split and merge",
    ]


def test_units_do_not_matter_to_restarts():
    """Five restarts are of every kind that there is."""
    fit = {"n_components": 3, "n_init": 5, "random_state": 1, "n_threads": 1, "tol": 1e-9}
    expected = GaussianMixture(**fit).fit(FAITHFUL)
    for power in (-100, -33, 7, 100):
        found = GaussianMixture(**fit).fit(FAITHFUL * 10.0**power)
        pairs = set(zip(found.predict(FAITHFUL * 10.0**power).tolist(), expected.predict(FAITHFUL).tolist()))
        assert len(pairs) == 3, power  # the same clusters; which of equal restarts is kept may hang on the last bit
        assert [one.start for one in found.fit_report_.restarts] == [one.start for one in expected.fit_report_.restarts]
        shift = len(FAITHFUL) * 2 * power * np.log(10)
        for one, other in zip(found.fit_report_.restarts, expected.fit_report_.restarts):
            assert one.log_likelihood + shift == pytest.approx(other.log_likelihood, abs=1e-4), (power, one.start)


def test_rotation_and_shift_do_not_matter_to_full_covariances():
    fit = {"n_components": 3, "n_init": 10, "random_state": 0, **TIGHT}
    here = GaussianMixture(**fit).fit(FAITHFUL)
    for degrees in (30, 100):
        t = np.radians(degrees)
        turn = np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]])
        there = GaussianMixture(**fit).fit(FAITHFUL @ turn.T + [100, -50])
        assert there.log_likelihood_ == pytest.approx(here.log_likelihood_, abs=1e-4)
        order, other = np.argsort(here.weights_), np.argsort(there.weights_)
        assert np.allclose(here.means_[order] @ turn.T + [100, -50], there.means_[other], atol=0.02)


def long_clusters(seed):
    """Three parallel clusters, thirty times as long as wide."""
    rng = np.random.default_rng(seed)
    z = np.repeat([0, 1, 2], 200)
    return np.column_stack([rng.normal(0, 30, 600), rng.normal(0, 1, 600) + 10 * z]) @ [[1, 1], [-1, 1]], z


def agreement(labels, z):
    """Share of rows in the largest class of their cluster."""
    return sum(np.bincount(z[labels == k]).max() for k in np.unique(labels)) / len(z)


def test_whitening_keeps_long_clusters_whole():
    X, z = long_clusters(0)
    weight = np.ones(len(X))
    found = [whitened_labels(X, weight, 3, np.random.default_rng(seed), 1) for seed in range(5)]
    round_ones = [kmeans_labels(X, weight, 3, np.random.default_rng(seed), 1) for seed in range(5)]
    assert np.mean([agreement(labels, z) for labels in found]) > 0.9
    assert max(agreement(labels, z) for labels in round_ones) < 0.8


@pytest.mark.parametrize("n", [600, 5000])
def test_the_tree_keeps_long_clusters_whole(n):
    """Of at most 2000 rows; with more, the others go with the nearest of these."""
    rng = np.random.default_rng(1)
    z = rng.integers(0, 3, n)
    X = rng.normal(size=(n, 2)) * [8, 0.5] + np.column_stack([np.zeros(n), 6 * z])
    labels = tree_labels(X, np.ones(n), 3, rng, 1)
    assert agreement(labels, z) > 0.97
    assert agreement(kmeans_labels(X, np.ones(n), 3, rng, 1), z) < 0.9


@pytest.mark.parametrize(
    "init_params, dtype", [("whitened", np.float32), ("hierarchical", np.float64), ("emem", np.float32)]
)
@pytest.mark.parametrize("family", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore:component")
def test_new_starts_serve_every_family(family, init_params, dtype, monkeypatch):
    """The same for any number of threads; the components are unlike each other, and EM does not fall from there."""
    shorten(monkeypatch)
    X = family.data(150).astype(dtype)
    weight = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    fit = {"init_params": init_params, "random_state": 0, "max_iter": 5, "tol": 0}
    found, again = (family.make(2, n_threads=n, **fit).fit(X, sample_weight=weight) for n in (None, 1))
    assert found.history_ == again.history_ and np.diff(found.history_).min() > (
        -1e-10 if dtype == np.float64 else -1e-4
    )
    joint = found.model_.log_joint(X)
    assert np.abs(joint[:, 0] - joint[:, 1]).max() > 0.1


@pytest.mark.parametrize("init_params", ["whitened", "hierarchical", "emem"])
def test_new_starts_find_two_clusters_of_counts(init_params):
    counts = np.random.default_rng(0).poisson([[3], [20]], (2, 200)).reshape(-1, 1)
    assert np.allclose(
        np.sort(PoissonMixture(2, init_params=init_params, random_state=0).fit(counts).rates_.ravel()), [3, 20], atol=2
    )


def test_constant_and_equal_columns_have_a_whitened_start():
    X = np.column_stack([FAITHFUL, FAITHFUL[:, 0], np.full(len(FAITHFUL), 5.0)])
    found = GaussianMixture(2, init_params="whitened", random_state=0).fit(X)
    assert np.array_equal(
        np.sort(np.bincount(found.predict(X))),
        np.sort(np.bincount(GaussianMixture(2, random_state=0).fit_predict(FAITHFUL))),
    )


# ---- what collapses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COLLAPSING)
def test_a_collapsed_component_stays_goes_or_begins_anew(name):
    floor, reseeded, dropped = (collapsing(name, policy) for policy in ("floor", "reseed", "drop"))
    assert [status == "ok" or "Gaussian" in status for status in floor.component_status_] == [True, True, False]
    assert len(reseeded.weights_) == 3
    if reseeded.component_status_ != ["ok"] * 3:  # heavy tails come back to the point every time
        events = reseeded.fit_report_.restarts[0].events
        assert name == "t" and len(events) == 4 and events[-1].startswith("left at the floor")
    assert [status == "ok" or "Gaussian" in status for status in dropped.component_status_] == [True] * 2
    assert len(dropped.weights_) == 2 and dropped.n_components == 3
    assert min(floor.log_likelihood_, reseeded.log_likelihood_) > dropped.log_likelihood_
    for found in (reseeded, dropped):
        assert (np.diff(found.history_) > -1e-9).all()
        restart = found.fit_report_.restarts[0]
        assert found.n_iter_ < restart.n_iter <= 400
        assert "component 2: " in restart.events[0]
    with pytest.raises(
        CollapsedComponent, match=r"component 2 collapsed in iteration 1 .*Fit fewer components.*on_collapse"
    ):
        collapsing(name, "raise")


def test_what_was_dropped_is_said_and_the_rest_is_the_mixture_of_fewer():
    with pytest.warns(
        DegenerateComponentWarning, match="dropped in iteration .*component 2: .*the mixture has 2 component"
    ):
        found = GaussianMixture(3, init_params=LABELS, on_collapse="drop", tol=1e-9, max_iter=500).fit(POINT)
    fewer = GaussianMixture(2, init_params=found.predict_proba(POINT), tol=1e-9, max_iter=500).fit(POINT)
    assert found.log_likelihood_ == pytest.approx(fewer.log_likelihood_, rel=1e-6)
    assert found.n_parameters_ == fewer.n_parameters_


def test_a_mixture_of_fewer_can_be_used(tmp_path):
    found = collapsing("full", "drop")
    found.save(tmp_path / "model.npz")
    for again in (fastem.load(tmp_path / "model.npz"), pickle.loads(pickle.dumps(found))):
        assert np.array_equal(again.predict(POINT), found.predict(POINT))
    assert found.predict_proba(POINT).shape == (len(POINT), 2)
    assert found.sample(10)[0].shape == (10, 2)
    log_likelihood = found.log_likelihood_
    found.set_params(warm_start=True, init_params="kmeans").fit(POINT)
    assert found.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-2) and len(found.weights_) == 2


def test_an_error_only_where_no_start_is_left():
    starts = iter([LABELS, np.minimum(LABELS, 1) + (np.arange(len(LABELS)) % 2) * (LABELS == 0) * 2])

    def start(X, n_components, rng):
        return next(starts)

    settings = {"tol": 1e-4, "max_iter": 100, "stop": "log_likelihood"}
    found = GaussianMixture(3, init_params=start, n_init=2, on_collapse="raise", **settings).fit(POINT)
    failed, kept = found.fit_report_.restarts
    assert np.isnan(failed.log_likelihood) and "component 2 collapsed" in failed.status
    assert kept.chosen and not failed.chosen
    error = pickle.loads(pickle.dumps(CollapsedComponent(2, 1, "status")))
    assert (error.component, error.iteration, str(error)) == (2, 1, str(CollapsedComponent(2, 1, "status")))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("policy", ["reseed", "drop"])
def test_repairs_hold_in_every_type_with_weights_and_for_any_threads(policy, dtype):
    weight = np.random.default_rng(1).integers(1, 3, len(POINT)).astype(float)
    one, four = (collapsing("full", policy, POINT.astype(dtype), weight, n_threads=n) for n in (1, 4))
    assert one.component_status_ == ["ok"] * len(one.weights_)
    assert one.means_.tobytes() == four.means_.tobytes()


def test_a_repaired_fit_goes_on_from_its_checkpoint_to_the_same_bits(tmp_path):
    whole = collapsing("t", "reseed", max_iter=60)
    for stop_at in (5, 10, 14):
        seen = []

        def interrupt(result, seen=seen, stop_at=stop_at):
            seen.append(result.n_iter)
            if len(seen) == stop_at + 1:
                raise KeyboardInterrupt

        fit = {
            "init_params": LABELS,
            "tol": 1e-6,
            "max_iter": 60,
            "random_state": 0,
            "on_collapse": "reseed",
            "n_threads": 1,
        }
        path = tmp_path / f"checkpoint {stop_at}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(KeyboardInterrupt):
                StudentTMixture(3, **fit).fit(POINT, callback=interrupt, checkpoint=path, checkpoint_seconds=0)
            resumed = StudentTMixture(3, **fit).fit(POINT, checkpoint=path, checkpoint_seconds=0, resume=True)
        assert resumed.means_.tobytes() == whole.means_.tobytes()
        assert str(resumed.fit_report_) == str(whole.fit_report_)


def test_a_thin_component_of_few_rows_is_a_spike():
    rng = np.random.default_rng(0)
    line = np.column_stack([np.linspace(-1, 1, 5), 4 + 4e-3 * rng.normal(size=5)])
    X = np.vstack([rng.normal(0, 1, (300, 2)), line])
    found = collapsing("full", "floor", X, init_params=np.repeat([0, 1, 2], [150, 150, 5]), max_iter=5)
    assert "spike" in found.component_status_[2]
    thick = np.vstack([rng.normal(0, 1, (300, 2)), line * [1, 100] - [0, 396]])
    found = collapsing("full", "floor", thick, init_params=np.repeat([0, 1, 2], [150, 150, 5]), max_iter=1)
    assert "spike" not in found.component_status_[2]


@pytest.mark.parametrize("bad", ["flor", None, 3])
def test_a_policy_that_does_not_exist_is_refused(bad):
    with pytest.raises(ValueError, match="on_collapse"):
        GaussianMixture(2, on_collapse=bad).fit(FAITHFUL)
    with pytest.raises(ValueError, match="split_merge"):
        GaussianMixture(2, split_merge=-1).fit(FAITHFUL)


# ---- the report --------------------------------------------------------------------------------------------------


def test_the_report_is_that_of_the_fit():
    found = GaussianMixture(3, n_init=4, random_state=0, split_merge=1, **TIGHT).fit(FAITHFUL)
    report = found.fit_report_
    assert len(report.restarts) == 5
    (chosen,) = [one for one in report.restarts if one.chosen]
    most = max(one.log_likelihood for one in report.restarts)
    assert chosen.log_likelihood == found.log_likelihood_ == pytest.approx(most, abs=1e-6)
    assert (chosen.n_iter, chosen.sound) == (found.n_iter_, True) and chosen.status.startswith(found.stop_reason_)
    assert [one.weight for one in report.components] == found.weights_.tolist()
    assert [one.status for one in report.components] == found.component_status_
    assert sum(one.effective_rows for one in report.components) == pytest.approx(len(FAITHFUL))
    lines = str(report).splitlines()
    assert len(lines) == 1 + 5 + 1 + 1 + 3
    assert sum(bool(re.match(r" *\*\d", line)) for line in lines) == 1


def test_a_single_component_is_as_wide_as_the_data():
    (one,) = GaussianMixture(1).fit(IRIS).fit_report_.components
    assert one.eigenvalues == pytest.approx((1, 1), rel=1e-9)
    (one,) = PoissonMixture(1).fit(np.round(IRIS)).fit_report_.components
    assert one.eigenvalues is None and one.floor_hits == 0


def test_relative_eigenvalues_are_those_of_the_pencil_and_invariant():
    rng = np.random.default_rng(0)
    roots, means, weights = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 4)), np.array([0.2, 0.3, 0.5])
    dense = roots @ np.swapaxes(roots, 1, 2)
    total = np.tensordot(weights, dense, 1) + np.cov(means.T, aweights=weights, ddof=0)
    found = relative_eigenvalues(dense, total)
    assert np.allclose(found, [eigh(one, total, eigvals_only=True) for one in dense], rtol=1e-9)
    turn = rng.normal(size=(4, 4))
    assert np.allclose(relative_eigenvalues(turn @ dense @ turn.T, turn @ total @ turn.T), found, rtol=1e-6)
    wider = np.zeros((3, 5, 5))
    wider[:, :4, :4] = dense  # and a constant column
    assert np.allclose(relative_eigenvalues(wider, np.pad(total, (0, 1))), found, rtol=1e-9)
