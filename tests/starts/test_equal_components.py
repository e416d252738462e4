"""Components that are equal stay equal under EM: they are named, and left where the stop is to be certified."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from models import MODELS

import fastem
from fastem import DegenerateComponentWarning, GaussianMixture, SaddlePointWarning
from fastem.datasets import load_faithful
from fastem.errors import ConvergenceWarning
from fastem.starts.diagnosis import equal_components

X = load_faithful().data
EQUAL = "equal to component {}: EM cannot separate them"


def at_the_mean(covariance_type="full", weights=(0.5, 0.5), **options):
    precisions = {"full": np.tile(np.linalg.inv(np.cov(X.T)), (2, 1, 1)), "tied": np.linalg.inv(np.cov(X.T))}
    given = {"precisions_init": precisions[covariance_type], "means_init": np.tile(X.mean(axis=0), (2, 1))}
    return GaussianMixture(2, covariance_type=covariance_type, weights_init=list(weights), **given, **options)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.3, 0.7)])
@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_equal_components_are_named_and_warned_of(covariance_type, weights):
    with pytest.warns(DegenerateComponentWarning, match="component 0: equal to component 1: EM cannot separate them"):
        model = at_the_mean(covariance_type, weights).fit(X)
    assert model.component_status_ == [EQUAL.format(1), EQUAL.format(0)]
    assert EQUAL.format(1) in str(model.fit_report_)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.3, 0.7)])
def test_a_certified_stop_leaves_them(weights, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = at_the_mean(weights=weights, stop="certified", tol=0.1, max_iter=500).fit(X.astype(dtype))
    assert model.component_status_ == ["ok", "ok"] and "saddle point(s) were left" in model.stop_reason_
    assert model.log_likelihood_ == pytest.approx(-1130.264, abs=0.1)


@pytest.mark.parametrize("family", MODELS, ids=lambda family: family.name)
@pytest.mark.filterwarnings("ignore")
def test_components_of_every_family_are_equal_only_where_they_are(family):
    rows = family.data(200)
    fitted = family.make(3, random_state=0, max_iter=3).fit(rows)
    assert equal_components(fitted.model_, 1e-9) == {}
    assert equal_components(family.make(1, random_state=0, max_iter=0).fit(rows).model_, 1e-9) == {}


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "VEV", "VVE"])
def test_means_that_are_apart_show_that_no_two_are_equal(covariance_type):
    apart = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X).model_
    assert apart.emission.are_apart
    means = apart.emission.means.copy()
    means[2] = means[0]
    near = replace(apart, emission=replace(apart.emission, means=means))
    assert not near.emission.are_apart
    assert bool(equal_components(near, 1e-9)) == (covariance_type == "tied")  # the others' covariances differ


def five_degrees(n_components, **parameters):
    return fastem.StudentTMixture(n_components, degrees_of_freedom=5.0, **parameters)


@pytest.mark.parametrize("make", [fastem.PoissonMixture, fastem.BernoulliMixture, five_degrees])
@pytest.mark.filterwarnings("ignore")
def test_equal_starts_of_other_families_are_named(make):
    rows = {fastem.PoissonMixture: np.rint(X), fastem.BernoulliMixture: (X > X.mean(axis=0)).astype(float)}.get(make, X)
    model = make(2, init_params=np.tile([0.5, 0.5], (len(X), 1))).fit(rows)
    assert model.component_status_ == [EQUAL.format(1), EQUAL.format(0)]


def test_a_saddle_without_a_rise_ends_the_fit_in_words(monkeypatch):
    """Not silently at max_iter."""
    monkeypatch.setattr("fastem.driver.em.ascended", lambda *arguments: None)
    with pytest.warns(ConvergenceWarning, match="no step in its direction raises the log-likelihood"):
        with (
            pytest.warns(
                SaddlePointWarning, match=r"the point is no maximum.* Other starts \(random_state, n_init\) may lead on"
            ),
            pytest.warns(DegenerateComponentWarning),
        ):
            model = at_the_mean(stop="certified", max_iter=500).fit(X)
    with pytest.warns(SaddlePointWarning, match=r'n_init\), or stop="certified", may lead on'):
        model.fit_report_.warn_of_saddle("gain")
    assert not model.converged_ and model.n_iter_ < 50 and np.isinf(model.remaining_gain_)
    assert "the point is no maximum" in model.summary()
    assert "no maximum" in model.stop_reason_ and "no maximum" in model.fit_report_.restarts[0].status
