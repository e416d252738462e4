"""on_collapse="drop": components go one at a time, and those stay that hold a group of rows no other describes."""

import numpy as np
import pytest

import fastem
from fastem.errors import DegenerateComponentWarning

pytestmark = pytest.mark.filterwarnings("ignore")


def one_cloud_and_three_points(seed):
    rng = np.random.default_rng(seed)
    points = np.array([[8.0, 0.0], [-5.0, 7.0], [-4.0, -8.0]]) + rng.normal(size=(3, 2))
    return np.vstack([rng.normal(size=(50, 2)), np.repeat(points, 20, axis=0)])


@pytest.mark.parametrize(
    "family, settings",
    [
        (fastem.GaussianMixture, {}),
        (fastem.GaussianMixture, {"n_init": 2}),
        (fastem.GaussianMixture, {"split_merge": 1}),
        (fastem.StudentTMixture, {"n_init": 2}),
        (fastem.MixedMixture, {"kinds": ["gaussian"] * 2, "n_init": 2}),
    ],
)
def test_the_groups_that_are_there_stay(family, settings):
    """At least four groups: points of equal rows, whose components are at the floor, are groups as well."""
    for seed in range(2 if family is fastem.StudentTMixture else 5):  # whose fits take many iterations
        X = one_cloud_and_three_points(seed)
        model = family(6, on_collapse="drop", random_state=seed, **settings).fit(X)
        assert 4 <= len(model.weights_) <= 6
        labels = model.predict(X)
        assert len({*labels[50::20]} - {*labels[:50]}) == 3, seed
        report = model.fit_report_
        assert len(report.components) == len(model.weights_)
        assert all(one.n_iter <= model.max_iter for one in report.restarts)


def test_a_twin_on_the_same_point_goes():
    X = one_cloud_and_three_points(1)
    labels = np.repeat([0, 1, 2, 3, 4], [50, 10, 10, 20, 20])
    with pytest.warns(DegenerateComponentWarning, match="dropped in iteration .* the mixture has 4 component"):
        model = fastem.GaussianMixture(5, on_collapse="drop", init_params=labels).fit(X)
    events = model.fit_report_.restarts[0].events
    assert [event.partition(" ")[0] for event in events] == ["dropped", "kept,"]


def test_a_few_equal_rows_go():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(300, 2)), np.tile([[1.0, 1.0]], (5, 1))])
    labels = np.repeat([0, 1], [300, 5])
    assert len(fastem.GaussianMixture(2, on_collapse="drop", init_params=labels).fit(X).weights_) == 1
