"""``fastem check``: this build reproduces the certified answers, and a wrong one is seen."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import fastem.check
from fastem.__main__ import main
from fastem.check import PATIENCE, StandingStill, agreements, digits, report
from fastem.datasets import load_certified


def test_all_certified_answers_are_reproduced(capsys):
    assert main(["check"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "TOO FEW" not in out
    assert out.count("\n") == len(load_certified()) + 4 and "All" in out.splitlines()[-1]


@pytest.mark.parametrize("what", ["log_likelihood", "parameters"])
def test_a_value_that_is_not_reproduced_is_told(what, monkeypatch, capsys):
    problem = load_certified()[0]
    if what == "parameters":
        problem.parameters["means"][1, 0] *= 1 + 1e-9
    else:
        problem = replace(problem, log_likelihood=problem.log_likelihood * (1 + 1e-11))
    monkeypatch.setattr(fastem.datasets, "load_certified", lambda: [problem])
    assert main(["check"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[1].endswith("TOO FEW") and "1 of 1 problems" in out


def test_report_has_a_line_for_each_problem():
    found = list(agreements(load_certified()[:2]))
    lines = report(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:3]] == ["faithful, waiting", "faithful, eruptions"]


def test_digits_are_nists_log_relative_error():
    assert digits(1.01, 1.0) == pytest.approx(2)
    assert digits([3.0, 2.002], [3.0, 2.0]) == pytest.approx(3)
    assert digits(1e-5, 0.0) == pytest.approx(5)
    assert digits(7.0, 7.0) == 15
    assert digits(9.0, 1.0) == 0
    assert digits(np.nan, 1.0) == 0 and digits([1.0, np.inf], [1.0, 1.0]) == 0


def lengths_until_it_stops(rule, lengths):
    """How many steps of the given lengths a rule sees, of one parameter beside another far from the origin."""
    parameters = np.array([1e9, 1.0])
    result = SimpleNamespace(model=SimpleNamespace(parameters=lambda: parameters))
    rule(result)
    for n, step in enumerate(lengths, 1):
        parameters = parameters + [0.0, step]
        if rule(result):
            return n
    return None


def test_standing_still_waits_for_rounding_and_for_all_parameters():
    assert lengths_until_it_stops(StandingStill(), [1e-12, 0.0]) == 2
    assert lengths_until_it_stops(StandingStill(), 0.5 ** np.arange(40)) is None  # each step is the shortest so far
    assert lengths_until_it_stops(StandingStill(), [1e-15] + [2e-15] * 100) == 1 + PATIENCE
