"""The compiled steps of many mixtures are the driver's, and end where the driver must decide."""

import numpy as np
import pytest

from fastem.driver.em import em
from fastem.models.gaussian.dense import Full
from fastem.models.gaussian.emission import Gaussian
from fastem.models.gaussian.short_runs import FIXED_ORDER, LETTERS, runs_from, short_runs
from fastem.models.gaussian.soundness import beside_others
from fastem.models.gaussian.structures import STRUCTURES, of_dense
from fastem.models.gaussian.student_t import StudentT
from fastem.models.mixture import Mixture
from fastem.rows.blocks import ArrayBlocks
from fastem.starts.from_memberships import component_moments, from_membership, from_moments, runs_from_moments

STEPS = 7


def starts(structure, X, weight, n, K=3, floor=1e-6):
    """Mixtures of components that hold as many rows each, cut across a random direction."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        labels = np.argsort(np.argsort(X @ rng.normal(size=X.shape[1]))) * K // len(X)
        yield from_membership(X, weight, labels, K, structure, floor * X.var(axis=0))


def rows(d=4, n=700, weighted=True):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n, d)) * np.arange(1, d + 1) + 5 * rng.integers(0, 3, n)[:, None] + 100
    return X, rng.integers(1, 4, n).astype(float) if weighted else np.ones(n)


def parameters(mixture):
    return mixture.weights, mixture.emission.means, mixture.emission.covariance.covariances


@pytest.mark.parametrize("structure", LETTERS)
@pytest.mark.parametrize("d", [1, 4, 19])
def test_steps_are_those_of_the_driver(structure, d):
    X, weight = rows(d)
    blocks, begun = ArrayBlocks(X, weight), list(starts(structure, X, weight, 3))
    iterated = {"VEI": 1e-5, "VEV": 1e-5, "VEE": 1e-3, "EVE": 1e-3, "VVE": 1e-3}  # until a sweep changes little
    digits = iterated.get(LETTERS[structure], 1e-8)
    for start, run in zip(begun, short_runs(begun, blocks, STEPS, 1)):
        result = em(start, blocks, max_iter=STEPS, tol=0)
        assert run.n_iter == STEPS
        np.testing.assert_allclose(run.history, result.history, rtol=1e-3 * digits)
        np.testing.assert_allclose(run.counts, result.statistics.counts, rtol=digits)
        np.testing.assert_allclose(run.variances, run.model.emission.covariance.variances(3, d), rtol=1e-12)
        for ours, theirs in zip(parameters(run.model), parameters(result.model)):
            np.testing.assert_allclose(ours, theirs, rtol=digits, atol=digits)


def student_start(structure, X, K, nu, free, floor):
    covariances = np.broadcast_to(2 * np.eye(X.shape[1]), (K, X.shape[1], X.shape[1]))
    gaussians = Gaussian(X[:: len(X) // K][:K], of_dense(covariances, structure, floor), floor)
    return Mixture(np.full(K, 1 / K), StudentT.of_gaussian(gaussians, nu, free))


STUDENT_CASES = {  # tails of the rows, degrees of freedom of the start, components, floor
    "heavy tails": (3, 10.0, 3, 1e-6),
    "nearly Gaussian": (40, 150.0, 3, 1e-6),  # its degrees of freedom leap
    "one component": (5, 10.0, 1, 1e-6),
    "at the floor": (30, 10.0, 3, 0.8),
    "a column of zeros": (5, 10.0, 3, 1e-6),
    "one component at the floor": (4, 1.0, 1, 5.0),
}
LIFTED = ("VEI", "EVI", "VEE", "EVE", "VVE", "VEV", "EVV")  # shapes that the floor may have lifted


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("case", STUDENT_CASES)
@pytest.mark.parametrize("structure", LETTERS)
def test_steps_of_student_t_distributions_are_those_of_the_driver(structure, case, free):
    tails, nu, K, floor = STUDENT_CASES[case]
    rng = np.random.default_rng(3)
    X = 2 * rng.normal(size=(K, 3))[rng.integers(K, size=120)] + rng.standard_t(tails, (120, 3))
    X[:, 1] *= case != "a column of zeros"
    blocks, start = (
        ArrayBlocks(X, rng.uniform(0.5, 2, 120)),
        student_start(structure, X, K, nu, free, np.full(3, floor)),
    )
    (run,) = short_runs([start], blocks, STEPS, 1)
    result = em(start, blocks, max_iter=STEPS, tol=0, n_threads=1)
    if run.n_iter < STEPS:  # the driver goes on, and decides what no step here can
        assert LETTERS[structure] in LIFTED and case in (
            "at the floor",
            "a column of zeros",
            "one component at the floor",
        )
        result = em(start, blocks, max_iter=run.n_iter, tol=0, n_threads=1)
    np.testing.assert_allclose(run.history, result.history, atol=1e-7)
    ours, theirs = (one.model.emission.degrees_of_freedom for one in (run, result))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert (ours == nu).all() or free
    if case == "nearly Gaussian" and free:
        assert ours.max() > 10 * nu
    for ours, theirs in zip(parameters(run.model), parameters(result.model)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(em(run.model, blocks, max_iter=0).history[0], run.history[-1], rtol=1e-10)
    np.testing.assert_allclose(run.counts, result.statistics.counts, rtol=1e-4)


def test_student_t_distributions_beside_others_and_that_look_ahead_are_not_run():
    X, _ = rows(2, weighted=False)
    free, fixed = (student_start(Full, X, 2, 5.0, free, np.full(2, 1e-6)) for free in (True, False))
    with pytest.raises(ValueError, match="one structure and shape"):
        short_runs([free, fixed], ArrayBlocks(X), 2, 1)
    assert short_runs([free], ArrayBlocks(X), 2, 1, accelerated=True)[0].n_iter == 0


def test_same_bits_for_any_number_of_threads_and_any_neighbours():
    X, weight = rows(weighted=False)
    blocks = ArrayBlocks(X)
    begun = list(starts(Full, X, weight, 5))
    alone = [short_runs([start], blocks, STEPS, 1)[0] for start in begun]
    together = short_runs(begun, blocks, STEPS, 4)
    shifted = short_runs(begun[:1] * 2, blocks, STEPS, 2)
    for run, other in [*zip(together, short_runs(begun, blocks, STEPS, 1)), (shifted[0], alone[0])]:
        assert run.history == other.history
        assert run.row.tobytes() == other.row.tobytes()


@pytest.mark.parametrize("structure", LETTERS)
def test_accelerated_runs_climb_to_the_same_optimum_in_fewer_steps(structure):
    """Of components that overlap, so that EM crawls; no step lowers the log-likelihood."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(500, 3)) * [1, 10, 100] + 1.2 * rng.integers(0, 2, 500)[:, None] * [1, 10, 100]
    blocks, (start,) = ArrayBlocks(X), starts(structure, X, np.ones(500), 1, 2)
    (far,) = short_runs([start], blocks, 6000, 1, enough=0.0)
    (run,) = short_runs([start], blocks, 400, 1, enough=0.0, accelerated=True)
    assert run.has_jumped and not far.has_jumped
    assert (np.diff(run.history) >= -1e-14 * np.abs(run.history[1:])).all()
    if far.history[-1] - far.history[-2] < 1e-12:  # else it still crawls
        assert abs(run.history[-1] - far.history[-1]) < 1e-6
    assert run.history[-1] > far.history[-1] - 1e-6
    nearly = min(run.history[-1], far.history[-1]) - 1e-9
    plain, steps = (np.flatnonzero(np.array(one.history) > nearly)[0] for one in (far, run))
    assert steps < plain and (plain < 150 or steps < plain / 2)
    np.testing.assert_allclose(em(run.model, blocks, max_iter=0).history[0], run.history[-1], rtol=1e-13)


