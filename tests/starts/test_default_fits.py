"""Where default fits end: situations in which one k-means start goes wrong, beside the optimum near the truth."""

import numpy as np
import pytest
from instances import uneven_clusters

from fastem import ExponentialMixture, GaussianMixture, PoissonMixture
from fastem.datasets import load_iris
from fastem.families.gaussian.densities import DRIVER_MOVE_ROUNDS, MOVE_ROUNDS, CovarianceFamily
from fastem.rows.blocks import ArrayBlocks
from fastem.starts import short_runs
from fastem.starts.incomplete import partitions_of_complete
from fastem.starts.merged_clusters import alike, partitions
from fastem.starts.plan import Family
from fastem.starts.subsample import far_and_near


def one_telling_column(rng, n=1000):
    z = (rng.random(n) < 0.4).astype(int)
    return np.column_stack([rng.normal(size=n) + 6 * z, rng.normal(size=(n, 10))]), z


def tiny_and_far(rng, n=20_000):
    rows = [rng.normal(size=(n, 2)), rng.normal([12, 0], 0.3, (60, 2)), rng.normal([0, 15], 0.3, (200, 2))]
    return np.vstack(rows), np.repeat([0, 1, 2], [n, 60, 200])


def long_and_parallel(rng, n=1000):
    z = rng.integers(0, 2, n)
    return np.column_stack([10 * rng.normal(size=n), rng.normal(size=n) + 5 * z]), z


