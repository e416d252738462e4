"""Adaptation of a background model: Reynolds' formulae on responsibilities, and its limits."""

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.datasets import load_faithful

X = load_faithful().data
NEW = X[::7] + [0.4, -3.0]


def background(kind="full", **parameters):
    return GaussianMixture(3, covariance_type=kind, random_state=0, init_params="kmeans", **parameters).fit(X)


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_the_formulae(kind):
    model, r = background(kind), 5.0
    found = model.adapt(NEW, relevance=r, parameters=("weights", "means", "covariances"))
    q = model.predict_proba(NEW)
    counts = q.sum(axis=0)
    a = (counts / (counts + r))[:, None]
    means = a * (q.T @ NEW) / counts[:, None] + (1 - a) * model.means_
    weights = a[:, 0] * counts / len(NEW) + (1 - a[:, 0]) * model.weights_
    assert np.allclose(found.means_, means) and np.allclose(found.weights_, weights / weights.sum())
    variances = model.covariances_ if kind == "diag" else np.diagonal(model.covariances_, axis1=1, axis2=2)
    squares = a * (q.T @ NEW**2) / counts[:, None] + (1 - a) * (variances + model.means_**2)
    adapted = found.covariances_ if kind == "diag" else np.diagonal(found.covariances_, axis1=1, axis2=2)
    assert np.allclose(adapted, squares - means**2)


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical", "VEV", "EVI"])
def test_relevance_goes_from_the_rows_to_the_background(kind):
    model, everything = background(kind), ("weights", "means", "covariances")
    start = {"weights_init": model.weights_, "means_init": model.means_, "precisions_init": model.precisions_}
    em = GaussianMixture(3, covariance_type=kind, max_iter=1, **start).fit(NEW)
    rows = model.adapt(NEW, relevance=0, parameters=everything)
    assert np.allclose(rows.means_, em.means_) and np.allclose(rows.weights_, em.weights_)
    assert np.allclose(rows.covariances_, em.covariances_, rtol=1e-6)
    stays = model.adapt(NEW, relevance=1e14, parameters=everything)
    assert np.allclose(stays.means_, model.means_) and np.allclose(stays.covariances_, model.covariances_)


def test_only_what_is_asked_for_moves():
    model = background()
    found = model.adapt(NEW)
    assert (found.weights_ == model.weights_).all() and (found.covariances_ == model.covariances_).all()
    assert not np.isclose(found.means_, model.means_).any() and found.predict(X).shape == (len(X),)
    covariances = model.adapt(NEW, parameters=["covariances"])
    assert (covariances.means_ == model.means_).all() and (covariances.weights_ == model.weights_).all()
    assert not np.isclose(covariances.covariances_, model.covariances_).all()
    weights = model.adapt(NEW, parameters=["weights"])
    assert (weights.means_ == model.means_).all() and (weights.covariances_ == model.covariances_).all()
    assert not np.isclose(weights.weights_, model.weights_).any()


def test_iterations_climb_the_posterior():
    """That of means whose prior is N(background, covariance / relevance)."""
    model, r = background(), 4.0
    values = []
    for n in range(1, 8):
        found = model.adapt(NEW, relevance=r, max_iter=n)
        step = found.means_ - model.means_
        values.append(found.score_samples(NEW).sum() - 0.5 * r * np.einsum("ki,kij,kj", step, model.precisions_, step))
    assert np.diff(values).min() > -1e-9 and np.ptp(values) > 1e-3


def test_weighted_rows_count_as_rows():
    model = background()
    one = model.adapt(np.repeat(NEW, 2, axis=0))
    assert np.allclose(one.means_, model.adapt(NEW, np.full(len(NEW), 2.0)).means_)


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"relevance": -1}, "relevance"),
        ({"parameters": "means"}, "parameters must be some of"),
        ({"parameters": ()}, "parameters must be some of"),
        ({"parameters": ("mean",)}, "parameters must be some of"),
        ({"max_iter": 0}, "max_iter"),
    ],
)
def test_bad_wishes_are_refused(asked, words):
    with pytest.raises(ValueError, match=words):
        background().adapt(NEW, **asked)


def test_what_is_constrained_is_not_adapted():
    with pytest.raises(ValueError, match=r"'weights', but .*equal_weights"):
        background(equal_weights=True).adapt(NEW, parameters=("weights",))
    with pytest.raises(ValueError, match="'covariances'"):
        background(max_eigenvalue_ratio=2.0).adapt(NEW, parameters=("covariances",))
    with pytest.raises(ValueError, match="features"):
        background().adapt(NEW[:, :1])
