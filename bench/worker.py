"""One rival, one task, one process: do it, time it, print JSON.

Run by path, never imported: ``python -P bench/worker.py …``. The checkout goes to the *end* of the
path, so that ``bench`` is found in it and ``fastem`` only where it is installed (the checkout's own
folder ``fastem/`` need not hold compiled kernels).
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from statistics import mean, median

sys.path.append(str(Path(__file__).resolve().parent.parent))

import numpy as np

from bench.bayesian import fits as bayesian_fits
from bench.bayesian import samples as bayesian_samples
from bench.columns import Columns
from bench.covariances import samples as covariance_samples
from bench.covariates import answers_and_covariates, predictors_and_targets
from bench.errors import INTERVALS, bounded_rows, measured_rows
from bench.families import samples as family_samples
from bench.machine import compiled_loops, peak
from bench.missing import gaps
from bench.problems import Parameters, Problem, Sample, mean_log_likelihood
from bench.selection import rows_of_five
from bench.streams import dask, stream

LEAST_SECONDS = 1.0  # work is repeated until it took this long …
MOST_REPEATS = 15  # … or was done so often
FAMILY_REPEATS = 7  # of an iteration of each family
TIMES_BOTH = 3  # of an iteration with covariates, and of one without
AFTER = 8  # iterations, when a pass is taken apart
HELD_OUT = 50_000  # rows that judge a model
IMPORT = "import time, numpy; begin = time.perf_counter(); import {}; print(time.perf_counter() - begin)"


def about(rival) -> dict:
    """What is installed, or how to install it."""
    if not rival.available():
        return {"missing": rival.INSTALL}
    return {"version": rival.version(), "covariances": rival.COVARIANCES}


def instruction_sets(rival) -> list[str]:
    """Those that fastem was built for and that this CPU runs, best first."""
    kernels = importlib.import_module(f"{rival.PACKAGE}.kernels")
    return [name for name in kernels.INSTRUCTION_SETS if kernels.built(name) and kernels.supported(name)]


def read(problem: dict, folder: str) -> tuple[Problem, np.ndarray, Parameters]:
    """A problem, its rows and its start."""
    with np.load(Path(folder, "start.npz")) as file:
        start = Parameters(file["weights"], file["means"], file["covariances"])
    return Problem(**problem), np.load(Path(folder, "X.npy")), start


def iterate(rival, problem: dict, folder: str, short: int, long: int, n_threads: int) -> dict:
    """Milliseconds of an EM iteration on a problem whose arrays lie in ``folder``, memory, and where it led."""
    problem, X, start = read(problem, folder)
    found, mixture = timed(rival, lambda iterations: rival.fit(problem, X, start, iterations, n_threads), short, long)
    return found | {"log_likelihood": mean_log_likelihood(X, problem.covariance, Parameters(*mixture))}


def draw_start(rival, problem: dict, folder: str, n_threads: int) -> dict:
    """Where a rival that takes no start begins on a problem: written to ``folder``, for all."""
    X = np.load(Path(folder, "X.npy"))
    weights, means, covariances = rival.drawn_start(Problem(**problem), X, n_threads)
    np.savez(Path(folder, "start.npz"), weights=weights, means=means, covariances=covariances)
    return {}


def iterate_columns(rival, problem: dict, short: int, long: int, n_threads: int) -> dict:
    """The same of a mixture over columns of other kinds."""
    problem = Columns(**problem)
    X, start = problem.data(), problem.start()
    rows = rival.prepared(problem, X)
    found, mixture = timed(
        rival, lambda iterations: rival.fit_columns(problem, rows, start, iterations, n_threads), short, long
    )
    return found | {"log_likelihood": problem.mean_log_likelihood(X, mixture)}


def timed(rival, fit, short: int, long: int):
    """Milliseconds of an iteration and memory of the first fit, and what the last one returned."""
    # The code is loaded before the fit, but the first fit starts the threads: they count.
    importlib.import_module(rival.PACKAGE)
    extra_mb = extra_memory_mb(lambda: fit(short))
    mixture = None

    def seconds_of_one():
        nonlocal mixture
        times = []
        for iterations in (short, long):
            begin = time.perf_counter()
            mixture = fit(iterations)
            times.append(time.perf_counter() - begin)
        return (times[1] - times[0]) / (long - short)

    seconds = median_of(seconds_of_one)
    if seconds <= 0:
        raise RuntimeError(
            f"{long} iterations took no longer than {short}: the machine was disturbed, or there are too few"
        )
    return {"ms": 1e3 * seconds, "extra_mb": extra_mb}, mixture


def learn(rival, sample: dict, seeds: int) -> dict:
    """Seconds of fits with default settings, and the mean log-likelihood of rows that they did not see."""
    sample = Sample(**sample)
    rows = sample.data(sample.n + HELD_OUT)
    mixtures = importlib.import_module(rival.PACKAGE)
    seconds, held_out = [], []
    for seed in range(seeds):
        model = mixtures.GaussianMixture(sample.K, covariance_type=sample.covariance, random_state=seed)
        seconds.append(seconds_of(lambda: fit_quietly(model, rows[: sample.n])))  # noqa: B023
        held_out.append(float(model.score(rows[sample.n :])))
    return {"seconds": seconds, "held_out": held_out}


def score(rival, problem: dict) -> dict:
    """Milliseconds of each way to judge the rows of a problem by a fitted mixture."""
    problem = Problem(**problem)
    X = problem.data()
    mixture = importlib.import_module(rival.PACKAGE).GaussianMixture
    model = fit_quietly(mixture(**problem.settings(problem.start(X), iterations=2)), X)
    methods = ("score_samples", "predict", "predict_proba", "score")
    return {f"{name} ms": 1e3 * median_of(lambda: seconds_of(lambda: getattr(model, name)(X))) for name in methods}  # noqa: B023


def phases(rival, problem: dict, folder: str, n_threads: int) -> dict:
    """Milliseconds of a pass alone over the rows of a problem, by all threads and by one, and of its phases by one; of
    both passes also the share of the peak that as many threads reach right before and after."""
    from fastem import GaussianMixture, kernels

    problem, X, start = read(problem, folder)
    model = GaussianMixture(**problem.settings(start, AFTER), accelerate=None)
    fit_quietly(model, X)
    mixture, module = model.model_, kernels.for_dtype(X.dtype)
    call, kept = mixture.kernel_call(X.dtype), {}
    found, sides = [], (("", n_threads), ("one_thread_", 1))

    def turn(loops):
        own = {}
        for side, threads in sides:
            before = loops and peak(loops, problem.dtype, threads, 1)
            ms = 1e3 * seconds_of(lambda: mixture.e_step_of_block(X, None, threads, kept))  # noqa: B023
            own[f"{side}ms"] = ms
            if loops:
                own[f"{side}beside"] = (
                    problem.flops() / ms / 1e6 / mean([before, peak(loops, problem.dtype, threads, 1)])
                )
        parts = module.phase_seconds(call.parts, X, call.centre, problem.K, call.order)
        found.append(own | {name: 1e3 * seconds for name, seconds in parts.items()})

    with compiled_loops() as loops:
        turn(None)  # the first starts the threads
        found.clear()
        end = time.perf_counter() + LEAST_SECONDS
        while not found or (time.perf_counter() < end and len(found) < MOST_REPEATS):
            turn(loops)
    return {name: median(own[name] for own in found) for name in found[0]}


def small(rival) -> dict:
    """What little work costs: the import, the fit of 300 rows, the label of one."""
    command = [sys.executable, "-P", "-c", IMPORT.format(rival.PACKAGE)]
    imports = [float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(5)]
    mixture = importlib.import_module(rival.PACKAGE).GaussianMixture
    X = Problem("tiny", "full", n=300, d=2, K=2).data()
    model = fit_quietly(mixture(2, random_state=0), X)
    fits = [seconds_of(lambda: fit_quietly(mixture(2, random_state=0), X)) for _ in range(100)]
    predictions = [seconds_of(lambda: model.predict(X[:1])) for _ in range(1000)]
    return {
        "import, beyond numpy: ms": 1e3 * median(imports),
        "fit 300×2, K=2: ms": 1e3 * median(fits),
        "predict one row: µs": 1e6 * median(predictions),
    }


def factors(rival, n: int, d: int, q: int) -> dict:
    """Seconds of fits of factor models with default settings, and the mean log-likelihood that they reach."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    X *= np.sqrt(rng.uniform(0.5, 2, d))
    X += rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) + rng.normal(size=d)
    module, names = importlib.import_module(rival.FACTORS), {"FactorAnalysis": "FactorAnalysis", "PPCA": rival.PPCA}
    found = {}
    for name, own in names.items():
        model = getattr(module, own)(q)
        found[f"{name} s"] = seconds_of(lambda: fit_quietly(model, X))  # noqa: B023
        found[f"{name} log-likelihood"] = float(model.score(X))
    return found


