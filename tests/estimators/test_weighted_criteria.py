"""Weights at evaluation mean what they mean in a fit: a weight of 2 counts as two equal rows."""

import numpy as np
import pytest
from models import MODELS

import fastem

X = np.random.default_rng(0).normal(size=(40, 2))
WEIGHT = np.arange(40) % 4
CRITERIA = ("score", "bic", "aic", "icl")


@pytest.mark.parametrize("family", MODELS, ids=str)
@pytest.mark.filterwarnings("ignore")
def test_weights_are_repeated_rows(family):
    rows = family.data(60)
    weight = np.arange(60) % 4
    model = family.make(2, max_iter=3, random_state=0, tol=0).fit(rows)
    for name in CRITERIA:
        measure = getattr(model, name)
        repeated = measure(np.repeat(rows, weight, axis=0))
        assert np.isclose(measure(rows, sample_weight=weight), repeated, rtol=1e-12)
        assert not np.isclose(measure(rows), repeated, rtol=1e-4)


@pytest.mark.parametrize("make", [fastem.FactorAnalysis, fastem.PPCA])
def test_factor_models(make):
    model = make(1).fit(X)
    for name in CRITERIA[:3]:
        measure = getattr(model, name)
        assert np.isclose(measure(X, sample_weight=WEIGHT), measure(np.repeat(X, WEIGHT, axis=0)), rtol=1e-12)


def test_criteria_after_a_weighted_fit_are_those_of_select():
    found = fastem.select(X, [1, 2], ["EEE"], sample_weight=WEIGHT, random_state=0)
    for row in found.table:
        for name in ("bic", "aic", "icl"):
            assert np.isclose(getattr(row.estimator, name)(X, sample_weight=WEIGHT), getattr(row, name), rtol=1e-9)
    best = found.best
    assert np.isclose(best.score(X, sample_weight=WEIGHT) * WEIGHT.sum(), best.log_likelihood_, rtol=1e-12)


def test_weights_come_with_chunks_too():
    model = fastem.GaussianMixture(2, random_state=0).fit(X)

    def chunks():
        return iter([(X[:30], WEIGHT[:30]), (X[30:], WEIGHT[30:])])

    for name in (*CRITERIA, "quantile"):
        first = [0.3] if name == "quantile" else []
        measure = getattr(model, name)
        assert np.isclose(measure(*first, chunks), measure(*first, X, sample_weight=WEIGHT), rtol=1e-13)


def test_an_impossible_row_of_weight_0_does_not_count():
    model = fastem.GaussianMixture(1).fit(X)
    far = np.vstack([X, [[1e200, 0.0]]])
    assert np.isclose(model.score(far, sample_weight=np.r_[np.ones(40), 0]), model.score(X), rtol=1e-13)
    assert model.score(far) == -np.inf


@pytest.mark.parametrize("q", [0.0, 0.1, 0.37, 0.5, 1.0])
def test_quantiles_of_repeated_rows(q):
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    assert np.isclose(model.quantile(q, X, WEIGHT), model.quantile(q, np.repeat(X, WEIGHT, axis=0)), rtol=1e-12)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.37, 0.5, 1.0])
def test_quantiles_do_not_depend_on_the_unit_of_weights_that_are_no_numbers_of_rows(q):
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    log_density, shares = model.score_samples(X), np.random.default_rng(1).dirichlet(np.ones(40))
    threshold = model.quantile(q, X, shares)
    for unit in (0.1, 7.3, 1e12, 1e-200):
        assert np.isclose(model.quantile(q, X, shares * unit), threshold, rtol=1e-12)
    assert shares[log_density < threshold].sum() <= q + 1e-12 and shares[log_density <= threshold].sum() >= q - 1 / 40
    assert np.isclose(model.quantile(q, X, np.full(40, 1 / 40)), np.quantile(log_density, q), rtol=1e-12)
    assert model.quantile([0, 1], X, shares).tolist() == [log_density.min(), log_density.max()]


@pytest.mark.parametrize(
    "weight, words",
    [
        (np.ones(3), "sample_weight.shape"),
        (-np.ones(40), "Negative values"),
        (np.zeros(40), "All sample_weight are zero"),
    ],
)
def test_bad_weights(weight, words):
    model = fastem.GaussianMixture(1).fit(X)
    for name in CRITERIA:
        with pytest.raises(ValueError, match=words):
            getattr(model, name)(X, sample_weight=weight)
    with pytest.raises(ValueError, match="All sample_weight are zero"):
        model.bic(lambda: iter([(X, np.zeros(40))]))