def test_accelerated_runs_go_on_where_they_were():
    """With the same bits in laps, side by side, and on any number of threads."""
    X, weight = rows(2)
    blocks, begun = ArrayBlocks(X, weight), list(starts(Full, X, weight, 4))
    whole = short_runs(begun, blocks, 60, 2, accelerated=True)
    assert sum(run.has_jumped for run in whole) > 1
    runs = begun
    for _ in range(6):
        runs = short_runs(runs, blocks, 10, 1, accelerated=True)
    for run, other in zip(runs, whole):
        assert run.history == other.history and run.row.tobytes() == other.row.tobytes()
        assert (run.has_jumped, run.n_dropped) == (other.has_jumped, other.n_dropped)


def test_a_component_of_equal_rows_is_held_at_the_floor():
    X, weight = rows(2)
    X[:5] = X[0]  # a component of equal rows
    labels = np.r_[np.zeros(5, int), np.ones(len(X) - 5, int)]
    structure = Full
    start = from_membership(X, weight, labels, 2, structure, 1e-6 * X.var(axis=0))
    wide = Mixture(
        start.weights,
        Gaussian(
            start.emission.means,
            structure.from_covariances(np.array([np.eye(2) * 1e-3, np.cov(X.T)]), start.emission.floor),
            start.emission.floor,
        ),
    )
    blocks = ArrayBlocks(X, weight)
    (run,) = short_runs([wide], blocks, 50, 1)
    driven = em(wide, blocks, max_iter=50, tol=0)
    assert run.n_iter == 50 and not run.is_plainly_sound(1e6)
    assert run.model.emission.floor_hits[0] == driven.model.emission.floor_hits[0] == 2
    np.testing.assert_allclose(run.history, driven.history, rtol=1e-10)