def missing(rival, n: int, d: int, K: int, dtype: str, n_threads: int) -> dict:
    """Milliseconds of an iteration over rows with each kind of gaps and over the complete ones, and their ratio."""
    found = {}
    for kind, covariance_type, mixture, *rows in gaps(n, d, K, dtype):
        kept = [{}, {}]

        def both():
            return [
                1e3 * seconds_of(lambda: mixture.m_step(mixture.e_step_of_block(X, None, n_threads, own)))  # noqa: B023
                for X, own in zip(rows, kept)  # noqa: B023
            ]

        both()  # the first starts the threads and groups the rows
        times = np.array([both() for _ in range(FAMILY_REPEATS)])
        ms, complete_ms = np.median(times, axis=0)
        ratio = np.median(times[:, 0] / times[:, 1])
        found[f"{covariance_type}, {kind}"] = {"ms": ms, "complete_ms": complete_ms, "ratio": ratio}
    return found


def covariates(rival, n: int, d: int, K: int, p: int, iterations: list[int], n_threads: int) -> dict:
    """Milliseconds of an iteration with weights that depend on covariates, and without."""
    X, C = answers_and_covariates(n, d, K, p)
    short, long = iterations

    def one(given):
        times = [seconds_of(lambda: rival.fit_covariates(X, given, K, number, n_threads)) for number in (short, long)]  # noqa: B023
        return 1e3 * (times[1] - times[0]) / (long - short)

    one(C)  # imports what it needs, and starts the threads
    both = np.median([(one(C), one(None)) for _ in range(TIMES_BOTH)], axis=0)
    return {"ms": both[0], "plain_ms": both[1]}


