"""fastem beside its rivals: ``python -m bench [NAME …]`` from the checkout.

Every figure comes from a process of its own, in turn (A B C A B C …), on the same data, from the
same start, with the same number of iterations. The time of an iteration is the difference of a long
and a short fit over the difference of their iterations, so validation and start-up cost nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bench.machine import available_cores, measure
from bench.problems import PROBLEMS, Problem
from bench.report import LEGEND, beyond_the_limit, disagreements, summarise, table

WORKER = Path(__file__).with_name("worker.py")
RIVALS = {  # name in the table: adapter
    "fastem": "with_fastem",
    "scikit-learn": "with_scikit_learn",
    "onedal": "with_onedal",
}
ITERATIONS, QUICK_ITERATIONS = (2, 22), (1, 6)  # of the short and the long fit


class WorkerError(RuntimeError):
    """A worker ended without an answer."""


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 1 if a rival failed, results disagree or a figure cannot be true."""
    options = arguments(argv)
    covariances, versions = installed_rivals(options.rivals)
    if "fastem" in options.rivals and "fastem" not in covariances:
        sys.exit("Nothing to compare with: install fastem (pip install .) or leave it out (--rivals)")
    machine = measure(options.threads, versions)
    results, complaints = {}, []
    for name in options.names or PROBLEMS:
        problem = PROBLEMS[name]
        rivals = [rival for rival, able in covariances.items() if problem.covariance in able]
        results[problem], failures = compete(problem, rivals, options)
        complaints += failures
        # Again and again, since the limits are the best that the machine shows while it runs all this.
        machine = machine.at_best(measure(options.threads, versions))

    record, rows = {}, []
    for problem, turns in results.items():
        new = summarise(problem, turns, machine)
        complaints += disagreements(problem, new)
        record[problem.name] = {"problem": asdict(problem), "turns": turns, "rows": new}
        rows += new
    complaints += machine.doubts() + beyond_the_limit(rows)
    print(f"{machine.report()}\n\n{table(rows)}\n\n{LEGEND}")
    for complaint in complaints:
        print(f"\n!!! {complaint}")
    if options.json:
        settings = {"repeats": options.repeats, "quick": options.quick}
        document = {"machine": asdict(machine), "settings": settings, "results": record}
        options.json.write_text(json.dumps(document | {"complaints": complaints}, indent=1) + "\n")
    return 1 if complaints else 0


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    names = ", ".join(PROBLEMS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{names}; all by default")
    parser.add_argument("--rivals", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--repeats", type=int, metavar="N", help="turns of each (3; 1 if --quick)")
    parser.add_argument("--threads", type=int, metavar="N", default=available_cores())
    parser.add_argument("--quick", action="store_true", help="fewer iterations, one turn: rough")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every turn there as well")
    options = parser.parse_args(argv)
    for name in options.names:
        if name not in PROBLEMS:
            parser.error(f"no problem is called {name!r}; there are {names}")
    if options.repeats is None:
        options.repeats = 1 if options.quick else 3
    for option in ("repeats", "threads"):
        if getattr(options, option) < 1:
            parser.error(f"--{option} is {getattr(options, option)}; it must be at least 1")
    return options


def installed_rivals(rivals: list[str]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """The structures that each installed rival can fit, and its version."""
    covariances, versions = {}, {}
    for rival in rivals:
        answer = ask(rival)
        if "missing" in answer:
            print(f"{rival} is left out: it is not installed ({answer['missing']})")
        else:
            covariances[rival] = answer["covariances"]
            versions[rival] = answer["version"]
    return covariances, versions


def compete(
    problem: Problem, rivals: list[str], options: argparse.Namespace
) -> tuple[dict[str, list[dict]], list[str]]:
    """The answers of each rival, turn by turn, and what went wrong; who fails once is out."""
    short, long = QUICK_ITERATIONS if options.quick else ITERATIONS
    turns: dict[str, list[dict]] = {rival: [] for rival in rivals}
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        X = problem.data()
        np.save(Path(folder, "X.npy"), X)
        np.savez(Path(folder, "start.npz"), **problem.start(X)._asdict())
        del X
        task = {"name": problem.name, "folder": folder, "short": short, "long": long}
        for turn in range(options.repeats):
            for rival in list(turns):
                print(f"{problem.name}: turn {turn + 1}/{options.repeats}, {rival}", file=sys.stderr)
                try:
                    turns[rival].append(ask(rival, **task, n_threads=options.threads))
                except WorkerError as error:
                    failures.append(f"{problem.title}: {error}")
                    del turns[rival]
    return turns, failures


def ask(rival: str, **task) -> dict:
    """The answer of one worker process; without a task, it tells about the rival."""
    question = json.dumps({"rival": RIVALS[rival], **task})
    # -P keeps the current folder, perhaps a checkout without kernels, off the worker's path.
    command = [sys.executable, "-P", str(WORKER), question]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    if process.returncode != 0:
        reason = process.stderr.strip() or f"no message, exit code {process.returncode}"
        raise WorkerError(f"{rival} failed: {reason}")
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
