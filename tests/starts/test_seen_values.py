"""Parameters that no value determines are not called ok: values that are missing, or censored on one side."""

from functools import partial

import numpy as np
import pytest

import fastem
from fastem import (
    BayesianGaussianMixture,
    DegenerateComponentWarning,
    ExponentialMixture,
    GammaMixture,
    GaussianMixture,
    GeometricMixture,
    MixedMixture,
    StudentTMixture,
)
from fastem.starts import seen_values

pytestmark = pytest.mark.filterwarnings("ignore::fastem.DegenerateComponentWarning")
RNG = np.random.default_rng(0)
FAR = np.vstack([RNG.normal(size=(80, 2)), RNG.normal(100, 1, (80, 2))])
FAR[80:, 1] = np.nan  # of the second cluster nothing is known there
LABELS = np.repeat([0, 1], 80)
APART = RNG.normal(size=(60, 3))  # of which the first two columns are never seen together
APART[:30, 0], APART[30:, 1] = np.nan, np.nan
NO_VALUE = "not determined: its rows hold no value of column 1"
BESIDE = "hold no value of column 0 beside one of column 1"
CENSORED = "not determined: its rows hold no value of column 0, apart from values censored on one side"


def statuses(model, X, **sides):
    return model.fit(X, **sides).component_status_


@pytest.mark.parametrize(
    "covariance_type", ["full", "tied", "diag", "spherical", "EEI", "VEI", "EVI", "EEV", "EVE", "EII"]
)
@pytest.mark.parametrize("real", [np.float64, np.float32])
def test_a_column_that_a_component_never_shows(covariance_type, real):
    with pytest.warns(DegenerateComponentWarning, match="component 1: .*not determined"):
        found = statuses(GaussianMixture(2, covariance_type=covariance_type, init_params=LABELS), FAR.astype(real))
    assert found[0] == "ok" and NO_VALUE in found[1]  # it may be at the floor too, where the start put it


@pytest.mark.parametrize(
    "covariance_type, whose", [("full", "its rows"), ("tied", "the rows of all components"), ("diag", None)]
)
def test_two_columns_that_are_never_seen_together(covariance_type, whose):
    found = statuses(GaussianMixture(1, covariance_type=covariance_type), APART)
    assert found == ["ok" if whose is None else f"not determined: {whose} {BESIDE}"]


def test_what_components_share_is_determined_together():
    X = FAR.copy()
    X[80, 1] = 3.0  # enough for a mean
    some = {"init_params": LABELS, "tol": 1e-9}
    assert statuses(GaussianMixture(2, covariance_type="tied", **some), X) == ["ok", "ok"]
    assert statuses(GaussianMixture(2, covariance_type="VEI", **some), X) == ["ok", "ok"]
    one = "not determined: its rows hold 1.00 values of column 1"
    assert one in statuses(GaussianMixture(2, covariance_type="diag", **some), X)[1]


def test_mixed_columns_count_as_x_does():
    X = np.column_stack([np.arange(160) % 5, FAR])
    model = MixedMixture(2, kinds=["poisson", "gaussian", "gaussian"], init_params=LABELS)
    assert statuses(model, X) == ["ok", NO_VALUE.replace("1", "2")]


@pytest.mark.parametrize(
    "sides",
    [
        {"labels": LABELS},
        {"labels": np.eye(2)[LABELS] + 0.1},
        {"covariates": RNG.normal(size=160)},
        {"errors": np.full(FAR.shape, 0.1)},
        {"sample_weight": RNG.uniform(0.5, 2, 160)},
        {"lower": np.where(np.isnan(FAR), -np.inf, FAR), "upper": np.where(np.isnan(FAR), np.inf, FAR)},
    ],
    ids=lambda sides: next(iter(sides)),
)
def test_beside_whatever_rows_carry(sides):
    start = {} if "labels" in sides else {"init_params": LABELS}
    found = statuses(GaussianMixture(2, covariance_type="diag", random_state=0, **start), FAR, **sides)
    assert sorted(NO_VALUE in status for status in found) == [False, True]