@pytest.mark.parametrize("structure", LETTERS)
@pytest.mark.parametrize("few", [0, 12])
def test_runs_begin_at_the_m_step_from_moments(structure, few):
    """Also of a component of some equal rows, which is below the floor."""
    X, weight = rows(3)
    X[:few] = X[0]
    rng, floor, blocks = np.random.default_rng(3), 1e-3 * X.var(axis=0), ArrayBlocks(X, weight)
    partitions = [rng.integers(1, 4, len(X)) * (np.arange(len(X)) >= 12) for _ in range(3)]
    moments = [component_moments(X, weight, labels, 4, structure) for labels in partitions]
    iterated = {"VEE": 1e-4, "EVE": 1e-4, "VVE": 1e-4}.get(LETTERS[structure], 1e-9)
    for run, given in zip(runs_from_moments(moments, structure, floor, blocks), moments):
        start = from_moments(given, structure, floor)
        for ours, theirs in zip(parameters(run.model), parameters(start)):
            np.testing.assert_allclose(ours, theirs, rtol=iterated, atol=iterated)
        (later,) = short_runs([run], blocks, STEPS, 1)
        assert later.n_iter > 0 and run.n_iter == 0
        np.testing.assert_allclose(later.history[0], em(start, blocks, max_iter=0).history[0], rtol=iterated)


@pytest.mark.parametrize("unit", [1e-120, 1e120])
def test_rows_of_which_squares_have_no_digits_are_left_to_the_driver(unit):
    X, weight = rows(2)
    (start,) = starts(Full, X * unit, weight, 1)
    (run,) = short_runs([start], ArrayBlocks(X * unit, weight), STEPS, 1)
    assert run.model is start and run.n_iter == 0


def test_a_run_ends_before_a_component_is_without_rows():
    X, weight = rows(2)
    start = from_membership(X, weight, np.arange(len(X)) % 2, 2, Full, 1e-6 * X.var(axis=0))
    means = start.emission.means + np.array([[0], [1e4]]) * X.std(axis=0)
    lost = Mixture(start.weights, Gaussian(means, start.emission.covariance, start.emission.floor))
    (run,) = short_runs([lost], ArrayBlocks(X, weight), 50, 1)
    assert run.model is lost and np.isfinite(run.history).all() and not run.is_plainly_sound(1e6)