def gate_passes(rival, n: int, d: int, K: int, p: int) -> dict:
    """Milliseconds of processor time of a pass over binary rows: without covariates, with the gate, and with the gate's
    curvature, which Newton's step wants where the gate has moved."""
    from dataclasses import replace

    from fastem import BernoulliMixture
    from fastem.models.gate import Gate
    from fastem.models.gated_rows import GatedRows

    X, C = answers_and_covariates(n, d, K, p)
    plain, wide = BernoulliMixture(K, random_state=0, max_iter=3), np.hstack([X, C])
    fit_quietly(plain, X)
    coefficients = np.random.default_rng(0).normal(size=(K, p + 1))
    gate = Gate(centre=C.mean(axis=0), scale=abs(C - C.mean(axis=0)).max(axis=0), coefficients=coefficients)
    curved = GatedRows(replace(plain.model_, shares=gate))
    settled = GatedRows(curved.mixture.m_step(curved.e_step_of_block(wide, None, 1, {})))
    known = settled.mixture.shares.known._replace(coefficients=settled.mixture.shares.coefficients)
    settled = GatedRows(replace(settled.mixture, shares=replace(settled.mixture.shares, known=known)))
    kept: dict = {}

    def one(model, rows):
        begin = time.process_time()
        model.e_step_of_block(rows, None, 1, kept)
        return 1e3 * (time.process_time() - begin)

    passes = (plain.model_, X), (settled, wide), (curved, wide)
    times = [[one(*of) for of in passes] for _ in range(1 + 3 * FAMILY_REPEATS)][1:]
    return dict(zip(("plain_ms", "gate_ms", "curved_ms"), np.median(times, axis=0)))