def grid(rng, n=2000):
    z = rng.integers(0, 16, n)
    return 6 * np.column_stack([z // 4, z % 4]) + rng.normal(size=(n, 2)), z


def uneven(rng, n=2000):
    z = rng.choice(4, n, p=[0.8, 0.1, 0.07, 0.03])
    return 8 * np.array([[0, 0], [1, 0], [0, 1], [1, 1]])[z] + rng.normal(size=(n, 2)), z


def units(rng, n=1000):
    z = rng.integers(0, 3, n)
    return (5 * np.array([[0, 0, 0], [1, 0, 0], [0, 0, 1]])[z] + rng.normal(size=(n, 3))) * [1e-6, 1, 1e5], z


SITUATIONS = [one_telling_column, tiny_and_far, long_and_parallel, grid, uneven, units]


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_they_end_no_lower_than_from_the_truth(situation):
    for seed in range(4):
        X, z = situation(np.random.default_rng(seed))
        K = z.max() + 1
        found = GaussianMixture(K, random_state=seed).fit(X)
        assert found.log_likelihood_ > GaussianMixture(K, init_params=z).fit(X).log_likelihood_ - 1, seed
        assert found.converged_ and found.component_status_ == ["ok"] * K


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.__name__)
def test_one_of_the_partitions_is_near_the_truth(situation):
    X, z = situation(np.random.default_rng(0))
    K = z.max() + 1
    found = partitions(X, np.ones(len(X)), K, np.random.default_rng(1), 1)
    table = [np.array([np.bincount(labels[z == k], minlength=K) for k in range(K)]) for labels in found]
    assert max(counts.max(axis=1).sum() for counts in table) > 0.9 * len(X)
    assert len({labels.tobytes() for labels in found}) == len(found)
    assert all(np.unique(labels).tolist() == list(range(K)) for labels in found)


def test_partitions_do_not_depend_on_units():
    X, _ = uneven(np.random.default_rng(0))
    found, other = (
        partitions(rows, np.ones(len(X)), 4, np.random.default_rng(1), 1) for rows in (X, X * [2.0**30, 2.0**-20])
    )
    assert all(np.array_equal(one, another) for one, another in zip(found, other, strict=True))


@pytest.mark.parametrize("cls, draw", [(ExponentialMixture, "exponential"), (PoissonMixture, "poisson")])
def test_other_families_end_where_the_truth_leads(cls, draw):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        z = rng.integers(0, 3, 600)
        X = (
            getattr(rng, draw)(np.array([[1.0, 9, 3], [6, 1, 3], [3, 3, 12]])[z]).astype(float)
            + (draw[0] == "e") * 1e-9
        )
        found = cls(3, random_state=seed).fit(X)
        assert found.log_likelihood_ > cls(3, init_params=z).fit(X).log_likelihood_ - 1, seed


# ---- the rows that a start looks at -------------------------------------------------------------------------------


def test_small_and_far_clusters_are_among_the_rows_of_a_start():
    X, _ = tiny_and_far(np.random.default_rng(0), 100_000)
    rows, weight = far_and_near(ArrayBlocks(X), 2000, np.random.default_rng(0))
    assert 1800 < len(rows) == len(weight) <= 2000
    tiny = rows[:, 0] > 9
    assert tiny.sum() > 15 and abs(weight[tiny].sum() - 60) < 30
    assert abs(weight.sum() / len(X) - 1) < 0.05
    assert abs(weight @ rows / weight.sum() - X.mean(axis=0)).max() < 0.1


def test_rows_are_drawn_in_proportion_to_their_weight_and_stand_for_it():
    rng = np.random.default_rng(0)
    X, weight = rng.normal(size=(5000, 2)), rng.choice([0.0, 1.0, 5.0], 5000)
    drawn = [far_and_near(ArrayBlocks(X, weight), 500, np.random.default_rng(seed)) for seed in range(40)]
    assert np.mean([given.sum() for _, given in drawn]) == pytest.approx(weight.sum(), rel=0.02)
    means = [given @ rows / given.sum() for rows, given in drawn]
    assert abs(np.mean(means, axis=0) - weight @ X / weight.sum()).max() < 0.02
    without = {row.tobytes() for row in X[weight == 0]}
    assert not any(row.tobytes() in without for rows, _ in drawn for row in rows)


def test_missing_and_huge_values_do_not_stop_the_draw():
    X = np.random.default_rng(0).normal(size=(3000, 3))
    X[::7, 1], X[5, 0], X[:, 2] = np.nan, 1e300, 4.0
    rows, weight = far_and_near(ArrayBlocks(X), 300, np.random.default_rng(0))
    assert rows[:, 0].max() == 1e300 and np.isfinite(weight).all() and (weight >= 1).all()


def test_partitions_are_alike_where_each_cluster_is_one_of_the_others():
    labels, weight = np.repeat([0, 1, 2], [500, 480, 20]), np.ones(1000)
    assert alike(labels, (labels + 1) % 3, weight, 3)
    moved = labels.copy()
    moved[:10] = 1
    assert alike(labels, moved, weight, 3)
    moved[-2:] = 0  # few rows, but many of their cluster
    assert not alike(labels, moved, weight, 3) and not alike(labels, np.minimum(labels, 1), weight, 3)
    assert alike(labels, (labels + 1) % 3, weight, 5)  # beside clusters without rows


@pytest.mark.parametrize("d", [9, 17, 33])
def test_columns_one_more_than_whole_pieces(d):
    """Products go in pieces of columns; one too many for the pieces was cut into itself for ever."""
    X = np.random.default_rng(0).normal(size=(6000, d))
    assert GaussianMixture(2, random_state=0, max_iter=2, tol=10).fit(X).n_features_in_ == d


@pytest.mark.parametrize("kind", ["complete", "missing values", "prior", "equal weights"])
def test_contests_are_long_only_where_steps_are_compiled(kind, monkeypatch):
    """A step of the driver takes ten times as long: beside its few, constrained fits have the plain mixture's many."""
    X = np.random.default_rng(0).normal(size=(300, 2)) + 2 * (np.arange(300)[:, None] % 3 == [0, 1])
    if kind == "missing values":
        X[::7, 0] = np.nan
    asked = {"prior": {"prior": "default"}, "equal weights": {"equal_weights": True}}.get(kind, {})
    seen, leaders = [], short_runs.leaders
    monkeypatch.setattr(short_runs, "leaders", lambda *args: seen.append(args[2]) or leaders(*args))
    GaussianMixture(4, random_state=0, max_iter=2, **asked).fit(X)
    compiled, incomplete = [short_runs.CHEAP_ROUNDS, MOVE_ROUNDS], list(CovarianceFamily.incomplete_rounds)
    constrained = [Family.start_rounds, DRIVER_MOVE_ROUNDS, *compiled, short_runs.ROUND_OF_CONSTRAINED]
    of_kind = {"complete": compiled, "missing values": incomplete}.get(kind, constrained)
    assert list(dict.fromkeys(seen)) == of_kind


@pytest.mark.parametrize("covariance_type, d, K, seed", [("full", 3, 5, 0), ("full", 3, 5, 13), ("tied", 3, 5, 11)])
def test_clusters_are_found_behind_missing_values(covariance_type, d, K, seed):
    """Values that are filled in lie between them: fits ended 61, 84 and 58 below those from the clusters."""
    rng = np.random.default_rng(seed)
    X, z = uneven_clusters(rng, 1000, K, d, rng.standard_normal)
    X[rng.random(X.shape) < 0.2] = np.nan
    known = GaussianMixture(K, covariance_type=covariance_type, init_params=z).fit(X).log_likelihood_
    assert GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X).log_likelihood_ > known - 2


