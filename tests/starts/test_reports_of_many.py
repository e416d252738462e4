"""The report of many components, restarts and events names the worst and counts the others."""

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.errors import DegenerateComponentWarning
from fastem.starts.fit_report import Component, FitReport, Restart


def report(n_components, n_restarts=2, n_events=0):
    events = tuple(f"dropped in iteration {i} (component {i}: spike)" for i in range(n_events))
    restarts = [Restart("random", 5, -100.0 - i, "ended", True, i == 1, events) for i in range(n_restarts)]
    components = [
        Component((k + 1) / n_components**2, 10.0, (0.1, 1.0), 0, "spike" if k % 100 == 99 else "ok")
        for k in range(n_components)
    ]
    return FitReport(restarts, components)


def test_the_ten_worst_and_a_count():
    text = str(report(1500))
    assert len(text) < 3000 and "and 1490 more component(s); of all 1500, 15 are not ok" in text
    shown = [int(line.split()[0]) for line in text.splitlines() if line.split()[-1:] == ["spike"]]
    assert shown == list(range(99, 1000, 100))


def test_a_few_are_all_shown():
    lines = str(report(30, n_restarts=30)).splitlines()
    assert len(lines) == 1 + 30 + 1 + 1 + 30


def test_many_restarts_and_events():
    many = report(3, n_restarts=300, n_events=400)
    text = str(many)
    assert len(text) < 10_000 and "*1" in text and "and 290 worse restart(s)" in text
    with pytest.warns(DegenerateComponentWarning, match=r"and 390 more event\(s\): the mixture has 3") as caught:
        many.warn_of_events()
    assert len(str(caught[0].message)) < 1000


def test_labels_are_called_labels():
    X = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0.0], [6.0]], 30, axis=0)
    labels = np.full(60, -1)
    labels[[0, 59]] = 0, 1
    model = GaussianMixture(2, random_state=0).fit(X, labels=labels)
    assert model.fit_report_.restarts[0].start.startswith("the labels")