def test_rows_that_come_in_chunks_and_a_rare_component():
    """Evenly spaced rows hold nothing of the last one, so that all are looked at: these determine it."""
    X = np.resize(FAR[:80], (9000, 2))
    X[1::1000], X[::7, 0] = FAR[:9] + 50, np.nan
    given = {"means_init": [[0, 0], [50, 50]], "weights_init": [0.5, 0.5], "precisions_init": np.ones((2, 2))}
    model = GaussianMixture(2, covariance_type="diag", **given)
    assert statuses(model, X) == ["ok", "ok"]
    X[1::1000, 1] = np.nan
    assert statuses(model, X) == statuses(model, lambda: iter([X[:5000], X[5000:]])) == ["ok", NO_VALUE]


def test_a_prior_and_fixed_parameters_determine_what_rows_do_not():
    assert statuses(BayesianGaussianMixture(2, init_params=LABELS), FAR) == ["ok", "ok"]
    kept = {"fixed": {"means": [1], "covariances": [1]}, "covariance_type": "diag", "weights_init": [0.5, 0.5]}
    given = {"means_init": [[0, 0], [100, 7]], "precisions_init": np.ones((2, 2))}
    assert statuses(GaussianMixture(2, **kept, **given), FAR) == ["ok", "ok"]


TAILED = partial(StudentTMixture, degrees_of_freedom=4.0)
TIMES = np.concatenate([RNG.uniform(0.1, 9, (80, 1)), RNG.uniform(100, 200, (80, 1))])


@pytest.mark.parametrize("kind", [GaussianMixture, TAILED, ExponentialMixture, GammaMixture, GeometricMixture])
def test_a_component_that_is_censored_on_one_side_alone(kind):
    X = np.floor(TIMES) if kind is GeometricMixture else TIMES
    lower, upper = np.minimum(X, 50), np.where(X > 50, np.inf, X)
    found = statuses(kind(2, init_params=LABELS), X, lower=lower, upper=upper)
    assert "not determined" in found[1] and "not determined" not in found[0]
    assert CENSORED in statuses(kind(1), X, lower=X, upper=np.full_like(X, np.inf))[0]


def test_two_sides_together_and_wide_bins_say_something():
    below = TIMES < 40
    either = {"lower": np.where(below, 0, 40), "upper": np.where(below, 40, np.inf)}
    assert statuses(ExponentialMixture(1), TIMES, **either) == ["ok"]
    bins = {"lower": np.floor(TIMES / 50) * 50, "upper": np.floor(TIMES / 50) * 50 + 50}
    assert statuses(GaussianMixture(1), TIMES, **bins) == ["ok"]
    assert CENSORED in statuses(ExponentialMixture(1), TIMES, lower=0 * TIMES, upper=TIMES)[0]


@pytest.mark.parametrize("method", ["louis", "bootstrap"])
def test_such_parameters_have_no_standard_errors(method):
    model = GaussianMixture(2, covariance_type="diag", init_params=LABELS).fit(FAR)
    with pytest.raises(
        ValueError, match=r"component 1 have no standard errors, as they are not determined: .* column 1\. Leave"
    ):
        fastem.standard_errors(model, FAR, method, n_draws=2)


def test_select_says_so_too():
    found = fastem.select(FAR, n_components=[2], covariance_types=["diag"], random_state=0)
    assert NO_VALUE in found.best.component_status_


def test_few_heavy_rows_without_a_value_hide_none_of_the_others():
    """As many rows as before tell of the second column, however heavy those are that do not."""
    X = RNG.normal(size=(100, 2))
    X[:50, 1] = np.nan
    heavy = np.where(np.arange(100) < 50, 1e4, 1)
    assert statuses(GaussianMixture(1, covariance_type="diag"), X, sample_weight=heavy) == ["ok"]


def test_one_value_determines_a_variance_about_a_mean_that_is_given():
    X = RNG.normal(size=(100, 2))
    X[1:, 1] = np.nan
    given = {"fixed": {"means": [0]}, "means_init": [[0, 0.0]]}
    assert statuses(GaussianMixture(1, covariance_type="diag", **given), X) == ["ok"]


def test_a_value_among_those_censored_on_one_side():
    lower = np.ones((31, 1))
    lower[0] = 0
    upper = np.where(lower > 0, np.inf, 0)
    assert statuses(GaussianMixture(1, max_iter=3), lower, lower=lower, upper=upper) == ["ok"]


