"""MixedMixture: what it says of its components; columns by their names."""

import pickle

import numpy as np
import pandas as pd
import pytest
from containers import CONTAINERS
from sklearn.base import clone

import fastem
from fastem import MixedMixture

RNG = np.random.default_rng(0)
Z = np.arange(400) % 2
NORMAL = RNG.normal(9 * Z)
COLUMNS = {
    "bernoulli": (Z, "2 of its probabilities are at 0 or 1, first in column 2"),
    "categorical": (2 * Z, "a probability is at 0 in 2 column(s), first in column 2"),
    "gamma": (5.0 + Z, "its values in column 2 are nearly equal"),
}


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("kind", COLUMNS)
def test_a_status_counts_columns_as_x_does(kind):
    values, words = COLUMNS[kind]
    X = np.column_stack([NORMAL, NORMAL, values, values])
    model = MixedMixture(2, kinds=["gaussian", "gaussian", kind, kind], random_state=0).fit(X)
    assert all(status.startswith(f"{kind}: {words}") for status in model.component_status_)


@pytest.mark.parametrize("seed", range(4))
def test_a_code_that_says_nothing_does_not_decide_the_start(seed):
    """Near neighbours share a code, so all columns together are split by it: a local maximum far below."""
    rng = np.random.default_rng(seed)
    label = (rng.random(1000) < 0.4).astype(int)
    X = np.column_stack([rng.normal(5 * label, 1), rng.integers(0, 3, 1000)])
    kinds = ["gaussian", "categorical"]
    from_truth = MixedMixture(2, kinds=kinds, init_params=label).fit(X)
    for random_state in range(3):
        found = MixedMixture(2, kinds=kinds, random_state=random_state).fit(X)
        assert found.log_likelihood_ > from_truth.log_likelihood_ - 1


NAMES = ["visits", "amount", "paid"]
ROWS = np.column_stack([RNG.poisson(2 + 7 * Z), NORMAL, RNG.integers(3, size=len(Z))])
BY_NAME = {"gaussian": ["amount"], "categorical": "paid", "poisson": pd.Index(["visits"])}
BY_NUMBER = {"gaussian": [1], "categorical": 2, "poisson": [0]}


def by(kinds, **settings):
    return MixedMixture(2, kinds=kinds, random_state=0, **settings)


EXPECTED = by(BY_NUMBER).fit(pd.DataFrame(ROWS, columns=NAMES))


@pytest.mark.parametrize("name", [name for name, (_, named, _) in CONTAINERS.items() if named])
def test_kinds_name_columns_of_whatever_has_names(name, tmp_path):
    X = CONTAINERS[name][0](tmp_path, ROWS, NAMES)
    model = by(BY_NAME).fit(X)
    np.testing.assert_allclose(model.poisson_rates_, EXPECTED.poisson_rates_)
    np.testing.assert_array_equal(model.predict(X), EXPECTED.predict(pd.DataFrame(ROWS, columns=NAMES)))


def test_named_columns_are_those_of_the_fit_wherever_the_mixture_goes(tmp_path):
    frame = pd.DataFrame(ROWS, columns=NAMES)
    model = by(BY_NAME).fit(frame)
    expected = model.score_samples(frame)
    model.save(tmp_path / "mixed.npz")
    for other in (fastem.load(tmp_path / "mixed.npz"), pickle.loads(pickle.dumps(model)), clone(model).fit(frame)):
        np.testing.assert_array_equal(other.score_samples(frame), expected)
    assert model.set_params(kinds=BY_NUMBER).members_["poisson"].rates_.shape == (2, 1)
    moved = frame[["amount", "paid", "visits"]]
    np.testing.assert_allclose(by(BY_NAME).fit(frame).fit(moved).score_samples(moved), expected)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        np.testing.assert_array_equal(by(BY_NAME).fit(frame).score_samples(ROWS), expected)


def test_named_columns_in_batches_and_beside_side_columns():
    frame = pd.DataFrame(ROWS, columns=NAMES)
    batches = [by(kinds).partial_fit(frame[:200]).partial_fit(frame[200:]) for kinds in (BY_NAME, BY_NUMBER)]
    np.testing.assert_array_equal(batches[0].poisson_rates_, batches[1].poisson_rates_)
    wide = frame.assign(age=RNG.normal(size=len(Z)), known=np.where(Z, -1, 0))[["age", "known", *NAMES]]
    for sides in ({"covariates": "age"}, {"labels": "known"}):
        X = wide[[*sides.values(), *NAMES]]
        np.testing.assert_array_equal(
            by(BY_NAME).fit(X, **sides).gaussian_means_, by(BY_NUMBER).fit(X, **sides).gaussian_means_
        )


@pytest.mark.parametrize(
    ("kinds", "X", "words"),
    [
        (BY_NAME, ROWS, "kinds names the column 'amount', but the columns of X have no names. Give numbers"),
        ({"gaussian": ["mount"]}, None, "kinds names the column 'mount', which X does not have among its values. They"),
        ({"gaussian": NAMES[:2]}, None, "with each number from 0 to 2 once, or names of columns in their place"),
        ({"visits": "poisson"}, None, "kinds must be among 'gaussian', .* Got 'visits'"),
    ],
)
def test_names_that_are_no_columns(kinds, X, words):
    with pytest.raises(ValueError, match=words):
        by(kinds).fit(pd.DataFrame(ROWS, columns=NAMES) if X is None else X)


CODED = np.column_stack([NORMAL, Z, Z + RNG.integers(2, size=len(Z))])
NEW = np.array([[0.0, 2.0, 3.0]])  # codes that no row of CODED has


def coded(kinds=("gaussian", "categorical", "categorical"), **settings):
    return MixedMixture(2, kinds=kinds, random_state=0, **settings)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
@pytest.mark.parametrize("n_categories", [4, [3, 4], np.array([3, 4])])
def test_codes_that_only_later_rows_hold(n_categories, tmp_path):
    model = coded(n_categories=n_categories).fit(CODED)
    model.save(tmp_path / "mixed.npz")
    loaded = fastem.load(tmp_path / "mixed.npz")
    assert np.isfinite(model.score_samples(NEW)) and loaded.score_samples(NEW) == model.score_samples(NEW)
    expected = [3, 4] if np.ndim(n_categories) else [4, 4]
    assert model.members_["categorical"].n_categories_.tolist() == expected
    assert model.partial_fit(np.vstack([CODED, NEW])).categorical_probabilities_[:, 1, 3].max() > 1e-6


@pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
def test_codes_that_no_row_of_the_fit_holds():
    words = r"codes below n_categories .*row 0, column 1 is 2\. Fit with an n_categories= that has room"
    model = coded(warm_start=True).fit(CODED)
    for call in (model.predict, model.partial_fit):
        with pytest.raises(ValueError, match=words):
            call(NEW)
    with pytest.raises(ValueError, match=r"warm_start=True, but the columns now have \[3 4\] categories"):
        model.fit(np.vstack([CODED, NEW]))  # it lost them


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_categories": [4, 4, 4]}, "n_categories.* one for each of 2 categorical"),
        ({"n_categories": 1}, r"codes below n_categories \(1\)"),
        ({"n_categories": 4, "kinds": "poisson"}, "n_categories is for columns of kind 'categorical', but kinds names"),
    ],
)
def test_n_categories_that_are_not_those_of_the_columns(settings, words):
    with pytest.raises(ValueError, match=words):
        coded(**settings).fit(abs(np.floor(CODED)))


def test_identifiers_among_other_columns():
    with pytest.raises(ValueError, match="column 2 has 1000001 categories"):
        coded().fit(CODED * [1, 1, 5e5])