@pytest.mark.parametrize(
    "covariance_type, seed",
    [("EEE", 7), ("EEE", 16), ("VEE", 7), ("VEE", 16), ("VEE", 21), ("EVE", 16), ("EVE", 21), ("EEV", 6), ("EEV", 13)],
)
def test_clusters_of_uneven_sizes_and_one_shape_are_found(covariance_type, seed):
    """Without merging and splitting components of the best start the fits end 4 to 58 below."""
    rng = np.random.default_rng(seed)
    K, d = 5, 3
    z = rng.choice(K, 2000, p=[0.6, 0.2, 0.1, 0.06, 0.04])
    deviations = np.exp(0.4 * rng.normal(size=d))
    axes = np.linalg.qr(rng.normal(size=(K, d, d)))[0]
    roots = deviations * (axes if covariance_type == "EEV" else np.repeat(axes[:1], K, axis=0))
    X = 2.5 * rng.normal(size=(K, d))[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(2000, d)))
    known = GaussianMixture(K, covariance_type=covariance_type, init_params=z).fit(X).log_likelihood_
    assert GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X).log_likelihood_ > known - 1


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_complete_rows_that_are_points_are_partitioned_among_others():
    """Clusters without any variance, and a column that is the same in all complete rows but not in the others."""
    rng = np.random.default_rng(0)
    X = np.repeat([[0.0, 0, 1], [5, 5, 1], [9, 0, 1]], 60, axis=0)
    X[rng.random(X.shape) < 0.1] = np.nan
    X[np.isnan(X[:, 0]), 2] = 2
    (labels, *_) = partitions_of_complete(partitions, X, np.ones(len(X)), 3, rng, 1)
    places = [set(labels[60 * k : 60 * k + 60][~np.isnan(X[60 * k : 60 * k + 60, 0])]) for k in range(3)]
    assert [len(place) for place in places] == [1, 1, 1] and len(set.union(*places)) == 3


LOOSE = [{"weight_concentration_prior": 1.0001}, {"max_eigenvalue_ratio": 1e3}]


@pytest.mark.parametrize("constraint", LOOSE, ids=lambda one: next(iter(one)))
def test_constraints_that_change_next_to_nothing_end_where_the_plain_fit_does(constraint):
    """They ended 4 to 6 below: the driver makes their short runs, which are fewer and shorter."""
    X = load_iris().data
    for seed in (0, 4):
        plain = GaussianMixture(3, random_state=seed).fit(X)
        found = GaussianMixture(3, random_state=seed, **constraint).fit(X)
        assert found.log_likelihood_ > plain.log_likelihood_ - 0.5, seed


def test_a_box_far_around_all_rows_ends_where_the_plain_fit_does():
    rng = np.random.default_rng(2)
    X = np.vstack([rng.normal(size=(60, 2)) * rng.uniform(0.3, 1.5, 2) + rng.normal(size=2) * 2 for _ in range(5)])
    model = GaussianMixture(5, covariance_type="diag", random_state=0)
    plain = model.fit(X).log_likelihood_
    assert model.set_params(truncation=([-50, -50], [50, 50])).fit(X).log_likelihood_ > plain - 0.5