def test_axes_that_are_shared_determine_a_covariance_that_no_row_shows():
    clusters = RNG.normal(size=(400, 3)) @ np.diag([3.0, 2, 1]) + np.repeat([[0.0], [25]], 200, axis=0)
    clusters[::2, 0], clusters[1::2, 1] = np.nan, np.nan
    start = {"init_params": np.repeat([0, 1], 200)}
    assert statuses(GaussianMixture(2, covariance_type="VVE", **start), clusters) == ["ok", "ok"]
    assert BESIDE in statuses(GaussianMixture(2, **start), clusters)[0]


def test_a_bound_on_eigenvalues_determines_no_covariance():
    found = statuses(GaussianMixture(1, max_eigenvalue_ratio=50), APART)
    assert found == [f"not determined: its rows {BESIDE}"]


def test_a_component_of_few_complete_rows_beside_others():
    """Pairs of columns are counted for it alone."""
    X = np.vstack([RNG.normal(size=(300, 3)), RNG.normal(50, 1, (60, 3))])
    X[300:330, 0], X[330:359, 1] = np.nan, np.nan
    start = {"init_params": np.repeat([0, 1], [300, 60])}
    assert (
        f"not determined: its rows {BESIDE}".replace("no value", "1.00 values")
        in statuses(GaussianMixture(2, **start), X)[1]
    )
    X[358, 1] = 50.0
    assert statuses(GaussianMixture(2, **start), X) == ["ok", "ok"]


def test_blocks_without_rows():
    chunks = [FAR[:80], FAR[:0], FAR[80:]]
    given = {"means_init": [[0, 0], [100, 0]], "weights_init": [0.5, 0.5], "precisions_init": np.ones((2, 2))}
    found = statuses(GaussianMixture(2, covariance_type="diag", **given), lambda: iter(chunks))
    assert found == ["ok", NO_VALUE]


def test_one_pair_determines_a_covariance_about_a_mean_that_is_given():
    X = RNG.normal(size=(100, 2))
    X[1:50, 0], X[50:, 1] = np.nan, np.nan
    given = {"fixed": {"means": [0]}, "means_init": [[0, 0.0]]}
    assert statuses(GaussianMixture(1, **given), X) == ["ok"]
    X[0, 0] = np.nan
    assert statuses(GaussianMixture(1, **given), X) == [f"not determined: its rows {BESIDE}"]


@pytest.mark.parametrize("weights", [None, "unequal"])
def test_pairs_are_not_counted_where_the_columns_tell_of_them(monkeypatch, weights):
    """No row is complete, and of a rare component the evenly spaced rows hold nothing; all are looked at once."""
    X = np.resize(RNG.normal(size=(97, 5)), (9000, 5))
    X[1::502] += 50
    X[np.arange(9000), np.arange(9000) // 2 % 5] = np.nan
    looked = []
    monkeypatch.setattr(
        seen_values, "known", lambda rows, *by, of=seen_values.known: looked.append(len(rows)) or of(rows, *by)
    )
    given = {
        "means_init": np.outer([0, 50], np.ones(5)),
        "weights_init": [0.5, 0.5],
        "precisions_init": [np.eye(5)] * 2,
    }
    weight = weights and np.where(np.arange(9000) % 3, 1.0, 2)
    assert statuses(GaussianMixture(2, max_iter=3, **given), X, sample_weight=weight) == ["ok", "ok"]
    assert sum(looked) == 2 * 2250 + 9000


def test_the_least_number_of_pairs():
    """Of random rows no more than there are, and of columns one of which is complete as many."""
    there, r, w = RNG.random((50, 4)) < 0.6, RNG.dirichlet([1, 1], 50).T, RNG.uniform(1, 9, 50)
    there[:, 2] = True
    parts = np.hstack([there, there.all(axis=1, keepdims=True), np.ones((50, 1))])
    least = seen_values.least_pairs(r * w @ parts, r * w**2 @ parts, 4)
    pairs = seen_values.effective(*(np.einsum("kn,ni,nj->kij", r * w**power, there, there) for power in (1, 2)))
    assert (least <= pairs * (1 + 1e-12)).all()
    np.testing.assert_allclose(np.einsum("kii->ki", least), np.einsum("kii->ki", pairs))
