"""Rivals take turns: every figure comes from a process of its own, in turn (A B C A B C …).

All get the same data, the same start and the same number of iterations. The time of an iteration is
the difference of a long and a short fit over the difference of their iterations, so validation and
start-up cost nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bench.machine import Machine, measure
from bench.problems import Problem

WORKER = Path(__file__).with_name("worker.py")
ITERATIONS, FEW_ITERATIONS = (2, 12), (1, 5)  # of the short and the long fit
LONG = 2e11  # flops of an iteration, beyond which a fit is of few

Turns = dict[str, list[dict]]  # the answers of each rival, turn by turn


class WorkerError(RuntimeError):
    """A worker ended without an answer."""


@dataclass(frozen=True)
class Rival:
    """A library through its adapter, perhaps on other threads than the rest or in another environment."""

    name: str
    adapter: str
    n_threads: int | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def ask(self, task: str, **question):
        """What a worker process of its own answers."""
        # -P keeps the current folder, perhaps a checkout without kernels, off the worker's path.
        command = [sys.executable, "-P", str(WORKER), self.adapter, task, json.dumps(question)]
        process = subprocess.run(
            command, check=False, capture_output=True, text=True, env=os.environ | self.environment
        )
        if process.returncode != 0:
            reason = process.stderr.strip() or f"no message, exit code {process.returncode}"
            raise WorkerError(f"{self.name} failed: {reason}")
        return json.loads(process.stdout.splitlines()[-1])


FASTEM = Rival("fastem", "with_fastem")
SCIKIT_LEARN = Rival("scikit-learn", "with_scikit_learn")
STEPMIX = Rival("stepmix", "with_stepmix")
ASTROML = Rival("astroml", "with_astroml")
POMEGRANATE = Rival("pomegranate", "with_pomegranate")
SPARK = Rival("pyspark", "with_spark")
LIBRARIES = {
    rival.name: rival
    for rival in (FASTEM, SCIKIT_LEARN, Rival("onedal", "with_onedal"), STEPMIX, POMEGRANATE, ASTROML, SPARK)
}


@contextmanager
def written(problem: Problem) -> Iterator[dict]:
    """What workers are told of a problem, while its rows and its start lie in a folder."""
    with tempfile.TemporaryDirectory() as folder:
        X = problem.data()
        np.save(Path(folder, "X.npy"), X)
        np.savez(Path(folder, "start.npz"), **problem.start(X)._asdict())
        yield {"problem": asdict(problem), "folder": folder}


@dataclass
class Session:
    """One run of the benchmark: who takes part, how thoroughly, on which machine, and what went wrong."""

    rivals: dict[str, Rival]
    covariances: dict[str, list[str]]  # that each rival can fit
    machine: Machine
    names: list[str]
    repeats: int
    quick: bool
    complaints: list[str] = field(default_factory=list)

    @classmethod
    def opened(cls, libraries: Iterable[str], names: list[str], repeats: int, quick: bool, n_threads: int) -> Session:
        """A session of the libraries that are installed."""
        answers = {name: LIBRARIES[name].ask("about") for name in libraries}
        for name, answer in answers.items():
            if "missing" in answer:
                print(f"{name} is left out: it is not installed ({answer['missing']})")
        found = {name: answer for name, answer in answers.items() if "missing" not in answer}
        machine = measure(n_threads, {name: answer["version"] for name, answer in found.items()})
        return cls(
            {name: LIBRARIES[name] for name in found},
            {name: answer["covariances"] for name, answer in found.items()},
            machine,
            names,
            repeats,
            quick,
        )

    def present(self, *rivals: Rival) -> list[Rival]:
        """Those of the rivals that are installed here."""
        return [rival for rival in rivals if rival.name in self.rivals]

    def measure_again(self) -> None:
        """The limits are the best that the machine shows while it runs all this."""
        self.machine = self.machine.at_best(measure(self.machine.n_threads, self.machine.versions))

    def take_turns(self, title: str, rivals: list[Rival], ask: Callable[[Rival], dict], repeats: int) -> Turns:
        """The answers of each rival; who fails once is out."""
        turns: Turns = {rival.name: [] for rival in rivals}
        for turn in range(repeats):
            for rival in rivals:
                if rival.name in turns:
                    print(f"{title}: turn {turn + 1}/{repeats}, {rival.name}", file=sys.stderr)
                    try:
                        turns[rival.name].append(ask(rival))
                    except WorkerError as error:
                        self.complaints.append(f"{title}: {error}")
                        del turns[rival.name]
        return turns

    def compete(self, problem: Problem, rivals: list[Rival], repeats: int, few: bool = False) -> Turns:
        """Iterations of EM on a problem by those rivals that can."""
        few = few or self.quick or problem.flops() > LONG
        short, long = FEW_ITERATIONS if few else ITERATIONS
        with written(problem) as task:
            task |= {"short": short, "long": long}
            able = [r for r in rivals if problem.covariance in self.covariances.get(r.name, [problem.covariance])]
            return self.take_turns(
                problem.title,
                able,
                lambda rival: rival.ask("iterate", **task, n_threads=rival.n_threads or self.machine.n_threads),
                repeats,
            )