def errors(rival, n: int, d: int, K: int, iterations: list[int], n_threads: int) -> dict:
    """Milliseconds of an iteration over rows with errors, and log-likelihoods after so many iterations."""
    X, S, start = measured_rows(n, d, K)
    short, long = iterations
    found = {}

    def one():
        begin = time.perf_counter()
        for number in (short, long):
            found[number] = rival.fit_errors(X, S, start, number, n_threads)
            times.append(time.perf_counter() - begin)
            begin = time.perf_counter()
        return (times[-1] - times[-2]) / (long - short)

    times = []
    rival.fit_errors(X[:1000], S[:1000], start, 1, n_threads)  # imports what it needs, and starts the threads
    return {"ms": 1e3 * median_of(one), "log_likelihood": found}


def side_columns(rival, n: int, K: int, columns: list[int]) -> dict:
    """Nanoseconds of processor time per row and component of E-steps: with errors, and (per column) of intervals."""
    from fastem import GaussianMixture
    from fastem.models.gaussian.interval_rows import IntervalRows
    from fastem.models.gaussian.noisy_rows import NoisyRows

    def seconds(model, rows):
        model.e_step_of_block(rows, None, 1, {})
        times = []
        for _ in range(FAMILY_REPEATS):
            begin = time.process_time()  # of this process alone: aims are missed by kernels, not by neighbours
            model.e_step_of_block(rows, None, 1, {})
            times.append(time.process_time() - begin)
        return min(times)

    found = {}
    for d in columns:
        X, S, start = measured_rows(n, d, K)
        i, j = np.tril_indices(d)
        model = NoisyRows(GaussianMixture.from_parameters(*start).model_)
        found[f"errors, {d} columns"] = 1e9 * seconds(model, np.hstack([X, S[:, i, j]])) / n / K
    for kind in INTERVALS:
        rows, (weights, means, covariances) = bounded_rows(kind, n, 5, K)
        variances = np.diagonal(covariances, axis1=1, axis2=2)
        model = GaussianMixture.from_parameters(weights, means, variances, covariance_type="diag")
        found[kind] = 1e9 * seconds(IntervalRows(model.model_), rows) / n / K / 5
    return found


def regressions(rival, n: int, d: int, K: int, n_threads: int) -> dict:
    """Milliseconds of an iteration of each family of regressions, and of Gaussians with diagonal covariances over the
    same columns."""
    from fastem import GaussianMixture, MixtureOfRegressions

    X, targets = predictors_and_targets(n, d, K)
    own, found = {"max_iter": 2, "random_state": 0, "n_threads": n_threads}, {}
    for family, y in targets.items():
        model = MixtureOfRegressions(K, family=family, n_init=2, **own)
        fit_quietly(model, X, y)
        plain = GaussianMixture(K, covariance_type="diag", **own)
        rows = np.column_stack([X, y])
        fit_quietly(plain, rows)
        mixtures = [model._wide(X, y, {}), (plain.model_, rows)]

        def both():
            return [
                1e3 * seconds_of(lambda: mixture.m_step(mixture.e_step_of_block(wide, None, n_threads, {})))  # noqa: B023
                for mixture, wide in mixtures  # noqa: B023
            ]

        both()  # the first starts the threads
        times = np.array([both() for _ in range(FAMILY_REPEATS)])
        ms, diagonal_ms = np.median(times, axis=0)
        found[family] = {"ms": ms, "diagonal_ms": diagonal_ms, "ratio": np.median(times[:, 0] / times[:, 1])}
    return found


