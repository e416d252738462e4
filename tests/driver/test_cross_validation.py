"""The sums of the other folds give what a fit without the fold gives; folds hang on row numbers and the seed alone."""

import numpy as np
import pytest
from coins import Coins
from models import MODELS

import fastem
from fastem import GaussianMixture
from fastem.driver.cross_validation import folds, held_out_log_likelihood, without_each
from fastem.rows.blocks import ArrayBlocks
from fastem.rows.sources.open_rows import open_rows
from fastem.rows.statistics import Statistics

N = 203
rng = np.random.default_rng(0)
X = np.vstack([rng.normal(size=(100, 2)), rng.normal(4, 2, size=(103, 2))])
pytestmark = [
    pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning"),
    pytest.mark.filterwarnings("ignore:Best performing initialization did not converge"),
]


def by_hand(model, X, weight, n_folds, n_iter, seed):
    """The same with a pass over the other rows for everything."""
    fold, total = folds(0, len(X), n_folds, seed), 0.0
    for k in range(n_folds):
        rest, one = fold != k, model
        for _ in range(n_iter):
            one = one.m_step(one.e_step(X[rest], weight[rest]))
        total += one.e_step(X[~rest], weight[~rest]).log_likelihood
    return total


@pytest.mark.parametrize("n_folds", [2, 3, 10])
def test_folds_are_even_and_the_same_for_any_blocks(n_folds):
    whole = folds(0, N, n_folds, 7)
    assert np.ptp(np.bincount(whole, minlength=n_folds)) <= 1
    assert [len(set(group)) for group in np.split(whole[: N // n_folds * n_folds], N // n_folds)] == [n_folds] * (
        N // n_folds
    )
    for start, stop in [(0, 1), (5, 6), (7, 101), (100, N), (20, 20)]:
        assert np.array_equal(folds(start, stop, n_folds, 7), whole[start:stop])
    assert not np.array_equal(whole, folds(0, N, n_folds, 8))
    assert len({tuple(group) for group in whole[: 20 * n_folds].reshape(20, n_folds)}) > 1


@pytest.mark.parametrize("family", MODELS, ids=str)
def test_one_step_from_sums_is_a_step_on_the_other_rows(family):
    rows = family.data(N)
    weight = np.random.default_rng(1).integers(1, 4, N).astype(float)
    model = family.make(2, random_state=0, max_iter=3).fit(rows, sample_weight=weight).model_
    for n_iter in (1, 3):
        found = held_out_log_likelihood(model, ArrayBlocks(rows, weight), 5, n_iter, 0, 1)
        assert found == pytest.approx(by_hand(model, rows, weight, 5, n_iter, 0), rel=1e-7)


def test_many_steps_are_the_fit_without_the_fold():
    fit = {"random_state": 0, "tol": 1e-10, "max_iter": 3000}
    model, fold = GaussianMixture(2, **fit).fit(X), folds(0, N, 10, 0)
    refitted = sum(GaussianMixture(2, **fit).fit(X[fold != k]).score_samples(X[fold == k]).sum() for k in range(10))
    few, many = (held_out_log_likelihood(model.model_, ArrayBlocks(X), 10, n_iter, 0, 1) for n_iter in (1, 200))
    assert many == pytest.approx(refitted, abs=1e-3)
    assert many < few < model.log_likelihood_


def test_the_same_bits_from_any_source_and_missing_values():
    holes = X.copy()
    holes[::7, 1] = np.nan
    model = GaussianMixture(2, random_state=0).fit(holes).model_
    streamed = open_rows(lambda: iter(np.array_split(holes, 11)))
    one, two = (held_out_log_likelihood(model, blocks, 10, 2, 3, 1) for blocks in (ArrayBlocks(holes), streamed))
    assert one == two


def test_many_blocks_the_last_of_one_row(monkeypatch):
    model = GaussianMixture(2, random_state=0).fit(X).model_
    whole = held_out_log_likelihood(model, ArrayBlocks(X), 10, 1, 0, 1)
    monkeypatch.setattr("fastem.driver.cross_validation.PIECE_VALUES", 1)
    monkeypatch.setattr("fastem.driver.cross_validation.PIECE_ROWS", 1)
    blocks = ArrayBlocks(X)
    blocks.block_rows = N - 1
    assert held_out_log_likelihood(model, blocks, 10, 1, 0, 1) == pytest.approx(whole, rel=1e-12)


def test_a_users_own_model():
    heads = np.random.default_rng(2).binomial(10, np.where(np.arange(N) % 2, 0.3, 0.8))
    rows, coins = np.column_stack([heads, np.full(N, 10)]).astype(float), Coins(np.array([0.6, 0.4]))
    found = held_out_log_likelihood(coins, ArrayBlocks(rows), 10, 4, 0, 1)
    assert found == pytest.approx(by_hand(coins, rows, np.ones(N), 10, 4, 0), rel=1e-12)


def test_sums_of_all_others_cancel_nothing():
    parts = [Statistics(a=value, weight=1.0) for value in (1e300, 0.0, 3.0, 0.0)]
    assert without_each(parts)[0].a == 3.0
    assert [others.weight for others in without_each(parts)] == [3.0] * 4
    assert [others.a for others in without_each(parts[1:3])] == [3.0, 0.0]


# ---- of an estimator ---------------------------------------------------------------------------------------------


def test_the_score_is_a_mean_and_knows_weights():
    weight = np.random.default_rng(1).integers(1, 4, N).astype(float)
    model = GaussianMixture(2, random_state=0).fit(X, sample_weight=weight)
    found = model.cross_validated_score(X, weight, n_folds=7, n_iter=2, random_state=5)
    for scale in (1e-60, 3.0, 1e60):
        assert model.cross_validated_score(X, weight * scale, n_folds=7, n_iter=2, random_state=5) == pytest.approx(
            found
        )
    ones = model.cross_validated_score(X)
    assert ones == pytest.approx(model.cross_validated_score(X.tolist(), np.full(N, 2.0)), rel=1e-12)
    assert ones != found and ones < model.score(X)


@pytest.mark.parametrize(
    "asked, message", [({"n_folds": 1}, "n_folds"), ({"n_folds": 2.5}, "n_folds"), ({"n_iter": 0}, "n_iter")]
)
def test_wrong_numbers(asked, message):
    model = GaussianMixture(1).fit(X)
    with pytest.raises(ValueError, match=message):
        model.cross_validated_score(X, **asked)
    with pytest.raises(ValueError, match="minimum of 10"):
        model.cross_validated_score(X[:9])
    with pytest.raises(ValueError, match="features"):
        model.cross_validated_score(X[:, :1])
    with pytest.raises(ValueError, match="one fold"):
        model.cross_validated_score(X, np.eye(N)[0])
    with pytest.raises(fastem.NotFittedError):
        GaussianMixture(1).cross_validated_score(X)


@pytest.mark.parametrize("sides", ["errors", "lower and upper", "labels"])
def test_what_the_rows_had_beside_them_is_not_left_out(sides):
    given = {
        "errors": {"errors": np.ones_like(X)},
        "lower and upper": {"lower": X - 1, "upper": X + 1},
        "labels": {"labels": np.where(X[:, 0] > 3, 1, 0)},
    }[sides]
    model = GaussianMixture(2, covariance_type="diag", random_state=0).fit(X, **given)
    with pytest.raises(ValueError, match=f"cross_validated_score takes no {sides}, with which"):
        model.cross_validated_score(X)
