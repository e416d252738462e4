"""Which runs of EM are kept, and what is not looked at for it."""

from dataclasses import replace

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.driver.em import em
from fastem.driver.stopping import left_to_gain, stopping_rule
from fastem.models.gaussian.candidates import TruncatedBlocks
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.short_runs import ShortRun
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.diagnosis import best_first, merit
from fastem.starts.from_memberships import from_membership
from fastem.starts.plan import Stop
from fastem.starts.tournament import is_number, may_reach, race, tournament

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (200, 2)) + 5 * RNG.integers(0, 3, (200, 2))


def starts(n):
    for _ in range(n):
        labels = np.argmin(np.square(X[:, None] - X[RNG.choice(len(X), 4)]).sum(axis=2), axis=1)
        yield from_membership(X, np.ones(len(X)), labels, 4, Full, 1e-6 * X.var(axis=0))


def test_the_best_come_first_and_only_they_are_diagnosed():
    results = [em(start, ArrayBlocks(X), max_iter=30, tol=0) for start in starts(12)]
    looked_at = []

    def by(result, n_effective):
        looked_at.append(result)
        return merit(result, n_effective)

    best = next(best_first(results, 200.0, by))
    assert best.history[-1] == pytest.approx(max(result.history[-1] for result in results), rel=1e-9)
    assert len(looked_at) < len(results)
    values = [result.history[-1] for result in best_first(results, 200.0)]
    assert len(values) == 12 and (np.diff(values) <= 1e-8).all()


def test_a_race_ends_where_the_stopping_rule_holds():
    blocks, stop = ArrayBlocks(X), Stop(1e-6, 1000, "gain")
    best = race([lambda start=start: start for start in starts(5)], blocks, stop, 1)
    assert best.converged and len(best.history) == best.n_iter + 1 and best.n_passes == best.n_iter + 1
    assert stopping_rule("gain", None, 1e-6)(best, None) == best.stop_reason
    assert np.isfinite(best.remaining_gain) and best.remaining_gain_method == "rate"
    assert best.history[-1] == em(best.model, blocks, max_iter=0).history[0]


def four_starts(seed):
    """Rows, and mixtures on random rows beside that from k-means."""
    rng = np.random.default_rng(seed)
    n, d, K = (int(rng.integers(*range_)) for range_ in ((20, 300), (2, 5), (2, 6)))
    rows = rng.normal(size=(K, d))[rng.integers(0, K, n)] * rng.choice([0.5, 2]) + rng.normal(size=(n, d))
    family = ["full", "diag", "tied", "spherical", "VEE", "EVE", "VVE", "VEV", "EVV", "VVI", "VEI", "EEI"][seed % 12]
    first = (
        GaussianMixture(K, covariance_type=family, init_params="kmeans", max_iter=0, random_state=0).fit(rows).model_
    )
    others = [
        replace(first, emission=replace(first.emission, means=rows[rng.choice(n, K, replace=False)])) for _ in range(3)
    ]
    return ArrayBlocks(rows), [lambda one=one: one for one in (first, *others)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("seed", "reached"), [(354, -918.38), (1200, -917.5)])
def test_no_run_is_given_up_before_a_saddle_is_left(seed, reached):
    """Others that have arrived are far above it, and for hundreds of steps it gains as little as if it were there."""
    blocks, begun = four_starts(seed)
    best = race(begun, blocks, Stop(1e-5, 1000, "gain"), 1, accelerate="anderson")
    assert best.converged and best.history[-1] * blocks.n_rows > reached


@pytest.mark.filterwarnings("ignore")
def test_steps_of_rounding_alone_have_arrived():
    """At the floor the likelihood rises and falls by turns."""
    blocks, begun = four_starts(270)
    best = race(begun, blocks, Stop(1e-5, 1000, "gain"), 1, accelerate="anderson")
    assert best.converged and best.n_iter < 1000


@pytest.mark.parametrize("max_iter", [7, 20, 45])
def test_a_race_that_is_cut_off_says_what_was_done(max_iter):
    blocks, begun = four_starts(133)
    best = race(begun, blocks, Stop(0.0, max_iter, "gain"), 1, accelerate="anderson")
    assert not best.converged and best.n_iter == max_iter and len(best.history) == max_iter + 1
    assert best.stop_reason == f"max_iter={max_iter} iterations were done" and best.n_passes > max_iter
    assert best.remaining_gain == pytest.approx(left_to_gain(best) * blocks.n_rows)


def test_runs_keep_their_candidates_from_round_to_round(monkeypatch):
    """All components of all rows are tried once in each run."""
    made = []
    before = TruncatedBlocks.__init__

    def noted(blocks, *given):
        made.append(blocks)
        before(blocks, *given)

    monkeypatch.setattr(TruncatedBlocks, "__init__", noted)
    rows = TruncatedBlocks(ArrayBlocks(X), 2)
    runs = tournament([lambda one=one: one for one in starts(3)], rows, [(2, 2), (3, 1)], Stop(0.0), 1)
    assert len(runs) == 1 and len(made) == 1 + 3 and not rows.candidates


def test_a_run_without_a_likelihood_is_not_done():
    run = ShortRun(next(starts(1)), ArrayBlocks(X), [-3.0, -2.0])
    assert is_number(run)
    run.history[-1] = np.nan
    assert not is_number(run)


def of_two_optima():
    """Rows in three clusters, and starts that lead to two of the optima of two components, one far below the other."""
    rows = np.random.default_rng(0).normal(size=(300, 1)) + np.repeat([[0.0], [20.0], [60.0]], 100, axis=0)
    labels = np.repeat([[0, 0, 1], [0, 1, 1]], 100, axis=1)
    begun = [from_membership(rows, np.ones(300), one, 2, Full, 1e-6 * rows.var(axis=0)) for one in labels]
    return ArrayBlocks(rows), [lambda one=one: one for one in begun]


def test_a_run_that_cannot_reach_the_best_is_dropped_before_its_turn():
    rows, begun = of_two_optima()
    (best,) = tournament(begun, rows, [(20, 2)], Stop(0.0), 1)
    first, second = tournament(begun, rows, [(10, 2)], Stop(0.0), 1)  # at first nobody knows
    assert first.n_iter == second.n_iter == 10 and best.history[-1] > second.history[-1] + 0.1
    of_sample = tournament(begun, rows, [(20, 2)], Stop(0.0), 1, n_effective=1000.0)
    assert len(of_sample) == 2  # other rows may tell otherwise


def test_a_run_that_gains_more_and_more_stays():
    rows, begun = of_two_optima()
    _, second = tournament(begun, rows, [(20, 2)], Stop(0.0), 1, n_effective=1000.0)
    reached = second.history[-1] + 0.1
    assert not may_reach(second, reached)
    second.history[-3:] = [reached - 0.3, reached - 0.29, reached - 0.1]
    assert may_reach(second, reached)
