"""ci/certify proves what it stores, again, and does not prove what is not so."""

import json
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import numpy as np
import pytest

from fastem.datasets import load_certified

pytest.importorskip("flint")
CI = Path(__file__).resolve().parent.parent / "ci"
ENTRIES = {problem.name: problem for problem in load_certified()}


@pytest.fixture(scope="module")
def certify():
    """The script as a module, with its neighbours."""
    sys.path.insert(0, str(CI))
    loader = SourceFileLoader("certify", str(CI / "certify"))
    module = module_from_spec(spec_from_loader("certify", loader))
    sys.modules["certify"] = module  # dataclasses ask for it
    loader.exec_module(module)
    yield module
    sys.path.remove(str(CI))
    for name in ("certify", "balls", "likelihoods"):
        del sys.modules[name]


@pytest.mark.parametrize(
    "name", ["faithful, waiting", "faithful, diagonal", "counts", "sizes", "heavy tails", "rounded and censored"]
)
def test_a_problem_is_proven_again(certify, name):
    problem = next(problem for problem in certify.PROBLEMS if problem.name == name)
    entry = certify.certified(problem)
    stored = ENTRIES[name].digits
    assert entry["log_likelihood"] == stored["log_likelihood"]
    assert entry["parameters"] == {key: value for key, value in stored.items() if key != "log_likelihood"}
    assert float(entry["radius"]) == ENTRIES[name].radius


def test_the_file_says_what_is_proven_and_what_is_not(certify):
    shipped = json.loads(certify.OUTPUT.read_text(encoding="utf-8"))
    assert shipped["about"] == certify.ABOUT
    assert any(line.startswith("NOT proven") for line in shipped["about"])


def test_shipped_rows_are_those_of_the_recipes(certify):
    problems = {problem.name: problem for problem in certify.PROBLEMS}
    assert problems.keys() == ENTRIES.keys()
    for name, stored in ENTRIES.items():
        X, sides = certify.rows_of(problems[name])
        np.testing.assert_array_equal(X, stored.data)
        assert sides.keys() == stored.sides.keys()
        for role, values in sides.items():
            np.testing.assert_array_equal(values, stored.sides[role])


def waiting(certify):
    """The log-likelihood of the waiting times, and its maximum as plain numbers."""
    import likelihoods

    problem = ENTRIES["faithful, waiting"]
    family = certify.FAMILIES[problem.family](problem.data)
    point = [float(x) for x in family.coordinates(**problem.parameters)]
    return likelihoods.log_likelihood(family, problem.data, 2), point


def test_the_box_of_a_millionth_of_a_millionth_of_a_minute(certify):
    import balls

    function, point = waiting(certify)
    middle, at = balls.newton(function, point)
    inverse = balls.exact(at.hessian.inv())
    found = balls.krawczyk(function, middle, at.gradient, inverse, [balls.arb("1e-12")] * 5)
    assert all(abs(x - y) < 1e-20 for x, y in zip(found, middle))


def test_a_box_beside_the_point_is_not_proven(certify):
    import balls

    function, point = waiting(certify)
    middle, _ = balls.newton(function, point)
    middle[1] += balls.arb("2e-12").mid()
    at = function(balls.coordinates(middle))
    with pytest.raises(balls.NotProven, match="not lie inside"):
        balls.krawczyk(function, middle, at.gradient, balls.exact(at.hessian.inv()), [balls.arb("1e-12").mid()] * 5)


def test_a_saddle_is_not_proven(certify):
    """Equal components are stationary, and no maximum."""
    import balls

    def saddle(point):
        x, y = point
        return y**2 - x**2

    with pytest.raises(balls.NotProven, match="positive definite"):
        balls.maximum(saddle, [0.1, 0.2])


def test_a_point_that_is_not_alone_is_not_proven(certify):
    """Two maxima closer than the least box, and a ridge."""
    import balls

    def pair(point):
        return -(((point[0] ** 2) - balls.arb("1e-60")) ** 2)

    with pytest.raises((balls.NotProven, ZeroDivisionError)):
        balls.maximum(pair, [3e-30], radii=("1",))


@pytest.mark.parametrize("name", ["log", "exp", "sqrt", "erf", "lgamma"])
def test_jets_have_the_derivatives_of_differences(certify, name):
    import balls

    def function(x):
        one = getattr(x[0] * 0.7 + x[1] ** 2, name)()
        return (one / x[1] - 2) * x[0] + 3 / x[0]

    at = [1.3, 0.8]
    jet = function(balls.coordinates(at))
    h = 1e-5
    for i in range(2):
        ends = [function(balls.coordinates([x + s * h * (i == j) for j, x in enumerate(at)])) for s in (1, -1)]
        slope = (ends[0].value - ends[1].value) / (2 * h)
        assert abs(float(jet.gradient[i, 0] - slope)) < 1e-7
        for j in range(2):
            curvature = (ends[0].gradient[j, 0] - ends[1].gradient[j, 0]) / (2 * h)
            assert abs(float(jet.hessian[i, j] - curvature)) < 1e-7


def test_what_goes_beside_rows_counts_as_fastem_counts_it(certify):
    """The formulas at the start, in plain numbers, beside the score of fastem's model there."""
    import likelihoods

    import fastem

    for name in ("measurement errors", "rounded and censored", "censored lifetimes"):
        problem, stored = next(p for p in certify.PROBLEMS if p.name == name), ENTRIES[name]
        family = certify.family_of(problem, stored.data, stored.sides)
        rows = np.column_stack([stored.data, *stored.sides.values()])
        point = [certify.arb(float(x)) for x in family.coordinates(**stored.start)]
        exact = likelihoods.log_likelihood(family, rows, problem.K)(point)
        model = getattr(fastem, problem.family).from_parameters(**stored.start, **problem.settings)
        assert model.score_samples(stored.data, **stored.sides).sum() == pytest.approx(float(exact.mid()), rel=1e-13)
