"""Micro-benchmarks of fastem: ``pytest bench/test_kernels.py`` (needs pytest-benchmark).

Not part of the test run. ``--benchmark-group-by=func`` sorts the shapes; ``--benchmark-autosave`` and
``--benchmark-compare`` hold one commit against another on the same machine.

There is no ``__init__.py`` beside this file on purpose: with one, pytest would put the checkout in
front of the path, and its folder ``fastem/`` without compiled kernels in front of the installed
package.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

import fastem

sys.path.append(str(Path(__file__).resolve().parent.parent))

from bench.problems import Problem
from bench.rivals import with_fastem

# Small enough to repeat often, large enough to leave the caches of one core.
SHAPES = [
    Problem("full-d2", "full", n=100_000, d=2, K=8),
    Problem("full-d16", "full", n=50_000, d=16, K=16),
    Problem("full-d64", "full", n=20_000, d=64, K=8),
    Problem("full-d16-f32", "full", n=50_000, d=16, K=16, dtype="float32"),
    Problem("tied-d32", "tied", n=50_000, d=32, K=16),
    Problem("diag-d39", "diag", n=50_000, d=39, K=16),
    Problem("diag-d1", "diag", n=500_000, d=1, K=3),
    Problem("spherical-d16", "spherical", n=50_000, d=16, K=16),
]
ITERATIONS = 5
THREADS = [1, None]  # None: as many as fastem finds right

each_shape = pytest.mark.parametrize("problem", SHAPES, ids=lambda problem: problem.name)
each_thread_count = pytest.mark.parametrize("n_threads", THREADS, ids=["serial", "parallel"])


def fitted(problem: Problem):
    """A mixture after two iterations, and its data."""
    X = problem.data()
    model = fastem.GaussianMixture(problem.K, covariance_type=problem.covariance, max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*converge.*")
        return model.fit(X), X


@each_shape
@each_thread_count
def test_fit_iterations(benchmark, problem, n_threads):
    """Five iterations from a given start."""
    X = problem.data()
    start = problem.start(X)
    benchmark(with_fastem.fit, problem, X, start, ITERATIONS, n_threads)


@each_shape
def test_score_samples(benchmark, problem):
    model, X = fitted(problem)
    assert benchmark(model.score_samples, X).shape == (problem.n,)


@each_shape
def test_predict(benchmark, problem):
    model, X = fitted(problem)
    assert benchmark(model.predict, X).shape == (problem.n,)


def test_predict_one_row(benchmark):
    """The overhead of a call: aim 20 µs."""
    model, X = fitted(SHAPES[0])
    assert benchmark(model.predict, X[:1]).shape == (1,)


def test_fit_tiny(benchmark):
    """300 rows, 2 columns, 2 components, default settings with initialisation: aim 2 ms."""
    X = Problem("tiny", "full", n=300, d=2, K=2).data()
    benchmark(lambda: fastem.GaussianMixture(2, random_state=0).fit(X))