def families(rival, n: int, d: int, K: int, dtype: str, n_threads: int) -> dict:
    """Of each family and of a diagonal Gaussian mixture on its rows; see :func:`beside`."""
    return beside(family_samples(n, d, K, dtype), n_threads)


def covariances(rival, n: int, d: int, K: int, dtype: str, n_threads: int) -> dict:
    """Of each covariance family and of full or diagonal covariances; see :func:`beside`."""
    return beside(covariance_samples(n, d, K, dtype), n_threads)


def bayesian(rival, n: int, d: int, K: int, dtype: str, n_threads: int) -> dict:
    """Of Bayesian mixtures and of the Gaussian mixture on their rows; see :func:`beside`."""
    return beside(bayesian_samples(n, d, K, dtype), n_threads)


def bayesian_fit(rival, n: int, d: int, K: int, n_threads: int) -> dict:
    """Of both libraries' Bayesian mixtures, from data to model."""
    return bayesian_fits(n, d, K, n_threads)


def beside(samples, n_threads: int) -> dict:
    """Milliseconds of an iteration of each mixture and of another on its rows, and their ratio."""
    found = {}
    for family, X, *mixtures in samples:

        def both():
            return [1e3 * seconds_of(lambda: m.m_step(m.e_step_of_block(X, None, n_threads, {}))) for m in mixtures]  # noqa: B023

        both()  # the first starts the threads
        times = np.array([both() for _ in range(FAMILY_REPEATS)])
        ms, other_ms = np.median(times, axis=0)
        found[family] = {"ms": ms, "other_ms": other_ms, "ratio": np.median(times[:, 0] / times[:, 1])}
    return found


def select(rival, n: int, d: int, K: int, n_threads: int) -> dict:
    """Seconds to choose among all families with up to K components."""
    import fastem

    X = rows_of_five(n, d)
    fastem.select(X[:100], [1, 2], ["VVV"])  # imports what it needs
    found = []
    seconds = seconds_of(lambda: found.append(fastem.select(X, range(1, K + 1), random_state=0, n_jobs=n_threads)))
    best, models = found[0].best_row, found[0].table
    return {
        "seconds": seconds,
        "models": len(models),
        "sound": sum(row.sound for row in models),
        "best": f"{best.covariance_type}, {best.n_components}",
        "bic": {f"{row.covariance_type}, {row.n_components}": row.bic for row in models if row.estimator is not None},
    }


def fit_quietly(model, X, y=None):
    """The fitted model; that it may not have converged is no news here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X) if y is None else model.fit(X, y)


def seconds_of(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def median_of(measure) -> float:
    """Median of measurements that are repeated for a while."""
    found, end = [], time.perf_counter() + LEAST_SECONDS
    while not found or (time.perf_counter() < end and len(found) < MOST_REPEATS):
        found.append(measure())
    return median(found)


def extra_memory_mb(work) -> float | None:
    """Peak resident memory during ``work`` minus that before it, in MB; None where not Linux.

    The kernel keeps the peak (VmHWM) and forgets it on demand, so nothing is sampled and nothing
    slips through.
    """
    if not sys.platform.startswith("linux"):
        work()
        return None
    Path("/proc/self/clear_refs").write_text("5")
    before = _status_kb("VmRSS")
    work()
    return (_status_kb("VmHWM") - before) * 1024 / 1e6


def _status_kb(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE).group(1))


TASKS = {
    task.__name__: task
    for task in (
        about,
        instruction_sets,
        iterate,
        draw_start,
        iterate_columns,
        phases,
        learn,
        score,
        small,
        factors,
        families,
        covariances,
        select,
        missing,
        covariates,
        gate_passes,
        errors,
        side_columns,
        regressions,
        bayesian,
        bayesian_fit,
        stream,
        dask,
    )
}

if __name__ == "__main__":
    adapter, name, question = sys.argv[1:]
    print(json.dumps(TASKS[name](importlib.import_module(f"bench.rivals.{adapter}"), **json.loads(question))))
