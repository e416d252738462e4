"""Missing values in the Gaussian columns of a MixedMixture; in other columns they are refused with their place."""

import numpy as np
import pytest

import fastem
from fastem import GaussianMixture, MixedMixture

RNG = np.random.default_rng(0)
Z = RNG.random(400) < 0.4
X = np.column_stack(
    [RNG.poisson(np.where(Z, 2, 12)), RNG.normal(5 * Z), RNG.random(400) < 0.2 + 0.6 * Z, RNG.normal(size=400)]
)
KINDS = ["poisson", "gaussian", "bernoulli", "gaussian"]
GAPS = X.copy()
GAPS[RNG.random(400) < 0.3, 1] = np.nan
GAPS[RNG.random(400) < 0.3, 3] = np.nan
FIT = {"random_state": 0, "tol": 1e-9, "max_iter": 500}


def by_hand(model, rows):
    """Log-density from the members' parameters, value by value."""
    from scipy.stats import bernoulli, norm, poisson

    rates, probabilities = model.poisson_rates_, model.bernoulli_probabilities_
    means, deviations = model.gaussian_means_, np.sqrt(model.gaussian_covariances_)
    joint = np.log(model.weights_) + poisson.logpmf(rows[:, :1], rates[:, 0])
    joint = joint + bernoulli.logpmf(rows[:, 2:3], probabilities[:, 0])
    for i, column in enumerate((1, 3)):
        joint = joint + np.nan_to_num(norm.logpdf(rows[:, [column]], means[:, i], deviations[:, i]))
    return np.logaddexp.reduce(joint, axis=1)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("held", ["array", "stream"])
def test_a_missing_value_is_left_out_of_the_density(dtype, held):
    rows = GAPS.astype(dtype)
    given = rows if held == "array" else lambda: iter([rows[:150], rows[150:]])
    model = MixedMixture(2, kinds=KINDS, **FIT).fit(given)
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    assert np.allclose(model.score_samples(rows), by_hand(model, GAPS), rtol=tolerance, atol=10 * tolerance)
    assert model.log_likelihood_ == pytest.approx(by_hand(model, GAPS).sum(), rel=tolerance)
    assert (np.diff(model.history_) > -tolerance).all()
    assert max(np.mean(model.predict(rows) == Z), np.mean(model.predict(rows) != Z)) > 0.95
    steps = model.steps_
    assert all(step.bound <= step.log_likelihood + tolerance for step in steps)


def test_gaussian_columns_alone_are_a_gaussian_mixture():
    rows = GAPS[:, [1, 3]]
    labels = Z.astype(int)
    mixed = MixedMixture(2, kinds="gaussian", init_params=labels, **FIT).fit(rows)
    gaussian = GaussianMixture(2, covariance_type="diag", init_params=labels, **FIT).fit(rows)
    assert mixed.log_likelihood_ == pytest.approx(gaussian.log_likelihood_, rel=1e-9)


@pytest.mark.parametrize("settings", [{"n_init": 3}, {"split_merge": 1}, {"init_params": "hierarchical"}])
def test_beside_restarts(settings, tmp_path):
    model = MixedMixture(2, kinds=KINDS, random_state=0, **settings).fit(GAPS)
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert np.array_equal(again.predict_proba(GAPS), model.predict_proba(GAPS))


def test_a_row_without_its_gaussian_values_and_one_far_away():
    model = MixedMixture(2, kinds=KINDS, random_state=0).fit(GAPS)
    rows = np.array([[1.0, np.nan, 1.0, np.nan], [1.0, 1e300, 1.0, np.nan], [12.0, np.nan, 0.0, -1e300]])
    assert np.isfinite(model.predict_proba(rows)).all()
    assert model.predict_proba(rows).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("column", [0, 2])
@pytest.mark.parametrize("names", [False, True])
def test_refused_elsewhere_with_the_place(column, names):
    bad = GAPS.copy()
    bad[7, column] = np.nan
    where = f"Input X contains NaN: the first is at row 7, column {column}"
    good = GAPS
    if names:
        pd = pytest.importorskip("pandas")
        bad, good = (pd.DataFrame(rows, columns=list("abcd")) for rows in (bad, GAPS))
        where = where.replace(f"column {column}", f"column '{'abcd'[column]}'")
    where += '.* only columns of kind "gaussian" take NaN'
    with pytest.raises(ValueError, match=where):
        MixedMixture(2, kinds=KINDS).fit(bad)
    with pytest.raises(ValueError, match=where):
        MixedMixture(2, kinds=KINDS, random_state=0).fit(good).predict(bad)
