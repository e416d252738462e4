"""What is left to gain: against fits that are run on to their end, and at points that are no maximum."""

from dataclasses import dataclass, fields

import numpy as np
import pytest
import reference
from coins import Coins
from instances import INSTANCES, STRUCTURES, start

from fastem import ExponentialMixture, GaussianMixture, em
from fastem.datasets import load_faithful
from fastem.driver import remaining_gain as estimates
from fastem.driver.em import remaining_gain
from fastem.driver.remaining_gain import FEWEST, newton, some_rows
from fastem.driver.stopping import due
from fastem.errors import ConvergenceWarning, DegenerateComponentWarning
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.labels import LabelledBlocks

SEPARATED, OVERLAPPING = INSTANCES[:2]
X = load_faithful().data


def at_the_mean(**options):
    """Two components that are the same: stationary, because the rows give each of them the same."""
    precisions = np.tile(np.linalg.inv(np.cov(X.T)), (2, 1, 1))
    given = {"means_init": np.tile(X.mean(axis=0), (2, 1)), "precisions_init": precisions, "weights_init": [0.5, 0.5]}
    return GaussianMixture(2, max_iter=500, **given, **options).fit(X)


def left(result, end, n):
    return n * (end.history[-1] - result.history[-1])


@pytest.mark.parametrize(
    "instance, structure, n_iter",
    [(SEPARATED, STRUCTURES[3], 20), (OVERLAPPING, STRUCTURES[1], 200)],
    ids=["near", "slow"],
)
def test_newtons_decrement_is_what_a_longer_fit_gains(instance, structure, n_iter):
    begun, rows = start(instance, structure), instance.X
    result, end = (em(begun, rows, tol=0, stop="log_likelihood", max_iter=n) for n in (n_iter, 1000))
    found = newton(result, ArrayBlocks(rows), 1, len(rows))
    assert found.ascent is None
    assert found.total == pytest.approx(left(result, end, len(rows)), rel=0.02)


@pytest.mark.parametrize("accelerate", [None, "anderson", "squarem"])
def test_a_certified_fit_has_less_than_tol_left_in_total(accelerate):
    """A bound of the total, which does not grow with the rows."""
    begun = start(OVERLAPPING, STRUCTURES[1])
    options = {"stop": "certified", "max_iter": 5000, "accelerate": accelerate}
    end = em(begun, OVERLAPPING.X, tol=0, stop="log_likelihood", max_iter=1000)
    for repeats in (1, 8):
        rows = np.tile(OVERLAPPING.X, (repeats, 1))
        result = em(begun, rows, tol=1e-3, **options)
        assert result.converged and result.remaining_gain_method == "newton"
        assert result.remaining_gain < 1e-3 and left(result, end, len(rows)) < 3e-3


def test_equal_components_are_left_where_the_likelihood_rises():
    with pytest.warns(DegenerateComponentWarning, match="EM cannot separate them"):
        stuck = at_the_mean()
    freed = at_the_mean(stop="certified")
    best = GaussianMixture(2, stop="certified", random_state=0).fit(X)
    assert stuck.log_likelihood_ < best.log_likelihood_ - 100
    assert freed.log_likelihood_ == pytest.approx(best.log_likelihood_, abs=2e-3)
    assert "1 saddle point(s) were left" in freed.stop_reason_
    assert (np.diff(freed.history_) > -1e-12).all()


def test_a_prior_counts_in_what_is_left():
    begun = {"prior": "default", "random_state": 0, "accelerate": None}
    model = GaussianMixture(2, stop="certified", tol=1e-2, **begun).fit(X)
    end = GaussianMixture(2, stop="log_likelihood", tol=0, max_iter=500, **begun)
    with pytest.warns(ConvergenceWarning):
        end.fit(X)
    truth = len(X) * (end.history_[-1] - model.history_[-1])
    assert model.remaining_gain_ == pytest.approx(truth, rel=0.2)