@pytest.mark.parametrize("structure", LETTERS)
@pytest.mark.parametrize("d, K, floor", [(1, 3, 1e-6), (3, 1, 1e-6), (3, 3, 0.5), (7, 3, 1e-6)])
def test_steps_with_missing_values_are_those_of_the_driver(structure, d, K, floor):
    X, weight = rows(d, 300)
    (start,) = starts(structure, X, weight, 1, K, floor)
    X[np.random.default_rng(2).random(X.shape) < 0.15] = np.nan
    X[7] = np.nan
    blocks = ArrayBlocks(X, weight)
    (run,), result = short_runs([start], blocks, STEPS, 1), em(start, blocks, max_iter=STEPS, tol=0, n_threads=1)
    assert run.n_iter == STEPS
    np.testing.assert_allclose(run.history, result.history, atol=1e-7)
    np.testing.assert_allclose(run.counts, result.statistics.counts, rtol=1e-4)
    for ours, theirs in zip(parameters(run.model), parameters(result.model)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(em(run.model, blocks, max_iter=0).history[0], run.history[-1], rtol=1e-12)


def test_rows_with_missing_values_have_the_same_bits_for_any_number_of_threads_and_any_neighbours():
    X, weight = rows(3, 300)
    begun = list(starts(Full, X, weight, 3))
    X[np.random.default_rng(2).random(X.shape) < 0.15] = np.nan
    blocks = ArrayBlocks(X, weight)
    alone = [short_runs([start], blocks, STEPS, 1)[0] for start in begun[:1]]
    for run, other in zip(short_runs([begun[0]] * 3, blocks, STEPS, 3), alone * 3):
        assert run.history == other.history and run.row.tobytes() == other.row.tobytes()
    whole = short_runs(begun, blocks, 60, 2, accelerated=True)
    laps = begun
    for _ in range(6):
        laps = short_runs(laps, blocks, 10, 1, accelerated=True)
    for run, other in zip(laps, whole):
        assert run.history == other.history and run.row.tobytes() == other.row.tobytes()
        assert (np.diff(run.history) >= -1e-13 * np.abs(run.history[1:])).all()


def test_student_t_distributions_beside_missing_values_and_far_means_are_left_to_the_driver():
    X, weight = rows(3)
    blocks = ArrayBlocks(X, weight)
    (start,) = starts(Full, X, weight, 1)
    holes = X.copy()
    holes[3, 1] = np.nan
    student = student_start(Full, X, 3, 5.0, True, np.full(3, 1e-6))
    (run,) = short_runs([student], ArrayBlocks(holes, weight), STEPS, 1)
    assert run.model is student and run.n_iter == 0
    emission = start.emission
    far = Mixture(start.weights, Gaussian(emission.means - 1e9, emission.covariance, emission.floor))
    (run,) = short_runs([far], blocks, STEPS, 1)
    assert run.model is far and run.n_iter == 0


@pytest.mark.parametrize("structure", LETTERS)
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("most", [0.1, 1e-6])
def test_steps_at_the_floor_are_those_of_the_driver(structure, d, most):
    """A component of a few rows that vary in some directions less than the floor, or so little in all that their shape
    is rounding."""
    X, _ = rows(d, 300)
    X[:30] = X[0] + np.random.default_rng(2).normal(size=(30, d)) * X.std(axis=0) * most * np.logspace(-3, 0, d)
    weight, labels = np.ones(len(X)), np.r_[np.zeros(30, int), 1 + np.arange(len(X) - 30) % 2]
    start = from_membership(X, weight, labels, 3, structure, 1e-4 * X.var(axis=0))
    blocks = ArrayBlocks(X)
    (run,) = short_runs([start], blocks, STEPS, 1)
    result = em(start, blocks, max_iter=run.n_iter, tol=0)
    still = em(run.model, blocks, max_iter=1, tol=0).history
    assert run.n_iter == STEPS or still[1] - still[0] < 1e-6  # there the last digits of what is iterated decide
    np.testing.assert_allclose(run.history, result.history[: len(run.history)], rtol=1e-7)
    np.testing.assert_allclose(run.model.emission.floor_hits, result.model.emission.floor_hits)
    for ours, theirs in zip(parameters(run.model), parameters(result.model)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4 * X.var(axis=0).min())


def test_runs_that_are_plainly_sound_are_sound():
    X, weight = rows(3)
    blocks = ArrayBlocks(X, weight)
    n_plain = 0
    for structure in LETTERS:
        for K in (2, 5):
            for run in short_runs(list(starts(structure, X, weight, 3, K)), blocks, STEPS, 1):
                emission, suspects = run.model.emission, np.arange(K)
                of_total = emission.covariance.relative_eigenvalues(suspects, emission.total(run.model.weights))
                beside = beside_others(emission, run.model.weights, suspects)
                thinnest = [values[0] / np.exp(np.log(values).mean()) for values in beside]
                assert (run.least_spreads * (1 - 1e-9) <= [of_total.min(axis=1), thinnest]).all()
                assert (run.least_spreads >= np.array([of_total.min(axis=1), thinnest]) / 4).all()
                for n_effective in (5.0, 30.0, 700.0):
                    counts = run.counts * (n_effective / run.counts.sum())
                    plain = run.is_plainly_sound(n_effective)
                    n_plain += plain
                    conditions = run.model.emission.diagnose(run.model.weights, counts)
                    assert not plain or all(sound for _, sound in conditions)
    assert n_plain > 50


@pytest.mark.parametrize("structure", ["EEV", "VEV"])
def test_covariances_that_are_no_numbers_begin_no_run(structure):
    """Those of others do: what is left of a component without rows must not end the search."""
    X, floor, one = np.random.default_rng(0).normal(size=(40, 3)), np.full(3, 1e-6), np.eye(3) + 0.1
    covariances = np.array([[one, np.full((3, 3), np.nan)], [one, 2 * one]]).reshape(2, 2, 9)
    counts, means = np.full((2, 2), 20.0), np.tile([np.zeros(3), np.ones(3)], (2, 1, 1))
    runs = runs_from(counts, means, covariances, STRUCTURES[structure], floor, ArrayBlocks(X), lambda model: model)
    assert [run is not None for run in runs] == [False, not FIXED_ORDER]