@pytest.mark.parametrize("stop, options", [("gain", {"init_params": "random"}), ("certified", {})])
def test_what_is_left_is_in_the_unit_of_the_weights(stop, options):
    """By the rate, and by Newton's decrement."""
    begun = GaussianMixture(2, max_iter=0, random_state=0, **options).fit(X).model_
    asked = {"stop": stop, "tol": 0 if stop == "certified" else 1e-3, "max_iter": 1 if stop == "certified" else 1000}
    one, many = (em(begun, X, sample_weight=weight, **asked) for weight in (None, np.full(len(X), 1e12)))
    assert one.remaining_gain_method == many.remaining_gain_method == {"gain": "rate", "certified": "newton"}[stop]
    assert one.remaining_gain > 0 and many.remaining_gain == pytest.approx(1e12 * one.remaining_gain, rel=0.05)


def test_models_without_coordinates_are_judged_by_their_rate():
    tosses = np.array([[5, 10], [9, 10], [8, 10], [4, 10], [7, 10]])
    result = em(Coins(np.array([0.6, 0.5])), tosses, stop="certified", tol=1e-6, max_iter=1000)
    assert result.converged and result.remaining_gain_method == "rate" and 0 <= result.remaining_gain < 1e-6


def test_newtons_estimates_become_rarer():
    assert all(due(n) for n in range(1, 16))
    gaps = [np.diff([n for n in range(m, 4 * m) if due(n)]).max() / m for m in (64, 512, 4096)]
    assert max(gaps) <= 1 / 4


def test_the_summary_and_the_report_say_what_is_left():
    model = GaussianMixture(2, stop="certified", random_state=0).fit(X)
    assert "left to gain" in model.summary() and "(newton)" in str(model.fit_report_)


def clusters(n=800, d=3, K=3, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(K, d)) * 3 / np.sqrt(2)
    return centres[rng.integers(K, size=n)] + rng.normal(size=(n, d))


def flat(rows):
    """Nearly in a plane."""
    noise = np.random.default_rng(1).normal(size=len(rows))
    return np.column_stack([rows[:, :2], rows[:, 0] + rows[:, 1] / 2 + 1e-3 * noise])


def with_gaps(rows):
    return np.where(np.random.default_rng(2).random(rows.shape) < 0.1, np.nan, rows)


BEGUN = {"init_params": "kmeans", "random_state": 0, "max_iter": 0}  # a start that is still far from its optimum
MEANS = np.quantile(clusters(), [0.2, 0.5, 0.8], axis=0)
CONSTRAINED = {
    "VEI": {"covariance_type": "VEI"},
    "VVE": {"covariance_type": "VVE"},
    "VEV": {"covariance_type": "VEV"},
    "floor full": {"reg_covar": 0.3},
    "floor tied": {"reg_covar": 0.3, "covariance_type": "tied"},
    "floor diag": {"reg_covar": 0.3, "covariance_type": "diag"},
    "floor VEV": {"reg_covar": 0.3, "covariance_type": "VEV"},
    "floor VVE": {"reg_covar": 0.3, "covariance_type": "VVE"},
    "ratio": {"max_eigenvalue_ratio": 1.5},
    "fixed weights": {"fixed": {"weights": [0]}, "weights_init": [0.3, 0.3, 0.4]},
    "fixed means": {"fixed": {"means": [0]}, "means_init": MEANS},
    "fixed covariances": {
        "fixed": {"covariances": [0]},
        "means_init": MEANS,
        "precisions_init": np.tile(np.eye(3), (3, 1, 1)),
    },
    "prior": {"prior": "default"},
    "weight prior": {"weight_concentration_prior": 3.0},
    "noise": {"noise": "box"},
    "missing values": {},
    "flat": {"reg_covar": 1e-2},
}


@pytest.mark.parametrize("name", CONSTRAINED)
@pytest.mark.filterwarnings("ignore")
def test_newtons_estimate_of_a_constrained_fit_is_right_or_not_given(name):
    rows = {"missing values": with_gaps, "flat": flat}.get(name, np.array)(clusters())
    begun = GaussianMixture(3, **CONSTRAINED[name], **BEGUN).fit(rows).model_
    result = em(begun, rows, stop="aitken", tol=1e-3 / len(rows), max_iter=5000)
    found = remaining_gain(result, ArrayBlocks(rows), 1)
    end = em(result.model, rows, stop="log_likelihood", tol=1e-15, max_iter=5000, accelerate="anderson")
    truth = left(result, end, len(rows))
    assert found.method == "rate" or truth / 3 < found.total < 3 * truth


@dataclass(frozen=True)
class Halved(Mixture):
    """A mixture whose M-step goes half the way: a generalised EM, whose map is not what Newton's estimate takes."""

    def m_step(self, statistics):
        image = super().m_step(statistics)
        half = self.from_vector((self.to_vector() + image.to_vector()) / 2)
        return halved(half)


def halved(mixture):
    return Halved(**{field.name: getattr(mixture, field.name) for field in fields(mixture)})


def test_a_step_that_is_no_maximum_is_judged_by_its_rate():
    rows = clusters()
    begun = GaussianMixture(3, random_state=0, max_iter=0).fit(rows).model_
    for model, method in ((begun, "newton"), (halved(begun), "rate")):
        result = em(model, rows, stop="certified", tol=1e-3, max_iter=2000)
        assert result.converged and result.remaining_gain_method == method


def test_the_decrement_is_that_of_the_likelihoods_derivatives():
    begun = GaussianMixture(2, random_state=0, max_iter=0).fit(X[:100]).model_
    result = em(begun, X, stop="certified", tol=1e-2)
    model = result.model
    expected = reference.decrement(X, model.weights, model.emission.means, model.emission.covariance.covariances)
    assert result.remaining_gain_method == "newton" and result.remaining_gain == pytest.approx(expected, rel=0.03)


def test_a_sample_of_the_rows_has_no_period():
    """Every k-th row of rows that come in turn from k groups would be one group."""
    for period in (2, 3, 8):
        rows = np.repeat(np.arange(period * FEWEST, dtype=float)[:, None] % period, 2, axis=1)
        weight = 1 + rows[:, 0]
        some = some_rows(ArrayBlocks(rows, weight), FEWEST)
        assert some.n_rows == FEWEST and np.array_equal(some.sample_weight, 1 + some.X[:, 0])
        shares = np.bincount(some.X[:, 0].astype(int), minlength=period) / FEWEST
        assert np.abs(shares * period - 1).max() < 0.2


def test_labelled_rows_are_not_sampled():
    """Their labels are not among the values and weights."""
    rows = np.zeros((4 * FEWEST, 2))
    labelled = LabelledBlocks.__new__(LabelledBlocks)
    ArrayBlocks.__init__(labelled, rows)
    assert some_rows(labelled, FEWEST) is labelled


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_holds_the_rows_does_not_matter(dtype):
    """Weights count as repeated rows, and chunks as one array; float32 has fewer digits."""
    rows = clusters(600).astype(dtype)
    weight = np.random.default_rng(0).integers(1, 3, len(rows))
    options = {"random_state": 0, "stop": "certified", "tol": 0.01, "accelerate": None, "init_params": "kmeans"}
    plain = GaussianMixture(3, **options).fit(rows, sample_weight=weight)
    start_there = {"means_init": plain.means_, "weights_init": plain.weights_, "precisions_init": plain.precisions_}
    found = [
        GaussianMixture(3, **options, **start_there).fit(*given)
        for given in ((rows, None, weight), (np.repeat(rows, weight, axis=0),))
    ]
    chunked = GaussianMixture(3, **options).fit(lambda: iter([(rows[:250], weight[:250]), (rows[250:], weight[250:])]))
    assert all(model.converged_ and model.remaining_gain_method_ == "newton" for model in (plain, chunked, *found))
    assert chunked.remaining_gain_ == pytest.approx(plain.remaining_gain_, rel=1e-3 if dtype == np.float64 else 0.1)
    assert found[0].remaining_gain_ == pytest.approx(found[1].remaining_gain_, rel=1e-3 if dtype == np.float64 else 0.1)


def test_adaptation_and_online_steps_leave_the_judgement_of_the_fit():
    rows = clusters()
    model = GaussianMixture(3, random_state=0, stop="certified").fit(rows)
    adapted = model.adapt(rows[:100])
    assert np.isfinite(adapted.means_).all() and adapted.stop == "certified"
    assert np.isfinite(model.partial_fit(rows[:100]).means_).all()


def test_whether_is_answered_without_a_pass_where_the_next_step_gains_too_much(monkeypatch):
    rows = clusters()
    blocks, passes = ArrayBlocks(rows), []
    result = em(GaussianMixture(3, **BEGUN).fit(rows).model_, blocks, max_iter=300, tol=0)
    reduce = ArrayBlocks.reduce
    monkeypatch.setattr(ArrayBlocks, "reduce", lambda self, *args: passes.append(self) or reduce(self, *args))
    whole = newton(result, blocks, 1, len(rows))
    assert 0 < whole.total < np.inf and whole.method == "newton" and passes
    passes.clear()
    asked = newton(result, blocks, 1, len(rows), enough=whole.total / 1e3)
    assert asked.total > whole.total / 1e3 and not passes
    assert newton(result, blocks, 1, len(rows), enough=whole.total * 2) == whole


def test_a_certified_fit_that_max_iter_ends_says_newtons_estimate():
    rows = clusters()
    result = em(GaussianMixture(3, **BEGUN).fit(rows).model_, rows, max_iter=3, stop="certified")
    assert not result.converged and result.remaining_gain_method == "newton" and result.remaining_gain > 1e-3


def test_the_estimate_at_the_end_keeps_to_its_budget(monkeypatch):
    """A sample that bends down far from a maximum is no reason to pass over all rows, again and again."""
    rows = np.random.default_rng(0).normal(size=(20 * FEWEST, 1))
    result = em(GaussianMixture(2, max_iter=0, random_state=0).fit(rows).model_, rows, tol=0, max_iter=2)
    seen = []

    def bends_down(step, square, shown, enough):
        seen.append(shown.blocks.n_rows)
        shown.n_passes = 3
        return None, step.v

    monkeypatch.setattr(estimates, "decrement", bends_down)
    blocks = ArrayBlocks(rows, None)
    with_what_is_beside = 3 * (FEWEST + FEWEST), 3 * (4 * FEWEST + FEWEST)
    assert newton(result, blocks, 1, FEWEST, budget=29 * FEWEST).method == "rate" and seen == [FEWEST]
    seen.clear()
    budget = sum(with_what_is_beside) + len(rows) - 1  # too little for one pass more
    assert newton(result, blocks, 1, FEWEST, budget=budget).method == "rate"
    assert seen == [FEWEST, 4 * FEWEST] and sum(with_what_is_beside) <= budget
    assert newton(result, blocks, 1, FEWEST).ascent is not None and seen[-1] == len(rows)


def test_a_saddle_of_many_rows_is_confirmed_by_one_pass(monkeypatch):
    """A sample sees it, and EM's own step says that nothing is left: that may not be reported."""
    rows = np.random.default_rng(0).normal(size=(20 * FEWEST, 2))
    rows[::5, 0] += 5
    precisions = np.tile(np.linalg.inv(np.cov(rows.T, bias=True)), (2, 1, 1))
    given = {
        "means_init": np.tile(rows.mean(axis=0), (2, 1)),
        "precisions_init": precisions,
        "weights_init": [0.5, 0.5],
    }
    start = GaussianMixture(2, max_iter=0, **given).fit(rows).model_
    result = em(start, rows, tol=0, max_iter=2)
    blocks, seen, reduce = ArrayBlocks(rows, None), [], ArrayBlocks.reduce
    monkeypatch.setattr(ArrayBlocks, "reduce", lambda self, *rest: (seen.append(self.n_rows), reduce(self, *rest))[1])
    found = newton(result, blocks, 1, FEWEST, budget=FEWEST)
    assert found.ascent is not None and found.total == np.inf and seen.count(len(rows)) <= 2


@pytest.mark.parametrize("seed, start", [(0, "merged"), (10, "merged"), (3, "random_from_data"), (5, "k-means++")])
def test_a_plateau_is_not_certified_by_the_rate(seed, start):
    """EM gains a thousandth a step there, and 54 to 57 after some hundred steps; Newton's estimate is not confirmed."""
    rng = np.random.default_rng(seed)
    rows = rng.exponential(np.array([0.1, 10, 1000])[rng.choice(3, 3000, p=[0.03, 0.94, 0.03])])[:, None]
    model = ExponentialMixture(3, init_params=start, random_state=seed, stop="certified", tol=0.01, max_iter=5000)
    told = model.fit(rows).log_likelihood_
    assert model.converged_ and model.set_params(warm_start=True, tol=1e-6).fit(rows).log_likelihood_ < told + 0.1
